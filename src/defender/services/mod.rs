//! The services as data: hosts, audiences and clouds here, what can be asked of them in [`operations`].
//!
//! Sources: "Supported Microsoft Defender XDR APIs", "Microsoft Defender for US Government customers" (both services), "Microsoft Graph national
//! cloud deployments". The pages name no token audience for government clouds: the host is taken, and `base_url` and the request's own resource
//! can say otherwise.

pub mod operations;

use serde_json::{Value, json};
use url::Url;

use crate::error::{Error, Result};

/// One service.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// What people call it.
    pub name: &'static str,
    /// What a call names it by.
    pub key: &'static str,
    /// Its default base address.
    pub base: &'static str,
    /// Base addresses in the clouds of [`Cloud::ALL`], in that order. Each is also the resource to ask a token for there.
    pub clouds: [&'static str; 4],
    /// Hosts that are this service, or whose subdomains are.
    pub hosts: &'static [&'static str],
    /// What stands in `aud` of its tokens: addresses (without a slash at the end) and application ids.
    pub audiences: &'static [&'static str],
    /// Its application id in every tenant.
    pub app_id: &'static str,
    /// What its paths begin with when a call gives one without a leading slash; a version follows.
    root: &'static str,
    /// The version that stands there when a call names none.
    version: &'static str,
}

/// A cloud of Microsoft's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cloud {
    /// Everyone's.
    #[default]
    Commercial,
    /// US government, moderate.
    Gcc,
    /// US government, high.
    GccHigh,
    /// US Department of Defense.
    Dod,
}

impl Cloud {
    /// Every cloud, in the order of [`Service::clouds`].
    pub const ALL: [Cloud; 4] = [Cloud::Commercial, Cloud::Gcc, Cloud::GccHigh, Cloud::Dod];

    /// The name used in a call.
    pub fn name(self) -> &'static str {
        match self {
            Cloud::Commercial => "commercial",
            Cloud::Gcc => "gcc",
            Cloud::GccHigh => "gcc_high",
            Cloud::Dod => "dod",
        }
    }

    /// The cloud by that name.
    pub fn parse(name: &str) -> Result<Cloud> {
        Cloud::ALL
            .into_iter()
            .find(|cloud| cloud.name() == name)
            .ok_or_else(|| Error::argument(format!("cloud \"{name}\" is not known"), "use commercial, gcc, gcc_high or dod"))
    }

    /// The cloud that a resource belongs to, where its host tells.
    pub fn of_resource(resource: &str) -> Option<Cloud> {
        let resource = resource.trim_end_matches('/');
        Cloud::ALL.into_iter().find(|cloud| {
            Service::ALL
                .iter()
                .any(|service| service.base_in(*cloud).eq_ignore_ascii_case(resource))
        })
    }
}

/// Microsoft Defender XDR.
pub static XDR: Service = Service {
    name: "Microsoft Defender XDR",
    key: "xdr",
    base: "https://api.security.microsoft.com",
    // GCC High and DoD share one host.
    clouds: [
        "https://api.security.microsoft.com",
        "https://api-gcc.security.microsoft.us",
        "https://api-gov.security.microsoft.us",
        "https://api-gov.security.microsoft.us",
    ],
    hosts: &[
        "api.security.microsoft.com",
        "api-us.security.microsoft.com",
        "api-eu.security.microsoft.com",
        "api-uk.security.microsoft.com",
        "api-gcc.security.microsoft.us",
        "api-gov.security.microsoft.us",
    ],
    audiences: &[
        "https://api.security.microsoft.com",
        "https://security.microsoft.com/mtp",
        "https://api-gcc.security.microsoft.us",
        "https://api-gov.security.microsoft.us",
        "8ee8fdad-f234-4243-8f3b-15c294843740",
    ],
    app_id: "8ee8fdad-f234-4243-8f3b-15c294843740",
    root: "/api/",
    version: "",
};

