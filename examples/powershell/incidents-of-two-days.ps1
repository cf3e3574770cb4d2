# Every incident that changed in the last two days, as JSON: the counterpart of the second script on Microsoft's page "Hello World for Microsoft
# Defender XDR REST API", which reads the first page.
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App,
    # Changes at this time or later.
    [DateTime] $Since = (Get-Date).AddDays(-2)
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

Connect-Defender -TenantId $TenantId -Credential $App
Get-DefenderIncident -UpdatedSince $Since | ConvertTo-Json -Depth 99
