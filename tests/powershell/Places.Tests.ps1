# Signing in as the place this runs in: its variables are set in the session, as a script would.

if ($null -eq $Emulator) { return }

function Use-Place {
    # Runs the block with the variables of a place of the emulator; the session's own are back after it. At a runner's, its own are hidden.
    param([string] $Place, [scriptblock] $Body, [hashtable] $Change = @{})
    $variables = @{}
    foreach ($name in 'IDENTITY_ENDPOINT', 'IDENTITY_HEADER', 'IMDS_ENDPOINT', 'MSI_ENDPOINT', 'MSI_SECRET', 'AZURE_TENANT_ID', 'AZURE_CLIENT_ID', 'AZURE_CLIENT_SECRET', 'AZURE_FEDERATED_TOKEN_FILE',
        'ACTIONS_ID_TOKEN_REQUEST_URL', 'ACTIONS_ID_TOKEN_REQUEST_TOKEN', 'GITHUB_ACTIONS', 'SYSTEM_OIDCREQUESTURI', 'SYSTEM_ACCESSTOKEN') { $variables[$name] = $null }
    if ($Place) { foreach ($property in (Invoke-Emulator GET "environment/$Place").PSObject.Properties) { $variables[$property.Name] = [string] $property.Value } }
    foreach ($name in $Change.Keys) { $variables[$name] = $Change[$name] }
    $kept = @{}
    foreach ($name in $variables.Keys) {
        $kept[$name] = [Environment]::GetEnvironmentVariable($name)
        [Environment]::SetEnvironmentVariable($name, $variables[$name])
    }
    $obstacle = & (Get-Module DefenderXdr) { $script:Obstacle; $script:Obstacle = $null }
    try { & $Body }
    finally {
        foreach ($name in $kept.Keys) { [Environment]::SetEnvironmentVariable($name, $kept[$name]) }
        & (Get-Module DefenderXdr) { param($value) $script:Obstacle = $value } $obstacle
    }
}

$idSoc = '9d4c7b1e-6a58-4e2f-b3c0-18f5d7a2e964'
$workload = @{ TenantId = $Emulator.tenant_id; ClientId = 'f5b1c6d2-7a0b-4c8e-9d55-2f8f0a4f7c31' }

Describe 'a managed identity' {
    foreach ($place in 'app-service', 'functions', 'automation', 'vm') {
        It "of the place '$place'" {
            Reset-Emulator
            Use-Place $place {
                $token = Get-DefenderToken -ManagedIdentity
                Assert-True ((ConvertFrom-DefenderToken $token).Permissions -contains 'Incident.Read.All')
                $named = Get-DefenderToken -ManagedIdentity -IdentityClientId $idSoc
                Assert-True ((ConvertFrom-DefenderToken $named).Permissions -contains 'AdvancedHunting.Read.All')
            }
        }
    }
    It 'connects, and reads incidents' {
        Reset-Emulator
        Use-Place 'app-service' {
            $context = Connect-Defender -ManagedIdentity -PassThru
            Assert-Equal $context.Grant 'managed_identity'
            Assert-Equal @(Get-DefenderIncident -First 1).Count 1
            Disconnect-Defender
        }
    }
    It 'stands for an app that trusts it' {
        Reset-Emulator
        Use-Place 'app-service' {
            Assert-Equal (ConvertFrom-DefenderToken (Get-DefenderToken @workload -ManagedIdentity -IdentityClientId $idSoc)).AppId $workload.ClientId
            $null = Assert-Fails { Get-DefenderToken @workload -ManagedIdentity -Force } '' AuthenticationError
        }
    }
    It 'that is not there is told by name' {
        Use-Place 'app-service' {
            $record = Assert-Fails { Get-DefenderToken -ManagedIdentity -IdentityClientId '11111111-2222-4333-8444-555555555555' -Force }
            Assert-Match $record.FullyQualifiedErrorId '^DefenderXdr\.[A-Z_]+,Get-DefenderToken$'
            Assert-True $record.ErrorDetails.RecommendedAction
        }
    }
}

