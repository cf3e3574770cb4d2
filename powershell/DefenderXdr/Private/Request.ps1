# Calls to any path of the services.

function script:Invoke-DefenderAnyPath {
    param([hashtable] $Session, [System.Collections.IDictionary] $Given)
    $call = [ordered]@{ service = $Given['Service'].ToLowerInvariant() }
    $keys = @{ Path = 'path'; Version = 'version'; Query = 'query'; Headers = 'headers'; First = 'first'; IdName = 'id_name'; Resume = 'resume'; BaseUrl = 'base_url' }
    foreach ($name in $keys.get_Keys()) { if ($Given.ContainsKey($name)) { $call[$keys[$name]] = $Given[$name] } }
    if ($Given.ContainsKey('Method')) { $call.method = $Given['Method'].ToUpperInvariant() }
    if ($Given.ContainsKey('Preflight')) { $call.preflight = $Given['Preflight'].ToLowerInvariant() }
    if ($Given.ContainsKey('NoPaging') -and $Given['NoPaging']) { $call.paging = $false }
    $body = ''
    if ($Given.ContainsKey('Body')) {
        $body = Get-DefenderBodyText $Given['Body']
        if ($null -eq $body) {
            $Session.Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'the text of -Body is not JSON' -Hint 'Give -Body a hashtable or an object, or check the JSON text; a single text is written with its quotes.'))
        }
    }
    $converter = if ($Given.ContainsKey('Raw') -and $Given['Raw']) { '' } else { 'ConvertTo-DefenderAny' }
    Invoke-DefenderCall $Session $call -ItemConverter $converter -Body $body
    if (-not $Given.ContainsKey('ResponseVariable')) { return }
    $head = $Session.Result.Response
    $value = $null
    if ($null -ne $head) {
        $value = [pscustomobject]@{ StatusCode = $head['status']; ContentType = $head['content_type']; ETag = $head['etag']; RequestId = $head['request_id'] }
    }
    $Session.Caller.SessionState.PSVariable.Set($Given['ResponseVariable'].TrimStart('$'), $value)
}

function script:Get-DefenderBodyText {
    # The JSON text of a body; nothing where it is text that is no JSON.
    param([object] $Body)
    if ($Body -isnot [string]) { return ConvertTo-DefenderJson $Body }
    try { $null = ConvertFrom-DefenderJson $Body }
    catch {
        $global:Error.RemoveAt(0)
        return
    }
    # Without the white space around it, the text is one value and nothing else.
    $Body.Trim()
}

function script:ConvertTo-DefenderAny {
    # What a path answers: JSON as objects, anything else as text.
    param([string] $Text)
    $first = $Text.TrimStart([char[]] " `t`r`n" + [char] 0xfeff)
    if ($first -notmatch '^(?:[{\["]|-?[0-9]|true|false|null)') { return $Text }
    try { $value = ConvertTo-DefenderShapedObject $first @{} }
    catch {
        $global:Error.RemoveAt(0)
        return $Text
    }
    $value
}
