//! Other programs: found on `PATH`, started without a shell of ours, ended at the limit or when the call is.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::environment::Environment;

/// The most that is read of a program's output, in bytes. What is beyond ends it.
const OUTPUT_LIMIT: usize = 1 << 20;
/// The most that is kept of what it says on standard error, in bytes.
const COMPLAINT_LIMIT: usize = 64 << 10;

/// What a program left behind.
pub struct Ran {
    /// True for the exit code 0.
    pub success: bool,
    /// Standard output; it may hold a token, so no error repeats it.
    pub output: Zeroizing<Vec<u8>>,
    /// Standard error.
    pub complaint: String,
}

/// Why there is no output.
pub enum Trouble {
    /// It did not start.
    NotStarted(std::io::ErrorKind),
    /// It did not end in time.
    TooLate,
    /// It wrote more than a token needs.
    TooMuch,
}

/// A program of `PATH`, by the names it may have. Entries that are not absolute are passed over, as is the current folder: what lies there may be anyone's.
pub fn find(place: &Environment, names: &[&str]) -> Option<PathBuf> {
    let path = place.get("PATH")?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    let Ok(found) = std::fs::metadata(file) else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        found.is_file() && found.permissions().mode() & 0o111 != 0
    }
    #[cfg(not(unix))]
    found.is_file()
}

/// Runs a program to its end. It and what it has started are ended at `deadline`, and when the returned future is dropped.
///
/// Arguments go to the program as they are. Where it is a `.cmd` file, Windows needs its command processor; the standard library quotes for it and
/// refuses what cannot be quoted.
pub async fn run(program: &Path, arguments: &[&str], place: &Environment, deadline: Instant) -> Result<Ran, Trouble> {
    let mut command = Command::new(program);
    if !place.inherits() {
        command.env_clear();
    }
    for (name, value) in place.for_programs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .args(arguments)
        // Times that are written without an offset are then in UTC.
        .env("TZ", "UTC0")
        .env("NO_COLOR", "1")
        .env("AZURE_CORE_NO_COLOR", "true")
        .env("AZURE_CORE_ONLY_SHOW_ERRORS", "true")
        .env("AZURE_CORE_LOGIN_EXPERIENCE_V2", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir(neutral_folder(place));
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // A group of its own, so that what it starts can be ended with it.
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(|error| Trouble::NotStarted(error.kind()))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let running = Arc::new(Running(Mutex::new(Some(child))));
    let guard = EndOnDrop(Arc::clone(&running));
    let (sender, receiver) = oneshot::channel();
    let complaint = thread(move || stderr.map(|stream| read(stream, COMPLAINT_LIMIT).0).unwrap_or_default());
    let waiting = thread(move || {
        let (output, cut) = stdout.map(|stream| read(stream, OUTPUT_LIMIT)).unwrap_or_default();
        if cut {
            running.end();
        }
        let success = running.wait();
        let complaint = complaint.and_then(|thread| thread.join().ok()).unwrap_or_default();
        let _ = sender.send(if cut {
            Err(Trouble::TooMuch)
        } else {
            Ok(Ran {
                success,
                output,
                complaint: String::from_utf8_lossy(&complaint).into_owned(),
            })
        });
    });
    if waiting.is_none() {
        return Err(Trouble::NotStarted(std::io::ErrorKind::OutOfMemory));
    }
    let result = match tokio::time::timeout_at(deadline, receiver).await {
        Ok(result) => result.unwrap_or(Err(Trouble::NotStarted(std::io::ErrorKind::Other))),
        Err(_) => Err(Trouble::TooLate),
    };
    drop(guard);
    result
}

/// A folder in which nothing of a stranger's is found by name.
fn neutral_folder(place: &Environment) -> PathBuf {
    if cfg!(windows) {
        place
            .get("SystemRoot")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| r"C:\Windows".into())
    } else {
        "/".into()
    }
}

fn thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name("defender-xdr".to_owned()).spawn(work).ok()
}

/// Reads to the end; true if there was more than the limit.
fn read(stream: impl Read, limit: usize) -> (Zeroizing<Vec<u8>>, bool) {
    // With the room reserved no unwiped copy is left behind by growth.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 2));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let _ = stream.take(most).read_to_end(&mut bytes);
    let cut = bytes.len() > limit;
    (bytes, cut)
}

/// A child, until its end was taken.
struct Running(Mutex<Option<Child>>);

impl Running {
    /// Waits for the end; true for the exit code 0.
    fn wait(&self) -> bool {
        loop {
            {
                let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(running) = child.as_mut() else { return false };
                match running.try_wait() {
                    Ok(Some(status)) => {
                        *child = None;
                        return status.success();
                    }
                    Ok(None) => {}
                    Err(_) => {
                        *child = None;
                        return false;
                    }
                }
            }
            // Its output has ended, so it is about to end too.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it and what it has started. While its end was not taken, its number is not another's.
    fn end(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = child.as_mut() else { return };
        #[cfg(unix)]
        if let Some(group) = i32::try_from(running.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        #[cfg(windows)]
        {
            let root = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\Windows".into());
            let _ = Command::new(Path::new(&root).join(r"System32\taskkill.exe"))
                .args(["/T", "/F", "/PID", &running.id().to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        let _ = running.kill();
    }
}

struct EndOnDrop(Arc<Running>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}
