//! Machine actions: what was started on machines, and how it ends.
//!
//! Sources: "MachineAction resource type", "List machine actions", "Get machine action", "Cancel machine action".

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::filter;
use super::incidents::{filtered, object};
use super::lookup;
use super::params::{Params, quoted};
use super::record::{named, record};
use super::services::ENDPOINT;
use super::services::operations as rows;
use super::session::{Ask, Channel, Place, Session};
use super::time;
use super::unsettled::Failed;
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::Notice;

/// How often the end of an action is looked for, in seconds, when the caller does not say.
const POLL: i64 = 10;

/// Reads `wait` and `poll_s`.
pub fn wait_keys(params: &mut Params) -> Result<Option<Duration>> {
    let wait = params.flag("wait", false)?;
    let every = poll(params)?;
    Ok(wait.then_some(every))
}

fn poll(params: &mut Params) -> Result<Duration> {
    let seconds = params.number("poll_s", 1, 3600, "give seconds between two looks")?.unwrap_or(POLL);
    Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(10)))
}

/// An action's id.
pub fn id_of(action: &Bytes) -> Result<String> {
    let text = std::str::from_utf8(action).unwrap_or_default();
    Members::read(text)
        .and_then(|members| members.text("id"))
        .ok_or_else(|| Error::new(Code::BadPayload, "the answer is not a machine action"))
}

/// An action as it is listed, with what tells it from others of its kind.
pub struct Action {
    /// As sent.
    pub bytes: Bytes,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Who asked for it.
    pub requestor: String,
    /// Why.
    pub comment: String,
    /// Full, Selective, Quick: which it is of a type that has several.
    pub scope: Option<String>,
    /// The file it is about.
    pub file: Option<String>,
    /// When it was begun, by the service's clock.
    pub created: Option<time::Ticks>,
    status: String,
}

/// True of the status of an action that has not ended.
fn is_going(status: &str) -> bool {
    ["Pending", "InProgress"].iter().any(|going| going.eq_ignore_ascii_case(status))
}

impl Action {
    fn read(bytes: Bytes) -> Option<Action> {
        let text = std::str::from_utf8(&bytes).ok()?;
        let members = Members::read(text)?;
        let text = |name: &str| members.text(name).unwrap_or_default();
        let file = members
            .get("relatedFileInfo")
            .and_then(|raw| Members::read(raw.get()))
            .and_then(|file| file.text("fileIdentifier"));
        Some(Action {
            id: members.text("id")?,
            kind: text("type"),
            requestor: text("requestor"),
            comment: text("requestorComment"),
            scope: members.text("scope").filter(|scope| !scope.is_empty()),
            file,
            created: time::parse(&text("creationDateTimeUtc")),
            status: text("status"),
            bytes: bytes.clone(),
        })
    }

    /// True while it has not begun.
    pub fn is_pending(&self) -> bool {
        self.status.eq_ignore_ascii_case("Pending")
    }

    /// True while it has not ended.
    pub fn is_going(&self) -> bool {
        is_going(&self.status)
    }
}

/// The actions of some kinds on a machine that meet a condition, newest first.
pub async fn newest(channel: &Channel<'_>, machine: &str, kinds: &[&str], condition: Option<&str>) -> Result<Vec<Action>> {
    let row = &rows::ACTIONS_LIST;
    let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let wanted = filter::all_of(
        [
            Some(format!("machineId eq {}", filter::literal(machine))),
            filter::any_of("type", &kinds, filter::literal),
        ],
        condition,
    );
    let url = filtered(&channel.url(row, None), wanted.as_deref());
    let actions = lookup::all(channel, row, url, "the list of machine actions").await?;
    let mut found: Vec<Action> = actions.into_iter().filter_map(Action::read).collect();
    // The order is not documented.
    found.sort_by_key(|action| std::cmp::Reverse(action.created));
    Ok(found)
}

/// In how many looks an action that was just started may be unknown yet.
const YOUNG: u32 = 3;

/// Waits for the end of an action, looking now and then. One that is `young` may not be known everywhere yet.
pub async fn wait(channel: &Channel<'_>, id: &str, every: Duration, young: bool) -> Result<Bytes> {
    let row = &rows::ACTIONS_GET;
    let session = channel.session;
    // It was started, as its id shows.
    channel.settled();
    let mut looks = 0u32;
    loop {
        let status = match channel.ask(&Ask::get(row, channel.url(row, Some(id)))).await {
            Ok(response) => {
                let action = record(&response, row.id, &format!("machine action {id}"))?;
                let text = std::str::from_utf8(&action).unwrap_or_default();
                let status = Members::read(text).and_then(|members| members.text("status")).unwrap_or_default();
                if !is_going(&status) {
                    return Ok(action);
                }
                status
            }
            Err(error) if young && looks < YOUNG && error.code() == Code::NotFound => "Pending".to_owned(),
            Err(error) => return Err(named(error, &format!("machine action {id}"))),
        };
        looks += 1;
        // An action takes minutes: after a while it is looked for less often.
        let next = if looks <= 6 { every } else { every.saturating_mul(3) };
        if next >= session.call.deadline.saturating_duration_since(Instant::now()) {
            return Err(Error::new(Code::Timeout, format!("machine action {id} is still {status}"))
                .with_retry(None)
                .with_hint("it goes on without this call: look for it with machine_actions.wait"));
        }
        session.call.notices.tell(Notice::Detail {
            kind: "action",
            fields: serde_json::json!({ "action_id": id, "status": status, "wait_ms": u64::try_from(next.as_millis()).unwrap_or(0) }),
        });
        session.transport.clock().sleep(next).await;
    }
}

/// What is wished of an action that exists.
pub enum Wish {
    /// How it stands.
    Get,
    /// How it ends, looking so often.
    Wait(Duration),
    /// That it does not happen, for this reason.
    Cancel(String),
}

/// A checked wish for one action.
pub struct One {
    place: Place,
    id: String,
    wish: Wish,
}

impl One {
    /// Reads the keys of `machine_actions.get`, `.wait` and `.cancel`.
    pub fn read(params: &mut Params, place: Place, operation: &str) -> Result<One> {
        let id = params.id("set id to the action's id")?;
        let wish = match operation {
            "machine_actions.wait" => Wish::Wait(poll(params)?),
            "machine_actions.cancel" => Wish::Cancel(params.need("comment", "set comment: the service wants a reason")?),
            _ => Wish::Get,
        };
        Ok(One { place, id, wish })
    }

    /// Does it; the action comes as the only item.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let what = format!("machine action {}", self.id);
        let ask = match &self.wish {
            Wish::Wait(every) => {
                let action = wait(&channel, &self.id, *every, false).await?;
                session.sink.take(vec![action], None).await;
                return Ok(());
            }
            Wish::Get => Ask::get(&rows::ACTIONS_GET, channel.url(&rows::ACTIONS_GET, Some(&self.id))),
            Wish::Cancel(comment) => {
                let row = &rows::ACTIONS_CANCEL;
                let body = object([("Comment", quoted(comment))].into_iter());
                Ask::with_body(row, channel.url(row, Some(&self.id)), body)
            }
        };
        let response = channel.ask(&ask).await.map_err(|error| named(error, &what))?;
        let action = record(&response, ask.row.id, &what).map_err(|error| Failed::sent(error).told(&ask))?;
        session.sink.take(vec![action], None).await;
        Ok(())
    }
}
