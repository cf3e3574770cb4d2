function Get-DefenderIncident {
    <#
    .SYNOPSIS
    Gets incidents of Microsoft Defender XDR.

    .DESCRIPTION
    Lists incidents, newest first, page by page and record by record: what follows in the pipeline starts with the first record, and
    Select-Object -First ends the listing. All pages are read; a listing that cannot be completed ends with an error. With -Id it gets single
    incidents.

    The same command asks the XDR API or Microsoft Graph (-Backend), and the objects have the same names and values either way: those of the
    XDR API. Times are DateTime in UTC. Text in them comes from outside: the table view replaces control characters, the properties hold them
    as sent. What the table calls Id, Name and LastUpdate can be typed so, too.

    .PARAMETER Filter
    An OData filter on lastUpdateTime, createdTime, status or assignedTo, such as "status eq 'Active'". It is joined with the parameters below, and is
    not empty.

    .PARAMETER Since
    Incidents created at this time or later. A time without a zone is local. A time
    ago is (Get-Date).AddDays(-7); words such as 7d are none.

    .PARAMETER UpdatedSince
    Incidents that changed at this time or later, as in -Since.

    .PARAMETER Status
    Active, InProgress, Resolved or Redirected; one or more.

    .PARAMETER AssignedTo
    The owner's sign-in name; one or more. '' means incidents of nobody; an empty list is refused.

    .PARAMETER Severity
    Informational, Low, Medium, High or UnSpecified; one or more. The XDR API does not filter by it, so that is done on this side, and -First counts
    what is left.

    .PARAMETER First
    Stops after this many incidents. -Top is the same.

    .PARAMETER PageSize
    Incidents in one page, 1 to 100. The default is 100, or less when -First is.

    .PARAMETER Skip
    Incidents to pass over at the start.

    .PARAMETER NoAlerts
    Leaves the alerts out. The XDR API always sends them; Graph is faster without.

    .PARAMETER Resume
    Goes on where an earlier listing with the same parameters (-PageSize may differ) ended: the text from -ResumeVariable, or from the error's Exception.Resume.

    .PARAMETER ResumeVariable
    The name of a variable that receives the place the pipeline has reached, as text for -Resume, however the command ends. A record whose
    handling was broken off comes again.

    .PARAMETER IncidentId
    The incident's number. An incident that does not exist is an error, and the next one is tried.

    .PARAMETER NoFollow
    Gets an incident that was merged into another as it is. Without it the other one comes, and a warning says so.

    .PARAMETER Backend
    Auto (the default) asks the XDR API while the permissions of the sign-in allow it, else Graph. Xdr and Graph ask that one.

    .PARAMETER Raw
    Returns each incident as the JSON text the service sent, Graph's in Graph's own shape.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for the whole call, the service's waits included. Without it the library's own limits hold.

    .EXAMPLE
    Get-DefenderIncident -Status Active -First 20

    Shows the 20 newest active incidents as a table.

    .EXAMPLE
    Get-DefenderIncident -UpdatedSince (Get-Date).AddDays(-1) -Severity High, Medium | Format-Table Id, Name, LastUpdate

    What changed in the last day and matters.

    .EXAMPLE
    Get-DefenderIncident -Since 2026-11-01 -Raw | Set-Content incidents.jsonl

    Keeps the service's own JSON, an incident a line where the service sends it so.

    .EXAMPLE
    Get-DefenderIncident -UpdatedSince (Get-Date).AddDays(-7) |
        Select-Object incidentId, incidentName, severity, status, assignedTo,
            @{ Name = 'createdTime'; Expression = { if ($_.createdTime) { $_.createdTime.ToString('o') } } },
            @{ Name = 'lastUpdateTime'; Expression = { if ($_.lastUpdateTime) { $_.lastUpdateTime.ToString('o') } } },
            @{ Name = 'tags'; Expression = { $_.tags -join ';' } },
            @{ Name = 'devices'; Expression = { @($_.alerts.devices.deviceDnsName | Sort-Object -Unique) -join ';' } } |
        Export-Csv incidents.csv -NoTypeInformation -Encoding UTF8

    A table for a spreadsheet. A cell holds one text: lists are joined, and times are written so that every reader takes them for the same.

    .EXAMPLE
    $response = Get-ADALToken -Resource 'https://api.security.microsoft.com' -ClientId $clientId -RedirectUri 'http://localhost' -TenantId $tenantId
    Get-DefenderIncident -AccessToken $response -First 5

    Uses a token of Get-ADALToken.

    .LINK
    Set-DefenderIncident

    .LINK
    Watch-DefenderIncident
    #>
    [CmdletBinding(DefaultParameterSetName = 'List')]
    [OutputType('DefenderXdr.Incident')]
    param(
        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string] $Filter,

        [Parameter(ParameterSetName = 'List')]
        [DateTime] $Since,

        [Parameter(ParameterSetName = 'List')]
        [DateTime] $UpdatedSince,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('Active', 'InProgress', 'Resolved', 'Redirected') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Status,

        [Parameter(ParameterSetName = 'List')]
        [AllowEmptyString()]
        [ValidateNotNull()]
        [ValidateCount(1, [int]::MaxValue)]
        [string[]] $AssignedTo,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('Informational', 'Low', 'Medium', 'High', 'UnSpecified') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Severity,

        [Parameter(ParameterSetName = 'List')]
        [Alias('Top')]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $First,

        [Parameter(ParameterSetName = 'List')]
        [ValidateRange(1, 100)]
        [int] $PageSize,

        [Parameter(ParameterSetName = 'List')]
        [ValidateRange(0, [int]::MaxValue)]
        [int] $Skip,

        [Parameter(ParameterSetName = 'List')]
        [switch] $NoAlerts,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string] $Resume,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string] $ResumeVariable,

        [Parameter(Mandatory, ParameterSetName = 'Id', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('Id')]
        [ValidateRange(0, [long]::MaxValue)]
        [long[]] $IncidentId,

        [Parameter(ParameterSetName = 'Id')]
        [switch] $NoFollow,

        [Parameter()]
        [ValidateSet('Auto', 'Xdr', 'Graph')]
        [string] $Backend,

        [Parameter()]
        [switch] $Raw,

        [Parameter()]
        [ValidateNotNull()]
        [object] $AccessToken,

        [Parameter()]
        [ValidateRange(1, 86400)]
        [int] $Timeout
    )

    begin {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        Use-DefenderPreference $PSCmdlet
        $session = Open-DefenderSession $PSCmdlet
    }

    process {
        if ($PSCmdlet.ParameterSetName -eq 'List') { Invoke-DefenderIncidentList $session 'incidents.list' $PSBoundParameters }
        elseif (Test-DefenderPiped $PSCmdlet incident $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ })) {
            foreach ($number in $IncidentId) { Get-DefenderIncidentById $session $number $PSBoundParameters }
        }
    }
}

