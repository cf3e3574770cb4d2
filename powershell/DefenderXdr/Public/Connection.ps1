function Connect-Defender {
    <#
    .SYNOPSIS
    Connects this session to Microsoft Defender XDR.

    .DESCRIPTION
    Gets a token and keeps what is needed to renew it, so that Get-DefenderIncident, Get-DefenderToken and the other commands need no more
    arguments. The module's own commands use the v2 endpoints.

    One parameter names the way to sign in. With -ClientId alone a person signs in, with a browser; where nobody can, the command fails at once.
    With no way and no -ClientId the way that fits the place is chosen, and -Verbose says what was tried and why.

    The connection belongs to this session and this import of the module. Disconnect-Defender forgets it. Where the command fails, a connection that
    was there is dropped too, with a warning, so that nothing that follows runs against the tenant of before. Only a parameter that PowerShell itself
    refuses, such as an unknown -Cloud, leaves the connection: the command has not begun.

    .PARAMETER ClientId
    The application (client) ID of the registered app. Without one, and without a way to sign in, the way that fits the place is chosen.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant. The default is common, which an app that signs in by itself cannot use.

    .PARAMETER Authority
    The address of the authority with the tenant, in place of -TenantId and -Cloud: Entra ID, AD FS, B2C or External ID.

    .PARAMETER Cloud
    The cloud: Public (the default), GCC, GCCHigh, DoD or China. It chooses the sign-in address and the addresses of the services.

    .PARAMETER AuthorityType
    What -Authority is, where its address does not say so: Entra, ADFS, B2C, CIAM (External ID) or OIDC (any OpenID provider).

    .PARAMETER NoInstanceDiscovery
    Does not ask Microsoft whether the host of -Authority is one of its clouds, as in a cloud of its own without a way there.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. The default is http://localhost.

    .PARAMETER LoginHint
    The user name to suggest at the sign-in page, and whose token is taken from the cache.

    .PARAMETER DomainHint
    The domain of the user's organization, which shortens the sign-in.

    .PARAMETER Prompt
    What the sign-in page shall ask for: Login (credentials), SelectAccount, Consent, Create, or None. All but None sign in anew.

    .PARAMETER DeviceCode
    Signs in on another device: the address and the code are shown as a warning, which remote sessions and runbooks show too. The code is also
    an object of type DefenderXdr.DeviceCode in the information stream (6>&1).

    .PARAMETER IntegratedWindowsAuth
    Signs in with the Windows account of this session, without a prompt, where the person's domain is federated with AD FS or another service that speaks
    WS-Trust. The user name is -LoginHint, else what Windows says (whoami /upn).
    The service of the name's domain gets this session's answer to its challenge: name people of your own domains only. That request goes through the
    system's proxy, whatever -Proxy says.

    .PARAMETER Credential
    With -ClientId: a person's user name and password, which Entra refuses where more than a password is wanted; that of a federated domain goes to its
    own service (AD FS). Without: an app's client ID
    as the user name, and its secret as the password.

    .PARAMETER ClientSecret
    The secret of a confidential client, as a SecureString: Read-Host -AsSecureString asks for one.

    .PARAMETER Certificate
    The certificate of a confidential client, an X509Certificate2 with its private key: RSA, 2048 bits or more. The key need not be exportable.

    .PARAMETER CertificatePath
    A PFX or PEM file with the certificate and its private key.

    .PARAMETER CertificatePassword
    The password of the file of -CertificatePath, as a SecureString.

    .PARAMETER CertificateThumbprint
    The thumbprint of a certificate in the store My of the user or the machine.

    .PARAMETER CertificateSubject
    The subject or common name of a certificate in the store My of the user or the machine. Of several the one that is valid longest is taken.

    .PARAMETER SendX5c
    Sends the certificate along, for apps that trust a subject and issuer.

    .PARAMETER ClientAssertion
    A signed assertion (JWT) that proves the app, as text or SecureString; or a script block that returns one. The script block is run each time a
    token is got or renewed. Its argument has Audience and ClientId, for what it signs, and Problem: why the assertion before was not taken.

    .PARAMETER ClientAssertionFile
    A file that holds such an assertion. It is read again for each token.

    .PARAMETER WorkloadIdentity
    Kubernetes: the token file and the app that the AZURE_* variables of workload identity name.

    .PARAMETER GitHubActions
    The OIDC token of a GitHub Actions job, which needs the permission id-token: write.

    .PARAMETER AzurePipelines
    The OIDC token of an Azure Pipelines job, of the service connection of -ServiceConnectionId.

    .PARAMETER ServiceConnectionId
    The ID of the Azure Resource Manager service connection.

    .PARAMETER UserAssertion
    A user's token, sent to this app: the app gets a token on behalf of that user. It goes with the ways an app proves itself.

    .PARAMETER ManagedIdentity
    The identity of the Azure resource this runs on; the system-assigned one, unless one of the -Identity parameters names another. With -ClientId
    the identity stands for that app, which trusts it by a federated credential.

    .PARAMETER IdentityClientId
    The client ID of a user-assigned managed identity.

    .PARAMETER IdentityObjectId
    The object (principal) ID of a user-assigned managed identity.

    .PARAMETER IdentityResourceId
    The resource ID of a user-assigned managed identity, /subscriptions/...

    .PARAMETER AzureCli
    The account that is signed in to the Azure CLI (az login).

    .PARAMETER AzureDeveloperCli
    The account that is signed in to the Azure Developer CLI (azd auth login).

    .PARAMETER AzurePowerShell
    The account that is signed in to Azure PowerShell (Connect-AzAccount, module Az.Accounts 2.2.0 or newer). It is asked in a PowerShell of its own, which
    sees what Connect-AzAccount saved for the user, and not an account of -Scope Process or of a managed identity that this session alone has:
    for that give -AccessToken (Get-AzAccessToken -ResourceUrl https://api.security.microsoft.com) to Connect-Defender.

    .PARAMETER VisualStudio
    The account of Visual Studio (Tools, Options, Azure Service Authentication). On Windows only.

    .PARAMETER Environment
    What the AZURE_* variables describe.

    .PARAMETER RefreshToken
    A refresh token, as text or SecureString.

    .PARAMETER AccessToken
    A token from elsewhere: text, a SecureString, or the object of Get-ADALToken
    or Get-AzAccessToken.
    When it expires is read from it; of one that cannot be read nothing is shown as its
    expiry, and it is used until the service refuses it.

    .PARAMETER Service
    The service the token is for: XDR (the default), Endpoint or Graph.

    .PARAMETER Resource
    The API the token is for, in place of -Service: its .default scope is asked for.

    .PARAMETER Scopes
    The scopes to ask for, in place of -Service or -Resource. A scope without a resource is one of Microsoft Graph: write
    https://api.security.microsoft.com/Incident.Read, not Incident.Read.

    .PARAMETER Region
    The region whose own token endpoint an app asks, such as westeurope, or auto.

    .PARAMETER Claims
    A claims request, as JSON: the Claims of an error of a service that wants more, for instance.

    .PARAMETER Proxy
    The proxy to go through, http://host:port, in place of the system's. It stays with the connection.

    .PARAMETER ProxyCredential
    The user name and password for the proxy of -Proxy.

    .PARAMETER ProxyBypass
    Hosts, domains (.fabrikam.example), addresses and networks (10.0.0.0/8) that are not asked through the proxy of -Proxy.

    .PARAMETER NoProxy
    Goes through no proxy, whatever the system or the environment says.

    .PARAMETER Timeout
    Seconds to wait for the token, sign-in included. The default is 300; with -DeviceCode 900.

    .PARAMETER Force
    Gets a new token although a fresh one is in the cache.

    .PARAMETER TokenCache
    The name of a token cache on disk: at most 64 letters, digits, - and _. It is encrypted, and shared by all your processes that name it, so one
    sign-in serves them all. The module's other commands use it too, until Connect-Defender is run without it. By default tokens are kept in memory.
    docs/guide/token-cache.md says where the file and its key are, and how to remove them.

    .PARAMETER PlainTextTokenCache
    Leaves the file of -TokenCache unencrypted, where there is no keyring. A warning says so each time.

    .PARAMETER PassThru
    Returns the connection's context.

    .EXAMPLE
    Connect-Defender -TenantId $tenantId -ClientId $clientId
    Get-DefenderIncident -First 5

    Signs in a user and shows the five newest incidents.

    .EXAMPLE
    Connect-Defender -TenantId $tenantId -ClientId $clientId -DeviceCode

    Signs in a user where there is no browser, over SSH for instance.

    .EXAMPLE
    $app = Get-Credential -Message 'client ID and secret'
    Connect-Defender -TenantId $tenantId -Credential $app -PassThru

    Connects an app without a user and shows the connection.

    .EXAMPLE
    Connect-Defender -TenantId $tenantId -ClientId $clientId -CertificatePath ./runbook.pfx -CertificatePassword $password

    Connects an app that proves itself with a certificate.

    .EXAMPLE
    Connect-Defender -TenantId $tenantId -ClientId $clientId -ClientAssertion { param($question) New-Assertion -Audience $question.Audience }

    Connects an app whose assertions a command of your own makes, at each renewal anew.

    .EXAMPLE
    Connect-Defender -ManagedIdentity

    Connects as the Azure resource this runs on, in a runbook or a function app for instance.

    .EXAMPLE
    Connect-Defender -TenantId $tenantId -ClientId $clientId -TokenCache soc

    Signs in a user once for all PowerShell windows and scripts that name the cache soc.

    .LINK
    Get-DefenderContext

    .LINK
    Disconnect-Defender
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSAvoidUsingPlainTextForPassword', 'CertificatePassword', Justification = 'Plain text is refused, in words that say what to do.')]
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSAvoidUsingUsernameAndPasswordParams', '', Justification = 'The password is that of a file.')]
    [CmdletBinding(PositionalBinding = $false)]
    [OutputType('DefenderXdr.Context')]
    param(
        [AllowEmptyString()]
        [string] $ClientId,

        [string] $TenantId,

        [string] $Authority,

        [ValidateSet('Public', 'GCC', 'GCCHigh', 'DoD', 'China')]
        [string] $Cloud,

        [ValidateSet('Entra', 'ADFS', 'B2C', 'CIAM', 'OIDC')]
        [string] $AuthorityType,

        [switch] $NoInstanceDiscovery,

        [uri] $RedirectUri,

        [string] $LoginHint,

        [string] $DomainHint,

        [ValidateSet('Login', 'SelectAccount', 'Consent', 'Create', 'None')]
        [string] $Prompt,

        [switch] $DeviceCode,

        [switch] $IntegratedWindowsAuth,

        [pscredential] $Credential,

        [object] $ClientSecret,

        [object] $Certificate,

        [string] $CertificatePath,

        [object] $CertificatePassword,

        [string] $CertificateThumbprint,

        [string] $CertificateSubject,

        [switch] $SendX5c,

        [object] $ClientAssertion,

        [string] $ClientAssertionFile,

        [switch] $WorkloadIdentity,

        [switch] $GitHubActions,

        [switch] $AzurePipelines,

        [string] $ServiceConnectionId,

        [object] $UserAssertion,

        [switch] $ManagedIdentity,

        [string] $IdentityClientId,

        [string] $IdentityObjectId,

        [string] $IdentityResourceId,

        [switch] $AzureCli,

        [switch] $AzureDeveloperCli,

        [switch] $AzurePowerShell,

        [switch] $VisualStudio,

        [switch] $Environment,

        [object] $RefreshToken,

        [object] $AccessToken,

        [ValidateSet('XDR', 'Endpoint', 'Graph')]
        [string] $Service,

        [string] $Resource,

        [string[]] $Scopes,

        [string] $Region,

        [string] $Claims,

        [string] $Proxy,

        [pscredential] $ProxyCredential,

        [string[]] $ProxyBypass,

        [switch] $NoProxy,

        [ValidateRange(1, 86400)]
        [int] $Timeout,

        [switch] $Force,

        [AllowEmptyString()]
        [string] $TokenCache,

        [switch] $PlainTextTokenCache,

        [switch] $PassThru
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    $failure = @{ Record = $null }
    $plan = New-DefenderPlan $PSBoundParameters $PSCmdlet $failure
    if (-not $Timeout) { $Timeout = if ($DeviceCode) { 900 } else { 300 } }
    if ($null -eq $failure.Record) { $plan.Cache = Get-DefenderCacheChoice $PSBoundParameters '' $failure }
    if ($null -eq $failure.Record) { Open-DefenderConnection -Plan $plan -Renew:$plan.Anew -Timeout $Timeout -Failure $failure }
    if ($null -eq $failure.Record) { $script:TokenCache = $plan.Cache }
    else {
        if ($null -ne $script:Connection) {
            # What follows was meant for the new connection and must not run in the tenant of before.
            $before = Format-DefenderConnection
            Close-DefenderConnection
            Write-Warning "Connect-Defender failed, and the connection of before was dropped: $before. There is no connection until Connect-Defender succeeds."
        }
        if ($ManagedIdentity -and $ClientId -and $failure.Record.FullyQualifiedErrorId -cne 'DefenderXdr.BAD_ARGUMENT') {
            Add-DefenderHint $failure.Record 'with -ManagedIdentity, -ClientId names an app that trusts the identity by a federated credential: a user-assigned identity is -IdentityClientId'
        }
        $PSCmdlet.ThrowTerminatingError($failure.Record)
    }
    if ($PassThru) { Get-DefenderContextObject }
}

function Disconnect-Defender {
    <#
    .SYNOPSIS
    Forgets the connection of Connect-Defender.

    .DESCRIPTION
    Frees the connection and the secret it held. Tokens stay in the token cache, so connecting again needs no new sign-in;
    Clear-DefenderTokenCache forgets those too. Without a connection it does nothing.

    .EXAMPLE
    Disconnect-Defender

    Ends the connection.

    .LINK
    Connect-Defender

    .LINK
    Clear-DefenderTokenCache
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([void])]
    param()

    if ($null -eq $script:Connection) { return }
    Use-DefenderPreference $PSCmdlet
    if (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } 'the connection to Microsoft Defender XDR' 'Forget') { Close-DefenderConnection }
}

