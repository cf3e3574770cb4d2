//! Incidents, from the XDR API or from Graph, in one shape: XDR's own bytes, or Graph's under XDR's names.
//!
//! Sources: "List incidents API", "Get incident information API", "Update incidents API"; Graph's "List incidents", "Get incident", "Update
//! incident", "Create comment for incident".

use std::sync::Arc;

use bytes::Bytes;
use url::Url;

use super::listing::{self, Items, Listing};
use super::params::{Params, quoted};
use super::record::{named, record};
use super::services::operations::{self as rows, Operation};
use super::services::{GRAPH, Service, XDR};
use super::session::{Ask, Channel, Place, Session};
use super::time::{self, Ticks};
use super::unsettled::Failed;
use super::{filter, graph, percent, preflight};
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::{Response, Retry};

/// 2027-02-01, when the old APIs were announced to stop (message center MC1220762); the pages of the incident API name no date.
pub const OLD_APIS_END: i64 = 1_801_440_000;

/// How many mergers are followed from one incident to the next.
const MAX_MERGERS: usize = 5;

/// Which service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// XDR while the token's permissions allow it, else Graph.
    Auto,
    /// The XDR API.
    Xdr,
    /// Microsoft Graph.
    Graph,
}

/// The backends by name; the first is the default.
pub const BACKENDS: &[(&str, Backend)] = &[("auto", Backend::Auto), ("xdr", Backend::Xdr), ("graph", Backend::Graph)];

impl Backend {
    /// The service to ask, for an operation that both have.
    pub async fn choose<'a>(
        self,
        session: &'a Session<'a>,
        place: &Place,
        xdr: &'static Operation,
        in_graph: &'static Operation,
    ) -> Result<(Channel<'a>, bool)> {
        let graph = match self {
            Backend::Xdr => false,
            Backend::Graph => true,
            Backend::Auto => prefers_graph(session, place, xdr, in_graph).await?,
        };
        let service: &'static Service = if graph { &GRAPH } else { &XDR };
        if !graph && session.transport.clock().unix() >= OLD_APIS_END {
            session.warn("Microsoft announced that the XDR API stops on 2027-02-01; when it does, use the backend graph (SecurityIncident permissions)");
        }
        Ok((session.channel(service, place)?, graph))
    }
}

async fn prefers_graph(session: &Session<'_>, place: &Place, xdr: &'static Operation, in_graph: &'static Operation) -> Result<bool> {
    // A host of the caller's own says which service it is.
    if let Some(base) = place.base_url.as_deref() {
        return Ok(XDR.base_url(Some(base)).is_err() && GRAPH.base_url(Some(base)).is_ok());
    }
    let refused = match session.channel(&XDR, place)?.token().await {
        Ok(token) if preflight::permits(&token, xdr) != Some(false) => return Ok(false),
        Ok(_) => None,
        // The app knows nothing of this service: perhaps it was registered for the other one only.
        Err(error)
            if matches!(
                error.code(),
                Code::ConsentRequired | Code::InvalidScope | Code::AppNotFound | Code::OauthOther | Code::InvalidGrant
            ) =>
        {
            Some(error)
        }
        Err(error) => return Err(error),
    };
    match session.channel(&GRAPH, place)?.token().await {
        Ok(token) if preflight::permits(&token, in_graph) == Some(true) => {
            session
                .call
                .verbose("the XDR API's permissions are not granted, Graph's are: asking Graph");
            Ok(true)
        }
        // Neither: the first service's words are the ones to hear.
        _ => refused.map_or(Ok(false), Err),
    }
}

/// A checked wish for incidents.
#[derive(Clone)]
pub struct List {
    backend: Backend,
    place: Place,
    since: Option<Ticks>,
    updated_since: Option<Ticks>,
    status: Vec<String>,
    assigned_to: Vec<String>,
    severity: Vec<String>,
    filter: Option<String>,
    top: Option<u32>,
    skip: u64,
    first: Option<u64>,
    alerts: bool,
    raw: bool,
    resume: Option<String>,
    /// What an item is.
    pub items: Items,
    /// One page and no more.
    pub single_page: bool,
}

