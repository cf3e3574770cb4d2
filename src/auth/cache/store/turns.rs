//! One call for all processes: who makes it, who waits, and what those hear who waited.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::copy::Needs;
use super::failure::Failure;
use super::folder::Folder;
use super::locks::{self, FileLock, Tried};
use super::{Inner, PATIENCE, Protection, Store, Work, lock};
use crate::auth::file;
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice};

/// How often one who waits listens whether the holder was asked to wait; less often where the file takes long to read.
const LISTEN: Duration = Duration::from_millis(500);
/// For how many milliseconds trouble counts that may pass, where the service does not say when.
const PASSING: i64 = 10_000;
/// How many milliseconds a failure may be in the future: clocks of machines that share a directory differ.
const AHEAD: i64 = 1_000;

/// A call's turn among processes.
pub struct CallTurn {
    _held: Option<FileLock>,
    /// Since when it was waited for, in Unix milliseconds of the machine; `None` if nobody had it.
    waited_since: Option<i64>,
}

/// What another process heard that made the same call.
pub enum Heard {
    /// It failed, and so.
    Failed(Error),
    /// The service asked for a wait that is not over.
    Asked(Asked),
}

/// A wait that the service asked another process for.
pub struct Asked {
    /// The error of who cannot wait as long.
    pub error: Error,
    wait: Duration,
    host: String,
    until_ms: i64,
}

impl Asked {
    /// Waits as asked, and tells it. False if the call is over before.
    pub async fn wait(&self, call: &Call, clock: &Arc<dyn Clock>) -> bool {
        if self.wait >= call.deadline.saturating_duration_since(Instant::now()) {
            return false;
        }
        call.notices.tell(self.notice());
        clock.sleep(self.wait).await;
        true
    }

    fn notice(&self) -> Notice {
        Notice::Retry {
            status: self.error.http_status(),
            wait: self.wait,
            attempt: 1,
            reason: "another process was asked to wait".to_owned(),
            host: self.host.clone(),
        }
    }
}

/// What belongs to the call that [`Store::turn`] is for.
pub struct Naming<'a> {
    /// What has one turn.
    pub turn: &'a str,
    /// The call itself: who waits for the turn hears what was said to a call of this name.
    pub call: &'a str,
    /// The network it goes by ([`super::network::view`]).
    pub network: &'a str,
}

/// What came of the first try for a lock.
enum Begun {
    Ours(FileLock),
    Waits(oneshot::Receiver<FileLock>),
}

/// A lock that is waited for, if it comes before that.
async fn lock_until(wait: &mut oneshot::Receiver<FileLock>, until: Instant) -> Result<Option<FileLock>> {
    match timeout_at(until, wait).await {
        Ok(Ok(lock)) => Ok(Some(lock)),
        Ok(Err(_)) => Err(Error::new(
            Code::Panic,
            "the wait for a lock of the token cache ended without a result",
        )),
        Err(_) => Ok(None),
    }
}

/// Who has to know of an error.
enum Reach {
    /// All: the service said it.
    All,
    /// Who is on the same network.
    Network,
}

/// Whom an error tells something: not what was wrong here, such as a file or a caller's cancel.
fn reach(error: &Error) -> Option<Reach> {
    match error.code() {
        // The next process may know the password.
        Code::ProxyAuth => None,
        _ if error.oauth_error().is_some() => Some(Reach::All),
        Code::Timeout | Code::ImdsUnreachable => Some(Reach::Network),
        _ if error.is_network() => Some(Reach::Network),
        Code::Throttled => Some(Reach::All),
        // A gateway on the way may have said it.
        _ => error.http_status().map(|_| Reach::Network),
    }
}

impl Store {
    /// The lock of a call, if it can be had before `until`, and whether it was waited for. `what` is told to who waits.
    pub(super) async fn turn_of(
        self: &Arc<Self>,
        call: &Call,
        folder: &Arc<Folder>,
        name: &str,
        until: Instant,
        what: &str,
    ) -> Result<(Option<FileLock>, bool)> {
        match self.lock_or_wait(call, folder, name, what).await? {
            Begun::Ours(lock) => Ok((Some(lock), false)),
            Begun::Waits(mut wait) => Ok((lock_until(&mut wait, until).await?, true)),
        }
    }

