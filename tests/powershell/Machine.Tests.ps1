# Machines, what is done to them, and machine actions.

$inModule = Get-Module -Name DefenderXdr

Describe 'machine objects' {
    It 'have every documented member, exact times in UTC, and the service''s other members' {
        Set-StrictMode -Version Latest
        $machine = & $inModule { ConvertTo-DefenderMachine '{"id":"a","lastSeen":"2026-09-14T06:58:31.123456Z","machineTags":null,"newThing":[1]}' }
        Assert-Equal $machine.PSTypeNames[0] 'DefenderXdr.Machine'
        foreach ($name in 'computerDnsName', 'riskScore', 'healthStatus', 'aadDeviceId', 'osBuild') { Assert-True ($null -eq $machine.$name) $name }
        Assert-True ($machine.machineTags -is [object[]] -and $machine.machineTags.Length -eq 0) 'a null list is not an empty one'
        Assert-Equal $machine.lastSeen.ToString('o') '2026-09-14T06:58:31.1234560Z'
        Assert-Equal $machine.newThing[0] 1
        $action = & $inModule { ConvertTo-DefenderMachineAction '{"id":"a","creationDateTimeUtc":"2026-09-14T06:58:31Z","lastUpdateTimeUtc":"2026-09-14T07:00:00.5Z","status":"FutureStatus"}' }
        Assert-Equal $action.creationDateTimeUtc.ToString('o') '2026-09-14T06:58:31.0000000Z'
        Assert-Equal $action.lastUpdateDateTimeUtc.ToString('o') '2026-09-14T07:00:00.5000000Z'
        Assert-Equal $action.status 'FutureStatus'
    }
    It 'show as tables without control characters' {
        $machine = & $inModule { ConvertTo-DefenderMachine '{"id":"b66ec7f8162f3b2f20a898db8c63bef560e7e703","computerDnsName":"ws\u001b[31m\u202e1","healthStatus":"Active","riskScore":"High","osPlatform":"Windows11","lastSeen":"2026-09-14T06:58:31.123456Z"}' }
        $table = ($machine | Out-String -Width 200) -split "`n" | Where-Object { $_.Trim() }
        Assert-Match $table[0] '^id\s+computerDnsName\s+healthStatus\s+riskScore\s+osPlatform\s+lastSeen'
        Assert-Match $table[2] '^b66ec7f8162f3b2f20a898db8c63bef560e7e703\s+ws \[31m 1\s+Active\s+High\s+Windows11\s+2026-09-14 06:58'
        Assert-NotMatch ($machine | Out-String -Width 200) "[\u001b\u202e]" 'the table'
    }
    It 'show their whole ids in narrow windows' {
        $machine = & $inModule { ConvertTo-DefenderMachine '{"id":"b66ec7f8162f3b2f20a898db8c63bef560e7e703","computerDnsName":"a-very-long-name-of-a-computer.corp.fabrikam.example"}' }
        $action = & $inModule { ConvertTo-DefenderMachineAction '{"id":"00000000-0000-4000-9000-000000000001","type":"CollectInvestigationPackage","computerDnsName":"a-very-long-name-of-a-computer.corp.fabrikam.example"}' }
        $alert = & $inModule { ConvertTo-DefenderEndpointAlert '{"id":"da637551227677560813_-961444813","title":"a title","computerDnsName":"a-very-long-name-of-a-computer.corp.fabrikam.example"}' }
        foreach ($width in 60, 80, 100, 120) {
            foreach ($one in $machine, $action, $alert) { Assert-Match ($one | Out-String -Width $width) ('(?m)^' + [regex]::Escape($one.id) + '\s') "at $width columns" }
        }
    }
    It 'show no label broken over lines in usual windows' {
        $shown = [ordered]@{
            Machine       = @{ id = '1e5bc9d7e413ddd7902c2932e418702b84d0cc07'; computerDnsName = 'ws-0001.corp.fabrikam.example'; healthStatus = 'Inactive'; riskScore = 'High'; osPlatform = 'Windows11'; lastSeen = [DateTime]::UtcNow }
            MachineAction = @{ id = '5382f7ea-7557-4ab7-9782-d50480024a4e'; type = 'CollectInvestigationPackage'; status = 'InProgress'; computerDnsName = 'ws-0001.corp.fabrikam.example'; creationDateTimeUtc = [DateTime]::UtcNow; requestor = 'adele' }
            EndpointAlert = @{ id = 'da637551227677560813_-961444813'; severity = 'Informational'; status = 'InProgress'; alertCreationTime = [DateTime]::UtcNow; computerDnsName = 'ws-0001.corp.fabrikam.example'; title = 'a title' }
            Indicator     = @{ id = '995'; indicatorType = 'FileSha256'; action = 'BlockAndRemediate'; expirationTime = [DateTime]::UtcNow; indicatorValue = 'x'; title = 't' }
        }
        foreach ($name in $shown.Keys) {
            foreach ($width in 79, 80, 99, 100, 119, 120, 160) {
                $record = [pscustomobject] $shown[$name]
                $record.PSTypeNames.Insert(0, "DefenderXdr.$name")
                # Labels, what underlines them, and the record.
                Assert-Equal @(($record | Out-String -Width $width) -split "`n" | Where-Object { $_.Trim() }).Count 3 "$name at $width columns"
            }
        }
        $record = [pscustomobject] $shown.Machine
        $record.PSTypeNames.Insert(0, 'DefenderXdr.Machine')
        Assert-Match ($record | Out-String -Width 80) 'ws-0001\.corp\.fabrikam\.example' 'the name is cut'
    }
}

