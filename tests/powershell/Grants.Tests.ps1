# The ways to sign in of Connect-Defender and Get-DefenderToken, and the drop-in's confidential clients.

$id = '22869222-3c51-4d11-ad15-99b70e71c548'
$inModule = Get-Module -Name DefenderXdr

Describe 'the parameters of a sign-in' {
    It 'are the same for Connect-Defender and Get-DefenderToken' {
        $sets = foreach ($name in 'Connect-Defender', 'Get-DefenderToken') { , @((Get-Command $name).ParameterSets.Name | Where-Object { $_ -ne 'AccessToken' } | Sort-Object) }
        Assert-Equal $sets[0] $sets[1]
        foreach ($name in (Get-Command Connect-Defender).Parameters.Keys) {
            if ($name -ne 'AccessToken') { Assert-True (Get-Command Get-DefenderToken).Parameters.ContainsKey($name) "Get-DefenderToken has no -$name" }
        }
    }
    It 'name the grant' {
        $certificate = New-TestCertificate
        $secret = New-Secret 'x'
        $person = [pscredential]::new('adele@fabrikam.example', $secret)
        foreach ($case in @(
                @('authorization_code', $null, @{ ClientId = $id }), @('automatic', $null, @{ TenantId = 'fabrikam.example' }), @('device_code', $null, @{ ClientId = $id; DeviceCode = $true }),
                @('password', $null, @{ ClientId = $id; Credential = $person }), @('client_credentials', $null, @{ Credential = [pscredential]::new($id, $secret) }),
                @('client_credentials', $null, @{ ClientId = $id; ClientSecret = $secret }), @('client_credentials', 'certificate', @{ ClientId = $id; Certificate = $certificate }),
                @('client_credentials', 'certificate', @{ ClientId = $id; CertificatePath = 'a.pfx'; CertificatePassword = $secret }),
                @('client_credentials', 'assertion', @{ ClientId = $id; ClientAssertion = 'a.b.c' }), @('client_credentials', 'assertion', @{ ClientId = $id; ClientAssertionFile = 'a.jwt' }),
                @('client_credentials', 'workload_identity', @{ WorkloadIdentity = $true }), @('client_credentials', 'github_actions', @{ ClientId = $id; GitHubActions = $true }),
                @('client_credentials', 'azure_pipelines', @{ ClientId = $id; AzurePipelines = $true; ServiceConnectionId = $id }),
                @('on_behalf_of', $null, @{ ClientId = $id; ClientSecret = $secret; UserAssertion = 'a.b.c' }), @('on_behalf_of', 'certificate', @{ ClientId = $id; Certificate = $certificate; UserAssertion = 'a.b.c' }),
                @('managed_identity', $null, @{ ManagedIdentity = $true }), @('client_credentials', 'managed_identity', @{ ManagedIdentity = $true; ClientId = $id }), @('azure_cli', $null, @{ AzureCli = $true }), @('azure_developer_cli', $null, @{ AzureDeveloperCli = $true }),
                @('azure_powershell', $null, @{ AzurePowerShell = $true }), @('visual_studio', $null, @{ VisualStudio = $true }),
                @('environment', $null, @{ Environment = $true }), @('refresh_token', $null, @{ ClientId = $id; RefreshToken = 'canary-refresh' }))) {
            $plan = Get-TestPlan $case[2]
            Assert-Equal $plan.Document.grant $case[0] "$($case[2].Keys)"
            $kind = if ($plan.Document.Contains('credential')) { $plan.Document.credential.type }
            Assert-Equal $kind $case[1] "the credential of $($case[2].Keys)"
            Assert-Equal $plan.Document.scopes 'https://api.security.microsoft.com/.default'
        }
    }
    It 'keep secrets out of the document' {
        $plan = Get-TestPlan @{ ClientId = $id; RefreshToken = 'canary-refresh-0123456789' }
        Assert-NoSecret ($plan.Document | ConvertTo-Json -Depth 5) 'canary-refresh-0123456789' 'the document'
        Assert-Equal $plan.Secrets.refresh_token 'canary-refresh-0123456789'
    }
    It 'choose the cloud''s own addresses' {
        foreach ($case in @(@('GCC', $null, 'https://api-gcc.security.microsoft.us', 'gcc'), @('GCCHigh', 'usgov', 'https://api-gov.security.microsoft.us', 'gcc_high'), @('DoD', 'usgov', 'https://api-gov.security.microsoft.us', 'dod'))) {
            $plan = Get-TestPlan @{ ClientId = $id; Cloud = $case[0] }
            Assert-Equal $plan.Document['cloud'] $case[1]
            Assert-Equal $plan.Document.scopes "$($case[2])/.default"
            Assert-Equal $plan.CallCloud $case[3]
        }
        Assert-Equal (Get-TestPlan @{ ClientId = $id; Cloud = 'DoD'; Service = 'Graph' }).Document.scopes 'https://dod-graph.microsoft.us/.default'
        $null = Assert-Fails { Get-DefenderToken -ClientId $id -Cloud China } BAD_ARGUMENT
    }
    It 'name the identity' {
        foreach ($case in @('IdentityClientId', 'client_id'), @('IdentityObjectId', 'object_id'), @('IdentityResourceId', 'resource_id')) {
            $plan = Get-TestPlan @{ ManagedIdentity = $true; $case[0] = 'x' }
            Assert-Equal "$($plan.Document.identity.type) $($plan.Document.identity.id)" "$($case[1]) x"
        }
    }
    It 'carry hints, prompts and claims' {
        $plan = Get-TestPlan @{ ClientId = $id; LoginHint = 'adele@fabrikam.example'; DomainHint = 'fabrikam.example'; Prompt = 'SelectAccount'; Claims = '{"access_token":{}}' }
        Assert-Equal $plan.Document.login_hint 'adele@fabrikam.example'
        Assert-Equal $plan.Document.domain_hint 'fabrikam.example'
        Assert-Equal $plan.Document.prompt 'select_account'
        Assert-Equal $plan.Document.claims '{"access_token":{}}'
        Assert-True $plan.Anew 'a prompt would be answered from the cache'
        Assert-True (-not (Get-TestPlan @{ ClientId = $id; Prompt = 'None' }).Anew)
    }
    It 'that do not go together are refused by name' {
        $secret = New-Secret 'x'
        foreach ($case in @(@{ ManagedIdentity = $true; RedirectUri = 'http://localhost' }, 'RedirectUri'), @(@{ ClientId = $id; ClientSecret = $secret; LoginHint = 'a' }, 'LoginHint'), @(@{ ClientId = $id; UserAssertion = 'a' }, 'UserAssertion'),
            @(@{ ClientId = $id; DeviceCode = $true; Prompt = 'Login' }, 'Prompt'), @(@{ Prompt = 'Login' }, 'ClientId'), @(@{ ManagedIdentity = $true; IdentityClientId = 'a'; IdentityObjectId = 'b' }, 'IdentityObjectId'),
            @(@{ ClientId = $id; Cloud = 'GCC'; Authority = 'https://x.example/y' }, 'Cloud'), @(@{ Credential = [pscredential]::new('adele@fabrikam.example', $secret) }, 'ClientId')) {
            $arguments = $case[0]
            foreach ($call in { Get-DefenderToken @arguments }, { Connect-Defender @arguments }) {
                $record = Assert-Fails $call BAD_ARGUMENT InvalidArgument
                Assert-Match "$record $($record.ErrorDetails.RecommendedAction)" "-$($case[1])"
            }
        }
        $record = Assert-Fails { Connect-Defender -AccessToken 'a.b.c' -TenantId 'x' } BAD_ARGUMENT InvalidArgument
        Assert-Match "$record" '-TenantId'
    }
    It 'name an empty -ClientId' {
        foreach ($value in '', ' ', $null) {
            foreach ($call in { Connect-Defender -ClientId $value }, { Get-DefenderToken -ClientId $value -DeviceCode }) {
                $record = Assert-Fails $call BAD_ARGUMENT InvalidArgument
                Assert-Match "$record" '-ClientId is empty'
            }
        }
    }
    It 'name an empty -Resource or -Scopes, which would else mean the usual service' {
        $app = @{ ClientId = '22869222-3c51-4d11-ad15-99b70e71c548'; ClientSecret = New-Secret $RunbookSecretText }
        foreach ($command in 'Connect-Defender', 'Get-DefenderToken') {
            foreach ($case in @('Resource', ''), @('Resource', ' '), @('Resource', $null), @('Scopes', @()), @('Scopes', ''), @('Scopes', $null), @('Scopes', @('', ' '))) {
                $given = @{ $case[0] = $case[1] }
                $record = Assert-Fails { & $command @app @given } BAD_ARGUMENT InvalidArgument
                Assert-Match "$record" "^-$($case[0]) (is empty|holds an empty one)"
                Assert-Match $record.ErrorDetails.RecommendedAction 'an unset variable is empty'
            }
        }
        $record = Assert-Fails { Get-DefenderToken @app -Scopes 'https://api.security.microsoft.com/.default', '' } BAD_ARGUMENT InvalidArgument
        Assert-Match "$record" '^-Scopes holds an empty one'
        # ADAL.PS and MSAL.PS: the first has no default at all, the second one for a parameter that is left out.
        $null = Assert-Fails { Get-ADALToken -Resource '' -ClientId $app.ClientId } '' InvalidData
        foreach ($scopes in @(), @('')) { $null = Assert-Fails { Get-MsalToken -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Scopes $scopes } BAD_ARGUMENT InvalidArgument }
    }
    It 'name what is empty among secrets' {
        foreach ($arguments in @{ RefreshToken = '' }, @{ ClientAssertion = ' ' }, @{ ClientSecret = [securestring]::new() }) {
            $null = Assert-Fails { Get-DefenderToken -ClientId $id -TenantId fabrikam.example @arguments } BAD_ARGUMENT InvalidArgument
        }
    }
    It 'name a certificate that is not there' {
        $record = Assert-Fails { Connect-Defender -ClientId $id -TenantId fabrikam.example -CertificateThumbprint '00 11 22' } CERTIFICATE
        Assert-Match "$record" '00 11 22'
        $null = Assert-Fails { Connect-Defender -ClientId $id -TenantId fabrikam.example -CertificateSubject 'CN=nobody' } CERTIFICATE
        $null = Assert-Fails { Connect-Defender -ClientId $id -TenantId fabrikam.example -CertificatePath ([IO.Path]::Combine([IO.Path]::GetTempPath(), 'none.pfx')) } CERTIFICATE
    }
}

