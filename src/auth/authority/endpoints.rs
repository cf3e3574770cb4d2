//! Where an authority is asked: the one place that turns it into addresses.
//!
//! Known clouds, AD FS, B2C and external tenants have their endpoints by rule and need no network. Other providers are asked for their metadata,
//! which is believed only as far as it stays on the provider's own host.

use url::Url;

use super::super::{Env, Grant, SignIn};
use super::clouds::Cloud;
use super::discovery::{self, Configuration};
use super::{Authority, CIAM_HOSTS, Dialect, Kind, Trust};
use crate::error::{Code, Error, Result};
use crate::transport::Call;

/// The addresses of one authority, for one request.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Where tokens are asked for (RFC 6749 section 3.2).
    pub token: Url,
    /// What a client assertion names as its audience (RFC 7523 section 3): the token endpoint, but never a region's own.
    pub audience: Url,
    authorize: Option<Url>,
    device_authorization: Option<Url>,
    /// True if a client secret is sent by HTTP Basic (RFC 6749 section 2.3.1), and not in the form as Entra wants it.
    pub basic: bool,
    /// The issuer to the letter, where metadata named it.
    issuer: Option<String>,
    /// The authority under the host that instance discovery named for it.
    vouched: Option<Box<Authority>>,
    /// True if every answer to an authorize request must hold `iss` (RFC 9207 section 2.4).
    iss_required: bool,
}

impl Endpoints {
    /// Where a browser goes (RFC 6749 section 3.1).
    pub fn authorize(&self) -> Result<&Url> {
        self.authorize.as_ref().ok_or_else(|| {
            Error::new(Code::Unsupported, "the authority has no endpoint for a sign-in with a browser")
                .with_hint("use another grant, or check the authority's metadata for authorization_endpoint")
        })
    }

    /// Where a device code is asked for (RFC 8628 section 3.1).
    pub fn device_authorization(&self) -> Result<&Url> {
        self.device_authorization.as_ref().ok_or_else(|| {
            Error::new(Code::Unsupported, "the authority has no endpoint for device codes")
                .with_hint("use another way to sign in, such as a browser (authorization_code)")
        })
    }

    /// Refuses an answer to an authorize request that another issuer gave, or that names none where it must (RFC 9207 section 2.4).
    pub fn check_issuer(&self, authority: &Authority, iss: Option<&str>) -> Result<()> {
        let mismatch =
            |text: String| Err(Error::new(Code::IssMismatch, text).with_hint("check the authority, and the network for interference"));
        match (iss, &self.issuer) {
            (None, _) if self.iss_required => mismatch("the answer names no issuer, which this authority always does".to_owned()),
            (None, _) => Ok(()),
            (Some(iss), Some(issuer)) if iss == issuer => Ok(()),
            (Some(iss), None) if authority.issues(iss) || self.vouched.as_ref().is_some_and(|vouched| vouched.issues(iss)) => Ok(()),
            (Some(iss), _) => mismatch(format!("the answer names another issuer: {iss}")),
        }
    }
}

/// The endpoints of a request's authority. Asks the network only for hosts and providers that no rule knows, and then once a day.
pub async fn resolve(env: &Env, call: &Call, sign_in: &SignIn) -> Result<Endpoints> {
    let authority = &sign_in.authority;
    let dialect = authority.dialect(&sign_in.target);
    let mut endpoints = match (authority.kind, authority.trust) {
        (Kind::Oidc, _) => from_metadata(authority, discovery::configuration(env, call, authority).await?.as_ref())?,
        // A custom domain: what its tenant is, only its metadata says.
        (Kind::Ciam, _) if !authority.host().ends_with(CIAM_HOSTS) && !authority.is_loopback() => {
            from_metadata(authority, discovery::configuration(env, call, authority).await?.as_ref())?
        }
        (_, Trust::Ask) => {
            let mut vouched = authority.clone();
            let host = discovery::network_host(env, call, authority).await?;
            if host != authority.given_host {
                vouched
                    .base
                    .set_host(Some(&host))
                    .map_err(|_| Error::new(Code::NotJson, "instance discovery named a host that is none"))?;
            }
            Endpoints {
                vouched: Some(Box::new(vouched.clone())),
                ..by_rule(&vouched, dialect)
            }
        }
        (_, Trust::Settled) => by_rule(authority, dialect),
    };
    // Regional endpoints serve apps only.
    if sign_in.grant == Grant::ClientCredentials
        && let Some(region) = &authority.region
    {
        match Cloud::of_host(authority.host()) {
            None => call.verbose(format!("no regional endpoint of {} is known: region is not used", authority.host())),
            Some(cloud) => {
                if let Some(name) = region.name(env, call).await {
                    let host = cloud.regional_host(&name);
                    call.verbose(format!("asking the regional token endpoint {host}"));
                    endpoints
                        .token
                        .set_host(Some(&host))
                        .map_err(|_| Error::argument("region is not usable", "use a name such as westeurope, or auto"))?;
                }
            }
        }
    }
    Ok(endpoints)
}

