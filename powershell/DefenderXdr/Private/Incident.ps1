# Incidents as objects: the service's names, its unknown fields too, and every documented member present so that strict mode callers can
# read them.

function ConvertTo-DefenderIncident {
    param([string] $Text)
    $incident = ConvertFrom-DefenderJson $Text -Times
    if ($incident -isnot [Management.Automation.PSCustomObject]) { return $incident }
    Complete-DefenderObject $incident 'DefenderXdr.Incident' -Members @(
        'incidentId', 'redirectIncidentId', 'incidentName', 'createdTime', 'lastUpdateTime', 'assignedTo', 'classification', 'determination',
        'detectionSource', 'status', 'severity') -Lists 'tags', 'comments', 'alerts'
    foreach ($alert in $incident.alerts) {
        if ($alert -isnot [Management.Automation.PSCustomObject]) { continue }
        Complete-DefenderObject $alert 'DefenderXdr.Alert' -Members @(
            'alertId', 'incidentId', 'serviceSource', 'creationTime', 'lastUpdatedTime', 'resolvedTime', 'firstActivity', 'lastActivity', 'title',
            'description', 'category', 'status', 'severity', 'investigationId', 'investigationState', 'classification', 'determination',
            'detectionSource', 'assignedTo', 'actorName', 'threatFamilyName') -Lists 'mitreTechniques', 'devices', 'entities'
    }
    $incident
}

function Complete-DefenderObject {
    # Adds the members the service left out ($null), makes a missing or null list an empty one, and names the type.
    param([object] $Object, [string] $TypeName, [string[]] $Members, [string[]] $Lists)
    $properties = $Object.PSObject.Properties
    foreach ($name in $Members) {
        if ($null -eq $properties[$name]) { $properties.Add([Management.Automation.PSNoteProperty]::new($name, $null)) }
    }
    foreach ($name in $Lists) {
        $property = $properties[$name]
        if ($null -eq $property) { $properties.Add([Management.Automation.PSNoteProperty]::new($name, [object[]]@())) }
        elseif ($null -eq $property.Value) { $property.Value = [object[]]@() }
    }
    $Object.PSObject.TypeNames.Insert(0, $TypeName)
}
