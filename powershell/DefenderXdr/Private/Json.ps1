# JSON without surprises, the same on Windows PowerShell 5.1 and PowerShell 7: strings stay strings (never a DateTime), whole numbers
# are Int64 or BigInteger, keys that differ only in case are both kept, and what is written does not depend on the culture or on
# properties somebody attached to a string.

$script:JsonToken = $null       # the pattern of one token; made on first need

function Get-DefenderValue {
    # A property's value, or nothing when the object has no such property: callers run under strict mode.
    param([object] $Object, [string] $Name)
    if ($null -eq $Object) { return }
    $property = $Object.PSObject.Properties[$Name]
    if ($null -ne $property) { $property.Value }
}

function Get-DefenderList {
    # A property's values as text: an empty array when there is no such property or it is null.
    param([object] $Object, [string] $Name)
    $value = Get-DefenderValue $Object $Name
    if ($null -eq $value) { return , [string[]]@() }
    , [string[]]@($value)
}

function ConvertFrom-DefenderJson {
    # One pass over the tokens with an explicit stack, so deep nesting costs memory and not call depth. With -Times, the members that
    # hold times by their name become DateTime (UTC) where their text is one.
    param([string] $Text, [switch] $Times)

    if ($null -eq $script:JsonToken) {
        $script:JsonToken = [regex]::new(
            '\G[ \t\r\n]*([{}\[\],:]|"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)',
            [Text.RegularExpressions.RegexOptions]::CultureInvariant)
    }
    $invariant = [Globalization.CultureInfo]::InvariantCulture
    $comparer = [StringComparer]::OrdinalIgnoreCase
    $ordinal = [StringComparison]::OrdinalIgnoreCase
    $quote = [char] '"'
    $backslash = [char] '\'
    $colon = [char] ':'
    $comma = [char] ','
    $openBrace = [char] '{'
    $closeBrace = [char] '}'
    $openBracket = [char] '['
    $closeBracket = [char] ']'
    $fraction = [char[]] '.eE'
    $stack = [Collections.Stack]::new()
    $current = $null            # the open container: an OrderedDictionary, an ArrayList, or nothing at the top
    $inObject = $false
    $key = $null
    $root = $null
    $expected = 'value'         # value, element (a value or the end), key, member (a key or the end), colon, next (a comma or the end), nothing
    $position = 0

    :tokens foreach ($match in $script:JsonToken.Matches($Text)) {
        $token = $match.Groups[1].Value
        $position = $match.Index + $match.Length
        $first = $token[0]
        $value = $null

        if ($expected -eq 'colon') {
            if ($first -ne $colon) { break tokens }
            $expected = 'value'
            continue tokens
        }
        if ($expected -eq 'next' -and $first -eq $comma) {
            $expected = if ($inObject) { 'key' } else { 'value' }
            continue tokens
        }
        if ($first -eq $quote) {
            $value = $token.Substring(1, $token.Length - 2)
            if ($value.IndexOf($backslash) -ge 0) { $value = [regex]::Unescape($value) }
            if ($expected -eq 'key' -or $expected -eq 'member') {
                $key = $value
                if ($key.Length -eq 0 -or $current.Contains($key)) { $key = Get-DefenderFreeKey $current $key }
                $expected = 'colon'
                continue tokens
            }
        }
        if ($first -eq $closeBrace -or $first -eq $closeBracket) {
            $closes = if ($first -eq $closeBrace) { $inObject -and ($expected -eq 'next' -or $expected -eq 'member') }
            else { -not $inObject -and $null -ne $current -and ($expected -eq 'next' -or $expected -eq 'element') }
            if (-not $closes) { $expected = 'value'; break tokens }
            $value = if ($inObject) { ConvertTo-DefenderObject $current } else { , $current.ToArray() }
            $current, $key = $stack.Pop()
            $inObject = $current -is [Collections.Specialized.OrderedDictionary]
        }
        elseif ($expected -ne 'value' -and $expected -ne 'element') { $expected = 'value'; break tokens }
        elseif ($first -eq $openBrace) {
            $stack.Push(@($current, $key))
            $current = [Collections.Specialized.OrderedDictionary]::new($comparer)
            $inObject = $true
            $expected = 'member'
            continue tokens
        }
        elseif ($first -eq $openBracket) {
            $stack.Push(@($current, $key))
            $current = [Collections.ArrayList]::new()
            $inObject = $false
            $expected = 'element'
            continue tokens
        }
        elseif ($first -eq $quote) { }
        elseif ($token -ceq 'true') { $value = $true }
        elseif ($token -ceq 'false') { $value = $false }
        elseif ($token -ceq 'null') { $value = $null }
        elseif ($first -eq $comma -or $first -eq $colon) { $expected = 'value'; break tokens }
        elseif ($token.IndexOfAny($fraction) -ge 0) { $value = [double]::Parse($token, $invariant) }
        else {
            $number = [long] 0
            $value = if ([long]::TryParse($token, [Globalization.NumberStyles]::AllowLeadingSign, $invariant, [ref] $number)) { $number }
            else { [bigint]::Parse($token, $invariant) }
        }

        if ($null -eq $current) {
            $root = $value
            $expected = 'nothing'
        }
        else {
            if ($inObject) {
                if ($Times -and $first -eq $quote -and ($key.EndsWith('Time', $ordinal) -or $key -cmatch '^(?:first|last)(?:Activity|Seen)$')) {
                    $value = ConvertFrom-DefenderTime $value
                }
                $current[$key] = $value
            }
            else { $null = $current.Add($value) }
            $expected = 'next'
        }
    }
    if ($expected -ne 'nothing' -or $Text.Substring($position).Trim([char[]] " `t`r`n") -ne '') {
        throw [FormatException]::new("the JSON text is malformed near character $position")
    }
    , $root
}