fn by_rule(authority: &Authority, dialect: Dialect) -> Endpoints {
    let at = |name: &str| {
        authority.below(&match (authority.kind, dialect) {
            (Kind::Entra, Dialect::V1) | (Kind::Adfs, _) => format!("oauth2/{name}"),
            _ => format!("oauth2/v2.0/{name}"),
        })
    };
    Endpoints {
        token: at("token"),
        audience: at("token"),
        authorize: Some(at("authorize")),
        device_authorization: (authority.kind != Kind::B2c).then(|| at("devicecode")),
        basic: false,
        issuer: None,
        vouched: None,
        iss_required: false,
    }
}

fn from_metadata(authority: &Authority, found: &Configuration) -> Result<Endpoints> {
    let issuer = found.issuer.clone().unwrap_or_default();
    // OpenID Connect Discovery section 4.3; a slash at the end is dropped before the well-known path is appended (section 4.1), so it may differ.
    let named = match authority.kind {
        Kind::Oidc => issuer.trim_end_matches('/') == authority.cloud().trim_end_matches('/'),
        _ => authority.issues(&issuer),
    };
    if !named {
        return Err(Error::new(
            Code::IssMismatch,
            format!("the metadata of {} is for another issuer: \"{issuer}\"", authority.display(None)),
        )
        .with_hint("use the issuer itself as the authority, if it is the one meant"));
    }
    let own = |name: &str, text: &Option<String>| -> Result<Option<Url>> {
        let Some(text) = text else { return Ok(None) };
        match Url::parse(text) {
            Ok(url) if is_own(authority, &url) => Ok(Some(url)),
            _ => Err(Error::new(
                Code::EndpointRefused,
                format!("the {name} of {} is not on its own host: {text}", authority.display(None)),
            )
            .with_hint("secrets are sent to the authority's own host only, over https: check the authority and its metadata")),
        }
    };
    let token = own("token endpoint", &found.token_endpoint)?.ok_or_else(|| {
        Error::new(
            Code::NotJson,
            format!("the metadata of {} names no token endpoint", authority.display(None)),
        )
        .with_hint("check the authority")
    })?;
    Ok(Endpoints {
        audience: token.clone(),
        token,
        authorize: own("authorization endpoint", &found.authorization_endpoint)?,
        device_authorization: own("device authorization endpoint", &found.device_authorization_endpoint)?,
        basic: authority.kind == Kind::Oidc
            && !found
                .token_endpoint_auth_methods_supported
                .iter()
                .any(|method| method == "client_secret_post"),
        issuer: (authority.kind == Kind::Oidc).then_some(issuer),
        vouched: None,
        iss_required: found.authorization_response_iss_parameter_supported,
    })
}

