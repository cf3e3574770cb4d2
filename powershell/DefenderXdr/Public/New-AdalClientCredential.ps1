function New-AdalClientCredential {
    <#
    .SYNOPSIS
    Makes a client credential, as ADAL.PS did.

    .DESCRIPTION
    Returns an object with ClientId and ClientSecret or ClientAssertionCertificate. Give its parts to Get-ADALToken or Connect-Defender:
    -ClientId $app.ClientId -ClientSecret $app.ClientSecret. A credential from Get-Credential (the client ID as the user name, the secret as the
    password) may be piped in; with ADAL.PS that also asked for -ClientId.

    .PARAMETER InputObject
    A PSCredential or NetworkCredential, or a client ID.

    .PARAMETER ClientId
    The application (client) ID.

    .PARAMETER ClientSecret
    The app's secret.

    .PARAMETER ClientAssertionCertificate
    The app's certificate, with its private key.

    .EXAMPLE
    $app = Get-Credential -Message 'client ID and secret' | New-AdalClientCredential
    $token = Get-ADALToken -Resource 'https://api.security.microsoft.com' -TenantId $tenantId -ClientId $app.ClientId -ClientSecret $app.ClientSecret

    Asks for an app's ID and secret and gets a token with them.

    .LINK
    Get-ADALToken
    #>
    [System.Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseShouldProcessForStateChangingFunctions', '', Justification = 'Makes an object in memory.')]
    [CmdletBinding(DefaultParameterSetName = 'ClientId')]
    [OutputType('DefenderXdr.ClientCredential')]
    param(
        [Parameter(Mandatory, ValueFromPipeline, ParameterSetName = 'InputObject', Position = 1)]
        [object] $InputObject,

        [Parameter(Mandatory, ParameterSetName = 'ClientId', Position = 1)]
        [Parameter(Mandatory, ParameterSetName = 'ClientSecret', Position = 1)]
        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate', Position = 1)]
        [Parameter(ParameterSetName = 'InputObject')]
        [string] $ClientId,

        [Parameter(Mandatory, ParameterSetName = 'ClientSecret', Position = 2)]
        [securestring] $ClientSecret,

        [Parameter(Mandatory, ParameterSetName = 'ClientAssertionCertificate', Position = 2)]
        [System.Security.Cryptography.X509Certificates.X509Certificate2] $ClientAssertionCertificate
    )

    process {
        $id = $ClientId
        $secret = $ClientSecret
        if ($PSCmdlet.ParameterSetName -eq 'InputObject') {
            if ($InputObject -is [pscredential]) {
                if (-not $id) { $id = $InputObject.UserName }
                $secret = $InputObject.Password
            }
            elseif ($InputObject -is [System.Net.NetworkCredential]) {
                if (-not $id) { $id = $InputObject.UserName }
                $secret = $InputObject.SecurePassword
            }
            elseif (-not $id) { $id = [string] $InputObject }
        }
        if ($null -eq $secret -and $null -eq $ClientAssertionCertificate) {
            if (-not $script:Loaded) { Import-DefenderPrivate }
            $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'a client credential needs a secret or a certificate' `
                -Hint 'Give -ClientSecret or -ClientAssertionCertificate, or pipe in a credential from Get-Credential.'
            $PSCmdlet.ThrowTerminatingError($record)
        }
        [pscustomobject]@{
            PSTypeName                 = 'DefenderXdr.ClientCredential'
            ClientId                   = $id
            ClientSecret               = $secret
            ClientAssertionCertificate = $ClientAssertionCertificate
        }
    }
}
