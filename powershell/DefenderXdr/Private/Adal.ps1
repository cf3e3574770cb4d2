# What Get-ADALToken's parameters mean to the library.

function script:New-AdalRequest {
    # Checks the arguments, prepares the request and remembers it under its key.
    param(
        [string] $Kind, [string] $Key, [string] $TenantId, [object] $Authority, [string] $Resource, [string] $ClientId, [uri] $RedirectUri,
        [string] $PromptBehavior, [string] $UserId, [string] $UserIdType, [string] $ExtraQuery,
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $Certificate, [string] $Cache, [hashtable] $Failure
    )
    if ([string]::IsNullOrWhiteSpace($ClientId)) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-ClientId is empty' `
            -Hint 'Give the application (client) ID. The published walk-through passes $cleintId, a misspelling of $clientId: correct it in the Get-ADALToken line.'
        return
    }
    $redirect = if ($null -ne $RedirectUri) { $RedirectUri.OriginalString } else { '' }
    if (($Kind -eq 'Implicit' -or $Kind -like '*-AuthorizationCode') -and -not $redirect) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-RedirectUri is empty' `
            -Hint 'Give a redirect URI that is registered for the app, such as http://localhost.'
        return
    }

    Initialize-DefenderClient $Failure $null $Cache
    if ($null -ne $Failure.Record) { return }
    $document = [ordered]@{}
    if ($null -ne $Authority) { $document.authority = $Authority }
    else { $document.tenant_id = $TenantId }
    $document.client_id = $ClientId
    $document.resource = $Resource
    $readCache = $true
    if ($Kind -like 'ClientAssertionCertificate*') {
        $document.credential = [ordered]@{ type = 'certificate'; caller_signs = [System.Convert]::ToBase64String($Certificate.RawData) }
    }
    elseif ($Kind -ne 'Implicit') { $document.credential = [ordered]@{ type = 'client_secret' } }
    if ($Kind -like '*-OnBehalfOf') { $document.grant = 'on_behalf_of' }
    elseif ($Kind -like '*-AuthorizationCode') {
        # A code is for one use: ADAL never looked into its cache for it.
        $document.grant = 'authorization_code'
        $document.redirect_uri = $redirect
        $document.cache = 'skip'
        $readCache = $false
    }
    elseif ($Kind -ne 'Implicit') { $document.grant = 'client_credentials' }
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
    # A request with a secret is made anew for each call.
    if ($Kind -in 'Implicit', 'ClientAssertionCertificate') {
        $handle = New-DefenderRequest -Json $json -Failure $Failure
        if ($null -ne $Failure.Record) { return }
    }
    $entry = Add-DefenderRequest -Key $Key -Handle $handle -Json $json
    $entry.ReadCache = $readCache
    $entry
}
