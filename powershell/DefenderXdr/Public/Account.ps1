function Clear-DefenderTokenCache {
    <#
    .SYNOPSIS
    Forgets every token of every account.

    .DESCRIPTION
    Empties the token cache that this session uses, refresh tokens included, for all runspaces of the process; a cache on disk is emptied for all
    processes that use it. Calls under way end, but what they bring is not kept. The session at the sign-in page, which lives in the browser, is not
    touched. Remove-DefenderAccount forgets one account only.

    A connection stays, and the next command signs in again for it where it can; Disconnect-Defender ends it.

    .PARAMETER TokenCache
    The name of a cache on disk, in place of the one that this session uses. Where none of that name is found, a warning says so.

    .PARAMETER PlainTextTokenCache
    The file of -TokenCache is not encrypted, as -PlainTextTokenCache of Connect-Defender made it.

    .EXAMPLE
    Clear-DefenderTokenCache -WhatIf

    Says what would happen.

    .EXAMPLE
    Clear-DefenderTokenCache -TokenCache soc -Confirm:$false

    Empties the cache on disk of that name without asking.

    .LINK
    Remove-DefenderAccount

    .LINK
    Disconnect-Defender
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType([void])]
    param(
        [Parameter(Position = 0)]
        [AllowEmptyString()]
        [string] $TokenCache,

        [Parameter()]
        [switch] $PlainTextTokenCache
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    Use-DefenderPreference $PSCmdlet
    $failure = @{ Record = $null }
    $cache = Get-DefenderCacheChoice $PSBoundParameters $script:TokenCache $failure
    if ($null -eq $failure.Record) {
        if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } (Format-DefenderCache $cache) 'Forget every token of every account')) { return }
        $seen = @{ Cache = $null }
        Clear-DefenderCache $failure $cache $seen
    }
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
    $missing = if ($PSBoundParameters.ContainsKey('TokenCache')) { Get-DefenderMissingCache $cache $seen }
    if ($missing) { Write-Warning $missing }
}

function Export-DefenderRefreshToken {
    <#
    .SYNOPSIS
    Takes a refresh token out of the token cache, for use in another place.

    .DESCRIPTION
    Whoever has a refresh token can act as the person until it is revoked or expires, without the password and perhaps without a second factor.
    Keep it as you would a password, and rather sign in where it is needed. The command asks first and warns each time. To bring a refresh token in,
    give it to Get-DefenderToken -RefreshToken or Connect-Defender -RefreshToken.

    .PARAMETER Account
    The user name or home account ID of the account, as Get-DefenderAccount shows them.

    .PARAMETER ClientId
    The application (client) ID that it was got for. Without it the account must be signed in to one app only.

    .PARAMETER TokenCache
    The name of a cache on disk, in place of the one that this session uses. An account that Get-DefenderAccount lists names its own.

    .PARAMETER PlainTextTokenCache
    The file of -TokenCache is not encrypted, as -PlainTextTokenCache of Connect-Defender made it.

    .EXAMPLE
    $secret = Export-DefenderRefreshToken adele@fabrikam.example

    Takes the refresh token out as a SecureString.

    .LINK
    Get-DefenderAccount
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType([securestring])]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipelineByPropertyName)]
        [ValidateNotNullOrEmpty()]
        [Alias('HomeAccountId', 'Username')]
        [string] $Account,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $ClientId,

        [Parameter(ValueFromPipelineByPropertyName)]
        [AllowEmptyString()]
        [string] $TokenCache,

        [Parameter(ValueFromPipelineByPropertyName)]
        [switch] $PlainTextTokenCache
    )
    begin { $named = $PSBoundParameters.ContainsKey('TokenCache') -or $PSBoundParameters.ContainsKey('PlainTextTokenCache') }

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        Use-DefenderPreference $PSCmdlet
        $failure = @{ Record = $null }
        $cache = Get-DefenderPipedCache $PSBoundParameters $named $failure
        if ($null -eq $failure.Record) {
            if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } (Format-DefenderAccount $Account $_) "Take the refresh token out of $(Format-DefenderCache $cache)")) { return }
            $secret = Read-DefenderRefreshToken $Account $ClientId $failure $cache
        }
        if ($null -ne $failure.Record) {
            $PSCmdlet.WriteError($failure.Record)
            return
        }
        Write-Warning "This is a refresh token of $(Format-DefenderAccount $Account $_): whoever has it can act as that person. Keep it as you would a password."
        $secret
    }
}

