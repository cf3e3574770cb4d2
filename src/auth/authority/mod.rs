//! Who is asked for tokens: a cloud's host and tenant, AD FS, Azure AD B2C, an external tenant, or another OpenID provider, from any form people
//! write them in. [`resolve`] turns it into endpoints.

mod clouds;
mod discovery;
mod endpoints;
mod region;

use url::Url;

use super::Target;
use crate::error::{Error, Result};
pub use clouds::Cloud;
use region::Region;

pub use discovery::Metadata;
pub use endpoints::{Endpoints, resolve};

const FORM: &str = "write it as https://login.microsoftonline.com/TENANT, TENANT being the directory (tenant) ID or a verified domain";

/// Which generation of endpoints is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// What kind of service the authority is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Microsoft Entra ID: `https://login.microsoftonline.com/TENANT`.
    Entra,
    /// Active Directory Federation Services: `https://HOST/adfs`.
    Adfs,
    /// Azure AD B2C: `https://NAME.b2clogin.com/TENANT/POLICY`.
    B2c,
    /// Microsoft Entra External ID: `https://NAME.ciamlogin.com/TENANT`.
    Ciam,
    /// Any other OpenID provider, by its issuer.
    Oidc,
}

impl Kind {
    fn parse(name: &str) -> Result<Kind> {
        match name {
            "entra" => Ok(Kind::Entra),
            "adfs" => Ok(Kind::Adfs),
            "b2c" => Ok(Kind::B2c),
            "ciam" => Ok(Kind::Ciam),
            "oidc" => Ok(Kind::Oidc),
            other => Err(Error::argument(
                format!("authority_type \"{other}\" is not known"),
                "use entra, adfs, b2c, ciam or oidc, or leave it out: all but oidc and custom domains are known by their address",
            )),
        }
    }

    /// What the address says by itself.
    fn of(host: &str, segments: &[&str]) -> Kind {
        match segments.first() {
            Some(first) if first.eq_ignore_ascii_case("adfs") => Kind::Adfs,
            Some(&"tfp") => Kind::B2c,
            _ if B2C_HOSTS.iter().any(|end| host.ends_with(end)) => Kind::B2c,
            _ if host.ends_with(CIAM_HOSTS) => Kind::Ciam,
            _ => Kind::Entra,
        }
    }

    /// The name used in a request.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Entra => "entra",
            Kind::Adfs => "adfs",
            Kind::B2c => "b2c",
            Kind::Ciam => "ciam",
            Kind::Oidc => "oidc",
        }
    }
}

/// How the hosts of Azure AD B2C end, in its clouds.
const B2C_HOSTS: &[&str] = &[".b2clogin.com", ".b2clogin.us", ".b2clogin.cn", ".b2clogin.de"];
/// How the hosts of Microsoft Entra External ID end.
const CIAM_HOSTS: &str = ".ciamlogin.com";

/// Why a host is believed to be what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// The table of clouds, the kind of the address, or the caller's own word.
    Settled,
    /// Microsoft's instance discovery has to vouch for it first.
    Ask,
}

/// What a caller says about the authority.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// Its address.
    pub authority: Option<&'a str>,
    /// In place of an address: a tenant of `cloud`.
    pub tenant: Option<&'a str>,
    /// The cloud's short name; default public.
    pub cloud: Option<&'a str>,
    /// `entra`, `adfs`, `b2c`, `ciam` or `oidc`; without it the address decides.
    pub kind: Option<&'a str>,
    /// False: a host that is in no table is trusted as given.
    pub instance_discovery: Option<bool>,
    /// The region whose token endpoint an app asks, or `auto`.
    pub region: Option<&'a str>,
}

/// A cloud (or a loopback stand-in) and a tenant, or another service that issues tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    kind: Kind,
    /// Scheme, host and port that requests go to, canonical.
    base: Url,
    /// The host as the caller wrote it, which results repeat.
    given_host: String,
    /// Empty where there are no tenants: AD FS and other providers.
    tenant: String,
    /// What stands between the host and `oauth2/...`, or the path of the issuer; without slashes at its ends.
    path: String,
    trust: Trust,
    region: Option<Region>,
}

