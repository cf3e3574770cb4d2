# What commands take from their caller besides parameters: preferences of a script, objects of another kind, words in another case.

if ($null -eq $Emulator) { return }

$One = 'b66ec7f8162f3b2f20a898db8c63bef560e7e703'

function New-CallerScript {
    # A script file with -WhatIf and -Confirm of its own, as people write them.
    param([string] $Text)
    $file = [IO.Path]::Combine([IO.Path]::GetTempPath(), [IO.Path]::GetRandomFileName() + '.ps1')
    [IO.File]::WriteAllText($file, "[CmdletBinding(SupportsShouldProcess)] param()`n$Text")
    $file
}

Describe 'preferences of the calling script' {
    It 'count: -WhatIf of a script changes nothing, in any command that changes something' {
        Connect-TestDefender
        $calls = [ordered]@{
            'Enable-DefenderMachineIsolation'     = 'ws-0001 -Comment c'
            'Disable-DefenderMachineIsolation'    = 'ws-0001 -Comment c'
            'Enable-DefenderMachineRestriction'   = 'ws-0001 -Comment c'
            'Disable-DefenderMachineRestriction'  = 'ws-0001 -Comment c'
            'Start-DefenderMachineScan'           = 'ws-0001 -Comment c'
            'Start-DefenderFileQuarantine'        = "ws-0001 -Comment c -Sha1 $One"
            'Add-DefenderMachineTag'              = 'ws-0001 -Tag t'
            'Remove-DefenderMachineTag'           = 'ws-0001 -Tag t'
            'Stop-DefenderMachineAction'          = '00000000-0000-4000-9000-000000000001 -Comment c'
            'Set-DefenderIncident'                = '3000000417 -Status Active'
            'Set-DefenderAlert'                   = 'da638000000000000001_1001 -Status New'
            'Add-DefenderIndicator'               = '192.0.2.1 -Type IpAddress -Action Block -Title t -Description d'
            'Remove-DefenderIndicator'            = '991'
            'Import-DefenderIndicator'            = "@{ indicatorValue = '192.0.2.1'; indicatorType = 'IpAddress'; action = 'Block'; title = 't'; description = 'd' }"
            'Invoke-DefenderRequest'              = 'Endpoint machines/x/tags -Method POST -Body @{ a = 1 }'
            'Disconnect-Defender'                 = ''
            'Clear-AdalTokenCache'                = ''
            'Clear-MsalTokenCache'                = ''
            'Clear-DefenderTokenCache'            = ''
            'Remove-DefenderAccount'              = 'diego@fabrikam.example'
            'Export-DefenderRefreshToken'         = 'diego@fabrikam.example'
        }
        $changing = @(Get-Command -Module DefenderXdr | Where-Object { $_.Parameters.ContainsKey('WhatIf') } | ForEach-Object Name)
        Assert-Equal (@($calls.Keys) | Sort-Object) ($changing | Sort-Object) 'a command is not tried here'
        $null = Invoke-Emulator DELETE requests
        $file = New-CallerScript (@(foreach ($name in $calls.Keys) { "$name $($calls[$name])" -replace '(Import-DefenderIndicator) (@.*)', '$2 | $1' }) -join "`n")
        try { & $file -WhatIf 6>$null }
        finally { [IO.File]::Delete($file) }
        Assert-Equal @(Get-Sent).Count 0 "something was sent: $(Get-Sent)"
        Assert-True (Get-DefenderContext) 'the connection is gone'
        $null = Invoke-Emulator DELETE requests
        $null = Get-DefenderIncident -First 1
        Assert-Equal @(Get-EmulatorRequest 'oauth2').Count 0 'the cache was cleared'
    }
    It 'count: -Confirm:$false of a script asks nobody, and $ErrorActionPreference of a script ends it' {
        Connect-TestDefender
        $file = New-CallerScript "`$null = Enable-DefenderMachineIsolation ws-0001 -Comment c`n`$ErrorActionPreference = 'Stop'`nGet-DefenderMachine nobody, ws-0001"
        try { $got = Get-Recorded { try { & $file -Confirm:$false } catch { "caught $($_.FullyQualifiedErrorId)" } } }
        finally { [IO.File]::Delete($file) }
        Assert-Equal $got.Out 'caught DefenderXdr.NOT_FOUND,Get-DefenderMachine'
        Assert-Equal @(Get-Sent) "POST /api/machines/$One/isolate"
    }
}

