# Certificates that prove an app. Their private keys stay where .NET or the system keeps them: the library asks for each signature.

function script:Set-DefenderCertificate {
    # Puts the certificate that the parameters name into a plan.
    param([string] $Method, [System.Collections.IDictionary] $Given, [hashtable] $Plan, [System.Management.Automation.PSCmdlet] $Caller, [hashtable] $Failure)
    $credential = [ordered]@{ type = 'certificate' }
    switch ($Method) {
        'CertificatePath' {
            $credential.path = $Caller.GetUnresolvedProviderPathFromPSPath($Given.CertificatePath)
            if ($Given.Contains('CertificatePassword')) { $Plan.Secrets.certificate_password = $Given.CertificatePassword }
            break
        }
        'Certificate' {
            $Plan.Certificate = $Given.Certificate -as [System.Security.Cryptography.X509Certificates.X509Certificate2]
            if ($Given.Certificate -is [string] -or $null -eq $Plan.Certificate) {
                $text = if ($Given.Certificate -is [string]) { Format-DefenderText $Given.Certificate.Trim() }
                # Somebody may give the file's content, private key and all: only what names a certificate is repeated.
                $shown = if ($text -match '^([0-9A-Fa-f]{40}|CN=.{1,200})$') { "the text '$text'" } elseif ($Given.Certificate -is [string]) { 'a text' } else { "a $($Given.Certificate.GetType().Name)" }
                $hint = if ($text -match '^[0-9A-Fa-f]{40}$') { 'For a thumbprint give -CertificateThumbprint.' }
                elseif ($text -match '^CN=') { 'For a subject give -CertificateSubject.' }
                else { 'For a PFX or PEM file give -CertificatePath, with -CertificatePassword if it has one; a certificate of the store is Get-Item Cert:\CurrentUser\My\<thumbprint>.' }
                $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-Certificate is not a certificate but $shown" -Hint $hint
                return
            }
            break
        }
        default {
            $found = Find-DefenderCertificate $Method ([string] $Given[$Method]) $Failure
            if ($null -ne $Failure.Record) { return }
            if (Test-DefenderWindows) {
                # The library uses the store's key itself, and looks a subject up again when the certificate has been renewed.
                $credential.store = $found.Location
                $credential[$Method.Substring(11).ToLowerInvariant()] = [string] $Given[$Method]
            }
            else { $Plan.Certificate = $found.Certificate }
        }
    }
    if ($null -ne $Failure.Record) { return }
    if ($null -ne $Plan.Certificate) {
        Test-DefenderCertificate $Plan.Certificate $Failure
        if ($null -ne $Failure.Record) { return }
        $credential.caller_signs = [System.Convert]::ToBase64String($Plan.Certificate.RawData)
    }
    if ($Given['SendX5c']) { $credential.send_x5c = $true }
    $Plan.Document.credential = $credential
}

