//! Which of Microsoft's hosts a request was meant for.
//!
//! The first path segment names it. Anything else is addressed to the sign-in service of the emulator's own origin.

use crate::clouds::Cloud;
use crate::{realm, workload};

/// What a host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Sign-in.
    Login,
    /// Defender XDR: incidents, hunting.
    Xdr,
    /// Defender for Endpoint.
    Endpoint,
    /// Microsoft Graph.
    Graph,
    /// Managed identities: the metadata service's address, and the other places' endpoints.
    Identity,
    /// The token endpoints of GitHub Actions and Azure Pipelines.
    Workload,
}

/// Who a request was addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A Microsoft host, by prefix.
    Host(String),
    /// The emulator itself: its origin as the client wrote it.
    Own(String),
}

/// The service of a host name; none when it is no host the emulator knows.
pub fn service(host: &str) -> Option<Service> {
    let host = host.split(':').next().unwrap_or(host);
    let customer = |hosts: &str| host.strip_suffix(hosts).is_some_and(|name| !name.is_empty() && !name.contains('.'));
    if Cloud::of(host).is_some() || customer(realm::B2C_HOSTS) || customer(realm::CIAM_HOSTS) {
        return Some(Service::Login);
    }
    match host {
        realm::ADFS_HOST | realm::OIDC_HOST => return Some(Service::Login),
        // The pages that type a device's code, under the names Microsoft prints.
        "microsoft.com" | "www.microsoft.com" | "aka.ms" => return Some(Service::Login),
        "169.254.169.254" => return Some(Service::Identity),
        workload::GITHUB | workload::DEVOPS => return Some(Service::Workload),
        _ => {}
    }
    let within = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if within("api.security.microsoft.com")
        || matches!(
            host,
            "api-us.security.microsoft.com"
                | "api-eu.security.microsoft.com"
                | "api-uk.security.microsoft.com"
                | "api-gcc.security.microsoft.us"
                | "api-gov.security.microsoft.us"
        )
    {
        return Some(Service::Xdr);
    }
    if within("api.securitycenter.microsoft.com")
        || matches!(
            host,
            "api.securitycenter.windows.com"
                | "api-us.securitycenter.microsoft.com"
                | "api-eu.securitycenter.microsoft.com"
                | "api-uk.securitycenter.microsoft.com"
                | "api-gcc.securitycenter.microsoft.us"
                | "api-gov.securitycenter.microsoft.us"
        )
    {
        return Some(Service::Endpoint);
    }
    matches!(
        host,
        "graph.microsoft.com" | "graph.microsoft.us" | "dod-graph.microsoft.us" | "microsoftgraph.chinacloudapi.cn"
    )
    .then_some(Service::Graph)
}

/// Splits `/HOST/PATH` when its first segment is a known host.
pub fn split(path: &str) -> Option<(&str, Service, &str)> {
    let rest = path.strip_prefix('/')?;
    let (host, tail) = rest.find('/').map_or((rest, "/"), |at| (&rest[..at], &rest[at..]));
    service(host).map(|service| (host, service, tail))
}

/// The paths of the emulator's own origin that are no tenant's.
pub fn own_service(path: &str) -> Service {
    match path.trim_start_matches('/').split('/').next() {
        Some("metadata" | "msi") => Service::Identity,
        _ => Service::Login,
    }
}

impl Base {
    /// The name logged and matched by faults.
    pub fn name(&self) -> &str {
        match self {
            Self::Host(name) => name,
            Self::Own(origin) => origin.split_once("://").map_or(origin.as_str(), |(_, host)| host),
        }
    }

    /// The cloud; none for the emulator's own origin and for hosts that are no cloud's.
    pub fn cloud(&self) -> Option<&'static Cloud> {
        match self {
            Self::Host(host) => Cloud::of(host),
            Self::Own(_) => None,
        }
    }

    /// The origin sign-in documents name: the cloud's own for a prefix, a customer's as it was written, else the emulator's.
    pub fn login(&self) -> String {
        match self {
            Self::Own(origin) => origin.clone(),
            Self::Host(host) => match Cloud::of(host) {
                Some(cloud) => format!("https://{}", cloud.network),
                None => format!("https://{host}"),
            },
        }
    }

    /// Issuer of v1 tokens.
    pub fn issuer_v1(&self, tenant: &str) -> String {
        match self.cloud() {
            None => format!("{}/{tenant}/", self.login()),
            Some(cloud) => format!("https://{}/{tenant}/", cloud.sts),
        }
    }

    /// Issuer of v2 tokens.
    pub fn issuer_v2(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.login())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_first_segment_is_the_host() {
        assert_eq!(
            split("/api.security.microsoft.com/api/incidents"),
            Some(("api.security.microsoft.com", Service::Xdr, "/api/incidents"))
        );
        assert_eq!(
            split("/eu.api.security.microsoft.com/api"),
            Some(("eu.api.security.microsoft.com", Service::Xdr, "/api"))
        );
        assert_eq!(
            split("/login.microsoftonline.com:8443/common"),
            Some(("login.microsoftonline.com:8443", Service::Login, "/common"))
        );
        assert_eq!(split("/fabrikam.example/oauth2/token"), None);
        assert_eq!(split("/evilapi.security.microsoft.com/"), None);
        assert_eq!(split("/graph.microsoft.com.evil/v1.0"), None);
    }
}