if ($null -eq $Emulator) { return }

$One = 'b66ec7f8162f3b2f20a898db8c63bef560e7e703'
$Two = '56f18844cec46b794bf3beae9e1cc08ca6babb22'
$Web = '1fcfd53f165e42e1ef9a7efcfcae1ee24c366c11'

Describe 'Get-DefenderMachine' {
    It 'lists machines by what is wished, and gets single ones by id and by name' {
        Connect-TestDefender
        Assert-Equal @(Get-DefenderMachine).Count 6
        Assert-Equal @(Get-DefenderMachine -HealthStatus Active -OSPlatform Windows11 -PageSize 2).Count 3
        Assert-Equal (Get-DefenderMachine -Tag 'Tier 0', 'Nothing').id $Web
        Assert-Equal @(Get-DefenderMachine -RiskScore High, Low -Filter "healthStatus eq 'Active'").id $One
        Assert-Equal @(Get-DefenderMachine -SeenSince ([DateTime]::new(2026, 9, 14, 0, 0, 0, [DateTimeKind]::Utc))).Count 3
        Assert-Equal @(Get-DefenderMachine -First 4).Count 4
        Assert-Equal (Get-DefenderMachine ws-0001).id $One
        Assert-Equal (Get-DefenderMachine -Machine WS-0002.corp.fabrikam.example).id $Two
        Assert-Equal ($One, $Two | Get-DefenderMachine).computerDnsName 'ws-0001.corp.fabrikam.example', 'ws-0002.corp.fabrikam.example'
        Assert-Equal (Get-DefenderAlert da638000000000000001_1001 | Get-DefenderMachine).id $One 'an alert names its machine'
        Assert-Equal ([pscustomobject]@{ DeviceName = 'ws-0001'; Other = 1 } | Get-DefenderMachine).id $One 'a hunting row does'
        Assert-Match (Get-DefenderMachine ws-0001 -Raw) '"id":"b66e'
        $place = ''
        $some = @(Get-DefenderMachine -PageSize 2 -ResumeVariable place | Select-Object -First 3)
        $rest = @(Get-DefenderMachine -PageSize 2 -Resume $place)
        Assert-Equal (@($some.id + $rest.id) | Sort-Object -Unique).Count 6
        # Pages may have another size from there on.
        $all = @(Get-DefenderMachine).id
        foreach ($other in @{}, @{ PageSize = 3 }, @{ PageSize = 1 }) {
            $some = @(Get-DefenderMachine -PageSize 2 -ResumeVariable place | Select-Object -First 2)
            Assert-Equal (@($some.id + @(Get-DefenderMachine -Resume $place @other).id) | Select-Object -Unique) $all
        }
    }
    It 'tells each name that fits none or several, and goes on' {
        Connect-TestDefender
        $got = Get-Recorded { Get-DefenderMachine nobody, twin, ws-0001 }
        Assert-Equal $got.Out.id $One
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.NOT_FOUND,Get-DefenderMachine', 'DefenderXdr.BAD_ARGUMENT,Get-DefenderMachine'
        Assert-Match "$($got.Errors[1])" '776a8d2c5cb56c6d1d168cc59e30ee149baccca9.*ca8f245f01b484e5df3e8fae17db9960a41893f5'
        Assert-Match $got.Errors[1].ErrorDetails.RecommendedAction 'give the id'
        $null = Assert-Fails { Get-DefenderMachine '@{id=1}' }
    }
}

