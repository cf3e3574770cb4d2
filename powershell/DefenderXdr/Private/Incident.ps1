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
    ConvertFrom-DefenderJson $Text -Times -Shapes $script:IncidentShapes
}
