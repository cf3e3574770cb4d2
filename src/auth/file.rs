//! Files that callers and variables name: opened without waiting, judged by their handle, and read where a stuck disk holds up nobody else.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Component, Path, Prefix};

use tokio::sync::{Semaphore, oneshot};

use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice};

/// How many such threads there are at most. Those that hang on a dead network disk stay until it answers.
const THREADS: usize = 16;

static FREE: Semaphore = Semaphore::const_new(THREADS);

/// Opens a plain file and what its handle says of it. A pipe, a device or a folder is refused: the first two could be waited for without end.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let refused = || io::Error::other("it is not a plain file");
    // Windows' pipes and devices have paths of their own.
    let is_device = |part: Component<'_>| matches!(part, Component::Prefix(prefix) if matches!(prefix.kind(), Prefix::DeviceNS(_)));
    if path.components().any(is_device) {
        return Err(refused());
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(refused()) }
}

/// Why a file cannot be read, in words that hold no path twice.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        io::ErrorKind::NotFound => "no such file".to_owned(),
        kind => kind.to_string(),
    }
}

/// Does work that waits for a disk or a smart card, in a thread of its own: the runtime's few threads are needed for name lookups. The caller waits
/// until the deadline at the most; `what` then names what was waited for.
pub async fn apart<T: Send + 'static>(call: &Call, what: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let too_late = || {
        Error::new(Code::Timeout, format!("{what} did not end within the time limit"))
            .with_hint("check that the disk or device it is on answers; if it does, give more time")
    };
    let gone = || Error::new(Code::Panic, format!("{what} ended without a result"));
    call.notices.tell(Notice::Held(Some(Box::new(too_late()))));
    let run = async {
        let free = FREE.acquire().await.map_err(|_| gone())?;
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("defender-xdr".to_owned())
            .spawn(move || {
                let result = work();
                drop(free);
                let _ = sender.send(result);
            })
            .map_err(|error| Error::new(Code::OutOfMemory, format!("no thread could be started: {}", error.kind())))?;
        receiver.await.map_err(|_| gone())?
    };
    let done = tokio::time::timeout_at(call.deadline, run).await;
    call.notices.tell(Notice::Held(None));
    done.unwrap_or_else(|_| Err(too_late()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Notices;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::Instant;

    struct Nobody;
    impl Notices for Nobody {
        fn tell(&self, _: Notice) {}
    }

    #[test]
    fn a_disk_that_hangs_holds_up_its_own_caller_until_the_deadline_and_no_other() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let call = |limit: Duration| Call {
            deadline: Instant::now() + limit,
            correlation_id: String::new(),
            notices: Arc::new(Nobody),
        };
        runtime.block_on(async {
            let mut held = Vec::new();
            for _ in 0..4 {
                let (release, hang) = std::sync::mpsc::channel::<()>();
                held.push(release);
                let work = move || {
                    let _ = hang.recv();
                    Ok(())
                };
                let error = apart(&call(Duration::from_millis(20)), "reading a file", work).await.unwrap_err();
                assert_eq!(error.code(), Code::Timeout);
            }
            let far = call(Duration::from_secs(60));
            assert_eq!(apart(&far, "reading a file", || Ok(7)).await.unwrap(), 7);
            // What name lookups use.
            assert_eq!(tokio::task::spawn_blocking(|| 8).await.unwrap(), 8);
        });
    }
}
