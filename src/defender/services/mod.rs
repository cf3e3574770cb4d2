//! The services as data: hosts and audiences. Sources: "Supported Microsoft Defender XDR APIs", "Microsoft Defender for US Government customers".

use url::Url;

use crate::error::{Error, Result};

/// One service.
pub struct Service {
    /// What people call it.
    pub name: &'static str,
    /// Its default base address.
    pub base: &'static str,
    /// Hosts that are this service, or whose subdomains are.
    pub hosts: &'static [&'static str],
    /// What stands in `aud` of its tokens: addresses (without a slash at the end) and application ids.
    pub audiences: &'static [&'static str],
}

/// Microsoft Defender XDR.
pub const XDR: Service = Service {
    name: "Microsoft Defender XDR",
    base: "https://api.security.microsoft.com",
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
};

/// Microsoft Defender for Endpoint.
pub const ENDPOINT: Service = Service {
    name: "Microsoft Defender for Endpoint",
    base: "https://api.securitycenter.microsoft.com",
    hosts: &[
        "api.securitycenter.microsoft.com",
        "api.securitycenter.windows.com",
        "api-gcc.securitycenter.microsoft.us",
        "api-gov.securitycenter.microsoft.us",
    ],
    audiences: &[
        "https://api.securitycenter.microsoft.com",
        "https://api.securitycenter.windows.com",
        "https://securitycenter.onmicrosoft.com/windowsatpservice",
        "https://api-gcc.securitycenter.microsoft.us",
        "https://api-gov.securitycenter.microsoft.us",
        "fc780465-2017-40d4-a0c5-307022471b92",
    ],
};

/// Microsoft Graph.
pub const GRAPH: Service = Service {
    name: "Microsoft Graph",
    base: "https://graph.microsoft.com",
    hosts: &["graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us"],
    audiences: &[
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "00000003-0000-0000-c000-000000000000",
    ],
};

/// The service that a token with this audience is for.
pub fn name_of_audience(audience: &str) -> Option<&'static str> {
    let audience = audience.trim_end_matches('/').to_ascii_lowercase();
    [&XDR, &ENDPOINT, &GRAPH]
        .into_iter()
        .find(|service| service.audiences.contains(&audience.as_str()))
        .map(|service| service.name)
}

impl Service {
    /// The base address to use: the default, or the caller's if it is one of the service's own hosts or a loopback address.
    pub fn base_url(&self, given: Option<&str>) -> Result<Url> {
        let text = given.unwrap_or(self.base);
        let fix = format!("use {} or one of its regional hosts", self.base);
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
}
