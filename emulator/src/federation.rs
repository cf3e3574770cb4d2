//! The federation service of a domain whose people Entra does not know the passwords of: AD FS' WS-Trust endpoints and their metadata.
//!
//! What it issues is a SAML assertion, which the token endpoint takes if it comes back to the byte. Its signature is no XML signature: nobody but the
//! emulator itself looks at it.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use roxmltree::{Document, Node};

use crate::clock::{self, SECOND};
use crate::config::{Config, Tenant, User};
use crate::http::{self, Asked};
use crate::keys;
use crate::state::{App, Asserted};

const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
const POLICY: &str = "http://schemas.xmlsoap.org/ws/2004/09/policy";
const UTILITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
const SECURITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
/// Whom Entra wants assertions to be for.
pub const AUDIENCE: &str = "urn:federation:MicrosoftOnline";
/// Life of an assertion in seconds.
const LIFETIME: i64 = 3_600;
/// How far the sender's clock may differ, in seconds.
const SKEW: i64 = 300;

/// A version of WS-Trust: what it is called in paths, and its words.
struct Version {
    path: &'static str,
    namespace: &'static str,
    security_policy: &'static str,
    supporting_tokens: &'static str,
    key_type: &'static str,
}

const OF_2005: Version = Version {
    path: "2005",
    namespace: "http://schemas.xmlsoap.org/ws/2005/02/trust",
    security_policy: "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy",
    supporting_tokens: "SignedSupportingTokens",
    key_type: "http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey",
};
const OF_13: Version = Version {
    path: "13",
    namespace: "http://docs.oasis-open.org/ws-sx/ws-trust/200512",
    security_policy: "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702",
    supporting_tokens: "SignedEncryptedSupportingTokens",
    key_type: "http://docs.oasis-open.org/ws-sx/ws-trust/200512/Bearer",
};

impl Version {
    fn action(&self) -> String {
        format!("{}/RST/Issue", self.namespace)
    }
}

/// The federated tenant and the user of that name.
fn federated<'a>(config: &'a Config, upn: &str) -> Option<(&'a Tenant, &'a User)> {
    config
        .user(upn)
        .filter(|(_, user)| user.upn.eq_ignore_ascii_case(upn) && config.is_federated(&user.upn))
}

/// `GET /adfs/services/trust/mex`: where tokens are issued, and for what.
pub async fn metadata(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let base = asked.base.login();
    let versions = if app.config.federation.ws_trust_13 {
        // As AD FS lists them: the older first.
        vec![OF_2005, OF_13]
    } else {
        vec![OF_2005]
    };
    let (mut policies, mut bindings, mut ports) = (String::new(), String::new(), String::new());
    for version in &versions {
        let (path, security, tokens, action) = (version.path, version.security_policy, version.supporting_tokens, version.action());
        for kind in ["usernamemixed", "windowstransport", "certificatemixed"] {
            let name = format!("{kind}{path}");
            let transport =
                format!("<sp:TransportBinding xmlns:sp=\"{security}\"><wsp:Policy><sp:TransportToken/></wsp:Policy></sp:TransportBinding>");
            let proof = match kind {
                "windowstransport" => {
                    "<h:NegotiateAuthentication xmlns:h=\"http://schemas.microsoft.com/ws/06/2004/policy/http\"/>".to_owned()
                }
                "usernamemixed" => format!(
                    "<sp:{tokens} xmlns:sp=\"{security}\"><wsp:Policy><sp:UsernameToken><wsp:Policy><sp:WssUsernameToken10/></wsp:Policy></sp:UsernameToken></wsp:Policy></sp:{tokens}>"
                ),
                _ => format!(
                    "<sp:EndorsingSupportingTokens xmlns:sp=\"{security}\"><wsp:Policy><sp:X509Token/></wsp:Policy></sp:EndorsingSupportingTokens>"
                ),
            };
            policies.push_str(&format!(
                "<wsp:Policy wsu:Id=\"{name}_policy\"><wsp:ExactlyOne><wsp:All>{proof}{transport}</wsp:All></wsp:ExactlyOne></wsp:Policy>"
            ));
            bindings.push_str(&format!(
                "<wsdl:binding name=\"{name}\" type=\"tns:IssueToken\"><wsp:PolicyReference URI=\"#{name}_policy\"/><soap12:binding transport=\"http://schemas.xmlsoap.org/soap/http\"/><wsdl:operation name=\"Issue\"><soap12:operation soapAction=\"{action}\" style=\"document\"/></wsdl:operation></wsdl:binding>"
            ));
            let address = format!("{base}/adfs/services/trust/{path}/{kind}");
            ports.push_str(&format!(
                "<wsdl:port name=\"{name}\" binding=\"tns:{name}\"><soap12:address location=\"{address}\"/><wsa10:EndpointReference><wsa10:Address>{address}</wsa10:Address></wsa10:EndpointReference></wsdl:port>"
            ));
        }
    }
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><wsdl:definitions name=\"SecurityTokenService\" targetNamespace=\"urn:emulator:sts\" xmlns:tns=\"urn:emulator:sts\" xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\" xmlns:soap12=\"http://schemas.xmlsoap.org/wsdl/soap12/\" xmlns:wsp=\"{POLICY}\" xmlns:wsu=\"{UTILITY}\" xmlns:wsa10=\"{ADDRESSING}\">{policies}{bindings}<wsdl:service name=\"SecurityTokenService\">{ports}</wsdl:service></wsdl:definitions>"
    );
    http::answer(200, "application/soap+xml; charset=utf-8", body)
}