if ($null -eq $Emulator) { return }

$confidential = @{ TenantId = $Emulator.tenant_id; ClientId = $Emulator.confidential_client_id }

Describe 'a certificate whose key stays in .NET' {
    It 'signs for Get-ADALToken with RS256, and for the module''s own commands with PS256' {
        Reset-Emulator
        $certificate = New-TestCertificate
        # The emulator does not know this certificate: what was sent is looked at, not the answer.
        $null = Assert-Fails { Get-ADALToken @confidential -Resource $Resource -ClientAssertionCertificate $certificate }
        $read = Test-Assertion @(Get-EmulatorRequest '/oauth2/token')[-1].form.client_assertion $certificate
        Assert-Equal $read.Header.alg 'RS256'
        Assert-Equal $read.Claims.iss $Emulator.confidential_client_id
        $null = Assert-Fails { Get-DefenderToken @confidential -Certificate $certificate }
        $read = Test-Assertion @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion $certificate
        Assert-Equal $read.Header.alg 'PS256'
        Assert-True ($null -eq $read.Header.PSObject.Properties['x5c'])
        $null = Assert-Fails { Connect-Defender @confidential -Certificate $certificate -SendX5c }
        Assert-True (Test-Assertion @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion $certificate).Header.x5c
    }
    It 'and whose key nobody can use gives PRIVATE_KEY' {
        Reset-Emulator
        $certificate = New-TestCertificate
        $shell = New-TestShell
        try {
            $shell.Runspace.SessionStateProxy.SetVariable('certificate', $certificate)
            # The key is gone between the check and the signature.
            $ran = $shell.AddScript('& (Get-Module DefenderXdr) { Import-DefenderPrivate; function script:Test-DefenderCertificate { param($Certificate, $Failure) } }
                $public = [Security.Cryptography.X509Certificates.X509Certificate2]::new($certificate.Export("Cert"))
                try { Get-ADALToken -Resource $App.Resource -TenantId $App.TenantId -ClientId $App.ClientId -ClientAssertionCertificate $public } catch { $_.FullyQualifiedErrorId }').Invoke()
            Assert-Equal $ran 'DefenderXdr.PRIVATE_KEY,Get-ADALToken'
        }
        finally { $shell.Dispose() }
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 0
    }
    It 'is read from a file as well' {
        Reset-Emulator
        $certificate = New-TestCertificate
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N'))
        $null = [IO.Directory]::CreateDirectory($folder)
        try {
            [IO.File]::WriteAllBytes([IO.Path]::Combine($folder, 'app.pfx'), $certificate.Export('Pfx', 'p4ss'))
            Push-Location -LiteralPath $folder
            try { $null = Assert-Fails { Get-DefenderToken @confidential -CertificatePath ./app.pfx -CertificatePassword (New-Secret 'p4ss') } '' AuthenticationError }
            finally { Pop-Location }
            $null = Test-Assertion @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion $certificate
            $null = Assert-Fails { Get-DefenderToken @confidential -CertificatePath "$folder/app.pfx" -CertificatePassword (New-Secret 'wrong') } '' ResourceUnavailable
        }
        finally { [IO.Directory]::Delete($folder, $true) }
    }
    It 'is found in the store by thumbprint and by subject' {
        Reset-Emulator
        # A certificate the store of this user keeps only while the test runs. Windows' own store, which the library reads by itself, has no test yet.
        if ($PSVersionTable.PSEdition -eq 'Desktop' -or $IsWindows) { Write-Host 'SKIPPED: a certificate of the Windows store'; return }
        $subject = "CN=DefenderXdr test $([guid]::NewGuid().ToString('N'))"
        $made = New-TestCertificate -Subject $subject
        $certificate = [Security.Cryptography.X509Certificates.X509Certificate2]::new($made.Export('Pfx'), '', 'Exportable, PersistKeySet')
        $store = [Security.Cryptography.X509Certificates.X509Store]::new('My', 'CurrentUser')
        $store.Open('ReadWrite')
        try {
            $store.Add($certificate)
            foreach ($arguments in @{ CertificateThumbprint = $certificate.Thumbprint.ToLowerInvariant() }, @{ CertificateSubject = $subject }, @{ CertificateSubject = $subject.Substring(3) }) {
                $null = Assert-Fails { Get-DefenderToken @confidential @arguments } '' AuthenticationError
                $null = Test-Assertion @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion $certificate
            }
        }
        finally { $store.Remove($certificate); $store.Dispose() }
    }
}

Describe 'a registered certificate' {
    It 'signs in with every command, and signs again for a renewal' {
        $certificate = New-TestCertificate
        Use-TestEmulator $certificate {
            $v1 = Get-ADALToken @confidential -Resource $Resource -ClientAssertionCertificate $certificate
            Assert-Equal (Get-ADALToken @confidential -Resource $Resource -ClientAssertionCertificate $certificate).AccessToken $v1.AccessToken
            Assert-True ((ConvertFrom-DefenderToken $v1).Permissions -contains 'Incident.Read.All')
            $app = New-AdalClientCredential -ClientId $confidential.ClientId -ClientAssertionCertificate $certificate
            Assert-True (Get-ADALToken -Resource $Resource -TenantId $confidential.TenantId -ClientId $app.ClientId -ClientAssertionCertificate $app.ClientAssertionCertificate).AccessToken
            $other = New-TestCertificate
            $null = Assert-Fails { Get-ADALToken @confidential -Resource $Resource -ClientAssertionCertificate $other } '' AuthenticationError
            Assert-True (Get-MsalToken @confidential -ClientCertificate $certificate -Scopes "$Resource/.default").AccessToken
            Assert-True (New-MsalClientApplication @confidential -ClientCertificate $certificate | Get-MsalToken -Scopes "$Resource/.default" -SendX5C -ForceRefresh).AccessToken
            # More claims in the assertion: the emulator takes them, and the library refuses those that every assertion has.
            Assert-True (New-MsalClientApplication @confidential -ClientCertificate $certificate -ClientClaims @{ client_ip = '192.0.2.7' } | Get-MsalToken -Scopes "$Resource/.default").AccessToken
            $record = Assert-Fails { New-MsalClientApplication @confidential -ClientCertificate $certificate -ClientClaims @{ sub = 'x' } | Get-MsalToken -Scopes "$Resource/.default" }
            Assert-Match "$record" 'claims hold "sub"'
            Connect-Defender @confidential -Certificate $certificate
            $first = Get-DefenderToken
            Assert-True ((Get-DefenderToken -Force).AccessToken -cne $first.AccessToken)
            Clear-AdalTokenCache -Confirm:$false
            Assert-Equal @(Get-DefenderIncident -First 1).Count 1
            # An API that refuses the token: a new one is signed for in the middle of the listing.
            $null = Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 1; do = @{ status = 401 } }
            Assert-Equal @(Get-DefenderIncident -First 1).Count 1
            Disconnect-Defender
        }
    }
    It 'exchanges a user''s token on behalf of that user' {
        $certificate = New-TestCertificate
        Use-TestEmulator $certificate {
            # A token for the app itself, as its own web page would send it.
            $assertion = (Get-DefenderToken -TenantId $confidential.TenantId -ClientId $Emulator.public_client_id -Scopes "$($confidential.ClientId)/.default" -Timeout 30).AccessToken
            $arguments = $confidential + @{ Resource = $Resource; UserAssertion = $assertion }
            Assert-Equal (Get-ADALToken @arguments -ClientAssertionCertificate $certificate).UserInfo.DisplayableId 'adele@fabrikam.example'
            Assert-Equal (Get-ADALToken @arguments -ClientSecret (New-Secret $RunbookSecretText)).UserInfo.DisplayableId 'adele@fabrikam.example'
            Assert-Equal (Get-DefenderToken @confidential -Certificate $certificate -UserAssertion $assertion).Account 'adele@fabrikam.example'
            Assert-Equal (Get-MsalToken @confidential -ClientSecret (New-Secret $RunbookSecretText) -UserAssertion $assertion -Scopes "$Resource/.default").Account.Username 'adele@fabrikam.example'
        }
    }
}

