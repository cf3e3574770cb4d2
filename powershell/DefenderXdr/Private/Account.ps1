# Accounts in the token cache.

function script:Get-DefenderAccountObject {
    # Whose tokens the session's cache holds, as objects.
    param([hashtable] $Failure)
    Initialize-DefenderClient $Failure
    if ($null -ne $Failure.Record) { return }
    $document = Read-DefenderAccountList $Failure
    if ($null -ne $Failure.Record) { return }
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
