//! Machines outside Azure with the Azure Arc agent ("Authenticate against Azure resources with Azure Arc-enabled servers").
//!
//! The agent proves that it is the machine's own, and the caller that it may: the agent names a file that only it could have written, and who can read
//! the file gets a token. What is named is not trusted: only a `.key` file of at most 4096 bytes in the agent's folder is read, it is opened once and
//! then judged by its handle (CVE-2024-35255 came of judging the path first), and links are not followed.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use zeroize::Zeroizing;

use super::{Answer, Ask, Patience};
use crate::auth::file;
use crate::error::{Code, Error, Result};
use crate::transport::Response;

/// Where the agent answers when no variable says so.
const ENDPOINT: &str = "http://127.0.0.1:40342/metadata/identity/oauth2/token";
/// The largest secret file, in bytes.
const LIMIT: u64 = 4096;

/// Asks for a token.
pub async fn token(ask: &Ask<'_>) -> Result<Answer> {
    ask.identity.only_the_places_own(
        "Azure Arc",
        "remove identity from the request: an Arc-enabled server has its system-assigned identity only",
    )?;
    if !cfg!(any(windows, target_os = "linux")) {
        return Err(Error::new(Code::Unsupported, "Azure Arc runs on Windows and Linux only"));
    }
    let url = if ask.env.place.is_set("IDENTITY_ENDPOINT") {
        ask.endpoint("IDENTITY_ENDPOINT")?
    } else {
        super::endpoint(ask.env, "the Azure Arc agent", ENDPOINT)?
    };
    let request = |secret: Option<&Zeroizing<String>>| {
        let mut request = ask.request("GET", url.clone(), "2019-11-01", None);
        request.headers = vec![("metadata", Zeroizing::new("true".to_owned()))];
        if let Some(secret) = secret {
            request
                .headers
                .push(("authorization", Zeroizing::new(format!("Basic {}", secret.as_str()))));
        }
        request
    };
    let challenge = ask.send(Patience::Usual, None, || request(None)).await?;
    if challenge.status != 401 {
        if challenge.status == 200 {
            return Err(broken("the agent did not challenge the request, so it may not be the agent"));
        }
        return ask.read(&challenge);
    }
    let path = secret_path(&challenge, ask.env.place.arc_tokens())?;
    let secret = file::apart(ask.call, "reading the secret file of Azure Arc", move || read_secret(&path)).await?;
    let response = ask.send(Patience::Usual, None, || request(Some(&secret))).await?;
    if response.status == 401 {
        return Err(broken("the agent refused the secret of its own file").with_status(401));
    }
    ask.read(&response).map_err(|error| error.scrub(&[&secret]))
}

fn broken(what: &str) -> Error {
    Error::new(Code::ArcSecret, format!("Azure Arc: {what}"))
        .with_hint("check that IDENTITY_ENDPOINT is the agent's own (azcmagent show), and restart the agent")
}

/// The file that the challenge names, if it is one that the agent would name.
fn secret_path(challenge: &Response, folder: &Path) -> Result<PathBuf> {
    let realm = challenge
        .header("www-authenticate")
        .and_then(|value| {
            let (scheme, rest) = value.trim().split_once(' ')?;
            let (name, path) = rest.trim().split_once('=')?;
            (scheme.eq_ignore_ascii_case("basic") && name.trim().eq_ignore_ascii_case("realm")).then(|| path.trim().trim_matches('"'))
        })
        .ok_or_else(|| broken("the challenge names no secret file"))?;
    let path = Path::new(realm);
    let plain = path.is_absolute()
        && !realm.contains('\0')
        && !path
            .components()
            .any(|part| matches!(part, Component::ParentDir | Component::CurDir));
    let same = |a: &Path, b: &Path| {
        if cfg!(windows) {
            a.as_os_str().eq_ignore_ascii_case(b.as_os_str())
        } else {
            a == b
        }
    };
    if !plain || !path.parent().is_some_and(|parent| same(parent, folder)) {
        return Err(broken(&format!(
            "the challenge names a file outside {}, which is not read",
            folder.display()
        )));
    }
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("key")) {
        return Err(broken("the challenge names a file that does not end in .key, which is not read"));
    }
    Ok(path.to_owned())
}

/// Opens once, judges what was opened, then reads it.
fn read_secret(path: &Path) -> Result<Zeroizing<String>> {
    let file = open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Error::new(
            Code::ArcSecret,
            format!("Azure Arc: this account may not read the secret file in {}", folder_of(path)),
        )
        .with_hint(if cfg!(windows) {
            "add the account to the local group \"Hybrid agent extension applications\", or run as an administrator"
        } else {
            "add the account to the group himds (usermod -a -G himds NAME) and sign in again"
        }),
        kind => broken(&format!("the secret file in {} cannot be opened: {kind}", folder_of(path))),
    })?;
    judge(&file, path)?;
    // With the room reserved no unwiped copy is left behind by growth.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LIMIT).unwrap_or_default() + 2));
    let read = file
        .take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(|error| broken(&format!("the secret file cannot be read: {}", error.kind())))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > LIMIT {
        return Err(broken("the secret file is larger than 4096 bytes"));
    }
    let secret = Zeroizing::new(text.trim().to_owned());
    if secret.is_empty() || secret.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(broken("the secret file holds no secret"));
    }
    Ok(secret)
}

fn folder_of(path: &Path) -> String {
    path.parent().map(|parent| parent.display().to_string()).unwrap_or_default()
}

#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Not blocking, so that a pipe put there is opened, judged and refused.
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

#[cfg(windows)]
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
    OpenOptions::new().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)
}

#[cfg(not(any(unix, windows)))]
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// What the handle says: a file of its own, not larger than allowed, of the agent, that nobody else can write.
fn judge(file: &File, path: &Path) -> Result<()> {
    let unknown = |_| broken("the secret file cannot be examined");
    let found = file.metadata().map_err(unknown)?;
    #[cfg(windows)]
    {
        use std::os::windows::fs::MetadataExt;
        const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
        if found.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(broken("the secret file is a link, which is not followed"));
        }
    }
    if !found.is_file() {
        return Err(broken("what the challenge names is not a plain file"));
    }
    if found.len() > LIMIT {
        return Err(broken("the secret file is larger than 4096 bytes"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let folder = path
            .parent()
            .and_then(|parent| std::fs::symlink_metadata(parent).ok())
            .ok_or_else(|| broken("the folder of the secret file cannot be examined"))?;
        if !folder.is_dir() {
            return Err(broken("the folder of the secret file is a link, which is not followed"));
        }
        if found.uid() != 0 && found.uid() != folder.uid() {
            return Err(broken("the secret file belongs to another account than its folder"));
        }
        if found.mode() & 0o002 != 0 || folder.mode() & 0o002 != 0 {
            return Err(broken("everybody may write the secret file or its folder"));
        }
        if found.nlink() != 1 {
            return Err(broken("the secret file has a second name, so it may be another's"));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
