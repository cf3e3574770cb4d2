# Invoke-DefenderHunting: rows, columns, types, quotas.

$inModule = Get-Module -Name DefenderXdr

function Get-Cell { param([object] $Value) if ($null -eq $Value) { 'null' } else { $Value.GetType().Name + ':' + $(if ($Value -is [DateTime]) { $Value.ToString('o') } elseif ($Value -is [IFormattable]) { $Value.ToString($null, [Globalization.CultureInfo]::InvariantCulture) } else { [string] $Value }) } }

Describe 'rows of a hunting result' {
    $rows = {
        param([string[]] $Texts, [object[]] $Columns, [switch] $Slow)
        & $inModule {
            param($texts, $columns, $slow)
            $kept = $script:JsonEngine
            if ($slow) { $script:JsonEngine = $false }
            try {
                $result = @{ Schema = @{ columns = $columns; rows = $texts.Length } }
                foreach ($text in $texts) { ConvertTo-DefenderRow $text $result }
            }
            finally { $script:JsonEngine = $kept }
        } $Texts $Columns $Slow
    }
    $columns = foreach ($pair in @('Time', 'DateTime'), @('Text', 'String'), @('Big', 'Int64'), @('Flag', 'SByte'), @('Real', 'Double'), @('Span', 'TimeSpan'), @('Any', 'Dynamic')) { @{ name = $pair[0]; type = $pair[1] } }
    It 'keep order and types, the same by the module''s reader and by PowerShell''s own' {
        $texts = '{"Time":"2026-09-14T00:00:00.1234567Z","Text":"x","Big":9007199254740993,"Flag":1,"Real":5,"Span":"1.00:00:01","Any":{"a":[1,"2026-01-01T00:00:00Z"]}}',
        '{"Big":1,"Text":"2026-09-14T00:00:00Z","Time":"2026-09-14T00:00:00Z","Flag":false,"Real":"NaN","Span":null,"Any":"{}","Extra":true}',
        '{"Time":null,"Text":"","Big":null,"Flag":null,"Real":null,"Span":"x","Any":null}',
        '{"Time":"later","Text":"/Date(1)/","Big":99999999999999999999,"Flag":2,"Real":1e3,"Span":1,"Any":[]}',
        '{"Text":"\u0032026-09-14T00:00:00Z","Time":"2026-09-14T02:00:00+02:00"}'
        foreach ($slow in $false, $true) {
            $made = @(& $rows $texts $columns -Slow:$slow)
            Assert-Equal $made.Count 5
            foreach ($row in $made) {
                Assert-Equal @($row.PSObject.Properties | ForEach-Object Name | Select-Object -First 7) 'Time', 'Text', 'Big', 'Flag', 'Real', 'Span', 'Any' "slow: $slow"
                Assert-Equal $row.PSTypeNames[0] 'DefenderXdr.HuntingRow'
            }
            $cells = @($made[0].PSObject.Properties | Select-Object -First 6 | ForEach-Object { Get-Cell $_.Value })
            Assert-Equal $cells 'DateTime:2026-09-14T00:00:00.1234567Z', 'String:x', 'Int64:9007199254740993', 'Boolean:True', 'Double:5', 'TimeSpan:1.00:00:01' "slow: $slow"
            Assert-Equal $made[0].Any.a[1].GetType().Name 'String'
            $cells = @($made[1].PSObject.Properties | ForEach-Object { Get-Cell $_.Value })
            Assert-Equal $cells 'DateTime:2026-09-14T00:00:00.0000000Z', 'String:2026-09-14T00:00:00Z', 'Int64:1', 'Boolean:False', 'Double:NaN', 'null', 'String:{}', 'Boolean:True' "slow: $slow"
            Assert-Equal @($made[2].PSObject.Properties | ForEach-Object { Get-Cell $_.Value }) 'null', 'String:', 'null', 'null', 'null', 'String:x', 'null' "slow: $slow"
            Assert-Equal @($made[3].PSObject.Properties | Select-Object -First 6 | ForEach-Object { Get-Cell $_.Value }) 'String:later', 'String:/Date(1)/', 'BigInteger:99999999999999999999', 'Int64:2', 'Double:1000', 'Int64:1' "slow: $slow"
            Assert-True ($made[3].Any -is [object[]] -and $made[3].Any.Length -eq 0)
            Assert-Equal (Get-Cell $made[4].Time) 'DateTime:2026-09-14T00:00:00.0000000Z'
            Assert-Equal $made[4].Text '2026-09-14T00:00:00Z'
            Assert-True ($null -eq $made[4].Big -and $null -ne $made[4].PSObject.Properties['Big'])
        }
    }
    It 'keep columns that differ only in case' {
        $made = @(& $rows '{"name":1,"Name":2}' @(@{ name = 'name'; type = 'Int64' }, @{ name = 'Name'; type = 'Int64' }))
        Assert-Equal @($made[0].PSObject.Properties | ForEach-Object Value) 1, 2
    }
    It 'show without control characters, escape sequences and changes of direction' {
        $made = @(& $rows '{"Time":"2026-09-14T00:00:00.5Z","Text":"a\u001b[31mb\r\nc\u202ed\u0007","Big":1,"Flag":null,"Real":0.5,"Span":"00:00:01","Any":{"x":["y"]}}', '{"Time":null,"Text":"z"}' $columns)
        $view = $made | Out-String -Width 200
        foreach ($character in $view.ToCharArray()) { if ([int] $character -in 27, 7, 0x202e) { throw "character $([int] $character) reached the view" } }
        $lines = @($view -split '\r?\n' | ForEach-Object { $_.TrimEnd() } | Where-Object { $_ })
        Assert-Equal $lines 'Time : 2026-09-14 00:00:00.5', 'Text : a [31mb c d', 'Big  : 1', 'Flag :', 'Real : 0.5', 'Span : 00:00:01', 'Any  : {"x":["y"]}', 'Time :', 'Text : z', 'Big  :', 'Flag :', 'Real :', 'Span :', 'Any  :'
        Assert-Match ($made | Format-Table Text, Big | Out-String) '(?m)^Text\s+Big\s*$'
    }
    It 'warn where the service gives no more' {
        $out = @(& $inModule { ConvertTo-DefenderRow '{"A":1}' @{ Schema = @{ columns = @(@{ name = 'A'; type = 'Int64' }); rows = 100000 } } } 3>&1)
        Assert-Match "$($out[0])" '^the result has 100000 rows, the most'
        Assert-Equal $out[1].A 1
    }
}

