# Invoke-DefenderRequest: any path of the services.

$inModule = Get-Module -Name DefenderXdr

Describe 'answers of any path' {
    It 'are objects where they are JSON, else text' {
        $read = { param($Text) & $inModule { param($t) ConvertTo-DefenderAny $t } $Text }
        Assert-Equal (& $read '{"createdDateTime":"2026-09-14T00:00:00Z","x":"2026-09-14T00:00:00Z"}').createdDateTime.Kind 'Utc'
        Assert-Equal (& $read '{"creationDateTimeUtc":"2026-09-14T00:00:00.1Z"}').creationDateTimeUtc.GetType().Name 'DateTime'
        Assert-True ((& $read '{"x":"2026-09-14T00:00:00Z"}').x -is [string])
        Assert-Equal @(& $read '[1,2]') 1, 2
        Assert-Equal (& $read '"x"') 'x'
        Assert-Equal (& $read '9007199254740993') 9007199254740993
        foreach ($text in 'a,b', '{"a":', '<html/>', 'nullify', '-') { Assert-Equal (& $read $text) $text }
        $before = $global:Error.Count
        $null = & $read '{"a":'
        Assert-Equal $global:Error.Count $before
    }
}

if ($null -eq $Emulator) { return }

function Connect-Test { Reset-Emulator; Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) }

