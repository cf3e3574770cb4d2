//! The emulator in a process of its own, which is this program again: the one that measures must not do the server's work.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use defender_emulator::{Config, Emulator};
use serde_json::Value;

/// A running emulator and the lines it takes and gives.
pub struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// What `defender-emulator serve` would print.
    pub ready: Value,
}

impl Process {
    /// Starts it.
    pub fn start() -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = Command::new(own)
            .arg("emulator")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("the emulator: {e}"))?;
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let ready = answers.next().ok_or("the emulator said nothing")?.map_err(|e| e.to_string())?;
        let ready = serde_json::from_str(&ready).map_err(|e| e.to_string())?;
        Ok(Self {
            child,
            orders,
            answers,
            ready,
        })
    }

    /// A text of the ready line.
    pub fn text(&self, key: &str) -> String {
        self.ready[key].as_str().unwrap_or_default().to_owned()
    }

    fn order(&mut self, line: &str) -> Result<String, String> {
        let orders = self.orders.as_mut().ok_or("no pipe")?;
        writeln!(orders, "{line}")
            .and_then(|()| orders.flush())
            .map_err(|e| e.to_string())?;
        self.answers.next().ok_or("the emulator has ended")?.map_err(|e| e.to_string())
    }

    /// How many requests went to paths that hold this, since the last `forget`.
    pub fn count(&mut self, part: &str) -> Result<usize, String> {
        self.order(&format!("count {part}"))?.parse().map_err(|_| "no number".to_owned())
    }

    /// Forgets the requests.
    pub fn forget(&mut self) -> Result<(), String> {
        self.order("forget").map(|_| ())
    }

    /// Faults in the place of all others.
    pub fn faults(&mut self, faults: &Value) -> Result<(), String> {
        match self.order(&format!("faults {faults}"))?.as_str() {
            "ok" => Ok(()),
            wrong => Err(wrong.to_owned()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// The other side.
pub fn serve() -> Result<(), String> {
    let mut config = Config::default();
    // Speed is measured, not patience: no quotas.
    config.quotas.incidents_list_per_minute = 0;
    config.quotas.incident_get_per_minute = 0;
    let emulator = Emulator::builder()
        .config(config)
        .tls(true)
        .start_blocking()
        .map_err(|e| e.to_string())?;
    println!("{}", serde_json::to_string(&emulator.ready()).map_err(|e| e.to_string())?);
    for order in std::io::stdin().lines().map_while(Result::ok) {
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("count", part) => println!(
                "{}",
                emulator.requests().iter().filter(|request| request.path.contains(part)).count()
            ),
            ("forget", _) => {
                emulator.clear_requests();
                println!("ok");
            }
            ("faults", json) => {
                let faults = serde_json::from_str(json).map_err(|e| e.to_string())?;
                match emulator.set_faults_json(&faults) {
                    Ok(()) => println!("ok"),
                    Err(e) => println!("{e}"),
                }
            }
            _ => println!("what?"),
        }
    }
    Ok(())
}
