# What the parameters of Get-MsalToken and its companions mean to the library.

$script:MsalApplications = [System.Collections.ArrayList]::new()
$script:MsalAccounts = [ordered]@{}     # who has signed in, by client ID, cache and account
$script:MsalPasswords = [ordered]@{}    # and with which password, by the same: copies
$script:MsalDiskCaches = [System.Collections.ArrayList]::new()     # the caches on disk that applications were given, as JSON
$script:MsalBeside = $null              # whether the real MSAL.PS is loaded too; looked at once
$script:MsalToString = [psscriptmethod]::new('ToString', { "$($this.PSObject.TypeNames[1]) $($this.ClientId)" })
$script:MsalAccountToString = [psscriptmethod]::new('ToString', { [string] $this.Username })
$script:MsalAccountIdToString = [psscriptmethod]::new('ToString', { [string] $this.Identifier })
$script:MsalNativeClient = 'https://login.microsoftonline.com/common/oauth2/nativeclient'

function script:New-MsalErrorRecord {
    # An error of one of the companions, under the id MSAL.PS gave it.
    param([string] $Id, [string] $Category, [string] $Message, [object] $Target)
    $record = [System.Management.Automation.ErrorRecord]::new([System.ArgumentException]::new($Message), $Id, $Category, $Target)
    $record.ErrorDetails = [System.Management.Automation.ErrorDetails]::new($Message)
    $record.ErrorDetails.RecommendedAction = 'Get-MsalClientApplication shows the applications of this session.'
    $record
}

function script:ConvertTo-MsalErrorRecord {
    # A failed sign-in under the ids that scripts for MSAL.PS look for. What is wrong with the arguments keeps this module's own.
    param([System.Management.Automation.ErrorRecord] $Record)
    $name = $Record.Exception.Name
    $code = $Record.Exception.Code
    if ($code -ge 1000 -and $code -lt 2000 -or $code -eq 0) { return $Record }
    $kind = switch ($name) {
        { $_ -in 'TIMEOUT', 'BROWSER_TIMEOUT' } { 'OperationTimeout'; break }
        'CANCELLED' { 'OperationStopped'; break }
        default { 'AuthenticationError' }
    }
    $errorCode = switch ($name) {
        'INTERACTION_REQUIRED' { 'no_tokens_found'; break }
        'ACCOUNT_NOT_FOUND' { 'no_account_for_login_hint'; break }
        'TIMEOUT' { 'request_timeout'; break }
        default { $Record.Exception.ErrorCode }
    }
    foreach ($exception in $Record.Exception, $Record.Exception.InnerException) { $exception.ErrorCode = $errorCode }
    $changed = [System.Management.Automation.ErrorRecord]::new($Record.Exception, "GetMsalTokenFailure$kind", $kind, $null)
    $changed.ErrorDetails = $Record.ErrorDetails
    $changed
}

# ---- applications --------------------------------------------------------------------------------------------------------------------

