function Get-DefenderAlert {
    <#
    .SYNOPSIS
    Gets alerts of Microsoft Defender for Endpoint.

    .DESCRIPTION
    Lists alerts, page by page and record by record, or gets single ones by id. All pages are read; a listing that cannot be completed ends with an
    error. With incidents down the pipeline it lists the alerts of each.

    The properties have the names and values the service sends; times are DateTime in UTC. It needs the permission Alert.Read (an app:
    Alert.Read.All).

    .PARAMETER AlertId
    The alert's id. An alert that does not exist is an error, and the next one is tried.

    .PARAMETER Incident
    An incident, as Get-DefenderIncident returns it, down the pipeline: its alerts are listed, those that fit the other parameters.

    .PARAMETER Status
    New, InProgress or Resolved; one or more.

    .PARAMETER Severity
    Informational, Low, Medium, High or UnSpecified; one or more.

    .PARAMETER Category
    The kind of attack, such as Execution or CredentialAccess; one or more.

    .PARAMETER IncidentId
    The number of the incident that the alerts belong to; one or more. An empty list is refused. Where no alert comes, each is looked for among the
    incidents (where the sign-in may read those): one that there is not is an error, NOT_FOUND.

    .PARAMETER Since
    Alerts created at this time or later. A time without a zone is local. A time
    ago is (Get-Date).AddDays(-7); words such as 7d are none.

    .PARAMETER UpdatedSince
    Alerts changed at this time or later, as in -Since.

    .PARAMETER Evidence
    Brings the evidence of each alert (files, processes, accounts, addresses), which is left out otherwise.

    .PARAMETER Filter
    An OData filter in the service's own words; it is joined to the other parameters. An empty one is refused: it would mean everything.

    .PARAMETER First
    Stops after so many. -Top is the same.

    .PARAMETER PageSize
    Records in one page, 1 to 10000. The default is 1000.

    .PARAMETER Skip
    Records to pass over at the start.

    .PARAMETER Resume
    Goes on where an earlier listing with the same parameters (-PageSize may differ) ended: the text from -ResumeVariable, or from the error's Exception.Resume.

    .PARAMETER ResumeVariable
    The name of a variable that receives the place the pipeline has reached, as text for -Resume, however the command ends.

    .PARAMETER Raw
    Returns each record as the JSON text the service sent.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for the whole call, the service's waits included. Without it the library's own limits hold.

    .EXAMPLE
    Get-DefenderAlert -Severity High -Status New, InProgress

    The open alerts of high severity, as a table.

    .EXAMPLE
    Get-DefenderIncident 3000000417 | Get-DefenderAlert -Evidence | Select-Object -ExpandProperty evidence

    The evidence behind an incident.

    .EXAMPLE
    Get-DefenderIncident -Severity High | Get-DefenderAlert -Status New

    The new alerts of severe incidents.

    .LINK
    Set-DefenderAlert
    #>
    [CmdletBinding(DefaultParameterSetName = 'List')]
    [OutputType('DefenderXdr.EndpointAlert')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'Id', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('Id')]
        [ValidateNotNullOrEmpty()]
        [string[]] $AlertId,

        [Parameter(Mandatory, ParameterSetName = 'Incident', ValueFromPipeline)]
        [PSTypeName('DefenderXdr.Incident')]
        [object] $Incident,

        [Parameter(ParameterSetName = 'List')]
        [Parameter(ParameterSetName = 'Incident')]
        [ArgumentCompleter({ @('New', 'InProgress', 'Resolved') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Status,

        [Parameter(ParameterSetName = 'List')]
        [Parameter(ParameterSetName = 'Incident')]
        [ArgumentCompleter({ @('Informational', 'Low', 'Medium', 'High', 'UnSpecified') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Severity,

        [Parameter(ParameterSetName = 'List')]
        [Parameter(ParameterSetName = 'Incident')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Category,

        [Parameter(ParameterSetName = 'List')]
        [ValidateCount(1, [int]::MaxValue)]
        [ValidateRange(0, [long]::MaxValue)]
        [long[]] $IncidentId,

        [Parameter(ParameterSetName = 'List')]
        [Parameter(ParameterSetName = 'Incident')]
        [DateTime] $Since,

        [Parameter(ParameterSetName = 'List')]
        [Parameter(ParameterSetName = 'Incident')]
        [DateTime] $UpdatedSince,

        [Parameter()]
        [switch] $Evidence,

        [Parameter(ParameterSetName = 'List')]
        [Parameter(ParameterSetName = 'Incident')]
        [ValidateNotNullOrEmpty()]
        [string] $Filter,

        [Parameter(ParameterSetName = 'List')]
        [Alias('Top')]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $First,

        [Parameter(ParameterSetName = 'List')]
        [Parameter(ParameterSetName = 'Incident')]
        [ValidateRange(1, 10000)]
        [int] $PageSize,

        [Parameter(ParameterSetName = 'List')]
        [ValidateRange(0, [int]::MaxValue)]
        [int] $Skip,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string] $Resume,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string] $ResumeVariable,

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
    process { Get-DefenderAlertRecord $session $AlertId $PSBoundParameters $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
}

function Set-DefenderAlert {
    <#
    .SYNOPSIS
    Changes alerts of Microsoft Defender for Endpoint: status, owner, classification, determination, and a comment.

    .DESCRIPTION
    Changes what is given and leaves the rest. Several alerts, as parameter or down the pipeline, get the same change in batches, which the
    service allows ten times a minute. Where a batch is refused, its alerts are changed one by one, so that each error is told with its alert; with
    a comment they are not, because some would get it twice.

    It needs the permission Alert.ReadWrite (an app: Alert.ReadWrite.All), and a person the role 'Alerts investigation'.

    .PARAMETER AlertId
    The alert's id; one or more, or down the pipeline from alerts and from an incident's alerts.

    .PARAMETER Status
    New, InProgress or Resolved.

    .PARAMETER AssignedTo
    The new owner's sign-in name. '' takes the owner away; $null, as of a variable that was never set, is refused.

    .PARAMETER Classification
    TruePositive, InformationalExpectedActivity, FalsePositive or Unknown.

    .PARAMETER Determination
    What it was, such as Malware, Phishing, CompromisedAccount, SecurityTesting, NotMalicious or Other. The service judges which goes with which
    classification.

    .PARAMETER Comment
    A comment to add.

    .PARAMETER PassThru
    Returns each alert as it is after the change.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call.

    .EXAMPLE
    Set-DefenderAlert da638000000000000001_1001 -Status InProgress -AssignedTo adele@fabrikam.example

    Takes an alert.

    .EXAMPLE
    Get-DefenderAlert -Severity Informational -Status New | Set-DefenderAlert -Status Resolved -Classification InformationalExpectedActivity -WhatIf

    Shows which alerts would be resolved.

    .EXAMPLE
    (Get-DefenderIncident 3000000417).alerts | Where-Object serviceSource -in 'MicrosoftDefenderATP', 'MicrosoftDefenderForEndpoint' | Set-DefenderAlert -Comment 'Part of the exercise'

    Adds a comment to each alert of an incident that is Endpoint's; this service does not know the others.

    .LINK
    Get-DefenderAlert
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('DefenderXdr.EndpointAlert')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('Id')]
        [ValidateNotNullOrEmpty()]
        [string[]] $AlertId,

        [Parameter()]
        [ArgumentCompleter({ @('New', 'InProgress', 'Resolved') -like "$($args[2])*" })]
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
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

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
        $change = New-DefenderChange 'alerts.update' $PSBoundParameters $PSCmdlet
        $session = Open-DefenderSession $PSCmdlet
        $alerts = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::OrdinalIgnoreCase)
    }
    process {
        $piped = if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }
        if (-not (Test-DefenderPiped $PSCmdlet alert $piped)) { return }
        foreach ($id in (Select-DefenderId $PSCmdlet alert $AlertId $piped)) {
            if (-not $alerts.Contains($id) -and (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } "alert $id" $change.Words)) { $alerts[$id] = $true }
        }
    }
    end { Set-DefenderAlertBatch $session @($alerts.get_Keys()) $change.Call -PassThru:$PassThru }
}
