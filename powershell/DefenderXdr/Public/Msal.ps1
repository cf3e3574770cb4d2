function Add-MsalClientApplication {
    <#
    .SYNOPSIS
    Remembers an application for this session, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    Get-MsalClientApplication and Select-MsalClientApplication find what is remembered.

    .PARAMETER PublicClientApplication
    An application of New-MsalClientApplication.

    .PARAMETER ConfidentialClientApplication
    A confidential application of New-MsalClientApplication.

    .PARAMETER PassThru
    Returns the application.

    .EXAMPLE
    New-MsalClientApplication -ClientId $clientId -TenantId $tenantId | Add-MsalClientApplication

    Makes an application and remembers it.

    .LINK
    Get-MsalToken
    #>
    [CmdletBinding(DefaultParameterSetName = 'PublicClient')]
    [OutputType('DefenderXdr.MsalPublicClientApplication', 'DefenderXdr.MsalConfidentialClientApplication')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'PublicClient', Position = 0, ValueFromPipeline)]
        [PSTypeName('DefenderXdr.MsalPublicClientApplication')]
        [object] $PublicClientApplication,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClient', Position = 0, ValueFromPipeline)]
        [PSTypeName('DefenderXdr.MsalConfidentialClientApplication')]
        [object] $ConfidentialClientApplication,

        [switch] $PassThru
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $application = if ($null -ne $PublicClientApplication) { $PublicClientApplication } else { $ConfidentialClientApplication }
        if ($script:MsalApplications.Contains($application)) {
            $PSCmdlet.WriteError((New-MsalErrorRecord 'AddMsalClientApplicationFailureAlreadyExists' 'ResourceExists' 'the application is remembered already' $application))
        }
        else { $null = $script:MsalApplications.Add($application) }
        if ($PassThru) { $application }
    }
}

function Clear-MsalTokenCache {
    <#
    .SYNOPSIS
    Forgets every cached token and every remembered application, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    The cache is that of the whole process, and of Get-ADALToken too; if Connect-Defender named a cache on disk, it is that one, and it is emptied for
    all processes. As with MSAL.PS, other caches that applications have on disk by Enable-MsalTokenCacheOnDisk stay, and -FromDisk forgets those alone.

    .PARAMETER FromDisk
    Empties the caches that Enable-MsalTokenCacheOnDisk has made: msal-ps, and those it was given by name in this session.

    .EXAMPLE
    Clear-MsalTokenCache

    Forgets the tokens of this process.

    .EXAMPLE
    Clear-MsalTokenCache -FromDisk

    Forgets what applications have on disk, for all processes.

    .EXAMPLE
    Clear-MsalTokenCache -WhatIf

    Says what would happen.

    .LINK
    Get-MsalToken
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([void])]
    param(
        [switch] $FromDisk
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    Use-DefenderPreference $PSCmdlet
    $failure = @{ Record = $null }
    if ($FromDisk) {
        foreach ($cache in Get-MsalDiskCache $failure) {
            if ($null -ne $failure.Record) { break }
            if (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } (Format-DefenderCache $cache) 'Clear') { Clear-DefenderCache $failure $cache }
        }
        if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
        return
    }
    if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } (Format-DefenderCache $script:TokenCache) 'Clear')) { return }
    Clear-DefenderCache $failure
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
    $script:MsalApplications.Clear()
}