function script:Test-DefenderCertificate {
    # Refuses a certificate that cannot sign. The library looks at its kind of key, the key's size and its dates.
    param([System.Security.Cryptography.X509Certificates.X509Certificate2] $Certificate, [hashtable] $Failure)
    if ($Certificate.Handle -eq [System.IntPtr]::Zero) {
        $Failure.Record = New-DefenderErrorRecord -Name 'CERTIFICATE' -Code 10004 -Message 'the certificate is empty' -Hint 'Load it from a file or from the certificate store, with its private key.'
    }
    elseif (-not $Certificate.HasPrivateKey) {
        $Failure.Record = New-DefenderErrorRecord -Name 'PRIVATE_KEY' -Code 10005 -Message "the certificate $($Certificate.Thumbprint) has no private key here" `
            -Hint 'Load it with its private key (a PFX file, or the store of the account that runs this), not the .cer that was uploaded to the app registration.'
    }
}

function script:Find-DefenderCertificate {
    # @{ Certificate; Location }: the one of a thumbprint or subject that is valid longest and has its private key, in the stores My of the user
    # and the machine.
    param([string] $Method, [string] $Wanted, [hashtable] $Failure)
    $thumbprint = ($Wanted -replace '[^0-9A-Fa-f]', '').ToUpperInvariant()
    $found = $null
    $outcome = @{ Name = 'CERTIFICATE'; Code = 10004; Message = "no certificate with the $($Method.Substring(11).ToLowerInvariant()) '$Wanted' is in the store My of this user or machine"
        Hint = 'Check it with your certificate tool, or give -CertificatePath or -Certificate.' }
    $now = [DateTime]::Now
    foreach ($location in 'CurrentUser', 'LocalMachine') {
        $store = [System.Security.Cryptography.X509Certificates.X509Store]::new('My', $location)
        try {
            # On Linux and macOS the machine has no such store.
            try { $store.Open('ReadOnly, OpenExistingOnly') } catch { $global:Error.RemoveAt(0); continue }
            foreach ($certificate in $store.Certificates) {
                $fits = if ($Method -eq 'CertificateThumbprint') { $certificate.Thumbprint -eq $thumbprint }
                else { $certificate.Subject -eq $Wanted -or $certificate.GetNameInfo('SimpleName', $false) -eq $Wanted }
                if (-not $fits) { continue }
                if (-not $certificate.HasPrivateKey) { $outcome.Name = 'PRIVATE_KEY'; $outcome.Code = 10005; $outcome.Message = "the certificate $($certificate.Thumbprint) has no private key in the store" }
                elseif ($null -eq $found -or ($certificate.NotBefore -le $now -and $certificate.NotAfter -gt $found.Certificate.NotAfter)) { $found = @{ Certificate = $certificate; Location = $location } }
            }
        }
        finally { $store.Dispose() }
    }
    if ($null -eq $found) { $Failure.Record = New-DefenderErrorRecord @outcome }
    $found
}

function script:Invoke-DefenderSign {
    # Answers the event sign: signs with the certificate's private key, which need not be exportable.
    param([System.IntPtr] $Operation, [object] $Notice, [hashtable] $Progress, [hashtable] $Failure)
    $certificate = if ($null -ne $Progress.Entry) { $Progress.Entry['Certificate'] }
    if ($null -eq $certificate) {
        $Failure.Record = New-DefenderErrorRecord -Name 'PRIVATE_KEY' -Code 10005 -Message 'the library asked for a signature, and this call has no certificate' -Hint 'Give the certificate again.'
        return
    }
    $algorithm = [string] $Notice['algorithm']
    try {
        $text = ([string] $Notice['data']).Replace('-', '+').Replace('_', '/')
        $data = [System.Convert]::FromBase64String($text.PadRight($text.Length + (4 - $text.Length % 4) % 4, '='))
        # GetRSAPrivateKey serves CNG keys too, also in Windows PowerShell, where PrivateKey does not.
        $key = [System.Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPrivateKey($certificate)
        try {
            $padding = if ($algorithm -eq 'PS256') { [System.Security.Cryptography.RSASignaturePadding]::Pss } else { [System.Security.Cryptography.RSASignaturePadding]::Pkcs1 }
            $signature = $key.SignData($data, [System.Security.Cryptography.HashAlgorithmName]::SHA256, $padding)
        }
        finally { if ($null -ne $key) { $key.Dispose() } }
    }
    catch {
        $global:Error.RemoveAt(0)
        $Failure.Record = New-DefenderErrorRecord -Name 'PRIVATE_KEY' -Code 10005 `
            -Message "the private key of the certificate $($certificate.Thumbprint) could not sign ($algorithm): $(Format-DefenderText $_.Exception.GetBaseException().Message)" `
            -Hint 'Check that this account may use the key. A key of an old provider (CAPI) cannot make PS256: import the certificate again into the Microsoft Software Key Storage Provider.'
        return
    }
    Send-DefenderReply -Operation $Operation -EventId $Notice['id'] -Reply ([System.Convert]::ToBase64String($signature).TrimEnd('=').Replace('+', '-').Replace('/', '_')) -Failure $Failure
}
