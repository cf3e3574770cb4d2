@{
    RootModule             = 'DefenderXdr.psm1'
    ModuleVersion          = '0.1.0'
    GUID                   = '3dc7c121-c92e-4dff-8853-ad9eeddad98d'
    Author                 = 'The defender-xdr authors'
    CompanyName            = 'The defender-xdr authors'
    Copyright              = '(c) The defender-xdr authors. MIT or Apache-2.0.'
    Description            = 'Signs in to Microsoft Entra ID and reads Microsoft Defender XDR, with a Get-ADALToken and a Get-MsalToken that take the place of ADAL.PS and MSAL.PS. One native library, no .NET assemblies.'
    CompatiblePSEditions   = @('Desktop', 'Core')
    PowerShellVersion      = '5.1'
    DotNetFrameworkVersion = '4.7.2'
    FunctionsToExport      = @(
        'Add-MsalClientApplication'
        'Clear-AdalTokenCache'
        'Clear-MsalTokenCache'
        'Connect-Defender'
        'ConvertFrom-DefenderToken'
        'Disconnect-Defender'
        'Enable-MsalTokenCacheOnDisk'
        'Get-AdalAuthenticationContext'
        'Get-ADALToken'
        'Get-DefenderContext'
        'Get-DefenderIncident'
        'Get-DefenderToken'
        'Get-MsalAccount'
        'Get-MsalClientApplication'
        'Get-MsalFeatureSupport'
        'Get-MsalToken'
        'Invoke-DefenderHunting'
        'Invoke-DefenderRequest'
        'New-AdalClientCredential'
        'New-AdalUserIdentifier'
        'New-MsalClientApplication'
        'Remove-MsalClientApplication'
        'Select-MsalClientApplication'
        'Set-DefenderIncident'
        'Watch-DefenderIncident'
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
        'Private/Call.ps1'
        'Private/Certificate.ps1'
        'Private/Connection.ps1'
        'Private/Errors.ps1'
        'Private/Events.ps1'
        'Private/Grant.ps1'
        'Private/Hunting.ps1'
        'Private/Incident.ps1'
        'Private/Json.ps1'
        'Private/Msal.ps1'
        'Private/Native.ps1'
        'Private/Request.ps1'
        'Private/Token.ps1'
        'Public/Adal.ps1'
        'Public/Claims.ps1'
        'Public/Connection.ps1'
        'Public/Hunting.ps1'
        'Public/Incident.ps1'
        'Public/Msal.ps1'
        'Public/Request.ps1'
        'en-US/about_DefenderXdr.help.txt'
    )
    PrivateData            = @{
        PSData = @{
            Tags = @('Defender', 'DefenderXDR', 'EntraID', 'ADAL', 'MSAL', 'OAuth', 'Token', 'Security', 'PSEdition_Desktop', 'PSEdition_Core', 'Windows', 'Linux', 'MacOS')
        }
    }
}
