# Calls to the services: what the commands for data and actions share. A command opens a session in its begin block, and in its process
# block makes a call document from its parameters and invokes it:
#
#   begin   { if (-not $script:Loaded) { Import-DefenderPrivate }; $session = Open-DefenderSession $PSCmdlet }
#   process { Invoke-DefenderCall $session (New-DefenderCall 'machines.list' $PSBoundParameters) -ItemConverter ConvertTo-DefenderMachine }
#
# Records go to the pipeline one by one as they come, and errors become the command's own. -AccessToken, -Timeout and -ResumeVariable are
# read from the command's parameters. The function that the converter names is called with a record's JSON text and the call's result.

# Parameters and the keys of the call document that they stand for, the same in every command.
$script:CallKeys = @{
    Filter         = 'filter'
    First          = 'first'
    PageSize       = 'top'
    Skip           = 'skip'
    Resume         = 'resume'
    Since          = 'since'
    UpdatedSince   = 'updated_since'
    Status         = 'status'
    Severity       = 'severity'
    AssignedTo     = 'assigned_to'
    Classification = 'classification'
    Determination  = 'determination'
    Tag            = 'tags'
    Comment        = 'comment'
    Backend        = 'backend'
    Query          = 'query'
    Timespan       = 'timespan'
    BaseUrl        = 'base_url'
}

function script:New-DefenderCall {
    # The call document for an operation: those of the command's parameters that stand for a key, and what -Keys names besides (parameter = key).
    # A key of '' leaves a parameter out.
    param([string] $Operation, [System.Collections.IDictionary] $Given, [hashtable] $Keys)
    $call = [ordered]@{ operation = $Operation }
    foreach ($name in $Given.get_Keys()) {
        $key = $script:CallKeys[$name]
        if ($null -ne $Keys -and $Keys.ContainsKey($name)) { $key = $Keys[$name] }
        if (-not $key) { continue }
        $value = $Given[$name]
        # The library's choices are in lower case.
        if ($key -ceq 'backend') { $value = ([string] $value).ToLowerInvariant() }
        $value = ConvertTo-DefenderWord $Operation $name $value
        $call[$key] = $value
    }
    $call
}

function script:Open-DefenderSession {
    # What the calls of one command share. Where there is neither a connection nor a token, the command ends here.
    param([System.Management.Automation.PSCmdlet] $Caller)
    $given = $Caller.MyInvocation.BoundParameters
    $failure = @{ Record = $null }
    $session = @{
        Caller   = $Caller
        OwnToken = $given.ContainsKey('AccessToken')
        Secret   = $null
        Timeout  = 0
        Track    = $null
        Failed   = $false       # whether the last call failed
        Result   = $null        # what the last call brought besides its records
    }
    if ($given.ContainsKey('Timeout')) { $session.Timeout = $given['Timeout'] }
    if ($given.ContainsKey('ResumeVariable')) { $session.Track = New-DefenderTrack $Caller ([string] $given['ResumeVariable']) '' }
    if ($session.OwnToken) {
        $session.Secret = Get-DefenderTokenSecret $given['AccessToken']
        if ($null -eq $session.Secret) {
            $failure.Record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message '-AccessToken holds no token' -Hint 'Give the token as text, as a SecureString, or the object of Get-ADALToken.'
        }
        else { Initialize-DefenderClient $failure }
    }
    else { $null = Get-DefenderConnection $failure }
    if ($null -ne $failure.Record) { $Caller.ThrowTerminatingError($failure.Record) }
    $session
}

function script:New-DefenderTrack {
    # Keeps the place in a list that its reader has reached: in a variable of the caller's when the command ends, however it ends, and in a file.
    # A record whose handling was broken off counts as not handled, and comes again.
    param([System.Management.Automation.PSCmdlet] $Caller, [string] $Variable, [string] $Path)
    @{ Caller = $Caller; Variable = $Variable.TrimStart('$'); Path = $Path; Text = $null; Kept = $null; Note = '' }
}

function script:Invoke-DefenderCall {
    # One call, with the connection or with the caller's own token. An error ends the command; with -PerRecord one that concerns this record alone
    # is written, and the command goes on with the next. -Failed receives the error instead. -Body is JSON text that goes into the document as it stands.
    param([hashtable] $Session, [System.Collections.IDictionary] $Call, [string] $ItemConverter, [switch] $PerRecord, [string] $Body, [hashtable] $Failed)
    $failure = @{ Record = $null }
    $Session.Failed = $false
    $Session.Result = @{ Token = $null; Resume = $null; Schema = $null; Response = $null; Warnings = [System.Collections.ArrayList]::new() }
    $request = [System.IntPtr]::Zero
    $entry = $null
    if ($Session.OwnToken) {
        $json = [System.Text.Encoding]::UTF8.GetBytes('{"grant":"access_token"}')
        $request = New-DefenderRequest -Json $json -Secrets @{ access_token = $Session.Secret } -Failure $failure
    }
    else {
        $connection = Get-DefenderConnection $failure
        if ($null -eq $failure.Record) {
            $entry = $connection.Entry
            $request = $entry.Handle
            if ($connection.Cloud) { $Call['cloud'] = $connection.Cloud }
        }
    }
    if ($null -eq $failure.Record) {
        $text = ConvertTo-DefenderJson $Call
        if ($Body) { $text = $text.Substring(0, $text.Length - 1) + ',"body":' + $Body + '}' }
        $operation = @{
            Kind          = 'call'
            Request       = $request
            Query         = [System.Text.Encoding]::UTF8.GetBytes($text)
            Timeout       = $Session.Timeout
            ItemConverter = $ItemConverter
            TokenEntry    = $entry
            OwnsRequest   = $Session.OwnToken
            Result        = $Session.Result
            Track         = $Session.Track
            Failure       = $failure
        }
        Invoke-DefenderOperation @operation
    }
    $record = $failure.Record
    if ($null -eq $record) { return }
    $Session.Failed = $true
    Add-DefenderWordHint $record $Call
    $place = $Session.Result.Resume
    if ($place) {
        foreach ($exception in $record.Exception, $record.Exception.InnerException) { $exception.Resume = $place }
        if ($Session.Caller.MyInvocation.MyCommand.Parameters.ContainsKey('Resume')) {
            Add-DefenderHint $record 'to go on behind the last record that came, run the same command with -Resume and the text in $_.Exception.Resume'
        }
    }
    if ($null -ne $Failed) { $Failed.Record = $record }
    elseif ($PerRecord -and (Test-DefenderRecordError $record)) { $Session.Caller.WriteError($record) }
    else { $Session.Caller.ThrowTerminatingError($record) }
}

function script:Test-DefenderRecordError {
    # Is the error one record's own? What the service says of it (not there, not allowed, not taken, changed by somebody else), or a value of it
    # that the library refused; not a permission that the token lacks, and nothing that the next record would meet as well.
    param([System.Management.Automation.ErrorRecord] $Record)
    $fault = $Record.Exception
    if ($fault.StatusCode -in 400, 403, 404, 409, 412, 422) { return $true }
    $fault.StatusCode -eq 0 -and ($fault.Name -cin 'BAD_ARGUMENT', 'NOT_FOUND', 'PAGING_LOOP')
}
