# The native library: the only file that knows it. It finds and checks the library, emits the P/Invoke type on first use, and wraps
# the calls. Nothing here runs at import.
#
# Rules: only blittable types cross (IntPtr, byte[], UIntPtr, integers); whatever the library hands out is freed in the function that
# took it; the only call that may block is dxdr_op_wait, in slices of 100 ms, because the engine stops a script between statements only;
# a `finally` makes plain .NET calls only, since a stopping pipeline runs no commands. A function that can fail takes -Failure, a
# hashtable, and leaves the error record in its Record entry: a thrown and caught error would stay behind in the user's $Error.

function script:Get-DefenderNativeTable {
    # name = return type, argument types. A test compares this with include/defender_xdr.h.
    $ptr = [System.IntPtr]
    $out = [System.IntPtr].MakeByRefType()
    $size = [System.UIntPtr]
    $sizeOut = [System.UIntPtr].MakeByRefType()
    $bytes = [byte[]]
    $int = [int]
    $intOut = [int].MakeByRefType()
    [ordered]@{
        dxdr_abi_version          = , [uint32]
        dxdr_version              = , $ptr
        dxdr_status_name          = $ptr, $int
        dxdr_buf_get              = $int, $ptr, $out, $sizeOut
        dxdr_buf_free             = $int, $ptr
        dxdr_secret_new_utf8      = $int, $bytes, $size, $out, $out
        dxdr_secret_new_utf16     = $int, $ptr, $size, $out, $out
        dxdr_secret_free          = $int, $ptr
        dxdr_cancel_new           = $int, $out, $out
        dxdr_cancel_trigger       = $int, $ptr
        dxdr_cancel_free          = $int, $ptr
        dxdr_client_new           = $int, $bytes, $size, $out, $out
        dxdr_client_set_secret    = $int, $ptr, $bytes, $size, $ptr, $out
        dxdr_client_describe      = $int, $ptr, $out, $out
        dxdr_client_clear_cache   = $int, $ptr, $out
        dxdr_client_accounts_start = $int, $ptr, $bytes, $size, [uint32], $out, $out
        dxdr_client_accounts      = $int, $ptr, $out, $out
        dxdr_client_remove_account = $int, $ptr, $bytes, $size, $out
        dxdr_client_export_refresh_token = $int, $ptr, $bytes, $size, $bytes, $size, $out, $out
        dxdr_client_free          = $int, $ptr
        dxdr_request_new          = $int, $ptr, $bytes, $size, $out, $out
        dxdr_request_set_secret   = $int, $ptr, $bytes, $size, $ptr, $out
        dxdr_request_describe     = $int, $ptr, $out, $out
        dxdr_request_free         = $int, $ptr
        dxdr_acquire_token        = $int, $ptr, [uint32], $ptr, $out, $out
        dxdr_decode_claims        = $int, $bytes, $size, $out, $out
        dxdr_get_incidents        = $int, $ptr, $bytes, $size, [uint32], $ptr, $out, $out
        dxdr_cached_token         = $int, $ptr, $out, $out
        dxdr_token_value          = $int, $ptr, $out, $sizeOut
        dxdr_token_id_token       = $int, $ptr, $out, $sizeOut
        dxdr_token_expires_on     = $int, $ptr, [long].MakeByRefType()
        dxdr_token_describe       = $int, $ptr, $out, $out
        dxdr_token_free           = $int, $ptr
        dxdr_acquire_token_start  = $int, $ptr, [uint32], $out, $out
        dxdr_list_incidents_start = $int, $ptr, $bytes, $size, [uint32], $out, $out
        dxdr_get_incident_start   = $int, $ptr, $bytes, $size, [uint32], $out, $out
        dxdr_call_start           = $int, $ptr, $bytes, $size, [uint32], $out, $out
        dxdr_describe_services    = $int, $out, $out
        dxdr_op_resume            = $int, $ptr, $out, $out
        dxdr_op_wait              = $int, $ptr, [uint32], $intOut
        dxdr_op_take_event        = $int, $ptr, $out, $out
        dxdr_op_reply             = $int, $ptr, [uint64], $bytes, $size, $out
        dxdr_op_take_item         = $int, $ptr, $out, $out
        dxdr_op_take_token        = $int, $ptr, $out, $out
        dxdr_op_take_error        = $int, $ptr, $out, $out
        dxdr_op_cancel            = $int, $ptr
        dxdr_op_free              = $int, $ptr
    }
}

# ---- finding and loading -------------------------------------------------------------------------------------------------------------

function script:Test-DefenderWindows { $PSVersionTable.PSEdition -eq 'Desktop' -or $IsWindows }

