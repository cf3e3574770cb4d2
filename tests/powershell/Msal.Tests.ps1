# Get-MsalToken and its companions: the contract of MSAL.PS.

$command = Get-Command -Name Get-MsalToken
$id = '22869222-3c51-4d11-ad15-99b70e71c548'
$inModule = Get-Module -Name DefenderXdr

function Get-MsalPlan {
    param([hashtable] $Arguments)
    Get-TestPlan $Arguments 'Get-MsalToken'
}

Describe 'Get-MsalToken surface' {
    $public = 'PublicClient', 'PublicClient-Interactive', 'PublicClient-IntegratedWindowsAuth', 'PublicClient-Silent', 'PublicClient-UsernamePassword', 'PublicClient-DeviceCode'
    $secret = 'ConfidentialClientSecret', 'ConfidentialClientSecret-AuthorizationCode', 'ConfidentialClientSecret-OnBehalfOf'
    $certificate = 'ConfidentialClientCertificate', 'ConfidentialClientCertificate-AuthorizationCode', 'ConfidentialClientCertificate-OnBehalfOf'
    $own = 'PublicClient-InputObject', 'ConfidentialClient-InputObject'
    It 'has the parameter sets of MSAL.PS and the same default' {
        Assert-Equal (@($command.ParameterSets.Name) | Sort-Object) (@($public + $secret + $certificate + $own) | Sort-Object)
        Assert-Equal $command.DefaultParameterSet 'PublicClient'
    }
    It 'has its parameters in the same sets' {
        $app = 'PublicClient', 'PublicClient-Interactive', 'PublicClient-InputObject'
        $sets = @{
            ClientId = @($public + $secret + $certificate | ForEach-Object { "$_!" }); ClientSecret = @($secret | ForEach-Object { "$_!" }); ClientCertificate = @($certificate | ForEach-Object { "$_!" })
            SendX5C = $certificate + 'ConfidentialClient-InputObject'; RedirectUri = $public + $secret + $certificate
            AuthorizationCode = 'ConfidentialClientSecret-AuthorizationCode!', 'ConfidentialClientCertificate-AuthorizationCode!', 'ConfidentialClient-InputObject'
            UserAssertion = 'ConfidentialClientSecret-OnBehalfOf!', 'ConfidentialClientCertificate-OnBehalfOf!', 'ConfidentialClient-InputObject'
            UserAssertionType = 'ConfidentialClientSecret-OnBehalfOf', 'ConfidentialClientCertificate-OnBehalfOf', 'ConfidentialClient-InputObject'
            AzureCloudInstance = 'all'; TenantId = 'all'; Authority = 'all'; Scopes = 'all'; CorrelationId = 'all'; ExtraQueryParameters = 'all'; ProofOfPossession = 'all'; Timeout = 'all'
            AuthenticationBroker = $app; ExtraScopesToConsent = $app; Prompt = $app; UseEmbeddedWebView = $app
            PublicClientApplication = 'PublicClient-InputObject!'; ConfidentialClientApplication = 'ConfidentialClient-InputObject!'
            Interactive = 'PublicClient-Interactive!', 'PublicClient-InputObject'; IntegratedWindowsAuth = 'PublicClient-IntegratedWindowsAuth!', 'PublicClient-InputObject'
            Silent = 'PublicClient-Silent!', 'PublicClient-InputObject'; DeviceCode = 'PublicClient-DeviceCode!', 'PublicClient-Interactive', 'PublicClient-InputObject'
            LoginHint = $app + 'PublicClient-IntegratedWindowsAuth' + 'PublicClient-Silent'; UserCredential = 'PublicClient-UsernamePassword!', 'PublicClient-InputObject'
            ForceRefresh = 'PublicClient', 'PublicClient-Silent', 'PublicClient-InputObject', 'ConfidentialClientSecret', 'ConfidentialClientCertificate', 'ConfidentialClient-InputObject'
            TokenCache = 'all'; PlainTextTokenCache = 'all'; AsSecureString = 'all'
        }
        $common = [Management.Automation.PSCmdlet]::CommonParameters
        Assert-Equal (@($command.Parameters.Keys | Where-Object { $_ -notin $common }) | Sort-Object) (@($sets.Keys) | Sort-Object)
        foreach ($name in $sets.Keys) {
            $found = foreach ($set in $command.Parameters[$name].ParameterSets.GetEnumerator()) { $(if ($set.Key -eq '__AllParameterSets') { 'all' } else { $set.Key }) + $(if ($set.Value.IsMandatory) { '!' }) }
            Assert-Equal (@($found) | Sort-Object) (@($sets[$name]) | Sort-Object) "-$name"
        }
        foreach ($name in 'ClientId', 'PublicClientApplication', 'ConfidentialClientApplication') {
            foreach ($set in $command.Parameters[$name].ParameterSets.Values) { Assert-Equal "$($set.Position) $($set.ValueFromPipeline) $($set.ValueFromPipelineByPropertyName)" '0 True True' $name }
        }
    }
    It 'has its types' {
        $types = @{ ClientSecret = [securestring]; ClientCertificate = [Security.Cryptography.X509Certificates.X509Certificate2]; RedirectUri = [uri]; Authority = [uri]; Scopes = [string[]]; CorrelationId = [guid]
            ExtraQueryParameters = [hashtable]; Timeout = [timespan]; UserCredential = [pscredential] }
        foreach ($name in $types.Keys) { Assert-Equal $command.Parameters[$name].ParameterType.FullName $types[$name].FullName $name }
    }
}

