//! A client's settings, from JSON.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::cache::store::Wanted;
use crate::auth::environment::Environment;
use crate::auth::{AppWindows, file};
use crate::defender::Pacing;
use crate::defender::calls::pacing_of;
use crate::document;
use crate::error::{Error, Result};
use crate::transport::loopback::Pages;
use crate::transport::{Emulator, Proxy, Settings};

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Document {
    application: Option<String>,
    cache: Option<Value>,
    proxy: Option<String>,
    proxy_user: Option<String>,
    no_proxy: Option<String>,
    ca_file: Option<String>,
    connect_timeout_ms: Option<u64>,
    timeout_ms: Option<u64>,
    emulator: Option<String>,
    browser: Option<String>,
    success_page: Option<String>,
    failure_page: Option<String>,
    environment: BTreeMap<String, Option<String>>,
    pacing: Option<String>,
}

/// The long form of `cache`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheDocument {
    name: String,
    #[serde(default)]
    persist: bool,
    #[serde(default)]
    plain_text: bool,
    directory: Option<PathBuf>,
}

/// The largest file of certificates to trust, in bytes. All of Mozilla's have some 230 KiB.
const ROOTS_LIMIT: u64 = 16 << 20;

/// Checked settings.
pub struct Config {
    /// How connections are made.
    pub settings: Settings,
    /// `private`, or the name of a cache of the process.
    pub cache: String,
    /// What the cache's copy on disk is to be, if it has one.
    pub persistent: Option<Wanted>,
    /// The emulator that stands in for Microsoft's hosts.
    pub emulator: Option<Emulator>,
    /// Which browser shows app windows.
    pub app_windows: AppWindows,
    /// What a browser shows at the end of a sign-in over loopback.
    pub pages: Pages,
    /// The place, as the caller describes it.
    pub place: Environment,
    /// Whether calls keep to the services' documented limits.
    pub pacing: Pacing,
}

impl Config {
    /// Reads and checks the document.
    pub fn parse(json: &[u8]) -> Result<Config> {
        let document: Document = document::from_caller(json, "client configuration")?;
        let proxy = Proxy::parse(
            document.proxy.as_deref().unwrap_or("system"),
            document.proxy_user.as_deref(),
            document.no_proxy.as_deref(),
        )?;
        let roots = document.ca_file.map(|path| read_roots(&path)).transpose()?;
        let application = document.application.unwrap_or_default();
        if application.len() > 200 || application.bytes().any(|b| !(b' '..=b'~').contains(&b)) {
            return Err(Error::argument(
                "application is longer than 200 characters or holds others than printable ASCII",
                "write it as Name/Version",
            ));
        }
        let mut user_agent = format!(
            "defender-xdr/{} ({}; {})",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH
        );
        if !application.is_empty() {
            user_agent = format!("{application} {user_agent}");
        }
        // The setting wins over the environment: two clients of one process may use two emulators.
        let emulator = document
            .emulator
            .or_else(|| std::env::var("DEFENDER_XDR_EMULATOR").ok())
            .filter(|value| !value.trim().is_empty());
        let emulator = emulator.map(|value| Emulator::parse(&value)).transpose()?;
        let (cache, persistent) = cache_of(document.cache)?;
        let place = Environment::of_process(document.environment)?;
        let app_windows = match (document.browser, place.get("DEFENDER_XDR_BROWSER")) {
            (Some(named), _) => AppWindows::parse(&named, "browser")?,
            (None, Some(named)) => AppWindows::parse(&named, "DEFENDER_XDR_BROWSER")?,
            (None, None) => AppWindows::default(),
        };
        Ok(Config {
            settings: Settings {
                user_agent,
                proxy,
                roots,
                connect_timeout: millis(document.connect_timeout_ms, 10_000, "connect_timeout_ms")?,
                timeout: millis(document.timeout_ms, 100_000, "timeout_ms")?,
            },
            cache,
            persistent,
            emulator,
            app_windows,
            pages: Pages::new(document.success_page, document.failure_page)?,
            place,
            pacing: document.pacing.map_or(Ok(Pacing::Auto), |name| pacing_of(&name))?,
        })
    }
}

/// The cache's name, and what its copy on disk is to be.
fn cache_of(value: Option<Value>) -> Result<(String, Option<Wanted>)> {
    let document = match value {
        None | Some(Value::Null) => return Ok(("default".to_owned(), None)),
        Some(Value::String(name)) => CacheDocument {
            name,
            persist: false,
            plain_text: false,
            directory: None,
        },
        Some(value) => serde_json::from_value(value).map_err(|error| {
            Error::argument(
                format!("cache is not right: {error}"),
                "write its name, or {\"name\": ..., \"persist\": true}; the header describes the other keys",
            )
        })?,
    };
    if document.name.is_empty() || document.name.len() > 100 {
        return Err(Error::argument(
            "cache is empty or longer than 100 characters",
            "use \"default\", a name of your own, or \"private\"",
        ));
    }
    if !document.persist {
        if document.plain_text || document.directory.is_some() {
            return Err(Error::argument(
                "plain_text and directory are of a cache on disk, and this one is in memory",
                "add \"persist\": true, or leave them out",
            ));
        }
        return Ok((document.name, None));
    }
    if document.name == "private" {
        return Err(Error::argument("a private cache is never on disk", "give it a name of its own"));
    }
    let wanted = Wanted {
        name: document.name.clone(),
        plain_text: document.plain_text,
        // One folder, one name: without a slash at its end, by which a link would be followed.
        directory: document.directory.map(|directory| directory.components().collect()),
    };
    wanted.check()?;
    Ok((document.name, Some(wanted)))
}

fn millis(value: Option<u64>, default: u64, name: &str) -> Result<Duration> {
    match value.unwrap_or(default) {
        ms @ 1..=86_400_000 => Ok(Duration::from_millis(ms)),
        _ => Err(Error::argument(format!("{name} is outside 1 to 86400000"), "give milliseconds")),
    }
}

fn read_roots(path: &str) -> Result<Vec<u8>> {
    if !Path::new(path).is_absolute() {
        return Err(Error::argument(
            format!("ca_file \"{path}\" is not an absolute path"),
            "give the full path of a PEM file",
        ));
    }
    let unusable = |why: &str| Error::argument(format!("ca_file \"{path}\" {why}"), "give the full path of a readable PEM file");
    let cannot = |error: std::io::Error| unusable(&format!("cannot be read: {}", file::reason(&error)));
    let (file, _) = file::open(Path::new(path)).map_err(cannot)?;
    let mut pem = Vec::new();
    file.take(ROOTS_LIMIT + 1).read_to_end(&mut pem).map_err(cannot)?;
    if u64::try_from(pem.len()).unwrap_or(u64::MAX) > ROOTS_LIMIT {
        return Err(unusable("is larger than 16 MiB"));
    }
    Ok(pem)
}
