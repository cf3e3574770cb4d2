# Runs the rows of the fault catalogue, each by its command, and prints what each came to as a line of JSON behind 'ROW '.
#
# DXDR_TEST_ROWS  a file: { secrets: { name: value }, client_id, rows: [{ id, command, times, origin, authority, place: { name: value } }] }
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = [System.Text.UTF8Encoding]::new($false)
Import-Module ([IO.Path]::Combine($PSScriptRoot, '..', '..', 'powershell', 'DefenderXdr', 'DefenderXdr.psd1'))

$file = [IO.File]::ReadAllText($env:DXDR_TEST_ROWS) | ConvertFrom-Json -AsHashtable
$ClientId = $file.client_id
$Texts = $file.secrets
$Secrets = @{}
foreach ($name in $Texts.Keys) { $Secrets[$name] = ConvertTo-SecureString -String $Texts[$name] -AsPlainText -Force }
$null = $ClientId, $Secrets

function Read-Member {
    param([object] $Object, [string] $Name)
    $member = $Object.PSObject.Properties[$Name]
    if ($null -ne $member) { $member.Value }
}

foreach ($row in $file.rows) {
    $Authority = $row.authority
    $null = $Authority
    foreach ($name in $row.place.Keys) { [Environment]::SetEnvironmentVariable($name, $row.place[$name]) }
    $command = [scriptblock]::Create($row.command)
    $said = [ordered]@{ id = $row.id; name = 'OK'; warnings = @() }
    for ($time = 1; $time -le $row.times; $time++) {
        $Error.Clear()
        try {
            $all = @(& $command 3>&1)
            $said.warnings = [string[]]@($all | Where-Object { $_ -is [System.Management.Automation.WarningRecord] } | ForEach-Object Message)
            $token = @($all | Where-Object { $_ -isnot [System.Management.Automation.WarningRecord] })[-1]
            $said.token = $token.AccessToken
            $said.expires_on = $token.ExpiresOn.ToUnixTimeSeconds()
            # The tokens of the drop-in have no such members.
            if ($null -ne $token.PSObject.Properties['Scopes']) {
                $said.scopes = [string[]] $token.Scopes
                $said.missing_scopes = [string[]] $token.MissingScopes
            }
        }
        catch {
            $inner = $_.Exception.InnerException
            $said.name = $_.FullyQualifiedErrorId
            $said.message = $_.Exception.Message
            $said.shown = $_.ToString()
            $said.hint = $_.ErrorDetails.RecommendedAction
            $said.category = [string] $_.CategoryInfo.Category
            foreach ($member in 'Name', 'Code', 'Hint', 'ErrorCode', 'StatusCode', 'Claims', 'SubError', 'Retryable', 'CorrelationId', 'TraceId') {
                $said["inner_$member"] = Read-Member $inner $member
            }
            $said.inner_ServiceErrorCodes = [string[]]@(Read-Member $inner 'ServiceErrorCodes')
            # Everything that a person or a log could be shown of it.
            $said.deep = ($Error | Format-List -Property * -Force | Out-String -Width 4096) + $_.Exception.ToString()
        }
    }
    foreach ($name in $row.place.Keys) { [Environment]::SetEnvironmentVariable($name, $null) }
    # The next row finds no token of this one, as in a process of its own.
    Clear-AdalTokenCache
    [Console]::Out.WriteLine('ROW ' + (ConvertTo-Json -InputObject $said -Compress -Depth 4))
}
