# Accounts in the token cache.

function script:Get-DefenderAccountObject {
    # Whose tokens a cache holds, as objects.
    param([string] $Cache, [hashtable] $Failure, [hashtable] $Seen)
    $accounts = @(Read-DefenderAccountList $Failure $Cache $Seen)
    if ($null -ne $Failure.Record) { return }
    $chosen = @{}
    if ($Cache) { $chosen = ConvertFrom-DefenderDocument $Cache }
    foreach ($account in $accounts) {
        $audiences = [System.Collections.Generic.List[string]]::new()
        $last = $null
        foreach ($token in @($account['tokens'])) {
            $name = if ($token['resource']) { $token['resource'] } else { (Get-DefenderList $token 'scopes') -join ' ' }
            if ($name -and -not $audiences.Contains($name)) { $audiences.Add($name) }
            if ($null -eq $last -or $token['expires_on'] -gt $last) { $last = $token['expires_on'] }
        }
        [pscustomobject]@{
            PSTypeName          = 'DefenderXdr.Account'
            Username            = $account['username']
            HasRefreshToken     = [bool] $account['has_refresh_token']
            OnDisk              = [bool] $account['persisted']
            ExpiresOn           = if ($null -ne $last) { [System.DateTimeOffset]::FromUnixTimeSeconds($last) } else { $null }
            Audience            = [string[]] $audiences.ToArray()
            ClientIds           = Get-DefenderList $account 'client_ids'
            TenantId            = $account['tenant_id']
            UserId              = $account['user_id']
            HomeAccountId       = $account['home_account_id']
            Cloud               = $account['cloud']
            TokenCache          = $chosen['name']
            PlainTextTokenCache = [bool] $chosen['plain_text']
        }
    }
}

function script:Get-DefenderMissingCache {
    # Says that there is no file of a cache on disk which the caller named, or nothing.
    param([string] $Cache, [hashtable] $Seen)
    if (-not $Cache -or $null -eq $Seen.Cache -or $null -eq $Seen.Cache['cache_file'] -or $Seen.Cache['found']) { return }
    Format-DefenderText "no token cache $((ConvertFrom-DefenderDocument $Cache)['name']) was found on disk ($($Seen.Cache['cache_file'])): check the name given to -TokenCache"
}

function script:Format-DefenderAccount {
    # An account for questions and warnings: an object that came down the pipeline is named by its IDs, which tell a person little.
    param([string] $Account, [object] $Piped)
    $name = $Account
    if ($null -ne $Piped -and (Get-DefenderValue $Piped 'HomeAccountId') -eq $Account) { $name = Get-DefenderFirst (Get-DefenderValue $Piped 'Username') $Account }
    Format-DefenderText $name
}