    /// Tries once, and waits in the queue then.
    async fn lock_or_wait(self: &Arc<Self>, call: &Call, folder: &Arc<Folder>, name: &str, what: &str) -> Result<Begun> {
        let (store, folder, name) = (Arc::clone(self), Arc::clone(folder), name.to_owned());
        let begun = file::apart(call, "the token cache's disk", move || match locks::of_call(&folder, &name) {
            Tried::Ours(lock) => Ok(Begun::Ours(lock)),
            Tried::Busy => {
                locks::say_waiting(&folder, &name);
                store.queue.join(&folder, &name).map(Begun::Waits)
            }
        })
        .await?;
        if matches!(begun, Begun::Waits(_)) {
            call.verbose(what);
        }
        Ok(begun)
    }

    /// The turn, for as long as its holder brings nothing and until `until`; where the service asked the holder to wait, that long more.
    async fn waited_turn(
        self: &Arc<Self>,
        call: &Call,
        clock: &Arc<dyn Clock>,
        naming: &Naming<'_>,
        mut until: Instant,
        since: i64,
    ) -> Result<(Option<FileLock>, bool)> {
        let name = naming.turn.to_owned();
        let named = self.on_disk(call, move |store, inner| {
            let folder = store.folder(inner)?;
            Ok((folder, store.call_file(inner, &name)))
        });
        let (folder, file) = named.await?;
        let what = "another process asks for the same token; waiting for it";
        let mut wait = match self.lock_or_wait(call, &folder, &file, what).await? {
            Begun::Ours(lock) => return Ok((Some(lock), false)),
            Begun::Waits(wait) => wait,
        };
        let (mut told, mut listen) = (0, LISTEN);
        loop {
            let lock = lock_until(&mut wait, until.min(Instant::now() + listen)).await?;
            if lock.is_some() {
                return Ok((lock, true));
            }
            let began = Instant::now();
            let heard = self.heard(call, clock, naming, since).await;
            listen = LISTEN.max(began.elapsed() * 20);
            if let Some(Heard::Asked(asked)) = heard {
                // It is alive, and all wait for the same.
                until = until.max(Instant::now() + asked.wait + LISTEN * 4);
                if asked.until_ms > told {
                    told = asked.until_ms;
                    call.notices.tell(asked.notice());
                }
            }
            if Instant::now() >= until.min(call.deadline) {
                return Ok((None, true));
            }
        }
    }

    /// Waits until no other process makes the call of that name, at most `until` then. What the other brought is in memory after that.
    pub async fn turn(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, naming: &Naming<'_>, until: Instant) -> Option<CallTurn> {
        if !self.ready(call, clock).await {
            return None;
        }
        let since = machine_ms();
        let (held, waited) = match self.waited_turn(call, clock, naming, until, since).await {
            Ok(turn) => turn,
            Err(error) => {
                self.too_slow(error);
                return None;
            }
        };
        let trouble = match &held {
            None => Some("another process keeps the lock of this call and brings nothing, so the call is made without it"),
            Some(held) if !held.is_held() => Some("locks do not work there, so processes may make the same call twice"),
            Some(_) => None,
        };
        if let Some(trouble) = trouble {
            let error = Error::new(Code::CacheLocked, trouble)
                .with_hint("end a process that hangs; keep the cache on a local disk (\"directory\"), not on a network share");
            // Where nothing can be written no lock can be made either, which is said already.
            if !(held.is_some() && lock(&self.said).contains(&Code::CacheIo)) {
                self.warn(error);
            }
        }
        self.look(call, clock).await;
        Some(CallTurn {
            _held: held,
            waited_since: waited.then_some(since),
        })
    }

    /// What the process heard that was waited for, if it got no token.
    pub async fn heard_in(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, turn: &CallTurn, naming: &Naming<'_>) -> Option<Heard> {
        self.heard(call, clock, naming, turn.waited_since?).await
    }

