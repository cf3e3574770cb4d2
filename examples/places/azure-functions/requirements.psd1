# Empty: the module's folder lies in Modules/ beside host.json, and no gallery is asked at start.
@{}
