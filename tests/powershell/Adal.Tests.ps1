# Get-ADALToken and its companions: the contract of ADAL.PS.

$command = Get-Command -Name Get-ADALToken

Describe 'Get-ADALToken surface' {
    It 'has the parameter sets of ADAL.PS and the same default' {
        Assert-Equal (@($command.ParameterSets.Name) | Sort-Object) (@('Implicit', 'ClientSecret', 'ClientSecret-AuthorizationCode', 'ClientSecret-OnBehalfOf', 'ClientAssertionCertificate',
                'ClientAssertionCertificate-AuthorizationCode', 'ClientAssertionCertificate-OnBehalfOf') | Sort-Object)
        Assert-Equal $command.DefaultParameterSet 'Implicit'
    }
    $sets = @{
        TenantId = 'all'; Authority = 'all'; Resource = 'all!'; ClientId = 'all!'
        ClientSecret = 'ClientSecret!', 'ClientSecret-AuthorizationCode!', 'ClientSecret-OnBehalfOf!'
        ClientAssertionCertificate = 'ClientAssertionCertificate!', 'ClientAssertionCertificate-AuthorizationCode!', 'ClientAssertionCertificate-OnBehalfOf!'
        AuthorizationCode = 'ClientSecret-AuthorizationCode!', 'ClientAssertionCertificate-AuthorizationCode!'
        UserAssertion = 'ClientSecret-OnBehalfOf!', 'ClientAssertionCertificate-OnBehalfOf!'
        UserAssertionType = 'ClientSecret-OnBehalfOf', 'ClientAssertionCertificate-OnBehalfOf'
        RedirectUri = 'Implicit', 'ClientSecret-AuthorizationCode', 'ClientAssertionCertificate-AuthorizationCode'
        PromptBehavior = , 'Implicit'; UserId = , 'Implicit'; UserIdType = , 'Implicit'; extraQueryParameters = , 'Implicit'
        Timeout = 'all'; AsSecureString = 'all'; TokenCache = 'all'; PlainTextTokenCache = 'all'
    }
    It 'has the parameters of ADAL.PS in the same sets, none of them positional' {
        $common = [Management.Automation.PSCmdlet]::CommonParameters
        Assert-Equal (@($command.Parameters.Keys | Where-Object { $_ -notin $common }) | Sort-Object) (@($sets.Keys) | Sort-Object)
        foreach ($name in $sets.Keys) {
            $found = foreach ($set in $command.Parameters[$name].ParameterSets.GetEnumerator()) {
                Assert-True ($set.Value.Position -lt 0) "-$name is positional"
                $(if ($set.Key -eq '__AllParameterSets') { 'all' } else { $set.Key }) + $(if ($set.Value.IsMandatory) { '!' })
            }
            Assert-Equal (@($found) | Sort-Object) (@($sets[$name]) | Sort-Object) "-$name"
        }
    }
    It 'has its types' {
        $types = @{ ClientSecret = [securestring]; ClientAssertionCertificate = [Security.Cryptography.X509Certificates.X509Certificate2]; RedirectUri = [uri]; Resource = [string]; ClientId = [string] }
        foreach ($name in $types.Keys) { Assert-Equal $command.Parameters[$name].ParameterType.FullName $types[$name].FullName $name }
    }
    It 'answers to the name in any case' { Assert-Equal (Get-Command -Name GET-ADALTOKEN).Name 'Get-ADALToken' }
    It 'refuses a positional argument' { Assert-Match (Assert-Fails { Get-ADALToken $Resource }).FullyQualifiedErrorId 'PositionalParameterNotFound' }
    It 'refuses a prompt behaviour and a user type that do not exist' {
        foreach ($value in 'Sometimes', '5', '-1', '') { $null = Assert-Fails { Get-ADALToken -Resource $Resource -ClientId x -PromptBehavior $value } }
        foreach ($value in 'Anyone', '3') { $null = Assert-Fails { Get-ADALToken -Resource $Resource -ClientId x -UserIdType $value } }
    }
}

