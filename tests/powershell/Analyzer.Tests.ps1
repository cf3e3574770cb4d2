# PSScriptAnalyzer, where it is installed.

if ($null -eq (Get-Module -ListAvailable -Name PSScriptAnalyzer)) {
    Write-Host 'PSScriptAnalyzer is not installed: its rules are not run'
    return
}
Import-Module PSScriptAnalyzer
$settings = @{
    Rules        = @{ PSUseCompatibleSyntax = @{ Enable = $true; TargetVersions = @('5.1', '7.4') } }
    ExcludeRules = @(
        'PSUseShouldProcessForStateChangingFunctions'   # private functions with the verbs New, Set and Stop work in memory only
        'PSUseSingularNouns'                            # Claims, Seconds
        'PSAvoidUsingPositionalParameters'              # private functions with one or two plain arguments
        'PSReviewUnusedParameter'                       # the parameters of argument completers are the engine's
    )
}

Describe 'analyzer' {
    It 'finds nothing in the module and its example' {
        $found = @(foreach ($path in $ModulePath, [IO.Path]::Combine($RepositoryRoot, 'examples', 'powershell')) { Invoke-ScriptAnalyzer -Path $path -Recurse -Settings $settings })
        # clip is a program of Windows, and is meant.
        $found = @($found | Where-Object { $_.RuleName -ne 'PSAvoidUsingCmdletAliases' -or $_.Extent.Text -ne 'clip' })
        Assert-Equal ($found | ForEach-Object { "$($_.RuleName) $($_.ScriptName):$($_.Line)" }) @()
    }
}
