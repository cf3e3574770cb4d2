function Get-DefenderIndicator {
    <#
    .SYNOPSIS
    Gets the indicators (allow and block entries) of Microsoft Defender for Endpoint.

    .DESCRIPTION
    Lists indicators, page by page and record by record. All pages are read; a listing that cannot be completed ends with an error. It needs the
    permission Ti.ReadWrite; an app with Ti.ReadWrite sees its own only, one with Ti.ReadWrite.All sees all.

    .PARAMETER Value
    The hash, address, domain or URL; one or more.

    .PARAMETER Type
    FileSha1, FileSha256, FileMd5, CertificateThumbprint, IpAddress, DomainName or Url; one or more.

    .PARAMETER Action
    Allowed, Audit, Block, BlockAndRemediate or Warn; one or more.

    .PARAMETER Severity
    Informational, Low, Medium or High; one or more.

    .PARAMETER Since
    Indicators created at this time or later. A time without a zone is local. A time
    ago is (Get-Date).AddDays(-7); words such as 7d are none.

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
    Get-DefenderIndicator -Type IpAddress, DomainName -Action Block

    What is blocked on the network, as a table.

    .EXAMPLE
    Get-DefenderIndicator | Where-Object { $_.expirationTime -and $_.expirationTime -lt [DateTime]::UtcNow } | Remove-DefenderIndicator -WhatIf

    Shows which indicators have expired.

    .LINK
    Add-DefenderIndicator
    .LINK
    Import-DefenderIndicator
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.Indicator')]
    param(
        [Parameter(Position = 0)]
        [ValidateNotNullOrEmpty()]
        [string[]] $Value,

        [Parameter()]
        [ArgumentCompleter({ @('FileSha1', 'FileSha256', 'FileMd5', 'CertificateThumbprint', 'IpAddress', 'DomainName', 'Url') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Type,

        [Parameter()]
        [ArgumentCompleter({ @('Allowed', 'Audit', 'Block', 'BlockAndRemediate', 'Warn') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Action,

        [Parameter()]
        [ArgumentCompleter({ @('Informational', 'Low', 'Medium', 'High') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Severity,

        [Parameter()]
        [DateTime] $Since,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Filter,

        [Parameter()]
        [Alias('Top')]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $First,

        [Parameter()]
        [ValidateRange(1, 10000)]
        [int] $PageSize,

        [Parameter()]
        [ValidateRange(0, [int]::MaxValue)]
        [int] $Skip,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Resume,

        [Parameter()]
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
    process { Get-DefenderEndpointRecord $session 'indicators' '' @() $PSBoundParameters }
}

function Add-DefenderIndicator {
    <#
    .SYNOPSIS
    Adds an indicator to Microsoft Defender for Endpoint, or changes the one of the same value.

    .DESCRIPTION
    Sends one indicator a call. For lists use Import-DefenderIndicator, which sends up to 500. An indicator of the same type and value is changed. It
    needs the permission Ti.ReadWrite (an app also: Ti.ReadWrite.All), and a person the role 'Manage security settings'. A tenant holds 15,000.

    .PARAMETER Value
    The hash, address, domain or URL; one or more, which get the same title, description and action. An address is a single one; networks are not taken.

    .PARAMETER Type
    FileSha1, FileSha256, FileMd5, CertificateThumbprint, IpAddress, DomainName or Url.

    .PARAMETER Action
    Allowed, Audit, Block, BlockAndRemediate or Warn. Audit takes -GenerateAlert.

    .PARAMETER Title
    The title of the indicator and of its alerts.

    .PARAMETER Description
    What it is about.

    .PARAMETER Severity
    Informational, Low, Medium or High.

    .PARAMETER ExpirationTime
    When it ends. A time without a zone is local.

    .PARAMETER RecommendedActions
    What who sees the alert should do.

    .PARAMETER Application
    The application that the indicator belongs to.

    .PARAMETER GenerateAlert
    Raises an alert when the indicator is met.

    .PARAMETER RbacGroupName
    The device groups it is for. Without it, all.

    .PARAMETER EducateUrl
    A page that a person who is warned or blocked is shown.

    .PARAMETER PassThru
    Returns each indicator as it is now.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each indicator.

    .EXAMPLE
    Add-DefenderIndicator 198.51.100.7 -Type IpAddress -Action Block -Title 'INC-4711' -Description 'Command and control' -ExpirationTime (Get-Date).AddDays(30) -GenerateAlert

    Blocks an address for a month.

    .LINK
    Import-DefenderIndicator
    .LINK
    Remove-DefenderIndicator
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('DefenderXdr.Indicator')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline)]
        [ValidateNotNullOrEmpty()]
        [string[]] $Value,

        [Parameter(Mandatory)]
        [ArgumentCompleter({ @('FileSha1', 'FileSha256', 'FileMd5', 'CertificateThumbprint', 'IpAddress', 'DomainName', 'Url') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string] $Type,

        [Parameter(Mandatory)]
        [ArgumentCompleter({ @('Allowed', 'Audit', 'Block', 'BlockAndRemediate', 'Warn') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string] $Action,

        [Parameter(Mandatory)]
        [ValidateNotNullOrEmpty()]
        [string] $Title,

        [Parameter(Mandatory)]
        [ValidateNotNullOrEmpty()]
        [string] $Description,

        [Parameter()]
        [ArgumentCompleter({ @('Informational', 'Low', 'Medium', 'High') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string] $Severity,

        [Parameter()]
        [DateTime] $ExpirationTime,

        [Parameter()]
        [string] $RecommendedActions,

        [Parameter()]
        [string] $Application,

        [Parameter()]
        [switch] $GenerateAlert,

        [Parameter()]
        [string[]] $RbacGroupName,

        [Parameter()]
        [string] $EducateUrl,

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
        $session = Open-DefenderSession $PSCmdlet
    }
    process { foreach ($one in $Value) { Add-DefenderIndicatorValue $session $one $PSBoundParameters $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) { $PSCmdlet.ShouldProcess($args[0], $args[1]) } } }
}

function Remove-DefenderIndicator {
    <#
    .SYNOPSIS
    Removes indicators from Microsoft Defender for Endpoint.

    .DESCRIPTION
    Removes each indicator, once it is confirmed: what it blocked is allowed again, and what it allowed is judged again. It needs the permission
    Ti.ReadWrite (an app also: Ti.ReadWrite.All), and a person the role 'Manage security settings'. Without a person to ask, give -Confirm:$false.

    .PARAMETER Id
    The indicator's id, as Get-DefenderIndicator shows it; one or more, or down the pipeline. One that does not exist is an error, and the next
    one is tried.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each indicator.

    .EXAMPLE
    Get-DefenderIndicator 198.51.100.7 | Remove-DefenderIndicator

    Removes the indicator of an address, after a question.

    .LINK
    Get-DefenderIndicator
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType([void])]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [ValidateNotNullOrEmpty()]
        [string[]] $Id,

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
    process { foreach ($one in $Id) { Remove-DefenderIndicatorById $session $one $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) { $PSCmdlet.ShouldProcess($args[0], $args[1]) } } }
}

function Import-DefenderIndicator {
    <#
    .SYNOPSIS
    Sends many indicators to Microsoft Defender for Endpoint, 500 a call.

    .DESCRIPTION
    Takes indicators as objects (rows of Import-Csv, objects of Get-DefenderIndicator, hashtables) or from a file, and sends them in batches. Each one
    that is not taken, by the checks on this side or by the service, is an error that names it; the others are sent. Errors of this side have its number,
    counted from 1 without the head of a table. An expirationTime that is past brings a warning. Where the service refuses a call
    as a whole, its halves are sent, and theirs, until the one that is meant is found; where nothing is taken after 50 refusals, what is left is told
    together. What the service's answer does not name is an error too (INDICATOR_UNKNOWN). An indicator of the same type and value is changed. -WhatIf
    makes the checks of this side too, and sends nothing.

    Members are those of the service, in any case: indicatorValue, indicatorType, action, title and description are needed; severity, application,
    expirationTime, recommendedActions, generateAlert, rbacGroupNames, rbacGroupIds, educateUrl, externalId and lookBackPeriodInDays may be there. What the
    service gives an indicator, such as its id and times, is left out; so is any other member, with one warning that names them all. One that is nearly
    a member's name, such as expirationTme, is an error. So is a second action for the same value and type. Empty cells of a table count as absent, and lists in a cell are
    separated by semicolons. generateAlert is true, yes, y or 1, or false, no, n or 0; expirationTime is a time such as 2026-12-24T18:00:00Z or 2026-12-24,
    local where it names no zone.

    It needs the permission Ti.ReadWrite (an app also: Ti.ReadWrite.All), and a person the role 'Manage security settings'.

    .PARAMETER InputObject
    An indicator: an object or a hashtable.

    .PARAMETER Path
    A file: CSV whose first line names the members, or JSON with a list of objects (.json). Columns are separated by comma, semicolon or tab, whichever
    the first line has; it is read as UTF-8.

    .PARAMETER Action
    The action of those that have none.

    .PARAMETER Title
    The title of those that have none.

    .PARAMETER Description
    The description of those that have none.

    .PARAMETER PassThru
    Returns what became of each, those that were not sent too: Id, Indicator, IsFailed, FailureReason.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken. It cannot be renewed.

    .PARAMETER Timeout
    Seconds to wait for each batch.

    .EXAMPLE
    Import-DefenderIndicator -Path indicators.csv -ErrorVariable refused

    Sends the indicators of a table; $refused holds an error for each that was not taken.

    .EXAMPLE
    Get-Content hashes.txt | ForEach-Object { @{ indicatorValue = $_; indicatorType = 'FileSha256' } } | Import-DefenderIndicator -Action BlockAndRemediate -Title 'INC-4711' -Description 'Samples' -WhatIf

    Shows what would be sent for a list of hashes.

    .LINK
    Add-DefenderIndicator
    #>
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Object')]
    [OutputType('DefenderXdr.IndicatorOutcome')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'Object', ValueFromPipeline)]
        [ValidateNotNull()]
        [object[]] $InputObject,

        [Parameter(Mandatory, ParameterSetName = 'Path', Position = 0)]
        [ValidateNotNullOrEmpty()]
        [string] $Path,

        [Parameter()]
        [ArgumentCompleter({ @('Allowed', 'Audit', 'Block', 'BlockAndRemediate', 'Warn') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string] $Action,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Title,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Description,

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
        $import = New-DefenderImport $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { foreach ($one in $(if ($PSCmdlet.ParameterSetName -eq 'Path') { Read-DefenderIndicatorFile $import $Path } else { $InputObject })) { Add-DefenderImport $import $one } }
    end { Send-DefenderImport $import }
}
