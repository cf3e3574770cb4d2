# A small test harness, so that the tests run wherever PowerShell does: no module is needed.

$script:Passed = 0
$script:Failed = 0
$script:Group = ''
$script:Only = [Environment]::GetEnvironmentVariable('DXDR_TEST_ONLY')

function Describe {
    param([string] $TestGroup, [scriptblock] $TestBody)
    $script:Group = $TestGroup
    . $TestBody
}

function It {
    # The parameters' names are not those a test would use: the body sees them.
    param([string] $TestTitle, [scriptblock] $TestBody)
    $TestTitle = "$script:Group > $TestTitle"
    if ($script:Only -and $TestTitle -notlike "*$script:Only*") { return }
    # It holds 256 errors at most; a full one cannot be counted in.
    $global:Error.Clear()
    try {
        $null = & $TestBody
        $script:Passed++
        Write-Host "ok    $TestTitle"
    }
    catch {
        $script:Failed++
        Write-Host "FAIL  $TestTitle"
        Write-Host "      $($_.Exception.Message)"
        Write-Host "      $(($_.ScriptStackTrace -split "`n" | Select-Object -First 4) -join "`n      ")"
    }
}

function Assert-True {
    param([object] $Condition, [string] $Because = 'the condition is false')
    if (-not $Condition) { throw $Because }
}

function Assert-Equal {
    param([object] $Actual, [object] $Expected, [string] $Because = 'value')
    $shownActual = @($Actual) -join ', '
    $shownExpected = @($Expected) -join ', '
    if ($shownActual -cne $shownExpected) { throw "${Because}: expected <$shownExpected>, got <$shownActual>" }
}

function Assert-Match {
    param([object] $Actual, [string] $Pattern, [string] $Because = 'text')
    if ((@($Actual) -join "`n") -notmatch $Pattern) { throw "${Because}: <$(@($Actual) -join "`n")> does not match <$Pattern>" }
}

function Assert-NotMatch {
    param([object] $Actual, [string] $Pattern, [string] $Because = 'text')
    if ((@($Actual) -join "`n") -match $Pattern) { throw "${Because}: the text matches <$Pattern>" }
}

function Assert-Fails {
    # Runs the block, which must throw, and checks and returns the error record.
    param([scriptblock] $Body, [string] $Name, [string] $Category)
    $record = $null
    try { $null = & $Body }
    catch { $record = $_ }
    if ($null -eq $record) { throw "no error was thrown; expected $Name" }
    if ($Name -and $record.FullyQualifiedErrorId -notlike "DefenderXdr.$Name,*" -and $record.FullyQualifiedErrorId -cne "DefenderXdr.$Name") {
        throw "expected DefenderXdr.$Name, got $($record.FullyQualifiedErrorId): $record"
    }
    if ($Category -and "$($record.CategoryInfo.Category)" -cne $Category) { throw "expected category $Category, got $($record.CategoryInfo.Category)" }
    $record
}

function Assert-NoSecret {
    # Looks for planted secrets raw, base64 and URL-encoded, and for any piece of them of 12 characters or more.
    param([object] $Text, [string[]] $Secret, [string] $Where = 'the text')
    $all = @($Text) -join "`n"
    foreach ($planted in $Secret) {
        if (-not $planted) { throw 'an empty secret was planted' }
        $forms = @($planted, [uri]::EscapeDataString($planted), [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($planted)))
        foreach ($form in $forms) {
            for ($start = 0; $start + 12 -le $form.Length; $start += 6) {
                if ($all.Contains($form.Substring($start, 12))) { throw "$Where holds a piece of a secret" }
            }
        }
    }
}

function Get-DeepText {
    # Everything that can be read from an error record, a few levels deep.
    param([object] $Object, [int] $Depth = 5)
    $seen = [Collections.Generic.HashSet[int]]::new()
    $lines = [Collections.ArrayList]::new()
    $walk = {
        param($value, $level)
        if ($null -eq $value -or $level -lt 0) { return }
        if ($value -is [string] -or $value -is [ValueType]) { $null = $lines.Add([string] $value); return }
        if (-not $seen.Add([Runtime.CompilerServices.RuntimeHelpers]::GetHashCode($value))) { return }
        $null = $lines.Add([string] $value)
        if ($value -is [type] -or $value -is [Reflection.MemberInfo]) { return }
        if ($value -is [Collections.IDictionary]) {
            foreach ($key in @($value.Keys)) { & $walk $key ($level - 1); & $walk $value[$key] ($level - 1) }
            return
        }
        if ($value -is [Collections.IEnumerable]) { foreach ($element in $value) { & $walk $element ($level - 1) }; return }
        foreach ($property in $value.PSObject.Properties) {
            # The source line and the command's definition are the caller's own text.
            if ($property.Name -in 'Line', 'Statement', 'MyCommand', 'PositionMessage') { continue }
            try { $read = $property.Value } catch { continue }
            & $walk $read ($level - 1)
        }
    }
    & $walk $Object $Depth
    $lines -join "`n"
}
