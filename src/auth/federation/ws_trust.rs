//! WS-Trust 1.3 and its draft of February 2005: a SOAP request for a token, and the SAML assertion or the fault in the answer.

use roxmltree::Node;
use zeroize::Zeroizing;

use super::mex::Endpoint;
use super::realm::Federated;
use super::xml::{self, ADDRESSING, LONGEST_ESCAPE, POLICY, SOAP, UTILITY, child, is};
use crate::auth::Env;
use crate::clock::uuid;
use crate::error::{Code, Error, Result, scrubbed};
use crate::secret::Secret;
use crate::transport::{Call, Request, Retry, TOKEN_BODY_LIMIT, trace};

/// How long a request is good for, in milliseconds; clocks may differ by as much.
const LIFETIME: i64 = 600_000;
/// The content type of SOAP 1.2.
pub const CONTENT_TYPE: &str = "application/soap+xml; charset=utf-8";
const SECURITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
/// The most of a fault's code, and of its reason, that an error repeats, in characters.
const LONGEST_WORDS: usize = 300;
/// The shortest password that can be taken out of a text without leaving it as a riddle, in bytes.
const SHORTEST_TAKEN_OUT: usize = 6;

/// Which words an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// WS-Trust 1.3 (OASIS, March 2007).
    Of13,
    /// The draft of February 2005.
    Of2005,
}

impl Version {
    const ALL: [Version; 2] = [Version::Of13, Version::Of2005];

    /// The version whose action this is.
    pub fn of_action(action: &str) -> Option<Version> {
        Version::ALL
            .into_iter()
            .find(|version| version.action().eq_ignore_ascii_case(action))
    }

    /// The SOAP action that asks for a token.
    pub fn action(self) -> &'static str {
        match self {
            Version::Of13 => "http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue",
            Version::Of2005 => "http://schemas.xmlsoap.org/ws/2005/02/trust/RST/Issue",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Version::Of13 => "http://docs.oasis-open.org/ws-sx/ws-trust/200512",
            Version::Of2005 => "http://schemas.xmlsoap.org/ws/2005/02/trust",
        }
    }

    fn request_type(self) -> &'static str {
        match self {
            Version::Of13 => "http://docs.oasis-open.org/ws-sx/ws-trust/200512/Issue",
            Version::Of2005 => "http://schemas.xmlsoap.org/ws/2005/02/trust/Issue",
        }
    }

    /// A token that whoever has it may use, without a key of its own.
    fn key_type(self) -> &'static str {
        match self {
            Version::Of13 => "http://docs.oasis-open.org/ws-sx/ws-trust/200512/Bearer",
            Version::Of2005 => "http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey",
        }
    }
}

/// Which SAML an assertion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saml {
    /// 1.1, whose namespace says 1.0.
    V1,
    /// 2.0.
    V2,
}

impl Saml {
    fn of_namespace(namespace: &str) -> Option<Saml> {
        match namespace {
            "urn:oasis:names:tc:SAML:1.0:assertion" => Some(Saml::V1),
            "urn:oasis:names:tc:SAML:2.0:assertion" => Some(Saml::V2),
            _ => None,
        }
    }

    /// RFC 7522 section 2.1 for 2.0; Entra's own name for 1.1.
    pub fn grant_type(self) -> &'static str {
        match self {
            Saml::V1 => "urn:ietf:params:oauth:grant-type:saml1_1-bearer",
            Saml::V2 => "urn:ietf:params:oauth:grant-type:saml2-bearer",
        }
    }
}

/// A provider's word for a person. Whoever has it is taken for them, so its text is wiped.
pub struct Assertion {
    pub text: Zeroizing<String>,
    pub version: Saml,
}

/// Asks with a user name and password. Sent once: a wrong password counts towards a lock-out.
pub async fn by_password(
    env: &Env,
    call: &Call,
    federated: &Federated,
    endpoint: &Endpoint,
    username: &str,
    password: &Secret,
) -> Result<Assertion> {
    let envelope = envelope(env, federated, endpoint, Some((username, password)))?;
    let request = Request {
        method: "POST",
        url: endpoint.url.clone(),
        headers: vec![("soapaction", Zeroizing::new(endpoint.version.action().to_owned()))],
        body: Some((CONTENT_TYPE, Zeroizing::new(envelope.as_bytes().to_vec()))),
        retry: Retry::Never,
        body_limit: TOKEN_BODY_LIMIT,
        direct: false,
    };
    let response = env.transport.send(call, request).await?;
    let answer = Answered {
        host: &response.host,
        status: response.status,
        text: xml::text_of(&response).unwrap_or_default(),
        password: Some(password),
    };
    read(&answer, endpoint.version)
}