Describe 'a device code' {
    $deviceScript = '$code = $null
        Get-DefenderToken -TenantId $User.TenantId -ClientId $User.ClientId -DeviceCode -PassThru -Timeout 30 | ForEach-Object {
            if ($_.PSTypeNames[0] -eq "DefenderXdr.DeviceCode") { $code = $_; $null = & $Shared.program browse $(if ($_.VerificationUriComplete) { $_.VerificationUriComplete } else { $_.VerificationUri }) --code $_.UserCode }
            else { $_ }
        }'
    It 'is shown as a warning and given as an object before the token' {
        Reset-Emulator
        $shell = New-TestShell @{ program = [Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM') }
        try {
            $out = $shell.AddScript("$deviceScript; `$code").Invoke()
            Assert-Equal $shell.Streams.Error.Count 0 "$($shell.Streams.Error)"
            Assert-Equal $out.Count 2
            Assert-Equal $out[0].Account 'adele@fabrikam.example'
            $code = $out[1]
            Assert-True ($code.UserCode -and $code.VerificationUri -and $code.ExpiresOn -gt [DateTimeOffset]::UtcNow)
            Assert-Match ($shell.Streams.Warning -join "`n") ([regex]::Escape($code.UserCode))
            Assert-Match ($shell.Streams.Warning -join "`n") ([regex]::Escape($code.VerificationUri))
        }
        finally { $shell.Dispose() }
    }
    It 'goes to the information stream with Connect-Defender, which stays with the user' {
        Reset-Emulator
        $shell = New-TestShell @{ program = [Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM') }
        try {
            $out = $shell.AddScript('Connect-Defender -TenantId $User.TenantId -ClientId $User.ClientId -DeviceCode -Timeout 30 -PassThru 6>&1 | ForEach-Object {
                if ($_ -is [Management.Automation.InformationRecord]) { $null = & $Shared.program browse $_.MessageData.VerificationUri --code $_.MessageData.UserCode } else { $_ } }').Invoke()
            Assert-Equal $shell.Streams.Error.Count 0 "$($shell.Streams.Error)"
            Assert-Equal $out.Count 1
            Assert-Equal $out[0].Grant 'device_code'
            Assert-Equal $out[0].User 'adele@fabrikam.example'
        }
        finally { $shell.Dispose() }
    }
}

Describe 'grants' {
    It 'a person''s name and password' {
        Reset-Emulator
        $credential = [pscredential]::new('adele@fabrikam.example', (New-Secret 'Walk-through-1'))
        Assert-Equal (Get-DefenderToken -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -Credential $credential).Account 'adele@fabrikam.example'
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[0].form.grant_type 'password'
        $wrong = [pscredential]::new('adele@fabrikam.example', (New-Secret 'canary-wrong-password'))
        $record = Assert-Fails { Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -Credential $wrong -Force } BAD_USER_CREDENTIAL AuthenticationError
        Assert-NoSecret (Get-DeepText $record) 'canary-wrong-password' 'the error record'
    }
    It 'a client assertion from elsewhere, as text and from a file' {
        Reset-Emulator
        $null = Assert-Fails { Get-DefenderToken @confidential -ClientAssertion 'aa.bb.cc' } '' AuthenticationError
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion 'aa.bb.cc'
        $file = [IO.Path]::GetTempFileName()
        try {
            [IO.File]::WriteAllText($file, "dd.ee.ff`n")
            $null = Assert-Fails { Get-DefenderToken @confidential -ClientAssertionFile $file } '' AuthenticationError
            Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion 'dd.ee.ff'
        }
        finally { [IO.File]::Delete($file) }
    }
    It 'a refresh token' {
        Reset-Emulator
        $null = Assert-Fails { Get-DefenderToken -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -RefreshToken 'canary-refresh-0123456789' } INVALID_GRANT AuthenticationError
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.refresh_token 'canary-refresh-0123456789'
    }
    It 'an authorization code of the caller''s, with Get-ADALToken: never from the cache' {
        Reset-Emulator
        foreach ($number in 1, 2) {
            $null = Assert-Fails { Get-ADALToken @confidential -Resource $Resource -ClientSecret (New-Secret $RunbookSecretText) -AuthorizationCode "code-$number" -RedirectUri 'https://runbook.fabrikam.example/signin' } INVALID_GRANT AuthenticationError
            $sent = @(Get-EmulatorRequest '/oauth2/token')
            Assert-Equal $sent.Count $number
            Assert-Equal $sent[-1].form.code "code-$number"
            Assert-Equal $sent[-1].form.redirect_uri 'https://runbook.fabrikam.example/signin'
            Assert-Equal $sent[-1].form.client_secret $RunbookSecretText
        }
    }
    It 'on behalf of a user, with Get-ADALToken: the type may be left out, or be what ADAL wanted' {
        Reset-Emulator
        foreach ($type in @{}, @{ UserAssertionType = 'urn:ietf:params:oauth:grant-type:jwt-bearer' }) {
            $null = Assert-Fails { Get-ADALToken @confidential -Resource $Resource -ClientSecret (New-Secret $RunbookSecretText) -UserAssertion 'aa.bb.cc' @type } '' AuthenticationError
            $form = @(Get-EmulatorRequest '/oauth2/token')[-1].form
            Assert-Equal $form.grant_type 'urn:ietf:params:oauth:grant-type:jwt-bearer'
            Assert-Equal $form.requested_token_use 'on_behalf_of'
            Assert-Equal $form.assertion 'aa.bb.cc'
        }
    }
}

Describe 'a token of one''s own' {
    It 'leaves the connection as it is' {
        Reset-Emulator
        Connect-Defender @confidential -ClientSecret (New-Secret $RunbookSecretText)
        $token = Get-DefenderToken -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -Timeout 30
        Assert-Equal $token.Account 'adele@fabrikam.example'
        Assert-True (-not (Get-DefenderToken).Account)
        $again = Get-DefenderToken -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -Timeout 30
        Assert-Equal $again.AccessToken $token.AccessToken
        Assert-True ((Get-DefenderToken -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -Prompt Login -Timeout 30).AccessToken -cne $token.AccessToken)
    }
}

Describe 'what is known of a connection' {
    It 'holds no time for a token that cannot be read' {
        Connect-Defender -AccessToken 'an-opaque-token-0123456789'
        Assert-True ($null -eq (Get-DefenderContext).ExpiresOn)
        Assert-True ($null -eq (Get-DefenderToken).ExpiresOn)
        $null = Get-DefenderToken | Out-String
        Assert-Match (Get-DefenderToken).ToString() 'hidden, \d+ characters\)'
    }
    It 'forgets the token with the cache, and not who is connected' {
        Reset-Emulator
        Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -Timeout 30
        Assert-True (Get-DefenderContext).ExpiresOn
        Clear-AdalTokenCache -Confirm:$false
        $context = Get-DefenderContext
        Assert-True ($null -eq $context.ExpiresOn)
        Assert-Equal @($context.Permissions).Count 0
        Assert-Equal $context.User 'adele@fabrikam.example'
        Disconnect-Defender
    }
}

Describe 'a developer tool' {
    # Tools are off while an emulator stands in: a process without one, and small programs in their place.
    It 'gives the token of the person who is signed in to it' {
        if ($PSVersionTable.PSEdition -eq 'Desktop' -or $IsWindows) { Write-Host 'SKIPPED: developer tools, whose stand-ins are shell scripts'; return }
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-tools-' + [guid]::NewGuid().ToString('N'))
        $null = [IO.Directory]::CreateDirectory($folder)
        try {
            $answers = @{
                az  = '{"accessToken":"aaa.bbb.az","expiresOn":"2099-01-01 00:00:00.000000","expires_on":4070908800,"tenant":"t","tokenType":"Bearer"}'
                azd = '{"token":"aaa.bbb.azd","expiresOn":"2099-01-01T00:00:00Z"}'
            }
            foreach ($tool in $answers.Keys) {
                $path = [IO.Path]::Combine($folder, $tool)
                [IO.File]::WriteAllText($path, "#!/bin/sh`necho `"`$@`" >> '$folder/asked'`necho '$($answers[$tool])'`n")
                & chmod 755 $path
            }
            $place = @{ DEFENDER_XDR_EMULATOR = ''; PATH = "${folder}:$env:PATH" }
            $result = Invoke-PowerShell '(Get-DefenderToken -AzureCli).AccessToken; (Get-DefenderToken -AzureDeveloperCli).AccessToken' -Environment $place
            Assert-Equal ($result.Out.Trim() -split '\s+') 'aaa.bbb.az', 'aaa.bbb.azd'
            $asked = [IO.File]::ReadAllLines("$folder/asked")
            Assert-Match $asked[0] '^account get-access-token --output json --scope https://api\.security\.microsoft\.com/\.default$'
            Assert-Match $asked[1] '^auth token --output json --no-prompt --scope https://api\.security\.microsoft\.com/\.default'
            $place.PATH = '/nowhere'
            $result = Invoke-PowerShell 'try { Get-DefenderToken -AzureCli } catch { $_.FullyQualifiedErrorId; $_.ErrorDetails.RecommendedAction }' -Environment $place
            Assert-Match $result.Out '^DefenderXdr\.TOOL_MISSING,Get-DefenderToken\s+\S'
        }
        finally { [IO.Directory]::Delete($folder, $true) }
    }
}
