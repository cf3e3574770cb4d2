# Events: what an operation says while it runs, and what it asks.

function script:Invoke-DefenderEvent {
    # Shows one event where a person or a runbook sees it, and answers those that need an answer.
    param([System.IntPtr] $Operation, [string] $Text, [hashtable] $Progress, [hashtable] $Failure)
    $notice = ConvertFrom-DefenderDocument $Text
    $kind = [string] $notice['kind']
    switch ($kind) {
        'warning' { Show-DefenderWarning $notice; break }
        'verbose' { Write-Verbose (Format-DefenderText $notice['message']); break }
        'retry' {
            $wait = [math]::Ceiling([double] $notice['wait_ms'] / 1000)
            $what = '{0} answered {1}; waiting {2} s before attempt {3}' -f (Format-DefenderText $notice['host']),
                (Format-DefenderText $notice['reason']), $wait, ([int] $notice['attempt'] + 1)
            Write-Verbose $what
            if ($wait -gt 2) { Show-DefenderProgress $Progress $what $wait }
            break
        }
        'progress' {
            Show-DefenderProgress $Progress ('{0} {1} in {2} {3}' -f $notice['items'], $(if ($notice['items'] -eq 1) { 'record' } else { 'records' }), $notice['pages'], $(if ($notice['pages'] -eq 1) { 'page' } else { 'pages' })) -1
            break
        }
        'pacing' {
            # A wait of the library's own, so that the service never has to refuse.
            $wait = [math]::Ceiling([double] $notice['wait_ms'] / 1000)
            $what = 'waiting {0} s to stay within {1} of {2}' -f $wait, (Format-DefenderText $notice['limit']), (Format-DefenderText $notice['endpoint'])
            Write-Verbose $what
            if ($wait -gt 2) { Show-DefenderProgress $Progress $what $wait }
            break
        }
        'schema' { $Progress.Result.Schema = $notice; break }
        'cache' { $Progress.Result.Cache = $notice; break }
        'response' {
            $Progress.Result.Response = $notice
            Write-Verbose (Format-DefenderText "HTTP $($notice['status']) $($notice['content_type']) request-id $($notice['request_id'])")
            break
        }
        'action' {
            $what = 'machine action {0} is {1}' -f (Format-DefenderText $notice['action_id']), (Format-DefenderText $notice['status'])
            Write-Verbose $what
            Show-DefenderProgress $Progress $what ([math]::Ceiling([double] $notice['wait_ms'] / 1000))
            break
        }
        'open_browser' {
            # Without a reply the library opens the system's browser, or a window of its own.
            $closing = if ($notice['opens'] -eq 'app_window') { 'Ctrl+C or closing it cancels' } else { 'Ctrl+C cancels' }
            $site = ''
            $address = $null
            if ([uri]::TryCreate([string] $notice['url'], [System.UriKind]::Absolute, [ref] $address)) { $site = $address.Host }
            $until = 'the time limit'
            if ($null -ne $Progress.Deadline) { $until = $Progress.Deadline.ToString('HH:mm:ss', [System.Globalization.CultureInfo]::InvariantCulture) }
            Write-Verbose "Opening a browser to sign in at $site; waiting until $until"
            Show-DefenderProgress $Progress "A browser window was opened to sign in; waiting until $until, $closing" -1
            break
        }
        'device_code' { Show-DefenderDeviceCode $notice $Progress; break }
        'sign' { Invoke-DefenderSign -Operation $Operation -Notice $notice -Progress $Progress -Failure $Failure; break }
        'assertion' { Invoke-DefenderAssertion -Operation $Operation -Notice $notice -Progress $Progress -Failure $Failure; break }
        'negotiate' { Invoke-DefenderNegotiate -Operation $Operation -Notice $notice -Failure $Failure; break }
        'paste_redirect' { Invoke-DefenderPaste -Operation $Operation -Notice $notice -Failure $Failure; break }
        default { Write-Verbose (Format-DefenderText "$kind $($notice['message'])") }
    }
}

function script:Show-DefenderWarning {
    # A warning, with the name that the guide explains it under.
    param([object] $Notice)
    $name = if ($Notice['name']) { " (DefenderXdr.$(Format-DefenderText $Notice['name']))" }
    Write-Warning "$(ConvertTo-DefenderHint (Format-DefenderText $Notice['message']))$name"
}

function script:Show-DefenderProgress {
    param([hashtable] $Progress, [string] $What, [int] $Seconds)
    $Progress.Shown = $true
    Write-Progress -Id 27 -Activity 'Defender XDR' -Status $What -SecondsRemaining $Seconds
}

