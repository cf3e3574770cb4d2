//! Machines of Microsoft Defender for Endpoint: which one is meant, and what is done to it.
//!
//! Sources: "Machine resource type", "Isolate machine", "Release machine from isolation", "Run antivirus scan", "Stop and quarantine file",
//! "Restrict app execution", "Add or remove machine tags"; OData samples page for `startswith`.

use std::time::Duration;

use bytes::Bytes;

use super::actions;
use super::incidents::{filtered, object};
use super::paging;
use super::params::{Params, quoted};
use super::services::ENDPOINT;
use super::services::operations::{self as rows, Operation};
use super::session::{Ask, Channel, Place, Session};
use super::{filter, time};
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::{Response, Retry};

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
        let mut url = channel.url(row, None);
        url.set_query(Some("$top=100"));
        let url = filtered(&url, Some(&format!("startswith(computerDnsName,{})", filter::literal(&name))));
        let body = match channel.ask(&Ask::get(row, url)).await {
            Ok(response) => response.body,
            Err(error) if error.code() == Code::NotFound => Bytes::from_static(b"{\"value\":[]}"),
            Err(error) => return Err(error),
        };
        let page = paging::split(&body, "the list of machines")?;
        let mut whole = Vec::new();
        let mut short = Vec::new();
        for record in &page.records {
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
            [(id, _, _)] if page.next_link.is_none() || page.records.len() < 100 => Ok(id.clone()),
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
        session.sink.take(vec![whole(&response)], None).await;
        Ok(())
    }
}

/// An answer's body without a byte order mark or blanks around it.
pub fn whole(response: &Response) -> Bytes {
    let text = std::str::from_utf8(&response.body).unwrap_or_default();
    response.body.slice_ref(text.trim_start_matches('\u{feff}').trim().as_bytes())
}

/// Says of what there is none.
pub fn named(error: Error, what: &str) -> Error {
    match error.code() {
        Code::NotFound => {
            let message = format!("there is no {what}: {}", error.message());
            error.with_message(message)
        }
        _ => error,
    }
}

/// A checked action on one machine.
pub struct Act {
    place: Place,
    row: &'static Operation,
    /// The type that the service gives such an action.
    kind: &'static str,
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
        Ok(Act {
            place,
            row,
            kind,
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
        let body = object([("Comment", quoted(&self.comment))].into_iter().chain(self.members.iter().cloned()));
        let started = session.transport.clock().unix();
        // Never sent twice: what became of an action whose answer was lost is looked up.
        let ask = Ask::with_body(self.row, channel.url(self.row, Some(&id)), body);
        let action = match channel.ask(&ask).await {
            Ok(response) => whole(&response),
            Err(error) => self.instead(&channel, &id, started, named(error, &format!("machine {id}"))).await?,
        };
        let action = match self.wait {
            Some(every) => actions::wait(&channel, &actions::id_of(&action)?, every).await?,
            None => action,
        };
        session.sink.take(vec![action], None).await;
        Ok(())
    }

    /// The action that stands in the place of an error: one of the kind that is under way, or ours whose answer was lost.
    async fn instead(&self, channel: &Channel<'_>, machine: &str, started: i64, error: Error) -> Result<Bytes> {
        let said = error.message().to_ascii_lowercase();
        let under_way = error.http_status() == Some(400)
            && (said.contains("already in progress") || said.contains("activerequestalreadyexists") || said.contains("pending"));
        let lost = matches!(
            error.code(),
            Code::Reset | Code::Truncated | Code::Timeout | Code::ServerUnavailable | Code::ServerError | Code::BadHttp
        );
        if !under_way && !lost {
            return Err(error);
        }
        let found = actions::newest(channel, machine, self.kind).await;
        let found = match found {
            Ok(found) => found,
            Err(_) if lost => None,
            Err(_) => return Err(error),
        };
        if let Some(action) = found {
            let text = std::str::from_utf8(&action).unwrap_or_default();
            let members = Members::read(text);
            let text = |name: &str| members.as_ref().and_then(|members| members.text(name)).unwrap_or_default();
            if under_way && matches!(text("status").as_str(), "Pending" | "InProgress") {
                channel.session.warn(format!(
                    "the same action is under way already (action {}, by {}): it is taken for this one",
                    text("id"),
                    text("requestor")
                ));
                return Ok(action);
            }
            // Two minutes for clocks that disagree.
            let recent = time::parse(&text("creationDateTimeUtc")).is_some_and(|at| at >= (started - 120).saturating_mul(time::SECOND));
            if lost && recent && text("requestorComment") == self.comment {
                channel.session.warn(format!(
                    "the answer was lost ({}), but the action was started: {}",
                    error.code(),
                    text("id")
                ));
                return Ok(action);
            }
        }
        if lost {
            let hint = "it is not known whether the action was started: no such action is listed yet. Look at machine_actions.list before trying again";
            return Err(error.with_hint(hint));
        }
        Err(error)
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
        session.sink.take(vec![whole(&response)], None).await;
        Ok(())
    }
}
