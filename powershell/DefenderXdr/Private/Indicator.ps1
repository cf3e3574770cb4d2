# Indicators: from objects and tables to what the service takes, and each outcome told by itself.

# What an indicator may hold when it is sent, in the service's spelling: names in a body are case-sensitive.
$script:IndicatorMembers = @('indicatorValue', 'indicatorType', 'action', 'title', 'description', 'severity', 'application', 'expirationTime', 'recommendedActions',
    'generateAlert', 'rbacGroupNames', 'rbacGroupIds', 'educateUrl', 'externalId', 'lookBackPeriodInDays')

# What the service gives an indicator, and PowerShell an object from elsewhere: left out without a word.
$script:IndicatorOwn = @('id', 'source', 'sourceType', 'createdBy', 'createdByDisplayName', 'createdBySource', 'lastUpdatedBy', 'creationTimeDateTimeUtc', 'lastUpdateTime',
    'PSComputerName', 'PSShowComputerName', 'RunspaceId')

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
        if ($name -eq 'generateAlert') { $value = ConvertTo-DefenderYesNo $value }
        elseif ($name -eq 'expirationTime') { $value = ConvertTo-DefenderExpiry $value }
        elseif ($name -eq 'lookBackPeriodInDays') { $value = ConvertTo-DefenderDays $value }
        elseif ($name -in 'rbacGroupNames', 'rbacGroupIds') {
            if ($value -is [string]) { $value = @($value -split ';' | ForEach-Object { $_.Trim() } | Where-Object { $_ }) }
            $value = @($value)
            if ($value.Count -eq 0) { continue }
        }
        if ($script:IndicatorWords.ContainsKey($name)) { $value = ConvertTo-DefenderWord $(if ($null -eq $Defaults) { 'indicators.submit' } else { 'indicators.import' }) $script:IndicatorWords[$name] $value }
        $body[$name] = $value
    }
    $body
}

function script:ConvertTo-DefenderYesNo {
    param([object] $Value)
    if ($Value -is [bool]) { return $Value }
    if ([string] $Value -in 'true', 'yes', 'y', '1') { return $true }
    if ([string] $Value -in 'false', 'no', 'n', '0') { return $false }
    throw [System.FormatException]::new("generateAlert is '$(Get-DefenderShortText $Value)', which is neither true nor false")
}

function script:ConvertTo-DefenderExpiry {
    # A time by ISO 8601: any other way to write one means different days in different countries. Without a zone it is local, as a parameter's is.
    param([object] $Value)
    if ($Value -isnot [string]) { return $Value }
    $text = $Value.Trim()
    $time = [DateTime]::MinValue
    $styles = [System.Globalization.DateTimeStyles] 'AssumeLocal, AdjustToUniversal'
    $formats = [string[]]@('yyyy-MM-dd', 'yyyy-MM-dd HH:mm', 'yyyy-MM-dd HH:mm:ss', "yyyy-MM-dd'T'HH:mmK", "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK", 'yyyy-MM-dd HH:mm:ssK')
    if ([DateTime]::TryParseExact($text, $formats, [System.Globalization.CultureInfo]::InvariantCulture, $styles, [ref] $time)) { return $time }
    throw [System.FormatException]::new("expirationTime is '$(Get-DefenderShortText $text)', which is no time such as 2026-12-24T18:00:00Z or 2026-12-24")
}

function script:ConvertTo-DefenderDays {
    param([object] $Value)
    $days = 0
    if ([int]::TryParse([string] $Value, [ref] $days)) { return $days }
    throw [System.FormatException]::new("lookBackPeriodInDays is '$(Get-DefenderShortText $Value)', which is no whole number")
}

function script:Test-DefenderPast {
    # A time without a zone is local.
    param([object] $Time)
    if ($Time -is [System.DateTimeOffset]) { $Time = $Time.UtcDateTime }
    $Time -is [DateTime] -and $Time.ToUniversalTime() -lt [DateTime]::UtcNow
}

