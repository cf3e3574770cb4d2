# Connect-Defender, Disconnect-Defender, Get-DefenderContext and Get-DefenderToken.

Describe 'without a connection' {
    It 'commands name Connect-Defender' {
        Disconnect-Defender
        foreach ($call in { Get-DefenderIncident }, { Get-DefenderIncident -Id 1 }) {
            $record = Assert-Fails $call NOT_CONNECTED ConnectionError
            Assert-Match $record.ErrorDetails.RecommendedAction 'Connect-Defender'
        }
    }
    It 'Get-DefenderContext returns nothing, and Disconnect-Defender does nothing' {
        Assert-Equal @(Get-DefenderContext).Count 0
        Disconnect-Defender
    }
}

Describe 'Connect-Defender arguments' {
    It 'takes one of -Service, -Resource and -Scopes' {
        $record = Assert-Fails { Connect-Defender -ClientId '22869222-3c51-4d11-ad15-99b70e71c548' -Service XDR -Resource $Resource } BAD_ARGUMENT InvalidArgument
        Assert-Match "$record" '-Service and -Resource'
    }
    It 'checks the name of a token cache, and keeps the setting of before' {
        $id = @{ ClientId = '22869222-3c51-4d11-ad15-99b70e71c548' }
        $inModule = Get-Module -Name DefenderXdr
        foreach ($arguments in @{ PlainTextTokenCache = $true }, @{ TokenCache = '' }, @{ TokenCache = 'a b' }, @{ TokenCache = '../x' }) {
            $null = Assert-Fails { Connect-Defender @id @arguments } BAD_ARGUMENT InvalidArgument
            Assert-Equal (& $inModule { $script:TokenCache }) ''
        }
    }
    It 'says of an empty -TokenCache that it is empty, and recommends none that fails' {
        $nope = $null
        foreach ($try in { Connect-Defender -ClientId '22869222-3c51-4d11-ad15-99b70e71c548' -TokenCache $nope }, { Get-DefenderToken -TokenCache '' }, { Get-DefenderAccount -TokenCache ' ' },
            { Clear-DefenderTokenCache -TokenCache $nope -Confirm:$false }) {
            $record = Assert-Fails $try BAD_ARGUMENT InvalidArgument
            Assert-Equal "$record" '-TokenCache is empty'
            Assert-Match $record.ErrorDetails.RecommendedAction '-TokenCache.*unset variable is empty'
            Assert-NotMatch $record.ErrorDetails.RecommendedAction 'private'
        }
    }
    It 'refuses an empty token, and what is none' {
        foreach ($value in '', ' ', 5, [securestring]::new()) { $null = Assert-Fails { Connect-Defender -AccessToken $value } BAD_ARGUMENT InvalidArgument }
    }
    It 'refuses a bad client ID, tenant, authority and redirect URI' {
        $id = '22869222-3c51-4d11-ad15-99b70e71c548'
        foreach ($arguments in @{ ClientId = 'my app' }, @{ ClientId = $id; TenantId = '' }, @{ ClientId = $id; TenantId = 'a b' }, @{ ClientId = $id; Authority = '' }, @{ ClientId = $id; RedirectUri = '' }) {
            $record = Assert-Fails { Connect-Defender @arguments } BAD_ARGUMENT InvalidArgument
            Assert-True $record.ErrorDetails.RecommendedAction
        }
    }
    It 'asks for the default scope of each service, and keeps a resource''s slash' {
        $inModule = Get-Module -Name DefenderXdr
        $scope = { param($service, $resource, $scopes) & $inModule { param($a, $b, $c) Get-DefenderScope -Service $a -Resource $b -Scopes $c } $service $resource $scopes }
        Assert-Equal (& $scope 'XDR') 'https://api.security.microsoft.com/.default'
        Assert-Equal (& $scope 'Endpoint') 'https://api.securitycenter.microsoft.com/.default'
        Assert-Equal (& $scope 'Graph') 'https://graph.microsoft.com/.default'
        Assert-Equal (& $scope 'XDR' 'https://x.example/mtp/') 'https://x.example/mtp//.default'
        Assert-Equal (& $scope 'XDR' '' @('a', 'b')) 'a', 'b'
    }
}

if ($null -eq $Emulator) { return }

$app = @{ TenantId = $Emulator.tenant_id; ClientId = $Emulator.confidential_client_id; ClientSecret = (New-Secret $RunbookSecretText) }
$user = @{ TenantId = $Emulator.tenant_id; ClientId = $Emulator.public_client_id; Timeout = 30 }

