function Get-DefenderIncident {
    <#
    .SYNOPSIS
    Gets incidents of Microsoft Defender XDR.

    .DESCRIPTION
    Lists incidents, newest first, page by page and record by record: what follows in the pipeline starts with the first record, and
    Select-Object -First ends the listing. All pages are read; a listing that cannot be completed ends with an error. With -Id it gets single
    incidents.

    The properties have the names and values the service sends; times are DateTime in UTC. Text in them comes from outside: the table view
    replaces control characters, the properties hold them as sent.

    .PARAMETER Filter
    An OData filter on lastUpdateTime, createdTime, status or assignedTo, such as "status eq 'Active'". The service does not filter by severity.

    .PARAMETER First
    Stops after this many incidents.

    .PARAMETER PageSize
    Incidents in one page, 1 to 100. The default is 100, or less when -First is.

    .PARAMETER Skip
    Incidents to pass over at the start.

    .PARAMETER Resume
    Goes on where an earlier listing with the same parameters ended: the text from -ResumeVariable, or from the error's Exception.Resume.

    .PARAMETER ResumeVariable
    The name of a variable that receives the place the pipeline has reached, as text for -Resume, however the command ends. A record whose
    handling was broken off comes again.

    .PARAMETER Id
    The incident's number. An incident that does not exist is an error, and the next one is tried.

    .PARAMETER NoFollow
    Gets an incident that was merged into another as it is. Without it the other one comes, and a warning says so.

    .PARAMETER Raw
    Returns each incident as the JSON text the service sent.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for the whole call, the service's waits included. Without it the library's own limits hold.

    .EXAMPLE
    Get-DefenderIncident -Filter "status eq 'Active'" -First 20

    Shows the 20 newest active incidents as a table.

    .EXAMPLE
    Get-DefenderIncident -First 200 | Where-Object severity -eq 'High' | Format-Table incidentId, incidentName, lastUpdateTime

    Filters by severity on this side.

    .EXAMPLE
    $since = [DateTime]::UtcNow.AddDays(-1).ToString('o')
    Get-DefenderIncident -Filter "lastUpdateTime ge $since" -Raw

    Gets what changed in the last day, as JSON text.

    .EXAMPLE
    $response = Get-ADALToken -Resource 'https://api.security.microsoft.com' -ClientId $clientId -RedirectUri 'http://localhost' -TenantId $tenantId
    Get-DefenderIncident -AccessToken $response -First 5

    Uses a token of Get-ADALToken.

    .LINK
    Connect-Defender
    #>
    [CmdletBinding(DefaultParameterSetName = 'List')]
    [OutputType('DefenderXdr.Incident')]
    param(
        [Parameter(ParameterSetName = 'List')]
        [string] $Filter,

        [Parameter(ParameterSetName = 'List')]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $First,

        [Parameter(ParameterSetName = 'List')]
        [Alias('Top')]
        [ValidateRange(1, 100)]
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

        [Parameter(Mandatory, ParameterSetName = 'Id', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('incidentId')]
        [ValidateRange(0, [long]::MaxValue)]
        [long[]] $Id,

        [Parameter(ParameterSetName = 'Id')]
        [switch] $NoFollow,

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
        $session = Open-DefenderSession $PSCmdlet
        $converter = if ($Raw) { '' } else { 'ConvertTo-DefenderIncident' }
    }

    process {
        if ($PSCmdlet.ParameterSetName -ne 'Id') {
            Invoke-DefenderCall $session (New-DefenderCall 'incidents.list' $PSBoundParameters) -ItemConverter $converter
            return
        }
        foreach ($number in $Id) { Invoke-DefenderCall $session ([ordered]@{ operation = 'incidents.get'; id = $number; follow = -not $NoFollow }) -ItemConverter $converter -PerRecord }
    }
}
