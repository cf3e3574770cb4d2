# Records of Microsoft Defender for Endpoint: alerts, machines, machine actions and indicators as objects, and how they are read.

$script:EndpointShapes = @{
    alerts          = @{
        '' = @{
            TypeName = 'DefenderXdr.EndpointAlert'
            Members  = @('id', 'incidentId', 'investigationId', 'assignedTo', 'severity', 'status', 'classification', 'determination', 'investigationState',
                'detectionSource', 'detectorId', 'category', 'threatFamilyName', 'title', 'description', 'alertCreationTime', 'firstEventTime', 'lastEventTime',
                'lastUpdateTime', 'resolvedTime', 'machineId', 'computerDnsName', 'rbacGroupName', 'aadTenantId', 'threatName', 'relatedUser')
            Lists    = @('mitreTechniques', 'comments', 'evidence')
        }
    }
    machines        = @{
        '' = @{
            TypeName = 'DefenderXdr.Machine'
            Members  = @('id', 'computerDnsName', 'firstSeen', 'lastSeen', 'osPlatform', 'osArchitecture', 'version', 'osBuild', 'lastIpAddress',
                'lastExternalIpAddress', 'healthStatus', 'rbacGroupId', 'rbacGroupName', 'riskScore', 'exposureLevel', 'deviceValue', 'onboardingStatus',
                'isAadJoined', 'aadDeviceId')
            Lists    = @('machineTags', 'ipAddresses')
        }
    }
    machine_actions = @{
        '' = @{
            TypeName = 'DefenderXdr.MachineAction'
            Members  = @('id', 'type', 'scope', 'requestor', 'externalId', 'requestSource', 'requestorComment', 'status', 'machineId', 'computerDnsName',
                'creationDateTimeUtc', 'lastUpdateDateTimeUtc', 'cancellationRequestor', 'cancellationComment', 'cancellationDateTimeUtc', 'title', 'relatedFileInfo')
            Lists    = @('commands')
        }
    }
    indicators      = @{
        '' = @{
            TypeName = 'DefenderXdr.Indicator'
            Members  = @('id', 'indicatorValue', 'indicatorType', 'application', 'action', 'externalId', 'source', 'sourceType', 'createdBy', 'lastUpdatedBy',
                'creationTimeDateTimeUtc', 'expirationTime', 'lastUpdateTime', 'severity', 'title', 'description', 'recommendedActions', 'generateAlert', 'educateUrl')
            Lists    = @('rbacGroupNames', 'rbacGroupIds')
        }
    }
}

function script:ConvertTo-DefenderEndpointAlert { param([string] $Text) ConvertTo-DefenderShapedObject $Text $script:EndpointShapes['alerts'] }
function script:ConvertTo-DefenderMachine { param([string] $Text) ConvertTo-DefenderShapedObject $Text $script:EndpointShapes['machines'] }
function script:ConvertTo-DefenderIndicator { param([string] $Text) ConvertTo-DefenderShapedObject $Text $script:EndpointShapes['indicators'] }

function script:ConvertTo-DefenderMachineAction {
    param([string] $Text)
    $action = ConvertTo-DefenderShapedObject $Text $script:EndpointShapes['machine_actions']
    # The service's pages print this time under two names.
    $other = Get-DefenderValue $action 'lastUpdateTimeUtc'
    if ($null -ne $other -and $null -eq $action.lastUpdateDateTimeUtc) { $action.lastUpdateDateTimeUtc = $other }
    $action
}

$script:EndpointConverters = @{
    alerts          = 'ConvertTo-DefenderEndpointAlert'
    machines        = 'ConvertTo-DefenderMachine'
    machine_actions = 'ConvertTo-DefenderMachineAction'
    indicators      = 'ConvertTo-DefenderIndicator'
}

# Parameters of the lists and the keys they stand for, where they differ from the usual ones.
$script:EndpointKeys = @{
    HealthStatus     = 'health'
    OSPlatform       = 'os'
    RiskScore        = 'risk'
    ExposureLevel    = 'exposure'
    OnboardingStatus = 'onboarding'
    SeenSince        = 'seen_since'
    Tag              = 'tag'
    Category         = 'category'
    IncidentId       = 'incident_id'
    Evidence         = 'evidence'
    Type             = 'type'
    Requestor        = 'requestor'
    Value            = 'value'
    Action           = 'action'
}

