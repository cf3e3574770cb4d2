# The examples, each in a PowerShell of its own against the emulator, and what the guide says of them.

if ($null -eq $Emulator) { return }

$examples = [IO.Path]::Combine($RepositoryRoot, 'examples', 'powershell')
$partner = @{ Id = '7c1d2e90-43b5-4f0a-9a66-0d5b8e1f2c37'; Secret = 'emu8Q~partner.secret.for.tests.only-1' }
$customer = '89655c4f-63a0-4a87-a538-70303c497c81'
# The emulator's data is of this time.
$september = "-Since ([DateTime] '2026-09-12T00:00:00Z')"

function Invoke-Example {
    # Runs an example with the app's credential, in the folder given, and returns what it wrote.
    param([string] $Name, [string] $Arguments = '', [string] $Then = '', [string] $ClientId = $Emulator.confidential_client_id, [string] $Secret = $RunbookSecretText, [string] $TenantId = $Emulator.tenant_id, [hashtable] $Environment = @{})
    $script = "`$ErrorActionPreference = 'Stop'; Set-StrictMode -Version Latest
        `$app = [pscredential]::new('$ClientId', (ConvertTo-SecureString '$Secret' -AsPlainText -Force))
        & '$([IO.Path]::Combine($examples, "$Name.ps1"))' -TenantId $TenantId $(if ($ClientId) { '-App $app' }) $Arguments $Then"
    $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($script))
    $ran = Invoke-Process $PowerShellProgram @('-NoProfile', '-OutputFormat', 'Text', '-EncodedCommand', $encoded) $Environment
    Assert-Equal $ran.Code 0 "$Name ended with: $($ran.Out) $($ran.Err)"
    Assert-NoSecret ($ran.Out + $ran.Err) $Secret $Name
    $ran.Out -replace '(?m)^WARNING: an emulator is set.*\r?\n', ''
}

Describe 'examples' {
    It 'sign a person in and read incidents' {
        Reset-Emulator
        $script = "& '$([IO.Path]::Combine($examples, 'sign-in-as-a-user.ps1'))' -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.public_client_id) | ForEach-Object { `"id:`$(`$_.incidentId)`" }"
        $ran = Invoke-Process $PowerShellProgram @('-NoProfile', '-OutputFormat', 'Text', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($script)))
        Assert-Equal $ran.Code 0 $ran.Err
        Assert-Match $ran.Out '(?s)adele@fabrikam\.example.*Incident\.Read.*id:3000000417'
        Assert-Equal ([regex]::Matches($ran.Out, '(?m)^id:')).Count 10
    }
    It 'get the token of an app and keep it in no file' {
        Reset-Emulator
        $folder = [IO.Directory]::CreateDirectory([IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N')))
        try {
            $out = Invoke-Example 'app-token' -Then "| ForEach-Object { Set-Location '$($folder.FullName)'; (`$_ | Out-String); (`$_.AccessToken | ConvertFrom-DefenderToken).Permissions -join ',' }"
            Assert-Match $out '\(hidden, \d+ characters\)'
            Assert-Match $out 'Incident\.Read\.All,Incident\.ReadWrite\.All,AdvancedHunting\.Read\.All'
            Assert-Equal $folder.GetFileSystemInfos().Count 0
        }
        finally { $folder.Delete($true) }
    }
    It 'list every incident of two days and not the first page' {
        Reset-Emulator
        $out = Invoke-Example 'incidents-of-two-days' "-Since ([DateTime] '2026-01-01T00:00:00Z')"
        Assert-Equal @($out | ConvertFrom-Json).Count 120
        $out = Invoke-Example 'incidents-of-two-days' $september
        $ids = @(($out | ConvertFrom-Json).incidentId)
        Assert-True ($ids -contains 3000000417 -and $ids.Count -lt 120) "$($ids.Count) incidents"
    }
    It 'check what the token of an app may do' {
        Reset-Emulator
        Assert-Match (Invoke-Example 'app-token-check') '(?s)application, roles.*not verified'
        Assert-Match (Invoke-Example 'endpoint-token' -Then '| ForEach-Object { $_ | ConvertFrom-DefenderToken }') 'WindowsDefenderATP|Defender for Endpoint'
    }
    It 'read the incidents of every customer and name who has not consented' {
        Reset-Emulator
        $then = "| ForEach-Object { `"`$(`$_.customer) `$(`$_.incidentId)`" }"
        $run = { Invoke-Example 'incidents-of-customers' $september $then -ClientId $partner.Id -Secret $partner.Secret -TenantId "$($Emulator.tenant_id), $customer" }
        $out = & $run
        Assert-Match $out "(?s)$($Emulator.tenant_id) 3000000417.*$customer.*adminconsent\?client_id=$($partner.Id)"
        $consent = "$($Emulator.origin)/login.microsoftonline.com/$customer/adminconsent?client_id=$($partner.Id)&redirect_uri=https%3A%2F%2Fportal.azure.com"
        # The answer leads away to the portal, which is not there.
        try { $null = Invoke-WebRequest -Uri $consent -MaximumRedirection 0 -ErrorAction Stop -UseBasicParsing } catch { $global:Error.RemoveAt(0) }
        $out = & $run
        Assert-Match $out "$customer 3000000417"
        Assert-NotMatch $out 'adminconsent'
        # What consent does not mend is told without it.
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents' }; times = 0; do = @{ status = 503; headers = @{ 'retry-after' = '0' } } }
        $out = & $run
        $null = Invoke-Emulator DELETE faults
        Assert-Match $out "WARNING: $customer was not read to the end: .*503"
        Assert-NotMatch $out 'Consent:'
    }
    It 'run a query from a file and write its rows as CSV' {
        Reset-Emulator
        $file = [IO.Path]::GetTempFileName()
        try {
            [IO.File]::WriteAllText($file, "DeviceInfo`n| where OSPlatform == `"Windows11`"`n| project DeviceName, OSBuild`n")
            $rows = @(Invoke-Example 'hunt' "-Path '$file'" | ConvertFrom-Csv)
            Assert-Equal $rows.Count 4
            Assert-Equal "$($rows[0].DeviceName) $($rows[0].OSBuild)" 'ws-0001.corp.fabrikam.example 26100'
        }
        finally { [IO.File]::Delete($file) }
    }
    It 'read the alerts of every customer' {
        Reset-Emulator
        $then = "| ForEach-Object { `"`$(`$_.customer) `$(`$_.id)`" }"
        $out = Invoke-Example 'alerts-of-customers' $september $then -ClientId $partner.Id -Secret $partner.Secret -TenantId "$($Emulator.tenant_id), $customer"
        Assert-Match $out "(?s)$($Emulator.tenant_id) da638000000000000001_1001.*$customer.*adminconsent\?client_id=$($partner.Id)"
        Assert-NotMatch $out 'da638000000000000005_1005'
    }
    It 'write every alert of two days as JSON and as CSV' {
        Reset-Emulator
        $folder = [IO.Directory]::CreateDirectory([IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N')))
        try {
            $null = Invoke-Example 'alerts-of-two-days' "-Folder '$($folder.FullName)' $september"
            $json = @([IO.File]::ReadAllText([IO.Path]::Combine($folder.FullName, 'alerts.json')) | ConvertFrom-Json)
            $csv = @(Import-Csv -LiteralPath ([IO.Path]::Combine($folder.FullName, 'alerts.csv')))
            Assert-Equal $json.id $csv.id
            Assert-Equal $json.Count 3
            Assert-Equal $csv[0].severity 'High'
            Assert-NotMatch ($csv | Out-String) 'System\.Object'
        }
        finally { $folder.Delete($true) }
    }
    It 'hunt where the machines of open alerts went' {
        Reset-Emulator
        $out = Invoke-Example 'alerts-to-hunt' "-Url 'updates.example' -Since ([DateTime] '2026-09-01T00:00:00Z')" '| ConvertTo-Json -Compress'
        Assert-Equal $out.Trim() '{"DeviceId":"b66ec7f8162f3b2f20a898db8c63bef560e7e703","Connections":1}'
        # An address is no part of the query.
        Assert-Equal (Invoke-Example 'alerts-to-hunt' "-Url 'x'' or RemoteUrl != ''\' -Since ([DateTime] '2026-09-01T00:00:00Z')" '| ConvertTo-Json -Compress').Trim() ''
        Assert-Match @(Get-EmulatorRequest 'runHuntingQuery')[-1].json.Query "RemoteUrl == 'x\\' or RemoteUrl != \\'\\\\' \| summarize"
    }
    It 'have as many lines as the guide says, and hold no secret' {
        $guide = [IO.File]::ReadAllText([IO.Path]::Combine($RepositoryRoot, 'docs', 'guide', 'defender-data.md'))
        foreach ($file in Get-ChildItem -LiteralPath $examples -Filter *.ps1) {
            $lines = @([IO.File]::ReadAllLines($file.FullName) | Where-Object { $_.Trim() -and $_.Trim() -notlike '#*' }).Count
            Assert-Match $guide ('\| \[' + [regex]::Escape($file.Name) + '\]\([^|]*\| ' + $lines + ' \|') "the guide does not give $($file.Name) $lines lines"
            Assert-NotMatch ([IO.File]::ReadAllText($file.FullName)) '8Q~|-AsPlainText'
        }
    }
}

Describe 'a certificate in a vault' {
    It 'signs the app in without leaving it' {
        $certificate = New-TestCertificate
        # A vault on loopback, which answers as "Get Certificate" and "Sign" of Key Vault's REST API 7.4 do.
        # It takes no port that the system would choose.
        for ($port = 18000; ; $port++) {
            $vault = "http://localhost:$port/"
            $listener = [Net.HttpListener]::new()
            $listener.Prefixes.Add($vault)
            try { $listener.Start(); break }
            catch [Net.HttpListenerException] { if ($port -gt 18999) { throw } }
        }
        $shell = [powershell]::Create()
        $null = $shell.AddScript({
                param($listener, $vault, $certificate, $asked)
                $encode = { param($bytes) [Convert]::ToBase64String($bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_') }
                $key = [Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPrivateKey($certificate)
                while ($listener.IsListening) {
                    try { $context = $listener.GetContext() }
                    catch { return }
                    $path = $context.Request.Url.PathAndQuery
                    $body = [IO.StreamReader]::new($context.Request.InputStream).ReadToEnd()
                    $asked.Add("$($context.Request.HttpMethod) $path $($context.Request.Headers['Authorization'])")
                    $answer = switch ($path) {
                        '/certificates/app?api-version=7.4' { @{ id = "${vault}certificates/app/1"; kid = "${vault}keys/app/1"; cer = [Convert]::ToBase64String($certificate.RawData) } }
                        '/keys/app/1/sign?api-version=7.4' {
                            $wish = $body | ConvertFrom-Json
                            $digest = [Convert]::FromBase64String($wish.value.Replace('-', '+').Replace('_', '/').PadRight(44, '='))
                            @{ kid = "${vault}keys/app/1"; value = & $encode $key.SignHash($digest, [Security.Cryptography.HashAlgorithmName]::SHA256, [Security.Cryptography.RSASignaturePadding]::Pss) }
                        }
                    }
                    $bytes = [Text.Encoding]::UTF8.GetBytes(($answer | ConvertTo-Json))
                    $context.Response.ContentType = 'application/json'
                    $context.Response.OutputStream.Write($bytes, 0, $bytes.Length)
                    $context.Response.Close()
                }
            }).AddArgument($listener).AddArgument($vault).AddArgument($certificate)
        $log = [Collections.ArrayList]::Synchronized([Collections.ArrayList]::new())
        $null = $shell.AddArgument($log)
        $serving = $shell.BeginInvoke()
        try {
            Use-TestEmulator $certificate -Resources @(@{ app_id = 'cfa8b339-82a2-471a-a3c9-0fc0be7a4093'; name = 'Azure Key Vault'; identifiers = @('https://vault.azure.net'); delegated = @(); application = @() }) {
                $place = @{ NO_PROXY = 'localhost,127.0.0.1' }
                foreach ($property in (Invoke-Emulator GET 'environment/functions').PSObject.Properties) { $place[$property.Name] = [string] $property.Value }
                $example = [IO.Path]::Combine($RepositoryRoot, 'examples', 'places', 'key-vault', 'sign-in.ps1')
                $place.PSModulePath = [IO.Path]::Combine($RepositoryRoot, 'powershell') + [IO.Path]::PathSeparator + $env:PSModulePath
                $script = "`$ErrorActionPreference = 'Stop'; Set-StrictMode -Version Latest
                    (& '$example' -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.confidential_client_id) -Certificate ${vault}certificates/app).Permissions -join ','
                    @(Get-DefenderIncident -First 1).Count; `$first = Get-DefenderToken; (Get-DefenderToken -Force).AccessToken -cne `$first.AccessToken"
                $ran = Invoke-Process $PowerShellProgram @('-NoProfile', '-OutputFormat', 'Text', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($script))) $place
                Assert-Equal $ran.Code 0 "$($ran.Out) $($ran.Err)"
                Assert-Match $ran.Out '(?s)Incident\.Read\.All.*\s1\s+True'
            }
            $calls = @($log | ForEach-Object { ($_ -split ' ')[0..1] -join ' ' })
            Assert-Equal $calls 'GET /certificates/app?api-version=7.4', 'POST /keys/app/1/sign?api-version=7.4', 'GET /certificates/app?api-version=7.4', 'POST /keys/app/1/sign?api-version=7.4'
            foreach ($call in $log) { Assert-Match $call ' Bearer eyJ' }
        }
        finally {
            $listener.Close()
            $null = $shell.EndInvoke($serving)
            $shell.Dispose()
        }
    }
}
