# ConvertFrom-DefenderToken.

function New-Jwt {
    # An unsigned token with these claims; nothing here is a secret.
    param([string] $Claims, [string] $Header = '{"typ":"JWT","alg":"RS256","kid":"test"}')
    $encode = { param($text) [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text)).TrimEnd('=').Replace('+', '-').Replace('/', '_') }
    (& $encode $Header) + '.' + (& $encode $Claims) + '.c2ln'
}

$userToken = New-Jwt '{"aud":"https://api.security.microsoft.com","iss":"https://sts.windows.net/8e58f0bf-3f7c-4dc0-90c3-f13a92d07897/","iat":1700000000,"nbf":1700000000,"exp":4102444800,"upn":"adele@fabrikam.example","name":"Adele Lindqvist","appid":"22869222-3c51-4d11-ad15-99b70e71c548","appidacr":"0","scp":"Incident.Read AdvancedHunting.Read","tid":"8e58f0bf-3f7c-4dc0-90c3-f13a92d07897","ver":"1.0","amr":["pwd"],"big":123456789012345678901234567890,"Big":2,"":1,"PSTypeName":"Evil","keys":[{"Keys":1,"count":2}],"when":"2026-01-01T00:00:00Z"}'
$appToken = New-Jwt '{"aud":"https://api.security.microsoft.com","exp":1700003600,"nbf":1700000000,"iat":1700000000,"appid":"51a6db97-19f4-4f4c-9cfc-880283b334a2","app_displayname":"run\u001b[31mbook","appidacr":"1","roles":["Incident.Read.All"],"tid":"8e58f0bf-3f7c-4dc0-90c3-f13a92d07897","ver":"1.0","idtyp":"app"}'

