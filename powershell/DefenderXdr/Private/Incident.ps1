# Incidents as objects: the service's names, its unknown fields too, and every documented member present so that strict mode callers can
# read them.

$script:IncidentShapes = @{
    '' = @{
        TypeName = 'DefenderXdr.Incident'
        Members  = @('incidentId', 'redirectIncidentId', 'incidentName', 'createdTime', 'lastUpdateTime', 'assignedTo', 'classification',
            'determination', 'detectionSource', 'status', 'severity')
        Lists    = @('tags', 'comments', 'alerts')
    }
    alerts = @{
        TypeName = 'DefenderXdr.Alert'
        Members  = @('alertId', 'incidentId', 'serviceSource', 'creationTime', 'lastUpdatedTime', 'resolvedTime', 'firstActivity', 'lastActivity',
            'title', 'description', 'category', 'status', 'severity', 'investigationId', 'investigationState', 'classification', 'determination',
            'detectionSource', 'assignedTo', 'actorName', 'threatFamilyName')
        Lists    = @('mitreTechniques', 'devices', 'entities')
    }
}

function script:ConvertTo-DefenderIncident {
    param([string] $Text, [hashtable] $Result)
    $incident = ConvertTo-DefenderShapedObject $Text $script:IncidentShapes
    if ($null -ne $Result -and $incident -is [System.Management.Automation.PSCustomObject]) {
        foreach ($name in 'createdTime', 'lastUpdateTime') {
            if ($incident.$name -is [string]) {
                Write-Warning (Format-DefenderText "incident $($incident.incidentId): $name is no time and stays text: $($incident.$name)")
            }
        }
    }
    $incident
}

function script:ConvertTo-DefenderShapedObject {
    # A record as an object: the service's members, those of the shapes at least, times as DateTime. See ConvertFrom-DefenderJson.
    param([string] $Text, [hashtable] $Shapes)
    if ($null -eq $script:JsonEngine) { Initialize-DefenderJsonEngine }
    if ($script:JsonEngine -and (Test-DefenderJsonTime $Text)) {
        $record = $null
        $fault = $null
        try { $record = $script:JsonEngine::ConvertFromJson($Text, $false, 1024, [ref] $fault) }
        catch { $global:Error.RemoveAt(0) }
        if ($record -is [System.Management.Automation.PSCustomObject]) {
            foreach ($list in $Shapes.get_Keys()) {
                if ($list -eq '') { Complete-DefenderObject $record $Shapes['']; continue }
                $elements = $record.PSObject.Properties[$list]
                if ($null -eq $elements -or $elements.Value -isnot [object[]]) { continue }
                foreach ($element in $elements.Value) {
                    if ($element -is [System.Management.Automation.PSCustomObject]) { Complete-DefenderObject $element $Shapes[$list] }
                }
            }
            return $record
        }
    }
    ConvertFrom-DefenderJson $Text -Times -Shapes $Shapes
}

function script:Invoke-DefenderIncidentList {
    # Get-DefenderIncident's list and Watch-DefenderIncident.
    param([hashtable] $Session, [string] $Operation, [System.Collections.IDictionary] $Given)
    # The severity is compared on this side, so no service is asked whether it knows the word.
    $known = Get-DefenderKnownWord $Operation 'Severity'
    foreach ($severity in $Given['Severity']) {
        if ($severity -in $known) { continue }
        $Session.Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-Severity $severity is none of $($known -join ', ')" `
                    -Hint 'Give -Severity one or more of those. For one that the service sends and this list lacks, leave -Severity out and filter what comes back with Where-Object severity.'))
    }
    $call = New-DefenderCall $Operation $Given -Keys @{ Interval = 'interval_s'; Rounds = 'rounds'; Overlap = 'overlap_s' }
    $converter = 'ConvertTo-DefenderIncident'
    if ($Given.ContainsKey('Raw') -and $Given['Raw']) { $call.raw = $true; $converter = '' }
    if ($Given.ContainsKey('NoAlerts') -and $Given['NoAlerts']) { $call.alerts = $false }
    if ($Operation -eq 'incidents.watch') { Invoke-DefenderWatch $Session $call $converter $Given }
    else { Invoke-DefenderCall $Session $call -ItemConverter $converter }
}