Describe 'Connect-Defender' {
    It 'connects an app, says nothing, and shows the connection when asked' {
        Reset-Emulator
        Assert-Equal @(Connect-Defender @app).Count 0
        $context = Get-DefenderContext
        Assert-Equal $context.PSTypeNames[0] 'DefenderXdr.Context'
        Assert-Equal $context.TenantId $Emulator.tenant_id
        Assert-Equal $context.ClientId $Emulator.confidential_client_id
        Assert-True (-not $context.User)
        Assert-Equal $context.Audience $Resource
        Assert-True ($context.Permissions -contains 'Incident.Read.All')
        Assert-True ($context.ExpiresOn -gt [DateTimeOffset]::UtcNow)
        Assert-Match $context.AdminConsentUri "^https://login\.microsoftonline\.com/.*adminconsent\?client_id=$($Emulator.confidential_client_id)"
        Assert-Equal $context.Emulator $Emulator.origin
        $sent = @(Get-EmulatorRequest '/oauth2/v2.0/token')
        Assert-Equal $sent.Count 1
        Assert-Equal $sent[0].form.scope 'https://api.security.microsoft.com/.default'
        Assert-Equal (Connect-Defender @app -PassThru).ClientId $Emulator.confidential_client_id
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token').Count 1 'connecting again asked for another token'
    }
    It 'connects with a credential' {
        $credential = [pscredential]::new($app.ClientId, $app.ClientSecret)
        Assert-Equal (Connect-Defender -TenantId $Emulator.tenant_id -Credential $credential -PassThru).Grant 'client_credentials'
        $record = Assert-Fails { Connect-Defender -ClientId $Emulator.confidential_client_id -Credential $credential } BAD_ARGUMENT InvalidArgument
        Assert-Match $record.ErrorDetails.RecommendedAction 'Leave out -ClientId'
    }
    It 'signs in a user, by v2' {
        Reset-Emulator
        $context = Connect-Defender @user -PassThru
        Assert-Equal $context.User 'adele@fabrikam.example'
        Assert-Equal $context.RedirectUri 'http://localhost'
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/authorize').Count 1
        $token = Get-DefenderToken
        Assert-Equal $token.Account 'adele@fabrikam.example'
        Assert-True ($token.Scopes.Count -gt 0)
        Assert-Equal $token.UserInfo.DisplayableId 'adele@fabrikam.example'
    }
    It 'suggests the user of -LoginHint, and stays with its user when another one connects with the same app' {
        Reset-Emulator
        Connect-Defender @user -LoginHint 'diego@fabrikam.example'
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/authorize')[0].query.login_hint 'diego@fabrikam.example'
        Clear-AdalTokenCache -Confirm:$false
        Connect-Defender @user
        Assert-Equal (Get-DefenderToken).Account 'adele@fabrikam.example'
        $shell = New-TestShell
        try { Assert-Equal $shell.AddScript('(Connect-Defender -TenantId $User.TenantId -ClientId $User.ClientId -LoginHint diego@fabrikam.example -Timeout 30 -PassThru).User').Invoke() 'diego@fabrikam.example' }
        finally { $shell.Dispose() }
        Assert-Equal (Get-DefenderToken).Account 'adele@fabrikam.example'
        Assert-Equal (Get-DefenderToken -Force -Timeout 30).Account 'adele@fabrikam.example'
        Assert-Equal (Get-DefenderContext).User 'adele@fabrikam.example'
    }
    It 'takes a token from elsewhere, as text, SecureString or object, and cannot renew it' {
        Reset-Emulator
        $token = Get-ADALToken @AppArguments
        foreach ($given in $token, $token.AccessToken, (Get-ADALToken @AppArguments -AsSecureString), "Bearer $($token.AccessToken)") {
            Assert-Equal (Connect-Defender -AccessToken $given -PassThru).ClientId $Emulator.confidential_client_id
            Assert-Equal (Get-DefenderToken).AccessToken $token.AccessToken
        }
        Assert-Equal @(Get-DefenderIncident -First 1).Count 1
        $null = Assert-Fails { Get-DefenderToken -Force } BAD_ARGUMENT InvalidArgument
    }
    It 'drops the connection there was when the new one fails, and says which' {
        $wrong = $app.Clone()
        $wrong.ClientSecret = New-Secret 'canary-wrong-secret-0123456789'
        $misspelt = $app.Clone()
        $misspelt.TenantId = 'a b'
        foreach ($try in @($wrong, 'BAD_SECRET'), @($misspelt, 'BAD_ARGUMENT')) {
            Connect-Defender @app
            $said = [Collections.ArrayList]::new()
            $other = $try[0]
            $null = Assert-Fails { Connect-Defender @other -WarningVariable +said -WarningAction SilentlyContinue } $try[1]
            Assert-Match "$said" "connection of before was dropped: app $($Emulator.confidential_client_id) in tenant $($Emulator.tenant_id)\."
            Assert-Equal @(Get-DefenderContext).Count 0
            $null = Assert-Fails { Get-DefenderIncident -First 1 } NOT_CONNECTED
        }
        # Without one of before there is nothing to say.
        $said = [Collections.ArrayList]::new()
        $null = Assert-Fails { Connect-Defender @wrong -WarningVariable +said 3>$null } BAD_SECRET
        Assert-Equal $said.Count 0
    }
    It 'leaves the connection where PowerShell refuses a parameter' {
        Connect-Defender @app
        Assert-Match (Assert-Fails { Connect-Defender @app -Cloud Mars }).FullyQualifiedErrorId '^ParameterArgumentValidationError'
        Assert-Equal (Get-DefenderContext).ClientId $Emulator.confidential_client_id
    }
    It '-Force gets a new token' {
        Reset-Emulator
        Connect-Defender @app
        $first = (Get-DefenderToken).AccessToken
        Connect-Defender @app -Force
        Assert-True ((Get-DefenderToken).AccessToken -cne $first)
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token').Count 2
    }
    It 'does not sign in with -NonInteractive' {
        $result = Invoke-PowerShell "try { Connect-Defender -ClientId '$($Emulator.public_client_id)' -TenantId '$($Emulator.tenant_id)' } catch { `$_.FullyQualifiedErrorId }" @('-NoProfile', '-NonInteractive')
        Assert-Match $result.Out 'DefenderXdr\.INTERACTION_REQUIRED,Connect-Defender'
    }
}

