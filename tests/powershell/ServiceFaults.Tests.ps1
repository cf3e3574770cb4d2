# The fault catalogue's rows on the services (AP) and on what a network makes of their answers (NET), as a script meets them: the error's name and
# category, what came before it, and a module that works afterwards. tests/api_rows.rs has every row by the C ABI.

if ($null -eq $Emulator) { return }

function Connect-Test { Reset-Emulator; Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) }

function Test-Fault {
    # Lists incidents while the fault holds; returns @{ Ids; Record }, and checks that the next list is whole.
    param([hashtable] $Do, [int] $Times = 0, [hashtable] $Query = @{}, [hashtable] $Arguments = @{}, [string] $Path = '/api/incidents')
    Connect-Test
    Set-EmulatorFault @{ match = @{ path_contains = $Path; query = $Query }; times = $Times; do = $Do }
    $ids = [Collections.ArrayList]::new()
    $record = $null
    try { Get-DefenderIncident -Backend Xdr @Arguments | ForEach-Object { $null = $ids.Add($_.incidentId) } }
    catch { $record = $_ }
    $null = Invoke-Emulator DELETE faults
    Assert-Equal @($ids | Sort-Object -Unique).Count $ids.Count 'a record came twice'
    Assert-Equal @(Get-DefenderIncident).Count 120 'the next list'
    if ($null -ne $record) {
        Assert-True $record.ErrorDetails.RecommendedAction 'no hint'
        Assert-NoSecret (Get-DeepText $record) $RunbookSecretText 'the error'
    }
    @{ Ids = $ids; Record = $record }
}

function Assert-Fault {
    param([hashtable] $Met, [string] $Name, [string] $Category, [int] $Before = 0)
    Assert-True ($null -ne $Met.Record) "no $Name"
    Assert-Equal $Met.Record.FullyQualifiedErrorId "DefenderXdr.$Name,Get-DefenderIncident"
    Assert-Equal "$($Met.Record.CategoryInfo.Category)" $Category
    Assert-Equal $Met.Ids.Count $Before 'records before the error'
}

