//! One call's way to the services: a bearer for each, a budget for each operation, one renewal, and errors that help.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::preflight::{self, Preflight};
use super::refusal::{self, is_documented_404, refusal};
use super::services::operations::Operation;
use super::services::{Cloud, Service};
use super::unsettled::{Failed, is_harmless};
use super::{Bearer, Bearers, Refused, Sink, challenge, pacing};
use crate::error::{Code, Error, Result};
use crate::transport::{
    Call, Notice, PAGE_BODY_LIMIT, Request, Response, Retry, Tally, Terms, Transport, asked_wait, host_of, is_loopback,
};

/// How often a call comes back after a 429.
const MAX_REFUSALS: u32 = 10;

/// Whether calls keep to the documented limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pacing {
    /// At Microsoft's hosts; an emulator and loopback addresses have no limits unless they say so.
    #[default]
    Auto,
    /// Everywhere.
    On,
    /// Nowhere.
    Off,
}

/// What every part of a call shares.
pub struct Session<'a> {
    /// The way out.
    pub transport: &'a dyn Transport,
    /// Deadline, correlation id, who is told.
    pub call: &'a Call,
    /// Where tokens come from.
    pub bearers: &'a dyn Bearers,
    /// Where items go.
    pub sink: &'a dyn Sink,
    /// Whether calls keep to the documented limits.
    pub pacing: Pacing,
    /// A limit within the call's own that waits for a budget do not count against.
    pub working: Option<Working>,
}

/// How long a call may take, not counting its waits for a budget.
pub struct Working {
    limit: Duration,
    begun: Instant,
    paused_ms: AtomicU64,
}

impl Working {
    /// From now on.
    pub fn within(limit: Duration) -> Working {
        Working {
            limit,
            begun: Instant::now(),
            paused_ms: AtomicU64::new(0),
        }
    }

    fn paused(&self, since: Instant) {
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.paused_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn deadline(&self) -> Instant {
        self.begun + self.limit + Duration::from_millis(self.paused_ms.load(Ordering::Relaxed))
    }
}

/// Where in the world, and how strictly: what every call may say.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Which cloud.
    pub cloud: Cloud,
    /// Another host of the service.
    pub base_url: Option<String>,
    /// What is done about a token that lacks something.
    pub preflight: Preflight,
}

/// The way to one service.
pub struct Channel<'a> {
    /// The call's own.
    pub session: &'a Session<'a>,
    /// The service's address.
    pub base: Url,
    service: &'static Service,
    bearer: Arc<dyn Bearer>,
    preflight: Preflight,
    checked: Mutex<HashSet<&'static str>>,
    /// When the last request was sent, by the steady clock.
    sent_ms: AtomicI64,
    /// The service's time in Unix seconds, and when it was told, by the steady clock.
    told: Mutex<Option<(i64, i64)>>,
}

/// One exchange.
pub struct Ask {
    /// The row of the table it belongs to.
    pub row: &'static Operation,
    /// The method.
    pub method: &'static str,
    /// Where to; on the channel's own host.
    pub url: Url,
    /// A JSON body.
    pub body: Option<Vec<u8>>,
    /// Headers that the caller sets.
    pub headers: Vec<(&'static str, String)>,
    /// What may be sent again.
    pub retry: Retry,
    /// The largest answer, in bytes.
    pub limit: usize,
    /// The limit of the exchange, in place of the client's own.
    pub timeout: Option<Duration>,
    /// Hand back what came of an answer that broke off.
    pub partial: bool,
    /// Hand back a 404 in the service's own words: where there is none of a kind, some lists answer so.
    pub none_is_404: bool,
}

impl Ask {
    /// A GET.
    pub fn get(row: &'static Operation, url: Url) -> Ask {
        Ask {
            row,
            method: "GET",
            url,
            body: None,
            headers: Vec::new(),
            retry: Retry::Safe,
            limit: PAGE_BODY_LIMIT,
            timeout: None,
            partial: false,
            none_is_404: false,
        }
    }

    /// A call with a body, sent again only when told so.
    pub fn with_body(row: &'static Operation, url: Url, body: Vec<u8>) -> Ask {
        Ask {
            method: row.method,
            body: Some(body),
            retry: Retry::Never,
            ..Ask::get(row, url)
        }
    }
}

impl<'a> Session<'a> {
    /// The way to a service.
    pub fn channel(&'a self, service: &'static Service, place: &Place) -> Result<Channel<'a>> {
        Ok(Channel {
            session: self,
            base: service.base_url_in(place.base_url.as_deref(), place.cloud)?,
            service,
            bearer: self.bearers.of(service, service.base_in(place.cloud))?,
            preflight: place.preflight,
            checked: Mutex::default(),
            sent_ms: AtomicI64::new(0),
            told: Mutex::default(),
        })
    }

