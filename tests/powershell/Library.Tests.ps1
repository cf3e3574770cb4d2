# Finding and loading the native library, and what is said when that fails.

function Invoke-WithLibrary {
    param([string] $Path, [string] $Script = 'try { ConvertFrom-DefenderToken a.b.c -ErrorAction Stop } catch { "$($_.FullyQualifiedErrorId)|$($_.CategoryInfo.Category)|$_|$($_.ErrorDetails.RecommendedAction)" }')
    (Invoke-PowerShell $Script -Environment @{ DEFENDER_XDR_LIBRARY = $Path }).Out.Trim() -split '\|'
}

$scratch = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N'))
$null = [IO.Directory]::CreateDirectory($scratch)

Describe 'library' {
    It 'is missing where DEFENDER_XDR_LIBRARY points: says so' {
        $said = Invoke-WithLibrary ([IO.Path]::Combine($scratch, 'nothing.so'))
        Assert-Equal $said[0..1] 'DefenderXdr.LIBRARY_NOT_FOUND,ConvertFrom-DefenderToken', 'NotInstalled'
        Assert-Match $said[2] 'nothing\.so'
        Assert-True $said[3]
    }
    It 'takes an absolute path only' {
        $said = Invoke-WithLibrary 'target/debug/libdefender_xdr.so'
        Assert-Match $said[0] 'LIBRARY_NOT_FOUND'
        Assert-Match $said[2] 'not an absolute path'
    }
    It 'was never built: names cargo build' {
        $copy = [IO.Path]::Combine($scratch, 'checkout', 'powershell', 'DefenderXdr')
        $null = [IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($copy))
        Copy-Item -LiteralPath $ModulePath -Destination $copy -Recurse
        $text = "Import-Module '$copy'; try { ConvertFrom-DefenderToken a.b.c -ErrorAction Stop } catch { `"`$(`$_.FullyQualifiedErrorId)|`$(`$_.ErrorDetails.RecommendedAction)`" }"
        $result = Invoke-Process $PowerShellProgram @('-NoProfile', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text))) @{ DEFENDER_XDR_LIBRARY = ''; CARGO_TARGET_DIR = '' }
        Assert-Match $result.Out 'DefenderXdr\.LIBRARY_NOT_FOUND'
        Assert-Match $result.Out 'cargo build'
    }
    It 'is the newer of the release and debug builds in a checkout' {
        $root = [IO.Path]::Combine($scratch, 'newer')
        $inModule = Get-Module -Name DefenderXdr
        $file = [IO.Path]::GetFileName((& $inModule { $f = @{ Record = $null }; Get-DefenderLibraryPath $f; if ($f.Record) { 'libdefender_xdr.so' } }))
        foreach ($build in 'release', 'debug') {
            $null = [IO.Directory]::CreateDirectory([IO.Path]::Combine($root, 'target', $build))
            [IO.File]::WriteAllText([IO.Path]::Combine($root, 'target', $build, $file), 'x')
        }
        $found = {
            & $inModule {
                param($at)
                $before = $script:ModuleRoot, [Environment]::GetEnvironmentVariable('DEFENDER_XDR_LIBRARY'), [Environment]::GetEnvironmentVariable('CARGO_TARGET_DIR')
                try {
                    $script:ModuleRoot = [IO.Path]::Combine($at, 'powershell', 'DefenderXdr')
                    [Environment]::SetEnvironmentVariable('DEFENDER_XDR_LIBRARY', $null)
                    [Environment]::SetEnvironmentVariable('CARGO_TARGET_DIR', $null)
                    Get-DefenderLibraryPath @{ Record = $null }
                }
                finally {
                    $script:ModuleRoot = $before[0]
                    [Environment]::SetEnvironmentVariable('DEFENDER_XDR_LIBRARY', $before[1])
                    [Environment]::SetEnvironmentVariable('CARGO_TARGET_DIR', $before[2])
                }
            } $root
        }
        $now = [DateTime]::UtcNow
        [IO.File]::SetLastWriteTimeUtc([IO.Path]::Combine($root, 'target', 'release', $file), $now)
        [IO.File]::SetLastWriteTimeUtc([IO.Path]::Combine($root, 'target', 'debug', $file), $now.AddHours(-1))
        Assert-Equal (& $found) ([IO.Path]::Combine($root, 'target', 'release', $file))
        [IO.File]::SetLastWriteTimeUtc([IO.Path]::Combine($root, 'target', 'debug', $file), $now.AddHours(1))
        Assert-Equal (& $found) ([IO.Path]::Combine($root, 'target', 'debug', $file))
    }
    It 'of a packaged module is its own only' {
        $copy = [IO.Path]::Combine($scratch, 'packaged', 'DefenderXdr')
        $null = [IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($copy))
        Copy-Item -LiteralPath $ModulePath -Destination $copy -Recurse
        $null = [IO.Directory]::CreateDirectory([IO.Path]::Combine($copy, 'lib', 'other-x64'))
        $text = "Import-Module '$copy'; try { ConvertFrom-DefenderToken a.b.c -ErrorAction Stop } catch { `"`$(`$_.FullyQualifiedErrorId)|`$_`" }"
        $result = Invoke-Process $PowerShellProgram @('-NoProfile', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text)))
        Assert-Match $result.Out 'DefenderXdr\.LIBRARY_NOT_FOUND.*holds no native library for'
    }
    It 'is for another architecture: says which' {
        $path = [IO.Path]::Combine($scratch, 'other.so')
        $bytes = [byte[]]::new(1024)
        [byte[]] (0x7f, 0x45, 0x4c, 0x46, 2, 1, 1) | ForEach-Object -Begin { $i = 0 } -Process { $bytes[$i++] = $_ }
        $bytes[16] = 3
        $bytes[18] = 0xf3      # RISC-V
        [IO.File]::WriteAllBytes($path, $bytes)
        $said = Invoke-WithLibrary $path
        Assert-Match $said[0] 'LIBRARY_ARCHITECTURE'
        Assert-Match $said[2] "machine 243.*this PowerShell needs '"
    }
    It 'recognises the common kinds of library' {
        $inModule = Get-Module -Name DefenderXdr
        $kinds = @{ 'linux arm64' = @(0, 0x7f, 1, 0x45, 2, 0x4c, 3, 0x46, 18, 0xb7); 'windows x64' = @(0, 0x4d, 1, 0x5a, 60, 0x80, 0x84, 0x64, 0x85, 0x86)
            'windows arm64' = @(0, 0x4d, 1, 0x5a, 60, 0x80, 0x84, 0x64, 0x85, 0xaa); 'macos arm64' = @(0, 0xcf, 1, 0xfa, 2, 0xed, 3, 0xfe, 4, 0x0c, 7, 1); 'macos x64' = @(0, 0xcf, 1, 0xfa, 2, 0xed, 3, 0xfe, 4, 7, 7, 1)
            'not a library' = @(0, 0x23, 1, 0x21) }
        foreach ($kind in $kinds.Keys) {
            $path = [IO.Path]::Combine($scratch, 'kind')
            $bytes = [byte[]]::new(1024)
            for ($i = 0; $i -lt $kinds[$kind].Length; $i += 2) { $bytes[$kinds[$kind][$i]] = $kinds[$kind][$i + 1] }
            [IO.File]::WriteAllBytes($path, $bytes)
            Assert-Equal (& $inModule { param($p) Get-DefenderLibraryArchitecture $p } $path) $kind
        }
    }
    It 'is not this library: says so' {
        # Any other library of this machine's kind: the runtime's own.
        $other = Get-ChildItem -LiteralPath ([IO.Path]::GetDirectoryName($PowerShellProgram)) -File | Where-Object { $_.Name -match '^(lib)?(coreclr|System\.Native)\.(so|dll|dylib)$' } | Select-Object -First 1
        $path = if ($other) { $other.FullName } else { (Get-ChildItem -LiteralPath ([Runtime.InteropServices.RuntimeEnvironment]::GetRuntimeDirectory()) -File | Where-Object { $_.Name -match 'System\.Native\.(so|dylib)$|^coreclr\.dll$' } | Select-Object -First 1).FullName }
        $said = Invoke-WithLibrary $path
        Assert-Match $said[0] 'LIBRARY_NOT_LOADED'
        Assert-True $said[3]
    }
    It 'has another ABI: says which' {
        $inModule = Get-Module -Name DefenderXdr
        $said = & $inModule {
            $keep = $script:Native
            try {
                function Get-DefenderNativeType { Add-Type -TypeDefinition 'public static class DxdrTestNextAbi { public static uint dxdr_abi_version() { return 2u << 16; } }'; [DxdrTestNextAbi] }
                $script:Native = $null
                $failure = @{ Record = $null }
                Initialize-DefenderNative $failure
                $failure.Record
            }
            finally { $script:Native = $keep }
        }
        Assert-Equal $said.FullyQualifiedErrorId 'DefenderXdr.ABI_VERSION'
        Assert-Match "$said" 'ABI 2\.0'
    }
    It 'cannot be called in constrained language mode: the first command names the reason and the way out' {
        $text = "`$ExecutionContext.SessionState.LanguageMode = 'ConstrainedLanguage'; Import-Module '$ModulePath' -ErrorAction Stop; try { Get-ADALToken -Resource https://api.security.microsoft.com -ClientId 22869222-3c51-4d11-ad15-99b70e71c548 -ErrorAction Stop } catch { `"`$(`$_.FullyQualifiedErrorId)|`$(`$_.CategoryInfo.Category)|`$_|`$(`$_.ErrorDetails.RecommendedAction)`" }"
        $result = Invoke-Process $PowerShellProgram @('-NoProfile', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text)))
        Assert-Match $result.Out '^DefenderXdr\.CONSTRAINED_LANGUAGE.*\|PermissionDenied\|.*ConstrainedLanguage mode.*\|.*administrator'
    }
    It 'is named under -Verbose' {
        $result = Invoke-PowerShell '$null = Clear-AdalTokenCache -Verbose -Confirm:$false 4>&1 | ForEach-Object { Write-Output "$_" } | Tee-Object -Variable said; $said'
        Assert-Match $result.Out 'Native library: .*defender_xdr\.(so|dll|dylib)'
    }
}