function script:Get-DefenderLibraryPath {
    # A packaged module takes its own lib/<rid>/ only. In a checkout: DEFENDER_XDR_LIBRARY, else the newer of the release and debug builds.
    param([hashtable] $Failure)
    $windows = Test-DefenderWindows
    $file = if ($windows) { 'defender_xdr.dll' } elseif ($IsMacOS) { 'libdefender_xdr.dylib' } else { 'libdefender_xdr.so' }
    $packaged = [System.IO.Path]::Combine($script:ModuleRoot, 'lib')
    if ([System.IO.Directory]::Exists($packaged)) {
        $rid = Get-DefenderRuntimeId
        $path = [System.IO.Path]::Combine($packaged, $rid, $file)
        if ([System.IO.File]::Exists($path)) { return $path }
        $Failure.Record = New-DefenderErrorRecord -Name 'LIBRARY_NOT_FOUND' -Message "this copy of the DefenderXdr module holds no native library for $rid" `
            -Hint "Install a package of the module that supports $rid; the file it looked for is $path"
        return
    }

    $path = [System.Environment]::GetEnvironmentVariable('DEFENDER_XDR_LIBRARY')
    if ($path) {
        $absolute = if ($windows) { $path -match '^(?:[A-Za-z]:[\\/]|\\\\)' } else { $path.StartsWith('/') }
        if (-not $absolute) {
            $Failure.Record = New-DefenderErrorRecord -Name 'LIBRARY_NOT_FOUND' -Message "DEFENDER_XDR_LIBRARY is not an absolute path: $path" `
                -Hint 'Give the full path of the native library file, or remove the variable.'
            return
        }
        if ([System.IO.File]::Exists($path)) { return $path }
        $Failure.Record = New-DefenderErrorRecord -Name 'LIBRARY_NOT_FOUND' -Message "DEFENDER_XDR_LIBRARY names a file that does not exist: $path" `
            -Hint 'Correct the path, or remove the variable to use the library that cargo built.'
        return
    }

    $root = [System.IO.Path]::GetFullPath([System.IO.Path]::Combine($script:ModuleRoot, '..', '..'))
    $target = [System.Environment]::GetEnvironmentVariable('CARGO_TARGET_DIR')
    if (-not $target) { $target = 'target' }
    $newest = $null
    foreach ($build in 'release', 'debug') {
        $candidate = [System.IO.FileInfo]::new([System.IO.Path]::Combine($root, $target, $build, $file))
        if ($candidate.Exists -and ($null -eq $newest -or $candidate.LastWriteTimeUtc -gt $newest.LastWriteTimeUtc)) { $newest = $candidate }
    }
    if ($null -ne $newest) { return $newest.FullName }
    $Failure.Record = New-DefenderErrorRecord -Name 'LIBRARY_NOT_FOUND' `
        -Message "the native library $file was not found below $([System.IO.Path]::Combine($root, $target))" `
        -Hint "Run 'cargo build' in $root, or set DEFENDER_XDR_LIBRARY to the full path of the library."
}

function script:Get-DefenderProcessArchitecture {
    # x64, x86, arm64 or arm, of this process.
    $information = 'System.Runtime.InteropServices.RuntimeInformation' -as [type]
    if ($null -ne $information) { return $information::ProcessArchitecture.ToString().ToLowerInvariant() }
    switch ([System.Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')) {
        'AMD64' { 'x64'; break }
        'ARM64' { 'arm64'; break }
        default { 'x86' }
    }
}

function script:Get-DefenderRuntimeId {
    $architecture = Get-DefenderProcessArchitecture
    if (Test-DefenderWindows) { return "win-$architecture" }
    if ($IsMacOS) { return "osx-$architecture" }
    $musl = [System.Runtime.InteropServices.RuntimeInformation].GetProperty('RuntimeIdentifier')
    if ($null -ne $musl -and [string] $musl.GetValue($null) -match 'musl|alpine') { return "linux-musl-$architecture" }
    "linux-$architecture"
}

function script:Get-DefenderLibraryArchitecture {
    # What the file says it is: '<windows|linux|macos> <architecture>', or 'not a library'.
    param([string] $Path)
    $bytes = [byte[]]::new(1024)
    $stream = [System.IO.File]::Open($Path, 'Open', 'Read', 'ReadWrite, Delete')
    try { $count = $stream.Read($bytes, 0, $bytes.Length) }
    finally { $stream.Dispose() }
    $machine = 'not a library'
    if ($count -ge 64) {
        if ($bytes[0] -eq 0x7f -and $bytes[1] -eq 0x45 -and $bytes[2] -eq 0x4c -and $bytes[3] -eq 0x46) {
            $machine = switch ([System.BitConverter]::ToUInt16($bytes, 18)) { 0x3e { 'linux x64' } 0xb7 { 'linux arm64' } 0x03 { 'linux x86' } 0x28 { 'linux arm' } default { "linux machine $_" } }
        }
        elseif ($bytes[0] -eq 0x4d -and $bytes[1] -eq 0x5a) {
            $offset = [System.BitConverter]::ToInt32($bytes, 60)
            if ($offset -gt 0 -and $offset + 6 -le $count) {
                $machine = switch ([System.BitConverter]::ToUInt16($bytes, $offset + 4)) { 0x8664 { 'windows x64' } 0xaa64 { 'windows arm64' } 0x14c { 'windows x86' } default { "windows machine $_" } }
            }
        }
        elseif ($bytes[0] -eq 0xcf -and $bytes[1] -eq 0xfa -and $bytes[2] -eq 0xed -and $bytes[3] -eq 0xfe) {
            $machine = switch ([System.BitConverter]::ToUInt32($bytes, 4)) { 0x01000007 { 'macos x64' } 0x0100000c { 'macos arm64' } default { "macos machine $_" } }
        }
    }
    $machine
}

function script:Initialize-DefenderNative {
    # Makes $script:Native ready, or leaves an error record that says what to do.
    param([hashtable] $Failure)
    if ($null -ne $script:Native) { return }
    $path = Get-DefenderLibraryPath $Failure
    if ($null -ne $Failure.Record) { return }
    Write-Verbose "Native library: $path"

    $system = if (Test-DefenderWindows) { 'windows' } elseif ($IsMacOS) { 'macos' } else { 'linux' }
    $needed = "$system $(Get-DefenderProcessArchitecture)"
    try {
        $found = Get-DefenderLibraryArchitecture $path
        if ($found -ne $needed) {
            $Failure.Record = New-DefenderErrorRecord -Name 'LIBRARY_ARCHITECTURE' `
                -Message "the native library $path is for '$found', and this PowerShell needs '$needed'" `
                -Hint "Build or install the library for $(Get-DefenderRuntimeId), or start a PowerShell of the library's architecture."
            return
        }
        # The loader's own words are better than the error of a failed P/Invoke; 5.1 has no such call.
        $loader = 'System.Runtime.InteropServices.NativeLibrary' -as [type]
        if ($null -ne $loader) { $null = $loader::Load($path) }
        $native = Get-DefenderNativeType $path
        $version = $native::dxdr_abi_version()
    }
    catch {
        $global:Error.RemoveAt(0)
        $reason = $_.Exception.GetBaseException().Message
        $Failure.Record = New-DefenderErrorRecord -Name 'LIBRARY_NOT_LOADED' -Message "the native library $path could not be loaded: $reason" `
            -Hint 'Check that the file is complete, readable, and not blocked by an application control policy, and that the libraries it needs are installed.'
        return
    }
    $major = $version -shr 16
    $minor = $version -band 0xffff
    if ($major -ne 1 -or $minor -lt 0) {
        $Failure.Record = New-DefenderErrorRecord -Name 'ABI_VERSION' -Code 1005 `
            -Message "the native library $path has ABI $major.$minor, and this module needs 1.0 or a later 1.x" `
            -Hint 'Use the module and the library of the same release; in a checkout, run cargo build again.'
        return
    }
    $script:Native = $native
}

function script:Get-DefenderNativeType {
    # One emitted type per library path and process: runspaces share it.
    param([string] $Path)
    $key = 'DefenderXdr.Native 1.0 ' + $Path
    $type = [System.AppDomain]::CurrentDomain.GetData($key)
    if ($null -ne $type) { return $type }
    $name = [System.Reflection.AssemblyName]::new('DefenderXdr.Native.{0:N}' -f [guid]::NewGuid())
    $module = [System.Reflection.Emit.AssemblyBuilder]::DefineDynamicAssembly($name, 'Run').DefineDynamicModule('native')
    $builder = $module.DefineType('DefenderXdr.NativeMethods', 'Public, Abstract, Sealed, Class')
    $table = Get-DefenderNativeTable
    foreach ($function in $table.Keys) {
        $signature = [type[]] $table[$function]
        Add-DefenderNativeMethod $builder $Path $function $signature
    }
    if (-not (Test-DefenderWindows)) {
        Add-DefenderNativeMethod $builder 'libc' 'getenv' @([System.IntPtr], [byte[]])
        Add-DefenderNativeMethod $builder 'libc' 'setenv' @([int], [byte[]], [byte[]], [int])
        Add-DefenderNativeMethod $builder 'libc' 'unsetenv' @([int], [byte[]])
    }
    $type = $builder.CreateType()
    [System.AppDomain]::CurrentDomain.SetData($key, $type)
    $type
}

function script:Add-DefenderNativeMethod {
    param([System.Reflection.Emit.TypeBuilder] $Builder, [string] $Library, [string] $Name, [type[]] $Signature)
    $arguments = [type[]]::new($Signature.Length - 1)
    [System.Array]::Copy($Signature, 1, $arguments, 0, $arguments.Length)
    $method = $Builder.DefinePInvokeMethod($Name, $Library, $Name, 'Public, Static, PinvokeImpl', 'Standard', $Signature[0], $arguments, 'Cdecl', 'Ansi')
    $method.SetImplementationFlags('PreserveSig')
}

