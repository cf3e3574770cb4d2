# Runs the tests of the PowerShell module; prints 'N passed, N failed' as its last line and exits with 1 when one failed.
#
# DEFENDER_XDR_LIBRARY        the native library to test (else the one the module finds)
# DXDR_TEST_EMULATOR_JSON     the line 'defender-emulator serve --auto-approve' printed; without it only the tests that need no emulator run
# DXDR_TEST_EMULATOR_PROGRAM  the emulator's program, which plays the person in the browser
# DXDR_TEST_ONLY              run only the tests whose title holds this
[CmdletBinding()]
param([string] $File = '*')

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
. ([IO.Path]::Combine($PSScriptRoot, 'harness.ps1'))
. ([IO.Path]::Combine($PSScriptRoot, 'support.ps1'))

Import-Module $ModulePath -Force
# The tests call private functions, which the module reads when a command first needs them.
& (Get-Module -Name DefenderXdr) { Import-DefenderPrivate }
foreach ($test in Get-ChildItem -LiteralPath $PSScriptRoot -Filter "$File.Tests.ps1" | Sort-Object -Property Name) {
    . $test.FullName
}
Write-Host "$script:Passed passed, $script:Failed failed"
if ($script:Failed -gt 0 -or $script:Passed -eq 0) { exit 1 }
exit 0
