# What the service sends arrives in PowerShell field for field: with PowerShell 7's own JSON reader where it may be used, and with the module's, which is
# the only one on Windows PowerShell 5.1. A third reader, .NET's System.Text.Json, says what was sent.

if ($null -eq $Emulator -or $null -eq ('System.Text.Json.JsonDocument' -as [type])) { return }

$inModule = Get-Module -Name DefenderXdr
function Connect-Test { Reset-Emulator; Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) }

function Test-SameValue {
    # Throws where the object is not what the element says.
    param([System.Text.Json.JsonElement] $Sent, [object] $Got, [string] $At, [string] $Name)
    switch ("$($Sent.ValueKind)") {
        'Null' { if ($null -ne $Got -and -not ($Got -is [object[]] -and $Got.Length -eq 0 -and $Name -in 'tags', 'comments', 'alerts', 'devices', 'entities', 'mitreTechniques')) { throw "$At is $Got, not null" }; break }
        'True' { if ($Got -isnot [bool] -or -not $Got) { throw "$At is $Got, not true" }; break }
        'False' { if ($Got -isnot [bool] -or $Got) { throw "$At is $Got, not false" }; break }
        'Number' {
            $raw = $Sent.GetRawText()
            if ($raw -match '[.eE]') { if ($Got -isnot [double] -or $Got -ne [double]::Parse($raw, [Globalization.CultureInfo]::InvariantCulture)) { throw "$At is $Got, not $raw" }; break }
            if ($Got -isnot [long] -and $Got -isnot [bigint] -or $Got.ToString() -ne $raw) { throw "$At is $Got ($($Got.GetType().Name)), not $raw" }
            break
        }
        'String' {
            $text = $Sent.GetString()
            if ($Got -is [DateTime]) {
                if ("$($Got.Kind)" -ne 'Utc' -or $Name -notmatch '(?i:time)|^(first|last)(Seen|Activity)$' -or $text -notmatch '^\d{4}-') { throw "$At became a time: $text" }
                $utc = if ($text -match '(Z|[+-]\d\d:\d\d)$') { $text } else { $text + 'Z' }
                if ([DateTimeOffset]::Parse($utc, [Globalization.CultureInfo]::InvariantCulture).UtcTicks -ne $Got.Ticks) { throw "$At is $($Got.ToString('o')), not $text" }
            }
            elseif ($Got -isnot [string] -or -not [string]::Equals($Got, $text, 'Ordinal')) { throw "$At is <$Got>, not <$text>" }
            break
        }
        'Array' {
            if ($Got -isnot [object[]] -or $Got.Length -ne $Sent.GetArrayLength()) { throw "$At is no list of $($Sent.GetArrayLength())" }
            for ($i = 0; $i -lt $Got.Length; $i++) { Test-SameValue $Sent[$i] $Got[$i] "$At[$i]" '' }
            break
        }
        'Object' {
            if ($Got -isnot [Management.Automation.PSCustomObject]) { throw "$At is no object" }
            $names = [Collections.Generic.HashSet[string]]::new([StringComparer]::Ordinal)
            foreach ($member in $Sent.EnumerateObject()) {
                $null = $names.Add($member.Name)
                $property = $Got.PSObject.Properties[$member.Name]
                if ($null -eq $property -or $property.Name -cne $member.Name) { throw "$At.$($member.Name) is missing" }
                Test-SameValue $member.Value $property.Value "$At.$($member.Name)" $member.Name
            }
            foreach ($property in $Got.PSObject.Properties) {
                # Documented members that were not sent are there, and empty.
                if (-not $names.Contains($property.Name) -and $null -ne $property.Value -and @($property.Value).Count -gt 0) { throw "$At.$($property.Name) was never sent" }
            }
            break
        }
    }
}

function Test-Page {
    # Both readers, and the service's own text, for a page of incidents.
    param([string] $Page)
    $document = [System.Text.Json.JsonDocument]::Parse($Page)
    $sent = @{}
    foreach ($record in $document.RootElement.GetProperty('value').EnumerateArray()) { $sent[$record.GetProperty('incidentId').GetRawText()] = $record }
    $kept = & $inModule { if ($null -eq $script:JsonEngine) { Initialize-DefenderJsonEngine }; $script:JsonEngine }
    foreach ($engine in $kept, $false) {
        & $inModule { param($e) $script:JsonEngine = $e } $engine
        try { $got = @(Get-DefenderIncident -Backend Xdr -WarningAction SilentlyContinue) }
        finally { & $inModule { param($e) $script:JsonEngine = $e } $kept }
        $seen = 0
        foreach ($incident in $got) {
            $record = $sent["$($incident.incidentId)"]
            if ($null -eq $record) { continue }
            Test-SameValue $record $incident "incident $($incident.incidentId)" ''
            $seen++
        }
        Assert-Equal $seen $sent.Count 'incidents of the page'
    }
    $texts = @(Get-DefenderIncident -Backend Xdr -Raw)
    foreach ($record in $sent.Values) { Assert-True ($texts -ccontains $record.GetRawText()) 'a record is not verbatim' }
}

