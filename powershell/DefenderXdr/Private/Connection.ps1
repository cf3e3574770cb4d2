# The module's connection: what Connect-Defender made and the other commands use.

function script:Get-DefenderConnection {
    # The connection, or a failure that names Connect-Defender.
    param([hashtable] $Failure)
    if ($null -ne $script:Connection -and -not (Test-DefenderTarget)) { Initialize-DefenderClient $Failure }
    if ($null -ne $Failure.Record) { return }
    if ($null -eq $script:Connection) {
        $Failure.Record = New-DefenderErrorRecord -Name 'NOT_CONNECTED' -Message 'there is no connection to Microsoft Defender XDR in this session' `
            -Hint 'Run Connect-Defender first.'
        return
    }
    $script:Connection
}

function script:Format-DefenderConnection {
    # The connection by its account or app, and its tenant, for warnings.
    $context = Get-DefenderContextObject
    $name = if ($context.User) { $context.User } elseif ($context.ClientId) { "app $($context.ClientId)" } else { $context.Grant }
    Format-DefenderText "$name$(if ($context.TenantId) { " in tenant $($context.TenantId)" })"
}

function script:Get-DefenderConnectionToken {
    # The connection's token: the cached one while it is fresh, else a new one.
    param([switch] $Force, [int] $Timeout, [hashtable] $Failure)
    $connection = Get-DefenderConnection $Failure
    if ($null -ne $Failure.Record) { return }
    if (-not $Force) { return Get-DefenderTokenFor -Entry $connection.Entry -ReadCache $true -Timeout $Timeout -Failure $Failure }
    if ($connection.Renewal.Handle -eq [System.IntPtr]::Zero) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'this connection was made with an access token, which cannot be renewed' `
            -Hint 'Run Connect-Defender again with a newer token, or sign in with -ClientId.'
        return
    }
    Get-DefenderTokenFor -Entry $connection.Renewal -ReadCache $false -Timeout $Timeout -Failure $Failure
}

function script:Get-DefenderSiblingPlan {
    # The connection's sign-in for another service, resource or set of scopes: the same app, account, way and cache.
    param([System.Collections.IDictionary] $Given, [hashtable] $Failure)
    $connection = Get-DefenderConnection $Failure
    if ($null -ne $Failure.Record) { return }
    $own = $connection.Plan
    if ($own.Document.grant -eq 'access_token') {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'this connection was made with an access token, which is for one service and brings no other' `
            -Hint 'Connect with a way to sign in, or give one here, such as -ClientId.'
        return
    }
    $target = @('Service', 'Resource', 'Scopes' | Where-Object { $Given.ContainsKey($_) })
    if ($target.Count -gt 1) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-$($target -join ' and -') cannot be given together" -Hint 'Give one of -Service, -Resource and -Scopes.'
        return
    }
    Test-DefenderAudience $Given $Failure
    if ($null -ne $Failure.Record) { return }
    $document = [ordered]@{}
    foreach ($name in $own.Document.Keys) { $document[$name] = $own.Document[$name] }
    # The person has signed in; the other audience comes of that.
    $document.Remove('prompt')
    if ($target.Count -gt 0) {
        $document.scopes = Get-DefenderScope -Service ([string] $Given['Service']) -Resource ([string] $Given['Resource']) -Scopes $Given['Scopes'] -Cloud $own.Cloud
        if ($null -eq $document.scopes) {
            $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "the service $($Given['Service']) is not known in the cloud $($own.Cloud)" -Hint 'Give -Resource or -Scopes with what its token is for.'
            return
        }
    }
    if ($Given['Claims']) { $document.claims = [string] $Given['Claims'] }
    $plan = $own.Clone()
    $plan.Document = $document
    $plan.Anew = [bool] $Given['Force']
    $plan
}

function script:Copy-DefenderSecret {
    # Secrets that a connection keeps for its other audiences: copies, which the caller cannot clear, and never as plain text.
    param([System.Collections.IDictionary] $Secrets)
    $kept = @{}
    foreach ($name in $Secrets.Keys) { $kept[$name] = $(if ($Secrets[$name] -is [securestring]) { $Secrets[$name].Copy() } else { ConvertTo-DefenderSecureString ([string] $Secrets[$name]) }) }
    $kept
}

function script:Get-DefenderCacheChoice {
    # The cache that a command names, as the JSON of a client's configuration; else the default. The library checks the name.
    param([System.Collections.IDictionary] $Given, [string] $Default, [hashtable] $Failure)
    if ($Given.Keys -contains 'TokenCache') {
        if ([string]::IsNullOrWhiteSpace($Given['TokenCache'])) {
            $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-TokenCache is empty' `
                -Hint 'Give -TokenCache the name of a cache, such as soc, or leave it out. Check that the variable is spelt as it was set: an unset variable is empty.'
            return
        }
        $cache = [ordered]@{ name = [string] $Given['TokenCache']; persist = $true; plain_text = [bool] $Given['PlainTextTokenCache'] }
        # Who has said of the session's cache that it is plain text need not say so again.
        if ($Given.Keys -notcontains 'PlainTextTokenCache' -and $Default -and (ConvertFrom-DefenderDocument $Default)['name'] -eq $cache.name) { return $Default }
        return ConvertTo-DefenderJson $cache
    }
    if ($Given['PlainTextTokenCache']) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-PlainTextTokenCache goes with -TokenCache only' `
            -Hint 'Name the cache with -TokenCache, or remove -PlainTextTokenCache.'
        return
    }
    $Default
}

