# Tokens as objects. Views, ToString() and error records never show a token.

# The objects' methods. They are added to each object, because scripts in a types file cost every import more than the calls together.
$script:TokenMethods = @(
    [psscriptmethod]::new('CreateAuthorizationHeader', {
            $token = $this.AccessToken
            if ($token -is [securestring]) { $token = [System.Net.NetworkCredential]::new('', $token).Password }
            $name = if ($null -ne $this.PSObject.Properties['TokenType']) { 'TokenType' } else { 'AccessTokenType' }
            "$($this.$name) $token"
        })
    [psscriptmethod]::new('ToString', {
            $until = if ($this.ExpiresOn -is [System.DateTimeOffset]) { ', until ' + $this.ExpiresOn.ToString('u', [System.Globalization.CultureInfo]::InvariantCulture) }
            "DefenderXdr.Token (hidden, $($this.AccessToken.Length) characters$until)"
        })
)
$script:UserInfoToString = [psscriptmethod]::new('ToString', { [string] $this.DisplayableId })

function script:ConvertTo-DefenderTokenAbout {
    # What is known of a token besides its text, ready for New-DefenderTokenObject.
    param([System.Collections.IDictionary] $Description, [string] $IdToken, [object] $ExpiresOn)
    if ($null -eq $Description) { $Description = @{} }
    $user = $Description['user']
    if ($null -eq $user) { $user = @{} }
    $passwordExpires = $user['password_expires_on']
    $passwordUrl = $null
    if ($user['password_change_url']) { $null = [uri]::TryCreate($user['password_change_url'], [System.UriKind]::Absolute, [ref] $passwordUrl) }
    $type = $Description['token_type']
    $about = @{
        TokenType     = if ($type) { $type } else { 'Bearer' }
        ExpiresOn     = if ($null -ne $ExpiresOn) { [System.DateTimeOffset]::FromUnixTimeSeconds($ExpiresOn) } else { $null }
        TenantId      = $Description['tenant_id']
        IdToken       = if ($IdToken) { $IdToken } else { $null }
        Authority     = $Description['authority']
        ClientId      = $Description['client_id']
        Resource      = $Description['resource']
        Scopes        = Get-DefenderList $Description 'scopes'
        MissingScopes = Get-DefenderList $Description 'missing_scopes'
        Grant         = $Description['grant']
        Source        = $Description['source']
        CorrelationId = $Description['correlation_id']
        Account       = $user['username']
        HomeAccountId = $user['home_account_id']
        UserInfo      = [pscustomobject]@{
            PSTypeName        = 'DefenderXdr.UserInfo'
            UniqueId          = $user['unique_id']
            DisplayableId     = $user['displayable_id']
            GivenName         = $user['given_name']
            FamilyName        = $user['family_name']
            PasswordExpiresOn = if ($null -ne $passwordExpires) { [System.DateTimeOffset]::FromUnixTimeSeconds($passwordExpires) } else { $null }
            PasswordChangeUrl = $passwordUrl
            IdentityProvider  = $user['identity_provider']
        }
    }
    foreach ($pair in @('ExtendedExpiresOn', 'extended_expires_on'), @('RefreshOn', 'refresh_on')) {
        $about[$pair[0]] = if ($null -ne $Description[$pair[1]]) { [System.DateTimeOffset]::FromUnixTimeSeconds($Description[$pair[1]]) } else { $null }
    }
    $about.UserInfo.PSObject.Methods.Add($script:UserInfoToString)
    $about
}

function script:New-DefenderTokenObject {
    # A DefenderXdr.Token with the members of ADAL's AuthenticationResult, in its order. -Extended adds what the module's own commands show.
    # The object of a token is built once and copied for each caller.
    param([hashtable] $Token, [bool] $AsSecureString, [switch] $Extended)
    $about = $Token.About
    $model = if ($Extended) { 'ExtendedModel' } else { 'Model' }
    if ($null -eq $about[$model]) {
        $members = [ordered]@{
            PSTypeName            = 'Microsoft.IdentityModel.Clients.ActiveDirectory.AuthenticationResult'
            AccessTokenType       = $about.TokenType
            AccessToken           = $Token.Value
            ExpiresOn             = $about.ExpiresOn
            ExtendedLifeTimeToken = $false
            TenantId              = $about.TenantId
            UserInfo              = $about.UserInfo
            IdToken               = $about.IdToken
            Authority             = $about.Authority
        }
        if ($Extended) { foreach ($name in 'Account', 'ClientId', 'Resource', 'Scopes', 'MissingScopes', 'Source', 'CorrelationId') { $members[$name] = $about[$name] } }
        $built = [pscustomobject] $members
        $built.PSObject.TypeNames.Insert(0, 'DefenderXdr.Token')
        foreach ($method in $script:TokenMethods) { $built.PSObject.Methods.Add($method) }
        $about[$model] = $built
    }
    $object = $about[$model].PSObject.Copy()
    $object.UserInfo = $about.UserInfo.PSObject.Copy()
    if ($AsSecureString) { $object.AccessToken = ConvertTo-DefenderSecureString $Token.Value }
    $object
}

