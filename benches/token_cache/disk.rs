//! A token that a process finds on disk, from the first line of a program to the token in hand.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::emulator::Process;
use crate::library::Library;
use crate::report::{Figure, Goal, Report};

/// The secret of the emulator's app.
pub const SECRET: &str = "emu8Q~runbook.secret.for.tests.only-1";
const LIMIT_MS: u32 = 60_000;
const ROUNDS: usize = 31;
/// How many tokens are stored for one figure.
const STORES: usize = 21;

/// What a child process needs to ask for a token with a cache on disk.
pub struct Place {
    settings: Value,
    folder: tempfile::TempDir,
}

impl Place {
    /// The cache is on disk, so the emulator stands behind TLS, as Entra does: what is meant for an emulator is never kept.
    pub fn new(emulator: &Process, library: &Path, plain_text: bool) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let settings = json!({
            "library": library,
            "config": {
                "emulator": "", "proxy": "none", "ca_file": emulator.text("ca_file"),
                "cache": {"name": "bench", "persist": true, "plain_text": plain_text, "directory": folder.path()},
            },
            "request": {
                "grant": "client_credentials",
                "authority": format!("{}/{}", emulator.text("tls_origin"), emulator.text("tenant_id")),
                "client_id": emulator.text("confidential_client_id"),
                "resource": "https://api.security.microsoft.com",
            },
        });
        Ok(Self { settings, folder })
    }

    /// This program again, as one that asks.
    pub fn command(&self, what: &str) -> Result<Command, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(own);
        command.args([what, &self.settings.to_string()]);
        command
            .env_remove("DEFENDER_XDR_EMULATOR")
            .env_remove("DEFENDER_XDR_LOG")
            // The kernel's keyring: a Secret Service is another program, whose time is its own.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        Ok(command)
    }

    /// Runs it; what it said, and its whole time in milliseconds.
    fn run(&self, what: &str) -> Result<(Value, f64), String> {
        let mut command = self.command(what)?;
        let started = Instant::now();
        let output = command.output().map_err(|error| error.to_string())?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("a process that was to do \"{what}\" failed: {}", text.trim()));
        }
        Ok((serde_json::from_str(&text).unwrap_or_default(), took))
    }

    /// The file in plain text gets so many tokens of other keys; whoever reads it next finds them all.
    fn fill(&self, entries: usize) -> Result<(), String> {
        let file = self.folder.path().join("bench.cache");
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let (header, body) = text.split_once('\n').ok_or("no first line")?;
        let mut header: Value = serde_json::from_str(header).map_err(|error| error.to_string())?;
        let mut content: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let tokens = content["access_tokens"].as_array_mut().ok_or("no tokens")?;
        let one = tokens.first().ok_or("no token")?.clone();
        for number in tokens.len()..entries {
            let mut other = one.clone();
            let id: String = digest(&SHA256, &number.to_le_bytes())
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            other["id"] = json!(id);
            // Older than the one that is asked for, which would be dropped for them otherwise.
            tokens.insert(0, other);
        }
        let body = content.to_string();
        let version = header["defender_xdr_cache"].as_str().ok_or("no version")?.to_owned();
        header["mark"] = json!(STANDARD.encode(digest(&SHA256, format!("{version}\n{body}").as_bytes())));
        std::fs::write(&file, format!("{header}\n{body}")).map_err(|error| error.to_string())
    }

    /// Signs in once, so that the file has the token, and `entries - 1` others: more than one in plain text only, since nobody but the library can
    /// write an encrypted file.
    fn prepare(&self, entries: usize) -> Result<Value, String> {
        let first = self.run("ask")?.0;
        if first["source"] != "network" {
            return Err(format!("the first token came from somewhere else: {first}"));
        }
        if entries > 1 {
            self.fill(entries)?;
        }
        let second = self.run("ask")?.0;
        if second["source"] != "cache" || second["token"] != first["token"] {
            return Err(format!("the token was not found on disk: {second}"));
        }
        Ok(second)
    }

    /// Whether a key can be kept here.
    pub fn is_encrypted(&self) -> Result<bool, String> {
        Ok(self.run("ask")?.0["protection"] == "kernel_keyring")
    }

    fn size(&self) -> u64 {
        let file = self.folder.path().join("bench.cache");
        std::fs::metadata(file).map_or(0, |about| about.len())
    }
}