function Enable-MsalTokenCacheOnDisk {
    <#
    .SYNOPSIS
    Keeps an application's tokens on disk, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    From then on Get-MsalToken keeps the tokens of this application in a cache on disk, encrypted, and looks for them there: a person signs in once
    for all scripts that do the same. It works in Windows PowerShell and PowerShell 7, on Windows, Linux and macOS; where there is no place for the
    key, tokens stay in memory and a warning says so.

    MSAL.PS had one file for all applications, %LOCALAPPDATA%\MSAL.PS\MSAL.PS.msalcache.bin3. Here it is the cache named msal-ps, in the folder of
    all caches of this module. The file of MSAL.PS is neither read nor changed: sign in once more, and delete it when MSAL.PS is gone.

    Commands that are not given the application know nothing of this: Connect-Defender -TokenCache msal-ps uses the same cache for the module's own.

    .PARAMETER TokenCache
    The name of the cache, msal-ps if it is not given.

    .PARAMETER PlainTextTokenCache
    Leaves the file unencrypted, where there is no keyring. A warning says so.

    .PARAMETER PublicClientApplication
    An application of New-MsalClientApplication.

    .PARAMETER ConfidentialClientApplication
    A confidential application of New-MsalClientApplication.

    .PARAMETER PassThru
    Returns the application.

    .EXAMPLE
    $application = New-MsalClientApplication -ClientId $clientId -TenantId $tenantId | Enable-MsalTokenCacheOnDisk -PassThru
    $application | Get-MsalToken -Scopes 'https://api.security.microsoft.com/.default'

    Signs in once; the next time these lines run, in any process of the same person, the token comes without a sign-in.

    .LINK
    Get-MsalToken
    #>
    [CmdletBinding(DefaultParameterSetName = 'PublicClient')]
    [OutputType('DefenderXdr.MsalPublicClientApplication', 'DefenderXdr.MsalConfidentialClientApplication')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'PublicClient', Position = 0, ValueFromPipeline)]
        [PSTypeName('DefenderXdr.MsalPublicClientApplication')]
        [object] $PublicClientApplication,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClient', Position = 0, ValueFromPipeline)]
        [PSTypeName('DefenderXdr.MsalConfidentialClientApplication')]
        [object] $ConfidentialClientApplication,

        [ValidateNotNullOrEmpty()]
        [string] $TokenCache = 'msal-ps',

        [switch] $PlainTextTokenCache,

        [switch] $PassThru
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $failure = @{ Record = $null }
        $application = if ($null -ne $PublicClientApplication) { $PublicClientApplication } else { $ConfidentialClientApplication }
        Enable-MsalDiskCache $application $TokenCache ([bool] $PlainTextTokenCache) $failure
        if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
        if ($PassThru) { $application }
    }
}

function Get-MsalAccount {
    <#
    .SYNOPSIS
    Gets the accounts that have signed in to an application, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    Accounts are those that Get-MsalToken has got a token for in this session, and those of the application in its cache on disk.

    .PARAMETER ClientApplication
    An application of New-MsalClientApplication.

    .PARAMETER Accounts
    Accounts, to be looked through.

    .PARAMETER Username
    The user name of the account wanted.

    .EXAMPLE
    Get-MsalClientApplication -ClientId $clientId | Get-MsalAccount

    Shows who has signed in to the application.

    .LINK
    Get-MsalToken
    #>
    [CmdletBinding(DefaultParameterSetName = 'ClientApplication')]
    [OutputType('Microsoft.Identity.Client.Account')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'ClientApplication', Position = 0, ValueFromPipeline)]
        [PSTypeName('DefenderXdr.MsalClientApplication')]
        [object] $ClientApplication,

        [Parameter(Mandatory, ParameterSetName = 'Accounts', Position = 0, ValueFromPipeline)]
        [PSTypeName('Microsoft.Identity.Client.Account')]
        [object[]] $Accounts,

        [string] $Username
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $failure = @{ Record = $null }
        $found = $Accounts
        if ($null -ne $ClientApplication) { $found = Get-MsalAccountOf $ClientApplication $failure }
        if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
        foreach ($account in $found) { if (-not $Username -or $account.Username -eq $Username) { $account } }
    }
}