Describe 'Get-MsalToken arguments' {
    It 'mean the same as in MSAL.PS' {
        $person = [pscredential]::new('adele@fabrikam.example', (New-Secret 'x'))
        $app = @{ ClientId = $id; TenantId = 'fabrikam.example' }
        $secret = $app + @{ ClientSecret = (New-Secret 'x') }
        foreach ($case in @(
                @('authorization_code', 'read', 'select_account', $app), @('authorization_code', 'anew', 'select_account', ($app + @{ Interactive = $true })), @('authorization_code', 'only', 'select_account', ($app + @{ Silent = $true })),
                @('authorization_code', 'anew', 'login', ($app + @{ Interactive = $true; Prompt = 'ForceLogin' })), @('authorization_code', 'read', $null, ($app + @{ Prompt = 'noprompt' })), @('authorization_code', 'read', 'attempt_none', ($app + @{ Prompt = 'Never' })),
                @('device_code', 'anew', $null, ($app + @{ DeviceCode = $true })), @('device_code', 'anew', $null, ($app + @{ Interactive = $true; DeviceCode = $true })), @('password', 'anew', $null, ($app + @{ UserCredential = $person })),
                @('client_credentials', 'read', $null, $secret), @('client_credentials', 'anew', $null, ($secret + @{ ForceRefresh = $true })), @('authorization_code', 'anew', $null, ($secret + @{ AuthorizationCode = 'x' })),
                @('on_behalf_of', 'read', $null, ($secret + @{ UserAssertion = 'x' })), @('client_credentials', 'read', $null, ($app + @{ ClientCertificate = (New-TestCertificate) })))) {
            $plan = Get-MsalPlan $case[3]
            $cache = if ($plan.Anew) { 'anew' } elseif ($plan.Document['cache']) { $plan.Document.cache } else { 'read' }
            Assert-Equal "$($plan.Document.grant) $cache $($plan.Document['prompt'])" "$($case[0]) $($case[1]) $($case[2])" "$($case[3].Keys)"
            Assert-Equal $plan.Document.scopes 'https://graph.microsoft.com/.default'
            Assert-Equal $plan.Document.authority.TrimEnd('/') 'https://login.microsoftonline.com/fabrikam.example'
        }
    }
    It 'choose the authority as MSAL.PS does' {
        foreach ($case in @(@(@{}, 'https://login.microsoftonline.com/common'), @(@{ AzureCloudInstance = 'AzureUsGovernment' }, 'https://login.microsoftonline.us/common'), @(@{ AzureCloudInstance = 2; TenantId = 'x.example' }, 'https://login.chinacloudapi.cn/x.example'),
                @(@{ Authority = 'https://login.microsoftonline.us/y.example'; TenantId = 'x.example' }, 'https://login.microsoftonline.us/y.example'))) {
            # As with MSAL.PS, a remembered application of the same client keeps its own tenant.
            Clear-MsalTokenCache -Confirm:$false
            $arguments = $case[0] + @{ ClientId = $id }
            Assert-Equal (Get-MsalPlan $arguments).Document.authority.TrimEnd('/') $case[1]
        }
        $app = New-MsalClientApplication -ClientId $id -Authority 'https://login.microsoftonline.us/a.example'
        Assert-Equal (Get-MsalPlan @{ PublicClientApplication = $app; TenantId = 'b.example' }).Document.authority 'https://login.microsoftonline.us/b.example'
        $null = Assert-Fails { Get-MsalToken -ClientId $id -AzureCloudInstance AzureGermany } UNSUPPORTED NotImplemented
    }
    It 'carry hints, query parameters, an ID, a time limit and a redirect URI as written' {
        $plan = Get-MsalPlan @{ ClientId = $id; LoginHint = 'adele@fabrikam.example'; ExtraQueryParameters = @{ domain_hint = 'fabrikam.example'; 'a b' = 'c&d' }; CorrelationId = [guid] '0d4b1b1e-3b8b-4f0e-9c6e-0d3b3f2a1c11'
            Timeout = [timespan]::FromSeconds(90.5); RedirectUri = 'https://portal.azure.com'; ExtraScopesToConsent = 'https://graph.microsoft.com/User.Read' }
        Assert-Equal $plan.Document.login_hint 'adele@fabrikam.example'
        Assert-Equal $plan.Document.domain_hint 'fabrikam.example'
        Assert-Equal $plan.Document.extra_query 'a%20b=c%26d'
        Assert-Equal $plan.Document.correlation_id '0d4b1b1e-3b8b-4f0e-9c6e-0d3b3f2a1c11'
        Assert-Equal $plan.Document.redirect_uri 'https://portal.azure.com'
        Assert-Equal $plan.Document.extra_scopes 'https://graph.microsoft.com/User.Read'
        Assert-Equal $plan.Timeout 91
        Assert-Equal (Get-MsalPlan @{ ClientId = $id; UseEmbeddedWebView = $true }).Document.redirect_uri 'https://login.microsoftonline.com/common/oauth2/nativeclient'
    }
    It 'that cannot be served say so, and what to use' {
        $record = Assert-Fails { Get-MsalToken -ClientId $id -ProofOfPossession 'x' } UNSUPPORTED NotImplemented
        Assert-True $record.ErrorDetails.RecommendedAction
    }
    It 'that are wrong are refused before anything is sent' {
        foreach ($arguments in @{ ClientId = '' }, @{ ClientId = 'my app' }, @{ ClientId = $id; Prompt = 'Sometimes' }, @{ ClientId = $id; Authority = 'http://login.microsoftonline.com/x' }, @{ ClientId = $id; RedirectUri = 'no uri' },
            @{ ClientId = $id; ExtraQueryParameters = @{ client_id = 'other' } }) {
            $record = Assert-Fails { Get-MsalToken @arguments } BAD_ARGUMENT InvalidArgument
            Assert-True $record.ErrorDetails.RecommendedAction
        }
        $null = Assert-Fails { Get-MsalToken -ClientId $id -Scopes 'https://graph.microsoft.com/User.Read', 'https://api.security.microsoft.com/Incident.Read' -Silent }
        $public = [Security.Cryptography.X509Certificates.X509Certificate2]::new((New-TestCertificate).Export('Cert'))
        $null = Assert-Fails { Get-MsalToken -ClientId $id -TenantId x.example -ClientCertificate $public }
    }
}

