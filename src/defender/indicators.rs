//! Indicators of Microsoft Defender for Endpoint: sent one by one or in batches, each with its own outcome.
//!
//! Sources: "Submit or Update Indicator", "Import Indicators" (500 a call, 30 calls a minute; failures inside a 200), "Delete Indicator".

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::paging;
use super::params::Params;
use super::record::{named, nothing, record};
use super::services::ENDPOINT;
use super::services::operations as rows;
use super::session::{Ask, Channel, Place, Session};
use super::unsettled::Failed;
use crate::claims::Members;
use crate::error::{Error, Result};
use crate::transport::{Notice, Retry};

/// The most indicators that one call may bring.
const BATCH: usize = 500;
/// How many calls of an import may be refused one after the other before it ends: one wrong indicator among 500 takes ten, and where nothing is
/// taken, as in a tenant that has no room for more, the rest would be refused too.
const MAX_REFUSALS: u32 = 50;
/// The reason told for an indicator that an answer leaves out.
const SILENCE: &str = "the service says nothing of it: it may have been taken, and to send it again does no harm";
/// What each has to have.
const REQUIRED: &[&str] = &["indicatorValue", "indicatorType", "action", "title", "description"];

/// Checks what would fail at the service anyway. `which` names the indicator.
fn checked(raw: &RawValue, which: &str) -> Result<String> {
    let members = Members::read(raw.get()).ok_or_else(|| {
        Error::argument(
            format!("{which} is not an object"),
            "give each indicator as a JSON object in the service's own words",
        )
    })?;
    if let Some(missing) = REQUIRED
        .iter()
        .find(|name| members.text(name).is_none_or(|text| text.trim().is_empty()))
    {
        return Err(Error::argument(
            format!("{which} has no {missing}"),
            format!("an indicator needs {}; names are case-sensitive", REQUIRED.join(", ")),
        ));
    }
    let text = |name: &str| members.text(name).unwrap_or_default();
    if text("indicatorType") == "IpAddress" && text("indicatorValue").contains('/') {
        return Err(Error::argument(
            format!("{which} is a network ({})", text("indicatorValue")),
            "the service takes single addresses only, no CIDR",
        ));
    }
    if text("action") == "Audit" && members.get("generateAlert").map(|raw| raw.get()) != Some("true") {
        return Err(Error::argument(
            format!("{which} has the action Audit without an alert"),
            "set generateAlert to true: the service wants it with Audit",
        ));
    }
    Ok(raw.get().to_owned())
}

/// A checked indicator to send.
pub struct Submit {
    place: Place,
    indicator: String,
}

impl Submit {
    /// Reads the keys of `indicators.submit`.
    pub fn read(params: &mut Params, place: Place) -> Result<Submit> {
        let raw = params.raw("indicator").ok_or_else(|| {
            Error::argument(
                "the call brings no indicator",
                "set indicator to an object in the service's own words",
            )
        })?;
        Ok(Submit {
            place,
            indicator: checked(raw, "the indicator")?,
        })
    }

    /// Sends it; the indicator as it is now comes as the only item.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let row = &rows::INDICATORS_SUBMIT;
        let ask = Ask {
            // The same value again updates what is there.
            retry: Retry::Safe,
            ..Ask::with_body(row, channel.url(row, None), self.indicator.clone().into_bytes())
        };
        let response = channel.ask(&ask).await?;
        let indicator = record(&response, row.id, "the indicator")?;
        session.sink.take(vec![indicator], None).await;
        Ok(())
    }
}

/// Checked indicators to send in batches.
pub struct Import {
    place: Place,
    indicators: Vec<String>,
}

impl Import {
    /// Reads the keys of `indicators.import`.
    pub fn read(params: &mut Params, place: Place) -> Result<Import> {
        let wrong = || {
            Error::argument(
                "indicators is not a list of objects",
                "set indicators to a list of objects in the service's own words",
            )
        };
        let raw = params.raw("indicators").ok_or_else(wrong)?;
        let all: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
        let indicators = all
            .into_iter()
            .enumerate()
            .map(|(at, raw)| checked(raw, &format!("indicator {at}")))
            .collect::<Result<_>>()?;
        Ok(Import { place, indicators })
    }

    /// Sends them; an item for each says what became of it. A call that the service refuses as a whole is sent again in halves, down to the
    /// indicators that it refuses by themselves: one that is wrong does not cost the others.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let mut sent = Sent {
            of: self.indicators.len(),
            ..Sent::default()
        };
        // What is to be sent, the next one last.
        let mut left: Vec<&[String]> = self.indicators.chunks(BATCH).rev().collect();
        while let Some(batch) = left.pop() {
            let outcomes = match send(&channel, batch).await {
                Ok(outcomes) => {
                    sent.refusals = 0;
                    outcomes
                }
                Err(error) if !is_refusal(&error) || sent.refusals >= MAX_REFUSALS => return Err(sent.tell(error)),
                Err(error) => {
                    sent.refusals += 1;
                    match batch.split_at(batch.len() / 2) {
                        ([], [one]) => vec![outcome(one, error.message())],
                        (first, second) => {
                            left.extend([second, first]);
                            continue;
                        }
                    }
                }
            };
            sent.take(session, batch, outcomes).await;
        }
        if sent.failed > 0 {
            session.warn(format!(
                "{} of {} indicators were not taken: see isFailed and failureReason of each",
                sent.failed, sent.count
            ));
        }
        Ok(())
    }
}