function script:New-MsalApplication {
    # The application that parameters or options describe.
    param([string] $Kind, [System.Collections.IDictionary] $Given, [hashtable] $Failure)
    $bound = @{}
    foreach ($name in $Given.Keys) { $bound[$name] = $Given[$name] }
    $confidential = $Kind -like 'ConfidentialClient*'
    $options = if ($confidential) { $bound['ConfidentialClientOptions'] } else { $bound['PublicClientOptions'] }
    if ($null -ne $options) {
        foreach ($name in 'ClientId', 'ClientSecret', 'TenantId', 'RedirectUri', 'AzureCloudInstance', 'Instance') {
            $value = if ($options -is [System.Collections.IDictionary]) { $options[$name] } else { Get-DefenderValue $options $name }
            if ($value -and -not $bound.ContainsKey($name)) { $bound[$name] = $value }
        }
        if ($bound['ClientSecret'] -is [string]) { $bound.ClientSecret = ConvertTo-DefenderSecureString $bound.ClientSecret }
        if ($bound['RedirectUri'] -is [string]) { $bound.RedirectUri = [uri] $bound.RedirectUri }
        if ($bound['Instance'] -and -not $bound.ContainsKey('Authority')) { $bound.Authority = [uri] ("$($bound.Instance)".TrimEnd('/') + '/' + $(if ($bound['TenantId']) { $bound.TenantId } else { 'common' })) }
    }
    if ([string]::IsNullOrWhiteSpace($bound['ClientId'])) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-ClientId is empty' `
            -Hint 'Give the application (client) ID of the registered app. Check that the variable is spelt as it was set: an unset variable is empty.'
        return
    }
    if ($null -ne $bound['ClientCertificate']) {
        Test-DefenderCertificate $bound.ClientCertificate $Failure
        if ($null -ne $Failure.Record) { return }
    }
    $tenant = if ($bound['TenantId']) { [string] $bound.TenantId } else { 'common' }
    $authority = if ($null -ne $bound['Authority']) { $bound.Authority.OriginalString } else { "https://$(Get-MsalHost $bound['AzureCloudInstance'] $Failure)/$tenant/" }
    if ($null -ne $Failure.Record) { return }
    $redirect = if ($null -ne $bound['RedirectUri']) { $bound.RedirectUri.OriginalString }
    elseif ($confidential) { $null }
    elseif ($PSVersionTable.PSEdition -eq 'Desktop') { $script:MsalNativeClient }
    else { 'http://localhost' }
    $kindName = if ($confidential) { 'Confidential' } else { 'Public' }
    $application = [pscustomobject]@{
        PSTypeName     = 'DefenderXdr.MsalClientApplication'
        ClientId       = [string] $bound.ClientId
        Authority      = $authority
        IsConfidential = $confidential
        AppConfig      = [pscustomobject]@{
            ClientId                    = [string] $bound.ClientId
            TenantId                    = $tenant
            RedirectUri                 = $redirect
            IsBrokerEnabled             = [bool] $bound['AuthenticationBroker']
            ClientSecret                = $bound['ClientSecret']
            ClientCredentialCertificate = $bound['ClientCertificate']
            ClientClaims                = $bound['ClientClaims']
            ClientAssertion             = $(if ($bound['ClientAssertion']) { ConvertTo-DefenderSecureString $bound.ClientAssertion })
            ExtraQueryParameters        = $bound['ExtraQueryParameters']
            RedirectUriGiven            = $null -ne $bound['RedirectUri']
            TokenCache                  = $null
            PlainTextTokenCache         = $false
        }
    }
    $application.PSObject.TypeNames.Insert(0, "Microsoft.Identity.Client.${kindName}ClientApplication")
    $application.PSObject.TypeNames.Insert(0, "DefenderXdr.Msal${kindName}ClientApplication")
    $application.PSObject.Methods.Add($script:MsalToString)
    $application
}

function script:Get-MsalHost {
    # The sign-in host of a cloud, by its name or number in MSAL.
    param([string] $Cloud, [hashtable] $Failure)
    switch -Regex ($Cloud) {
        '^(AzureChina|2)$' { 'login.chinacloudapi.cn'; break }
        '^(AzureUsGovernment|4)$' { 'login.microsoftonline.us'; break }
        '^(AzureGermany|3)$' {
            $Failure.Record = New-DefenderErrorRecord -Name 'UNSUPPORTED' -Code 1006 -Message 'the cloud AzureGermany was closed in October 2021' -Hint 'Use AzurePublic, AzureUsGovernment or AzureChina.'
            break
        }
        default { 'login.microsoftonline.com' }
    }
}

function script:Test-MsalApplication {
    # Does an application fit what was given?
    param([object] $Application, [System.Collections.IDictionary] $Given)
    $config = $Application.AppConfig
    foreach ($name in $Given.Keys) {
        $value = $Given[$name]
        $fits = switch ($name) {
            'ClientId' { -not $value -or $Application.ClientId -eq $value; break }
            'RedirectUri' { $null -eq $value -or $config.RedirectUri -ceq $value.OriginalString; break }
            'TenantId' { -not $value -or $config.TenantId -eq $value; break }
            'Authority' { $null -eq $value -or $Application.Authority.TrimEnd('/') -eq $value.OriginalString.TrimEnd('/'); break }
            'ClientSecret' { Test-MsalSecret $config.ClientSecret $value; break }
            'ClientCertificate' { $null -ne $config.ClientCredentialCertificate -and $config.ClientCredentialCertificate.Thumbprint -eq $value.Thumbprint; break }
            default { $true }
        }
        if (-not $fits) { return $false }
    }
    $true
}