function script:Get-DefenderPipedCache {
    # The same for a command that takes accounts down the pipeline: an account names the cache that it was listed from, and none is memory.
    # $Named says whether the caller named one for all of them.
    param([System.Collections.IDictionary] $Given, [bool] $Named, [hashtable] $Failure)
    if (-not $Named -and $Given.Keys -contains 'TokenCache') {
        if (-not $Given['TokenCache']) { return '' }
        return ConvertTo-DefenderJson ([ordered]@{ name = $Given['TokenCache']; persist = $true; plain_text = [bool] $Given['PlainTextTokenCache'] })
    }
    Get-DefenderCacheChoice $Given $script:TokenCache $Failure
}

function script:Format-DefenderCache {
    # A cache by its name, for questions and warnings.
    param([string] $Cache)
    if (-not $Cache) { return 'the token cache of this process' }
    "the token cache $(Format-DefenderText (ConvertFrom-DefenderDocument $Cache)['name'])"
}

function script:Get-DefenderContextObject {
    # What the connection is, without any token.
    $connection = $script:Connection
    $token = Get-DefenderCachedToken $connection.Entry.Handle $connection.Entry @{ Record = $null }
    if ($null -eq $token -and $null -ne $connection.Entry.Value) {
        # One that the cache would still give was signed out, here or elsewhere. A token that was brought is no part of the cache.
        $expires = $connection.Entry.About.ExpiresOn
        if ($connection.Renewal.Handle -ne [System.IntPtr]::Zero -and ($null -eq $expires -or $expires -gt [System.DateTimeOffset]::UtcNow.AddMinutes(6))) {
            $connection.Entry.Value = $null
            $connection.Entry.About = $null
        }
        else { $token = $connection.Entry }
    }
    $about = @{ TenantId = $connection.Who.TenantId; Authority = $connection.Who.Authority; ExpiresOn = $null; Account = $connection.Who.Account; Scopes = [string[]]@() }
    $summary = @{}
    if ($null -ne $token) {
        $about = $token.About
        $reading = Read-DefenderClaims ([System.Text.Encoding]::UTF8.GetBytes($token.Value)) @{ Record = $null }
        if ($reading) { $summary = (ConvertFrom-DefenderDocument $reading)['summary'] }
    }
    $request = Get-DefenderRequestDescription $connection.Entry.Handle
    $grant = $request['grant']
    # Which way was found.
    if ($grant -in 'automatic', 'environment' -and $about['Grant'] -and $about['Grant'] -ne $grant) { $grant = "$grant ($($about['Grant'].Replace('_', ' ')))" }
    $permissions = Get-DefenderList $summary 'permissions'
    if ($permissions.Length -eq 0) { $permissions = $about.Scopes }
    $audience = Get-DefenderFirst ((Get-DefenderList $summary 'audience') -join ', ') $request['resource'] ((Get-DefenderList $request 'scopes') -join ' ')
    [pscustomobject]@{
        PSTypeName      = 'DefenderXdr.Context'
        TenantId        = Get-DefenderFirst $about.TenantId $summary['tenant_id'] $request['tenant_id']
        ClientId        = Get-DefenderFirst $request['client_id'] $summary['app_id']
        User            = Get-DefenderFirst $about.Account $summary['user']
        Audience        = $audience
        Permissions     = $permissions
        ExpiresOn       = $about.ExpiresOn
        Grant           = $grant
        Authority       = Get-DefenderFirst $about.Authority $request['authority']
        RedirectUri     = $request['redirect_uri']
        TokenCache      = $(if ($connection.Cache) { (ConvertFrom-DefenderDocument $connection.Cache)['name'] })
        AdminConsentUri = $request['admin_consent_uri']
        Emulator        = (Get-DefenderClientDescription)['emulator']
    }
}

function script:Get-DefenderFirst {
    # The first of the values that is not empty.
    foreach ($value in $args) { if ($value) { return $value } }
}

function script:Get-DefenderTokenSecret {
    # A token as the caller gave it, ready for Set-DefenderSecret: text or a SecureString. Get-AzAccessToken calls it Token.
    param([object] $Token)
    if ($Token -isnot [string] -and $Token -isnot [securestring]) {
        $held = Get-DefenderValue $Token 'AccessToken'
        if ($null -eq $held) { $held = Get-DefenderValue $Token 'Token' }
        $Token = $held
    }
    if ($Token -is [string]) {
        $Token = $Token.Trim()
        if ($Token -match '^Bearer\s+(?<token>.+)$') { $Token = $Matches['token'] }
        if ($Token -eq '') { return }
        return $Token
    }
    if ($Token -is [securestring] -and $Token.Length -gt 0) { $Token }
}
