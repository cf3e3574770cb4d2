//! Who is asked for tokens: the cloud's host and the tenant, from any form people write them in.

use url::Url;

use super::Target;
use crate::error::{Code, Error, Result};

/// Hosts that are one cloud: the first is the one requests go to, the rest are its aliases
/// (Microsoft Entra "National clouds"; the aliases are those of its instance discovery).
const CLOUDS: &[&[&str]] = &[
    &[
        "login.microsoftonline.com",
        "login.windows.net",
        "login.microsoft.com",
        "sts.windows.net",
    ],
    &[
        "login.microsoftonline.us",
        "login-us.microsoftonline.com",
        "login.usgovcloudapi.net",
    ],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.de"],
];

/// Which generation of endpoints is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/oauth2/...` with `resource`; numbers come as strings.
    V1,
    /// `/oauth2/v2.0/...` with `scope`.
    V2,
}

impl Dialect {
    /// `v1` or `v2`.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::V1 => "v1",
            Dialect::V2 => "v2",
        }
    }
}

/// A cloud (or a loopback stand-in) and a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Scheme, host and port that requests go to, canonical.
    base: Url,
    /// The host as the caller wrote it, which results repeat.
    given_host: String,
    tenant: String,
}

impl Authority {
    /// From an authority URL, else from a tenant in the public cloud.
    ///
    /// Accepts `https://HOST/TENANT` with or without a trailing slash, `/oauth2/authorize`, `/oauth2/v2.0/token` or `/v2.0` behind it.
    pub fn new(authority: Option<&str>, tenant: Option<&str>) -> Result<Authority> {
        match authority {
            Some(text) => Authority::parse(text.trim()),
            None => Authority::parse(&format!(
                "https://login.microsoftonline.com/{}",
                checked_tenant(tenant.unwrap_or("common").trim())?
            )),
        }
    }

    fn parse(text: &str) -> Result<Authority> {
        const FORM: &str =
            "write it as https://login.microsoftonline.com/TENANT, TENANT being the directory (tenant) ID or a verified domain";
        let bad = |why: &str| Error::argument(format!("the authority {why}"), FORM);
        if text.is_empty() {
            return Err(bad("is empty"));
        }
        let url = Url::parse(text).map_err(|_| bad("is not a URL"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let loopback = crate::transport::is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(bad("must use https")),
            _ => return Err(bad("is not an https URL")),
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("holds more than host and tenant"));
        }
        // The parser has already folded `..` away; a tenant that tried to climb is refused by the raw text.
        if text.contains("/../") || text.ends_with("/..") || text.contains("/./") || text.contains(['\\', '%']) {
            return Err(bad("holds a relative path or an escape"));
        }
        let segments: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let tenant = match segments.as_slice() {
            [] => return Err(bad("names no tenant")),
            [tenant] | [tenant, "v2.0"] | [tenant, "oauth2"] => *tenant,
            [tenant, "oauth2", "authorize" | "token" | "devicecode" | "v2.0"] => *tenant,
            [tenant, "oauth2", "v2.0", "authorize" | "token" | "devicecode"] => *tenant,
            ["adfs", ..] | ["tfp", ..] => {
                return Err(Error::new(Code::Unsupported, "AD FS and B2C authorities are not built yet").with_hint(FORM));
            }
            _ => return Err(bad("has a path that is no tenant")),
        };
        let tenant = checked_tenant(tenant)?.to_owned();
        let canonical = CLOUDS
            .iter()
            .find(|cloud| cloud.contains(&host.as_str()))
            .and_then(|cloud| cloud.first());
        let mut base = url.clone();
        base.set_path("/");
        match canonical {
            Some(canonical) => {
                if url.port().is_some() {
                    return Err(bad("names a port that Microsoft's hosts do not have"));
                }
                base.set_host(Some(canonical)).map_err(|_| bad("has a malformed host"))?;
            }
            None if loopback => {}
            None => {
                return Err(Error::argument(
                    format!("the authority's host {host} is not a known Microsoft Entra cloud"),
                    "use login.microsoftonline.com (public), login.microsoftonline.us (US government) or login.partner.microsoftonline.cn (China)",
                ));
            }
        }
        let given_host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        Ok(Authority { base, given_host, tenant })
    }

