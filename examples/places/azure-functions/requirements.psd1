# Or put the module's folder into Modules/ beside host.json, which needs no gallery at start.
@{ DefenderXdr = '0.*' }
