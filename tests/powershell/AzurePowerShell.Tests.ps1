# Get-DefenderToken -AzurePowerShell, which asks a module Az.Accounts in a real PowerShell of its own; a small module stands in for Microsoft's.

$azFolder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-az-' + [guid]::NewGuid().ToString('N'))

function New-AzModule {
    # A folder for PSModulePath with a module Az.Accounts of this version whose Get-AzAccessToken does this.
    param([string] $Name, [string] $Version, [string] $Token, [string] $Account = "[pscustomobject]@{ Account = 'adele@fabrikam.example' }", [string] $Load = '')
    $module = [IO.Path]::Combine($azFolder, $Name, 'Az.Accounts', $Version)
    $null = [IO.Directory]::CreateDirectory($module)
    [IO.File]::WriteAllText([IO.Path]::Combine($module, 'Az.Accounts.psd1'), "@{ ModuleVersion = '$Version'; RootModule = 'Az.Accounts.psm1'; FunctionsToExport = '*'; GUID = '2f5f1b1d-0c0e-4a56-9a0b-6c1f1f7f1d10' }")
    [IO.File]::WriteAllText([IO.Path]::Combine($module, 'Az.Accounts.psm1'), @"
$Load
function Get-AzContext { $Account }
function Get-AzAccessToken {
    param([string] `$ResourceUrl, [string] `$TenantId)
    [IO.File]::AppendAllText('$azFolder/asked', "`$ResourceUrl|`$TenantId``n")
    $Token
}
"@)
    [IO.Path]::Combine($azFolder, $Name)
}

# In a session whose variables are set after the module was imported, as a script does. Each answer is one line.
$azAsk = @'
function Ask([string] $Folder, [hashtable] $More = @{}) {
    $env:PSModulePath = $Folder
    try { "token $((Get-DefenderToken -AzurePowerShell @More).AccessToken)" }
    catch { "error $($_.FullyQualifiedErrorId) | $_ | $($_.ErrorDetails.RecommendedAction)" -replace '\s+', ' ' }
}
'@
# On Windows PATH has the PowerShell that runs this; elsewhere its folder is put there.
$azPlace = @{ DEFENDER_XDR_EMULATOR = ''; HOME = $azFolder; PATH = "$PSHOME$([IO.Path]::PathSeparator)$env:PATH" }
$azExpiry = '$at = [datetimeoffset]::new(2099, 1, 1, 2, 0, 0, [timespan]::FromHours(2))'
$azPlain = "$azExpiry; [pscustomobject]@{ Token = 'aaa.plain.canary'; ExpiresOn = `$at; TenantId = 't'; Type = 'Bearer' }"
$azSecure = "$azExpiry; [pscustomobject]@{ Token = (ConvertTo-SecureString 'aaa.secure.canary' -AsPlainText -Force); ExpiresOn = `$at }"

Describe 'the account of Azure PowerShell' {
    It 'gives its token as plain text and as secure text, whatever is printed beside it' {
        try {
            $noise = "Write-Host 'defender-xdr: noise'; [Console]::WriteLine('noise'); Write-Warning 'noise'; Write-Progress 'noise'"
            $plain = New-AzModule 'plain' '2.19.0' "$noise; $azPlain" -Load $noise
            $secure = New-AzModule 'secure' '5.1.0' $azSecure
            $result = Invoke-PowerShell "$azAsk; Ask '$plain'; Ask '$secure' @{ TenantId = 'fabrikam.example'; Service = 'Graph' }; (Get-DefenderToken -AzurePowerShell).ExpiresOn.ToUnixTimeSeconds()" -Environment $azPlace
            Assert-Equal @($result.Out.Trim() -split '\r?\n') 'token aaa.plain.canary', 'token aaa.secure.canary', '4070908800'
            Assert-Equal @([IO.File]::ReadAllLines("$azFolder/asked")) 'https://api.security.microsoft.com|', 'https://graph.microsoft.com|fabrikam.example', 'https://api.security.microsoft.com|'
        }
        finally { [IO.Directory]::Delete($azFolder, $true) }
    }
    It 'is told to sign in, and what is missing, old or broken' {
        try {
            $none = New-AzModule 'none' '5.1.0' $azSecure -Account ''
            $gone = New-AzModule 'gone' '5.1.0' "throw 'Your Azure credentials have expired, please run Connect-AzAccount.'"
            $fails = New-AzModule 'fails' '5.1.0' "throw ""b`$([char] 0xf6)se`n`$([char] 0x4e2d) AADSTS90002: no such tenant"""
            $broken = New-AzModule 'broken' '5.1.0' $azSecure -Load 'throw ''not today'''
            $cases = @(
                @($none, 'INTERACTION_REQUIRED', 'nobody is signed in to Azure PowerShell', 'Connect-AzAccount .*-Scope Process.*-AccessToken'),
                @($gone, 'INTERACTION_REQUIRED', 'credentials have expired', 'Connect-AzAccount'),
                @($fails, 'TENANT_NOT_FOUND', "b$([char] 0xf6)se $([char] 0x4e2d) AADSTS90002", '\S'),
                @($broken, 'TOOL_FAILED', 'could not be loaded \(Az\.Accounts 5\.1\.0\): not today', 'Import-Module'))
            # Where a real one is installed for everybody, none is missing and none is too old.
            if (-not (Get-Module -ListAvailable -Name Az.Accounts)) {
                $old = New-AzModule 'old' '1.9.5' $azPlain
                $cases += , @($old, 'TOOL_MISSING', 'too old: Az\.Accounts 1\.9\.5', 'Update-Module Az\.Accounts')
                $cases += , @('/nowhere', 'TOOL_MISSING', 'no module Az\.Accounts', 'Install-Module Az\.Accounts, then Connect-AzAccount')
            }
            $asks = foreach ($case in $cases) { "Ask '$($case[0])'" }
            $result = Invoke-PowerShell "[Console]::OutputEncoding = [Text.UTF8Encoding]::new(`$false); $azAsk; $($asks -join '; ')" -Environment $azPlace
            $lines = @($result.Out.Trim() -split '\r?\n')
            Assert-Equal $lines.Count $cases.Count $result.Out
            for ($at = 0; $at -lt $cases.Count; $at++) { Assert-Match $lines[$at] "^error DefenderXdr\.$($cases[$at][1]),Get-DefenderToken \| .*$($cases[$at][2]).* \| .*$($cases[$at][3])" }
        }
        finally { [IO.Directory]::Delete($azFolder, $true) }
    }
    It 'leaves no token in a transcript that a policy asks for' {
        # A file of settings in the user's folder takes the place of Windows' group policy.
        if ($PSVersionTable.PSEdition -eq 'Desktop' -or $IsWindows) { Write-Host 'SKIPPED: transcripts by policy, which is the machine''s on Windows'; return }
        try {
            $settings = [IO.Path]::Combine($azFolder, 'policy', '.config', 'powershell')
            $null = [IO.Directory]::CreateDirectory($settings)
            [IO.File]::WriteAllText("$settings/powershell.config.json", (ConvertTo-Json @{ PowerShellPolicies = @{ Transcription = @{ EnableTranscripting = $true; OutputDirectory = "$azFolder/transcripts" } } } -Depth 5))
            $plain = New-AzModule 'plain' '2.19.0' $azPlain
            # The first session's own transcript is none: its home is another.
            $result = Invoke-PowerShell "`$env:HOME = '$azFolder/policy'; $azAsk; Ask '$plain'" -Environment $azPlace
            Assert-Equal $result.Out.Trim() 'token aaa.plain.canary'
            $transcripts = @([IO.Directory]::GetFiles("$azFolder/transcripts", '*', 'AllDirectories'))
            Assert-Equal $transcripts.Count 1
            $text = [IO.File]::ReadAllText($transcripts[0])
            Assert-Match $text 'Host Application'
            Assert-NoSecret $text 'aaa.plain.canary' 'the transcript'
        }
        finally { [IO.Directory]::Delete($azFolder, $true) }
    }
    It 'of this session alone is brought as its token' {
        foreach ($token in [pscustomobject]@{ Token = 'aaa.bbb.ccc'; ExpiresOn = [datetimeoffset]::Now }, [pscustomobject]@{ Token = (New-Secret 'aaa.bbb.ccc'); ExpiresOn = [datetimeoffset]::Now }) {
            $taken = & (Get-Module -Name DefenderXdr) { param($token) Get-DefenderTokenSecret $token } $token
            Assert-Equal $(if ($taken -is [securestring]) { [Net.NetworkCredential]::new('', $taken).Password } else { $taken }) 'aaa.bbb.ccc'
        }
    }
}
