# Errors: the library's error document, or a fault found on this side, becomes an error record with a stable id, a category and a recommended action.

function script:New-DefenderErrorRecord {
    # A fault found by the module itself, in the shape the library's own faults have.
    param([string] $Name, [int] $Code, [string] $Message, [string] $Hint)
    ConvertTo-DefenderErrorRecord -Detail @{ code = $Code; name = $Name; message = $Message; hint = $Hint }
}

function script:ConvertTo-DefenderErrorRecord {
    # $Detail is the library's error document, parsed, or its text.
    param([object] $Detail)

    if ($Detail -is [string]) {
        try { $Detail = ConvertFrom-DefenderDocument $Detail }
        catch { $Detail = $null }
    }
    if ($Detail -isnot [System.Collections.IDictionary]) { $Detail = @{} }
    $name = [string] $Detail['name']
    if ($name -cnotmatch '^[A-Z][A-Z0-9_]*$') { $name = 'UNKNOWN' }
    $code = [int] $Detail['code']
    $message = Format-DefenderText $Detail['message']
    if ($name -ceq 'INTERACTION_REQUIRED') {
        # The library was told by the module that nobody is here; the module knows why.
        $obstacle = Get-DefenderObstacle
        if ($obstacle) {
            $message = $message.Replace('the request forbids asking a person', "no person can be asked here: $obstacle")
            if ($message.EndsWith('none can be asked here', [System.StringComparison]::Ordinal)) { $message = "${message}: $obstacle" }
        }
    }
    if (-not $message) { $message = "the library reported $name without a message" }
    $hint = Format-DefenderText $Detail['hint']
    $hint = ConvertTo-DefenderHint $hint
    if (-not $hint) { $hint = 'Run the command again with -Verbose to see more; Get-Help about_DefenderXdr explains the errors.' }
    $aadsts = $Detail['aadsts']
    $status = $Detail['http_status']
    $category = Get-DefenderErrorCategory $name $code

    # Scripts written for ADAL.PS read $_.Exception.InnerException.ErrorCode and its neighbours.
    $members = [ordered]@{
        ErrorCode         = Get-DefenderAdalErrorCode $name ([string] $Detail['oauth_error'])
        ServiceErrorCodes = [string[]]@(if ($null -ne $aadsts) { [string] $aadsts })
        StatusCode        = [int] $status
        Claims            = $Detail['claims']
        Name              = $name
        Code              = $code
        Hint              = $hint
        SubError          = $Detail['suberror']
        Retryable         = [bool] $Detail['retryable']
        RetryAfterMs      = $Detail['retry_after_ms']
        CorrelationId     = $Detail['correlation_id']
        TraceId           = $Detail['trace_id']
        Resume            = $null
    }
    $inner = [System.Exception]::new($message)
    $outer = New-DefenderException $category $message $inner
    foreach ($exception in $inner, $outer) {
        $properties = $exception.PSObject.Properties
        foreach ($member in $members.Keys) { $properties.Add([System.Management.Automation.PSNoteProperty]::new($member, $members[$member])) }
    }

    $record = [System.Management.Automation.ErrorRecord]::new($outer, "DefenderXdr.$name", $category, $null)
    $shown = $message
    if ($name -ceq 'INTERACTION_REQUIRED' -and $message.StartsWith('no way to sign in was found here. ')) {
        # One numbered line for each way: a script's error view folds lines into one paragraph, where the numbers still tell them apart. The
        # exception keeps the single line, for logs.
        $number = 0
        $lines = foreach ($way in $message.Substring(34) -split ' \| ') { $number++; "  ($number) $way" }
        $shown = "no way to sign in was found here:`n$($lines -join "`n")".Replace('the request names no client_id', '-ClientId is not given')
    }
    # Windows PowerShell has no place for the recommended action in its error view.
    if ($PSVersionTable.PSEdition -eq 'Desktop') { $shown = "$shown ($hint)" }
    $record.ErrorDetails = [System.Management.Automation.ErrorDetails]::new($shown)
    $record.ErrorDetails.RecommendedAction = $hint
    $record
}

# The library's advice names the operations of calls and the members of requests; these are the words for the same in PowerShell. A row counts before those below it.
$script:HintWords = [ordered]@{
    'set machine to the id of the one that is meant'                = 'give the id of the one that is meant'
    'look for it with machine_actions.wait'                         = 'look for it with Wait-DefenderMachineAction'
    'wait for its end (machine_actions.wait), or cancel it, and try again' = 'wait for its end (Wait-DefenderMachineAction), or cancel it (Stop-DefenderMachineAction), and try again'
    'get the incidents one by one with follow false'                = 'get the incidents one by one with -NoFollow'
    'go on with resume: what changed since the last look'           = 'go on with -Resume: what changed since the last look'
    'read it from its start, without resume'                        = 'read it from its start, without -Resume'
    'use resume to go on, updated_since to begin'                   = 'give -Resume to go on, or -UpdatedSince to begin'
    'to get more records leave it out and set first'                = 'to get more records leave it out and give -First'
    'ask for smaller pages (top)'                                   = 'ask for smaller pages (-PageSize)'
    'set query to an object such as {"$filter": "status eq ''New''"}' = 'give -Query a hashtable such as @{ ''$filter'' = "status eq ''New''" }'
    'write it as P30D, or as 2026-11-01T00:00:00Z/2026-11-21T00:00:00Z' = 'write it as P30D, or as 2026-11-01T00:00:00Z/2026-11-21T00:00:00Z; a TimeSpan is given as -Timespan (New-TimeSpan -Days 7)'
    'leave it out; an empty list takes all tags away'               = 'leave it out; -Tag @() takes all tags away'
    'the host comes from service, cloud and base_url'               = 'the host comes from -Service, the connection''s cloud and -BaseUrl'
    'the service cannot filter by severity: filter what comes back' = 'the service cannot filter by severity: give -Severity, or filter what comes back'
    'use query, or another method'                                  = 'give -Query, or another -Method'
    'name another member by id_name'                                = 'name another member by -IdName'
    'Look at machine_actions.list before trying again'              = 'Look at Get-DefenderMachineAction before trying again'
    'get the incident (incidents.get)'                              = 'get the incident (Get-DefenderIncident)'
    'get the alert (alerts.get)'                                    = 'get the alert (Get-DefenderAlert)'
    'get the alerts (alerts.get)'                                   = 'get the alerts (Get-DefenderAlert)'
    'see how the action stands (machine_actions.get)'               = 'see how the action stands (Get-DefenderMachineAction)'
    '; where a second time does no harm, set retry to safe'         = ''
    'ask for the device code grant'                                 = 'ask for a device code (-DeviceCode)'
    ' (grant authorization_code)'                                   = ' (-ClientId without another way to sign in)'
    'such as a browser (authorization_code)'                        = 'such as a browser (-ClientId without another way to sign in)'
    '(grant client_credentials)'                                    = '(-ClientSecret, or a certificate)'
    'use another grant, or '                                        = 'use another way to sign in, or '
    'only client_credentials has regional token endpoints: remove region' = 'only an app that signs in by itself has regional token endpoints: remove -Region'
    'set the secret certificate_password, or '                      = 'give -CertificatePassword, or set '
    'give the path of a PFX or PEM file, or sign in the caller (caller_signs)' = 'give -CertificatePath the path of a PFX or PEM file, or -Certificate'
    'set client_secret, or name a certificate or an assertion in the request''s "credential"' = 'give -ClientSecret, a certificate or a client assertion'
    'azure_cli (-AzureCli in PowerShell) or azure_powershell (-AzurePowerShell)' = '-AzureCli or -AzurePowerShell'
    'an app''s client_id (-ClientId in PowerShell, or AZURE_CLIENT_ID)' = '-ClientId (or AZURE_CLIENT_ID)'
    'with device_code (-DeviceCode)'                                = 'with -DeviceCode'
    'with a certificate or secret (-CertificatePath, -ClientSecret)' = 'with -CertificatePath or -ClientSecret'
    'managed_identity (-ManagedIdentity)'                           = '-ManagedIdentity'
    'azure_cli (-AzureCli)'                                         = '-AzureCli'
    'azure_powershell (-AzurePowerShell)'                           = '-AzurePowerShell'
    'or name client_id and tenant_id in the request'                = 'or give -ClientId and -TenantId'
    'leave client_id out of the request'                            = 'leave -ClientId out'
    'name the app by its client_id'                                 = 'name the app by -ClientId'
    'set the identity''s type to client_id'                         = 'name the identity by -IdentityClientId'
    'client_id and object_id are GUIDs, resource_id starts with'    = '-IdentityClientId and -IdentityObjectId are GUIDs, -IdentityResourceId starts with'
    'name one: "identity" in the request with its client_id, object_id or resource_id (in PowerShell, -IdentityClientId)' = 'name one: -IdentityClientId, -IdentityObjectId or -IdentityResourceId'
    'name it: "identity" in the request (in PowerShell, -IdentityClientId)' = 'name it: -IdentityClientId'
    'name one by its home_account_id'                               = 'name one by its HomeAccountId'
    '(cache other than only; in PowerShell without -Silent or -PromptBehavior Never)' = '(without -Silent or -PromptBehavior Never)'
    '(the request''s "claims")'                                     = '(-Claims)'
    'accept a cache in plain text ("plain_text": true)'             = 'accept a cache in plain text (-PlainTextTokenCache)'
    'ask for plain text here too ("plain_text": true)'              = 'ask for plain text here too (-PlainTextTokenCache)'
    'leave out "plain_text"'                                        = 'leave out -PlainTextTokenCache'
    'set it, or give the cache a "directory" of its own'            = 'set it'
    'keep the cache on a local disk ("directory"), not on a network share' = 'keep the home folder on a local disk, not on a network share'
    'set instance_discovery to false to trust'                      = 'give -NoInstanceDiscovery to trust'
    'set authority_type to oidc'                                    = 'give -AuthorityType OIDC'
    'is trusted with instance_discovery false'                      = 'is trusted with -NoInstanceDiscovery'
    'leave authority_type out'                                      = 'leave -AuthorityType out'
    'remove it, or use login_hint'                                  = 'remove it, or use -LoginHint'
    ', or name the credential''s file'                               = ', or give the file as -ClientAssertionFile'
    'set redirect_uri to exactly'                                   = 'set -RedirectUri to exactly'
    'set grant to authorization_code and scopes in place of resource, or remove extra_scopes' = 'sign in with a browser and -Scopes, or remove -ExtraScopesToConsent'
    'set status, assigned_to, classification, determination, tags or comment' = 'give -Status, -AssignedTo, -Classification, -Determination, -Tag or -Comment'
    'use updated_since to begin at a time; filter can compare createdTime' = 'use -UpdatedSince to begin at a time; -Filter can compare createdTime'
    ', and ca_file if it is set'                                    = ''
    'to the system''s store or name it with ca_file'                = 'to the system''s store'
    'set proxy and proxy_user in the client''s configuration'       = 'give -Proxy and -ProxyCredential'
    'set proxy_user, and the secret proxy_password; or leave proxy out' = 'give -ProxyCredential; or leave -Proxy out'
    ', or proxy, proxy_user and the secret proxy_password of the client' = ', or give -Proxy and -ProxyCredential'
}

function script:ConvertTo-DefenderHint {
    # A hint, or a warning with advice, in the words of the module.
    param([string] $Hint)
    foreach ($words in $script:HintWords.Keys) { $Hint = $Hint.Replace($words, $script:HintWords[$words]) }
    $Hint
}

function script:Add-DefenderHint {
    # Says more of what to do, where a command knows more than the library.
    param([System.Management.Automation.ErrorRecord] $Record, [string] $Text)
    $hint = "$($Record.ErrorDetails.RecommendedAction); $Text"
    $Record.ErrorDetails.RecommendedAction = $hint
    foreach ($exception in $Record.Exception, $Record.Exception.InnerException) { $exception.Hint = $hint }
    if ($PSVersionTable.PSEdition -eq 'Desktop') {
        $action = $Record.ErrorDetails.RecommendedAction
        $Record.ErrorDetails = [System.Management.Automation.ErrorDetails]::new("$($Record.ErrorDetails.Message) ($Text)")
        $Record.ErrorDetails.RecommendedAction = $action
    }
}

function script:New-DefenderException {
    param([string] $Category, [string] $Message, [System.Exception] $Inner)
    switch ($Category) {
        'InvalidArgument' { [System.ArgumentException]::new($Message, $Inner); break }
        'AuthenticationError' { [System.Security.Authentication.AuthenticationException]::new($Message, $Inner); break }
        'PermissionDenied' { [System.UnauthorizedAccessException]::new($Message, $Inner); break }
        'OperationTimeout' { [System.TimeoutException]::new($Message, $Inner); break }
        'OperationStopped' { [System.OperationCanceledException]::new($Message, $Inner); break }
        'ConnectionError' { [System.IO.IOException]::new($Message, $Inner); break }
        'InvalidData' { [System.FormatException]::new($Message, $Inner); break }
        'NotImplemented' { [System.NotSupportedException]::new($Message, $Inner); break }
        'NotInstalled' { [System.DllNotFoundException]::new($Message, $Inner); break }
        default { [System.InvalidOperationException]::new($Message, $Inner) }
    }
}

function script:Get-DefenderErrorCategory {
    param([string] $Name, [int] $Code)
    switch -CaseSensitive ($Name) {
        'UNSUPPORTED' { 'NotImplemented'; return }
        'CANCELLED' { 'OperationStopped'; return }
        'TIMEOUT' { 'OperationTimeout'; return }
        'BUSY' { 'ResourceBusy'; return }
        'DEVICE_CODE_EXPIRED' { 'OperationTimeout'; return }
        'BROWSER_TIMEOUT' { 'OperationTimeout'; return }
        'PORT_IN_USE' { 'ResourceBusy'; return }
        'NO_BROWSER' { 'ResourceUnavailable'; return }
        'THROTTLED' { 'LimitsExceeded'; return }
        'THROTTLED_LOCALLY' { 'LimitsExceeded'; return }
        'CACHE_PERMISSION' { 'PermissionDenied'; return }
        'CACHE_LOCKED' { 'ResourceBusy'; return }
        'CACHE_IO' { 'ReadError'; return }
        'ACCOUNT_NOT_FOUND' { 'ObjectNotFound'; return }
        'UNAUTHORIZED' { 'AuthenticationError'; return }
        'FORBIDDEN' { 'PermissionDenied'; return }
        'NOT_FOUND' { 'ObjectNotFound'; return }
        'BAD_FILTER' { 'InvalidArgument'; return }
        'PAGING_LOOP' { 'InvalidResult'; return }
        'NEXTLINK_HOST' { 'SecurityError'; return }
        'QUOTA' { 'LimitsExceeded'; return }
        'LIST_MOVED' { 'InvalidResult'; return }
        'ACTION_FAILED' { 'InvalidResult'; return }
        'INDICATOR_REFUSED' { 'InvalidData'; return }
        'INDICATOR_UNKNOWN' { 'InvalidResult'; return }
        'PLACE_NOT_KEPT' { 'WriteError'; return }
        'CONFIRMATION_REQUIRED' { 'InvalidOperation'; return }
        'NOT_CONNECTED' { 'ConnectionError'; return }
        'LIBRARY_NOT_FOUND' { 'NotInstalled'; return }
        'LIBRARY_ARCHITECTURE' { 'NotInstalled'; return }
        'LIBRARY_NOT_LOADED' { 'NotInstalled'; return }
        'ABI_VERSION' { 'NotInstalled'; return }
    }
    switch ([math]::Floor($Code / 1000)) {
        1 { 'InvalidArgument'; return }
        3 { 'ConnectionError'; return }
        4 { 'AuthenticationError'; return }
        5 { 'AuthenticationError'; return }
        6 { 'ResourceUnavailable'; return }
        7 { 'InvalidData'; return }
        8 { 'InvalidData'; return }
        9 { 'InvalidData'; return }
        10 { 'ResourceUnavailable'; return }
        default { 'NotSpecified' }
    }
}

function script:Get-DefenderAdalErrorCode {
    # The ErrorCode an ADAL.PS script expects: the service's own word when there is one.
    param([string] $Name, [string] $OAuthError)
    if ($OAuthError -and $OAuthError -cne 'failed_to_acquire_token_silently') { return $OAuthError }
    switch -CaseSensitive ($Name) {
        'INTERACTION_REQUIRED' { 'user_interaction_required'; break }
        'DECLINED' { 'authentication_canceled'; break }
        'CANCELLED' { 'authentication_canceled'; break }
        'BROWSER_TIMEOUT' { 'authentication_canceled'; break }
        'NO_BROWSER' { 'authentication_ui_failed'; break }
        'PORT_IN_USE' { 'authentication_ui_failed'; break }
        'REDIRECT_ERROR' { 'authentication_failed'; break }
        'NO_CODE' { 'authentication_failed'; break }
        'ISS_MISMATCH' { 'authentication_failed'; break }
        'ENDPOINT_REFUSED' { 'invalid_authority_type'; break }
        'STATE_MISMATCH' { 'state_mismatch'; break }
        'ACCOUNT_NOT_FOUND' { 'failed_to_acquire_token_silently'; break }
        'TIMEOUT' { 'http_request_timeout'; break }
        'DNS' { 'network_not_available'; break }
        'CONNECT' { 'network_not_available'; break }
        'RESET' { 'network_not_available'; break }
        'NOT_JSON' { 'json_parse_failed'; break }
        'SERVER_UNAVAILABLE' { 'service_unavailable'; break }
        'SERVER_ERROR' { 'service_returned_error'; break }
        'BAD_ARGUMENT' { 'invalid_argument'; break }
        default { 'unknown_error' }
    }
}

function script:Stop-DefenderStatement {
    # Ends the drop-in's statement as ADAL.PS does: the error is shown and can be caught, and without a catch the command returns $null,
    # so a variable it is assigned to never keeps an older token. Under $ErrorActionPreference = 'Stop' the caller's statement ends.
    param([System.Management.Automation.PSCmdlet] $Caller, [System.Management.Automation.ErrorRecord] $Record)
    if ($Caller.SessionState.PSVariable.GetValue('ErrorActionPreference') -eq 'Stop') {
        $Caller.ThrowTerminatingError($Record)
    }
    # The frames are this function, the command, and the caller, whose line the error shall show.
    $frames = @(Get-PSCallStack)
    $position = if ($frames.Count -gt 2) { $frames[2].Position } else { $null }
    # Named as the command, because the error id and the error view carry the name of the function that throws.
    function Get-ADALToken {
        [CmdletBinding()] param([System.Management.Automation.ErrorRecord] $Failed, [object] $At)
        if ($null -ne $At) { $PSCmdlet.MyInvocation.DisplayScriptPosition = $At }
        $PSCmdlet.ThrowTerminatingError($Failed)
    }
    Get-ADALToken $Record $position
}

function script:Format-DefenderText {
    # Text from a server, fit for a terminal: one line, no control, escape or direction-changing characters.
    param([object] $Text)
    if ($null -eq $Text) { return '' }
    ([string] $Text) -replace '[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+', ' '
}
