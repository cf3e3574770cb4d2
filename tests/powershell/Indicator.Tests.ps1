# Indicators: read, sent one by one and in batches, removed.

if ($null -eq $Emulator) { return }

$inModule = Get-Module -Name DefenderXdr

Describe 'Get-DefenderIndicator' {
    It 'lists indicators by what is wished' {
        Connect-TestDefender
        $all = @(Get-DefenderIndicator)
        Assert-Equal $all.Count 3
        Assert-Equal $all[0].PSTypeNames[0] 'DefenderXdr.Indicator'
        Assert-Equal $all[0].creationTimeDateTimeUtc.ToString('o') '2026-08-01T09:00:00.1234567Z'
        Assert-Equal (Get-DefenderIndicator bad.example, 198.51.100.7).id '992', '993'
        Assert-Equal @(Get-DefenderIndicator -Type IpAddress -Action Block -Severity Medium).id '992'
        Assert-Equal @(Get-DefenderIndicator -Since ([DateTime]::new(2026, 8, 2, 0, 0, 0, [DateTimeKind]::Utc)) -PageSize 1).Count 2
        $table = ($all | Out-String -Width 200) -split "`n" | Where-Object { $_.Trim() }
        Assert-Match $table[0] '^id\s+indicatorType\s+action\s+expirationTime\s+indicatorValue\s+title'
    }
}

Describe 'Add-DefenderIndicator and Remove-DefenderIndicator' {
    It 'add, change and remove' {
        Connect-TestDefender
        $given = @{ Type = 'IpAddress'; Action = 'Block'; Title = 'INC-1'; Description = 'Command and "control"' }
        $end = [DateTime]::new(2027, 1, 1, 12, 0, 0, [DateTimeKind]::Utc)
        $added = Add-DefenderIndicator 203.0.113.9 @given -Severity High -ExpirationTime $end -GenerateAlert -RbacGroupName Servers -PassThru
        Assert-Equal "$($added.action) $($added.severity) $($added.generateAlert) $($added.rbacGroupNames)" 'Block High True Servers'
        Assert-Equal $added.expirationTime $end
        Assert-Equal $added.description 'Command and "control"'
        $given.Action = 'Warn'
        Assert-Equal (Add-DefenderIndicator 203.0.113.9 @given -PassThru).id $added.id 'the same value is changed'
        Assert-Equal (Get-DefenderIndicator 203.0.113.9).action 'Warn'
        $got = Get-Recorded { '203.0.113.10', '10.0.0.0/8', 'no address' | Add-DefenderIndicator @given -PassThru }
        Assert-Equal $got.Out.indicatorValue '203.0.113.10'
        Assert-Equal $got.Errors.Count 2
        Assert-Match "$($got.Errors[0])" '10\.0\.0\.0/8'
        Assert-Match "$($got.Errors[1])" 'no address'
        $null = Invoke-Emulator DELETE requests
        Assert-Equal @(Add-DefenderIndicator 203.0.113.11 @given -WhatIf).Count 0
        Assert-Equal @(Get-DefenderIndicator 203.0.113.9 | Remove-DefenderIndicator -WhatIf).Count 0
        Assert-Equal @(Get-Sent).Count 0
        Get-DefenderIndicator 203.0.113.9, 203.0.113.10 | Remove-DefenderIndicator -Confirm:$false
        Assert-Equal @(Get-DefenderIndicator).Count 3
        $got = Get-Recorded { Remove-DefenderIndicator 4711, 993 -Confirm:$false }
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.NOT_FOUND,Remove-DefenderIndicator'
        Assert-Equal @(Get-DefenderIndicator).Count 2
        $binding = (Get-Command Remove-DefenderIndicator).ScriptBlock.Attributes | Where-Object { $_ -is [System.Management.Automation.CmdletBindingAttribute] }
        Assert-Equal "$($binding.ConfirmImpact)" 'High'
    }
}

