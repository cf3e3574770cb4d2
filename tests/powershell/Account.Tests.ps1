# Get-DefenderAccount, Remove-DefenderAccount, Clear-DefenderTokenCache and Export-DefenderRefreshToken.

Describe 'a cache on disk that is not there' {
    It 'is told as such, and a look makes nothing' {
        # The emulator's tokens are never on disk.
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), "dxdr-$([guid]::NewGuid().ToString('n'))")
        $null = [IO.Directory]::CreateDirectory($folder)
        $result = @{ Out = '' }
        $name = 'sca-' + [guid]::NewGuid().ToString('n').Substring(0, 12)
        try {
            $result = Invoke-PowerShell @"
`$WarningPreference = 'SilentlyContinue'
`$null = Get-DefenderAccount -TokenCache $name-a -PlainTextTokenCache -WarningVariable said; "A: `$said"
try { Remove-DefenderAccount nobody@fabrikam.example -TokenCache $name-b -PlainTextTokenCache -ErrorAction Stop } catch { "B: `$(`$_.FullyQualifiedErrorId) `$(`$_.ErrorDetails.RecommendedAction)" }
Clear-DefenderTokenCache -TokenCache $name-c -PlainTextTokenCache -Confirm:`$false -WarningVariable said; "C: `$said"
Get-DefenderAccount -WarningVariable said; "D:`$said"
Clear-DefenderTokenCache -Confirm:`$false -WarningVariable said; "E:`$said"
"@ -Environment @{ DEFENDER_XDR_EMULATOR = ''; XDG_STATE_HOME = $folder }
            $missing = "no token cache $name-[abc] was found on disk \(.*${name}.*\): check the name given to -TokenCache"
            Assert-Match $result.Out "(?m)^A: .*$missing"
            Assert-Match $result.Out "(?m)^B: DefenderXdr\.ACCOUNT_NOT_FOUND.*$missing"
            Assert-Match $result.Out "(?m)^C: .*$missing"
            if ($result.Out -notmatch "\((?<file>[^()]*$name-a[^()]*)\)") { throw 'no file is named' }
            $place = Split-Path -Parent $Matches['file']
            Assert-Equal @(Get-ChildItem -LiteralPath $place -Filter "$name-*" -ErrorAction SilentlyContinue).Count 0
            # On Windows the folder is the user's own.
            if ($place.StartsWith($folder)) { Assert-Equal ([IO.Directory]::GetFileSystemEntries($folder).Length) 0 }
            # The one in memory is always there.
            Assert-Match $result.Out '(?m)^D:\r?$'
            Assert-Match $result.Out '(?m)^E:\r?$'
        }
        finally {
            if ($result.Out -match "\((?<file>[^()]*$name-a[^()]*)\)") { Get-ChildItem -LiteralPath (Split-Path -Parent $Matches['file']) -Filter "$name-*" -ErrorAction SilentlyContinue | Remove-Item }
            [IO.Directory]::Delete($folder, $true)
        }
    }
}

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
    It 'say in their help what becomes of the connection' {
        foreach ($name in 'Remove-DefenderAccount', 'Clear-DefenderTokenCache') { Assert-Match (Get-Help $name | Out-String -Width 300) 'A connection stays.*Disconnect-Defender ends it' }
        Assert-Match (Get-Help Disconnect-Defender | Out-String -Width 300) 'Clear-DefenderTokenCache forgets'
    }
    It 'forgets everything when told to' {
        $null = Get-DefenderToken @asAdele
        Clear-DefenderTokenCache -WhatIf
        Assert-Equal @(Get-DefenderAccount).Count 1
        Clear-DefenderTokenCache -Confirm:$false
        Assert-Equal @(Get-DefenderAccount).Count 0
    }
}