Describe 'Get-ADALToken arguments' {
    It 'names the likely typo when -ClientId is empty' {
        foreach ($value in '', ' ', $null) {
            $record = Assert-Fails { Get-ADALToken -Resource $Resource -ClientId $value -RedirectUri 'http://localhost' } BAD_ARGUMENT InvalidArgument
            Assert-Match $record.ErrorDetails.RecommendedAction '\$cleintId'
            Assert-Match "$record" 'ClientId'
        }
    }
    $good = @{ Resource = $Resource; ClientId = '22869222-3c51-4d11-ad15-99b70e71c548'; TenantId = 'fabrikam.example'; RedirectUri = 'http://localhost'; Timeout = 5 }
    foreach ($case in @(
            @('client ID', @{ ClientId = 'my app' }), @('tenant', @{ TenantId = 'a b' }), @('tenant', @{ TenantId = '' }), @('tenant', @{ TenantId = '../x.y' }),
            @('authority', @{ Authority = '' }), @('authority', @{ Authority = 'https://login.windows.net/' }), @('authority', @{ Authority = 'login.windows.net/fabrikam.example' }),
            @('authority', @{ Authority = 'http://login.windows.net/fabrikam.example' }), @('authority', @{ Authority = 'https://login.windows.net.evil.example/fabrikam.example' }),
            @('redirect', @{ RedirectUri = '' }), @('redirect', @{ RedirectUri = $null }), @('redirect', @{ RedirectUri = 'no uri' }), @('resource', @{ Resource = 'no uri' }),
            @('extra', @{ extraQueryParameters = 'client_id=other' }))) {
        It "refuses a bad $($case[0]) before anything is sent: $($case[1].Values)" {
            $arguments = $good.Clone()
            foreach ($name in $case[1].Keys) { $arguments[$name] = $case[1][$name] }
            $record = Assert-Fails { Get-ADALToken @arguments } BAD_ARGUMENT InvalidArgument
            Assert-True $record.ErrorDetails.RecommendedAction 'no recommended action'
            Assert-Match $record.Exception.InnerException.ErrorCode '^(invalid_argument|duplicate_query_parameter)$'
        }
    }
    It 'refuses a certificate that cannot sign, before anything is sent' {
        $rsa = New-TestCertificate
        $public = [Security.Cryptography.X509Certificates.X509Certificate2]::new($rsa.Export('Cert'))
        foreach ($case in @(@($public, 'PRIVATE_KEY'), @([Security.Cryptography.X509Certificates.X509Certificate2]::new(), 'CERTIFICATE'), @((New-TestCertificate -Elliptic), 'CERTIFICATE|PRIVATE_KEY'), @((New-TestCertificate -Bits 1024), 'CERTIFICATE|PRIVATE_KEY'))) {
            $record = Assert-Fails { Get-ADALToken -Resource $Resource -ClientId $good.ClientId -TenantId fabrikam.example -ClientAssertionCertificate $case[0] }
            Assert-Match $record.FullyQualifiedErrorId "^DefenderXdr\.($($case[1])),Get-ADALToken$"
            Assert-True $record.ErrorDetails.RecommendedAction
        }
    }
    It 'refuses an empty code, assertion and redirect URI' {
        $secret = New-Secret 'x'
        foreach ($arguments in @{ AuthorizationCode = 'code-canary-0123456789'; RedirectUri = '' }, @{ UserAssertion = ' ' }) {
            $null = Assert-Fails { Get-ADALToken -Resource $Resource -ClientId $good.ClientId -TenantId fabrikam.example -ClientSecret $secret @arguments }
        }
    }
}

