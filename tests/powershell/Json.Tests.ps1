# The module's JSON: the same on every edition, and no surprises.

$inModule = Get-Module -Name DefenderXdr
function Read-Json { param([string] $Text, [switch] $Times) & $inModule { param($t, $w) ConvertFrom-DefenderJson $t -Times:$w } $Text $Times }
function Write-Json { param([object] $Value) & $inModule { param($v) ConvertTo-DefenderJson $v } $Value }

Describe 'JSON' {
    It 'leaves text that looks like a date alone' {
        $read = Read-Json '{"title":"2026-01-02T03:04:05Z","createdTime":"2026-01-02T03:04:05Z"}'
        Assert-True ($read.title -is [string] -and $read.createdTime -is [string])
    }
    It 'makes times of the members that hold times, and of no other' {
        $read = Read-Json -Times '{"title":"2026-01-02T03:04:05Z","createdTime":"2026-01-02T03:04:05.1234567Z","lastSeen":"2026-01-02T03:04:05+02:00","resolvedTime":"soon","firstActivity":"0001-01-01T00:00:00Z"}'
        Assert-True ($read.title -is [string])
        Assert-Equal $read.createdTime.ToString('o') '2026-01-02T03:04:05.1234567Z'
        Assert-Equal $read.lastSeen.ToString('o') '2026-01-02T01:04:05.0000000Z'
        Assert-Equal $read.resolvedTime 'soon'
        Assert-Equal $read.firstActivity.Ticks 0
    }
    It 'keeps numbers exact' {
        $read = Read-Json '[1,-0,9223372036854775807,9223372036854775808,-123456789012345678901234567890,1.5,1e3,0.1]'
        Assert-Equal ($read | ForEach-Object { $_.GetType().Name }) 'Int64', 'Int64', 'Int64', 'BigInteger', 'BigInteger', 'Double', 'Double', 'Double'
        Assert-Equal $read[4].ToString() '-123456789012345678901234567890'
    }
    It 'keeps keys that differ only in case, an empty key and a reserved one' {
        $read = Read-Json '{"a":1,"A":2,"":3,"PSTypeName":"Evil","a":4}'
        Assert-Equal $read.a 4
        Assert-Equal $read.A_2 2
        Assert-Equal $read._ 3
        Assert-True ($read.PSTypeNames -notcontains 'Evil') 'a key became the type'
        Assert-Equal $read.PSTypeName_ 'Evil'
    }
    It 'reads escapes, nesting and white space' {
        $read = Read-Json " { `"s`" : `"a\`"\\\/\b\f\n\r\t\u00e9\ud83d\ude00`" , `"n`" : [ [ ] , { } , null , true , false ] } `n"
        Assert-Equal $read.s ("a`"\/" + [char] 8 + [char] 12 + "`n`r`t" + [char] 0xe9 + [char]::ConvertFromUtf32(0x1f600))
        Assert-Equal $read.n.Length 5
        Assert-Equal $read.n[0].Length 0
    }
    It 'reads ten thousand levels without running out of call depth' { $null = Read-Json (('[' * 10000) + (']' * 10000)) }
    It 'reads text beyond the 2 MB at which ConvertFrom-Json of Windows PowerShell 5.1 ends, which no source calls' {
        $long = 'x' * 3MB
        $read = Read-Json ('{"value":[{"id":1,"text":"' + $long + '"},{"id":2}]}')
        Assert-Equal $read.value[0].text.Length $long.Length
        Assert-Equal $read.value[1].id 2
        foreach ($source in Get-ChildItem -LiteralPath $ModulePath -Recurse -File | Where-Object { $_.Extension -in '.ps1', '.psm1' }) {
            $tree = [Management.Automation.Language.Parser]::ParseFile($source.FullName, [ref] $null, [ref] $null)
            $calls = @($tree.FindAll({ param($node) $node -is [Management.Automation.Language.CommandAst] -and $node.GetCommandName() -eq 'ConvertFrom-Json' }, $true))
            Assert-Equal $calls.Count 0 $source.Name
        }
    }
    foreach ($text in '', '{', '}', '{"a"}', '{"a":}', '{"a":1,}', '[1,]', '[,]', '1 2', '{"a":1}}', '[1}', 'tru', '{1:2}', '"a', '[1 2]', '{"a" "b"}', ':', '{]', '[1],', '1,', '[[],]', '["a":1]',
        '{"a":{},}', '01', '+1', '"\x"', "[`"`t`"]", '[1]x', 'nul', 'True', "{'a':1}", '[1]//x') {
        It "refuses $text" { Assert-True ($null -ne (Assert-Fails { Read-Json $text })) }
    }
    It 'reads a page of incidents as the engine does' {
        $raw = [IO.File]::ReadAllText([IO.Path]::Combine($RepositoryRoot, 'emulator', 'data', 'incidents.json'), [Text.Encoding]::UTF8)
        $ours = Read-Json $raw
        Assert-Equal @($ours.value).Count 4
        if ((Get-Command -Name ConvertFrom-Json).Parameters.ContainsKey('DateKind')) {
            Assert-Equal (ConvertTo-Json $ours -Depth 20 -Compress) (ConvertTo-Json (ConvertFrom-Json $raw -DateKind String) -Depth 20 -Compress)
        }
    }
    It 'writes text, numbers, lists and objects' {
        Assert-Equal (Write-Json ([ordered]@{ a = "q`"\`n" + [char] 1; b = @('x'); c = @(); d = $true; e = 5; f = $null; g = [ordered]@{ h = [long] 6000000000 } })) `
            '{"a":"q\"\\\u000a\u0001","b":["x"],"c":[],"d":true,"e":5,"f":null,"g":{"h":6000000000}}'
    }
    It 'writes a string with attached properties as a string' {
        $text = Add-Member -InputObject 'x' -NotePropertyName PSPath -NotePropertyValue 'y' -PassThru
        Assert-Equal (Write-Json @{ a = $text }) '{"a":"x"}'
    }
}