Describe 'Invoke-DefenderRequest' {
    It 'reads lists to their end from each service' {
        Connect-Test
        Assert-Equal @(Invoke-DefenderRequest Xdr incidents).Count 120
        Assert-Equal @(Invoke-DefenderRequest Xdr /api/incidents -First 3).Count 3
        Assert-Equal @(Invoke-DefenderRequest Graph security/incidents -Query @{ '$top' = 10 }).Count 120
        $machines = @(Invoke-DefenderRequest Endpoint machines -Query @{ '$filter' = "osPlatform eq 'macOS'" })
        Assert-True ($machines.Count -ge 1)
        foreach ($machine in $machines) { Assert-Equal $machine.osPlatform 'macOS' }
        Assert-Equal $machines[0].lastSeen.GetType().Name 'DateTime'
        Assert-Equal @(Get-EmulatorRequest '/api/machines')[0].query.'$filter' "osPlatform eq 'macOS'"
    }
    It 'takes a whole address of a service, with or without the service''s name' {
        Connect-Test
        Assert-Equal @(Invoke-DefenderRequest Xdr https://api.security.microsoft.com/api/incidents -First 3).Count 3
        Assert-Equal @(Invoke-DefenderRequest 'https://api.security.microsoft.com/api/incidents?$top=2' -First 3).Count 3 '$top is no limit, -First is'
        Assert-Equal @(Invoke-DefenderRequest https://api.securitycenter.microsoft.com/api/machines).Count 6
        Assert-Equal @(Invoke-DefenderRequest -Service https://graph.microsoft.com/v1.0/security/incidents -First 1).Count 1
        $null = Invoke-Emulator DELETE requests
        $tries = @(
            @(@{ Service = 'https://evil.example/api/machines' }, 'host of no service'), @(@{ Service = 'Endpoint'; Path = 'https://evil.example/api/machines' }, 'evil\.example'),
            @(@{ Service = 'https://api.security.microsoft.com@evil.example/x' }, 'evil|host of'), @(@{ Service = 'http://api.security.microsoft.com/api/incidents' }, ''),
            @(@{ Service = 'https://graph.microsoft.com.evil.example/v1.0/x' }, ''), @(@{ Service = 'Mde'; Path = 'machines' }, "'Mde' is no service"), @(@{ Service = 'Endpoint' }, 'no path is given'),
            @(@{ Service = '' }, 'no service is given'), @(@{ Service = 'Xdr'; Path = 'https://api.security.microsoft.com/api/incidents'; BaseUrl = 'https://eu.api.security.microsoft.com' }, '-BaseUrl names a host too')
        )
        foreach ($try in $tries) {
            $arguments = $try[0]
            $record = Assert-Fails { Invoke-DefenderRequest @arguments } BAD_ARGUMENT InvalidArgument
            if ($try[1]) { Assert-Match "$record" $try[1] }
            Assert-True $record.ErrorDetails.RecommendedAction 'no hint'
        }
        Assert-Equal @(Get-EmulatorRequest '/').Count 0 'something was sent'
    }
    It 'gives the one answer with -NoPaging, and its head' {
        Connect-Test
        $answer = Invoke-DefenderRequest Xdr '/api/incidents?$top=2' -NoPaging -ResponseVariable head
        Assert-Equal @($answer.value).Count 2
        Assert-Match $answer.'@odata.context' 'Incidents'
        Assert-Equal $head.StatusCode 200
        Assert-Match $head.ContentType 'json'
        $alertId = (Invoke-DefenderRequest Graph security/alerts_v2 -First 1).id
        $alert = Invoke-DefenderRequest Graph security/alerts_v2/$alertId -NoPaging -ResponseVariable head
        Assert-Equal $alert.id $alertId
        Assert-True $head.RequestId 'no id for support'
        $raw = Invoke-DefenderRequest Xdr '/api/incidents?$top=1' -NoPaging -Raw
        Assert-Match $raw '^\{"@odata.context":'
        Assert-Equal (Invoke-DefenderRequest Xdr incidents/811188).incidentId 811188
    }
    It 'changes, with a body as an object, as text and from the pipeline' {
        Connect-Test
        $changed = Invoke-DefenderRequest Xdr incidents/811188 -Method patch -Body @{ status = 'InProgress'; tags = @('x') } -ResponseVariable head
        Assert-Equal "$($changed.status) $($changed.tags) $($head.StatusCode)" 'InProgress x 200'
        $changed = Invoke-DefenderRequest Xdr incidents/811188 -Method PATCH -Body ' {"status":"Resolved","assignedTo":null}  '
        Assert-Equal $changed.status 'Resolved'
        Assert-Equal (@(Get-EmulatorRequest '/api/incidents')[-1].json | ConvertTo-Json -Compress) '{"status":"Resolved","assignedTo":null}'
        $made = [pscustomobject]@{ indicatorValue = '203.0.113.9'; indicatorType = 'IpAddress'; action = 'Block'; title = 't'; description = 'd'; expirationTime = [DateTime]::new(2027, 1, 1, 0, 0, 0, [DateTimeKind]::Utc) } |
            Invoke-DefenderRequest Endpoint indicators -Method POST
        Assert-Equal $made.indicatorValue '203.0.113.9'
        Assert-Equal @(Invoke-DefenderRequest Endpoint "indicators/$($made.id)" -Method DELETE -ResponseVariable head).Count 0
        Assert-Equal $head.StatusCode 204
    }
    It 'does nothing under -WhatIf where something would change' {
        Connect-Test
        $null = Invoke-Emulator DELETE requests
        Invoke-DefenderRequest Xdr incidents/811188 -Method PATCH -Body @{ status = 'Active' } -WhatIf
        Assert-Equal @(Get-EmulatorRequest '/api/').Count 0
        Assert-Equal @(Invoke-DefenderRequest Xdr incidents -First 1 -WhatIf).Count 1
    }
    It 'sends a token to the service''s own hosts only, and JSON only' {
        Connect-Test
        $null = Invoke-Emulator DELETE requests
        foreach ($arguments in @{ Path = '//evil.example/x' }, @{ Path = 'https://evil.example/x' }, @{ Path = '../x' }, @{ Path = 'incidents'; BaseUrl = 'https://evil.example' }, @{ Path = 'x'; Headers = @{ Authorization = 'x' } },
            @{ Path = 'x'; Method = 'POST'; Body = '{"a":1},"operation":"x"' }, @{ Path = 'x'; Method = 'POST'; Body = 'text' }, @{ Path = 'x'; Query = @{ a = @{} } }) {
            $null = Assert-Fails { Invoke-DefenderRequest Xdr @arguments } BAD_ARGUMENT InvalidArgument
        }
        Assert-Equal @(Get-EmulatorRequest '/').Count 0
    }
    It 'sends no header without a value: a condition of a variable that is not set' {
        Connect-Test
        $null = Invoke-Emulator DELETE requests
        $etag = $null
        foreach ($headers in @{ 'If-Match' = $etag }, @{ 'If-Match' = '' }, @{ Prefer = 'x'; 'If-None-Match' = ' ' }) {
            $record = Assert-Fails { Invoke-DefenderRequest Graph security/incidents/811188 -Method PATCH -Body @{ status = 'active' } -Headers $headers } BAD_ARGUMENT InvalidArgument
            Assert-Match "$record" '^the header If-(None-)?Match has no value$'
            $null = Assert-Fails { Invoke-DefenderRequest Graph security/incidents/811188 -Method PATCH -Body @{ status = 'active' } -Headers $headers -WhatIf } BAD_ARGUMENT
        }
        Assert-Equal @(Get-EmulatorRequest '/').Count 0
        $null = Invoke-DefenderRequest Graph security/incidents/811188 -Method PATCH -Body @{ status = 'active' } -Headers @{ 'If-Match' = '"1"' }
        Assert-Equal @(Get-EmulatorRequest 'security/incidents/811188')[0].headers.'if-match' '"1"'
    }
    It 'tells of records without their id, in the module''s words' {
        Connect-Test
        $page = { param($names) @{ match = @{ path_contains = '/api/machines' }; times = 1; do = @{ status = 200; json = @{ value = @(foreach ($name in $names) { @{ computerDnsName = $name } }) } } } }
        Set-EmulatorFault (& $page 'a', 'b'), (& $page @())
        $out = @(Invoke-DefenderRequest Endpoint machines -Query @{ '$top' = 2 } 3>&1)
        $null = Invoke-Emulator DELETE faults
        Assert-Equal @($out | Where-Object { $_ -isnot [Management.Automation.WarningRecord] }).computerDnsName 'a', 'b'
        Assert-Match "$($out | Where-Object { $_ -is [Management.Automation.WarningRecord] })" 'have no "id".*name another member by -IdName'
    }
    It 'checks the token first, or leaves that to the service' {
        Reset-Emulator
        $token = (Get-ADALToken @AppArguments).AccessToken
        $null = Invoke-Emulator DELETE requests
        $record = Assert-Fails { Invoke-DefenderRequest Endpoint machines -AccessToken $token } UNAUTHORIZED
        Assert-Equal $record.Exception.StatusCode 0
        Assert-Equal @(Get-EmulatorRequest '/api/machines').Count 0
        $record = Assert-Fails { Invoke-DefenderRequest Endpoint machines -AccessToken $token -Preflight Off } UNAUTHORIZED
        Assert-Equal $record.Exception.StatusCode 401
    }
    It 'ends with the service''s refusal, and goes on where a list broke off' {
        Connect-Test
        $null = Assert-Fails { Invoke-DefenderRequest Xdr incidents/1 } NOT_FOUND ObjectNotFound
        $null = Assert-Fails { Invoke-DefenderRequest Xdr no/such/path } NOT_FOUND
        $expected = @(Invoke-DefenderRequest Xdr incidents).incidentId
        $got = [Collections.ArrayList]::new()
        try { Invoke-DefenderRequest Xdr incidents -Query @{ '$top' = 20 } -ResumeVariable place | ForEach-Object { if ($got.Count -eq 30) { throw 'enough' }; $null = $got.Add($_.incidentId) } } catch { Assert-Equal "$_" 'enough' }
        Assert-Equal (@($got) + @(Invoke-DefenderRequest Xdr incidents -Query @{ '$top' = 20 } -Resume $place).incidentId) $expected
    }
}