Describe 'Get-ADALToken errors' {
    It 'print, and give $null, under Continue' {
        $shell = New-TestShell
        try {
            $out = $shell.AddScript('$ErrorActionPreference = "Continue"; $r = "older"; $r = Get-ADALToken -Resource https://x.example -ClientId ""; "after"; $null -eq $r; $Error.Count').Invoke()
            Assert-Equal $out 'after', 'True', '1'
            Assert-Equal $shell.Streams.Error.Count 1
            Assert-Match $shell.Streams.Error[0].FullyQualifiedErrorId '^DefenderXdr\.BAD_ARGUMENT,Get-ADALToken$'
        }
        finally { $shell.Dispose() }
    }
    It 'end the script under Stop, given as a variable or as an argument' {
        foreach ($text in '& { $ErrorActionPreference = "Stop"; Get-ADALToken -Resource https://x.example -ClientId ""; $Shared.after = 1 }', 'Get-ADALToken -Resource https://x.example -ClientId "" -ErrorAction Stop; $Shared.after = 1') {
            $shared = @{}
            $shell = New-TestShell $shared
            try { $null = Assert-Fails { $shell.AddScript($text).Invoke() } }
            finally { $shell.Dispose() }
            Assert-Equal $shared.Count 0
        }
    }
    It 'point at the caller''s line' {
        $record = Assert-Fails { Get-ADALToken -Resource $Resource -ClientId '' }
        Assert-Equal $record.InvocationInfo.ScriptName $PSCommandPath
        Assert-Match $record.InvocationInfo.Line 'Get-ADALToken -Resource'
    }
    It 'hold what ADAL scripts read' {
        $inner = (Assert-Fails { Get-ADALToken -Resource $Resource -ClientId '' }).Exception.InnerException
        Assert-Equal $inner.ErrorCode 'invalid_argument'
        Assert-True ($inner.ServiceErrorCodes -is [string[]])
        Assert-Equal $inner.StatusCode 0
        Assert-True ($null -eq $inner.Claims)
    }
}

Describe 'ADAL companions' {
    It 'New-AdalUserIdentifier makes identifiers' {
        $user = New-AdalUserIdentifier 'adele@fabrikam.example' requireddisplayableid
        Assert-Equal $user.Id 'adele@fabrikam.example'
        Assert-Equal $user.Type 'RequiredDisplayableId'
        Assert-Equal (New-AdalUserIdentifier 'x').Type 'OptionalDisplayableId'
        Assert-Equal (New-AdalUserIdentifier 'x' 0).Type 'UniqueId'
        Assert-Equal (New-AdalUserIdentifier).Id 'AnyUser'
        Assert-Equal "$user" 'adele@fabrikam.example'
        $null = Assert-Fails { New-AdalUserIdentifier 'x' 'Sometimes' }
    }
    It 'New-AdalClientCredential makes credentials and hides their secret' {
        $secret = New-Secret 'canary-secret-0123456789'
        $app = New-AdalClientCredential 'app' $secret
        Assert-Equal $app.ClientId 'app'
        Assert-True ([object]::ReferenceEquals($app.ClientSecret, $secret))
        $piped = [pscredential]::new('app', $secret) | New-AdalClientCredential
        Assert-Equal $piped.ClientId 'app'
        Assert-Equal ([Net.NetworkCredential]::new('app2', $secret) | New-AdalClientCredential).ClientId 'app2'
        Assert-NoSecret (($app | Out-String), ($app | Format-List * | Out-String), "$app") 'canary-secret-0123456789' 'the view'
        $null = Assert-Fails { 'app' | New-AdalClientCredential } BAD_ARGUMENT
    }
    It 'Get-AdalAuthenticationContext says what to use instead' {
        $record = Assert-Fails { Get-AdalAuthenticationContext 'https://login.microsoftonline.com/common' } UNSUPPORTED NotImplemented
        Assert-Match $record.ErrorDetails.RecommendedAction 'Get-ADALToken'
    }
    It 'warns once when the real ADAL.PS is loaded too' {
        $shell = New-TestShell
        try {
            $null = $shell.AddScript('New-Module -Name ADAL.PS { function Get-AdalNothing { } } | Import-Module; 1..2 | ForEach-Object { Get-ADALToken -Resource https://x.example -ClientId "" -ErrorAction SilentlyContinue }').Invoke()
            Assert-Equal @($shell.Streams.Warning | Where-Object { "$_" -match 'ADAL\.PS' }).Count 1
        }
        finally { $shell.Dispose() }
    }
}