    async fn heard(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, naming: &Naming<'_>, since: i64) -> Option<Heard> {
        let (what, network, now) = (naming.call.to_owned(), naming.network.to_owned(), clock.unix());
        let heard = self.on_disk(call, move |store, inner| {
            let Needs::Nothing(Some(found)) = store.read(inner, now, false)? else {
                return Ok(None);
            };
            let network = store.call_name(inner, &network);
            let failure = found.0.failure(&store.call_name(inner, &what), since);
            Ok(failure.and_then(|failure| hear(failure, &network, machine_ms())))
        });
        heard.await.ok().flatten()
    }

    /// Notes why a call failed, for those who wait for it.
    pub async fn note_failure(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, naming: &Naming<'_>, error: &Error) {
        // A caller's own limit says nothing about the network.
        if Instant::now() >= call.deadline {
            return;
        }
        if let Some(reach) = reach(error) {
            let network = matches!(reach, Reach::Network).then(|| naming.network.to_owned());
            self.note(call, clock, naming, error, network, None).await;
        }
    }

    /// Notes that the service asked a call to wait, for those who wait for it.
    pub async fn note_wait(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, naming: &Naming<'_>, asked: &Error, host: String) {
        let network = matches!(reach(asked), Some(Reach::Network)).then(|| naming.network.to_owned());
        self.note(call, clock, naming, asked, network, Some(host)).await;
    }

    async fn note(
        self: &Arc<Self>,
        call: &Call,
        clock: &Arc<dyn Clock>,
        naming: &Naming<'_>,
        error: &Error,
        network: Option<String>,
        waits_for: Option<String>,
    ) {
        let (turn, what) = (naming.turn.to_owned(), naming.call.to_owned());
        let error = error.clone();
        // Not when the disk comes to it: what the service asked for counts from now.
        let at_ms = machine_ms();
        let noted = self.on_disk(call, move |store, inner| {
            // What nobody waits for is not worth a file. A wait is told to those, too, who come while it lasts.
            let folder = store.folder(inner)?;
            if waits_for.is_none() && !locks::is_waited_for(&folder, &store.call_file(inner, &turn)) {
                return Ok(());
            }
            let mut failure = Failure::of(&store.call_name(inner, &what), &error, at_ms);
            failure.network = network.map(|network| store.call_name(inner, &network));
            failure.waits_for = waits_for;
            lock(&store.waiting).push(Work::Failure(Box::new(failure)));
            Ok(())
        });
        if noted.await.is_ok() {
            self.save(call, clock).await;
        }
    }

    /// The name of the file of a call's lock.
    fn call_file(&self, inner: &Inner, name: &str) -> String {
        format!("{}.{}.call", self.names().stem, self.call_name(inner, name))
    }

