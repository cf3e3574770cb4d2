//! Microsoft Entra's clouds as data: the hosts that are one cloud, and the names people call it by.
//!
//! Sources: "National clouds" (Microsoft identity platform), the metadata of `https://login.microsoftonline.com/common/discovery/instance`, and the
//! sovereign hosts of Bleu (France), Delos (Germany) and Singapore's government. A host that is not here is asked for there.

use crate::error::{Error, Result};

/// One cloud.
#[derive(Debug)]
pub struct Cloud {
    /// The short name used in a request.
    pub name: &'static str,
    /// Other names for it: those of Azure PowerShell, of MSAL, and of offers that sign in here.
    also: &'static [&'static str],
    /// Its hosts: the first is the one requests go to, the rest are its aliases.
    pub hosts: &'static [&'static str],
    /// Hosts beside them that stand in `iss`.
    issuers: &'static [&'static str],
    /// What a region's name is put in front of.
    regional: &'static str,
    /// What a managed identity's token for a federated credential is for.
    pub exchange: &'static str,
}

const CLOUDS: &[Cloud] = &[
    Cloud {
        name: "public",
        also: &["azurecloud", "azurepublic", "global", "commercial", "gcc"],
        hosts: &[
            "login.microsoftonline.com",
            "login.windows.net",
            "login.microsoft.com",
            "sts.windows.net",
        ],
        issuers: &[],
        regional: "login.microsoft.com",
        exchange: EXCHANGE,
    },
    Cloud {
        name: "usgov",
        also: &["azureusgovernment", "usgovernment", "gcchigh", "dod"],
        hosts: &["login.microsoftonline.us", "login.usgovcloudapi.net"],
        issuers: &["sts.windows.net"],
        regional: "login.microsoftonline.us",
        exchange: "api://AzureADTokenExchangeUSGov",
    },
    Cloud {
        name: "china",
        also: &["azurechinacloud", "azurechina", "21vianet"],
        hosts: &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
        issuers: &["sts.chinacloudapi.cn"],
        regional: "login.partner.microsoftonline.cn",
        exchange: "api://AzureADTokenExchangeChina",
    },
    Cloud {
        name: "bleu",
        also: &["azurebleu", "france"],
        hosts: &["login.sovcloud-identity.fr"],
        issuers: &[],
        regional: "login.sovcloud-identity.fr",
        exchange: "api://AzureADTokenExchangeFrance",
    },
    Cloud {
        name: "delos",
        also: &["azuredelos"],
        hosts: &["login.sovcloud-identity.de"],
        issuers: &[],
        regional: "login.sovcloud-identity.de",
        exchange: "api://AzureADTokenExchangeGermany",
    },
    Cloud {
        name: "govsg",
        also: &["azuregovsg"],
        hosts: &["login.sovcloud-identity.sg"],
        issuers: &[],
        regional: "login.sovcloud-identity.sg",
        exchange: EXCHANGE,
    },
    // What follows has hosts of its own in instance discovery, and no name that people use.
    Cloud {
        name: "us",
        also: &[],
        hosts: &["login-us.microsoftonline.com"],
        issuers: &["sts.windows.net"],
        regional: "login-us.microsoftonline.com",
        exchange: EXCHANGE,
    },
    Cloud {
        name: "ppe",
        also: &[],
        hosts: &["login.windows-ppe.net", "sts.windows-ppe.net", "login.microsoft-ppe.com"],
        issuers: &[],
        regional: "login.windows-ppe.net",
        exchange: EXCHANGE,
    },
];

/// The audience of federated credentials where a cloud has none of its own ("Configure an application to trust a managed identity").
pub const EXCHANGE: &str = "api://AzureADTokenExchange";

/// The German cloud's host, which instance discovery still names.
const CLOSED: &str = "login.microsoftonline.de";

