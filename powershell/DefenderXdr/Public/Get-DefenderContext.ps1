function Get-DefenderContext {
    <#
    .SYNOPSIS
    Shows the connection of this session.

    .DESCRIPTION
    Shows the tenant, app, user, audience and permissions of the connection, when its token expires, and the address an administrator opens to
    consent to the app. It never shows or gets a token. Without a connection it returns nothing.

    .EXAMPLE
    Get-DefenderContext

    Shows the connection.

    .EXAMPLE
    if (-not (Get-DefenderContext)) { Connect-Defender -TenantId $tenantId -ClientId $clientId }

    Connects unless there is a connection.

    .LINK
    Connect-Defender
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.Context')]
    param()

    if ($null -eq $script:Connection -or -not (Test-DefenderTarget)) {
        Write-Verbose 'There is no connection. Connect-Defender makes one.'
        return
    }
    Get-DefenderContextObject
}
