# What Connect-Defender and Get-DefenderToken make of parameters that people mix up, and an assertion that a script block makes.

$id = '22869222-3c51-4d11-ad15-99b70e71c548'

Describe 'two ways to sign in at once' {
    It 'are told by name' {
        $secret = New-Secret 'x'
        foreach ($case in @(
                @(@{ ClientId = $id; DeviceCode = $true; ManagedIdentity = $true }, '^-DeviceCode and -ManagedIdentity are two ways to sign in$'),
                @(@{ ClientId = $id; ClientSecret = $secret; CertificatePath = 'a.pfx' }, '^-CertificatePath and -ClientSecret are two ways to sign in$'),
                @(@{ AzureCli = $true; Environment = $true; GitHubActions = $true }, '^-AzureCli and -Environment and -GitHubActions are 3 ways to sign in$'))) {
            $arguments = $case[0]
            foreach ($call in { Get-DefenderToken @arguments }, { Connect-Defender @arguments }) {
                $record = Assert-Fails $call BAD_ARGUMENT InvalidArgument
                Assert-Match "$record" $case[1]
                Assert-Match $record.ErrorDetails.RecommendedAction '^Give one of -\w+(, -\w+)* and -\w+\.$'
            }
        }
        $null = Assert-Fails { Connect-Defender -AccessToken 'a.b.c' -AzureCli } BAD_ARGUMENT InvalidArgument
    }
    It 'are not two when a switch is off' {
        Assert-Equal (Get-TestPlan @{ ClientId = $id; DeviceCode = $false; ManagedIdentity = $false }).Document.grant 'authorization_code'
        Assert-Equal (Get-TestPlan @{ ClientId = $id; DeviceCode = $true; ManagedIdentity = $false }).Document.grant 'device_code'
    }
    It 'and help shows one line of syntax' {
        foreach ($name in 'Connect-Defender', 'Get-DefenderToken') { Assert-Equal @((Get-Command $name).ParameterSets).Count 1 $name }
    }
}

Describe 'a parameter of another kind' {
    It 'is refused with what to give: a secret in plain text' {
        foreach ($case in @(@{ ClientId = $id; ClientSecret = 'canary-plain-0123456789' }, 'ClientSecret'), @(@{ ClientId = $id; CertificatePath = 'a.pfx'; CertificatePassword = 'canary-plain-0123456789' }, 'CertificatePassword')) {
            $arguments = $case[0]
            $record = Assert-Fails { Connect-Defender @arguments } BAD_ARGUMENT InvalidArgument
            Assert-Match "$record" "^-$($case[1]) is plain text$"
            Assert-Match $record.ErrorDetails.RecommendedAction "Read-Host -AsSecureString.*-$($case[1]) \`$secret"
            Assert-NoSecret (Get-DeepText $record) 'canary-plain-0123456789' 'the error record'
        }
        foreach ($value in '', $null) { Assert-Match "$(Assert-Fails { Get-DefenderToken -ClientId $id -ClientSecret $value } BAD_ARGUMENT InvalidArgument)" '-ClientSecret is empty' }
        $record = Assert-Fails { Get-DefenderToken -ClientId $id -ClientSecret ([pscredential]::new('x', (New-Secret 'x'))) } BAD_ARGUMENT InvalidArgument
        Assert-Match $record.ErrorDetails.RecommendedAction '-Credential'
    }
    It 'is refused with what to give: a certificate as text' {
        foreach ($case in @('./app.pfx', '-CertificatePath'), @('8E3A1B2C3D4E5F60718293A4B5C6D7E8F90A1B2C', '-CertificateThumbprint'), @('CN=runbook', '-CertificateSubject'), @(5, '-CertificatePath')) {
            $record = Assert-Fails { Get-DefenderToken -ClientId $id -Certificate $case[0] } BAD_ARGUMENT InvalidArgument
            Assert-Match "$record" '^-Certificate is not a certificate but '
            Assert-Match $record.ErrorDetails.RecommendedAction $case[1]
        }
    }
    It 'never repeats the text of a certificate file' {
        $pem = "-----BEGIN PRIVATE KEY-----`nMIIEvCANARYKEYMATERIAL0123456789`n-----END PRIVATE KEY-----"
        $record = Assert-Fails { Get-DefenderToken -ClientId $id -Certificate $pem } BAD_ARGUMENT InvalidArgument
        Assert-NotMatch "$record $($record.ErrorDetails)" 'CANARY'
        Assert-Match $record.ErrorDetails.RecommendedAction '-CertificatePath'
    }
    It 'is refused: what is empty' {
        foreach ($name in 'CertificatePath', 'CertificateThumbprint', 'CertificateSubject', 'ClientAssertionFile', 'Credential', 'Certificate', 'ClientAssertion', 'RefreshToken') {
            $arguments = @{ ClientId = $id; $name = $null }
            $record = Assert-Fails { Connect-Defender @arguments } BAD_ARGUMENT InvalidArgument
            Assert-Match "$record" "^-$name is empty"
        }
    }
    It 'is told: a token that is none' {
        foreach ($value in 'two words', "line`nbreak", "b$([char]0xe4)d") {
            foreach ($given in $value, (New-Secret $value)) { $null = Assert-Fails { Connect-Defender -AccessToken $given } BAD_ARGUMENT InvalidArgument }
        }
        # An opaque token can be a good one.
        Assert-Match (Connect-Defender -AccessToken 'garbage' 3>&1) 'not a JSON Web Token'
        Disconnect-Defender
    }
}