# Outside Windows, .NET keeps its own copy of the environment: what a script sets with $env: never reaches native code. The client's
# configuration carries what differs, and a client is made anew when one of these variables has changed since.

# What tells the library which place this is. Its secrets go to the requests that take them.
$script:PlaceVariables = 'AZURE_TENANT_ID', 'AZURE_CLIENT_ID', 'AZURE_USERNAME', 'AZURE_CLIENT_CERTIFICATE_PATH', 'AZURE_CLIENT_SEND_CERTIFICATE_CHAIN', 'AZURE_AUTHORITY_HOST',
'AZURE_FEDERATED_TOKEN_FILE', 'AZURE_POD_IDENTITY_AUTHORITY_HOST', 'AZURE_CONFIG_DIR', 'AZD_CONFIG_DIR', 'REGION_NAME', 'IDENTITY_ENDPOINT', 'IDENTITY_SERVER_THUMBPRINT', 'IMDS_ENDPOINT',
'MSI_ENDPOINT', 'DEFAULT_IDENTITY_CLIENT_ID', 'AUTOMATION_ASSET_ACCOUNTID', 'GITHUB_ACTIONS', 'ACTIONS_ID_TOKEN_REQUEST_URL', 'SYSTEM_OIDCREQUESTURI',
'AZURESUBSCRIPTION_SERVICE_CONNECTION_ID', 'AZURESUBSCRIPTION_CLIENT_ID', 'AZURESUBSCRIPTION_TENANT_ID', 'PATH', 'PSModulePath', 'HOME', 'XDG_STATE_HOME',
'CI', 'TF_BUILD', 'GITLAB_CI', 'JENKINS_URL', 'TEAMCITY_VERSION', 'FUNCTIONS_WORKER_RUNTIME', 'WEBSITE_INSTANCE_ID', 'CONTAINER_APP_NAME', 'KUBERNETES_SERVICE_HOST',
'DISPLAY', 'WAYLAND_DISPLAY', 'XAUTHORITY', 'WSL_DISTRO_NAME', 'SSH_CONNECTION', 'SSH_CLIENT', 'SSH_TTY', 'SESSIONNAME', 'BROWSER', 'DEFENDER_XDR_BROWSER', 'DEFENDER_XDR_LOG'
$script:ProxyVariables = 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy', 'NO_PROXY', 'no_proxy'
# The trust store's own, read from the process where it is loaded.
$script:TrustVariables = 'SSL_CERT_FILE', 'SSL_CERT_DIR'
$script:WatchedVariables = $script:PlaceVariables + $script:ProxyVariables + $script:TrustVariables

function script:Get-DefenderEnvironment {
    # The values of all variables that a client lives by, as one text to compare.
    $values = foreach ($name in $script:WatchedVariables) { [System.Environment]::GetEnvironmentVariable($name) }
    [string]::Join("`0", [string[]] $values)
}

function script:Get-DefenderNativeVariable {
    # A variable as native code sees it.
    param([string] $Name)
    $held = $script:Native::getenv([System.Text.Encoding]::UTF8.GetBytes($Name + "`0"))
    if ($held -eq [System.IntPtr]::Zero) { return }
    [System.Runtime.InteropServices.Marshal]::PtrToStringAnsi($held)
}

function script:Sync-DefenderTrust {
    # Writes the trust store's variables to the process where they differ, which is seldom: no configuration takes their place.
    if (Test-DefenderWindows) { return }
    $utf8 = [System.Text.Encoding]::UTF8
    foreach ($name in $script:TrustVariables) {
        $wanted = [System.Environment]::GetEnvironmentVariable($name)
        if ((Get-DefenderNativeVariable $name) -ceq $wanted) { continue }
        $nameBytes = $utf8.GetBytes($name + "`0")
        if ($null -eq $wanted) { $null = $script:Native::unsetenv($nameBytes) }
        else { $null = $script:Native::setenv($nameBytes, $utf8.GetBytes($wanted + "`0"), 1) }
    }
}

function script:Get-DefenderPlace {
    # The variables of the place whose value native code does not see, as JSON; nothing when it sees them all.
    if (Test-DefenderWindows) { return }
    $changed = [ordered]@{}
    foreach ($name in $script:PlaceVariables + $script:ProxyVariables) {
        $value = [System.Environment]::GetEnvironmentVariable($name)
        $seen = Get-DefenderNativeVariable $name
        # PowerShell puts its own folder in front of what it inherits.
        if ($seen -ceq $value -or ($name -eq 'PATH' -and $value -ceq "${PSHOME}:$seen")) { continue }
        # Any PowerShell puts its own module folders in front of what it inherits.
        if ($name -eq 'PSModulePath' -and -not @("$value".Split(':') | Where-Object { $_ -ne '' -and $_ -cne "$PSHOME/Modules" -and $_ -cnotlike '*/share/powershell/Modules' -and $_ -cnotin "$seen".Split(':') })) { continue }
        # Programs that are started see a proxy that is set later only without its password, which no document may hold.
        if ($name -in $script:ProxyVariables -and "$value".Contains('@')) { continue }
        $changed[$name] = $value
    }
    if ($changed.Count -gt 0) { ConvertTo-DefenderJson $changed }
}

function script:Add-DefenderPlaceSecret {
    # Secrets of the place that a script has set with $env: and native code does not see.
    param([System.Collections.IDictionary] $Secrets, [string[]] $Names)
    if (Test-DefenderWindows) { return }
    foreach ($name in $Names) {
        $value = [System.Environment]::GetEnvironmentVariable($name)
        if ($value -and (Get-DefenderNativeVariable $name) -cne $value) { $Secrets[$name] = $value }
    }
}

function script:Get-DefenderProxy {
    # What the session's variables say of a proxy, where native code cannot see it: @{ proxy; proxy_user; no_proxy; Password }; else nothing.
    param([hashtable] $Failure)
    if (Test-DefenderWindows) { return }
    $changed = $false
    $address = $null
    $from = $null
    $except = $null
    foreach ($name in $script:ProxyVariables) {
        $value = [System.Environment]::GetEnvironmentVariable($name)
        if ((Get-DefenderNativeVariable $name) -cne $value) { $changed = $true }
        if ([string]::IsNullOrWhiteSpace($value)) { continue }
        if ($name -like '*no_proxy') { if (-not $except) { $except = $value } }
        elseif (-not $address) { $address = $value.Trim(); $from = $name }
    }
    if (-not $changed) { return }
    $found = @{ proxy = 'none'; proxy_user = $null; no_proxy = $null; Password = $null }
    if (-not $address) { return $found }
    if ($address -notmatch '://') { $address = "http://$address" }
    if ($address -notmatch '^https?://[^/]') {
        # The address may hold a password, so it is not repeated.
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "$from is not a proxy address" -Hint "Set $from to http://HOST:PORT, or remove it."
        return
    }
    $found.proxy = $address
    # Other programs pass over what is no host, domain, address or network, such as *.example.com; so does the library where it reads the variable.
    if ($except) {
        $entries = [string[]]@($except.Split(',') | ForEach-Object { $_.Trim() })
        $found.no_proxy = ($entries -match '^(?:\*|\.?[A-Za-z0-9_.-]+|\[?[0-9A-Fa-f:.]+\]?(?:/[0-9]{1,3})?)$') -join ','
    }
    if ($address -match '^(?<scheme>https?://)(?<user>[^/@:]*)(?::(?<password>[^/@]*))?@(?<rest>.*)$') {
        $found.proxy = $Matches['scheme'] + $Matches['rest']
        $found.proxy_user = [uri]::UnescapeDataString($Matches['user'])
        if ($Matches['password']) { $found.Password = [uri]::UnescapeDataString($Matches['password']) }
    }
    $found.proxy = $found.proxy.TrimEnd('/')
    $found
}

