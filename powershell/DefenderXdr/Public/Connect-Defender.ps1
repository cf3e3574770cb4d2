function Connect-Defender {
    <#
    .SYNOPSIS
    Connects this session to Microsoft Defender XDR.

    .DESCRIPTION
    Gets a token and keeps what is needed to renew it, so that Get-DefenderIncident, Get-DefenderToken and the other commands need no more
    arguments. With a client ID alone a person signs in; with a secret the app signs in without a user; a token from elsewhere serves until it
    expires. The module's own commands use the v2 endpoints.

    The connection belongs to this session and this import of the module. Disconnect-Defender forgets it.

    .PARAMETER ClientId
    The application (client) ID of the registered app.

    .PARAMETER TenantId
    The directory (tenant) ID or a domain of the tenant. The default is common, which a sign-in without a user cannot use.

    .PARAMETER Authority
    The address of the authority with the tenant, in place of -TenantId.

    .PARAMETER RedirectUri
    A redirect URI of the app, sent exactly as written. The default is http://localhost.

    .PARAMETER LoginHint
    The user name to suggest at the sign-in page.

    .PARAMETER ClientSecret
    The secret of a confidential client.

    .PARAMETER Credential
    The client ID as the user name and the secret as the password.

    .PARAMETER AccessToken
    A token from elsewhere: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Service
    The service the token is for: XDR (the default), Endpoint or Graph.

    .PARAMETER Resource
    The API the token is for, in place of -Service: its .default scope is asked for.

    .PARAMETER Scopes
    The scopes to ask for, in place of -Service or -Resource.

    .PARAMETER Timeout
    Seconds to wait for the token, sign-in included. The default is 300.

    .PARAMETER Force
    Gets a new token although a fresh one is in the cache.

    .PARAMETER PassThru
    Returns the connection's context.

    .EXAMPLE
    Connect-Defender -TenantId $tenantId -ClientId $clientId
    Get-DefenderIncident -First 5

    Signs in a user and shows the five newest incidents.

    .EXAMPLE
    $app = Get-Credential -Message 'client ID and secret'
    Connect-Defender -TenantId $tenantId -Credential $app -PassThru

    Connects an app without a user and shows the connection.

    .LINK
    Get-DefenderContext

    .LINK
    Disconnect-Defender
    #>
    [CmdletBinding(DefaultParameterSetName = 'User')]
    [OutputType('DefenderXdr.Context')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'User')]
        [Parameter(Mandatory, ParameterSetName = 'ClientSecret')]
        [string] $ClientId,

        [Parameter(ParameterSetName = 'User')]
        [Parameter(ParameterSetName = 'ClientSecret')]
        [Parameter(ParameterSetName = 'Credential')]
        [string] $TenantId,

        [Parameter(ParameterSetName = 'User')]
        [Parameter(ParameterSetName = 'ClientSecret')]
        [Parameter(ParameterSetName = 'Credential')]
        [string] $Authority,

        [Parameter(ParameterSetName = 'User')]
        [uri] $RedirectUri = 'http://localhost',

        [Parameter(ParameterSetName = 'User')]
        [string] $LoginHint,

        [Parameter(Mandatory, ParameterSetName = 'ClientSecret')]
        [securestring] $ClientSecret,

        [Parameter(Mandatory, ParameterSetName = 'Credential')]
        [pscredential] $Credential,

        [Parameter(Mandatory, ParameterSetName = 'AccessToken')]
        [ValidateNotNull()]
        [object] $AccessToken,

        [Parameter(ParameterSetName = 'User')]
        [Parameter(ParameterSetName = 'ClientSecret')]
        [Parameter(ParameterSetName = 'Credential')]
        [ValidateSet('XDR', 'Endpoint', 'Graph')]
        [string] $Service = 'XDR',

        [Parameter(ParameterSetName = 'User')]
        [Parameter(ParameterSetName = 'ClientSecret')]
        [Parameter(ParameterSetName = 'Credential')]
        [string] $Resource,

        [Parameter(ParameterSetName = 'User')]
        [Parameter(ParameterSetName = 'ClientSecret')]
        [Parameter(ParameterSetName = 'Credential')]
        [string[]] $Scopes,

        [Parameter()]
        [ValidateRange(1, 86400)]
        [int] $Timeout = 300,

        [Parameter(ParameterSetName = 'User')]
        [Parameter(ParameterSetName = 'ClientSecret')]
        [Parameter(ParameterSetName = 'Credential')]
        [switch] $Force,

        [Parameter()]
        [switch] $PassThru
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    $kind = $PSCmdlet.ParameterSetName
    $failure = @{ Record = $null }
    $given = @('Service', 'Resource', 'Scopes' | Where-Object { $PSBoundParameters.ContainsKey($_) })
    if ($given.Count -gt 1) {
        $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-$($given -join ' and -') cannot be given together" -Hint 'Give one of -Service, -Resource and -Scopes.'
        $PSCmdlet.ThrowTerminatingError($record)
    }

    $document = [ordered]@{}
    $secretName = $null
    $secret = $null
    if ($kind -eq 'AccessToken') {
        $document.grant = 'access_token'
        $secretName = 'access_token'
        $secret = Get-DefenderTokenSecret $AccessToken
        if ($null -eq $secret) {
            $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-AccessToken holds no token' -Hint 'Give the token as text, as a SecureString, or the object of Get-ADALToken.'
            $PSCmdlet.ThrowTerminatingError($record)
        }
    }
    else {
        if ($PSBoundParameters.ContainsKey('Authority')) { $document.authority = $Authority }
        elseif ($PSBoundParameters.ContainsKey('TenantId')) { $document.tenant_id = $TenantId }
        $document.client_id = if ($kind -eq 'Credential') { $Credential.UserName } else { $ClientId }
        $document.scopes = Get-DefenderScope -Service $Service -Resource $Resource -Scopes $Scopes
        if ($kind -eq 'User') {
            $document.grant = 'authorization_code'
            $document.redirect_uri = $RedirectUri.OriginalString
            $document.interactive = Test-DefenderInteractive
            if ($LoginHint) { $document.user = [ordered]@{ id = $LoginHint; type = 'optional_displayable_id' } }
        }
        else {
            $document.grant = 'client_credentials'
            $secretName = 'client_secret'
            $secret = if ($kind -eq 'Credential') { $Credential.Password } else { $ClientSecret }
        }
    }

    Open-DefenderConnection -Document $document -SecretName $secretName -Secret $secret -Renew:$Force -Timeout $Timeout -Failure $failure
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
    if ($PassThru) { Get-DefenderContextObject }
}
