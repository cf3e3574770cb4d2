"""MSAL Python signs in against the emulator: a client that others wrote, as a measure of the emulator's fidelity.

Reads one JSON object from standard input (the emulator's ready line and a secret) and prints one line per check that held.
"""

import base64
import hashlib
import json
import os
import ssl
import sys
import urllib.parse
import urllib.request

import msal
import requests

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
device = msal.PublicClientApplication(ready["public_client_id"], **common)
flow = device.initiate_device_flow(["https://api.security.microsoft.com/Incident.Read"])
assert "user_code" in flow and flow["message"].endswith("to authenticate."), flow
check("device code", device.acquire_token_by_device_flow(flow), "access_token", "refresh_token", "id_token")



class Rewriting(requests.Session):
    """Sends what is meant for Microsoft's hosts to the emulator: MSAL asks for a user's realm without the authority's port."""

    def request(self, method, url, **kwargs):
        return super().request(method, url.replace("https://", ready["tls_origin"] + "/", 1), **kwargs)


session = Rewriting()
session.verify, session.trust_env = ready["ca_file"], False
by_password = msal.PublicClientApplication(
    ready["public_client_id"], authority="https://login.microsoftonline.com/" + ready["tenant_id"], http_client=session
)
result = by_password.acquire_token_by_username_password("adele@fabrikam.example", "Walk-through-1", scope)
check("user name and password", result, "access_token", "refresh_token")
refused = by_password.acquire_token_by_username_password("adele@fabrikam.example", "wrong", scope)
assert 50126 in refused["error_codes"], refused["error_codes"]
refused = by_password.acquire_token_by_username_password("diego@fabrikam.example", "Walk-through-2", scope)
assert 50076 in refused["error_codes"] and refused["suberror"] == "basic_action" and refused["claims"], refused["error_codes"]
print("ok wrong password and second step")

# A person whose domain is federated: realm, metadata, WS-Trust, and the assertion that it brings.
result = by_password.acquire_token_by_username_password("lee@corp.fabrikam.example", "Walk-through-4", scope)
check("user name and password of a federated domain", result, "access_token", "refresh_token")
try:
    by_password.acquire_token_by_username_password("lee@corp.fabrikam.example", "wrong", scope)
    sys.exit("a wrong password of a federated domain was taken")
except RuntimeError as error:
    assert "FailedAuthentication" in str(error), error
print("ok wrong password of a federated domain")

credential = {"private_key": ready["private_key"], "public_certificate": ready["certificate"]}
signing = msal.ConfidentialClientApplication(ready["confidential_client_id"], client_credential=credential, **common)
check("certificate, with its chain", signing.acquire_token_for_client(scopes=scope), "access_token")
thumbprint = hashlib.sha1(ssl.PEM_cert_to_DER_cert(ready["certificate"])).hexdigest()
credential = {"private_key": ready["private_key"], "thumbprint": thumbprint}
signing = msal.ConfidentialClientApplication(ready["confidential_client_id"], client_credential=credential, **common)
check("certificate, by thumbprint", signing.acquire_token_for_client(scopes=scope), "access_token")

federated = msal.ConfidentialClientApplication(
    ready["workload_client_id"], client_credential={"client_assertion": ready["federated_token"]}, **common
)
check("federated token", federated.acquire_token_for_client(scopes=scope), "access_token")

user = by_password.acquire_token_by_username_password(
    "adele@fabrikam.example", "Walk-through-1", ["api://" + ready["confidential_client_id"] + "/user_impersonation"]
)
check("a token for the service", user, "access_token")
result = app.acquire_token_on_behalf_of(user["access_token"], scope)
check("on behalf of", result, "access_token", "refresh_token")
refused = app.acquire_token_on_behalf_of(result["access_token"], scope)
assert 500131 in refused["error_codes"], refused["error_codes"]
print("ok on behalf of, wrong audience")

# A client that says cp1 sends its capability with every request.
capable = msal.ConfidentialClientApplication(
    ready["confidential_client_id"], client_credential=ready["secret"], client_capabilities=["cp1"], **common
)
token = capable.acquire_token_for_client(scopes=scope)["access_token"]
payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
assert payload["xms_cc"] == ["cp1"], payload.get("xms_cc")
print("ok capabilities")

os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = ready["imds"]
for identity in [msal.SystemAssignedManagedIdentity(), msal.UserAssignedManagedIdentity(client_id="9d4c7b1e-6a58-4e2f-b3c0-18f5d7a2e964")]:
    managed = msal.ManagedIdentityClient(identity, http_client=requests.Session())
    result = managed.acquire_token_for_client(resource="https://api.security.microsoft.com")
    check("managed identity of a virtual machine", result, "access_token", "expires_in")
for place, variables in ready["places"].items():
    os.environ.pop("AZURE_POD_IDENTITY_AUTHORITY_HOST", None)
    os.environ.update(variables)
    managed = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=requests.Session())
    result = managed.acquire_token_for_client(resource="https://api.security.microsoft.com")
    check("managed identity of " + place, result, "access_token", "expires_in")
    for name in variables:
        os.environ.pop(name)
print("ok all")