Describe 'what the service sends' {
    It 'arrives field for field: the fixture page' {
        Connect-Test
        Test-Page ([IO.File]::ReadAllText([IO.Path]::Combine($RepositoryRoot, 'emulator', 'data', 'incidents.json'), [Text.Encoding]::UTF8))
    }
    It 'arrives field for field: awkward shapes' {
        Connect-Test
        $records = @(
            # Both spellings of the values that the pages spell in two ways, and values that no page has.
            '{"incidentId":1,"status":"InProgress","classification":"InformationalExpectedActivity","determination":"CompromisedAccount","alerts":[{"alertId":"a","determination":"CompromisedUser"},{"alertId":"b","determination":"NotMalicious"},{"alertId":"c","determination":"Clean"},{"alertId":"d","determination":"InsufficientData"},{"alertId":"e","determination":"NoEnoughDataToValidate"},{"alertId":"f","determination":"ConfirmedActivity"},{"alertId":"g","determination":"ConfirmedUserActivity"},{"alertId":"h","classification":"somethingOf2031","severity":"critical"}]}'
            # Ids beyond 32, 53 and 64 bits, numbers in every form.
            '{"incidentId":9223372036854775807,"redirectIncidentId":9007199254740993,"alerts":[{"alertId":"1","investigationId":123456789012345678901234567890,"score":-0.1e-7,"rate":1.0}]}'
            # Times: fractions of 0 to 7 digits, an offset, no zone, the smallest, words, the empty text, null.
            '{"incidentId":3,"createdTime":"2026-09-14T06:52:01.8366667Z","lastUpdateTime":"2026-09-14T07:31:02.4Z","alerts":[{"alertId":"1","creationTime":"2026-09-14T07:03:19Z","lastUpdatedTime":"2026-09-14T09:31:02.04+02:00","resolvedTime":null,"firstActivity":"0001-01-01T00:00:00Z","lastActivity":"9999-12-31T23:59:59.9999999Z"},{"alertId":"2","creationTime":"2026-09-14T07:03:19.123","lastUpdatedTime":"soon","resolvedTime":""}]}'
            # Names and texts that want to be something else.
            '{"incidentId":4,"incidentName":"2026-09-14T06:52:01Z","tags":["2026-09-14T06:52:01Z","/Date(1700000000000)/","true","null","1",""],"comments":[{"comment":"a \"createdTime\":\"2026-01-01T00:00:00Z\" b","createdTime":"2026-09-14T06:52:01Z"}],"newMember":{"deeper":{"list":[[],{},[null]]},"Time":"x"},"@odata.type":"#x","a.b":1,"with space":2}'
            # Nulls and lists that are not there; a list that is an object.
            '{"incidentId":5,"incidentName":null,"assignedTo":null,"tags":null,"comments":null,"alerts":null}'
            '{"incidentId":6,"alerts":[{"alertId":"1","devices":null,"entities":[{"entityType":"New","evidence":{"verdict":"x"}},{}],"mitreTechniques":["T1059.001"]}]}'
            '{"incidentId":7,"tags":{"a":1},"alerts":{"alertId":"1"}}'
            # Characters: controls, direction, emoji, every escape.
            ('{"incidentId":8,"incidentName":"\u0000\u001b[31m\u202e\ud83d\ude00\"\\\/\b\f\n\r\t","assignedTo":"' + [char]::ConvertFromUtf32(0x1f600) + [char] 0x202e + [char] 0xe4 + '"}')
        )
        $page = '{"@odata.context":"x","value":[' + ($records -join ',') + ']}'
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 0; do = @{ status = 200; body = $page; headers = @{ 'content-type' = 'application/json' } } }
        Test-Page $page
        $null = Invoke-Emulator DELETE faults
    }
    It 'goes back as it came: a record of one call is the body of another' {
        Connect-Test
        $raw = Get-DefenderIncident 811188 -Raw
        $read = & $inModule { param($t) ConvertFrom-DefenderJson $t } $raw
        Test-SameValue ([System.Text.Json.JsonDocument]::Parse($raw).RootElement) $read 'the record' ''
        $again = & $inModule { param($v) ConvertTo-DefenderJson $v } $read
        Test-SameValue ([System.Text.Json.JsonDocument]::Parse($again).RootElement) $read 'the body' ''
    }
}
