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

foreach ($folder in 'Private', 'Public') {
    foreach ($file in [System.IO.Directory]::GetFiles([System.IO.Path]::Combine($PSScriptRoot, $folder), '*.ps1')) { . $file }
}

$ExecutionContext.SessionState.Module.OnRemove = { Close-DefenderNative }
