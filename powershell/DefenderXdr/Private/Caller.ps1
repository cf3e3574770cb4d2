# What a command takes from its caller besides its parameters: preferences, and the kind of the objects that come down the pipeline.

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

# What the objects are that a command takes by their id, and the members by which an object of another kind names one.
$script:PipedKinds = @{
    incident         = @{ Types = @('Incident'); Members = @('incidentId') }
    alert            = @{ Types = @('Alert', 'EndpointAlert'); Members = @('alertId') }
    machine          = @{ Types = @('Machine'); Members = @('machine', 'machineId', 'mdatpDeviceId', 'deviceId', 'computerDnsName', 'deviceName') }
    'machine action' = @{ Types = @('MachineAction'); Members = @('actionId') }
    indicator        = @{ Types = @('Indicator'); Members = @() }
}

function script:Test-DefenderPiped {
    # Does the object that came down the pipeline name what the command is for? Every kind of thing has an id: an indicator's number could be
    # an incident's. What does not is an error, and the next one is tried.
    param([System.Management.Automation.PSCmdlet] $Caller, [string] $Kind, [object] $Piped)
    if ($null -eq $Piped -or $Piped -is [string] -or $Piped -is [ValueType]) { return $true }
    $wanted = $script:PipedKinds[$Kind]
    foreach ($member in $wanted.Members) { if ($null -ne (Get-DefenderValue $Piped $member)) { return $true } }
    $type = @($Piped.PSObject.TypeNames)[0]
    if ($type -match 'DefenderXdr\.(\w+)$') { $known = $Matches[1] -in $wanted.Types }
    else { $known = $Piped -is [System.Management.Automation.PSCustomObject] }
    if ($known) { return $true }
    $name = $Caller.MyInvocation.MyCommand.Name
    $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "an object of the type $type came down the pipeline, which names no $Kind" -Hint "Give $name the ids, or objects with a member for the $Kind, as Get-Help $name says."
    Write-DefenderRecordError @{ Caller = $Caller } $record '' $Piped -Always
    $false
}
