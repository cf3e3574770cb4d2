# What is done to machines: names first, then each machine once it is confirmed, then, where asked for, the end of what was started.

# The words of each operation for -WhatIf, -Confirm and errors.
$script:BulkWords = @{
    'machines.isolate'    = 'isolate'
    'machines.release'    = 'release from isolation'
    'machines.restrict'   = 'restrict code execution'
    'machines.unrestrict' = 'remove the restriction of code execution'
    'machines.scan'       = 'scan for malware'
    'machines.quarantine' = 'stop and quarantine the file'
    'machines.tag.add'    = 'add the tag'
    'machines.tag.remove' = 'remove the tag'
}

function script:New-DefenderBulk {
    # What a command does to machines, and the machines, which come one by one. $Ask is the command's own ShouldProcess: it is run where the
    # command is still on the call stack.
    param([string] $Operation, [System.Collections.IDictionary] $Given, [System.Management.Automation.PSCmdlet] $Caller, [scriptblock] $Ask)
    $words = $script:BulkWords[$Operation]
    $tag = $Operation -like 'machines.tag.*'
    $call = New-DefenderCall $(if ($tag) { 'machines.tag' } else { $Operation }) $Given -Keys @{ Type = 'type'; Sha1 = 'sha1'; Tag = 'tag' }
    if ($tag) {
        $call['action'] = $Operation.Substring('machines.tag.'.Length)
        $words = "$words '$($Given['Tag'])'"
    }
    elseif ($Operation -eq 'machines.isolate') { $words = "$words ($(if ($Given.ContainsKey('Type')) { $call['type'] } else { 'Full' }))" }
    elseif ($Operation -eq 'machines.scan') { $words = "$words ($(if ($Given.ContainsKey('Type')) { $call['type'] } else { 'Quick' }))" }
    elseif ($Operation -eq 'machines.quarantine') {
        if ($Given['Sha1'] -notmatch '^[0-9a-fA-F]{40}$') {
            $Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText "-Sha1 $($Given['Sha1']) is no SHA-1, which has 40 hexadecimal digits") `
                        -Hint 'Get-FileHash FILE -Algorithm SHA1 gives it; the service takes no other hash here.'))
        }
        $words = "$words $($Given['Sha1'].ToLowerInvariant())"
    }
    @{
        Session   = Open-DefenderSession $Caller
        Ask       = $Ask
        Call      = $call
        Words     = $words
        Converter = if ($tag) { 'ConvertTo-DefenderMachine' } else { 'ConvertTo-DefenderMachineAction' }
        Wait      = $Given.ContainsKey('Wait') -and [bool] $Given['Wait']
        # A machine action is what a caller goes on with; a tag needs nothing more.
        Return    = -not $tag -or ($Given.ContainsKey('PassThru') -and [bool] $Given['PassThru'])
        Machines  = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::OrdinalIgnoreCase)
    }
}

function script:Select-DefenderMachineName {
    # The machines that a command was given. It takes $null and '', because what comes down the pipeline may be about no machine, and PowerShell's own
    # error would not say which of the objects that is.
    param([System.Management.Automation.PSCmdlet] $Caller, [string[]] $Names, [object] $Piped)
    if (-not (Test-DefenderPiped $Caller machine $Piped)) { return }
    if (@($Names | Where-Object { $_ }).Count -eq 0) {
        $Names = $null
        $object = $null -ne $Piped -and $Piped -isnot [string] -and $Piped -isnot [ValueType]
        if ($object) { foreach ($member in $script:PipedKinds['machine'].Members) { if (-not $Names) { $Names = [string[]]@(@([string] (Get-DefenderValue $Piped $member)) | Where-Object { $_ }) } } }
        if (-not $Names) {
            $what = 'no machine is named: -Machine is empty'
            if ($object) { $what = "an object came down the pipeline that names no machine; its members are: $(Get-DefenderShortText (@(foreach ($property in $Piped.PSObject.Properties) { $property.Name }) -join ', '))" }
            $record = New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message (Format-DefenderText $what) -Hint "Give -Machine a machine's id (40 hexadecimal digits) or its name, as Get-DefenderMachine shows it."
            if (-not $Caller.MyInvocation.ExpectingInput) { $Caller.ThrowTerminatingError($record) }
            Write-DefenderRecordError @{ Caller = $Caller } $record '' $Piped -Always
            return
        }
    }
    Select-DefenderId $Caller machine $Names $Piped
}

function script:Add-DefenderBulkMachine {
    # An object that came down the pipeline with a machine's id may know its name.
    param([hashtable] $Bulk, [string[]] $Names, [object] $Piped)
    $names = [string[]]@(Select-DefenderMachineName $Bulk.Session.Caller $Names $Piped)
    $known = if ($names.Length -eq 1) { [string] (Get-DefenderValue $Piped 'computerDnsName') }
    foreach ($name in $names) { if (-not $Bulk.Machines.Contains($name)) { $Bulk.Machines[$name] = $known } }
}

function script:Resolve-DefenderMachine {
    # The machines that are meant, each once: @{ Id; Label }. A name that fits none is an error of its own; one that fits several ends the command.
    # Where -WhatIf or a question shows them, an id is looked up too: who decides is to see a name, and only machines that there are.
    param([hashtable] $Bulk)
    $session = $Bulk.Session
    $binding = @($session.Caller.MyInvocation.MyCommand.ScriptBlock.Attributes | Where-Object { $_ -is [System.Management.Automation.CmdletBindingAttribute] })[0]
    $least = [int] [System.Management.Automation.ConfirmImpact] $ConfirmPreference
    $shown = [bool] $WhatIfPreference -or ($least -gt 0 -and [int] $binding.ConfirmImpact -ge $least)
    $found = [System.Collections.Specialized.OrderedDictionary]::new([System.StringComparer]::OrdinalIgnoreCase)
    $unclear = 0
    foreach ($name in $Bulk.Machines.get_Keys()) {
        $id = $name
        $label = $Bulk.Machines[$name]
        $isId = $name -match '^[0-9a-fA-F]{40}$'
        if (-not $isId -or ($shown -and -not $label)) {
            $failed = @{ Record = $null }
            $machine = Invoke-DefenderCall $session ([ordered]@{ operation = 'machines.get'; machine = $name }) -ItemConverter 'ConvertTo-DefenderMachine' -Failed $failed
            # To act on a machine by its id, machines need not be readable.
            if ($isId -and $null -ne $failed.Record -and $failed.Record.Exception.Name -ceq 'FORBIDDEN') {
                Write-Verbose (Format-DefenderText "machine $name is shown by its id: $($failed.Record.Exception.Message)")
                $failed.Record = $null
                $machine = [pscustomobject]@{ id = $name; computerDnsName = $null }
            }
            if ($null -ne $failed.Record) {
                if ($failed.Record.Exception.Name -ceq 'BAD_ARGUMENT') { $unclear++ }
                Write-DefenderRecordError $session $failed.Record $name $name
                continue
            }
            $id = [string] $machine.id
            $label = [string] $machine.computerDnsName
        }
        if (-not $found.Contains($id)) { $found[$id] = @{ Id = $id; Label = $(if ($label) { Format-DefenderText "$label ($id)" } else { $id }) } }
    }
    if ($unclear -gt 0) {
        $session.Caller.ThrowTerminatingError((New-DefenderErrorRecord -Name 'BAD_ARGUMENT' -Code 1004 -Message "nothing was done: it is not clear which machines are meant ($unclear of $($Bulk.Machines.Count) names)" `
                    -Hint 'Give the ids of the machines that are meant, as the errors before this one list them.'))
    }
    , @($found.get_Values())
}

