# Alerts of Defender for Endpoint.

$inModule = Get-Module -Name DefenderXdr

Describe 'alert objects of Defender for Endpoint' {
    It 'have every documented member, exact numbers and times, and show as a table' {
        Set-StrictMode -Version Latest
        $alert = & $inModule { ConvertTo-DefenderEndpointAlert '{"id":"da1","title":"a\u001b]0;x\u0007b","severity":"FutureSeverity","status":"New","alertCreationTime":"2026-09-13T23:59:59.9999999Z","investigationId":4294967302,"comments":null,"evidence":[{"evidenceCreationTime":"2026-09-13T23:59:59Z","x":1}]}' }
        Assert-Equal $alert.PSTypeNames[0] 'DefenderXdr.EndpointAlert'
        Assert-True ($null -eq $alert.assignedTo -and $alert.comments -is [object[]] -and $alert.mitreTechniques.Length -eq 0)
        Assert-Equal $alert.investigationId 4294967302
        Assert-Equal $alert.alertCreationTime.ToString('o') '2026-09-13T23:59:59.9999999Z'
        Assert-Equal $alert.evidence[0].evidenceCreationTime.ToString('o') '2026-09-13T23:59:59.0000000Z'
        $table = ($alert | Out-String -Width 200) -split "`n" | Where-Object { $_.Trim() }
        Assert-Match $table[0] '^id\s+severity\s+status\s+title\s+alertCreationTime\s+computerDnsName'
        Assert-Match $table[2] '^da1\s+FutureSeveri.*New\s+a \]0;x b\s+2026-09-13 23:59'
    }
}

if ($null -eq $Emulator) { return }

$A1 = 'da638000000000000001_1001'
$A2 = 'da638000000000000002_1002'
$A3 = 'da638000000000000003_1003'

Describe 'Get-DefenderAlert' {
    It 'lists alerts by what is wished, and gets single ones' {
        Connect-TestDefender
        Assert-Equal @(Get-DefenderAlert).Count 5
        Assert-Equal @(Get-DefenderAlert -Severity High -Status New).id $A1, $A3
        Assert-Equal @(Get-DefenderAlert -IncidentId 811099, 811098).id $A1, $A2
        # One that there is not is told from one without alerts.
        $record = Assert-Fails { Get-DefenderAlert -IncidentId 77777701 -ErrorAction Stop } NOT_FOUND ObjectNotFound
        Assert-Match "$record" '77777701'
        Assert-Equal @(Get-DefenderAlert -IncidentId 811203 -ErrorAction Stop).Count 0
        # An incident's number in the place of an alert's id, and incidents of a table.
        foreach ($try in { Get-DefenderAlert 811099 }, { Get-DefenderAlert 811099 -Evidence }) {
            $got = Get-Recorded $try
            Assert-Match $got.Errors[0].FullyQualifiedErrorId '^DefenderXdr\.NOT_FOUND,Get-DefenderAlert' "$try"
            Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'listed by -IncidentId 811099' "$try"
        }
        Assert-NotMatch (Get-Recorded { Get-DefenderAlert nobody_1 }).Errors[0].ErrorDetails.RecommendedAction 'IncidentId'
        $got = Get-Recorded { [pscustomobject]@{ incidentId = '811099'; incidentName = 'n' } | Get-DefenderAlert }
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'Get-DefenderAlert -IncidentId \$_\.incidentId'
        Assert-Equal @(Get-DefenderAlert -Since ([DateTime]::new(2026, 9, 14, 0, 0, 0, [DateTimeKind]::Utc))).Count 2
        Assert-Equal @(Get-DefenderAlert -UpdatedSince ([DateTime]::new(2026, 9, 14, 6, 0, 0, [DateTimeKind]::Utc)) -Category Execution).id $A1
        Assert-Equal @(Get-DefenderAlert -Filter "status eq 'Resolved'" -PageSize 1).Count 1
        Assert-Equal @(Get-DefenderAlert -First 2).Count 2
        Assert-Equal @(Get-DefenderAlert -First 1)[0].evidence.Count 0
        Assert-Equal @(Get-DefenderAlert -First 1 -Evidence)[0].evidence[0].fileName 'tool1.exe'
        Assert-Equal (Get-DefenderAlert $A1 -Evidence).evidence.Count 1
        Assert-Equal ($A2, $A1 | Get-DefenderAlert).incidentId 811098, 811099
        Assert-Equal (Get-DefenderIncident 811099 | Get-DefenderAlert -Evidence).id $A1 'the alerts of an incident'
        $all = @(Get-DefenderIncident | Get-DefenderAlert)
        Assert-True ($all.Count -gt 1)
        Assert-Equal @(Get-DefenderIncident | Get-DefenderAlert -Status New).id @($all | Where-Object status -EQ 'New').id 'those of the incidents that are new'
        Assert-Equal @(Get-DefenderIncident | Select-Object -First 120 | Get-DefenderAlert -Severity High -Filter "status eq 'New'").id @($all | Where-Object { $_.status -eq 'New' -and $_.severity -eq 'High' }).id
        $null = Assert-Fails { $A1 | Get-DefenderAlert -Status New -ErrorAction Stop }
        Assert-Equal @($all | Get-DefenderAlert -Evidence).id $all.id 'alerts are looked at again, and not taken for their incidents'
        Assert-Match (Get-DefenderAlert $A1 -Raw) '"id":\s*"da638'
        $got = Get-Recorded { Get-DefenderAlert none, $A1; Get-DefenderAlert none -Evidence }
        Assert-Equal $got.Out.id $A1
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.NOT_FOUND,Get-DefenderAlert', 'DefenderXdr.NOT_FOUND,Get-DefenderAlert'
        $null = Assert-Fails { Get-DefenderAlert -Filter 'colour eq 1' } 'BAD_FILTER' 'InvalidArgument'
    }
}

