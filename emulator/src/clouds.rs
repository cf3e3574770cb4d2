//! Microsoft Entra's clouds: the hosts that are one cloud, and what its documents name.
//!
//! Source: the metadata of `https://login.microsoftonline.com/common/discovery/instance`, and "National clouds".

/// One cloud.
pub struct Cloud {
    /// Where requests go.
    pub network: &'static str,
    /// What caches are keyed by.
    pub cache: &'static str,
    /// All its hosts.
    pub aliases: &'static [&'static str],
    /// Microsoft Graph there.
    pub graph: &'static str,
    /// The host of v1 issuers.
    pub sts: &'static str,
}

/// All of them, in the order instance discovery has.
pub const CLOUDS: &[Cloud] = &[
    Cloud {
        network: "login.microsoftonline.com",
        cache: "login.windows.net",
        aliases: &[
            "login.microsoftonline.com",
            "login.windows.net",
            "login.microsoft.com",
            "sts.windows.net",
        ],
        graph: "graph.microsoft.com",
        sts: "sts.windows.net",
    },
    Cloud {
        network: "login.partner.microsoftonline.cn",
        cache: "login.partner.microsoftonline.cn",
        aliases: &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
        graph: "microsoftgraph.chinacloudapi.cn",
        sts: "sts.chinacloudapi.cn",
    },
    Cloud {
        network: "login.microsoftonline.de",
        cache: "login.microsoftonline.de",
        aliases: &["login.microsoftonline.de"],
        graph: "graph.microsoft.de",
        sts: "sts.microsoftonline.de",
    },
    Cloud {
        network: "login.microsoftonline.us",
        cache: "login.microsoftonline.us",
        aliases: &["login.microsoftonline.us", "login.usgovcloudapi.net"],
        graph: "graph.microsoft.us",
        sts: "sts.windows.net",
    },
    Cloud {
        network: "login-us.microsoftonline.com",
        cache: "login-us.microsoftonline.com",
        aliases: &["login-us.microsoftonline.com"],
        graph: "graph.microsoft.com",
        sts: "sts.windows.net",
    },
    Cloud {
        network: "login.sovcloud-identity.fr",
        cache: "login.sovcloud-identity.fr",
        aliases: &["login.sovcloud-identity.fr"],
        graph: "graph.svc.sovcloud.fr",
        sts: "sts.sovcloud-identity.fr",
    },
    Cloud {
        network: "login.sovcloud-identity.de",
        cache: "login.sovcloud-identity.de",
        aliases: &["login.sovcloud-identity.de"],
        graph: "graph.svc.sovcloud.de",
        sts: "sts.sovcloud-identity.de",
    },
    Cloud {
        network: "login.sovcloud-identity.sg",
        cache: "login.sovcloud-identity.sg",
        aliases: &["login.sovcloud-identity.sg"],
        graph: "graph.svc.sovcloud.sg",
        sts: "sts.sovcloud-identity.sg",
    },
];

impl Cloud {
    /// The cloud of a host, with or without a port. Regional names stand for theirs: `westeurope.login.microsoft.com`,
    /// `westeurope.r.login.microsoftonline.com`.
    pub fn of(host: &str) -> Option<&'static Self> {
        let host = host.split(':').next().unwrap_or(host);
        let find = |name: &str| CLOUDS.iter().find(|c| c.aliases.contains(&name));
        find(host).or_else(|| {
            let (region, rest) = host.split_once('.')?;
            let plain = !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            plain.then(|| find(rest.strip_prefix("r.").unwrap_or(rest))).flatten()
        })
    }

    /// `microsoftonline.com`.
    pub fn instance(&self) -> &'static str {
        self.network.split_once('.').map_or(self.network, |(_, rest)| rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regional_names_belong_to_their_cloud_and_strangers_to_none() {
        for (host, network) in [
            ("westeurope.login.microsoft.com", Some("login.microsoftonline.com")),
            ("westeurope.r.login.microsoftonline.com", Some("login.microsoftonline.com")),
            ("usgovvirginia.login.microsoftonline.us", Some("login.microsoftonline.us")),
            ("login.microsoftonline.com:8443", Some("login.microsoftonline.com")),
            ("a.b.login.microsoft.com", None),
            ("evil-login.microsoft.com", None),
            ("login.microsoft.com.evil.example", None),
        ] {
            assert_eq!(Cloud::of(host).map(|c| c.network), network, "{host}");
        }
    }
}