if ($null -eq $Emulator) { return }

function Connect-Test { Reset-Emulator; Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) }

Describe 'Invoke-DefenderHunting' {
    It 'asks Graph, and gives every row with its columns in order and typed' {
        Connect-Test
        $out = @(Invoke-DefenderHunting 'DeviceInfo' 3>&1)
        Assert-Equal $out.Count 6
        Assert-Equal @($out[0].PSObject.Properties | ForEach-Object Name) 'Timestamp', 'DeviceId', 'DeviceName', 'OSPlatform', 'OSBuild', 'ReportId', 'IsAzureADJoined', 'AdditionalFields'
        Assert-Equal ($out[0].Timestamp.ToString('o')) '2026-09-14T00:00:00.1234567Z'
        Assert-Equal $out[0].ReportId 9007199254740993
        Assert-True ($out[0].IsAzureADJoined -is [bool] -and $null -eq $out[2].OSBuild)
        Assert-Equal $out[0].AdditionalFields '{"a":[1,2]}'
        $sent = @(Get-EmulatorRequest 'runHuntingQuery')
        Assert-Equal $sent.Count 1
        Assert-Equal $sent[0].host 'graph.microsoft.com'
    }
    It 'is the same from the three services, and warns of the two that stop' {
        Connect-Test
        $text = 'DeviceTvmSecureConfigurationAssessment'
        $shown = foreach ($backend in 'Graph', 'Xdr', 'Endpoint') {
            $out = @(Invoke-DefenderHunting $text -Backend $backend 3>&1)
            $warnings = @($out | Where-Object { $_ -is [Management.Automation.WarningRecord] })
            Assert-Equal $warnings.Count ([int] ($backend -ne 'Graph')) $backend
            if ($warnings) { Assert-Match "$($warnings[0])" '2027-02-01' }
            $lines = foreach ($row in $out | Where-Object { $_ -isnot [Management.Automation.WarningRecord] }) { @($row.PSObject.Properties | ForEach-Object { "$($_.Name)=$(if ($_.Name -ne 'Context') { Get-Cell $_.Value })" }) -join ';' }
            $lines -join "`n"
        }
        Assert-Equal @($shown | Select-Object -Unique).Count 1
        Assert-Match $shown[0] 'IsCompliant=Boolean:True;ConfigurationImpact=Double:9;Rank=Int32:3;Uptime=TimeSpan:1\.02:03:04\.5000000;Share=Decimal:0\.1000000000000000000000000001;Context=;LastReport=String:2026-09-13T00:00:00Z'
    }
    It '-PassThru gives one object with the columns, also without rows' {
        Connect-Test
        $result = Invoke-DefenderHunting 'DeviceInfo | where DeviceName == "nobody"' -PassThru
        Assert-Equal $result.PSTypeNames[0] 'DefenderXdr.HuntingResult'
        Assert-True ($result.Rows -is [object[]] -and $result.Rows.Length -eq 0 -and $result.RowCount -eq 0)
        Assert-Equal @($result.Schema | ForEach-Object { "$($_.Name) $($_.Type)" } | Select-Object -First 3) 'Timestamp DateTime', 'DeviceId String', 'DeviceName String'
        $result = Invoke-DefenderHunting 'DeviceInfo | take 2' -PassThru -Backend Xdr 3>$null
        Assert-Equal "$($result.RowCount) $($result.Backend) $($result.Rows.Count)" '2 xdr 2'
        Assert-True ($null -ne $result.Stats)
        Assert-Equal $result.Query 'DeviceInfo | take 2'
        Assert-Match ($result | Out-String) 'RowCount'
    }
    It 'takes queries from the pipeline and from files, and a time span' {
        Connect-Test
        $results = @('DeviceInfo | count', 'DeviceProcessEvents | count' | Invoke-DefenderHunting -PassThru)
        Assert-Equal @($results | ForEach-Object { $_.Rows[0].Count }) 6, 2
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr [test] ' + [guid]::NewGuid().ToString('N'))
        try {
            $null = [IO.Directory]::CreateDirectory($folder)
            foreach ($n in 1, 2) { [IO.File]::WriteAllText([IO.Path]::Combine($folder, "$n.kql"), "DeviceInfo`n| take $n`n") }
            [IO.File]::WriteAllText([IO.Path]::Combine($folder, '3.kql'), " `n")
            $results = @(Get-ChildItem -LiteralPath $folder | Sort-Object Name | Invoke-DefenderHunting -PassThru -Timespan ([timespan]::FromDays(7)) -ErrorAction SilentlyContinue -ErrorVariable bad)
            Assert-Equal $results.RowCount 1, 2
            Assert-Match "$bad" 'holds no query'
            Assert-Equal @(Get-EmulatorRequest 'runHuntingQuery')[-1].json.Timespan 'P7D'
        }
        finally { [IO.Directory]::Delete($folder, $true) }
        Assert-Match (Assert-Fails { Invoke-DefenderHunting 'DeviceInfo' -Timespan 7.00:00:00 } BAD_ARGUMENT).ErrorDetails.RecommendedAction '-Timespan \(New-TimeSpan -Days 7\)'
        foreach ($span in 'a week', 7d) { Assert-Match (Assert-Fails { Invoke-DefenderHunting 'DeviceInfo' -Timespan $span } BAD_ARGUMENT).ErrorDetails.RecommendedAction 'P30D' }
        $null = Assert-Fails { Invoke-DefenderHunting 'DeviceInfo' -Timespan P1D -Backend Xdr } BAD_ARGUMENT
    }
    It 'streams many rows, and stops with Select-Object' {
        Connect-Test
        Assert-Equal @(Invoke-DefenderHunting 'range x from 1 to 2000 step 1').Count 2000
        Assert-Equal @(Invoke-DefenderHunting 'range x from 1 to 2000 step 1' | Select-Object -First 2).x 1, 2
        Assert-Equal (Invoke-DefenderHunting 'range x from 1 to 1 step 1' -Raw) '{"x":1}'
    }
    It 'shows what a query brought and cost' {
        Connect-Test
        $said = Invoke-DefenderHunting 'DeviceInfo | take 1' -Backend Xdr -Verbose 4>&1 3>$null | Where-Object { $_ -is [Management.Automation.VerboseRecord] }
        Assert-Match "$($said -join "`n")" '1 rows in 8 columns from xdr; cost: .*ExecutionTime'
    }
    It 'names the quota, does not send a query again, and says what is wrong with one' {
        Connect-Test
        Set-EmulatorFault @{ match = @{ path_contains = 'runHuntingQuery' }; times = 0; do = @{ status = 429; json = @{ error = @{ code = 'TooManyRequests'; message = 'CPU quota exceeded' } } } }
        $record = Assert-Fails { Invoke-DefenderHunting 'DeviceInfo' -Timeout 5 } QUOTA LimitsExceeded
        Assert-Match $record.ErrorDetails.RecommendedAction '15 minutes'
        $null = Invoke-Emulator DELETE faults
        $null = Invoke-Emulator DELETE requests
        $record = Assert-Fails { Invoke-DefenderHunting 'NoSuchTable | take 1' } BAD_FILTER InvalidArgument
        Assert-Match "$record" 'NoSuchTable'
        Assert-Equal @(Get-EmulatorRequest 'runHuntingQuery').Count 1
        Set-EmulatorFault @{ match = @{ path_contains = 'runHuntingQuery' }; times = 0; do = @{ hang = $true } }
        $null = Assert-Fails { Invoke-DefenderHunting 'DeviceInfo' -Timeout 1 } TIMEOUT OperationTimeout
        $null = Invoke-Emulator DELETE faults
        Assert-Equal @(Get-EmulatorRequest 'runHuntingQuery').Count 2
    }
    It 'refuses a token for another service, and names the one it takes' {
        Reset-Emulator
        $record = Assert-Fails { Invoke-DefenderHunting 'DeviceInfo' -AccessToken (Get-ADALToken @AppArguments) } UNAUTHORIZED AuthenticationError
        Assert-Match "$record $($record.ErrorDetails.RecommendedAction)" 'graph\.microsoft\.com'
    }
}