Describe 'what is done to machines' {
    It 'is destructive: it takes a comment, asks first, and -WhatIf only looks up names' {
        foreach ($name in 'Enable-DefenderMachineIsolation', 'Disable-DefenderMachineIsolation', 'Enable-DefenderMachineRestriction', 'Disable-DefenderMachineRestriction', 'Start-DefenderFileQuarantine', 'Stop-DefenderMachineAction') {
            $command = Get-Command $name
            $binding = $command.ScriptBlock.Attributes | Where-Object { $_ -is [System.Management.Automation.CmdletBindingAttribute] }
            Assert-True $binding.SupportsShouldProcess $name
            Assert-Equal "$($binding.ConfirmImpact)" 'High' $name
            Assert-True ($command.Parameters['Comment'].Attributes | Where-Object { $_ -is [Parameter] }).Mandatory "$name takes no comment"
        }
        Connect-TestDefender
        # By name, whole name, id and object: three machines, each once.
        $said = (Invoke-PowerShell @"
`$null = Connect-Defender -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.confidential_client_id) -ClientSecret (ConvertTo-SecureString '$RunbookSecretText' -AsPlainText -Force) 3>`$null
Get-DefenderAlert -Status New | Enable-DefenderMachineIsolation -Comment c -WhatIf
Enable-DefenderMachineIsolation ws-0001, WS-0001.corp.fabrikam.example, $One, ws-0002 -Type Selective -Comment c -WhatIf
"@).Out -split "`n" | Where-Object { $_.Trim() }
        $target = { param($words, $name, $id) "What if: Performing the operation ""$words"" on target ""machine $name.corp.fabrikam.example ($id)""." }
        Assert-Equal @($said)[0].Trim() (& $target 'isolate (Full)' 'ws-0001' $One)
        Assert-Equal @($said)[1].Trim() (& $target 'isolate (Full)' 'srv-web' $Web)
        Assert-Match @($said)[2] 'mac-0007'
        Assert-Equal @($said)[3].Trim() (& $target 'isolate (Selective)' 'ws-0001' $One)
        Assert-Equal @($said)[4].Trim() (& $target 'isolate (Selective)' 'ws-0002' $Two)
        Assert-Equal @($said).Count 5
        Assert-Equal @(Get-Sent).Count 0 'something was sent'
        # An id is looked up where it is shown: there is to be such a machine.
        $nobody = 'f' * 40
        $looks = @(Get-EmulatorRequest "/machines/$Two").Count
        $got = Get-Recorded { Enable-DefenderMachineIsolation $nobody, $Two.ToUpper() -Comment c -WhatIf }
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.NOT_FOUND,Enable-DefenderMachineIsolation'
        Assert-Match "$($got.Errors[0])" $nobody
        Assert-Equal @(Get-EmulatorRequest "/machines/$Two").Count ($looks + 1)
        # A token that may act and not read is no hindrance.
        Set-EmulatorFault @{ match = @{ path_contains = "/machines/$Two" }; do = @{ status = 403; json = @{ error = @{ code = 'Forbidden'; message = 'no' } } } }
        Assert-Equal @((Get-Recorded { Enable-DefenderMachineIsolation $Two -Comment c -WhatIf }).Errors).Count 0
        $null = Invoke-Emulator DELETE faults
        Assert-Equal @(Get-Sent).Count 0 'something was sent'
        # Nobody to ask: nothing is done.
        $asked = Invoke-PowerShell -Switches '-NoProfile', '-NonInteractive' @"
`$null = Connect-Defender -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.confidential_client_id) -ClientSecret (ConvertTo-SecureString '$RunbookSecretText' -AsPlainText -Force) 3>`$null
Enable-DefenderMachineIsolation ws-0001 -Comment c
"@
        Assert-True $asked.Err 'it did not ask'
        Assert-Equal @(Get-Sent).Count 0 'something was sent unasked'
    }
    It 'does nothing at all where a name fits several machines' {
        Connect-TestDefender
        $errors = @()
        $record = Assert-Fails { Enable-DefenderMachineIsolation ws-0001, twin, nobody -Comment c -Confirm:$false -ErrorAction SilentlyContinue -ErrorVariable +errors } 'BAD_ARGUMENT' 'InvalidArgument'
        Assert-Match "$record" 'nothing was done'
        $got = Get-Recorded { try { Enable-DefenderMachineIsolation twin -Comment c -Confirm:$false } catch { $null = $_ } }
        Assert-Match "$($got.Errors[0])" '776a8d2c5cb56c6d1d168cc59e30ee149baccca9'
        Assert-Equal $got.Errors[0].TargetObject 'twin'
        Assert-Equal @(Get-Sent).Count 0 'a machine was touched'
    }
    It 'tells of each machine that fails, and does the others' {
        Connect-TestDefender
        Set-EmulatorFault @{ match = @{ path_contains = "/$Two/isolate" }; times = 0; do = @{ status = 400; json = @{ error = @{ code = 'OsPlatformNotSupported'; message = 'not on this system' } } } }
        $got = Get-Recorded { Enable-DefenderMachineIsolation ws-0001, nobody, ws-0002, srv-web -Comment 'INC-1' -Confirm:$false }
        Assert-Equal $got.Out.computerDnsName 'ws-0001.corp.fabrikam.example', 'srv-web.corp.fabrikam.example'
        Assert-Equal ($got.Out | ForEach-Object { "$($_.type) $($_.scope) $($_.requestorComment) $($_.status)" }) 'Isolate Full INC-1 Pending', 'Isolate Full INC-1 Pending'
        Assert-Equal $got.Errors.Count 2
        Assert-Match "$($got.Errors[0])" 'nobody'
        Assert-Match "$($got.Errors[1])" "ws-0002.*$Two.*not on this system"
        Assert-Equal $got.Errors[1].TargetObject $Two
        Assert-Equal @(Get-Sent).Count 3
        $null = Invoke-Emulator DELETE faults
        # What every machine would meet ends the command.
        Set-EmulatorFault @{ match = @{ path_contains = '/isolate' }; times = 0; do = @{ status = 503 } }
        $null = Assert-Fails { Enable-DefenderMachineIsolation mac-0007, ws-0002 -Comment c -Confirm:$false } 'SERVER_UNAVAILABLE'
        $null = Invoke-Emulator DELETE faults
    }
    It 'is not taken for done while its opposite is under way' {
        Connect-TestDefender
        $isolated = Enable-DefenderMachineIsolation $Two -Comment 'INC-2' -Confirm:$false
        $null = Invoke-Emulator POST clock @{ advance_seconds = 60 }
        $release = Disable-DefenderMachineIsolation $Two -Comment 'INC-2 over' -Confirm:$false
        Assert-Equal "$($release.type) $($release.status)" 'Unisolate Pending'
        foreach ($more in @{}, @{ Wait = $true }) {
            $got = Get-Recorded { Enable-DefenderMachineIsolation $Two -Comment 'INC-2 again' -Confirm:$false @more }
            Assert-Equal @($got.Out).Count 0
            Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.BUSY,Enable-DefenderMachineIsolation'
            Assert-Match "$($got.Errors[0])" "a release from isolation of machine $Two is pending \(action $($release.id)"
            Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'Wait-DefenderMachineAction'
        }
        $null = Invoke-Emulator POST clock @{ advance_seconds = 60 }
        $again = Enable-DefenderMachineIsolation $Two -Comment 'INC-2 again' -Confirm:$false
        Assert-True ($again.status -eq 'Pending' -and $again.id -ne $isolated.id) "$($again.id) $($again.status)"
        # What needs no question and no -WhatIf costs no look at an id.
        Assert-Equal @(Get-EmulatorRequest "/machines/$Two" | Where-Object { $_.method -eq 'GET' }).Count 0
    }
    It 'is safe to repeat' {
        Connect-TestDefender
        $first = Enable-DefenderMachineIsolation ws-0001 -Comment 'INC-1' -Confirm:$false
        $warnings = $null
        $second = Enable-DefenderMachineIsolation ws-0001 -Comment 'INC-1' -Confirm:$false -WarningVariable warnings 3>$null
        Assert-Equal $second.id $first.id
        Assert-Match $warnings 'under way already'
        $null = Invoke-Emulator POST clock @{ advance_seconds = 60 }
        $third = Enable-DefenderMachineIsolation ws-0001 -Comment 'INC-1' -Confirm:$false -Wait -WarningVariable warnings 3>$null
        Assert-Equal "$($third.id) $($third.status)" "$($first.id) Succeeded"
        Assert-Match $warnings 'already'
        # Lost on the way back: looked up, not sent again.
        Set-EmulatorFault @{ match = @{ path_contains = '/unisolate' }; do = @{ truncate = 5 } }
        $released = Disable-DefenderMachineIsolation ws-0001 -Comment 'INC-1 over' -Confirm:$false -WarningVariable warnings 3>$null
        Assert-Equal $released.type 'Unisolate'
        Assert-Match $warnings 'answer was lost'
        # Released already: told, and nothing is sent.
        $null = Invoke-Emulator POST clock @{ advance_seconds = 60 }
        $sent = @(Get-EmulatorRequest '/unisolate').Count
        $again = Disable-DefenderMachineIsolation ws-0001 -Comment 'INC-1 over' -Confirm:$false -WarningVariable warnings 3>$null
        Assert-Equal $again.id $released.id
        Assert-Match $warnings 'nothing was sent'
        Assert-Equal @(Get-EmulatorRequest '/unisolate').Count $sent
        Assert-Equal (Get-DefenderMachineAction -First 1).id $released.id 'the newest is first'
        # Another one of the kind is not this one.
        $null = Start-DefenderFileQuarantine ws-0001 -Sha1 ('a' * 40) -Comment c -Confirm:$false
        $got = Get-Recorded { Start-DefenderFileQuarantine ws-0001 -Sha1 ('b' * 40) -Comment c -Confirm:$false }
        Assert-Equal $got.Out.Count 0
        Assert-Equal $got.Errors[0].FullyQualifiedErrorId 'DefenderXdr.BUSY,Start-DefenderFileQuarantine'
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'Wait-DefenderMachineAction'
    }
    It 'scans, restricts, quarantines and tags' {
        Connect-TestDefender
        Assert-Equal (Start-DefenderMachineScan srv-web -Comment c -Type Full).scope 'Full'
        Assert-Equal (Enable-DefenderMachineRestriction srv-web -Comment c -Confirm:$false).type 'RestrictCodeExecution'
        Assert-Equal (Disable-DefenderMachineRestriction srv-web -Comment c -Confirm:$false).type 'UnrestrictCodeExecution'
        Assert-Equal (Start-DefenderFileQuarantine srv-web -Sha1 ('A' * 40) -Comment c -Confirm:$false).relatedFileInfo.fileIdentifier ('a' * 40)
        Assert-Match "$(Assert-Fails { Start-DefenderFileQuarantine srv-web -Sha1 'short' -Comment c -Confirm:$false } 'BAD_ARGUMENT' 'InvalidArgument')" '40 hexadecimal digits'
        Assert-Equal (Add-DefenderMachineTag srv-web -Tag Loan -PassThru).machineTags 'Tier 0', 'Web', 'Loan'
        Assert-Equal @(Get-DefenderMachine -Tag Loan | Remove-DefenderMachineTag -Tag Loan).Count 0
        Assert-Equal (Get-DefenderMachine srv-web).machineTags 'Tier 0', 'Web'
        Assert-Equal @(Add-DefenderMachineTag ws-0001 Pilot -WhatIf).Count 0
        Assert-Equal @(Get-Sent | Where-Object { $_ -like '*tags' }).Count 2
        Assert-Match (@(Add-DefenderMachineTag srv-web Loan -Verbose 4>&1) -join "`n") 'machine srv-web\.\S+ \([0-9a-f]{40}\) has the tags: Tier 0, Web, Loan'
        Assert-Match (@(Remove-DefenderMachineTag srv-web Loan -Verbose 4>&1) -join "`n") 'has the tags: Tier 0, Web$'
    }
}

