//! Machines of Microsoft Defender for Endpoint: which one is meant, and what is done to it.
//!
//! Sources: "Machine resource type", "Isolate machine", "Release machine from isolation", "Run antivirus scan", "Stop and quarantine file",
//! "Restrict app execution", "Add or remove machine tags"; OData samples page for `startswith`.

use std::time::Duration;

use bytes::Bytes;

use super::actions::{self, Action};
use super::incidents::{filtered, object};
use super::lookup;
use super::params::{Params, quoted};
use super::record::{named, record};
use super::services::ENDPOINT;
use super::services::operations::{self as rows, Operation};
use super::session::{Ask, Channel, Place, Session};
use super::unsettled::Failed;
use super::{filter, time};
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::Retry;

/// A machine as a person names it: the id, or a name that has to fit exactly one.
pub struct Name(String);

impl Name {
    /// Reads the key `machine`.
    pub fn read(params: &mut Params) -> Result<Name> {
        let text = params.need("machine", "set machine to the machine's id (40 hexadecimal digits) or its name")?;
        let text = text.trim().to_owned();
        if text.len() > 255 || text.chars().any(|c| c.is_control() || c == '/') {
            return Err(Error::argument(
                "the machine's name is too long, or holds characters that no name has",
                "set machine to its id (40 hexadecimal digits) or its DNS name",
            ));
        }
        Ok(Name(text))
    }

    fn is_id(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|b| b.is_ascii_hexdigit())
    }

    /// The machine's id. A name is looked up, whole or without its domain; none and several are errors, the latter with all that fit.
    pub async fn id(&self, channel: &Channel<'_>) -> Result<String> {
        if self.is_id() {
            return Ok(self.0.to_ascii_lowercase());
        }
        let row = &rows::MACHINES_LIST;
        let name = self.0.to_ascii_lowercase();
        let url = channel.url(row, None);
        // Whole, or without its domain: all that merely begin alike would fill the page. Names are small letters, but for those of old.
        let mut spellings = vec![name.clone()];
        spellings.extend((self.0 != name).then(|| self.0.clone()));
        let wanted: Vec<String> = spellings
            .iter()
            .flat_map(|name| {
                let dot = filter::literal(&format!("{name}."));
                [
                    format!("computerDnsName eq {}", filter::literal(name)),
                    format!("startswith(computerDnsName,{dot})"),
                ]
            })
            .collect();
        let url = filtered(&url, Some(&wanted.join(" or ")));
        let machines = lookup::all(channel, row, url, "the list of machines").await?;
        let mut whole = Vec::new();
        let mut short = Vec::new();
        for record in &machines {
            let text = std::str::from_utf8(record).unwrap_or_default();
            let Some(members) = Members::read(text) else { continue };
            let have = members.text("computerDnsName").unwrap_or_default().to_ascii_lowercase();
            let found = (
                members.text("id").unwrap_or_default(),
                have.clone(),
                members.text("lastSeen").unwrap_or_default(),
            );
            if have == name {
                whole.push(found);
            } else if have.split('.').next() == Some(name.as_str()) {
                short.push(found);
            }
        }
        let found = if whole.is_empty() { short } else { whole };
        match found.as_slice() {
            [(id, _, _)] => Ok(id.clone()),
            [] => Err(Error::new(Code::NotFound, format!("there is no machine named {}", self.0))
                .with_hint("check the name; the machine may also be outside the device groups this account may see")),
            several => {
                let list: Vec<String> = several
                    .iter()
                    .take(10)
                    .map(|(id, name, seen)| format!("{id} ({name}, last seen {seen})"))
                    .collect();
                Err(Error::argument(
                    format!("{} machines are named {}: {}", several.len(), self.0, list.join("; ")),
                    "set machine to the id of the one that is meant",
                ))
            }
        }
    }
}

/// A checked wish for one machine.
pub struct Get {
    place: Place,
    name: Name,
}

impl Get {
    /// Reads the keys of `machines.get`.
    pub fn read(params: &mut Params, place: Place) -> Result<Get> {
        Ok(Get {
            place,
            name: Name::read(params)?,
        })
    }

    /// Gets the machine.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let id = self.name.id(&channel).await?;
        let row = &rows::MACHINES_GET;
        let response = channel
            .ask(&Ask::get(row, channel.url(row, Some(&id))))
            .await
            .map_err(|error| named(error, &format!("machine {id}")))?;
        let machine = record(&response, row.id, &format!("machine {id}"))?;
        session.sink.take(vec![machine], None).await;
        Ok(())
    }
}