/// True for an address on the authority's own host, or another host of its cloud.
fn is_own(authority: &Authority, url: &Url) -> bool {
    let same = url.scheme() == authority.base.scheme() && url.host() == authority.base.host() && url.port() == authority.base.port();
    let host = url.host_str().unwrap_or_default();
    let cloud = Cloud::of_host(authority.host()).is_some_and(|cloud| cloud.hosts.contains(&host))
        && url.scheme() == "https"
        && url.port().is_none();
    (same || cloud) && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::authority::Given;

    fn authority(text: &str, kind: Option<&str>) -> Authority {
        Authority::new(&Given {
            authority: Some(text),
            kind,
            ..Given::default()
        })
        .unwrap()
    }

    #[test]
    fn endpoints_by_rule() {
        for (text, dialect, token) in [
            (
                "https://login.windows.net/contoso.com/oauth2/authorize",
                Dialect::V1,
                "https://login.microsoftonline.com/contoso.com/oauth2/token",
            ),
            (
                "https://login.microsoftonline.us/contoso.com",
                Dialect::V2,
                "https://login.microsoftonline.us/contoso.com/oauth2/v2.0/token",
            ),
            (
                "https://login.sovcloud-identity.fr/contoso.fr",
                Dialect::V2,
                "https://login.sovcloud-identity.fr/contoso.fr/oauth2/v2.0/token",
            ),
            (
                "https://sts.contoso.com/adfs/ls",
                Dialect::V1,
                "https://sts.contoso.com/adfs/oauth2/token",
            ),
            (
                "https://sts.contoso.com/adfs",
                Dialect::V2,
                "https://sts.contoso.com/adfs/oauth2/token",
            ),
            (
                "https://c.b2clogin.com/tfp/c.onmicrosoft.com/B2C_1_x",
                Dialect::V2,
                "https://c.b2clogin.com/tfp/c.onmicrosoft.com/B2C_1_x/oauth2/v2.0/token",
            ),
            (
                "https://c.ciamlogin.com/",
                Dialect::V2,
                "https://c.ciamlogin.com/c.onmicrosoft.com/oauth2/v2.0/token",
            ),
        ] {
            assert_eq!(by_rule(&authority(text, None), dialect).token.as_str(), token);
        }
        let b2c = authority("https://c.b2clogin.com/c.onmicrosoft.com/B2C_1_x", None);
        let none = by_rule(&b2c, Dialect::V2).device_authorization().unwrap_err();
        assert_eq!(none.code(), Code::Unsupported);
    }

    fn metadata(issuer: &str, token: &str) -> Configuration {
        serde_json::from_value(serde_json::json!({
            "issuer": issuer,
            "token_endpoint": token,
            "authorization_endpoint": "https://id.example/r/authorize",
            "authorization_response_iss_parameter_supported": true,
        }))
        .unwrap()
    }

    #[test]
    fn metadata_is_believed_as_far_as_it_stays_at_home() {
        let own = authority("https://id.example/r", Some("oidc"));
        let code = |issuer: &str, token: &str| from_metadata(&own, &metadata(issuer, token)).unwrap_err().code();
        let endpoints = from_metadata(&own, &metadata("https://id.example/r/", "https://id.example/t")).unwrap();
        assert_eq!(endpoints.token.as_str(), "https://id.example/t");
        assert!(endpoints.check_issuer(&own, Some("https://id.example/r/")).is_ok());
        for iss in [None, Some("https://id.example/r"), Some("https://id.example/other")] {
            assert_eq!(endpoints.check_issuer(&own, iss).unwrap_err().code(), Code::IssMismatch, "{iss:?}");
        }
        for issuer in [
            "",
            "https://id.example/",
            "https://id.example/R",
            "http://id.example/r",
            "https://id.example.evil.example/r",
        ] {
            assert_eq!(code(issuer, "https://id.example/t"), Code::IssMismatch, "{issuer}");
        }
        for token in [
            "https://evil.example/t",
            "http://id.example/t",
            "https://id.example:8443/t",
            "https://x@id.example/t",
            "https://id.example.evil.example/t",
            "t",
        ] {
            assert_eq!(code("https://id.example/r", token), Code::EndpointRefused, "{token}");
        }
    }

    #[test]
    fn entras_own_issuer_may_name_its_clouds_hosts() {
        let own = authority("https://sts.windows.net/26db40f7-c51d-5fbf-80db-e6c22c9cbf90", Some("oidc"));
        let mut found = metadata(
            "https://sts.windows.net/26db40f7-c51d-5fbf-80db-e6c22c9cbf90/",
            "https://login.microsoftonline.com/x/oauth2/token",
        );
        found.authorization_endpoint = None;
        assert!(from_metadata(&own, &found).unwrap().authorize().is_err());
        found.token_endpoint = Some("https://login.microsoftonline.us/x/oauth2/token".into());
        assert_eq!(from_metadata(&own, &found).unwrap_err().code(), Code::EndpointRefused);
    }
}