if ($null -eq $Emulator) { return }

Describe 'Get-ADALToken signs in' {
    It 'with the walk-through''s own lines' {
        Reset-Emulator
        $tenantId = $Emulator.tenant_id
        $clientId = $Emulator.public_client_id
        $redirectUri = 'http://localhost'
        $authority = "https://login.windows.net/$tenantId"
        $resourceUrl = 'https://api.security.microsoft.com'
        $response = Get-ADALToken -Resource $resourceUrl -ClientId $clientId -RedirectUri $redirectUri -Authority $authority -PromptBehavior:Always -Timeout 30
        $claims = ConvertFrom-DefenderToken $response.AccessToken
        Assert-True ($claims.Permissions -contains 'Incident.Read')
        Assert-Equal $claims.Audience $resourceUrl
    }
    It 'and returns what ADAL.PS returned' {
        Reset-Emulator
        $token = Get-ADALToken @UserArguments
        Assert-Equal $token.PSObject.Properties.Name 'AccessTokenType', 'AccessToken', 'ExpiresOn', 'ExtendedLifeTimeToken', 'TenantId', 'UserInfo', 'IdToken', 'Authority'
        Assert-Equal $token.PSTypeNames[0..1] 'DefenderXdr.Token', 'Microsoft.IdentityModel.Clients.ActiveDirectory.AuthenticationResult'
        Assert-Equal $token.AccessTokenType 'Bearer'
        Assert-True ($token.AccessToken -is [string] -and $token.AccessToken.StartsWith('eyJ'))
        Assert-True ($token.ExpiresOn -is [DateTimeOffset])
        Assert-Equal $token.ExpiresOn.Offset.Ticks 0
        Assert-True ($token.ExpiresOn -gt [DateTimeOffset]::UtcNow)
        Assert-Equal $token.ExtendedLifeTimeToken $false
        Assert-Equal $token.TenantId $Emulator.tenant_id
        Assert-Equal $token.UserInfo.PSObject.Properties.Name 'UniqueId', 'DisplayableId', 'GivenName', 'FamilyName', 'PasswordExpiresOn', 'PasswordChangeUrl', 'IdentityProvider'
        Assert-Equal $token.UserInfo.DisplayableId 'adele@fabrikam.example'
        Assert-Equal $token.UserInfo.GivenName 'Adele'
        Assert-True ($token.IdToken -is [string])
        Assert-True $token.Authority.EndsWith('/')
        Assert-Equal $token.CreateAuthorizationHeader() "Bearer $($token.AccessToken)"
    }
    It 'from v1 endpoints with the resource, PKCE and the redirect URI as written' {
        Reset-Emulator
        $null = Get-ADALToken @UserArguments
        $sent = @(Get-EmulatorRequest '/oauth2/authorize')[0]
        Assert-Equal $sent.path "/$($Emulator.tenant_id)/oauth2/authorize"
        Assert-Equal $sent.query.resource $Resource
        Assert-Equal $sent.query.code_challenge_method 'S256'
        Assert-True ($null -eq $sent.query.PSObject.Properties['prompt']) 'Auto sent a prompt'
        Assert-Match $sent.query.redirect_uri '^http://localhost:\d+$'
        $redeemed = @(Get-EmulatorRequest '/oauth2/token')[0]
        Assert-Equal $redeemed.form.resource $Resource
        Assert-Equal $redeemed.form.grant_type 'authorization_code'
    }
    It 'with the prompt that belongs to each behaviour, by name and by number' {
        foreach ($case in @(@('always', 'login'), @(1, 'login'), @('RefreshSession', 'refresh_session'), @('3', 'refresh_session'), @('SelectAccount', 'select_account'), @(4, 'select_account'))) {
            Reset-Emulator
            $null = Get-ADALToken @UserArguments -PromptBehavior $case[0]
            Assert-Equal @(Get-EmulatorRequest '/oauth2/authorize')[0].query.prompt $case[1] "$($case[0])"
        }
    }
    It 'once, and from the cache after that; Always signs in again' {
        Reset-Emulator
        $first = Get-ADALToken @UserArguments
        $second = Get-ADALToken @UserArguments -PromptBehavior Auto
        $third = Get-ADALToken @UserArguments -PromptBehavior 2
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 1
        Assert-Equal ($first.AccessToken -ceq $second.AccessToken -and $first.AccessToken -ceq $third.AccessToken) $true
        Assert-True (-not [object]::ReferenceEquals($first, $second)) 'the same object was returned twice'
        $fourth = Get-ADALToken @UserArguments -PromptBehavior Always
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 2
        Assert-True ($fourth.AccessToken -cne $first.AccessToken)
        Assert-Equal (Get-ADALToken @UserArguments).AccessToken $fourth.AccessToken 'Auto did not see the newer token'
    }
    It 'never with Never: fails at once' {
        Reset-Emulator
        $record = Assert-Fails { Get-ADALToken @UserArguments -PromptBehavior Never } INTERACTION_REQUIRED AuthenticationError
        Assert-Equal $record.Exception.InnerException.ErrorCode 'user_interaction_required'
        Assert-Equal @(Get-EmulatorRequest '/authorize').Count 0
    }
    It 'as the user asked for' {
        Reset-Emulator
        $token = Get-ADALToken @UserArguments -UserId 'diego@fabrikam.example' -UserIdType RequiredDisplayableId
        Assert-Equal $token.UserInfo.DisplayableId 'diego@fabrikam.example'
        Assert-Equal @(Get-EmulatorRequest '/oauth2/authorize')[0].query.login_hint 'diego@fabrikam.example'
    }
    It 'with extra query parameters, a leading ampersand dropped' {
        Reset-Emulator
        $null = Get-ADALToken @UserArguments -extraQueryParameters '&domain_hint=fabrikam.example&x=1'
        $query = @(Get-EmulatorRequest '/oauth2/authorize')[0].query
        Assert-Equal $query.domain_hint 'fabrikam.example'
        Assert-Equal $query.x '1'
    }
    It 'again after Clear-AdalTokenCache, and not after -WhatIf' {
        Reset-Emulator
        $null = Get-ADALToken @UserArguments
        Clear-AdalTokenCache -WhatIf
        $null = Get-ADALToken @UserArguments -PromptBehavior Never
        Clear-AdalTokenCache -Confirm:$false
        $null = Assert-Fails { Get-ADALToken @UserArguments -PromptBehavior Never } INTERACTION_REQUIRED
    }
    It 'within -Timeout, or says how long it waited' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/oauth2/token' }; times = 0; do = @{ hang = $true } }
        $arguments = $AppArguments.Clone()
        $arguments.Timeout = 1
        $watch = [Diagnostics.Stopwatch]::StartNew()
        $null = Assert-Fails { Get-ADALToken @arguments } TIMEOUT OperationTimeout
        Assert-True ($watch.Elapsed.TotalSeconds -lt 10) "it took $($watch.Elapsed)"
        $null = Invoke-Emulator DELETE faults
    }
    It 'and gives the token as a SecureString when asked' {
        Reset-Emulator
        $token = Get-ADALToken @UserArguments -AsSecureString
        Assert-True ($token.AccessToken -is [securestring])
        Assert-Equal $token.CreateAuthorizationHeader() ('Bearer ' + (Get-ADALToken @UserArguments).AccessToken)
    }
    It 'by a pasted address when the redirect URI cannot be caught' {
        Reset-Emulator
        $shell = New-TestShell @{ program = [Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM') }
        try {
            $out = $shell.AddScript('& (Get-Module DefenderXdr) {
                    param($Shared)
                    $script:TestShared = $Shared
                    Import-DefenderPrivate
                    function script:Test-DefenderPrompt { $true }
                    function script:Read-Host {
                        param($Prompt, [switch] $AsSecureString)
                        $script:TestShared.secure = [bool] $AsSecureString
                        $script:TestShared.url = $url
                        $landed = & $script:TestShared.program browse $url | Select-Object -Last 1
                        $script:TestShared.landed = $landed
                        ConvertTo-SecureString -String ([string] $landed).Trim() -AsPlainText -Force
                    }
                } $Shared
                $User.RedirectUri = "https://portal.azure.com"
                (Get-ADALToken @User -Verbose).UserInfo.DisplayableId').Invoke()
            Assert-Equal $out 'adele@fabrikam.example' "$($shell.Streams.Error)"
            $shared = $shell.Runspace.SessionStateProxy.GetVariable('Shared')
            Assert-Equal $shared.secure $true 'the address was read with an echo'
            Assert-Match $shared.landed '^https://portal\.azure\.com/?\?.*code='
            Assert-Match ($shell.Streams.Warning -join "`n") ([regex]::Escape($shared.url)) 'the warnings do not show the address to open'
            $code = [regex]::Match($shared.landed, 'code=([^&]+)').Groups[1].Value
            Assert-NoSecret (@($shell.Streams.Warning) + @($shell.Streams.Verbose)) $code 'a stream'
        }
        finally { $shell.Dispose() }
        $sent = @(Get-EmulatorRequest '/oauth2/authorize')[0]
        Assert-Equal $sent.query.redirect_uri 'https://portal.azure.com' 'a slash was added'
    }
    It 'not by pasted addresses that hold no code, and says what to paste instead' {
        Reset-Emulator
        $shell = New-TestShell
        try {
            $out = $shell.AddScript('& (Get-Module DefenderXdr) {
                    param($Shared)
                    $script:TestShared = $Shared
                    $Shared.asked = 0
                    Import-DefenderPrivate
                    function script:Test-DefenderPrompt { $true }
                    function script:Read-Host {
                        param($Prompt, [switch] $AsSecureString)
                        $script:TestShared.asked++
                        $state = [regex]::Match($url, "[?&]state=([^&]+)").Groups[1].Value
                        $pasted = if ($script:TestShared.asked -eq 1) { "https://portal.azure.com/" } else { "https://portal.azure.com/?session_state=canary-pasted-0123456789&state=$state" }
                        ConvertTo-SecureString -String $pasted -AsPlainText -Force
                    }
                } $Shared
                $User.RedirectUri = "https://portal.azure.com"
                try { Get-ADALToken @User } catch { $_.FullyQualifiedErrorId; "$($_.CategoryInfo.Category)"; $_.Exception.Message; $_.ErrorDetails.RecommendedAction }').Invoke()
            Assert-Equal $out @('DefenderXdr.NO_CODE,Get-ADALToken', 'AuthenticationError', 'the address holds no code', 'copy the whole address from the address bar: it holds code= and state=')
            Assert-Equal $shell.Runspace.SessionStateProxy.GetVariable('Shared').asked 3
            $warned = @($shell.Streams.Warning) -join "`n"
            Assert-Match $warned 'That was not it: what was pasted is not the address of the page after sign-in'
            Assert-Match $warned 'That was not it: the address holds no code'
            Assert-NoSecret $warned 'canary-pasted-0123456789' 'a warning'
        }
        finally { $shell.Dispose() }
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 0
    }
    It 'by a pasted address within -Timeout, which ends an open prompt' {
        # A terminal is needed; script of util-linux makes one.
        $terminal = @(Get-Command -Name script -CommandType Application -ErrorAction Ignore)[0]
        if ($null -eq $terminal -or $PSVersionTable.PSEdition -eq 'Desktop' -or -not $IsLinux) { Write-Host '      skipped: no program named script to make a terminal with'; return }
        Reset-Emulator
        $text = "Import-Module '$ModulePath'; try { Get-ADALToken -Resource '$Resource' -ClientId '$($Emulator.public_client_id)' -TenantId '$($Emulator.tenant_id)' -RedirectUri urn:ietf:wg:oauth:2.0:oob -Timeout 5 } catch { 'ended with ' + `$_.FullyQualifiedErrorId }"
        $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text))
        $started = [Diagnostics.ProcessStartInfo]::new($terminal.Source)
        foreach ($argument in '-q', '-e', '-c', "'$PowerShellProgram' -NoProfile -EncodedCommand $encoded", '/dev/null') { $started.ArgumentList.Add($argument) }
        $started.RedirectStandardOutput = $true
        $started.RedirectStandardInput = $true
        $started.EnvironmentVariables['TERM'] = 'dumb'
        $running = [Diagnostics.Process]::Start($started)
        try {
            $said = $running.StandardOutput.ReadToEndAsync()
            Assert-True $running.WaitForExit(60000) 'the prompt stayed open'
            Assert-Match $said.Result 'Paste the full address'
            Assert-Match $said.Result 'ended with DefenderXdr\.BROWSER_TIMEOUT'
        }
        finally {
            if (-not $running.HasExited) { $running.Kill() }
            $running.Dispose()
        }
    }
    It 'not at all where nobody can paste' {
        Reset-Emulator
        $result = Invoke-PowerShell "try { Get-ADALToken -Resource '$Resource' -ClientId '$($Emulator.public_client_id)' -TenantId '$($Emulator.tenant_id)' } catch { `$_.FullyQualifiedErrorId; `$_.ErrorDetails.RecommendedAction }"
        Assert-Match $result.Out 'DefenderXdr\.INTERACTION_REQUIRED'
        Assert-Match $result.Out 'http://localhost'
    }
    It 'not at all with -NonInteractive: at once, without a browser' {
        Reset-Emulator
        $result = Invoke-PowerShell "try { Get-ADALToken -Resource '$Resource' -ClientId '$($Emulator.public_client_id)' -TenantId '$($Emulator.tenant_id)' -RedirectUri http://localhost } catch { `$_.FullyQualifiedErrorId; ""`$_""; `$_.ErrorDetails.RecommendedAction }; try { Get-DefenderToken } catch { ""`$_"" }" @('-NoProfile', '-NonInteractive')
        Assert-Match $result.Out 'DefenderXdr\.INTERACTION_REQUIRED'
        Assert-Match $result.Out 'none can be asked here: PowerShell was started with -NonInteractive'
        Assert-Match $result.Out 'ask for a device code \(-DeviceCode\)'
        Assert-Match $result.Out 'browser: no person can be asked here: PowerShell was started with -NonInteractive'
        Assert-Equal @(Get-EmulatorRequest '/authorize').Count 0
    }
    It 'where it can: the switches of the host decide, not those of the script' {
        $inModule = Get-Module -Name DefenderXdr
        foreach ($case in @(@('True', @('pwsh')), @('False', @('pwsh', '-NonInteractive')), @('False', @('pwsh', '-noprofile', '-nonint')), @('False', @('powershell.exe', '/NonInteractive')),
                @('True', @('pwsh', '-File', 'x.ps1', '-NonInteractive')), @('True', @('pwsh', '-c', 'x', '-NonInteractive')), @('False', @('pwsh', '-NonI', '-EncodedCommand', 'x')), @('True', @('pwsh', '-NoProfile', '-NoExit')))) {
            $obstacle = & $inModule { param($line) Get-DefenderSessionObstacle $line } $case[1]
            Assert-Equal "$obstacle" $(if ($case[0] -eq 'True') { '' } else { 'PowerShell was started with -NonInteractive' }) "$($case[1])"
        }
    }
}

