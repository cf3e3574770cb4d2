# What the tests share: where things are, the emulator, and other runspaces and processes.

$RepositoryRoot = [IO.Path]::GetFullPath([IO.Path]::Combine($PSScriptRoot, '..', '..'))
$ModulePath = [IO.Path]::Combine($RepositoryRoot, 'powershell', 'DefenderXdr')
$PowerShellProgram = (Get-Process -Id $PID).Path
$Public = @('Clear-DefenderTokenCache', 'Export-DefenderRefreshToken', 'Get-DefenderAccount', 'Remove-DefenderAccount',
    'Add-DefenderIndicator', 'Add-DefenderMachineTag', 'Add-MsalClientApplication', 'Clear-AdalTokenCache', 'Clear-MsalTokenCache',
    'Connect-Defender', 'ConvertFrom-DefenderToken', 'Disable-DefenderMachineIsolation', 'Disable-DefenderMachineRestriction',
    'Disconnect-Defender', 'Enable-DefenderMachineIsolation', 'Enable-DefenderMachineRestriction', 'Enable-MsalTokenCacheOnDisk',
    'Get-AdalAuthenticationContext', 'Get-ADALToken', 'Get-DefenderAlert', 'Get-DefenderContext', 'Get-DefenderIncident',
    'Get-DefenderIndicator', 'Get-DefenderMachine', 'Get-DefenderMachineAction', 'Get-DefenderToken', 'Get-MsalAccount',
    'Get-MsalClientApplication', 'Get-MsalFeatureSupport', 'Get-MsalToken', 'Import-DefenderIndicator', 'Invoke-DefenderHunting',
    'Invoke-DefenderRequest', 'New-AdalClientCredential', 'New-AdalUserIdentifier', 'New-MsalClientApplication',
    'Remove-DefenderIndicator', 'Remove-DefenderMachineTag', 'Remove-MsalClientApplication', 'Select-MsalClientApplication',
    'Set-DefenderAlert', 'Set-DefenderIncident', 'Start-DefenderFileQuarantine', 'Start-DefenderMachineScan', 'Stop-DefenderMachineAction',
    'Wait-DefenderMachineAction', 'Watch-DefenderIncident')