# ---- the client ----------------------------------------------------------------------------------------------------------------------

function script:Test-DefenderTarget {
    # True while the client still sends where DEFENDER_XDR_EMULATOR points.
    [System.Environment]::GetEnvironmentVariable('DEFENDER_XDR_EMULATOR') -ceq $script:ClientTarget
}

function script:Initialize-DefenderClient {
    # Makes $script:Client ready: one per module import and cache. -Proxy is what the command names, in place of the system's; -Cache the cache, in
    # place of the session's. Tokens are in the process's caches, so they outlive a client.
    param([hashtable] $Failure, [hashtable] $Proxy, [object] $Cache)
    if ($null -eq $Cache) { $Cache = $script:TokenCache }
    $way = ''
    if ($null -ne $Proxy) { $way = $Proxy.proxy, $Proxy.proxy_user, $Proxy.no_proxy -join "`0" }
    if (($script:Client -ne [System.IntPtr]::Zero -or $script:IdleClients.Count -gt 0) -and -not (Test-DefenderTarget)) {
        if ($null -ne $script:Connection) { Write-Warning 'DEFENDER_XDR_EMULATOR has changed: the connection was dropped. Run Connect-Defender again.' }
        Close-DefenderNative
    }
    if ($Cache -cne $script:ClientCache) { Switch-DefenderClient $Cache }
    if ($script:Client -ne [System.IntPtr]::Zero) {
        # A password may have changed.
        if ((Get-DefenderEnvironment) -ceq $script:ClientEnvironment -and $way -ceq $script:ClientProxy -and ($null -eq $Proxy -or $null -eq $Proxy.Password)) { return }
        # A connection keeps the client it was made with.
        Close-DefenderClient
    }
    Initialize-DefenderNative $Failure
    if ($null -ne $Failure.Record) { return }
    Sync-DefenderTrust
    $document = [ordered]@{ application = "DefenderXdr.PowerShell/$script:ModuleVersion"; emulator = [string] [System.Environment]::GetEnvironmentVariable('DEFENDER_XDR_EMULATOR') }
    $place = Get-DefenderPlace
    $proxy = if ($null -ne $Proxy) { $Proxy } else { Get-DefenderProxy $Failure }
    if ($null -ne $Failure.Record) { return }
    if ($null -ne $proxy) { foreach ($name in 'proxy', 'proxy_user', 'no_proxy') { if ($proxy[$name]) { $document[$name] = $proxy[$name] } } }
    $json = ConvertTo-DefenderJson $document
    if ($place) { $json = $json.Substring(0, $json.Length - 1) + ",`"environment`":$place}" }
    if ($Cache) { $json = $json.Substring(0, $json.Length - 1) + ",`"cache`":$Cache}" }
    $config = [System.Text.Encoding]::UTF8.GetBytes($json)
    $client = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_client_new($config, [System.UIntPtr]::new([uint64] $config.Length), [ref] $client, [ref] $detail)
    if ($status -eq 0 -and $null -ne $proxy -and $proxy.Password) { Set-DefenderSecret 'client' $client 'proxy_password' $proxy.Password $Failure }
    if ($null -ne $Failure.Record) {
        $null = $script:Native::dxdr_client_free($client)
        return
    }
    if ($status -ne 0) {
        $Failure.Record = Read-DefenderFailure $status $detail
        return
    }
    $script:Client = $client
    $script:ClientEnvironment = Get-DefenderEnvironment
    $script:ClientProxy = $way
    $script:ClientTarget = [System.Environment]::GetEnvironmentVariable('DEFENDER_XDR_EMULATOR')
    # What was meant for the emulator must never go to Microsoft, whatever became of the environment variable on the way.
    if ($script:ClientTarget -and -not (Get-DefenderClientDescription)['emulator']) {
        Close-DefenderNative
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'DEFENDER_XDR_EMULATOR is set, but the native library did not see it' `
            -Hint 'Set the variable before PowerShell starts.'
    }
}

function script:Switch-DefenderClient {
    # Puts the client of one cache aside, with what it prepared, and takes up another's. A client that is kept says each warning once.
    param([string] $Cache)
    if ($script:Client -ne [System.IntPtr]::Zero) {
        $script:IdleClients[$script:ClientCache] = @{ Client = $script:Client; Environment = $script:ClientEnvironment; Proxy = $script:ClientProxy; Requests = $script:Requests }
    }
    $script:Client = [System.IntPtr]::Zero
    $script:ClientEnvironment = $null
    $script:ClientProxy = ''
    $script:Requests = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::Ordinal)
    $script:ClientCache = $Cache
    if ($script:IdleClients.Contains($Cache)) {
        $kept = $script:IdleClients[$Cache]
        $script:IdleClients.Remove($Cache)
        $script:Client = $kept.Client
        $script:ClientEnvironment = $kept.Environment
        $script:ClientProxy = $kept.Proxy
        $script:Requests = $kept.Requests
    }
    while ($script:IdleClients.Count -gt 8) { Close-DefenderIdleClient 0 }
}

function script:Close-DefenderIdleClient {
    param([int] $Index)
    $closed = $script:IdleClients[$Index]
    $script:IdleClients.RemoveAt($Index)
    foreach ($entry in $closed.Requests.Values) { if ($entry.Handle -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_request_free($entry.Handle) } }
    $null = $script:Native::dxdr_client_free($closed.Client)
}

function script:Get-DefenderClientDescription {
    $buffer = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_client_describe($script:Client, [ref] $buffer, [ref] $detail)
    if ($status -ne 0) { $null = Read-DefenderBuffer $detail; return @{} }
    ConvertFrom-DefenderDocument (Read-DefenderBuffer $buffer)
}

function script:Close-DefenderNative {
    # Frees the clients, the connection and every prepared request. Also runs when the module is removed.
    if ($null -ne $script:Connection -and $null -ne $script:Native) { Close-DefenderConnection }
    $script:Connection = $null
    Close-DefenderClient
    while ($script:IdleClients.Count -gt 0) { Close-DefenderIdleClient 0 }
    $script:ClientTarget = $null
}

function script:Close-DefenderClient {
    if ($null -ne $script:Native) {
        foreach ($entry in $script:Requests.Values) {
            if ($entry.Handle -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_request_free($entry.Handle) }
        }
        if ($script:Client -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_client_free($script:Client) }
    }
    $script:Requests.Clear()
    $script:Client = [System.IntPtr]::Zero
    $script:ClientEnvironment = $null
    $script:ClientProxy = ''
}

function script:Invoke-DefenderAccountTask {
    # Asks something of the accounts in a cache: the session's, or the one named. What is to be said of the cache is said; what there is of it on disk
    # goes into $Seen.Cache. A keyring may not answer for long, so this is an operation, which Ctrl+C ends.
    param([System.Collections.IDictionary] $Task, [hashtable] $Failure, [object] $Cache, [hashtable] $Seen, [switch] $AsSecret)
    Initialize-DefenderClient $Failure $null $Cache
    if ($null -ne $Failure.Record) { return }
    $result = @{ Token = $null; Cache = $null }
    Invoke-DefenderOperation -Kind 'accounts' -Request $script:Client -Query ([System.Text.Encoding]::UTF8.GetBytes((ConvertTo-DefenderJson $Task))) `
        -AsSecret:$AsSecret -Result $result -Failure $Failure
    if ($null -ne $Seen) { $Seen.Cache = $result.Cache }
}

function script:Clear-DefenderCache {
    # Empties a cache: the session's, or the one named.
    param([hashtable] $Failure, [object] $Cache, [hashtable] $Seen)
    Initialize-DefenderClient $Failure $null $Cache
    if ($null -ne $Failure.Record) { return }
    $entries = @($script:Requests.Values)
    # A token that was brought is no part of the cache.
    if ($null -ne $script:Connection -and $script:Connection.Renewal.Handle -ne [System.IntPtr]::Zero -and $script:Connection.Cache -eq $script:ClientCache) { $entries += $script:Connection.Entry }
    foreach ($entry in $entries) { $entry.Value = $null; $entry.About = $null }
    foreach ($key in @($script:MsalAccounts.Keys)) { if ($key.Contains("`0$($script:ClientCache)`0")) { Remove-MsalPassword $key; $script:MsalAccounts.Remove($key) } }
    Invoke-DefenderAccountTask ([ordered]@{ accounts = 'clear' }) $Failure $Cache $Seen
}

function script:Read-DefenderAccountList {
    # Whose tokens a cache holds, each as the library's document.
    param([hashtable] $Failure, [object] $Cache, [hashtable] $Seen)
    foreach ($account in @(Invoke-DefenderAccountTask ([ordered]@{ accounts = 'list' }) $Failure $Cache $Seen)) { ConvertFrom-DefenderDocument $account }
}

function script:Remove-DefenderCachedAccount {
    # Signs an account out.
    param([string] $Account, [hashtable] $Failure, [object] $Cache, [hashtable] $Seen)
    Invoke-DefenderAccountTask ([ordered]@{ accounts = 'remove'; account = $Account }) $Failure $Cache $Seen
    if ($null -ne $Failure.Record) { return }
    foreach ($key in @($script:MsalAccounts.Keys)) {
        if (-not $key.Contains("`0$($script:ClientCache)`0")) { continue }
        $known = $script:MsalAccounts[$key]
        if ($key.EndsWith("`0$Account", [System.StringComparison]::OrdinalIgnoreCase) -or $known.Username -eq $Account) { Remove-MsalPassword $key; $script:MsalAccounts.Remove($key) }
    }
}

function script:Read-DefenderRefreshToken {
    # An account's refresh token as a SecureString, which alone is left of it.
    param([string] $Account, [string] $ClientId, [hashtable] $Failure, [object] $Cache)
    Invoke-DefenderAccountTask ([ordered]@{ accounts = 'export_refresh_token'; account = $Account; client_id = $ClientId }) $Failure $Cache -AsSecret
}

# ---- buffers, secrets, requests ------------------------------------------------------------------------------------------------------

function script:Read-DefenderBuffer {
    # The text in a buffer, which is freed.
    param([System.IntPtr] $Buffer)
    if ($Buffer -eq [System.IntPtr]::Zero) { return }
    try {
        $data = [System.IntPtr]::Zero
        $length = [System.UIntPtr]::Zero
        $null = $script:Native::dxdr_buf_get($Buffer, [ref] $data, [ref] $length)
        Read-DefenderText $data $length
    }
    finally { $null = $script:Native::dxdr_buf_free($Buffer) }
}

function script:Read-DefenderSecretBuffer {
    # The ASCII secret in a buffer, which is freed, as a SecureString.
    param([System.IntPtr] $Buffer)
    $data = [System.IntPtr]::Zero
    $length = [System.UIntPtr]::Zero
    $bytes = $null
    try {
        $null = $script:Native::dxdr_buf_get($Buffer, [ref] $data, [ref] $length)
        $bytes = [byte[]]::new($length.ToUInt64())
        [System.Runtime.InteropServices.Marshal]::Copy($data, $bytes, 0, $bytes.Length)
        $secure = [securestring]::new()
        # A refresh token is ASCII (RFC 6749 appendix A.17).
        foreach ($byte in $bytes) { $secure.AppendChar([char] $byte) }
        $secure.MakeReadOnly()
        $secure
    }
    finally {
        if ($null -ne $bytes) { [System.Array]::Clear($bytes, 0, $bytes.Length) }
        $null = $script:Native::dxdr_buf_free($Buffer)
    }
}

function script:Read-DefenderText {
    param([System.IntPtr] $Data, [System.UIntPtr] $Length)
    if ($Data -eq [System.IntPtr]::Zero) { return }
    $bytes = [byte[]]::new($Length.ToUInt64())
    [System.Runtime.InteropServices.Marshal]::Copy($Data, $bytes, 0, $bytes.Length)
    [System.Text.Encoding]::UTF8.GetString($bytes)
}

function script:Read-DefenderFailure {
    # The error record for a failed call: its error document if it gave one, else its status.
    param([int] $Status, [System.IntPtr] $Detail)
    $text = Read-DefenderBuffer $Detail
    if ($text) { return ConvertTo-DefenderErrorRecord $text }
    $name = [System.Runtime.InteropServices.Marshal]::PtrToStringAnsi($script:Native::dxdr_status_name($Status))
    New-DefenderErrorRecord -Name $name -Code $Status -Message "the native library answered with status $Status ($name)" -Hint ''
}

function script:Set-DefenderSecret {
    # Gives a request or a client a secret: a SecureString (which never becomes a managed string here) or a string.
    param([string] $Owner, [System.IntPtr] $Handle, [string] $Name, [object] $Secret, [hashtable] $Failure)
    $secretHandle = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $bstr = [System.IntPtr]::Zero
    $bytes = $null
    try {
        if ($Secret -is [securestring]) {
            $bstr = [System.Runtime.InteropServices.Marshal]::SecureStringToBSTR($Secret)
            $status = $script:Native::dxdr_secret_new_utf16($bstr, [System.UIntPtr]::new([uint64] $Secret.Length), [ref] $secretHandle, [ref] $detail)
        }
        else {
            $bytes = [System.Text.Encoding]::UTF8.GetBytes([string] $Secret)
            $status = $script:Native::dxdr_secret_new_utf8($bytes, [System.UIntPtr]::new([uint64] $bytes.Length), [ref] $secretHandle, [ref] $detail)
        }
        if ($status -eq 0) {
            $nameBytes = [System.Text.Encoding]::UTF8.GetBytes($Name)
            $size = [System.UIntPtr]::new([uint64] $nameBytes.Length)
            if ($Owner -eq 'client') { $status = $script:Native::dxdr_client_set_secret($Handle, $nameBytes, $size, $secretHandle, [ref] $detail) }
            else { $status = $script:Native::dxdr_request_set_secret($Handle, $nameBytes, $size, $secretHandle, [ref] $detail) }
        }
        if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail }
    }
    finally {
        if ($bstr -ne [System.IntPtr]::Zero) { [System.Runtime.InteropServices.Marshal]::ZeroFreeBSTR($bstr) }
        if ($null -ne $bytes) { [System.Array]::Clear($bytes, 0, $bytes.Length) }
        if ($secretHandle -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_secret_free($secretHandle) }
    }
}