function script:Get-DefenderEditDistance {
    # How many letters have to be changed, left out, put in or swapped with the next to make one word of another.
    param([string] $One, [string] $Other)
    $before = $null
    $last = [int[]](0..$Other.Length)
    for ($i = 1; $i -le $One.Length; $i++) {
        $row = [int[]]::new($Other.Length + 1)
        $row[0] = $i
        for ($j = 1; $j -le $Other.Length; $j++) {
            $cost = if ($One[$i - 1] -ceq $Other[$j - 1]) { 0 } else { 1 }
            $row[$j] = [math]::Min([math]::Min($row[$j - 1] + 1, $last[$j] + 1), $last[$j - 1] + $cost)
            if ($i -gt 1 -and $j -gt 1 -and $One[$i - 1] -ceq $Other[$j - 2] -and $One[$i - 2] -ceq $Other[$j - 1]) { $row[$j] = [math]::Min($row[$j], $before[$j - 2] + 1) }
        }
        $before = $last
        $last = $row
    }
    $last[$Other.Length]
}

function script:Get-DefenderMemberMeant {
    # The member of an indicator that a name is a slip for, or nothing. Short words are near to many others: they may be off by one letter only.
    param([string] $Name)
    $plain = ($Name -replace '[^0-9A-Za-z]', '').ToLowerInvariant()
    foreach ($member in $script:IndicatorMembers) {
        $limit = if ($member.Length -le 6) { 1 } else { 2 }
        if ([math]::Abs($plain.Length - $member.Length) -gt $limit) { continue }
        if ((Get-DefenderEditDistance $plain $member.ToLowerInvariant()) -le $limit) { return $member }
    }
}

function script:Get-DefenderColumnFault {
    # A member that is a slip for one of an indicator's is a fault, since what it says would be left out: an end, or the groups it is for. Others that mean
    # nothing here are kept for a warning.
    param([hashtable] $Import, [object] $From)
    # What the service gave is the service's own, its newer members too.
    if ((Get-DefenderKind $From) -eq 'Indicator') { return }
    $names = if ($From -is [System.Collections.IDictionary]) { @($From.get_Keys()) } else { @(foreach ($property in $From.PSObject.Properties) { $property.Name }) }
    foreach ($name in $names) {
        $name = [string] $name
        if ($name -in $script:IndicatorMembers -or $name -in $script:IndicatorOwn -or $name -like '@odata.*') { continue }
        if (-not $Import.Columns.ContainsKey($name)) {
            $Import.Columns[$name] = Get-DefenderMemberMeant $name
            if (-not $Import.Columns[$name]) { $null = $Import.Unknown.Add($name) }
        }
        if ($Import.Columns[$name]) { return "it has a member '$(Get-DefenderShortText $name)', which is none of an indicator; $($Import.Columns[$name]) may be meant" }
    }
}

function script:Show-DefenderImportWarning {
    # What was noticed since the last time, before it is sent.
    param([hashtable] $Import)
    if ($Import.Unknown.Count -gt 0) {
        $names = @($Import.Unknown | Select-Object -First 20) -join ', '
        if ($Import.Unknown.Count -gt 20) { $names = "$names and $($Import.Unknown.Count - 20) more" }
        Write-Warning (Format-DefenderText "members that an indicator does not have are left out: $names. Those it may have: $($script:IndicatorMembers -join ', ').")
        $Import.Unknown.Clear()
    }
    if ($Import.Past.Count -gt 0) {
        $names = @($Import.Past | Select-Object -First 5) -join ', '
        if ($Import.Past.Count -gt 5) { $names = "$names and $($Import.Past.Count - 5) more" }
        Write-Warning (Format-DefenderText "the expirationTime is past: indicator $names")
        $Import.Past.Clear()
    }
}

function script:Get-DefenderTwiceFault {
    # Two actions for one value: the service keeps one of them, and no page says which.
    param([hashtable] $Import, [System.Collections.IDictionary] $Body)
    $value = [string] $Body['indicatorValue']
    # The path of a URL may tell capitals from small letters.
    if ($Body['indicatorType'] -ne 'Url') { $value = $value.ToLowerInvariant() }
    $key = "$($Body['indicatorType'])|$value"
    if (-not $Import.Seen.ContainsKey($key)) { $Import.Seen[$key] = @{ Number = $Import.Count; Action = $Body['action'] }; return }
    $seen = $Import.Seen[$key]
    if ($seen.Action -ne $Body['action']) { "its action is $($Body['action']), and number $($seen.Number) has the action $($seen.Action) for the same value" }
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
    $fault = Get-DefenderValueFault ([string] $Body['indicatorType']) ([string] $Body['indicatorValue'])
    if ($fault) { return $fault }
    if ($Body['action'] -eq 'Audit' -and $Body['generateAlert'] -ne $true) { return 'the action Audit takes generateAlert' }
}

