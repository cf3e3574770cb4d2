# Ctrl+C: a stop ends a command at once and leaves nothing behind.

if ($null -eq $Emulator) { return }

# Remembers the operation that runs, by the first event or by the wait itself.
$remember = '& (Get-Module DefenderXdr) {
        param($Shared)
        $script:TestShared = $Shared
        Import-DefenderPrivate
        $Shared.module = $ExecutionContext.SessionState.Module
    } $Shared
'

function Test-Stop {
    param([string] $Script, [hashtable] $Fault, [string] $Path, [scriptblock] $Reached)
    $shared = [hashtable]::Synchronized(@{})
    $shell = New-TestShell
    try {
        $shell.Runspace.SessionStateProxy.SetVariable('Shared', $shared)
        # The handle is read from the running function's own variable, by a converter, an event, or a breakpoint's action on the wait.
        $null = $shell.AddScript("$remember`n$Script`n`$Shared.after = `$true")
        $running = $shell.BeginInvoke()
        Wait-Until $Reached
        $watch = [Diagnostics.Stopwatch]::StartNew()
        $shell.Stop()
        $took = $watch.ElapsedMilliseconds
        Assert-True $running.IsCompleted
        Assert-True (-not $shared.ContainsKey('after')) 'the script went on'
        Assert-Equal "$($shell.InvocationStateInfo.State)" 'Stopped'
        Assert-Equal $shell.Streams.Error.Count 0 "an error was written: $($shell.Streams.Error)"
        Assert-True ($took -lt 2000) "stopping took $took ms"
        $shared
    }
    finally { $shell.Dispose() }
}

function Test-RedirectPort {
    # Is the port of the last sign-in free again?
    $redirect = [uri] @(Get-EmulatorRequest '/oauth2/authorize')[-1].query.redirect_uri
    $listener = [Net.Sockets.TcpListener]::new([Net.IPAddress]::Loopback, $redirect.Port)
    try { $listener.Start(); $listener.Stop(); $true } catch [Net.Sockets.SocketException] { $false }
}

Describe 'a stop' {
    It 'ends a wait for the token endpoint' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/oauth2/token' }; times = 0; do = @{ hang = $true } }
        $null = Test-Stop 'Get-ADALToken @App' -Reached { @(Get-EmulatorRequest '/oauth2/token').Count -gt 0 }
        $null = Invoke-Emulator DELETE faults
        Assert-True (Get-ADALToken @AppArguments).AccessToken 'the next call does not work'
    }
    It 'ends a wait for the browser, and frees the operation and its port (LB-20)' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/oauth2/authorize' }; times = 0; do = @{ hang = $true } }
        $shared = Test-Stop '& (Get-Module DefenderXdr) { function script:Invoke-DefenderEvent { param($Operation, $Text, $Progress, $Failure) $script:TestShared.op = $Operation; $script:TestShared.native = $script:Native } }
            Get-ADALToken @User' -Reached { @(Get-EmulatorRequest '/oauth2/authorize').Count -gt 0 }
        $null = Invoke-Emulator DELETE faults
        Assert-True ($shared.op -ne [IntPtr]::Zero)
        Assert-Equal ($shared.native::dxdr_op_cancel($shared.op)) 1002 'the operation is still there'
        Wait-Until { Test-RedirectPort }
    }
    It 'ends a wait for the code to be redeemed, and frees the port (LB-20)' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/oauth2/token' }; times = 0; do = @{ hang = $true } }
        $null = Test-Stop 'Get-ADALToken @User' -Reached { @(Get-EmulatorRequest '/oauth2/token').Count -gt 0 }
        $null = Invoke-Emulator DELETE faults
        Wait-Until { Test-RedirectPort }
    }
    It 'ends a wait for the incidents service' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 0; do = @{ hang = $true } }
        $null = Test-Stop 'Get-DefenderIncident -AccessToken (Get-ADALToken @App)' -Reached { @(Get-EmulatorRequest '/api/incidents').Count -gt 0 }
        $null = Invoke-Emulator DELETE faults
    }
    It 'ends a wait the service asked for' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 0; do = @{ status = 429; headers = @{ 'retry-after' = '30' } } }
        $null = Test-Stop 'Get-DefenderIncident -AccessToken (Get-ADALToken @App)' -Reached { @(Get-EmulatorRequest '/api/incidents').Count -gt 0 }
        $null = Invoke-Emulator DELETE faults
    }
    It 'between pages frees the operation' {
        Reset-Emulator
        $shared = Test-Stop '& (Get-Module DefenderXdr) { function script:ConvertTo-DefenderIncident { param($Text) $script:TestShared.op = $op; $script:TestShared.native = $script:Native; $Text } }
            $token = Get-ADALToken @App; while ($true) { Get-DefenderIncident -AccessToken $token -PageSize 5 | Out-Null }' -Reached { @(Get-EmulatorRequest '/api/incidents').Count -gt 2 }
        Assert-Equal ($shared.native::dxdr_op_cancel($shared.op)) 1002 'the operation is still there'
    }
    It 'ends the wait between two looks at the incidents, and keeps the place' {
        Reset-Emulator
        $file = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N'))
        try {
            $null = Test-Stop "Watch-DefenderIncident -AccessToken (Get-ADALToken @App) -StatePath '$file' -Interval 3600" -Reached { [IO.File]::Exists($file) -and [IO.FileInfo]::new($file).Length -gt 0 }
            Assert-Equal @(Watch-DefenderIncident -AccessToken (Get-ADALToken @AppArguments) -StatePath $file -Rounds 1).Count 0
        }
        finally { foreach ($end in '', '.lock') { [IO.File]::Delete($file + $end) } }
    }
}