function script:Test-MsalSecret {
    param([securestring] $One, [securestring] $Other)
    if ($null -eq $One -or $null -eq $Other) { return $null -eq $One -and $null -eq $Other }
    [System.Net.NetworkCredential]::new('', $One).Password -ceq [System.Net.NetworkCredential]::new('', $Other).Password
}

function script:Select-MsalApplication {
    # The remembered application of the same client, redirect URI, broker and credential; else a new one, which is remembered.
    param([string] $Kind, [System.Collections.IDictionary] $Given, [hashtable] $Failure)
    $made = New-MsalApplication $Kind $Given $Failure
    if ($null -ne $Failure.Record) { return }
    $wanted = $made.AppConfig
    for ($index = $script:MsalApplications.Count - 1; $index -ge 0; $index--) {
        $application = $script:MsalApplications[$index]
        $config = $application.AppConfig
        if ($application.IsConfidential -ne $made.IsConfidential -or $config.ClientId -ne $wanted.ClientId -or $config.RedirectUri -cne $wanted.RedirectUri -or
            $config.IsBrokerEnabled -ne $wanted.IsBrokerEnabled -or -not (Test-MsalSecret $config.ClientSecret $wanted.ClientSecret)) { continue }
        $prints = foreach ($one in $config, $wanted) { if ($null -ne $one.ClientCredentialCertificate) { $one.ClientCredentialCertificate.Thumbprint } else { '' } }
        if ($prints[0] -eq $prints[1] -and (Test-MsalSecret $config.ClientAssertion $wanted.ClientAssertion)) { return $application }
    }
    $null = $script:MsalApplications.Add($made)
    $made
}

function script:Get-MsalAccountOf {
    # The accounts of an application: of this session, and of its cache on disk.
    param([object] $Application, [hashtable] $Failure)
    $cache = Get-MsalApplicationCache $Application
    $used = if ($cache) { $cache } else { $script:TokenCache }
    $known = @{}
    foreach ($key in @($script:MsalAccounts.Keys)) {
        if (-not $key.StartsWith("$($Application.ClientId)`0$used`0", [System.StringComparison]::OrdinalIgnoreCase)) { continue }
        $known[$script:MsalAccounts[$key].HomeAccountId.Identifier] = $true
        $script:MsalAccounts[$key]
    }
    if (-not $cache) { return }
    $listed = @(Read-DefenderAccountList $Failure $cache)
    if ($null -ne $Failure.Record) { return }
    foreach ($account in $listed) {
        if ($known.ContainsKey($account['home_account_id']) -or (Get-DefenderList $account 'client_ids') -notcontains $Application.ClientId) { continue }
        New-MsalAccount $account['home_account_id'] $account['username'] $account['cloud']
    }
}

function script:New-MsalAccount {
    param([string] $HomeAccountId, [string] $Username, [string] $Authority)
    $parts = $HomeAccountId.Split('.')
    $id = [pscustomobject]@{ PSTypeName = 'Microsoft.Identity.Client.AccountId'; Identifier = $HomeAccountId; ObjectId = $parts[0]; TenantId = $parts[-1] }
    $id.PSObject.Methods.Add($script:MsalAccountIdToString)
    $account = [pscustomobject]@{ PSTypeName = 'Microsoft.Identity.Client.Account'; Username = $Username; Environment = ([uri] $Authority).Host; HomeAccountId = $id }
    $account.PSObject.Methods.Add($script:MsalAccountToString)
    $account
}

# ---- the cache on disk -----------------------------------------------------------------------------------------------------------------

function script:Enable-MsalDiskCache {
    # Gives an application a cache on disk. A client is made for it at once, so that a name that cannot be is refused here.
    param([object] $Application, [string] $Name, [bool] $PlainText, [hashtable] $Failure)
    $cache = ConvertTo-DefenderJson ([ordered]@{ name = $Name; persist = $true; plain_text = $PlainText })
    Initialize-DefenderClient $Failure $null $cache
    if ($null -ne $Failure.Record) { return }
    $Application.AppConfig.TokenCache = $Name
    $Application.AppConfig.PlainTextTokenCache = $PlainText
    if (-not $script:MsalDiskCaches.Contains($cache)) { $null = $script:MsalDiskCaches.Add($cache) }
}

