function Invoke-DefenderHunting {
    <#
    .SYNOPSIS
    Runs an advanced hunting query (Kusto) in Microsoft Defender XDR.

    .DESCRIPTION
    Runs the query and returns its rows down the pipeline. The columns keep the order of the result, and their types: DateTime in UTC, whole
    numbers, double, Boolean, TimeSpan; text stays text, also where it looks like a time or holds JSON; null stays $null. With -PassThru one object
    comes that holds the columns too, also when there are no rows. A row shows as a list without control characters, since attackers wrote some of
    it; Format-Table makes a table, and shows text as it came.

    It asks Microsoft Graph. The two older endpoints, which stop on 2027-02-01, are asked by -Backend Xdr or Endpoint, with a warning.

    The service limits queries: some 45 a minute for each tenant, 3 minutes and 100,000 rows for each (a result of that many rows is told by a
    warning), 50 MB with Graph, and a share of CPU time counted in cycles of 15 minutes. What it tells of a query's cost is shown by -Verbose and in
    the result's Stats. A query that failed is not sent again, because each run costs quota; DefenderXdr.QUOTA names the limit.

    Permission: Graph ThreatHunting.Read.All; XDR AdvancedHunting.Read (an app: AdvancedHunting.Read.All); Endpoint AdvancedQuery.Read (an app:
    AdvancedQuery.Read.All).

    .PARAMETER Query
    The query, such as 'DeviceInfo | take 10'.

    .PARAMETER Path
    A file that holds the query, in UTF-8.

    .PARAMETER Timespan
    How far back to look (Graph only): a TimeSpan, such as (New-TimeSpan -Days 7), or text in ISO 8601 such as P7D or 2026-11-01T00:00:00Z/2026-11-21T00:00:00Z. Without it the query's own
    words and the service's 30 days hold.

    .PARAMETER Backend
    Graph (the default), Xdr or Endpoint.

    .PARAMETER PassThru
    Returns one object for each query, with Schema, Rows, RowCount, Stats, Backend and Query.

    .PARAMETER Raw
    Returns each row as the JSON text the service sent.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-MsalToken or Get-ADALToken. It must be for the backend.

    .PARAMETER Timeout
    Seconds to wait for each query. The default is 300, more than the service gives a query.

    .EXAMPLE
    Invoke-DefenderHunting 'DeviceProcessEvents | where FileName == "powershell.exe" | project Timestamp, DeviceName, ProcessCommandLine'

    Rows as objects.

    .EXAMPLE
    Get-ChildItem hunts/*.kql | Invoke-DefenderHunting -Timespan P7D -PassThru | Where-Object RowCount -gt 0

    Runs a folder of queries over the last seven days and keeps the results that have rows.

    .EXAMPLE
    Invoke-DefenderHunting -Path hunt.kql | Export-Csv rows.csv -NoTypeInformation

    Makes a CSV file of the rows.

    .LINK
    Invoke-DefenderRequest
    #>
    [CmdletBinding(DefaultParameterSetName = 'Query')]
    [OutputType('DefenderXdr.HuntingRow', 'DefenderXdr.HuntingResult')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'Query', Position = 0, ValueFromPipeline)]
        [ValidateNotNullOrEmpty()]
        [string] $Query,

        [Parameter(Mandatory, ParameterSetName = 'Path', ValueFromPipelineByPropertyName)]
        [Alias('FullName')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Path,

        [Parameter()]
        [ValidateNotNull()]
        [object] $Timespan,

        [Parameter()]
        [ValidateSet('Graph', 'Xdr', 'Endpoint')]
        [string] $Backend,

        [Parameter()]
        [switch] $PassThru,

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
        $texts = if ($PSCmdlet.ParameterSetName -eq 'Query') { , $Query } else { Read-DefenderQueryFile $Path $PSCmdlet }
        foreach ($text in $texts) { Invoke-DefenderHunt $session $text $PSBoundParameters }
    }
}