Describe 'MSAL applications' {
    It 'are made, remembered, found and forgotten' {
        Clear-MsalTokenCache -Confirm:$false
        $one = New-MsalClientApplication $id -TenantId 'fabrikam.example'
        Assert-Equal $one.PSTypeNames[0..2] 'DefenderXdr.MsalPublicClientApplication', 'Microsoft.Identity.Client.PublicClientApplication', 'DefenderXdr.MsalClientApplication'
        Assert-Equal $one.ClientId $id
        Assert-Equal $one.Authority 'https://login.microsoftonline.com/fabrikam.example/'
        Assert-Equal @(Get-MsalClientApplication).Count 0
        Assert-True ([object]::ReferenceEquals(($one | Add-MsalClientApplication -PassThru), $one))
        Assert-Equal @(Get-MsalClientApplication).Count 1
        $record = $null
        Add-MsalClientApplication $one -ErrorAction SilentlyContinue -ErrorVariable record
        Assert-Match $record[0].FullyQualifiedErrorId '^AddMsalClientApplicationFailureAlreadyExists,'
        Assert-True ([object]::ReferenceEquals((Select-MsalClientApplication $id), $one))
        Assert-True (-not [object]::ReferenceEquals((Select-MsalClientApplication $id -RedirectUri 'https://portal.azure.com'), $one))
        Assert-Equal @(Get-MsalClientApplication -ClientId $id).Count 2
        Assert-Equal @(Get-MsalClientApplication -RedirectUri 'https://portal.azure.com').Count 1
        Assert-Equal @(Get-MsalClientApplication -TenantId 'fabrikam.example').Count 1
        $one | Remove-MsalClientApplication
        Assert-Match (Assert-Fails { Remove-MsalClientApplication $one }).FullyQualifiedErrorId '^RemoveMsalClientApplicationFailureNotFound,'
        Clear-MsalTokenCache -FromDisk
        Assert-Equal @(Get-MsalClientApplication).Count 1
        Clear-MsalTokenCache -Confirm:$false
        Assert-Equal @(Get-MsalClientApplication).Count 0
    }
    It 'of a confidential client are told apart by their credential, and hide it' {
        Clear-MsalTokenCache -Confirm:$false
        $one = Select-MsalClientApplication $id -ClientSecret (New-Secret 'canary-secret-0123456789')
        Assert-True ([object]::ReferenceEquals((Select-MsalClientApplication $id -ClientSecret (New-Secret 'canary-secret-0123456789')), $one))
        Assert-True (-not [object]::ReferenceEquals((Select-MsalClientApplication $id -ClientSecret (New-Secret 'another')), $one))
        Assert-Equal $one.PSTypeNames[1] 'Microsoft.Identity.Client.ConfidentialClientApplication'
        Assert-NoSecret (($one | Out-String), ($one.AppConfig | Format-List * | Out-String), "$one") 'canary-secret-0123456789' 'the view'
        $asserted = New-MsalClientApplication $id -ClientAssertion 'canary-assertion-0123456789'
        Assert-NoSecret (($asserted | Format-List * | Out-String), ($asserted.AppConfig | Format-List * | Out-String)) 'canary-assertion-0123456789' 'the view'
        Assert-Equal @(Get-MsalClientApplication -ClientSecret (New-Secret 'another')).Count 1
    }
    It 'are made of options' {
        $app = New-MsalClientApplication -ConfidentialClientOptions @{ ClientId = $id; ClientSecret = 'x'; TenantId = 'fabrikam.example'; Instance = 'https://login.microsoftonline.us' }
        Assert-Equal $app.Authority 'https://login.microsoftonline.us/fabrikam.example'
        Assert-True ($app.AppConfig.ClientSecret -is [securestring])
        Assert-Equal (New-MsalClientApplication -PublicClientOptions @{ ClientId = $id; RedirectUri = 'https://portal.azure.com' }).AppConfig.RedirectUri 'https://portal.azure.com'
    }
    It 'come down the pipeline as what they are' {
        $plan = Get-MsalPlan @{ PublicClientApplication = (New-MsalClientApplication $id) }
        Assert-Equal $plan.Document.grant 'authorization_code'
        Assert-Match (Assert-Fails { $id | Get-MsalToken -Interactive -ProofOfPossession 'x' }).FullyQualifiedErrorId 'DefenderXdr\.UNSUPPORTED'
        Assert-Match (Assert-Fails { New-MsalClientApplication $id | Get-MsalToken -IntegratedWindowsAuth -ProofOfPossession 'x' }).FullyQualifiedErrorId 'DefenderXdr\.UNSUPPORTED'
        Assert-Match (Assert-Fails { New-MsalClientApplication $id -ClientSecret (New-Secret 'x') | Get-MsalToken -ProofOfPossession 'x' }).FullyQualifiedErrorId 'DefenderXdr\.UNSUPPORTED'
    }
    It 'say what is possible' {
        Assert-Equal ((Get-MsalFeatureSupport).PSObject.Properties.Name) 'WebView1Support', 'WebView2Support', 'DeviceCodeSupport', 'TokenCacheSupport', 'AuthBrokerSupport'
        Assert-Equal (Get-MsalFeatureSupport).TokenCacheSupport $true
    }
    It 'warn once when the real MSAL.PS is loaded too' {
        $shell = New-TestShell
        try {
            $null = $shell.AddScript('New-Module -Name MSAL.PS { function Get-MsalNothing { } } | Import-Module; 1..2 | ForEach-Object { try { Get-MsalToken "" } catch { } }').Invoke()
            Assert-Equal @($shell.Streams.Warning | Where-Object { "$_" -match 'MSAL\.PS' }).Count 1
        }
        finally { $shell.Dispose() }
    }
}