function script:Get-MsalApplicationCache {
    # The cache on disk of an application, as the JSON of a client's configuration; nothing where it has none.
    param([object] $Application)
    $config = $Application.AppConfig
    if ($config.TokenCache) { ConvertTo-DefenderJson ([ordered]@{ name = $config.TokenCache; persist = $true; plain_text = $config.PlainTextTokenCache }) }
}

function script:Get-MsalDiskCache {
    # The caches that Clear-MsalTokenCache -FromDisk empties: those of this session, and the usual one where its file is.
    param([hashtable] $Failure)
    $caches = @($script:MsalDiskCaches)
    $caches
    foreach ($cache in $caches) { if ((ConvertFrom-DefenderDocument $cache)['name'] -eq 'msal-ps') { return } }
    $usual = ConvertTo-DefenderJson ([ordered]@{ name = 'msal-ps'; persist = $true; plain_text = $false })
    Initialize-DefenderClient $Failure $null $usual
    if ($null -ne $Failure.Record) { return }
    $file = (Get-DefenderClientDescription)['cache_file']
    if ($file -and [System.IO.File]::Exists($file)) { $usual }
}

# ---- tokens --------------------------------------------------------------------------------------------------------------------------

function script:New-MsalPlan {
    # What Get-MsalToken asks for: @{ Document; Secrets; Certificate; Anew; Timeout }.
    param([string] $Kind, [hashtable] $Given, [string[]] $Scopes, [object] $Application, [hashtable] $Failure)
    $config = $Application.AppConfig
    $document = [ordered]@{ client_id = $Application.ClientId; scopes = [string[]] $Scopes }
    $secrets = @{}
    $plan = @{ Document = $document; Secrets = $secrets; Certificate = $null; Anew = $false; Timeout = 300 }
    $unsupported = $null
    if ($Given.ContainsKey('ProofOfPossession')) { $unsupported = 'proof-of-possession tokens (-ProofOfPossession) are not possible', 'Leave it out: the API takes bearer tokens.' }
    if ($null -ne $unsupported) {
        $Failure.Record = New-DefenderErrorRecord -Name 'UNSUPPORTED' -Code 1006 -Message $unsupported[0] -Hint $unsupported[1]
        return
    }
    if ($Given['AuthenticationBroker'] -or $config.IsBrokerEnabled) { Write-Warning 'There is no authentication broker here (-AuthenticationBroker): the sign-in uses the browser.' }

    # What the call names wins over what the application was made with.
    if ($null -ne $Given['Authority']) { $document.authority = $Given.Authority.OriginalString }
    elseif ($Given['AzureCloudInstance'] -and $Given.AzureCloudInstance -notmatch '^(None|0)$') {
        $document.authority = "https://$(Get-MsalHost $Given.AzureCloudInstance $Failure)/$(if ($Given['TenantId']) { $Given.TenantId } else { 'common' })"
        if ($null -ne $Failure.Record) { return }
    }
    elseif ($Given['TenantId']) {
        $address = $null
        $hostName = if ([uri]::TryCreate($Application.Authority, [System.UriKind]::Absolute, [ref] $address)) { $address.Authority } else { 'login.microsoftonline.com' }
        $document.authority = "https://$hostName/$($Given.TenantId)"
    }
    else { $document.authority = $Application.Authority }

    if ($Application.IsConfidential) {
        if ($null -ne $config.ClientCredentialCertificate) {
            $plan.Certificate = $config.ClientCredentialCertificate
            $document.credential = [ordered]@{ type = 'certificate'; caller_signs = [System.Convert]::ToBase64String($plan.Certificate.RawData) }
            if ($Given['SendX5C']) { $document.credential.send_x5c = $true }
            if ((Get-DefenderValue $config 'ClientClaims')) { $document.credential.claims = $config.ClientClaims }
        }
        elseif ($null -ne $config.ClientAssertion) {
            $document.credential = [ordered]@{ type = 'assertion' }
            $secrets.client_assertion = $config.ClientAssertion
        }
        elseif ($null -ne $config.ClientSecret) { $secrets.client_secret = $config.ClientSecret }
        $document.grant = 'client_credentials'
        if ($Given['AuthorizationCode']) {
            $document.grant = 'authorization_code'
            $secrets.code = $Given.AuthorizationCode
            if ($config.RedirectUri) { $document.redirect_uri = $config.RedirectUri }
            $plan.Anew = $true
        }
        elseif ($Given['UserAssertion']) {
            $document.grant = 'on_behalf_of'
            $secrets.user_assertion = $Given.UserAssertion
        }
        if ($Given['ForceRefresh']) { $plan.Anew = $true }
    }
    elseif ($null -ne $Given['UserCredential']) {
        $document.grant = 'password'
        $document.username = $Given.UserCredential.UserName
        $secrets.password = $Given.UserCredential.Password
        $plan.Anew = $true
    }
    elseif ($Given['IntegratedWindowsAuth']) {
        $document.grant = 'integrated_windows'
        $document.username = Get-DefenderWindowsName ([string] $Given['LoginHint']) $Failure
        if ($null -ne $Failure.Record) { return }
        $plan.Anew = $true
    }
    elseif ($Given['DeviceCode']) {
        $document.grant = 'device_code'
        $plan.Anew = $true
        $plan.Timeout = 900
    }
    else {
        $document.grant = 'authorization_code'
        $document.interactive = Test-DefenderInteractive
        $document.redirect_uri = $config.RedirectUri
        if ($Given['UseEmbeddedWebView'] -and -not $config.RedirectUriGiven) { $document.redirect_uri = $script:MsalNativeClient }
        $document.prompt = switch ([string] $Given['Prompt']) {
            '' { 'select_account'; break }
            'SelectAccount' { 'select_account'; break }
            'ForceLogin' { 'login'; break }
            'Consent' { 'consent'; break }
            'Create' { 'create'; break }
            'Never' { 'attempt_none'; break }
            'NoPrompt' { ''; break }
            default {
                $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-Prompt '$(Format-DefenderText $_)' is not known" -Hint 'Use SelectAccount, ForceLogin, Consent, NoPrompt, Create or Never.'
            }
        }
        if ($null -ne $Failure.Record) { return }
        if (-not $document.prompt) { $document.Remove('prompt') }
        # An older access token is passed over by asking for one that lives longer than any does.
        if ($Given['ForceRefresh']) { $document.expiry_margin_s = 31536000 }
        if ($Given['Silent']) { $document.cache = 'only' }
        elseif ($Given['Interactive']) { $plan.Anew = $true }
        if ($Given['LoginHint']) {
            $document.login_hint = [string] $Given.LoginHint
            $document.user = [ordered]@{ id = [string] $Given.LoginHint; type = 'optional_displayable_id' }
        }
        if ($Given['ExtraScopesToConsent']) { $document.extra_scopes = [string[]] $Given.ExtraScopesToConsent }
        $query = [ordered]@{}
        foreach ($table in $config.ExtraQueryParameters, $Given['ExtraQueryParameters']) { if ($null -ne $table) { foreach ($name in $table.Keys) { $query[$name] = [string] $table[$name] } } }
        if ($query['domain_hint']) {
            $document.domain_hint = $query.domain_hint
            $query.Remove('domain_hint')
        }
        if ($query.Count -gt 0) { $document.extra_query = @(foreach ($name in $query.Keys) { [uri]::EscapeDataString($name) + '=' + [uri]::EscapeDataString($query[$name]) }) -join '&' }
    }
    if ($null -ne $Given['CorrelationId']) { $document.correlation_id = $Given.CorrelationId.ToString() }
    if ($null -ne $Given['Timeout'] -and $Given.Timeout -gt [timespan]::Zero) { $plan.Timeout = [int] [math]::Min([math]::Ceiling($Given.Timeout.TotalSeconds), 86400) }
    $plan
}

