function Get-ADALToken {
    <#
    .SYNOPSIS
    Gets an access token from Microsoft Entra ID, as a drop-in for the command of ADAL.PS.

    .DESCRIPTION
    Takes the parameters, defaults and parameter sets of ADAL.PS, and returns an object with the same members, so scripts written for that
    module run unchanged. Nothing of ADAL is needed: the sign-in goes through this module's native library, with the v1 endpoints that ADAL used.

    Without a secret or certificate a person signs in: with http://localhost as the redirect URI the system's browser opens and its answer is
    caught; with another redirect URI a window of the installed Edge, Chrome or Chromium opens, which is watched for it, and where there is none
    the person is asked to paste the address they landed on. In a session that cannot ask, the command fails at once with
    DefenderXdr.INTERACTION_REQUIRED.

    The token's default view and ToString() hide it. AccessToken is the plain string; Format-List *, ConvertTo-Json and Export-Clixml show it,
    as with ADAL.PS. Use -AsSecureString where it must not be seen.

    When it fails, the error can be caught, and without a catch the command returns $null. $_.FullyQualifiedErrorId starts with
    DefenderXdr.<NAME>, and $_.Exception.InnerException has ErrorCode, ServiceErrorCodes, StatusCode and Claims.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant. The default is common. -Authority wins when both are given.

    .PARAMETER Authority
    The address of the authority with the tenant, such as https://login.microsoftonline.com/contoso.com.

    .PARAMETER Resource
    The API the token is for, such as https://api.security.microsoft.com. A trailing slash makes it another audience.

    .PARAMETER ClientId
    The application (client) ID of the registered app.

    .PARAMETER ClientSecret
    The secret of a confidential client, for a token without a user. A SecureString: PowerShell refuses plain text ("Cannot convert").
    Read-Host -AsSecureString asks for one; ConvertTo-SecureString $env:APP_SECRET -AsPlainText -Force makes one in a job.

    .PARAMETER ClientAssertionCertificate
    The certificate of a confidential client, with its private key: RSA, 2048 bits or more. The key need not be exportable.

    .PARAMETER AuthorizationCode
    An authorization code that the caller received at -RedirectUri, to be redeemed with the app's secret or certificate.

    .PARAMETER UserAssertion
    A token a user sent to this app, to be exchanged for one the app can call another API with on behalf of that user.

    .PARAMETER UserAssertionType
    The type of -UserAssertion. ADAL needed it and then always sent the JWT bearer type, as this command does; leave it out.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. http://localhost gives the smoothest sign-in.

    .PARAMETER PromptBehavior
    Auto (0): the cached token if there is one, else sign in. Always (1): enter credentials. Never (2): the cache or a refresh token, no
    person. RefreshSession (3): sign in anew, refreshing the session. SelectAccount (4): choose an account.

    .PARAMETER UserId
    The user the token must or should be for.

    .PARAMETER UserIdType
    How -UserId is meant: UniqueId (0), an object ID; OptionalDisplayableId (1), a user name to suggest; RequiredDisplayableId (2), a user
    name that must sign in.

    .PARAMETER extraQueryParameters
    More query parameters for the sign-in page, such as domain_hint=contoso.com.

    .PARAMETER Timeout
    Seconds to wait for the token, sign-in included. The default is 300.

    .PARAMETER TokenCache
    Keeps tokens on disk too, encrypted, in the cache of this name, and looks for them there. ADAL.PS kept them in memory, which is the default here,
    unless Connect-Defender named a cache.

    .PARAMETER PlainTextTokenCache
    Leaves the file of -TokenCache unencrypted, where there is no keyring. A warning says so.

    .PARAMETER AsSecureString
    Returns AccessToken as a SecureString.

    .EXAMPLE
    $response = Get-ADALToken -Resource 'https://api.security.microsoft.com' -ClientId $clientId -RedirectUri 'http://localhost' -Authority "https://login.windows.net/$tenantId" -PromptBehavior:Always
    $response.AccessToken | ConvertFrom-DefenderToken

    Signs in a user and shows what the token holds.

    .EXAMPLE
    $secret = Read-Host -AsSecureString
    $response = Get-ADALToken -Resource 'https://api.security.microsoft.com' -TenantId $tenantId -ClientId $clientId -ClientSecret $secret
    $headers = @{ Authorization = $response.CreateAuthorizationHeader() }

    Gets a token for an app without a user, and makes the header that carries it.

    .EXAMPLE
    $certificate = Get-Item "Cert:\CurrentUser\My\$thumbprint"
    Get-ADALToken -Resource 'https://api.security.microsoft.com' -TenantId $tenantId -ClientId $clientId -ClientAssertionCertificate $certificate

    Gets a token for an app that proves itself with a certificate of the Windows store.

    .LINK
    ConvertFrom-DefenderToken
    #>
    [CmdletBinding(DefaultParameterSetName = 'Implicit')]
    [OutputType('DefenderXdr.Token')]
    param(
        [Parameter()]
        [string] $TenantId = 'common',

        [Parameter()]
        [string] $Authority,

        [Parameter(Mandatory)]
        [string] $Resource,

        [Parameter(Mandatory)]
        [AllowEmptyString()]
        [string] $ClientId,

        [Parameter(Mandatory, ParameterSetName = 'ClientSecret')]
        [Parameter(Mandatory, ParameterSetName = 'ClientSecret-AuthorizationCode')]
        [Parameter(Mandatory, ParameterSetName = 'ClientSecret-OnBehalfOf')]
        [securestring] $ClientSecret,

        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate')]
        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate-AuthorizationCode')]
        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate-OnBehalfOf')]
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $ClientAssertionCertificate,

        [Parameter(Mandatory, ParameterSetName = 'ClientSecret-AuthorizationCode')]
        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate-AuthorizationCode')]
        [string] $AuthorizationCode,

        [Parameter(Mandatory, ParameterSetName = 'ClientSecret-OnBehalfOf')]
        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate-OnBehalfOf')]
        [string] $UserAssertion,

        [Parameter(ParameterSetName = 'ClientSecret-OnBehalfOf')]
        [Parameter(ParameterSetName = 'ClientAssertionCertificate-OnBehalfOf')]
        [string] $UserAssertionType,

        [Parameter(ParameterSetName = 'Implicit')]
        [Parameter(ParameterSetName = 'ClientSecret-AuthorizationCode')]
        [Parameter(ParameterSetName = 'ClientAssertionCertificate-AuthorizationCode')]
        [uri] $RedirectUri = 'urn:ietf:wg:oauth:2.0:oob',

        [Parameter(ParameterSetName = 'Implicit')]
        [ValidatePattern('^(Auto|Always|Never|RefreshSession|SelectAccount|[0-4])$')]
        [ArgumentCompleter({ param($command, $parameter, $word) 'Auto', 'Always', 'Never', 'RefreshSession', 'SelectAccount' -like "$word*" })]
        [string] $PromptBehavior = 'Auto',

        [Parameter(ParameterSetName = 'Implicit')]
        [string] $UserId,

        [Parameter(ParameterSetName = 'Implicit')]
        [ValidatePattern('^(UniqueId|OptionalDisplayableId|RequiredDisplayableId|[0-2])$')]
        [ArgumentCompleter({ param($command, $parameter, $word) 'UniqueId', 'OptionalDisplayableId', 'RequiredDisplayableId' -like "$word*" })]
        [string] $UserIdType = 'OptionalDisplayableId',

        [Parameter(ParameterSetName = 'Implicit')]
        [string] $extraQueryParameters,

        [Parameter()]
        [ValidateRange(1, 86400)]
        [int] $Timeout = 300,

        [Parameter()]
        [AllowEmptyString()]
        [string] $TokenCache,

        [Parameter()]
        [switch] $PlainTextTokenCache,

        [Parameter()]
        [switch] $AsSecureString
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    $failure = @{ Record = $null }
    $token = $null
    $kind = $PSCmdlet.ParameterSetName
    if ($null -eq $script:AdalBeside) {
        $script:AdalBeside = $null -ne (Get-Module -Name 'ADAL.PS')
        if ($script:AdalBeside) { Write-Warning 'The module ADAL.PS is loaded too. Get-ADALToken is the command of whichever module was imported last; to be sure, write DefenderXdr\Get-ADALToken.' }
    }

    # The arguments, as the key of what was prepared for them.
    $authorityGiven = $PSBoundParameters.ContainsKey('Authority')
    $thumbprint = ''
    if ($null -ne $ClientAssertionCertificate) {
        Test-DefenderCertificate $ClientAssertionCertificate $failure
        if ($null -eq $failure.Record) { $thumbprint = $ClientAssertionCertificate.Thumbprint }
    }
    $key = $kind, $TenantId, $authorityGiven, $Authority, $Resource, $ClientId, $(if ($null -ne $RedirectUri) { $RedirectUri.OriginalString }), $PromptBehavior, $UserId, $UserIdType, $extraQueryParameters, $thumbprint -join "`0"
    $entry = $null
    $cache = $script:TokenCache
    if ($PSBoundParameters.ContainsKey('TokenCache') -or $PlainTextTokenCache) { $cache = Get-DefenderCacheChoice $PSBoundParameters $cache $failure }
    if ($cache -cne $script:ClientCache -and $null -eq $failure.Record) { Initialize-DefenderClient $failure $null $cache }
    if ($script:Client -ne [System.IntPtr]::Zero -and [System.Environment]::GetEnvironmentVariable('DEFENDER_XDR_EMULATOR') -ceq $script:ClientTarget) { $entry = $script:Requests[$key] }
    $held = $null -ne $entry -and $entry.Handle -ne [System.IntPtr]::Zero
    if ($held -and $entry.ReadCache -and $null -eq $failure.Record) { $token = Get-DefenderCachedToken $entry.Handle $entry $failure }
    if ($null -eq $token -and $null -eq $failure.Record) {
        # What is in the cache needs no look at the variables.
        if ($null -eq $entry -or (Get-DefenderEnvironment) -cne $script:ClientEnvironment) {
            $entry = New-AdalRequest -Kind $kind -Key $key -TenantId $TenantId -Authority $(if ($authorityGiven) { $Authority } else { $null }) -Resource $Resource -ClientId $ClientId -RedirectUri $RedirectUri `
                -PromptBehavior $PromptBehavior -UserId $UserId -UserIdType $UserIdType -ExtraQuery $extraQueryParameters -Certificate $ClientAssertionCertificate -Cache $cache -Failure $failure
            $held = $false
        }
        if ($null -eq $failure.Record) {
            $secrets = $null
            if ($entry.Handle -eq [System.IntPtr]::Zero) {
                $secrets = @{}
                if ($null -ne $ClientSecret) { $secrets.client_secret = $ClientSecret }
                if ($PSBoundParameters.ContainsKey('AuthorizationCode')) { $secrets.code = $AuthorizationCode }
                if ($PSBoundParameters.ContainsKey('UserAssertion')) { $secrets.user_assertion = $UserAssertion }
            }
            $entry.Certificate = $ClientAssertionCertificate
            $token = Get-DefenderTokenFor -Entry $entry -Secrets $secrets -ReadCache ($entry.ReadCache -and -not $held) -Timeout $Timeout -Failure $failure
        }
    }
    if ($null -ne $failure.Record) {
        Stop-DefenderStatement $PSCmdlet $failure.Record
        return
    }
    New-DefenderTokenObject $token $AsSecureString
}

function Clear-AdalTokenCache {
    <#
    .SYNOPSIS
    Forgets every token in the cache.

    .DESCRIPTION
    Empties the token cache that this session uses, refresh tokens included: the next Get-ADALToken signs in again. All runspaces of the process
    share it; if Connect-Defender named a cache on disk, that is emptied for all processes. The session at the sign-in page, which lives in the
    browser, is not touched.

    .EXAMPLE
    Clear-AdalTokenCache

    Forgets the tokens.

    .EXAMPLE
    Clear-AdalTokenCache -WhatIf

    Says what would happen.

    .LINK
    Get-ADALToken
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([void])]
    param()

    if (-not $script:Loaded) { Import-DefenderPrivate }
    Use-DefenderPreference $PSCmdlet
    if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } (Format-DefenderCache $script:TokenCache) 'Clear')) { return }
    $failure = @{ Record = $null }
    Clear-DefenderCache $failure
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
}

function Get-AdalAuthenticationContext {
    <#
    .SYNOPSIS
    Fails and names what to use: an AuthenticationContext is an object of ADAL itself.

    .DESCRIPTION
    ADAL.PS returned a live object of the ADAL library, on which scripts called AcquireTokenAsync or TokenCache. This module has no ADAL, so it
    cannot return one. Get-ADALToken gets tokens, and Clear-AdalTokenCache clears the cache.

    .PARAMETER Authority
    The authority of the context.

    .EXAMPLE
    try { Get-AdalAuthenticationContext } catch { $_.ErrorDetails.RecommendedAction }

    Shows what to use in its place.

    .LINK
    Get-ADALToken
    #>
    [CmdletBinding()]
    [OutputType([void])]
    param(
        [Parameter(Position = 0)]
        [string] $Authority = 'https://login.microsoftonline.com/common'
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    $record = New-DefenderErrorRecord -Name 'UNSUPPORTED' -Code 1006 -Message "an AuthenticationContext for $Authority is an object of ADAL itself, which this module does not have" `
        -Hint 'Use Get-ADALToken -Authority to get a token, and Clear-AdalTokenCache to clear the cache.'
    $PSCmdlet.ThrowTerminatingError($record)
}

function New-AdalClientCredential {
    <#
    .SYNOPSIS
    Makes a client credential, as ADAL.PS did.

    .DESCRIPTION
    Returns an object with ClientId and ClientSecret or ClientAssertionCertificate. Give its parts to Get-ADALToken or Connect-Defender:
    -ClientId $app.ClientId -ClientSecret $app.ClientSecret. A credential from Get-Credential (the client ID as the user name, the secret as the
    password) may be piped in; with ADAL.PS that also asked for -ClientId.

    .PARAMETER InputObject
    A PSCredential or NetworkCredential, or a client ID.

    .PARAMETER ClientId
    The application (client) ID.

    .PARAMETER ClientSecret
    The app's secret. A SecureString: PowerShell refuses plain text ("Cannot convert").
    Read-Host -AsSecureString asks for one; ConvertTo-SecureString $env:APP_SECRET -AsPlainText -Force makes one in a job.

    .PARAMETER ClientAssertionCertificate
    The app's certificate, with its private key.

    .EXAMPLE
    $app = Get-Credential -Message 'client ID and secret' | New-AdalClientCredential
    $token = Get-ADALToken -Resource 'https://api.security.microsoft.com' -TenantId $tenantId -ClientId $app.ClientId -ClientSecret $app.ClientSecret

    Asks for an app's ID and secret and gets a token with them.

    .LINK
    Get-ADALToken
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Makes an object in memory.')]
    [CmdletBinding(DefaultParameterSetName = 'ClientId')]
    [OutputType('DefenderXdr.ClientCredential')]
    param(
        [Parameter(Mandatory, ValueFromPipeline, ParameterSetName = 'InputObject', Position = 1)]
        [object] $InputObject,

        [Parameter(Mandatory, ParameterSetName = 'ClientId', Position = 1)]
        [Parameter(Mandatory, ParameterSetName = 'ClientSecret', Position = 1)]
        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate', Position = 1)]
        [Parameter(ParameterSetName = 'InputObject')]
        [string] $ClientId,

        [Parameter(Mandatory, ParameterSetName = 'ClientSecret', Position = 2)]
        [securestring] $ClientSecret,

        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate', Position = 2)]
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $ClientAssertionCertificate
    )

    process {
        $id = $ClientId
        $secret = $ClientSecret
        if ($PSCmdlet.ParameterSetName -eq 'InputObject') {
            if ($InputObject -is [pscredential]) {
                if (-not $id) { $id = $InputObject.UserName }
                $secret = $InputObject.Password
            }
            elseif ($InputObject -is [System.Net.NetworkCredential]) {
                if (-not $id) { $id = $InputObject.UserName }
                $secret = $InputObject.SecurePassword
            }
            elseif (-not $id) { $id = [string] $InputObject }
        }
        if ($null -eq $secret -and $null -eq $ClientAssertionCertificate) {
            if (-not $script:Loaded) { Import-DefenderPrivate }
            $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'a client credential needs a secret or a certificate' `
                -Hint 'Give -ClientSecret or -ClientAssertionCertificate, or pipe in a credential from Get-Credential.'
            $PSCmdlet.ThrowTerminatingError($record)
        }
        [pscustomobject]@{
            PSTypeName                 = 'DefenderXdr.ClientCredential'
            ClientId                   = $id
            ClientSecret               = $secret
            ClientAssertionCertificate = $ClientAssertionCertificate
        }
    }
}

function New-AdalUserIdentifier {
    <#
    .SYNOPSIS
    Makes a user identifier, as ADAL.PS did.

    .DESCRIPTION
    Returns an object with Id and Type, for scripts that build one. Give both to Get-ADALToken: -UserId $user.Id -UserIdType $user.Type.
    Without an Id it stands for any user.

    .PARAMETER Id
    The user's object ID or user name.

    .PARAMETER Type
    UniqueId (0), OptionalDisplayableId (1) or RequiredDisplayableId (2).

    .EXAMPLE
    $user = New-AdalUserIdentifier 'adele@fabrikam.example' RequiredDisplayableId
    $user.Id

    Makes an identifier for a user who must be the one that signs in.

    .LINK
    Get-ADALToken
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Makes an object in memory.')]
    [CmdletBinding()]
    [OutputType('DefenderXdr.UserIdentifier')]
    param(
        [Parameter(Position = 0)]
        [string] $Id,

        [Parameter(Position = 1)]
        [ValidatePattern('^(UniqueId|OptionalDisplayableId|RequiredDisplayableId|[0-2])$')]
        [ArgumentCompleter({ param($command, $parameter, $word) 'UniqueId', 'OptionalDisplayableId', 'RequiredDisplayableId' -like "$word*" })]
        [string] $Type = 'OptionalDisplayableId'
    )

    $names = 'UniqueId', 'OptionalDisplayableId', 'RequiredDisplayableId'
    $name = if ($Type -match '^[0-2]$') { $names[[int] $Type] } else { @($names -eq $Type)[0] }
    # ADAL's AnyUser.
    if (-not $Id) { $Id = 'AnyUser'; $name = 'UniqueId' }
    $identifier = [pscustomobject]@{
        PSTypeName = 'Microsoft.IdentityModel.Clients.ActiveDirectory.UserIdentifier'
        Id         = $Id
        Type       = $name
    }
    $identifier.PSObject.TypeNames.Insert(0, 'DefenderXdr.UserIdentifier')
    $identifier.PSObject.Methods.Add([psscriptmethod]::new('ToString', { [string] $this.Id }))
    $identifier
}