/// How far an import has come.
#[derive(Default)]
struct Sent {
    of: usize,
    count: usize,
    failed: usize,
    /// Calls that were refused since one was taken.
    refusals: u32,
    pages: u64,
}

impl Sent {
    /// Hands over what became of a batch, also of those that the service says nothing of.
    async fn take(&mut self, session: &Session<'_>, batch: &[String], mut outcomes: Vec<Bytes>) {
        let silent = without_outcome(batch, &outcomes);
        if !silent.is_empty() {
            let names: Vec<String> = silent.iter().take(10).map(|one| text(one, "indicatorValue")).collect();
            session.warn(format!(
                "the service says nothing of {} of the {} indicators of this call: {}",
                silent.len(),
                batch.len(),
                names.join(", ")
            ));
            outcomes.extend(silent.into_iter().map(|one| outcome(one, SILENCE)));
        }
        self.failed += outcomes.iter().filter(|outcome| is_failed(outcome)).count();
        self.count += batch.len();
        self.pages += 1;
        session.call.notices.tell(Notice::Progress {
            pages: self.pages,
            items: u64::try_from(self.count).unwrap_or(0),
            pass: 1,
        });
        if !outcomes.is_empty() {
            session.sink.take(outcomes, None).await;
        }
    }

    /// Says in an error how far it came.
    fn tell(&self, error: Error) -> Error {
        let refused = match self.refusals {
            0 => String::new(),
            times => format!(", and {} calls in a row were refused", times + 1),
        };
        let message = format!(
            "what became of {} of {} indicators is told, the others are open{refused}: {}",
            self.count,
            self.of,
            error.message()
        );
        let hint = match error.hint() {
            Some(hint) => format!("{hint}. To send an indicator again does no harm"),
            None => "to send an indicator again does no harm".to_owned(),
        };
        error.with_message(message).with_hint(hint)
    }
}

/// One call.
async fn send(channel: &Channel<'_>, batch: &[String]) -> Result<Vec<Bytes>> {
    let row = &rows::INDICATORS_IMPORT;
    let ask = Ask {
        retry: Retry::Safe,
        ..Ask::with_body(
            row,
            channel.url(row, None),
            format!("{{\"Indicators\":[{}]}}", batch.join(",")).into_bytes(),
        )
    };
    let response = channel.ask(&ask).await?;
    Ok(paging::split(&response.body, "the import's answer")?.records)
}

/// True where the service looked at what it was sent and took nothing of it.
fn is_refusal(error: &Error) -> bool {
    matches!(error.http_status(), Some(400 | 409 | 413 | 422))
}

fn text(json: &str, name: &str) -> String {
    Members::read(json).and_then(|members| members.text(name)).unwrap_or_default()
}

fn is_failed(outcome: &Bytes) -> bool {
    let text = std::str::from_utf8(outcome).unwrap_or_default();
    Members::read(text).and_then(|members| members.get("isFailed").map(|raw| raw.get() == "true")) == Some(true)
}

/// What became of an indicator, in the service's words, where it has none of its own.
fn outcome(indicator: &str, reason: &str) -> Bytes {
    let outcome = serde_json::json!({
        "id": null,
        "indicator": text(indicator, "indicatorValue"),
        "isFailed": true,
        "failureReason": reason,
    });
    Bytes::from(outcome.to_string())
}

/// Those of a batch that an import's answer does not speak of.
fn without_outcome<'a>(batch: &'a [String], outcomes: &[Bytes]) -> Vec<&'a str> {
    let mut told: HashMap<String, usize> = HashMap::new();
    for outcome in outcomes {
        let value = text(std::str::from_utf8(outcome).unwrap_or_default(), "indicator").to_lowercase();
        *told.entry(value).or_default() += 1;
    }
    let mut asked: HashMap<String, usize> = HashMap::new();
    for indicator in batch {
        *asked.entry(text(indicator, "indicatorValue").to_lowercase()).or_default() += 1;
    }
    // As many as were sent, and none of them too often: the service may spell a value its own way.
    if outcomes.len() >= batch.len() && told.iter().all(|(value, times)| *times <= asked.get(value).copied().unwrap_or(1)) {
        return Vec::new();
    }
    let is_silent = |indicator: &&String| !told.contains_key(&text(indicator, "indicatorValue").to_lowercase());
    batch.iter().filter(is_silent).map(String::as_str).collect()
}

/// A checked wish to delete an indicator.
pub struct Delete {
    place: Place,
    id: String,
}

impl Delete {
    /// Reads the keys of `indicators.delete`.
    pub fn read(params: &mut Params, place: Place) -> Result<Delete> {
        Ok(Delete {
            place,
            id: params.id("set id to the indicator's id")?,
        })
    }

    /// Deletes it; there is no item.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let row = &rows::INDICATORS_DELETE;
        let ask = Ask {
            method: row.method,
            retry: Retry::Never,
            ..Ask::get(row, channel.url(row, Some(&self.id)))
        };
        let what = format!("indicator {}", self.id);
        let response = channel.ask(&ask).await.map_err(|error| named(error, &what))?;
        nothing(&response, &what).map_err(|error| Failed::sent(error).told(&ask))
    }
}