# Digits of the hashes. A certificate goes by its SHA-1 thumbprint ("Submit or update indicator").
$script:IndicatorDigits = @{ FileSha1 = 40; FileSha256 = 64; FileMd5 = 32; CertificateThumbprint = 40 }

function script:Get-DefenderValueFault {
    # What is wrong with a value for its type, where that is certain. The service judges the rest.
    param([string] $Type, [string] $Value)
    if ($script:IndicatorDigits.ContainsKey($Type)) {
        $digits = $script:IndicatorDigits[$Type]
        if ($Value -match "^[0-9a-fA-F]{$digits}$") { return }
        $fits = @($script:IndicatorDigits.Keys | Where-Object { $Value -match "^[0-9a-fA-F]{$($script:IndicatorDigits[$_])}$" } | Sort-Object)
        return "$Type takes $digits hexadecimal digits$(if ($fits.Count -gt 0) { "; this value would be $($fits -join ' or ')" })"
    }
    switch ($Type) {
        'IpAddress' {
            if ($Value.Contains('/')) { return 'the service takes single addresses only, no networks' }
            $address = $null
            # .NET takes 1 for 0.0.0.1.
            if (($Value -match '^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$' -or $Value -match '^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$') -and [System.Net.IPAddress]::TryParse($Value, [ref] $address)) { return }
            return 'it is no IP address'
        }
        'DomainName' { if ($Value -match '[\s/:@\\]' -or -not $Value.Contains('.')) { return 'it is no domain name; an address with a path is of the type Url' } }
        'Url' { if ($Value -match '\s' -or -not $Value.Contains('.')) { return 'it is no URL' } }
    }
}

