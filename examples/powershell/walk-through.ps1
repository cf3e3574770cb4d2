# Microsoft's walk-through "Create an app to access Microsoft 365 Defender APIs on behalf of a user", with the values of the emulator's
# "walk-through" app filled in; clip, which Windows alone has, is used where there is one. Nothing else is changed. Start the emulator and set
# DEFENDER_XDR_EMULATOR, or fill in your own values.

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

$tenantId = '8e58f0bf-3f7c-4dc0-90c3-f13a92d07897'    # directory (tenant) ID
$clientId = '22869222-3c51-4d11-ad15-99b70e71c548'    # application (client) ID
$redirectUri = 'http://localhost'                     # the app's redirection URI
$authority = "https://login.windows.net/$tenantId"
$resourceUrl = 'https://api.security.microsoft.com'

$response = Get-ADALToken -Resource $resourceUrl -ClientId $clientId -RedirectUri $redirectUri -Authority $authority -PromptBehavior:Always
if (Get-Command -Name clip -ErrorAction Ignore) { $response.AccessToken | clip }
$response.AccessToken

# Check that the token holds the permissions wanted.
$response.AccessToken | ConvertFrom-DefenderToken | Out-Host

# GET https://api.security.microsoft.com/api/incidents with the token.
Get-DefenderIncident -AccessToken $response.AccessToken -First 10 | Out-Host
