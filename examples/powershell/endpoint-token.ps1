# An app's token for Defender for Endpoint: the counterpart of the script on Microsoft's page "Create an app to access Microsoft Defender for Endpoint
# without a user".
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

Get-DefenderToken -TenantId $TenantId -Credential $App -Service Endpoint
