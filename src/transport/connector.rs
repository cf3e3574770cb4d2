//! The emulator in place of Microsoft's hosts: the one spot where an address changes on its way out.
//!
//! Everything above keeps Microsoft's names; `https://HOST/PATH` leaves as `http://127.0.0.1:PORT/HOST/PATH`. Before the first request the
//! emulator proves that it knows the one-time key, so nothing reaches a stranger that took over its port.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::Deserialize;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;
use url::{Host, Url};

use crate::clock::Random;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// Host names, or their parents, that are Microsoft's for what this library does.
const MICROSOFT: &[&str] = &[
    "microsoftonline.com",
    "microsoftonline.us",
    "microsoftonline.de",
    "chinacloudapi.cn",
    "partner.microsoftonline.cn",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
    "usgovcloudapi.net",
    "login.sovcloud-identity.fr",
    "login.sovcloud-identity.de",
    "login.sovcloud-identity.sg",
    "b2clogin.com",
    "ciamlogin.com",
    "security.microsoft.com",
    "security.microsoft.us",
    "securitycenter.microsoft.com",
    "securitycenter.windows.com",
    "securitycenter.microsoft.us",
    // The instance metadata service.
    "169.254.169.254",
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    // The emulator's own AD FS and OpenID provider, under names that no machine has (RFC 2606).
    "adfs.fabrikam.example",
    "id.fabrikam.example",
];

/// A running `defender-emulator` that stands in for Microsoft's hosts.
pub struct Emulator {
    origin: Url,
    origin_text: String,
    key: Secret,
    proven: AtomicBool,
    proving: Mutex<()>,
}

#[derive(Deserialize)]
struct Hello {
    proof: String,
}

impl Emulator {
    /// Reads the value that `defender-emulator serve` printed: `http://127.0.0.1:PORT/KEY`.
    pub fn parse(value: &str) -> Result<Emulator> {
        let bad = || {
            Error::argument(
                "DEFENDER_XDR_EMULATOR is not an emulator's address",
                "set it to the \"emulator\" value that `defender-emulator serve` printed, or remove it to reach Microsoft's services",
            )
        };
        let url = Url::parse(value.trim()).map_err(|_| bad())?;
        let key = url.path().trim_matches('/');
        if url.scheme() != "http" || !is_loopback(&url) || key.len() < 16 || key.contains('/') || url.port().is_none() {
            return Err(bad());
        }
        let key = Secret::new(key.to_owned());
        let mut origin = url;
        origin.set_path("/");
        origin.set_query(None);
        origin.set_fragment(None);
        let origin_text = origin.as_str().trim_end_matches('/').to_owned();
        Ok(Emulator {
            origin,
            origin_text,
            key,
            proven: AtomicBool::new(false),
            proving: Mutex::new(()),
        })
    }

    /// `http://127.0.0.1:PORT`, without the key.
    pub fn origin(&self) -> &str {
        &self.origin_text
    }

    /// The address on the wire for an address by name: loopback stays, Microsoft's hosts move, anything else is refused.
    pub fn rewrite(&self, url: &Url) -> Result<Url> {
        if is_loopback(url) {
            return Ok(url.clone());
        }
        let host = url.host_str().unwrap_or_default();
        let known = MICROSOFT
            .iter()
            .any(|name| host == *name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.')));
        if !known {
            return Err(Error::new(Code::Unsupported, format!("the emulator does not stand in for {host}"))
                .with_hint("remove DEFENDER_XDR_EMULATOR to reach other hosts than Microsoft's"));
        }
        let mut wire = self.origin.clone();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        wire.set_path(&format!("/{host}{port}{}", url.path()));
        wire.set_query(url.query());
        Ok(wire)
    }

    /// Forgets the proof: something went wrong since.
    pub fn doubt(&self) {
        self.proven.store(false, Ordering::Release);
    }

    /// Lets the emulator prove that it knows the key, unless it did. `get` fetches an address and returns the body of a 200.
    pub async fn prove<F>(&self, random: &dyn Random, get: impl FnOnce(Url) -> F) -> Result<()>
    where
        F: Future<Output = Result<bytes::Bytes>>,
    {
        if self.proven.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one_at_a_time = self.proving.lock().await;
        if self.proven.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut nonce = [0u8; 32];
        random.fill(&mut nonce)?;
        let challenge = BASE64URL.encode(nonce);
        let mut url = self.origin.clone();
        url.set_path("/.emulator/hello");
        url.query_pairs_mut().append_pair("challenge", &challenge);
        let stranger = || {
            let message = format!("what answers at {} is not the emulator of DEFENDER_XDR_EMULATOR", self.origin_text);
            Error::new(Code::Connect, message).with_hint("start `defender-emulator serve` again and use the value it prints")
        };
        let body = get(url).await.map_err(|error| match error.code() {
            Code::Connect => Error::new(
                Code::Connect,
                format!("nothing answers at {}, where DEFENDER_XDR_EMULATOR points", self.origin_text),
            )
            .with_hint("start `defender-emulator serve` again and use the value it prints, or remove DEFENDER_XDR_EMULATOR"),
            _ if error.is_network() => stranger(),
            _ => error,
        })?;
        let hello: Hello = serde_json::from_slice(&body).map_err(|_| stranger())?;
        let proof = BASE64URL.decode(hello.proof).map_err(|_| stranger())?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.expose().as_bytes());
        hmac::verify(&key, challenge.as_bytes(), &proof).map_err(|_| stranger())?;
        self.proven.store(true, Ordering::Release);
        Ok(())
    }
}

/// True if the URL's host is this machine's own loopback.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator() -> Emulator {
        Emulator::parse("http://127.0.0.1:4000/0123456789abcdef0123").unwrap()
    }

    #[test]
    fn microsofts_hosts_move_to_loopback_and_others_are_refused() {
        let rewrite = |text: &str| emulator().rewrite(&Url::parse(text).unwrap());
        assert_eq!(
            rewrite("https://login.windows.net/common/oauth2/token?a=b%20c").unwrap().as_str(),
            "http://127.0.0.1:4000/login.windows.net/common/oauth2/token?a=b%20c"
        );
        assert_eq!(
            rewrite("https://api.security.microsoft.com/api/incidents?$top=1").unwrap().as_str(),
            "http://127.0.0.1:4000/api.security.microsoft.com/api/incidents?$top=1"
        );
        assert_eq!(rewrite("http://127.0.0.1:9/x").unwrap().as_str(), "http://127.0.0.1:9/x");
        for other in [
            "https://example.com/",
            "https://evilsecurity.microsoft.com.example/",
            "https://xlogin.windows.net/",
        ] {
            assert_eq!(rewrite(other).unwrap_err().code(), Code::Unsupported, "{other}");
        }
    }

    #[test]
    fn only_a_loopback_address_with_a_key_is_taken() {
        for bad in [
            "",
            "http://127.0.0.1:4000/",
            "https://127.0.0.1:4000/0123456789abcdef",
            "http://10.0.0.1:4000/0123456789abcdef",
            "http://127.0.0.1/0123456789abcdef",
        ] {
            assert_eq!(Emulator::parse(bad).err().map(|e| e.code()), Some(Code::BadArgument), "{bad}");
        }
    }
}