function script:ConvertTo-DefenderSecureString {
    param([string] $Text)
    $secure = [securestring]::new()
    foreach ($character in $Text.ToCharArray()) { $secure.AppendChar($character) }
    $secure.MakeReadOnly()
    $secure
}

function script:Get-DefenderTokenText {
    # The bytes of a token given as text, a SecureString, or an object with an AccessToken; nothing when it is none of these.
    param([object] $Token)
    if ($null -eq $Token) { return }
    if ($Token -isnot [string] -and $Token -isnot [securestring]) { $Token = Get-DefenderValue $Token 'AccessToken' }
    $characters = $null
    if ($Token -is [string]) { $characters = $Token.ToCharArray() }
    elseif ($Token -is [securestring]) {
        $bstr = [System.Runtime.InteropServices.Marshal]::SecureStringToBSTR($Token)
        try {
            $characters = [char[]]::new($Token.Length)
            [System.Runtime.InteropServices.Marshal]::Copy($bstr, $characters, 0, $characters.Length)
        }
        finally { [System.Runtime.InteropServices.Marshal]::ZeroFreeBSTR($bstr) }
    }
    if ($null -eq $characters) { return }
    # A header's value is accepted as well as the bare token.
    $start = 0
    $end = $characters.Length
    while ($start -lt $end -and [char]::IsWhiteSpace($characters[$start])) { $start++ }
    while ($end -gt $start -and [char]::IsWhiteSpace($characters[$end - 1])) { $end-- }
    if ($end - $start -gt 7 -and [string]::new($characters, $start, 7) -eq 'Bearer ') { $start += 7 }
    $bytes = [System.Text.Encoding]::UTF8.GetBytes($characters, $start, $end - $start)
    [System.Array]::Clear($characters, 0, $characters.Length)
    , $bytes
}

function script:ConvertTo-DefenderTokenClaims {
    # The text is the library's reading of a token, which has every key it has ever had.
    param([string] $Text)
    $reading = $null
    if ($null -eq $script:JsonEngine) { Initialize-DefenderJsonEngine }
    if ($script:JsonEngine -and $Text -cnotmatch $script:JsonChanged) {
        $fault = $null
        $reading = $script:JsonEngine::ConvertFromJson($Text, $false, 1024, [ref] $fault)
    }
    if ($null -eq $reading) { $reading = ConvertFrom-DefenderJson $Text }
    $summary = $reading.summary
    $signature = $reading.signature
    # Unix seconds as DateTimeOffset; nothing for a number no date can hold.
    $times = $summary.issued_at, $summary.not_before, $summary.expires_at
    for ($index = 0; $index -lt 3; $index++) {
        $seconds = $times[$index]
        $times[$index] = $null
        if ($seconds -is [long] -and $seconds -ge -62135596800 -and $seconds -le 253402300799) { $times[$index] = [System.DateTimeOffset]::FromUnixTimeSeconds($seconds) }
    }
    [pscustomobject]@{
        PSTypeName            = 'DefenderXdr.TokenClaims'
        Kind                  = $reading.kind
        State                 = $summary.state
        User                  = $summary.user
        Name                  = $summary.name
        ObjectId              = $summary.object_id
        AppId                 = $summary.app_id
        AppName               = $summary.app_name
        TenantId              = $summary.tenant_id
        Issuer                = $summary.issuer
        Audience              = [string[]] $summary.audience
        Service               = $summary.service
        PermissionKind        = $summary.permission_kind
        Permissions           = [string[]] $summary.permissions
        IssuedAt              = $times[0]
        NotBefore             = $times[1]
        ExpiresOn             = $times[2]
        AuthenticationMethods = [string[]] $summary.authentication_methods
        AppAuthentication     = $summary.app_authentication
        Mfa                   = $summary.mfa
        ContinuousAccess      = $summary.continuous_access_evaluation
        Version               = $summary.version
        SignaturePresent      = $signature.present
        SignatureVerified     = $signature.verified
        Notes                 = [string[]] $reading.notes
        Header                = $reading.header
        Claims                = $reading.claims
    }
}
