function Get-DefenderMachine {
    <#
    .SYNOPSIS
    Gets machines (devices) of Microsoft Defender for Endpoint.

    .DESCRIPTION
    Lists the machines that were seen lately, page by page and record by record, or gets single ones by id or by name. All pages are read; a listing
    that cannot be completed ends with an error.

    The properties have the names and values the service sends; times are DateTime in UTC. It needs the permission Machine.Read (an app:
    Machine.Read.All), and the machines are those of the device groups that the account may see.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain. A name has to fit exactly one machine: where several
    fit, the error lists them.

    .PARAMETER HealthStatus
    Active, Inactive, ImpairedCommunication, NoSensorData, NoSensorDataImpairedCommunication or Unknown; one or more.

    .PARAMETER OSPlatform
    The operating system, such as Windows11, WindowsServer2022, Linux or macOS; one or more.

    .PARAMETER RiskScore
    None, Informational, Low, Medium or High; one or more.

    .PARAMETER ExposureLevel
    None, Low, Medium or High; one or more.

    .PARAMETER OnboardingStatus
    Onboarded, CanBeOnboarded, Unsupported or InsufficientInfo; one or more.

    .PARAMETER Tag
    A tag of the machine; one or more, any of which will do.

    .PARAMETER SeenSince
    Machines last seen at this time or later. A time without a zone is local. A time
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
    Get-DefenderMachine ws-0001

    Gets the one machine of that name.

    .EXAMPLE
    Get-DefenderMachine -HealthStatus Inactive -OSPlatform Windows11 | Sort-Object lastSeen | Select-Object computerDnsName, lastSeen -First 20

    The machines that have been silent for longest.

    .EXAMPLE
    Get-DefenderMachine -Tag 'Tier 0' | Get-DefenderMachineAction -Since (Get-Date).AddDays(-7)

    What was done to some machines in the last week.

    .LINK
    Enable-DefenderMachineIsolation
    .LINK
    Start-DefenderMachineScan
    #>
    [CmdletBinding(DefaultParameterSetName = 'List')]
    [OutputType('DefenderXdr.Machine')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'Machine', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName', 'Name')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('Active', 'Inactive', 'ImpairedCommunication', 'NoSensorData', 'NoSensorDataImpairedCommunication', 'Unknown') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $HealthStatus,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('Windows11', 'Windows10', 'WindowsServer2025', 'WindowsServer2022', 'WindowsServer2019', 'WindowsServer2016', 'Linux', 'macOS', 'iOS', 'Android') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $OSPlatform,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('None', 'Informational', 'Low', 'Medium', 'High') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $RiskScore,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('None', 'Low', 'Medium', 'High') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $ExposureLevel,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('Onboarded', 'CanBeOnboarded', 'Unsupported', 'InsufficientInfo') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $OnboardingStatus,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Tag,

        [Parameter(ParameterSetName = 'List')]
        [DateTime] $SeenSince,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string] $Filter,

        [Parameter(ParameterSetName = 'List')]
        [Alias('Top')]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $First,

        [Parameter(ParameterSetName = 'List')]
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
    process {
        $piped = if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }
        if ($PSCmdlet.ParameterSetName -eq 'List') { Get-DefenderEndpointRecord $session 'machines' 'machine' @() $PSBoundParameters }
        else {
            $names = [string[]]@(Select-DefenderMachineName $PSCmdlet $Machine $piped)
            if ($names.Length -gt 0) { Get-DefenderEndpointRecord $session 'machines' 'machine' $names $PSBoundParameters }
        }
    }
}

