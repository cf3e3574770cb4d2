# Signs a person in with the MSAL.PS command and reads incidents: the counterpart of the script on Microsoft's page "Create an app to access Microsoft
# Defender XDR APIs on behalf of a user" of 2024.
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID of an app with the redirect URI http://localhost.
    [Parameter(Mandatory)] [string] $ClientId
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

$token = Get-MsalToken -ClientId $ClientId -TenantId $TenantId -Scopes 'https://api.security.microsoft.com/.default'
$token.AccessToken | ConvertFrom-DefenderToken | Out-Host
Get-DefenderIncident -AccessToken $token -First 10