$Emulator = $null
if ([Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_JSON')) {
    $Emulator = [Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_JSON') | ConvertFrom-Json
    [Environment]::SetEnvironmentVariable('DEFENDER_XDR_EMULATOR', $Emulator.emulator)
    [Environment]::SetEnvironmentVariable('BROWSER', '{0} browse' -f [Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM'))
}
else { Write-Host 'DXDR_TEST_EMULATOR_JSON is not set: the tests that need the emulator do not run' }

$Resource = 'https://api.security.microsoft.com'
$RunbookSecretText = 'emu8Q~runbook.secret.for.tests.only-1'
$ExpiredSecretText = 'emu8Q~runbook.secret.that.has.expired'
$UnknownTenant = '11111111-2222-4333-8444-555555555555'

function New-Secret {
    param([string] $Text)
    $secret = [securestring]::new()
    foreach ($character in $Text.ToCharArray()) { $secret.AppendChar($character) }
    $secret
}

function Invoke-Emulator {
    param([string] $Method, [string] $Path, [object] $Body)
    $call = @{ Method = $Method; Uri = "$($Emulator.origin)/.emulator/$Path"; Headers = @{ 'x-emulator-key' = $Emulator.key }; UseBasicParsing = $true }
    if ($PSBoundParameters.ContainsKey('Body')) {
        $call.Body = if ($Body -is [string]) { $Body } else { ConvertTo-Json -InputObject $Body -Depth 10 }
        $call.ContentType = 'application/json'
    }
    Invoke-RestMethod @call
}

function Use-TestEmulator {
    # Runs the block against an emulator of its own that knows the certificate as the confidential client's; the shared one is back after it.
    param([Security.Cryptography.X509Certificates.X509Certificate2] $Certificate, [scriptblock] $Body, [object[]] $Resources = @())
    $program = [Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM')
    $config = (Invoke-Process $program @('config')).Out | ConvertFrom-Json
    $config.resources = @($config.resources) + $Resources
    $pem = "-----BEGIN CERTIFICATE-----`n$([Convert]::ToBase64String($Certificate.RawData, 'InsertLineBreaks').Replace("`r", ''))`n-----END CERTIFICATE-----`n"
    foreach ($entry in $config.apps) { if ($entry.client_id -eq $Emulator.confidential_client_id) { $entry | Add-Member -NotePropertyName certificates -NotePropertyValue @(@{ name = 'test'; pem = $pem }) } }
    $file = [IO.Path]::GetTempFileName()
    $kept = $Emulator
    $started = $null
    try {
        [IO.File]::WriteAllText($file, (ConvertTo-Json -InputObject $config -Depth 20))
        $start = [Diagnostics.ProcessStartInfo]::new($program, "serve --auto-approve --quiet --config `"$file`"")
        $start.UseShellExecute = $false
        $start.RedirectStandardInput = $true
        $start.RedirectStandardOutput = $true
        $started = [Diagnostics.Process]::Start($start)
        $Emulator = $started.StandardOutput.ReadLine() | ConvertFrom-Json
        [Environment]::SetEnvironmentVariable('DEFENDER_XDR_EMULATOR', $Emulator.emulator)
        & $Body
    }
    finally {
        [Environment]::SetEnvironmentVariable('DEFENDER_XDR_EMULATOR', $kept.emulator)
        if ($null -ne $started) {
            if (-not $started.HasExited) { $started.Kill() }
            $started.Dispose()
        }
        [IO.File]::Delete($file)
    }
}

function Reset-Emulator {
    # Back to the start: faults, data and log, and no token in the cache.
    $null = Invoke-Emulator POST reset ''
    $null = Invoke-Emulator DELETE requests
    $null = Invoke-Emulator DELETE faults
    Clear-AdalTokenCache -Confirm:$false
}

function Get-EmulatorRequest {
    # The requests the emulator has seen whose path holds the text.
    param([string] $Path)
    @(Invoke-Emulator GET requests | ForEach-Object { $_ } | Where-Object { $_.path -like "*$Path*" })
}

function Set-EmulatorFault {
    param([hashtable[]] $Fault)
    $null = Invoke-Emulator POST faults (ConvertTo-Json -InputObject @($Fault) -Depth 10)
}

function Wait-Until {
    # Looks until the condition holds; gives up after the limit.
    param([scriptblock] $Condition, [int] $Seconds = 20)
    $watch = [Diagnostics.Stopwatch]::StartNew()
    while (-not (& $Condition)) {
        if ($watch.Elapsed.TotalSeconds -gt $Seconds) { throw "waited $Seconds s in vain for {$Condition}" }
        [Threading.Thread]::Yield() | Out-Null
    }
}

$UserArguments = @{}
$AppArguments = @{}
if ($null -ne $Emulator) {
    $UserArguments = @{ Resource = $Resource; ClientId = $Emulator.public_client_id; TenantId = $Emulator.tenant_id; RedirectUri = 'http://localhost'; Timeout = 30 }
    $AppArguments = @{ Resource = $Resource; ClientId = $Emulator.confidential_client_id; TenantId = $Emulator.tenant_id; ClientSecret = (New-Secret $RunbookSecretText); Timeout = 60 }
}

function New-TestCertificate {
    # A self-signed certificate with its private key in memory.
    param([int] $Bits = 2048, [switch] $Elliptic, [string] $Subject = 'CN=DefenderXdr test')
    $hash = [Security.Cryptography.HashAlgorithmName]::SHA256
    if ($Elliptic) {
        $key = [Security.Cryptography.ECDsa]::Create([Security.Cryptography.ECCurve+NamedCurves]::nistP256)
        $request = [Security.Cryptography.X509Certificates.CertificateRequest]::new($Subject, $key, $hash)
    }
    else {
        $key = [Security.Cryptography.RSA]::Create($Bits)
        $request = [Security.Cryptography.X509Certificates.CertificateRequest]::new($Subject, $key, $hash, [Security.Cryptography.RSASignaturePadding]::Pkcs1)
    }
    $request.CreateSelfSigned([DateTimeOffset]::UtcNow.AddDays(-1), [DateTimeOffset]::UtcNow.AddDays(30))
}

function New-FederatedToken {
    # A token of the issuer that the emulator's pipeline app trusts.
    param([int] $Seconds = 600)
    (Invoke-Emulator POST federated_token @{ issuer = 'https://token.actions.githubusercontent.com'; subject = 'repo:fabrikam/soc:ref:refs/heads/main'; seconds = $Seconds }).token
}

function New-AuthorizationCode {
    # A code that a person's sign-in brings to a web page of the confidential app.
    param([string] $RedirectUri)
    $query = "client_id=$($Emulator.confidential_client_id)&response_type=code&resource=$([uri]::EscapeDataString($Resource))&redirect_uri=$([uri]::EscapeDataString($RedirectUri))&state=s"
    $landed = Invoke-Process ([Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM')) @('browse', "$($Emulator.origin)/login.microsoftonline.com/$($Emulator.tenant_id)/oauth2/authorize?$query")
    if ($landed.Out -notmatch '[?&]code=(?<code>[^&\s]+)') { throw "no code came: $($landed.Out) $($landed.Err)" }
    [uri]::UnescapeDataString($Matches['code'])
}

function ConvertFrom-Base64Url {
    param([string] $Text)
    $Text = $Text.Replace('-', '+').Replace('_', '/')
    , [Convert]::FromBase64String($Text.PadRight($Text.Length + (4 - $Text.Length % 4) % 4, '='))
}

function Test-Assertion {
    # Reads a client assertion, which must be signed with the certificate's key; returns its header and claims.
    param([string] $Assertion, [Security.Cryptography.X509Certificates.X509Certificate2] $Certificate)
    $parts = $Assertion.Split('.')
    Assert-Equal $parts.Count 3 'parts of the assertion'
    $header = [Text.Encoding]::UTF8.GetString((ConvertFrom-Base64Url $parts[0])) | ConvertFrom-Json
    $padding = if ($header.alg -ceq 'PS256') { [Security.Cryptography.RSASignaturePadding]::Pss } else { [Security.Cryptography.RSASignaturePadding]::Pkcs1 }
    $public = [Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPublicKey($Certificate)
    $signed = [Text.Encoding]::ASCII.GetBytes($parts[0] + '.' + $parts[1])
    Assert-True $public.VerifyData($signed, (ConvertFrom-Base64Url $parts[2]), [Security.Cryptography.HashAlgorithmName]::SHA256, $padding) 'the signature is not the certificate''s'
    @{ Header = $header; Claims = ([Text.Encoding]::UTF8.GetString((ConvertFrom-Base64Url $parts[1])) | ConvertFrom-Json) }
}

function New-TestShell {
    # A PowerShell with a runspace of its own and the module imported; $Shared is a hashtable both sides see.
    param([hashtable] $Shared = @{})
    $shell = [powershell]::Create()
    $shell.Runspace.SessionStateProxy.SetVariable('Shared', [hashtable]::Synchronized($Shared))
    $shell.Runspace.SessionStateProxy.SetVariable('User', $UserArguments.Clone())
    $shell.Runspace.SessionStateProxy.SetVariable('App', $AppArguments.Clone())
    $null = $shell.AddScript("Set-StrictMode -Version Latest; `$ProgressPreference = 'SilentlyContinue'; Import-Module '$($ModulePath.Replace("'", "''"))'").Invoke()
    if ($shell.HadErrors) { throw "the module could not be imported in another runspace: $($shell.Streams.Error)" }
    $shell.Commands.Clear()
    $shell
}

function Invoke-Process {
    # Runs a program and returns @{ Out; Err; Code }; input is closed at once unless text is given.
    param([string] $Program, [string[]] $Arguments, [hashtable] $Environment = @{}, [string] $InputText)
    $start = [Diagnostics.ProcessStartInfo]::new($Program)
    $start.UseShellExecute = $false
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.RedirectStandardInput = $true
    if ($null -ne $start.PSObject.Properties['ArgumentList']) { foreach ($argument in $Arguments) { $start.ArgumentList.Add($argument) } }
    else { $start.Arguments = @($Arguments | ForEach-Object { '"' + $_.Replace('"', '\"') + '"' }) -join ' ' }
    foreach ($name in $Environment.Keys) { $start.EnvironmentVariables[$name] = $Environment[$name] }
    $start.EnvironmentVariables['NO_COLOR'] = '1'
    $process = [Diagnostics.Process]::Start($start)
    try {
        $outText = $process.StandardOutput.ReadToEndAsync()
        $errText = $process.StandardError.ReadToEndAsync()
        if ($InputText) { $process.StandardInput.Write($InputText) }
        $process.StandardInput.Close()
        if (-not $process.WaitForExit(120000)) { $process.Kill(); throw "$Program did not end" }
        @{ Out = $outText.Result; Err = $errText.Result; Code = $process.ExitCode }
    }
    finally { $process.Dispose() }
}

function Invoke-PowerShell {
    # Runs a script text in a new PowerShell process with the module imported.
    param([string] $Script, [string[]] $Switches = @('-NoProfile'), [hashtable] $Environment = @{})
    $text = "Import-Module '$($ModulePath.Replace("'", "''"))'`n$Script"
    $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text))
    Invoke-Process $PowerShellProgram ($Switches + @('-OutputFormat', 'Text', '-EncodedCommand', $encoded)) $Environment
}

function Get-TestPlan {
    # What the library would be asked for: the command runs until it would ask.
    param([hashtable] $Arguments, [string] $Command = 'Get-DefenderToken')
    & (Get-Module -Name DefenderXdr) {
        param($arguments, $command)
        $script:TestPlan = $null
        $kept = ${function:script:Get-DefenderPlanToken}
        function script:Get-DefenderPlanToken {
            param($Plan, $Caller, $Timeout, $Failure)
            $script:TestPlan = $Plan
            $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'seen by the test' -Hint 'seen'
        }
        try { $null = & $command @arguments }
        catch { if ("$_" -notmatch 'seen by the test') { throw } }
        finally { Set-Item -LiteralPath function:script:Get-DefenderPlanToken -Value $kept }
        $script:TestPlan
    } $Arguments $Command
}

function Connect-TestDefender {
    # A fresh emulator, and a connection of the app to it.
    Reset-Emulator
    Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) 3>$null
}

function Get-Sent {
    # What the emulator was asked to change.
    @(Invoke-Emulator GET requests | ForEach-Object { $_ } | Where-Object { $_.method -ne 'GET' -and $_.path -notlike '*oauth2*' } | ForEach-Object { "$($_.method) $($_.path)" })
}

function Get-Recorded {
    # Runs the block; its output, and its non-terminating errors.
    param([scriptblock] $Body)
    $kept = $global:ErrorActionPreference
    $global:ErrorActionPreference = 'Continue'
    try { $all = @(& $Body 2>&1) }
    finally { $global:ErrorActionPreference = $kept }
    @{
        Out    = @($all | Where-Object { $_ -isnot [System.Management.Automation.ErrorRecord] })
        Errors = @($all | Where-Object { $_ -is [System.Management.Automation.ErrorRecord] })
    }
}
