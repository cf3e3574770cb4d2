# What Get-ADALToken's parameters mean to the library.

function script:New-AdalRequest {
    # Checks the arguments, prepares the request and remembers it under its key.
    param(
        [string] $Kind, [string] $Key, [string] $TenantId, [object] $Authority, [string] $Resource, [string] $ClientId, [uri] $RedirectUri,
        [string] $PromptBehavior, [string] $UserId, [string] $UserIdType, [string] $ExtraQuery, [hashtable] $Failure
    )
    if ([string]::IsNullOrWhiteSpace($ClientId)) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-ClientId is empty' `
            -Hint 'Give the application (client) ID. The published walk-through passes $cleintId, a misspelling of $clientId: correct it in the Get-ADALToken line.'
        return
    }
    $missing = switch -Wildcard ($Kind) {
        'ClientAssertionCertificate' { 'a certificate (-ClientAssertionCertificate)'; break }
        '*-AuthorizationCode' { 'redeeming an authorization code (-AuthorizationCode)'; break }
        '*-OnBehalfOf' { 'on behalf of a user (-UserAssertion)'; break }
    }
    if ($missing) {
        $Failure.Record = New-DefenderErrorRecord -Name 'UNSUPPORTED' -Code 1006 -Message "this version cannot get a token with $missing yet" `
            -Hint 'Use -ClientSecret for an app without a user, or sign in with -RedirectUri.'
        return
    }
    $redirect = if ($null -ne $RedirectUri) { $RedirectUri.OriginalString } else { '' }
    if ($Kind -eq 'Implicit' -and -not $redirect) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-RedirectUri is empty' `
            -Hint 'Give a redirect URI that is registered for the app, such as http://localhost.'
        return
    }

    Initialize-DefenderClient $Failure
    if ($null -ne $Failure.Record) { return }
    $document = [ordered]@{}
    if ($null -ne $Authority) { $document.authority = $Authority }
    else { $document.tenant_id = $TenantId }
    $document.client_id = $ClientId
    $document.resource = $Resource
    $readCache = $true
    if ($Kind -eq 'ClientSecret') { $document.grant = 'client_credentials' }
    else {
        $document.grant = 'authorization_code'
        $document.interactive = Test-DefenderInteractive
        $document.redirect_uri = $redirect
        switch -Regex ($PromptBehavior) {
            '^(Always|1)$' { $document.cache = 'skip'; $document.prompt = 'login'; $readCache = $false; break }
            '^(Never|2)$' { $document.cache = 'only'; break }
            '^(RefreshSession|3)$' { $document.cache = 'skip'; $document.prompt = 'refresh_session'; $readCache = $false; break }
            '^(SelectAccount|4)$' { $document.cache = 'skip'; $document.prompt = 'select_account'; $readCache = $false; break }
        }
        if ($UserId) {
            $type = switch -Regex ($UserIdType) {
                '^(UniqueId|0)$' { 'unique_id'; break }
                '^(RequiredDisplayableId|2)$' { 'required_displayable_id'; break }
                default { 'optional_displayable_id' }
            }
            $document.user = [ordered]@{ id = $UserId; type = $type }
        }
        # ADAL dropped a leading ampersand, and its scripts give the domain hint here; the library has a key of its own for it.
        $pairs = [string[]]@($ExtraQuery.TrimStart('&').Split('&'))
        $hints = [string[]]@($pairs -match '^domain_hint=.')
        if ($hints.Length -eq 1) {
            $document.domain_hint = [uri]::UnescapeDataString($hints[0].Substring(12).Replace('+', ' '))
            $pairs = [string[]]@($pairs -notmatch '^domain_hint=.')
        }
        if ($pairs.Length -gt 0 -and $pairs[0]) { $document.extra_query = $pairs -join '&' }
    }
    $json = [System.Text.Encoding]::UTF8.GetBytes((ConvertTo-DefenderJson $document))
    $handle = [System.IntPtr]::Zero
    if ($Kind -ne 'ClientSecret') {
        $handle = New-DefenderRequest -Json $json -Failure $Failure
        if ($null -ne $Failure.Record) { return }
    }
    $entry = Add-DefenderRequest -Key $Key -Handle $handle -Json $json
    $entry.ReadCache = $readCache
    $entry
}
