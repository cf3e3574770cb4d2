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
    $call = New-DefenderCall $Operation $Given -Keys @{ Interval = 'interval_s'; Rounds = 'rounds'; Overlap = 'overlap_s' }
    $converter = 'ConvertTo-DefenderIncident'
    if ($Given.ContainsKey('Raw') -and $Given['Raw']) { $call.raw = $true; $converter = '' }
    if ($Given.ContainsKey('NoAlerts') -and $Given['NoAlerts']) { $call.alerts = $false }
    if ($Operation -eq 'incidents.watch') {
        # No limit but the caller's own.
        if ($Session.Timeout -eq 0) { $Session.Timeout = 4290000 }
        if ($Given.ContainsKey('StatePath')) { Open-DefenderState $Session $Given['StatePath'] $call }
    }
    Invoke-DefenderCall $Session $call -ItemConverter $converter
}

function script:Open-DefenderState {
    # Goes on from the place in the file, and keeps it there.
    param([hashtable] $Session, [string] $Path, [System.Collections.IDictionary] $Call)
    $full = $Session.Caller.GetUnresolvedProviderPathFromPSPath($Path)
    $hint = 'Give -StatePath a file in a folder that exists and that this account may write to.'
    try {
        if ([System.IO.File]::Exists($full)) {
            $text = [System.IO.File]::ReadAllText($full).Trim()
            if ($text -and -not $Call.Contains('resume')) {
                $Call['resume'] = $text
                $Call.Remove('updated_since')
            }
        }
        # Told now rather than after the first look.
        [System.IO.File]::Open($full, 'OpenOrCreate', 'ReadWrite', 'ReadWrite').Dispose()
    }
    catch {
        $global:Error.RemoveAt(0)
        $reason = $_.Exception.GetBaseException().Message
        $Session.Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "the file of -StatePath cannot be used: $reason" -Hint $hint))
    }
    if ($null -eq $Session.Track) { $Session.Track = New-DefenderTrack $Session.Caller '' $full }
    else { $Session.Track.Path = $full }
    if ($Call.Contains('resume')) { $Session.Track.Text = $Session.Track.Kept = $Call['resume'] }
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