function script:Add-DefenderIndicatorValue {
    param([hashtable] $Session, [string] $Value, [System.Collections.IDictionary] $Given, [object] $Piped, [scriptblock] $Ask)
    if ($null -ne $Piped -and $Piped -isnot [string]) {
        $kind = Get-DefenderKind $Piped
        $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "an object of the type $(if ($kind) { "DefenderXdr.$kind" } else { @($Piped.PSObject.TypeNames)[0] }) came down the pipeline, which is no value of an indicator" `
            -Hint 'Give Add-DefenderIndicator the values as text; Import-DefenderIndicator takes objects.'
        Write-DefenderRecordError $Session $record '' $Piped -Always
        return
    }
    $from = @{ indicatorValue = $Value; indicatorType = $Given['Type']; action = $Given['Action']; title = $Given['Title']; description = $Given['Description'] }
    foreach ($pair in @('Severity', 'severity'), @('ExpirationTime', 'expirationTime'), @('RecommendedActions', 'recommendedActions'), @('Application', 'application'),
        @('RbacGroupName', 'rbacGroupNames'), @('EducateUrl', 'educateUrl')) { if ($Given.ContainsKey($pair[0])) { $from[$pair[1]] = $Given[$pair[0]] } }
    if ($Given.ContainsKey('GenerateAlert')) { $from['generateAlert'] = [bool] $Given['GenerateAlert'] }
    $body = ConvertTo-DefenderIndicatorBody $from
    $fault = Get-DefenderIndicatorFault $body
    if ($fault) {
        $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText "indicator $(Get-DefenderShortText $Value): $fault") -Hint 'Mend the value or the other parameters; Get-Help Add-DefenderIndicator says what goes together.'
        Write-DefenderRecordError $Session $record '' $Value -Always
        return
    }
    if (Test-DefenderPast $body['expirationTime']) { Write-Warning (Format-DefenderText "the expirationTime is past: indicator $Value") }
    if (-not (Confirm-DefenderChange $Session.Caller $Ask "$($Given['Type']) $Value" "add an indicator ($($Given['Action']))")) { return }
    $failed = @{ Record = $null }
    $indicator = Invoke-DefenderCall $Session ([ordered]@{ operation = 'indicators.submit'; indicator = $body }) -ItemConverter 'ConvertTo-DefenderIndicator' -Failed $failed
    if ($null -ne $failed.Record) { Write-DefenderRecordError $Session $failed.Record "indicator $Value" $Value }
    elseif ($Given.ContainsKey('PassThru') -and $Given['PassThru']) { $indicator }
}

function script:Remove-DefenderIndicatorById {
    param([hashtable] $Session, [string] $Id, [object] $Piped, [scriptblock] $Ask)
    if (-not (Test-DefenderPiped $Session.Caller indicator $Piped)) { return }
    $Id = Select-DefenderId $Session.Caller indicator $Id $Piped
    if (-not $Id) { return }
    $label = $Id
    $value = [string] (Get-DefenderValue $Piped 'indicatorValue')
    if ($value) { $label = Format-DefenderText "$Id ($(Get-DefenderValue $Piped 'action') $value)" }
    if (-not (Confirm-DefenderChange $Session.Caller $Ask "indicator $label" 'remove')) { return }
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
        Columns  = @{}                                      # members that are none of an indicator's, each with the one that is meant
        Unknown  = [System.Collections.ArrayList]::new()    # those of them that were not told yet
        Past     = [System.Collections.ArrayList]::new()    # what has ended before it is sent, the same
        Seen     = [System.Collections.Generic.Dictionary[string, object]]::new([System.StringComparer]::Ordinal)
        Refused  = [System.Collections.Queue]::new()        # outcomes of this side, each with how many of the batch come before it
    }
}

function script:Read-DefenderIndicatorFile {
    param([hashtable] $Import, [string] $Path)
    $caller = $Import.Session.Caller
    try {
        $full = $caller.GetUnresolvedProviderPathFromPSPath($Path)
        $text = [System.IO.File]::ReadAllText($full)
        if ($full -notlike '*.json') { return ConvertFrom-Csv -InputObject $text -Delimiter (Get-DefenderDelimiter $text) }
        $read = ConvertFrom-DefenderJson $text
        if ($read -isnot [object[]]) { throw [System.FormatException]::new('it does not hold a list') }
        $read
    }
    catch {
        $global:Error.RemoveAt(0)
        $reason = $_.Exception.GetBaseException().Message
        $caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText "the file of -Path cannot be read: $reason") -Hint 'Give a CSV file whose first line names the members (indicatorValue, indicatorType, action, title, description), separated by comma, semicolon or tab, or a JSON file (.json) with a list of objects.'))
    }
}

function script:Get-DefenderDelimiter {
    # What separates the columns of a table: of comma, semicolon (spreadsheets, where the comma is in numbers) and tab the one by which the first line
    # holds the most members of an indicator.
    param([string] $Text)
    $head = @($Text.TrimStart([char] 0xfeff, "`r", "`n") -split "\r?\n", 2)[0]
    $best = 0
    $delimiter = [char] ','
    foreach ($candidate in [char[]] ",;`t") {
        $known = @($head.Split($candidate) | Where-Object { $_.Trim(' ', '"') -in $script:IndicatorMembers }).Count
        if ($known -gt $best) { $best, $delimiter = $known, $candidate }
    }
    if ($best -eq 0) { throw [System.FormatException]::new("its first line names no member of an indicator: $(Get-DefenderShortText $head)") }
    $delimiter
}

function script:Get-DefenderTableFault {
    # Rows that were read with another delimiter than their table's have one member, whose name holds the others.
    param([object] $From)
    $names = @(foreach ($property in $From.PSObject.Properties) { $property.Name })
    if ($names.Count -ne 1 -or $names[0] -notmatch "[;,`t]") { return }
    $delimiter = $Matches[0]
    if (@($names[0].Split([char] $delimiter) | Where-Object { $_.Trim(' ', '"') -in $script:IndicatorMembers }).Count -eq 0) { return }
    $delimiter = if ($delimiter -eq "`t") { '"`t"' } else { "'$delimiter'" }
    "its columns were not told apart: read the table with Import-Csv -Delimiter $delimiter, or give the file to -Path"
}