/// `POST /adfs/services/trust/{version}/{kind}`: a token for who proves who they are.
pub async fn issue(Shared(app): Shared<App>, Path((path, kind)): Path<(String, String)>, Extension(asked): Extension<Asked>) -> Response {
    let version = match path.as_str() {
        "2005" => OF_2005,
        "13" if app.config.federation.ws_trust_13 => OF_13,
        _ => return http::answer(404, "text/plain; charset=utf-8", "no such endpoint"),
    };
    match issued(&app, &asked, &version, &kind) {
        Ok(body) => http::no_store(http::answer(200, "application/soap+xml; charset=utf-8", body)),
        Err(fault) => http::answer(500, "application/soap+xml; charset=utf-8", fault.envelope(&version)),
    }
}

/// A SOAP 1.2 fault.
struct Fault {
    subcode: &'static str,
    of_security: bool,
    reason: String,
}

impl Fault {
    fn new(subcode: &'static str, reason: impl Into<String>) -> Self {
        let of_security = matches!(subcode, "InvalidSecurity" | "MessageExpired");
        Self {
            subcode,
            of_security,
            reason: reason.into(),
        }
    }

    fn envelope(&self, version: &Version) -> String {
        let namespace = if self.of_security { SECURITY } else { version.namespace };
        let reason = escaped(&self.reason);
        let subcode = self.subcode;
        format!(
            "<s:Envelope xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\"><s:Header><a:Action s:mustUnderstand=\"1\">http://www.w3.org/2005/08/addressing/soap/fault</a:Action></s:Header><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value xmlns:f=\"{namespace}\">f:{subcode}</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang=\"en-US\">{reason}</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>"
        )
    }
}

fn issued(app: &App, asked: &Asked, version: &Version, kind: &str) -> Result<String, Fault> {
    let invalid = |why: &str| Fault::new("InvalidRequest", why);
    let soap = asked.header("content-type").is_some_and(|t| t.starts_with("application/soap+xml"));
    let text = std::str::from_utf8(&asked.body).map_err(|_| invalid("The request is not UTF-8."))?;
    let document = Document::parse(text).map_err(|e| invalid(&format!("The request is not XML: {e}")))?;
    let found = |namespace: &str, name: &str| {
        document
            .descendants()
            .find(|node| node.has_tag_name((namespace, name)))
            .and_then(|node| node.text())
            .map(str::trim)
    };
    if !soap || found(ADDRESSING, "Action") != Some(version.action().as_str()) {
        return Err(invalid("The action or the content type is not that of this endpoint."));
    }
    let here = format!("{}{}", asked.base.login(), asked.path);
    if found(ADDRESSING, "To") != Some(here.as_str()) || found(ADDRESSING, "MessageID").is_none() {
        return Err(invalid("The message is not addressed to this endpoint."));
    }
    if found(version.namespace, "KeyType") != Some(version.key_type) {
        return Err(invalid("Only bearer tokens are issued."));
    }
    let applies_to = document
        .descendants()
        .find(|node| node.has_tag_name((POLICY, "AppliesTo")))
        .and_then(|node| node.descendants().find(|node| node.has_tag_name((ADDRESSING, "Address"))))
        .and_then(|node| node.text());
    if applies_to != Some(AUDIENCE) {
        return Err(Fault::new("InvalidScope", "The relying party is not known."));
    }
    let who = match kind {
        "usernamemixed" => by_password(app, &document),
        "windowstransport" => {
            let config = &app.config;
            config
                .windows_user()
                .ok_or_else(|| Fault::new("FailedAuthentication", "There is no Windows account."))
        }
        _ => Err(invalid("There is no such endpoint.")),
    };
    let (tenant, user) = who?;
    Ok(response(app, asked, version, tenant, user))
}