Describe 'faults of a service' {
    It 'AP-2 a link to anywhere else is not followed, and the page it came with is handed over' {
        foreach ($link in 'https://graph.microsoft.com.evil.example/x', 'https://api.security.microsoft.com@evil.example/x', 'https://api.security.microsoft.com:8443/x', 'http://api.security.microsoft.com/x',
            '//evil.example/x', "https://api.security.micr$([char] 0x43e)soft.com/x") {
            Assert-Fault (Test-Fault @{ next_link = $link }) NEXTLINK_HOST SecurityError 100
        }
    }
    It 'AP-3 a relative link is followed' { Assert-Equal (Test-Fault @{ next_link = '/api/incidents?$skip=100' } -Times 1).Ids.Count 120 }
    It 'AP-4 a link in a circle ends' {
        $met = Test-Fault @{ next_link = '/api/incidents?$top=100' }
        Assert-Fault $met PAGING_LOOP InvalidResult 100
    }
    It 'AP-6 a page of more than 100 is refused before anything is sent' {
        Connect-Test
        $null = Invoke-Emulator DELETE requests
        foreach ($top in 0, 101, -1) {
            $record = Assert-Fails { Get-DefenderIncident -PageSize $top }
            Assert-Match "$record" '100|1'
        }
        foreach ($top in 0, 101) { $null = Assert-Fails { Invoke-DefenderRequest Xdr "incidents?`$top=$top" } BAD_ARGUMENT }
        Assert-Equal @(Get-EmulatorRequest '/api/incidents').Count 0
    }
    It 'AP-7 and AP-11 a bad filter comes back with the service''s words and the filter, an incident that is not there with its id' {
        Connect-Test
        $record = Assert-Fails { Get-DefenderIncident -Backend Xdr -Filter "colour eq 'blue'" } BAD_FILTER InvalidArgument
        Assert-Match "$record $($record.ErrorDetails.RecommendedAction)" "colour eq 'blue'"
        $record = Assert-Fails { Get-DefenderIncident -Backend Xdr -Id 77777701 -ErrorAction Stop } NOT_FOUND ObjectNotFound
        Assert-Match "$record" '77777701'
    }
    It 'AP-8 a token that is revoked between two pages is renewed, and nothing comes twice or is missing' {
        $met = Test-Fault @{ revoke_access_tokens = $true } -Times 1 -Query @{ '$skip' = '100' }
        Assert-True ($null -eq $met.Record) "$($met.Record)"
        Assert-Equal $met.Ids.Count 120
        $refused = @{ status = 401; json = @{ error = @{ code = 'Unauthorized'; message = 'The token is expired' } } }
        Assert-Fault (Test-Fault $refused -Query @{ '$skip' = '100' }) UNAUTHORIZED AuthenticationError 100
    }
    It 'AP-10 a permission that is missing is named before anything is changed, and ends a pipeline at its first record' {
        Reset-Emulator
        Connect-Defender -TenantId $Emulator.tenant_id -ClientId '7c1d2e90-43b5-4f0a-9a66-0d5b8e1f2c37' -ClientSecret (New-Secret 'emu8Q~partner.secret.for.tests.only-1')
        $record = Assert-Fails { 811188, 811150 | Set-DefenderIncident -Status Active -Backend Xdr } FORBIDDEN PermissionDenied
        Assert-Match "$record $($record.ErrorDetails.RecommendedAction)" 'Incident\.ReadWrite\.All'
        Assert-Equal $record.Exception.StatusCode 0
        # The first incident was looked at, for it may have been merged into another.
        Assert-Equal @(Get-EmulatorRequest '/api/incidents' | ForEach-Object method) 'GET'
    }
    It 'AP-10 a refusal of the service names the role in the portal' {
        $met = Test-Fault @{ status = 403; json = @{ error = @{ code = 'Forbidden'; message = 'Missing application roles.' } } }
        Assert-Fault $met FORBIDDEN PermissionDenied
        Assert-Match $met.Record.ErrorDetails.RecommendedAction 'View Data'
        Assert-Equal $met.Record.Exception.StatusCode 403
    }
    It 'AP-12 the seconds that the body names are waited, and shown' {
        Connect-Test
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents'; query = @{ '$skip' = '100' } }; times = 1; do = @{ status = 429; json = @{ error = @{ code = '429'; message = 'API calls quota exceeded! You can send requests again in 1 seconds.' } } } }
        $out = @(Get-DefenderIncident -Verbose 4>&1)
        Assert-Equal @($out | Where-Object { $_ -isnot [Management.Automation.VerboseRecord] }).Count 120
        Assert-Match (@($out | Where-Object { $_ -is [Management.Automation.VerboseRecord] }) -join "`n") 'waiting 1 s'
    }
    It 'AP-16 a list that is an object is kept as it is, and null is empty' {
        $body = '{"value":[{"incidentId":1,"tags":null,"alerts":{"alertId":"x"}}]}'
        Connect-Test
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 0; do = @{ status = 200; body = $body } }
        $incident = Get-DefenderIncident
        Assert-True ($incident.tags -is [object[]] -and $incident.tags.Length -eq 0)
        Assert-Equal $incident.alerts.alertId 'x'
        $null = Invoke-Emulator DELETE faults
    }
    It 'AP-19 a list that moved between two pages repeats nothing' {
        Connect-Test
        $there = @(Get-DefenderIncident -Backend Xdr | ForEach-Object incidentId)
        # Two new ones at its head would push two of the first page onto the second.
        $moved = @{ value = @(foreach ($id in $there[98..119]) { @{ incidentId = $id } }) }
        $met = Test-Fault @{ status = 200; json = $moved } -Times 1 -Query @{ '$skip' = '100' }
        Assert-True ($null -eq $met.Record) "$($met.Record)"
        Assert-Equal @($met.Ids | Sort-Object) @($there | Sort-Object)
    }
    It 'AP-19 a list that tells nothing of changes is read until it stands still, or ends with an error behind its records' {
        Connect-Test
        # The page behind the first brings one of that again.
        $moved = @{ match = @{ path_contains = '/api/indicators'; query = @{ '$skip' = '2' } }; times = 1; do = @{ status = 200; json = @{ value = @(@{ id = '993' }, @{ id = '991' }) } } }
        Set-EmulatorFault $moved
        $null = Invoke-Emulator DELETE requests
        $out = @(Get-DefenderIndicator -PageSize 3 -Verbose 4>&1)
        $told = @($out | Where-Object { $_ -is [Management.Automation.VerboseRecord] })
        Assert-Equal @($out | Where-Object { $_ -isnot [Management.Automation.VerboseRecord] } | ForEach-Object id) '991', '992', '993'
        Assert-Match ($told -join "`n") 'pass 2'
        Assert-Equal @(Get-EmulatorRequest '/api/indicators').Count 4
        $moved.times = 0
        Set-EmulatorFault $moved
        $ids = [Collections.ArrayList]::new()
        $place = 'before'
        $record = $null
        try { Get-DefenderIndicator -PageSize 3 -ResumeVariable place | ForEach-Object { $null = $ids.Add($_.id) } }
        catch { $record = $_ }
        Assert-Equal "$($record.FullyQualifiedErrorId) $($record.CategoryInfo.Category)" 'DefenderXdr.LIST_MOVED,Get-DefenderIndicator InvalidResult'
        Assert-Equal @($ids) '991', '992', '993'
        Assert-Match "$record $($record.ErrorDetails.RecommendedAction)" '20 times.*filter'
        Assert-True $record.Exception.Retryable
        Assert-Equal "$($record.Exception.Resume)$place" '' 'a place that leads to nothing that was missed'
        $null = Invoke-Emulator DELETE faults
    }
    It 'AP-20 a page that is cut short loses and repeats nothing' {
        $met = Test-Fault @{ truncate = 40000 } -Times 1
        Assert-True ($null -eq $met.Record) "$($met.Record)"
        Assert-Equal $met.Ids.Count 120
        $met = Test-Fault @{ truncate = 40000 }
        Assert-Match $met.Record.FullyQualifiedErrorId '^DefenderXdr\.TRUNCATED,'
        Assert-True ($met.Ids.Count -gt 0 -and $met.Ids.Count -lt 120)
        Assert-True $met.Record.Exception.Resume 'no place to go on from'
    }
    It 'AP-23 an error in the place of records is an error' {
        Assert-Fault (Test-Fault @{ status = 200; json = @{ error = @{ code = 'InternalServerError'; message = 'in vain' } } }) BAD_PAYLOAD InvalidData
    }
    It 'AP-24 a host of one''s own choice gets no token' {
        Connect-Test
        foreach ($base in 'https://evil.example', 'https://api.security.microsoft.com.evil.example', 'http://api.security.microsoft.com', 'https://graph.microsoft.com') {
            $null = Assert-Fails { Invoke-DefenderRequest Xdr incidents -BaseUrl $base } BAD_ARGUMENT InvalidArgument
        }
    }
    It 'NET-21 and NET-37 to 39 what is no answer of the service is told as such' {
        Assert-Fault (Test-Fault @{ redirect = 'https://evil.example/x' }) REDIRECT_REFUSED ConnectionError
        Assert-Fault (Test-Fault @{ html = $true }) CAPTIVE_PORTAL ConnectionError
        Assert-Fault (Test-Fault @{ status = 200; body = '' }) NOT_JSON ConnectionError
        Assert-Fault (Test-Fault @{ status = 200; body = 'value' }) NOT_JSON ConnectionError
    }
    It 'NET-35 a service that fails is asked again, and the error has its status' {
        Connect-Test
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 1; do = @{ drop = $true } }
        Assert-Equal @(Get-DefenderIncident -First 3).Count 3
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 0; do = @{ status = 503; headers = @{ 'retry-after' = '4000' } } }
        $record = Assert-Fails { Get-DefenderIncident -First 3 -Timeout 5 }
        Assert-Match $record.FullyQualifiedErrorId '^DefenderXdr\.(SERVER_UNAVAILABLE|THROTTLED|TIMEOUT),'
        $null = Invoke-Emulator DELETE faults
    }
}
