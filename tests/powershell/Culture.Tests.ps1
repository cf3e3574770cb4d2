# The same result under every culture.

if ($null -eq $Emulator) { return }

$probe = '
$token = Get-ADALToken @App
$claims = $token | ConvertFrom-DefenderToken
$incidents = @(Get-DefenderIncident -AccessToken $token -First 5 -PageSize 5 -Skip 1)
$incidents.incidentId -join ","
($incidents.lastUpdateTime | ForEach-Object { $_.ToString("o", [Globalization.CultureInfo]::InvariantCulture) }) -join ","
($incidents | Out-String -Width 200) -replace "\r", ""
"$token"
$claims.ExpiresOn.ToUnixTimeSeconds() - $token.ExpiresOn.ToUnixTimeSeconds()
$claims.Permissions -join ","
(& (Get-Module DefenderXdr) { $r = ConvertFrom-DefenderJson "[1.5,1e3,-2]"; ConvertTo-DefenderJson @($r[2], 5) })
(& (Get-Module DefenderXdr) { (ConvertFrom-DefenderJson "[1.5]")[0].ToString("r", [Globalization.CultureInfo]::InvariantCulture) })
(& (Get-Module DefenderXdr) { (ConvertFrom-DefenderJson -Times "{`"createdTime`":`"2026-09-14T06:52:01.8366667Z`"}").createdTime.Ticks })
try { Get-ADALToken -Resource https://x.example -ClientId "" } catch { $_.FullyQualifiedErrorId }
'

function Get-UnderCulture {
    param([string] $Name)
    $shell = New-TestShell
    try {
        $null = $shell.AddScript("[Threading.Thread]::CurrentThread.CurrentCulture = '$Name'; [Threading.Thread]::CurrentThread.CurrentUICulture = '$Name'`n$probe")
        $out = $shell.Invoke()
        Assert-Equal $shell.Streams.Error.Count 0 "$($shell.Streams.Error)"
        $out -join "`n"
    }
    finally { $shell.Dispose() }
}

Reset-Emulator
$invariant = Get-UnderCulture ''
Describe 'culture' {
    foreach ($culture in 'de-DE', 'tr-TR', 'ar-SA', 'th-TH', 'fa-IR', 'ja-JP') {
        It "$culture changes nothing" {
            Assert-True ($invariant.Length -gt 200)
            Assert-Equal (Get-UnderCulture $culture) $invariant
        }
    }
}