function Get-MsalClientApplication {
    <#
    .SYNOPSIS
    Gets the applications remembered in this session, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    Get-MsalToken remembers the application it makes of its parameters.

    .PARAMETER ClientId
    The application (client) ID of the registered app.

    .PARAMETER ClientSecret
    The secret of a confidential client. A SecureString: PowerShell refuses plain text ("Cannot convert").
    Read-Host -AsSecureString asks for one; ConvertTo-SecureString $env:APP_SECRET -AsPlainText -Force makes one in a job.

    .PARAMETER ClientCertificate
    The certificate of a confidential client, with its private key, which need not be exportable.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. The default is that of MSAL.PS: http://localhost, and in Windows PowerShell or with
    -UseEmbeddedWebView https://login.microsoftonline.com/common/oauth2/nativeclient.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant, or organizations or consumers.

    .PARAMETER Authority
    The address of the authority with the tenant. It wins over -TenantId and -AzureCloudInstance.

    .EXAMPLE
    Get-MsalClientApplication

    Shows the applications of this session.

    .LINK
    Get-MsalToken
    #>
    [CmdletBinding(DefaultParameterSetName = 'PublicClient')]
    [OutputType('DefenderXdr.MsalPublicClientApplication', 'DefenderXdr.MsalConfidentialClientApplication')]
    param(
        [Parameter(ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [string] $ClientId,

        [Parameter(ParameterSetName = 'ConfidentialClientSecret', ValueFromPipelineByPropertyName)]
        [securestring] $ClientSecret,

        [Parameter(ParameterSetName = 'ConfidentialClientCertificate', ValueFromPipelineByPropertyName)]
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $ClientCertificate,

        [Parameter(ValueFromPipelineByPropertyName)]
        [uri] $RedirectUri,

        [Parameter(ValueFromPipelineByPropertyName)]
        [string] $TenantId,

        [Parameter(ValueFromPipelineByPropertyName)]
        [uri] $Authority
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        foreach ($application in @($script:MsalApplications)) {
            if ($PSCmdlet.ParameterSetName -ne 'PublicClient' -and -not $application.IsConfidential) { continue }
            if (Test-MsalApplication $application $PSBoundParameters) { $application }
        }
    }
}

function Get-MsalFeatureSupport {
    <#
    .SYNOPSIS
    Shows what is possible here, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    No web view of its own and no broker: this module loads no .NET assemblies. A cache on disk there is on every platform.

    .EXAMPLE
    Get-MsalFeatureSupport

    Shows the list.

    .LINK
    Get-MsalToken
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.MsalFeatureSupport')]
    param()

    [pscustomobject]@{
        PSTypeName        = 'DefenderXdr.MsalFeatureSupport'
        WebView1Support   = $false
        WebView2Support   = $false
        DeviceCodeSupport = $true
        TokenCacheSupport = $true
        AuthBrokerSupport = $false
    }
}

function Get-MsalToken {
    <#
    .SYNOPSIS
    Gets an access token from Microsoft Entra ID, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    Takes the parameters, defaults and parameter sets of MSAL.PS, and returns an object with the same members, so scripts written for that module
    run unchanged. Nothing of MSAL is needed. The v2 endpoints are used.

    Without -Interactive or another way, the cached token is taken, then a refresh token, and then a person is asked, with a browser. A device
    code is used only when asked for. Where nobody can be asked, the command fails at once.

    The token's default view and ToString() hide it. AccessToken is the plain string; Format-List *, ConvertTo-Json and Export-Clixml show it.

    An error ends the script unless it is caught, as with MSAL.PS. $_.FullyQualifiedErrorId starts with GetMsalTokenFailureAuthenticationError,
    GetMsalTokenFailureOperationTimeout or GetMsalTokenFailureOperationStopped, or with DefenderXdr.<NAME> for an argument that is refused;
    $_.Exception has ErrorCode, Name, StatusCode and Claims.

    .PARAMETER ClientId
    The application (client) ID of the registered app.

    .PARAMETER ClientSecret
    The secret of a confidential client. A SecureString: PowerShell refuses plain text ("Cannot convert").
    Read-Host -AsSecureString asks for one; ConvertTo-SecureString $env:APP_SECRET -AsPlainText -Force makes one in a job.

    .PARAMETER ClientCertificate
    The certificate of a confidential client, with its private key, which need not be exportable.

    .PARAMETER SendX5C
    Sends the certificate along, for apps that trust a subject and issuer.

    .PARAMETER AuthorizationCode
    An authorization code the caller received at -RedirectUri.

    .PARAMETER UserAssertion
    A token a user sent to this app, to be exchanged for one on behalf of that user.

    .PARAMETER UserAssertionType
    The type of -UserAssertion; the JWT bearer type is always sent.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. The default is that of MSAL.PS: http://localhost, and in Windows PowerShell or with
    -UseEmbeddedWebView https://login.microsoftonline.com/common/oauth2/nativeclient.

    .PARAMETER AzureCloudInstance
    The cloud: AzurePublic (1), AzureChina (2) or AzureUsGovernment (4). AzureGermany (3) was closed in 2021.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant, or organizations or consumers.

    .PARAMETER Authority
    The address of the authority with the tenant. It wins over -TenantId and -AzureCloudInstance.

    .PARAMETER AuthenticationBroker
    There is no broker here: a warning says so, and the browser is used.

    .PARAMETER PublicClientApplication
    An application of New-MsalClientApplication.

    .PARAMETER ConfidentialClientApplication
    A confidential application of New-MsalClientApplication.

    .PARAMETER Interactive
    Asks a person, without a look into the cache.

    .PARAMETER IntegratedWindowsAuth
    Signs in with the Windows account of this session, without a prompt, where the person's domain is federated with AD FS or another service that speaks
    WS-Trust. The user name is -LoginHint, else what Windows says (whoami /upn). An account that Entra itself manages cannot: use -Interactive.
    The service of the name's domain gets this session's answer to its challenge, through the system's proxy: name people of your own domains only.

    .PARAMETER Silent
    Takes the token from the cache or by a refresh token; never asks a person. It finds who signed in with a browser, a device code or the
    Windows account and, as MSAL did, who was signed in by -UserCredential in this session, for a day. Another session has to give that again.

    .PARAMETER DeviceCode
    Signs in on another device: the address and the code are shown as a warning, and are an object in the information stream.

    .PARAMETER Scopes
    The scopes to ask for, of one resource. The default is https://graph.microsoft.com/.default.

    .PARAMETER ExtraScopesToConsent
    Scopes of other resources to consent to in the same sign-in.

    .PARAMETER LoginHint
    The user name to suggest at the sign-in page, and whose token is taken from the cache.

    .PARAMETER Prompt
    SelectAccount (the default), ForceLogin, Consent, NoPrompt, Create or Never.

    .PARAMETER UserCredential
    A person's user name and password, which Entra refuses where more than a password is wanted. The password of a federated domain goes to its own
    service (AD FS), not to Entra. The session keeps a copy of it in memory, which is never sent again: by it -Silent finds what it
    brought. Clear-MsalTokenCache and Remove-DefenderAccount forget it.

    .PARAMETER CorrelationId
    An ID of your own for the request, to find it in the sign-in logs.

    .PARAMETER ExtraQueryParameters
    More query parameters for the sign-in page.

    .PARAMETER ProofOfPossession
    Not possible: fails with DefenderXdr.UNSUPPORTED. In the last MSAL.PS it did not work either.

    .PARAMETER ForceRefresh
    Passes over the cached access token; a refresh token is used if there is one.

    .PARAMETER UseEmbeddedWebView
    Signs in in a window of its own of the installed Edge or Chrome.

    .PARAMETER Timeout
    The limit for the token, sign-in included, as a timespan. The default is 5 minutes, with -DeviceCode 15.

    .PARAMETER TokenCache
    Keeps tokens on disk too, encrypted, in the cache of this name, and looks for them there. Without it the cache is the application's, when
    Enable-MsalTokenCacheOnDisk gave it one, else that of Connect-Defender, else memory.

    .PARAMETER PlainTextTokenCache
    Leaves the file of -TokenCache unencrypted, where there is no keyring. A warning says so.

    .PARAMETER AsSecureString
    Returns AccessToken as a SecureString.

    .EXAMPLE
    $token = Get-MsalToken -ClientId $clientId -TenantId $tenantId -Scopes 'https://api.security.microsoft.com/.default'
    Invoke-RestMethod -Uri 'https://api.security.microsoft.com/api/incidents' -Headers @{ Authorization = $token.CreateAuthorizationHeader() }

    Signs in a user and calls the API.

    .EXAMPLE
    Get-MsalToken -ClientId $clientId -TenantId $tenantId -ClientSecret $secret -Scopes 'https://api.security.microsoft.com/.default'

    Gets a token for an app without a user.

    .EXAMPLE
    New-MsalClientApplication -ClientId $clientId -TenantId $tenantId | Get-MsalToken -Scopes 'User.Read' -DeviceCode

    Signs in a user on another device.

    .LINK
    New-MsalClientApplication
    #>
    [CmdletBinding(DefaultParameterSetName = 'PublicClient')]
    [OutputType('DefenderXdr.Token')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'PublicClient', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'PublicClient-Interactive', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'PublicClient-IntegratedWindowsAuth', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'PublicClient-Silent', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'PublicClient-UsernamePassword', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'PublicClient-DeviceCode', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret-AuthorizationCode', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret-OnBehalfOf', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate-AuthorizationCode', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate-OnBehalfOf', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [AllowEmptyString()]
        [string] $ClientId,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret', ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret-AuthorizationCode', ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [securestring] $ClientSecret,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate', ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate-AuthorizationCode', ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $ClientCertificate,

        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject')]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate')]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate-AuthorizationCode')]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate-OnBehalfOf')]
        [switch] $SendX5C,

        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject')]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret-AuthorizationCode')]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate-AuthorizationCode')]
        [string] $AuthorizationCode,

        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [string] $UserAssertion,

        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientSecret-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [string] $UserAssertionType,

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Interactive', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-IntegratedWindowsAuth', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Silent', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-UsernamePassword', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-DeviceCode', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientSecret', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientSecret-AuthorizationCode', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientSecret-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate-AuthorizationCode', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate-OnBehalfOf', ValueFromPipelineByPropertyName)]
        [uri] $RedirectUri,

        [Parameter(ValueFromPipelineByPropertyName)]
        [ValidatePattern('^(None|AzurePublic|AzureChina|AzureGermany|AzureUsGovernment|[0-4])$')]
        [ArgumentCompleter({ param($command, $parameter, $word) 'AzurePublic', 'AzureChina', 'AzureUsGovernment' -like "$word*" })]
        [string] $AzureCloudInstance,

        [Parameter(ValueFromPipelineByPropertyName)]
        [string] $TenantId,

        [Parameter(ValueFromPipelineByPropertyName)]
        [uri] $Authority,

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Interactive', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [switch] $AuthenticationBroker,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-InputObject', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [PSTypeName('DefenderXdr.MsalPublicClientApplication')]
        [object] $PublicClientApplication,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClient-InputObject', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [PSTypeName('DefenderXdr.MsalConfidentialClientApplication')]
        [object] $ConfidentialClientApplication,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-Interactive')]
        [Parameter(ParameterSetName = 'PublicClient-InputObject')]
        [switch] $Interactive,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-IntegratedWindowsAuth')]
        [Parameter(ParameterSetName = 'PublicClient-InputObject')]
        [switch] $IntegratedWindowsAuth,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-Silent')]
        [Parameter(ParameterSetName = 'PublicClient-InputObject')]
        [switch] $Silent,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-DeviceCode')]
        [Parameter(ParameterSetName = 'PublicClient-Interactive')]
        [Parameter(ParameterSetName = 'PublicClient-InputObject')]
        [switch] $DeviceCode,

        [Parameter(ValueFromPipelineByPropertyName)]
        [string[]] $Scopes = 'https://graph.microsoft.com/.default',

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Interactive', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [string[]] $ExtraScopesToConsent,

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Interactive', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-IntegratedWindowsAuth', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Silent', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [string] $LoginHint,

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Interactive', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [ArgumentCompleter({ param($command, $parameter, $word) 'SelectAccount', 'ForceLogin', 'Consent', 'NoPrompt', 'Create', 'Never' -like "$word*" })]
        [string] $Prompt,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-UsernamePassword', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [pscredential] $UserCredential,

        [guid] $CorrelationId,

        [Parameter(ValueFromPipelineByPropertyName)]
        [hashtable] $ExtraQueryParameters,

        [object] $ProofOfPossession,

        [Parameter(ParameterSetName = 'PublicClient')]
        [Parameter(ParameterSetName = 'PublicClient-Silent')]
        [Parameter(ParameterSetName = 'PublicClient-InputObject')]
        [Parameter(ParameterSetName = 'ConfidentialClientSecret')]
        [Parameter(ParameterSetName = 'ConfidentialClientCertificate')]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject')]
        [switch] $ForceRefresh,

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-Interactive', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [switch] $UseEmbeddedWebView,

        [timespan] $Timeout,

        [AllowEmptyString()]
        [string] $TokenCache,

        [switch] $PlainTextTokenCache,

        [switch] $AsSecureString
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $failure = @{ Record = $null }
        $token = Get-MsalTokenObject $PSCmdlet.ParameterSetName $PSBoundParameters $Scopes $failure
        # Ends the script, as the command of MSAL.PS does, and not the statement only.
        if ($null -ne $failure.Record) { Write-Error -ErrorRecord $failure.Record -CategoryActivity 'Get-MsalToken' -ErrorAction Stop }
        $token
    }
}