Describe 'Get-DefenderToken' {
    It 'returns the cached token, a new one with -Force, and a SecureString when asked' {
        Reset-Emulator
        Connect-Defender @app
        $first = Get-DefenderToken
        Assert-Equal $first.PSTypeNames[0] 'DefenderXdr.Token'
        Assert-Equal $first.PSObject.Properties.Name[0..7] 'AccessTokenType', 'AccessToken', 'ExpiresOn', 'ExtendedLifeTimeToken', 'TenantId', 'UserInfo', 'IdToken', 'Authority'
        Assert-Equal (Get-DefenderToken).AccessToken $first.AccessToken
        Assert-True ((Get-DefenderToken -Force).AccessToken -cne $first.AccessToken)
        Assert-True ((Get-DefenderToken -AsSecureString).AccessToken -is [securestring])
    }
    It 'gets a token of another service by the connection''s sign-in: an app''s' {
        Reset-Emulator
        Connect-Defender @app
        $null = Invoke-Emulator DELETE requests
        $graph = Get-DefenderToken -Service Graph
        Assert-Equal $graph.ClientId $app.ClientId
        Assert-Match (@((ConvertFrom-DefenderToken $graph).Audience) -join ' ') 'graph|00000003-0000-0000-c000-000000000000'
        Assert-Equal (Get-DefenderToken -Service Graph).AccessToken $graph.AccessToken 'it is not cached'
        Assert-True ((Get-DefenderToken -Service Graph -Force).AccessToken -cne $graph.AccessToken)
        $endpoint = Get-DefenderToken -Resource https://api.securitycenter.microsoft.com -AsSecureString
        Assert-True ($endpoint.AccessToken -is [securestring])
        Assert-Equal (Get-DefenderToken -Scopes https://api.security.microsoft.com/.default).AccessToken (Get-DefenderToken).AccessToken 'the connection''s own'
        $sent = @(Get-EmulatorRequest '/oauth2/v2.0/token')
        Assert-Equal @($sent | ForEach-Object { $_.form.scope }) 'https://graph.microsoft.com/.default', 'https://graph.microsoft.com/.default', 'https://api.securitycenter.microsoft.com/.default'
        foreach ($one in $sent) { Assert-Equal "$($one.form.client_id) $($one.form.grant_type)" "$($app.ClientId) client_credentials" }
        Assert-Match (Get-DefenderContext).Audience 'security\.microsoft\.com|8ee8fdad' 'the connection changed'
        $null = Assert-Fails { Get-DefenderToken -Service Graph -Scopes x } BAD_ARGUMENT
        # The secret that was given may be gone by then.
        $secret = New-Secret $RunbookSecretText
        Connect-Defender -TenantId $app.TenantId -ClientId $app.ClientId -ClientSecret $secret
        $secret.Dispose()
        Clear-AdalTokenCache -Confirm:$false
        Assert-Equal (Get-DefenderToken -Service Graph).ClientId $app.ClientId
        Disconnect-Defender
    }
    It 'gets a token of another service by the connection''s sign-in: a person''s, without asking again' {
        Reset-Emulator
        Connect-Defender @user -LoginHint 'diego@fabrikam.example' -Prompt Login
        $null = Invoke-Emulator DELETE requests
        $graph = Get-DefenderToken -Service Graph -Timeout 30
        Assert-Equal $graph.Account 'diego@fabrikam.example'
        Assert-Equal @(Get-EmulatorRequest '/authorize').Count 0 'the person was asked again'
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token' | ForEach-Object { "$($_.form.grant_type) $($_.form.client_id)" }) "refresh_token $($user.ClientId)"
        Assert-Match (@((ConvertFrom-DefenderToken $graph).Audience) -join ' ') 'graph|00000003-0000-0000-c000-000000000000'
        # -ClientId is a sign-in of its own, and the connection stays.
        Assert-Equal (Get-DefenderToken @app -Service Graph).ClientId $app.ClientId
        Assert-Equal (Get-DefenderToken).Account 'diego@fabrikam.example'
        Connect-Defender -AccessToken (Get-DefenderToken)
        $record = Assert-Fails { Get-DefenderToken -Service Graph } BAD_ARGUMENT InvalidArgument
        Assert-Match "$record" 'made with an access token'
        Disconnect-Defender
    }
    It 'shows members that there are' {
        Reset-Emulator
        Connect-Defender @user
        $token = Get-DefenderToken
        foreach ($shown in $token, (Get-ADALToken @UserArguments)) {
            $labels = @([regex]::Matches(($shown | Out-String -Width 200), '(?m)^(?<name>\w+) +:') | ForEach-Object { $_.Groups['name'].Value })
            Assert-True ($labels.Count -gt 6) "$labels"
            foreach ($label in $labels) { Assert-True ($null -ne $shown.PSObject.Properties[$label]) "$label is no member" }
            Assert-Match ($shown | Out-String -Width 200) '(Account|UserInfo) +: adele@fabrikam\.example'
        }
        Disconnect-Defender
    }
    It 'renews the token when it runs out' {
        Reset-Emulator
        Connect-Defender @app
        Clear-AdalTokenCache -Confirm:$false
        $null = Get-DefenderToken
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token').Count 2
    }
}

Describe 'Disconnect-Defender' {
    It 'forgets the connection, and not with -WhatIf' {
        Connect-Defender @app
        Disconnect-Defender -WhatIf
        Assert-True (Get-DefenderContext)
        Disconnect-Defender
        Assert-Equal @(Get-DefenderContext).Count 0
        $null = Assert-Fails { Get-DefenderIncident } NOT_CONNECTED
    }
}

Describe 'DEFENDER_XDR_EMULATOR' {
    It 'that changes drops the connection, with a warning' {
        $shell = New-TestShell
        try {
            $out = $shell.AddScript('$null = Connect-Defender -TenantId $App.TenantId -ClientId $App.ClientId -ClientSecret $App.ClientSecret
                $before = $env:DEFENDER_XDR_EMULATOR
                try {
                    $env:DEFENDER_XDR_EMULATOR = "http://127.0.0.1:9/not-this-one"
                    @(Get-DefenderContext).Count
                    try { Get-DefenderToken } catch { $_.FullyQualifiedErrorId }
                }
                finally { $env:DEFENDER_XDR_EMULATOR = $before }
                try { Get-DefenderIncident } catch { $_.FullyQualifiedErrorId }
                (Get-ADALToken @App).AccessTokenType').Invoke()
            # The value is no emulator's, so no client can be made for it either.
            Assert-Equal $out '0', 'DefenderXdr.BAD_ARGUMENT,Get-DefenderToken', 'DefenderXdr.NOT_CONNECTED,Get-DefenderIncident', 'Bearer'
            Assert-Match ($shell.Streams.Warning -join "`n") 'the connection was dropped'
        }
        finally { $shell.Dispose() }
    }
    It 'is announced by a warning' {
        $shell = New-TestShell
        try {
            $null = $shell.AddScript('Clear-AdalTokenCache -Confirm:$false; Get-ADALToken @App').Invoke()
            Assert-Match ($shell.Streams.Warning -join "`n") ([regex]::Escape($Emulator.origin))
        }
        finally { $shell.Dispose() }
    }
}
