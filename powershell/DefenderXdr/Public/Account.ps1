function Clear-DefenderTokenCache {
    <#
    .SYNOPSIS
    Forgets every token of every account.

    .DESCRIPTION
    Empties the token cache that this session uses, refresh tokens included, for all runspaces of the process; a cache on disk is emptied for all
    processes that use it. Calls under way end, but what they bring is not kept. The session at the sign-in page, which lives in the browser, is not
    touched. Remove-DefenderAccount forgets one account only.

    .PARAMETER TokenCache
    The name of a cache on disk, in place of the one that this session uses.

    .EXAMPLE
    Clear-DefenderTokenCache -WhatIf

    Says what would happen.

    .EXAMPLE
    Clear-DefenderTokenCache -TokenCache soc -Confirm:$false

    Empties the cache on disk of that name without asking.

    .LINK
    Remove-DefenderAccount
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType([void])]
    param(
        [Parameter(Position = 0)]
        [ValidateNotNullOrEmpty()]
        [string] $TokenCache
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    Use-DefenderPreference $PSCmdlet
    $name = if ($TokenCache) { "the token cache $TokenCache" } else { 'the token cache of this session' }
    if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } $name 'Forget every token of every account')) { return }
    $failure = @{ Record = $null }
    $before = $script:TokenCache
    try {
        if ($TokenCache) { Set-DefenderTokenCache $PSBoundParameters $failure }
        if ($null -eq $failure.Record) { Clear-DefenderCache $failure }
    }
    finally { $script:TokenCache = $before }
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
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
    The name of a cache on disk, in place of the one that this session uses.

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

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $TokenCache
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        Use-DefenderPreference $PSCmdlet
        if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } $Account 'Take the refresh token out of the token cache')) { return }
        $failure = @{ Record = $null }
        $before = $script:TokenCache
        try {
            if ($TokenCache) { Set-DefenderTokenCache $PSBoundParameters $failure }
            if ($null -eq $failure.Record) { $secret = Read-DefenderRefreshToken $Account $ClientId $failure }
        }
        finally { $script:TokenCache = $before }
        if ($null -ne $failure.Record) {
            $PSCmdlet.WriteError($failure.Record)
            return
        }
        Write-Warning "This is a refresh token of ${Account}: whoever has it can act as that person. Keep it as you would a password."
        $secret
    }
}

function Get-DefenderAccount {
    <#
    .SYNOPSIS
    Shows whose tokens are in the token cache.

    .DESCRIPTION
    Shows each account that is signed in: its user name, its IDs, the apps and the audiences it has tokens for, when the last of them expires, whether it
    has a refresh token, and whether any of that is on disk. No token is shown. To choose an account, give its user name to -LoginHint of
    Connect-Defender or Get-DefenderToken.

    .PARAMETER Username
    Shows only accounts whose user name is like this; wildcards are allowed.

    .PARAMETER TokenCache
    The name of a cache on disk, in place of the one that this session uses.

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
        [ValidateNotNullOrEmpty()]
        [string] $TokenCache
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    $failure = @{ Record = $null }
    $before = $script:TokenCache
    try {
        if ($TokenCache) { Set-DefenderTokenCache $PSBoundParameters $failure }
        if ($null -eq $failure.Record) { Get-DefenderAccountObject $failure | Where-Object { "$($_.Username)" -like $Username } }
    }
    finally { $script:TokenCache = $before }
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
}

function Remove-DefenderAccount {
    <#
    .SYNOPSIS
    Signs an account out: forgets its tokens.

    .DESCRIPTION
    Forgets the access and refresh tokens of one account, of every app, for all runspaces of the process, and on disk where the cache is there. Calls
    under way end, but what they bring is not kept. The session at the sign-in page, which lives in the browser, is not touched.

    .PARAMETER Account
    The user name or home account ID of the account, as Get-DefenderAccount shows them.

    .PARAMETER TokenCache
    The name of a cache on disk, in place of the one that this session uses.

    .EXAMPLE
    Remove-DefenderAccount adele@fabrikam.example

    Signs this account out.

    .EXAMPLE
    Get-DefenderAccount | Remove-DefenderAccount -WhatIf

    Says which accounts would be signed out.

    .LINK
    Get-DefenderAccount
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([void])]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [ValidateNotNullOrEmpty()]
        [Alias('HomeAccountId', 'Username')]
        [string] $Account,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $TokenCache
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        Use-DefenderPreference $PSCmdlet
        if (-not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } $Account 'Forget the tokens')) { return }
        $failure = @{ Record = $null }
        $before = $script:TokenCache
        try {
            if ($TokenCache) { Set-DefenderTokenCache $PSBoundParameters $failure }
            if ($null -eq $failure.Record) { Remove-DefenderCachedAccount $Account $failure }
        }
        finally { $script:TokenCache = $before }
        if ($null -ne $failure.Record) { $PSCmdlet.WriteError($failure.Record) }
    }
}