function New-MsalClientApplication {
    <#
    .SYNOPSIS
    Makes a client application, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    The object holds what Get-MsalToken needs of an app. Nothing is sent. Tokens are cached for the whole process, not for each object.

    .PARAMETER ClientId
    The application (client) ID of the registered app.

    .PARAMETER ClientSecret
    The secret of a confidential client. A SecureString: PowerShell refuses plain text ("Cannot convert").
    Read-Host -AsSecureString asks for one; ConvertTo-SecureString $env:APP_SECRET -AsPlainText -Force makes one in a job.

    .PARAMETER ClientCertificate
    The certificate of a confidential client, with its private key, which need not be exportable.

    .PARAMETER ClientClaims
    Claims that -ClientCertificate signs in each assertion, beside its own (aud, iss, sub, jti, nbf, iat, exp).

    .PARAMETER ClientAssertion
    A signed assertion (JWT) that proves the app.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. The default is that of MSAL.PS: http://localhost, and in Windows PowerShell or with
    -UseEmbeddedWebView https://login.microsoftonline.com/common/oauth2/nativeclient.

    .PARAMETER AzureCloudInstance
    The cloud: AzurePublic (1), AzureChina (2) or AzureUsGovernment (4). AzureGermany (3) was closed in 2021.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant, or organizations or consumers.

    .PARAMETER Authority
    The address of the authority with the tenant. It wins over -TenantId and -AzureCloudInstance.

    .PARAMETER AuthenticationBroker
    There is no broker here: a warning says so, and the browser is used.

    .PARAMETER ExtraQueryParameters
    More query parameters for the sign-in page.

    .PARAMETER EnableExperimentalFeatures
    Accepted, and without meaning here.

    .PARAMETER PublicClientOptions
    A hashtable or object with ClientId, TenantId, RedirectUri, AzureCloudInstance and Instance.

    .PARAMETER ConfidentialClientOptions
    A hashtable or object with ClientId, ClientSecret, TenantId, RedirectUri, AzureCloudInstance and Instance.

    .EXAMPLE
    $application = New-MsalClientApplication -ClientId $clientId -TenantId $tenantId
    $application | Get-MsalToken -Scopes 'User.Read'

    Gets an application, and a token with it.

    .LINK
    Get-MsalToken
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Works on a list in memory, as the command of MSAL.PS does.')]
    [CmdletBinding(DefaultParameterSetName = 'PublicClient')]
    [OutputType('DefenderXdr.MsalPublicClientApplication', 'DefenderXdr.MsalConfidentialClientApplication')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'PublicClient', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientClaims', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientAssertion', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', Position = 1, ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', Position = 1, ValueFromPipelineByPropertyName)]
        [string] $ClientId,

        [Parameter(ParameterSetName = 'ConfidentialClientSecret', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [securestring] $ClientSecret,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate', ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientClaims', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $ClientCertificate,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientClaims', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [hashtable] $ClientClaims,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientAssertion', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [string] $ClientAssertion,

        [Parameter(ValueFromPipelineByPropertyName)]
        [uri] $RedirectUri,

        [Parameter(ValueFromPipelineByPropertyName)]
        [ValidatePattern('^(None|AzurePublic|AzureChina|AzureGermany|AzureUsGovernment|[0-4])$')]
        [ArgumentCompleter({ param($command, $parameter, $word) 'AzurePublic', 'AzureChina', 'AzureUsGovernment' -like "$word*" })]
        [string] $AzureCloudInstance,

        [Parameter(ValueFromPipelineByPropertyName)]
        [string] $TenantId,

        [Parameter(ValueFromPipelineByPropertyName)]
        [uri] $Authority,

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [switch] $AuthenticationBroker,

        [Parameter(ValueFromPipelineByPropertyName)]
        [hashtable] $ExtraQueryParameters,

        [Parameter(ValueFromPipelineByPropertyName)]
        [switch] $EnableExperimentalFeatures,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-InputObject', Position = 0, ValueFromPipelineByPropertyName)]
        [object] $PublicClientOptions,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClient-InputObject', Position = 0, ValueFromPipelineByPropertyName)]
        [object] $ConfidentialClientOptions
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $failure = @{ Record = $null }
        $application = New-MsalApplication $PSCmdlet.ParameterSetName $PSBoundParameters $failure
        if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
        $application
    }
}

