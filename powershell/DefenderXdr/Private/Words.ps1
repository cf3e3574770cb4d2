# The values that Microsoft's pages name. The services compare case and PowerShell does not; and a list that is filtered by a word that nothing has is
# empty without a word. So a known word gets the service's spelling, and an unknown one, which may be new, goes out as it is, with a warning.

$script:Classifications = @('TruePositive', 'InformationalExpectedActivity', 'FalsePositive', 'Unknown')
# Some have two spellings, which differ by the page.
$script:Determinations = @('MultiStagedAttack', 'MaliciousUserActivity', 'CompromisedAccount', 'CompromisedUser', 'Malware', 'Phishing', 'UnwantedSoftware',
    'SecurityTesting', 'LineOfBusinessApplication', 'ConfirmedActivity', 'ConfirmedUserActivity', 'NotMalicious', 'Clean', 'InsufficientData',
    'NoEnoughDataToValidate', 'Other')

$script:KnownWords = @{
    incidents       = @{
        Status         = @('Active', 'InProgress', 'Resolved', 'Redirected')
        Severity       = @('Informational', 'Low', 'Medium', 'High', 'UnSpecified')
        Classification = $script:Classifications
        Determination  = $script:Determinations
    }
    alerts          = @{
        Status         = @('New', 'InProgress', 'Resolved', 'Unknown')
        Severity       = @('Informational', 'Low', 'Medium', 'High', 'UnSpecified')
        Classification = $script:Classifications
        Determination  = $script:Determinations
    }
    machines        = @{
        HealthStatus  = @('Active', 'Inactive', 'ImpairedCommunication', 'NoSensorData', 'NoSensorDataImpairedCommunication', 'Unknown')
        RiskScore     = @('None', 'Informational', 'Low', 'Medium', 'High')
        ExposureLevel = @('None', 'Low', 'Medium', 'High')
        Type          = @('Full', 'Selective', 'UnManagedDevice', 'Quick')
    }
    machine_actions = @{
        Type   = @('Isolate', 'Unisolate', 'RunAntiVirusScan', 'StopAndQuarantineFile', 'RestrictCodeExecution', 'UnrestrictCodeExecution', 'CollectInvestigationPackage', 'LiveResponse', 'Offboard')
        Status = @('Pending', 'InProgress', 'Succeeded', 'Failed', 'TimeOut', 'Cancelled')
    }
    indicators      = @{
        Type     = @('FileSha1', 'FileSha256', 'FileMd5', 'CertificateThumbprint', 'IpAddress', 'DomainName', 'Url')
        Action   = @('Allowed', 'Audit', 'Block', 'BlockAndRemediate', 'Warn', 'Alert', 'AlertAndBlock')
        Severity = @('Informational', 'Low', 'Medium', 'High')
    }
}

# Known, but given by the service alone.
$script:ReadOnlyWords = @{ incidents = 'Redirected'; alerts = 'Unknown' }

# Members of what is sent, and the parameters that take them.
$script:WordMembers = [ordered]@{ status = 'Status'; classification = 'Classification'; determination = 'Determination'; indicatorType = 'Type'; action = 'Action'; severity = 'Severity' }

function script:Get-DefenderKnownWord {
    # The words that a parameter of an operation may take, or nothing.
    param([string] $Operation, [string] $Parameter)
    $subject, $verb = $Operation -split '\.', 2
    $known = if ($script:KnownWords.ContainsKey($subject)) { $script:KnownWords[$subject][$Parameter] }
    if ($Parameter -eq 'Status' -and $verb -in 'update', 'batch_update') { $known = @($known -ne $script:ReadOnlyWords[$subject]) }
    if ($null -ne $known) { , $known }
}

function script:ConvertTo-DefenderWord {
    # A parameter's value, or each of its values, in the service's spelling.
    param([string] $Operation, [string] $Parameter, [object] $Value)
    $verb = @($Operation -split '\.', 2)[-1]
    $known = Get-DefenderKnownWord $Operation $Parameter
    if ($null -eq $known -or $null -eq $Value) { return , $Value }
    # Each row of an import is told by its outcome.
    $fate = switch ($verb) {
        { $_ -in 'list', 'watch' } { 'Nothing will match unless the service knows it.' }
        { $_ -in 'update', 'submit' } { 'What they do not know may be refused.' }
    }
    $words = foreach ($word in @($Value)) {
        $same = @($known -eq $word)
        if ($same.Count -gt 0) { $same[0]; continue }
        if ($fate) { Write-Warning (Format-DefenderText "-$Parameter ${word}: Microsoft's pages know only $($known -join ', '). $fate") }
        $word
    }
    if ($Value -is [array]) { , [string[]]@($words) } else { $words }
}

function script:Add-DefenderWordHint {
    # A change that the service refused names the words it may have meant.
    param([System.Management.Automation.ErrorRecord] $Record, [System.Collections.IDictionary] $Call)
    if ($Record.Exception.StatusCode -ne 400 -or $Call['operation'] -notmatch '\.(update|batch_update|submit)$') { return }
    $sent = if ($Call['indicator'] -is [System.Collections.IDictionary]) { $Call['indicator'] } else { $Call }
    foreach ($member in $script:WordMembers.get_Keys()) {
        if (-not $sent.Contains($member)) { continue }
        $known = Get-DefenderKnownWord $Call['operation'] $script:WordMembers[$member]
        if ($null -eq $known -or $sent[$member] -in $known) { continue }
        # The service's own list may hold it.
        $own = if ($member -ceq 'status') { $script:ReadOnlyWords[($Call['operation'] -split '\.')[0]] }
        Add-DefenderHint $Record (Format-DefenderText "$($sent[$member]) is none of $($known -join ', ')$(if ($own) { " ($own is given by the service alone)" })")
    }
}
