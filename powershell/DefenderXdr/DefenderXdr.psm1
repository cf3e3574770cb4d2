# DefenderXdr: importing defines functions and does nothing else. The native library is loaded by the first command that needs it.

Set-StrictMode -Version 3.0

if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    $refusal = @{
        ErrorId           = 'DefenderXdr.CONSTRAINED_LANGUAGE'
        Category          = 'PermissionDenied'
        Message           = "This session runs in $($ExecutionContext.SessionState.LanguageMode) mode, which does not let a script call a native library."
        RecommendedAction = 'Ask an administrator to allow the signed DefenderXdr module in the application control policy, or use a session in FullLanguage mode.'
    }
    Write-Error @refusal -ErrorAction Stop
}

$script:ModuleRoot = $PSScriptRoot
$script:ModuleVersion = '0.1.0'     # a test keeps this equal to the manifest
$script:Loaded = $false             # whether the private files were read
$script:Native = $null              # the emitted type
$script:Client = [System.IntPtr]::Zero
$script:ClientTarget = $null        # DEFENDER_XDR_EMULATOR when the client was made
# Prepared requests by their argument key, oldest first; case matters in redirect URIs and resources.
$script:Requests = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::Ordinal)
$script:Connection = $null          # what Connect-Defender made: @{ Entry; Renewal }, entries as in $script:Requests
$script:AdalBeside = $null          # whether the real ADAL.PS is loaded too; looked at once
$script:Interactive = $null         # whether this session can ask a person; found out on first need

function Import-DefenderPrivate {
    # The first command that needs them reads the private files, whose functions are all declared in the module's own scope: half of what an
    # import took was reading these. A file that fails ends the command, and the next one tries again.
    try { foreach ($file in [System.IO.Directory]::GetFiles([System.IO.Path]::Combine($script:ModuleRoot, 'Private'), '*.ps1')) { . $file } }
    catch { throw }
    $script:Loaded = $true
}

# A file that fails ends the import.
try { foreach ($file in [System.IO.Directory]::GetFiles([System.IO.Path]::Combine($PSScriptRoot, 'Public'), '*.ps1')) { . $file } }
catch { throw }

$ExecutionContext.SessionState.Module.OnRemove = { if ($null -ne $script:Native) { Close-DefenderNative } }