/// The request. Without a user name and password the transport proves who asks.
pub fn envelope(env: &Env, federated: &Federated, endpoint: &Endpoint, person: Option<(&str, &Secret)>) -> Result<Zeroizing<String>> {
    let (version, random) = (endpoint.version, env.transport.random().as_ref());
    let secret_room = person.map_or(0, |(name, password)| (name.len() + password.expose().len()) * LONGEST_ESCAPE);
    // Made at its full size: growth would leave copies of the password behind.
    let mut text = Zeroizing::new(String::with_capacity(
        4096 + (endpoint.url.as_str().len() + federated.audience.len()) * LONGEST_ESCAPE + secret_room,
    ));
    let put = |text: &mut String, parts: &[&str]| parts.iter().for_each(|part| text.push_str(part));
    put(
        &mut text,
        &[
            "<s:Envelope xmlns:s=\"",
            SOAP,
            "\" xmlns:a=\"",
            ADDRESSING,
            "\"><s:Header><a:Action s:mustUnderstand=\"1\">",
            version.action(),
            "</a:Action><a:MessageID>urn:uuid:",
            &uuid(random)?,
            "</a:MessageID><a:ReplyTo><a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address></a:ReplyTo><a:To s:mustUnderstand=\"1\">",
        ],
    );
    xml::escaped(endpoint.url.as_str(), &mut text)?;
    text.push_str("</a:To>");
    if let Some((username, password)) = person {
        let now = env.transport.clock().unix_ms();
        put(
            &mut text,
            &[
                "<o:Security s:mustUnderstand=\"1\" xmlns:o=\"",
                SECURITY,
                "\" xmlns:u=\"",
                UTILITY,
                "\"><u:Timestamp u:Id=\"timestamp\"><u:Created>",
                &trace::iso8601(now),
                "</u:Created><u:Expires>",
                &trace::iso8601(now.saturating_add(LIFETIME)),
                "</u:Expires></u:Timestamp><o:UsernameToken u:Id=\"uuid-",
                &uuid(random)?,
                "\"><o:Username>",
            ],
        );
        xml::escaped(username, &mut text)?;
        text.push_str("</o:Username><o:Password>");
        xml::escaped(password.expose(), &mut text)?;
        text.push_str("</o:Password></o:UsernameToken></o:Security>");
    }
    put(
        &mut text,
        &[
            "</s:Header><s:Body><t:RequestSecurityToken xmlns:t=\"",
            version.namespace(),
            "\"><p:AppliesTo xmlns:p=\"",
            POLICY,
            "\"><a:EndpointReference><a:Address>",
        ],
    );
    xml::escaped(&federated.audience, &mut text)?;
    put(
        &mut text,
        &[
            "</a:Address></a:EndpointReference></p:AppliesTo><t:KeyType>",
            version.key_type(),
            "</t:KeyType><t:RequestType>",
            version.request_type(),
            "</t:RequestType></t:RequestSecurityToken></s:Body></s:Envelope>",
        ],
    );
    Ok(text)
}

/// What a provider answered.
pub struct Answered<'a> {
    /// Its host, for errors.
    pub host: &'a str,
    /// The HTTP status; AD FS sends faults with 500.
    pub status: u16,
    /// The body.
    pub text: &'a str,
    /// What was sent, which must not come back in an error.
    pub password: Option<&'a Secret>,
}

impl Answered<'_> {
    /// Words of a provider as an error repeats them: without the password, and only then cut.
    fn words(&self, text: &str) -> String {
        let text = text.trim();
        let shown = match self.password.map(Secret::expose).filter(|password| !password.is_empty()) {
            Some(password) if password.len() < SHORTEST_TAKEN_OUT && text.contains(password) => String::new(),
            Some(password) => scrubbed(text, &[password]),
            None => text.to_owned(),
        };
        shown.chars().take(LONGEST_WORDS).collect()
    }
}

