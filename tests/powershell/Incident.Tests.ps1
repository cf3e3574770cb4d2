# Get-DefenderIncident and the incident objects.

$inModule = Get-Module -Name DefenderXdr
function ConvertTo-Incident { param([string] $Text) & $inModule { param($t) ConvertTo-DefenderIncident $t } $Text }

Describe 'incident objects' {
    It 'have every documented member, also when the service left it out' {
        Set-StrictMode -Version Latest
        $incident = ConvertTo-Incident '{"incidentId":5,"comments":null,"alerts":[{"alertId":"a","devices":null}]}'
        Assert-Equal $incident.PSTypeNames[0] 'DefenderXdr.Incident'
        foreach ($name in 'redirectIncidentId', 'incidentName', 'createdTime', 'lastUpdateTime', 'assignedTo', 'classification', 'determination', 'detectionSource', 'status', 'severity') {
            Assert-True ($null -eq $incident.$name) $name
        }
        foreach ($list in $incident.tags, $incident.comments, $incident.alerts[0].devices, $incident.alerts[0].entities, $incident.alerts[0].mitreTechniques) {
            Assert-True ($null -ne $list -and $list -is [object[]] -and $list.Length -eq 0) 'a list that is missing or null is not an empty list'
        }
        Assert-Equal $incident.alerts[0].PSTypeNames[0] 'DefenderXdr.Alert'
        Assert-True ($null -eq $incident.alerts[0].actorName)
    }
    It 'keep unknown members, exact numbers, and text that looks like a time' {
        $incident = ConvertTo-Incident '{"incidentId":3000000417,"incidentName":"2026-01-01T00:00:00Z","newThing":{"a":[1]},"createdTime":"2026-09-14T06:52:01.8366667Z","lastUpdateTime":"later","alerts":[]}'
        Assert-True ($incident.incidentId -is [long])
        Assert-True ($incident.incidentName -is [string])
        Assert-Equal $incident.newThing.a[0] 1
        Assert-Equal $incident.createdTime.ToString('o') '2026-09-14T06:52:01.8366667Z'
        Assert-Equal "$($incident.createdTime.Kind)" 'Utc'
        Assert-Equal $incident.lastUpdateTime 'later'
    }
    It 'show as a table without control characters, escape sequences and changes of direction' {
        $incident = ConvertTo-Incident '{"incidentId":7,"severity":"High","status":"Active","incidentName":"a\u001b[31mb\r\nc\u202ed\u0007","assignedTo":"x\u009by","lastUpdateTime":"2026-09-14T07:31:02.41Z","alerts":[{"alertId":"1","title":"t\u001b]0;x\u0007"}]}'
        foreach ($view in ($incident | Out-String -Width 200), ($incident | Format-List | Out-String -Width 200), ($incident.alerts | Out-String -Width 200)) {
            foreach ($character in $view.ToCharArray()) {
                if ([int] $character -in 27, 7, 0x9b, 0x202e) { throw "character $([int] $character) reached the view" }
            }
        }
        $table = ($incident | Out-String -Width 200) -split "`n" | Where-Object { $_.Trim() }
        Assert-Match $table[0] '^\s*Id\s+Severity\s+Status\s+LastUpdate \(UTC\)\s+Name\s+AssignedTo'
        Assert-Match $table[2] '^\s*7\s+High\s+Active\s+2026-09-14 07:31\s+a \[31mb c d\s+x y'
        Assert-Equal @($table).Count 3
        Assert-Match ($incident | Out-String -Width 80) 'Active\s+2026-09-14 07:31\s+a \[31mb'
        Assert-Match ($incident | Out-String -Width 100) 'Name\s+AssignedTo' 'the label is broken over lines at 100 columns'
    }
}

function Get-Shape {
    # Every value with its type and the members in their order, to compare objects that two readers made.
    param([object] $Value)
    if ($null -eq $Value) { return 'null' }
    if ($Value -is [object[]]) { return '[' + (@(foreach ($element in $Value) { Get-Shape $element }) -join ',') + ']' }
    if ($Value -is [Management.Automation.PSCustomObject]) {
        return $Value.PSTypeNames[0] + '{' + (@(foreach ($property in $Value.PSObject.Properties) { $property.Name + '=' + (Get-Shape $property.Value) }) -join ';') + '}'
    }
    $text = if ($Value -is [DateTime]) { $Value.ToString('o', [Globalization.CultureInfo]::InvariantCulture) } else { [string] $Value }
    $Value.GetType().Name + ':' + $text
}