/// Microsoft Defender for Endpoint.
pub static ENDPOINT: Service = Service {
    name: "Microsoft Defender for Endpoint",
    key: "endpoint",
    base: "https://api.securitycenter.microsoft.com",
    clouds: [
        "https://api.securitycenter.microsoft.com",
        "https://api-gcc.securitycenter.microsoft.us",
        "https://api-gov.securitycenter.microsoft.us",
        "https://api-gov.securitycenter.microsoft.us",
    ],
    // Current pages name the XDR hosts for the same paths.
    hosts: &[
        "api.securitycenter.microsoft.com",
        "api.securitycenter.windows.com",
        "api-us.securitycenter.microsoft.com",
        "api-eu.securitycenter.microsoft.com",
        "api-uk.securitycenter.microsoft.com",
        "api-gcc.securitycenter.microsoft.us",
        "api-gov.securitycenter.microsoft.us",
        "api.security.microsoft.com",
    ],
    audiences: &[
        "https://api.securitycenter.microsoft.com",
        "https://api.securitycenter.windows.com",
        "https://securitycenter.onmicrosoft.com/windowsatpservice",
        "https://securitycenter.microsoft.com/mtp",
        "https://api-gcc.securitycenter.microsoft.us",
        "https://api-gov.securitycenter.microsoft.us",
        "fc780465-2017-40d4-a0c5-307022471b92",
    ],
    app_id: "fc780465-2017-40d4-a0c5-307022471b92",
    root: "/api/",
    version: "",
};

/// Microsoft Graph.
pub static GRAPH: Service = Service {
    name: "Microsoft Graph",
    key: "graph",
    base: "https://graph.microsoft.com",
    clouds: [
        "https://graph.microsoft.com",
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
    ],
    hosts: &["graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us"],
    audiences: &[
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "00000003-0000-0000-c000-000000000000",
    ],
    app_id: "00000003-0000-0000-c000-000000000000",
    root: "/",
    version: "v1.0",
};

/// The service that a token with this audience is for.
pub fn name_of_audience(audience: &str) -> Option<&'static str> {
    Service::of_audience(audience).map(|service| service.name)
}

impl Service {
    /// Every service.
    pub const ALL: [&'static Service; 3] = [&XDR, &ENDPOINT, &GRAPH];

    /// The service by the name a call uses.
    pub fn parse(key: &str) -> Result<&'static Service> {
        Service::ALL
            .into_iter()
            .find(|service| service.key == key)
            .ok_or_else(|| Error::argument(format!("service \"{key}\" is not known"), "use xdr, endpoint or graph"))
    }

    /// The service that a token with this audience is for.
    pub fn of_audience(audience: &str) -> Option<&'static Service> {
        let audience = audience.trim_end_matches('/').to_ascii_lowercase();
        Service::ALL
            .into_iter()
            .find(|service| service.audiences.contains(&audience.as_str()))
    }

    /// The base address in a cloud, which is also the resource of its tokens there.
    pub fn base_in(&self, cloud: Cloud) -> &'static str {
        let [commercial, gcc, gcc_high, dod] = self.clouds;
        match cloud {
            Cloud::Commercial => commercial,
            Cloud::Gcc => gcc,
            Cloud::GccHigh => gcc_high,
            Cloud::Dod => dod,
        }
    }

    /// The base address to use: the default, or the caller's if it is one of the service's own hosts or a loopback address.
    pub fn base_url(&self, given: Option<&str>) -> Result<Url> {
        self.base_url_in(given, Cloud::Commercial)
    }

    /// The same in a cloud.
    pub fn base_url_in(&self, given: Option<&str>, cloud: Cloud) -> Result<Url> {
        let base = self.base_in(cloud);
        let text = given.unwrap_or(base);
        let fix = format!("use {base} or one of its regional hosts");
        let url = Url::parse(text).map_err(|_| Error::argument(format!("base_url \"{text}\" is not a URL"), &fix))?;
        let host = url.host_str().unwrap_or_default();
        let own = self
            .hosts
            .iter()
            .any(|name| host == *name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.')));
        let loopback = crate::transport::is_loopback(&url) && matches!(url.scheme(), "http" | "https");
        if loopback || own && url.scheme() == "https" && url.port().is_none() && url.path() == "/" && url.username().is_empty() {
            Ok(url)
        } else {
            // A bearer token goes nowhere else.
            Err(Error::argument(format!("base_url \"{text}\" is not a host of {}", self.name), fix))
        }
    }

    /// The address of a path that a caller wrote: with a leading slash as it is, else below the service's root and version.
    pub fn address(&self, base: &Url, path: &str, version: Option<&str>) -> Result<Url> {
        let refused = |why: &str| {
            Error::argument(
                format!("the path \"{path}\" {why}"),
                "give a path of the service such as /api/machines, or machines; the host comes from service, cloud and base_url",
            )
        };
        let plain = path.split(['?', '#']).next().unwrap_or_default();
        if plain.is_empty() || path.len() > 8192 || path.chars().any(|c| c.is_control() || c == '\\' || c == '#') || path.contains(' ') {
            return Err(refused("is empty, too long, or holds characters that a path cannot"));
        }
        if path.starts_with("//") || plain.contains("://") || plain.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(refused("leaves the service"));
        }
        let version = version.unwrap_or(self.version);
        if !version.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') || version.len() > 10 {
            return Err(Error::argument(
                format!("version \"{version}\" is not one"),
                "use v1.0 or beta, or leave it out",
            ));
        }
        let full = match path.strip_prefix('/') {
            Some(_) => path.to_owned(),
            None if version.is_empty() => format!("{}{path}", self.root),
            None => format!("{}{version}/{path}", self.root),
        };
        let url = base.join(&full).map_err(|_| refused("is not one"))?;
        let same =
            url.scheme() == base.scheme() && url.host() == base.host() && url.port_or_known_default() == base.port_or_known_default();
        if same && url.username().is_empty() && url.password().is_none() {
            Ok(url)
        } else {
            Err(refused("leaves the service"))
        }
    }
}

