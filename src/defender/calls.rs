//! A call's document, read and checked: one of the named operations, or any path of a service.

use std::sync::Arc;

use serde_json::json;
use url::Url;

use super::actions::One;
use super::filter;
use super::hunting;
use super::incidents::{self, filtered, list_keys};
use super::indicators;
use super::listing::{self, Items, Listing};
use super::machines;
use super::params::{Params, quoted};
use super::percent;
use super::preflight::Preflight;
use super::record::{named, nothing, record};
use super::services::operations::{self as rows, Operation};
use super::services::{Cloud, ENDPOINT, GRAPH, Service};
use super::session::{Ask, Pacing, Place, Session};
use super::unsettled::Failed;
use super::watch::Watch;
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::{Notice, Retry};

/// Headers that a caller may set on a call to any path.
const HEADERS: &[&str] = &["prefer", "consistencylevel", "if-match", "if-none-match", "accept-language"];

/// What a call is, checked.
pub enum Plan {
    /// `incidents.list`.
    Incidents(incidents::List),
    /// `incidents.get`.
    Incident(incidents::Get),
    /// `incidents.update`.
    UpdateIncident(incidents::Update),
    /// `incidents.watch`.
    Watch(Box<Watch>),
    /// `hunting.run`.
    Hunt(hunting::Run),
    /// A list of the Endpoint API.
    List(Box<List>),
    /// One record by its id.
    Get(Get),
    /// `machines.get`.
    Machine(machines::Get),
    /// An action on a machine.
    Act(machines::Act),
    /// `machines.tag`.
    Tag(machines::Tag),
    /// An action that exists.
    Action(One),
    /// `alerts.update` and `alerts.batch_update`.
    Alerts(Alerts),
    /// `indicators.submit`.
    Submit(indicators::Submit),
    /// `indicators.import`.
    Import(indicators::Import),
    /// `indicators.delete`.
    Delete(indicators::Delete),
    /// Any path.
    Any(Box<Any>),
}

/// A checked call: what, and how strictly.
pub struct Checked {
    /// What to do.
    pub plan: Plan,
    /// Whether it keeps to the documented limits; `None` leaves it to the client.
    pub pacing: Option<Pacing>,
    /// How long the call may take by its nature.
    pub length: Length,
}

/// How long a call may take by its nature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// One exchange or a few.
    Short,
    /// A list, or something that is waited for.
    Long,
    /// Until it is stopped.
    Endless,
}

/// What a caller's circumstances give a call that says nothing else.
#[derive(Clone, Copy, Default)]
pub struct Defaults {
    /// The cloud that the request's own resource belongs to.
    pub cloud: Cloud,
}

