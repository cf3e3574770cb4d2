//! LB-4 in two processes: a C program and a PowerShell sign in at the same time, each with its own port and state, the later one first.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use url::Url;

use crate::library::{Library, State};
use crate::scripted::{CLIENT, Scripted, Step, TENANT};
use crate::{browser, nowhere, support};

const XDR: &str = "https://api.security.microsoft.com";

/// Run by the test below: tells where its sign-in begins, and waits for its end.
#[test]
#[ignore = "run by the test of this file"]
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn one_sign_in() {
    let library = Library::load(Path::new(&std::env::var_os("DEFENDER_XDR_LIBRARY").unwrap())).unwrap();
    let client = library
        .client(&json!({"cache": "private", "emulator": "", "proxy": "none"}))
        .unwrap_or_else(|failure| panic!("{failure}"));
    let document = json!({"grant": "authorization_code", "authority": std::env::var("DXDR_TEST_AUTHORITY").unwrap(), "client_id": CLIENT,
        "scopes": [format!("{XDR}/.default")], "redirect_uri": "http://localhost/right"});
    let request = client.request(&document).unwrap_or_else(|failure| panic!("{failure}"));
    let mut operation = request.acquire_start(60_000).unwrap_or_else(|failure| panic!("{failure}"));
    loop {
        match operation.wait(60_000).unwrap_or_else(|failure| panic!("{failure}")) {
            State::Event => {
                let event = operation.take_event().unwrap_or_else(|failure| panic!("{failure}"));
                if event["kind"] == "open_browser" {
                    operation
                        .reply(event["id"].as_u64().unwrap(), "opened")
                        .unwrap_or_else(|failure| panic!("{failure}"));
                    println!("ADDRESS {}", event["url"].as_str().unwrap());
                }
            }
            State::Done => return println!("SIGNED IN"),
            other => panic!("{other:?}: {}", operation.take_error().document),
        }
    }
}

struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    said: Vec<String>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = nowhere(&mut command)
            .env("DEFENDER_XDR_LIBRARY", support::cdylib())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// What stands behind a word on a line of its output.
    fn line(&mut self, word: &str) -> String {
        for line in self.lines.by_ref().map_while(Result::ok) {
            self.said.push(line.clone());
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
        }
        let _ = self.child.kill();
        panic!("no {word}: {}", self.said.join("\n"));
    }
}

#[cfg(unix)]
#[test]
fn lb_4_two_processes_sign_in_at_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let servers = [Scripted::start([Step::token()]), Scripted::start([Step::token()])];
    let authority = |at: usize| format!("{}/{TENANT}", servers[at].origin);
    let program = |at: usize| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--exact", "processes::one_sign_in", "--nocapture"])
            .env("DXDR_TEST_AUTHORITY", authority(at));
        command
    };
    let pwsh = |at: usize, pwsh: &Path| {
        // The browser only tells the address.
        let browser: PathBuf = folder.path().join("browser");
        std::fs::write(&browser, "#!/bin/sh\necho \"ADDRESS $1\" >/proc/$PPID/fd/1\n").unwrap();
        std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o700)).unwrap();
        let module = support::root().join("powershell/DefenderXdr/DefenderXdr.psd1");
        let script = format!(
            "$ProgressPreference = 'SilentlyContinue'; Import-Module '{}'; $env:BROWSER = '{}'; $token = Get-DefenderToken -Authority '{}' -ClientId {CLIENT} -RedirectUri http://localhost/right -Timeout 60; [Console]::Out.WriteLine(\"SIGNED IN $($token.TokenType)\")",
            module.display(),
            browser.display(),
            authority(at)
        );
        let mut command = Command::new(pwsh);
        command.args(["-NoLogo", "-NoProfile", "-Command", &script]);
        command
    };
    let found = support::on_path("pwsh").filter(|_| Path::new("/proc/self/fd").exists());
    if found.is_none() {
        support::skip("LB-4 with PowerShell", "no pwsh, or no /proc");
    }
    let mut running = [
        Running::start(program(0)),
        Running::start(found.as_deref().map_or_else(|| program(1), |path| pwsh(1, path))),
    ];
    let addresses = [running[0].line("ADDRESS "), running[1].line("ADDRESS ")].map(|address| Url::parse(&address).unwrap());
    for name in ["state", "redirect_uri", "code_challenge"] {
        let values: Vec<String> = addresses
            .iter()
            .map(|address| address.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned())
            .collect();
        assert_ne!(values[0], values[1], "{name}");
    }
    for at in [1, 0] {
        assert!(browser::visit(addresses[at].as_str()));
        running[at].line("SIGNED IN");
        assert!(running[at].child.wait().unwrap().success());
        assert_eq!(servers[at].seen().len(), 1);
    }
}