[IO.Directory]::Delete($scratch, $true)

Describe 'variables set in the session' {
    It 'reach the library: a proxy with its password and exceptions, and none' {
        $read = '& (Get-Module DefenderXdr) { Import-DefenderPrivate; $f = @{ Record = $null }; Initialize-DefenderClient $f; if ($f.Record) { "$($f.Record)" } else { (Get-DefenderClientDescription)["proxy"] } }'
        $result = Invoke-PowerShell "`$env:HTTPS_PROXY = 'http://soc:p%40ss-canary-0123456789@127.0.0.1:9/'; `$env:NO_PROXY = 'x.example'; $read" -Environment @{ HTTPS_PROXY = ''; NO_PROXY = '' }
        Assert-Match $result.Out '127\.0\.0\.1:9'
        Assert-NoSecret ($result.Out + $result.Err) 'p@ss-canary-0123456789' 'the description'
        $result = Invoke-PowerShell "`$env:HTTPS_PROXY = `$null; $read" -Environment @{ HTTPS_PROXY = 'http://127.0.0.1:9' }
        if ($PSVersionTable.PSEdition -ne 'Desktop' -and -not $IsWindows) { Assert-Match $result.Out 'none' }
        Assert-NotMatch $result.Out '127\.0\.0\.1:9'
    }
    It 'reach the library: the emulator, and its absence' {
        if ($null -eq $Emulator) { return }
        $read = '& (Get-Module DefenderXdr) { Import-DefenderPrivate; $f = @{ Record = $null }; Initialize-DefenderClient $f; "emulator: $((Get-DefenderClientDescription)["emulator"])" }'
        $result = Invoke-PowerShell "`$env:DEFENDER_XDR_EMULATOR = `$null; $read; `$env:DEFENDER_XDR_EMULATOR = '$($Emulator.emulator)'; $read"
        Assert-Equal @($result.Out.Trim() -split '\s*\n') 'emulator:', "emulator: $($Emulator.origin)"
    }
    It 'reach the next command: a proxy, another one, and one that is not an address' {
        # The first command has used the library, and its client, before the proxies are named.
        $result = Invoke-PowerShell @'
$env:https_proxy = $env:all_proxy = $env:no_proxy = $null
$first, $second = foreach ($port in 1, 2) {
    $listener = [Net.Sockets.TcpListener]::new([Net.IPAddress]::Loopback, 0)
    $listener.Start()
    $seen = [Collections.Concurrent.ConcurrentQueue[string]]::new()
    $null = [powershell]::Create().AddScript({
            param($listener, $seen)
            while ($true) {
                $client = $listener.AcceptTcpClient()
                $reader = [IO.StreamReader]::new($client.GetStream())
                $seen.Enqueue($reader.ReadLine())
                while ($reader.ReadLine()) { }
                $answer = [Text.Encoding]::ASCII.GetBytes("HTTP/1.1 403 Forbidden`r`nContent-Length: 0`r`nConnection: close`r`n`r`n")
                $client.GetStream().Write($answer, 0, $answer.Length)
                $client.Dispose()
            }
        }).AddArgument($listener).AddArgument($seen).BeginInvoke()
    [pscustomobject]@{ Address = "http://127.0.0.1:$($listener.LocalEndpoint.Port)"; Seen = $seen; Listener = $listener }
}
$app = @{ ClientId = '51a6db97-19f4-4f4c-9cfc-880283b334a2'; TenantId = '8e58f0bf-3f7c-4dc0-90c3-f13a92d07897'; ClientSecret = [securestring]::new(); ErrorAction = 'Stop'; Timeout = 60 }
'abcdefgh'.ToCharArray() | ForEach-Object { $app.ClientSecret.AppendChar($_) }
function Try-Token($Command) { try { & $Command @args } catch { "$($_.FullyQualifiedErrorId): $_" } }
$closed = [Net.Sockets.TcpListener]::new([Net.IPAddress]::Loopback, 0); $closed.Start(); $port = $closed.LocalEndpoint.Port; $closed.Stop()
$here = $app.Clone(); $here.Remove('TenantId'); $here.Authority = "http://127.0.0.1:$port/tenant"
$null = Try-Token Get-DefenderToken @here -AuthorityType Oidc
$adal = @{ Resource = 'https://api.security.microsoft.com' }
$null = try { Get-ADALToken @adal -ClientId $here.ClientId -Authority $here.Authority -ClientSecret $here.ClientSecret } catch { }
foreach ($proxy in $first, $second) {
    $env:HTTPS_PROXY = $proxy.Address
    $null = Try-Token Get-ADALToken @adal @app
    $null = Try-Token Get-DefenderToken @app
    $null = Try-Token Get-MsalToken -ClientId $app.ClientId -TenantId $app.TenantId -ClientSecret $app.ClientSecret -ErrorAction Stop
    "$(@($proxy.Seen | Where-Object { $_ -match '^CONNECT login\.[a-z.]+:443 HTTP/1\.1$' }).Count -ge 3) $($proxy.Seen.Count)"
}
$env:HTTPS_PROXY = 'ftp://soc:canary-0123456789@proxy'
Try-Token Get-DefenderToken @app
$first.Listener.Stop()
$second.Listener.Stop()
'@ -Environment @{ HTTPS_PROXY = ''; ALL_PROXY = ''; NO_PROXY = ''; DEFENDER_XDR_EMULATOR = '' }
        $lines = $result.Out.Trim() -split '\s*\n'
        Assert-Match $lines[0] '^True ' $result.Out
        Assert-Match $lines[1] '^True ' $result.Out
        Assert-Match $result.Out 'DefenderXdr\.BAD_ARGUMENT\S*: HTTPS_PROXY is not a proxy address'
        Assert-NoSecret ($result.Out + $result.Err) 'canary-0123456789' 'the refusal'
    }
    It 'reach the next command: the browser, the trace, and what says that nobody is there' {
        if ($null -eq $Emulator) { return }
        $trace = [IO.Path]::Combine([IO.Path]::GetTempPath(), [guid]::NewGuid().ToString('N'))
        try {
            $result = Invoke-PowerShell @"
`$null = Clear-AdalTokenCache -Confirm:`$false
`$env:BROWSER = '$([Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM')) browse'
`$env:DEFENDER_XDR_LOG = '$trace'
`$app = @{ ClientId = '$($Emulator.public_client_id)'; TenantId = '$($Emulator.tenant_id)' }
`$token = Get-ADALToken @app -Resource https://api.security.microsoft.com -RedirectUri http://localhost -Timeout 100
"token: `$([bool] `$token.AccessToken)"
`$env:CI = 'true'
try { Get-DefenderToken -TenantId '$($Emulator.tenant_id)' -ErrorAction Stop } catch { "`$_" }
"@ -Environment @{ BROWSER = ''; CI = ''; GITHUB_ACTIONS = ''; TF_BUILD = ''; DEFENDER_XDR_LOG = '' }
            if ($PSVersionTable.PSEdition -ne 'Desktop' -and -not $IsWindows) { Assert-Match $result.Out 'token: True' ($result.Out + $result.Err) }
            Assert-Match ($result.Out -replace '\s+', ' ') 'no person can be asked here: CI is set'
            Assert-Match ([IO.File]::ReadAllText($trace)) '/oauth2/token 200'
        }
        finally { [IO.File]::Delete($trace) }
    }
}
