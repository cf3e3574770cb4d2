# New incidents of every customer of a partner: the counterpart of the script on Microsoft's page "Create an app with partner access to Microsoft Defender
# XDR APIs", which gets one token. A customer whose administrator has not consented yet is told, with the address for it.
param(
    # The customers' directory (tenant) IDs.
    [Parameter(Mandatory)] [string[]] $TenantId,
    # The multi-tenant app's (client) ID and its secret: Get-Credential asks for them.
    [Parameter(Mandatory)] [pscredential] $App,
    # Incidents created at this time or later.
    [DateTime] $Since = (Get-Date).AddDays(-2)
)

Import-Module "$PSScriptRoot/../../powershell/DefenderXdr"

foreach ($customer in $TenantId) {
    try {
        Connect-Defender -TenantId $customer -Credential $App
        Get-DefenderIncident -Since $Since | Add-Member -NotePropertyName customer -NotePropertyValue $customer -PassThru
    }
    catch {
        $consent = if ($_.FullyQualifiedErrorId -match 'CONSENT_REQUIRED|APP_NOT_FOUND|FORBIDDEN') { " Consent: https://login.microsoftonline.com/$customer/adminconsent?client_id=$($App.UserName)" }
        Write-Warning "$customer was not read to the end: $_$consent"
    }
}
