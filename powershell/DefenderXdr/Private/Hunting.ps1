# Hunting: a query's rows as objects with the columns' order and types.

# The most rows that the services put into a result.
$script:HuntingRows = 100000
# What a column's type makes of a value. Kusto's bool is .NET's SByte.
$script:HuntingKinds = @{
    DateTime = 'Time'; SByte = 'Boolean'; Bool = 'Boolean'; Boolean = 'Boolean'; Double = 'Double'; Single = 'Double'; Real = 'Double'
    Decimal = 'Decimal'; SqlDecimal = 'Decimal'; Int32 = 'Int'; Int = 'Int'; TimeSpan = 'TimeSpan'
}
$script:RowTime = $null         # the beginning of a string that PowerShell's own reader makes a DateTime of
$script:RowOtherTime = $null    # one that it reads otherwise than ConvertTo-DefenderCell

function script:Read-DefenderQueryFile {
    # The queries in files; a file that cannot be read is an error, and the next one is tried.
    param([string[]] $Path, [System.Management.Automation.PSCmdlet] $Caller)
    foreach ($name in $Path) {
        try {
            $full = $Caller.GetUnresolvedProviderPathFromPSPath($name)
            $text = [System.IO.File]::ReadAllText($full)
        }
        catch {
            $global:Error.RemoveAt(0)
            $Caller.WriteError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "the file $name cannot be read: $($_.Exception.GetBaseException().Message)" -Hint 'Give -Path a file that holds one query.'))
            continue
        }
        if ($text.Trim()) { $text }
        else { $Caller.WriteError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "the file $name holds no query" -Hint 'Give -Path a file that holds one query.')) }
    }
}

function script:Invoke-DefenderHunt {
    param([hashtable] $Session, [string] $Query, [System.Collections.IDictionary] $Given)
    $call = New-DefenderCall 'hunting.run' $Given
    $call.query = $Query
    # An unquoted 7d is a number to PowerShell; the library says how to write it.
    if ($call.Contains('timespan')) { $call.timespan = $(if ($call.timespan -is [timespan]) { [System.Xml.XmlConvert]::ToString($call.timespan) } else { [string] $call.timespan }) }
    $converter = if ($Given.ContainsKey('Raw') -and $Given['Raw']) { '' } else { 'ConvertTo-DefenderRow' }
    if (-not ($Given.ContainsKey('PassThru') -and $Given['PassThru'])) {
        Invoke-DefenderCall $Session $call -ItemConverter $converter
        Show-DefenderHunt $Session.Result.Schema
        return
    }
    $rows = [object[]]@(Invoke-DefenderCall $Session $call -ItemConverter $converter)
    $schema = $Session.Result.Schema
    if ($null -eq $schema) { return }
    Show-DefenderHunt $schema
    [pscustomobject]@{
        PSTypeName = 'DefenderXdr.HuntingResult'
        Query      = $Query
        Backend    = [string] $schema['backend']
        RowCount   = $rows.Length
        Schema     = [object[]]@(foreach ($column in $schema['columns']) { [pscustomobject]@{ PSTypeName = 'DefenderXdr.HuntingColumn'; Name = Get-DefenderMember $column 'name'; Type = Get-DefenderMember $column 'type' } })
        Rows       = $rows
        Stats      = $schema['stats']
    }
}

function script:Get-DefenderMember {
    # A member of a dictionary or an object, whichever the reader made.
    param([object] $Object, [string] $Name)
    if ($Object -is [System.Collections.IDictionary]) { $Object[$Name] } else { Get-DefenderValue $Object $Name }
}

function script:Show-DefenderHunt {
    # Says what a query brought and cost.
    param([object] $Schema)
    if ($null -eq $Schema) { return }
    $stats = $Schema['stats']
    $cost = ''
    if ($null -ne $stats) { $cost = '; cost: ' + (ConvertTo-DefenderJson $stats) }
    Write-Verbose (Format-DefenderText ('{0} rows in {1} columns from {2}{3}' -f $Schema['rows'], @($Schema['columns']).Count, $Schema['backend'], $cost))
}

function script:Initialize-DefenderRows {
    # How the rows of a result are made, from its schema: names, kinds, and whether every name is another without regard to case.
    param([hashtable] $Result)
    $names = [System.Collections.Generic.List[string]]::new()
    $kinds = [System.Collections.Generic.Dictionary[string, string]]::new([System.StringComparer]::OrdinalIgnoreCase)
    $seen = [System.Collections.Generic.HashSet[string]]::new([System.StringComparer]::OrdinalIgnoreCase)
    $distinct = $true
    foreach ($column in $Result.Schema['columns']) {
        $name = [string] (Get-DefenderMember $column 'name')
        if ($name -eq '' -or $seen.Contains($name)) { $distinct = $false; continue }
        $names.Add($name)
        $null = $seen.Add($name)
        $kind = $script:HuntingKinds[[string] (Get-DefenderMember $column 'type')]
        if ($kind) { $kinds[$name] = $kind }
    }
    $Result.Rows = @{ Names = $names.ToArray(); Kinds = $kinds; Distinct = $distinct }
    if ($null -eq $script:RowTime) {
        $day = '"[0-9]{4}-[0-9]{2}-[0-9]{2}T'
        $clock = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,7})?Z"'
        $script:RowTime = [regex]::new($day, [System.Text.RegularExpressions.RegexOptions]::CultureInvariant)
        $script:RowOtherTime = [regex]::new($day + '(?!(?<="[12][0-9]{3}.{7})' + $clock + ')|\\u00(?:2[dDfF]|3[0-9]|54)|/Date\(|(?i:pstypename)', [System.Text.RegularExpressions.RegexOptions]::CultureInvariant)
    }
    if ($Result.Schema['rows'] -ge $script:HuntingRows) { Write-Warning "the result has $($Result.Schema['rows']) rows, the most that the service gives: there may be more. Narrow the query, or split it by time." }
}