function script:New-DefenderRequest {
    # A prepared request the caller has to free, or zero and a failure. -Secrets holds secrets by their names.
    param([byte[]] $Json, [System.Collections.IDictionary] $Secrets, [hashtable] $Failure)
    $request = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_request_new($script:Client, $Json, [System.UIntPtr]::new([uint64] $Json.Length), [ref] $request, [ref] $detail)
    if ($status -ne 0) {
        $Failure.Record = Read-DefenderFailure $status $detail
        return [System.IntPtr]::Zero
    }
    if ($null -ne $Secrets) {
        foreach ($name in $Secrets.Keys) {
            Set-DefenderSecret 'request' $request $name $Secrets[$name] $Failure
            if ($null -ne $Failure.Record) {
                $null = $script:Native::dxdr_request_free($request)
                return [System.IntPtr]::Zero
            }
        }
    }
    $request
}

function script:Get-DefenderRequestDescription {
    param([System.IntPtr] $Request)
    $buffer = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_request_describe($Request, [ref] $buffer, [ref] $detail)
    if ($status -ne 0) { $null = Read-DefenderBuffer $detail; return @{} }
    ConvertFrom-DefenderDocument (Read-DefenderBuffer $buffer)
}

function script:New-DefenderEntry {
    # What is kept of a request: its handle or its document, the token last seen for it, the certificate that signs for it or the script block
    # that makes its assertions, and the command that wants to see a device code as an object.
    param([System.IntPtr] $Handle, [byte[]] $Json)
    @{ Handle = $Handle; Json = $Json; Value = $null; About = $null; Certificate = $null; Assertion = $null; Caller = $null }
}

