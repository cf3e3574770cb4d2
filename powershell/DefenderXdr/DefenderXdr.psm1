# DefenderXdr: importing defines functions and does nothing else. The native library is loaded by the first command that needs it.

Set-StrictMode -Version 3.0

$script:ModuleRoot = $PSScriptRoot
$script:ModuleVersion = '0.1.0'     # a test keeps this equal to the manifest
$script:Loaded = $false             # whether Import-DefenderPrivate has done its work
$script:Native = $null              # the emitted type
$script:Connection = $null          # what Connect-Defender made: @{ Entry; Renewal }, entries as in $script:Requests

function Import-DefenderPrivate {
    # All that only a command needs is done by the first one: the state, the private files (whose functions are declared in the module's own
    # scope). It was most of what an import took. A file that fails ends the command, and the next one tries again.
    if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
        $refusal = @{
            ErrorId           = 'DefenderXdr.CONSTRAINED_LANGUAGE'
            Category          = 'PermissionDenied'
            Message           = "This session runs in $($ExecutionContext.SessionState.LanguageMode) mode, which does not let a script call a native library."
            RecommendedAction = 'Ask an administrator to allow the signed DefenderXdr module in the application control policy, or use a session in FullLanguage mode.'
        }
        Write-Error @refusal -ErrorAction Stop
    }
    $script:Client = [System.IntPtr]::Zero
    $script:ClientTarget = $null    # DEFENDER_XDR_EMULATOR when the clients were made
    $script:ClientProxy = ''        # the proxy that a command named for it
    $script:ClientEnvironment = $null   # the variables that the client lives by, as Get-DefenderEnvironment gives them
    $script:TokenCache = ''         # the cache on disk that Connect-Defender was asked for, as JSON; empty: memory
    $script:ClientCache = ''        # the cache of the client, in the same form
    # The clients of other caches that commands have named, by their cache, the one used last at the end.
    $script:IdleClients = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::Ordinal)
    # Prepared requests by their argument key, oldest first; case matters in redirect URIs and resources.
    $script:Requests = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::Ordinal)
    $script:AdalBeside = $null      # whether the real ADAL.PS is loaded too; looked at once
    $script:Obstacle = $null        # why this session can ask no person, or empty; found out on first need
    try { foreach ($file in [System.IO.Directory]::GetFiles([System.IO.Path]::Combine($script:ModuleRoot, 'Private'), '*.ps1')) { . $file } }
    catch { throw }
    $ExecutionContext.SessionState.Module.OnRemove = { if ($null -ne $script:Native) { Close-DefenderNative } }
    $script:Loaded = $true
}

# Named one by one: listing the folder takes longer than reading them. A file for each drop-in and each subject, because each file costs an
# import some 2 ms. Tests keep this equal to the folder.
try {
    . $PSScriptRoot/Public/Account.ps1
    . $PSScriptRoot/Public/Adal.ps1
    . $PSScriptRoot/Public/Alert.ps1
    . $PSScriptRoot/Public/Claims.ps1
    . $PSScriptRoot/Public/Connection.ps1
    . $PSScriptRoot/Public/Hunting.ps1
    . $PSScriptRoot/Public/Incident.ps1
    . $PSScriptRoot/Public/Indicator.ps1
    . $PSScriptRoot/Public/Machine.ps1
    . $PSScriptRoot/Public/Msal.ps1
    . $PSScriptRoot/Public/Request.ps1
}
catch { throw }