Describe 'incident objects of PowerShell''s own JSON reader' {
    $engine = & $inModule { Initialize-DefenderJsonEngine; [bool] $script:JsonEngine }
    if (-not $engine) { return }
    $read = { param($Text) & $inModule { param($t) ConvertTo-DefenderIncident $t } $Text }
    $slow = { param($Text) & $inModule { param($t) $kept = $script:JsonEngine; $script:JsonEngine = $false; try { ConvertTo-DefenderIncident $t } finally { $script:JsonEngine = $kept } } $Text }
    $page = [IO.File]::ReadAllText([IO.Path]::Combine($RepositoryRoot, 'emulator', 'data', 'incidents.json'), [Text.Encoding]::UTF8) | ConvertFrom-Json -DateKind String
    $texts = @(
        foreach ($record in $page.value) { ConvertTo-Json $record -Depth 30; ConvertTo-Json $record -Depth 30 -Compress }
        '{}'
        '{"alerts":[1,"x",null,[],{"alertId":"1"}],"tags":["2026-01-01T00:00:00Z"],"comments":{"createdTime":"2026-01-01T00:00:00Z"}}'
        '{"alerts":{"alertId":"1"}}'
        '{"incidentId":9223372036854775808,"a":-0,"b":1e3,"c":0.1,"d":1.0,"e":-123456789012345678901234567890,"f":true,"g":[[],{},[[1]]]}'
        '{"a":1,"A":2,"a":3}'
        '{"a":1,"a":2}'
        '{"":1}'
        '{"deep":{"A":1,"a":{"":2}}}'
        '{"PSTypeName":"Evil","alerts":[{"pstypename":"Evil"}]}'
        '{"incidentName":"/Date(1700000000000)/","createdTime":"/Date(1700000000000)/"}'
        '{"incidentName":"\/Date(1700000000000)\/"}'
        '{"incidentName":"\u0032026-01-01T00:00:00Z","x":"2026\u002d01-01T00:00:00Z","y":"2026-01-01\u005400:00:00Z","z":"\u002fDate(1)/"}'
        '{"incidentName":"a \"createdTime\":\"2026-01-01T00:00:00Z\" b","title":"\"2026-01-01T00:00:00Z"}'
        '{"x":{"lastSeen":"2026-01-01T00:00:00Z","firstActivity":"2026-01-01T00:00:00.1234567Z","xfirstActivity":"2026-01-01T00:00:00Z","Time":"2026-01-01T00:00:00","time":"x"}}'
        '{"times":"2026-01-01T00:00:00Z"}'
        foreach ($time in '2026-01-01T00:00:00Z', '2026-01-01T00:00:00', '2026-01-01T00:00:00.1Z', '2026-01-01T00:00:00.1234567Z', '2026-01-01T00:00:00.12345678Z', '2026-01-01T00:00:00.Z', '2026-01-01T23:59:59+02:00',
            '2026-01-01T23:59:59.5-13:59', '2026-01-01T23:59:59+14:00', '2026-01-01T23:59:59+0200', '2026-01-01T23:59:59+02', '2026-01-01T24:00:00Z', '2026-01-01T23:59:60Z', '2026-02-30T00:00:00Z', '2026-13-01T00:00:00Z',
            '2026-01-01', '2026-01-01T', '2026-01-01 00:00:00Z', '2026-01-01T00:00Z', '2026-01-01t00:00:00z', '0001-01-01T00:00:00Z', '0001-01-01T00:00:00', '0001-01-01T00:00:00.0000000Z', '0001-01-01T00:00:00+01:00', '0000-01-01T00:00:00Z',
            '9999-12-31T23:59:59.9999999Z', '9999-12-31T23:59:59-05:00', '1999-12-31T23:59:59Z', ' 2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z ', '2026-01-01T00:00:00\u002B00:00', '12026-01-01T00:00:00Z', '2026-01-01T00:00:00Zx', '') {
            "{`"createdTime`":`"$time`",`"incidentName`":`"x`",`"alerts`":[{`"lastActivity`" : `"$time`",`"entities`":[{`"firstSeen`":`n`"$time`"}]}]}"
            "{`"createdTime`":`"2026-01-01T00:00:00Z`",`"incidentName`":`"$time`"}"
        }
    )
    It 'are the same, member by member, as those of the module''s reader' {
        foreach ($text in $texts) { Assert-Equal (Get-Shape (& $read $text)) (Get-Shape (& $slow $text)) $text }
    }
    It 'come from it for what the service sends, and for nothing that it would change' {
        $own = { param($Text) & $inModule { param($t) function ConvertFrom-DefenderJson { 'the module''s reader' }; ConvertTo-DefenderIncident $t } $Text }
        foreach ($record in $page.value) { Assert-Equal (& $own (ConvertTo-Json $record -Depth 30)).PSTypeNames[0] 'DefenderXdr.Incident' }
        foreach ($text in '{"title":"2026-01-01T00:00:00Z"}', '{"a":1,"A":2}', '{"":1}', '{"PSTypeName":1}', '{"a":"/Date(1)/"}') { Assert-Equal (& $own $text) 'the module''s reader' $text }
    }
    It 'leave nothing in $Error when the module''s reader has to take over' {
        $before = $global:Error.Count
        foreach ($text in '{"a":1,"A":2}', '{"":1}', ('{"a":' + '[' * 2000 + ']' * 2000 + '}')) { $null = & $read $text }
        Assert-Equal $global:Error.Count $before
    }
}

Describe 'incident objects as people type them' {
    It 'have the table''s labels as names, which nothing that lists members shows' {
        $incident = ConvertTo-Incident '{"incidentId":7,"incidentName":"n","lastUpdateTime":"2026-09-14T07:31:02Z","alerts":[]}'
        Assert-Equal $incident.Id 7
        Assert-Equal $incident.Name 'n'
        Assert-Equal $incident.LastUpdate $incident.lastUpdateTime
        Assert-Equal ($incident | Select-Object Id, Name).Name 'n'
        Assert-Equal @($incident | Where-Object Id -eq 7 | Sort-Object LastUpdate).Count 1
        $names = @($incident.PSObject.Properties | ForEach-Object Name)
        foreach ($label in 'Id', 'Name', 'LastUpdate') {
            Assert-True ($names -cnotcontains $label) "$label is listed"
            foreach ($written in ($incident | ConvertTo-Json -Compress), (($incident | ConvertTo-Csv) -join ','), ($incident | Format-List * | Out-String)) { Assert-True ($written -cnotmatch "\b$label\b") "$label is written" }
        }
    }
    It 'keep a time that cannot be read as text, and say so' {
        $out = @(& $inModule { ConvertTo-DefenderIncident '{"incidentId":7,"createdTime":"yester\u001bday","lastUpdateTime":"2026-09-14T07:31:02"}' @{} } 3>&1)
        Assert-Equal $out.Count 2
        Assert-Equal "$($out[0])" 'incident 7: createdTime is no time and stays text: yester day'
        Assert-Equal $out[1].lastUpdateTime.ToString('o') '2026-09-14T07:31:02.0000000Z'
    }
}

Describe 'Get-DefenderIncident arguments' {
    It 'are checked when they are bound' {
        foreach ($arguments in @{ First = 0 }, @{ First = -1 }, @{ PageSize = 0 }, @{ PageSize = 101 }, @{ Top = 0 }, @{ Skip = -1 }, @{ Timeout = 0 }, @{ Id = 'x' }, @{ Id = -1 }, @{ Id = $null }, @{ AccessToken = $null }) {
            $record = Assert-Fails { Get-DefenderIncident @arguments }
            Assert-Match $record.FullyQualifiedErrorId '^(ParameterArgumentValidationError|ParameterArgumentTransformationError|ParameterArgumentValidationErrorNullNotAllowed)'
            Assert-Match "$record" ($(if ($arguments.ContainsKey('Top')) { 'First' } else { @($arguments.Keys)[0] }))
        }
    }
}

if ($null -eq $Emulator) { return }

function Connect-Test { Reset-Emulator; Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) }

Describe 'Get-DefenderIncident' {
    It 'lists every incident of every page, once' {
        Connect-Test
        $all = @(Get-DefenderIncident)
        Assert-Equal $all.Count 120
        Assert-Equal @($all.incidentId | Sort-Object -Unique).Count 120
        Assert-True (@(Get-EmulatorRequest '/api/incidents').Count -ge 2)
        Assert-Equal $all[0].PSTypeNames[0] 'DefenderXdr.Incident'
    }
    It 'stops after -First, and asks for no more than it needs' {
        Connect-Test
        Assert-Equal @(Get-DefenderIncident -First 3).Count 3
        $sent = @(Get-EmulatorRequest '/api/incidents')
        Assert-Equal $sent.Count 1
        Assert-True ([int] $sent[0].query.'$top' -le 100)
        # As in the commands of Microsoft.Graph: a limit, and not the size of a page.
        Assert-Equal @(Get-DefenderIncident -Top 3).Count 3
        Assert-Equal @(Get-DefenderAlert -Top 2).Count 2
        Assert-Equal @(Get-DefenderMachine -Top 1).Count 1
    }
    It 'passes -Filter, -PageSize and -Skip on' {
        Connect-Test
        $some = @(Get-DefenderIncident -Filter "status eq 'Active'" -PageSize 7 -Skip 2 -First 7)
        Assert-True ($some.Count -gt 0)
        foreach ($incident in $some) { Assert-Equal $incident.status 'Active' }
        $query = @(Get-EmulatorRequest '/api/incidents')[0].query
        Assert-Equal $query.'$filter' "status eq 'Active'"
        Assert-Equal $query.'$top' '7'
        Assert-Equal $query.'$skip' '2'
    }
    It 'gets incidents by id, also from the pipeline, goes on after one that is not there' {
        Connect-Test
        Assert-Equal (Get-DefenderIncident -Id 811188).incidentName 'Credential tool blocked on a build server'
        Assert-Equal @(811188, 3000000417 | Get-DefenderIncident).incidentId 811188, 3000000417
        Assert-Equal @(Get-DefenderIncident -First 2 | Get-DefenderIncident).Count 2
        Assert-Equal ([pscustomobject]@{ incidentId = 811188 } | Get-DefenderIncident).incidentId 811188
        $got = @(1, 811188 | Get-DefenderIncident -ErrorAction SilentlyContinue -ErrorVariable missing)
        Assert-Equal $got.incidentId 811188
        Assert-Equal $missing.Count 1
        Assert-Equal $missing[0].FullyQualifiedErrorId 'DefenderXdr.NOT_FOUND,Get-DefenderIncident'
        Assert-Equal "$($missing[0].CategoryInfo.Category)" 'ObjectNotFound'
    }
    It 'follows an incident that was merged into another, and says so; -NoFollow gets it as it is' {
        Connect-Test
        $out = @(Get-DefenderIncident -Id 811203 3>&1)
        Assert-Equal $out.Count 2
        Assert-Match "$($out[0])" 'incident 811203 was merged into incident 3000000417'
        Assert-Equal $out[1].incidentId 3000000417
        $kept = Get-DefenderIncident -Id 811203 -NoFollow
        Assert-Equal $kept.incidentName 'Mail with script attachment delivered'
        Assert-Equal $kept.redirectIncidentId 3000000417
    }
    It '-Raw gives the JSON the service sent' {
        Connect-Test
        $raw = @(Get-DefenderIncident -First 2 -Raw)
        Assert-True ($raw[0] -is [string] -and $raw[0].TrimStart().StartsWith('{'))
        Assert-Equal (ConvertTo-Incident $raw[0]).incidentId 3000000417
        Assert-Match (Get-DefenderIncident -Id 811188 -Raw) '"incidentId"\s*:\s*811188'
    }
    It 'works with a token in place of a connection' {
        Reset-Emulator
        Disconnect-Defender
        $token = Get-ADALToken @AppArguments
        foreach ($given in $token, $token.AccessToken, (Get-ADALToken @AppArguments -AsSecureString)) {
            Assert-Equal @(Get-DefenderIncident -AccessToken $given -First 1).Count 1
            Assert-Equal (811188 | Get-DefenderIncident -AccessToken $given).incidentId 811188
        }
    }
    It 'streams: what follows sees the first record before the second page is read' {
        Connect-Test
        $seen = Get-DefenderIncident -PageSize 10 | ForEach-Object { @(Get-EmulatorRequest '/api/incidents').Count } | Select-Object -First 1
        Assert-Equal $seen 1 'pages that were read before the first record came'
    }
    It 'PS-2 costs one page where three records are taken of it, and reads on for whoever takes more' {
        Connect-Test
        Assert-Equal @(Get-DefenderIncident | Select-Object -First 3).Count 3
        Assert-Equal @(Get-EmulatorRequest '/api/incidents').Count 1
        $null = Invoke-Emulator DELETE requests
        Assert-Equal @(Get-DefenderIncident | Select-Object -First 101).Count 101
        Assert-Equal @(Get-EmulatorRequest '/api/incidents').Count 2
    }
    It 'ends with Select-Object -First, and leaves no operation behind' {
        Connect-Test
        $handle = & $inModule {
            $script:TestHandles = [Collections.ArrayList]::new()
            function script:ConvertTo-TestItem { param($Text) if ($script:TestHandles -notcontains $op) { $null = $script:TestHandles.Add($op) }; $Text }
            $failure = @{ Record = $null }
            $query = [Text.Encoding]::UTF8.GetBytes('{"operation":"incidents.list","top":10}')
            $null = Invoke-DefenderOperation -Kind call -Request $script:Connection.Entry.Handle -Query $query -ItemConverter ConvertTo-TestItem -Failure $failure | Select-Object -First 2
            $script:TestHandles[0]
        }
        Assert-True ($handle -ne [IntPtr]::Zero)
        Assert-Equal (& $inModule { param($h) $script:Native::dxdr_op_cancel($h) } $handle) 1002 'the operation is still there'
        Assert-Equal @(Get-EmulatorRequest '/api/incidents').Count 1 'pages that were read'
        Assert-Equal @(Get-DefenderIncident -PageSize 10 | Select-Object -First 3).Count 3
    }
    It 'names a filter the service refuses, and what it may use' {
        Connect-Test
        $record = Assert-Fails { Get-DefenderIncident -Filter "severity eq 'High'" } BAD_FILTER InvalidArgument
        Assert-Match $record.ErrorDetails.RecommendedAction 'severity'
    }
    It 'turns the service''s answers into names and categories' {
        foreach ($case in @(
                @(@{ do = @{ status = 403; json = @{ error = @{ code = 'Forbidden'; message = 'no' } } } }, 'FORBIDDEN', 'PermissionDenied'),
                @(@{ do = @{ status = 401; json = @{ error = @{ code = 'Unauthorized'; message = 'no' } } }; times = 0 }, 'UNAUTHORIZED', 'AuthenticationError'),
                @(@{ do = @{ body = 'nonsense' } }, 'NOT_JSON|BAD_PAYLOAD', '(ConnectionError|InvalidData)'),
                @(@{ do = @{ next_link = 'https://evil.example/api/incidents' } }, 'NEXTLINK_HOST', 'SecurityError'))) {
            Connect-Test
            Set-EmulatorFault (@{ match = @{ path_contains = '/api/incidents' } } + $case[0])
            $record = Assert-Fails { Get-DefenderIncident }
            Assert-Match $record.FullyQualifiedErrorId "^DefenderXdr\.($($case[1])),Get-DefenderIncident$"
            Assert-Match "$($record.CategoryInfo.Category)" "^$($case[2])$"
            Assert-True $record.ErrorDetails.RecommendedAction
        }
        $null = Invoke-Emulator DELETE faults
    }
    It 'waits when the service asks for it, and says so under -Verbose' {
        Connect-Test
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 1; do = @{ status = 429; headers = @{ 'retry-after' = '1' } } }
        $out = Get-DefenderIncident -First 1 -Verbose 4>&1
        Assert-Equal @($out | Where-Object { $_ -isnot [Management.Automation.VerboseRecord] }).Count 1
        Assert-Match (@($out | Where-Object { $_ -is [Management.Automation.VerboseRecord] }) -join "`n") 'waiting 1 s'
    }
    It 'gives up at -Timeout' {
        Connect-Test
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 0; do = @{ hang = $true } }
        $watch = [Diagnostics.Stopwatch]::StartNew()
        $null = Assert-Fails { Get-DefenderIncident -Timeout 1 } TIMEOUT OperationTimeout
        Assert-True ($watch.Elapsed.TotalSeconds -lt 10)
        $null = Invoke-Emulator DELETE faults
    }
    It 'lets an error of the next command in the pipeline pass' {
        Connect-Test
        $record = Assert-Fails { Get-DefenderIncident -First 2 | ForEach-Object { throw 'mine' } }
        Assert-Equal "$record" 'mine'
    }
    It 'serves strict callers' {
        Connect-Test
        $shell = New-TestShell
        try {
            $out = $shell.AddScript('Connect-Defender -TenantId $App.TenantId -ClientId $App.ClientId -ClientSecret $App.ClientSecret
                foreach ($i in Get-DefenderIncident -First 4) { $null = "$($i.redirectIncidentId)$($i.assignedTo)$($i.tags.Count)$($i.detectionSource)"; foreach ($a in $i.alerts) { $null = "$($a.lastActivity)$($a.devices.Count)" } }
                $t = Get-DefenderToken; $null = "$($t.TenantId)$($t.UserInfo.UniqueId)$($t.IdToken)$($t.Account)"; $c = $t | ConvertFrom-DefenderToken; $null = "$($c.User)$($c.Mfa)"; "done"').Invoke()
            Assert-Equal $out 'done'
            Assert-Equal $shell.Streams.Error.Count 0 "$($shell.Streams.Error)"
        }
        finally { $shell.Dispose() }
    }
}

Describe 'Get-DefenderIncident, chosen' {
    It 'filters by time, status and owner at the service, by severity here, and counts -First after it' {
        Connect-Test
        $all = @(Get-DefenderIncident)
        $since = [DateTime]::new(2026, 9, 14, 0, 0, 0, [DateTimeKind]::Utc)
        foreach ($case in @(
                @(@{ UpdatedSince = $since }, { $_.lastUpdateTime -ge $since }), @(@{ Since = $since }, { $_.createdTime -ge $since }),
                @(@{ Since = $since.ToLocalTime() }, { $_.createdTime -ge $since }),
                @(@{ Status = 'active', 'InProgress' }, { $_.status -in 'Active', 'InProgress' }),
                @(@{ AssignedTo = '' }, { $null -eq $_.assignedTo }), @(@{ Severity = 'high', 'Medium' }, { $_.severity -in 'High', 'Medium' }),
                @(@{ Severity = 'High'; Status = 'Active'; Filter = "createdTime ge 2026-01-01T00:00:00Z or status eq 'Active'" }, { $_.severity -eq 'High' -and $_.status -eq 'Active' }))) {
            $arguments = $case[0]
            $wanted = @($all | Where-Object $case[1])
            Assert-True ($wanted.Count -gt 0) "no incident fits $($arguments.Keys)"
            Assert-Equal @(Get-DefenderIncident @arguments).incidentId $wanted.incidentId "$($arguments.Keys)"
        }
        $high = @($all | Where-Object severity -eq 'High')
        Assert-Equal @(Get-DefenderIncident -Severity High -First 3 -PageSize 2).incidentId $high[0..2].incidentId
    }
    It 'comes from Graph in the same shape, and with -Raw in Graph''s own' {
        Connect-Test
        $xdr = @(Get-DefenderIncident -Backend Xdr -First 30)
        $graph = @(Get-DefenderIncident -Backend Graph -First 30)
        Assert-True (@(Get-EmulatorRequest '/security/incidents').Count -ge 1) 'Graph was not asked'
        Assert-Equal $graph.incidentId $xdr.incidentId
        for ($i = 0; $i -lt $xdr.Count; $i++) {
            foreach ($name in 'incidentName', 'status', 'severity', 'classification', 'assignedTo') { Assert-Equal $graph[$i].$name $xdr[$i].$name "$name of $($xdr[$i].incidentId)" }
            Assert-Equal $graph[$i].lastUpdateTime $xdr[$i].lastUpdateTime
            Assert-Equal @($graph[$i].alerts).Count @($xdr[$i].alerts).Count
        }
        $raw = Get-DefenderIncident -Backend Graph -First 1 -Raw
        Assert-Match $raw '"displayName"'
        Assert-Match (Get-DefenderIncident 811188 -Backend Graph -Raw) '"lastUpdateDateTime"'
        $null = Invoke-Emulator DELETE requests
        Assert-Equal @(Get-DefenderIncident -Backend Graph -First 2 -NoAlerts -Severity High).Count 2
        $query = @(Get-EmulatorRequest '/security/incidents')[0].query
        Assert-True ($null -eq $query.PSObject.Properties['$expand'])
        Assert-Match $query.'$filter' 'severity eq'
    }
    It 'refuses two ways to say what there is only one of' {
        Connect-Test
        $null = Assert-Fails { Get-DefenderIncident -Id 1 -Filter x }
        $null = Assert-Fails { Get-DefenderIncident -Resume 'not a place' } BAD_ARGUMENT
    }
}

Describe 'Set-DefenderIncident' {
    It 'changes what is given, and leaves the rest' {
        Connect-Test
        foreach ($backend in 'Xdr', 'Graph') {
            Reset-Emulator
            $before = Get-DefenderIncident 811188
            $out = @(Set-DefenderIncident 811188 -Backend $backend -Status resolved -Classification TruePositive -Determination Malware -AssignedTo 'adele@fabrikam.example' -Tag 'a', "k$([char] 0xf6)ln" -Comment "it's`n`"done`"")
            Assert-Equal $out.Count 0
            $after = Get-DefenderIncident 811188
            Assert-Equal "$($after.status) $($after.classification) $($after.determination) $($after.assignedTo)" 'Resolved TruePositive Malware adele@fabrikam.example' $backend
            Assert-Equal $after.tags 'a', "k$([char] 0xf6)ln"
            Assert-Equal $after.comments[-1].comment "it's`n`"done`""
            Assert-Equal $after.incidentName $before.incidentName
            Assert-True ($after.lastUpdateTime -gt $before.lastUpdateTime)
            $cleared = Set-DefenderIncident 811188 -Backend $backend -AssignedTo '' -Tag @() -PassThru
            Assert-True ($null -eq $cleared.assignedTo) 'the owner is still there'
            Assert-Equal $cleared.tags.Count 0
            Assert-Equal $cleared.status 'Resolved'
            Assert-Equal $cleared.PSTypeNames[0] 'DefenderXdr.Incident'
        }
    }
    It 'takes tags away by an empty list alone: a table without the column does not' {
        Connect-Test
        Set-DefenderIncident 811188 -Tag a, b
        $row = [pscustomobject]@{ Id = 811188; Tags = $null }
        foreach ($tags in $row.Tags, @('a', $null)) { $null = Assert-Fails { Set-DefenderIncident 811188 -Status InProgress -Tag $tags } }
        Assert-Equal (Get-DefenderIncident 811188).tags 'a', 'b'
        Assert-Equal @(Get-Sent).Count 1
    }
    It 'takes the pipeline, and goes on after one that cannot be changed' {
        Connect-Test
        $some = @(Get-DefenderIncident -Status Active -First 3)
        $changed = @($some | Set-DefenderIncident -Status InProgress -PassThru)
        Assert-Equal $changed.incidentId $some.incidentId
        Assert-Equal ($changed.status | Select-Object -Unique) 'InProgress'
        $got = @(1, 811188 | Set-DefenderIncident -Status Resolved -PassThru -ErrorAction SilentlyContinue -ErrorVariable missing)
        Assert-Equal $got.incidentId 811188
        Assert-Equal @($missing | ForEach-Object FullyQualifiedErrorId) 'DefenderXdr.NOT_FOUND,Set-DefenderIncident'
        $got = @(811188, 811150 | Set-DefenderIncident -Status Strange -ErrorAction SilentlyContinue -ErrorVariable refused)
        Assert-Equal $refused.Count 2
    }
    It 'changes the incident that another was merged into, and says so' {
        Connect-Test
        $out = @(Set-DefenderIncident 811203 -Comment x -PassThru 3>&1)
        Assert-Match "$($out[0])" 'was merged into incident 3000000417'
        Assert-Equal $out[1].incidentId 3000000417
    }
    It 'changes nothing under -WhatIf, and says what it would' {
        Connect-Test
        $null = Invoke-Emulator DELETE requests
        $said = Invoke-PowerShell "Connect-Defender -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.confidential_client_id) -ClientSecret (ConvertTo-SecureString '$RunbookSecretText' -AsPlainText -Force) 3>`$null
            811188, 811150 | Set-DefenderIncident -Status Resolved -AssignedTo '' -Tag x -Comment y -WhatIf"
        Assert-Match $said.Out 'set status to Resolved; owner to nobody; tags to x; add a comment.+incident 811188'
        Assert-Match $said.Out 'incident 811150'
        Assert-Equal @(Get-EmulatorRequest '/api/incidents').Count 0
    }
    It 'ends at once where nothing is to change, or the sign-in may not' {
        Connect-Test
        $record = Assert-Fails { 811188, 811150 | Set-DefenderIncident } BAD_ARGUMENT InvalidArgument
        # A variable that was never set takes no owner away.
        $none = $null
        foreach ($try in { Set-DefenderIncident 811188 -AssignedTo $none }, { Set-DefenderIncident 811188 -AssignedTo @('a@b.example', 'c@b.example') }, { Set-DefenderAlert da638000000000000001_1001 -Status New -AssignedTo $none }) {
            $owner = Assert-Fails $try BAD_ARGUMENT InvalidArgument
            Assert-Match "$owner" '^-AssignedTo is (\$null|a list), which names no owner' "$try"
            Assert-Match $owner.ErrorDetails.RecommendedAction "-AssignedTo '' takes the owner away" "$try"
        }
        Assert-Match $record.ErrorDetails.RecommendedAction '-Status, -AssignedTo, -Classification, -Determination, -Tag, -Comment'
        $token = Get-DefenderToken -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) -Service Endpoint
        $null = Invoke-Emulator DELETE requests
        $record = Assert-Fails { 811188, 811150 | Set-DefenderIncident -Status Active -AccessToken $token -Backend Xdr } UNAUTHORIZED AuthenticationError
        Assert-Match "$record $($record.ErrorDetails.RecommendedAction)" 'api\.security\.microsoft\.com'
        Assert-Equal @(Get-EmulatorRequest '/api/incidents').Count 0
    }
}

function New-StatePath { [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N')) }
function Remove-State { param([string] $File) foreach ($end in '', '.lock', '.new') { Remove-Item -LiteralPath ($File + $end) -Recurse -ErrorAction Ignore } }

Describe 'Watch-DefenderIncident' {
    It 'hands over each new state once, and goes on from the place it left' {
        Connect-Test
        $began = [DateTime]::UtcNow.AddMinutes(-1)
        Assert-Equal @(Watch-DefenderIncident -UpdatedSince $began -Rounds 1 -ResumeVariable place).Count 0
        Assert-True $place
        Set-DefenderIncident 811188 -Status InProgress
        Set-DefenderIncident 811150 -Status Resolved
        $seen = @(Watch-DefenderIncident -Resume $place -Rounds 1 -ResumeVariable place)
        Assert-Equal ($seen.incidentId | Sort-Object) 811150, 811188
        Assert-Equal @(Watch-DefenderIncident -Resume $place -Rounds 1 -ResumeVariable place).Count 0
        Set-DefenderIncident 811188 -Status Resolved
        $again = @(Watch-DefenderIncident -Resume $place -Rounds 2 -Interval 1 -ResumeVariable place)
        Assert-Equal "$($again.incidentId) $($again.status)" '811188 Resolved'
    }
    It 'keeps its place in a file, and repeats what was not handled' {
        Connect-Test
        $file = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N'))
        try {
            $job = @{ StatePath = $file; UpdatedSince = [DateTime]::UtcNow.AddMinutes(-1); Rounds = 1 }
            Assert-Equal @(Watch-DefenderIncident @job).Count 0
            $said = @(Watch-DefenderIncident @job -Verbose 4>&1 | ForEach-Object { "$_" })
            Assert-Equal @($said -like '*going on from the place in the file of -StatePath*; -UpdatedSince does not count').Count 1 "$said"
            foreach ($id in 811188, 811150, 3000000417) { Set-DefenderIncident $id -Status InProgress }
            $handled = [Collections.ArrayList]::new()
            try { Watch-DefenderIncident @job | ForEach-Object { if ($handled.Count -eq 2) { throw 'broken off' }; $null = $handled.Add($_.incidentId) } }
            catch { Assert-Equal "$_" 'broken off' }
            $rest = @(Watch-DefenderIncident @job).incidentId
            Assert-Equal ((@($handled) + $rest) | Sort-Object) 811150, 811188, 3000000417
            Assert-Equal @(Watch-DefenderIncident @job).Count 0
            Assert-Match ([IO.File]::ReadAllText($file)) '\A[0-9A-Za-z_-]+\n\{\}\n\z' 'more than a place and its filter is in the file'
            [IO.File]::WriteAllText($file, 'nonsense')
            $null = Assert-Fails { Watch-DefenderIncident @job } BAD_ARGUMENT
        }
        finally { Remove-State $file }
        $record = Assert-Fails { Watch-DefenderIncident -StatePath ([IO.Path]::Combine($file, 'no', 'such')) -Rounds 1 } BAD_ARGUMENT
        Assert-Match $record.ErrorDetails.RecommendedAction '-StatePath'
    }
    It 'takes a file that lost its place for an error, and never leaves one half written' {
        Connect-Test
        $file = New-StatePath
        $job = @{ StatePath = $file; UpdatedSince = [DateTime]::UtcNow.AddMinutes(-1); Rounds = 1 }
        try {
            $null = Watch-DefenderIncident @job
            Set-DefenderIncident 811188 -Status InProgress
            $whole = [IO.File]::ReadAllText($file)
            # What a full disk or a kill leaves of a file that is written in its place.
            [IO.File]::WriteAllText($file, '')
            $record = Assert-Fails { Watch-DefenderIncident @job } BAD_ARGUMENT InvalidArgument
            Assert-Match "$record" 'is empty: the place is lost'
            Assert-Match $record.ErrorDetails.RecommendedAction '-UpdatedSince'
            # What a kill leaves of one that is written beside it.
            [IO.File]::WriteAllText($file, $whole)
            [IO.File]::WriteAllText("$file.new", $whole.Substring(0, 5))
            Assert-Equal @(Watch-DefenderIncident @job).incidentId 811188
            Assert-True (-not [IO.File]::Exists("$file.new")) 'the file beside it is still there'
            Assert-Equal @(Watch-DefenderIncident @job).Count 0
            # A file that cannot be written is told, and keeps the place it had.
            Set-DefenderIncident 811150 -Status Resolved
            $whole = [IO.File]::ReadAllText($file)
            $null = [IO.Directory]::CreateDirectory("$file.new")
            $before = $global:Error.Count
            $record = Assert-Fails { Watch-DefenderIncident @job } PLACE_NOT_KEPT WriteError
            Assert-Equal $global:Error.Count ($before + 1)
            [IO.Directory]::Delete("$file.new")
            Assert-Equal ([IO.File]::ReadAllText($file)) $whole
            Assert-Equal @(Watch-DefenderIncident @job).incidentId 811150
        }
        finally { Remove-State $file }
    }
    It 'lets one command at a time use the file, also of another process' {
        Connect-Test
        $file = New-StatePath
        $job = @{ StatePath = $file; UpdatedSince = [DateTime]::UtcNow.AddMinutes(-1) }
        try {
            Set-DefenderIncident 811188 -Status InProgress
            $said = Watch-DefenderIncident @job -Interval 3600 | ForEach-Object {
                $record = Assert-Fails { Watch-DefenderIncident @job -Rounds 1 } BUSY ResourceBusy
                Assert-Match $record.ErrorDetails.RecommendedAction '-StatePath of its own'
                Invoke-PowerShell "Connect-Defender -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.confidential_client_id) -ClientSecret (ConvertTo-SecureString '$RunbookSecretText' -AsPlainText -Force) 3>`$null
                    try { Watch-DefenderIncident -StatePath '$file' -Rounds 1 } catch { `$_.FullyQualifiedErrorId }"
            } | Select-Object -First 1
            Assert-Match $said.Out 'DefenderXdr\.BUSY,Watch-DefenderIncident'
            # The record's handling was broken off by Select-Object.
            Assert-Equal @(Watch-DefenderIncident @job -Rounds 1).incidentId 811188
        }
        finally { Remove-State $file }
    }
    It 'names a file whose place is damaged, and what to do' {
        Connect-Test
        foreach ($text in 'no place', "damaged`n{}", "one`ntwo", "eyJhIjoxfQ`n{}") {
            $file = New-StatePath
            try {
                [IO.File]::WriteAllText($file, $text)
                $record = Assert-Fails { Watch-DefenderIncident -StatePath $file -Rounds 1 } BAD_ARGUMENT InvalidArgument
                Assert-Match "$record" ('the file of -StatePath holds no place .*' + [regex]::Escape($file)) $text
                Assert-Match $record.ErrorDetails.RecommendedAction '^Remove the file, or give another one to -StatePath; -UpdatedSince' $text
                Assert-True ([IO.File]::ReadAllText($file).StartsWith($text)) 'what is in the file was lost'
            }
            finally { Remove-State $file }
        }
        # A place that is given is the caller's own.
        $record = Assert-Fails { Watch-DefenderIncident -Resume 'no place' -Rounds 1 } BAD_ARGUMENT
        Assert-NotMatch "$record" 'StatePath'
    }
    It 'does not go on from the place of another filter' {
        Connect-Test
        $file = New-StatePath
        try {
            $null = Watch-DefenderIncident -StatePath $file -UpdatedSince ([DateTime]::UtcNow) -Status Active, InProgress -Rounds 1
            $null = Watch-DefenderIncident -StatePath $file -Status inprogress, active -Rounds 1
            foreach ($other in @{ Status = 'Active' }, @{}, @{ Status = 'Active', 'InProgress'; Filter = 'createdTime ge 2026-01-01T00:00:00Z' }) {
                $record = Assert-Fails { Watch-DefenderIncident -StatePath $file -Rounds 1 @other } BAD_ARGUMENT InvalidArgument
                Assert-Match "$record" 'that of another filter: .*"InProgress"'
            }
            # The place that is given counts, and is kept with the filter it is used for.
            $null = Watch-DefenderIncident -Rounds 1 -ResumeVariable place
            $null = Watch-DefenderIncident -StatePath $file -Resume $place -Status Active -Rounds 1
            $null = Watch-DefenderIncident -StatePath $file -Status Active -Rounds 1
        }
        finally { Remove-State $file }
    }
    It 'goes on through an outage where it was, with a warning and a pause that grows' {
        Connect-Test
        $began = [DateTime]::UtcNow.AddMinutes(-1)
        $down = @{ match = @{ path_contains = '/api/incidents'; method = 'GET' }; times = 0; do = @{ status = 503; headers = @{ 'retry-after' = '0' }; json = @{ error = @{ code = 'x'; message = 'down' } } } }
        Set-DefenderIncident 811188 -Status InProgress
        Set-EmulatorFault $down
        $said = [Collections.ArrayList]::new()
        $seen = @(Watch-DefenderIncident -UpdatedSince $began -Interval 1 -Backend Xdr 3>&1 | ForEach-Object {
                if ($_ -isnot [Management.Automation.WarningRecord]) { $_; return }
                $null = $said.Add("$_")
                if ($said.Count -in 2, 4) { $null = Invoke-Emulator DELETE faults }
            } | ForEach-Object {
                $_
                # An outage between two looks.
                if ($_.incidentId -eq 811188) {
                    Set-DefenderIncident 811150 -Status Resolved
                    Set-EmulatorFault $down
                }
            } | Select-Object -First 2)
        $null = Invoke-Emulator DELETE faults
        Assert-Equal $seen.incidentId 811188, 811150
        Assert-Equal $said.Count 4
        foreach ($line in $said) { Assert-Match $line '^the incidents could not be looked at: .*503.*\(DefenderXdr\.SERVER_UNAVAILABLE\)\. The watch goes on in [12] s where it was\.$' }
        Assert-Match $said[0] 'in 1 s'
        Assert-Match $said[1] 'in 2 s'
        Assert-Match $said[2] 'in 1 s' 'the pause begins anew after a look'
        Assert-Match $said[3] 'in 2 s'
        # What would not pass, a counted look, and the caller's own limit.
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 1; do = @{ status = 403; json = @{ error = @{ code = 'Forbidden'; message = 'no' } } } }
        $null = Assert-Fails { Watch-DefenderIncident -Backend Xdr } FORBIDDEN
        Set-EmulatorFault $down
        $null = Assert-Fails { Watch-DefenderIncident -Rounds 1 -Backend Xdr } SERVER_UNAVAILABLE
        Assert-Match (Assert-Fails { Watch-DefenderIncident -Interval 1 -Timeout 2 -Backend Xdr 3>$null }).FullyQualifiedErrorId '^DefenderXdr\.(SERVER_UNAVAILABLE|TIMEOUT),'
        $null = Invoke-Emulator DELETE faults
    }
    It 'goes on where no connection can be made, and ends at once where the emulator is gone' {
        Connect-Test
        & $inModule {
            $script:TestLooks = 0
            $script:TestKept = ${function:script:Invoke-DefenderCall}
            function script:Invoke-DefenderCall {
                param([hashtable] $Session, [System.Collections.IDictionary] $Call, [string] $ItemConverter, [switch] $PerRecord, [string] $Body, [hashtable] $Failed)
                $null = $Call, $ItemConverter, $PerRecord, $Body
                $script:TestLooks++
                $Session.Result = @{ Resume = $null }
                if ($script:TestLooks -lt 3) { $Failed.Record = ConvertTo-DefenderErrorRecord -Detail @{ code = 3003; name = 'CONNECT'; message = 'the connection was refused: x.example'; hint = 'check'; retryable = $true } }
            }
        }
        try {
            $said = @(Watch-DefenderIncident -Interval 1 3>&1)
            Assert-Equal $said.Count 2
            Assert-Match "$($said[0])" 'refused: x\.example \(DefenderXdr\.CONNECT\)\. The watch goes on in 1 s'
        }
        finally { & $inModule { Set-Item -LiteralPath function:script:Invoke-DefenderCall -Value $script:TestKept } }
        $listener = [Net.Sockets.TcpListener]::new([Net.IPAddress]::Loopback, 0)
        $listener.Start()
        $port = $listener.LocalEndpoint.Port
        $listener.Stop()
        $kept = $env:DEFENDER_XDR_EMULATOR
        $token = (Get-DefenderToken).AccessToken
        try {
            $env:DEFENDER_XDR_EMULATOR = $kept -replace ':\d+/', ":$port/"
            $said = [Collections.ArrayList]::new()
            $record = Assert-Fails { Watch-DefenderIncident -AccessToken $token -Interval 1 -Timeout 20 -WarningVariable +said 3>$null } CONNECT
            Assert-Match "$record" 'nothing answers at .*DEFENDER_XDR_EMULATOR'
            Assert-NotMatch "$said" 'goes on'
        }
        finally { $env:DEFENDER_XDR_EMULATOR = $kept }
        Assert-Match (Get-Help Watch-DefenderIncident | Out-String -Width 300) 'emulator that is[\s\S]*gone[\s\S]*CONNECT'
    }
    It 'has no limit of its own: what one call may take is not the end of the watch' {
        Connect-Test
        $began = [DateTime]::UtcNow.AddMinutes(-1)
        Set-DefenderIncident 811188 -Status InProgress
        try {
            & $inModule { $script:WatchLimit = 2 }
            # Only a call that follows the first can see the second change: the next look of the same is an hour away.
            $seen = @(Watch-DefenderIncident -UpdatedSince $began -Interval 3600 -Backend Xdr 3>&1 | ForEach-Object { $_; if ($_.incidentId -eq 811188) { Set-DefenderIncident 811150 -Status Resolved } } | Select-Object -First 2)
            Assert-Equal $seen.incidentId 811188, 811150
            $null = Assert-Fails { Watch-DefenderIncident -UpdatedSince ([DateTime]::UtcNow.AddDays(1)) -Interval 3600 -Timeout 1 } TIMEOUT OperationTimeout
        }
        finally { & $inModule { $script:WatchLimit = 4290000 } }
    }
}