impl Cloud {
    /// The cloud by its short name, in any case, with or without separators: `public`, `usgov`, `china`, `bleu`, `delos`, `govsg`, or another name for one.
    pub fn named(name: &str) -> Result<&'static Cloud> {
        let plain: String = name
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '_'))
            .map(|c| c.to_ascii_lowercase())
            .collect();
        if matches!(plain.as_str(), "germany" | "azuregermancloud" | "azuregermany") {
            return Err(closed());
        }
        CLOUDS
            .iter()
            .find(|cloud| cloud.name == plain || cloud.also.contains(&plain.as_str()))
            .ok_or_else(|| {
                Error::argument(
                    format!("cloud \"{name}\" is not known"),
                    "use public (also for GCC), usgov (also for GCC High and DoD), china, bleu, delos or govsg, or name the authority by its URL",
                )
            })
    }

    /// The cloud that a host belongs to.
    pub fn of_host(host: &str) -> Option<&'static Cloud> {
        CLOUDS.iter().find(|cloud| cloud.hosts.contains(&host))
    }

    /// The host requests go to.
    pub fn network_host(&self) -> &'static str {
        self.hosts.first().copied().unwrap_or_default()
    }

    /// True if `host` can stand in this cloud's `iss`.
    pub fn issues_from(&self, host: &str) -> bool {
        self.hosts.contains(&host) || self.issuers.contains(&host)
    }

    /// The host of a region's own token endpoint.
    pub fn regional_host(&self, region: &str) -> String {
        format!("{region}.{}", self.regional)
    }
}

/// Refuses a host whose cloud exists no more.
pub fn check_open(host: &str) -> Result<()> {
    if host == CLOSED { Err(closed()) } else { Ok(()) }
}

fn closed() -> Error {
    Error::argument(
        "the cloud Microsoft Azure Germany (login.microsoftonline.de) was closed in October 2021",
        "use the cloud the tenant was moved to, for most login.microsoftonline.com; the sovereign cloud in Germany of today is delos",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn clouds_are_found_by_the_names_people_use_and_by_host() {
        for (name, host) in [
            ("public", "login.microsoftonline.com"),
            ("AzureCloud", "login.microsoftonline.com"),
            ("GCC", "login.microsoftonline.com"),
            ("usgov", "login.microsoftonline.us"),
            ("GCC High", "login.microsoftonline.us"),
            ("DoD", "login.microsoftonline.us"),
            ("AzureChinaCloud", "login.partner.microsoftonline.cn"),
            ("Bleu", "login.sovcloud-identity.fr"),
            ("delos", "login.sovcloud-identity.de"),
            ("gov-sg", "login.sovcloud-identity.sg"),
        ] {
            assert_eq!(Cloud::named(name).unwrap().network_host(), host, "{name}");
        }
        for bad in ["", "moon", "login.microsoftonline.com"] {
            assert_eq!(Cloud::named(bad).unwrap_err().code(), Code::BadArgument, "{bad}");
        }
        assert!(Cloud::named("germany").unwrap_err().message().contains("2021"));
        assert_eq!(Cloud::of_host("login.chinacloudapi.cn").unwrap().name, "china");
        assert!(Cloud::of_host("login.microsoftonline.com.evil.example").is_none());
    }

    #[test]
    fn no_host_and_no_name_belongs_to_two_clouds() {
        let mut hosts: Vec<&str> = CLOUDS.iter().flat_map(|cloud| cloud.hosts).copied().collect();
        let mut names: Vec<&str> = CLOUDS
            .iter()
            .flat_map(|cloud| cloud.also.iter().chain([&cloud.name]))
            .copied()
            .collect();
        for list in [&mut hosts, &mut names] {
            let before = list.len();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), before);
        }
    }

    #[test]
    fn regional_hosts_are_those_that_msal_asks() {
        let host = |cloud: &str| Cloud::named(cloud).unwrap().regional_host("westeurope");
        assert_eq!(host("public"), "westeurope.login.microsoft.com");
        assert_eq!(host("usgov"), "westeurope.login.microsoftonline.us");
        assert_eq!(host("china"), "westeurope.login.partner.microsoftonline.cn");
    }
}