Describe 'a confirmation that nobody can give' {
    It 'ends every command that asks, in words that say what to give, and nothing is done' {
        Connect-TestDefender
        $null = Invoke-Emulator DELETE requests
        $connect = "`$null = Connect-Defender -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.confidential_client_id) -ClientSecret (ConvertTo-SecureString '$RunbookSecretText' -AsPlainText -Force) 3>`$null; `$Error.Clear()"
        $calls = [ordered]@{
            'Enable-DefenderMachineIsolation'    = 'ws-0001, ws-0002 -Comment c'
            'Disable-DefenderMachineIsolation'   = 'ws-0001 -Comment c'
            'Enable-DefenderMachineRestriction'  = 'ws-0001 -Comment c'
            'Disable-DefenderMachineRestriction' = 'ws-0001 -Comment c'
            'Start-DefenderFileQuarantine'       = "ws-0001 -Comment c -Sha1 $One"
            'Stop-DefenderMachineAction'         = '00000000-0000-4000-9000-000000000001 -Comment c'
            'Remove-DefenderIndicator'           = '991, 992'
            # Those that ask only where they are told to.
            'Set-DefenderIncident'               = '3000000417 -Status Active -Confirm'
            'Set-DefenderAlert'                  = 'da638000000000000001_1001 -Status New -Confirm'
            'Add-DefenderIndicator'              = '192.0.2.1 -Type IpAddress -Action Block -Title t -Description d -Confirm'
            'Import-DefenderIndicator'           = '-InputObject @{ indicatorValue = ''a.example''; indicatorType = ''DomainName'' } -Action Block -Title t -Description d -Confirm'
            'Invoke-DefenderRequest'             = 'Endpoint machines/x/tags -Method POST -Body @{ a = 1 } -Confirm'
            'Add-DefenderMachineTag'             = 'ws-0001 t -Confirm'
            'Clear-DefenderTokenCache'           = '-Confirm'
            'Export-DefenderRefreshToken'        = 'diego@fabrikam.example -Confirm'
            'Remove-DefenderAccount'             = 'diego@fabrikam.example -Confirm'
            'Clear-AdalTokenCache'               = '-Confirm'
            'Clear-MsalTokenCache'               = '-Confirm'
            'Disconnect-Defender'                = '-Confirm'
        }
        $asking = @(Get-Command -Module DefenderXdr | Where-Object { $_.ScriptBlock.Attributes | Where-Object { $_ -is [System.Management.Automation.CmdletBindingAttribute] -and "$($_.ConfirmImpact)" -eq 'High' } } | ForEach-Object Name)
        foreach ($name in $asking) { Assert-True $calls.Contains($name) "$name is not tried here" }
        $tries = @(foreach ($name in $calls.Keys) { "try { $name $($calls[$name]); 'done $name' } catch { `"`$(`$_.FullyQualifiedErrorId)|`$(`$_.CategoryInfo.Category)|`$_|`$(`$_.ErrorDetails.RecommendedAction)|`$(`$Error.Count)`"; `$Error.Clear() }" })
        # A host without a person, and one whose input is at its end.
        foreach ($switches in @('-NoProfile', '-NonInteractive'), @('-NoProfile')) {
            $ran = Invoke-PowerShell "$connect`n$($tries -join "`n")" $switches
            $said = @($ran.Out -split "`r?`n" | Where-Object { $_ -like '*DefenderXdr.*|*' -or $_ -like 'done *' })
            Assert-Equal $said.Count $calls.Count "$($ran.Out) $($ran.Err)"
            $at = 0
            foreach ($name in $calls.Keys) {
                # The prompt may stand before it on the line.
                $parts = ($said[$at] -replace '^.*(?=DefenderXdr\.CONF)') -split '\|'
                Assert-Equal $parts[0] "DefenderXdr.CONFIRMATION_REQUIRED,$name" "$name $($said[$at])"
                Assert-Equal $parts[1] 'InvalidOperation'
                Assert-Match $parts[2] "^$name asks before it acts"
                Assert-Match $parts[3] '-Confirm:\$false.*-WhatIf'
                Assert-Equal $parts[4] '1' 'records in $Error'
                $at++
            }
        }
        Assert-Equal @(Get-Sent).Count 0 "something was sent: $(Get-Sent)"
    }
}

Describe 'what is no id' {
    It 'is told in plain words, and ends the command before anything is done' {
        Connect-TestDefender
        $null = Invoke-Emulator DELETE requests
        $long = 'x' * 300 + '/'
        $tries = [ordered]@{
            "Get-DefenderMachine '@{id=1}'"                                                     = "^'@\{id=1\}' is not a machine's id \(40 hexadecimal digits\) or its name$"
            "Enable-DefenderMachineIsolation 'ws 1' -Comment c -Confirm:`$false"                = "'ws 1' is not a machine's id"
            "Enable-DefenderMachineIsolation ws-0001, 'ws/1' -Comment c -Confirm:`$false"       = "'ws/1' is not a machine's id"
            "Add-DefenderMachineTag '$long' t"                                                  = "^'x{77}\.\.\.' is not a machine's id"
            "Get-DefenderMachineAction -Machine 'a;b'"                                          = "'a;b' is not a machine's id"
            "Get-DefenderMachineAction 'a/b'"                                                   = "'a/b' is not a machine action's id"
            "Wait-DefenderMachineAction 'a b'"                                                  = "'a b' is not a machine action's id"
            "Stop-DefenderMachineAction '' -Comment c -Confirm:`$false"                         = ''
            "Stop-DefenderMachineAction 'a b' -Comment c -Confirm:`$false"                      = "'a b' is not a machine action's id"
            "Set-DefenderAlert 'da638 1' -Status New"                                           = "'da638 1' is not an alert's id"
            "Get-DefenderAlert 'da638/1'"                                                       = "'da638/1' is not an alert's id"
            "Remove-DefenderIndicator '@{id=991}' -Confirm:`$false"                             = "'@\{id=991\}' is not an indicator's id"
        }
        foreach ($text in $tries.Keys) {
            $record = Assert-Fails ([scriptblock]::Create($text))
            Assert-NotMatch "$record" 'pattern|\[0-9A-Za-z' $text
            if (-not $tries[$text]) { continue }
            Assert-Match $record.FullyQualifiedErrorId '^DefenderXdr\.BAD_ARGUMENT,' $text
            Assert-Match "$record" $tries[$text] $text
            Assert-Match $record.ErrorDetails.RecommendedAction 'as Get-Defender\w+ shows it' $text
        }
        Assert-Equal @(Get-EmulatorRequest '/api/').Count 0 'something was asked'
    }
    It 'tells of an alert about no machine, an incident, and nothing at all' {
        Connect-TestDefender
        $null = Invoke-Emulator DELETE requests
        $alerts = foreach ($number in 1..2) { [pscustomobject]@{ PSTypeName = 'DefenderXdr.EndpointAlert'; id = "da$number"; incidentId = 7; machineId = $null; computerDnsName = $null; title = 'mail' } }
        $list = (Get-Command -Module DefenderXdr -CommandType Function | Where-Object { $_.Parameters.ContainsKey('Machine') -and $_.Name -ne 'Get-DefenderMachineAction' }).Name
        Assert-Equal @($list).Count 9
        foreach ($machineCommand in $list) {
            $machineMore = @{}
            if ($machineCommand -ne 'Get-DefenderMachine') { $machineMore = @{ WhatIf = $true } }
            if ((Get-Command $machineCommand).Parameters.ContainsKey('Comment')) { $machineMore['Comment'] = 'c' }
            if ((Get-Command $machineCommand).Parameters.ContainsKey('Sha1')) { $machineMore['Sha1'] = 'a' * 40 }
            if ((Get-Command $machineCommand).Parameters.ContainsKey('Tag') -and $machineCommand -ne 'Get-DefenderMachine') { $machineMore['Tag'] = 't' }
            $got = Get-Recorded { $alerts | & $machineCommand @machineMore }
            Assert-Equal @($got.Errors | ForEach-Object { "$_" }) 'alert da1 is about no machine', 'alert da2 is about no machine' $machineCommand
            Assert-Equal $got.Errors[0].FullyQualifiedErrorId "DefenderXdr.BAD_ARGUMENT,$machineCommand"
            Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'Where-Object machineId' $machineCommand
            foreach ($try in { & $machineCommand -Machine $null @machineMore }, { & $machineCommand -Machine @() @machineMore }, { & $machineCommand -Machine '' @machineMore }) {
                $record = Assert-Fails $try BAD_ARGUMENT InvalidArgument
                Assert-Match "$record" 'no machine is named' "$machineCommand $try"
            }
            $null = Assert-Fails { & $machineCommand -Machine ws-0001, '' @machineMore } BAD_ARGUMENT
            $got = Get-Recorded { [pscustomobject]@{ mdatpDeviceId = $null; deviceDnsName = 'x' } | & $machineCommand @machineMore }
            Assert-Match "$($got.Errors[0])" 'names no machine; its members are: mdatpDeviceId' $machineCommand
            Assert-Equal $got.Errors.Count 1 $machineCommand
        }
        Assert-Equal @(Get-EmulatorRequest '/api/').Count 0 'something was asked'
        $got = Get-Recorded { Get-DefenderIncident 3000000417 | Enable-DefenderMachineIsolation -Comment c -WhatIf }
        Assert-Equal $got.Errors.Count 1
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction '\(Get-DefenderIncident 3000000417\)\.alerts\.devices \| Enable-DefenderMachineIsolation$'
        # An alert that has a name and no id is about a machine.
        $alerts[1].computerDnsName = 'ws-0001'
        $got = Get-Recorded { $alerts | Get-DefenderMachine }
        Assert-Equal "$($got.Errors.Count) $($got.Out.id)" "1 $One"
    }
    It 'is an error of its own down the pipeline, and what the object names is used' {
        Connect-TestDefender
        $got = Get-Recorded { [pscustomobject]@{ x = 1; y = 2 }, 'a b', 'ws-0001' | Get-DefenderMachine }
        Assert-Equal $got.Out.id $One
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.BAD_ARGUMENT,Get-DefenderMachine', 'DefenderXdr.BAD_ARGUMENT,Get-DefenderMachine'
        Assert-Equal "$($got.Errors[0])" 'an object came down the pipeline that names no machine; its members are: x, y'
        Assert-Match "$($got.Errors[1])" "^'a b' is not"
        foreach ($try in { [pscustomobject]@{ x = 1 } | Enable-DefenderMachineIsolation -Comment c -Confirm:$false }, { [pscustomobject]@{ x = 1 } | Remove-DefenderIndicator -Confirm:$false },
            { [pscustomobject]@{ x = 1 } | Set-DefenderAlert -Status New }, { [pscustomobject]@{ x = 1 } | Get-DefenderAlert }, { [pscustomobject]@{ x = 1 } | Wait-DefenderMachineAction },
            { [pscustomobject]@{ x = 1 } | Stop-DefenderMachineAction -Comment c -Confirm:$false }, { [pscustomobject]@{ x = 1 } | Get-DefenderMachineAction }, { Get-DefenderIncident 3000000417 | Get-DefenderMachine }) {
            $got = Get-Recorded $try
            Assert-Equal "$($got.Out.Count) $($got.Errors.Count)" '0 1' "$try"
            Assert-Match "$($got.Errors[0])" 'names no (machine|alert|indicator)' "$try"
        }
        # A number is no text, but it names the indicator all the same.
        [pscustomobject]@{ id = 991 } | Remove-DefenderIndicator -Confirm:$false
        Assert-Equal @(Get-Sent) 'DELETE /api/indicators/991'
    }
}

