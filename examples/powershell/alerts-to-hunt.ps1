# How often the machines of open, severe alerts went to an address: the counterpart of the script on Microsoft's page "Microsoft Defender for Endpoint
# APIs using PowerShell", which looks at ten alerts, and whose table has another name today.
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App,
    # The address that machines should not go to.
    [Parameter(Mandatory)] [string] $Url,
    # Alerts created at this time or later.
    [DateTime] $Since = (Get-Date).AddDays(-30)
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

Connect-Defender -TenantId $TenantId -Credential $App -Service Endpoint
$machines = Get-DefenderAlert -Severity Medium, High -Status New, InProgress -Since $Since | ForEach-Object machineId | Sort-Object -Unique
if ($machines) {
    # As a text of the query: a quote in it must not end the text.
    $text = $Url.Replace('\', '\\').Replace("'", "\'")
    Invoke-DefenderHunting "DeviceNetworkEvents | where DeviceId in ('$($machines -join "', '")') and RemoteUrl == '$text' | summarize Connections = count() by DeviceId"
}