function script:New-DefenderEndpointList {
    # The call document of a list, from the command's parameters and what more it is to hold.
    param([string] $Collection, [System.Collections.IDictionary] $Given, [hashtable] $More)
    $call = New-DefenderCall "$Collection.list" $Given -Keys $script:EndpointKeys
    if ($null -ne $More) { foreach ($name in $More.Keys) { $call[$name] = $More[$name] } }
    if ($call.Contains('incident_id')) { $call['incident_id'] = [string[]]@($call['incident_id']) }
    $call
}

function script:Get-DefenderEndpointConverter {
    param([string] $Collection, [System.Collections.IDictionary] $Given)
    if (-not ($Given.ContainsKey('Raw') -and $Given['Raw'])) { $script:EndpointConverters[$Collection] }
}

function script:Get-DefenderEndpointRecord {
    # Single records by what names them ($Key in the call document), or the list where nothing does.
    param([hashtable] $Session, [string] $Collection, [string] $Key, [string[]] $Names, [System.Collections.IDictionary] $Given)
    $converter = Get-DefenderEndpointConverter $Collection $Given
    if ($null -eq $Names -or $Names.Length -eq 0) {
        Invoke-DefenderCall $Session (New-DefenderEndpointList $Collection $Given) -ItemConverter $converter
        return
    }
    foreach ($name in $Names) { Invoke-DefenderCall $Session ([ordered]@{ operation = "$Collection.get"; $Key = $name }) -ItemConverter $converter -PerRecord }
}