function script:Get-MsalTokenObject {
    # The whole of Get-MsalToken for one application.
    param([string] $Kind, [System.Collections.IDictionary] $Bound, [string[]] $Scopes, [hashtable] $Failure)
    if ($null -eq $script:MsalBeside) {
        $script:MsalBeside = $null -ne (Get-Module -Name 'MSAL.PS')
        if ($script:MsalBeside) { Write-Warning 'The module MSAL.PS is loaded too. Get-MsalToken is the command of whichever module was imported last; to be sure, write DefenderXdr\Get-MsalToken.' }
    }
    $given = @{}
    foreach ($name in $Bound.Keys) { $given[$name] = $Bound[$name] }
    $watch = [System.Diagnostics.Stopwatch]::StartNew()
    $application = if ($Kind -eq 'PublicClient-InputObject') { $given.PublicClientApplication }
    elseif ($Kind -eq 'ConfidentialClient-InputObject') { $given.ConfidentialClientApplication }
    else { Select-MsalApplication $Kind $given $Failure }
    if ($null -ne $Failure.Record) { return }
    $plan = New-MsalPlan $Kind $given $Scopes $application $Failure
    if ($null -ne $Failure.Record) { return }
    $plan.Cache = Get-MsalApplicationCache $application
    if ($given.ContainsKey('TokenCache') -or $given['PlainTextTokenCache']) { $plan.Cache = Get-DefenderCacheChoice $given $script:TokenCache $Failure }
    if ($null -ne $Failure.Record) { return }
    $token = Get-DefenderPlanToken $plan $null $plan.Timeout $Failure
    if ($null -ne $Failure.Record -and $given['Silent'] -and $Failure.Record.Exception.Name -eq 'INTERACTION_REQUIRED' -and $Failure.Record.Exception.ServiceErrorCodes.Length -eq 0) {
        $again = New-MsalPasswordPlan $plan $application
        if ($null -ne $again) {
            $plan = $again
            $Failure.Record = $null
            $token = Get-DefenderPlanToken $plan $null $plan.Timeout $Failure
        }
    }
    if ($null -ne $Failure.Record) {
        $Failure.Record = ConvertTo-MsalErrorRecord $Failure.Record
        return
    }
    New-MsalTokenObject $token $application $plan ([bool] $given['AsSecureString']) $watch.ElapsedMilliseconds
}

