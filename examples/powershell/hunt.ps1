# A query from a file, its rows as CSV: the counterpart of the script on Microsoft's page "Advanced hunting using PowerShell", whose endpoint stops on
# 2027-02-01. This one asks Graph; the app needs ThreatHunting.Read.All there.
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App,
    # A file that holds the query.
    [Parameter(Mandatory)] [string] $Path
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

Connect-Defender -TenantId $TenantId -Credential $App -Service Graph
Invoke-DefenderHunting -Path $Path | ConvertTo-Csv -NoTypeInformation
