//! What the tests of a cache on disk share: the library as callers load it, in this process or another, and a folder to look into.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use defender_xdr::client::{Client, PreparedRequest};
use defender_xdr::secret::Secret;
use serde_json::{Value, json};

use crate::library::{Failure, Library, State};
use crate::scripted::{CLIENT, SECRET, Scripted, Step, TENANT};
use crate::support;

/// The one variable by which a test tells its copy what to do.
const TASK: &str = "DXDR_TEST_TASK";
/// What is in front of a copy's answer.
const MARK: &str = "ANSWER ";

/// One token call: of which client, for what, with which secrets.
#[derive(Clone)]
pub struct Ask {
    pub config: Value,
    pub document: Value,
    pub secrets: Vec<(String, String)>,
    pub limit_ms: u32,
}

/// Has the library make the cache's file, with nobody in it: a sign-in that may ask nobody does so, and finds nothing.
pub fn make_file(ask: &Ask) {
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    let mut document = ask.document.clone();
    document["cache"] = json!("only");
    let request = PreparedRequest::new(&client, document.to_string().as_bytes()).unwrap();
    for (name, value) in &ask.secrets {
        request.set_secret(name, &Secret::new(value.clone())).unwrap();
    }
    assert!(request.acquire_now(None, None).is_err());
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// `OK`, or the error's name.
    pub name: String,
    pub message: String,
    pub hint: String,
    pub token: String,
    /// `cache`, `network`, `interaction`.
    pub source: String,
    /// The warnings' documents, in their order.
    pub warnings: Vec<Value>,
    pub client: Value,
}

impl Outcome {
    /// The names of the warnings' codes.
    pub fn warned(&self) -> Vec<&str> {
        self.warnings
            .iter()
            .map(|warning| warning["name"].as_str().unwrap_or("?"))
            .collect()
    }

    fn to_json(&self) -> Value {
        json!({"name": self.name, "message": self.message, "hint": self.hint, "token": self.token, "source": self.source, "warnings": self.warnings, "client": self.client})
    }

    fn of(value: &Value) -> Outcome {
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        Outcome {
            name: text("name"),
            message: text("message"),
            hint: text("hint"),
            token: text("token"),
            source: text("source"),
            warnings: value["warnings"].as_array().unwrap().clone(),
            client: value["client"].clone(),
        }
    }
}

impl Ask {
    /// An app that signs in by itself, with a cache in plain text in that folder.
    pub fn app(server: &Scripted, folder: &Path) -> Ask {
        Ask {
            config: json!({"emulator": "", "proxy": "none", "cache": {"name": "test", "persist": true, "plain_text": true, "directory": folder}}),
            document: json!({"grant": "client_credentials", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "resource": "https://api.security.microsoft.com"}),
            secrets: vec![("client_secret".into(), SECRET.into())],
            limit_ms: 60_000,
        }
    }

    /// A person who signs in by name and password, and has a refresh token then.
    pub fn person(server: &Scripted, folder: &Path, name: &str) -> Ask {
        let mut ask = Ask::app(server, folder);
        ask.document["grant"] = json!("password");
        ask.document["username"] = json!(name);
        ask.secrets = vec![("password".into(), "canary-password-0123456789".into())];
        ask
    }

    pub fn resource(mut self, resource: &str) -> Ask {
        self.document["resource"] = json!(resource);
        self
    }

    /// The same with other settings of the cache; `null` takes one out.
    pub fn cache(mut self, settings: Value) -> Ask {
        for (name, value) in settings.as_object().unwrap() {
            let cache = self.config["cache"].as_object_mut().unwrap();
            if value.is_null() {
                cache.remove(name);
            } else {
                cache.insert(name.clone(), value.clone());
            }
        }
        self
    }

    fn to_json(&self) -> Value {
        json!({"config": self.config, "document": self.document, "secrets": self.secrets, "limit_ms": self.limit_ms})
    }

    fn of(value: &Value) -> Ask {
        Ask {
            config: value["config"].clone(),
            document: value["document"].clone(),
            secrets: serde_json::from_value(value["secrets"].clone()).unwrap(),
            limit_ms: u32::try_from(value["limit_ms"].as_u64().unwrap()).unwrap(),
        }
    }

    /// Makes the call in this process.
    pub fn here(&self, library: &Library) -> Outcome {
        let mut outcome = Outcome {
            name: "OK".into(),
            message: String::new(),
            hint: String::new(),
            token: String::new(),
            source: String::new(),
            warnings: Vec::new(),
            client: Value::Null,
        };
        if let Err(failure) = self.attempt(library, &mut outcome) {
            outcome.name = failure.name;
            outcome.message = failure.message;
            outcome.hint = failure.hint.unwrap_or_default();
        }
        outcome
    }

