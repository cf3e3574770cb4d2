# People of a federated domain: by user name and password, and by the Windows account. Neither Kerberos nor a real AD FS takes part: the emulator's
# federation service looks at no account, and the module gives it none.

$lee = 'lee@corp.fabrikam.example'

Describe 'the parameters of a Windows account' {
    $id = '22869222-3c51-4d11-ad15-99b70e71c548'
    It 'mean the same in both families of commands' {
        $plan = Get-TestPlan @{ ClientId = $id; IntegratedWindowsAuth = $true; LoginHint = " $lee " }
        Assert-Equal "$($plan.Document.grant) $($plan.Document.username) $($plan.Document['login_hint'])" "integrated_windows $lee "
        $plan = Get-TestPlan @{ ClientId = $id; IntegratedWindowsAuth = $true; LoginHint = $lee } 'Get-MsalToken'
        Assert-Equal "$($plan.Document.grant) $($plan.Document.username) $($plan.Anew)" "integrated_windows $lee True"
        foreach ($arguments in @{ DeviceCode = $true }, @{ Prompt = 'Login' }) { $null = Assert-Fails { Get-DefenderToken -ClientId $id -IntegratedWindowsAuth -LoginHint $lee @arguments } BAD_ARGUMENT }
    }
    It 'need a name where Windows has none' {
        if (& (Get-Module -Name DefenderXdr) { Import-DefenderPrivate; Test-DefenderWindows }) { return }
        foreach ($command in { Get-DefenderToken -ClientId $id -IntegratedWindowsAuth }, { Get-MsalToken -ClientId $id -IntegratedWindowsAuth }) {
            $record = Assert-Fails $command BAD_ARGUMENT InvalidArgument
            Assert-Match $record.ErrorDetails.RecommendedAction '-LoginHint'
        }
    }
}

Describe 'the request of a Windows account' {
    It 'carries the account to a service, none to an emulator, and follows nobody' {
        $inModule = Get-Module -Name DefenderXdr
        $notice = @{ method = 'POST'; headers = [ordered]@{ 'Content-Type' = 'application/soap+xml'; 'client-request-id' = 'x' } }
        foreach ($case in @('https://sts.corp.fabrikam.example/adfs', $true), @('http://127.0.0.1:9/adfs', $false)) {
            $request = & $inModule { param($address, $notice) Import-DefenderPrivate; New-DefenderNegotiateRequest $address $notice } ([uri] $case[0]) $notice
            Assert-Equal $request.UseDefaultCredentials $case[1]
            Assert-Equal ($null -eq $request.Proxy) (-not $case[1])
            Assert-True (-not $request.AllowAutoRedirect)
            Assert-Equal "$($request.Method) $($request.ContentType) $($request.Headers['client-request-id'])" 'POST application/soap+xml x'
        }
    }
}

if ($null -eq $Emulator) { return }

$ofPublicClient = @{ TenantId = $Emulator.tenant_id; ClientId = $Emulator.public_client_id }

