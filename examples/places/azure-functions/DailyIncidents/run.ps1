# A function on a timer: one queue message for each active incident of high severity.
param($Timer)

$ErrorActionPreference = 'Stop'
$found = @(Get-DefenderIncident -Filter "status eq 'Active'" | Where-Object severity -EQ 'High')
Write-Host "$($found.Count) active incidents of high severity"
if ($found) {
    Push-OutputBinding -Name Incidents -Value @($found | ForEach-Object { $_ | Select-Object incidentId, incidentName, severity | ConvertTo-Json -Compress })
}
