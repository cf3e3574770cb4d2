//! The two pipes between this process and a browser of its own. No port is opened: only the browser itself holds the other ends.

use std::io;
use std::process::{Child, Command};

use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(any(unix, windows))]
use crate::auth::program;
use crate::clock::Random;
use crate::transport::Call;

/// Our ends.
pub struct Pipe {
    /// What the browser says.
    pub from: Box<dyn AsyncRead + Send + Unpin>,
    /// What the browser is told. Once it is closed, by us or by our end, the browser ends too.
    pub to: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Starts a browser with its ends as the descriptors 3 and 4, where `--remote-debugging-pipe` expects them, in a process group of its own.
#[cfg(unix)]
pub async fn start(call: &Call, mut command: Command, _random: &dyn Random) -> io::Result<(Child, Pipe)> {
    use command_fds::{CommandFdExt, FdMapping};
    use std::os::fd::OwnedFd;
    use std::os::unix::process::CommandExt;
    use tokio::net::unix::pipe::{Receiver, Sender};

    let (their_read, our_write) = io::pipe()?;
    let (our_read, their_write) = io::pipe()?;
    let ends = [(OwnedFd::from(their_read), 3), (OwnedFd::from(their_write), 4)];
    let ends = ends.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    command
        .arg("--remote-debugging-pipe")
        .process_group(0)
        .fd_mappings(ends.into())
        .map_err(io::Error::other)?;
    // Our ends first: once the browser runs, nothing may fail any more.
    let pipe = Pipe {
        from: Box::new(Receiver::from_owned_fd(our_read.into())?),
        to: Box::new(Sender::from_owned_fd(our_write.into())?),
    };
    // The command holds their ends: while they are open here, the end of the browser would not be seen. It ends here.
    let child = program::start(call, command).await?;
    Ok((child, pipe))
}

/// Starts a browser with handles that it inherits and finds by their numbers. Named pipes, since ours must not be inherited with them: the names
/// are random, have one instance, take no remote client, and are connected before the browser starts.
#[cfg(windows)]
pub async fn start(call: &Call, mut command: Command, random: &dyn Random) -> io::Result<(Child, Pipe)> {
    use tokio::net::windows::named_pipe::ServerOptions;
    use winsafe::{HFILE, SECURITY_ATTRIBUTES, co};

    let open = |to_browser: bool| {
        let mut bytes = [0u8; 16];
        random.fill(&mut bytes).map_err(io::Error::other)?;
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!(r"\\.\pipe\defender-xdr-{name}");
        let ours = ServerOptions::new()
            .first_pipe_instance(true)
            .max_instances(1)
            .access_inbound(!to_browser)
            .access_outbound(to_browser)
            .create(&name)?;
        let mut inherited = SECURITY_ATTRIBUTES::default();
        inherited.set_bInheritHandle(true);
        let (theirs, _) = HFILE::CreateFile(
            &name,
            if to_browser { co::GENERIC::READ } else { co::GENERIC::WRITE },
            None,
            Some(&inherited),
            co::DISPOSITION::OPEN_EXISTING,
            co::FILE_ATTRIBUTE::NORMAL,
            None,
            None,
            None,
        )
        .map_err(|error| io::Error::from_raw_os_error(error.raw().cast_signed()))?;
        Ok::<_, io::Error>((ours, theirs))
    };
    let (mut child, to, from) = {
        let (to, their_read) = open(true)?;
        let (from, their_write) = open(false)?;
        command.arg("--remote-debugging-pipe").arg(format!(
            "--remote-debugging-io-pipes={},{}",
            their_read.ptr().addr(),
            their_write.ptr().addr()
        ));
        // Their ends are closed here as soon as the browser has them, so that its end is seen.
        (program::start(call, command).await?, to, from)
    };
    let connected = match to.connect().await {
        Ok(()) => from.connect().await,
        failed => failed,
    };
    if let Err(error) = connected {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok((
        child,
        Pipe {
            from: Box::new(from),
            to: Box::new(to),
        },
    ))
}

/// Elsewhere there is no way known to hand the pipe over, and a port would be open to every program of the machine: the address is pasted.
#[cfg(not(any(unix, windows)))]
pub async fn start(_call: &Call, _command: Command, _random: &dyn Random) -> io::Result<(Child, Pipe)> {
    Err(io::ErrorKind::Unsupported.into())
}