impl Authority {
    /// From an authority URL, else from a tenant in the cloud named, else in the public one.
    ///
    /// Accepts `https://HOST/TENANT` with or without a trailing slash, `/oauth2/authorize`, `/oauth2/v2.0/token` or `/v2.0` behind it, and the
    /// addresses of the other [`Kind`]s. Nothing is asked: a host that no table knows is checked by [`resolve`].
    pub fn new(given: &Given<'_>) -> Result<Authority> {
        let cloud = given.cloud.map(Cloud::named).transpose()?;
        let region = given.region.map(Region::parse).transpose()?;
        let kind = given.kind.map(Kind::parse).transpose()?;
        let tenant = given.tenant.map(str::trim);
        let mut authority = match given.authority {
            Some(text) => Authority::parse(text.trim(), kind, tenant, given.instance_discovery.unwrap_or(true))?,
            None if matches!(kind, None | Some(Kind::Entra)) => {
                let host = cloud.map_or("login.microsoftonline.com", Cloud::network_host);
                Authority::parse(
                    &format!("https://{host}/{}", checked_tenant(tenant.unwrap_or("common"))?),
                    kind,
                    None,
                    true,
                )?
            }
            None => {
                return Err(Error::argument(
                    "the request names an authority_type but no authority",
                    "name the authority by its https address",
                ));
            }
        };
        if let (Some(cloud), Some(_)) = (cloud, given.authority)
            && Cloud::of_host(authority.host()).is_none_or(|of| of.name != cloud.name)
            && !authority.is_loopback()
        {
            return Err(Error::argument(
                format!("the authority {} is not in the cloud {}", authority.given_host, cloud.name),
                "name the authority or the cloud, not both",
            ));
        }
        if region.is_some() && authority.kind != Kind::Entra {
            return Err(Error::argument(
                "region is set for an authority that has no regional endpoints",
                "only Microsoft Entra ID has them: remove region",
            ));
        }
        authority.region = region;
        Ok(authority)
    }

    fn parse(text: &str, kind: Option<Kind>, tenant: Option<&str>, instance_discovery: bool) -> Result<Authority> {
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
        clouds::check_open(&host)?;
        let segments: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let kind = kind.unwrap_or_else(|| Kind::of(&host, &segments));
        let (tenant, path) = match kind {
            Kind::Entra => entra_path(&segments, tenant)?,
            Kind::Adfs => adfs_path(&segments)?,
            Kind::B2c => b2c_path(&segments)?,
            Kind::Ciam => ciam_path(&host, &segments, tenant)?,
            Kind::Oidc => oidc_path(&segments),
        };
        let mut base = url.clone();
        base.set_path("/");
        let cloud = Cloud::of_host(&host);
        let trust = match cloud {
            Some(_) if kind == Kind::B2c => {
                return Err(Error::argument(
                    format!("{host} serves Azure AD B2C no more"),
                    "write the authority as https://NAME.b2clogin.com/TENANT/POLICY",
                ));
            }
            // An issuer is a name to be kept to the letter: its host is not replaced by another of the cloud.
            Some(_) if kind == Kind::Oidc => Trust::Settled,
            Some(_) if kind != Kind::Entra => {
                return Err(Error::argument(
                    format!("{host} is a host of Microsoft Entra ID, not of authority_type {}", kind.name()),
                    "leave authority_type out, or name the service's own host",
                ));
            }
            Some(cloud) => {
                if url.port().is_some() {
                    return Err(bad("names a port that Microsoft's hosts do not have"));
                }
                base.set_host(Some(cloud.network_host())).map_err(|_| bad("has a malformed host"))?;
                Trust::Settled
            }
            None if kind == Kind::Entra && !loopback && instance_discovery => Trust::Ask,
            None => Trust::Settled,
        };
        let given_host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        Ok(Authority {
            kind,
            base,
            given_host,
            tenant,
            path,
            trust,
            region: None,
        })
    }