/// The tables as the JSON document that crosses the C ABI; see `dxdr_describe_services`.
pub fn describe() -> Value {
    let services: Vec<Value> = Service::ALL
        .into_iter()
        .map(|service| {
            let clouds: serde_json::Map<String, Value> = Cloud::ALL
                .into_iter()
                .map(|cloud| (cloud.name().to_owned(), json!(service.base_in(cloud))))
                .collect();
            json!({
                "service": service.key,
                "name": service.name,
                "app_id": service.app_id,
                "base_urls": clouds,
                "hosts": service.hosts,
                "audiences": service.audiences,
            })
        })
        .collect();
    let operations: Vec<Value> = operations::ALL.iter().map(|operation| operation.describe()).collect();
    json!({ "services": services, "operations": operations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_goes_to_the_services_own_hosts_only() {
        for good in [
            "https://api.security.microsoft.com",
            "https://us.api.security.microsoft.com/",
            "https://api-gov.security.microsoft.us",
            "http://127.0.0.1:8080",
        ] {
            assert!(XDR.base_url(Some(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://api.security.microsoft.com",
            "https://api.security.microsoft.com.evil.example",
            "https://evilapi.security.microsoft.com",
            "https://x@api.security.microsoft.com",
            "https://graph.microsoft.com",
            "https://api.security.microsoft.com:444",
            "api",
        ] {
            assert!(XDR.base_url(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn audiences_are_known_by_address_and_by_id() {
        assert_eq!(name_of_audience("https://api.security.microsoft.com/"), Some(XDR.name));
        assert_eq!(name_of_audience("FC780465-2017-40d4-a0c5-307022471b92"), Some(ENDPOINT.name));
        assert_eq!(name_of_audience("https://example.com"), None);
    }

    #[test]
    fn every_cloud_has_its_hosts_and_each_is_on_the_list() {
        for service in Service::ALL {
            for cloud in Cloud::ALL {
                assert!(service.base_url_in(None, cloud).is_ok());
                assert!(service.base_url_in(Some(service.base_in(cloud)), Cloud::Commercial).is_ok());
                assert_eq!(Cloud::parse(cloud.name()).unwrap(), cloud);
            }
        }
        assert_eq!(XDR.base_in(Cloud::GccHigh), XDR.base_in(Cloud::Dod));
        assert_eq!(Cloud::of_resource("https://graph.microsoft.us/"), Some(Cloud::GccHigh));
        assert_eq!(Cloud::of_resource("https://api-gcc.security.microsoft.us"), Some(Cloud::Gcc));
        assert_eq!(Cloud::of_resource("api://x"), None);
    }

    #[test]
    fn a_path_stays_on_its_host() {
        let base = GRAPH.base_url(None).unwrap();
        let address = |path: &str, version: Option<&str>| GRAPH.address(&base, path, version).map(String::from);
        assert_eq!(
            address("security/incidents?$top=5", None).unwrap(),
            "https://graph.microsoft.com/v1.0/security/incidents?$top=5"
        );
        assert_eq!(
            address("security/incidents", Some("beta")).unwrap(),
            "https://graph.microsoft.com/beta/security/incidents"
        );
        assert_eq!(address("/v1.0/x", None).unwrap(), "https://graph.microsoft.com/v1.0/x");
        let xdr = XDR.base_url(None).unwrap();
        assert_eq!(XDR.address(&xdr, "incidents", Some("v1.0")).unwrap().path(), "/api/v1.0/incidents");
        for bad in [
            "",
            "//evil.example/x",
            "https://evil.example/",
            "/../x",
            "/a/../../x",
            "/a b",
            "\\\\evil\\x",
            "/x#y",
            "?x",
            "/a\nb",
        ] {
            assert!(address(bad, None).is_err(), "{bad}");
        }
        assert!(address("x", Some("../v2")).is_err());
    }
}