function script:ConvertTo-DefenderRow {
    # A row as an object: every column of the schema in its order, then what the schema does not name. One function for all of it, because a result
    # may have a hundred thousand rows.
    param([string] $Text, [hashtable] $Result)
    if (-not $Result.ContainsKey('Rows')) { Initialize-DefenderRows $Result }
    $plan = $Result.Rows
    $names = $plan.Names
    $kinds = $plan.Kinds
    $kind = ''
    if ($null -eq $script:JsonEngine) { Initialize-DefenderJsonEngine }
    $quick = $script:JsonEngine -and $plan.Distinct -and -not $script:RowOtherTime.IsMatch($Text)
    while ($true) {
        $row = $null
        if ($quick) {
            $fault = $null
            try { $row = $script:JsonEngine::ConvertFromJson($Text, $false, 1024, [ref] $fault) }
            catch { $global:Error.RemoveAt(0) }
            $times = $script:RowTime.Matches($Text).Count
        }
        else { $row = ConvertFrom-DefenderJson $Text }
        if ($row -isnot [System.Management.Automation.PSCustomObject]) {
            if (-not $quick) { return , $row }
            $quick = $false
            continue
        }
        $at = 0
        $inOrder = $true
        foreach ($property in $row.PSObject.Properties) {
            $name = $property.Name
            if ($at -ge $names.Length -or $name -ne $names[$at]) { $inOrder = $false }
            $at++
            $value = $property.Value
            if ($null -eq $value -or -not $kinds.TryGetValue($name, [ref] $kind)) { continue }
            if ($value -is [DateTime]) { if ($quick -and $kind -eq 'Time') { $times-- } }
            elseif ($value -isnot [bool] -and $value -isnot [double]) { $property.Value = ConvertTo-DefenderCell $value $kind }
        }
        # What PowerShell's own reader made a DateTime of must be a cell of a time column, not text that looks like one.
        if (-not $quick -or $times -eq 0) { break }
        $quick = $false
    }
    if ($plan.Distinct -and (-not $inOrder -or $at -ne $names.Length)) {
        $cells = [ordered]@{}
        $held = $row.PSObject.Properties
        foreach ($name in $names) { $cells[$name] = $(if ($null -ne $held[$name]) { , $held[$name].Value }) }
        foreach ($property in $held) { if (-not $cells.Contains($property.Name)) { $cells[$property.Name] = $property.Value } }
        $row = [pscustomobject] $cells
    }
    $row.PSObject.TypeNames.Insert(0, 'DefenderXdr.HuntingRow')
    $row
}

function script:ConvertTo-DefenderCell {
    # A value in its column's type; what does not fit stays as it came.
    param([object] $Value, [string] $Kind)
    $invariant = [System.Globalization.CultureInfo]::InvariantCulture
    switch ($Kind) {
        'Time' {
            if ($Value -isnot [string]) { return $Value }
            $time = [DateTime]::MinValue
            $styles = [System.Globalization.DateTimeStyles] 'AssumeUniversal, AdjustToUniversal'
            if ([DateTime]::TryParseExact($Value, $script:JsonTimeFormat, $invariant, $styles, [ref] $time)) { return $time }
        }
        'Boolean' {
            if ($Value -is [long] -and ($Value -eq 0 -or $Value -eq 1)) { return $Value -eq 1 }
        }
        'Double' {
            if ($Value -is [long] -or $Value -is [bigint]) { return [double] $Value }
            if ($Value -ceq 'NaN') { return [double]::NaN }
            if ($Value -cin 'Infinity', '+Infinity') { return [double]::PositiveInfinity }
            if ($Value -ceq '-Infinity') { return [double]::NegativeInfinity }
        }
        'Decimal' {
            $number = [decimal] 0
            if ($Value -is [long]) { return [decimal] $Value }
            if ($Value -is [string] -and [decimal]::TryParse($Value, [System.Globalization.NumberStyles]::Float, $invariant, [ref] $number)) { return $number }
        }
        'Int' {
            if ($Value -is [long] -and $Value -ge [int]::MinValue -and $Value -le [int]::MaxValue) { return [int] $Value }
        }
        'TimeSpan' {
            $span = [timespan]::Zero
            if ($Value -is [string] -and [timespan]::TryParse($Value, $invariant, [ref] $span)) { return $span }
        }
    }
    , $Value
}