function Enable-DefenderMachineIsolation {
    <#
    .SYNOPSIS
    Isolates machines from the network, except for Microsoft Defender.

    .DESCRIPTION
    Starts the isolation of each machine, once it is confirmed. Names are resolved to ids before anything is done. For -WhatIf, and for the question,
    ids are looked up too, so that both show the names of machines that there are; an id is shown by itself where the token may not read machines.

    It is safe to repeat: the same isolation under way, or a machine that is isolated already, is told by a warning; a call whose answer was lost is
    looked up and not sent twice. While a release of the machine is under way, an isolation that the service refuses as done or under way is an error
    (BUSY), since the machine would end up free: wait for the release to end (Wait-DefenderMachineAction), and isolate then.

    It needs the permission Machine.Isolate, and a person the role 'Active remediation actions'. Without a person to ask, give -Confirm:$false.

    Returns the machine action of each machine, for Wait-DefenderMachineAction or Stop-DefenderMachineAction.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Comment
    The reason. The service wants one, and others read it.

    .PARAMETER Type
    Full (the default), Selective (Outlook, Teams and Skype for Business go on), or UnManagedDevice (a machine that is not onboarded is
    contained by the others).

    .PARAMETER Wait
    Waits for the end of what was started, and returns the machine actions as they ended. An action that does not succeed is an
    error. Ctrl+C ends the waiting, not the action.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call, and with -Wait for each action.

    .EXAMPLE
    Enable-DefenderMachineIsolation ws-0001 -Comment 'INC-4711: ransomware' -Wait

    Isolates a machine, after a question, and waits until it is.

    .EXAMPLE
    Get-DefenderAlert -Severity High -Status New | Enable-DefenderMachineIsolation -Comment 'INC-4711' -WhatIf

    Shows which machines would be isolated; each once, however many alerts it has. An alert that is about no machine is an error, and the next one is tried.

    .EXAMPLE
    (Get-DefenderIncident 3000000417).alerts.devices | Enable-DefenderMachineIsolation -Comment 'INC-4711' -WhatIf

    The machines of an incident. The incident itself names none.

    .EXAMPLE
    Import-Csv machines.csv | Enable-DefenderMachineIsolation -Comment 'INC-4711' -Confirm:$false

    Isolates the machines of a list with a column MachineId or ComputerDnsName, unattended. A machine that fails is an error, and the next one is tried.

    .LINK
    Disable-DefenderMachineIsolation

    .LINK
    Wait-DefenderMachineAction
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

        [Parameter()]
        [ValidateSet('Full', 'Selective', 'UnManagedDevice')]
        [string] $Type,

        [Parameter()]
        [switch] $Wait,

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
        $bulk = New-DefenderBulk 'machines.isolate' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Disable-DefenderMachineIsolation {
    <#
    .SYNOPSIS
    Releases machines from isolation.

    .DESCRIPTION
    Starts the release of each machine, once it is confirmed. Names are resolved to ids before anything is done. It needs the permission
    Machine.Isolate, and a person the role 'Active remediation actions'.

    A machine that was released already, by its actions, is told by a warning; nothing is sent, and the action that released it comes.

    Returns the machine action of each machine, for Wait-DefenderMachineAction or Stop-DefenderMachineAction.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Comment
    The reason. The service wants one, and others read it.

    .PARAMETER Wait
    Waits for the end of what was started, and returns the machine actions as they ended. An action that does not succeed is an
    error. Ctrl+C ends the waiting, not the action.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call, and with -Wait for each action.

    .EXAMPLE
    Disable-DefenderMachineIsolation ws-0001 -Comment 'INC-4711: rebuilt' -Wait

    Releases a machine and waits until it is.

    .LINK
    Enable-DefenderMachineIsolation
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

        [Parameter()]
        [switch] $Wait,

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
        $bulk = New-DefenderBulk 'machines.release' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Enable-DefenderMachineRestriction {
    <#
    .SYNOPSIS
    Lets machines run only what Microsoft has signed.

    .DESCRIPTION
    Starts the restriction of code execution on each machine, once it is confirmed. Names are resolved to ids before anything is done. It needs
    the permission Machine.RestrictExecution, and a person the role 'Active remediation actions'.

    Returns the machine action of each machine, for Wait-DefenderMachineAction or Stop-DefenderMachineAction.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Comment
    The reason. The service wants one, and others read it.

    .PARAMETER Wait
    Waits for the end of what was started, and returns the machine actions as they ended. An action that does not succeed is an
    error. Ctrl+C ends the waiting, not the action.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call, and with -Wait for each action.

    .EXAMPLE
    Enable-DefenderMachineRestriction ws-0001 -Comment 'INC-4711'

    Restricts a machine.

    .LINK
    Disable-DefenderMachineRestriction
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

        [Parameter()]
        [switch] $Wait,

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
        $bulk = New-DefenderBulk 'machines.restrict' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Disable-DefenderMachineRestriction {
    <#
    .SYNOPSIS
    Lets machines run programs again.

    .DESCRIPTION
    Starts the removal of the restriction of code execution from each machine, once it is confirmed. It needs the permission
    Machine.RestrictExecution, and a person the role 'Active remediation actions'.

    A machine whose restriction was lifted already, by its actions, is told by a warning; nothing is sent, and the action that lifted it comes.

    Returns the machine action of each machine, for Wait-DefenderMachineAction or Stop-DefenderMachineAction.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Comment
    The reason. The service wants one, and others read it.

    .PARAMETER Wait
    Waits for the end of what was started, and returns the machine actions as they ended. An action that does not succeed is an
    error. Ctrl+C ends the waiting, not the action.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call, and with -Wait for each action.

    .EXAMPLE
    Disable-DefenderMachineRestriction ws-0001 -Comment 'INC-4711: clean'

    Lifts the restriction of a machine.

    .LINK
    Enable-DefenderMachineRestriction
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

        [Parameter()]
        [switch] $Wait,

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
        $bulk = New-DefenderBulk 'machines.unrestrict' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Start-DefenderMachineScan {
    <#
    .SYNOPSIS
    Starts an antivirus scan on machines.

    .DESCRIPTION
    Starts a scan by Microsoft Defender Antivirus on each machine. It needs the permission Machine.Scan, and a person the role 'Active remediation
    actions'. The same scan under way is told by a warning; another kind of scan under way is an error.

    Returns the machine action of each machine, for Wait-DefenderMachineAction or Stop-DefenderMachineAction.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Comment
    The reason. The service wants one, and others read it.

    .PARAMETER Type
    Quick (the default) or Full.

    .PARAMETER Wait
    Waits for the end of what was started, and returns the machine actions as they ended. An action that does not succeed is an
    error. Ctrl+C ends the waiting, not the action.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call, and with -Wait for each action.

    .EXAMPLE
    Get-DefenderMachine -RiskScore High | Start-DefenderMachineScan -Comment 'INC-4711' -Type Full

    Scans every machine of high risk, and shows what was started.

    .LINK
    Get-DefenderMachineAction
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

        [Parameter()]
        [ValidateSet('Quick', 'Full')]
        [string] $Type,

        [Parameter()]
        [switch] $Wait,

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
        $bulk = New-DefenderBulk 'machines.scan' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Start-DefenderFileQuarantine {
    <#
    .SYNOPSIS
    Stops a file on machines and puts it into quarantine.

    .DESCRIPTION
    Stops every process of the file and quarantines it, on each machine, once it is confirmed. It needs the permission
    Machine.StopAndQuarantine, and a person the role 'Active remediation actions'. The machines have to run Windows 10 or newer with Microsoft
    Defender Antivirus.

    Returns the machine action of each machine, for Wait-DefenderMachineAction or Stop-DefenderMachineAction.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Comment
    The reason. The service wants one, and others read it.

    .PARAMETER Sha1
    The file's SHA-1, 40 hexadecimal digits. The service takes no other hash here.

    .PARAMETER Wait
    Waits for the end of what was started, and returns the machine actions as they ended. An action that does not succeed is an
    error. Ctrl+C ends the waiting, not the action.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call, and with -Wait for each action.

    .EXAMPLE
    Start-DefenderFileQuarantine ws-0001, ws-0002 -Sha1 (Get-FileHash sample.bin -Algorithm SHA1).Hash -Comment 'INC-4711'

    Removes a file from two machines.

    .LINK
    Wait-DefenderMachineAction
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Comment,

        [Parameter(Mandatory)]
        [ValidateNotNullOrEmpty()]
        [string] $Sha1,

        [Parameter()]
        [switch] $Wait,

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
        $bulk = New-DefenderBulk 'machines.quarantine' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Add-DefenderMachineTag {
    <#
    .SYNOPSIS
    Gives machines a tag.

    .DESCRIPTION
    Names are resolved to ids before anything is done. -PassThru returns the machines and -Verbose tells the tags they have then; without either
    a success is silent. It needs the permission Machine.ReadWrite (an app: Machine.ReadWrite.All), and a person the
    role 'Manage security settings'.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Tag
    The tag. Case counts.

    .PARAMETER PassThru
    Returns each machine as it is after the change.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call.

    .EXAMPLE
    Get-DefenderMachine -OSPlatform macOS | Add-DefenderMachineTag -Tag Loan

    Does so for each machine of a list.

    .LINK
    Get-DefenderMachine
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('DefenderXdr.Machine')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Tag,

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
        $bulk = New-DefenderBulk 'machines.tag.add' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Remove-DefenderMachineTag {
    <#
    .SYNOPSIS
    Takes a tag from machines.

    .DESCRIPTION
    Names are resolved to ids before anything is done. -PassThru returns the machines and -Verbose tells the tags they have then; without either
    a success is silent. It needs the permission Machine.ReadWrite (an app: Machine.ReadWrite.All), and a person the
    role 'Manage security settings'.

    .PARAMETER Machine
    The machine's id (40 hexadecimal digits) or its name, whole or without the domain; one or more, or down the pipeline from machines, alerts,
    machine actions, an incident's devices and hunting rows. A name that fits several machines is an error that lists them, and then nothing
    at all is done; one that fits none is an error, and the others are done.

    .PARAMETER Tag
    The tag. Case counts.

    .PARAMETER PassThru
    Returns each machine as it is after the change.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call.

    .EXAMPLE
    Get-DefenderMachine -OSPlatform macOS | Remove-DefenderMachineTag -Tag Loan

    Does so for each machine of a list.

    .LINK
    Get-DefenderMachine
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('DefenderXdr.Machine')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'Id', 'ComputerDnsName', 'DeviceName')]
        [AllowNull()]
        [AllowEmptyCollection()]
        [AllowEmptyString()]
        [string[]] $Machine,

        [Parameter(Mandatory, Position = 1)]
        [ValidateNotNullOrEmpty()]
        [string] $Tag,

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
        $bulk = New-DefenderBulk 'machines.tag.remove' $PSBoundParameters $PSCmdlet { $PSCmdlet.ShouldProcess($args[0], $args[1]) }
    }
    process { Add-DefenderBulkMachine $bulk $Machine $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
    end { Invoke-DefenderBulk $bulk }
}

function Get-DefenderMachineAction {
    <#
    .SYNOPSIS
    Gets machine actions: what was started on machines, by whom, and how it stands.

    .DESCRIPTION
    Lists actions, page by page and record by record, or gets single ones by id. The service lists the newest first, so -First 5 gives the
    latest five. With machines down the pipeline it lists the actions of each; actions
    down the pipeline it gets again. It needs the permission Machine.Read (an app: Machine.Read.All).

    .PARAMETER Id
    The action's id.

    .PARAMETER Machine
    The id or the name of a machine whose actions are listed; one or more.

    .PARAMETER Type
    Isolate, Unisolate, RunAntiVirusScan, StopAndQuarantineFile, RestrictCodeExecution, UnrestrictCodeExecution, CollectInvestigationPackage,
    LiveResponse or Offboard; one or more.

    .PARAMETER Status
    Pending, InProgress, Succeeded, Failed, TimeOut or Cancelled; one or more.

    .PARAMETER Requestor
    The account or the app that asked for the action; one or more.

    .PARAMETER Since
    Actions created at this time or later. A time without a zone is local. A time
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
    Get-DefenderMachineAction -Status Pending, InProgress

    What is under way.

    .EXAMPLE
    Get-DefenderMachine ws-0001 | Get-DefenderMachineAction -Type Isolate, Unisolate | Sort-Object creationDateTimeUtc | Select-Object -Last 1

    The last time a machine was isolated or released.

    .LINK
    Wait-DefenderMachineAction
    .LINK
    Stop-DefenderMachineAction
    #>
    [CmdletBinding(DefaultParameterSetName = 'List')]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, ParameterSetName = 'Id', Position = 0)]
        [Alias('ActionId')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Id,

        [Parameter(ParameterSetName = 'List', ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('MachineId', 'mdatpDeviceId', 'DeviceId', 'ComputerDnsName', 'DeviceName')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Machine,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('Isolate', 'Unisolate', 'RunAntiVirusScan', 'StopAndQuarantineFile', 'RestrictCodeExecution', 'UnrestrictCodeExecution', 'CollectInvestigationPackage', 'LiveResponse', 'Offboard') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Type,

        [Parameter(ParameterSetName = 'List')]
        [ArgumentCompleter({ @('Pending', 'InProgress', 'Succeeded', 'Failed', 'TimeOut', 'Cancelled') -like "$($args[2])*" })]
        [ValidateNotNullOrEmpty()]
        [string[]] $Status,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Requestor,

        [Parameter(ParameterSetName = 'List')]
        [DateTime] $Since,

        [Parameter(ParameterSetName = 'List')]
        [ValidateNotNullOrEmpty()]
        [string] $Filter,

        [Parameter(ParameterSetName = 'List')]
        [Alias('Top')]
        [ValidateRange(1, [int]::MaxValue)]
        [int] $First,

        [Parameter(ParameterSetName = 'List')]
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
    process { Get-DefenderActionRecord $session $Id $Machine $PSBoundParameters $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) }
}

function Wait-DefenderMachineAction {
    <#
    .SYNOPSIS
    Waits for the end of machine actions and returns them.

    .DESCRIPTION
    Looks at each action until it has ended, at first every -Interval seconds, later less often, and returns it. One that ended otherwise than
    Succeeded is an error besides. Ctrl+C ends the waiting and says which actions go on; the actions themselves are not touched.

    .PARAMETER Id
    The action's id; one or more, or down the pipeline from the commands that return machine actions.

    .PARAMETER Interval
    Seconds between two looks, 1 to 3600. The default is 10.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken. It cannot be renewed.

    .PARAMETER Timeout
    Seconds to wait for each action; then it is an error, and the action goes on.

    .EXAMPLE
    Get-DefenderMachine -Tag Loan | Start-DefenderMachineScan -Comment 'Monthly' | Wait-DefenderMachineAction

    Scans some machines and waits for all of them.

    .LINK
    Get-DefenderMachineAction
    #>
    [CmdletBinding()]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('ActionId')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Id,

        [Parameter()]
        [ValidateRange(1, 3600)]
        [int] $Interval,

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
        # All are known before the first is waited for: those that come down the pipeline were all started by then.
        $actions = [System.Collections.ArrayList]::new()
    }
    process {
        if (-not (Test-DefenderPiped $PSCmdlet 'machine action' $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }))) { return }
        foreach ($one in (Select-DefenderId $PSCmdlet 'machine action' $Id $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }))) { $null = $actions.Add(@{ Id = $one; Label = '' }) }
    }
    end { Wait-DefenderAction $session $actions $Interval }
}