Describe 'objects of another kind down the pipeline' {
    It 'are errors: the number of one thing is not taken for another''s' {
        Connect-TestDefender
        $null = Invoke-Emulator DELETE requests
        # An indicator whose number is an incident's.
        $indicator = & (Get-Module -Name DefenderXdr) { ConvertTo-DefenderIndicator '{"id":"3000000417","indicatorValue":"a.example"}' }
        $machine = Get-DefenderMachine $One
        $action = Get-DefenderMachineAction 00000000-0000-4000-9000-000000000001
        $process = Get-Process -Id $PID
        $tries = @(
            { $indicator | Set-DefenderIncident -Status Resolved }, { $process | Set-DefenderIncident -Status Resolved }, { $indicator | Get-DefenderIncident },
            { $indicator | Select-Object id | Get-DefenderIncident -NoFollow | Out-Null; $machine | Set-DefenderAlert -Status New }, { $machine | Get-DefenderAlert },
            { $indicator | Enable-DefenderMachineIsolation -Comment c -Confirm:$false }, { @{ machineId = $One } | Enable-DefenderMachineIsolation -Comment c -Confirm:$false },
            { $action | Remove-DefenderIndicator -Confirm:$false }, { $machine | Stop-DefenderMachineAction -Comment c -Confirm:$false }, { $machine | Wait-DefenderMachineAction }
        )
        foreach ($try in $tries) {
            $got = Get-Recorded $try
            Assert-Equal $got.Out.Count 0 "$try"
            Assert-Equal $got.Errors.Count 1 "$try"
            Assert-Match $got.Errors[0].FullyQualifiedErrorId '^DefenderXdr\.BAD_ARGUMENT,' "$try"
            Assert-Match "$($got.Errors[0])" 'which names no'
        }
        Assert-Equal @(Get-Sent).Count 0 "something was sent: $(Get-Sent)"
    }
    It 'are errors too when Select-Object had them, which puts a name of its own before the type''s' {
        Connect-TestDefender
        foreach ($try in { Get-DefenderIndicator | Select-Object -First 1 | Set-DefenderIncident -Status Resolved -Confirm:$false }, { Get-DefenderIncident | Select-Object -First 1 | Remove-DefenderIndicator -Confirm:$false },
            { Get-DefenderMachine | Select-Object -Last 1 | Set-DefenderAlert -Status New }, { Get-DefenderIndicator | Select-Object -First 1 | Add-DefenderIndicator -Type Url -Action Block -Title t -Description d }) {
            $got = Get-Recorded $try
            Assert-Equal "$($got.Out.Count) $($got.Errors.Count)" '0 1' "$try"
            Assert-Match $got.Errors[0].FullyQualifiedErrorId '^DefenderXdr\.BAD_ARGUMENT,' "$try"
            Assert-Match "$($got.Errors[0])" 'an object of the type DefenderXdr\.\w+ came' "$try"
        }
        Assert-Equal @(Get-Sent).Count 0 "something was sent: $(Get-Sent)"
    }
    It 'are what they are when Select-Object had them' {
        Connect-TestDefender
        $whole = @(Get-DefenderIncident -First 5 | Get-DefenderAlert).id
        Assert-True ($whole.Count -gt 0)
        Assert-Equal @(Get-DefenderIncident | Select-Object -First 5 | Get-DefenderAlert).id $whole
        $isolated = Enable-DefenderMachineIsolation ws-0001 -Comment a -Confirm:$false
        $null = Start-DefenderMachineScan ws-0001 -Comment b -Confirm:$false
        Assert-Equal @($isolated | Select-Object -First 1 | Get-DefenderMachineAction).id $isolated.id
        Assert-Equal @($isolated | Get-DefenderMachineAction).id $isolated.id 'the object itself is changed by Select-Object'
        # Its name is another machine's too.
        $twin = Get-DefenderMachine | Where-Object computerDnsName -Like 'twin*' | Select-Object -First 1
        $got = Get-Recorded { $twin | Get-DefenderMachineAction }
        Assert-Equal $got.Errors.Count 0 "$($got.Errors)"
    }
    It 'are taken where they name what is meant' {
        Connect-TestDefender
        $incident = Get-DefenderIncident 3000000417
        $copy = [System.Management.Automation.PSSerializer]::Deserialize([System.Management.Automation.PSSerializer]::Serialize($incident))
        foreach ($piped in $incident, $copy, ($incident | Select-Object incidentId), [pscustomobject]@{ Id = 3000000417 }, '3000000417', 3000000417) {
            Assert-Equal ($piped | Set-DefenderIncident -Comment c -PassThru).incidentId 3000000417
        }
        Assert-Equal @(Get-Sent).Count 6
    }
    It 'change an incident once, however often it is named' {
        Connect-TestDefender
        $alerts = 1..3 | ForEach-Object { [pscustomobject]@{ incidentId = 3000000417; alertId = "a$_" } }
        $merged = Get-DefenderIncident 811203 -NoFollow
        $said = @($alerts + $merged | Set-DefenderIncident -Comment once 3>&1)
        Assert-Match "$said" 'incident 811203 was merged into incident 3000000417'
        Assert-Equal @(Get-Sent) 'PATCH /api/incidents/3000000417'
    }
}