function script:Add-DefenderRequest {
    # Remembers what was prepared for an argument key. A request with a secret is never kept: only its document is (Handle is zero), so
    # a secret that changes under the same arguments is always looked at. At most 256 are held.
    param([string] $Key, [System.IntPtr] $Handle, [byte[]] $Json)
    if ($script:Requests.Count -ge 256) {
        $oldest = $script:Requests[0]
        if ($oldest.Handle -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_request_free($oldest.Handle) }
        $script:Requests.RemoveAt(0)
    }
    $entry = New-DefenderEntry $Handle $Json
    $script:Requests[$Key] = $entry
    $entry
}

# ---- tokens --------------------------------------------------------------------------------------------------------------------------

function script:Get-DefenderCachedToken {
    # The fresh token the cache holds for a request, as Read-DefenderToken gives it, or nothing. Never blocks, never asks the network.
    # This is the path of every call but the first: the description of the token last seen for a request stays in that request's entry.
    param([System.IntPtr] $Request, [hashtable] $Entry, [hashtable] $Failure)
    $token = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    try {
        $status = $script:Native::dxdr_cached_token($Request, [ref] $token, [ref] $detail)
        if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail }
        elseif ($token -ne [System.IntPtr]::Zero) {
            $data = [System.IntPtr]::Zero
            $length = [System.UIntPtr]::Zero
            $null = $script:Native::dxdr_token_value($token, [ref] $data, [ref] $length)
            $bytes = [byte[]]::new($length.ToUInt64())
            [System.Runtime.InteropServices.Marshal]::Copy($data, $bytes, 0, $bytes.Length)
            $value = [System.Text.Encoding]::UTF8.GetString($bytes)
            if ($value -ceq $Entry.Value) { $Entry }
            else { Read-DefenderToken $token $value $Entry }
        }
    }
    finally { if ($token -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_token_free($token) } }
}

function script:Read-DefenderToken {
    # @{ Value; About }: the token's text, and what is known of it. Both go into the entry, too.
    param([System.IntPtr] $Token, [string] $Value, [hashtable] $Entry)
    $data = [System.IntPtr]::Zero
    $length = [System.UIntPtr]::Zero
    if (-not $Value) {
        $null = $script:Native::dxdr_token_value($Token, [ref] $data, [ref] $length)
        $Value = Read-DefenderText $data $length
    }
    $null = $script:Native::dxdr_token_id_token($Token, [ref] $data, [ref] $length)
    $idToken = Read-DefenderText $data $length
    $buffer = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_token_describe($Token, [ref] $buffer, [ref] $detail)
    $about = if ($status -eq 0) { ConvertFrom-DefenderDocument (Read-DefenderBuffer $buffer) } else { $null = Read-DefenderBuffer $detail }
    $seconds = [long] 0
    $null = $script:Native::dxdr_token_expires_on($Token, [ref] $seconds)
    if ($null -ne $about -and $about['grant'] -eq 'access_token') {
        # Of a token that cannot be read nobody knows how long it lives.
        $reading = Read-DefenderClaims ([System.Text.Encoding]::UTF8.GetBytes($Value)) @{ Record = $null }
        if (-not $reading -or $null -eq (ConvertFrom-DefenderDocument $reading)['summary']['expires_at']) { $seconds = $null }
    }
    $read = @{ Value = $Value; About = ConvertTo-DefenderTokenAbout $about $idToken $seconds }
    $Entry.Value = $read.Value
    $Entry.About = $read.About
    $read
}

function script:Read-DefenderClaims {
    # The text of the library's reading of a token.
    param([byte[]] $Token, [hashtable] $Failure)
    $buffer = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_decode_claims($Token, [System.UIntPtr]::new([uint64] $Token.Length), [ref] $buffer, [ref] $detail)
    if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail }
    else { Read-DefenderBuffer $buffer }
}

# ---- the connection ------------------------------------------------------------------------------------------------------------------

