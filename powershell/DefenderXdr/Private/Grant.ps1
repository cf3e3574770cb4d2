# The ways to sign in of the module's own commands: what their parameters mean to the library.

# What each way takes besides what all take. A way has the name of its parameter; User is a person with a browser, or the automatic choice.
# The ways are no parameter sets: two at once are told by name, and help shows one line of syntax.
$script:GrantOptions = @{
    User                  = 'ClientId', 'RedirectUri', 'LoginHint', 'DomainHint', 'Prompt'
    DeviceCode            = , 'ClientId'
    IntegratedWindowsAuth = 'ClientId', 'LoginHint'
    Credential            = 'ClientId', 'Region'
    ClientSecret          = 'ClientId', 'UserAssertion', 'Region'
    Certificate           = 'ClientId', 'UserAssertion', 'Region', 'SendX5c'
    CertificatePath       = 'ClientId', 'UserAssertion', 'Region', 'SendX5c', 'CertificatePassword'
    CertificateThumbprint = 'ClientId', 'UserAssertion', 'Region', 'SendX5c'
    CertificateSubject    = 'ClientId', 'UserAssertion', 'Region', 'SendX5c'
    ClientAssertion       = 'ClientId', 'UserAssertion', 'Region'
    ClientAssertionFile   = 'ClientId', 'UserAssertion', 'Region'
    WorkloadIdentity      = 'ClientId', 'Region'
    GitHubActions         = 'ClientId', 'Region'
    AzurePipelines        = 'ClientId', 'Region', 'ServiceConnectionId'
    ManagedIdentity       = 'ClientId', 'Region', 'IdentityClientId', 'IdentityObjectId', 'IdentityResourceId'
    RefreshToken          = , 'ClientId'
    AzureCli              = @()
    AzureDeveloperCli     = @()
    AzurePowerShell       = @()
    VisualStudio          = @()
    Environment           = @()
    AccessToken           = @()
}
$script:GrantOptionNames = [string[]]@($script:GrantOptions.Values | ForEach-Object { $_ } | Sort-Object -Unique)

# The clouds by the names people use. Hosts: "Supported Microsoft Defender XDR APIs", "Microsoft Defender for US Government customers",
# "Microsoft Graph national cloud deployments".
$script:Clouds = @{
    Public  = @{ Cloud = 'public'; XDR = 'https://api.security.microsoft.com'; Endpoint = 'https://api.securitycenter.microsoft.com'; Graph = 'https://graph.microsoft.com' }
    GCC     = @{ Cloud = 'public'; Call = 'gcc'; XDR = 'https://api-gcc.security.microsoft.us'; Endpoint = 'https://api-gcc.securitycenter.microsoft.us'; Graph = 'https://graph.microsoft.com' }
    GCCHigh = @{ Cloud = 'usgov'; Call = 'gcc_high'; XDR = 'https://api-gov.security.microsoft.us'; Endpoint = 'https://api-gov.securitycenter.microsoft.us'; Graph = 'https://graph.microsoft.us' }
    DoD     = @{ Cloud = 'usgov'; Call = 'dod'; XDR = 'https://api-gov.security.microsoft.us'; Endpoint = 'https://api-gov.securitycenter.microsoft.us'; Graph = 'https://dod-graph.microsoft.us' }
    China   = @{ Cloud = 'china'; Graph = 'https://microsoftgraph.chinacloudapi.cn' }
}

function script:Get-DefenderMethod {
    # The way to sign in that the parameters name.
    param([System.Collections.IDictionary] $Given, [hashtable] $Failure)
    $ways = [string[]]@(foreach ($name in $Given.Keys) {
            if (-not $script:GrantOptions.ContainsKey($name)) { continue }
            if ($Given[$name] -isnot [switch] -and $Given[$name] -isnot [bool] -or $Given[$name]) { $name }
        })
    if ($ways.Length -eq 0) { return 'User' }
    if ($ways.Length -eq 1) { return $ways[0] }
    [System.Array]::Sort($ways, [System.StringComparer]::Ordinal)
    $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-$($ways -join ' and -') are $(if ($ways.Length -eq 2) { 'two' } else { $ways.Length }) ways to sign in" `
        -Hint "Give one of -$($ways[0..($ways.Length - 2)] -join ', -') and -$($ways[-1])."
}

