# Several runspaces of one process share the cache, and each import its own client.

if ($null -eq $Emulator) { return }

Describe 'runspaces' {
    It 'share one token call, eight at a time' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/oauth2/token' }; times = 0; do = @{ delay_ms = 300 } }
        $shells = @(foreach ($number in 1..8) { New-TestShell })
        try {
            $runs = @(foreach ($shell in $shells) { $null = $shell.AddScript('(Get-ADALToken @App).AccessToken'); $shell.BeginInvoke() })
            $tokens = @(for ($i = 0; $i -lt 8; $i++) { $shells[$i].EndInvoke($runs[$i]) })
            Assert-Equal $tokens.Count 8
            Assert-Equal @($tokens | Sort-Object -Unique).Count 1
            Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 1
        }
        finally { foreach ($shell in $shells) { $shell.Dispose() }; $null = Invoke-Emulator DELETE faults }
    }
    It 'work in ForEach-Object -Parallel, where there is one' {
        if (-not (Get-Command -Name ForEach-Object).Parameters.ContainsKey('Parallel')) { return }
        Reset-Emulator
        $arguments = $AppArguments
        $path = $ModulePath
        $tokens = @(1..8 | ForEach-Object -ThrottleLimit 4 -Parallel { Import-Module $using:path; $a = $using:arguments; (Get-ADALToken @a).AccessToken })
        Assert-Equal $tokens.Count 8
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 1
    }
    It 'have connections of their own' {
        Reset-Emulator
        Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText)
        $shell = New-TestShell
        try { Assert-Equal $shell.AddScript('@(Get-DefenderContext).Count').Invoke() '0' }
        finally { $shell.Dispose() }
    }
    It 'keep no more than 256 prepared requests, and all of them work' {
        $shell = New-TestShell
        try {
            $out = $shell.AddScript('foreach ($i in 1..300) { Get-ADALToken -Resource "https://r$i.example" -ClientId $User.ClientId -TenantId $User.TenantId -RedirectUri http://localhost -PromptBehavior Never -ErrorAction SilentlyContinue }
                & (Get-Module DefenderXdr) { $script:Requests.Count }
                @($Error | Where-Object FullyQualifiedErrorId -ne "DefenderXdr.INTERACTION_REQUIRED,Get-ADALToken").Count').Invoke()
            Assert-Equal $out '256', '0'
        }
        finally { $shell.Dispose() }
    }
}

Describe 'the walk-through' {
    It 'runs as the example prints it' {
        Reset-Emulator
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N'))
        $null = [IO.Directory]::CreateDirectory($folder)
        try {
            # A stand-in for the clipboard program that only Windows has.
            [IO.File]::WriteAllText([IO.Path]::Combine($folder, 'run.ps1'), "function global:clip { `$input | ForEach-Object { [IO.File]::WriteAllText('$folder/clipboard', `$_) } }`n. '$([IO.Path]::Combine($RepositoryRoot, 'examples', 'powershell', 'walk-through.ps1'))'")
            $result = Invoke-Process $PowerShellProgram @('-NoProfile', '-File', [IO.Path]::Combine($folder, 'run.ps1'))
            Assert-Equal $result.Code 0 $result.Err
            $token = [IO.File]::ReadAllText([IO.Path]::Combine($folder, 'clipboard'))
            Assert-Match $result.Out ([regex]::Escape($token))
            Assert-Match $result.Out 'Incident\.Read'
            Assert-Match $result.Out '3000000417\s+High\s+Active'
            Assert-Equal @(Get-EmulatorRequest '/oauth2/authorize')[0].query.prompt 'login'
        }
        finally { [IO.Directory]::Delete($folder, $true) }
    }
}