/// Reads a call; see `dxdr_call_start` for its keys.
pub fn parse(json: &[u8], defaults: Defaults) -> Result<Checked> {
    let mut params = Params::read(json)?;
    let params = &mut params;
    let cloud = params.text("cloud")?.map_or(Ok(defaults.cloud), |name| Cloud::parse(&name))?;
    let named = params.text("operation")?;
    let place = Place {
        cloud,
        base_url: params.text("base_url")?,
        preflight: params.choice(
            "preflight",
            &[("require", Preflight::Require), ("warn", Preflight::Warn), ("off", Preflight::Off)],
        )?,
    };
    let pacing = match params.text("pacing")? {
        None => None,
        Some(name) => Some(pacing_of(&name)?),
    };
    let Some(name) = named else {
        let any = Any::read(params, place)?;
        params.done()?;
        return Ok(Checked {
            length: if any.paging { Length::Long } else { Length::Short },
            plan: Plan::Any(Box::new(any)),
            pacing,
        });
    };
    let row = rows::ALL.iter().copied().find(|row| row.name == name);
    let mut length = Length::Short;
    let plan = match (name.as_str(), row) {
        ("incidents.list", _) => {
            length = Length::Long;
            Plan::Incidents(incidents::List::read(params, place)?)
        }
        ("incidents.watch", _) => {
            length = Length::Endless;
            Plan::Watch(Box::new(Watch::read(params, place)?))
        }
        ("incidents.get", _) => Plan::Incident(incidents::Get::read(params, place)?),
        ("incidents.update", _) => Plan::UpdateIncident(incidents::Update::read(params, place)?),
        ("hunting.run", _) => Plan::Hunt(hunting::Run::read(params, place)?),
        ("alerts.list" | "machines.list" | "machine_actions.list" | "indicators.list", Some(row)) => {
            length = Length::Long;
            Plan::List(Box::new(List::read(params, place, row)?))
        }
        ("alerts.get", Some(row)) => Plan::Get(Get {
            place,
            row,
            id: params.id("set id to the alert's id")?,
        }),
        ("alerts.update" | "alerts.batch_update", Some(row)) => Plan::Alerts(Alerts::read(params, place, row)?),
        ("machines.get", _) => Plan::Machine(machines::Get::read(params, place)?),
        (
            "machines.isolate" | "machines.release" | "machines.scan" | "machines.quarantine" | "machines.restrict" | "machines.unrestrict",
            Some(row),
        ) => {
            let act = machines::Act::read(params, place, row)?;
            if act.waits() {
                length = Length::Long;
            }
            Plan::Act(act)
        }
        ("machines.tag", _) => Plan::Tag(machines::Tag::read(params, place)?),
        ("machine_actions.get" | "machine_actions.wait" | "machine_actions.cancel", _) => {
            if name == "machine_actions.wait" {
                length = Length::Long;
            }
            Plan::Action(One::read(params, place, &name)?)
        }
        ("indicators.submit", _) => Plan::Submit(indicators::Submit::read(params, place)?),
        ("indicators.import", _) => {
            length = Length::Long;
            Plan::Import(indicators::Import::read(params, place)?)
        }
        ("indicators.delete", _) => Plan::Delete(indicators::Delete::read(params, place)?),
        _ => {
            return Err(Error::argument(
                format!("operation \"{name}\" is not known"),
                "dxdr_describe_services lists the operations; any other path is called with service, method and path",
            ));
        }
    };
    params.done()?;
    Ok(Checked { plan, pacing, length })
}

/// The way to pace, by its name.
pub fn pacing_of(name: &str) -> Result<Pacing> {
    match name {
        "auto" => Ok(Pacing::Auto),
        "on" => Ok(Pacing::On),
        "off" => Ok(Pacing::Off),
        other => Err(Error::argument(format!("pacing \"{other}\" is not known"), "use auto, on or off")),
    }
}

/// Reads the query document of `dxdr_list_incidents_start` and `dxdr_get_incidents`.
pub fn parse_incident_list(json: &[u8], single_page: bool) -> Result<Plan> {
    let mut params = Params::read(json)?;
    let place = old_place(&mut params)?;
    let mut list = incidents::List::read_query(&mut params, place)?;
    params.done()?;
    if single_page {
        (list.items, list.single_page) = (Items::Pages, true);
    }
    Ok(Plan::Incidents(list))
}

/// Reads the query document of `dxdr_get_incident_start`.
pub fn parse_incident(json: &[u8]) -> Result<Plan> {
    let mut params = Params::read(json)?;
    let place = old_place(&mut params)?;
    let get = incidents::Get::read_query(&mut params, place)?;
    params.done()?;
    Ok(Plan::Incident(get))
}

/// The calls of the first ABI leave it to the service to refuse a token.
fn old_place(params: &mut Params) -> Result<Place> {
    let place = Place {
        base_url: params.text("base_url")?,
        preflight: Preflight::Off,
        ..Place::default()
    };
    super::services::XDR.base_url(place.base_url.as_deref())?;
    Ok(place)
}