function Get-DefenderContext {
    <#
    .SYNOPSIS
    Shows the connection of this session.

    .DESCRIPTION
    Shows the tenant, app, user, audience and permissions of the connection, when its token expires, and the address an administrator opens to
    consent to the app. It never shows or gets a token. Without a connection it returns nothing.

    .EXAMPLE
    Get-DefenderContext

    Shows the connection.

    .EXAMPLE
    if (-not (Get-DefenderContext)) { Connect-Defender -TenantId $tenantId -ClientId $clientId }

    Connects unless there is a connection.

    .LINK
    Connect-Defender
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.Context')]
    param()

    if ($null -eq $script:Connection -or -not (Test-DefenderTarget)) {
        Write-Verbose 'There is no connection. Connect-Defender makes one.'
        return
    }
    Get-DefenderContextObject
}

function Get-DefenderToken {
    <#
    .SYNOPSIS
    Gets an access token: the connection's, or one of its own.

    .DESCRIPTION
    Without a way to sign in, it returns the token of the connection that Connect-Defender made; when that runs out, a new one is got, without a
    person where that is possible. -Service, -Resource, -Scopes and -Claims by themselves get another token by the connection's sign-in: the same app,
    account and cache. Without a connection the way that fits the place is chosen, and -Verbose says what was tried and why.

    With a way to sign in, or with -ClientId or another cache, it gets a token in that way and leaves the connection as it is. The parameters are
    those of Connect-Defender.

    The token's default view and ToString() hide it. AccessToken is the plain string; Format-List *, ConvertTo-Json and Export-Clixml show it.

    .PARAMETER AsSecureString
    Returns AccessToken as a SecureString.

    .PARAMETER Force
    Gets a new token although a fresh one is in the cache.

    .PARAMETER ClientId
    The application (client) ID of the registered app. Without one, and without a way to sign in, the way that fits the place is chosen.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant. The default is common, which an app that signs in by itself cannot use.

    .PARAMETER Authority
    The address of the authority with the tenant, in place of -TenantId and -Cloud: Entra ID, AD FS, B2C or External ID.

    .PARAMETER Cloud
    The cloud: Public (the default), GCC, GCCHigh, DoD or China. It chooses the sign-in address and the addresses of the services.

    .PARAMETER AuthorityType
    What -Authority is, where its address does not say so: Entra, ADFS, B2C, CIAM (External ID) or OIDC (any OpenID provider).

    .PARAMETER NoInstanceDiscovery
    Does not ask Microsoft whether the host of -Authority is one of its clouds, as in a cloud of its own without a way there.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. The default is http://localhost.

    .PARAMETER LoginHint
    The user name to suggest at the sign-in page, and whose token is taken from the cache.

    .PARAMETER DomainHint
    The domain of the user's organization, which shortens the sign-in.

    .PARAMETER Prompt
    What the sign-in page shall ask for: Login (credentials), SelectAccount, Consent, Create, or None. All but None sign in anew.

    .PARAMETER DeviceCode
    Signs in on another device: the address and the code are shown as a warning, which remote sessions and runbooks show too. The code is also
    an object of type DefenderXdr.DeviceCode in the information stream (6>&1).

    .PARAMETER IntegratedWindowsAuth
    Signs in with the Windows account of this session, without a prompt, where the person's domain is federated with AD FS or another service that speaks
    WS-Trust. The user name is -LoginHint, else what Windows says (whoami /upn).
    The service of the name's domain gets this session's answer to its challenge: name people of your own domains only. That request goes through the
    system's proxy, whatever -Proxy says.

    .PARAMETER Credential
    With -ClientId: a person's user name and password, which Entra refuses where more than a password is wanted; that of a federated domain goes to its
    own service (AD FS). Without: an app's client ID
    as the user name, and its secret as the password.

    .PARAMETER ClientSecret
    The secret of a confidential client, as a SecureString: Read-Host -AsSecureString asks for one.

    .PARAMETER Certificate
    The certificate of a confidential client, an X509Certificate2 with its private key: RSA, 2048 bits or more. The key need not be exportable.

    .PARAMETER CertificatePath
    A PFX or PEM file with the certificate and its private key.

    .PARAMETER CertificatePassword
    The password of the file of -CertificatePath, as a SecureString.

    .PARAMETER CertificateThumbprint
    The thumbprint of a certificate in the store My of the user or the machine.

    .PARAMETER CertificateSubject
    The subject or common name of a certificate in the store My of the user or the machine. Of several the one that is valid longest is taken.

    .PARAMETER SendX5c
    Sends the certificate along, for apps that trust a subject and issuer.

    .PARAMETER ClientAssertion
    A signed assertion (JWT) that proves the app, as text or SecureString; or a script block that returns one. The script block is run each time a
    token is got or renewed. Its argument has Audience and ClientId, for what it signs, and Problem: why the assertion before was not taken.

    .PARAMETER ClientAssertionFile
    A file that holds such an assertion. It is read again for each token.

    .PARAMETER WorkloadIdentity
    Kubernetes: the token file and the app that the AZURE_* variables of workload identity name.

    .PARAMETER GitHubActions
    The OIDC token of a GitHub Actions job, which needs the permission id-token: write.

    .PARAMETER AzurePipelines
    The OIDC token of an Azure Pipelines job, of the service connection of -ServiceConnectionId.

    .PARAMETER ServiceConnectionId
    The ID of the Azure Resource Manager service connection.

    .PARAMETER UserAssertion
    A user's token, sent to this app: the app gets a token on behalf of that user. It goes with the ways an app proves itself.

    .PARAMETER ManagedIdentity
    The identity of the Azure resource this runs on; the system-assigned one, unless one of the -Identity parameters names another. With -ClientId
    the identity stands for that app, which trusts it by a federated credential.

    .PARAMETER IdentityClientId
    The client ID of a user-assigned managed identity.

    .PARAMETER IdentityObjectId
    The object (principal) ID of a user-assigned managed identity.

    .PARAMETER IdentityResourceId
    The resource ID of a user-assigned managed identity, /subscriptions/...

    .PARAMETER AzureCli
    The account that is signed in to the Azure CLI (az login).

    .PARAMETER AzureDeveloperCli
    The account that is signed in to the Azure Developer CLI (azd auth login).

    .PARAMETER AzurePowerShell
    The account that is signed in to Azure PowerShell (Connect-AzAccount, module Az.Accounts 2.2.0 or newer). It is asked in a PowerShell of its own, which
    sees what Connect-AzAccount saved for the user, and not an account of -Scope Process or of a managed identity that this session alone has:
    for that give -AccessToken (Get-AzAccessToken -ResourceUrl https://api.security.microsoft.com) to Connect-Defender.

    .PARAMETER VisualStudio
    The account of Visual Studio (Tools, Options, Azure Service Authentication). On Windows only.

    .PARAMETER Environment
    What the AZURE_* variables describe.

    .PARAMETER RefreshToken
    A refresh token, as text or SecureString.

    .PARAMETER Service
    The service the token is for: XDR (the default), Endpoint or Graph.

    .PARAMETER Resource
    The API the token is for, in place of -Service: its .default scope is asked for.

    .PARAMETER Scopes
    The scopes to ask for, in place of -Service or -Resource. A scope without a resource is one of Microsoft Graph: write
    https://api.security.microsoft.com/Incident.Read, not Incident.Read.

    .PARAMETER Region
    The region whose own token endpoint an app asks, such as westeurope, or auto.

    .PARAMETER Claims
    A claims request, as JSON: the Claims of an error of a service that wants more, for instance.

    .PARAMETER Proxy
    The proxy to go through, http://host:port, in place of the system's. It stays with the connection.

    .PARAMETER ProxyCredential
    The user name and password for the proxy of -Proxy.

    .PARAMETER ProxyBypass
    Hosts, domains (.fabrikam.example), addresses and networks (10.0.0.0/8) that are not asked through the proxy of -Proxy.

    .PARAMETER NoProxy
    Goes through no proxy, whatever the system or the environment says.

    .PARAMETER Timeout
    Seconds to wait for the token, sign-in included. The default is 300; with -DeviceCode 900.

    .PARAMETER TokenCache
    Keeps the token on disk too, encrypted, in the cache of this name, and looks for it there: for this call, with a connection or without. Without it
    the cache is that of Connect-Defender, else memory.

    .PARAMETER PlainTextTokenCache
    Leaves the file of -TokenCache unencrypted, where there is no keyring. A warning says so.

    .PARAMETER PassThru
    With -DeviceCode: returns the code as an object, before the token.

    .EXAMPLE
    $headers = @{ Authorization = (Get-DefenderToken).CreateAuthorizationHeader() }
    Invoke-RestMethod -Uri 'https://api.security.microsoft.com/api/incidents' -Headers $headers

    Calls the API directly with the connection's token.

    .EXAMPLE
    Get-DefenderToken | ConvertFrom-DefenderToken

    Shows what the token holds.

    .EXAMPLE
    Get-DefenderToken -Service Graph

    Gets a token for Microsoft Graph by the connection's sign-in.

    .EXAMPLE
    Get-DefenderToken -TenantId $tenantId -ClientId $clientId -TokenCache soc

    Signs in once: the next script that runs this line gets the token, or a new one by the refresh token, without a person.

    .EXAMPLE
    Get-DefenderToken -ManagedIdentity -Service Graph

    Gets a token for Microsoft Graph as the Azure resource this runs on.

    .EXAMPLE
    Get-DefenderToken -TenantId $tenantId -ClientId $clientId -DeviceCode -PassThru | ForEach-Object { if ($_.PSTypeNames -contains 'DefenderXdr.DeviceCode') { Send-Code $_.UserCode } else { $token = $_ } }

    Hands the code to a command of your own while the sign-in waits.

    .LINK
    Connect-Defender
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSAvoidUsingPlainTextForPassword', 'CertificatePassword', Justification = 'Plain text is refused, in words that say what to do.')]
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSAvoidUsingUsernameAndPasswordParams', '', Justification = 'The password is that of a file.')]
    [CmdletBinding(PositionalBinding = $false)]
    [OutputType('DefenderXdr.Token')]
    param(
        [switch] $AsSecureString,

        [switch] $Force,

        [AllowEmptyString()]
        [string] $ClientId,

        [string] $TenantId,

        [string] $Authority,

        [ValidateSet('Public', 'GCC', 'GCCHigh', 'DoD', 'China')]
        [string] $Cloud,

        [ValidateSet('Entra', 'ADFS', 'B2C', 'CIAM', 'OIDC')]
        [string] $AuthorityType,

        [switch] $NoInstanceDiscovery,

        [uri] $RedirectUri,

        [string] $LoginHint,

        [string] $DomainHint,

        [ValidateSet('Login', 'SelectAccount', 'Consent', 'Create', 'None')]
        [string] $Prompt,

        [switch] $DeviceCode,

        [switch] $IntegratedWindowsAuth,

        [pscredential] $Credential,

        [object] $ClientSecret,

        [object] $Certificate,

        [string] $CertificatePath,

        [object] $CertificatePassword,

        [string] $CertificateThumbprint,

        [string] $CertificateSubject,

        [switch] $SendX5c,

        [object] $ClientAssertion,

        [string] $ClientAssertionFile,

        [switch] $WorkloadIdentity,

        [switch] $GitHubActions,

        [switch] $AzurePipelines,

        [string] $ServiceConnectionId,

        [object] $UserAssertion,

        [switch] $ManagedIdentity,

        [string] $IdentityClientId,

        [string] $IdentityObjectId,

        [string] $IdentityResourceId,

        [switch] $AzureCli,

        [switch] $AzureDeveloperCli,

        [switch] $AzurePowerShell,

        [switch] $VisualStudio,

        [switch] $Environment,

        [object] $RefreshToken,

        [ValidateSet('XDR', 'Endpoint', 'Graph')]
        [string] $Service,

        [string] $Resource,

        [string[]] $Scopes,

        [string] $Region,

        [string] $Claims,

        [string] $Proxy,

        [pscredential] $ProxyCredential,

        [string[]] $ProxyBypass,

        [switch] $NoProxy,

        [ValidateRange(1, 86400)]
        [int] $Timeout,

        [AllowEmptyString()]
        [string] $TokenCache,

        [switch] $PlainTextTokenCache,

        [switch] $PassThru
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    $failure = @{ Record = $null }
    $token = $null
    if (-not $Timeout) { $Timeout = if ($DeviceCode) { 900 } else { 300 } }
    $own = @($PSBoundParameters.Keys | Where-Object { $_ -notin 'AsSecureString', 'Force', 'Timeout', 'PlainTextTokenCache' -and $_ -notin [System.Management.Automation.PSCmdlet]::CommonParameters })
    $cache = Get-DefenderCacheChoice $PSBoundParameters $script:TokenCache $failure
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
    # The connection's own cache is no other.
    if ($null -ne $script:Connection -and $cache -eq $script:Connection.Cache) { $own = @($own -ne 'TokenCache') }
    $way = @($own | Where-Object { $_ -notin 'Service', 'Resource', 'Scopes', 'Claims', 'PassThru' })
    if ($own.Count -eq 0 -and $null -ne $script:Connection) { $token = Get-DefenderConnectionToken -Force:$Force -Timeout $Timeout -Failure $failure }
    else {
        $plan = if ($way.Count -eq 0 -and $null -ne $script:Connection) { Get-DefenderSiblingPlan $PSBoundParameters $failure }
        else { New-DefenderPlan $PSBoundParameters $PSCmdlet $failure }
        if ($null -eq $failure.Record) {
            $plan.Cache = $cache
            $token = Get-DefenderPlanToken $plan $(if ($DeviceCode -and $PassThru) { $PSCmdlet }) $Timeout $failure
        }
    }
    if ($null -ne $failure.Record) {
        if ($ManagedIdentity -and $ClientId -and $failure.Record.FullyQualifiedErrorId -cne 'DefenderXdr.BAD_ARGUMENT') {
            Add-DefenderHint $failure.Record 'with -ManagedIdentity, -ClientId names an app that trusts the identity by a federated credential: a user-assigned identity is -IdentityClientId'
        }
        $PSCmdlet.ThrowTerminatingError($failure.Record)
    }
    New-DefenderTokenObject $token $AsSecureString -Extended
}
