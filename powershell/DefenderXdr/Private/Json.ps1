# JSON without surprises, the same on Windows PowerShell 5.1 and PowerShell 7: strings stay strings (never a DateTime), whole numbers
# are Int64 or BigInteger, keys that differ only in case are both kept, and what is written does not depend on the culture or on
# properties somebody attached to a string.

$script:JsonMember = $null      # the pattern of one member; made on first need
$script:JsonTimeName = $null
$script:JsonEngine = $null      # what is behind PowerShell's ConvertFrom-Json, or $false where it cannot be used
# What that would change: the beginnings of strings that it makes a DateTime of, and a key that PowerShell gives a meaning to.
$script:JsonChanged = '"[0-9]{4}-[0-9]{2}-[0-9]{2}T|\\u00(?:2[dDfF]|3[0-9]|54)|/Date\(|(?i:pstypename)'
$script:JsonOtherTime = $null   # what Test-DefenderJsonTime looks for
$script:JsonHidden = $null
# ISO 8601 with up to seven digits of a second; no zone means UTC.
$script:JsonTimeFormat = "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK"

function script:Get-DefenderValue {
    # A property's value, or nothing when the object has no such property: callers run under strict mode.
    param([object] $Object, [string] $Name)
    if ($null -eq $Object) { return }
    $property = $Object.PSObject.Properties[$Name]
    if ($null -ne $property) { $property.Value }
}

function script:Get-DefenderList {
    # A document's value as a list of text: an empty list where there is none.
    param([System.Collections.IDictionary] $Document, [string] $Name)
    $value = $Document[$Name]
    if ($null -eq $value) { return , [string[]]@() }
    , [string[]]@($value)
}

function script:Initialize-DefenderJsonEngine {
    # Can PowerShell's own reader be used? It is many times as fast as the one below, but makes a DateTime of whatever looks like one, and cannot
    # make objects of keys that differ only in case or are empty: then it gives nothing. Before 7.4 it forgot the order of keys.
    $script:JsonEngine = $false
    $version = $PSVersionTable.PSVersion
    if ($version.Major -lt 7 -or ($version.Major -eq 7 -and $version.Minor -lt 4)) { return }
    try {
        $engine = [System.Reflection.Assembly]::Load('Microsoft.PowerShell.Commands.Utility').GetType('Microsoft.PowerShell.Commands.JsonObject')
        $fault = $null
        if ($null -ne $engine -and $engine::ConvertFromJson('{"a":1}', $true, 1024, [ref] $fault)['a'] -eq 1) { $script:JsonEngine = $engine }
    }
    catch { $global:Error.RemoveAt(0) }
}

function script:ConvertFrom-DefenderDocument {
    # A document of the library as a dictionary: what is missing reads as $null.
    param([string] $Text)
    if ($null -eq $script:JsonEngine) { Initialize-DefenderJsonEngine }
    if ($script:JsonEngine -and $Text -cnotmatch $script:JsonChanged) {
        $fault = $null
        return $script:JsonEngine::ConvertFromJson($Text, $true, 1024, [ref] $fault)
    }
    ConvertFrom-DefenderJson $Text -AsDictionary
}

function script:Test-DefenderJsonTime {
    # Is it certain that PowerShell's own reader takes exactly those strings for times that ConvertFrom-DefenderJson -Times does? Every string that
    # begins like a time must be a plain one in UTC, under a name for times, and no escape may hide another.
    param([string] $Text)
    if ($null -eq $script:JsonOtherTime) {
        $day = '[0-9]{4}-[0-9]{2}-[0-9]{2}T'
        $under = '(?<=(?:[tT]ime(?:Utc)?|"(?:first|last)(?:Activity|Seen))"[ \t\r\n]*:[ \t\r\n]*"' + $day + ')'
        $clock = '(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,7})?Z"'
        $plain = '(?:(?<="[12][0-9]{3}.{7})' + $clock + '|(?<="0001-01-01T)' + $clock + ')'
        $script:JsonOtherTime = [regex]::new('"' + $day + '(?!' + $under + $plain + ')', [System.Text.RegularExpressions.RegexOptions]::CultureInvariant)
        $script:JsonHidden = [regex]::new('\\u00(?:2[dDfF]|3[0-9]|54)|/Date\(|(?i:pstypename)', [System.Text.RegularExpressions.RegexOptions]::CultureInvariant)
    }
    -not $script:JsonOtherTime.IsMatch($Text) -and -not $script:JsonHidden.IsMatch($Text)
}

