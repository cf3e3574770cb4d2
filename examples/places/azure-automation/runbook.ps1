<#
Azure Automation runbook (PowerShell 7 or 5.1): the incidents that changed in the last day, as JSON for the next step.

Before the first run:
- import the module DefenderXdr into the Automation account (Modules, Add a module);
- switch on the account's system-assigned identity, or assign it one, and grant it the application permission Incident.Read.All of
  "Microsoft Threat Protection".
#>
param(
    # The client ID of a user-assigned identity. Empty: the account's own.
    [string] $IdentityClientId,
    [int] $Hours = 24
)

$ErrorActionPreference = 'Stop'
Import-Module DefenderXdr

$identity = @{ ManagedIdentity = $true }
if ($IdentityClientId) { $identity.IdentityClientId = $IdentityClientId }
Connect-Defender @identity

$since = [DateTime]::UtcNow.AddHours(-$Hours).ToString('yyyy-MM-ddTHH:mm:ssZ')
$incidents = @(Get-DefenderIncident -Filter "lastUpdateTime ge $since")
Write-Output "$($incidents.Count) incidents changed since $since"
ConvertTo-Json @($incidents | Select-Object incidentId, incidentName, severity, status, lastUpdateTime) -Depth 3