    /// The call as it stands now, after what it waited for budgets.
    fn timed(&self) -> Call {
        let mut call = self.call.clone();
        if let Some(working) = &self.working {
            call.deadline = call.deadline.min(working.deadline());
        }
        call
    }

    /// Tells something the caller should know.
    pub fn warn(&self, text: impl Into<String>) {
        self.call.notices.tell(Notice::Warning(text.into()));
    }
}

impl Channel<'_> {
    /// The address of an operation.
    pub fn url(&self, row: &Operation, id: Option<&str>) -> Url {
        let mut url = self.base.clone();
        url.set_path("");
        // The id is escaped already: setting it as a path would escape it again.
        match id {
            Some(id) => url.join(&row.path_of(id)).unwrap_or(url),
            None => {
                url.set_path(row.path);
                url
            }
        }
    }

    /// The same way for another part of the call, with its own place for items.
    pub fn of<'b>(&self, session: &'b Session<'b>) -> Channel<'b> {
        Channel {
            session,
            base: self.base.clone(),
            service: self.service,
            bearer: Arc::clone(&self.bearer),
            preflight: self.preflight,
            checked: Mutex::default(),
            sent_ms: AtomicI64::new(0),
            told: Mutex::default(),
        }
    }

    /// A token, whatever it permits.
    pub async fn token(&self) -> Result<Arc<str>> {
        self.bearer.bearer(&self.session.timed(), None).await
    }

    /// When the last request was sent, by the steady clock, in milliseconds.
    pub fn sent_ms(&self) -> i64 {
        self.sent_ms.load(Ordering::Relaxed)
    }

    /// The service's time at a moment of the steady clock, in Unix seconds, rounded down; `None` where no answer has told it.
    pub fn service_time(&self, steady_ms: i64) -> Option<i64> {
        let (seconds, told) = (*self.told.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(
            seconds
                .saturating_mul(1000)
                .saturating_add(steady_ms)
                .saturating_sub(told)
                .div_euclid(1000),
        )
    }

    /// Takes note of the service's time (RFC 9110 section 6.6.1).
    fn hear(&self, response: &Response) {
        let date = response.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let since = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
        if let Some(seconds) = since.and_then(|since| i64::try_from(since.as_secs()).ok()) {
            let now = self.session.transport.clock().steady_ms();
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((seconds, now));
        }
    }

    /// The documented limit is kept here, and by whose budget.
    fn budget(&self, ask: &Ask, token: &str) -> Option<Arc<pacing::Budget>> {
        let emulator = self.session.transport.emulator_origin();
        let loopback = is_loopback(&self.base);
        let paced = match self.session.pacing {
            Pacing::On => true,
            Pacing::Off => false,
            Pacing::Auto => emulator.is_none() && !loopback,
        };
        if !paced {
            return None;
        }
        let (tenant, app) = preflight::owner(token).unwrap_or_else(|| {
            let bearers = self.session.bearers;
            (bearers.tenant().unwrap_or_default().to_owned(), bearers.client_id().to_owned())
        });
        // A region's host draws on the same budget as the default one.
        let host = if loopback { self.base.as_str() } else { self.service.key };
        Some(pacing::budget(format!(
            "{}\n{host}\n{tenant}\n{app}\n{}",
            emulator.unwrap_or_default(),
            ask.row.counted_as(ask.method, ask.url.path())
        )))
    }

    fn check(&self, row: &'static Operation, token: &str) -> Result<()> {
        if self.preflight == Preflight::Off || !self.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(row.name) {
            return Ok(());
        }
        match preflight::lack(token, row, self.session.bearers.tenant()) {
            None => Ok(()),
            Some(error) if self.preflight == Preflight::Warn => {
                self.session.warn(error.to_string());
                Ok(())
            }
            Some(error) => Err(error.with_ids(Some(&self.session.call.correlation_id), None)),
        }
    }

    /// A place in the budget. What was waited for it does not count against the working time.
    async fn slot(&self, budget: &Arc<pacing::Budget>, ask: &Ask) -> Result<pacing::Slot> {
        let session = self.session;
        let since = Instant::now();
        let by = session.timed().deadline;
        let slot = budget
            .slot(
                ask.row.limit,
                session.transport.clock(),
                session.call,
                by,
                &ask.row.counted_as(ask.method, ask.url.path()),
            )
            .await;
        if let Some(working) = &session.working {
            working.paused(since);
        }
        slot
    }

    /// Makes the call: within its budget, with a token that is renewed once when refused. The answer's status is one of 2xx. An error says so where
    /// a change may have been made that another try would make twice.
    pub async fn ask(&self, ask: &Ask) -> Result<Response> {
        self.attempt(ask).await.map_err(|failed| failed.told(ask))
    }

    /// The same for those who find out by themselves what became of a change.
    pub async fn attempt(&self, ask: &Ask) -> std::result::Result<Response, Failed> {
        let result = self.exchange(ask).await;
        // What was done is known now; a comment that was added is still not to be added again.
        let settled = match &result {
            Ok(_) => ask.row.name.starts_with("machine"),
            Err(failed) => !failed.unsettled,
        };
        if settled && !is_harmless(ask) {
            self.settled();
        }
        result
    }

    /// What became of a change is known: whoever gives up waiting from here on may do so as of any call.
    pub fn settled(&self) {
        self.session.call.notices.tell(Notice::Unsettled(None));
    }

    async fn exchange(&self, ask: &Ask) -> std::result::Result<Response, Failed> {
        let transport = self.session.transport;
        let mut token = self.token().await?;
        self.check(ask.row, &token)?;
        let budget = self.budget(ask, &token);
        let (mut renewed, mut answered, mut refusals) = (false, false, 0);
        let mut tally = Tally::default();
        let mut before: Option<Failed> = None;
        loop {
            let slot = match &budget {
                Some(budget) => match self.slot(budget, ask).await {
                    Ok(slot) => {
                        // The wait may have been longer than the token's life.
                        token = self.token().await?;
                        Some(slot)
                    }
                    // No time for another try: what was wrong with the one before says more.
                    Err(error) => return Err(before.unwrap_or_else(|| error.into())),
                },
                None => None,
            };
            let call = &self.session.timed();
            let mut headers = vec![
                ("authorization", Zeroizing::new(format!("Bearer {token}"))),
                ("accept", Zeroizing::new("application/json".to_owned())),
            ];
            headers.extend(ask.headers.iter().map(|(name, value)| (*name, Zeroizing::new(value.clone()))));
            let request = Request {
                method: ask.method,
                url: ask.url.clone(),
                headers,
                // Graph's page warns, and customers found out, that hunting wants the charset too.
                body: ask
                    .body
                    .as_ref()
                    .map(|body| ("application/json; charset=utf-8", Zeroizing::new(body.clone()))),
                retry: ask.retry,
                body_limit: ask.limit,
                direct: false,
            };
            let terms = Terms {
                timeout: ask.timeout,
                once: slot.is_some(),
                hand_back_429: ask.retry == Retry::Never,
                partial: ask.partial,
            };
            let too_late = call.deadline <= Instant::now();
            if let Some(error) = Failed::given_up(ask) {
                let error = error.with_ids(Some(&call.correlation_id), None);
                call.notices.tell(Notice::Unsettled(Some(Box::new(error))));
            }
            self.sent_ms.store(transport.clock().steady_ms(), Ordering::Relaxed);
            let result = transport.send_on(call, request, terms).await;
            if let Ok(response) = &result {
                self.hear(response);
                // Refused, for now: nothing was done, and the wait for the next try may be long.
                if matches!(response.status, 401 | 429) && !is_harmless(ask) {
                    self.settled();
                }
            }
            // The service counts each try, so each takes its place in the budget. A 429 is answered below.
            if slot.is_some()
                && !matches!(&result, Ok(response) if response.status == 429)
                && let Some(again) = tally.again(&result, ask.retry, transport.clock().unix())
                && again.wait < call.deadline.saturating_duration_since(Instant::now())
            {
                let answered = result.as_ref().is_ok_and(|response| response.broken.is_none());
                before = Some(Failed::sent(match result {
                    Ok(Response { broken: Some(error), .. }) | Err(error) => error,
                    Ok(response) => self.refused(&response, &token, ask),
                }));
                match slot {
                    Some(slot) if answered => slot.taken(),
                    other => drop(other),
                }
                let wait = again.wait;
                call.notices.tell(again.notice(host_of(&ask.url)));
                transport.clock().sleep(wait).await;
                continue;
            }
            let response = match result {
                Ok(response) => response,
                Err(error) if too_late => return Err(error.into()),
                Err(error) => return Err(Failed::sent(error)),
            };
            // A 401 renews the token once, and one that asks for claims is answered once with a token that has them.
            let claims = challenge::claims(&response);
            let again = match &claims {
                Some(_) => !answered,
                None => !renewed && !answered,
            };
            if response.status == 401 && again {
                match claims {
                    Some(_) => answered = true,
                    None => renewed = true,
                }
                call.verbose("the API refused the token; renewing it once");
                let refused = Refused {
                    token: &token,
                    claims: claims.as_deref(),
                };
                match self.bearer.bearer(call, Some(refused)).await {
                    Ok(another) => {
                        token = another;
                        continue;
                    }
                    // It cannot be renewed: the API's own words explain more.
                    Err(error) if error.code() == Code::Unauthorized => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // Refused before anything was done: whatever the call is, it may come again when the service says.
            if response.status == 429 && (terms.once || terms.hand_back_429) {
                refusals += 1;
                let asked = asked_wait(&response, transport.clock().unix());
                // Without a time, only what is safe is tried again: a query may be out of CPU for a quarter of an hour.
                let wait = match asked {
                    Some(wait) => Some(wait),
                    None if ask.retry == Retry::Never => None,
                    None => Some(Duration::from_millis(500 << refusals.min(6))),
                };
                let remaining = call.deadline.saturating_duration_since(Instant::now());
                if let Some(wait) = wait
                    && refusals <= MAX_REFUSALS
                    && wait < remaining
                {
                    call.notices.tell(Notice::Retry {
                        status: Some(429),
                        wait,
                        attempt: refusals,
                        reason: "HTTP 429".to_owned(),
                        host: response.host.clone(),
                    });
                    match slot {
                        Some(slot) => slot.refused(wait),
                        None => {
                            transport.clock().sleep(wait).await;
                            token = self.token().await?;
                        }
                    }
                    continue;
                }
                if let (Some(slot), Some(wait)) = (slot, wait) {
                    slot.refused(wait);
                }
                return Err(Failed::sent(self.refused(&response, &token, ask)));
            }
            if let Some(slot) = slot {
                slot.taken();
            }
            if (200..300).contains(&response.status) {
                if response.is_html() {
                    let error = Error::new(
                        Code::CaptivePortal,
                        format!("a web page answered in the place of {}", response.host),
                    );
                    return Err(Failed::sent(error.with_status(response.status).with_hint(
                        "this network wants a sign-in of its own first: open a browser and complete it",
                    )));
                }
                if response.broken.is_none()
                    && let Some((code, message)) = refusal::error_alone(&response.body)
                {
                    let said = format!(
                        "{} answered HTTP {} with an error in the place of the answer: {code}: {message}",
                        response.host, response.status
                    );
                    let error = Error::new(Code::BadPayload, said)
                        .with_status(response.status)
                        .with_hint("try again; if it stays so, report it to the service's support with the trace id")
                        .with_ids(
                            Some(response.header("client-request-id").unwrap_or(&call.correlation_id)),
                            response.header("x-ms-request-id").or_else(|| response.header("request-id")),
                        )
                        .scrub(&[&token]);
                    return Err(Failed::sent(error));
                }
                return Ok(response);
            }
            // A proxy's 404, or one about the path, has no such code.
            if response.status == 404 && ask.none_is_404 && is_documented_404(&response.body) {
                return Ok(response);
            }
            let error = self.refused(&response, &token, ask);
            return Err(Failed::sent(match claims {
                Some(_) if response.status == 401 => error
                    .with_code(Code::ClaimsChallenge)
                    .with_oauth("insufficient_claims", None)
                    .with_hint(
                        "the new token did not satisfy the service either: sign in interactively with these claims (the request's \"claims\")",
                    )
                    .with_claims(claims),
                _ => error,
            }));
        }
    }

    fn refused(&self, response: &Response, token: &str, ask: &Ask) -> Error {
        let error = refusal(response, token, ask.row, self.session.transport.clock().unix());
        error
            .with_ids(
                Some(response.header("client-request-id").unwrap_or(&self.session.call.correlation_id)),
                response.header("x-ms-request-id").or_else(|| response.header("request-id")),
            )
            .scrub(&[token])
    }
}
