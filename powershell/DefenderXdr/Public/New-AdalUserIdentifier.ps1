function New-AdalUserIdentifier {
    <#
    .SYNOPSIS
    Makes a user identifier, as ADAL.PS did.

    .DESCRIPTION
    Returns an object with Id and Type, for scripts that build one. Give both to Get-ADALToken: -UserId $user.Id -UserIdType $user.Type.
    Without an Id it stands for any user.

    .PARAMETER Id
    The user's object ID or user name.

    .PARAMETER Type
    UniqueId (0), OptionalDisplayableId (1) or RequiredDisplayableId (2).

    .EXAMPLE
    $user = New-AdalUserIdentifier 'adele@fabrikam.example' RequiredDisplayableId
    $user.Id

    Makes an identifier for a user who must be the one that signs in.

    .LINK
    Get-ADALToken
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Makes an object in memory.')]
    [CmdletBinding()]
    [OutputType('DefenderXdr.UserIdentifier')]
    param(
        [Parameter(Position = 0)]
        [string] $Id,

        [Parameter(Position = 1)]
        [ValidatePattern('^(UniqueId|OptionalDisplayableId|RequiredDisplayableId|[0-2])$')]
        [ArgumentCompleter({ param($command, $parameter, $word) 'UniqueId', 'OptionalDisplayableId', 'RequiredDisplayableId' -like "$word*" })]
        [string] $Type = 'OptionalDisplayableId'
    )

    $names = 'UniqueId', 'OptionalDisplayableId', 'RequiredDisplayableId'
    $name = if ($Type -match '^[0-2]$') { $names[[int] $Type] } else { @($names -eq $Type)[0] }
    # ADAL's AnyUser.
    if (-not $Id) { $Id = 'AnyUser'; $name = 'UniqueId' }
    $identifier = [pscustomobject]@{
        PSTypeName = 'Microsoft.IdentityModel.Clients.ActiveDirectory.UserIdentifier'
        Id         = $Id
        Type       = $name
    }
    $identifier.PSObject.TypeNames.Insert(0, 'DefenderXdr.UserIdentifier')
    $identifier.PSObject.Methods.Add([psscriptmethod]::new('ToString', { [string] $this.Id }))
    $identifier
}