function script:Get-DefenderAlertRecord {
    # Get-DefenderAlert: by id, the list, or the alerts of an incident that comes down the pipeline.
    param([hashtable] $Session, [string[]] $AlertId, [System.Collections.IDictionary] $Given, [object] $Piped)
    if ((Get-DefenderKind $Piped) -eq 'Incident') {
        Invoke-DefenderCall $Session (New-DefenderEndpointList 'alerts' $Given @{ incident_id = [string] $Piped.incidentId }) -ItemConverter (Get-DefenderEndpointConverter 'alerts' $Given)
        return
    }
    if (-not (Test-DefenderPiped $Session.Caller alert $Piped)) { return }
    if ($null -ne $AlertId) {
        $AlertId = [string[]]@(Select-DefenderId $Session.Caller alert $AlertId $Piped)
        if ($AlertId.Length -eq 0) { return }
    }
    if ($null -ne $AlertId -and $Given.ContainsKey('Evidence') -and $Given['Evidence']) {
        # A single alert comes with its evidence only in a list.
        foreach ($id in $AlertId) {
            $call = [ordered]@{ operation = 'alerts.list'; filter = "id eq '$($id.Replace("'", "''"))'"; evidence = $true }
            $found = @(Invoke-DefenderCall $Session $call -ItemConverter (Get-DefenderEndpointConverter 'alerts' $Given) -PerRecord)
            if ($found.Count -gt 0 -or $Session.Failed) { $found; continue }
            $Session.Caller.WriteError((New-DefenderErrorRecord -Name 'NOT_FOUND' -Code 9002 -Message (Format-DefenderText "there is no alert $id") -Hint "Check the id; the alert may also be outside what this account may see$(if ($id -match '^[0-9]+$') { "; the alerts of an incident are listed by -IncidentId $id" })."))
        }
        return
    }
    if ($null -eq $AlertId) {
        $came = @{ Any = $false }
        Get-DefenderEndpointRecord $Session 'alerts' 'id' $AlertId $Given | ForEach-Object { $came.Any = $true; $_ }
        if ($Given.ContainsKey('IncidentId') -and -not $came.Any -and -not $Session.Failed -and -not $Session.OwnToken) { Test-DefenderIncidentId $Session $Given['IncidentId'] }
        return
    }
    $converter = Get-DefenderEndpointConverter 'alerts' $Given
    foreach ($id in $AlertId) {
        $failed = @{ Record = $null }
        Invoke-DefenderCall $Session ([ordered]@{ operation = 'alerts.get'; id = $id }) -ItemConverter $converter -Failed $failed
        if ($null -eq $failed.Record) { continue }
        # An incident's id is a number, and an alert's is not.
        if ($failed.Record.Exception.Name -ceq 'NOT_FOUND' -and $id -match '^[0-9]+$') { Add-DefenderHint $failed.Record "the alerts of an incident are listed by -IncidentId $id" }
        Write-DefenderRecordError $Session $failed.Record '' $id
    }
}

function script:Test-DefenderIncidentId {
    # No alert came: an incident that there is not is an error, and no incident without alerts. Whether there is one is not always to be seen.
    param([hashtable] $Session, [string[]] $Id)
    foreach ($one in $Id) {
        if ($one -notmatch '^[0-9]+$') { continue }
        $failed = @{ Record = $null }
        $null = Invoke-DefenderCall $Session ([ordered]@{ operation = 'incidents.get'; id = [long] $one; follow = $false }) -Failed $failed
        if ($null -eq $failed.Record) { continue }
        if ($failed.Record.Exception.Name -ceq 'NOT_FOUND') { Write-DefenderRecordError $Session $failed.Record '' $one }
        else { Write-Verbose (Format-DefenderText "no alerts came, and whether there is an incident $one could not be seen: $($failed.Record.Exception.Message)") }
    }
}

function script:Set-DefenderAlertBatch {
    # One alert by itself, several in batches. The service names no size for a batch.
    param([hashtable] $Session, [string[]] $Ids, [System.Collections.IDictionary] $Change, [switch] $PassThru)
    $converter = 'ConvertTo-DefenderEndpointAlert'
    for ($at = 0; $at -lt $Ids.Length; $at += 100) {
        $batch = @($Ids[$at..([math]::Min($at + 99, $Ids.Length - 1))])
        $oneByOne = $batch.Count -eq 1
        if (-not $oneByOne) {
            $failed = @{ Record = $null }
            $call = [ordered]@{ operation = 'alerts.batch_update'; ids = [string[]] $batch }
            foreach ($name in $Change.get_Keys()) { if ($name -notin 'operation', 'id') { $call[$name] = $Change[$name] } }
            $null = Invoke-DefenderCall $Session $call -Failed $failed
            $record = $failed.Record
            if ($null -eq $record) {
                if ($PassThru) { Get-DefenderEndpointRecord $Session 'alerts' 'id' $batch @{} }
                continue
            }
            # One of them is refused, and which is not told.
            $oneByOne = (Test-DefenderRecordError $record) -and -not $Change.Contains('comment')
            if (-not $oneByOne) {
                Add-DefenderHint $record 'some of these alerts may have been changed; give them one by one to see which cannot be'
                Write-DefenderRecordError $Session $record "alerts $($batch -join ', ')" $batch
            }
            else { Write-Verbose (Format-DefenderText "the batch was refused ($($record.Exception.Message)); its alerts are changed one by one") }
        }
        if ($oneByOne) {
            foreach ($id in $batch) {
                $Change['id'] = $id
                $failed = @{ Record = $null }
                $alert = Invoke-DefenderCall $Session $Change -ItemConverter $converter -Failed $failed
                if ($null -ne $failed.Record) { Write-DefenderRecordError $Session $failed.Record "alert $id" $id }
                elseif ($PassThru) { $alert }
            }
        }
    }
}

function script:Write-DefenderRecordError {
    # An error about one record of several, which it names; what every other record would meet as well ends the command.
    param([hashtable] $Session, [System.Management.Automation.ErrorRecord] $Record, [string] $Subject, [object] $Target, [switch] $Always)
    $id = @($Record.FullyQualifiedErrorId -split ',')[0]
    $named = [System.Management.Automation.ErrorRecord]::new($Record.Exception, $id, $Record.CategoryInfo.Category, $Target)
    $text = $Record.ErrorDetails.Message
    if ($text.IndexOf($Subject, [System.StringComparison]::OrdinalIgnoreCase) -lt 0) { $text = "${Subject}: $text" }
    $named.ErrorDetails = [System.Management.Automation.ErrorDetails]::new((Format-DefenderText $text))
    $named.ErrorDetails.RecommendedAction = $Record.ErrorDetails.RecommendedAction
    if ($Always -or (Test-DefenderRecordError $Record)) { $Session.Caller.WriteError($named) }
    else { $Session.Caller.ThrowTerminatingError($named) }
}
