# DefenderXdr: importing defines functions and does nothing else. The native library is loaded by the first command that needs it.

Set-StrictMode -Version 3.0

$script:ModuleRoot = $PSScriptRoot
$script:ModuleVersion = '0.1.0'     # a test keeps this equal to the manifest

foreach ($folder in 'Private', 'Public') {
    foreach ($file in [System.IO.Directory]::GetFiles([System.IO.Path]::Combine($PSScriptRoot, $folder), '*.ps1')) { . $file }
}

$ExecutionContext.SessionState.Module.OnRemove = { Close-DefenderNative }