function script:Add-DefenderImport {
    # One more; a full batch is sent.
    param([hashtable] $Import, [object] $From)
    $Import.Count++
    $body = $null
    $fault = 'it is no object with members'
    $hint = 'Give objects or hashtables with the members indicatorValue, indicatorType, action, title and description, or a file to -Path.'
    if ($null -ne $From -and $From -isnot [string] -and $From -isnot [ValueType]) {
        try {
            $hint = 'Give Import-Csv the -Delimiter of the table, or give the file to -Path.'
            $fault = if ($From -isnot [System.Collections.IDictionary]) { Get-DefenderTableFault $From }
            if (-not $fault) {
                $hint = 'Name the member as Get-Help Import-DefenderIndicator does, or remove it.'
                $fault = Get-DefenderColumnFault $Import $From
            }
            if (-not $fault) {
                $hint = 'Mend this value, and import the indicator again; Get-Help Import-DefenderIndicator says how each is written.'
                $body = ConvertTo-DefenderIndicatorBody $From $Import.Defaults
                $fault = Get-DefenderIndicatorFault $body
                if ($fault -cmatch '^it has no (\w+)$') { $hint = "Give it a value for $($Matches[1])$(if ($Import.Defaults.ContainsKey($Matches[1])) { ", or give -$($Matches[1].Substring(0, 1).ToUpperInvariant())$($Matches[1].Substring(1)) for all that have none" })." }
                elseif ($fault -clike 'the action Audit *') { $hint = 'Set generateAlert to true, or choose another action.' }
                elseif ($fault) { $hint = 'Mend indicatorValue or indicatorType, and import the indicator again.' }
            }
            if (-not $fault) {
                $hint = 'Decide which is meant, and import the value once.'
                $fault = Get-DefenderTwiceFault $Import $body
            }
        }
        catch {
            $global:Error.RemoveAt(0)
            $fault = $_.Exception.GetBaseException().Message
        }
    }
    if ($fault) {
        $value = [string] $(if ($From -is [System.Collections.IDictionary]) { $From['indicatorValue'] } else { Get-DefenderValue $From 'indicatorValue' })
        $name = if ($value) { "$(Get-DefenderShortText $value) (number $($Import.Count))" } else { "number $($Import.Count)" }
        if ($Import.PassThru) { $Import.Refused.Enqueue(@{ After = $Import.Batch.Count; Outcome = New-DefenderOutcome $null $value $true "number $($Import.Count): $fault" }) }
        $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "indicator ${name}: $fault" -Hint $hint
        Write-DefenderRecordError $Import.Session $record "indicator $name" $From
        return
    }
    if (Test-DefenderPast $body['expirationTime']) { $null = $Import.Past.Add("$($body['indicatorValue']) (number $($Import.Count))") }
    $null = $Import.Batch.Add($body)
    if ($Import.Batch.Count -ge 500) { Send-DefenderImport $Import }
}

function script:Send-DefenderImport {
    # The batch at hand. What the service did not take is an error for each, and so is what it says nothing of.
    param([hashtable] $Import)
    $batch = @($Import.Batch)
    $Import.Batch.Clear()
    Show-DefenderImportWarning $Import
    if ($batch.Count -gt 0) { Send-DefenderBatch $Import $batch }
    Show-DefenderRefused $Import $batch.Count
}

function script:Show-DefenderRefused {
    # What this side refused, where it stood among those that were sent.
    param([hashtable] $Import, [int] $Place)
    while ($Import.Refused.Count -gt 0 -and $Import.Refused.Peek().After -le $Place) { $Import.Refused.Dequeue().Outcome }
}