/// The assertion in an answer, or what the fault in it means.
pub fn read(answer: &Answered<'_>, version: Version) -> Result<Assertion> {
    let unread = || {
        if answer.status == 401 {
            return refused(answer, "it answered with HTTP 401");
        }
        let error = xml::not_understood(answer.host, answer.status, "a token (WS-Trust)");
        match answer.status {
            429 => error.with_code(Code::Throttled).with_retry(None),
            502..=504 => error.with_code(Code::ServerUnavailable).with_retry(None),
            _ => error,
        }
    };
    let document = xml::parse(answer.text).ok_or_else(unread)?;
    let root = document.root_element();
    if let Some(fault) = root.descendants().find(|node| is(*node, SOAP, "Fault")) {
        return Err(explain(answer, fault));
    }
    let found = root
        .descendants()
        .filter(|node| is(*node, version.namespace(), "RequestedSecurityToken"))
        .flat_map(|token| token.children().filter(Node::is_element))
        .filter_map(|token| Some((token, Saml::of_namespace(token.tag_name().namespace()?)?)));
    let (token, version) = found.min_by_key(|(_, saml)| *saml != Saml::V1).ok_or_else(unread)?;
    Ok(Assertion {
        text: alone(token, answer.text).ok_or_else(unread)?,
        version,
    })
}

/// An element as it came, byte for byte, since it is signed; with the namespaces that it has from the elements around it.
fn alone(node: Node<'_, '_>, text: &str) -> Option<Zeroizing<String>> {
    let raw = text.get(node.range())?;
    let start = xml::start_tag(raw)?;
    let name_end = raw.find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'))?;
    let mut lent = String::new();
    for namespace in node.namespaces() {
        let declared = match namespace.name() {
            Some("xml") => continue,
            Some(prefix) => format!("xmlns:{prefix}"),
            None => "xmlns".to_owned(),
        };
        let is_declared = start.names.contains(&declared.as_str());
        if !is_declared && uses(raw, namespace.name()) {
            lent.push_str(&format!(" {declared}=\""));
            xml::escaped(namespace.uri(), &mut lent).ok()?;
            lent.push('"');
        }
    }
    let mut whole = Zeroizing::new(String::with_capacity(raw.len() + lent.len()));
    for part in [raw.get(..name_end)?, &lent, raw.get(name_end..)?] {
        whole.push_str(part);
    }
    Some(whole)
}

/// True if an element, or what may be a name in an attribute, has that prefix; without one, if an element has none.
fn uses(raw: &str, prefix: Option<&str>) -> bool {
    let Some(prefix) = prefix else {
        let mut names = raw
            .split('<')
            .skip(1)
            .filter(|tag| tag.starts_with(|c: char| c.is_alphabetic() || c == '_'));
        return names.any(|tag| {
            let end = tag.find(|c: char| c.is_whitespace() || matches!(c, '/' | '>')).unwrap_or(tag.len());
            tag.get(..end).is_some_and(|name| !name.contains(':'))
        });
    };
    raw.match_indices(&format!("{prefix}:")).any(|(at, _)| {
        let before = raw.get(..at).and_then(|front| front.chars().next_back());
        before.is_some_and(|c| c.is_whitespace() || matches!(c, '<' | '"' | '\''))
    })
}

/// What a SOAP 1.2 fault (section 5.4) says.
fn explain(answer: &Answered<'_>, fault: Node<'_, '_>) -> Error {
    let codes: Vec<String> = fault
        .descendants()
        .filter(|node| is(*node, SOAP, "Value"))
        .filter_map(xml::text)
        .map(|value| answer.words(value.rsplit(':').next().unwrap_or(&value)))
        .collect();
    let reason = child(fault, SOAP, "Reason")
        .and_then(|reason| child(reason, SOAP, "Text"))
        .and_then(xml::text)
        .map(|text| answer.words(&text))
        .unwrap_or_default();
    let code = codes.last().filter(|code| !code.is_empty()).map_or("no code", String::as_str);
    let said = if reason.is_empty() {
        code.to_owned()
    } else {
        format!("{code}: {reason}")
    };
    if codes.iter().any(|code| code == "FailedAuthentication") {
        return refused(answer, &said);
    }
    let error = Error::new(
        Code::OauthOther,
        format!("the federation service {} refused the sign-in ({said})", answer.host),
    )
    .with_oauth("federated_service_returned_error", None)
    .with_status(answer.status);
    if codes
        .iter()
        .any(|code| matches!(code.as_str(), "MessageExpired" | "InvalidSecurity" | "InvalidTimeRange"))
    {
        return error.with_hint("is this machine's clock right? If it is, tell whoever runs the federation of the domain");
    }
    error.with_hint("tell whoever runs the federation of the domain what it said; or sign in with a browser (grant authorization_code)")
}