    /// A name that says nothing of the call.
    pub(super) fn call_name(&self, inner: &Inner, name: &str) -> String {
        let key = match inner.protection.as_ref().and_then(Protection::key) {
            Some(key) => hmac::Key::new(hmac::HMAC_SHA256, key.bytes.as_ref()),
            None => hmac::Key::new(hmac::HMAC_SHA256, &inner.id),
        };
        let tag = hmac::sign(&key, name.as_bytes());
        tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a failure means for a process on that network that waited for it.
fn hear(failure: &Failure, network: &str, now_ms: i64) -> Option<Heard> {
    if failure.network.as_deref().is_some_and(|failed| failed != network) {
        return None;
    }
    // The clock was set back: nobody knows what is over.
    if failure.at_ms.saturating_sub(now_ms) > AHEAD {
        return None;
    }
    let error = failure.error(now_ms);
    match (failure.retry_at_ms, &failure.waits_for) {
        // The wait is over: who asks now may be answered.
        (Some(until_ms), _) if until_ms <= now_ms => None,
        (Some(until_ms), Some(host)) => Some(Heard::Asked(Asked {
            wait: Duration::from_millis(u64::try_from(until_ms - now_ms).unwrap_or(0)),
            host: host.clone(),
            until_ms,
            error,
        })),
        (None, Some(_)) => None,
        (Some(_), None) => Some(Heard::Failed(error)),
        (None, None) if error.is_retryable() && now_ms.saturating_sub(failure.at_ms) > PASSING => None,
        (None, None) => Some(Heard::Failed(error)),
    }
}

/// Until when a call waits for another process: half of its time is left for a call of its own.
pub fn patience(call: &Call) -> Instant {
    let now = Instant::now();
    now + (call.deadline.saturating_duration_since(now) / 2).min(PATIENCE)
}

/// The machine's own time: processes with clocks of their own compare it.
fn machine_ms() -> i64 {
    use crate::clock::SystemClock;
    SystemClock.unix_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(error: &Error) -> Failure {
        Failure::of("name", error, 1_000_000)
    }

    fn left(heard: Option<Heard>) -> Option<Option<u64>> {
        match heard? {
            Heard::Failed(error) => Some(error.retry_after_ms()),
            Heard::Asked(asked) => Some(Some(u64::try_from(asked.wait.as_millis()).unwrap_or(0))),
        }
    }

    #[test]
    fn a_silent_holder_costs_half_of_the_time_there_is_and_half_a_minute_at_most() {
        struct Nobody;
        impl crate::transport::Notices for Nobody {
            fn tell(&self, _: Notice) {}
        }
        for (limit, costs) in [(10, 5), (60, 30), (3600, 30)] {
            let now = Instant::now();
            let call = Call {
                deadline: now + Duration::from_secs(limit),
                correlation_id: String::new(),
                notices: Arc::new(Nobody),
            };
            let until = patience(&call);
            assert!(until <= Instant::now() + Duration::from_secs(costs), "{limit}");
            assert!(costs < 30 || until >= now + Duration::from_secs(30), "{limit}");
        }
    }

    #[test]
    fn what_a_service_asks_for_holds_as_long_as_it_asks() {
        let throttled = Error::new(Code::Throttled, "slower").with_status(429).with_retry(Some(3000));
        let failure = noted(&throttled);
        assert_eq!(left(hear(&failure, "here", 1_000_000)), Some(Some(3000)));
        assert_eq!(left(hear(&failure, "elsewhere", 1_002_500)), Some(Some(500)));
        assert!(hear(&failure, "here", 1_003_000).is_none());
        let mut waiting = failure;
        waiting.waits_for = Some("host".into());
        assert!(matches!(hear(&waiting, "here", 1_001_000), Some(Heard::Asked(asked)) if asked.wait.as_millis() == 2000));
        assert!(hear(&waiting, "here", 1_003_000).is_none());
        // Nor longer, where the clock was set back.
        assert!(hear(&waiting, "here", 900_000).is_none());
    }

    #[test]
    fn a_broken_network_is_told_to_its_own_people_and_not_for_long() {
        let refused = Error::new(Code::Connect, "refused").with_retry(None);
        let mut failure = noted(&refused);
        failure.network = Some("here".into());
        assert!(
            matches!(hear(&failure, "here", 1_000_500), Some(Heard::Failed(error)) if error.code() == Code::Connect && error.is_retryable())
        );
        assert!(hear(&failure, "elsewhere", 1_000_500).is_none());
        assert!(hear(&failure, "here", 1_010_001).is_none());
        // What only a person can mend does not pass.
        let refused = noted(&Error::new(Code::BadSecret, "wrong").with_oauth("invalid_client", None));
        assert!(hear(&refused, "anywhere", 1_100_000).is_some());
    }

    #[test]
    fn what_is_wrong_here_is_nobody_elses_business() {
        for code in [
            Code::Cancelled,
            Code::Certificate,
            Code::BadArgument,
            Code::ProxyAuth,
            Code::ShuttingDown,
        ] {
            assert!(reach(&Error::new(code, "x")).is_none(), "{code}");
        }
        assert!(matches!(
            reach(&Error::new(Code::Throttled, "x").with_status(429)),
            Some(Reach::All)
        ));
        assert!(matches!(
            reach(&Error::new(Code::ServerUnavailable, "x").with_status(503)),
            Some(Reach::Network)
        ));
        assert!(matches!(reach(&Error::new(Code::Dns, "x")), Some(Reach::Network)));
    }
}
