# Every alert of the last two days, as JSON and as CSV: the counterpart of the two scripts on Microsoft's page "Hello World" of Microsoft Defender for
# Endpoint's API.
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App,
    # The folder for alerts.json and alerts.csv.
    [string] $Folder = '.',
    # Alerts created at this time or later.
    [DateTime] $Since = (Get-Date).AddDays(-2)
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

Connect-Defender -TenantId $TenantId -Credential $App -Service Endpoint
$alerts = @(Get-DefenderAlert -Since $Since)
ConvertTo-Json -InputObject $alerts -Depth 99 | Set-Content -LiteralPath "$Folder/alerts.json"
$columns = 'id', 'incidentId', 'title', 'severity', 'status', 'category', 'alertCreationTime', 'computerDnsName', 'assignedTo'
$alerts | Select-Object -Property $columns | Export-Csv -LiteralPath "$Folder/alerts.csv" -NoTypeInformation
