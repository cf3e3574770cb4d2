# Runs once in each worker: the connection made here serves every invocation, and renews itself.
Import-Module DefenderXdr
if ($env:IDENTITY_ENDPOINT) { Connect-Defender -ManagedIdentity }
