function Disconnect-Defender {
    <#
    .SYNOPSIS
    Forgets the connection of Connect-Defender.

    .DESCRIPTION
    Frees the connection and the secret it held. Tokens stay in the cache of this process, so connecting again needs no new sign-in;
    Clear-AdalTokenCache forgets those too. Without a connection it does nothing.

    .EXAMPLE
    Disconnect-Defender

    Ends the connection.

    .LINK
    Connect-Defender
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([void])]
    param()

    if ($null -eq $script:Connection) { return }
    if ($PSCmdlet.ShouldProcess('the connection to Microsoft Defender XDR', 'Forget')) { Close-DefenderConnection }
}
