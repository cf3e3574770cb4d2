# What the commands for data and actions share: call documents, events, errors and places in a list.

$inModule = Get-Module -Name DefenderXdr

Describe 'a call document' {
    It 'is written the same in every culture, from dictionaries, objects, lists, text, numbers and times' {
        $kept = [Threading.Thread]::CurrentThread.CurrentCulture
        try {
            foreach ($culture in 'en-US', 'de-DE', 'tr-TR', 'ar-SA', 'fa-IR') {
                [Threading.Thread]::CurrentThread.CurrentCulture = [Globalization.CultureInfo]::GetCultureInfo($culture)
                $value = [ordered]@{
                    a = 1, 2.5, [decimal] 0.1, [uint64]::MaxValue, [bigint]::Parse('123456789012345678901234567890'), [sbyte] -1
                    b = [DateTime]::new(2026, 9, 14, 7, 31, 2, [DateTimeKind]::Utc).AddTicks(4100001)
                    c = [DateTimeOffset]::new(2026, 9, 14, 9, 31, 2, [timespan]::FromHours(2))
                    d = [pscustomobject]@{ 'I"i' = $null; list = @(, @()) }
                    e = [switch] $true
                    f = [DayOfWeek]::Friday
                    g = ('tags' | Add-Member -NotePropertyName More -NotePropertyValue 1 -PassThru)
                    h = @{}
                    i = [guid]::Empty
                }
                $written = & $inModule { param($v) ConvertTo-DefenderJson $v } $value
                Assert-Equal $written ('{"a":[1,2.5,0.1,18446744073709551615,123456789012345678901234567890,-1],"b":"2026-09-14T07:31:02.4100001Z","c":"2026-09-14T07:31:02Z",' +
                    '"d":{"I\"i":null,"list":[[]]},"e":true,"f":"Friday","g":"tags","h":{},"i":"00000000-0000-0000-0000-000000000000"}') $culture
            }
        }
        finally { [Threading.Thread]::CurrentThread.CurrentCulture = $kept }
    }
    It 'holds the parameters that stand for a key' {
        $given = @{ Filter = 'x'; First = 3; Backend = 'Xdr'; Verbose = $true; Tag = 'a', 'b'; Name = 'n'; Status = 's' }
        $call = & $inModule { param($g) New-DefenderCall 'machines.list' $g -Keys @{ Name = 'name'; Tag = 'tag'; Status = '' } } $given
        Assert-Equal (@($call.Keys) | Sort-Object) 'backend', 'filter', 'first', 'name', 'operation', 'tag'
        Assert-Equal $call.operation 'machines.list'
        Assert-Equal $call.backend 'xdr'
        Assert-Equal $call.tag 'a', 'b'
    }
}

Describe 'events' {
    It 'of waits are shown by -Verbose and as progress' {
        $shown = & $inModule {
            function Write-Progress { param($Id, $Activity, $Status, $SecondsRemaining, [switch] $Completed) $seen.Add("$Status|$SecondsRemaining") | Out-Null }
            $seen = [Collections.ArrayList]::new()
            $VerbosePreference = 'Continue'
            $progress = @{ Shown = $false; Deadline = $null; Entry = $null; Result = @{ Schema = $null; Response = $null } }
            foreach ($text in '{"id":1,"kind":"pacing","endpoint":"incidents.list","wait_ms":41200,"limit":"50 a minute"}',
                '{"id":2,"kind":"retry","status":429,"wait_ms":8000,"attempt":1,"reason":"HTTP 429","host":"api.security.microsoft.com"}',
                '{"id":3,"kind":"action","action_id":"0f3a","status":"Pending","wait_ms":10000}',
                '{"id":4,"kind":"pacing","endpoint":"a\u001b[31m","wait_ms":10,"limit":"1 a minute"}',
                '{"id":5,"kind":"schema","columns":[{"name":"A","type":"Int64"}],"rows":0,"backend":"graph","stats":null}') {
                Invoke-DefenderEvent -Operation ([IntPtr]::Zero) -Text $text -Progress $progress -Failure @{ Record = $null } 4>&1 | ForEach-Object { $null = $seen.Add("$_") }
            }
            $null = $seen.Add($progress.Result.Schema['backend'])
            $seen
        }
        Assert-Equal $shown @('waiting 42 s to stay within 50 a minute of incidents.list', 'waiting 42 s to stay within 50 a minute of incidents.list|42',
            'api.security.microsoft.com answered HTTP 429; waiting 8 s before attempt 2', 'api.security.microsoft.com answered HTTP 429; waiting 8 s before attempt 2|8',
            'machine action 0f3a is Pending', 'machine action 0f3a is Pending|10', 'waiting 1 s to stay within 1 a minute of a [31m', 'graph')
    }
}

