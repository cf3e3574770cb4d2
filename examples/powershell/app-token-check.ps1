# An app's token, and what it may do: the counterpart of the script on Microsoft's page "Create an app to access Microsoft Defender XDR without a
# user", and of the check it sends its readers to a website for.
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

$claims = Get-DefenderToken -TenantId $TenantId -Credential $App | ConvertFrom-DefenderToken
$claims
if ($claims.Permissions -notcontains 'Incident.Read.All') { Write-Warning 'Incident.Read.All is missing: add it to the app registration, and grant admin consent.' }