    fn attempt(&self, library: &Library, outcome: &mut Outcome) -> Result<(), Failure> {
        let client = library.client(&self.config)?;
        let request = client.request(&self.document)?;
        for (name, value) in &self.secrets {
            request.set_secret(name, &library.secret(value)?)?;
        }
        let mut operation = request.acquire_start(self.limit_ms)?;
        loop {
            match operation.wait(60_000)? {
                State::Event => {
                    let event = operation.take_event()?;
                    if let Some(said) = event["message"].as_str().filter(|_| std::env::var_os(TASK).is_some()) {
                        println!("SAID {said}");
                    }
                    if event["kind"] == "warning" {
                        outcome.warnings.push(event);
                    }
                }
                State::Done => break,
                _ => return Err(operation.take_error()),
            }
        }
        let token = operation.take_token()?;
        outcome.token = String::from_utf8_lossy(token.value()).into_owned();
        outcome.source = token.describe()?["source"].as_str().unwrap().to_owned();
        outcome.client = client.describe()?;
        Ok(())
    }

    /// The command that makes the call in a process of its own. The test crate has to have a test `another_process` that calls [`serve`].
    pub fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("DXDR_TEST_LIBRARY", support::cdylib());
        command.args(["another_process", "--exact", "--nocapture"]);
        command.env(TASK, self.to_json().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The same, started by other words: in a place of its own.
    pub fn command_under(&self, words: &[String]) -> Command {
        let plain = self.command();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Makes the call in a process that is started by these words.
    pub fn under(&self, words: &[String]) -> Outcome {
        answer(self.command_under(words))
    }

    /// Makes the call in a process of its own.
    pub fn elsewhere(&self) -> Outcome {
        answer(self.command())
    }
}

/// What a started copy answers.
pub fn answer(mut command: Command) -> Outcome {
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let line = said.lines().find_map(|line| line.split_once(MARK));
    let Some((_, answer)) = line else {
        panic!("{}\n{said}\n{}", ran.status, String::from_utf8_lossy(&ran.stderr))
    };
    Outcome::of(&serde_json::from_str(answer).unwrap())
}

/// A copy that runs.
pub struct Started {
    child: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Started {
    pub fn new(ask: &Ask) -> Started {
        Started::by(ask.command())
    }

    pub fn by(mut command: Command) -> Started {
        use std::io::BufRead;
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Started { child, lines }
    }

    /// Reads on until the library says so.
    pub fn until_said(&mut self, text: &str) {
        let found = self.lines.by_ref().map(Result::unwrap).find(|line| {
            assert!(!line.contains(MARK), "ended without \"{text}\": {line}");
            line.contains("SAID ") && line.contains(text)
        });
        assert!(found.is_some(), "{text}");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn outcome(mut self) -> Outcome {
        let answer = self.lines.by_ref().map(Result::unwrap).find_map(|line| {
            let (_, answer) = line.split_once(MARK)?;
            Some(Outcome::of(&serde_json::from_str(answer).unwrap()))
        });
        self.child.wait().unwrap();
        answer.unwrap()
    }
}

/// A server whose token requests wait until they are answered.
pub struct Gate {
    pub server: Scripted,
    arrived: std::sync::mpsc::Receiver<(String, std::sync::mpsc::Sender<Step>)>,
}

impl Gate {
    pub fn start() -> Gate {
        let (sender, arrived) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let server = Scripted::answering(move |request| {
            let (answer, answered) = std::sync::mpsc::channel();
            if sender.lock().unwrap().send((request.to_owned(), answer)).is_err() {
                return Step::Drop;
            }
            answered.recv().unwrap_or(Step::Drop)
        });
        Gate { server, arrived }
    }

    /// The next request, and where its answer goes.
    pub fn next(&self) -> (String, std::sync::mpsc::Sender<Step>) {
        self.arrived.recv_timeout(std::time::Duration::from_secs(60)).unwrap()
    }

    /// True if nobody has asked since.
    pub fn is_quiet(&self) -> bool {
        self.arrived.try_recv().is_err()
    }
}

/// In a copy: does what it was told.
pub fn serve() {
    let Ok(task) = std::env::var(TASK) else { return };
    let ask = Ask::of(&serde_json::from_str(&task).unwrap());
    println!("\n{MARK}{}", ask.here(library()).to_json());
}

/// The library as callers load it.
pub fn library() -> &'static Library {
    static LOADED: std::sync::OnceLock<Library> = std::sync::OnceLock::new();
    LOADED.get_or_init(|| {
        // A copy of the test has it from its parent: asking cargo again takes its time.
        let path = std::env::var_os("DXDR_TEST_LIBRARY").map_or_else(|| support::cdylib().to_owned(), PathBuf::from);
        Library::load(&path).unwrap()
    })
}

/// A server for apps and people: a new access token for each call, and a refresh token that is worth nothing once it was used.
pub fn issuing() -> Scripted {
    let issued = std::sync::Mutex::new((0u32, std::collections::HashMap::<String, String>::new()));
    Scripted::answering(move |request| {
        let field = |name: &str| {
            let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
            let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .next()
                .unwrap_or_default()
        };
        if !request.starts_with("POST") {
            return Step::json(404, "{}");
        }
        let mut issued = issued.lock().unwrap();
        issued.0 += 1;
        let number = issued.0;
        let access = format!("canary-access-{number}-0123456789");
        match field("grant_type").as_str() {
            "client_credentials" => Step::json(
                200,
                &json!({"token_type": "Bearer", "expires_in": "3599", "access_token": access}).to_string(),
            ),
            kind => {
                let person = if kind == "password" {
                    field("username")
                } else {
                    match issued.1.remove(&field("refresh_token")) {
                        Some(person) => person,
                        None => {
                            return Step::json(
                                400,
                                r#"{"error":"invalid_grant","suberror":"bad_token","error_description":"AADSTS70000: it was used already"}"#,
                            );
                        }
                    }
                };
                let refresh = format!("canary-refresh-{number}-0123456789");
                issued.1.insert(refresh.clone(), person.clone());
                Step::json(200, &answer_for(&person, &access, &refresh).to_string())
            }
        }
    })
}

/// A person's answer, with an ID token as Entra's v1 endpoint sends it.
pub fn answer_for(person: &str, access: &str, refresh: &str) -> Value {
    use base64::Engine;
    let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims = json!({"oid": format!("oid-{person}"), "tid": TENANT, "upn": person.replace("%40", "@"), "sub": person});
    let id_token = format!("{}.{}.", encode(r#"{"typ":"JWT","alg":"none"}"#.into()), encode(claims.to_string()));
    json!({"token_type": "Bearer", "expires_in": "3599", "access_token": access, "refresh_token": refresh, "id_token": id_token})
}

/// The files of a cache's folder by their names.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The requests for tokens that a server has seen.
pub fn token_calls(server: &Scripted) -> usize {
    server.seen().iter().filter(|request| request.starts_with("POST")).count()
}

/// Writes a cache file in plain text, as docs/cache-format.md describes it.
pub fn write_plain(folder: &Path, version: &str, document: &Value) {
    use base64::Engine;
    let body = document.to_string();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{version}\n{body}").as_bytes());
    let mark = base64::engine::general_purpose::STANDARD.encode(digest);
    let header = json!({"defender_xdr_cache": version, "protection": "none", "mark": mark});
    std::fs::write(folder.join("test.cache"), format!("{header}\n{body}")).unwrap();
}

/// The words that start a program to which the kernel refuses its locks (`flock`) or its keyrings (`keyctl`), as network file systems and containers do.
/// None, said aloud, where that cannot be had.
pub fn without_system_calls(which: &str) -> Option<Vec<String>> {
    // A filter of the kernel's own kind (seccomp(2)): the number of the call is compared, and the call answered with an error.
    const FILTER: &str = r#"
import ctypes, os, platform, struct, sys
calls = {"x86_64": {"flock": [73], "keyctl": [248, 249, 250]}, "aarch64": {"flock": [32], "keyctl": [217, 218, 219]}}[platform.machine()][sys.argv[1]]
error = 37 if sys.argv[1] == "flock" else 1
code = [struct.pack("HBBI", 0x20, 0, 0, 0)]
code += [struct.pack("HBBI", 0x15, len(calls) - at, 0, number) for at, number in enumerate(calls)]
code += [struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000), struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error)]
buffer = ctypes.create_string_buffer(b"".join(code))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(code), ctypes.cast(buffer, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[2], sys.argv[2:])
"#;
    let words = ["python3", "-c", FILTER, which].map(str::to_owned).to_vec();
    let works = Command::new(&words[0])
        .args(&words[1..])
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        support::skip(which, "python3 or seccomp is missing");
    }
    works.then_some(words)
}
