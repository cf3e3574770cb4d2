# Measures commands of the module in one process, each in blocks that alternate with what it is compared with. Prints JSON lines; the samples are
# one call each. Every answer is checked before anything is timed.

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$WarningPreference = 'SilentlyContinue'
$ProgressPreference = 'SilentlyContinue'

Import-Module ([System.IO.Path]::Combine($PSScriptRoot, '..', '..', 'powershell', 'DefenderXdr', 'DefenderXdr.psd1'))

$resource = 'https://api.security.microsoft.com'
$tenant = $env:BENCH_TENANT
$app = $env:BENCH_APP
$publicApp = $env:BENCH_PUBLIC_APP
$authority = "https://login.windows.net/$tenant"
$secret = [securestring]::new()
foreach ($character in $env:BENCH_SECRET.ToCharArray()) { $secret.AppendChar($character) }

function Assert-That {
    param([bool] $Right, [string] $What)
    if (-not $Right) { throw "wrong answer: $What" }
}

function Write-Samples {
    param([string] $Id, [System.Collections.Generic.List[double]] $Samples)
    $values = @(foreach ($sample in $Samples) { $sample.ToString('R', [cultureinfo]::InvariantCulture) }) -join ','
    "{`"id`":`"$Id`",`"samples`":[$values]}"
}

function Invoke-Nothing {
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Resource, [Parameter(Mandatory)] [string] $ClientId, [string] $RedirectUri, [string] $Authority)
    $Resource
}

$clock = [System.Diagnostics.Stopwatch]
$microsecond = 1e6 / $clock::Frequency
$millisecond = 1e3 / $clock::Frequency

# ---- a token from the cache --------------------------------------------------------------------------------------------------------------

$user = (Get-ADALToken -Resource $resource -ClientId $publicApp -RedirectUri 'http://localhost' -Authority $authority).AccessToken
$own = (Get-ADALToken -Resource $resource -ClientId $app -ClientSecret $secret -TenantId $tenant).AccessToken
Connect-Defender -ClientId $app -ClientSecret $secret -TenantId $tenant
Assert-That ($user.StartsWith('eyJ') -and $own.StartsWith('eyJ') -and $user -cne $own) 'two tokens'
Assert-That ((Get-ADALToken -Resource $resource -ClientId $publicApp -RedirectUri 'http://localhost' -Authority $authority).AccessToken -ceq $user) 'the user''s token again'
Assert-That ((Get-ADALToken -Resource $resource -ClientId $app -ClientSecret $secret -TenantId $tenant).AccessToken -ceq $own) 'the app''s token again'

$userCalls = [System.Collections.Generic.List[double]]::new()
$appCalls = [System.Collections.Generic.List[double]]::new()
$connectionCalls = [System.Collections.Generic.List[double]]::new()
$emptyCalls = [System.Collections.Generic.List[double]]::new()
for ($block = 0; $block -lt 70; $block++) {
    if ($block -eq 10) { $userCalls.Clear(); $appCalls.Clear(); $connectionCalls.Clear(); $emptyCalls.Clear() }     # until here it was warm-up
    for ($call = 0; $call -lt 50; $call++) {
        $start = $clock::GetTimestamp()
        $token = Get-ADALToken -Resource $resource -ClientId $publicApp -RedirectUri 'http://localhost' -Authority $authority
        $userCalls.Add(($clock::GetTimestamp() - $start) * $microsecond)
    }
    Assert-That ($token.AccessToken -ceq $user) 'the user''s token'
    for ($call = 0; $call -lt 50; $call++) {
        $start = $clock::GetTimestamp()
        $token = Get-ADALToken -Resource $resource -ClientId $app -ClientSecret $secret -TenantId $tenant
        $appCalls.Add(($clock::GetTimestamp() - $start) * $microsecond)
    }
    Assert-That ($token.AccessToken -ceq $own) 'the app''s token'
    for ($call = 0; $call -lt 50; $call++) {
        $start = $clock::GetTimestamp()
        $token = Get-DefenderToken
        $connectionCalls.Add(($clock::GetTimestamp() - $start) * $microsecond)
    }
    for ($call = 0; $call -lt 50; $call++) {
        $start = $clock::GetTimestamp()
        $token = Invoke-Nothing -Resource $resource -ClientId $publicApp -RedirectUri 'http://localhost' -Authority $authority
        $emptyCalls.Add(($clock::GetTimestamp() - $start) * $microsecond)
    }
}
Write-Samples 'ps_cached_user' $userCalls
Write-Samples 'ps_cached_app' $appCalls
Write-Samples 'ps_cached_defender' $connectionCalls
Write-Samples 'ps_empty' $emptyCalls

# ---- a token's claims --------------------------------------------------------------------------------------------------------------------