Describe 'Get-MsalToken errors' {
    It 'end the script, and point at the caller''s line' {
        $shared = @{}
        $shell = New-TestShell $shared
        try { $null = Assert-Fails { $shell.AddScript('$ErrorActionPreference = "Continue"; Get-MsalToken ""; $Shared.after = 1').Invoke() } }
        finally { $shell.Dispose() }
        Assert-Equal $shared.Count 0
        $record = Assert-Fails { Get-MsalToken '' } BAD_ARGUMENT
        Assert-Match $record.InvocationInfo.Line "Get-MsalToken ''"
    }
}

if ($null -eq $Emulator) { return }

$user = @{ ClientId = $Emulator.public_client_id; TenantId = $Emulator.tenant_id; Scopes = "$Resource/.default"; Timeout = [timespan]::FromSeconds(30) }
$app = @{ ClientId = $Emulator.confidential_client_id; TenantId = $Emulator.tenant_id; ClientSecret = (New-Secret $RunbookSecretText); Scopes = "$Resource/.default" }

Describe 'Enable-MsalTokenCacheOnDisk' {
    It 'gives an application a cache by name, and refuses a name that can be no file' {
        $made = New-MsalClientApplication $id
        Assert-Equal @($made | Enable-MsalTokenCacheOnDisk).Count 0
        Assert-Equal $made.AppConfig.TokenCache 'msal-ps'
        Assert-True ([object]::ReferenceEquals((Enable-MsalTokenCacheOnDisk $made -TokenCache soc -PassThru), $made))
        Assert-Equal $made.AppConfig.TokenCache 'soc'
        Assert-Equal (Get-MsalPlan @{ PublicClientApplication = $made }).Cache '{"name":"soc","persist":true,"plain_text":false}'
        Assert-Equal (Get-MsalPlan @{ PublicClientApplication = $made; TokenCache = 'other'; PlainTextTokenCache = $true }).Cache '{"name":"other","persist":true,"plain_text":true}'
        Assert-Equal (Get-MsalPlan @{ ClientId = $id }).Cache $null
        $null = Assert-Fails { Enable-MsalTokenCacheOnDisk $made -TokenCache '../x' } BAD_ARGUMENT InvalidArgument
        Assert-Equal $made.AppConfig.TokenCache 'soc'
        foreach ($wrong in @{ TokenCache = '' }, @{ TokenCache = 'private' }, @{ PlainTextTokenCache = $true }) { $null = Assert-Fails { Get-MsalToken $id @wrong } BAD_ARGUMENT InvalidArgument }
    }
}