/// What every list takes.
pub fn list_keys(params: &mut Params, row: &Operation) -> Result<(Option<u32>, u64, Option<u64>, Items)> {
    let max = i64::from(row.max_page);
    let top = params.number(
        "top",
        1,
        max,
        "top is the size of a page; to get more records leave it out and set first",
    )?;
    let skip = params.number("skip", 0, i64::MAX, "give skip as a whole number from 0 up")?;
    let first = params.number("first", 1, i64::MAX, "give first as a whole number from 1 up")?;
    let items = params.choice("items", &[("records", Items::Records), ("pages", Items::Pages)])?;
    Ok((
        top.and_then(|top| u32::try_from(top).ok()),
        skip.and_then(|skip| u64::try_from(skip).ok()).unwrap_or(0),
        first.and_then(|first| u64::try_from(first).ok()),
        items,
    ))
}

impl List {
    /// Reads the keys of `incidents.list`.
    pub fn read(params: &mut Params, place: Place) -> Result<List> {
        let backend = params.choice("backend", BACKENDS)?;
        let (top, skip, first, items) = list_keys(params, &rows::INCIDENTS_LIST)?;
        Ok(List {
            backend,
            place,
            since: params.time("since")?,
            updated_since: params.time("updated_since")?,
            status: params.texts("status")?.iter().map(|status| known(status, STATUS)).collect(),
            assigned_to: params.people("assigned_to")?,
            severity: params.texts("severity")?.iter().map(|severity| known(severity, SEVERITY)).collect(),
            filter: filter::checked(params.wish("filter")?)?,
            top,
            skip,
            first,
            alerts: params.flag("alerts", true)?,
            raw: params.flag("raw", false)?,
            resume: params.text("resume")?,
            items,
            single_page: false,
        })
    }

    /// Reads the query document of `dxdr_list_incidents_start`.
    pub fn read_query(params: &mut Params, place: Place) -> Result<List> {
        let (top, skip, first, items) = list_keys(params, &rows::INCIDENTS_LIST)?;
        Ok(List {
            backend: Backend::Xdr,
            place,
            since: None,
            updated_since: None,
            status: Vec::new(),
            assigned_to: Vec::new(),
            severity: Vec::new(),
            filter: filter::checked(params.wish("filter")?)?,
            top,
            skip,
            first,
            alerts: true,
            raw: false,
            resume: None,
            items,
            single_page: false,
        })
    }

    /// The filter in one service's words, without the time that [`Listing::since`] adds.
    fn filter_for(&self, in_graph: bool) -> Option<String> {
        let (created, updated) = if in_graph {
            ("createdDateTime", "lastUpdateDateTime")
        } else {
            ("createdTime", "lastUpdateTime")
        };
        let value = |text: &str| filter::literal(&if in_graph { graph::to_graph(text) } else { text.to_owned() });
        let severity = if in_graph {
            filter::any_of("severity", &self.severity, value)
        } else {
            None
        };
        let owner = filter::any_of("assignedTo", &self.assigned_to, |name| {
            if name.trim().is_empty() {
                "null".to_owned()
            } else {
                filter::literal(name)
            }
        });
        let own = self.filter.as_ref();
        let own = own.map(|own| if in_graph { graph::filter(own) } else { own.clone() });
        filter::all_of(
            [
                self.since.map(|since| filter::at_or_after(created, since)),
                self.updated_since.map(|since| filter::at_or_after(updated, since)),
                filter::any_of("status", &self.status, value),
                owner,
                severity,
            ],
            own.as_deref(),
        )
    }