impl Plan {
    /// Does it.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        match self {
            Plan::Incidents(list) => list.run(session).await,
            Plan::Incident(get) => get.run(session).await,
            Plan::UpdateIncident(update) => update.run(session).await,
            Plan::Watch(watch) => watch.run(session).await,
            Plan::Hunt(run) => run.run(session).await,
            Plan::List(list) => list.run(session).await,
            Plan::Get(get) => get.run(session).await,
            Plan::Machine(get) => get.run(session).await,
            Plan::Act(act) => act.run(session).await,
            Plan::Tag(tag) => tag.run(session).await,
            Plan::Action(one) => one.run(session).await,
            Plan::Alerts(alerts) => alerts.run(session).await,
            Plan::Submit(submit) => submit.run(session).await,
            Plan::Import(import) => import.run(session).await,
            Plan::Delete(delete) => delete.run(session).await,
            Plan::Any(any) => any.run(session).await,
        }
    }
}

/// A checked list of the Endpoint API.
pub struct List {
    place: Place,
    row: &'static Operation,
    filter: Option<String>,
    query: Option<String>,
    top: Option<u32>,
    skip: u64,
    first: Option<u64>,
    items: Items,
    resume: Option<String>,
}

impl List {
    fn read(params: &mut Params, place: Place, row: &'static Operation) -> Result<List> {
        let (top, skip, first, items) = list_keys(params, row)?;
        let mut parts = Vec::new();
        // The friendly ones of each list; the field's name is the service's own.
        let texts: &[(&str, &str)] = match row.name {
            "alerts.list" => &[
                ("status", "status"),
                ("severity", "severity"),
                ("category", "category"),
                ("incident_id", "incidentId"),
            ],
            "machines.list" => &[
                ("name", "computerDnsName"),
                ("health", "healthStatus"),
                ("os", "osPlatform"),
                ("risk", "riskScore"),
                ("exposure", "exposureLevel"),
                ("onboarding", "onboardingStatus"),
            ],
            "machine_actions.list" => &[
                ("status", "status"),
                ("type", "type"),
                ("machine_id", "machineId"),
                ("requestor", "requestor"),
            ],
            _ => &[
                ("type", "indicatorType"),
                ("value", "indicatorValue"),
                ("action", "action"),
                ("severity", "severity"),
            ],
        };
        for (key, field) in texts {
            let bare = *field == "incidentId";
            parts.push(filter::any_of(field, &params.texts(key)?, |value| {
                if bare && value.bytes().all(|b| b.is_ascii_digit()) {
                    value.to_owned()
                } else {
                    filter::literal(value)
                }
            }));
        }
        let times: &[(&str, &str)] = match row.name {
            "alerts.list" => &[("since", "alertCreationTime"), ("updated_since", "lastUpdateTime")],
            "machines.list" => &[("seen_since", "lastSeen")],
            "machine_actions.list" => &[("since", "creationDateTimeUtc")],
            _ => &[("since", "creationTimeDateTimeUtc")],
        };
        for (key, field) in times {
            parts.push(params.time(key)?.map(|ticks| filter::at_or_after(field, ticks)));
        }
        if row.name == "machines.list" {
            let tags = params.texts("tag")?;
            let any: Vec<String> = tags
                .iter()
                .map(|tag| format!("machineTags/any(tag: tag eq {})", filter::literal(tag)))
                .collect();
            parts.push((!any.is_empty()).then(|| format!("({})", any.join(" or "))));
        }
        let own = filter::checked(params.wish("filter")?)?;
        let evidence = row.name == "alerts.list" && params.flag("evidence", false)?;
        Ok(List {
            place,
            row,
            filter: filter::all_of(parts, own.as_deref()),
            query: evidence.then(|| "$expand=evidence".to_owned()),
            top,
            skip,
            first,
            items,
            resume: params.text("resume")?,
        })
    }