function Set-DefenderIncident {
    <#
    .SYNOPSIS
    Changes incidents of Microsoft Defender XDR: status, owner, classification, determination, tags, and a comment.

    .DESCRIPTION
    Changes what is given and leaves the rest. Incidents come by number or down the pipeline, and each is changed once, however often it comes. An
    incident that was merged into another is not changed; the other one is, and a warning says so. The service judges which determination goes with which classification.

    It needs the permission Incident.ReadWrite (an app: Incident.ReadWrite.All), or for Graph SecurityIncident.ReadWrite.All.

    .PARAMETER IncidentId
    The incident's number. An incident that cannot be changed is an error, and the next one is tried.

    .PARAMETER Status
    Active, InProgress or Resolved.

    .PARAMETER AssignedTo
    The new owner's sign-in name. '' takes the owner away; $null, as of a variable that was never set, is refused.

    .PARAMETER Classification
    TruePositive, InformationalExpectedActivity, FalsePositive or Unknown.

    .PARAMETER Determination
    What it was, such as Malware, Phishing, CompromisedAccount, SecurityTesting, NotMalicious or Other. The services know some under two
    names; either is taken.

    .PARAMETER Tag
    All the tags the incident is to have, in place of those it has. @() takes them all away; $null is refused.

    .PARAMETER Comment
    A comment to add.

    .PARAMETER NoFollow
    Changes an incident that was merged into another, and not the other one.

    .PARAMETER Backend
    Auto (the default) asks the XDR API while the permissions of the sign-in allow it, else Graph. Xdr and Graph ask that one.

    .PARAMETER PassThru
    Returns each incident as it is after the change.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each incident.

    .EXAMPLE
    Set-DefenderIncident 3000000417 -Status InProgress -AssignedTo adele@fabrikam.example -Comment 'Looking at it'

    Takes an incident.

    .EXAMPLE
    Get-DefenderIncident -Status Active -Severity Informational | Set-DefenderIncident -Status Resolved -Classification InformationalExpectedActivity -Determination SecurityTesting -WhatIf

    Shows which incidents would be resolved.

    .EXAMPLE
    Set-DefenderIncident 3000000417 -AssignedTo '' -Tag @() -PassThru

    Takes the owner and every tag away, and shows the incident.

    .LINK
    Get-DefenderIncident
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('DefenderXdr.Incident')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('Id')]
        [ValidateRange(0, [long]::MaxValue)]
        [long[]] $IncidentId,

        [Parameter()]
        [ArgumentCompleter({ @('Active', 'InProgress', 'Resolved') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string] $Status,

        [Parameter()]
        [AllowNull()]
        [AllowEmptyString()]
        [object] $AssignedTo,

        [Parameter()]
        [ArgumentCompleter({ @('TruePositive', 'InformationalExpectedActivity', 'FalsePositive', 'Unknown') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string] $Classification,

        [Parameter()]
        [ArgumentCompleter({
                @('MultiStagedAttack', 'MaliciousUserActivity', 'CompromisedAccount', 'Malware', 'Phishing', 'UnwantedSoftware', 'SecurityTesting',
                    'LineOfBusinessApplication', 'ConfirmedActivity', 'NotMalicious', 'InsufficientData', 'Other') -like "$($args[2])*"
            })]
        [ValidateNotNullOrEmpty()]
        [string] $Determination,

        [Parameter()]
        [Alias('Tags')]
        [AllowEmptyCollection()]
        [ValidateNotNull()]
        [string[]] $Tag,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

        [Parameter()]
        [switch] $NoFollow,

        [Parameter()]
        [ValidateSet('Auto', 'Xdr', 'Graph')]
        [string] $Backend,

        [Parameter()]
        [switch] $PassThru,

        [Parameter()]
        [ValidateNotNull()]
        [object] $AccessToken,

        [Parameter()]
        [ValidateRange(1, 86400)]
        [int] $Timeout
    )

    begin {
        if (-not $script:Loaded) { Import-DefenderPrivate }
        Use-DefenderPreference $PSCmdlet
        $change = New-DefenderChange 'incidents.update' $PSBoundParameters $PSCmdlet
        $session = Open-DefenderSession $PSCmdlet
        # Alerts of one incident, and incidents merged into one, name it several times.
        $done = [System.Collections.Generic.HashSet[long]]::new()
    }

    process {
        $piped = if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }
        if (-not (Test-DefenderPiped $PSCmdlet incident $piped)) { return }
        foreach ($number in $IncidentId) {
            $target, $label = Get-DefenderIncidentTarget $number $piped -NoFollow:$NoFollow
            if ($done.Add($target) -and (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } $label $change.Words)) { Set-DefenderIncidentById $session $target $change -PassThru:$PassThru -NoFollow:$NoFollow }
        }
    }
}