function script:Invoke-DefenderBulk {
    param([hashtable] $Bulk)
    $session = $Bulk.Session
    $started = [System.Collections.ArrayList]::new()
    $all = $false
    try {
        foreach ($machine in (Resolve-DefenderMachine $Bulk)) {
            if (-not (Confirm-DefenderChange $session.Caller $Bulk.Ask "machine $($machine.Label)" $Bulk.Words)) { continue }
            $Bulk.Call['machine'] = $machine.Id
            $failed = @{ Record = $null }
            $result = Invoke-DefenderCall $session $Bulk.Call -ItemConverter $Bulk.Converter -Failed $failed
            if ($null -ne $failed.Record) {
                Write-DefenderRecordError $session $failed.Record "machine $($machine.Label)" $machine.Id
                continue
            }
            if ($Bulk.Converter -eq 'ConvertTo-DefenderMachineAction') {
                Write-Verbose (Format-DefenderText "machine action $($result.id) ($($result.type)) of $($machine.Label) is $($result.status)")
                if ($Bulk.Wait) { $null = $started.Add(@{ Id = [string] $result.id; Label = $machine.Label }); continue }
            }
            else { Write-Verbose (Format-DefenderText "machine $($machine.Label) has the tags: $(if ($result.machineTags) { $result.machineTags -join ', ' } else { 'none' })") }
            if ($Bulk.Return) { $result }
        }
        $all = $true
    }
    # What was started before a stop or an error goes on too.
    finally { if (-not $all -and $started.Count -gt 0) { Show-DefenderLeftAction $session $started 0 } }
    if ($started.Count -gt 0) { Wait-DefenderAction $session $started 0 }
}

