# An app's token for Defender XDR, as an object and not in a file: the counterpart of Get-Token.ps1 on Microsoft's page "Hello World for Microsoft
# Defender XDR REST API".
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

Get-DefenderToken -TenantId $TenantId -Credential $App