function script:ConvertFrom-DefenderJson {
    # One match takes a member or an element: its key, its value or the bracket it opens, and the brackets and comma that follow. The open
    # containers are on a stack of their own, so deep nesting costs memory and not call depth. With -Times, the members that hold times by
    # their name become DateTime (UTC) where their text is one. -Shapes completes the document's object (under '') and the objects in its lists
    # (under the list's name): see Complete-DefenderMembers. -AsDictionary leaves the document and what it holds directly
    # dictionaries.
    param([string] $Text, [switch] $Times, [hashtable] $Shapes, [switch] $AsDictionary)

    if ($null -eq $script:JsonMember) {
        $string = '"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"'
        $script:JsonMember = [regex]::new(
            '\G[ \t\r\n]*(?:' + $string + '[ \t\r\n]*:[ \t\r\n]*)?(?:' + $string +
            '|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)|([{\[]))((?:[ \t\r\n]*[}\]])*)[ \t\r\n]*(,?)',
            [System.Text.RegularExpressions.RegexOptions]::CultureInvariant)
        $script:JsonTimeName = [regex]::new('(?:[tT]ime(?:Utc)?|^(?:first|last)(?:Activity|Seen))$', [System.Text.RegularExpressions.RegexOptions]::CultureInvariant)
    }
    $timeName = $script:JsonTimeName
    $timeStyles = [System.Globalization.DateTimeStyles] 'AssumeUniversal, AdjustToUniversal'
    $time = [DateTime]::MinValue
    $invariant = [System.Globalization.CultureInfo]::InvariantCulture
    $comparer = [System.StringComparer]::OrdinalIgnoreCase
    $backslash = [char] '\'
    $fraction = [char[]] '.eE'
    $stack = [System.Collections.Stack]::new()
    $current = $null            # the open container: an OrderedDictionary, an ArrayList, or nothing at the top
    $inObject = $false
    $root = $null
    $more = $true               # may another value come?
    $sound = $false
    $position = 0

    foreach ($match in $script:JsonMember.Matches($Text)) {
        $groups = $match.Groups
        $sound = $more -and $groups[1].Success -eq $inObject
        if (-not $sound) { break }
        $position = $match.Index + $match.Length
        $key = $null
        if ($inObject) {
            $key = $groups[1].Value
            if ($key.IndexOf($backslash) -ge 0) { $key = [regex]::Unescape($key) }
            if ($key.Length -eq 0 -or $current.Contains($key)) { $key = Get-DefenderFreeKey $current $key }
        }

        $opened = $false
        if ($groups[2].Success) {
            $value = $groups[2].Value
            if ($value.IndexOf($backslash) -ge 0) { $value = [regex]::Unescape($value) }
            if ($Times -and $inObject -and $timeName.IsMatch($key) -and
                [DateTime]::TryParseExact($value, $script:JsonTimeFormat, $invariant, $timeStyles, [ref] $time)) { $value = $time }
        }
        elseif ($groups[3].Success) {
            $word = $groups[3].Value
            $value = $null
            if ($word -ceq 'true') { $value = $true }
            elseif ($word -ceq 'false') { $value = $false }
            elseif ($word -cne 'null') {
                $number = [long] 0
                if ([long]::TryParse($word, [System.Globalization.NumberStyles]::AllowLeadingSign, $invariant, [ref] $number)) { $value = $number }
                elseif ($word.IndexOfAny($fraction) -ge 0) { $value = [double]::Parse($word, $invariant) }
                else { $value = [bigint]::Parse($word, $invariant) }
            }
        }
        else {
            $opened = $true
            $stack.Push($current)
            $stack.Push($key)
            $inObject = $groups[4].Value -eq '{'
            if ($inObject) { $current = [System.Collections.Specialized.OrderedDictionary]::new($comparer) }
            else { $current = [System.Collections.ArrayList]::new() }
        }
        if (-not $opened) {
            if ($inObject) { $current[$key] = $value }
            elseif ($null -ne $current) { $null = $current.Add($value) }
            else { $root = $value }
        }

        $comma = $groups[6].Length -gt 0
        if ($groups[5].Length -gt 0) {
            foreach ($bracket in $groups[5].Value.ToCharArray()) {
                if ($bracket -ne '}' -and $bracket -ne ']') { continue }
                $sound = $null -ne $current -and $inObject -eq ($bracket -eq '}')
                if (-not $sound) { break }
                $closed = $current
                $key = $stack.Pop()
                $current = $stack.Pop()
                if (-not $inObject) { $value = $closed.ToArray() }
                elseif ($AsDictionary -and $stack.Count -le 2) { $value = $closed }
                else {
                    # A key of this name would become the object's type.
                    if ($closed.Contains('PSTypeName')) { $closed = Rename-DefenderMember $closed 'PSTypeName' }
                    if ($null -ne $Shapes -and ($stack.Count -eq 0 -or $stack.Count -eq 4)) {
                        $shape = $Shapes[$(if ($stack.Count -eq 0) { '' } else { [string] $stack.Peek() })]
                        if ($null -ne $shape) { Complete-DefenderMembers $closed $shape }
                    }
                    $value = [pscustomobject] $closed
                }
                $inObject = $current -is [System.Collections.Specialized.OrderedDictionary]
                if ($inObject) { $current[$key] = $value }
                elseif ($null -ne $current) { $null = $current.Add($value) }
                else { $root = $value }
            }
            $opened = $false
        }
        # A comma follows a value in a container, and nothing else.
        if (-not $sound -or ($comma -and ($opened -or $null -eq $current))) { $sound = $false; break }
        $more = $comma -or $opened
    }
    if (-not $sound -or $more -or $null -ne $current -or $Text.Substring($position).Trim([char[]] " `t`r`n") -ne '') {
        throw [System.FormatException]::new("the JSON text is malformed near character $position")
    }
    , $root
}

