# Calls to any path of the services.

function script:Get-DefenderRequestTarget {
    # The service and the path of a request, and the host where a whole address was given: @{ Service; Path; BaseUrl }. Which hosts are a service's own
    # the library knows, and it sends a token to no other.
    param([System.Collections.IDictionary] $Given, [System.Management.Automation.PSCmdlet] $Caller)
    $refuse = {
        param($message, $hint)
        $Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText $message) -Hint $hint))
    }
    $service = ([string] $Given['Service']).Trim()
    $path = ([string] $Given['Path']).Trim()
    $baseUrl = $Given['BaseUrl']
    if ($Given.ContainsKey('Headers')) {
        # A variable that holds nothing would make a condition of an empty one.
        foreach ($name in $Given['Headers'].get_Keys()) {
            if ([string]::IsNullOrWhiteSpace([string] $Given['Headers'][$name])) { & $refuse "the header $(Get-DefenderShortText $name) has no value" 'Check the variable that its value comes from, or leave the header out.' }
        }
    }
    if ($service -match '^https?://' -and -not $path) { $service, $path = '', $service }
    if ($path -match '^(?<base>https?://[^/?#]+)(?<path>/.*)?$') {
        $base, $path = $Matches['base'], $(if ($Matches['path']) { $Matches['path'] } else { '/' })
        if ($baseUrl) { & $refuse '-Path is a whole address, and -BaseUrl names a host too' 'Give the host in one of them.' }
        $baseUrl = $base
        if (-not $service) {
            # The pages on Endpoint name XDR's host for some of their paths.
            $service = switch -Regex ($base) {
                '^https://(?:dod-)?graph\.' { 'Graph'; break }
                '\.securitycenter\.' { 'Endpoint'; break }
                '\.security\.microsoft\.' { if ($path -match '^/api/(?:v[0-9.]+/)?(?:incidents|advancedhunting)\b') { 'Xdr' } else { 'Endpoint' }; break }
                default { '' }
            }
            if (-not $service) { & $refuse "$(Get-DefenderShortText $base) is the host of no service that is known here" 'A token goes to the hosts of Xdr, Endpoint and Graph only. Give -Service and -Path, as in: Invoke-DefenderRequest Endpoint /api/machines' }
        }
    }
    $known = @('Xdr', 'Endpoint', 'Graph' -eq $service)
    if ($known.Count -eq 0) {
        & $refuse $(if ($service) { "'$(Get-DefenderShortText $service)' is no service" } else { 'no service is given' }) 'Give -Service Xdr, Endpoint or Graph and then the path, as in: Invoke-DefenderRequest Endpoint /api/machines'
    }
    if (-not $path) { & $refuse 'no path is given' "Give -Path, as in: Invoke-DefenderRequest $($known[0]) $(@{ Xdr = '/api/incidents'; Endpoint = '/api/machines'; Graph = 'security/incidents' }[$known[0]])" }
    @{ Service = $known[0]; Path = $path; BaseUrl = $baseUrl }
}

function script:Invoke-DefenderAnyPath {
    param([hashtable] $Session, [System.Collections.IDictionary] $Given, [hashtable] $Target)
    $call = [ordered]@{ service = $Target.Service.ToLowerInvariant(); path = $Target.Path }
    if ($Target.BaseUrl) { $call.base_url = $Target.BaseUrl }
    $keys = @{ Version = 'version'; Query = 'query'; Headers = 'headers'; First = 'first'; IdName = 'id_name'; Resume = 'resume' }
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
