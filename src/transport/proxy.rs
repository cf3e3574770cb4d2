//! Which proxy is used, what goes past it, and the check of what the environment says about it.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper_util::client::proxy::matcher::Matcher;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::connector::is_loopback;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// Where requests go first. Loopback and link-local addresses, the instance metadata service among them, are never proxied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// What the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) or the operating system says.
    System,
    /// Straight to the host.
    None,
    /// One proxy of the caller's.
    Explicit(Explicit),
}

/// A proxy of the caller's. Its password is no part of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explicit {
    url: Url,
    user: Option<String>,
    /// Hosts, domains, addresses and networks that are asked straight, comma-separated.
    exceptions: String,
}

impl Proxy {
    /// Reads the settings `proxy` (`system`, `none`, or an `http://` or `https://` URL), `proxy_user` and `no_proxy`.
    pub fn parse(text: &str, user: Option<&str>, exceptions: Option<&str>) -> Result<Proxy> {
        let proxy = match text {
            "system" => Proxy::System,
            "none" => Proxy::None,
            url => {
                let url = parse_url(url, "proxy")?;
                if !url.username().is_empty() || url.password().is_some() {
                    return Err(Error::argument(
                        "proxy: user name and password do not belong into the address",
                        "set proxy_user, and the secret proxy_password; or leave proxy out and set the HTTPS_PROXY variable of this process",
                    ));
                }
                let exceptions = exceptions.unwrap_or_default();
                exceptions
                    .split(',')
                    .map(str::trim)
                    .filter(|entry| !entry.is_empty())
                    .try_for_each(check_exception)?;
                if user.is_some_and(|user| user.is_empty() || user.contains(':') || user.chars().any(char::is_control)) {
                    return Err(Error::argument(
                        "proxy_user is empty or holds a colon or a control character",
                        "set it to the user name alone",
                    ));
                }
                return Ok(Proxy::Explicit(Explicit {
                    url,
                    user: user.map(str::to_owned),
                    exceptions: exceptions.to_owned(),
                }));
            }
        };
        match (user, exceptions) {
            (None, None) => Ok(proxy),
            _ => Err(Error::argument(
                format!("proxy_user and no_proxy belong to a proxy of your own, and proxy is \"{text}\""),
                "set proxy to http://HOST:PORT, or use the variables HTTPS_PROXY and NO_PROXY",
            )),
        }
    }

    /// Refuses a proxy variable that no client could use, before anything is sent around it.
    pub fn check_environment() -> Result<()> {
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            if let Ok(value) = std::env::var(name)
                && !value.trim().is_empty()
            {
                let text = if value.contains("://") { value } else { format!("http://{value}") };
                parse_url(&text, name)?;
            }
        }
        Ok(())
    }

    /// True if the proxy can be given a password.
    pub fn takes_password(&self) -> bool {
        matches!(self, Proxy::Explicit(Explicit { user: Some(_), .. }))
    }

    /// How the proxy is described to a person: its host, never its credentials.
    pub fn describe(&self) -> String {
        match self {
            Proxy::System => "system".to_owned(),
            Proxy::None => "none".to_owned(),
            Proxy::Explicit(explicit) => describe(&explicit.url),
        }
    }

    /// Sets an HTTP client up.
    pub(super) fn apply(&self, builder: reqwest::ClientBuilder, password: Option<&Secret>) -> Result<reqwest::ClientBuilder> {
        let Proxy::Explicit(explicit) = self else {
            return Ok(if *self == Proxy::None { builder.no_proxy() } else { builder });
        };
        let unusable = || Error::argument("proxy is not usable", "set proxy to http://HOST:PORT");
        let mut proxy = reqwest::Proxy::all(explicit.url.clone())
            .map_err(|_| unusable())?
            .no_proxy(reqwest::NoProxy::from_string(&explicit.exceptions));
        if let Some(user) = &explicit.user {
            // RFC 7617: a header of our own, so that no character of the password is taken for an escape.
            let pair = Zeroizing::new(format!("{user}:{}", password.map(Secret::expose).unwrap_or_default()));
            let text = Zeroizing::new(format!("Basic {}", Zeroizing::new(BASE64.encode(pair.as_bytes())).as_str()));
            let mut header = reqwest::header::HeaderValue::from_str(&text).map_err(|_| unusable())?;
            header.set_sensitive(true);
            proxy = proxy.custom_http_auth(header);
        }
        Ok(builder.no_proxy().proxy(proxy))
    }

    /// Tells which proxy an address goes through.
    pub(super) fn matcher(&self) -> Option<Matcher> {
        match self {
            Proxy::System => Some(Matcher::from_system()),
            Proxy::None => None,
            Proxy::Explicit(explicit) => Some(
                Matcher::builder()
                    .all(explicit.url.as_str())
                    .no(explicit.exceptions.as_str())
                    .build(),
            ),
        }
    }
}