function script:Get-DefenderFreeKey {
    # A name for the key that the object can hold: PowerShell's property names ignore case and cannot be empty.
    param([System.Collections.Specialized.OrderedDictionary] $Members, [string] $Key)
    if ($Key -eq '') { $Key = '_' }
    if (-not $Members.Contains($Key)) { return $Key }
    foreach ($held in $Members.get_Keys()) { if ($held -ceq $Key) { return $Key } }
    $number = 2
    while ($Members.Contains("${Key}_$number")) { $number++ }
    "${Key}_$number"
}

function script:Rename-DefenderMember {
    param([System.Collections.Specialized.OrderedDictionary] $Members, [string] $Name)
    $renamed = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::OrdinalIgnoreCase)
    foreach ($key in $Members.get_Keys()) {
        if ($key -eq $Name) { $renamed[(Get-DefenderFreeKey $Members "${key}_")] = $Members[$key] }
        else { $renamed[$key] = $Members[$key] }
    }
    $renamed
}

function script:Complete-DefenderMembers {
    # Names the type of what becomes an object, adds the members that were left out ($null), and makes a missing or null list an empty one.
    param([System.Collections.Specialized.OrderedDictionary] $Object, [hashtable] $Shape)
    foreach ($name in $Shape.Members) { if (-not $Object.Contains($name)) { $Object[$name] = $null } }
    foreach ($name in $Shape.Lists) { if ($null -eq $Object[$name]) { $Object[$name] = [object[]]@() } }
    $Object['PSTypeName'] = $Shape.TypeName
}

function script:Complete-DefenderObject {
    # The same for what is an object already.
    param([object] $Object, [hashtable] $Shape)
    $properties = $Object.PSObject.Properties
    foreach ($name in $Shape.Members) {
        if ($null -eq $properties[$name]) { $properties.Add([System.Management.Automation.PSNoteProperty]::new($name, $null)) }
    }
    foreach ($name in $Shape.Lists) {
        $list = $properties[$name]
        if ($null -eq $list) { $properties.Add([System.Management.Automation.PSNoteProperty]::new($name, [object[]]@())) }
        elseif ($null -eq $list.Value) { $list.Value = [object[]]@() }
    }
    $Object.PSObject.TypeNames.Insert(0, $Shape.TypeName)
}

function script:ConvertTo-DefenderJson {
    # Writes dictionaries, objects, lists, text, numbers, times (in UTC), booleans and null. Nothing depends on the culture.
    param([object] $Value)
    if ($null -eq $Value) { return 'null' }
    $invariant = [System.Globalization.CultureInfo]::InvariantCulture
    if ($Value -isnot [string]) {
        if ($Value -is [bool] -or $Value -is [switch]) { if ($Value) { return 'true' } else { return 'false' } }
        if ($Value -is [enum]) { return '"' + $Value.ToString() + '"' }
        if ($Value -is [int] -or $Value -is [long] -or $Value -is [uint32] -or $Value -is [uint64] -or $Value -is [byte] -or $Value -is [sbyte] -or
            $Value -is [int16] -or $Value -is [uint16] -or $Value -is [decimal] -or $Value -is [bigint]) { return $Value.ToString($invariant) }
        if ($Value -is [double] -or $Value -is [single]) { return $Value.ToString('R', $invariant) }
        if ($Value -is [DateTime] -or $Value -is [DateTimeOffset]) { return '"' + $Value.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", $invariant) + '"' }
        if ($Value -is [System.Collections.IDictionary]) {
            $members = foreach ($pair in $Value.GetEnumerator()) { (ConvertTo-DefenderJson ([string] $pair.Key)) + ':' + (ConvertTo-DefenderJson $pair.Value) }
            return '{' + ($members -join ',') + '}'
        }
        if ($Value -is [System.Management.Automation.PSCustomObject]) {
            $members = foreach ($property in $Value.PSObject.Properties) { (ConvertTo-DefenderJson $property.Name) + ':' + (ConvertTo-DefenderJson $property.Value) }
            return '{' + ($members -join ',') + '}'
        }
        if ($Value -is [System.Collections.IEnumerable]) {
            $elements = foreach ($element in $Value) { ConvertTo-DefenderJson $element }
            return '[' + ($elements -join ',') + ']'
        }
    }
    $text = ([string] $Value).Replace('\', '\\').Replace('"', '\"')
    if ($text -match '[\x00-\x1f]') {
        $text = [regex]::Replace($text, '[\x00-\x1f]', { param($found) '\u{0:x4}' -f [int] $found.Value[0] })
    }
    '"' + $text + '"'
}
