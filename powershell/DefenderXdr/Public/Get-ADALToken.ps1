function Get-ADALToken {
    <#
    .SYNOPSIS
    Gets an access token from Microsoft Entra ID, as a drop-in for the command of ADAL.PS.

    .DESCRIPTION
    Takes the parameters, defaults and parameter sets of ADAL.PS, and returns an object with the same members, so scripts written for that
    module run unchanged. Nothing of ADAL is needed: the sign-in goes through this module's native library, with the v1 endpoints that ADAL used.

    Without a secret or certificate a person signs in: with http://localhost as the redirect URI the system's browser opens and its answer is
    caught; with another redirect URI the person is asked to paste the address they landed on. In a session that cannot ask, the command fails
    at once with DefenderXdr.INTERACTION_REQUIRED.

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
    The secret of a confidential client, for a token without a user.

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
    $key = $kind, $TenantId, $authorityGiven, $Authority, $Resource, $ClientId, $RedirectUri.OriginalString, $PromptBehavior, $UserId, $UserIdType, $extraQueryParameters, $thumbprint -join "`0"
    $entry = $null
    if ($script:Client -ne [System.IntPtr]::Zero -and [System.Environment]::GetEnvironmentVariable('DEFENDER_XDR_EMULATOR') -ceq $script:ClientTarget) { $entry = $script:Requests[$key] }
    if ($null -eq $entry -and $null -eq $failure.Record) {
        $entry = New-AdalRequest -Kind $kind -Key $key -TenantId $TenantId -Authority $(if ($authorityGiven) { $Authority } else { $null }) -Resource $Resource -ClientId $ClientId -RedirectUri $RedirectUri `
            -PromptBehavior $PromptBehavior -UserId $UserId -UserIdType $UserIdType -ExtraQuery $extraQueryParameters -Certificate $ClientAssertionCertificate -Failure $failure
    }
    if ($null -eq $failure.Record) {
        if ($entry.Handle -eq [System.IntPtr]::Zero) {
            $secrets = @{}
            if ($null -ne $ClientSecret) { $secrets.client_secret = $ClientSecret }
            if ($PSBoundParameters.ContainsKey('AuthorizationCode')) { $secrets.code = $AuthorizationCode }
            if ($PSBoundParameters.ContainsKey('UserAssertion')) { $secrets.user_assertion = $UserAssertion }
            $entry.Certificate = $ClientAssertionCertificate
            $token = Get-DefenderTokenFor -Entry $entry -Secrets $secrets -ReadCache $entry.ReadCache -Timeout $Timeout -Failure $failure
        }
        else {
            if ($entry.ReadCache) { $token = Get-DefenderCachedToken $entry.Handle $entry $failure }
            if ($null -eq $token -and $null -eq $failure.Record) {
                $entry.Certificate = $ClientAssertionCertificate
                $token = Get-DefenderTokenFor -Entry $entry -ReadCache $false -Timeout $Timeout -Failure $failure
            }
        }
    }
    if ($null -ne $failure.Record) {
        Stop-DefenderStatement $PSCmdlet $failure.Record
        return
    }
    New-DefenderTokenObject $token $AsSecureString
}