    /// The list as the channel's service takes it.
    pub fn listing(&self, channel: &Channel<'_>, in_graph: bool) -> Result<Listing> {
        let row = if in_graph {
            &rows::GRAPH_INCIDENTS_LIST
        } else {
            &rows::INCIDENTS_LIST
        };
        if self.items == Items::Pages && !in_graph && !self.severity.is_empty() {
            return Err(Error::argument(
                "the XDR API cannot choose by severity, and whole pages come as it sends them",
                "leave out severity or items, or set backend to graph",
            ));
        }
        let mut bare = channel.url(row, None);
        bare.set_query(if in_graph && self.alerts { Some("$expand=alerts") } else { None });
        let own = self.filter_for(in_graph);
        let updated = row.changed().unwrap_or("lastUpdateTime");
        let (base, with) = (bare.clone(), own.clone());
        // The service cannot choose by severity, so this side does.
        let severity = if in_graph { Vec::new() } else { self.severity.clone() };
        let keep: listing::Keep = Arc::new(move |record| {
            let have = Members::read(record)
                .and_then(|members| members.text("severity"))
                .unwrap_or_default();
            severity.iter().any(|want| want.eq_ignore_ascii_case(&have))
        });
        Ok(Listing {
            row,
            url: filtered(&bare, own.as_deref()),
            top: Some(self.top.unwrap_or(row.page).min(row.max_page)),
            skip: self.skip,
            first: self.first,
            items: self.items,
            single_page: self.single_page,
            id: row.id.to_owned(),
            what: "incident",
            keep: (!in_graph && !self.severity.is_empty()).then_some(keep),
            shape: (in_graph && !self.raw).then(|| Arc::new(|record: Bytes| graph::incident(&record)) as listing::Shape),
            since: (self.skip == 0 && self.items == Items::Records).then(|| {
                Arc::new(move |since: &str| {
                    filtered(
                        &base,
                        filter::all_of([Some(format!("{updated} ge {since}"))], with.as_deref()).as_deref(),
                    )
                }) as listing::Since
            }),
            may_shrink: self.filter.is_some()
                || !self.status.is_empty()
                || !self.assigned_to.is_empty()
                || in_graph && !self.severity.is_empty(),
            empty_is_404: false,
            followed: false,
            headers: Vec::new(),
            resume: self.resume.as_deref().map(listing::Place::parse).transpose()?,
            asked: None,
        })
    }

    /// The list of what changed since a time, to be begun anew.
    pub fn listing_since(&self, channel: &Channel<'_>, in_graph: bool, since: Ticks) -> Result<Listing> {
        let later = List {
            updated_since: Some(since),
            resume: None,
            ..self.clone()
        };
        later.listing(channel, in_graph)
    }

    /// The way to the service that has the list.
    pub async fn chosen<'a>(&self, session: &'a Session<'a>) -> Result<(Channel<'a>, bool)> {
        self.backend
            .choose(session, &self.place, &rows::INCIDENTS_LIST, &rows::GRAPH_INCIDENTS_LIST)
            .await
    }

    /// Lists incidents.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        // A place in a list belongs to the service it is in.
        let backend = match self
            .resume
            .as_deref()
            .filter(|_| self.backend == Backend::Auto)
            .map(listing::Place::parse)
            .transpose()?
        {
            Some(place) if place.is_of(&rows::GRAPH_INCIDENTS_LIST) => Backend::Graph,
            Some(_) => Backend::Xdr,
            None => self.backend,
        };
        let list = List { backend, ..self.clone() };
        let (channel, in_graph) = list.chosen(session).await?;
        let listing = list.listing(&channel, in_graph)?;
        listing::list(&channel, &listing)
            .await
            .map_err(|error| list.with_filter(error, in_graph))
    }

    /// Names the filter in an error about it.
    pub fn with_filter(&self, error: Error, in_graph: bool) -> Error {
        match (&self.filter_for(in_graph), error.code()) {
            (Some(filter), Code::BadFilter) => {
                let what = if !in_graph && filter.to_ascii_lowercase().contains("severity") {
                    "the service cannot filter by severity: filter what comes back"
                } else {
                    "it may compare lastUpdateTime, createdTime, status and assignedTo with eq, ne, gt, ge, lt, le, joined by and, or"
                };
                error.with_hint(format!("{what}; the filter was: {filter}"))
            }
            _ => error,
        }
    }
}