function script:Send-DefenderBatch {
    param([hashtable] $Import, [object[]] $Batch)
    $session = $Import.Session
    $first = [string] $batch[0]['indicatorValue']
    $last = [string] $batch[$batch.Count - 1]['indicatorValue']
    $label = Format-DefenderText $(if ($batch.Count -eq 1) { "indicator $first" } else { "$($batch.Count) indicators, from $first to $last" })
    if ($WhatIfPreference) {
        # Each is told, since each would be sent.
        foreach ($body in $batch) { $null = Confirm-DefenderChange $session.Caller $Import.Ask (Format-DefenderText "$($body['indicatorType']) $($body['indicatorValue'])") "import an indicator ($($body['action']))" }
        return
    }
    if (-not (Confirm-DefenderChange $session.Caller $Import.Ask $label 'import')) { return }
    # The library sends the halves of a call that the service refuses as a whole, down to the indicator that is meant. A call that the library itself does
    # not take is halved here. Where so many in a row are refused, the fault is in all of them.
    $waiting = [System.Collections.Stack]::new()
    $waiting.Push($batch)
    $refusals = 0
    $place = 0
    while ($waiting.Count -gt 0) {
        $part = @($waiting.Pop())
        $failed = @{ Record = $null }
        $said = @(Invoke-DefenderCall $session ([ordered]@{ operation = 'indicators.import'; indicators = $part }) -ItemConverter 'ConvertTo-DefenderIndicatorOutcome' -Failed $failed 3>&1)
        $outcomes = @(foreach ($one in $said) {
                if ($one -isnot [System.Management.Automation.WarningRecord]) { $one }
                # What was not taken, and what nothing was said of, is told one by one.
                elseif ($one.Message -notlike '*were not taken: see isFailed*' -and $one.Message -notlike 'the service says nothing of *') { Write-Warning $one.Message }
            })
        if ($outcomes.Count -gt 0) { $refusals = 0 }
        foreach ($outcome in $outcomes) {
            Show-DefenderRefused $Import $place
            $place++
            Show-DefenderOutcome $Import $outcome
        }
        $record = $failed.Record
        if ($null -eq $record) { continue }
        $fault = $record.Exception
        $refusals++
        if ($outcomes.Count -eq 0 -and $part.Count -gt 1 -and $refusals -le 50 -and $fault.StatusCode -eq 0 -and $fault.Name -cin 'BAD_ARGUMENT', 'TOO_LARGE') {
            Write-Verbose (Format-DefenderText "a call with $($part.Count) indicators was refused as a whole ($($fault.Message)); its halves are sent")
            $half = [int] [math]::Floor($part.Count / 2)
            $waiting.Push(@($part[$half..($part.Count - 1)]))
            $waiting.Push(@($part[0..($half - 1)]))
            continue
        }
        $told = @(foreach ($outcome in $outcomes) { [string] $outcome.Indicator })
        $rest = @($part | Where-Object { [string] $_['indicatorValue'] -notin $told })
        if ($rest.Count -eq 0) { $rest = $part }
        $first = [string] $rest[0]['indicatorValue']
        $label = Format-DefenderText $(if ($rest.Count -eq 1) { "indicator $first" } else { "$($rest.Count) indicators, from $first to $([string] $rest[$rest.Count - 1]['indicatorValue'])" })
        if ($Import.PassThru -and $outcomes.Count -lt $part.Count) {
            foreach ($one in $rest) {
                Show-DefenderRefused $Import $place
                $place++
                New-DefenderOutcome $null ([string] $one['indicatorValue']) $true $fault.Message
            }
        }
        Write-DefenderRecordError $session $record $label $(if ($rest.Count -eq 1) { $first } else { $rest }) -Always:($fault.StatusCode -eq 413)
    }
}

function script:Show-DefenderOutcome {
    # What became of an indicator: what was not taken is an error, and so is what the service's answer does not name.
    param([hashtable] $Import, [object] $Outcome)
    $value = [string] $Outcome.Indicator
    if ($Import.PassThru) { $Outcome }
    if (-not $Outcome.IsFailed) { return }
    if ("$($Outcome.FailureReason)" -like 'the service says nothing of it*') {
        $record = New-DefenderErrorRecord -Name 'INDICATOR_UNKNOWN' -Code 0 -Message "indicator ${value}: the service's answer does not say what became of it" -Hint "Look for it with Get-DefenderIndicator '$value', and send it again if it is not there: the same again does no harm."
    }
    else { $record = New-DefenderErrorRecord -Name 'INDICATOR_REFUSED' -Code 0 -Message "indicator $value was not taken: $($Outcome.FailureReason)" -Hint 'Mend the indicator and send it again; each that is not taken is told like this.' }
    Write-DefenderRecordError $Import.Session $record "indicator $value" $value -Always
}

function script:New-DefenderOutcome {
    param([object] $Id, [string] $Indicator, [bool] $IsFailed, [object] $Reason)
    [pscustomobject]@{ PSTypeName = 'DefenderXdr.IndicatorOutcome'; Id = $Id; Indicator = $Indicator; IsFailed = $IsFailed; FailureReason = $Reason }
}

function script:ConvertTo-DefenderIndicatorOutcome {
    param([string] $Text)
    $read = ConvertFrom-DefenderDocument $Text
    New-DefenderOutcome $read['id'] $read['indicator'] ([bool] $read['isFailed']) $read['failureReason']
}
