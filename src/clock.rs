//! Time and randomness, passed in so that tests never sleep and never guess.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Code, Error, Result};

/// A future that can be kept behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the time of day and waiting come from.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn unix_ms(&self) -> i64;

    /// Resolves after `duration` of this clock's time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Milliseconds of a clock that nobody sets and that goes on while the machine sleeps, unlike [`std::time::Instant`] on Linux and macOS.
    fn steady_ms(&self) -> i64 {
        steady_ms()
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    fn unix(&self) -> i64 {
        self.unix_ms().div_euclid(1000)
    }
}

/// How soon after it woke the machine's sleep is noticed.
const WAKE: Duration = Duration::from_secs(1);

#[cfg(unix)]
fn steady_ms() -> i64 {
    use nix::time::{ClockId, clock_gettime};
    // The time since the start, sleep included, is CLOCK_BOOTTIME in Linux and CLOCK_MONOTONIC in macOS.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let id = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let id = ClockId::CLOCK_MONOTONIC;
    clock_gettime(id).map_or(0, |time| millis(Duration::from(time)))
}

#[cfg(not(unix))]
fn steady_ms() -> i64 {
    // Windows' performance counter goes on in sleep.
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    millis(FIRST.get_or_init(std::time::Instant::now).elapsed())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Works until it is done, or until `limit` has passed on the clock that goes on in sleep: `None` then, within a second of waking. The runtime's own
/// timers stand still while the machine sleeps.
pub fn within<T>(steady_ms: impl Fn() -> i64, limit: Duration, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    // From now on, not from the first look.
    let until = steady_ms().saturating_add(millis(limit));
    async move {
        let mut ticks = tokio::time::interval(WAKE);
        tokio::pin!(work);
        std::future::poll_fn(|context| {
            // What is done counts, however late it is looked at.
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            while ticks.poll_tick(context).is_ready() {}
            if steady_ms() >= until { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

/// Waits for `duration`, of which the machine may sleep a part.
pub fn wait(steady_ms: impl Fn() -> i64, duration: Duration) -> impl Future<Output = ()> {
    let over = within(steady_ms, duration, tokio::time::sleep(duration));
    async move {
        over.await;
    }
}

/// The machine's own clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(wait(steady_ms, duration))
    }
}

/// Where unpredictable bytes come from.
pub trait Random: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;
}

/// The operating system's generator.
#[derive(Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::getrandom(buffer).map_err(|_| Error::new(Code::Unsupported, "the operating system gave no random bytes"))
    }
}

/// A random UUID (version 4) in its usual text form.
pub fn uuid(random: &dyn Random) -> Result<String> {
    let mut b = [0u8; 16];
    random.fill(&mut b)?;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

#[cfg(feature = "test-hooks")]
pub mod stepped {
    //! A clock that stands still until it is told to move, over a loopback connection.
    //!
    //! `DEFENDER_XDR_TEST_CLOCK=127.0.0.1:PORT` names a listener of the test; the library connects and reads lines: `advance MILLISECONDS`.
    //! Each line is answered with `now MILLISECONDS`, and each wait the library begins is told with `sleep MILLISECONDS`.

    use super::{BoxFuture, Clock, SystemClock};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;
    use tokio::sync::watch;

    /// See the module's own words.
    pub struct SteppedClock {
        now_ms: Arc<AtomicI64>,
        moved: watch::Receiver<i64>,
        out: Mutex<TcpStream>,
    }

    impl SteppedClock {
        /// The clock that the environment asks for, if it does.
        pub fn from_environment() -> Option<SteppedClock> {
            let address = std::env::var("DEFENDER_XDR_TEST_CLOCK").ok()?;
            let stream = TcpStream::connect(address).ok()?;
            let now_ms = Arc::new(AtomicI64::new(SystemClock.unix_ms()));
            let (sender, moved) = watch::channel(now_ms.load(Ordering::SeqCst));
            let out = stream.try_clone().ok()?;
            let mut answer = stream.try_clone().ok()?;
            let now = Arc::clone(&now_ms);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(|line| line.ok()) {
                    if let Some(ms) = line.strip_prefix("advance ").and_then(|ms| ms.trim().parse::<i64>().ok()) {
                        let value = now.fetch_add(ms, Ordering::SeqCst) + ms;
                        sender.send_replace(value);
                        // In one piece: the other thread writes there too.
                        let _ = answer.write_all(format!("now {value}\n").as_bytes());
                    }
                }
            });
            Some(SteppedClock {
                now_ms,
                moved,
                out: Mutex::new(out),
            })
        }
    }

    impl Clock for SteppedClock {
        fn unix_ms(&self) -> i64 {
            self.now_ms.load(Ordering::SeqCst)
        }

        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            let until = self.unix_ms().saturating_add(ms);
            let mut moved = self.moved.clone();
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = out.write_all(format!("sleep {ms}\n").as_bytes());
            drop(out);
            Box::pin(async move {
                let _ = moved.wait_for(|now| *now >= until).await;
            })
        }
    }
}
