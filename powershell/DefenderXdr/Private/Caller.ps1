# What a command takes from its caller besides its parameters: preferences, a confirmation, and the kind of the objects that come down the pipeline.

# The caller's preference variables, and the parameters that stand above them.
$script:CallerPreferences = @{
    WhatIfPreference      = 'WhatIf'
    ConfirmPreference     = 'Confirm'
    ErrorActionPreference = 'ErrorAction'
    WarningPreference     = 'WarningAction'
    VerbosePreference     = 'Verbose'
    ProgressPreference    = 'ProgressAction'
}

function script:Use-DefenderPreference {
    # A module's function sees the global preferences, but not those of the script that calls it: without this, a script run with -WhatIf would change
    # machines for real, and $ErrorActionPreference = 'Stop' at its head would not hold here. To be called by the command itself, before it asks.
    param([System.Management.Automation.PSCmdlet] $Caller)
    $given = $Caller.MyInvocation.BoundParameters
    $theirs = $Caller.SessionState.PSVariable
    foreach ($name in $script:CallerPreferences.get_Keys()) {
        if ($given.ContainsKey($script:CallerPreferences[$name])) { continue }
        $value = $theirs.GetValue($name)
        if ($null -ne $value -and $value -ne $ExecutionContext.SessionState.PSVariable.GetValue($name)) { Set-Variable -Name $name -Value $value -Scope 1 -WhatIf:$false -Confirm:$false }
    }
}

