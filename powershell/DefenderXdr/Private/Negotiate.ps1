# Integrated Windows authentication: who the session's account is, and requests that it sends.

function script:Get-DefenderWindowsName {
    # The user name that Entra knows the account of this session by: the one given, else what Windows says.
    param([string] $Given, [hashtable] $Failure)
    if (-not [string]::IsNullOrWhiteSpace($Given)) { return $Given.Trim() }
    $name = ''
    if (Test-DefenderWindows) {
        $start = [System.Diagnostics.ProcessStartInfo]::new([System.IO.Path]::Combine([System.Environment]::SystemDirectory, 'whoami.exe'), '/upn')
        $start.UseShellExecute = $false
        $start.CreateNoWindow = $true
        $start.RedirectStandardOutput = $true
        $start.RedirectStandardError = $true
        try {
            $process = [System.Diagnostics.Process]::Start($start)
            try {
                # It asks a domain controller, where Windows has not kept the answer. Ctrl+C works between the slices.
                for ($slice = 0; $slice -lt 200 -and -not $process.WaitForExit(50); $slice++) { continue }
                if ($process.HasExited -and $process.ExitCode -eq 0) { $name = $process.StandardOutput.ReadToEnd().Trim() }
            }
            finally {
                if (-not $process.HasExited) { $process.Kill() }
                $process.Dispose()
            }
        }
        catch { $global:Error.RemoveAt(0) }
    }
    if ($name -match '^[^@\s]+@[^@\s]+$') { return $name }
    $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'the user name of the Windows account is not known' `
        -Hint 'Give it as -LoginHint: the name that Entra knows the person by, such as adele@contoso.com. whoami /upn shows it in a session of a domain account.'
}

function script:Wait-DefenderTask {
    # True once a task of .NET has ended; false if the operation ended before it. Waits in slices, so that Ctrl+C works.
    param([System.Threading.Tasks.Task] $Task, [System.IntPtr] $Operation)
    while ([System.Threading.Tasks.Task]::WaitAny([System.Threading.Tasks.Task[]]@($Task), 50) -lt 0) {
        if (Test-DefenderOperationEnd $Operation) { return $false }
    }
    $true
}

function script:Invoke-DefenderNegotiate {
    # Answers the event negotiate: sends the request with the Windows account of this session.
    param([System.IntPtr] $Operation, [object] $Notice, [hashtable] $Failure)
    $address = [uri] [string] $Notice['url']
    Write-Verbose (Format-DefenderText "asking $($address.Host) with the Windows account of this session")
    $reply = Send-DefenderNegotiate $Operation $address $Notice
    # An operation that has ended has its own words for it.
    if ($null -eq $reply -or (Test-DefenderOperationEnd $Operation 0)) { return }
    $refused = @{ Record = $null }
    Send-DefenderReply -Operation $Operation -EventId $Notice['id'] -Reply (ConvertTo-DefenderJson $reply) -Failure $refused
    # It may end in between.
    if ($null -ne $refused.Record -and -not (Test-DefenderOperationEnd $Operation 0)) { $Failure.Record = $refused.Record }
}

function script:New-DefenderNegotiateRequest {
    # The request, not yet sent. No redirect is followed.
    param([uri] $Address, [object] $Notice)
    $request = [System.Net.WebRequest]::CreateHttp($Address)
    $request.Method = [string] $Notice['method']
    $request.AllowAutoRedirect = $false
    if ($Address.IsLoopback) {
        # An emulator: it gets nobody's account, and no proxy stands before it.
        $request.Proxy = $null
    }
    else { $request.UseDefaultCredentials = $true }
    foreach ($name in $Notice['headers'].Keys) {
        if ($name -eq 'Content-Type') { $request.ContentType = $Notice['headers'][$name] }
        else { $request.Headers[$name] = $Notice['headers'][$name] }
    }
    $request
}

function script:Send-DefenderNegotiate {
    # What was answered, as the library wants it; nothing if the operation ended before. An answer has its limit.
    param([System.IntPtr] $Operation, [uri] $Address, [object] $Notice)
    $answer = $null
    $protocols = [System.Net.ServicePointManager]::SecurityProtocol
    $request = New-DefenderNegotiateRequest $Address $Notice
    try {
        # Windows PowerShell on an older .NET Framework speaks no TLS 1.2 by itself; 0 is what the system wants.
        if ($PSVersionTable.PSEdition -eq 'Desktop' -and [int] $protocols -ne 0) { [System.Net.ServicePointManager]::SecurityProtocol = $protocols -bor [System.Net.SecurityProtocolType]::Tls12 }
        $body = [System.Text.Encoding]::UTF8.GetBytes([string] $Notice['body'])
        $request.ContentLength = $body.Length
        $task = $request.GetRequestStreamAsync()
        if (-not (Wait-DefenderTask $task $Operation)) { return }
        if ($task.IsFaulted) { return [ordered]@{ error = Format-DefenderText $task.Exception.GetBaseException().Message } }
        $task.Result.Write($body, 0, $body.Length)
        $task.Result.Dispose()
        $task = $request.GetResponseAsync()
        if (-not (Wait-DefenderTask $task $Operation)) { return }
        if ($task.IsFaulted) {
            # .NET makes an exception of every status above 399.
            $problem = $task.Exception.GetBaseException()
            foreach ($exception in $task.Exception.Flatten().InnerExceptions) { if ($exception -is [System.Net.WebException]) { $problem = $exception } }
            if ($problem -is [System.Net.WebException]) { $answer = $problem.Response }
            if ($null -eq $answer) { return [ordered]@{ error = Format-DefenderText $problem.GetBaseException().Message } }
        }
        else { $answer = $task.Result }
        $stream = $answer.GetResponseStream()
        $buffer = [byte[]]::new(1048576)
        $length = 0
        while ($length -lt $buffer.Length) {
            # A read that is over at once has not looked.
            if (Test-DefenderOperationEnd $Operation 0) { return }
            $task = $stream.ReadAsync($buffer, $length, $buffer.Length - $length)
            if (-not (Wait-DefenderTask $task $Operation)) { return }
            if ($task.IsFaulted) { return [ordered]@{ error = Format-DefenderText $task.Exception.GetBaseException().Message } }
            if ($task.Result -eq 0) { break }
            $length += $task.Result
        }
        if ($length -eq $buffer.Length) { return [ordered]@{ error = 'the answer has 1 MiB or more' } }
        [ordered]@{ status = [int] $answer.StatusCode; body = [System.Text.Encoding]::UTF8.GetString($buffer, 0, $length) }
        [System.Array]::Clear($buffer, 0, $length)
    }
    catch {
        $global:Error.RemoveAt(0)
        [ordered]@{ error = Format-DefenderText $_.Exception.GetBaseException().Message }
    }
    finally {
        if ($null -ne $answer) { $answer.Dispose() }
        $request.Abort()
        if ($PSVersionTable.PSEdition -eq 'Desktop') { [System.Net.ServicePointManager]::SecurityProtocol = $protocols }
    }
}