function script:New-MsalPasswordPlan {
    # What -Silent asks for where nobody signed in to the application but by -UserCredential in this session: the cache's answer to who brings that
    # password. Nothing is asked with it. Nothing if the call does not mean just one such person.
    param([hashtable] $Plan, [object] $Application)
    $used = if ($Plan['Cache']) { $Plan.Cache } else { $script:TokenCache }
    $who = if ($Plan.Document.Contains('login_hint')) { $Plan.Document.login_hint }
    $found = @(foreach ($key in $script:MsalPasswords.Keys) {
            if (-not $key.StartsWith("$($Application.ClientId)`0$used`0", [System.StringComparison]::OrdinalIgnoreCase)) { continue }
            $kept = $script:MsalPasswords[$key]
            if ($null -eq $who -or $kept.Username -eq $who -or $kept.Account -eq $who) { $kept }
        })
    if ($found.Length -ne 1) { return }
    $document = [ordered]@{ client_id = $Plan.Document.client_id; scopes = $Plan.Document.scopes; authority = $Plan.Document.authority; grant = 'password'; username = $found[0].Username; cache = 'only' }
    foreach ($name in 'expiry_margin_s', 'correlation_id') { if ($Plan.Document.Contains($name)) { $document[$name] = $Plan.Document[$name] } }
    @{ Document = $document; Secrets = @{ password = $found[0].Password }; Certificate = $null; Anew = $false; Timeout = $Plan.Timeout; Cache = $Plan['Cache'] }
}

function script:Remove-MsalPassword {
    # Forgets what is kept of a sign-in by password, if anything is.
    param([string] $Key)
    if (-not $script:MsalPasswords.Contains($Key)) { return }
    $script:MsalPasswords[$Key].Password.Dispose()
    $script:MsalPasswords.Remove($Key)
}