function script:Wait-DefenderAction {
    # Waits for one after the other: they go on side by side. Whoever stops waiting is told what goes on without him.
    param([hashtable] $Session, [System.Collections.IList] $Actions, [int] $Interval)
    $at = 0
    try {
        for (; $at -lt $Actions.Count; $at++) {
            $wanted = $Actions[$at]
            $call = [ordered]@{ operation = 'machine_actions.wait'; id = $wanted.Id }
            if ($Interval -gt 0) { $call['poll_s'] = $Interval }
            $failed = @{ Record = $null }
            $action = Invoke-DefenderCall $Session $call -ItemConverter 'ConvertTo-DefenderMachineAction' -Failed $failed
            if ($null -ne $failed.Record) {
                Write-DefenderRecordError $Session $failed.Record "machine action $($wanted.Id)" $wanted.Id -Always:($failed.Record.Exception.Name -ceq 'TIMEOUT')
                continue
            }
            $action
            if ($action.status -ne 'Succeeded') {
                $label = if ($wanted.Label) { $wanted.Label } else { "$($action.computerDnsName) ($($action.machineId))" }
                $record = New-DefenderErrorRecord -Name 'ACTION_FAILED' -Code 0 -Message "machine action $($wanted.Id) ($($action.type)) of machine $label ended as $($action.status)" `
                    -Hint "The action center of the portal says why. Get-DefenderMachineAction $($wanted.Id) shows what is known of it."
                Write-DefenderRecordError $Session $record "machine action $($wanted.Id)" $wanted.Id -Always
            }
        }
    }
    finally { if ($at -lt $Actions.Count) { Show-DefenderLeftAction $Session $Actions $at } }
}

function script:Show-DefenderLeftAction {
    # After a stop nothing can go to the pipeline or its streams: the host is told.
    param([hashtable] $Session, [System.Collections.IList] $Actions, [int] $From)
    $left = @(for ($at = $From; $at -lt $Actions.Count; $at++) { $Actions[$at].Id })
    $text = "No longer waiting; $(if ($left.Count -eq 1) { 'this machine action goes on' } else { 'these machine actions go on' }): $($left -join ', '). Get-DefenderMachineAction shows them, Stop-DefenderMachineAction cancels them."
    try { $Session.Caller.Host.UI.WriteWarningLine($text) } catch { $null = $_ }
}

function script:Get-DefenderActionRecord {
    # Get-DefenderMachineAction: by id, the list, or the actions of machines by id or name.
    param([hashtable] $Session, [string[]] $Id, [string[]] $Machine, [System.Collections.IDictionary] $Given, [object] $Piped)
    $kind = Get-DefenderKind $Piped
    if ($kind -eq 'Machine') { $Machine = [string[]]@([string] $Piped.id) }
    # An action is looked at again.
    elseif ($kind -eq 'MachineAction') { $Id, $Machine = [string[]]@([string] $Piped.id), $null }
    elseif (-not (Test-DefenderPiped $Session.Caller machine $Piped)) { return }
    if ($null -eq $Machine -or $Machine.Length -eq 0) {
        if ($null -eq $Id) { Get-DefenderEndpointRecord $Session 'machine_actions' 'id' @() $Given }
        $converter = Get-DefenderEndpointConverter 'machine_actions' $Given
        foreach ($one in (Select-DefenderId $Session.Caller 'machine action' $Id $null)) {
            $failed = @{ Record = $null }
            Invoke-DefenderCall $Session ([ordered]@{ operation = 'machine_actions.get'; id = $one }) -ItemConverter $converter -Failed $failed
            if ($null -eq $failed.Record) { continue }
            # The commonest slip is a machine's name in the place of the id.
            if ($failed.Record.Exception.Name -ceq 'NOT_FOUND') { Add-DefenderHint $failed.Record "the actions of a machine are listed by -Machine $one" }
            Write-DefenderRecordError $Session $failed.Record '' $one
        }
        return
    }
    $Machine = [string[]]@(Select-DefenderId $Session.Caller machine $Machine $Piped)
    foreach ($name in $Machine) {
        if ($name -notmatch '^[0-9a-fA-F]{40}$') {
            $found = Invoke-DefenderCall $Session ([ordered]@{ operation = 'machines.get'; machine = $name }) -ItemConverter 'ConvertTo-DefenderMachine' -PerRecord
            if ($Session.Failed) { continue }
            $name = [string] $found.id
        }
        $call = New-DefenderEndpointList 'machine_actions' $Given @{ machine_id = $name.ToLowerInvariant() }
        Invoke-DefenderCall $Session $call -ItemConverter (Get-DefenderEndpointConverter 'machine_actions' $Given)
    }
}

function script:Stop-DefenderActionById {
    param([hashtable] $Session, [string] $Id, [string] $Comment, [object] $Piped, [scriptblock] $Ask, [switch] $PassThru)
    if (-not (Test-DefenderPiped $Session.Caller 'machine action' $Piped)) { return }
    $Id = Select-DefenderId $Session.Caller 'machine action' $Id $Piped
    if (-not $Id) { return }
    $label = $Id
    $kind = [string] (Get-DefenderValue $Piped 'type')
    if ($kind) { $label = Format-DefenderText "$Id ($kind of $(Get-DefenderValue $Piped 'computerDnsName'))" }
    if (-not (Confirm-DefenderChange $Session.Caller $Ask "machine action $label" 'cancel')) { return }
    $failed = @{ Record = $null }
    $action = Invoke-DefenderCall $Session ([ordered]@{ operation = 'machine_actions.cancel'; id = $Id; comment = $Comment }) -ItemConverter 'ConvertTo-DefenderMachineAction' -Failed $failed
    if ($null -ne $failed.Record) { Write-DefenderRecordError $Session $failed.Record "machine action $label" $Id }
    elseif ($PassThru) { $action }
}
