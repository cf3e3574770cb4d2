//! A running piece of work that a host can wait for in slices: it asks questions, brings items, and ends in exactly one state.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use zeroize::Zeroizing;

use super::runtime;
use crate::auth::interaction::{Host, Opens, Question, Reply};
use crate::auth::token::Token;
use crate::clock::{self, BoxFuture, Clock};
use crate::defender::Mark;
use crate::error::{Code, Error, Result};
use crate::transport::{Notice, Notices};

/// How many notices wait for a host that does not take them; later ones push the oldest out.
const MAX_NOTICES: usize = 1000;

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing to take yet.
    Running,
    /// An event waits.
    Event,
    /// An item waits.
    Item,
    /// It succeeded, and everything was taken.
    Done,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// Something the host is told or asked.
pub struct Event {
    id: u64,
    body: Value,
}

impl Event {
    /// The event as the JSON document that crosses the C ABI.
    pub fn to_json(&self) -> &Value {
        &self.body
    }
}

/// What an operation ends with.
enum End {
    Done(Option<(Arc<Token>, bool)>),
    Failed(Error),
    /// By the caller, or by the person who closed the window.
    Cancelled(Error),
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Asked {
    /// Waits in the queue.
    Queued,
    /// The host has seen it. Coming back to wait without a reply means: do it yourself.
    Taken,
}

struct Pending {
    asked: Asked,
    required: bool,
    reply: oneshot::Sender<Reply>,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    items: VecDeque<Bytes>,
    /// Where in its list the page stands whose items were handed over last, and how many of them were taken.
    place: Option<(Mark, usize)>,
    /// How many items were handed over last, and how many of them were taken.
    handed: usize,
    taken: usize,
    /// The error of who gives up now, while a change is under way that another try may make twice.
    unsettled: Option<Box<Error>>,
    pending: HashMap<u64, Pending>,
    next_id: u64,
    end: Option<End>,
}

impl Inner {
    /// The caller means to read on: half of the page in use was taken.
    fn has_begun(&self) -> bool {
        self.taken.saturating_mul(2) >= self.handed
    }
}

/// See the module's own words. All calls are safe from any thread.
pub struct Operation {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Told when items were taken, so that the next page may come.
    room: Notify,
    /// Told once, when the host cancels.
    cancelled: Notify,
    /// False for one-shot calls, where nobody takes events.
    listens: bool,
}

/// The caller's hold on an operation. Dropping it cancels what still runs, whoever else looks at it.
pub struct Running(Arc<Operation>);

impl Running {
    pub(crate) fn shared(&self) -> &Arc<Operation> {
        &self.0
    }
}

impl std::ops::Deref for Running {
    type Target = Operation;