function Get-DefenderAccount {
    <#
    .SYNOPSIS
    Shows whose tokens are in the token cache.

    .DESCRIPTION
    Shows each account that is signed in. No token is shown, in no view and no property. To choose an account, give its user name to -LoginHint of
    Connect-Defender or Get-DefenderToken. An app's own tokens, which are no account's, are not among them.

    The objects are of the type DefenderXdr.Account, with these properties:

    Username, TenantId, UserId, HomeAccountId: who it is. TenantId is the account's own tenant, UserId its object ID there; HomeAccountId is the
    same in every tenant, and names the account where two have the same user name.
    Cloud: the address of the sign-in service.
    ClientIds: the IDs of the apps that it is signed in to.
    Audience: what there are access tokens for that have not expired: resources, or scopes.
    ExpiresOn: when the last of them expires; $null when there is none.
    HasRefreshToken: whether new tokens can be got without the person.
    OnDisk: whether any of it is in the file of the cache.
    TokenCache, PlainTextTokenCache: the cache on disk that was listed, as its name and switch; $null and $false for memory. Down the pipeline
    they tell Remove-DefenderAccount and Export-DefenderRefreshToken where the account is.

    .PARAMETER Username
    Shows only accounts whose user name is like this; wildcards are allowed.

    .PARAMETER TokenCache
    The name of a cache on disk, in place of the one that this session uses. Where none of that name is found, a warning says so.

    .PARAMETER PlainTextTokenCache
    The file of -TokenCache is not encrypted, as -PlainTextTokenCache of Connect-Defender made it.

    .EXAMPLE
    Get-DefenderAccount

    Shows who is signed in.

    .EXAMPLE
    Get-DefenderAccount *@fabrikam.example | Remove-DefenderAccount

    Signs all accounts of a domain out.

    .LINK
    Remove-DefenderAccount
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.Account')]
    param(
        [Parameter(Position = 0)]
        [SupportsWildcards()]
        [string] $Username = '*',

        [Parameter()]
        [AllowEmptyString()]
        [string] $TokenCache,

        [Parameter()]
        [switch] $PlainTextTokenCache
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    Use-DefenderPreference $PSCmdlet
    $failure = @{ Record = $null }
    $found = @()
    $cache = Get-DefenderCacheChoice $PSBoundParameters $script:TokenCache $failure
    $seen = @{ Cache = $null }
    if ($null -eq $failure.Record) { $found = @(Get-DefenderAccountObject $cache $failure $seen) }
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
    $missing = if ($PSBoundParameters.ContainsKey('TokenCache')) { Get-DefenderMissingCache $cache $seen }
    # What a disk did not take is in memory all the same.
    if ($missing -and $found.Count -eq 0) { Write-Warning $missing }
    foreach ($account in $found) { if ("$($account.Username)" -like $Username) { $account } }
}

function Remove-DefenderAccount {
    <#
    .SYNOPSIS
    Signs an account out: forgets its tokens.

    .DESCRIPTION
    Forgets the access and refresh tokens of one account, of every app, for all runspaces of the process, and on disk where the cache is there. Calls
    under way end, but what they bring is not kept. The session at the sign-in page, which lives in the browser, is not touched.

    A connection stays, and the next command signs in again for it where it can; Disconnect-Defender ends it.

    .PARAMETER Account
    The user name or home account ID of the account, as Get-DefenderAccount shows them.

    .PARAMETER TokenCache
    The name of a cache on disk, in place of the one that this session uses. An account that Get-DefenderAccount lists names its own.

    .PARAMETER PlainTextTokenCache
    The file of -TokenCache is not encrypted, as -PlainTextTokenCache of Connect-Defender made it.

    .EXAMPLE
    Remove-DefenderAccount adele@fabrikam.example

    Signs this account out.

    .EXAMPLE
    Get-DefenderAccount | Remove-DefenderAccount -WhatIf

    Says which accounts would be signed out.

    .LINK
    Get-DefenderAccount

    .LINK
    Disconnect-Defender
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([void])]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [ValidateNotNullOrEmpty()]
        [Alias('HomeAccountId', 'Username')]
        [string] $Account,

        [Parameter(ValueFromPipelineByPropertyName)]
        [AllowEmptyString()]
        [string] $TokenCache,

        [Parameter(ValueFromPipelineByPropertyName)]
        [switch] $PlainTextTokenCache
    )
    begin { $named = $PSBoundParameters.ContainsKey('TokenCache') -or $PSBoundParameters.ContainsKey('PlainTextTokenCache') }

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        Use-DefenderPreference $PSCmdlet
        $failure = @{ Record = $null }
        $cache = Get-DefenderPipedCache $PSBoundParameters $named $failure
        if ($null -eq $failure.Record) {
            if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } (Format-DefenderAccount $Account $_) "Forget the tokens in $(Format-DefenderCache $cache)")) { return }
            $seen = @{ Cache = $null }
            Remove-DefenderCachedAccount $Account $failure $cache $seen
            $missing = if ($PSBoundParameters.ContainsKey('TokenCache')) { Get-DefenderMissingCache $cache $seen }
            if ($missing -and $null -ne $failure.Record) { Add-DefenderHint $failure.Record $missing }
        }
        if ($null -ne $failure.Record) { $PSCmdlet.WriteError($failure.Record) }
    }
}