# Seconds that one call of a watch may take: the most that the library counts in milliseconds.
$script:WatchLimit = 4290000

function script:Invoke-DefenderWatch {
    # Watches until it is stopped, through outages too: each is told, and the pause after it grows from the time between two looks, a minute at most, to
    # five minutes. Who counts the looks is told of one that cannot be taken by an error.
    param([hashtable] $Session, [System.Collections.IDictionary] $Call, [string] $Converter, [System.Collections.IDictionary] $Given)
    $limit = $Session.Timeout
    $interval = if ($Given.ContainsKey('Interval')) { $Given['Interval'] } else { 60 }
    $began = [DateTime]::UtcNow
    $whole = [System.Diagnostics.Stopwatch]::StartNew()
    $failures = 0
    $lock = $null
    try {
        if ($Given.ContainsKey('StatePath')) { $lock = Open-DefenderState $Session $Given['StatePath'] $Call }
        while ($true) {
            # The caller's own limit is the watch's; the library's is a call's.
            $Session.Timeout = if ($limit -gt 0) { [math]::Max(1, $limit - [math]::Floor($whole.Elapsed.TotalSeconds)) } else { $script:WatchLimit }
            $one = [System.Diagnostics.Stopwatch]::StartNew()
            $failed = @{ Record = $null }
            Invoke-DefenderCall $Session $Call -ItemConverter $Converter -Failed $failed
            $record = $failed.Record
            if ($null -eq $record) { return }
            $fault = $record.Exception
            $late = $fault.Name -ceq 'TIMEOUT' -and $one.Elapsed.TotalSeconds -ge $Session.Timeout
            $over = $limit -gt 0 -and ($late -or $whole.Elapsed.TotalSeconds -ge $limit)
            $outage = $fault.Retryable -or $fault.Name -ceq 'TIMEOUT'
            if ($fault.Name -ceq 'BAD_ARGUMENT' -and $null -ne $lock -and -not $Given.ContainsKey('Resume') -and $fault.Message -cmatch '^resume is (not )?a place in ') {
                # The place came from the file: -Resume, which the library's advice is about, was not given.
                $record = New-DefenderStateError (Get-DefenderStateFault $Session.Track.Path)
            }
            if ($over -or -not $outage -or $Given.ContainsKey('Rounds')) { $Session.Caller.ThrowTerminatingError($record) }
            $place = $Session.Result.Resume
            if ($place) {
                $Call['resume'] = $place
                $Call.Remove('updated_since')
                $failures = 0
            }
            # What changed during an outage at the start is wished for too.
            elseif (-not $Call.Contains('resume') -and -not $Call.Contains('updated_since')) { $Call['updated_since'] = $began }
            if ($late) { continue }
            $pause = [math]::Min(300, [math]::Min(60, $interval) * [math]::Pow(2, [math]::Min($failures, 10)))
            $failures++
            if ($null -ne $fault.RetryAfterMs) { $pause = [math]::Max($pause, [math]::Ceiling([double] $fault.RetryAfterMs / 1000)) }
            if ($limit -gt 0) { $pause = [math]::Min($pause, [math]::Max(1, [math]::Ceiling($limit - $whole.Elapsed.TotalSeconds))) }
            Write-Warning (Format-DefenderText "the incidents could not be looked at: $($fault.Message) (DefenderXdr.$($fault.Name)). The watch goes on in $pause s where it was.")
            Start-Sleep -Seconds $pause
        }
    }
    finally { if ($null -ne $lock) { $lock.Dispose() } }
}

