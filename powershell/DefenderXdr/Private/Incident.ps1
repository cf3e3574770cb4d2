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
    param([string] $Text)
    if ($null -eq $script:JsonEngine) { Initialize-DefenderJsonEngine }
    if ($script:JsonEngine -and (Test-DefenderJsonTime $Text)) {
        $incident = $null
        $fault = $null
        try { $incident = $script:JsonEngine::ConvertFromJson($Text, $false, 1024, [ref] $fault) }
        catch { $global:Error.RemoveAt(0) }
        if ($incident -is [System.Management.Automation.PSCustomObject]) {
            Complete-DefenderObject $incident $script:IncidentShapes['']
            if ($incident.alerts -is [object[]]) {
                $shape = $script:IncidentShapes['alerts']
                foreach ($alert in $incident.alerts) {
                    if ($alert -is [System.Management.Automation.PSCustomObject]) { Complete-DefenderObject $alert $shape }
                }
            }
            return $incident
        }
    }
    ConvertFrom-DefenderJson $Text -Times -Shapes $script:IncidentShapes
}
