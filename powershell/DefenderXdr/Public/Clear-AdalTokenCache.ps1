function Clear-AdalTokenCache {
    <#
    .SYNOPSIS
    Forgets every token in the cache.

    .DESCRIPTION
    Empties the token cache that all runspaces of this process share, refresh tokens included: the next Get-ADALToken signs in again. The
    session at the sign-in page, which lives in the browser, is not touched.

    .EXAMPLE
    Clear-AdalTokenCache

    Forgets the tokens of this process.

    .EXAMPLE
    Clear-AdalTokenCache -WhatIf

    Says what would happen.

    .LINK
    Get-ADALToken
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([void])]
    param()

    if (-not $PSCmdlet.ShouldProcess('the token cache of this process', 'Clear')) { return }
    if (-not $script:Loaded) { Import-DefenderPrivate }
    $failure = @{ Record = $null }
    Clear-DefenderCache $failure
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
}