function script:Open-DefenderState {
    # Goes on from the place in the file, keeps it there, and keeps other jobs away from it: returns what holds the lock. The file has a line for the
    # place and one for the filter that it is the place of.
    param([hashtable] $Session, [string] $Path, [System.Collections.IDictionary] $Call)
    $full = $Session.Caller.GetUnresolvedProviderPathFromPSPath($Path)
    $filter = Get-DefenderFilterText $Call
    $lock = $null
    $there = $null          # the place in the file, where it can stay as it is
    $name, $code, $hint = 'BAD_ARGUMENT', 1004, 'Give -StatePath a file in a folder that exists and that this account may write to.'
    $fault = $null
    try {
        # A file of its own, because the other is replaced as a whole. It stays: who deletes it could take it from under another.
        $lock = [System.IO.File]::Open("$full.lock", 'OpenOrCreate', 'ReadWrite', 'None')
        if ([System.IO.File]::Exists($full)) {
            $kept = @([System.IO.File]::ReadAllText($full).Trim() -split '\r?\n', 2)
            if ($Call.Contains('resume')) { $null = $kept }
            elseif (-not $kept[0]) {
                $fault = "the file of -StatePath is empty: the place is lost ($full)"
                $hint = 'Remove the file, and give -UpdatedSince with the time of the last run that was whole, to go on from there.'
            }
            elseif ($kept.Count -gt 1 -and -not $kept[1].StartsWith('{')) { $fault, $hint = (Get-DefenderStateFault $full), $script:StateHint }
            elseif ($kept.Count -gt 1 -and $kept[1].Trim() -cne $filter) {
                $fault = "the place in the file of -StatePath is that of another filter: $(Get-DefenderShortText $kept[1]), and not $(Get-DefenderShortText $filter)"
                $hint = 'Give each filter a -StatePath of its own. To begin anew with this filter, remove the file and give -UpdatedSince.'
            }
            else {
                $Call['resume'] = $kept[0].Trim()
                Write-Verbose (Format-DefenderText "going on from the place in the file of -StatePath ($full)$(if ($Call.Contains('updated_since')) { '; -UpdatedSince does not count' })")
                $Call.Remove('updated_since')
                if ($kept.Count -gt 1) { $there = $Call['resume'] }
            }
        }
    }
    catch {
        $global:Error.RemoveAt(0)
        $reason = $_.Exception.GetBaseException()
        $fault = "the file of -StatePath cannot be used: $($reason.Message)"
        # ERROR_SHARING_VIOLATION, and EAGAIN of Linux and of macOS.
        if ($null -eq $lock -and $reason.HResult -in -2147024864, 11, 35) {
            $name, $code = 'BUSY', 2006
            $fault = "another command keeps its place in the file of -StatePath ($full)"
            $hint = 'Wait until it has ended, or give each a -StatePath of its own.'
        }
    }
    if ($fault) {
        if ($null -ne $lock) { $lock.Dispose() }
        $Session.Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name $name -Code $code -Message (Format-DefenderText $fault) -Hint $hint))
    }
    if ($null -eq $Session.Track) { $Session.Track = New-DefenderTrack $Session.Caller '' $full }
    else { $Session.Track.Path = $full }
    $Session.Track.Note = $filter
    if ($Call.Contains('resume')) { $Session.Track.Text = $Call['resume'] }
    $Session.Track.Kept = $there
    $lock
}

$script:StateHint = 'Remove the file, or give another one to -StatePath; -UpdatedSince with the time of the last run that was whole goes on from there.'

function script:Get-DefenderStateFault {
    param([string] $Path)
    "the file of -StatePath holds no place of this command: it was damaged or is another's ($Path)"
}

function script:New-DefenderStateError {
    param([string] $Fault)
    New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText $Fault) -Hint $script:StateHint
}

function script:Get-DefenderFilterText {
    # What a watch looks for, as one line that is the same for the same wish.
    param([System.Collections.IDictionary] $Call)
    $wish = [ordered]@{}
    foreach ($key in 'filter', 'status', 'assigned_to', 'severity') { if ($Call.Contains($key)) { $wish[$key] = [string[]]@(@($Call[$key]) | Sort-Object -Unique) } }
    (ConvertTo-DefenderJson $wish) -replace '[\r\n]+', ' '
}