Describe 'Get-ADALToken with a secret' {
    It 'gets an app''s token, whose UserInfo is there and empty' {
        Reset-Emulator
        $token = Get-ADALToken @AppArguments
        Assert-Equal (ConvertFrom-DefenderToken $token).Permissions 'Incident.Read.All', 'Incident.ReadWrite.All', 'AdvancedHunting.Read.All'
        Assert-True ($null -ne $token.UserInfo -and $null -eq $token.UserInfo.UniqueId -and $null -eq $token.IdToken -and $null -eq $token.TenantId)
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token')[0].form.grant_type 'client_credentials'
        $null = Get-ADALToken @AppArguments
        Assert-Equal @(Get-EmulatorRequest '/oauth2/token').Count 1
    }
    It 'never answers a wrong secret with the token of the right one' {
        Reset-Emulator
        $null = Get-ADALToken @AppArguments
        $arguments = $AppArguments.Clone()
        $arguments.ClientSecret = New-Secret 'canary-wrong-secret-0123456789'
        $record = Assert-Fails { Get-ADALToken @arguments } BAD_SECRET AuthenticationError
        Assert-Equal $record.Exception.InnerException.ErrorCode 'invalid_client'
        Assert-Equal $record.Exception.InnerException.ServiceErrorCodes '7000215'
        Assert-Equal $record.Exception.InnerException.StatusCode 401
        Assert-True $record.ErrorDetails.RecommendedAction
    }
    It 'looks at a SecureString again that has changed' {
        Reset-Emulator
        $arguments = $AppArguments.Clone()
        $arguments.ClientSecret = New-Secret $RunbookSecretText
        $null = Get-ADALToken @arguments
        $arguments.ClientSecret.AppendChar('x')
        $null = Assert-Fails { Get-ADALToken @arguments } BAD_SECRET
    }
    It 'names a secret that has expired, and one that is empty' {
        $arguments = $AppArguments.Clone()
        $arguments.ClientSecret = New-Secret $ExpiredSecretText
        $null = Assert-Fails { Get-ADALToken @arguments } SECRET_EXPIRED AuthenticationError
        $arguments.ClientSecret = [securestring]::new()
        $null = Assert-Fails { Get-ADALToken @arguments } BAD_ARGUMENT InvalidArgument
    }
    It 'needs a tenant' {
        $arguments = $AppArguments.Clone()
        $arguments.Remove('TenantId')
        $null = Assert-Fails { Get-ADALToken @arguments } BAD_ARGUMENT InvalidArgument
    }
    It 'works with New-AdalClientCredential' {
        $app = [pscredential]::new($AppArguments.ClientId, $AppArguments.ClientSecret) | New-AdalClientCredential
        Assert-True (Get-ADALToken -Resource $Resource -TenantId $Emulator.tenant_id -ClientId $app.ClientId -ClientSecret $app.ClientSecret).AccessToken
    }
    It 'turns what the service says into a name, a category and an action' {
        foreach ($case in @(
                @(@{ do = @{ token_error = @{ error = 'unauthorized_client'; aadsts = 700016 } } }, 'APP_NOT_FOUND', 'AuthenticationError'),
                @(@{ do = @{ token_error = @{ error = 'interaction_required'; aadsts = 50076; claims = '{"access_token":{"x":1}}' } } }, 'MFA_REQUIRED|CLAIMS_CHALLENGE', 'AuthenticationError'),
                @(@{ do = @{ html = $true }; times = 0 }, 'CAPTIVE_PORTAL|NOT_JSON', 'ConnectionError'),
                @(@{ do = @{ status = 503 }; times = 0 }, 'SERVER_UNAVAILABLE|SERVER_ERROR', 'ResourceUnavailable'))) {
            Reset-Emulator
            $fault = @{ match = @{ path_contains = '/oauth2/token' } } + $case[0]
            Set-EmulatorFault $fault
            $record = Assert-Fails { Get-ADALToken @AppArguments } '' $case[2]
            Assert-Match $record.FullyQualifiedErrorId "^DefenderXdr\.($($case[1])),Get-ADALToken$"
            Assert-True $record.ErrorDetails.RecommendedAction "$($case[1]) has no recommended action"
        }
        $null = Invoke-Emulator DELETE faults
    }
}