function script:Show-DefenderDeviceCode {
    # A warning is seen in every host, in a remote session and in a runbook's job. The object goes to the information stream, and to the
    # output of a command that was asked for it.
    param([object] $Notice, [hashtable] $Progress)
    $expires = $null
    if ($null -ne $Notice['expires_on']) { $expires = [System.DateTimeOffset]::FromUnixTimeSeconds($Notice['expires_on']) }
    $code = [pscustomobject]@{
        PSTypeName              = 'DefenderXdr.DeviceCode'
        UserCode                = Format-DefenderText $Notice['user_code']
        VerificationUri         = Format-DefenderText $Notice['verification_uri']
        VerificationUriComplete = $(if ($Notice['verification_uri_complete']) { Format-DefenderText $Notice['verification_uri_complete'] })
        ExpiresOn               = $expires
        Message                 = Format-DefenderText $Notice['message']
    }
    $until = ''
    if ($null -ne $expires) {
        $local = $expires.ToLocalTime()
        $zone = if ($local.Offset -eq [timespan]::Zero) { 'HH:mm "UTC"' } else { 'HH:mm "UTC"zzz' }
        $until = ' before ' + $local.ToString($zone, [System.Globalization.CultureInfo]::InvariantCulture)
    }
    Write-Warning "To sign in, open $($code.VerificationUri) on any device and enter the code $($code.UserCode)$until."
    $caller = if ($null -ne $Progress.Entry) { $Progress.Entry['Caller'] }
    if ($null -ne $caller) { $caller.WriteObject($code) }
    else { Write-Information -MessageData $code -Tags 'DefenderXdr.DeviceCode' }
    Show-DefenderProgress $Progress "Waiting for a sign-in with the code $($code.UserCode) at $($code.VerificationUri); Ctrl+C cancels" -1
}

function script:Invoke-DefenderAssertion {
    # Answers the event assertion with what the script block of -ClientAssertion returns. It runs in this pipeline, so Ctrl+C stops it too.
    param([System.IntPtr] $Operation, [object] $Notice, [hashtable] $Progress, [hashtable] $Failure)
    $block = if ($null -ne $Progress.Entry) { $Progress.Entry['Assertion'] }
    if ($null -eq $block) {
        $Failure.Record = New-DefenderErrorRecord -Name 'TOOL_FAILED' -Code 10007 -Message 'the library asked for an assertion, and this call has no script block to make one' -Hint 'Run Connect-Defender again, with -ClientAssertion.'
        return
    }
    $question = [pscustomobject]@{ Audience = $Notice['audience']; ClientId = $Notice['client_id']; Problem = $(if ($Notice['problem']) { Format-DefenderText $Notice['problem'] }) }
    $answers = @()
    try {
        # The loop takes a break or continue of the script block, which else would leave a loop of ours.
        foreach ($once in 1) { $null = $once; $answers = @(& $block $question) }
    }
    catch {
        $global:Error.RemoveAt(0)
        $Failure.Record = New-DefenderErrorRecord -Name 'TOOL_FAILED' -Code 10007 -Message "the script block of -ClientAssertion failed: $(Format-DefenderText $_.Exception.Message)" `
            -Hint "Run it by itself: & { ... } ([pscustomobject]@{ Audience = '$($question.Audience)'; ClientId = '$($question.ClientId)'; Problem = `$null })."
        return
    }
    $assertion = if ($answers.Length -eq 1) { Get-DefenderTokenSecret $answers[0] }
    if ($null -eq $assertion) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "the script block of -ClientAssertion returned $(if ($answers.Length -gt 1) { "$($answers.Length) objects" } else { 'no assertion' })" `
            -Hint 'Let it return the signed assertion (a JWT) alone, as text or as a SecureString: put $null = before other commands in it.'
        return
    }
    Send-DefenderReply -Operation $Operation -EventId $Notice['id'] -Reply $assertion -Failure $Failure
}

function script:Invoke-DefenderPaste {
    # The redirect URI cannot be caught on this machine: the person signs in somewhere and pastes the address they landed on. It holds a
    # code, so it is read unechoed and stays out of transcripts.
    param([System.IntPtr] $Operation, [object] $Notice, [hashtable] $Failure)
    $message = Format-DefenderText $Notice['message']
    $url = Format-DefenderText $Notice['url']
    $redirect = Format-DefenderText $Notice['redirect_uri']
    $asked = $null
    if (Test-DefenderPrompt) {
        if ($message) { Write-Warning $message }
        if ($url -and -not $message.Contains($url)) { Write-Warning "Open this address in a browser and sign in: $url" }
        $ended = $false
        try { $asked = Read-DefenderSecret "Paste the full address of the page you land on (it starts with $redirect)" $Operation ([ref] $ended) }
        catch [System.Management.Automation.PSInvalidOperationException], [System.Management.Automation.Host.HostException], [System.NotImplementedException], [System.InvalidOperationException] { $global:Error.RemoveAt(0) }
        # The time was up: the operation has its own words for it.
        if ($ended) { return }
    }
    if ($null -eq $asked) {
        $Failure.Record = New-DefenderErrorRecord -Name 'INTERACTION_REQUIRED' -Code 4000 `
            -Message "signing in with the redirect URI $redirect needs a person to paste an address, and this session cannot ask" `
            -Hint "Run it in an interactive session, or register http://localhost as a redirect URI of the app ('Mobile and desktop applications') and use that."
        return
    }
    try { Send-DefenderReply -Operation $Operation -EventId $Notice['id'] -Reply $asked -Failure $Failure }
    finally { $asked.Dispose() }
}

function script:Read-DefenderSecret {
    # A line from a person, unechoed; nothing if the operation ends first. A host without single keys asks in its own way, and cannot be
    # interrupted by the time limit.
    param([string] $Prompt, [System.IntPtr] $Operation, [ref] $Ended)
    $keys = $Host.UI.RawUI
    $any = $null
    try { $any = $keys.KeyAvailable } catch { $global:Error.RemoveAt(0) }
    if ($any -isnot [bool]) { return Read-Host -Prompt $Prompt -AsSecureString }
    $line = [securestring]::new()
    $Host.UI.Write("${Prompt}: ")
    while ($true) {
        if (-not $any) {
            if (Test-DefenderOperationEnd $Operation) {
                $Host.UI.WriteLine()
                $line.Dispose()
                $Ended.Value = $true
                return
            }
        }
        else {
            $key = $keys.ReadKey('NoEcho, IncludeKeyDown')
            if ($key.Character -eq "`r" -or $key.Character -eq "`n") { break }
            if ($key.Character -eq "`b" -or [int] $key.Character -eq 127) { if ($line.Length -gt 0) { $line.RemoveAt($line.Length - 1) } }
            elseif ([int] $key.Character -ge 32) { $line.AppendChar($key.Character) }
        }
        $any = $keys.KeyAvailable
    }
    $Host.UI.WriteLine()
    $line
}

