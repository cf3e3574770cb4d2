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
