function ConvertFrom-DefenderToken {
    <#
    .SYNOPSIS
    Shows what an access token holds: who, which app, for which service, with which permissions, until when.

    .DESCRIPTION
    Decodes the token on this machine, without the network. The signature is not verified: that is for the service the token is meant for. Use
    it to see whether the token holds the permissions a call needs, in place of pasting a live token into a website.

    .PARAMETER Token
    The token as text or SecureString, or an object with an AccessToken, such as the one of Get-ADALToken.

    .EXAMPLE
    Get-DefenderToken | ConvertFrom-DefenderToken

    Explains the connection's token.

    .EXAMPLE
    $claims = $response.AccessToken | ConvertFrom-DefenderToken
    $claims.Permissions -contains 'Incident.Read.All'

    Checks for a permission.

    .EXAMPLE
    ($response | ConvertFrom-DefenderToken).Claims

    Shows every claim as it was sent.

    .LINK
    Get-ADALToken
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.TokenClaims')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline)]
        [Alias('AccessToken')]
        [AllowEmptyString()]
        [object] $Token
    )

    process {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        $failure = @{ Record = $null }
        $bytes = Get-DefenderTokenText $Token
        if ($null -eq $bytes) {
            $failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-Token is neither text, a SecureString nor an object with an AccessToken' `
                -Hint 'Give the AccessToken of Get-ADALToken or Get-DefenderToken.'
        }
        $reading = $null
        if ($null -eq $failure.Record) {
            Initialize-DefenderNative $failure
            if ($null -eq $failure.Record) { $reading = Read-DefenderClaims $bytes $failure }
            [System.Array]::Clear($bytes, 0, $bytes.Length)
        }
        if ($null -ne $failure.Record) { $PSCmdlet.WriteError($failure.Record) }
        else { ConvertTo-DefenderTokenClaims $reading }
    }
}
