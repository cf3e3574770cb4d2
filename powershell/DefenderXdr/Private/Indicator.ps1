# Indicators: from objects and tables to what the service takes, and each outcome told by itself.

# What an indicator may hold when it is sent, in the service's spelling: names in a body are case-sensitive.
$script:IndicatorMembers = @('indicatorValue', 'indicatorType', 'action', 'title', 'description', 'severity', 'application', 'expirationTime', 'recommendedActions',
    'generateAlert', 'rbacGroupNames', 'rbacGroupIds', 'educateUrl', 'externalId', 'lookBackPeriodInDays')

# Members whose values have a spelling, and the parameters that take them.
$script:IndicatorWords = @{ indicatorType = 'Type'; action = 'Action'; severity = 'Severity' }

function script:ConvertTo-DefenderIndicatorBody {
    # An object, a row of a table or a dictionary as the service takes it, with the defaults for what is absent.
    param([object] $From, [System.Collections.IDictionary] $Defaults)
    $read = @{}
    if ($From -is [System.Collections.IDictionary]) { foreach ($key in $From.get_Keys()) { $read[[string] $key] = $From[$key] } }
    else { foreach ($property in $From.PSObject.Properties) { $read[$property.Name] = $property.Value } }
    $body = [ordered]@{}
    foreach ($name in $script:IndicatorMembers) {
        $value = Get-DefenderCell $read[$name]
        if ($null -eq $value -and $null -ne $Defaults) { $value = $Defaults[$name] }
        if ($null -eq $value) { continue }
        if ($name -eq 'generateAlert' -and $value -isnot [bool]) { $value = [string] $value -in 'true', '1', 'yes' }
        elseif ($name -eq 'lookBackPeriodInDays') { $value = [int] $value }
        elseif ($name -in 'rbacGroupNames', 'rbacGroupIds') {
            if ($value -is [string]) { $value = @($value -split ';' | ForEach-Object Trim | Where-Object { $_ }) }
            $value = @($value)
            if ($value.Count -eq 0) { continue }
        }
        if ($script:IndicatorWords.ContainsKey($name)) { $value = ConvertTo-DefenderWord $(if ($null -eq $Defaults) { 'indicators.submit' } else { 'indicators.import' }) $script:IndicatorWords[$name] $value }
        $body[$name] = $value
    }
    $body
}

function script:Get-DefenderCell {
    # A cell of a table: an empty one counts as absent.
    param([object] $Value)
    if ($Value -isnot [string]) { return , $Value }
    $text = $Value.Trim()
    if ($text) { $text }
}

function script:Get-DefenderIndicatorFault {
    # What the service would refuse anyway, so that one such indicator does not cost the others of its batch.
    param([System.Collections.IDictionary] $Body)
    foreach ($name in 'indicatorValue', 'indicatorType', 'action', 'title', 'description') { if (-not $Body.Contains($name)) { return "it has no $name" } }
    if ($Body['indicatorType'] -eq 'IpAddress' -and ([string] $Body['indicatorValue']).Contains('/')) { return 'the service takes single addresses only, no networks' }
    if ($Body['action'] -eq 'Audit' -and $Body['generateAlert'] -ne $true) { return 'the action Audit takes generateAlert' }
}

function script:Add-DefenderIndicatorValue {
    param([hashtable] $Session, [string] $Value, [System.Collections.IDictionary] $Given, [scriptblock] $Ask)
    $from = @{ indicatorValue = $Value; indicatorType = $Given['Type']; action = $Given['Action']; title = $Given['Title']; description = $Given['Description'] }
    foreach ($pair in @('Severity', 'severity'), @('ExpirationTime', 'expirationTime'), @('RecommendedActions', 'recommendedActions'), @('Application', 'application'),
        @('RbacGroupName', 'rbacGroupNames'), @('EducateUrl', 'educateUrl')) { if ($Given.ContainsKey($pair[0])) { $from[$pair[1]] = $Given[$pair[0]] } }
    if ($Given.ContainsKey('GenerateAlert')) { $from['generateAlert'] = [bool] $Given['GenerateAlert'] }
    $body = ConvertTo-DefenderIndicatorBody $from
    if (-not (& $Ask "$($Given['Type']) $Value" "add an indicator ($($Given['Action']))")) { return }
    $failed = @{ Record = $null }
    $indicator = Invoke-DefenderCall $Session ([ordered]@{ operation = 'indicators.submit'; indicator = $body }) -ItemConverter 'ConvertTo-DefenderIndicator' -Failed $failed
    if ($null -ne $failed.Record) { Write-DefenderRecordError $Session $failed.Record "indicator $Value" $Value }
    elseif ($Given.ContainsKey('PassThru') -and $Given['PassThru']) { $indicator }
}

function script:Remove-DefenderIndicatorById {
    param([hashtable] $Session, [string] $Id, [object] $Piped, [scriptblock] $Ask)
    if (-not (Test-DefenderPiped $Session.Caller indicator $Piped)) { return }
    $label = $Id
    $value = [string] (Get-DefenderValue $Piped 'indicatorValue')
    if ($value) { $label = Format-DefenderText "$Id ($(Get-DefenderValue $Piped 'action') $value)" }
    if (-not (& $Ask "indicator $label" 'remove')) { return }
    $failed = @{ Record = $null }
    Invoke-DefenderCall $Session ([ordered]@{ operation = 'indicators.delete'; id = $Id }) -Failed $failed
    if ($null -ne $failed.Record) { Write-DefenderRecordError $Session $failed.Record "indicator $label" $Id }
}

