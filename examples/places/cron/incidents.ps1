<#
A cron job with a certificate: appends the incidents that changed since the last run to a file of JSON lines.

Make a certificate, and upload the .crt to the app registration (Certificates & secrets):
    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=incidents -keyout incidents.key -out incidents.crt
    cat incidents.key incidents.crt > incidents.pem && chmod 600 incidents.pem
#>
param(
    [Parameter(Mandatory)] [string] $TenantId,
    [Parameter(Mandatory)] [string] $ClientId,
    [Parameter(Mandatory)] [string] $CertificatePath,
    [Parameter(Mandatory)] [string] $OutputPath
)

$ErrorActionPreference = 'Stop'
Import-Module DefenderXdr
Connect-Defender -TenantId $TenantId -ClientId $ClientId -CertificatePath $CertificatePath

$mark = "$OutputPath.since"
$since = if (Test-Path -LiteralPath $mark) { Get-Content -LiteralPath $mark } else { [DateTime]::UtcNow.AddDays(-30).ToString('yyyy-MM-ddTHH:mm:ssZ') }
$now = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ')
Get-DefenderIncident -Filter "lastUpdateTime ge $since" | ForEach-Object { ConvertTo-Json $_ -Depth 20 -Compress } | Add-Content -LiteralPath $OutputPath
# Only after the last line is written: a run that fails is made good by the next.
Set-Content -LiteralPath $mark -Value $now
