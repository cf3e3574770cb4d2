//! Which proxy is used, and the check of what the environment says about it.

use url::Url;

use crate::error::{Error, Result};

/// Where requests go first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// What the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) or the operating system says.
    System,
    /// Straight to the host.
    None,
    /// This proxy, for everything but loopback.
    Explicit(Url),
}

impl Proxy {
    /// Reads the `proxy` setting: `system`, `none`, or an `http://` or `https://` URL.
    pub fn parse(text: &str) -> Result<Proxy> {
        match text {
            "system" => Ok(Proxy::System),
            "none" => Ok(Proxy::None),
            url => {
                let url = parse_url(url, "proxy")?;
                if !url.username().is_empty() || url.password().is_some() {
                    return Err(Error::argument(
                        "proxy: user name and password do not belong into the setting",
                        "set them in the HTTPS_PROXY environment variable of this process instead",
                    ));
                }
                Ok(Proxy::Explicit(url))
            }
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

    /// How the proxy is described to a person: its host, never its credentials.
    pub fn describe(&self) -> String {
        match self {
            Proxy::System => "system".to_owned(),
            Proxy::None => "none".to_owned(),
            Proxy::Explicit(url) => {
                format!(
                    "{}://{}:{}",
                    url.scheme(),
                    url.host_str().unwrap_or_default(),
                    url.port_or_known_default().unwrap_or(0)
                )
            }
        }
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
        assert_eq!(Proxy::parse("none").unwrap(), Proxy::None);
        assert_eq!(
            Proxy::parse("http://proxy.example:3128").unwrap().describe(),
            "http://proxy.example:3128"
        );
        for bad in ["ftp://x", "http://", "nonsense", "http://user:hunter2@proxy.example"] {
            let error = Proxy::parse(bad).unwrap_err();
            assert!(error.hint().is_some());
            assert!(!format!("{error}").contains("hunter2"), "{error}");
        }
    }
}