/// Name and password, or the Windows account, are not good. `invalid_grant` is what Entra says to the same, so what follows is the same, too.
fn refused(answer: &Answered<'_>, said: &str) -> Error {
    Error::new(
        Code::BadUserCredential,
        format!("the federation service {} did not accept who signs in ({said})", answer.host),
    )
    .with_oauth("invalid_grant", None)
    .with_status(answer.status)
    .with_hint("check user name and password: each wrong attempt counts towards a lock-out. If they are right, sign in with a browser (grant authorization_code), since the organization may ask for more than a password")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn answer(version: Version, inner: &str) -> Result<Assertion> {
        let text = format!(
            "<s:Envelope xmlns:s=\"{SOAP}\" xmlns:x=\"urn:x\" xmlns=\"urn:oasis:names:tc:SAML:1.0:assertion\"><s:Body><t:RequestSecurityTokenResponse xmlns:t=\"{}\"><t:RequestedSecurityToken>{inner}</t:RequestedSecurityToken></t:RequestSecurityTokenResponse></s:Body></s:Envelope>",
            version.namespace()
        );
        read(
            &Answered {
                host: "h",
                status: 200,
                text: &text,
                password: None,
            },
            version,
        )
    }

    #[test]
    fn an_assertion_is_kept_to_the_byte() {
        for (inner, saml) in [
            (
                "<saml:Assertion  xmlns:saml = 'urn:oasis:names:tc:SAML:1.0:assertion' A=\"&#x41;>\" ><saml:B/>\n </saml:Assertion >",
                Saml::V1,
            ),
            (
                "<x:Assertion Note='a>b' Other=\"xmlns:y='>'\" xmlns:x=\"urn:oasis:names:tc:SAML:1.0:assertion\"><x:B/></x:Assertion>",
                Saml::V1,
            ),
            (
                "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"><B>&amp;</B></Assertion>",
                Saml::V2,
            ),
        ] {
            let found = answer(Version::Of13, inner).unwrap();
            assert_eq!((found.text.as_str(), found.version), (inner, saml));
        }
        // A 2.0 assertion before one of 1.1, which every Entra takes.
        let two = "<b:Assertion xmlns:b=\"urn:oasis:names:tc:SAML:2.0:assertion\"/><Assertion/>";
        assert_eq!(answer(Version::Of2005, two).unwrap().version, Saml::V1);
    }

    #[test]
    fn an_assertion_takes_along_the_namespaces_around_it() {
        let found = answer(Version::Of13, "<Assertion><x:B/></Assertion>").unwrap();
        let document = xml::parse(&found.text).unwrap();
        assert_eq!(
            document.root_element().tag_name().namespace(),
            Some("urn:oasis:names:tc:SAML:1.0:assertion")
        );
        assert!(is(document.root_element().first_element_child().unwrap(), "urn:x", "B"));
        assert!(!found.text.contains("soap-envelope"), "{}", *found.text);
    }

    #[test]
    fn what_holds_no_assertion_is_no_answer() {
        for inner in ["", "<x:Other/>", "text"] {
            assert_eq!(
                answer(Version::Of13, inner).err().map(|error| error.code()),
                Some(Code::ServerError),
                "{inner}"
            );
        }
        // The words of another version than was asked.
        let text = "<t:RequestedSecurityToken xmlns:t=\"http://schemas.xmlsoap.org/ws/2005/02/trust\"><A xmlns=\"urn:oasis:names:tc:SAML:1.0:assertion\"/></t:RequestedSecurityToken>";
        let other = Answered {
            host: "h",
            status: 200,
            text,
            password: None,
        };
        assert!(read(&other, Version::Of13).is_err());
        assert!(read(&other, Version::Of2005).is_ok());
    }
}