function script:Confirm-DefenderChange {
    # Whether the change is wanted. $Ask is the command's own ShouldProcess, which takes what is changed and how. Where it has to ask and cannot (no
    # person, no console, input at its end), each host fails in its own words, and the command ends in these.
    param([System.Management.Automation.PSCmdlet] $Caller, [scriptblock] $Ask, [string] $Target, [string] $Action)
    try { return & $Ask $Target $Action }
    catch { $global:Error.RemoveAt(0) }
    $name = $Caller.MyInvocation.MyCommand.Name
    $Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'CONFIRMATION_REQUIRED' -Code 0 -Message (Format-DefenderText "$name asks before it acts ($Action, $Target), and this session cannot ask anybody; the command ended here") `
                -Hint 'Give -Confirm:$false to act without being asked; -WhatIf shows first what would be done.'))
}

# What the objects are that a command takes by their id, and the members by which an object of another kind names one.
$script:PipedKinds = @{
    incident         = @{ Types = @('Incident'); Members = @('incidentId') }
    alert            = @{ Types = @('Alert', 'EndpointAlert'); Members = @('alertId') }
    machine          = @{ Types = @('Machine'); Members = @('machine', 'machineId', 'mdatpDeviceId', 'deviceId', 'computerDnsName', 'deviceName') }
    'machine action' = @{ Types = @('MachineAction'); Members = @('actionId') }
    indicator        = @{ Types = @('Indicator'); Members = @() }
}

function script:Get-DefenderKind {
    # Which of the module's kinds an object is ('Incident', 'Machine'), or nothing. The name of the type need not be the first: Select-Object puts one
    # of its own before it, in the object of its caller too.
    param([object] $Object)
    if ($null -eq $Object) { return }
    foreach ($type in $Object.PSObject.TypeNames) { if ($type -match '^(?:Deserialized\.)?DefenderXdr\.(\w+)$') { return $Matches[1] } }
}

function script:Test-DefenderPiped {
    # Does the object that came down the pipeline name what the command is for? Every kind of thing has an id: an indicator's number could be
    # an incident's. What does not is an error, and the next one is tried.
    param([System.Management.Automation.PSCmdlet] $Caller, [string] $Kind, [object] $Piped)
    if ($null -eq $Piped -or $Piped -is [string] -or $Piped -is [ValueType]) { return $true }
    $wanted = $script:PipedKinds[$Kind]
    foreach ($member in $wanted.Members) { if ($null -ne (Get-DefenderValue $Piped $member)) { return $true } }
    $own = Get-DefenderKind $Piped
    $type = if ($own) { "DefenderXdr.$own" } else { @($Piped.PSObject.TypeNames)[0] }
    if ($own) { $known = $own -in $wanted.Types }
    else { $known = $Piped -is [System.Management.Automation.PSCustomObject] }
    if ($known) { return $true }
    $name = $Caller.MyInvocation.MyCommand.Name
    $what = "an object of the type $type came down the pipeline, which names no $Kind"
    $hint = "Give $name the ids, or objects with a member for the $Kind, as Get-Help $name says."
    if ($Kind -eq 'machine' -and $own -eq 'EndpointAlert') {
        $what = "alert $(Get-DefenderValue $Piped 'id') is about no machine"
        $hint = "Leave such alerts out: Where-Object machineId. The others are taken by $name."
    }
    # What an incident is about is in its alerts.
    elseif ($Kind -eq 'machine' -and $own -in 'Incident', 'Alert') { $hint = "Give the devices of its alerts: (Get-DefenderIncident $(Get-DefenderValue $Piped 'incidentId')).alerts.devices | $name" }
    $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText $what) -Hint (Format-DefenderText $hint)
    Write-DefenderRecordError @{ Caller = $Caller } $record '' $Piped -Always
    $false
}

# What the services' ids look like, and the commands that show them.
$script:IdShapes = @{
    alert            = @{ Pattern = '^[0-9A-Za-z_.-]+$'; Words = 'an alert''s id (letters, digits, _ . and -)'; Lister = 'Get-DefenderAlert' }
    machine          = @{ Pattern = '^[^@{}=;/\s]+$'; Words = 'a machine''s id (40 hexadecimal digits) or its name'; Lister = 'Get-DefenderMachine' }
    'machine action' = @{ Pattern = '^[0-9A-Za-z-]+$'; Words = 'a machine action''s id (a GUID)'; Lister = 'Get-DefenderMachineAction'; More = '; the actions of a machine are listed by Get-DefenderMachineAction -Machine' }
    indicator        = @{ Pattern = '^[0-9A-Za-z-]+$'; Words = 'an indicator''s id (a number)'; Lister = 'Get-DefenderIndicator' }
}

function script:Select-DefenderId {
    # Those of the ids that a command was given which can be ids of such things. Any other is an error that shows it: it ends the command, and down
    # the pipeline the next one is tried.
    param([System.Management.Automation.PSCmdlet] $Caller, [string] $Kind, [string[]] $Ids, [object] $Piped)
    $shape = $script:IdShapes[$Kind]
    foreach ($id in $Ids) {
        if ($id -match $shape.Pattern) { $id; continue }
        $fault = $null
        $more = $shape['More']
        if ($Piped -is [System.Management.Automation.PSCustomObject]) {
            # PowerShell makes a text of an object whose id is no text itself.
            $named = $null
            foreach ($member in @($script:PipedKinds[$Kind].Members) + 'id') { if ($null -eq $named) { $named = Get-DefenderValue $Piped $member } }
            if ("$named" -match $shape.Pattern) { "$named"; continue }
            $members = @(foreach ($property in $Piped.PSObject.Properties) { $property.Name })
            if ($Kind -eq 'alert' -and $null -ne (Get-DefenderValue $Piped 'incidentId')) { $more = '; the alerts of incidents in a table: ForEach-Object { Get-DefenderAlert -IncidentId $_.incidentId }' }
            $fault = "an object came down the pipeline that names no $Kind; its members are: $(Get-DefenderShortText ($members -join ', '))"
        }
        if (-not $fault) { $fault = "'$(Get-DefenderShortText $id)' is not $($shape.Words)" }
        $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText $fault) -Hint "Give $($shape.Words), as $($shape.Lister) shows it, or the objects of $($shape.Lister) down the pipeline$more."
        if ($null -eq $Piped) { $Caller.ThrowTerminatingError($record) }
        Write-DefenderRecordError @{ Caller = $Caller } $record '' $Piped -Always
    }
}

function script:Get-DefenderShortText {
    # The beginning of a text, for an error.
    param([string] $Text)
    if ($Text.Length -le 80) { return $Text }
    $Text.Substring(0, 77) + '...'
}