function Start-TestProxy {
    # A proxy that refuses: what reaches it is what counts.
    $listener = [Net.Sockets.TcpListener]::new([Net.IPAddress]::Loopback, 0)
    $listener.Start()
    $seen = [hashtable]::Synchronized(@{ Heads = [Collections.ArrayList]::new() })
    $shell = [powershell]::Create()
    $null = $shell.AddScript('param($listener, $seen) while ($true) {
            $one = $listener.AcceptTcpClient()
            $reader = [IO.StreamReader]::new($one.GetStream())
            $head = while ($line = $reader.ReadLine()) { $line }
            $null = $seen.Heads.Add($head -join "`n")
            $answer = [Text.Encoding]::ASCII.GetBytes("HTTP/1.1 407 no`r`ncontent-length: 0`r`nconnection: close`r`n`r`n")
            $one.GetStream().Write($answer, 0, $answer.Length)
            $one.Close()
        }').AddArgument($listener).AddArgument($seen)
    $null = $shell.BeginInvoke()
    @{ Listener = $listener; Seen = $seen; Address = "http://127.0.0.1:$($listener.LocalEndpoint.Port)" }
}

Describe 'an authority and a proxy' {
    It 'are named by parameters' {
        $plan = Get-TestPlan @{ ClientId = $id; Authority = 'https://id.fabrikam.example/x'; AuthorityType = 'OIDC'; NoInstanceDiscovery = $true }
        Assert-Equal $plan.Document.authority_type 'oidc'
        Assert-Equal $plan.Document.instance_discovery $false
        $null = Assert-Fails { Get-DefenderToken -ClientId $id -AuthorityType ADFS } BAD_ARGUMENT InvalidArgument
        foreach ($arguments in @{ NoProxy = $true; Proxy = 'http://x:1' }, @{ ProxyBypass = 'a' }, @{ Proxy = 'proxy:8080' }, @{ Proxy = '' }, @{ ProxyCredential = [pscredential]::new('u', (New-Secret 'p')) }) {
            $record = Assert-Fails { Get-DefenderToken -ClientId $id @arguments } BAD_ARGUMENT InvalidArgument
            Assert-Match "$record" 'Proxy'
        }
    }
    It 'the proxy of -Proxy is asked, with the credential of -ProxyCredential, and not with -NoProxy' {
        $proxy = Start-TestProxy
        try {
            $seen = $proxy.Seen
            $address = $proxy.Address
            $script = "`$secret = ConvertTo-SecureString 'x' -AsPlainText -Force
                `$person = [pscredential]::new('soc', (ConvertTo-SecureString 'p4ss' -AsPlainText -Force))
                `$app = @{ TenantId = 'fabrikam.example'; ClientId = '$id'; ClientSecret = `$secret; Timeout = 5 }
                try { Connect-Defender @app -Proxy $address -ProxyCredential `$person -ProxyBypass x.example } catch { `$_.FullyQualifiedErrorId; `$_.Exception.Message }
                try { Get-DefenderToken @app -Proxy $address } catch { `$_.FullyQualifiedErrorId }
                Connect-Defender -AccessToken a.b.c -NoProxy -WarningAction Ignore; (& (Get-Module DefenderXdr) { Get-DefenderClientDescription })['proxy']"
            $result = Invoke-PowerShell $script -Environment @{ DEFENDER_XDR_EMULATOR = ''; HTTPS_PROXY = 'http://127.0.0.1:9' }
            Assert-Match $result.Out 'DefenderXdr\.PROXY_AUTH,Connect-Defender'
            Assert-Match $result.Out "DefenderXdr\.PROXY_AUTH,Get-DefenderToken\s+none"
            Assert-Match $result.Out ([regex]::Escape($address.Substring(7)))
            Assert-Equal $seen.Heads.Count 2 "$($seen.Heads)"
            Assert-Match $seen.Heads[0] '^CONNECT login\.microsoftonline\.com:443'
            Assert-Match $seen.Heads[0] "Proxy-Authorization: Basic $([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes('soc:p4ss')))"
            Assert-NotMatch $seen.Heads[1] 'Proxy-Authorization'
        }
        finally { $proxy.Listener.Stop() }
    }
    It 'what -ProxyBypass names goes past the proxy of -Proxy, and nothing else does' {
        $proxy = Start-TestProxy
        try {
            # No resolver knows such a host (RFC 6761): what goes straight does not arrive, and says so.
            $script = "`$secret = ConvertTo-SecureString 'x' -AsPlainText -Force
                `$app = @{ Authority = 'https://sts.contoso.invalid/adfs'; ClientId = '$id'; ClientSecret = `$secret; Timeout = 5; Proxy = '$($proxy.Address)' }
                foreach (`$past in @('fabrikam.invalid'), @('contoso.invalid'), @('x.example', '.contoso.invalid'), @('10.0.0.0/8', 'sts.contoso.invalid'), @('*')) {
                    try { Connect-Defender @app -ProxyBypass `$past } catch { ""`$past > `$(`$_.FullyQualifiedErrorId)"" }
                    try { Get-DefenderToken @app -ProxyBypass `$past } catch { ""`$past > `$(`$_.FullyQualifiedErrorId)"" }
                }"
            $result = Invoke-PowerShell $script -Environment @{ DEFENDER_XDR_EMULATOR = ''; HTTPS_PROXY = 'http://127.0.0.1:9'; NO_PROXY = '' }
            $lines = @($result.Out -split '\r?\n' | Where-Object { $_ -match ' > ' })
            Assert-Equal $lines.Count 10 "$($result.Out)$($result.Err)"
            Assert-Match $lines[0] '^fabrikam\.invalid > DefenderXdr\.PROXY_AUTH,Connect-Defender$'
            Assert-Match $lines[1] '^fabrikam\.invalid > DefenderXdr\.PROXY_AUTH,Get-DefenderToken$'
            foreach ($line in $lines[2..9]) { Assert-Match $line ' > DefenderXdr\.(DNS|CONNECT),' }
            Assert-Equal $proxy.Seen.Heads.Count 2 "$($proxy.Seen.Heads)"
            foreach ($head in $proxy.Seen.Heads) { Assert-Match $head '^CONNECT sts\.contoso\.invalid:443' }
        }
        finally { $proxy.Listener.Stop() }
    }
}

if ($null -eq $Emulator) { return }

$confidential = @{ TenantId = $Emulator.tenant_id; ClientId = $Emulator.confidential_client_id }
$workload = @{ TenantId = $Emulator.tenant_id; ClientId = 'f5b1c6d2-7a0b-4c8e-9d55-2f8f0a4f7c31' }

Describe 'an assertion that a script block makes' {
    It 'is asked for at each renewal, and not for a cached token' {
        Reset-Emulator
        $asked = [Collections.ArrayList]::new()
        $make = { param($question) $null = $asked.Add($question); New-FederatedToken }
        Connect-Defender @workload -ClientAssertion $make
        Assert-Equal $asked.Count 1
        Assert-Equal $asked[0].ClientId $workload.ClientId
        Assert-Match $asked[0].Audience '/oauth2/v2\.0/token$'
        Assert-True ($null -eq $asked[0].Problem)
        $first = (Get-DefenderToken).AccessToken
        Assert-Equal @(Get-DefenderIncident -First 1).Count 1
        Assert-Equal $asked.Count 1
        Assert-True ((Get-DefenderToken -Force).AccessToken -cne $first)
        Assert-Equal $asked.Count 2
        # In the middle of a listing, too.
        $null = Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 1; do = @{ status = 401 } }
        Assert-Equal @(Get-DefenderIncident -First 1).Count 1
        Assert-Equal $asked.Count 3
        Disconnect-Defender
        Assert-True (Get-DefenderToken @workload -ClientAssertion { ConvertTo-SecureString (New-FederatedToken) -AsPlainText -Force } -Force).AccessToken
    }
    It 'is asked for once more when it was not taken, with the reason' {
        Reset-Emulator
        $asked = [Collections.ArrayList]::new()
        $record = Assert-Fails { Get-DefenderToken @workload -ClientAssertion { param($question) $null = $asked.Add($question); New-FederatedToken -Seconds -60 } -Force } ASSERTION_TIME AuthenticationError
        Assert-True $record.ErrorDetails.RecommendedAction
        Assert-Equal $asked.Count 2
        Assert-Match $asked[1].Problem 'expired'
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token').Count 0
    }
    It 'that fails or returns none ends the sign-in with its own words' {
        Reset-Emulator
        $record = Assert-Fails { Connect-Defender @workload -ClientAssertion { throw 'the vault is locked' } -Force } TOOL_FAILED
        Assert-Match "$record" 'script block of -ClientAssertion failed: the vault is locked'
        foreach ($case in @({ }, 'no assertion'), @({ 'a.b.c'; 'd.e.f' }, '2 objects'), @({ break }, 'no assertion'), @({ continue }, 'no assertion'), @({ 5 }, 'no assertion')) {
            $record = Assert-Fails { Get-DefenderToken @workload -ClientAssertion $case[0] -Force } BAD_ARGUMENT InvalidArgument
            Assert-Match "$record" $case[1]
        }
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token').Count 0
        # The next call works.
        Assert-True (Get-DefenderToken @workload -ClientAssertion { New-FederatedToken } -Force).AccessToken
    }
    It 'that waits is stopped by Ctrl+C' {
        Reset-Emulator
        $shared = [hashtable]::Synchronized(@{})
        $shell = New-TestShell
        try {
            $shell.Runspace.SessionStateProxy.SetVariable('Shared', $shared)
            $null = $shell.AddScript('Get-DefenderToken -TenantId $App.TenantId -ClientId f5b1c6d2-7a0b-4c8e-9d55-2f8f0a4f7c31 -Force -ClientAssertion { $Shared.asked = $true; while ($true) { [Threading.Thread]::Yield() } }; $Shared.after = $true')
            $running = $shell.BeginInvoke()
            Wait-Until { $shared.ContainsKey('asked') }
            $watch = [Diagnostics.Stopwatch]::StartNew()
            $shell.Stop()
            Assert-True ($watch.ElapsedMilliseconds -lt 2000) "stopping took $($watch.ElapsedMilliseconds) ms"
            Assert-True $running.IsCompleted
            Assert-True (-not $shared.ContainsKey('after')) 'the script went on'
            Assert-Equal $shell.Streams.Error.Count 0 "$($shell.Streams.Error)"
        }
        finally { $shell.Dispose() }
    }
}

Describe 'an authorization code of one''s own' {
    It 'brings the token to Get-ADALToken, and is of no use a second time' {
        Reset-Emulator
        $redirect = 'https://runbook.fabrikam.example/signin'
        $arguments = $confidential + @{ Resource = $Resource; ClientSecret = (New-Secret $RunbookSecretText); RedirectUri = $redirect; AuthorizationCode = (New-AuthorizationCode $redirect) }
        $token = Get-ADALToken @arguments
        Assert-Equal $token.UserInfo.DisplayableId 'adele@fabrikam.example'
        $read = ConvertFrom-DefenderToken $token
        Assert-Equal $read.Audience $Resource
        Assert-True ($read.Permissions.Count -gt 0)
        $form = @(Get-EmulatorRequest '/oauth2/token')[-1].form
        Assert-Equal $form.grant_type 'authorization_code'
        Assert-Equal $form.redirect_uri $redirect
        $null = Assert-Fails { Get-ADALToken @arguments } INVALID_GRANT AuthenticationError
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 1 'a code is redeemed once ever'
        $certificate = New-TestCertificate
        $pem = "-----BEGIN CERTIFICATE-----`n$([Convert]::ToBase64String($certificate.RawData, 'InsertLineBreaks').Replace("`r", ''))`n-----END CERTIFICATE-----`n"
        $null = Invoke-Emulator POST certificates (ConvertTo-Json @{ client_id = $Emulator.confidential_client_id; pem = $pem })
        $arguments = $confidential + @{ Resource = $Resource; ClientAssertionCertificate = $certificate; RedirectUri = $redirect; AuthorizationCode = (New-AuthorizationCode $redirect) }
        Assert-Equal (Get-ADALToken @arguments).UserInfo.DisplayableId 'adele@fabrikam.example'
    }
}