Describe 'Get-MsalToken signs in' {
    It 'a user, and returns what MSAL.PS returned' {
        Reset-Emulator
        Clear-MsalTokenCache -Confirm:$false
        $token = Get-MsalToken @user
        Assert-Equal $token.PSObject.Properties.Name 'AccessToken', 'IsExtendedLifeTimeToken', 'UniqueId', 'ExpiresOn', 'ExtendedExpiresOn', 'TenantId', 'Account', 'IdToken', 'Scopes', 'CorrelationId', 'TokenType', 'ClaimsPrincipal', 'AuthenticationResultMetadata'
        Assert-Equal $token.PSTypeNames[0..1] 'DefenderXdr.Token', 'Microsoft.Identity.Client.AuthenticationResult'
        Assert-True ($token.AccessToken -is [string] -and $token.ExpiresOn -is [DateTimeOffset] -and $token.ExtendedExpiresOn -is [DateTimeOffset] -and $token.Scopes -is [string[]] -and $token.CorrelationId -is [guid])
        Assert-True ($token.CorrelationId -ne [guid]::Empty)
        Assert-Equal $token.TokenType 'Bearer'
        Assert-Equal $token.TenantId $Emulator.tenant_id
        Assert-Equal $token.Account.Username 'adele@fabrikam.example'
        Assert-Equal $token.Account.Environment 'login.microsoftonline.com'
        Assert-Equal $token.Account.HomeAccountId.Identifier "$($token.Account.HomeAccountId.ObjectId).$($token.Account.HomeAccountId.TenantId)"
        Assert-True ($token.ClaimsPrincipal -is [Security.Claims.ClaimsPrincipal])
        Assert-Equal $token.ClaimsPrincipal.FindFirst('oid').Value $token.UniqueId
        Assert-Equal $token.AuthenticationResultMetadata.TokenSource 'IdentityProvider'
        Assert-Equal $token.CreateAuthorizationHeader() "Bearer $($token.AccessToken)"
        Assert-True ($token.Scopes.Count -gt 0)
        $sent = @(Get-EmulatorRequest '/oauth2/v2.0/authorize')[0]
        Assert-Equal $sent.query.prompt 'select_account'
        Assert-Equal @(Get-MsalClientApplication -ClientId $user.ClientId).Count 1
        Assert-Equal (Get-MsalClientApplication -ClientId $user.ClientId | Get-MsalAccount).Username 'adele@fabrikam.example'
        Assert-Equal @(Get-MsalClientApplication -ClientId $user.ClientId | Get-MsalAccount -Username 'x').Count 0
    }
    It 'and hides the token where it must' {
        $token = Get-MsalToken @user
        $planted = $token.AccessToken, $token.IdToken
        foreach ($view in ($token | Out-String -Width 4000), ($token | Format-Table | Out-String -Width 4000), "$token", (& { Get-Date; $token } | Out-String -Width 4000), ([pscustomobject]@{ a = $token } | Out-String -Width 4000)) { Assert-NoSecret $view $planted 'a view' }
        Assert-Match ($token | Out-String) 'hidden, \d+ characters'
        Assert-Match ($token | Out-String) 'adele@fabrikam\.example'
        Assert-True ((Get-MsalToken @user -AsSecureString).AccessToken -is [securestring])
    }
    It 'once, and silently after that' {
        Reset-Emulator
        $record = Assert-Fails { Get-MsalToken @user -Silent } '' AuthenticationError
        Assert-Match $record.FullyQualifiedErrorId '^GetMsalTokenFailureAuthenticationError,Get-MsalToken$'
        Assert-Equal $record.Exception.ErrorCode 'no_tokens_found'
        Assert-Equal $record.Exception.Name 'INTERACTION_REQUIRED'
        $first = Get-MsalToken @user
        $second = Get-MsalToken @user -Silent
        Assert-Equal $second.AccessToken $first.AccessToken
        Assert-Equal $second.AuthenticationResultMetadata.TokenSource 'Cache'
        $third = Get-MsalToken @user -Silent -ForceRefresh
        Assert-True ($third.AccessToken -cne $first.AccessToken)
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/authorize').Count 1
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.grant_type 'refresh_token'
        $null = Get-MsalToken @user -Interactive
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/authorize').Count 2
    }
    It 'and asks for more consent, under an ID of the caller''s' {
        Reset-Emulator
        $mine = [guid]::NewGuid()
        $arguments = $user.Clone()
        $arguments.Scopes = "$Resource/Incident.Read"
        $token = Get-MsalToken @arguments -ExtraScopesToConsent "$Resource/AdvancedHunting.Read" -CorrelationId $mine
        Assert-Equal $token.CorrelationId $mine
        $query = @(Get-EmulatorRequest '/oauth2/v2.0/authorize')[0].query
        Assert-Match $query.scope '/Incident\.Read .*/AdvancedHunting\.Read'
        Assert-Equal $query.'client-request-id' "$mine"
    }
    It 'on another device' {
        Reset-Emulator
        $shell = New-TestShell @{ program = [Environment]::GetEnvironmentVariable('DXDR_TEST_EMULATOR_PROGRAM') }
        try {
            $out = $shell.AddScript('Get-MsalToken -ClientId $User.ClientId -TenantId $User.TenantId -Scopes "https://api.security.microsoft.com/.default" -DeviceCode -Timeout 00:00:30 6>&1 | ForEach-Object {
                if ($_ -is [Management.Automation.InformationRecord]) { $null = & $Shared.program browse $_.MessageData.VerificationUri --code $_.MessageData.UserCode } else { $_.Account.Username } }').Invoke()
            Assert-Equal $out 'adele@fabrikam.example' "$($shell.Streams.Error)"
            Assert-Match ($shell.Streams.Warning -join "`n") 'enter the code'
        }
        finally { $shell.Dispose() }
    }
    It 'with a name and password, each time' {
        Reset-Emulator
        $credential = [pscredential]::new('adele@fabrikam.example', (New-Secret 'Walk-through-1'))
        foreach ($number in 1, 2) { Assert-Equal (Get-MsalToken @user -UserCredential $credential).Account.Username 'adele@fabrikam.example' }
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token').Count 2
    }
    It 'with a name and password, and silently after that, in this session and for that person alone' {
        Reset-Emulator
        Clear-MsalTokenCache
        $adele = [pscredential]::new('adele@fabrikam.example', (New-Secret 'Walk-through-1'))
        $first = Get-MsalToken @user -UserCredential $adele
        Assert-Equal (Get-MsalToken @user -Silent).AccessToken $first.AccessToken
        Assert-Equal (Get-MsalToken @user -Silent -LoginHint 'adele@fabrikam.example').AccessToken $first.AccessToken
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token').Count 1
        # The password is not sent again, whatever is asked for.
        $renewed = Get-MsalToken @user -Silent -ForceRefresh
        Assert-True ($renewed.AccessToken -cne $first.AccessToken)
        Assert-Equal ($renewed.Account.Username) 'adele@fabrikam.example'
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.grant_type 'refresh_token'
        $null = Assert-Fails { Get-MsalToken @user -Silent -LoginHint 'somebody@fabrikam.example' } '' AuthenticationError
        # Who has not the password finds nothing by the name: another session of the process, another command.
        $shell = New-TestShell
        try {
            $null = $shell.AddScript('Get-MsalToken -ClientId $User.ClientId -TenantId $User.TenantId -Scopes "https://api.security.microsoft.com/.default" -Silent -LoginHint adele@fabrikam.example').Invoke()
            Assert-Match "$($shell.Streams.Error)" 'no token in the cache fits'
        }
        catch { Assert-Match "$_" 'no token in the cache fits' }
        finally { $shell.Dispose() }
        Clear-MsalTokenCache
        $null = Assert-Fails { Get-MsalToken @user -Silent } '' AuthenticationError
        $null = Get-MsalToken @user -UserCredential $adele
        Remove-DefenderAccount adele@fabrikam.example
        $null = Assert-Fails { Get-MsalToken @user -Silent } '' AuthenticationError
    }
    It 'an app, by its secret, and as a piped application' {
        Reset-Emulator
        $token = Get-MsalToken @app
        Assert-True ($null -eq $token.Account -and $null -eq $token.ClaimsPrincipal -and $null -eq $token.IdToken)
        Assert-Equal $token.Scopes "$Resource/.default"
        $made = New-MsalClientApplication -ClientId $app.ClientId -TenantId $app.TenantId -ClientSecret $app.ClientSecret
        Assert-Equal ($made | Get-MsalToken -Scopes "$Resource/.default").AccessToken $token.AccessToken
        Assert-True (($made | Get-MsalToken -Scopes "$Resource/.default" -ForceRefresh).AccessToken -cne $token.AccessToken)
    }
    It 'not with a wrong secret, and says why under MSAL''s id' {
        $wrong = $app.Clone()
        $wrong.ClientSecret = New-Secret 'canary-wrong-secret-0123456789'
        $record = Assert-Fails { Get-MsalToken @wrong } '' AuthenticationError
        Assert-Match $record.FullyQualifiedErrorId '^GetMsalTokenFailureAuthenticationError,'
        Assert-Equal $record.Exception.Name 'BAD_SECRET'
        Assert-Equal $record.Exception.ErrorCode 'invalid_client'
        Assert-NoSecret (Get-DeepText $record) 'canary-wrong-secret-0123456789' 'the error record'
    }
    It 'within -Timeout' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/oauth2/v2.0/token' }; times = 0; do = @{ hang = $true } }
        $record = Assert-Fails { Get-MsalToken @app -Timeout ([timespan]::FromSeconds(1)) } '' OperationTimeout
        Assert-Match $record.FullyQualifiedErrorId '^GetMsalTokenFailureOperationTimeout,'
        $null = Invoke-Emulator DELETE faults
    }
    It 'an app, by a certificate whose key stays in .NET' {
        Reset-Emulator
        $certificate = New-TestCertificate
        $null = Assert-Fails { Get-MsalToken -ClientId $app.ClientId -TenantId $app.TenantId -ClientCertificate $certificate -Scopes "$Resource/.default" } '' AuthenticationError
        $read = Test-Assertion @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion $certificate
        Assert-Equal $read.Header.alg 'PS256'
        $null = Assert-Fails { New-MsalClientApplication $app.ClientId -TenantId $app.TenantId -ClientAssertion 'aa.bb.cc' | Get-MsalToken -Scopes "$Resource/.default" } '' AuthenticationError
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[-1].form.client_assertion 'aa.bb.cc'
    }
}
