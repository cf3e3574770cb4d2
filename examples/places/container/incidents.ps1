# In a container: whatever credential the place offers is found by itself. -Verbose says which, and what was passed over.
param([int] $First = 100)

$ErrorActionPreference = 'Stop'
Import-Module DefenderXdr
Connect-Defender -Verbose
Get-DefenderIncident -First $First | ForEach-Object { ConvertTo-Json $_ -Depth 20 -Compress }     # one line for each