Describe 'a workload''s identity' {
    It 'of GitHub Actions, Azure Pipelines and Kubernetes' {
        Reset-Emulator
        Use-Place 'github-actions' { Assert-Equal (ConvertFrom-DefenderToken (Get-DefenderToken @workload -GitHubActions)).AppId $workload.ClientId }
        Use-Place 'azure-pipelines' {
            Assert-Equal (ConvertFrom-DefenderToken (Get-DefenderToken @workload -AzurePipelines -ServiceConnectionId $env:AZURESUBSCRIPTION_SERVICE_CONNECTION_ID -Force)).AppId $workload.ClientId
        }
        Use-Place 'kubernetes' { Assert-Equal (ConvertFrom-DefenderToken (Get-DefenderToken -WorkloadIdentity -Force)).AppId $workload.ClientId }
    }
    It 'names the variables that are missing' {
        Use-Place '' {
            foreach ($call in { Get-DefenderToken -WorkloadIdentity }, { Connect-Defender -WorkloadIdentity }) {
                $record = Assert-Fails $call ENVIRONMENT_INCOMPLETE
                Assert-Equal "$record" 'workload identity: AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE are not set'
                Assert-Match $record.ErrorDetails.RecommendedAction 'annotated service account.*-ClientId and -TenantId$'
            }
        }
    }
}

Describe 'the variables of the environment' {
    It 'describe an app with a secret' {
        Reset-Emulator
        $app = @{ AZURE_TENANT_ID = $Emulator.tenant_id; AZURE_CLIENT_ID = $Emulator.confidential_client_id; AZURE_CLIENT_SECRET = $RunbookSecretText }
        Use-Place '' -Change $app { Assert-Equal (ConvertFrom-DefenderToken (Get-DefenderToken -Environment)).AppId $Emulator.confidential_client_id }
        $app.AZURE_CLIENT_SECRET = 'canary-wrong-secret-0123456789'
        Use-Place '' -Change $app {
            $record = Assert-Fails { Get-DefenderToken -Environment } BAD_SECRET AuthenticationError
            Assert-NoSecret (Get-DeepText $record) 'canary-wrong-secret-0123456789' 'the error record'
        }
        Use-Place '' { $null = Assert-Fails { Get-DefenderToken -Environment -Force } }
    }
}

Describe 'without a way to sign in' {
    It 'the one that fits the place is taken, and -Verbose says why' {
        Reset-Emulator
        Use-Place 'app-service' {
            $said = @(Get-DefenderToken -Verbose 4>&1)
            Assert-Equal @($said | Where-Object { $_ -isnot [Management.Automation.VerboseRecord] }).Count 1
            $text = @($said | Where-Object { $_ -is [Management.Automation.VerboseRecord] }) -join "`n"
            Assert-Match $text 'automatic choice: environment variables are passed over'
            Assert-Match $text 'automatic choice: managed identity is taken'
        }
        $app = @{ AZURE_TENANT_ID = $Emulator.tenant_id; AZURE_CLIENT_ID = $Emulator.confidential_client_id; AZURE_CLIENT_SECRET = $RunbookSecretText }
        Use-Place 'app-service' -Change $app {
            Assert-Equal (Connect-Defender -PassThru).ClientId $Emulator.confidential_client_id
            Disconnect-Defender
        }
        Use-Place 'app-service' {
            Assert-Equal (Connect-Defender -PassThru).Grant 'automatic (managed identity)'
            Disconnect-Defender
        }
    }
    It 'a place that has none fails without a question' {
        Reset-Emulator
        $watch = [Diagnostics.Stopwatch]::StartNew()
        Use-Place '' {
            Set-EmulatorFault @{ match = @{ path_contains = '/metadata/' }; times = 0; do = @{ status = 404 } }
            $record = Assert-Fails { Get-DefenderToken } '' AuthenticationError
            $lines = "$record" -split "`n"
            Assert-Equal $lines.Count 12
            Assert-Match $lines[0] '^no way to sign in was found here:$'
            # A script's error view folds the lines into one paragraph, in which the numbers tell the ways apart.
            Assert-Match $lines[1] '^  \(1\) \w+'
            Assert-Match $lines[-1] '^  \(11\) browser: '
            Assert-True (-not $record.Exception.Message.Contains("`n")) 'the exception has one line'
            Assert-Match $record.ErrorDetails.RecommendedAction '-ClientId \(or AZURE_CLIENT_ID\).* -DeviceCode .*-ManagedIdentity'
            $null = Invoke-Emulator DELETE faults
        }
        Assert-True ($watch.Elapsed.TotalSeconds -lt 20) "it took $($watch.Elapsed)"
        Assert-Equal @(Get-EmulatorRequest '/authorize').Count 0
    }
}
