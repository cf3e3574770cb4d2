# Signs an app in with a certificate that stays in an Azure Key Vault: the vault signs, and its key never leaves it. The managed identity of this place
# (a runbook, a Function, a virtual machine) reads the certificate and signs with its key: the roles Key Vault Certificate User and Key Vault Crypto User.
param(
    # The directory (tenant) ID.
    [Parameter(Mandatory)] [string] $TenantId,
    # The application (client) ID of the app that has the certificate.
    [Parameter(Mandatory)] [string] $ClientId,
    # The certificate's address: https://VAULT.vault.azure.net/certificates/NAME.
    [Parameter(Mandatory)] [uri] $Certificate
)

$ErrorActionPreference = 'Stop'
Import-Module DefenderXdr

$ask = {
    param([uri] $Address, [string] $Body)
    $token = Get-DefenderToken -ManagedIdentity -Resource https://vault.azure.net
    $call = @{ Uri = "$($Address)?api-version=7.4"; Headers = @{ Authorization = "Bearer $($token.AccessToken)" }; UseBasicParsing = $true }
    if ($Body) { $call += @{ Method = 'Post'; Body = $Body; ContentType = 'application/json' } }
    Invoke-RestMethod @call
}
$encode = { param([byte[]] $Bytes) [Convert]::ToBase64String($Bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_') }

# Run at each sign-in and renewal; the certificate is read each time, so that a new version of it counts.
$sign = {
    param($question)
    $version = & $ask $Certificate
    $sha256 = [Security.Cryptography.SHA256]::Create()
    $now = [DateTimeOffset]::UtcNow.ToUnixTimeSeconds()
    $header = @{ alg = 'PS256'; typ = 'JWT'; 'x5t#S256' = & $encode $sha256.ComputeHash([Convert]::FromBase64String($version.cer)) }
    $claims = @{ aud = $question.Audience; iss = $question.ClientId; sub = $question.ClientId; jti = "$([guid]::NewGuid())"; nbf = $now; exp = $now + 600 }
    $parts = foreach ($part in $header, $claims) { & $encode ([Text.Encoding]::UTF8.GetBytes((ConvertTo-Json $part -Compress))) }
    $digest = & $encode $sha256.ComputeHash([Text.Encoding]::ASCII.GetBytes($parts -join '.'))
    $signed = & $ask "$($version.kid)/sign" (ConvertTo-Json @{ alg = 'PS256'; value = $digest })
    "$($parts -join '.').$($signed.value)"
}.GetNewClosure()

Connect-Defender -TenantId $TenantId -ClientId $ClientId -ClientAssertion $sign -PassThru
