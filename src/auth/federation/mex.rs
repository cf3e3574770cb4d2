//! A provider's metadata (WS-MetadataExchange): WSDL 1.1 with WS-Policy, of which one thing is wanted, the address that issues tokens for a kind of proof.

use std::collections::{HashMap, HashSet};

use roxmltree::Node;
use url::Url;
use zeroize::Zeroizing;

use super::realm::{self, Federated};
use super::xml::{self, ADDRESSING, POLICY, UTILITY, child, children, is};
use super::{Way, soon, ws_trust};
use crate::auth::{Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Request, Retry, TOKEN_BODY_LIMIT};

const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
const WSDL_SOAP: &str = "http://schemas.xmlsoap.org/wsdl/soap12/";
const HTTP: &str = "http://schemas.xmlsoap.org/soap/http";
const NEGOTIATE: &str = "http://schemas.microsoft.com/ws/06/2004/policy/http";
/// WS-SecurityPolicy 1.2 (with WS-Trust 1.3), and that of 2005.
const SECURITY: [&str; 2] = [
    "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702",
    "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy",
];

/// Where tokens are issued, and in which words.
pub struct Endpoint {
    pub url: Url,
    pub version: ws_trust::Version,
}

/// The endpoint of the person's provider.
pub async fn endpoint(env: &Env, call: &Call, sign_in: &SignIn, federated: &Federated, way: Way) -> Result<Endpoint> {
    let browser = "sign in with a browser (grant authorization_code)";
    if let Some(protocol) = federated.protocol.as_deref().filter(|name| !name.eq_ignore_ascii_case("wstrust")) {
        return Err(Error::new(
            Code::Unsupported,
            format!("the person's domain is federated by {protocol}, which takes a browser"),
        )
        .with_hint(browser));
    }
    let Some(url) = &federated.metadata else {
        // Then Entra may know the endpoint itself, whose path says which version it speaks.
        return match &federated.active {
            Some(url) if way == Way::Password => Ok(Endpoint {
                version: if url.path().contains("/2005/") {
                    ws_trust::Version::Of2005
                } else {
                    ws_trust::Version::Of13
                },
                url: url.clone(),
            }),
            _ => Err(Error::new(
                Code::Unsupported,
                "Entra knows no address of the federation service that checks this person's sign-in",
            )
            .with_hint(browser)),
        };
    };
    let request = Request {
        method: "GET",
        url: url.clone(),
        headers: vec![("accept", Zeroizing::new("application/xml, text/xml, */*".to_owned()))],
        body: None,
        retry: Retry::Safe,
        body_limit: TOKEN_BODY_LIMIT,
        direct: false,
    };
    let response = env.transport.send(&soon(call), request).await?;
    let unread = || xml::not_understood(&response.host, response.status, "its metadata");
    if response.status != 200 {
        return Err(unread());
    }
    let text = xml::text_of(&response).ok_or_else(unread)?;
    let document = xml::parse(text).ok_or_else(unread)?;
    let found = find(document.root_element(), way);
    let Some((first, version)) = found.first() else {
        let (what, path) = match way {
            Way::Password => ("user name and password", "/adfs/services/trust/13/usernamemixed"),
            Way::Windows => ("the Windows account", "/adfs/services/trust/13/windowstransport"),
        };
        return Err(Error::new(
            Code::Unsupported,
            format!("the federation service {} offers no endpoint for {what}", response.host),
        )
        .with_hint(format!("{browser}, or have an administrator of AD FS turn the endpoint {path} on")));
    };
    let refused = match realm::endpoint(first, sign_in) {
        Ok(url) => return Ok(Endpoint { url, version: *version }),
        Err(refused) => refused,
    };
    // One address that is not used does not stand for all.
    let mut others = found
        .iter()
        .skip(1)
        .filter_map(|(address, version)| Some((realm::endpoint(address, sign_in).ok()?, *version)));
    let (url, version) = others.next().ok_or(refused)?;
    Ok(Endpoint { url, version })
}

/// The addresses for one kind of proof, those of WS-Trust 1.3 first.
fn find(root: Node<'_, '_>, way: Way) -> Vec<(String, ws_trust::Version)> {
    let all = |namespace, name| root.descendants().filter(move |node| is(*node, namespace, name));
    let policies: HashSet<String> = all(POLICY, "Policy")
        .filter(|policy| asks_for(*policy, way))
        .filter_map(|policy| policy.attribute((UTILITY, "Id")))
        .map(|id| format!("#{id}"))
        .collect();
    let mut bindings: HashMap<&str, Option<ws_trust::Version>> = HashMap::new();
    for binding in all(WSDL, "binding") {
        if let Some(name) = binding.attribute("name") {
            bindings.entry(name).or_insert_with(|| version_of(binding, &policies));
        }
    }
    let ports = all(WSDL, "service").flat_map(|service| children(service, WSDL, "port"));
    let mut found: Vec<(String, ws_trust::Version)> = ports
        .filter_map(|port| {
            let binding = port.attribute("binding")?;
            let version = (*bindings.get(binding.rsplit(':').next().unwrap_or(binding))?)?;
            let address = child(child(port, ADDRESSING, "EndpointReference")?, ADDRESSING, "Address").and_then(xml::text)?;
            Some((address.trim().to_owned(), version))
        })
        .collect();
    found.sort_by_key(|(_, version)| *version != ws_trust::Version::Of13);
    found
}

/// What a binding speaks, if it has one of these policies.
fn version_of(binding: Node<'_, '_>, policies: &HashSet<String>) -> Option<ws_trust::Version> {
    let refers = children(binding, POLICY, "PolicyReference")
        .filter_map(|reference| reference.attribute("URI"))
        .any(|uri| policies.contains(uri));
    let over_http = child(binding, WSDL_SOAP, "binding").is_some_and(|soap| soap.attribute("transport") == Some(HTTP));
    let version = children(binding, WSDL, "operation")
        .filter_map(|operation| child(operation, WSDL_SOAP, "operation")?.attribute("soapAction"))
        .find_map(ws_trust::Version::of_action);
    version.filter(|_| refers && over_http)
}

/// True if the policy wants that proof, over TLS.
fn asks_for(policy: Node<'_, '_>, way: Way) -> bool {
    let over_tls = policy
        .descendants()
        .any(|node| SECURITY.iter().any(|security| is(node, security, "TransportBinding")));
    let alternatives = children(policy, POLICY, "ExactlyOne").flat_map(|one| children(one, POLICY, "All"));
    over_tls
        && alternatives.into_iter().any(|all| match way {
            Way::Windows => child(all, NEGOTIATE, "NegotiateAuthentication").is_some(),
            Way::Password => all
                .children()
                .filter(|node| {
                    ["SignedEncryptedSupportingTokens", "SignedSupportingTokens"].contains(&node.tag_name().name())
                        && node.tag_name().namespace().is_some_and(|namespace| SECURITY.contains(&namespace))
                })
                .any(takes_user_name),
        })
}

/// True for supporting tokens with a user name of WS-Security 1.0.
fn takes_user_name(tokens: Node<'_, '_>) -> bool {
    SECURITY.iter().any(|security| {
        child(tokens, POLICY, "Policy")
            .and_then(|policy| child(policy, security, "UsernameToken"))
            .and_then(|token| child(token, POLICY, "Policy"))
            .is_some_and(|policy| child(policy, security, "WssUsernameToken10").is_some())
    })
}