/// The actions that have not ended.
const GOING: &str = "(status eq 'Pending' or status eq 'InProgress')";
/// Those, and the ones that were carried out.
const COUNTS: &str = "(status eq 'Succeeded' or status eq 'Pending' or status eq 'InProgress')";

/// The error where what undoes an action is under way, so that an older one of its kind cannot stand for it.
fn opposed(machine: &str, against: &Action, error: Error) -> Error {
    let what = match against.kind.as_str() {
        "Isolate" => "an isolation",
        "Unisolate" => "a release from isolation",
        "RestrictCodeExecution" => "a restriction of code execution",
        _ => "a removal of the restriction of code execution",
    };
    let message = format!(
        "{}; {what} of machine {machine} is {} (action {}, by {}), which would undo it: nothing was started",
        error.message(),
        if against.is_pending() { "pending" } else { "in progress" },
        against.id,
        against.requestor
    );
    error
        .with_code(Code::Busy)
        .with_message(message)
        .with_retry(None)
        .with_hint("wait for its end (machine_actions.wait), or cancel it, and try again")
}

/// A checked action on one machine.
pub struct Act {
    place: Place,
    row: &'static Operation,
    /// The type that the service gives such an action.
    kind: &'static str,
    /// The type of the action that undoes it, where it brings a state that lasts.
    opposite: Option<&'static str>,
    name: Name,
    comment: String,
    members: Vec<(&'static str, String)>,
    wait: Option<Duration>,
}

impl Act {
    /// Reads the keys of an action.
    pub fn read(params: &mut Params, place: Place, row: &'static Operation) -> Result<Act> {
        let name = Name::read(params)?;
        let comment = params.need(
            "comment",
            "set comment: the service wants a reason with each action, and others read it",
        )?;
        let mut members = Vec::new();
        let kind = match row.name {
            "machines.isolate" => {
                let kind = params.choice(
                    "type",
                    &[("Full", "Full"), ("Selective", "Selective"), ("UnManagedDevice", "UnManagedDevice")],
                )?;
                members.push(("IsolationType", quoted(kind)));
                "Isolate"
            }
            "machines.release" => "Unisolate",
            "machines.scan" => {
                let kind = params.choice("type", &[("Quick", "Quick"), ("Full", "Full")])?;
                members.push(("ScanType", quoted(kind)));
                "RunAntiVirusScan"
            }
            "machines.quarantine" => {
                let sha1 = params.need("sha1", "set sha1 to the file's SHA-1, 40 hexadecimal digits")?;
                let sha1 = sha1.trim().to_ascii_lowercase();
                if sha1.len() != 40 || !sha1.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(Error::argument(
                        "sha1 is no SHA-1",
                        "set sha1 to the file's SHA-1, 40 hexadecimal digits",
                    ));
                }
                members.push(("Sha1", quoted(&sha1)));
                "StopAndQuarantineFile"
            }
            "machines.restrict" => "RestrictCodeExecution",
            _ => "UnrestrictCodeExecution",
        };
        let opposite = match kind {
            "Isolate" => Some("Unisolate"),
            "Unisolate" => Some("Isolate"),
            "RestrictCodeExecution" => Some("UnrestrictCodeExecution"),
            "UnrestrictCodeExecution" => Some("RestrictCodeExecution"),
            _ => None,
        };
        Ok(Act {
            place,
            row,
            kind,
            opposite,
            name,
            comment,
            members,
            wait: actions::wait_keys(params)?,
        })
    }

    /// True if its end is waited for.
    pub fn waits(&self) -> bool {
        self.wait.is_some()
    }