function ConvertFrom-DefenderTime {
    # ISO 8601 with up to seven digits of a second (no zone means UTC) as DateTime in UTC; any other text comes back as it is.
    param([string] $Text)
    $time = [DateTime]::MinValue
    $styles = [Globalization.DateTimeStyles] 'AssumeUniversal, AdjustToUniversal'
    if ([DateTime]::TryParseExact($Text, "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK", [Globalization.CultureInfo]::InvariantCulture, $styles, [ref] $time)) {
        return $time
    }
    $Text
}

function Get-DefenderFreeKey {
    # A name for the key that the object can hold: PowerShell's property names ignore case and cannot be empty.
    param([Collections.Specialized.OrderedDictionary] $Members, [string] $Key)
    if ($Key -eq '') { $Key = '_' }
    if (-not $Members.Contains($Key)) { return $Key }
    foreach ($held in $Members.Keys) { if ($held -ceq $Key) { return $Key } }
    $number = 2
    while ($Members.Contains("${Key}_$number")) { $number++ }
    "${Key}_$number"
}

function ConvertTo-DefenderObject {
    param([Collections.Specialized.OrderedDictionary] $Members)
    if (-not $Members.Contains('PSTypeName')) { return [pscustomobject] $Members }
    # The cast would take this key for the object's type.
    $object = [psobject]::new()
    foreach ($key in $Members.Keys) { $object.PSObject.Properties.Add([Management.Automation.PSNoteProperty]::new($key, $Members[$key])) }
    $object
}

function ConvertTo-DefenderJson {
    # Writes dictionaries, arrays, strings, booleans, whole numbers and null. Nothing depends on the culture.
    param([object] $Value)
    if ($null -eq $Value) { return 'null' }
    if ($Value -is [bool]) { if ($Value) { return 'true' } else { return 'false' } }
    if ($Value -is [int] -or $Value -is [long] -or $Value -is [uint32]) { return $Value.ToString([Globalization.CultureInfo]::InvariantCulture) }
    if ($Value -is [Collections.IDictionary]) {
        $members = foreach ($key in $Value.Keys) { (ConvertTo-DefenderJson ([string] $key)) + ':' + (ConvertTo-DefenderJson $Value[$key]) }
        return '{' + ($members -join ',') + '}'
    }
    if ($Value -is [Collections.IEnumerable] -and $Value -isnot [string]) {
        $elements = foreach ($element in $Value) { ConvertTo-DefenderJson $element }
        return '[' + ($elements -join ',') + ']'
    }
    $text = ([string] $Value).Replace('\', '\\').Replace('"', '\"')
    if ($text -match '[\x00-\x1f]') {
        $text = [regex]::Replace($text, '[\x00-\x1f]', { param($found) '\u{0:x4}' -f [int] $found.Value[0] })
    }
    '"' + $text + '"'
}