function Select-MsalClientApplication {
    <#
    .SYNOPSIS
    Gets the remembered application that fits, or makes and remembers one, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    Applications fit by their client ID, redirect URI and credential.

    .PARAMETER ClientId
    The application (client) ID of the registered app.

    .PARAMETER ClientSecret
    The secret of a confidential client. A SecureString: PowerShell refuses plain text ("Cannot convert").
    Read-Host -AsSecureString asks for one; ConvertTo-SecureString $env:APP_SECRET -AsPlainText -Force makes one in a job.

    .PARAMETER ClientCertificate
    The certificate of a confidential client, with its private key, which need not be exportable.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. The default is that of MSAL.PS: http://localhost, and in Windows PowerShell or with
    -UseEmbeddedWebView https://login.microsoftonline.com/common/oauth2/nativeclient.

    .PARAMETER AzureCloudInstance
    The cloud: AzurePublic (1), AzureChina (2) or AzureUsGovernment (4). AzureGermany (3) was closed in 2021.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant, or organizations or consumers.

    .PARAMETER Authority
    The address of the authority with the tenant. It wins over -TenantId and -AzureCloudInstance.

    .PARAMETER AuthenticationBroker
    There is no broker here: a warning says so, and the browser is used.

    .PARAMETER PublicClientOptions
    A hashtable or object with ClientId, TenantId, RedirectUri, AzureCloudInstance and Instance.

    .PARAMETER ConfidentialClientOptions
    A hashtable or object with ClientId, ClientSecret, TenantId, RedirectUri, AzureCloudInstance and Instance.

    .EXAMPLE
    $application = Select-MsalClientApplication -ClientId $clientId -TenantId $tenantId
    $application | Get-MsalToken -Scopes 'User.Read'

    Gets an application, and a token with it.

    .LINK
    Get-MsalToken
    #>
    [CmdletBinding(DefaultParameterSetName = 'PublicClient')]
    [OutputType('DefenderXdr.MsalPublicClientApplication', 'DefenderXdr.MsalConfidentialClientApplication')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'PublicClient', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', Position = 1, ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', Position = 1, ValueFromPipelineByPropertyName)]
        [string] $ClientId,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientSecret', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [securestring] $ClientSecret,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClientCertificate', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'ConfidentialClient-InputObject', ValueFromPipelineByPropertyName)]
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $ClientCertificate,

        [Parameter(ValueFromPipelineByPropertyName)]
        [uri] $RedirectUri,

        [Parameter(ValueFromPipelineByPropertyName)]
        [ValidatePattern('^(None|AzurePublic|AzureChina|AzureGermany|AzureUsGovernment|[0-4])$')]
        [ArgumentCompleter({ param($command, $parameter, $word) 'AzurePublic', 'AzureChina', 'AzureUsGovernment' -like "$word*" })]
        [string] $AzureCloudInstance,

        [Parameter(ValueFromPipelineByPropertyName)]
        [string] $TenantId,

        [Parameter(ValueFromPipelineByPropertyName)]
        [uri] $Authority,

        [Parameter(ParameterSetName = 'PublicClient', ValueFromPipelineByPropertyName)]
        [Parameter(ParameterSetName = 'PublicClient-InputObject', ValueFromPipelineByPropertyName)]
        [switch] $AuthenticationBroker,

        [Parameter(Mandatory, ParameterSetName = 'PublicClient-InputObject', Position = 0, ValueFromPipelineByPropertyName)]
        [object] $PublicClientOptions,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClient-InputObject', Position = 0, ValueFromPipelineByPropertyName)]
        [object] $ConfidentialClientOptions
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $failure = @{ Record = $null }
        $application = Select-MsalApplication $PSCmdlet.ParameterSetName $PSBoundParameters $failure
        if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
        $application
    }
}