function Watch-DefenderIncident {
    <#
    .SYNOPSIS
    Follows incidents of Microsoft Defender XDR as they appear and change.

    .DESCRIPTION
    Looks again and again and returns each incident that is new or has changed, each state once and none left out: every look goes back a little
    behind the newest change seen, for what the service shows late, and what was handed over before is known by its id and time. It goes on until
    it is stopped, or for -Rounds looks. Through an outage (no network, a service that is down or refuses for a while) it goes on too: a warning tells
    of each look that failed, and the pause after it grows, to five minutes. With -Rounds a look that cannot be taken is an error. An emulator that is
    gone (DEFENDER_XDR_EMULATOR) is no outage and ends the watch at once with CONNECT: a new one has another address and key.

    The place it has reached can be kept, in a file (-StatePath) or a variable (-ResumeVariable), so that the next run goes on there, in another
    process as well: a scheduled job needs no more than -StatePath and -Rounds 1. The file is replaced as a whole, so that none is half written.

    .PARAMETER UpdatedSince
    Where to begin: changes at this time or later. Without it, now. A time without a zone is local. A time ago is (Get-Date).AddDays(-7).

    .PARAMETER StatePath
    A file that keeps the place. Where there is one, the command goes on from it and -UpdatedSince does not count. A record whose
    handling was broken off comes again in the next run. One command at a time uses the file (a second one ends with the error BUSY; the lock is a
    file of the same name with .lock at its end), with the same filter each time. A file that is empty has lost its place and is an error.

    .PARAMETER Resume
    The text that an earlier run left in -ResumeVariable.

    .PARAMETER ResumeVariable
    The name of a variable that receives the place, as text for -Resume, however the command ends.

    .PARAMETER Interval
    Seconds between two looks, 1 to 86400. The default is 60.

    .PARAMETER Rounds
    How many looks to take. Without it the command goes on until it is stopped.

    .PARAMETER Overlap
    Seconds that each look goes back behind the newest change seen, 0 to 86400. The default is 300.

    .PARAMETER Filter
    An OData filter, as for Get-DefenderIncident; not an empty one.

    .PARAMETER Status
    Active, InProgress, Resolved or Redirected; one or more. An incident that changes to another status is not told.

    .PARAMETER AssignedTo
    The owner's sign-in name; one or more. '' means incidents of nobody; an empty list is refused.

    .PARAMETER Severity
    Informational, Low, Medium, High or UnSpecified; one or more.

    .PARAMETER Backend
    Auto (the default) asks the XDR API while the permissions of the sign-in allow it, else Graph. Xdr and Graph ask that one.

    .PARAMETER Raw
    Returns each incident as the JSON text the service sent, Graph's in Graph's own shape.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken. It cannot be renewed.

    .PARAMETER Timeout
    Seconds after which the command ends with an error. Without it there is no limit.

    .EXAMPLE
    Watch-DefenderIncident -Severity High | ForEach-Object { Write-Host "$($_.Id) $($_.Status) $($_.Name)" }

    Tells of each new or changed incident of high severity until Ctrl+C.

    .EXAMPLE
    Watch-DefenderIncident -StatePath /var/lib/soc/incidents.place -UpdatedSince (Get-Date).AddDays(-1) -Rounds 1 -Raw | Add-Content incidents.jsonl

    A scheduled job: what changed since its last run, the first time since a day ago.

    .LINK
    Get-DefenderIncident
    #>
    [CmdletBinding(PositionalBinding = $false)]
    [OutputType('DefenderXdr.Incident')]
    param(
        [Parameter()]
        [DateTime] $UpdatedSince,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $StatePath,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Resume,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $ResumeVariable,

        [Parameter()]
        [ValidateRange(1, 86400)]
        [int] $Interval,

        [Parameter()]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $Rounds,

        [Parameter()]
        [ValidateRange(0, 86400)]
        [int] $Overlap,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Filter,

        [Parameter()]
        [ArgumentCompleter({ @('Active', 'InProgress', 'Resolved', 'Redirected') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Status,

        [Parameter()]
        [AllowEmptyString()]
        [ValidateNotNull()]
        [ValidateCount(1, [int]::MaxValue)]
        [string[]] $AssignedTo,

        [Parameter()]
        [ArgumentCompleter({ @('Informational', 'Low', 'Medium', 'High', 'UnSpecified') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Severity,

        [Parameter()]
        [ValidateSet('Auto', 'Xdr', 'Graph')]
        [string] $Backend,

        [Parameter()]
        [switch] $Raw,

        [Parameter()]
        [ValidateNotNull()]
        [object] $AccessToken,

        [Parameter()]
        [ValidateRange(1, 4000000)]
        [int] $Timeout
    )

    if (-not $script:Loaded) { Import-DefenderPrivate }
    Use-DefenderPreference $PSCmdlet
    $session = Open-DefenderSession $PSCmdlet
    Invoke-DefenderIncidentList $session 'incidents.watch' $PSBoundParameters
}