function script:Test-DefenderInteractive {
    # False where nobody can sign in.
    -not (Get-DefenderObstacle)
}

function script:Get-DefenderObstacle {
    # Why nobody can be asked to sign in: a service, -NonInteractive, a remote session, a runbook or a function app. Empty where somebody can.
    foreach ($name in 'FUNCTIONS_WORKER_RUNTIME', 'AUTOMATION_ASSET_ACCOUNTID') {
        if ([System.Environment]::GetEnvironmentVariable($name)) { return "$name is set, so this is an unattended place" }
    }
    if ($null -eq $script:Obstacle) { $script:Obstacle = [string] (Get-DefenderSessionObstacle ([System.Environment]::GetCommandLineArgs())) }
    $script:Obstacle
}

function script:Get-DefenderSessionObstacle {
    param([string[]] $CommandLine)
    if (-not [System.Environment]::UserInteractive) { return 'this process has no desktop session (a service or a scheduled task)' }
    if ($null -ne (Get-Variable -Name 'PSSenderInfo' -Scope Global -ValueOnly -ErrorAction Ignore)) { return 'this is a remote PowerShell session' }
    # The host's own switches stand before -File, -Command and -EncodedCommand; what follows those is the script's.
    for ($index = 1; $index -lt $CommandLine.Length; $index++) {
        if ($CommandLine[$index] -notmatch '^(?:--|[-/\u2013\u2014\u2015])(?<name>[A-Za-z]+)$') { continue }
        $switch = $Matches['name'].ToLowerInvariant()
        if ($switch.Length -ge 4 -and 'noninteractive'.StartsWith($switch, [System.StringComparison]::Ordinal)) { return 'PowerShell was started with -NonInteractive' }
        foreach ($last in 'file', 'command', 'commandwithargs', 'encodedcommand') {
            if ($last.StartsWith($switch, [System.StringComparison]::Ordinal)) { return }
        }
        if ($switch -in 'ec', 'cwa') { return }
    }
}

function script:Test-DefenderPrompt {
    # Can this host read an answer from a person?
    if (-not (Test-DefenderInteractive)) { return $false }
    if ($Host.Name -eq 'ConsoleHost' -and [System.Console]::IsInputRedirected) { return $false }
    $true
}