Describe 'words of the services' {
    It 'may be typed in any case' {
        Connect-TestDefender
        Assert-Equal @(Get-DefenderMachine -HealthStatus active).Count 4
        Assert-Equal @(Get-DefenderAlert -Status new -Severity HIGH).Count @(Get-DefenderAlert -Status New -Severity High).Count
        Assert-Equal (Enable-DefenderMachineIsolation ws-0001 -Type selective -Comment c -Confirm:$false).scope 'Selective'
        Assert-Equal (Add-DefenderIndicator 192.0.2.9 -Type ipaddress -Action block -Title t -Description d -PassThru | ForEach-Object { "$($_.indicatorType) $($_.action)" }) 'IpAddress Block'
    }
    It 'that nobody knows are told where they filter a list, and go out as they are' {
        Connect-TestDefender
        $said = @(Get-DefenderIncident -Status Actve, Active -First 1 3>&1)
        Assert-Match "$($said[0])" '^-Status Actve: .*Active, InProgress, Resolved, Redirected\. Nothing will match unless the service knows it\.$'
        Assert-Equal $said.Count 2
        Assert-Match (@(Get-EmulatorRequest 'api/incidents')[-1].query.'$filter') "status eq 'Actve'"
    }
    It 'that nobody knows are an error where they are compared on this side' {
        Connect-TestDefender
        foreach ($try in { Get-DefenderIncident -Severity High, Hgh }, { Watch-DefenderIncident -Severity Hgh -Rounds 1 }) {
            $record = Assert-Fails $try BAD_ARGUMENT InvalidArgument
            Assert-Equal "$record" '-Severity Hgh is none of Informational, Low, Medium, High, UnSpecified'
            Assert-Match $record.ErrorDetails.RecommendedAction '-Severity'
        }
        Assert-Equal @(Get-EmulatorRequest '/api/incidents').Count 0
    }
    It 'that nobody knows are told before a change, and named where the service refuses it' {
        Connect-TestDefender
        $said = @(Set-DefenderIncident 3000000417 -Status Resolvd -WhatIf 3>&1)
        Assert-Equal "$($said[0])" "-Status Resolvd: Microsoft's pages know only Active, InProgress, Resolved. What they do not know may be refused."
        $got = Get-Recorded { Set-DefenderIncident 3000000417 -Status Resolvd -Classification truepositive 3>$null }
        Assert-Equal $got.Errors[0].FullyQualifiedErrorId 'DefenderXdr.BAD_ARGUMENT,Set-DefenderIncident'
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'Resolvd is none of Active, InProgress, Resolved \(Redirected is given by the service alone\)$'
        Assert-Match "$(Set-DefenderAlert da638000000000000001_1001 -Determination Malwere -WhatIf 3>&1)" '^-Determination Malwere: .*Malware, Phishing'
        Assert-Equal @(Set-DefenderAlert da638000000000000001_1001 -Status resolved -Classification falsepositive -Determination notmalicious -WhatIf 3>&1).Count 0
        Assert-Match "$(Add-DefenderIndicator 192.0.2.9 -Type IpAddress -Action Blok -Severity Hihg -Title t -Description d -WhatIf 3>&1)" '-Action Blok: .*-Severity Hihg: '
    }
    It 'are an error where there are none: an empty wish is not everything' {
        Connect-TestDefender
        $nothing = $null
        $none = @()
        foreach ($try in { Get-DefenderIncident -AssignedTo $nothing }, { Get-DefenderIncident -AssignedTo $none }, { Watch-DefenderIncident -AssignedTo $none -Rounds 1 }, { Get-DefenderAlert -IncidentId $none }, { Get-DefenderAlert -IncidentId $nothing },
            { Get-DefenderIncident -Filter $nothing }, { Get-DefenderIncident -Filter '' }, { Watch-DefenderIncident -Filter $nothing -Rounds 1 }, { Get-DefenderAlert -Filter $nothing }, { Get-DefenderMachine -Filter $nothing },
            { Get-DefenderMachineAction -Filter $nothing }, { Get-DefenderIndicator -Filter $nothing }, { Get-DefenderMachine -Tag $none }, { Get-DefenderIndicator -Value $none }) {
            Assert-Match (Assert-Fails $try).FullyQualifiedErrorId '^ParameterArgumentValidationError' "$try"
        }
        Assert-Equal @(Get-EmulatorRequest '/api/').Count 0
    }
}