/// What a child does: asks for one token as any program would, and says where it came from and what each part took, in microseconds.
pub fn ask(settings: &str) -> Result<(), String> {
    let settings: Value = serde_json::from_str(settings).map_err(|error| error.to_string())?;
    let say = |failure: crate::library::Failure| failure.to_string();
    let path = settings["library"].as_str().ok_or("which library?")?;
    let started = Instant::now();
    let library = Library::load(Path::new(path))?;
    let loaded = started.elapsed();
    let client = library.client(&settings["config"]).map_err(say)?;
    let request = client.request(&settings["request"]).map_err(say)?;
    request
        .set_secret("client_secret", &library.secret(SECRET).map_err(say)?)
        .map_err(say)?;
    let prepared = started.elapsed();
    let token = request.acquire(LIMIT_MS).map_err(say)?;
    let done = started.elapsed();
    let about = token.describe().map_err(say)?;
    let protection = client.describe().map_err(say)?["cache_protection"].take();
    let micros = |duration: std::time::Duration| duration.as_secs_f64() * 1e6;
    println!(
        "{}",
        json!({
            "token": digest(&SHA256, token.value()).as_ref().first(), "source": about["source"], "protection": protection,
            "load": micros(loaded), "prepare": micros(prepared - loaded), "token_us": micros(done - prepared), "all": micros(done - loaded),
        })
    );
    Ok(())
}

/// What a child does: fetches a token again and again, in turns with a cache on disk and with none, and says what each call took, in milliseconds.
pub fn store(settings: &str) -> Result<(), String> {
    let settings: Value = serde_json::from_str(settings).map_err(|error| error.to_string())?;
    let say = |failure: crate::library::Failure| failure.to_string();
    let library = Library::load(Path::new(settings["library"].as_str().ok_or("which library?")?))?;
    let mut memory = settings["config"].clone();
    memory["cache"] = json!("private");
    let secret = library.secret(SECRET).map_err(say)?;
    let clients = [
        library.client(&settings["config"]).map_err(say)?,
        library.client(&memory).map_err(say)?,
    ];
    let mut requests = Vec::new();
    for client in &clients {
        let request = client.request(&settings["request"]).map_err(say)?;
        request.set_secret("client_secret", &secret).map_err(say)?;
        // The first look at the file is another figure's.
        request.acquire(LIMIT_MS).map_err(say)?;
        let mut always = settings["request"].clone();
        always["cache"] = json!("skip");
        let request = client.request(&always).map_err(say)?;
        request.set_secret("client_secret", &secret).map_err(say)?;
        requests.push(request);
    }
    let mut took: [Vec<f64>; 2] = Default::default();
    for round in 0..STORES + 3 {
        for step in 0..2 {
            let which = (round + step) % 2;
            let (Some(request), Some(took)) = (requests.get(which), took.get_mut(which)) else {
                continue;
            };
            let started = Instant::now();
            let token = request.acquire(LIMIT_MS).map_err(say)?;
            let ms = started.elapsed().as_secs_f64() * 1e3;
            if token.describe().map_err(say)?["source"] != "network" {
                return Err("a token came from the cache".to_owned());
            }
            if round >= 3 {
                took.push(ms);
            }
        }
    }
    let protection = clients.first().ok_or("no client")?.describe().map_err(say)?["cache_protection"].take();
    println!("{}", json!({"disk": took[0], "memory": took[1], "protection": protection}));
    Ok(())
}