Assert-That ((ConvertFrom-DefenderToken $user).Permissions -contains 'Incident.Read') 'the permissions'
$ours = [System.Collections.Generic.List[double]]::new()
$idiom = [System.Collections.Generic.List[double]]::new()
for ($block = 0; $block -lt 50; $block++) {
    if ($block -eq 10) { $ours.Clear(); $idiom.Clear() }
    for ($call = 0; $call -lt 50; $call++) {
        $start = $clock::GetTimestamp()
        $held = (ConvertFrom-DefenderToken $user).Permissions
        $ours.Add(($clock::GetTimestamp() - $start) * $microsecond)
    }
    Assert-That ($held -contains 'Incident.Read') 'the permissions'
    for ($call = 0; $call -lt 50; $call++) {
        $start = $clock::GetTimestamp()
        $part = $user.Split('.')[1].Replace('-', '+').Replace('_', '/')
        switch ($part.Length % 4) { 2 { $part += '==' } 3 { $part += '=' } }
        $held = ([System.Text.Encoding]::UTF8.GetString([System.Convert]::FromBase64String($part)) | ConvertFrom-Json).scp
        $idiom.Add(($clock::GetTimestamp() - $start) * $microsecond)
    }
    Assert-That ($held.Split(' ') -contains 'Incident.Read') 'the permissions of the idiom'
}
Write-Samples 'ps_decode' $ours
Write-Samples 'ps_decode_idiom' $idiom

# ---- a page of incidents -----------------------------------------------------------------------------------------------------------------

$address = "$env:BENCH_ORIGIN/api.security.microsoft.com/api/incidents?`$top=100"
$headers = @{ Authorization = "Bearer $own" }
$page = Invoke-WebRequest -Uri $address -Headers $headers -NoProxy
"{`"page_bytes`":$($page.RawContentStream.Length)}"
$mine = @(Get-DefenderIncident -First 100)
$theirs = @((Invoke-RestMethod -Uri $address -Headers $headers -NoProxy).value)
Assert-That ($mine.Count -eq 100 -and (($mine.incidentId -join ' ') -ceq ($theirs.incidentId -join ' '))) 'the same 100 incidents'
"{`"incidents`":$($mine.Count)}"

# The same fields on both sides.
function Measure-Field {
    param([object[]] $Incidents)
    $sum = 0
    foreach ($incident in $Incidents) { $sum += $incident.incidentId + "$($incident.severity)$($incident.status)$($incident.incidentName)".Length + @($incident.alerts).Count }
    $sum
}
Assert-That ((Measure-Field $mine) -eq (Measure-Field $theirs)) 'the same fields'

$arms = [ordered]@{
    ps_incidents      = { @(Get-DefenderIncident -First 100) }
    ps_rest           = { @((Invoke-RestMethod -Uri $address -Headers $headers -NoProxy).value) }
    ps_incidents_read = { Measure-Field @(Get-DefenderIncident -First 100) }
    ps_rest_read      = { Measure-Field @((Invoke-RestMethod -Uri $address -Headers $headers -NoProxy).value) }
    ps_incidents_raw  = { @(Get-DefenderIncident -First 100 -Raw) }
}
$times = @{}
foreach ($name in $arms.Keys) { $times[$name] = [System.Collections.Generic.List[double]]::new() }
$names = @($arms.Keys)
for ($round = 0; $round -lt 24; $round++) {
    for ($place = 0; $place -lt $names.Count; $place++) {
        $name = $names[($place + $round) % $names.Count]
        $arm = $arms[$name]
        $start = $clock::GetTimestamp()
        $result = & $arm
        $took = ($clock::GetTimestamp() - $start) * $millisecond
        Assert-That ($null -ne $result) $name
        if ($round -ge 3) { $times[$name].Add($took) }
    }
}
foreach ($name in $names) { Write-Samples $name $times[$name] }

# ---- a new token -------------------------------------------------------------------------------------------------------------------------

$control = @{ Uri = "$env:BENCH_ORIGIN/.emulator/faults"; Headers = @{ 'x-emulator-key' = $env:BENCH_KEY }; NoProxy = $true }
$null = Invoke-RestMethod @control -Method Post -ContentType 'application/json' -Body '[{"match":{"path_contains":"/token"},"times":0,"do":{"delay_ms":100}}]'
$fresh = [System.Collections.Generic.List[double]]::new()
for ($round = 0; $round -lt 18; $round++) {
    Clear-AdalTokenCache
    $start = $clock::GetTimestamp()
    $token = Get-ADALToken -Resource $resource -ClientId $app -ClientSecret $secret -TenantId $tenant
    $took = ($clock::GetTimestamp() - $start) * $millisecond
    Assert-That ($token.AccessToken -cne $own) 'a new token'
    if ($round -ge 3) { $fresh.Add($took) }
}
$null = Invoke-RestMethod @control -Method Delete
Write-Samples 'ps_fresh' $fresh
