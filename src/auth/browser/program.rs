//! A browser process of our own, with a profile that exists as long as it does.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::installed::Browser;
use super::pipe::{self, Pipe};
use crate::auth::Env;
use crate::clock::Random;
use crate::transport::Call;

/// What every profile folder's name begins with.
const PREFIX: &str = "defender-xdr-window-";
/// What the window shows until it is told where to go.
pub const START_PAGE: &str = "data:text/html,%3Ctitle%3ESign%20in%3C/title%3E";
/// What the fresh profile begins with: no preconnecting, and no offer to keep a password or to translate.
const PREFERENCES: &str = r#"{"net":{"network_prediction_options":2},"credentials_enable_service":false,"profile":{"password_manager_enabled":false},"translate":{"enabled":false}}"#;
/// How long the files of a browser that was ended may stay in use, in tenths of a second.
const TRIES: u32 = 50;
/// The same for a profile that another process left, while a sign-in waits.
const SWEEPS: u32 = 10;
/// How long a profile without a lock may be one that is being made.
const BEGINNING: Duration = Duration::from_secs(3600);

/// A running browser. Dropping it ends its processes and removes its profile, in a thread of its own.
pub struct Program(Option<(Child, Profile)>);

impl Program {
    /// Starts a browser with an empty window and a fresh profile.
    pub async fn start(env: &Env, call: &Call, browser: &Browser) -> io::Result<(Program, Pipe)> {
        let random = env.transport.random().as_ref();
        let name = random_name(random)?;
        // Files are for a thread that may wait for them.
        let profile = tokio::task::spawn_blocking(move || {
            sweep(&std::env::temp_dir());
            Profile::new(&std::env::temp_dir(), &name)
        })
        .await
        .map_err(io::Error::other)??;
        let folder = profile.browsers_own();
        let mut command = Command::new(&browser.path);
        env.place.show_to(&mut command);
        // The address to open is told over the pipe: a command line can be read by others, and the page must not run ahead of us.
        command
            .arg(format!("--app={START_PAGE}"))
            .arg(format!("--user-data-dir={}", folder.display()))
            .args([
                "--window-size=520,720",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-sync",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-default-apps",
            ])
            // Nothing of this profile outlives the sign-in, so no keyring is opened for it.
            .args(["--password-store=basic", "--use-mock-keychain"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match pipe::start(call, command, random).await {
            Ok((child, pipe)) => Ok((Program(Some((child, profile))), pipe)),
            Err(error) => {
                // It may have to be tried for seconds.
                drop(tokio::task::spawn_blocking(move || profile.remove()));
                Err(error)
            }
        }
    }

    /// Ends the processes and removes the profile; returns when both are gone, or after a second.
    pub async fn close(mut self) {
        if let Some((mut child, profile)) = self.0.take() {
            kill(&mut child);
            let ending = tokio::task::spawn_blocking(move || end(child, profile));
            let _ = tokio::time::timeout(Duration::from_secs(1), ending).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some((mut child, profile)) = self.0.take() {
            kill(&mut child);
            let _ = std::thread::Builder::new().spawn(move || end(child, profile));
        }
    }
}

/// Ends the processes, which takes no time.
fn kill(child: &mut Child) {
    // The group before the child is waited for: until then its number belongs to nobody else.
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    // On Windows the browser's other processes end with the first, whose job they are in.
    let _ = child.kill();
}

/// Waits until a killed browser is gone, and removes its profile.
fn end(mut child: Child, profile: Profile) {
    let _ = child.wait();
    profile.remove();
}

fn random_name(random: &dyn Random) -> io::Result<String> {
    let mut bytes = [0u8; 8];
    random.fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A folder that only this user can read, locked as long as it is in use.
struct Profile {
    folder: PathBuf,
    lock: Option<File>,
}

impl Profile {
    /// With the browser's settings in it. Where that fails, nothing of it stays.
    fn new(parent: &Path, name: &str) -> io::Result<Profile> {
        let folder = parent.join(format!("{PREFIX}{name}"));
        // Fails where something has that name already. On Windows the folder for temporary files is the user's own.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&folder)?;
        #[cfg(not(unix))]
        fs::create_dir(&folder)?;
        let mut profile = Profile { folder, lock: None };
        match profile.fill() {
            Ok(()) => Ok(profile),
            Err(error) => {
                profile.remove();
                Err(error)
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        // Under its name it is locked from the beginning: another process's sweep looks for that name only.
        let before = self.folder.join("lock.new");
        let lock = File::create_new(&before)?;
        lock.lock()?;
        fs::rename(&before, self.folder.join("lock"))?;
        self.lock = Some(lock);
        // Looking ahead would connect to the redirect URI's host before the navigation to it is caught.
        let folder = self.browsers_own().join("Default");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("Preferences"), PREFERENCES)
    }

    /// What the browser is given.
    fn browsers_own(&self) -> PathBuf {
        self.folder.join("profile")
    }

    fn remove(mut self) {
        // Windows removes no file that is open.
        drop(self.lock.take());
        remove(&self.folder, TRIES);
    }
}

fn remove(folder: &Path, tries: u32) {
    for _ in 0..tries {
        match fs::remove_dir_all(folder) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            // A process of the browser is still about to end, and may write a last file.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Removes the profiles of this user whose process ended without doing so: nobody holds their lock any more.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let folder = entry.path();
        // Of a link or of another user's folder nothing is touched.
        let Ok(about) = fs::symlink_metadata(&folder) else { continue };
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::uid(&about) != rustix::process::geteuid().as_raw() {
            continue;
        }
        if !about.is_dir() {
            continue;
        }
        let abandoned = match File::open(folder.join("lock")) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Its process is still making it, or ended while it did.
            Err(error) => error.kind() == io::ErrorKind::NotFound && is_older_than(&about, BEGINNING),
        };
        if abandoned {
            remove(&folder, SWEEPS);
        }
    }
}

fn is_older_than(about: &fs::Metadata, age: Duration) -> bool {
    about
        .modified()
        .ok()
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|elapsed| elapsed > age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn a_profile_is_private_and_only_an_abandoned_one_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let used = Profile::new(parent.path(), &random_name(&SystemRandom).unwrap()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&used.folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let abandoned = Profile::new(parent.path(), &random_name(&SystemRandom).unwrap()).unwrap();
        let left = abandoned.folder.clone();
        fs::write(left.join("Cookies"), "x").unwrap();
        drop(abandoned);
        // One that another process is about to lock, and one that was left in that state long ago.
        let [beginning, old] = ["1", "2"].map(|name| parent.path().join(format!("{PREFIX}{name}")));
        for folder in [&beginning, &old] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("lock.new"), "").unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * BEGINNING;
        File::open(&old).unwrap().set_modified(long_ago).unwrap();
        sweep(parent.path());
        assert!(used.folder.exists() && beginning.exists() && !left.exists() && !old.exists());
        assert!(used.browsers_own().join("Default").join("Preferences").exists());
        let folder = used.folder.clone();
        used.remove();
        assert!(!folder.exists());
    }
}