Describe 'Set-DefenderAlert' {
    It 'changes one alert by itself and several in a batch' {
        Connect-TestDefender
        $one = Set-DefenderAlert $A1 -Status InProgress -AssignedTo adele@fabrikam.example -Comment 'Looking "at" it' -PassThru
        Assert-Equal "$($one.status) $($one.assignedTo) $($one.comments[0].comment)" 'InProgress adele@fabrikam.example Looking "at" it'
        Assert-True ($null -eq (Set-DefenderAlert $A1 -AssignedTo '' -PassThru).assignedTo) 'the owner is still there'
        Assert-Equal @(Get-Sent).Count 2
        $null = Invoke-Emulator DELETE requests
        # From incidents' alerts, by name of the member, each once.
        $all = @(@(Get-DefenderAlert -Status New) + [pscustomobject]@{ alertId = $A2 } + [pscustomobject]@{ alertId = $A2.ToUpperInvariant() } | Set-DefenderAlert -Status Resolved -Classification FalsePositive -Determination NotMalicious -PassThru)
        Assert-Equal ($all | ForEach-Object { "$($_.status) $($_.classification)" } | Sort-Object -Unique) 'Resolved FalsePositive'
        Assert-Equal @(Get-Sent) 'POST /api/alerts/batchUpdate'
        Assert-Equal @(Get-DefenderAlert | Set-DefenderAlert -Status New -WhatIf).Count 0
        Assert-Equal @(Get-Sent).Count 1
        $null = Assert-Fails { Set-DefenderAlert $A1 } 'BAD_ARGUMENT' 'InvalidArgument'
    }
    It 'tells of each alert that cannot be changed, and changes the others' {
        Connect-TestDefender
        $got = Get-Recorded { $A1, 'none', $A3 | Set-DefenderAlert -Status Resolved -PassThru }
        Assert-Equal ($got.Out | ForEach-Object { "$($_.id) $($_.status)" }) "$A1 Resolved", "$A3 Resolved"
        Assert-Equal $got.Errors.Count 1
        Assert-Match "$($got.Errors[0])" 'none'
        Assert-Equal $got.Errors[0].TargetObject 'none'
        # A comment would come twice.
        $got = Get-Recorded { $A1, 'none', $A3 | Set-DefenderAlert -Comment 'once' }
        Assert-Equal $got.Errors.Count 1
        Assert-Match "$($got.Errors[0])" "$A1, none, $A3"
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'may have been changed'
        Assert-Equal @((Get-DefenderAlert $A1).comments).Count 1
        # What every alert would meet ends the command.
        Set-EmulatorFault @{ match = @{ path_contains = 'batchUpdate' }; times = 0; do = @{ status = 401; json = @{ error = @{ code = 'Unauthorized'; message = 'no' } } } }
        $null = Assert-Fails { $A1, $A2 | Set-DefenderAlert -Status New } 'UNAUTHORIZED'
        $null = Invoke-Emulator DELETE faults
    }
}