Describe 'Import-DefenderIndicator' {
    It 'sends 500 a call, and tells of each that is not taken' {
        Connect-TestDefender
        $many = foreach ($number in 1..1101) { @{ indicatorValue = ('{0:x40}' -f $number); indicatorType = 'FileSha1' } }
        # Of no type that the service knows, as far as this side can say.
        $many[700] = @{ indicatorValue = 'short'; indicatorType = 'FutureType' }
        $many[3].indicatorType = ''
        $got = Get-Recorded { $many | Import-DefenderIndicator -Action Block -Title T -Description D -PassThru }
        Assert-Equal @(Get-Sent) 'POST /api/indicators/import', 'POST /api/indicators/import', 'POST /api/indicators/import'
        Assert-Equal $got.Out.Count 1101
        Assert-Equal @($got.Out | Where-Object IsFailed).Indicator $many[3].indicatorValue, 'short'
        Assert-Equal $got.Out.Indicator $many.indicatorValue 'the order is another'
        Assert-Equal $got.Out[3].FailureReason 'number 4: it has no indicatorType'
        Assert-Equal $got.Out[0].PSTypeNames[0] 'DefenderXdr.IndicatorOutcome'
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.BAD_ARGUMENT,Import-DefenderIndicator', 'DefenderXdr.INDICATOR_REFUSED,Import-DefenderIndicator'
        Assert-Match "$($got.Errors[0])" '0000000004 \(number 4\): it has no indicatorType'
        Assert-Match "$($got.Errors[1])" 'indicator short was not taken: .*FutureType.* is not an indicator type'
        Assert-Equal $got.Errors[1].TargetObject 'short'
        Assert-Equal @(Get-DefenderIndicator).Count 1102
    }
    It 'takes tables, files, and what Get-DefenderIndicator gives' {
        Connect-TestDefender
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), [IO.Path]::GetRandomFileName())
        $null = [IO.Directory]::CreateDirectory($folder)
        try {
            $csv = [IO.Path]::Combine($folder, 'a [1].csv')
            [IO.File]::WriteAllText($csv, "INDICATORVALUE,indicatortype,Action,title,description,generateAlert,rbacGroupNames,expirationTime,note`na.example,DomainName,Audit,T,""two`nlines"",TRUE,Servers;Workstations,2027-01-01T00:00:00Z,x`nb.example,DomainName,Block,T,D,,,,`n")
            Import-DefenderIndicator -Path $csv
            $a = Get-DefenderIndicator a.example
            Assert-Equal "$($a.action) $($a.generateAlert) $($a.rbacGroupNames -join '+') $($a.expirationTime.ToString('o'))" 'Audit True Servers+Workstations 2027-01-01T00:00:00.0000000Z'
            Assert-Equal $a.description "two`nlines"
            Assert-Equal (Get-DefenderIndicator b.example).rbacGroupNames.Count 0
            $json = [IO.Path]::Combine($folder, 'b.json')
            [IO.File]::WriteAllText($json, '[{"indicatorValue":"c.example","indicatorType":"DomainName","action":"Warn","title":"T","description":"D"}]')
            Import-DefenderIndicator $json
            Assert-Equal (Get-DefenderIndicator c.example).action 'Warn'
            # From one tenant to another: what the service gave the record stays behind.
            $all = @(Get-DefenderIndicator)
            $null = Invoke-Emulator POST data '{"indicators":[]}'
            $outcomes = @($all | Import-DefenderIndicator -PassThru)
            Assert-Equal @($outcomes | Where-Object { -not $_.IsFailed }).Count $all.Count
            Assert-Equal (@(Get-DefenderIndicator).indicatorValue | Sort-Object) (@($all.indicatorValue) | Sort-Object)
            Assert-Equal (Get-DefenderIndicator a.example).expirationTime $a.expirationTime
            foreach ($bad in 'none.csv', 'bad.json', 'bad.csv', 'empty.csv') {
                [IO.File]::WriteAllText([IO.Path]::Combine($folder, 'bad.json'), '{"a":')
                [IO.File]::WriteAllText([IO.Path]::Combine($folder, 'bad.csv'), "name|kind`na|b`n")
                [IO.File]::WriteAllText([IO.Path]::Combine($folder, 'empty.csv'), '')
                $null = Assert-Fails { Import-DefenderIndicator ([IO.Path]::Combine($folder, $bad)) } 'BAD_ARGUMENT' 'InvalidArgument'
            }
        }
        finally { [IO.Directory]::Delete($folder, $true) }
    }
    It 'reads tables of spreadsheets: semicolons and tabs, quotes, a byte order mark' {
        Connect-TestDefender
        $file = [IO.Path]::GetTempFileName()
        $csv = "$file.csv"
        try {
            foreach ($delimiter in ';', "`t", ',') {
                $null = Invoke-Emulator POST data '{"indicators":[]}'
                $rows = '"indicatorValue"#"indicatorType"#Action#title#description#rbacGroupNames', '192.0.2.1#IpAddress#Block#"T; 1, 2"#D#"A;B"', 'a.example#DomainName#Warn#T#D#'
                [IO.File]::WriteAllText($csv, ($rows -join "`r`n").Replace('#', $delimiter), [Text.UTF8Encoding]::new($true))
                $got = Get-Recorded { Import-DefenderIndicator $csv -PassThru }
                Assert-Equal "$($got.Errors)" '' "with '$delimiter'"
                Assert-Equal $got.Out.Indicator '192.0.2.1', 'a.example' "with '$delimiter'"
                $first = Get-DefenderIndicator 192.0.2.1
                Assert-Equal "$($first.title) $($first.rbacGroupNames -join '+')" 'T; 1, 2 A+B' "with '$delimiter'"
            }
            # Rows that Import-Csv read with the wrong delimiter.
            [IO.File]::WriteAllText($csv, "indicatorValue;indicatorType;action;title;description`r`n192.0.2.1;IpAddress;Block;T;D`r`n")
            $got = Get-Recorded { Import-Csv -LiteralPath $csv | Import-DefenderIndicator }
            Assert-Equal $got.Errors.Count 1
            Assert-Match "$($got.Errors[0])" "columns were not told apart: read the table with Import-Csv -Delimiter ';'"
            [IO.File]::WriteAllText($csv, "name|kind`r`na|b`r`n")
            $record = Assert-Fails { Import-DefenderIndicator $csv } BAD_ARGUMENT
            Assert-Match "$record" 'its first line names no member of an indicator: name\|kind'
            Assert-Match $record.ErrorDetails.RecommendedAction 'comma, semicolon or tab'
        }
        finally { [IO.File]::Delete($file); [IO.File]::Delete($csv) }
    }
    It 'checks the values before anything is sent, with -WhatIf too' {
        Connect-TestDefender
        $null = Invoke-Emulator DELETE requests
        $given = @{ Action = 'Block'; Title = 'T'; Description = 'D' }
        $bad = [ordered]@{ notanip = 'IpAddress'; '10.0.0.0/8' = 'IpAddress'; '1' = 'IpAddress'; '300.1.1.1' = 'IpAddress'; short = 'FileSha1'; ('a' * 64) = 'FileSha1'; ('g' * 32) = 'FileMd5'; 'https://a.example/x' = 'DomainName'; 'a b.example' = 'Url' }
        $good = [ordered]@{ '192.0.2.1' = 'IpAddress'; '2001:db8::1' = 'IpAddress'; ('a' * 40) = 'FileSha1'; ('B' * 64) = 'FileSha256'; ('0' * 32) = 'FileMd5'; ('1' * 40) = 'CertificateThumbprint'; 'a.example' = 'DomainName'; 'https://a.example/x?y' = 'Url'; 'x.example/y' = 'Url'; later = 'FutureType' }
        $rows = @(foreach ($set in $bad, $good) { foreach ($value in $set.Keys) { [pscustomobject]@{ indicatorValue = $value; indicatorType = $set[$value] } } })
        $got = Get-Recorded { $rows | Import-DefenderIndicator @given -WhatIf }
        Assert-Equal $got.Errors.Count $bad.Count
        foreach ($number in 0..($bad.Count - 1)) { Assert-Match "$($got.Errors[$number])" ('^indicator ' + [regex]::Escape(@($bad.Keys)[$number]) + " \(number $($number + 1)\): ") }
        Assert-Match "$($got.Errors[0])" 'it is no IP address'
        Assert-Match "$($got.Errors[1])" 'no networks'
        Assert-Match "$($got.Errors[5])" 'FileSha1 takes 40 hexadecimal digits; this value would be FileSha256'
        $got = Get-Recorded { foreach ($value in $bad.Keys) { Add-DefenderIndicator $value -Type $bad[$value] @given -WhatIf; Add-DefenderIndicator $value -Type $bad[$value] @given } }
        Assert-Equal $got.Errors.Count (2 * $bad.Count)
        Assert-Equal $got.Errors[0].FullyQualifiedErrorId 'DefenderXdr.BAD_ARGUMENT,Add-DefenderIndicator'
        # An object is no value.
        $got = Get-Recorded { Get-DefenderIndicator 198.51.100.7 | Add-DefenderIndicator -Type IpAddress @given }
        Assert-Match "$($got.Errors[0])" 'which is no value of an indicator'
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'Import-DefenderIndicator takes objects'
        Assert-Equal @(Get-Sent).Count 0 "something was sent: $(Get-Sent)"
    }
    It 'shows with -WhatIf each that would be sent, and sends nothing' {
        Connect-TestDefender
        $said = (Invoke-PowerShell @"
`$null = Connect-Defender -TenantId $($Emulator.tenant_id) -ClientId $($Emulator.confidential_client_id) -ClientSecret (ConvertTo-SecureString '$RunbookSecretText' -AsPlainText -Force) 3>`$null
Get-DefenderIndicator | Import-DefenderIndicator -WhatIf
"@).Out -split "`n" | Where-Object { $_ -match 'What if' }
        Assert-Equal @($said).Count 3
        Assert-Match $said[2] 'import an indicator \(Warn\)" on target "DomainName bad\.example"'
        Assert-Equal @(Get-Sent).Count 0
    }
    It 'sends the halves of a call that is refused as a whole, and tells of the one that is meant' {
        Connect-TestDefender
        $eight = foreach ($number in 1..8) { [pscustomobject]@{ indicatorValue = "host$number.example"; indicatorType = 'DomainName'; action = 'Block'; title = 'T'; description = 'D' } }
        $refusal = @{ match = @{ path_contains = 'import' }; do = @{ status = 400; json = @{ error = @{ code = 'InvalidInput'; message = 'Request body is incorrect' } } } }
        # Eight, four, two, and then the first alone.
        Set-EmulatorFault ($refusal + @{ times = 4 })
        $got = Get-Recorded { $eight | Import-DefenderIndicator -PassThru }
        Assert-Equal $got.Errors.Count 1
        Assert-Match "$($got.Errors[0])" '^indicator host1\.example was not taken: .*Request body is incorrect'
        Assert-Equal $got.Errors[0].TargetObject 'host1.example'
        Assert-Equal $got.Out.Indicator $eight.indicatorValue
        Assert-Equal ($got.Out | Where-Object IsFailed | ForEach-Object { "$($_.Indicator) $($_.FailureReason)" }) 'host1.example api.securitycenter.microsoft.com answered HTTP 400 InvalidInput: Request body is incorrect'
        Assert-Equal @(Get-DefenderIndicator).Count 10
        Assert-Equal @(Get-Sent).Count 7
        # A single one that is refused is not sent again.
        $null = Invoke-Emulator DELETE requests
        Set-EmulatorFault ($refusal + @{ times = 1 })
        $got = Get-Recorded { $eight[0] | Import-DefenderIndicator }
        Assert-Equal "$($got.Errors.Count) $(@(Get-Sent).Count)" '1 1'
        # Where all are refused, each is told, and the next batch is tried.
        $null = Invoke-Emulator DELETE requests
        Set-EmulatorFault ($refusal + @{ times = 15 })
        $got = Get-Recorded { $eight | Import-DefenderIndicator }
        Assert-Equal $got.Errors.TargetObject $eight.indicatorValue
        Assert-Equal @(Get-Sent).Count 15
    }
    It 'gives up a batch of which nothing is taken, and ends where all would be refused' {
        Connect-TestDefender
        $many = foreach ($number in 1..600) { [pscustomobject]@{ indicatorValue = "host$number.example"; indicatorType = 'DomainName'; action = 'Block'; title = 'T'; description = 'D' } }
        Set-EmulatorFault @{ match = @{ path_contains = 'import' }; times = 0; do = @{ status = 400; json = @{ error = @{ code = 'InvalidInput'; message = 'no' } } } }
        $got = Get-Recorded { $many[0..499] | Import-DefenderIndicator }
        $named = @($got.Errors | ForEach-Object { $_.TargetObject } | ForEach-Object { if ($_ -is [string]) { $_ } else { $_['indicatorValue'] } })
        Assert-Equal $named $many[0..499].indicatorValue 'not each is told'
        Assert-True ($got.Errors.Count -lt 60) "$($got.Errors.Count) errors"
        Set-EmulatorFault @{ match = @{ path_contains = 'import' }; times = 0; do = @{ status = 503; headers = @{ 'retry-after' = '0' } } }
        $null = Assert-Fails { $many | Import-DefenderIndicator } 'SERVER_UNAVAILABLE'
        $null = Invoke-Emulator DELETE faults
        $null = Assert-Fails { 'text' | Import-DefenderIndicator -ErrorAction Stop } 'BAD_ARGUMENT'
    }
    It 'tells of what the answer does not name' {
        Connect-TestDefender
        $three = foreach ($value in 'a.example', 'b.example', '2001:db8:0::1') { @{ indicatorValue = $value; indicatorType = $(if ($value -match ':') { 'IpAddress' } else { 'DomainName' }); action = 'Block'; title = 'T'; description = 'D' } }
        $answer = { param($values) Set-EmulatorFault @{ match = @{ path_contains = 'import' }; do = @{ status = 200; json = @{ value = @(foreach ($value in $values) { @{ id = '1'; indicator = $value; isFailed = $false; failureReason = $null } }) } } } }
        # One twice, and another never; and an address in the service's own spelling.
        & $answer 'A.example', 'a.example', '2001:db8::1'
        $got = Get-Recorded { $three | Import-DefenderIndicator 3>&1 }
        Assert-Equal $got.Out.Count 0 "a warning too: $($got.Out)"
        Assert-Equal $got.Errors.FullyQualifiedErrorId 'DefenderXdr.INDICATOR_UNKNOWN,Import-DefenderIndicator', 'DefenderXdr.INDICATOR_UNKNOWN,Import-DefenderIndicator'
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction "Get-DefenderIndicator 'b\.example'"
        & $answer 'a.example', 'b.example', '2001:db8::1'
        Assert-Equal (Get-Recorded { $three | Import-DefenderIndicator 3>&1 }).Errors.Count 0
        & $answer 'a.example', 'b.example'
        Assert-Equal (Get-Recorded { $three | Import-DefenderIndicator 3>&1 }).Errors.TargetObject '2001:db8:0::1'
    }
    It 'names members that are not understood, and takes none for another' {
        Connect-TestDefender
        $null = Invoke-Emulator DELETE requests
        $base = @{ indicatorType = 'DomainName'; action = 'Block'; title = 'T'; description = 'D' }
        $slips = [ordered]@{ expirationTme = 'expirationTime'; rbacGroupNams = 'rbacGroupNames'; expiration_time = 'expirationTime'; 'Rbac Group Names' = 'rbacGroupNames'; educateUlr = 'educateUrl'; actions = 'action'; severty = 'severity' }
        $rows = foreach ($name in $slips.Keys) { [pscustomobject](@{ indicatorValue = 'slip.example'; $name = 'x' } + $base) }
        $got = Get-Recorded { $rows | Import-DefenderIndicator -PassThru }
        Assert-Equal @($got.Errors | ForEach-Object { "$_" }) @($number = 0; foreach ($name in $slips.Keys) { $number++; "indicator slip.example (number $number): it has a member '$name', which is none of an indicator; $($slips[$name]) may be meant" })
        Assert-Match $got.Errors[0].ErrorDetails.RecommendedAction 'Name the member as Get-Help Import-DefenderIndicator does, or remove it'
        Assert-Equal @($got.Out | Where-Object IsFailed).Count $slips.Count
        Assert-Equal @(Get-Sent).Count 0
        # Others are told once for all rows, and what the service gave not at all.
        $rows = foreach ($number in 1..3) { [pscustomobject](@{ indicatorValue = "w$number.example"; note = 'x'; ticket = $number; option = 1; ID = 7; createdBy = 'x'; lastUpdateTime = 'x'; '@odata.type' = 'x' } + $base) }
        $told = @($rows | Import-DefenderIndicator 3>&1)
        Assert-Equal $told.Count 1 "$told"
        Assert-Match "$told" 'members that an indicator does not have are left out: '
        foreach ($name in 'note', 'ticket', 'option') { Assert-Match "$told" ": [^.]*\b$name\b" }
        Assert-NotMatch "$told" 'createdBy|lastUpdateTime|odata|\bID\b'
        Assert-Equal @(Get-DefenderIndicator w1.example, w3.example).Count 2
        Assert-Equal @(Get-DefenderIndicator | Import-DefenderIndicator 3>&1 | Where-Object { "$_" -match 'left out' }).Count 0
    }
    It 'refuses a second action for one value, warns of an end that is past, and says what to do' {
        Connect-TestDefender
        $rows = foreach ($cells in 'a.example,DomainName,Block,', 'A.example,DomainName,Allowed,', 'a.example,DomainName,block,', 'a.example,Url,Warn,', 'old.example,DomainName,Block,2020-01-01', 'b.example,DomainName,Audit,', 'b c,DomainName,Block,', 'd.example,DomainName,,') {
            $value, $type, $action, $end = $cells.Split(',')
            [pscustomobject]@{ indicatorValue = $value; indicatorType = $type; action = $action; title = 'T'; description = 'D'; expirationTime = $end }
        }
        $warnings = $null
        $got = Get-Recorded { $rows | Import-DefenderIndicator -PassThru -WarningVariable script:Warned 3>$null }
        $warnings = @($script:Warned)
        Assert-Equal $got.Out.Indicator $rows.indicatorValue 'the order is another'
        Assert-Equal @($got.Out | ForEach-Object IsFailed) $false, $true, $false, $false, $false, $true, $true, $true
        Assert-Equal "$($got.Errors[0])" 'indicator A.example (number 2): its action is Allowed, and number 1 has the action Block for the same value'
        Assert-Equal @($got.Errors | ForEach-Object { $_.ErrorDetails.RecommendedAction }) 'Decide which is meant, and import the value once.', 'Set generateAlert to true, or choose another action.',
            'Mend indicatorValue or indicatorType, and import the indicator again.', 'Give it a value for action, or give -Action for all that have none.'
        Assert-Equal $warnings.Count 1 "$warnings"
        Assert-Equal "$($warnings[0])" 'the expirationTime is past: indicator old.example (number 5)'
        Assert-Equal (Get-DefenderIndicator a.example -Type DomainName).action 'Block'
        $told = @(Add-DefenderIndicator old2.example -Type DomainName -Action Block -Title T -Description D -ExpirationTime ([DateTime]::new(2020, 1, 1)) 3>&1)
        Assert-Match "$told" '^the expirationTime is past: indicator old2\.example$'
    }
    It 'takes a word or a time of a table for what it says, or not at all' {
        Connect-TestDefender
        $rows = foreach ($cells in 'h1,Y,', 'h2,n,2026-12-24T18:00:00Z', 'h3,1,2026-12-24T18:00:00+02:00', 'h4,Maybe,', 'h5,true,12/24/2026', 'h6,,24.12.2026 18:00', 'h7,FALSE,2026-12-24', 'h8,wahr,') {
            $name, $alert, $end = $cells.Split(',')
            [pscustomobject]@{ indicatorValue = "$name.example"; indicatorType = 'DomainName'; action = 'Block'; title = 'T'; description = 'D'; generateAlert = $alert; expirationTime = $end }
        }
        $got = Get-Recorded { $rows | Import-DefenderIndicator }
        Assert-Equal @($got.Errors | ForEach-Object { "$_" }) "indicator h4.example (number 4): generateAlert is 'Maybe', which is neither true nor false", "indicator h5.example (number 5): expirationTime is '12/24/2026', which is no time such as 2026-12-24T18:00:00Z or 2026-12-24",
            "indicator h6.example (number 6): expirationTime is '24.12.2026 18:00', which is no time such as 2026-12-24T18:00:00Z or 2026-12-24", "indicator h8.example (number 8): generateAlert is 'wahr', which is neither true nor false"
        Assert-Equal @(foreach ($name in 'h1', 'h2', 'h3', 'h7') { $one = Get-DefenderIndicator "$name.example"; "$($one.generateAlert) $(if ($one.expirationTime) { $one.expirationTime.ToUniversalTime().ToString('s') })" }) 'True ', 'False 2026-12-24T18:00:00',
            'True 2026-12-24T16:00:00', "False $([DateTime]::new(2026, 12, 24, 0, 0, 0, [DateTimeKind]::Local).ToUniversalTime().ToString('s'))"
    }
}
