@{
    RootModule             = 'DefenderXdr.psm1'
    ModuleVersion          = '0.1.0'
    GUID                   = '3dc7c121-c92e-4dff-8853-ad9eeddad98d'
    Author                 = 'The defender-xdr authors'
    CompanyName            = 'The defender-xdr authors'
    Copyright              = '(c) The defender-xdr authors. MIT or Apache-2.0.'
    Description            = 'Signs in to Microsoft Entra ID and reads Microsoft Defender XDR, with a Get-ADALToken that takes the place of ADAL.PS. One native library, no .NET assemblies.'
    CompatiblePSEditions   = @('Desktop', 'Core')
    PowerShellVersion      = '5.1'
    DotNetFrameworkVersion = '4.7.2'
    FunctionsToExport      = @(
        'Clear-AdalTokenCache'
        'Connect-Defender'
        'ConvertFrom-DefenderToken'
        'Disconnect-Defender'
        'Get-AdalAuthenticationContext'
        'Get-ADALToken'
        'Get-DefenderContext'
        'Get-DefenderIncident'
        'Get-DefenderToken'
        'New-AdalClientCredential'
        'New-AdalUserIdentifier'
    )
    CmdletsToExport        = @()
    VariablesToExport      = @()
    AliasesToExport        = @()
    TypesToProcess         = @('DefenderXdr.Types.ps1xml')
    FormatsToProcess       = @('DefenderXdr.Format.ps1xml')
    FileList               = @(
        'DefenderXdr.psd1'
        'DefenderXdr.psm1'
        'DefenderXdr.Types.ps1xml'
        'DefenderXdr.Format.ps1xml'
        'Private/Adal.ps1'
        'Private/Certificate.ps1'
        'Private/Connection.ps1'
        'Private/Errors.ps1'
        'Private/Events.ps1'
        'Private/Grant.ps1'
        'Private/Incident.ps1'
        'Private/Json.ps1'
        'Private/Native.ps1'
        'Private/Token.ps1'
        'Public/Clear-AdalTokenCache.ps1'
        'Public/Connect-Defender.ps1'
        'Public/ConvertFrom-DefenderToken.ps1'
        'Public/Disconnect-Defender.ps1'
        'Public/Get-AdalAuthenticationContext.ps1'
        'Public/Get-ADALToken.ps1'
        'Public/Get-DefenderContext.ps1'
        'Public/Get-DefenderIncident.ps1'
        'Public/Get-DefenderToken.ps1'
        'Public/New-AdalClientCredential.ps1'
        'Public/New-AdalUserIdentifier.ps1'
        'en-US/about_DefenderXdr.help.txt'
    )
    PrivateData            = @{
        PSData = @{
            Tags = @('Defender', 'DefenderXDR', 'EntraID', 'ADAL', 'OAuth', 'Token', 'Security', 'PSEdition_Desktop', 'PSEdition_Core', 'Windows', 'Linux', 'MacOS')
        }
    }
}