    async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(self.row.service, &self.place)?;
        let mut url = channel.url(self.row, None);
        url.set_query(self.query.as_deref());
        let listing = Listing {
            row: self.row,
            url: filtered(&url, self.filter.as_deref()),
            top: Some(self.top.unwrap_or(self.row.page)),
            skip: self.skip,
            first: self.first,
            items: self.items,
            single_page: false,
            id: self.row.id.to_owned(),
            what: "record",
            keep: None,
            shape: None,
            since: (self.skip == 0 && self.items == Items::Records)
                .then(|| since(self.row, url.clone(), self.filter.clone()))
                .flatten(),
            may_shrink: self.filter.is_some() || self.row.shrinks,
            empty_is_404: self.row.empty_is_404,
            followed: false,
            headers: Vec::new(),
            resume: self.resume.as_deref().map(listing::Place::parse).transpose()?,
            asked: None,
        };
        listing::list(&channel, &listing)
            .await
            .map_err(|error| match (&self.filter, error.code()) {
                (Some(filter), Code::BadFilter) => error.with_hint(format!("check the filter against the API's page; it was: {filter}")),
                _ => error,
            })
    }
}

/// A checked wish for one record.
pub struct Get {
    place: Place,
    row: &'static Operation,
    id: String,
}

impl Get {
    async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(self.row.service, &self.place)?;
        let response = channel
            .ask(&Ask::get(self.row, channel.url(self.row, Some(&self.id))))
            .await
            .map_err(|error| named(error, &format!("alert {}", self.id)))?;
        let alert = record(&response, self.row.id, &format!("alert {}", self.id))?;
        session.sink.take(vec![alert], None).await;
        Ok(())
    }
}

/// A checked change of one alert, or of several alike.
pub struct Alerts {
    place: Place,
    ids: Vec<String>,
    batch: bool,
    change: incidents::Change,
}

impl Alerts {
    fn read(params: &mut Params, place: Place, row: &'static Operation) -> Result<Alerts> {
        let batch = row.name == "alerts.batch_update";
        let ids = if batch {
            params.texts("ids")?
        } else {
            vec![params.id("set id to the alert's id")?]
        };
        if ids.is_empty() || ids.iter().any(|id| id.trim().is_empty()) {
            return Err(Error::argument("the call names no alerts", "set ids to a list of alert ids"));
        }
        Ok(Alerts {
            place,
            ids,
            batch,
            change: incidents::Change::read(params, false)?,
        })
    }

    async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        if self.batch {
            let row = &rows::ALERTS_BATCH;
            let ids: Vec<String> = self.ids.iter().map(|id| quoted(id)).collect();
            let ask = Ask {
                retry: self.change.retry(),
                ..Ask::with_body(
                    row,
                    channel.url(row, None),
                    self.change.body(&[("alertIds", format!("[{}]", ids.join(",")))]),
                )
            };
            // 200 without a body.
            let response = channel.ask(&ask).await?;
            return nothing(&response, "the batch of alerts").map_err(|error| Failed::sent(error).told(&ask));
        }
        let row = &rows::ALERTS_UPDATE;
        let id = self.ids.first().map(String::as_str).unwrap_or_default();
        let ask = Ask {
            retry: self.change.retry(),
            ..Ask::with_body(row, channel.url(row, Some(id)), self.change.body(&[]))
        };
        let response = channel.ask(&ask).await.map_err(|error| named(error, &format!("alert {id}")))?;
        let alert = record(&response, row.id, &format!("alert {id}")).map_err(|error| Failed::sent(error).told(&ask))?;
        session.sink.take(vec![alert], None).await;
        Ok(())
    }
}

/// A checked call to any path of a service.
pub struct Any {
    place: Place,
    service: &'static Service,
    method: &'static str,
    path: String,
    version: Option<String>,
    query: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
    paging: bool,
    items: Items,
    first: Option<u64>,
    id: Option<String>,
    retry: Option<Retry>,
    resume: Option<String>,
}

/// The address of what changed since a time, where an operation's records have one by which they can be asked for.
fn since(row: &'static Operation, base: Url, filter: Option<String>) -> Option<listing::Since> {
    let field = row.changed()?;
    Some(Arc::new(move |time: &str| {
        filtered(
            &base,
            filter::all_of([Some(format!("{field} ge {time}"))], filter.as_deref()).as_deref(),
        )
    }))
}