function Remove-MsalClientApplication {
    <#
    .SYNOPSIS
    Forgets an application of this session, as a drop-in for the command of MSAL.PS.

    .DESCRIPTION
    Its cached tokens stay; Clear-MsalTokenCache forgets those.

    .PARAMETER PublicClientApplication
    An application of New-MsalClientApplication.

    .PARAMETER ConfidentialClientApplication
    A confidential application of New-MsalClientApplication.

    .EXAMPLE
    Get-MsalClientApplication -ClientId $clientId | Remove-MsalClientApplication

    Forgets the application.

    .LINK
    Get-MsalToken
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Works on a list in memory, as the command of MSAL.PS does.')]
    [CmdletBinding(DefaultParameterSetName = 'PublicClient')]
    [OutputType([void])]
    param(
        [Parameter(Mandatory, ParameterSetName = 'PublicClient', Position = 0, ValueFromPipeline)]
        [PSTypeName('DefenderXdr.MsalPublicClientApplication')]
        [object] $PublicClientApplication,

        [Parameter(Mandatory, ParameterSetName = 'ConfidentialClient', Position = 0, ValueFromPipeline)]
        [PSTypeName('DefenderXdr.MsalConfidentialClientApplication')]
        [object] $ConfidentialClientApplication
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $application = if ($null -ne $PublicClientApplication) { $PublicClientApplication } else { $ConfidentialClientApplication }
        if (-not $script:MsalApplications.Contains($application)) {
            $PSCmdlet.ThrowTerminatingError((New-MsalErrorRecord 'RemoveMsalClientApplicationFailureNotFound' 'ObjectNotFound' 'the application is not remembered in this session' $application))
        }
        $script:MsalApplications.Remove($application)
    }
}