    /// The tenant as asked for: an id, a domain, `common`, `organizations` or `consumers`.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// True if the tenant is only known after sign-in.
    pub fn is_multi_tenant(&self) -> bool {
        matches!(self.tenant.as_str(), "common" | "organizations" | "consumers")
    }

    /// The cloud's canonical origin, for cache keys.
    pub fn cloud(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// The host requests go to.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The authority as results name it: the caller's host, the real tenant, a slash at the end.
    pub fn display(&self, tenant: Option<&str>) -> String {
        let tenant = match tenant {
            Some(real) if self.is_multi_tenant() => real,
            _ => &self.tenant,
        };
        format!("{}://{}/{tenant}/", self.base.scheme(), self.given_host)
    }

    /// An endpoint: `authorize`, `token` or `devicecode`.
    pub fn endpoint(&self, dialect: Dialect, name: &str) -> Url {
        let mut url = self.base.clone();
        let version = match dialect {
            Dialect::V1 => "",
            Dialect::V2 => "v2.0/",
        };
        url.set_path(&format!("{}/oauth2/{version}{name}", self.tenant));
        url
    }

    /// The page where an administrator grants the app's permissions for the whole tenant
    /// (Microsoft identity platform, "Using the admin consent endpoint").
    pub fn admin_consent(&self, client_id: &str, redirect_uri: Option<&str>, target: &Target) -> Option<Url> {
        if client_id.is_empty() {
            return None;
        }
        // The endpoint takes no `common`: which tenant consents is decided by who signs in.
        let tenant = if self.is_multi_tenant() { "organizations" } else { &self.tenant };
        let mut url = self.base.clone();
        match (target, redirect_uri) {
            // The v2 page does not work without a place to go back to.
            (Target::Scopes(scopes), Some(redirect_uri)) => {
                url.set_path(&format!("{tenant}/v2.0/adminconsent"));
                url.query_pairs_mut()
                    .append_pair("client_id", client_id)
                    .append_pair("scope", &scopes.join(" "))
                    .append_pair("redirect_uri", redirect_uri);
            }
            _ => {
                url.set_path(&format!("{tenant}/adminconsent"));
                url.query_pairs_mut().append_pair("client_id", client_id);
                if let Some(redirect_uri) = redirect_uri {
                    url.query_pairs_mut().append_pair("redirect_uri", redirect_uri);
                }
            }
        }
        Some(url)
    }

    /// True if `issuer` (RFC 9207) can be this authority's.
    pub fn issues(&self, issuer: &str) -> bool {
        let Ok(url) = Url::parse(issuer) else { return false };
        let host = url.host_str().unwrap_or_default();
        let same_cloud = CLOUDS.iter().any(|cloud| cloud.contains(&self.host()) && cloud.contains(&host));
        let same_host = url.host() == self.base.host() && url.port() == self.base.port();
        let tenant = url.path().split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
        let tenant_fits = !is_guid(&self.tenant) || tenant.eq_ignore_ascii_case(&self.tenant);
        (same_cloud && url.scheme() == "https" || same_host) && tenant_fits
    }
}

/// True for the 8-4-4-4-12 form of a directory or application id.
pub fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.len() == 5
        && groups
            .iter()
            .zip([8, 4, 4, 4, 12])
            .all(|(group, len)| group.len() == len && group.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn checked_tenant(tenant: &str) -> Result<&str> {
    const FIX: &str = "use the directory (tenant) ID, a GUID from the Overview page of Microsoft Entra ID, or a verified domain such as contoso.onmicrosoft.com";
    if tenant.is_empty() {
        return Err(Error::argument("the tenant is empty", FIX));
    }
    let plain = tenant.len() <= 253 && tenant.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    let named =
        is_guid(tenant) || tenant.contains('.') || matches!(tenant.to_ascii_lowercase().as_str(), "common" | "organizations" | "consumers");
    if !plain || !named || tenant.contains("..") || tenant.starts_with('.') || tenant.ends_with('.') {
        return Err(Error::argument(format!("\"{tenant}\" is not a tenant"), FIX));
    }
    Ok(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Authority {
        Authority::new(Some(text), None).unwrap()
    }

    #[test]
    fn every_form_people_write_leads_to_the_same_endpoint() {
        for text in [
            "https://login.windows.net/contoso.com",
            "https://login.windows.net/contoso.com/",
            "https://login.windows.net/contoso.com/oauth2/authorize",
            "https://login.windows.net/contoso.com/oauth2/token",
            "https://login.windows.net/contoso.com/v2.0",
            "https://LOGIN.windows.net/contoso.com/oauth2/v2.0/authorize",
        ] {
            let authority = parse(text);
            assert_eq!(
                authority.endpoint(Dialect::V1, "token").as_str(),
                "https://login.microsoftonline.com/contoso.com/oauth2/token",
                "{text}"
            );
            assert_eq!(authority.display(Some("x")), "https://login.windows.net/contoso.com/", "{text}");
        }
        let tenant = Authority::new(None, None).unwrap();
        assert_eq!(
            tenant.endpoint(Dialect::V2, "authorize").as_str(),
            "https://login.microsoftonline.com/common/oauth2/v2.0/authorize"
        );
        assert_eq!(
            tenant.display(Some("26db40f7-c51d-5fbf-80db-e6c22c9cbf90")),
            "https://login.microsoftonline.com/26db40f7-c51d-5fbf-80db-e6c22c9cbf90/"
        );
        assert_eq!(
            parse("https://login.chinacloudapi.cn/a.cn").host(),
            "login.partner.microsoftonline.cn"
        );
    }

    #[test]
    fn what_is_no_authority_is_refused_with_the_fix() {
        for text in [
            "",
            "contoso",
            "login.windows.net/contoso.com",
            "http://login.windows.net/contoso.com",
            "https://login.windows.net",
            "https://login.windows.net/",
            "https://login.windows.net/a.b/../c.d",
            "https://login.windows.net/a.b?x=1",
            "https://login.windows.net/a.b#x",
            "https://u:p@login.windows.net/a.b",
            "https://login.windows.net:444/a.b",
            "https://login.windows.net.evil.example/a.b",
            "https://example.com/a.b",
            "https://login.windows.net/not a tenant",
            "https://login.windows.net/a.b/c",
            "ftp://login.windows.net/a.b",
            "https://login.windows.net/%2e%2e/a.b",
        ] {
            let error = Authority::new(Some(text), None).unwrap_err();
            assert_eq!(error.code(), Code::BadArgument, "{text}: {error}");
            assert!(error.hint().is_some(), "{text}");
        }
        for tenant in ["", "contoso", "a b.c", "a.b/..", "a..b", "a.b?x", "../x.y"] {
            assert_eq!(
                Authority::new(None, Some(tenant)).unwrap_err().code(),
                Code::BadArgument,
                "{tenant}"
            );
        }
    }

    #[test]
    fn issuers_are_bound_to_cloud_and_tenant() {
        let tenant = "26db40f7-c51d-5fbf-80db-e6c22c9cbf90";
        let authority = parse(&format!("https://login.windows.net/{tenant}"));
        assert!(authority.issues(&format!("https://sts.windows.net/{tenant}/")));
        assert!(authority.issues(&format!("https://login.microsoftonline.com/{tenant}/v2.0")));
        for bad in [
            "https://sts.windows.net/11111111-c51d-5fbf-80db-e6c22c9cbf90/",
            "https://login.microsoftonline.us/26db40f7-c51d-5fbf-80db-e6c22c9cbf90/v2.0",
            "https://evil.example/26db40f7-c51d-5fbf-80db-e6c22c9cbf90",
            "nonsense",
        ] {
            assert!(!authority.issues(bad), "{bad}");
        }
    }
}