/// An address with a filter behind what its query has.
pub fn filtered(bare: &Url, filter: Option<&str>) -> Url {
    let mut url = bare.clone();
    if let Some(filter) = filter {
        let before = bare.query().map(|query| format!("{query}&")).unwrap_or_default();
        url.set_query(Some(&format!("{before}$filter={}", percent(filter))));
    }
    url
}

/// The states of an incident.
pub const STATUS: &[&str] = &["Active", "InProgress", "Resolved", "Redirected"];
/// The states of an alert.
pub const ALERT_STATUS: &[&str] = &["Unknown", "New", "InProgress", "Resolved"];
/// The severities of an incident.
pub const SEVERITY: &[&str] = &["UnSpecified", "Informational", "Low", "Medium", "High"];

/// A known value in its own spelling; any other as it is, for the service to judge.
pub fn known(value: &str, all: &[&str]) -> String {
    let found = all.iter().find(|one| one.eq_ignore_ascii_case(value.trim()));
    found.map_or_else(|| value.trim().to_owned(), |one| (*one).to_owned())
}

fn id_of(params: &mut Params) -> Result<i64> {
    let id = params.number("id", i64::MIN, i64::MAX, "")?;
    let id = id.ok_or_else(|| params.missing("id", "the query names no id", "set id to the incident's number"))?;
    if id < 1 {
        return Err(Error::argument(
            format!("the incident id is {id}, less than 1"),
            "set id to the incident's number",
        ));
    }
    Ok(id)
}

/// A checked wish for one incident.
pub struct Get {
    backend: Backend,
    place: Place,
    id: i64,
    follow: bool,
    raw: bool,
}

/// An incident as it came, and in the one shape.
struct Found {
    item: Bytes,
    id: i64,
    merged_into: Option<i64>,
}

impl Get {
    /// Reads the keys of `incidents.get`.
    pub fn read(params: &mut Params, place: Place) -> Result<Get> {
        Ok(Get {
            backend: params.choice("backend", BACKENDS)?,
            place,
            id: id_of(params)?,
            follow: params.flag("follow", true)?,
            raw: params.flag("raw", false)?,
        })
    }

    /// Reads the query document of `dxdr_get_incident_start`.
    pub fn read_query(params: &mut Params, place: Place) -> Result<Get> {
        Ok(Get {
            backend: Backend::Xdr,
            place,
            id: id_of(params)?,
            follow: false,
            raw: false,
        })
    }

    /// Gets the incident.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let (channel, in_graph) = self
            .backend
            .choose(session, &self.place, &rows::INCIDENTS_GET, &rows::GRAPH_INCIDENTS_GET)
            .await?;
        let found = if self.follow {
            surviving(&channel, in_graph, self.raw, self.id).await?
        } else {
            one(&channel, in_graph, self.raw, self.id).await?
        };
        session.sink.take(vec![found.item], None).await;
        Ok(())
    }
}

/// The incident that an id stands for now: a merged one leads to the one it was merged into.
async fn surviving(channel: &Channel<'_>, in_graph: bool, raw: bool, id: i64) -> Result<Found> {
    let mut found = one(channel, in_graph, raw, id).await?;
    for _ in 0..MAX_MERGERS {
        match found.merged_into {
            Some(next) if next != found.id => {
                channel
                    .session
                    .warn(format!("incident {} was merged into incident {next}", found.id));
                found = one(channel, in_graph, raw, next).await?;
            }
            _ => return Ok(found),
        }
    }
    Err(Error::new(
        Code::PagingLoop,
        format!("incident {id} was merged into another, and that one again, more than {MAX_MERGERS} times"),
    )
    .with_hint("get the incidents one by one with follow false"))
}

async fn one(channel: &Channel<'_>, in_graph: bool, raw: bool, id: i64) -> Result<Found> {
    let row = if in_graph {
        &rows::GRAPH_INCIDENTS_GET
    } else {
        &rows::INCIDENTS_GET
    };
    let mut url = channel.url(row, Some(&id.to_string()));
    if in_graph {
        url.set_query(Some("$expand=alerts"));
    }
    let response = channel.ask(&Ask::get(row, url)).await.map_err(|error| missing(error, id))?;
    read(&response, in_graph, raw, id)
}