    /// The resource of a managed identity's token that serves as a federated credential in this cloud.
    pub fn token_exchange_resource(&self) -> &'static str {
        Cloud::of_host(self.host()).map_or(clouds::EXCHANGE, |cloud| cloud.exchange)
    }

    /// What kind of service it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The tenant as asked for: an id, a domain, `common`, `organizations` or `consumers`; empty for AD FS and other providers, which have none.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// What to call it in a text for a person: the tenant, else the host.
    pub fn name(&self) -> &str {
        if self.tenant.is_empty() { &self.given_host } else { &self.tenant }
    }

    /// True if the tenant is only known after sign-in.
    pub fn is_multi_tenant(&self) -> bool {
        self.kind == Kind::Entra && matches!(self.tenant.as_str(), "common" | "organizations" | "consumers")
    }

    /// What of the address is one world of accounts and refresh tokens, for cache keys: the cloud's canonical origin, and the path
    /// where that is more than a tenant (a B2C policy, an issuer).
    pub fn cloud(&self) -> String {
        let origin = self.base.as_str().trim_end_matches('/');
        match self.kind {
            Kind::Entra | Kind::Ciam => origin.to_owned(),
            Kind::Adfs | Kind::B2c => format!("{origin}/{}", self.path.to_ascii_lowercase()),
            Kind::Oidc => format!("{origin}/{}", self.path),
        }
    }

    /// The host requests go to.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// True for an address of this machine, which stands in for a service.
    pub fn is_loopback(&self) -> bool {
        crate::transport::is_loopback(&self.base)
    }

    /// The dialect that is spoken for a target. Entra and AD FS know `resource` and `scope`; the others are asked in the manner of v2 only.
    pub fn dialect(&self, target: &Target) -> Dialect {
        match self.kind {
            Kind::Entra | Kind::Adfs => target.dialect(),
            Kind::B2c | Kind::Ciam | Kind::Oidc => Dialect::V2,
        }
    }

    /// The authority as results name it: the caller's host, the real tenant, a slash at the end.
    pub fn display(&self, tenant: Option<&str>) -> String {
        let path = match tenant {
            Some(real) if self.is_multi_tenant() => real,
            _ => &self.path,
        };
        let slash = if path.is_empty() { "" } else { "/" };
        format!("{}://{}/{path}{slash}", self.base.scheme(), self.given_host)
    }

    /// The address of `path` below the authority's own.
    fn below(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let slash = if self.path.is_empty() { "" } else { "/" };
        url.set_path(&format!("{}{slash}{path}", self.path));
        url
    }

    /// The page where an administrator grants the app's permissions for the whole tenant
    /// (Microsoft identity platform, "Using the admin consent endpoint"). Only Entra has one.
    pub fn admin_consent(&self, client_id: &str, redirect_uri: Option<&str>, target: &Target) -> Option<Url> {
        if client_id.is_empty() || self.kind != Kind::Entra {
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

    /// True if `issuer` (RFC 9207) can be this authority's, for those whose issuer is known by its form.
    fn issues(&self, issuer: &str) -> bool {
        let Ok(url) = Url::parse(issuer) else { return false };
        let host = url.host_str().unwrap_or_default();
        let same_host = url.host() == self.base.host() && url.port() == self.base.port() && url.scheme() == self.base.scheme();
        let family = match self.kind {
            Kind::Entra => Cloud::of_host(self.host()).is_some_and(|cloud| cloud.issues_from(host)),
            // The issuer's host is named after the tenant's id.
            Kind::Ciam => host.ends_with(CIAM_HOSTS),
            Kind::Adfs => return same_host && url.path().trim_matches('/').eq_ignore_ascii_case("adfs"),
            Kind::B2c | Kind::Oidc => false,
        };
        let tenant = url
            .path()
            .split('/')
            .find(|segment| !segment.is_empty() && *segment != "tfp")
            .unwrap_or_default();
        let tenant_fits = !is_guid(&self.tenant) || tenant.eq_ignore_ascii_case(&self.tenant);
        (family && url.scheme() == "https" && url.port().is_none() || same_host) && tenant_fits
    }
}

fn bad(why: &str) -> Error {
    Error::argument(format!("the authority {why}"), FORM)
}

/// `TENANT`, with what the documentation shows behind it. Returns the tenant and the path in front of the endpoints.
fn entra_path(segments: &[&str], tenant: Option<&str>) -> Result<(String, String)> {
    let tenant = match (segments, tenant) {
        ([], Some(tenant)) => tenant,
        ([], None) => return Err(bad("names no tenant")),
        ([tenant, rest @ ..], _) if is_endpoint(rest) => tenant,
        _ => return Err(bad("has a path that is no tenant")),
    };
    let tenant = checked_tenant(tenant)?;
    Ok((tenant.to_owned(), tenant.to_owned()))
}

/// True for what people copy together with an authority: a version or an endpoint.
fn is_endpoint(rest: &[&str]) -> bool {
    matches!(
        rest,
        [] | ["v2.0" | "oauth2"]
            | ["oauth2", "authorize" | "token" | "devicecode" | "v2.0"]
            | ["oauth2", "v2.0", "authorize" | "token" | "devicecode"]
            | [".well-known", "openid-configuration"]
            | ["v2.0", ".well-known", "openid-configuration"]
    )
}

fn adfs_path(segments: &[&str]) -> Result<(String, String)> {
    match segments {
        [first, rest @ ..] if first.eq_ignore_ascii_case("adfs") && (is_endpoint(rest) || matches!(rest, ["ls"])) => {
            Ok((String::new(), "adfs".to_owned()))
        }
        _ => Err(Error::argument(
            "the authority has a path that is not that of AD FS",
            "write it as https://HOST/adfs",
        )),
    }
}

fn b2c_path(segments: &[&str]) -> Result<(String, String)> {
    let (prefix, rest) = match segments {
        ["tfp", rest @ ..] => ("tfp/", rest),
        rest => ("", rest),
    };
    match rest {
        [tenant, policy, rest @ ..] if is_endpoint(rest) && is_plain(policy) => {
            let tenant = checked_tenant(tenant)?;
            Ok((tenant.to_owned(), format!("{prefix}{tenant}/{policy}")))
        }
        _ => Err(Error::argument(
            "the authority names no tenant and policy of Azure AD B2C",
            "write it as https://NAME.b2clogin.com/NAME.onmicrosoft.com/POLICY, POLICY being a user flow such as B2C_1_signin",
        )),
    }
}

fn ciam_path(host: &str, segments: &[&str], tenant: Option<&str>) -> Result<(String, String)> {
    match (segments, tenant, host.strip_suffix(CIAM_HOSTS)) {
        // The host is named after the tenant's first domain.
        ([], None, Some(name)) => entra_path(&[&format!("{name}.onmicrosoft.com")], None),
        _ => entra_path(segments, tenant),
    }
}

/// An issuer's path is its own business; the address of its metadata is taken for the issuer.
fn oidc_path(segments: &[&str]) -> (String, String) {
    let path = match segments {
        [issuer @ .., ".well-known", "openid-configuration"] => issuer,
        issuer => issuer,
    };
    (String::new(), path.join("/"))
}

fn is_plain(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
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
    let named =
        is_guid(tenant) || tenant.contains('.') || matches!(tenant.to_ascii_lowercase().as_str(), "common" | "organizations" | "consumers");
    if !is_plain(tenant) || !named || tenant.contains("..") || tenant.starts_with('.') || tenant.ends_with('.') {
        return Err(Error::argument(format!("\"{tenant}\" is not a tenant"), FIX));
    }
    Ok(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn new(authority: Option<&str>, tenant: Option<&str>) -> Result<Authority> {
        Authority::new(&Given {
            authority,
            tenant,
            ..Given::default()
        })
    }

    fn parse(text: &str) -> Authority {
        new(Some(text), None).unwrap()
    }

    fn typed(authority: &str, kind: &str) -> Result<Authority> {
        Authority::new(&Given {
            authority: Some(authority),
            kind: Some(kind),
            ..Given::default()
        })
    }

    #[test]
    fn every_form_people_write_is_the_same_authority() {
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
                (authority.host(), authority.tenant()),
                ("login.microsoftonline.com", "contoso.com"),
                "{text}"
            );
            assert_eq!(authority.display(Some("x")), "https://login.windows.net/contoso.com/", "{text}");
        }
        let tenant = new(None, None).unwrap();
        assert_eq!(tenant.tenant(), "common");
        assert_eq!(
            tenant.display(Some("26db40f7-c51d-5fbf-80db-e6c22c9cbf90")),
            "https://login.microsoftonline.com/26db40f7-c51d-5fbf-80db-e6c22c9cbf90/"
        );
        assert_eq!(
            parse("https://login.chinacloudapi.cn/a.cn").host(),
            "login.partner.microsoftonline.cn"
        );
        assert_eq!(
            new(Some("https://login.microsoftonline.us"), Some("a.b")).unwrap().tenant(),
            "a.b",
            "a host and a tenant make an authority"
        );
    }

    #[test]
    fn a_cloud_is_named_shortly_and_does_not_contradict_the_authority() {
        let given = |cloud, authority, tenant| {
            Authority::new(&Given {
                cloud: Some(cloud),
                authority,
                tenant,
                ..Given::default()
            })
        };
        assert_eq!(given("usgov", None, Some("a.b")).unwrap().host(), "login.microsoftonline.us");
        assert_eq!(given("china", None, None).unwrap().tenant(), "common");
        let same = Some("https://login.usgovcloudapi.net/a.b");
        assert_eq!(given("usgov", same, None).unwrap().host(), "login.microsoftonline.us");
        for (cloud, authority) in [
            ("public", same),
            ("nowhere", None),
            ("public", Some("https://sts.contoso.com/adfs")),
        ] {
            assert_eq!(given(cloud, authority, None).unwrap_err().code(), Code::BadArgument, "{cloud}");
        }
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
            "https://login.windows.net/not a tenant",
            "https://login.windows.net/a.b/c",
            "ftp://login.windows.net/a.b",
            "https://login.windows.net/%2e%2e/a.b",
            "https://login.microsoftonline.de/a.b",
            "https://login.microsoftonline.com/tfp/a.b/B2C_1_x",
            "https://sts.contoso.com/adfs/services/trust",
            "http://sts.contoso.com/adfs",
            "https://contoso.b2clogin.com/contoso.onmicrosoft.com",
            "https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/",
            "https://contoso.ciamlogin.com/a/b/c",
        ] {
            let error = new(Some(text), None).unwrap_err();
            assert_eq!(error.code(), Code::BadArgument, "{text}: {error}");
            assert!(error.hint().is_some(), "{text}");
        }
        for tenant in ["", "contoso", "a b.c", "a.b/..", "a..b", "a.b?x", "../x.y"] {
            assert_eq!(new(None, Some(tenant)).unwrap_err().code(), Code::BadArgument, "{tenant}");
        }
        for (authority, kind) in [
            ("https://login.microsoftonline.com/a.b/c", "b2c"),
            ("https://login.microsoftonline.com/a.b", "ciam"),
            ("https://login.microsoftonline.com/adfs", "adfs"),
            ("https://sts.contoso.com/x", "adfs"),
            ("https://sts.contoso.com/x", "kerberos"),
            ("http://id.example/realm", "oidc"),
        ] {
            assert_eq!(typed(authority, kind).unwrap_err().code(), Code::BadArgument, "{authority}");
        }
        let typed_without_address = Given {
            kind: Some("oidc"),
            tenant: Some("a.b"),
            ..Given::default()
        };
        assert!(Authority::new(&typed_without_address).is_err());
    }

    #[test]
    fn a_host_in_no_table_has_to_be_vouched_for_unless_the_caller_does() {
        for text in ["https://login.windows.net.evil.example/a.b", "https://example.com:8443/a.b"] {
            assert_eq!(parse(text).trust, Trust::Ask, "{text}");
            let given = Given {
                authority: Some(text),
                instance_discovery: Some(false),
                ..Given::default()
            };
            assert_eq!(Authority::new(&given).unwrap().trust, Trust::Settled, "{text}");
        }
        assert_eq!(parse("https://login.windows.net/a.b").trust, Trust::Settled);
        assert_eq!(parse("http://[::1]:8080/a.b").trust, Trust::Settled);
        assert_eq!(parse("http://[::1]:8080/a.b").display(None), "http://[::1]:8080/a.b/");
    }

    #[test]
    fn other_services_are_known_by_their_address() {
        for (text, kind, tenant, display) in [
            ("https://sts.contoso.com/adfs", Kind::Adfs, "", "https://sts.contoso.com/adfs/"),
            (
                "https://sts.contoso.com:8443/ADFS/oauth2/authorize",
                Kind::Adfs,
                "",
                "https://sts.contoso.com:8443/adfs/",
            ),
            (
                "https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/B2C_1_signin/v2.0",
                Kind::B2c,
                "contoso.onmicrosoft.com",
                "https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/B2C_1_signin/",
            ),
            (
                "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin",
                Kind::B2c,
                "contoso.onmicrosoft.com",
                "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin/",
            ),
            (
                "https://contoso.ciamlogin.com",
                Kind::Ciam,
                "contoso.onmicrosoft.com",
                "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/",
            ),
            (
                "https://contoso.ciamlogin.com/contoso.example/v2.0",
                Kind::Ciam,
                "contoso.example",
                "https://contoso.ciamlogin.com/contoso.example/",
            ),
        ] {
            let authority = parse(text);
            assert_eq!((authority.kind(), authority.tenant()), (kind, tenant), "{text}");
            assert_eq!(authority.display(Some("x")), display, "{text}");
            assert!(
                authority
                    .admin_consent("x", None, &Target::Resource("https://r.example".into()))
                    .is_none()
            );
        }
        for text in [
            "https://id.example/realms/X/",
            "https://id.example/realms/X",
            "https://id.example/realms/X/.well-known/openid-configuration",
        ] {
            let authority = typed(text, "oidc").unwrap();
            assert_eq!((authority.tenant(), authority.name()), ("", "id.example"));
            assert_eq!(authority.display(None), "https://id.example/realms/X/", "{text}");
            assert_eq!(authority.cloud(), "https://id.example/realms/X");
        }
        assert_eq!(typed("https://id.example", "oidc").unwrap().display(None), "https://id.example/");
        assert_eq!(typed("https://login.contoso.com/a.b/B2C_1_x", "b2c").unwrap().kind(), Kind::B2c);
    }

    #[test]
    fn federated_credentials_are_for_the_cloud_they_are_used_in() {
        let of = |text: &str| parse(text).token_exchange_resource();
        assert_eq!(of("https://login.windows.net/a.b"), "api://AzureADTokenExchange");
        assert_eq!(of("https://login.chinacloudapi.cn/a.cn"), "api://AzureADTokenExchangeChina");
        assert_eq!(of("http://127.0.0.1:1/a.b"), "api://AzureADTokenExchange");
    }

    #[test]
    fn a_policy_is_a_world_of_its_own_for_the_cache() {
        let one = parse("https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin");
        let other = parse("https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_edit");
        assert_ne!(one.cloud(), other.cloud());
        assert_eq!(
            one.cloud(),
            parse("https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_SIGNIN/").cloud()
        );
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
            "http://login.microsoftonline.com/26db40f7-c51d-5fbf-80db-e6c22c9cbf90/v2.0",
            "https://login.microsoftonline.com:8443/26db40f7-c51d-5fbf-80db-e6c22c9cbf90/v2.0",
            "https://evil.example/26db40f7-c51d-5fbf-80db-e6c22c9cbf90",
            "nonsense",
        ] {
            assert!(!authority.issues(bad), "{bad}");
        }
        let china = parse("https://login.chinacloudapi.cn/a.cn");
        assert!(china.issues(&format!("https://sts.chinacloudapi.cn/{tenant}/")));
        let adfs = parse("https://sts.contoso.com/adfs");
        assert!(adfs.issues("https://sts.contoso.com/adfs"));
        for bad in [
            "https://sts.contoso.com/",
            "https://sts.contoso.com:444/adfs",
            "http://sts.contoso.com/adfs",
        ] {
            assert!(!adfs.issues(bad), "{bad}");
        }
        let ciam = parse(&format!("https://contoso.ciamlogin.com/{tenant}"));
        assert!(ciam.issues(&format!("https://{tenant}.ciamlogin.com/{tenant}/v2.0")));
        assert!(!ciam.issues("https://11111111-c51d-5fbf-80db-e6c22c9cbf90.ciamlogin.com/11111111-c51d-5fbf-80db-e6c22c9cbf90/v2.0"));
    }
}