function script:Get-DefenderIncidentById {
    param([hashtable] $Session, [long] $Id, [System.Collections.IDictionary] $Given)
    $call = New-DefenderCall 'incidents.get' $Given
    $call.id = $Id
    $converter = 'ConvertTo-DefenderIncident'
    if ($Given.ContainsKey('Raw') -and $Given['Raw']) { $call.raw = $true; $converter = '' }
    if ($Given.ContainsKey('NoFollow') -and $Given['NoFollow']) { $call.follow = $false }
    Invoke-DefenderCall $Session $call -ItemConverter $converter -PerRecord
}

function script:New-DefenderChange {
    # What an update is to change: @{ Call; Words }. The words are for -WhatIf and -Confirm. Nothing to change ends the command.
    param([string] $Operation, [System.Collections.IDictionary] $Given, [System.Management.Automation.PSCmdlet] $Caller)
    if ($Given.ContainsKey('AssignedTo')) {
        # A parameter of the type string would be '' for $null, and take the owner away.
        $owner = $Given['AssignedTo']
        if ($null -eq $owner -or ($owner -isnot [string] -and $owner -is [System.Collections.IEnumerable])) {
            $what = if ($null -eq $owner) { 'is $null' } else { 'is a list' }
            $Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "-AssignedTo $what, which names no owner" -Hint "Give -AssignedTo one sign-in name; -AssignedTo '' takes the owner away."))
        }
        $Given['AssignedTo'] = [string] $owner
    }
    $call = New-DefenderCall $Operation $Given
    $words = foreach ($pair in @('Status', 'status'), @('AssignedTo', 'owner'), @('Classification', 'classification'), @('Determination', 'determination'), @('Tag', 'tags')) {
        if (-not $Given.ContainsKey($pair[0])) { continue }
        $value = @($Given[$pair[0]] | Where-Object { $_ }) -join ', '
        "$($pair[1]) to $(if ($value) { $value } elseif ($pair[0] -eq 'AssignedTo') { 'nobody' } else { 'none' })"
    }
    $text = @($words) -join '; '
    if ($text) { $text = "set $text" }
    if ($Given.ContainsKey('Comment')) { $text = @(@($text) + 'add a comment' | Where-Object { $_ }) -join '; ' }
    if (-not $text) {
        $names = @('Status', 'AssignedTo', 'Classification', 'Determination', 'Tag', 'Comment' | Where-Object { $Caller.MyInvocation.MyCommand.Parameters.ContainsKey($_) } | ForEach-Object { "-$_" })
        $Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message 'the update changes nothing' -Hint "Give one or more of $($names -join ', ')."))
    }
    @{ Call = $call; Words = $text }
}

function script:Get-DefenderIncidentTarget {
    # The incident that will be changed, and its name for -WhatIf and -Confirm: an object that came down the pipeline knows where it was merged into.
    param([long] $Id, [object] $Piped, [switch] $NoFollow)
    $into = [long] 0
    if (-not $NoFollow -and [long]::TryParse([string] (Get-DefenderValue $Piped 'redirectIncidentId'), [ref] $into) -and $into -gt 0) {
        Write-Warning "incident $Id was merged into incident $into"
        return $into, "incident $into (incident $Id was merged into it)"
    }
    $Id, "incident $Id"
}

function script:Set-DefenderIncidentById {
    param([hashtable] $Session, [long] $Id, [hashtable] $Change, [switch] $PassThru, [switch] $NoFollow)
    $call = $Change.Call
    $call['id'] = $Id
    if ($NoFollow) { $call['follow'] = $false }
    if ($PassThru) { Invoke-DefenderCall $Session $call -ItemConverter 'ConvertTo-DefenderIncident' -PerRecord }
    else { Invoke-DefenderCall $Session $call -PerRecord | Out-Null }
}