Describe 'advice on calls' {
    It 'has the words of the module' {
        $words = & $inModule { $script:HintWords }
        $source = @(Get-ChildItem -LiteralPath ([IO.Path]::Combine($RepositoryRoot, 'src')) -Recurse -Include *.rs, *.txt | ForEach-Object { [IO.File]::ReadAllText($_.FullName) }) -join "`n"
        $source = $source.Replace('\"', '"')
        foreach ($said in $words.Keys) { Assert-True $source.Contains(($said -replace '^(give the request the secret ).*', '$1')) "the library no longer says: $said" }
    }
    It 'names no key of the C interface' {
        # What is said to callers of C alone: of one-shot calls, of keys that the module never sends, of events.
        $others = 'dxdr_', 'set one of path, store', 'remove id, or set the identity', '^use system, client_id', '^use client_secret, certificate, assertion', '^use unique_id', '^use commercial, gcc', '^set proxy_password; ',
        '^give "list", "remove"', '^set "grant", to', 'check the authority''s metadata for authorization_endpoint', '^say whose token', 'code_verifier', '^remove response_mode', 'remove response_type', '^reply with', '^the header says',
            '^write its name, or', '^add "persist"'
        $literal = '"((?:[^"\\]|\\.)*)"'
        $hints = '(?:\.with_hint\(\s*(?:format!\(\s*)?|const [A-Z_]+: &str =\s*|Error::argument\(\s*(?:format!\((?:[^()]|\([^()]*\))*\)|"(?:[^"\\]|\\.)*"),\s*(?:format!\(\s*)?)' + $literal
        $said = [Collections.Generic.List[string]]::new()
        $root = [IO.Path]::Combine($RepositoryRoot, 'src')
        foreach ($file in Get-ChildItem -LiteralPath $root -Recurse -Filter *.rs) {
            $source = ([IO.File]::ReadAllText($file.FullName) -split '#\[cfg\(test\)\]\s*mod ')[0]
            foreach ($found in [regex]::Matches($source, $hints)) { $said.Add($found.Groups[1].Value.Replace('\"', '"')) }
        }
        foreach ($line in [IO.File]::ReadAllLines([IO.Path]::Combine($root, 'auth', 'aadsts.txt'))) { if ($line -match '^\d.*\|([^|]+)$') { $said.Add($Matches[1].Trim()) } }
        Assert-True ($said.Count -gt 400) "only $($said.Count) hints were found"
        # Names of the C interface have underscores, or stand after "grant"; names of variables have capitals, and members of answers stand in braces.
        $key = '(?<![\w/.?&{"=-])[a-z]+(?:_[a-z0-9]+)+\b(?![:/=])|"[a-z]+(?:_[a-z]+)*"(?::| in the request)|\bgrant [a-z]+_|device code grant|cache other than'
        $left = @(foreach ($hint in $said) {
                $shown = & $inModule { param($text) ConvertTo-DefenderHint $text } $hint
                if ($hint.Contains(' ') -and $shown -cmatch $key -and -not @($others | Where-Object { $hint -cmatch $_ })) { $hint }
            })
        Assert-Equal $left @() 'advice without a row in $script:HintWords (Private/Errors.ps1)'
    }
}

if ($null -eq $Emulator) { return }

function Connect-Test { Reset-Emulator; Connect-Defender -TenantId $Emulator.tenant_id -ClientId $Emulator.confidential_client_id -ClientSecret (New-Secret $RunbookSecretText) }

Describe 'a list that breaks off' {
    It 'says where to go on, and goes on there without a record twice or missing' {
        Connect-Test
        $expected = @(Get-DefenderIncident).incidentId
        Set-EmulatorFault @{ match = @{ path_contains = '/api/incidents'; query = @{ '$skip' = '40' } }; times = 0; do = @{ status = 403; json = @{ error = @{ code = 'Forbidden'; message = 'no' } } } }
        $got = [Collections.ArrayList]::new()
        $record = Assert-Fails { Get-DefenderIncident -PageSize 20 | ForEach-Object { $null = $got.Add($_.incidentId) } } FORBIDDEN
        Assert-Equal $got.Count 40
        Assert-True $record.Exception.Resume
        Assert-Equal $record.Exception.InnerException.Resume $record.Exception.Resume
        Assert-Match $record.ErrorDetails.RecommendedAction 'Exception\.Resume'
        $null = Invoke-Emulator DELETE faults
        $rest = @(Get-DefenderIncident -PageSize 20 -Resume $record.Exception.Resume).incidentId
        Assert-Equal (@($got) + $rest) $expected
    }
    It 'leaves the place in -ResumeVariable, also when the pipeline ends it' {
        Connect-Test
        $expected = @(Get-DefenderIncident).incidentId
        $got = [Collections.ArrayList]::new()
        try { Get-DefenderIncident -PageSize 20 -ResumeVariable place | ForEach-Object { if ($got.Count -eq 30) { throw 'enough' }; $null = $got.Add($_.incidentId) } } catch { Assert-Equal "$_" 'enough' }
        Assert-True $place 'no place was left'
        # What was not handled comes again.
        Assert-Equal (@($got) + @(Get-DefenderIncident -PageSize 20 -Resume $place).incidentId) $expected
        $record = Assert-Fails { Get-DefenderIncident -Filter "status eq 'Active'" -Resume $place } BAD_ARGUMENT
        Assert-Match "$record" 'another list'
        $all = @(Get-DefenderIncident -PageSize 50 -ResumeVariable place)
        Assert-Equal $all.Count 120
        Assert-Equal @(Get-DefenderIncident -PageSize 50 -Resume $place).Count 0
    }
}
