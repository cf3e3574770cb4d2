# Accounts in the token cache.

function script:Get-DefenderAccountObject {
    # Whose tokens the session's cache holds, as objects.
    param([hashtable] $Failure)
    Initialize-DefenderClient $Failure
    if ($null -ne $Failure.Record) { return }
    $buffer = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_client_accounts($script:Client, [ref] $buffer, [ref] $detail)
    if ($status -ne 0) {
        $Failure.Record = Read-DefenderFailure $status $detail
        return
    }
    $document = ConvertFrom-DefenderDocument (Read-DefenderBuffer $buffer)
    foreach ($account in @($document['accounts'])) {
        $audiences = [System.Collections.Generic.List[string]]::new()
        $last = $null
        foreach ($token in @($account['tokens'])) {
            $name = if ($token['resource']) { $token['resource'] } else { (Get-DefenderList $token 'scopes') -join ' ' }
            if (-not $audiences.Contains($name)) { $audiences.Add($name) }
            if ($null -eq $last -or $token['expires_on'] -gt $last) { $last = $token['expires_on'] }
        }
        [pscustomobject]@{
            PSTypeName      = 'DefenderXdr.Account'
            Username        = $account['username']
            HasRefreshToken = [bool] $account['has_refresh_token']
            OnDisk          = [bool] $account['persisted']
            ExpiresOn       = if ($null -ne $last) { [System.DateTimeOffset]::FromUnixTimeSeconds($last) } else { $null }
            Audience        = [string[]] $audiences.ToArray()
            ClientIds       = Get-DefenderList $account 'client_ids'
            TenantId        = $account['tenant_id']
            UserId          = $account['user_id']
            HomeAccountId   = $account['home_account_id']
            Cloud           = $account['cloud']
        }
    }
}

function script:Remove-DefenderCachedAccount {
    # Signs an account out.
    param([string] $Account, [hashtable] $Failure)
    Initialize-DefenderClient $Failure
    if ($null -ne $Failure.Record) { return }
    $bytes = [System.Text.Encoding]::UTF8.GetBytes($Account)
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_client_remove_account($script:Client, $bytes, [System.UIntPtr]::new([uint64] $bytes.Length), [ref] $detail)
    if ($status -ne 0) {
        $Failure.Record = Read-DefenderFailure $status $detail
        return
    }
    foreach ($key in @($script:MsalAccounts.Keys)) {
        $known = $script:MsalAccounts[$key]
        if ($key.EndsWith("`0$Account", [System.StringComparison]::OrdinalIgnoreCase) -or $known.Username -eq $Account) { $script:MsalAccounts.Remove($key) }
    }
}

function script:Read-DefenderRefreshToken {
    # An account's refresh token as a SecureString, which alone is left of it.
    param([string] $Account, [string] $ClientId, [hashtable] $Failure)
    Initialize-DefenderClient $Failure
    if ($null -ne $Failure.Record) { return }
    $who = [System.Text.Encoding]::UTF8.GetBytes($Account)
    $app = [System.Text.Encoding]::UTF8.GetBytes($ClientId)
    $buffer = [System.IntPtr]::Zero
    $detail = [System.IntPtr]::Zero
    $status = $script:Native::dxdr_client_export_refresh_token($script:Client, $who, [System.UIntPtr]::new([uint64] $who.Length), $app,
        [System.UIntPtr]::new([uint64] $app.Length), [ref] $buffer, [ref] $detail)
    if ($status -ne 0) {
        $Failure.Record = Read-DefenderFailure $status $detail
        return
    }
    $data = [System.IntPtr]::Zero
    $length = [System.UIntPtr]::Zero
    $bytes = $null
    try {
        $null = $script:Native::dxdr_buf_get($buffer, [ref] $data, [ref] $length)
        $bytes = [byte[]]::new($length.ToUInt64())
        [System.Runtime.InteropServices.Marshal]::Copy($data, $bytes, 0, $bytes.Length)
        $secure = [securestring]::new()
        # A refresh token is ASCII (RFC 6749 appendix A.17).
        foreach ($byte in $bytes) { $secure.AppendChar([char] $byte) }
        $secure.MakeReadOnly()
        $secure
    }
    finally {
        if ($null -ne $bytes) { [System.Array]::Clear($bytes, 0, $bytes.Length) }
        $null = $script:Native::dxdr_buf_free($buffer)
    }
}
