# The values that Microsoft's pages name. The services compare case and PowerShell does not; and a list that is filtered by a word that nothing has is
# empty without a word. So a known word gets the service's spelling, and an unknown one, which may be new, goes out as it is, with a warning
# where a list is filtered by it.

$script:KnownWords = @{
    incidents       = @{
        Status   = @('Active', 'InProgress', 'Resolved', 'Redirected')
        Severity = @('Informational', 'Low', 'Medium', 'High', 'UnSpecified')
    }
    alerts          = @{
        Status   = @('New', 'InProgress', 'Resolved', 'Unknown')
        Severity = @('Informational', 'Low', 'Medium', 'High', 'UnSpecified')
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

function script:ConvertTo-DefenderWord {
    # A parameter's value, or each of its values, in the service's spelling.
    param([string] $Operation, [string] $Parameter, [object] $Value)
    $subject, $verb = $Operation -split '\.', 2
    $known = if ($script:KnownWords.ContainsKey($subject)) { $script:KnownWords[$subject][$Parameter] }
    if ($null -eq $known -or $null -eq $Value) { return , $Value }
    $words = foreach ($word in @($Value)) {
        $same = @($known -eq $word)
        if ($same.Count -gt 0) { $same[0]; continue }
        if ($verb -in 'list', 'watch') { Write-Warning (Format-DefenderText "-$Parameter ${word}: Microsoft's pages know only $($known -join ', '). What they do not know may match nothing.") }
        $word
    }
    if ($Value -is [array]) { , [string[]]@($words) } else { $words }
}
