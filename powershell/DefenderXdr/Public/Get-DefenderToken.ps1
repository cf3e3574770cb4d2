function Get-DefenderToken {
    <#
    .SYNOPSIS
    Gets the access token of the connection.

    .DESCRIPTION
    Returns the cached token while it is fresh, and renews it otherwise. The object is the one of Get-ADALToken with the account, scopes and
    source added; its default view hides the token.

    .PARAMETER AsSecureString
    Returns AccessToken as a SecureString.

    .PARAMETER Force
    Gets a new token although the cached one is fresh. A connection of a user goes through the sign-in page again.

    .PARAMETER Timeout
    Seconds to wait for the token, sign-in included. The default is 300.

    .EXAMPLE
    $token = Get-DefenderToken
    $token.ExpiresOn

    Gets the token and shows when it expires.

    .EXAMPLE
    Get-DefenderToken | ConvertFrom-DefenderToken

    Shows what the token holds.

    .LINK
    Connect-Defender
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.Token')]
    param(
        [Parameter()]
        [switch] $AsSecureString,

        [Parameter()]
        [switch] $Force,

        [Parameter()]
        [ValidateRange(1, 86400)]
        [int] $Timeout = 300
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    $failure = @{ Record = $null }
    $token = Get-DefenderConnectionToken -Force:$Force -Timeout $Timeout -Failure $failure
    if ($null -ne $failure.Record) { $PSCmdlet.ThrowTerminatingError($failure.Record) }
    New-DefenderTokenObject $token $AsSecureString -Extended
}