fn missing(error: Error, id: i64) -> Error {
    named(error, &format!("incident {id}"))
}

/// An answer that is one incident.
fn read(response: &Response, in_graph: bool, raw: bool, id: i64) -> Result<Found> {
    let odd = || Error::new(Code::BadPayload, format!("the answer for incident {id} is not an incident"));
    let whole = record(response, if in_graph { "id" } else { "incidentId" }, &format!("incident {id}"))?;
    let item = if in_graph && !raw { graph::incident(&whole)? } else { whole };
    let text = std::str::from_utf8(&item).unwrap_or_default();
    let members = Members::read(text).ok_or_else(odd)?;
    let name = if in_graph && raw { "id" } else { "incidentId" };
    let merged_into = members
        .get("redirectIncidentId")
        .and_then(|raw| raw.get().trim_matches('"').parse::<i64>().ok())
        .filter(|id| *id > 0);
    Ok(Found {
        id: members
            .get(name)
            .and_then(|raw| raw.get().trim_matches('"').parse().ok())
            .unwrap_or(id),
        item: item.clone(),
        merged_into,
    })
}

/// A checked change of an incident or an alert.
pub struct Change {
    /// JSON members in XDR's words, without the comment.
    members: Vec<(&'static str, String)>,
    comment: Option<String>,
}

impl Change {
    /// Reads the members that can be changed; `tags` is for incidents.
    pub fn read(params: &mut Params, tags: bool) -> Result<Change> {
        let mut members = Vec::new();
        for (key, name, values) in [
            ("status", "status", if tags { STATUS } else { ALERT_STATUS }),
            ("classification", "classification", graph::CLASSIFICATIONS),
            ("determination", "determination", graph::DETERMINATIONS),
        ] {
            if let Some(value) = params.text(key)? {
                members.push((name, quoted(&known(&value, values))));
            }
        }
        // Here null is a wish of its own: nobody is to own it any more.
        match params.raw("assigned_to").map(|raw| raw.get().to_owned()) {
            None => {}
            Some(raw) if raw == "null" || raw == "\"\"" => members.push(("assignedTo", "null".to_owned())),
            Some(raw) if raw.starts_with('"') => members.push(("assignedTo", raw)),
            Some(_) => {
                return Err(Error::argument(
                    "\"assigned_to\" is neither a text nor null",
                    "give the owner's sign-in name, or null to clear it",
                ));
            }
        }
        // An empty list takes all tags away; null is no wish, as anywhere else.
        if tags && params.raw("tags").is_some_and(|raw| raw.get() != "null") {
            let tags = params.texts_or_none("tags")?;
            if tags.iter().any(|tag| tag.trim().is_empty()) {
                return Err(Error::argument("a tag is empty", "leave it out; an empty list takes all tags away"));
            }
            members.push(("tags", serde_json::Value::from(tags).to_string()));
        }
        let comment = params.text("comment")?;
        if members.is_empty() && comment.is_none() {
            return Err(Error::argument(
                "the update changes nothing",
                "set status, assigned_to, classification, determination, tags or comment",
            ));
        }
        Ok(Change { members, comment })
    }

    /// The body in XDR's words, with more members in front.
    pub fn body(&self, before: &[(&str, String)]) -> Vec<u8> {
        let comment = self.comment.as_ref().map(|comment| ("comment", quoted(comment)));
        object(before.iter().cloned().chain(self.members.iter().cloned()).chain(comment))
    }