fn without_filter(url: &Url) -> Url {
    let pairs = url.query().unwrap_or_default().split('&');
    let rest: Vec<&str> = pairs
        .filter(|pair| !pair.is_empty() && !["$filter=", "%24filter="].iter().any(|name| pair.starts_with(name)))
        .collect();
    let mut url = url.clone();
    url.set_query(if rest.is_empty() { None } else { Some(rest.join("&")) }.as_deref());
    url
}

impl Any {
    fn read(params: &mut Params, place: Place) -> Result<Any> {
        let service = Service::parse(&params.need("service", "set service to xdr, endpoint or graph, or name an operation")?)?;
        let method = params.choice(
            "method",
            &[
                ("GET", "GET"),
                ("POST", "POST"),
                ("PATCH", "PATCH"),
                ("PUT", "PUT"),
                ("DELETE", "DELETE"),
            ],
        )?;
        let path = params.need("path", "set path to a path of the service, such as /api/machines")?;
        let version = params.text("version")?;
        // Checked here, so that a bad one makes no operation.
        let base = service.base_url_in(place.base_url.as_deref(), place.cloud)?;
        service.address(&base, &path, version.as_deref())?;
        let mut query = Vec::new();
        if let Some(raw) = params.raw("query") {
            let wrong = || {
                Error::argument(
                    "query is not an object of texts",
                    "set query to an object such as {\"$filter\": \"status eq 'New'\"}",
                )
            };
            let members = Members::read(raw.get()).ok_or_else(wrong)?;
            for (name, value) in &members.0 {
                let text = match serde_json::from_str::<serde_json::Value>(value.get()) {
                    Ok(serde_json::Value::String(text)) => text,
                    Ok(serde_json::Value::Number(number)) => number.to_string(),
                    Ok(serde_json::Value::Bool(flag)) => flag.to_string(),
                    _ => return Err(wrong()),
                };
                query.push((name.clone().into_owned(), text));
            }
        }
        let mut headers = Vec::new();
        if let Some(raw) = params.raw("headers") {
            let members = Members::read(raw.get())
                .ok_or_else(|| Error::argument("headers is not an object", "set headers to an object such as {\"Prefer\": \"...\"}"))?;
            for (name, _) in &members.0 {
                let known = HEADERS.iter().find(|known| known.eq_ignore_ascii_case(name)).ok_or_else(|| {
                    Error::argument(
                        format!("the header {name} cannot be set"),
                        format!("a call may set {}", HEADERS.join(", ")),
                    )
                })?;
                let value = members.text(name).filter(|value| !value.trim().is_empty()).ok_or_else(|| {
                    Error::argument(
                        format!("the header {name} has no text for a value"),
                        "give it one, or leave the header out: an empty If-Match, say, would not hold anything back",
                    )
                })?;
                if value.chars().any(char::is_control) {
                    return Err(Error::argument(
                        format!("the header {name} holds control characters"),
                        "remove line breaks",
                    ));
                }
                headers.push((*known, value));
            }
        }
        let body = params.raw("body").map(|raw| raw.get().as_bytes().to_vec());
        if body.is_some() && method == "GET" {
            return Err(Error::argument("a GET has no body", "use query, or another method"));
        }
        let paging = params.flag("paging", method == "GET")?;
        if paging && method != "GET" {
            return Err(Error::argument("only a GET has pages", "leave paging out"));
        }
        Ok(Any {
            place,
            service,
            method,
            path,
            version,
            query,
            body,
            headers,
            paging,
            items: params.choice("items", &[("records", Items::Records), ("pages", Items::Pages)])?,
            first: params
                .number("first", 1, i64::MAX, "give first as a whole number from 1 up")?
                .and_then(|first| u64::try_from(first).ok()),
            id: params.text("id_name")?,
            retry: params.choice(
                "retry",
                &[("auto", None), ("safe", Some(Retry::Safe)), ("never", Some(Retry::Never))],
            )?,
            resume: params.text("resume")?,
        })
    }

