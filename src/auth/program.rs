//! Other programs: found on `PATH`, started without a shell of ours, ended at the limit or when the call is.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::environment::Environment;
use super::file::apart;
use crate::error::{Code, Error, Result as Outcome};
use crate::transport::{Call, Notice};

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
    /// It was not started or not at its end in time, or there was no thread for it.
    Held(Error),
    /// It did not start.
    NotStarted(io::ErrorKind),
    /// It wrote more than a token needs.
    TooMuch,
}

/// Looks through the folders of `PATH` where a disk that hangs holds up nobody else. `search` is given what finds the first folder with one of some
/// names; `what` says what it looks for. Entries that are not absolute are passed over, as is the current folder: what lies there may be anyone's.
///
/// # Errors
///
/// `TIMEOUT` that names the folder which did not answer until `call`'s deadline.
pub async fn on_path<T: Send + 'static>(
    place: &Environment,
    call: &Call,
    what: &str,
    search: impl FnOnce(&dyn Fn(&[&str]) -> Option<PathBuf>) -> Option<T> + Send + 'static,
) -> Outcome<Option<T>> {
    let Some(path) = place.get("PATH") else { return Ok(None) };
    let looked_at = Arc::new(Mutex::new(None));
    let (now_at, notices, name) = (Arc::clone(&looked_at), Arc::clone(&call.notices), what.to_owned());
    let looking = format!("looking for {what} on PATH");
    let found = apart(call, &looking, move || {
        let folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
        Ok(search(&|names| {
            folders.iter().find_map(|folder| {
                let silent = does_not_answer(&name, folder);
                notices.tell(Notice::Held(Some(Box::new(silent.clone()))));
                *now_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(silent);
                names.iter().map(|name| folder.join(name)).find(|file| is_program(file))
            })
        }))
    });
    found.await.map_err(|error| {
        let silent = looked_at.lock().unwrap_or_else(PoisonError::into_inner).take();
        silent.filter(|_| error.code() == Code::Timeout).unwrap_or(error)
    })
}

fn does_not_answer(what: &str, folder: &Path) -> Error {
    Error::new(
        Code::Timeout,
        format!(
            "{what} was looked for on PATH, and its folder {} did not answer in time",
            folder.display()
        ),
    )
    .with_hint("take the folder out of PATH, or make the disk that it is on answer")
}

fn is_program(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    }
    // What comes from the Store is an alias that can be started and not opened.
    #[cfg(not(unix))]
    std::fs::metadata(file)
        .or_else(|_| std::fs::symlink_metadata(file))
        .is_ok_and(|found| found.is_file())
}

/// Runs a program, which people call `what`, to its end. It and what it has started are ended at the call's deadline, and when the returned future is dropped.
///
/// Arguments go to the program as they are. Where it is a `.cmd` file, Windows needs its command processor; the standard library quotes for it and
/// refuses what cannot be quoted.
pub async fn run(what: &str, program: &Path, arguments: &[&str], place: &Environment, call: &Call) -> Result<Ran, Trouble> {
    let mut command = Command::new(program);
    if !place.inherits() {
        command.env_clear();
    }
    place.show_to(&mut command);
    command
        .args(arguments)
        // Times that are written without an offset are then in UTC.
        .env("TZ", "UTC0")
        .env("NO_COLOR", "1")
        .env("AZURE_CORE_NO_COLOR", "true")
        .env("AZURE_CORE_ONLY_SHOW_ERRORS", "true")
        .env("AZURE_CORE_LOGIN_EXPERIENCE_V2", "off")
        .env("POWERSHELL_UPDATECHECK", "Off")
        .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
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
    // It is read from its disk to be started. One that starts too late is ended with the guard.
    let starting = format!("the start of {what}");
    let started = apart(call, &starting, move || {
        Ok(command.spawn().map_err(|error| error.kind()).map(|mut child| {
            let streams = (child.stdout.take(), child.stderr.take());
            (EndOnDrop(Arc::new(Running(Mutex::new(Some(child))))), streams)
        }))
    });
    let (guard, (stdout, stderr)) = started.await.map_err(Trouble::Held)?.map_err(Trouble::NotStarted)?;
    let running = Arc::clone(&guard.0);
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
        return Err(Trouble::NotStarted(io::ErrorKind::OutOfMemory));
    }
    let too_late = Error::new(Code::Timeout, format!("{what} did not answer in time"))
        .with_retry(None)
        .with_hint("allow more time: its first start may take a while");
    call.notices.tell(Notice::Held(Some(Box::new(too_late.clone()))));
    let result = match tokio::time::timeout_at(call.deadline, receiver).await {
        Ok(result) => result.unwrap_or(Err(Trouble::NotStarted(io::ErrorKind::Other))),
        Err(_) => Err(Trouble::Held(too_late)),
    };
    call.notices.tell(Notice::Held(None));
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

/// Starts a browser, where a disk that hangs holds up nobody else. One that starts too late is ended.
pub async fn start(call: &Call, mut command: Command) -> io::Result<Child> {
    struct Started(Option<Child>);
    impl Drop for Started {
        fn drop(&mut self) {
            if let Some(mut child) = self.0.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
    let started = apart(call, "the start of the browser", move || {
        Ok(command.spawn().map(|child| Started(Some(child))))
    });
    let mut started = started.await.map_err(io::Error::other)??;
    started.0.take().ok_or_else(|| io::ErrorKind::NotFound.into())
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