Describe 'ConvertFrom-DefenderToken' {
    It 'reads a user''s token' {
        $claims = ConvertFrom-DefenderToken $userToken
        Assert-Equal $claims.PSTypeNames[0] 'DefenderXdr.TokenClaims'
        Assert-Equal $claims.User 'adele@fabrikam.example'
        Assert-Equal $claims.PermissionKind 'delegated'
        Assert-Equal $claims.Permissions 'Incident.Read', 'AdvancedHunting.Read'
        Assert-True ($claims.Permissions -is [string[]])
        Assert-Equal $claims.Audience 'https://api.security.microsoft.com'
        Assert-Equal $claims.Service 'Microsoft Defender XDR'
        Assert-Equal $claims.State 'valid'
        Assert-True ($claims.ExpiresOn -is [DateTimeOffset])
        Assert-Equal $claims.ExpiresOn.ToUnixTimeSeconds() 4102444800
        Assert-Equal $claims.SignatureVerified $false
    }
    It 'keeps every claim as sent' {
        $claims = (ConvertFrom-DefenderToken $userToken).Claims
        Assert-Equal $claims.big.ToString() '123456789012345678901234567890'
        Assert-Equal $claims.Big_2 2
        Assert-Equal $claims._ 1
        Assert-Equal $claims.PSTypeName_ 'Evil'
        Assert-True ($claims.PSTypeNames -notcontains 'Evil') 'a claim became the type'
        Assert-Equal $claims.keys[0].Keys 1
        Assert-True ($claims.when -is [string])
        Assert-True ($claims.exp -is [long])
        Assert-Equal (ConvertFrom-DefenderToken $userToken).Header.kid 'test'
    }
    It 'reads the same without PowerShell''s own JSON reader' {
        $inModule = Get-Module -Name DefenderXdr
        $show = { param($claims) $claims.Claims = @($claims.Claims.PSObject.Properties | ForEach-Object { "$($_.Name)=$($_.Value)($($_.Value.GetType().Name))" }) -join ';'; $claims.Header = "$($claims.Header)"; $claims | Format-List * | Out-String -Width 4000 }
        foreach ($token in $userToken, $appToken) {
            $slow = & $inModule { param($t) $kept = $script:JsonEngine; $script:JsonEngine = $false; try { ConvertFrom-DefenderToken $t } finally { $script:JsonEngine = $kept } } $token
            Assert-Equal (& $show (ConvertFrom-DefenderToken $token)) (& $show $slow)
        }
    }
    It 'reads claims as deep as the library takes them' {
        $deep = (ConvertFrom-DefenderToken (New-Jwt ('{"aud":"x","deep":' + '[' * 60 + ']' * 60 + '}'))).Claims.deep
        Assert-Equal $deep.Length 1
    }
    It 'reads an app''s token and says that it has expired' {
        $claims = ConvertFrom-DefenderToken $appToken
        Assert-Equal $claims.PermissionKind 'application'
        Assert-Equal $claims.Permissions 'Incident.Read.All'
        Assert-True ($claims.Permissions -is [string[]])
        Assert-Equal $claims.State 'expired'
        Assert-True (-not $claims.User)
    }
    It 'takes text, SecureString, objects with an AccessToken, and a header value, from the pipeline too' {
        $secure = New-Secret $userToken
        $object = [pscustomobject]@{ AccessToken = $userToken }
        foreach ($given in $userToken, $secure, $object, "Bearer $userToken", " $userToken`r`n", [pscustomobject]@{ AccessToken = $secure }) {
            Assert-Equal ($given | ConvertFrom-DefenderToken).User 'adele@fabrikam.example'
        }
        Assert-Equal (ConvertFrom-DefenderToken -AccessToken $userToken).User 'adele@fabrikam.example'
        Assert-Equal @($userToken, $appToken | ConvertFrom-DefenderToken).Count 2
    }
    It 'explains the token in its view' {
        $view = ConvertFrom-DefenderToken $userToken | Out-String -Width 200
        foreach ($part in 'adele@fabrikam\.example \(Adele Lindqvist\)', '22869222-3c51-4d11-ad15-99b70e71c548', 'Microsoft Defender XDR', 'Incident\.Read, AdvancedHunting\.Read', 'delegated', 'h \d+ min left', 'not verified') {
            Assert-Match $view $part
        }
        $view = ConvertFrom-DefenderToken $appToken | Out-String -Width 200
        foreach ($part in 'EXPIRED', '\(expired\)', 'application', 'the app itself') { Assert-Match $view $part }
        Assert-True ($view.IndexOf([char] 27) -lt 0) 'an escape sequence reached the view'
    }
    It 'goes on in a pipeline after what is no token' {
        $good = @('nonsense', $userToken, 'a.b.c' | ConvertFrom-DefenderToken -ErrorAction SilentlyContinue -ErrorVariable bad)
        Assert-Equal $good.Count 1
        Assert-Equal $bad.Count 2
        Assert-Equal ($bad | ForEach-Object { $_.CategoryInfo.Category }) 'InvalidData', 'InvalidData'
    }
    foreach ($case in @(@('text without dots', 'not a token', 'NOT_JWT'), @('bad base64', 'a.b.c', 'BAD_BASE64'), @('bad JSON', (New-Jwt '{"a":'), 'BAD_JSON'), @('nothing', '', 'NOT_JWT'),
            @('a number', 5, 'BAD_ARGUMENT'), @('an object without a token', [pscustomobject]@{ Other = 1 }, 'BAD_ARGUMENT'))) {
        It "refuses $($case[0]) by name, with what to do" {
            $record = Assert-Fails { ConvertFrom-DefenderToken -Token $case[1] -ErrorAction Stop } $case[2]
            Assert-True $record.ErrorDetails.RecommendedAction
        }
    }
    It 'does not keep the token in the error record' {
        $planted = 'canarycanarycanary-0123456789'
        $record = Assert-Fails { $planted | ConvertFrom-DefenderToken -ErrorAction Stop }
        Assert-NoSecret (Get-DeepText $record) $planted 'the error record'
        $record = Assert-Fails { ConvertFrom-DefenderToken -Token $planted -ErrorAction Stop }
        Assert-NoSecret (Get-DeepText $record) $planted 'the error record'
    }
}
