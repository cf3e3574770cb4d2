function Invoke-DefenderRequest {
    <#
    .SYNOPSIS
    Calls any path of the services: Microsoft Defender XDR, Defender for Endpoint, Microsoft Graph.

    .DESCRIPTION
    For what the module has no command for. The sign-in, the checks, the waits and the errors are those of the other commands. A list comes record
    by record, from every page; any other answer comes as it is. A token goes to the service's own hosts only.

    A method that changes something asks with -Confirm and does nothing under -WhatIf. It is sent once, and again only where the service says when.

    .PARAMETER Service
    Xdr (api.security.microsoft.com), Endpoint (api.securitycenter.microsoft.com) or Graph (graph.microsoft.com). In its place, and without -Path, the whole
    address may stand.

    .PARAMETER Path
    The path: from the root, as in /api/machines, or without a slash at its start below the service's API, as in machines. The service's query
    options can stand behind a question mark. A whole address (https://...) is taken where its host is one of the service's own.

    .PARAMETER Method
    GET (the default), POST, PATCH, PUT or DELETE.

    .PARAMETER Query
    Query options by their names, such as @{ '$filter' = "status eq 'New'" }. Values are encoded. $top is the size of a page and no limit: every page is
    read all the same; -First stops after so many records.

    .PARAMETER Body
    What is sent: a hashtable or an object, which becomes JSON with its names as they are, or JSON text, which is sent as it stands.

    .PARAMETER Headers
    Prefer, ConsistencyLevel, If-Match, If-None-Match or Accept-Language. No others can be set, and none can be empty or $null.

    .PARAMETER Version
    The version of Graph's API for a path without a slash at its start: v1.0 (the default) or beta.

    .PARAMETER NoPaging
    Returns the one answer, with what surrounds the records.

    .PARAMETER First
    Stops after this many records. $top in the query does not.

    .PARAMETER IdName
    The member that tells records apart, where the module does not know the path: a record that appears on two pages comes once.

    .PARAMETER Resume
    Goes on where an earlier call with the same parameters ended: the text from -ResumeVariable, or from the error's Exception.Resume.

    .PARAMETER ResumeVariable
    The name of a variable that receives the place in a list that the pipeline has reached, as text for -Resume.

    .PARAMETER ResponseVariable
    The name of a variable that receives the answer's StatusCode, ContentType, ETag and RequestId, where there is one answer: with -NoPaging or
    another method than GET.

    .PARAMETER Raw
    Returns each record, or the answer, as the text the service sent.

    .PARAMETER Preflight
    Require (the default) checks the token before the call: service, tenant and, where the path is known, permissions. Warn tells and goes on; Off does
    not look.

    .PARAMETER BaseUrl
    Another host of the service, such as https://eu.api.security.microsoft.com.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken or Get-MsalToken.

    .PARAMETER Timeout
    Seconds to wait for the whole call, the service's waits included.

    .EXAMPLE
    Invoke-DefenderRequest Endpoint machines -Query @{ '$filter' = "healthStatus eq 'Active'" } -First 50

    The first 50 active machines.

    .EXAMPLE
    $alert = Invoke-DefenderRequest Graph security/alerts_v2/$alertId -NoPaging -ResponseVariable answer
    $answer.RequestId

    An alert of Graph, and the id of the answer, which Microsoft's support asks for. Its ETag is empty where the service sends none; where it sends one,
    -Headers @{ 'If-Match' = $answer.ETag } changes the object only if it is still the one that was read.

    .EXAMPLE
    Invoke-DefenderRequest Xdr /api/incidents -NoPaging -Raw

    One page of incidents, exactly as sent.

    .LINK
    Connect-Defender
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('System.Management.Automation.PSCustomObject')]
    param(
        [Parameter(Mandatory, Position = 0)]
        [AllowEmptyString()]
        [ArgumentCompleter({ @('Xdr', 'Endpoint', 'Graph') -like "$($args[2])*" })]
        [string] $Service,

        [Parameter(Position = 1)]
        [string] $Path,

        [Parameter()]
        [ValidateSet('GET', 'POST', 'PATCH', 'PUT', 'DELETE')]
        [string] $Method,

        [Parameter()]
        [ValidateNotNull()]
        [System.Collections.IDictionary] $Query,

        [Parameter(ValueFromPipeline)]
        [ValidateNotNull()]
        [object] $Body,

        [Parameter()]
        [ValidateNotNull()]
        [System.Collections.IDictionary] $Headers,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Version,

        [Parameter()]
        [switch] $NoPaging,

        [Parameter()]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $First,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $IdName,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $Resume,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $ResumeVariable,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $ResponseVariable,

        [Parameter()]
        [switch] $Raw,

        [Parameter()]
        [ValidateSet('Require', 'Warn', 'Off')]
        [string] $Preflight,

        [Parameter()]
        [ValidateNotNullOrEmpty()]
        [string] $BaseUrl,

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
        $target = Get-DefenderRequestTarget $PSBoundParameters $PSCmdlet
        $session = Open-DefenderSession $PSCmdlet
    }

    process {
        if ($Method -and $Method -ne 'GET' -and
            -not (Confirm-DefenderChange $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) } "$($target.Path) of $($target.Service)" $Method.ToUpperInvariant())) { return }
        Invoke-DefenderAnyPath $session $PSBoundParameters $target
    }
}
