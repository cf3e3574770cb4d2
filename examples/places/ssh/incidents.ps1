# In an SSH session there is no browser to open: the code is shown here, and the sign-in is made on any other device.
param(
    [Parameter(Mandatory)] [string] $TenantId,
    [Parameter(Mandatory)] [string] $ClientId,
    [int] $First = 5
)

$ErrorActionPreference = 'Stop'
Import-Module DefenderXdr
Connect-Defender -TenantId $TenantId -ClientId $ClientId -DeviceCode
Get-DefenderIncident -First $First