function script:Open-DefenderConnection {
    # Prepares the connection's requests, gets the first token, and only then replaces the connection there was.
    param([hashtable] $Plan, [switch] $Renew, [int] $Timeout, [hashtable] $Failure)
    Initialize-DefenderClient $Failure $Plan['Proxy'] $Plan['Cache']
    if ($null -ne $Failure.Record) { return }
    $document = $Plan.Document
    $entry = New-DefenderEntry ([System.IntPtr]::Zero) $null
    $renewal = New-DefenderEntry ([System.IntPtr]::Zero) $null
    $entry.Certificate = $Plan.Certificate
    $renewal.Certificate = $Plan.Certificate
    $entry.Assertion = $Plan['Assertion']
    $renewal.Assertion = $Plan['Assertion']
    $opened = @{ Entry = $entry; Renewal = $renewal; Cloud = $Plan.CallCloud; Cache = $script:ClientCache; Who = $null; Plan = $Plan.Clone() }
    $opened.Plan.Secrets = Copy-DefenderSecret $Plan.Secrets
    try {
        Set-DefenderEntryRequest $entry $document $Plan.Secrets $Failure
        if ($null -eq $Failure.Record -and $document.grant -ne 'access_token') {
            $again = [ordered]@{ cache = 'skip' }
            foreach ($name in $document.Keys) { $again[$name] = $document[$name] }
            Set-DefenderEntryRequest $renewal $again $Plan.Secrets $Failure
        }
        if ($null -ne $Failure.Record) { return }
        $used = if ($Renew) { $renewal } else { $entry }
        $token = Get-DefenderTokenFor -Entry $used -ReadCache (-not $Renew) -Timeout $Timeout -Failure $Failure
        if ($null -ne $Failure.Record) { return }
        $user = $token.About.UserInfo.UniqueId
        if ($document.grant -in 'authorization_code', 'device_code' -and $user) {
            # The connection is this user's from now on, whoever else signs in with the same app.
            $document.user = [ordered]@{ id = $user; type = 'unique_id' }
            $hint = $token.About.UserInfo.DisplayableId
            if ($hint) { $document.login_hint = $hint; $again.login_hint = $hint }
            $again.user = $document.user
            Set-DefenderEntryRequest $entry $document $Plan.Secrets $Failure
            if ($null -eq $Failure.Record) { Set-DefenderEntryRequest $renewal $again $Plan.Secrets $Failure }
            if ($null -ne $Failure.Record) { return }
        }
        $entry.Value = $token.Value
        $entry.About = $token.About
        # Who is connected stays known when the token is forgotten.
        $opened.Who = @{ TenantId = $token.About.TenantId; Account = $token.About.Account; Authority = $token.About.Authority }
        $opened, $script:Connection = $script:Connection, $opened
    }
    finally {
        if ($null -ne $opened) {
            foreach ($held in $opened.Entry, $opened.Renewal) { if ($held.Handle -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_request_free($held.Handle) } }
            foreach ($secret in $opened.Plan.Secrets.get_Values()) { $secret.Dispose() }
        }
    }
}

function script:Set-DefenderEntryRequest {
    # Prepares a request from a document and puts it into the entry, in place of the one that was there.
    param([hashtable] $Entry, [System.Collections.IDictionary] $Document, [System.Collections.IDictionary] $Secrets, [hashtable] $Failure)
    $json = [System.Text.Encoding]::UTF8.GetBytes((ConvertTo-DefenderJson $Document))
    $handle = New-DefenderRequest -Json $json -Secrets $Secrets -Failure $Failure
    if ($null -ne $Failure.Record) { return }
    $replaced = $Entry.Handle
    $Entry.Handle = $handle
    if ($replaced -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_request_free($replaced) }
}

function script:Close-DefenderConnection {
    $closed = $script:Connection
    $script:Connection = $null
    foreach ($held in $closed.Entry, $closed.Renewal) { if ($held.Handle -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_request_free($held.Handle) } }
    foreach ($secret in $closed.Plan.Secrets.get_Values()) { $secret.Dispose() }
}

# ---- operations ----------------------------------------------------------------------------------------------------------------------

function script:Invoke-DefenderOperation {
    # Runs one operation to its end. Items go to the pipeline as they come (as text, with -AsSecret as a SecureString, or through -ItemConverter, which
    # also gets $Result), a token, the columns of a hunting result and the head of an answer into $Result, an error into $Failure.Record. Ctrl+C and
    # Select-Object -First end it through the finally block. -Track keeps the place to go on from: see New-DefenderTrack. -Request is what it is
    # started with: a request, or for accounts the client.
    param(
        [ValidateSet('acquire_token', 'call', 'accounts')] [string] $Kind,
        [System.IntPtr] $Request,
        [byte[]] $Query,
        [int] $Timeout,
        [string] $ItemConverter,
        [switch] $AsSecret,
        [hashtable] $TokenEntry,
        [switch] $OwnsRequest,
        [hashtable] $Result,
        [hashtable] $Track,
        [hashtable] $Failure
    )
    $native = $script:Native
    $limit = [uint32] ([long] $Timeout * 1000)
    $op = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $taken = [System.IntPtr]::Zero
    $state = 0
    $zero = [System.IntPtr]::Zero
    $data = [System.IntPtr]::Zero
    $length = [System.UIntPtr]::Zero
    $utf8 = [System.Text.Encoding]::UTF8
    if ($null -eq $Result) { $Result = @{ Token = $null } }
    $progress = @{ Shown = $false; Deadline = $(if ($Timeout -gt 0) { [DateTime]::Now.AddSeconds($Timeout) }); Entry = $TokenEntry; Result = $Result }
    try {
        $status = switch ($Kind) {
            'acquire_token' { $native::dxdr_acquire_token_start($Request, $limit, [ref] $op, [ref] $detail); break }
            'call' { $native::dxdr_call_start($Request, $Query, [System.UIntPtr]::new([uint64] $Query.Length), $limit, [ref] $op, [ref] $detail); break }
            'accounts' { $native::dxdr_client_accounts_start($Request, $Query, [System.UIntPtr]::new([uint64] $Query.Length), $limit, [ref] $op, [ref] $detail); break }
        }
        if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail }
        while ($null -eq $Failure.Record -and $state -lt 3) {
            $status = $native::dxdr_op_wait($op, 100, [ref] $state)
            if ($status -ne 0) {
                $Failure.Record = Read-DefenderFailure $status ([System.IntPtr]::Zero)
                break
            }
            if ($state -eq 0) {
                if ($null -ne $Track) { Save-DefenderPlace $op $Track -Keep }
                continue
            }
            if ($state -eq 1) {
                $status = $native::dxdr_op_take_event($op, [ref] $taken, [ref] $detail)
                if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail; break }
                $text = Read-DefenderBuffer $taken
                if ($text) { Invoke-DefenderEvent -Operation $op -Text $text -Progress $progress -Failure $Failure }
            }
            elseif ($state -eq 2) {
                $status = $native::dxdr_op_take_item($op, [ref] $taken, [ref] $detail)
                if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail; break }
                if ($taken -eq $zero) { continue }
                if ($AsSecret) {
                    Read-DefenderSecretBuffer $taken
                    continue
                }
                # Read-DefenderBuffer, without its calls: this is done for each of a hundred thousand rows.
                $null = $native::dxdr_buf_get($taken, [ref] $data, [ref] $length)
                $bytes = [byte[]]::new($length.ToUInt64())
                if ($bytes.Length -gt 0) { [System.Runtime.InteropServices.Marshal]::Copy($data, $bytes, 0, $bytes.Length) }
                $null = $native::dxdr_buf_free($taken)
                $text = $utf8.GetString($bytes)
                if (-not $text) { continue }
                if ($ItemConverter) { & $ItemConverter $text $Result }
                else { $text }
                # Only now has the pipeline done its work on the record.
                if ($null -ne $Track) { Save-DefenderPlace $op $Track }
            }
        }
        if ($progress.Shown) { Write-Progress -Id 27 -Activity 'Defender XDR' -Completed }
        if ($Kind -eq 'call' -and $op -ne [System.IntPtr]::Zero) { $Result.Resume = Get-DefenderPlaceText $op }
        if ($null -ne $Track) { Save-DefenderPlace $op $Track -Keep }
        if ($null -ne $Failure.Record) { return }
        if ($state -ne 3) {
            $status = $native::dxdr_op_take_error($op, [ref] $taken, [ref] $detail)
            $text = if ($status -eq 0) { Read-DefenderBuffer $taken }
            if ($text) { $Failure.Record = ConvertTo-DefenderErrorRecord $text }
            else { $Failure.Record = Read-DefenderFailure $(if ($state -eq 5) { 2000 } else { $status }) $detail }
            # From no place of such a list is it complete.
            if ($null -ne $Track -and -not $Track.Path -and -not $Result.Resume -and "$($Failure.Record.FullyQualifiedErrorId)" -clike 'DefenderXdr.LIST_MOVED*') { $Track.Text = $null }
        }
        elseif ($Kind -eq 'acquire_token') {
            $taken = [System.IntPtr]::Zero
            try {
                $status = $native::dxdr_op_take_token($op, [ref] $taken, [ref] $detail)
                if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail }
                else { $Result.Token = Read-DefenderToken $taken '' $TokenEntry }
            }
            finally { if ($taken -ne [System.IntPtr]::Zero) { $null = $native::dxdr_token_free($taken) } }
        }
    }
    finally {
        if ($op -ne [System.IntPtr]::Zero) {
            $null = $native::dxdr_op_cancel($op)
            $null = $native::dxdr_op_free($op)
        }
        # A stop may fall between taking a buffer and reading it; freeing one that is already freed does nothing.
        if ($taken -ne [System.IntPtr]::Zero) { $null = $native::dxdr_buf_free($taken) }
        if ($detail -ne [System.IntPtr]::Zero) { $null = $native::dxdr_buf_free($detail) }
        if ($OwnsRequest) { $null = $native::dxdr_request_free($Request) }
        if ($null -ne $Track) {
            if ($Track.Variable) { $Track.Caller.SessionState.PSVariable.Set($Track.Variable, $Track.Text) }
            if ($Track.Path -and $Track.Text -cne $Track.Kept) { Write-DefenderPlace $Track }
        }
    }
}