    fn deref(&self) -> &Operation {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Operation {
    /// Starts `work`, which is dropped at the deadline or when the operation is cancelled. The time that the machine sleeps counts, by `clock`.
    pub fn start<F>(listens: bool, timeout: Duration, clock: Arc<dyn Clock>, work: impl FnOnce(Arc<Operation>) -> F) -> Result<Running>
    where
        F: Future<Output = Result<Option<(Arc<Token>, bool)>>> + Send + 'static,
    {
        let runtime = runtime::handle()?;
        let operation = Arc::new(Operation {
            inner: Mutex::default(),
            changed: Condvar::new(),
            room: Notify::new(),
            cancelled: Notify::new(),
            listens,
        });
        let future = work(Arc::clone(&operation));
        let shared = Arc::clone(&operation);
        let task = runtime.spawn(async move {
            // The work knows its deadline too and has better words for it; this is for work that does not come back, and for a machine that slept.
            let limit = timeout.saturating_add(Duration::from_millis(150));
            let limited = clock::within(|| clock.steady_ms(), limit, tokio::time::timeout(limit, future));
            tokio::select! {
                biased;
                () = shared.cancelled.notified() => {}
                result = limited => {
                    let result = result.and_then(std::result::Result::ok).unwrap_or_else(|| {
                        if let Some(error) = shared.lock().unsettled.take() {
                            return Err(*error);
                        }
                        Err(Error::new(Code::Timeout, format!("the call took longer than its limit of {} s", timeout.as_secs_f32())).with_retry(None).with_hint("allow more time, or check the network"))
                    });
                    shared.end(match result {
                        Ok(token) => End::Done(token),
                        Err(error) if error.is_cancelled() => End::Cancelled(error),
                        Err(error) => End::Failed(error),
                    });
                }
            }
        });
        let watched = Arc::clone(&operation);
        // A panic in the work must still end the operation, or its host would wait for ever.
        runtime.spawn(async move {
            if task.await.is_err() {
                watched.end(End::Failed(
                    Error::new(Code::Panic, "a defect in the library ended the operation")
                        .with_hint("please report it with the trace of DEFENDER_XDR_LOG"),
                ));
            }
        });
        Ok(Running(operation))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: End) {
        let mut inner = self.lock();
        if inner.end.is_none() {
            inner.end = Some(end);
            // What was asked and not answered needs no answer any more.
            let pending = std::mem::take(&mut inner.pending);
            inner.events.retain(|event| !pending.contains_key(&event.id));
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// Waits until there is something to take or the end is reached, at most `limit`.
    pub fn wait(&self, limit: Duration) -> State {
        let until = Instant::now() + limit;
        let mut inner = self.lock();
        // A host that saw an optional question and came back has left it to the library.
        let left: Vec<u64> = inner
            .pending
            .iter()
            .filter(|(_, p)| p.asked == Asked::Taken && !p.required)
            .map(|(id, _)| *id)
            .collect();
        for id in left {
            if let Some(pending) = inner.pending.remove(&id) {
                let _ = pending.reply.send(Reply::BuiltIn);
            }
        }
        loop {
            let state = state_of(&inner);
            if state != State::Running {
                return state;
            }
            let now = Instant::now();
            if now >= until {
                return State::Running;
            }
            inner = self
                .changed
                .wait_timeout(inner, until - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The next event.
    pub fn take_event(&self) -> Option<Event> {
        let mut inner = self.lock();
        let event = inner.events.pop_front()?;
        if let Some(pending) = inner.pending.get_mut(&event.id) {
            pending.asked = Asked::Taken;
        }
        Some(event)
    }

    /// Answers a question. A second or late answer, or one to what was no question, is an error.
    pub fn reply(&self, id: u64, text: Zeroizing<String>) -> Result<()> {
        let pending = self.lock().pending.remove(&id);
        let late = || {
            Error::argument(
                format!("event {id} waits for no reply"),
                "reply once, to an event whose \"reply\" is optional or required, before the operation ends",
            )
        };
        pending.ok_or_else(late)?.reply.send(Reply::Text(text)).map_err(|_| late())
    }

    /// The next item: a page, or one record of it.
    pub fn take_item(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        let item = inner.items.pop_front();
        if item.is_some() {
            inner.taken = inner.taken.saturating_add(1);
            if let Some((_, taken)) = &mut inner.place {
                *taken += 1;
            }
        }
        if inner.items.is_empty() || inner.has_begun() {
            self.room.notify_one();
        }
        item
    }

    /// Where to go on with what was not taken yet; `None` before the first page, and for what is no list.
    pub fn resume(&self) -> Option<String> {
        let place = self.lock().place.clone();
        place.and_then(|(mark, taken)| mark.token(taken))
    }

    /// The token, after `Done` of an operation that brings one. True beside it: it came from the cache.
    pub fn token(&self) -> Option<(Arc<Token>, bool)> {
        match &self.lock().end {
            Some(End::Done(token)) => token.clone(),
            _ => None,
        }
    }

    /// What went wrong, after `Failed` or `Cancelled`.
    pub fn error(&self) -> Option<Error> {
        match &self.lock().end {
            Some(End::Failed(error) | End::Cancelled(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// Ends the operation now, unless it has ended. Never blocks; what it has not handed over is dropped.
    pub fn cancel(&self) {
        {
            let mut inner = self.lock();
            if inner.end.is_none() {
                inner.end = Some(End::Cancelled(Error::new(Code::Cancelled, "the caller cancelled")));
                inner.events.clear();
                inner.items.clear();
                inner.pending.clear();
            }
        }
        self.cancelled.notify_one();
        self.changed.notify_all();
    }

    /// True if the host takes events.
    pub(crate) fn listens(&self) -> bool {
        self.listens
    }

    /// Hands items over, once the host has taken those before: memory holds what is being taken and what was fetched ahead, no more.
    pub(crate) async fn hand_over(&self, items: impl IntoIterator<Item = Bytes>, mark: Option<Mark>) {
        loop {
            let room = self.room.notified();
            if self.lock().items.is_empty() {
                break;
            }
            room.await;
        }
        {
            let mut inner = self.lock();
            // Cancelled meanwhile: the end stays the end.
            if inner.end.is_none() {
                inner.items.extend(items);
                if !inner.items.is_empty() {
                    (inner.handed, inner.taken) = (inner.items.len(), 0);
                }
                if let Some(mark) = mark {
                    inner.place = Some((mark, 0));
                }
            }
        }
        self.changed.notify_all();
    }

    /// Waits until the caller has taken half of what it was handed over last. Whoever takes three records and goes has then cost one page; for whoever
    /// reads on, each page is fetched while the second half of the one before is being taken, and none beyond it.
    pub(crate) async fn begun(&self) {
        loop {
            let room = self.room.notified();
            if self.lock().has_begun() {
                return;
            }
            room.await;
        }
    }

    fn push(&self, kind: &str, reply: &str, without_reply: Option<&str>, fields: Value, pending: Option<Pending>) {
        let mut inner = self.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        let mut body = json!({ "id": id, "kind": kind, "reply": reply, "without_reply": without_reply });
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields);
        }
        if inner.end.is_none() {
            // A question and the place for its answer appear together: a host on another thread may take it at once.
            if let Some(pending) = pending {
                inner.pending.insert(id, pending);
            }
            if inner.events.len() >= MAX_NOTICES
                && let Some(at) = inner.events.iter().position(|event| !inner.pending.contains_key(&event.id))
            {
                inner.events.remove(at);
            }
            inner.events.push_back(Event { id, body });
        }
        drop(inner);
        self.changed.notify_all();
    }
}

fn state_of(inner: &Inner) -> State {
    if !inner.events.is_empty() {
        return State::Event;
    }
    if !inner.items.is_empty() {
        return State::Item;
    }
    match inner.end {
        None => State::Running,
        Some(End::Done(_)) => State::Done,
        Some(End::Failed(_)) => State::Failed,
        Some(End::Cancelled(_)) => State::Cancelled,
    }
}

impl Notices for Operation {
    fn tell(&self, notice: Notice) {
        if let Notice::Unsettled(error) = notice {
            self.lock().unsettled = error;
            return;
        }
        if !self.listens {
            return;
        }
        let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        match notice {
            Notice::Retry {
                status,
                wait,
                attempt,
                reason,
                host,
            } => {
                self.push(
                    "retry",
                    "none",
                    None,
                    json!({ "status": status, "wait_ms": millis(wait), "attempt": attempt, "reason": reason, "host": host }),
                    None,
                );
            }
            Notice::Progress { pages, items, pass } => {
                self.push(
                    "progress",
                    "none",
                    None,
                    json!({ "pages": pages, "items": items, "pass": pass }),
                    None,
                );
            }
            Notice::Pacing { endpoint, wait, limit } => {
                self.push(
                    "pacing",
                    "none",
                    None,
                    json!({ "endpoint": endpoint, "wait_ms": millis(wait), "limit": limit }),
                    None,
                );
            }
            Notice::Detail { kind, fields } => self.push(kind, "none", None, fields, None),
            Notice::Held(_) | Notice::Unsettled(_) => {}
            Notice::Verbose(message) => {
                self.push("verbose", "none", None, json!({ "message": message }), None);
            }
            Notice::Warning(message) => {
                self.push("warning", "none", None, json!({ "message": message }), None);
            }
        }
    }
}

impl Host for Operation {
    fn listens(&self) -> bool {
        self.listens
    }

    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Reply>> {
        if !self.listens {
            return Box::pin(async { Ok(Reply::BuiltIn) });
        }
        let (sender, receiver) = oneshot::channel();
        let (kind, required, without, fields) = match question {
            Question::OpenBrowser { url, redirect_uri, opens } => {
                let (opens, without) = match opens {
                    Opens::SystemBrowser => ("system_browser", "the library opens the system browser at the next wait"),
                    Opens::AppWindow => ("app_window", "the library opens an app window at the next wait"),
                };
                (
                    "open_browser",
                    false,
                    without,
                    json!({ "url": url, "redirect_uri": redirect_uri, "opens": opens }),
                )
            }
            Question::PasteRedirect {
                url,
                redirect_uri,
                message,
            } => (
                "paste_redirect",
                true,
                "the sign-in waits until its time limit",
                json!({ "url": url, "redirect_uri": redirect_uri, "message": message }),
            ),
            Question::Sign {
                data,
                algorithm,
                thumbprint,
            } => (
                "sign",
                true,
                "the sign-in waits until its time limit",
                json!({ "algorithm": algorithm, "data": STANDARD.encode(data), "thumbprint": thumbprint }),
            ),
            Question::Negotiate {
                url,
                content_type,
                action,
                body,
            } => (
                "negotiate",
                true,
                "the sign-in waits until its time limit",
                json!({ "url": url, "method": "POST", "headers": { "Content-Type": content_type, "SOAPAction": action }, "body": body }),
            ),
            Question::Assertion {
                audience,
                client_id,
                problem,
            } => (
                "assertion",
                true,
                "the sign-in waits until its time limit",
                json!({ "audience": audience, "client_id": client_id, "problem": problem }),
            ),
            Question::DeviceCode {
                user_code,
                verification_uri,
                verification_uri_complete,
                message,
                expires_on,
                interval,
            } => {
                let fields = json!({
                    "user_code": user_code,
                    "verification_uri": verification_uri,
                    "verification_uri_complete": verification_uri_complete,
                    "message": message,
                    "expires_on": expires_on,
                    "interval": interval,
                });
                self.push("device_code", "none", None, fields, None);
                return Box::pin(async { Ok(Reply::BuiltIn) });
            }
        };
        let pending = Pending {
            asked: Asked::Queued,
            required,
            reply: sender,
        };
        self.push(
            kind,
            if required { "required" } else { "optional" },
            Some(without),
            fields,
            Some(pending),
        );
        Box::pin(async move {
            receiver
                .await
                .map_err(|_| Error::new(Code::Cancelled, "the operation ended before the question was answered"))
        })
    }
}