function script:New-MsalTokenObject {
    # A DefenderXdr.Token with the members of MSAL's AuthenticationResult, in its order.
    param([hashtable] $Token, [object] $Application, [hashtable] $Plan, [bool] $AsSecureString, [long] $Milliseconds)
    $about = $Token.About
    $account = $null
    if ($about.HomeAccountId) {
        $account = New-MsalAccount $about.HomeAccountId $about.Account $about.Authority
        $used = if ($Plan['Cache']) { $Plan.Cache } else { $script:TokenCache }
        $key = "$($Application.ClientId)`0$used`0$($about.HomeAccountId)"
        $script:MsalAccounts[$key] = $account
        if ($Plan.Document.grant -eq 'password' -and $Plan.Anew) {
            Remove-MsalPassword $key
            $script:MsalPasswords[$key] = @{ Username = $Plan.Document.username; Account = $about.Account; Password = $Plan.Secrets.password.Copy() }
            while ($script:MsalPasswords.Count -gt 64) { Remove-MsalPassword ([string] @($script:MsalPasswords.Keys)[0]) }
        }
    }
    $correlation = [guid]::Empty
    $null = [guid]::TryParse([string] $about.CorrelationId, [ref] $correlation)
    $fromCache = $about.Source -eq 'cache'
    $metadata = [pscustomobject]@{
        PSTypeName           = 'Microsoft.Identity.Client.AuthenticationResultMetadata'
        TokenSource          = $(if ($fromCache) { 'Cache' } else { 'IdentityProvider' })
        TokenEndpoint        = $(if ($fromCache) { $null } else { "$($about.Authority.TrimEnd('/'))/oauth2/v2.0/token" })
        DurationTotalInMs    = $Milliseconds
        DurationInCacheInMs  = [long] 0
        DurationInHttpInMs   = $(if ($fromCache) { [long] 0 } else { $Milliseconds })
        RefreshOn            = $about.RefreshOn
        CacheRefreshReason   = $(if ($fromCache -or $Plan.Document.grant -notin 'authorization_code', 'client_credentials') { 'NotApplicable' } elseif ($Plan.Anew -or $Plan.Document.Contains('expiry_margin_s')) { 'ForceRefreshOrClaims' } else { 'NoCachedAccessToken' })
    }
    $scopes = $about.Scopes
    if ($scopes.Length -eq 0) { $scopes = [string[]] $Plan.Document.scopes }
    $object = [pscustomobject]@{
        PSTypeName                   = 'Microsoft.Identity.Client.AuthenticationResult'
        AccessToken                  = $(if ($AsSecureString) { ConvertTo-DefenderSecureString $Token.Value } else { $Token.Value })
        IsExtendedLifeTimeToken      = $false
        UniqueId                     = $about.UserInfo.UniqueId
        ExpiresOn                    = $about.ExpiresOn
        ExtendedExpiresOn            = $(if ($null -ne $about.ExtendedExpiresOn) { $about.ExtendedExpiresOn } else { $about.ExpiresOn })
        TenantId                     = $about.TenantId
        Account                      = $account
        IdToken                      = $about.IdToken
        Scopes                       = $scopes
        CorrelationId                = $correlation
        TokenType                    = $about.TokenType
        ClaimsPrincipal              = $(if ($about.IdToken) { New-MsalClaimsPrincipal $about.IdToken })
        AuthenticationResultMetadata = $metadata
    }
    $object.PSObject.TypeNames.Insert(0, 'DefenderXdr.Token')
    foreach ($method in $script:TokenMethods) { $object.PSObject.Methods.Add($method) }
    $object
}

function script:New-MsalClaimsPrincipal {
    # The claims of an ID token as .NET has them: one claim for each value, text as it is, the rest as JSON.
    param([string] $IdToken)
    $reading = Read-DefenderClaims ([System.Text.Encoding]::UTF8.GetBytes($IdToken)) @{ Record = $null }
    if (-not $reading) { return }
    $claims = (ConvertFrom-DefenderDocument $reading)['claims']
    $issuer = [string] $claims['iss']
    $identity = [System.Security.Claims.ClaimsIdentity]::new('AuthenticationTypes.Federation', 'preferred_username', 'roles')
    foreach ($name in $claims.Keys) {
        foreach ($value in @($claims[$name])) {
            if ($null -eq $value) { continue }
            $text = if ($value -is [string]) { $value } elseif ($value -is [bool]) { "$value".ToLowerInvariant() } elseif ($value -is [System.Collections.IDictionary]) { ConvertTo-DefenderJson $value } else { [System.Convert]::ToString($value, [System.Globalization.CultureInfo]::InvariantCulture) }
            $identity.AddClaim([System.Security.Claims.Claim]::new($name, $text, 'http://www.w3.org/2001/XMLSchema#string', $issuer))
        }
    }
    [System.Security.Claims.ClaimsPrincipal]::new($identity)
}