Describe 'a federated domain' {
    It 'takes user name and password' {
        Reset-Emulator
        $credential = [pscredential]::new($lee, (New-Secret 'Walk-through-4'))
        Assert-Equal (Get-DefenderToken @ofPublicClient -Credential $credential).Account $lee
        Assert-Equal (Get-MsalToken @ofPublicClient -UserCredential $credential -Scopes "$Resource/.default").Account.Username $lee
        Assert-Equal @(Get-EmulatorRequest '/oauth2/v2.0/token')[0].form.grant_type 'urn:ietf:params:oauth:grant-type:saml1_1-bearer'
        $wrong = [pscredential]::new($lee, (New-Secret 'canary-wrong-password'))
        $record = Assert-Fails { Connect-Defender @ofPublicClient -Credential $wrong } BAD_USER_CREDENTIAL AuthenticationError
        Assert-NoSecret (Get-DeepText $record) 'canary-wrong-password' 'the error record'
    }
    It 'signs the Windows account in without a prompt' {
        Reset-Emulator
        $token = Get-DefenderToken @ofPublicClient -IntegratedWindowsAuth -LoginHint $lee
        Assert-Equal $token.Account $lee
        $sent = @(Get-EmulatorRequest '/windowstransport')
        Assert-Equal $sent.Count 1
        Assert-Match $sent[0].headers.soapaction 'RST/Issue$'
        Assert-True ($sent[0].headers.PSObject.Properties.Name -notcontains 'authorization') 'an emulator was given the account'
        # The cache has it from then on, and -Silent finds it, as with MSAL.PS.
        Assert-Equal (Get-DefenderToken @ofPublicClient -IntegratedWindowsAuth -LoginHint $lee).AccessToken $token.AccessToken
        Assert-Equal (Get-MsalToken @ofPublicClient -Silent -LoginHint $lee -Scopes "$Resource/Incident.Read").Account.Username $lee
        Assert-Equal @(Get-EmulatorRequest '/windowstransport').Count 1
        Assert-Equal (Get-MsalToken @ofPublicClient -IntegratedWindowsAuth -LoginHint $lee -Scopes "$Resource/Incident.Read").Account.Username $lee
        Assert-Equal @(Get-EmulatorRequest '/windowstransport').Count 2 'MSAL asks anew'
    }
    It 'keeps a connection by the Windows account' {
        Reset-Emulator
        Connect-Defender @ofPublicClient -IntegratedWindowsAuth -LoginHint $lee
        Assert-Equal (Get-DefenderContext).Grant 'integrated_windows'
        Assert-Equal (Get-DefenderContext).User $lee
        Assert-Equal @(Get-DefenderIncident -First 1).Count 1
        Assert-Equal (Get-DefenderToken -Service Graph).Account $lee
        Assert-Equal @(Get-EmulatorRequest '/windowstransport').Count 1
        Disconnect-Defender
    }
    It 'says what a Windows account cannot do, and what to do instead' {
        Reset-Emulator
        $record = Assert-Fails { Get-DefenderToken @ofPublicClient -IntegratedWindowsAuth -LoginHint 'adele@fabrikam.example' } UNSUPPORTED NotImplemented
        Assert-Match $record.ErrorDetails.RecommendedAction 'browser'
        foreach ($case in @(@{ status = 401 }, 'BAD_USER_CREDENTIAL'), @(@{ drop = $true }, 'CONNECT'), @(@{ redirect = 'https://id.fabrikam.example/' }, 'SERVER_ERROR'), @(@{ html = $true }, 'SERVER_ERROR')) {
            Reset-Emulator
            Set-EmulatorFault @{ match = @{ path_contains = '/windowstransport' }; times = 0; do = $case[0] }
            $record = Assert-Fails { Get-DefenderToken @ofPublicClient -IntegratedWindowsAuth -LoginHint $lee -Force } $case[1]
            Assert-True $record.ErrorDetails.RecommendedAction
            # .NET may send again by itself on a connection that was closed.
            if ($case[1] -ne 'CONNECT') { Assert-Equal @(Get-EmulatorRequest '/windowstransport').Count 1 "$($case[1]): it is sent once" }
        }
    }
    It 'that does not answer ends with the time limit, and with a stop' {
        Reset-Emulator
        Set-EmulatorFault @{ match = @{ path_contains = '/windowstransport' }; times = 0; do = @{ hang = $true } }
        $null = Assert-Fails { Get-DefenderToken @ofPublicClient -IntegratedWindowsAuth -LoginHint $lee -Force -Timeout 2 } TIMEOUT OperationTimeout
        $before = @(Get-EmulatorRequest '/windowstransport').Count
        $shell = New-TestShell
        try {
            $null = $shell.AddScript("Get-DefenderToken -TenantId '$($ofPublicClient.TenantId)' -ClientId '$($ofPublicClient.ClientId)' -IntegratedWindowsAuth -LoginHint $lee -Force")
            $running = $shell.BeginInvoke()
            Wait-Until { @(Get-EmulatorRequest '/windowstransport').Count -gt $before }
            $shell.Stop()
            Assert-True $running.IsCompleted
            Assert-Equal "$($shell.InvocationStateInfo.State)" 'Stopped'
        }
        finally { $shell.Dispose() }
        Reset-Emulator
        Assert-Equal (Get-DefenderToken @ofPublicClient -IntegratedWindowsAuth -LoginHint $lee -Force).Account $lee
    }
}