/// The proxy that an address goes through, as `http://HOST:PORT`.
pub(super) fn on_the_way(matcher: &Matcher, wire: &Url) -> Option<String> {
    let intercept = matcher.intercept(&wire.as_str().parse().ok()?)?;
    Url::parse(&intercept.uri().to_string()).ok().map(|url| describe(&url))
}

/// True for addresses that no proxy can reach for us: this machine's own, and those of its link, where the instance metadata service and the
/// identity endpoints of Azure's hosting services are.
pub fn is_local(url: &Url) -> bool {
    is_loopback(url) || is_link_local(url)
}

/// True for a link-local address (RFC 3927, RFC 4291 section 2.5.6). Packets to it leave the link never.
fn is_link_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_unicast_link_local(),
        _ => false,
    }
}

fn describe(url: &Url) -> String {
    format!(
        "{}://{}:{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or(0)
    )
}

/// Refuses an exception that would silently match nothing.
fn check_exception(entry: &str) -> Result<()> {
    let network = || -> Option<bool> {
        let (address, bits) = entry.split_once('/')?;
        let most = match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Some(bits.parse::<u8>().ok()? <= most)
    };
    let domain = || {
        let name = entry.strip_prefix('.').unwrap_or(entry);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let address = || entry.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    if entry == "*" || address() || domain() || network() == Some(true) {
        Ok(())
    } else {
        Err(Error::argument(
            format!("no_proxy: \"{entry}\" is no host, domain, address or network"),
            "separate entries by commas; a domain is written example.com or .example.com (it counts with all below it, *.example.com does not), a network 10.0.0.0/8",
        ))
    }
}

fn parse_url(text: &str, what: &str) -> Result<Url> {
    // The text may hold credentials, so no error repeats it.
    let bad = || {
        Error::argument(
            format!("{what} is not a proxy address"),
            format!("set {what} to http://HOST:PORT, or remove it"),
        )
    };
    let url = Url::parse(text).map_err(|_| bad())?;
    if url.host_str().is_none_or(str::is_empty) || !matches!(url.scheme(), "http" | "https") {
        return Err(bad());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_credentials_are_neither_taken_nor_repeated() {
        let parse = |text: &str| Proxy::parse(text, None, None);
        assert_eq!(parse("none").unwrap(), Proxy::None);
        assert_eq!(parse("http://proxy.example:3128").unwrap().describe(), "http://proxy.example:3128");
        assert_eq!(parse("http://[2001:db8::1]:3128").unwrap().describe(), "http://[2001:db8::1]:3128");
        for bad in [
            "ftp://x",
            "http://",
            "nonsense",
            "http://user:hunter2@proxy.example",
            "socks5://x:1",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.hint().is_some());
            assert!(!format!("{error}").contains("hunter2"), "{error}");
        }
        let with_user = |user| Proxy::parse("http://proxy.example", Some(user), None);
        assert!(with_user("CORP\\adele").unwrap().takes_password());
        for bad in ["", "a:b", "a\nb"] {
            assert!(with_user(bad).is_err(), "{bad:?}");
        }
        assert!(Proxy::parse("system", Some("adele"), None).is_err());
        assert!(Proxy::parse("none", None, Some("x")).is_err());
    }

    #[test]
    fn exceptions_are_hosts_domains_addresses_and_networks() {
        let through = |exceptions: &str, url: &str| {
            let proxy = Proxy::parse("http://proxy.example:3128", None, Some(exceptions)).unwrap();
            on_the_way(&proxy.matcher().unwrap(), &Url::parse(url).unwrap()).is_some()
        };
        for (exceptions, url, proxied) in [
            ("", "https://a.example", true),
            ("*", "https://a.example", false),
            ("example", "https://a.example", false),
            (".a.example", "https://a.example", false),
            (".a.example", "https://x.a.example", false),
            (".a.example, b.example", "https://b.example", false),
            ("a.example", "https://xa.example", true),
            ("10.0.0.0/8", "https://10.1.2.3", false),
            ("10.0.0.0/8", "https://11.1.2.3", true),
            ("2001:db8::/32", "https://[2001:db8::7]", false),
            ("2001:db8::7", "https://[2001:db8::8]", true),
        ] {
            assert_eq!(through(exceptions, url), proxied, "{exceptions} {url}");
        }
        for bad in ["*.a.example", "10.0.0.0/33", "http://a.example", "a b"] {
            assert!(Proxy::parse("http://proxy.example", None, Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_local_is_known_by_its_address() {
        let local = |text: &str| is_local(&Url::parse(text).unwrap());
        for yes in [
            "http://127.0.0.1:1",
            "http://localhost",
            "http://[::1]",
            "http://169.254.169.254/metadata",
            "http://[fe80::1]/",
        ] {
            assert!(local(yes), "{yes}");
        }
        for no in [
            "http://169.253.1.1",
            "https://10.0.0.1",
            "https://169.254.169.254.example",
            "http://[2001:db8::1]",
        ] {
            assert!(!local(no), "{no}");
        }
    }
}
