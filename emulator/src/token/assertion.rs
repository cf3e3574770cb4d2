//! Client assertions (RFC 7523 section 2.2): signed with an app's certificate, or by an issuer the app trusts.

use serde_json::Value;

use super::Request;
use super::client::{Client, Proof};
use crate::aad_error::AadError;
use crate::certificate::Certificate;
use crate::clock;
use crate::config::{AppRegistration, FederatedCredential};
use crate::hosts::{self, Service};
use crate::http::Asked;
use crate::keys::{self, hex, unb64};
use crate::realm::Realm;
use crate::state::Dialect;

/// The only `client_assertion_type` there is.
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Entra forgives five minutes between clocks.
const SKEW: i64 = 300;

struct Parsed<'a> {
    text: &'a str,
    header: Value,
    claims: Value,
}

impl Parsed<'_> {
    fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }
}

impl<'a> Request<'a> {
    /// Checks the assertion an app shows in place of a secret.
    pub(super) fn asserted(&self, app: &'a AppRegistration, assertion: &str) -> Result<Client<'a>, AadError> {
        let kind = self.need("client_assertion_type")?;
        if kind != TYPE {
            return Err(AadError::new(
                "invalid_request",
                90_023,
                format!("Unsupported 'client_assertion_type' value '{kind}'."),
            ));
        }
        let (header, claims) =
            keys::peek(assertion).ok_or_else(|| AadError::new("invalid_request", 50_027, "JWT token is invalid or malformed."))?;
        let parsed = Parsed {
            text: assertion,
            header,
            claims,
        };
        // Certificates name themselves in the header, or the app in `iss`; everyone else's tokens name their issuer.
        let own = ["x5t", "x5t#S256"].iter().any(|name| !parsed.header[*name].is_null()) && !parsed.claim("iss").contains("://")
            || parsed.claim("iss").eq_ignore_ascii_case(&app.client_id)
            || self.app.config.app(parsed.claim("iss")).is_some();
        if own {
            self.by_certificate(app, &parsed)?;
        } else {
            self.by_federation(app, &parsed)?;
        }
        Ok(Client {
            app,
            proof: Proof::Assertion,
        })
    }

    fn by_certificate(&self, app: &AppRegistration, parsed: &Parsed<'_>) -> Result<(), AadError> {
        // Padding is no base64url, but MSAL Python sends it and Entra takes it.
        let print = |name: &str| {
            parsed.header[name]
                .as_str()
                .map(|text| (text, unb64(text.trim_end_matches('=')).unwrap_or_default()))
        };
        let named = print("x5t").or_else(|| print("x5t#S256")).or_else(|| {
            // A `kid` is the SHA-1 thumbprint, in hexadecimal or base64url.
            parsed.header["kid"].as_str().map(|text| {
                let bytes: Option<Vec<u8>> = (text.len() == 40)
                    .then(|| {
                        (0..40)
                            .step_by(2)
                            .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
                            .collect()
                    })
                    .flatten();
                (text, bytes.or_else(|| unb64(text.trim_end_matches('='))).unwrap_or_default())
            })
        });
        let Some((_, named)) = named else {
            return Err(AadError::new(
                "invalid_client",
                50_027,
                "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in token header.",
            ));
        };
        let shown = match &parsed.header["x5c"] {
            Value::Null => None,
            chain => {
                let leaf = chain.as_str().or_else(|| chain[0].as_str()).unwrap_or_default();
                let leaf = Certificate::from_base64(leaf).ok().filter(|c| c.sha1 == named || c.sha256 == named);
                Some(leaf.ok_or_else(|| {
                    AadError::new(
                        "invalid_client",
                        50_012,
                        "Authentication failed. The x5c header of the client assertion does not hold the certificate that its thumbprint names.",
                    )
                })?)
            }
        };
        let named_one = |c: &Certificate| c.sha1 == named || c.sha256 == named;
        let added = self
            .app
            .state()
            .certificates
            .iter()
            .find(|(owner, c)| owner.eq_ignore_ascii_case(&app.client_id) && named_one(c))
            .map(|(_, c)| c.clone());
        let registered = added.or_else(|| {
            app.certificates.iter().find_map(|entry| {
                let own = entry.certificate();
                match (&own, &entry.thumbprint) {
                    (Some(c), _) if named_one(c) => own,
                    (None, Some(text)) => shown.clone().filter(|c| c.has_thumbprint(text)),
                    _ => None,
                }
            })
        });
        let help = format!(
            "Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{}'.",
            app.client_id
        );
        let Some(certificate) = registered else {
            return Err(AadError::new(
                "invalid_client",
                700_027,
                format!(
                    "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '{}', {help}]",
                    hex(&named).to_uppercase()
                ),
            ));
        };
        let found = format!(
            "Thumbprint of key used by client: '{}', Found key 'Start={}, End={}', {help}",
            certificate.thumbprint(),
            us_date(certificate.not_before),
            us_date(certificate.not_after)
        );
        let now = self.app.now();
        if certificate.not_after <= now || certificate.not_before > now {
            return Err(AadError::new(
                "invalid_client",
                700_027,
                format!("The key used to sign the client assertion is not valid. [Reason - The key used is expired., {found}]"),
            ));
        }
        let algorithm = parsed.header["alg"].as_str().unwrap_or_default();
        let (signed, signature) = parsed.text.rsplit_once('.').unwrap_or_default();
        match certificate.verifies(algorithm, signed, &unb64(signature).unwrap_or_default()) {
            Some(true) => {}
            Some(false) => {
                return Err(AadError::new(
                    "invalid_client",
                    700_027,
                    format!(
                        "Client assertion failed signature validation. [Reason - Key was found, but use of the key to verify the signature failed., {found}]"
                    ),
                ));
            }
            None => {
                return Err(AadError::new(
                    "invalid_client",
                    5_002_730,
                    "Invalid JWT token. Unsupported key for the signing algorithm.",
                ));
            }
        }
        for name in ["iss", "sub"] {
            if !parsed.claim(name).eq_ignore_ascii_case(&app.client_id) {
                return Err(AadError::new(
                    "invalid_client",
                    700_021,
                    "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials.",
                ));
            }
        }
        let audiences = strings(&parsed.claims["aud"]);
        if !audiences.iter().any(|aud| self.is_audience(aud)) {
            return Err(AadError::new(
                "invalid_client",
                700_023,
                "Client assertion audience claim does not match Realm issuer. Review the documentation at https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials.",
            ));
        }
        self.in_time(parsed)
    }

    /// A token endpoint or the issuer of the tenant asked for, under any of the cloud's names.
    fn is_audience(&self, audience: &str) -> bool {
        let Ok(url) = url::Url::parse(audience) else { return false };
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let known = authority == self.asked.base.name() || hosts::service(host) == Some(Service::Login);
        let mut segments = url.path().trim_start_matches('/').splitn(2, '/');
        let tenant = segments.next().unwrap_or_default();
        let rest = segments.next().unwrap_or_default().trim_end_matches('/');
        let config = &self.app.config;
        let same = tenant.eq_ignore_ascii_case(self.tenant)
            || matches!((config.tenant(tenant), config.tenant(self.tenant)), (Some(a), Some(b)) if a.id == b.id)
            || audience_of(self.asked, self.tenant) == audience;
        known && same && matches!(rest, "oauth2/v2.0/token" | "oauth2/token" | "v2.0" | "")
            || audience_of(self.asked, self.tenant) == audience
            || self.asked.realm != Realm::Entra && {
                let token = self.asked.endpoints(true, self.tenant, self.tenant).token;
                audience.trim_end_matches('/') == token.trim_end_matches('/')
            }
    }

    fn in_time(&self, parsed: &Parsed<'_>) -> Result<(), AadError> {
        let now = self.app.now();
        let Some(expires) = date(&parsed.claims["exp"]) else {
            return Err(AadError::new(
                "invalid_client",
                50_027,
                "Invalid JWT token. The 'exp' claim is missing or not a number.",
            ));
        };
        let begins = date(&parsed.claims["nbf"])
            .or_else(|| date(&parsed.claims["iat"]))
            .unwrap_or(expires);
        let begins = begins.min(expires);
        if now + SKEW >= begins && now - SKEW < expires {
            return Ok(());
        }
        let iso = |seconds: i64| clock::iso(seconds.saturating_mul(clock::SECOND));
        Err(AadError::new(
            "invalid_client",
            700_024,
            format!(
                "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry time of assertion {}. Review the documentation at https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials.",
                iso(now),
                iso(begins),
                iso(expires)
            ),
        ))
    }

    fn by_federation(&self, app: &AppRegistration, parsed: &Parsed<'_>) -> Result<(), AadError> {
        const SEE: &str = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation";
        let refuse = |code: u32, text: String| Err(AadError::new("invalid_client", code, text));
        if app.federated.is_empty() {
            return refuse(
                70_025,
                format!(
                    "The client '{}'({}) has no configured federated identity credentials.",
                    app.client_id, app.name
                ),
            );
        }
        let (issuer, subject) = (parsed.claim("iss"), parsed.claim("sub"));
        let no_match = |what: &str, value: &str| {
            format!(
                "No matching federated identity record found for presented assertion {what} '{value}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. {SEE}"
            )
        };
        let by_issuer: Vec<&FederatedCredential> = app
            .federated
            .iter()
            .filter(|f| f.issuer.trim_end_matches('/') == issuer.trim_end_matches('/'))
            .collect();
        if by_issuer.is_empty() {
            return refuse(700_211, no_match("issuer", issuer));
        }
        let by_subject: Vec<&FederatedCredential> = by_issuer.iter().copied().filter(|f| f.subject == subject).collect();
        if by_subject.is_empty() {
            if by_issuer.iter().any(|f| f.subject.eq_ignore_ascii_case(subject)) {
                return refuse(
                    7_002_138,
                    format!(
                        "No matching federated identity record found for presented assertion subject '{subject}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. {SEE}"
                    ),
                );
            }
            return refuse(700_213, no_match("subject", subject));
        }
        let audiences = strings(&parsed.claims["aud"]);
        let takes = |f: &FederatedCredential| {
            f.audiences.iter().any(|wanted| {
                audiences.contains(wanted)
                    // Entra's own tokens carry the app id of the exchange service.
                    || self.app.config.resource(wanted).is_some_and(|r| audiences.iter().any(|a| r.is(a)))
            })
        };
        if !by_subject.iter().any(|f| takes(f)) {
            return refuse(700_212, no_match("audience", audiences.first().map_or("", String::as_str)));
        }
        if self.app.signing.verify(parsed.text).is_none() {
            return refuse(
                50_013,
                "Assertion failed signature validation. [Reason - The key was not found.]".to_owned(),
            );
        }
        self.in_time(parsed)
    }
}

/// The issuer a client may name instead of the token endpoint.
fn audience_of(asked: &Asked, tenant: &str) -> String {
    asked.issuer(Dialect::V2, tenant)
}

/// A NumericDate (RFC 7519 section 2), which may have a fraction.
fn date(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a date beyond the type is the type's end")]
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// `06/21/2019 00:00:00`, as key errors carry it.
fn us_date(seconds: i64) -> String {
    let text = clock::spaced(seconds);
    let (date, time) = text.trim_end_matches('Z').split_once(' ').unwrap_or_default();
    let mut parts = date.split('-');
    let (year, month, day) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    format!("{month}/{day}/{year} {time}")
}