function script:New-DefenderImport {
    param([System.Collections.IDictionary] $Given, [System.Management.Automation.PSCmdlet] $Caller, [scriptblock] $Ask)
    @{
        Session  = Open-DefenderSession $Caller
        Ask      = $Ask
        Defaults = @{ action = $Given['Action']; title = $Given['Title']; description = $Given['Description'] }
        PassThru = $Given.ContainsKey('PassThru') -and [bool] $Given['PassThru']
        Batch    = [System.Collections.ArrayList]::new()
        Count    = 0
    }
}

function script:Read-DefenderIndicatorFile {
    param([hashtable] $Import, [string] $Path)
    $caller = $Import.Session.Caller
    try {
        $full = $caller.GetUnresolvedProviderPathFromPSPath($Path)
        $text = [System.IO.File]::ReadAllText($full)
        if ($full -notlike '*.json') { return ConvertFrom-Csv -InputObject $text }
        $read = ConvertFrom-DefenderJson $text
        if ($read -isnot [object[]]) { throw [System.FormatException]::new('it does not hold a list') }
        $read
    }
    catch {
        $global:Error.RemoveAt(0)
        $reason = $_.Exception.GetBaseException().Message
        $caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText "the file of -Path cannot be read: $reason") -Hint 'Give a CSV file with a header, or a JSON file with a list of objects.'))
    }
}

function script:Add-DefenderImport {
    # One more; a full batch is sent.
    param([hashtable] $Import, [object] $From)
    $Import.Count++
    $body = $null
    $fault = 'it is no object with members'
    if ($null -ne $From -and $From -isnot [string] -and $From -isnot [ValueType]) {
        try {
            $body = ConvertTo-DefenderIndicatorBody $From $Import.Defaults
            $fault = Get-DefenderIndicatorFault $body
        }
        catch {
            $global:Error.RemoveAt(0)
            $fault = $_.Exception.GetBaseException().Message
        }
    }
    if ($fault) {
        $name = if ($null -ne $body -and $body.Contains('indicatorValue')) { [string] $body['indicatorValue'] } else { "number $($Import.Count)" }
        $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "indicator ${name}: $fault" -Hint 'An indicator needs indicatorValue, indicatorType, action, title and description; see Get-Help Import-DefenderIndicator.'
        Write-DefenderRecordError $Import.Session $record "indicator $name" $From
        return
    }
    $null = $Import.Batch.Add($body)
    if ($Import.Batch.Count -ge 500) { Send-DefenderImport $Import }
}

function script:Send-DefenderImport {
    # The batch at hand. What the service did not take is an error for each, and so is what it says nothing of.
    param([hashtable] $Import)
    $batch = @($Import.Batch)
    $Import.Batch.Clear()
    if ($batch.Count -eq 0) { return }
    $session = $Import.Session
    $first = [string] $batch[0]['indicatorValue']
    $last = [string] $batch[$batch.Count - 1]['indicatorValue']
    $label = Format-DefenderText $(if ($batch.Count -eq 1) { "indicator $first" } else { "$($batch.Count) indicators, from $first to $last" })
    if ($WhatIfPreference) {
        # Each is told, since each would be sent.
        foreach ($body in $batch) { $null = & $Import.Ask (Format-DefenderText "$($body['indicatorType']) $($body['indicatorValue'])") "import an indicator ($($body['action']))" }
        return
    }
    if (-not (& $Import.Ask $label 'import')) { return }
    $failed = @{ Record = $null }
    $said = @(Invoke-DefenderCall $session ([ordered]@{ operation = 'indicators.import'; indicators = $batch }) -ItemConverter 'ConvertTo-DefenderIndicatorOutcome' -Failed $failed 3>&1)
    # How many were not taken is told one by one below.
    $outcomes = foreach ($one in $said) {
        if ($one -isnot [System.Management.Automation.WarningRecord]) { $one }
        elseif ($one.Message -notlike '*were not taken: see isFailed*') { Write-Warning $one.Message }
    }
    if ($null -ne $failed.Record) {
        Write-DefenderRecordError $session $failed.Record $label $batch
        return
    }
    foreach ($outcome in @($outcomes)) {
        if ($Import.PassThru) { $outcome }
        if (-not $outcome.IsFailed) { continue }
        $record = New-DefenderErrorRecord -Name 'INDICATOR_REFUSED' -Code 0 -Message "indicator $($outcome.Indicator) was not taken: $($outcome.FailureReason)" -Hint 'Mend the indicator and send it again; the others were taken.'
        Write-DefenderRecordError $session $record "indicator $($outcome.Indicator)" $outcome.Indicator -Always
    }
}

function script:ConvertTo-DefenderIndicatorOutcome {
    param([string] $Text)
    $read = ConvertFrom-DefenderDocument $Text
    [pscustomobject]@{
        PSTypeName    = 'DefenderXdr.IndicatorOutcome'
        Id            = $read['id']
        Indicator     = $read['indicator']
        IsFailed      = [bool] $read['isFailed']
        FailureReason = $read['failureReason']
    }
}