/// What storing a token costs in a process that has seen the file.
fn stores(report: &mut Report, place: &Place, (ids, what): ([&'static str; 2], &str)) -> Result<(), String> {
    let said = place.run("store")?.0;
    let samples =
        |name: &str| -> Result<Vec<f64>, String> { serde_json::from_value(said[name].clone()).map_err(|error| error.to_string()) };
    let memory = Figure::new(ids[0], "a token from the service, kept in memory", "ms", samples("memory")?);
    let disk = Figure::new(ids[0], format!("one that is stored, too: {what}"), "ms", samples("disk")?);
    report.figure(&memory);
    report.figure(&disk);
    report.derived(ids[1], "more for storing it", disk.median() - memory.median(), "ms", None);
    Ok(())
}

/// The same up to the library being loaded: what is not the cache's doing.
pub fn load(settings: &str) -> Result<(), String> {
    let settings: Value = serde_json::from_str(settings).map_err(|error| error.to_string())?;
    Library::load(Path::new(settings["library"].as_str().ok_or("which library?")?)).map(|_| ())
}

/// Whole processes, in turns: one that does nothing, one that loads the library, and those that find a token on disk.
pub fn silent(report: &mut Report, library: &Path, emulator: &Process) -> Result<(), String> {
    for entries in [1_usize, 1_000, 10_000] {
        let plain = Place::new(emulator, library, true)?;
        let sealed = Place::new(emulator, library, false)?;
        plain.prepare(entries)?;
        let keyed = if entries == 1 { sealed.prepare(entries)? } else { Value::Null };
        let encrypted = keyed["protection"] == "kernel_keyring";
        if entries == 1 && !encrypted {
            report.skipped(
                "disk_sealed",
                &format!("no key of the kernel's keyring here: {}", keyed["protection"]),
            );
        }
        let mut whole: [Vec<f64>; 4] = Default::default();
        let mut inner: [Vec<f64>; 2] = Default::default();
        let [nothing, loaded, in_plain, in_sealed] = &mut whole;
        let [plain_us, sealed_us] = &mut inner;
        for round in 0..ROUNDS + 3 {
            let mut took = [0.0; 4];
            let mut parts = [0.0; 2];
            for step in 0..4 {
                match (round + step) % 4 {
                    0 => took[0] = plain.run("nothing")?.1,
                    1 => took[1] = plain.run("load")?.1,
                    2 => (parts[0], took[2]) = found(&plain)?,
                    _ if encrypted => (parts[1], took[3]) = found(&sealed)?,
                    _ => {}
                }
            }
            // The first rounds are warm-up.
            if round >= 3 {
                nothing.push(took[0]);
                loaded.push(took[1]);
                in_plain.push(took[2]);
                plain_us.push(parts[0]);
                if encrypted {
                    in_sealed.push(took[3]);
                    sealed_us.push(parts[1]);
                }
            }
        }
        report.section(&format!(
            "A token from disk in a new process; the file holds {entries}: {} bytes in plain text{}",
            plain.size(),
            if encrypted {
                format!(", {} encrypted", sealed.size())
            } else {
                String::new()
            }
        ));
        let [nothing, loaded, in_plain, in_sealed] = whole;
        let [plain_us, sealed_us] = inner;
        let nothing = Figure::new("disk_nothing", "a process that does nothing", "ms", nothing);
        let loaded = Figure::new("disk_load", "one that loads the library", "ms", loaded);
        report.figure(&nothing);
        report.figure(&loaded);
        let goal = (entries == 1).then(|| Goal::aim_at_most(3.0));
        for (ids, what, whole, inner, goal) in [
            (
                ["disk_plain", "disk_plain_own", "disk_plain_inner"],
                "plain text",
                in_plain,
                plain_us,
                None,
            ),
            (
                ["disk_sealed", "disk_sealed_own", "disk_sealed_inner"],
                "encrypted, key in the kernel's keyring",
                in_sealed,
                sealed_us,
                goal,
            ),
        ] {
            if whole.is_empty() {
                continue;
            }
            let whole = Figure::new(ids[0], format!("one that gets the token: {what}"), "ms", whole);
            report.figure(&whole);
            report.figure(&Figure::new(
                ids[2],
                "  of it from the client to the token, as the process sees it",
                "us",
                inner,
            ));
            report.derived(
                ids[1],
                "more than the one that loads the library",
                whole.median() - loaded.median(),
                "ms",
                goal,
            );
            report.derived(
                ids[1],
                "more than the one that does nothing",
                whole.median() - nothing.median(),
                "ms",
                None,
            );
        }
        stores(report, &plain, (["disk_store", "disk_store_own"], "plain text"))?;
        if encrypted {
            stores(report, &sealed, (["disk_store_sealed", "disk_store_sealed_own"], "encrypted"))?;
        }
    }
    Ok(())
}

/// The time from the client to the token in microseconds, and that of the whole process in milliseconds.
fn found(place: &Place) -> Result<(f64, f64), String> {
    let (said, took) = place.run("ask")?;
    if said["source"] != "cache" {
        return Err(format!("the token was not found on disk: {said}"));
    }
    Ok((said["all"].as_f64().ok_or("no time")?, took))
}