fn by_password<'a>(app: &'a App, document: &Document<'_>) -> Result<(&'a Tenant, &'a User), Fault> {
    let security = document
        .descendants()
        .find(|node| node.has_tag_name((SECURITY, "Security")))
        .ok_or_else(|| Fault::new("InvalidSecurity", "There is no security header."))?;
    // A password may begin or end with spaces.
    let text = |namespace: &str, name: &str| {
        let node: Option<Node<'_, '_>> = security.descendants().find(|node| node.has_tag_name((namespace, name)));
        node.and_then(|node| node.text()).unwrap_or_default()
    };
    let time = |name: &str| clock::parse_ticks(text(UTILITY, name)).map(|ticks| ticks / SECOND);
    let now = app.now();
    let (Some(created), Some(expires)) = (time("Created"), time("Expires")) else {
        return Err(Fault::new("InvalidSecurity", "The timestamp cannot be read."));
    };
    if created > now + SKEW || expires < now - SKEW {
        return Err(Fault::new("MessageExpired", "The message is not of this time."));
    }
    federated(&app.config, text(SECURITY, "Username"))
        .filter(|(_, user)| keys::same(&user.password, text(SECURITY, "Password")))
        .ok_or_else(|| Fault::new("FailedAuthentication", "The user name or the password is not right."))
}

/// The token, in an answer shaped as AD FS shapes it.
fn response(app: &App, asked: &Asked, version: &Version, tenant: &Tenant, user: &User) -> String {
    let now = app.now();
    let at = |seconds: i64| clock::iso((now + seconds) * SECOND);
    let id = format!("_{}", keys::guid());
    let issuer = format!("{}/adfs/services/trust", asked.base.login());
    let upn = escaped(&user.upn);
    let immutable = escaped(&user.object_id);
    let (from, until) = (at(-SKEW), at(LIFETIME));
    let signature = keys::b64(keys::random::<64>());
    let signature = format!(
        "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignatureValue>{signature}</ds:SignatureValue></ds:Signature>"
    );
    let (assertion, token_type) = if app.config.federation.saml_2 {
        let assertion = format!(
            "<Assertion ID=\"{id}\" IssueInstant=\"{issued}\" Version=\"2.0\" xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"><Issuer>{issuer}</Issuer>{signature}<Subject><NameID>{immutable}</NameID></Subject><Conditions NotBefore=\"{from}\" NotOnOrAfter=\"{until}\"><AudienceRestriction><Audience>{AUDIENCE}</Audience></AudienceRestriction></Conditions><AttributeStatement><Attribute Name=\"http://schemas.xmlsoap.org/claims/UPN\"><AttributeValue>{upn}</AttributeValue></Attribute></AttributeStatement></Assertion>",
            issued = at(0)
        );
        (assertion, "urn:oasis:names:tc:SAML:2.0:assertion")
    } else {
        let assertion = format!(
            "<saml:Assertion MajorVersion=\"1\" MinorVersion=\"1\" AssertionID=\"{id}\" Issuer=\"{issuer}\" IssueInstant=\"{issued}\" xmlns:saml=\"urn:oasis:names:tc:SAML:1.0:assertion\"><saml:Conditions NotBefore=\"{from}\" NotOnOrAfter=\"{until}\"><saml:AudienceRestrictionCondition><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestrictionCondition></saml:Conditions><saml:AttributeStatement><saml:Subject><saml:NameIdentifier>{immutable}</saml:NameIdentifier></saml:Subject><saml:Attribute AttributeName=\"UPN\" AttributeNamespace=\"http://schemas.xmlsoap.org/claims\"><saml:AttributeValue>{upn}</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>{signature}</saml:Assertion>",
            issued = at(0)
        );
        (assertion, "urn:oasis:names:tc:SAML:1.0:assertion")
    };
    let asserted = Asserted {
        user: user.object_id.clone(),
        tenant: tenant.id.clone(),
        saml_2: app.config.federation.saml_2,
        until: now + LIFETIME,
    };
    app.state().assertions.insert(keys::sha256(&assertion), asserted);
    let namespace = version.namespace;
    let (open, close) = if version.path == "13" {
        (
            format!("<t:RequestSecurityTokenResponseCollection xmlns:t=\"{namespace}\"><t:RequestSecurityTokenResponse>"),
            "</t:RequestSecurityTokenResponse></t:RequestSecurityTokenResponseCollection>",
        )
    } else {
        (
            format!("<t:RequestSecurityTokenResponse xmlns:t=\"{namespace}\">"),
            "</t:RequestSecurityTokenResponse>",
        )
    };
    format!(
        "<s:Envelope xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\"><s:Header><a:Action s:mustUnderstand=\"1\">{namespace}/RSTR/Issue</a:Action></s:Header><s:Body>{open}<t:RequestedSecurityToken>{assertion}</t:RequestedSecurityToken><t:TokenType>{token_type}</t:TokenType><t:RequestType>{namespace}/Issue</t:RequestType><t:KeyType>{key_type}</t:KeyType>{close}</s:Body></s:Envelope>",
        key_type = version.key_type
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