    fn url(&self, base: &Url) -> Result<Url> {
        let mut url = self.service.address(base, &self.path, self.version.as_deref())?;
        if !self.query.is_empty() {
            // OData's own names keep their dollar.
            let name = |name: &str| percent(name).replacen("%24", "$", 1);
            let pairs: Vec<String> = self
                .query
                .iter()
                .map(|(key, value)| format!("{}={}", name(key), percent(value)))
                .collect();
            let before = url.query().map(|query| format!("{query}&")).unwrap_or_default();
            url.set_query(Some(&format!("{before}{}", pairs.join("&"))));
        }
        Ok(url)
    }

    async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(self.service, &self.place)?;
        let url = self.url(&channel.base)?;
        let row = Operation::of(self.service, self.method, url.path());
        if !self.paging {
            let ask = Ask {
                method: self.method,
                body: self.body.clone(),
                headers: self.headers.clone(),
                retry: self.retry.unwrap_or(if self.method == "GET" { Retry::Safe } else { Retry::Never }),
                timeout: row.name.starts_with("hunting.").then_some(hunting::TIMEOUT),
                ..Ask::get(row, url)
            };
            let response = channel.ask(&ask).await?;
            session.call.notices.tell(Notice::Detail {
                kind: "response",
                fields: json!({
                    "status": response.status,
                    "content_type": response.header("content-type"),
                    "etag": response.header("etag"),
                    "request_id": response.header("request-id").or_else(|| response.header("x-ms-request-id")),
                }),
            });
            if !response.body.is_empty() {
                session.sink.take(vec![response.body], None).await;
            }
            return Ok(());
        }
        // `$top` in the caller's query is a page's size. For a list that is known it is taken out, and put in again with `$skip`; whether another
        // path takes that nobody knows, so there only links lead on.
        let known = row.page > 0;
        let value = |name: &str| {
            url.query_pairs()
                .find(|(key, _)| key == name)
                .and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let asked = value("$top");
        let top = known.then(|| asked.and_then(|top| u32::try_from(top).ok()).unwrap_or(row.page));
        let most = u64::from(row.max_page);
        if let Some(top) = asked.filter(|top| most > 0 && !(1..=most).contains(top)) {
            // A service that gives less than it was asked for would seem to be at its end.
            return Err(Error::argument(
                format!("$top is {top}, outside 1 to {most}"),
                "$top is the size of a page; to get more records leave it out and set first",
            ));
        }
        let skip = value("$skip").unwrap_or(0);
        let mut bare = url.clone();
        let rest: Vec<&str> = url
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty() && !["$top=", "$skip=", "%24top=", "%24skip="].iter().any(|name| pair.starts_with(name)))
            .collect();
        bare.set_query(if rest.is_empty() { None } else { Some(rest.join("&")) }.as_deref());
        let own = |name: &str| {
            url.query_pairs()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.into_owned())
        };
        // What is sorted or chosen in a way of its own is not asked for what changed since.
        let plain = skip == 0 && self.items == Items::Records && ["$orderby", "$search", "$apply"].iter().all(|name| own(name).is_none());
        let listing = Listing {
            row,
            since: plain.then(|| since(row, without_filter(&bare), own("$filter"))).flatten(),
            url: if known { bare } else { url.clone() },
            top,
            skip,
            first: self.first,
            items: self.items,
            single_page: false,
            id: self.id.clone().unwrap_or_else(|| row.id.to_owned()),
            what: "record",
            keep: None,
            shape: None,
            // Where records are known by their id, a gap between two pages shows.
            may_shrink: row.shrinks || own("$filter").is_some(),
            empty_is_404: row.empty_is_404,
            followed: false,
            headers: self.headers.clone(),
            resume: self.resume.as_deref().map(listing::Place::parse).transpose()?,
            // Graph always names a next page where there is one.
            asked: asked.filter(|_| !known && self.service != &GRAPH),
        };
        // What is no list comes as it is.
        if !known && self.resume.is_none() {
            return listing::list_or_one(&channel, &listing).await;
        }
        listing::list(&channel, &listing).await
    }
}