function script:Get-DefenderPlaceText {
    # Where a list can be gone on from, as a text; nothing where there is no such place.
    param([System.IntPtr] $Operation)
    $buffer = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_op_resume($Operation, [ref] $buffer, [ref] $detail)
    if ($status -ne 0) { $null = Read-DefenderBuffer $detail; return }
    Read-DefenderBuffer $buffer
}

function script:Save-DefenderPlace {
    # Takes note of the place behind what the pipeline has handled; -Keep also writes it to the track's file.
    param([System.IntPtr] $Operation, [hashtable] $Track, [switch] $Keep)
    $text = Get-DefenderPlaceText $Operation
    if ($text) { $Track.Text = $text }
    if ($Keep -and $Track.Path -and $Track.Text -cne $Track.Kept) { Write-DefenderPlace $Track }
}

function script:Write-DefenderPlace {
    # Keeps the place in the track's file, which is whole at every moment: it is written beside it first, and then takes its name.
    param([hashtable] $Track)
    $beside = "$($Track.Path).new"
    $bytes = [System.Text.Encoding]::UTF8.GetBytes("$($Track.Text)`n$($Track.Note)`n")
    $reason = $null
    try {
        $stream = [System.IO.File]::Open($beside, 'Create', 'Write', 'None')
        try {
            $stream.Write($bytes, 0, $bytes.Length)
            $stream.Flush($true)
        }
        finally { $stream.Dispose() }
        if ([System.IO.File]::Exists($Track.Path)) { [System.IO.File]::Replace($beside, $Track.Path, [NullString]::Value) }
        else { [System.IO.File]::Move($beside, $Track.Path) }
    }
    catch {
        $global:Error.RemoveAt(0)
        $reason = $_.Exception.GetBaseException().Message
    }
    # It is tried and told once.
    $Track.Kept = $Track.Text
    if ($null -eq $reason) { return }
    $Track.Path = ''
    $Track.Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'PLACE_NOT_KEPT' -Code 0 -Message (Format-DefenderText "the place could not be written to the file of -StatePath: $reason") `
                -Hint 'The file holds the place before it, and the next run goes on from there: some records come again. Make room, or give -StatePath a file that can be written.'))
}

function script:Get-DefenderTokenFor {
    # The token for an entry of Add-DefenderRequest, from the cache or by an operation. With secrets the request lives for this call only.
    param([hashtable] $Entry, [System.Collections.IDictionary] $Secrets, [bool] $ReadCache, [int] $Timeout, [hashtable] $Failure)
    $owned = [System.IntPtr]::Zero
    try {
        $request = $Entry.Handle
        if ($request -eq [System.IntPtr]::Zero) {
            $owned = New-DefenderRequest -Json $Entry.Json -Secrets $Secrets -Failure $Failure
            if ($null -ne $Failure.Record) { return }
            $request = $owned
        }
        if ($ReadCache) {
            $token = Get-DefenderCachedToken $request $Entry $Failure
            if ($null -ne $Failure.Record) { return }
            if ($null -ne $token) { return $token }
        }
        $result = @{ Token = $null }
        Invoke-DefenderOperation -Kind 'acquire_token' -Request $request -Timeout $Timeout -TokenEntry $Entry -Result $result -Failure $Failure
        if ($null -eq $Failure.Record) { $result.Token }
    }
    finally { if ($owned -ne [System.IntPtr]::Zero) { $null = $script:Native::dxdr_request_free($owned) } }
}

function script:Send-DefenderReply {
    # Answers an event. A reply may be a secret: then it comes as a SecureString and goes through arrays that are wiped.
    param([System.IntPtr] $Operation, [uint64] $EventId, [object] $Reply, [hashtable] $Failure)
    $bstr = [System.IntPtr]::Zero
    $characters = [char[]]::new($Reply.Length)
    $bytes = $null
    $detail = [System.IntPtr]::Zero
    try {
        if ($Reply -is [securestring]) {
            $bstr = [System.Runtime.InteropServices.Marshal]::SecureStringToBSTR($Reply)
            [System.Runtime.InteropServices.Marshal]::Copy($bstr, $characters, 0, $characters.Length)
        }
        else { ([string] $Reply).CopyTo(0, $characters, 0, $characters.Length) }
        $bytes = [System.Text.Encoding]::UTF8.GetBytes($characters)
        $status = $script:Native::dxdr_op_reply($Operation, $EventId, $bytes, [System.UIntPtr]::new([uint64] $bytes.Length), [ref] $detail)
        if ($status -ne 0) { $Failure.Record = Read-DefenderFailure $status $detail }
    }
    finally {
        if ($bstr -ne [System.IntPtr]::Zero) { [System.Runtime.InteropServices.Marshal]::ZeroFreeBSTR($bstr) }
        [System.Array]::Clear($characters, 0, $characters.Length)
        if ($null -ne $bytes) { [System.Array]::Clear($bytes, 0, $bytes.Length) }
    }
}

function script:Test-DefenderOperationEnd {
    # True once an operation has ended: its time was up, or it was cancelled. Looks for so many milliseconds at most, and takes nothing.
    param([System.IntPtr] $Operation, [int] $Limit = 100)
    $state = 0
    $status = $script:Native::dxdr_op_wait($Operation, $Limit, [ref] $state)
    $status -ne 0 -or $state -ge 3
}
