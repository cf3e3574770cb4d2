# Get-DefenderAccount, Remove-DefenderAccount, Clear-DefenderTokenCache and Export-DefenderRefreshToken.

if ($null -eq $Emulator) { return }

$adele = 'adele@fabrikam.example'
$asAdele = @{
    TenantId   = $Emulator.tenant_id
    ClientId   = $Emulator.public_client_id
    Credential = [pscredential]::new($adele, (New-Secret 'Walk-through-1'))
}

Describe 'accounts' {
    It 'shows who is signed in and to what, without a token' {
        Reset-Emulator
        Clear-DefenderTokenCache -Confirm:$false
        Assert-Equal @(Get-DefenderAccount).Count 0
        $token = Get-DefenderToken @asAdele
        $account = @(Get-DefenderAccount)
        Assert-Equal $account.Count 1
        Assert-Equal $account[0].Username $adele
        Assert-Equal $account[0].HasRefreshToken $true
        Assert-Equal $account[0].OnDisk $false
        Assert-Equal $account[0].ClientIds @($Emulator.public_client_id)
        Assert-Equal $account[0].TenantId $Emulator.tenant_id
        Assert-True ($account[0].Audience.Length -eq 1)
        Assert-True (-not ($account | ConvertTo-Json -Depth 5).Contains($token.AccessToken))
        Assert-Equal @(Get-DefenderAccount '*@contoso.example').Count 0
        Assert-Equal @(Get-DefenderAccount 'ADELE*').Count 1
    }
    It 'takes a refresh token out with a warning, as a SecureString, and -WhatIf takes none' {
        Assert-Equal @(Export-DefenderRefreshToken $adele -WhatIf).Count 0
        $secret = Export-DefenderRefreshToken $adele -Confirm:$false -WarningVariable said -WarningAction SilentlyContinue
        Assert-True ($secret -is [securestring] -and $secret.Length -gt 100)
        Assert-Match "$said" 'refresh token of adele'
        $null = Assert-Fails { Export-DefenderRefreshToken nobody@fabrikam.example -Confirm:$false -ErrorAction Stop } ACCOUNT_NOT_FOUND ObjectNotFound
    }
    It 'signs an account out, down the pipeline too, and says when there is none' {
        Get-DefenderAccount | Remove-DefenderAccount -WhatIf
        Assert-Equal @(Get-DefenderAccount).Count 1
        Get-DefenderAccount | Remove-DefenderAccount
        Assert-Equal @(Get-DefenderAccount).Count 0
        $null = Assert-Fails { Remove-DefenderAccount $adele -ErrorAction Stop } ACCOUNT_NOT_FOUND ObjectNotFound
    }
    It 'forgets everything when told to' {
        $null = Get-DefenderToken @asAdele
        Clear-DefenderTokenCache -WhatIf
        Assert-Equal @(Get-DefenderAccount).Count 1
        Clear-DefenderTokenCache -Confirm:$false
        Assert-Equal @(Get-DefenderAccount).Count 0
    }
}