function script:Test-DefenderSecret {
    # Refuses what should be a SecureString and is none. Plain text stays in the history, in transcripts and in logs.
    param([string] $Name, [object] $Value, [hashtable] $Failure)
    if ($Value -is [securestring]) { return }
    $hint = "Use a SecureString: `$secret = Read-Host -AsSecureString, or in a job `$secret = ConvertTo-SecureString `$env:APP_SECRET -AsPlainText -Force; then -$Name `$secret."
    $message = if ([string]::IsNullOrWhiteSpace([string] $Value)) { "-$Name is empty" } elseif ($Value -is [string]) { "-$Name is plain text" } else { "-$Name is no SecureString" }
    if ($Value -is [pscredential]) { $hint = "Give -Credential, or -$Name `$credential.Password." }
    $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message $message -Hint $hint
}

function script:Get-DefenderProxyChoice {
    # What -Proxy and its neighbours ask for, as Get-DefenderProxy gives it; nothing when they are not given.
    param([System.Collections.IDictionary] $Given, [hashtable] $Failure)
    if ($Given['NoProxy']) {
        foreach ($name in 'Proxy', 'ProxyCredential', 'ProxyBypass') {
            if ($Given.Contains($name)) { $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-NoProxy and -$name cannot be given together" -Hint 'Give -Proxy, or -NoProxy.'; return }
        }
        return @{ proxy = 'none'; proxy_user = $null; no_proxy = $null; Password = $null }
    }
    if (-not $Given.Contains('Proxy')) {
        foreach ($name in 'ProxyCredential', 'ProxyBypass') {
            if ($Given.Contains($name)) { $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-$name needs -Proxy" -Hint 'Give the address of the proxy too: -Proxy http://host:port.'; return }
        }
        return
    }
    $address = ([string] $Given.Proxy).Trim()
    if ($address -notmatch '^https?://[^/]') {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-Proxy is not the address of a proxy' -Hint 'Write it as http://host:port; -NoProxy goes through none.'
        return
    }
    $choice = @{ proxy = $address.TrimEnd('/'); proxy_user = $null; no_proxy = $null; Password = $null }
    if ($Given['ProxyBypass']) { $choice.no_proxy = $Given.ProxyBypass -join ',' }
    if ($null -ne $Given['ProxyCredential']) {
        $choice.proxy_user = $Given.ProxyCredential.UserName
        $choice.Password = $Given.ProxyCredential.Password
    }
    $choice
}

function script:Get-DefenderScope {
    param([string] $Service, [string] $Resource, [string[]] $Scopes, [string] $Cloud = 'Public')
    if ($Scopes) { return , $Scopes }
    if (-not $Resource) { $Resource = $script:Clouds[$Cloud][$Service] }
    if (-not $Resource) { return }
    # A resource that ends in a slash keeps it: that is another audience.
    , [string[]]@("$Resource/.default")
}

function script:Test-DefenderAudience {
    # Refuses -Resource and -Scopes that are given and empty, which would else mean the default.
    param([System.Collections.IDictionary] $Given, [hashtable] $Failure)
    $empty = foreach ($name in 'Resource', 'Scopes') {
        if ($Given.Keys -notcontains $name) { continue }
        $values = [string[]]@($Given[$name])
        if ($values.Length -eq 0 -or @($values | Where-Object { [string]::IsNullOrWhiteSpace($_) }).Count -gt 0) { $name }
    }
    foreach ($name in $empty) {
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message $(if (@($Given[$name]).Length -gt 1) { "-$name holds an empty one" } else { "-$name is empty" }) `
            -Hint "Give what the token is for, or leave -$name out for the usual service. Check that the variable is spelt as it was set: an unset variable is empty."
        return
    }
}

function script:New-DefenderPlan {
    # What the parameters of Connect-Defender or Get-DefenderToken ask for: @{ Document; Secrets; Certificate; Assertion; Proxy;
    # Cloud; CallCloud; Anew }, or a failure.
    param([System.Collections.IDictionary] $Given, [System.Management.Automation.PSCmdlet] $Caller, [hashtable] $Failure)
    $bound = $Given
    $Given = @{}
    foreach ($name in $bound.Keys) { $Given[$name] = $bound[$name] }
    $document = [ordered]@{}
    $secrets = @{}
    $plan = @{ Document = $document; Secrets = $secrets; Certificate = $null; Assertion = $null; Proxy = $null; Cloud = 'Public'; CallCloud = $null; Anew = [bool] $Given['Force'] }
    $refuse = {
        param($message, $hint)
        $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message $message -Hint $hint
    }

    $method = Get-DefenderMethod $Given $Failure
    if ($null -ne $Failure.Record) { return }
    foreach ($name in $script:GrantOptionNames) {
        if ($Given.Contains($name) -and $name -notin $script:GrantOptions[$Method]) {
            $takers = @($script:GrantOptions.Keys | Where-Object { $name -in $script:GrantOptions[$_] } | Sort-Object | ForEach-Object { "-$_" })
            & $refuse "-$name does not go with $(if ($Method -eq 'User') { 'a sign-in by a person' } else { "-$Method" })" "Remove -$name. It goes with: $(($takers -join ', ') -replace '-User\b', 'a sign-in by a person')."
            return
        }
    }
    foreach ($group in @('Service', 'Resource', 'Scopes'), @('IdentityClientId', 'IdentityObjectId', 'IdentityResourceId'), @('Cloud', 'Authority')) {
        $together = @($group | Where-Object { $Given.Contains($_) })
        if ($together.Count -gt 1) {
            & $refuse "-$($together -join ' and -') cannot be given together" "Give one of -$($group[0..($group.Count - 2)] -join ', -') and -$($group[-1])."
            return
        }
    }
    Test-DefenderAudience $Given $Failure
    if ($null -ne $Failure.Record) { return }
    if ($Given.Contains('ClientId') -and [string]::IsNullOrWhiteSpace($Given.ClientId)) {
        & $refuse '-ClientId is empty' 'Give the application (client) ID of the registered app. Check that the variable is spelt as it was set: an unset variable is empty.'
        return
    }

    # An unset variable is empty.
    if ($method -ne 'User' -and $method -ne 'AccessToken' -and ($null -eq $Given[$method] -or ($Given[$method] -is [string] -and [string]::IsNullOrWhiteSpace($Given[$method])))) {
        & $refuse "-$method is empty" 'Check that the variable is spelt as it was set: an unset variable is empty.'
        return
    }
    foreach ($name in 'ClientSecret', 'CertificatePassword') {
        if ($Given.Contains($name)) { Test-DefenderSecret $name $Given[$name] $Failure }
        if ($null -ne $Failure.Record) { return }
    }
    $plan.Proxy = Get-DefenderProxyChoice $Given $Failure
    if ($null -ne $Failure.Record) { return }
    if ($Given.Contains('AuthorityType') -and -not $Given.Contains('Authority')) {
        & $refuse '-AuthorityType needs -Authority' 'Give the address of the authority too.'
        return
    }

    # What brings its token from elsewhere has no say in what it is for.
    if ($Method -eq 'AccessToken') {
        foreach ($name in 'TenantId', 'Authority', 'AuthorityType', 'NoInstanceDiscovery', 'Cloud', 'Service', 'Resource', 'Scopes', 'Claims', 'Force') {
            if ($Given.Contains($name)) {
                & $refuse "-$name does not go with -AccessToken" "Remove -${name}: the token is used as it is."
                return
            }
        }
        $document.grant = 'access_token'
        $secrets.access_token = Get-DefenderTokenSecret $Given.AccessToken
        if ($null -eq $secrets.access_token) { & $refuse '-AccessToken holds no token' 'Give the token as text, as a SecureString, or the object of Get-ADALToken.' }
        else { Test-DefenderAccessToken $secrets.access_token $Failure }
        return $plan
    }

    $cloud = 'Public'
    if ($Given.Contains('Cloud')) { $cloud = $Given.Cloud }
    $service = 'XDR'
    if ($Given.Contains('Service')) { $service = $Given.Service }
    $document.grant = 'client_credentials'
    if ($Given.Contains('Authority')) { $document.authority = [string] $Given.Authority }
    else {
        if ($script:Clouds[$cloud].Cloud -ne 'public') { $document.cloud = $script:Clouds[$cloud].Cloud }
        if ($Given.Contains('TenantId')) { $document.tenant_id = [string] $Given.TenantId }
    }
    if ($Given['AuthorityType']) { $document.authority_type = $Given.AuthorityType.ToLowerInvariant() }
    if ($Given['NoInstanceDiscovery']) { $document.instance_discovery = $false }
    if ($Given.Contains('ClientId')) { $document.client_id = [string] $Given.ClientId }
    $document.scopes = Get-DefenderScope -Service $service -Resource ([string] $Given['Resource']) -Scopes $Given['Scopes'] -Cloud $cloud
    if ($null -eq $document.scopes) {
        & $refuse "the service $service is not known in the cloud $cloud" 'Give -Resource or -Scopes with what its token is for.'
        return
    }
    $plan.Cloud = $cloud
    $plan.CallCloud = $script:Clouds[$cloud]['Call']
    foreach ($pair in @('Claims', 'claims'), @('Region', 'region'), @('LoginHint', 'login_hint'), @('DomainHint', 'domain_hint')) {
        if ($Given[$pair[0]]) { $document[$pair[1]] = [string] $Given[$pair[0]] }
    }

    switch ($Method) {
        'User' {
            $document.interactive = Test-DefenderInteractive
            if (-not $Given.Contains('ClientId')) {
                # The library says what it tries, and why.
                $document.grant = 'automatic'
                foreach ($name in 'RedirectUri', 'Prompt', 'DomainHint', 'LoginHint') {
                    if ($Given.Contains($name)) { & $refuse "-$name needs -ClientId" 'Give the application (client) ID of the app that a person signs in to.'; return }
                }
                break
            }
            $document.grant = 'authorization_code'
            $document.redirect_uri = 'http://localhost'
            if ($Given.Contains('RedirectUri')) { $document.redirect_uri = $(if ($null -ne $Given.RedirectUri) { $Given.RedirectUri.OriginalString } else { '' }) }
            if ($Given['LoginHint']) { $document.user = [ordered]@{ id = $Given.LoginHint; type = 'optional_displayable_id' } }
            if ($Given.Contains('Prompt')) {
                $document.prompt = switch ($Given.Prompt) { 'SelectAccount' { 'select_account'; break } default { $_.ToLowerInvariant() } }
                $plan.Anew = $plan.Anew -or $Given.Prompt -ne 'None'
            }
            break
        }
        'DeviceCode' { $document.grant = 'device_code'; break }
        'IntegratedWindowsAuth' {
            $document.grant = 'integrated_windows'
            $document.username = Get-DefenderWindowsName ([string] $Given['LoginHint']) $Failure
            if ($document.Contains('login_hint')) { $document.Remove('login_hint') }
            break
        }
        'Credential' {
            $credential = $Given.Credential
            $id = [guid]::Empty
            if ($Given.Contains('ClientId')) {
                if ([guid]::TryParse($credential.UserName, [ref] $id)) {
                    & $refuse 'the user name of -Credential is an application (client) ID, not a person''s name' 'Leave out -ClientId: this credential holds an app''s ID and secret.'
                    return
                }
                $document.grant = 'password'
                $document.username = $credential.UserName
                $secrets.password = $credential.Password
                break
            }
            if (-not [guid]::TryParse($credential.UserName, [ref] $id)) {
                & $refuse 'the user name of -Credential is not an application (client) ID' 'For a person''s name and password give -ClientId too; for an app, give its client ID as the user name and its secret as the password.'
                return
            }
            $document.client_id = $credential.UserName
            $secrets.client_secret = $credential.Password
            break
        }
        'ClientSecret' { $secrets.client_secret = $Given.ClientSecret; break }
        { $_ -like 'Certificate*' } { Set-DefenderCertificate $Method $Given $plan $Caller $Failure; break }
        'ClientAssertion' {
            $document.credential = [ordered]@{ type = 'assertion' }
            if ($Given.ClientAssertion -is [scriptblock]) {
                # Asked by the event assertion, whenever the library needs one.
                $document.credential.from_event = $true
                $plan.Assertion = $Given.ClientAssertion
                break
            }
            $secrets.client_assertion = Get-DefenderTokenSecret $Given.ClientAssertion
            if ($null -eq $secrets.client_assertion) { & $refuse '-ClientAssertion is empty' 'Give the signed assertion (a JWT) as text or as a SecureString.' }
            break
        }
        'ClientAssertionFile' { $document.credential = [ordered]@{ type = 'assertion'; file = $Caller.GetUnresolvedProviderPathFromPSPath($Given.ClientAssertionFile) }; break }
        'WorkloadIdentity' { $document.credential = [ordered]@{ type = 'workload_identity' }; break }
        'GitHubActions' { $document.credential = [ordered]@{ type = 'github_actions' }; break }
        'AzurePipelines' {
            $document.credential = [ordered]@{ type = 'azure_pipelines' }
            if ($Given['ServiceConnectionId']) { $document.credential.service_connection_id = $Given.ServiceConnectionId }
            break
        }
        'ManagedIdentity' {
            $identity = $null
            foreach ($pair in @('IdentityClientId', 'client_id'), @('IdentityObjectId', 'object_id'), @('IdentityResourceId', 'resource_id')) {
                if ($Given.Contains($pair[0])) { $identity = [ordered]@{ type = $pair[1]; id = $Given[$pair[0]] } }
            }
            if ($Given.Contains('ClientId')) {
                # The identity stands for the app, as a federated credential.
                $document.credential = [ordered]@{ type = 'managed_identity' }
                if ($null -ne $identity) { $document.credential.identity = $identity }
                break
            }
            $document.grant = 'managed_identity'
            if ($null -ne $identity) { $document.identity = $identity }
            break
        }
        'RefreshToken' {
            $document.grant = 'refresh_token'
            $secrets.refresh_token = Get-DefenderTokenSecret $Given.RefreshToken
            if ($null -eq $secrets.refresh_token) { & $refuse '-RefreshToken is empty' 'Give the refresh token as text or as a SecureString.' }
            break
        }
        'AzureCli' { $document.grant = 'azure_cli'; break }
        'AzureDeveloperCli' { $document.grant = 'azure_developer_cli'; break }
        'AzurePowerShell' { $document.grant = 'azure_powershell'; break }
        'VisualStudio' { $document.grant = 'visual_studio'; break }
        'Environment' { $document.grant = 'environment'; break }
    }
    if ($null -ne $Failure.Record) { return }
    $placed = switch ($Method) {
        'User' { if ($document.grant -eq 'automatic') { 'AZURE_CLIENT_SECRET', 'AZURE_CLIENT_CERTIFICATE_PASSWORD', 'AZURE_PASSWORD', 'IDENTITY_HEADER', 'MSI_SECRET', 'ACTIONS_ID_TOKEN_REQUEST_TOKEN', 'SYSTEM_ACCESSTOKEN' }; break }
        'Environment' { 'AZURE_CLIENT_SECRET', 'AZURE_CLIENT_CERTIFICATE_PASSWORD', 'AZURE_PASSWORD'; break }
        'ManagedIdentity' { 'IDENTITY_HEADER', 'MSI_SECRET'; break }
        'GitHubActions' { 'ACTIONS_ID_TOKEN_REQUEST_TOKEN'; break }
        'AzurePipelines' { 'SYSTEM_ACCESSTOKEN'; break }
    }
    if ($null -ne $placed) {
        Initialize-DefenderNative $Failure
        if ($null -ne $Failure.Record) { return }
        Add-DefenderPlaceSecret $secrets $placed
    }
    if ($Given.Contains('UserAssertion')) {
        $document.grant = 'on_behalf_of'
        $secrets.user_assertion = Get-DefenderTokenSecret $Given.UserAssertion
        if ($null -eq $secrets.user_assertion) { & $refuse '-UserAssertion holds no token' 'Give the token that the person''s program sent to this app, as text, as a SecureString or as a token object.' }
    }
    $plan
}

function script:Test-DefenderAccessToken {
    # Refuses what no header can carry, and warns of what is no JWT: the tokens of these services are, but other kinds exist.
    param([object] $Token, [hashtable] $Failure)
    $bytes = Get-DefenderTokenText $Token
    try {
        foreach ($byte in $bytes) {
            if ($byte -le 32 -or $byte -ge 127) {
                $Failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-AccessToken holds spaces, control characters or letters that no token has' `
                    -Hint 'Give the access token alone, without quotes or line breaks; (Get-ADALToken ...).AccessToken holds one.'
                return
            }
        }
        Initialize-DefenderNative $Failure
        if ($null -ne $Failure.Record) { return }
        if (-not (Read-DefenderClaims $bytes @{ Record = $null })) {
            Write-Warning '-AccessToken is not a JSON Web Token, which the tokens of Microsoft Defender XDR are. It is used as it is: whether the service takes it shows at the first call.'
        }
    }
    finally { [System.Array]::Clear($bytes, 0, $bytes.Length) }
}

function script:Get-DefenderPlanToken {
    # The token of a plan, without a connection.
    param([hashtable] $Plan, [object] $Caller, [int] $Timeout, [hashtable] $Failure)
    Initialize-DefenderClient $Failure $Plan['Proxy'] $Plan['Cache']
    if ($null -ne $Failure.Record) { return }
    if ($Plan.Anew) { $Plan.Document.cache = 'skip' }
    $entry = New-DefenderEntry ([System.IntPtr]::Zero) ([System.Text.Encoding]::UTF8.GetBytes((ConvertTo-DefenderJson $Plan.Document)))
    $entry.Certificate = $Plan.Certificate
    $entry.Assertion = $Plan['Assertion']
    $entry.Caller = $Caller
    Get-DefenderTokenFor -Entry $entry -Secrets $Plan.Secrets -ReadCache (-not $Plan.Anew) -Timeout $Timeout -Failure $Failure
}
