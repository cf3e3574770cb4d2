"""MSAL Python signs in against the emulator: a client that others wrote, as a measure of the emulator's fidelity.

Reads one JSON object from standard input (the emulator's ready line and a secret) and prints one line per check that held.
"""

import json
import sys
import threading
import urllib.parse
import urllib.request
import ssl

import msal

ready = json.load(sys.stdin)
authority = ready["tls_origin"] + "/" + ready["tenant_id"]
scope = ["https://api.security.microsoft.com/.default"]
common = dict(authority=authority, verify=ready["ca_file"], instance_discovery=False)


def check(name, result, *keys):
    for key in keys:
        if key not in result:
            sys.exit(f"{name}: no {key} in {json.dumps({k: v for k, v in result.items() if 'token' not in k})}")
    print("ok", name)


app = msal.ConfidentialClientApplication(ready["confidential_client_id"], client_credential=ready["secret"], **common)
check("client credentials", app.acquire_token_for_client(scopes=scope), "access_token", "expires_in")

wrong = msal.ConfidentialClientApplication(ready["confidential_client_id"], client_credential="not-the-secret", **common)
refused = wrong.acquire_token_for_client(scopes=scope)
assert refused.get("error") == "invalid_client" and 7000215 in refused["error_codes"], refused.get("error")
print("ok wrong secret")

public = msal.PublicClientApplication(ready["public_client_id"], **common)
flow = public.initiate_auth_code_flow(["https://api.security.microsoft.com/Incident.Read"], redirect_uri="http://localhost:8400")


class Stop(urllib.request.HTTPRedirectHandler):
    """The browser: it stops where the redirect URI begins."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if newurl.startswith("http://localhost:8400"):
            self.landed = newurl
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


stop = Stop()
opener = urllib.request.build_opener(stop, urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ready["ca_file"])))
try:
    opener.open(flow["auth_uri"], timeout=20)
except urllib.error.HTTPError:
    pass
answer = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(stop.landed).query))
result = public.acquire_token_by_auth_code_flow(flow, answer)
check("authorization code with PKCE", result, "access_token", "id_token", "refresh_token", "client_info")
assert result["id_token_claims"]["preferred_username"] == "adele@fabrikam.example"

account = public.get_accounts()[0]
check("silent, from the cache", public.acquire_token_silent(["https://api.security.microsoft.com/Incident.Read"], account), "access_token")
fresh = public.acquire_token_silent(["https://api.security.microsoft.com/Incident.Read"], account, force_refresh=True)
check("silent, by refresh token", fresh, "access_token")
assert fresh["access_token"] != result["access_token"]
print("ok all")