function Stop-DefenderMachineAction {
    <#
    .SYNOPSIS
    Cancels machine actions that have not ended.

    .DESCRIPTION
    Asks the service to cancel each action, once it is confirmed. What a machine has done already is not undone. It needs the permission that the action
    itself needs, such as Machine.Isolate or Machine.Scan, and a person the role 'Active remediation actions'.

    .PARAMETER Id
    The action's id; one or more, or down the pipeline. An action that has ended, or that there is none of, is an error, and the next one is tried.

    .PARAMETER Comment
    The reason. The service wants one, and others read it.

    .PARAMETER PassThru
    Returns each action as it is after it was cancelled.

    .PARAMETER AccessToken
    A token to use in place of the connection: text, a SecureString, or the object of Get-ADALToken.

    .PARAMETER Timeout
    Seconds to wait for each call, the service's waits included. Without it the library's own limits hold.

    .EXAMPLE
    Get-DefenderMachineAction -Status Pending -Type RunAntiVirusScan | Stop-DefenderMachineAction -Comment 'Not now'

    Cancels every scan that has not begun.

    .LINK
    Get-DefenderMachineAction
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType('DefenderXdr.MachineAction')]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('ActionId')]
        [ValidateNotNullOrEmpty()]
        [string[]] $Id,

        [Parameter(Mandatory, Position = 1)]
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
        $session = Open-DefenderSession $PSCmdlet
    }
    process { foreach ($one in $Id) { Stop-DefenderActionById $session $one $Comment $(if ($PSCmdlet.MyInvocation.ExpectingInput) { $_ }) { $PSCmdlet.ShouldProcess($args[0], $args[1]) } -PassThru:$PassThru } }
}
