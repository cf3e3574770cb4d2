# The module as a package: manifest, exports, help, sources, and what an import does.

$sources = @(Get-ChildItem -LiteralPath $ModulePath -Recurse -File)
$scripts = @($sources | Where-Object { $_.Extension -in '.ps1', '.psm1', '.psd1' })
$inModule = Get-Module -Name DefenderXdr
$manifest = Import-PowerShellDataFile -LiteralPath ([IO.Path]::Combine($ModulePath, 'DefenderXdr.psd1'))

Describe 'manifest' {
    It 'is valid' { $null = Test-ModuleManifest -Path ([IO.Path]::Combine($ModulePath, 'DefenderXdr.psd1')) }
    It 'exports exactly the public functions, and nothing else' {
        Assert-Equal (@($inModule.ExportedFunctions.Keys) | Sort-Object) ($Public | Sort-Object)
        Assert-Equal (@($manifest.FunctionsToExport) | Sort-Object) ($Public | Sort-Object)
        Assert-Equal ($inModule.ExportedAliases.Count + $inModule.ExportedCmdlets.Count + $inModule.ExportedVariables.Count) 0
        foreach ($kind in 'AliasesToExport', 'CmdletsToExport', 'VariablesToExport') { Assert-Equal @($manifest[$kind]).Count 0 $kind }
    }
    It 'declares the exported functions in the public files, and no other there' {
        $declared = foreach ($source in $sources | Where-Object { $_.Directory.Name -eq 'Public' }) { foreach ($line in [IO.File]::ReadAllLines($source.FullName)) { if ($line -match '^function (?<name>[\w-]+) \{') { $Matches['name'] } } }
        Assert-Equal (@($declared) | Sort-Object) ($Public | Sort-Object)
    }
    It 'lists the files there are' {
        $listed = @($manifest.FileList | ForEach-Object { $_.Replace('\', '/') } | Sort-Object)
        $there = @($sources | ForEach-Object { $_.FullName.Substring($ModulePath.Length + 1).Replace('\', '/') } | Where-Object { $_ -notlike 'lib/*' } | Sort-Object)
        Assert-Equal $listed $there
    }
    It 'reads every public file' {
        $read = @([IO.File]::ReadAllLines([IO.Path]::Combine($ModulePath, 'DefenderXdr.psm1')) | Where-Object { $_ -match '^    \. \$PSScriptRoot/Public/(?<name>[\w-]+)\.ps1$' } | ForEach-Object { $Matches['name'] } | Sort-Object)
        Assert-Equal $read (@($sources | Where-Object { $_.Directory.Name -eq 'Public' } | ForEach-Object { $_.BaseName }) | Sort-Object)
    }
    It 'has the version of the Rust package and of the module file' {
        $cargo = [IO.File]::ReadAllText([IO.Path]::Combine($RepositoryRoot, 'Cargo.toml'))
        Assert-True ($cargo -match '(?m)^version = "(?<version>[0-9.]+)"') 'Cargo.toml has no version'
        Assert-Equal $manifest.ModuleVersion $Matches['version']
        Assert-Equal (& $inModule { $script:ModuleVersion }) $manifest.ModuleVersion
    }
    It 'names both editions and the oldest versions' {
        Assert-Equal $manifest.CompatiblePSEditions 'Desktop', 'Core'
        Assert-Equal $manifest.PowerShellVersion '5.1'
        Assert-Equal $manifest.DotNetFrameworkVersion '4.7.2'
    }
}

Describe 'parameters' {
    It 'that sign in or watch are named, so that no secret or time is taken for another by its place' {
        foreach ($name in 'Connect-Defender', 'Get-DefenderToken', 'Watch-DefenderIncident') {
            $command = Get-Command $name
            Assert-True ($command.Parameters.Count -gt 10)
            foreach ($parameter in $command.Parameters.Values) { foreach ($set in $parameter.ParameterSets.Values) { Assert-True ($set.Position -lt 0) "-$($parameter.Name) of $name is positional" } }
        }
    }
    It 'named -Top end a list' {
        $lists = @(Get-Command -Module DefenderXdr | Where-Object { $_.Parameters.ContainsKey('PageSize') })
        Assert-Equal $lists.Count 5
        foreach ($list in $lists) {
            Assert-True ('Top' -in $list.Parameters['First'].Aliases) $list.Name
            Assert-Match (Get-Help $list.Name -Parameter First | Out-String) '-Top is the same' $list.Name
        }
    }
}

Describe 'sources' {
    It 'are pure ASCII, without a byte order mark, with plain line ends' {
        foreach ($source in $sources) {
            $bytes = [IO.File]::ReadAllBytes($source.FullName)
            foreach ($byte in $bytes) { if ($byte -gt 126 -or ($byte -lt 32 -and $byte -ne 10)) { throw "$($source.Name) holds byte $byte" } }
        }
    }
    It 'parse, and use nothing Windows PowerShell 5.1 lacks' {
        foreach ($source in $scripts) {
            $tokens = $null
            $errors = $null
            $tree = [Management.Automation.Language.Parser]::ParseFile($source.FullName, [ref] $tokens, [ref] $errors)
            Assert-Equal $errors.Count 0 "$($source.Name) does not parse: $errors"
            $newer = @('QuestionQuestion', 'QuestionQuestionEquals', 'QuestionMark', 'QuestionDot', 'QuestionLBracket', 'AndAnd', 'OrOr', 'Clean')
            foreach ($token in $tokens) { if ("$($token.Kind)" -in $newer) { throw "$($source.Name):$($token.Extent.StartLineNumber) uses $($token.Text)" } }
            $found = $tree.FindAll({ param($node) $node.GetType().Name -in 'TernaryExpressionAst', 'PipelineChainAst' -or ($node -is [Management.Automation.Language.PipelineAst] -and
                        $null -ne $node.PSObject.Properties['Background'] -and $node.Background) }, $true)
            Assert-Equal @($found).Count 0 "$($source.Name) uses newer syntax"
        }
    }
    It 'call no command, parameter, type or member that Windows PowerShell 5.1 or .NET Framework 4.7.2 lacks' {
        $commands = 'Get-Error', 'Test-Json', 'Join-String', 'ConvertFrom-Markdown', 'Show-Markdown', 'Get-Uptime', 'Remove-Alias', 'Remove-Service', 'Get-SecureRandom', 'ConvertTo-CliXml', 'ConvertFrom-CliXml',
            'Switch-Process', 'Enable-ExperimentalFeature'
        # By command, * for any.
        $parameters = @{
            '*'                       = 'ProgressAction', 'AsByteStream', 'SkipHttpErrorCheck', 'SkipCertificateCheck', 'SkipHeaderValidation', 'NoProxy', 'MaximumRetryCount', 'RetryIntervalSec', 'Authentication',
            'AllowUnencryptedAuthentication', 'ResponseHeadersVariable', 'StatusCodeVariable', 'CustomMethod', 'PreserveAuthorizationOnRedirect', 'FollowSymlink'
            'ForEach-Object'          = 'Parallel', 'ThrottleLimit', 'TimeoutSeconds', 'AsJob', 'UseNewRunspace'
            'ConvertFrom-Json'        = 'AsHashtable', 'Depth', 'NoEnumerate', 'DateKind'
            'ConvertTo-Json'          = 'AsArray', 'EnumsAsStrings', 'EscapeHandling'
            'ConvertFrom-SecureString' = 'AsPlainText'
            'Join-Path'               = 'AdditionalChildPath', 'Extension'
            'Split-Path'              = 'LeafBase', 'Extension'
            'Where-Object'            = 'Not'
            'Sort-Object'             = 'Top', 'Bottom', 'Stable'
            'Select-Object'           = 'CaseInsensitive'
            'Select-String'           = 'Raw', 'NoEmphasis', 'Culture'
            'Export-Csv'              = 'UseQuotes', 'QuoteFields', 'NoHeader'
            'ConvertTo-Csv'           = 'UseQuotes', 'QuoteFields', 'NoHeader'
            'Get-Date'                = 'AsUTC', 'UnixTimeSeconds'
            'Get-Random'              = 'Shuffle'
            'Measure-Object'          = 'AllStats'
            'Start-Process'           = 'Environment'
            'Import-Module'           = 'UseWindowsPowerShell', 'SkipEditionCheck'
            'Start-Job'               = 'WorkingDirectory'
            'Get-Unique'              = 'CaseInsensitive'
            'Invoke-RestMethod'       = 'FollowRelLink', 'Form', 'Token', 'Resume'
            'Invoke-WebRequest'       = 'Form', 'Token', 'Resume'
        }
        $types = '^(?:System\.)?(?:Text\.Json\.|Buffers\.|Span\[|ReadOnlySpan\[|Half$|DateOnly$|TimeOnly$|HashCode$|Index$|Range$|Net\.Http\.SocketsHttpHandler|Runtime\.Loader\.|Runtime\.InteropServices\.NativeLibrary|Security\.Cryptography\.(?:CryptographicOperations|HKDF|AesGcm|X509Certificates\.X509CertificateLoader)|Threading\.Channels\.|Management\.Automation\.SemanticVersion)|^semver$'
        $statics = @{
            Convert = 'ToHexString', 'ToHexStringLower', 'FromHexString'; Environment = 'ProcessPath', 'ProcessId', 'TickCount64'; OperatingSystem = 'IsWindows', 'IsLinux', 'IsMacOS'; Math = 'Clamp'
            Path = 'GetRelativePath', 'Join', 'IsPathFullyQualified', 'TrimEndingDirectorySeparator', 'EndsInDirectorySeparator', 'Exists'; DateTime = 'UnixEpoch'; DateTimeOffset = 'UnixEpoch'; Stopwatch = 'GetElapsedTime'
            RuntimeInformation = 'RuntimeIdentifier'; RandomNumberGenerator = 'Fill', 'GetBytes', 'GetInt32', 'GetHexString'; SHA1 = 'HashData'; SHA256 = 'HashData'; MD5 = 'HashData'
            X509Certificate2 = 'CreateFromPem', 'CreateFromPemFile', 'CreateFromEncryptedPem'; ArgumentNullException = 'ThrowIfNull'; File = 'ReadAllTextAsync', 'WriteAllTextAsync', 'ReadAllBytesAsync', 'AppendAllBytes', 'SetUnixFileMode', 'GetUnixFileMode', 'ResolveLinkTarget'
            Enum = 'GetValuesAsUnderlyingType'; Encoding = 'Latin1'
        }
        $members = 'TryAdd', 'GetValueOrDefault', 'AppendJoin', 'ArgumentList', 'ImportFromPem', 'ExportPkcs8PrivateKey', 'ImportPkcs8PrivateKey', 'EnumerateLines', 'ReplaceLineEndings'
        # Overloads of later versions, by the number of arguments.
        $overloads = @{ Contains = 2; Replace = 3; Kill = 1; GetHashCode = 1 }
        $examine = {
            param([Management.Automation.Language.Ast] $Tree)
            foreach ($node in $Tree.FindAll({ $true }, $true)) {
                $line = $node.Extent.StartLineNumber
                if ($node -is [Management.Automation.Language.CommandAst]) {
                    $name = $node.GetCommandName()
                    if ($name -in $commands) { "${line}: $name" }
                    $last = $null
                    foreach ($element in $node.CommandElements) {
                        if ($element -isnot [Management.Automation.Language.CommandParameterAst]) {
                            if ($last -eq 'Encoding' -and "$element" -match 'NoBOM|utf8BOM|ansi') { "${line}: -Encoding $element" }
                            if ($last -in 'ErrorAction', 'WarningAction' -and "$element" -eq 'Break') { "${line}: -$last Break" }
                            $last = $null
                            continue
                        }
                        $last = $element.ParameterName
                        # The first letters do for a parameter's name.
                        foreach ($newer in @($parameters['*']) + @(if ($name -and $parameters.ContainsKey($name)) { $parameters[$name] })) {
                            if ($newer -eq $last -or ($last.Length -gt 3 -and $newer -like "$last*" -and $name -and $parameters.ContainsKey($name) -and $newer -in $parameters[$name])) { "${line}: $name -$last" }
                        }
                    }
                    if ($name -eq 'Join-Path' -and @($node.CommandElements | Where-Object { $_ -isnot [Management.Automation.Language.CommandParameterAst] }).Count -gt 3) { "${line}: Join-Path with more than two parts" }
                }
                elseif ($node -is [Management.Automation.Language.TypeExpressionAst] -or $node -is [Management.Automation.Language.TypeConstraintAst]) {
                    if ($node.TypeName.FullName -match $types) { "${line}: [$($node.TypeName.FullName)]" }
                }
                elseif ($node -is [Management.Automation.Language.MemberExpressionAst]) {
                    $member = "$($node.Member)"
                    if ($node.Static -and $node.Expression -is [Management.Automation.Language.TypeExpressionAst]) {
                        $type = $node.Expression.TypeName.FullName.Split('.')[-1]
                        if ($statics.ContainsKey($type) -and $member -in $statics[$type]) { "${line}: [$type]::$member" }
                    }
                    elseif ($member -in $members) { "${line}: .$member" }
                    elseif ($node -is [Management.Automation.Language.InvokeMemberExpressionAst] -and $overloads.ContainsKey($member) -and $null -ne $node.Arguments -and $node.Arguments.Count -ge $overloads[$member]) { "${line}: .$member with $($node.Arguments.Count) arguments" }
                }
            }
        }
        $bad = @'
Get-Uptime
1 | ForEach-Object -Parallel { 1 }
'{}' | ConvertFrom-Json -AsHash
Invoke-RestMethod x -SkipHttpErrorCheck
[Convert]::ToHexString($a)
[System.Text.Json.JsonDocument]::Parse('{}')
'a'.Contains('a', 'Ordinal')
Join-Path a b c
Set-Content a -Encoding utf8NoBOM
$info.ArgumentList
'@
        $found = @(& $examine ([Management.Automation.Language.Parser]::ParseInput($bad, [ref] $null, [ref] $null)))
        Assert-Equal @($found | ForEach-Object { $_.Split(':')[0] }) @(1..10 | ForEach-Object { "$_" }) "the rules miss something: $found"
        $examples = @(Get-ChildItem -LiteralPath ([IO.Path]::Combine($RepositoryRoot, 'examples', 'powershell')) -Filter *.ps1)
        Assert-True ($examples.Count -gt 5) "$($examples.Count) examples"
        $found = @(foreach ($source in $scripts + $examples) {
                $tree = [Management.Automation.Language.Parser]::ParseFile($source.FullName, [ref] $null, [ref] $null)
                foreach ($one in & $examine $tree) { "$($source.Name):$one" }
            })
        Assert-Equal $found @()
    }
    It 'read the variables 5.1 lacks only behind a check of the edition' {
        foreach ($source in $scripts) {
            foreach ($line in [IO.File]::ReadAllLines($source.FullName)) {
                if ($line -match '\$IsWindows\b|\$IsCoreCLR\b|\$IsLinux\b' -and $line -notmatch "PSEdition -eq 'Desktop' -or ") { throw "$($source.Name): $line" }
                if ($line -match '\$IsMacOS\b' -and $line -notmatch 'Test-DefenderWindows|if \(\$windows\)|^\s*if \(\$IsMacOS\) \{ return') { throw "$($source.Name): $line" }
            }
        }
    }
    It 'name the library in one file only' {
        foreach ($source in $scripts) {
            if ($source.Name -eq 'Native.ps1') { continue }
            Assert-NotMatch ([IO.File]::ReadAllText($source.FullName)) 'dxdr_|DllImport|Reflection\.Emit' $source.Name
        }
    }
    It 'compile nothing' {
        foreach ($source in $scripts) { Assert-NotMatch ([IO.File]::ReadAllText($source.FullName)) 'Add-Type|Invoke-Expression|\biex\b' $source.Name }
    }
}

Describe 'native table' {
    It 'has the functions of the header with their argument counts, both ways' {
        $header = [IO.File]::ReadAllText([IO.Path]::Combine($RepositoryRoot, 'include', 'defender_xdr.h'))
        $header = [regex]::Replace($header, '(?s)/\*.*?\*/|//[^\n]*', ' ')
        $declared = @{}
        foreach ($match in [regex]::Matches($header, '(?s)\b(dxdr_[a-z0-9_]+)\s*\(([^()]*)\)\s*;')) {
            $arguments = $match.Groups[2].Value.Trim()
            $declared[$match.Groups[1].Value] = if ($arguments -eq 'void' -or $arguments -eq '') { 0 } else { $arguments.Split(',').Length }
        }
        $table = & $inModule { Get-DefenderNativeTable }
        Assert-True ($declared.Count -gt 30) "the header declares $($declared.Count) functions"
        Assert-Equal (@($table.Keys) | Sort-Object) (@($declared.Keys) | Sort-Object)
        foreach ($name in $table.Keys) { Assert-Equal (@($table[$name]).Length - 1) $declared[$name] $name }
    }
}

Describe 'help' {
    foreach ($name in $Public) {
        It "of $name describes it, each parameter, and has examples that parse" {
            $help = Get-Help -Name $name -Full
            Assert-True ($help.Synopsis.Trim() -and $help.Synopsis -notmatch ('^\s*' + [regex]::Escape($name))) 'no synopsis'
            Assert-True ("$($help.Description.Text)".Trim()) 'no description'
            $common = [Management.Automation.PSCmdlet]::CommonParameters + [Management.Automation.PSCmdlet]::OptionalCommonParameters
            $described = @{}
            if ($null -ne $help.PSObject.Properties['parameters'] -and $null -ne $help.parameters -and $null -ne $help.parameters.PSObject.Properties['parameter']) {
                foreach ($parameter in @($help.parameters.parameter)) {
                    $described[$parameter.name] = if ($null -ne $parameter.PSObject.Properties['description']) { "$($parameter.description.Text)".Trim() } else { '' }
                }
            }
            foreach ($parameter in (Get-Command -Name $name).Parameters.Keys) {
                if ($parameter -in $common) { continue }
                Assert-True ($described[$parameter]) "-$parameter is not described"
            }
            $examples = @($help.examples.example)
            Assert-True ($examples.Count -gt 0) 'no example'
            foreach ($example in $examples) {
                $errors = $null
                $null = [Management.Automation.Language.Parser]::ParseInput("$($example.code)", [ref] $null, [ref] $errors)
                Assert-Equal $errors.Count 0 "an example does not parse: $($example.code)"
                Assert-True ("$($example.remarks.Text)".Trim()) 'an example is not explained'
            }
        }
    }
    It 'has an about page that names every command' {
        $about = [IO.File]::ReadAllText([IO.Path]::Combine($ModulePath, 'en-US', 'about_DefenderXdr.help.txt'))
        foreach ($name in $Public) { Assert-Match $about ([regex]::Escape($name)) "about_DefenderXdr lacks $name" }
        foreach ($line in $about -split "`n") { Assert-True ($line.Length -le 80) "a line of about_DefenderXdr is longer than 80: $line" }
    }
}

Describe 'import' {
    It 'keeps prepared requests apart that differ in case only, as redirect URIs and resources do' {
        $module = Import-Module $ModulePath -Force -PassThru
        Assert-Equal (& $module { Import-DefenderPrivate; $script:Requests['a'] = 1; $script:Requests.Contains('A'); $script:Requests.Clear() }) $false
    }
    It 'loads no library and makes no client' {
        $shell = New-TestShell
        try {
            $state = $shell.AddScript('& (Get-Module DefenderXdr) { ($null -eq $script:Native); $script:Loaded }').Invoke()
            Assert-Equal $state 'True', 'False'
        }
        finally { $shell.Dispose() }
    }
    It 'reads the public functions only, and a command that needs the private ones reads them once' {
        $shell = New-TestShell
        try {
            $read = '& (Get-Module DefenderXdr) { @(Get-Command -Name *-Defender*, *-Adal* -CommandType Function -Module DefenderXdr | Where-Object { (Split-Path -Leaf (Split-Path -Parent $_.ScriptBlock.File)) -eq "Private" }).Count }'
            Assert-Equal $shell.AddScript("$read; New-AdalUserIdentifier x | Out-Null; Get-DefenderContext; Disconnect-Defender; $read").Invoke() '0', '0'
            $shell.Commands.Clear()
            $count = $shell.AddScript("try { Get-AdalAuthenticationContext } catch { `$_.FullyQualifiedErrorId }; & (Get-Module DefenderXdr) { `$script:JsonTimeFormat = 'kept' }; try { Get-AdalAuthenticationContext } catch { }; & (Get-Module DefenderXdr) { `$script:JsonTimeFormat }; $read").Invoke()
            Assert-Equal $count[0] 'DefenderXdr.UNSUPPORTED,Get-AdalAuthenticationContext'
            Assert-Equal $count[1] 'kept'
            Assert-True ([int] "$($count[2])" -gt 50) "$($count[2]) private functions were read"
        }
        finally { $shell.Dispose() }
    }
    It 'declares every private function in the scope of the module' {
        foreach ($source in $scripts | Where-Object { $_.Directory.Name -eq 'Private' }) {
            foreach ($line in [IO.File]::ReadAllLines($source.FullName)) { Assert-NotMatch $line '^function (?!script:)' $source.Name }
        }
    }
    It 'fails when a public file is broken, and a command fails when a private one is' {
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'dxdr-test-' + [guid]::NewGuid().ToString('N'))
        try {
            foreach ($broken in 'Public/Connection.ps1', 'Private/A.ps1') {
                $room = [IO.Path]::GetDirectoryName($broken)
                $copy = [IO.Path]::Combine($folder, $room, 'DefenderXdr')
                $null = [IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($copy))
                Copy-Item -LiteralPath $ModulePath -Destination $copy -Recurse
                [IO.File]::WriteAllText([IO.Path]::Combine($copy, $broken), "function A {")
            }
            $text = "try { Import-Module '$([IO.Path]::Combine($folder, 'Public', 'DefenderXdr'))'; 'imported' } catch { 'refused' }; `$null -eq (Get-Module DefenderXdr)"
            $result = Invoke-Process $PowerShellProgram @('-NoProfile', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text)))
            Assert-Match $result.Out '^refused\s+True\s*$'
            $text = "Import-Module '$([IO.Path]::Combine($folder, 'Private', 'DefenderXdr'))'; foreach (`$i in 1, 2) { try { ConvertFrom-DefenderToken a.b.c; 'ran' } catch { `$_.FullyQualifiedErrorId } }"
            $result = Invoke-Process $PowerShellProgram @('-NoProfile', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text)))
            Assert-Match $result.Out '^MissingEndCurlyBrace\S*\s+MissingEndCurlyBrace\S*\s*$'
        }
        finally { if ([IO.Directory]::Exists($folder)) { [IO.Directory]::Delete($folder, $true) } }
    }
    It 'says nothing and leaves no error' {
        $result = Invoke-PowerShell '"errors: $($Error.Count)"'
        Assert-Equal $result.Out.Trim() 'errors: 0'
        Assert-Equal $result.Err.Trim() ''
    }
    It 'works from a folder whose name has spaces, brackets and letters beyond ASCII' {
        $folder = [IO.Path]::Combine([IO.Path]::GetTempPath(), "dxdr [test] K$([char] 0xf6)ln $([guid]::NewGuid().ToString('N'))")
        $copy = [IO.Path]::Combine($folder, 'DefenderXdr')
        try {
            $null = [IO.Directory]::CreateDirectory($folder)
            Copy-Item -LiteralPath $ModulePath -Destination $copy -Recurse
            $escaped = [Management.Automation.WildcardPattern]::Escape([IO.Path]::Combine($copy, 'DefenderXdr.psd1'))
            $result = Invoke-Process $PowerShellProgram @('-NoProfile', '-EncodedCommand', [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes(
                        "Import-Module '$($escaped.Replace("'", "''"))'; (Get-Command -Module DefenderXdr).Count")))
            Assert-Equal $result.Out.Trim() "$($Public.Count)"
        }
        finally { if ([IO.Directory]::Exists($folder)) { [IO.Directory]::Delete($folder, $true) } }
    }
    It 'can be removed and imported again' {
        $shell = New-TestShell
        try {
            $left = $shell.AddScript('$p = (Get-Module DefenderXdr).Path; New-AdalUserIdentifier x | Out-Null; try { ConvertFrom-DefenderToken a.b.c -ErrorAction SilentlyContinue } catch { }
                Remove-Module DefenderXdr; Import-Module $p; (Get-Command Get-ADALToken).Module.Name').Invoke()
            Assert-Equal $left 'DefenderXdr'
        }
        finally { $shell.Dispose() }
    }
}