    /// Starts the action, or finds the same one under way; it comes as the only item, at its end where that is waited for.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let id = self.name.id(&channel).await?;
        if let Some(action) = self.undone(&channel, &id).await {
            session.sink.take(vec![action], None).await;
            return Ok(());
        }
        let body = object([("Comment", quoted(&self.comment))].into_iter().chain(self.members.iter().cloned()));
        // Never sent twice: what became of an action whose answer was lost is looked up.
        let ask = Ask::with_body(self.row, channel.url(self.row, Some(&id)), body);
        let answer = match channel.attempt(&ask).await {
            Ok(response) => record(&response, self.row.id, &format!("{} of machine {id}", self.row.name)).map_err(Failed::sent),
            Err(failed) => Err(failed),
        };
        let action = match answer {
            Ok(action) => action,
            Err(failed) => self.instead(&channel, &id, failed).await?,
        };
        let action = match self.wait {
            Some(every) => self.ended(&channel, &id, action, every).await?,
            None => action,
        };
        session.sink.take(vec![action], None).await;
        Ok(())
    }

    /// The action that has undone already what is to be undone; nothing is sent then. Where the actions may not be seen, or there is none, the service decides.
    async fn undone(&self, channel: &Channel<'_>, machine: &str) -> Option<Bytes> {
        if !self.kind.starts_with("Un") {
            return None;
        }
        let found = actions::newest(channel, machine, &self.kinds(), Some(COUNTS)).await.ok()?;
        let last = found.first()?;
        if last.kind != self.kind || last.is_going() || self.against(&found, Some(last)).is_some() {
            return None;
        }
        channel.session.warn(format!(
            "machine {machine} is in this state already, by action {} (of {}): nothing was sent",
            last.id, last.requestor
        ));
        Some(last.bytes.clone())
    }

    /// The action at its end. Where that cannot be seen, the action as it was started is handed over all the same: it goes on.
    async fn ended(&self, channel: &Channel<'_>, machine: &str, action: Bytes, every: Duration) -> Result<Bytes> {
        let id = actions::id_of(&action)?;
        match actions::wait(channel, &id, every, true).await {
            Ok(ended) => Ok(ended),
            Err(error) => {
                channel.session.sink.take(vec![action], None).await;
                let message = format!(
                    "{} of machine {machine} was started as machine action {id}, but its end was not seen: {}",
                    self.row.name,
                    error.message()
                );
                let look = "it goes on without this call: look for it with machine_actions.wait";
                let hint = match error.hint().filter(|hint| error.code() == Code::Forbidden && *hint != look) {
                    Some(hint) => format!("{look}; {hint}"),
                    None => look.to_owned(),
                };
                Err(error.with_message(message).with_hint(hint).without_retry())
            }
        }
    }

    /// The action that stands in the place of an error: the same one under way or done, or ours whose answer was lost.
    async fn instead(&self, channel: &Channel<'_>, machine: &str, failed: Failed) -> Result<Bytes> {
        let error = named(failed.error, &format!("machine {machine}"));
        if failed.unsettled {
            return self.lost(channel, machine, error).await;
        }
        let said = error.message().to_ascii_lowercase();
        let refused = error.http_status() == Some(400);
        let under_way =
            refused && (said.contains("already in progress") || said.contains("activerequestalreadyexists") || said.contains("pending"));
        if under_way {
            return self.under_way(channel, machine, error).await;
        }
        if self.opposite.is_some() && refused && said.contains("already") {
            return self.done(channel, machine, error).await;
        }
        Err(error)
    }

    /// True if the action is what is wished here, not only one of the kind.
    fn is_this(&self, action: &Action) -> bool {
        let wished = |name: &str| {
            let found = self.members.iter().find(|(member, _)| *member == name);
            found.map(|(_, value)| value.trim_matches('"'))
        };
        let same = |wished: Option<&str>, have: Option<&str>| match (wished, have) {
            (Some(wished), Some(have)) => wished.eq_ignore_ascii_case(have),
            _ => true,
        };
        // Without a file's name it is not known which file it is about.
        let file = wished("Sha1").is_none_or(|sha1| action.file.as_deref().is_some_and(|file| file.eq_ignore_ascii_case(sha1)));
        action.kind == self.kind && file && same(wished("IsolationType").or_else(|| wished("ScanType")), action.scope.as_deref())
    }

    async fn under_way(&self, channel: &Channel<'_>, machine: &str, error: Error) -> Result<Bytes> {
        let Ok(found) = actions::newest(channel, machine, &self.kinds(), Some(GOING)).await else {
            return Err(error);
        };
        if let Some(against) = self.against(&found, None) {
            return Err(opposed(machine, against, error));
        }
        if let Some(same) = found.iter().find(|action| self.is_this(action)) {
            channel.session.warn(format!(
                "the same action is under way already (action {}, by {}): it is taken for this one",
                same.id, same.requestor
            ));
            return Ok(same.bytes.clone());
        }
        Err(match found.first() {
            Some(other) => {
                let message = format!("{} (action {}, by {}, is another one)", error.message(), other.id, other.requestor);
                error
                    .with_code(Code::Busy)
                    .with_message(message)
                    .with_retry(None)
                    .with_hint("wait for its end (machine_actions.wait), or cancel it, and try again")
            }
            None => error,
        })
    }

    /// The machine is said to be in the state already that the action is to bring. It does not stay in it while what ends it is under way.
    async fn done(&self, channel: &Channel<'_>, machine: &str, error: Error) -> Result<Bytes> {
        let Ok(found) = actions::newest(channel, machine, &self.kinds(), Some(COUNTS)).await else {
            return Err(error);
        };
        if let Some(against) = self.against(&found, None) {
            return Err(opposed(machine, against, error));
        }
        match found.iter().find(|action| !action.is_going()) {
            Some(last) if self.is_this(last) && self.against(&found, Some(last)).is_none() => {
                channel
                    .session
                    .warn(format!("machine {machine} is in this state already, by action {}", last.id));
                Ok(last.bytes.clone())
            }
            _ => Err(error),
        }
    }

    /// This kind of action, and the one that undoes it.
    fn kinds(&self) -> Vec<&'static str> {
        [self.kind].into_iter().chain(self.opposite).collect()
    }

    /// An action that undoes what is wished: one that has not ended, or one not begun before `last` was.
    fn against<'a>(&self, found: &'a [Action], last: Option<&Action>) -> Option<&'a Action> {
        let opposite = found.iter().filter(|action| self.opposite == Some(action.kind.as_str()));
        opposite
            .into_iter()
            .find(|action| action.is_going() || last.is_some_and(|last| action.created >= last.created))
    }

    /// Our own action, whose answer was lost: one that the service began since it was asked, by its own clock.
    async fn lost(&self, channel: &Channel<'_>, machine: &str, error: Error) -> Result<Bytes> {
        let sent = channel.sent_ms();
        let listed = actions::newest(channel, machine, &[self.kind], None).await;
        let what_is_listed = match listed {
            Err(why) => format!("the machine's actions could not be looked at ({}: {})", why.code(), why.message()),
            Ok(found) => {
                // Its parts do not agree to the second; without its time, this machine's clock may be minutes off.
                let clock = channel.session.transport.clock();
                let (begun, skew) = match channel.service_time(sent) {
                    Some(begun) => (begun, 10),
                    None => (clock.unix() - (clock.steady_ms() - sent).div_euclid(1000) - 1, 120),
                };
                let is_new = |action: &Action| {
                    // One that has ended may be an old one, and undone since.
                    let since = begun - if action.is_going() { skew } else { 0 };
                    action.created.is_some_and(|created| created >= since.saturating_mul(time::SECOND))
                };
                let ours = found
                    .into_iter()
                    .find(|action| self.is_this(action) && action.comment == self.comment && is_new(action));
                if let Some(action) = ours {
                    channel.session.warn(format!(
                        "the answer was lost ({}), but the action was started: {}",
                        error.code(),
                        action.id
                    ));
                    return Ok(action.bytes);
                }
                "no such action is listed yet".to_owned()
            }
        };
        let message = format!(
            "it is not known whether {} of machine {machine} was started: {}",
            self.row.name,
            error.message()
        );
        let hint =
            format!("it is not known whether the action was started: {what_is_listed}. Look at machine_actions.list before trying again");
        Err(error.with_message(message).with_hint(hint).without_retry())
    }
}

/// A checked change of a machine's tags.
pub struct Tag {
    place: Place,
    name: Name,
    value: String,
    remove: bool,
}

impl Tag {
    /// Reads the keys of `machines.tag`.
    pub fn read(params: &mut Params, place: Place) -> Result<Tag> {
        Ok(Tag {
            place,
            name: Name::read(params)?,
            value: params.need("tag", "set tag to the tag's text")?,
            remove: params.choice("action", &[("add", false), ("remove", true)])?,
        })
    }

    /// Adds or removes the tag; the machine comes as the only item.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let id = self.name.id(&channel).await?;
        let row = &rows::MACHINES_TAG;
        let action = if self.remove { "Remove" } else { "Add" };
        let body = object([("Value", quoted(&self.value)), ("Action", quoted(action))].into_iter());
        let ask = Ask {
            // A tag that is there is added again without harm.
            retry: Retry::Safe,
            ..Ask::with_body(row, channel.url(row, Some(&id)), body)
        };
        let response = channel.ask(&ask).await.map_err(|error| named(error, &format!("machine {id}")))?;
        let machine = record(&response, row.id, &format!("the tags of machine {id}"))?;
        session.sink.take(vec![machine], None).await;
        Ok(())
    }
}
