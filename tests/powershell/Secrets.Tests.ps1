# What must never be seen: tokens in views and streams, secrets anywhere.

if ($null -eq $Emulator) { return }

Describe 'a token' {
    It 'is hidden in every default view, in text and in containers' {
        Reset-Emulator
        $token = Get-ADALToken @UserArguments
        $secrets = $token.AccessToken, $token.IdToken
        Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.public_client_id -Timeout 30
        $own = Get-DefenderToken
        foreach ($shown in $token, $own) {
            $planted = @($shown.AccessToken, $shown.IdToken | Where-Object { $_ })
            $views = [ordered]@{
                default       = $shown | Out-String -Width 4000
                list          = $shown | Format-List | Out-String -Width 4000
                table         = $shown | Format-Table | Out-String -Width 4000
                wide          = $shown | Format-Wide | Out-String -Width 4000
                text          = "$shown"
                ToString      = $shown.ToString()
                joined        = @($shown, $shown) -join ','
                format        = '{0}' -f $shown
                afterText     = & { [pscustomobject]@{ a = 1 }; $shown } | Out-String -Width 4000
                afterList     = & { Get-DefenderContext; $shown; Get-Date } | Out-String -Width 4000
                inProperty    = [pscustomobject]@{ Token = $shown; Tokens = @($shown) } | Out-String -Width 4000
                inHashtable   = @{ Token = $shown } | Out-String -Width 4000
                host          = & { Write-Host $shown } 6>&1 | Out-String -Width 4000
                context       = Get-DefenderContext | Format-List * | Out-String -Width 4000
                deserialized  = [Management.Automation.PSSerializer]::Deserialize([Management.Automation.PSSerializer]::Serialize($shown)) | Out-String -Width 4000
            }
            foreach ($view in $views.Keys) { Assert-NoSecret $views[$view] $planted "the view '$view'" }
            Assert-Match $views.default "hidden, $($shown.AccessToken.Length) characters"
        }
        Assert-Equal $secrets.Count 2
    }
    It 'is shown where ADAL.PS showed it' {
        $token = Get-ADALToken @AppArguments
        Assert-Match ($token | Format-List -Property * | Out-String -Width 4000) ([regex]::Escape($token.AccessToken))
        Assert-Match (ConvertTo-Json $token -Depth 3) ([regex]::Escape($token.AccessToken))
    }
    It 'given to a command stays out of its error record, and so does a secret' {
        Reset-Emulator
        $planted = 'eyJ0eXAiOiJKV1QifQ.Y2FuYXJ5LWNhbmFyeS1jYW5hcnk.c2lnbmF0dXJl'
        $record = Assert-Fails { Get-DefenderIncident -AccessToken $planted -First 1 }
        Assert-NoSecret (Get-DeepText $record) $planted 'the error record'
        $record = Assert-Fails { Connect-Defender -AccessToken $planted -Service XDR }
        $arguments = $AppArguments.Clone()
        $arguments.ClientSecret = New-Secret 'canary-wrong-secret-0123456789'
        $record = Assert-Fails { Get-ADALToken @arguments } BAD_SECRET
        Assert-NoSecret (Get-DeepText $record) 'canary-wrong-secret-0123456789' 'the error record'
    }
}

Describe 'a whole session' {
    It 'leaves no secret, code or token in its streams, its transcript and its errors' {
        Reset-Emulator
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N'))
        $null = [IO.Directory]::CreateDirectory($folder)
        try {
            $script = "
`$VerbosePreference = 'Continue'; `$DebugPreference = 'Continue'; `$WarningPreference = 'Continue'; `$InformationPreference = 'Continue'
`$global:VerbosePreference = 'Continue'
`$null = Start-Transcript -Path '$folder/transcript.txt'
`$secret = [securestring]::new(); [IO.File]::ReadAllText('$folder/secret.txt').ToCharArray() | ForEach-Object { `$secret.AppendChar(`$_) }
`$wrong = [securestring]::new(); 'canary-wrong-secret-0123456789'.ToCharArray() | ForEach-Object { `$wrong.AppendChar(`$_) }
`$user = Get-ADALToken -Resource $Resource -ClientId $($Emulator.public_client_id) -TenantId $($Emulator.tenant_id) -RedirectUri http://localhost -Timeout 30
`$user
`$app = Get-ADALToken -Resource $Resource -ClientId $($Emulator.confidential_client_id) -TenantId $($Emulator.tenant_id) -ClientSecret `$secret
`$app
Get-ADALToken -Resource $Resource -ClientId $($Emulator.confidential_client_id) -TenantId $($Emulator.tenant_id) -ClientSecret `$wrong
Connect-Defender -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.public_client_id) -LoginHint diego@fabrikam.example -Timeout 30 -PassThru
`$own = Get-DefenderToken -Force -Timeout 30
`$own
Get-DefenderIncident -First 2
Get-DefenderIncident -AccessToken `$user -First 1
`$user | ConvertFrom-DefenderToken
Get-DefenderIncident -Filter 'nonsense'
Get-DefenderIncident -Id 1
`$Error | ForEach-Object { `$_ | Format-List * -Force | Out-String; if (Get-Command Get-Error -ErrorAction Ignore) { `$_ | Get-Error | Out-String } }
`$null = Stop-Transcript
[IO.File]::WriteAllLines('$folder/planted.txt', [string[]]@(`$user.AccessToken, `$user.IdToken, `$app.AccessToken, `$own.AccessToken))
"
            [IO.File]::WriteAllText([IO.Path]::Combine($folder, 'secret.txt'), $RunbookSecretText)
            $result = Invoke-PowerShell $script
            $planted = @([IO.File]::ReadAllLines([IO.Path]::Combine($folder, 'planted.txt')))
            Assert-Equal $planted.Count 4 $result.Err
            $codes = @(Get-EmulatorRequest '/token' | ForEach-Object { $_.form } | ForEach-Object { foreach ($name in 'code', 'code_verifier', 'refresh_token') { if ($null -ne $_.PSObject.Properties[$name]) { $_.$name } } })
            Assert-True ($codes.Count -ge 4) "only $($codes.Count) codes and verifiers were seen"
            $all = $planted + $codes + $RunbookSecretText + 'canary-wrong-secret-0123456789'
            Assert-NoSecret $result.Out $all 'the output'
            Assert-NoSecret $result.Err $all 'the error output'
            $transcript = [IO.File]::ReadAllText([IO.Path]::Combine($folder, 'transcript.txt'))
            Assert-Match $transcript 'hidden, \d+ characters'
            Assert-NoSecret $transcript $all 'the transcript'
            Assert-Match ($result.Out + $result.Err) 'Opening a browser'
        }
        finally { [IO.Directory]::Delete($folder, $true) }
    }
}