Describe 'machine actions' {
    It 'are listed by what is wished, and got by id' {
        Connect-TestDefender
        $scan = Start-DefenderMachineScan ws-0001 -Comment c
        Assert-Equal @(Get-DefenderMachineAction).Count 2
        Assert-Equal (Get-DefenderMachineAction $scan.id).requestorComment 'c'
        Assert-Equal @(Get-DefenderMachineAction -Status Pending -Type RunAntiVirusScan).id $scan.id
        Assert-Equal @(Get-DefenderMachineAction -Since ([DateTime]::UtcNow.AddHours(-1))).id $scan.id
        Assert-Equal @(Get-DefenderMachine ws-0001, ws-0002 | Get-DefenderMachineAction).Count 2
        Assert-Equal @(Get-DefenderMachineAction -Machine ws-0001).id $scan.id
        Assert-Equal @($scan | Get-DefenderMachineAction).Count 1 'an action down the pipeline is looked at again'
        Assert-Equal @($scan | Get-DefenderMachine).id $One 'and names its machine'
        $got = Get-Recorded { Get-DefenderMachineAction none, $scan.id }
        Assert-Equal $got.Out.id $scan.id
        Assert-Equal $got.Errors[0].FullyQualifiedErrorId 'DefenderXdr.NOT_FOUND,Get-DefenderMachineAction'
        Assert-Match ($scan | Out-String -Width 200) 'id\s+type\s+status\s+computerDnsName\s+creationDateTimeUtc'
        # A machine's name where the id of an action belongs.
        $got = Get-Recorded { Get-DefenderMachineAction ws-0001 }
        foreach ($record in $got.Errors[0], (Assert-Fails { Get-DefenderMachineAction ws-0001.corp.fabrikam.example } BAD_ARGUMENT)) {
            Assert-Match $record.ErrorDetails.RecommendedAction 'the actions of a machine are listed by .*-Machine' "$record"
        }
    }
    It 'are waited for, cancelled, and an error when they end otherwise' {
        Connect-TestDefender
        $actions = @(Get-DefenderMachine ws-0001, srv-web | Start-DefenderMachineScan -Comment c)
        Assert-Equal @($actions[0] | Stop-DefenderMachineAction -Comment 'not now' -WhatIf).Count 0
        $cancelled = $actions[0] | Stop-DefenderMachineAction -Comment 'not now' -Confirm:$false -PassThru
        Assert-Equal "$($cancelled.status) $($cancelled.cancellationComment)" 'Cancelled not now'
        $got = Get-Recorded { $actions[0].id, 'none' | Stop-DefenderMachineAction -Comment x -Confirm:$false }
        Assert-Equal $got.Errors.Count 2
        Assert-Match "$($got.Errors[0])" 'ended already'
        $null = Invoke-Emulator POST clock @{ advance_seconds = 60 }
        $got = Get-Recorded { $actions | Wait-DefenderMachineAction -Interval 1 }
        Assert-Equal $got.Out.status 'Cancelled', 'Succeeded'
        Assert-Equal $got.Errors[0].FullyQualifiedErrorId 'DefenderXdr.ACTION_FAILED,Wait-DefenderMachineAction'
        Assert-Match "$($got.Errors[0])" 'ws-0001.*ended as Cancelled'
        # What starts an action hands it on, and the wait has something to wait for.
        $null = Invoke-Emulator DELETE requests
        $got = Get-Recorded { Enable-DefenderMachineIsolation srv-web -Comment c -Confirm:$false | Wait-DefenderMachineAction -Interval 1 -Timeout 1 }
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.TIMEOUT,Wait-DefenderMachineAction'
        $null = Invoke-Emulator POST clock @{ advance_seconds = 60 }
        Assert-Equal (Enable-DefenderMachineIsolation srv-web -Comment c -Confirm:$false 3>$null | Wait-DefenderMachineAction).status 'Succeeded'
        # The time is up: that is told of each, and they go on.
        $more = @('ws-0001', 'ws-0002' | Start-DefenderMachineScan -Comment c -Type Full)
        $got = Get-Recorded { $more | Wait-DefenderMachineAction -Interval 5 -Timeout 1 }
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.TIMEOUT,Wait-DefenderMachineAction', 'DefenderXdr.TIMEOUT,Wait-DefenderMachineAction'
        Assert-Equal @(Get-DefenderMachineAction -Status Pending, InProgress).Count 2
    }
    It 'go on after Ctrl+C, which is said' {
        Connect-TestDefender
        $script = @'
$connect = @{ TenantId = 'TENANT'; ClientId = 'CLIENT'; ClientSecret = (ConvertTo-SecureString 'SECRET' -AsPlainText -Force) }
$null = Connect-Defender @connect 3>$null
$shell = [powershell]::Create([runspacefactory]::CreateRunspace($Host))
$shell.Runspace.Open()
$shell.Runspace.SessionStateProxy.SetVariable('connect', $connect)
$null = $shell.AddScript("Import-Module '$((Get-Module DefenderXdr).Path.Replace("'", "''"))'" + '; $null = Connect-Defender @connect 3>$null; Enable-DefenderMachineIsolation ws-0001, ws-0002 -Comment c -Confirm:$false -Wait')
$running = $shell.BeginInvoke()
$watch = [Diagnostics.Stopwatch]::StartNew()
function Test-Time { if ($watch.Elapsed.TotalSeconds -gt 30) { throw "waited in vain: $($shell.Streams.Error) $($shell.InvocationStateInfo.Reason)" } }
while (@(Get-DefenderMachineAction -Type Isolate).Count -lt 2) { Test-Time }
# The wait has begun once one of them was looked at.
while (-not (Invoke-RestMethod -Uri 'ORIGIN/.emulator/requests' -Headers @{ 'x-emulator-key' = 'KEY' } | ForEach-Object { $_ } | Where-Object path -match '/machineactions/[0-9a-f]')) { Test-Time }
$watch.Restart()
$shell.Stop()
"stopped in $($watch.ElapsedMilliseconds) ms"
@(Get-DefenderMachineAction -Type Isolate -Status Pending, InProgress).id | ForEach-Object { "left: $_" }
'@.Replace('TENANT', $Emulator.tenant_id).Replace('CLIENT', $Emulator.confidential_client_id).Replace('SECRET', $RunbookSecretText).Replace('ORIGIN', $Emulator.origin).Replace('KEY', $Emulator.key)
        $ran = Invoke-PowerShell $script
        $left = @([regex]::Matches($ran.Out, 'left: (\S+)') | ForEach-Object { $_.Groups[1].Value })
        Assert-Equal $left.Count 2 $ran.Err
        $said = ($ran.Out + $ran.Err) -replace '\s+', ' '
        Assert-Match $said 'No longer waiting; these machine actions go on'
        foreach ($id in $left) { Assert-Match $said "go on:.*$id" }
        Assert-True ($ran.Out -match 'stopped in (?<ms>\d+) ms' -and [int] $Matches['ms'] -lt 2000) $ran.Out
    }
}
