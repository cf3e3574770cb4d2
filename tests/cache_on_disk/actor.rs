//! A process that lives on between calls and does what the test says: what happens to it when others change disk and keyring under it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::error::Error;
use defender_xdr::secret::Secret;
use serde_json::{Value, json};

use super::sign_outs::{silent, with_code};
use crate::disk::Ask;

const ACTS: &str = "DXDR_TEST_ACTOR";
const MARK: &str = "ACTED ";

/// Such a process.
pub struct Actor {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    config: Value,
}

impl Actor {
    /// One with a client of these settings, where there is no session with a Secret Service.
    pub fn new(ask: &Ask) -> Actor {
        Actor::under(ask, &[])
    }

    /// The same, started by other words.
    pub fn under(ask: &Ask, words: &[String]) -> Actor {
        let test = std::env::current_exe().unwrap();
        let mut command = match words {
            [] => Command::new(test),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(test);
                command
            }
        };
        command.args(["actor::acting_process", "--exact", "--nocapture"]);
        command
            .env(ACTS, "yes")
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            .env_remove("XDG_RUNTIME_DIR");
        Actor::by(ask, command)
    }

    fn by(ask: &Ask, mut command: Command) -> Actor {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (orders, said) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut actor = Actor {
            child,
            orders,
            lines: BufReader::new(said).lines(),
            config: ask.config.clone(),
        };
        actor.client();
        actor
    }

    /// Its process: the words that start one become it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn act(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        let answer: Option<Value> = self.lines.by_ref().map(Result::unwrap).find_map(|line| {
            let (_, answer) = line.split_once(MARK)?;
            Some(serde_json::from_str(answer).unwrap())
        });
        answer.unwrap_or_else(|| panic!("it ended at {order}"))
    }

    /// Makes a new client of the same settings, which later orders use.
    pub fn client(&mut self) {
        let order = json!({"do": "client", "config": self.config});
        assert_eq!(self.act(&order), json!("OK"));
    }

    /// Gets a token: "OK" or the error's name, and the names of the warnings.
    pub fn get(&mut self, ask: &Ask) -> (String, Vec<String>) {
        let answer = self.act(&json!({"do": "get", "document": ask.document, "secrets": ask.secrets}));
        (
            answer["name"].as_str().unwrap().to_owned(),
            serde_json::from_value(answer["warned"].clone()).unwrap(),
        )
    }

    /// A person signs in with a code.
    pub fn sign_in(&mut self, ask: &Ask, code: &str) -> Vec<String> {
        let (name, warned) = self.get(&with_code(ask, code));
        assert_eq!(name, "OK");
        warned
    }

    /// A token without asking anybody: "OK" or the error's name.
    pub fn silently(&mut self, ask: &Ask, resource: &str) -> String {
        self.get(&silent(ask, resource)).0
    }

    /// The accounts as they are listed.
    pub fn accounts(&mut self) -> Value {
        self.act(&json!({"do": "accounts"}))
    }

    /// Their names, and the names of the warnings.
    pub fn listed(&mut self) -> (Vec<String>, Vec<String>) {
        let listed = self.accounts();
        let of = |list: &str, name: &str| {
            let list = listed[list].as_array().unwrap().iter();
            list.map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
        };
        (of("accounts", "username"), of("warnings", "name"))
    }

    /// Clears the cache: "OK" or the error's name and message.
    pub fn clear(&mut self) -> String {
        self.act(&json!({"do": "clear"})).as_str().unwrap().to_owned()
    }

    /// Signs an account out: "OK" or the error's name and message.
    pub fn remove(&mut self, name: &str) -> String {
        self.act(&json!({"do": "remove", "name": name})).as_str().unwrap().to_owned()
    }

    /// How the file is protected.
    pub fn protection(&mut self) -> Value {
        self.act(&json!({"do": "describe"}))["cache_protection"].clone()
    }

    /// How many refresh tokens of [`crate::disk::issuing`] are anywhere in its memory.
    #[cfg(target_os = "linux")]
    pub fn refresh_tokens_in_memory(&mut self) -> u64 {
        self.act(&json!({"do": "scan"})).as_u64().unwrap()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn outcome(done: Result<(), Error>) -> Value {
    json!(done.map_or_else(
        |error| format!("{}: {}", error.code().name(), error.message()),
        |()| "OK".to_owned()
    ))
}

fn get(client: &Arc<Client>, order: &Value) -> Value {
    let mut warned = Vec::new();
    let done = (|| {
        let request = PreparedRequest::new(client, order["document"].to_string().as_bytes())?;
        let secrets: Vec<(String, String)> = serde_json::from_value(order["secrets"].clone()).unwrap();
        for (name, value) in secrets {
            request.set_secret(&name, &Secret::new(value))?;
        }
        let running = request.acquire(true, None)?;
        while running.wait(Duration::from_secs(60)) == State::Event {
            while let Some(event) = running.take_event() {
                if event.to_json()["kind"] == "warning" {
                    warned.push(event.to_json()["name"].clone());
                }
            }
        }
        running.error().map_or(Ok(()), Err)
    })();
    let name = done.map_or_else(|error| error.code().name().to_owned(), |()| "OK".to_owned());
    json!({"name": name, "warned": warned})
}

/// In a copy: does what it is told, line by line.
#[test]
fn acting_process() {
    if std::env::var_os(ACTS).is_none() {
        return;
    }
    let mut client = None;
    for line in std::io::stdin().lines().map(Result::unwrap) {
        let order: Value = serde_json::from_str(&line).unwrap();
        let acting = client.as_ref();
        let answer = match order["do"].as_str().unwrap() {
            "client" => {
                client = Some(Client::new(order["config"].to_string().as_bytes()).unwrap());
                json!("OK")
            }
            "get" => get(acting.unwrap(), &order),
            "accounts" => acting.unwrap().accounts().unwrap(),
            "describe" => acting.unwrap().describe(),
            "clear" => outcome(acting.unwrap().clear_cache()),
            "remove" => outcome(acting.unwrap().remove_account(order["name"].as_str().unwrap())),
            #[cfg(target_os = "linux")]
            "scan" => json!(scan()),
            other => panic!("{other}"),
        };
        println!("\n{MARK}{answer}");
    }
}

/// How many different refresh tokens are in memory that can be written to.
#[cfg(target_os = "linux")]
fn scan() -> usize {
    use std::io::{Read, Seek, SeekFrom};
    let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let start = ["canary", "-refresh-"].concat().into_bytes();
    let mut found = std::collections::HashSet::new();
    for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
        let range = line.split(' ').next().unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        memory.seek(SeekFrom::Start(from)).unwrap();
        if memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        for at in 0..bytes.len() {
            let Some(rest) = bytes[at..].strip_prefix(&start[..]) else {
                continue;
            };
            let number: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).collect();
            if rest[number.len()..].starts_with(b"-01234") {
                found.insert(number);
            }
        }
        // Nothing of it is to be found again.
        bytes.fill(0);
    }
    found.len()
}

/// A file of a folder as text, or nothing.
pub fn text(folder: &Path, name: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(folder.join(name)).unwrap_or_default()).into_owned()
}