    /// Once more does the same, which a comment does not.
    pub fn retry(&self) -> Retry {
        if self.comment.is_some() { Retry::Never } else { Retry::Safe }
    }
}

/// A JSON object of raw values.
pub fn object<'a>(members: impl Iterator<Item = (&'a str, String)>) -> Vec<u8> {
    let members: Vec<String> = members.map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// A checked update of an incident.
pub struct Update {
    backend: Backend,
    place: Place,
    id: i64,
    follow: bool,
    raw: bool,
    change: Change,
}

impl Update {
    /// Reads the keys of `incidents.update`.
    pub fn read(params: &mut Params, place: Place) -> Result<Update> {
        Ok(Update {
            backend: params.choice("backend", BACKENDS)?,
            place,
            id: id_of(params)?,
            follow: params.flag("follow", true)?,
            raw: params.flag("raw", false)?,
            change: Change::read(params, true)?,
        })
    }

    /// Changes the incident, or the one it was merged into; the incident as it is now comes as the only item.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let (channel, in_graph) = self
            .backend
            .choose(session, &self.place, &rows::INCIDENTS_UPDATE, &rows::GRAPH_INCIDENTS_UPDATE)
            .await?;
        let id = if self.follow {
            surviving(&channel, in_graph, false, self.id).await?.id
        } else {
            self.id
        };
        let found = if in_graph {
            self.in_graph(&channel, id).await?
        } else {
            let row = &rows::INCIDENTS_UPDATE;
            let ask = Ask {
                retry: self.change.retry(),
                ..Ask::with_body(row, channel.url(row, Some(&id.to_string())), self.change.body(&[]))
            };
            let response = channel.ask(&ask).await.map_err(|error| missing(error, id))?;
            read(&response, false, self.raw, id).map_err(|error| Failed::sent(error).told(&ask))?
        };
        session.sink.take(vec![found.item], None).await;
        Ok(())
    }

    /// Graph takes comments by a call of their own.
    async fn in_graph(&self, channel: &Channel<'_>, id: i64) -> Result<Found> {
        let text = id.to_string();
        if !self.change.members.is_empty() {
            let row = &rows::GRAPH_INCIDENTS_UPDATE;
            let members = self.change.members.iter().map(|(name, value)| match *name {
                "tags" => ("customTags", value.clone()),
                "assignedTo" => ("assignedTo", value.clone()),
                other => (other, quoted(&graph::to_graph(value.trim_matches('"')))),
            });
            let ask = Ask {
                retry: Retry::Safe,
                ..Ask::with_body(row, channel.url(row, Some(&text)), object(members))
            };
            channel.ask(&ask).await.map_err(|error| missing(error, id))?;
        }
        if let Some(comment) = &self.change.comment {
            let row = &rows::GRAPH_INCIDENTS_COMMENT;
            let body = object(
                [
                    ("@odata.type", quoted("microsoft.graph.security.alertComment")),
                    ("comment", quoted(comment)),
                ]
                .into_iter(),
            );
            let ask = Ask::with_body(row, channel.url(row, Some(&text)), body);
            channel.attempt(&ask).await.map_err(|failed| {
                let unsettled = failed.unsettled;
                let error = failed.told(&ask);
                if self.change.members.is_empty() {
                    return missing(error, id);
                }
                let but = if unsettled { "" } else { "but its comment was not added: " };
                let message = format!("incident {id} was changed, {but}{}", error.message());
                error.with_message(message)
            })?;
        }
        // Graph's answer to a change has no alerts; the incident is asked for as everyone sees it.
        one(channel, true, self.raw, id).await.map_err(|error| {
            let done = match (self.change.members.is_empty(), &self.change.comment) {
                (true, _) => "the comment was added",
                (false, Some(_)) => "the changes were made and the comment was added",
                (false, None) => "the changes were made",
            };
            let message = format!("{done}, but incident {id} as it is now could not be got: {}", error.message());
            error
                .with_message(message)
                .with_hint("do not repeat the update: get the incident (incidents.get) to see it as it is now")
                .without_retry()
        })
    }
}

/// The time of a record's last change, in XDR's shape or Graph's.
pub fn updated(record: &str) -> Option<Ticks> {
    let members = Members::read(record)?;
    let text = members.text("lastUpdateTime").or_else(|| members.text("lastUpdateDateTime"))?;
    time::parse(&text)
}
