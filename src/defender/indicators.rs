//! Indicators of Microsoft Defender for Endpoint: sent one by one or in batches, each with its own outcome.
//!
//! Sources: "Submit or Update Indicator", "Import Indicators" (500 a call, 30 calls a minute; failures inside a 200), "Delete Indicator".

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::paging;
use super::params::Params;
use super::record::{named, record};
use super::services::ENDPOINT;
use super::services::operations as rows;
use super::session::{Ask, Place, Session};
use crate::claims::Members;
use crate::error::{Error, Result};
use crate::transport::{Notice, Retry};

/// The most indicators that one call may bring.
const BATCH: usize = 500;
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

    /// Sends them; an item for each says what became of it.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let channel = session.channel(&ENDPOINT, &self.place)?;
        let row = &rows::INDICATORS_IMPORT;
        let (mut sent, mut failed, mut pages) = (0usize, 0u64, 0u64);
        for batch in self.indicators.chunks(BATCH) {
            let body = format!("{{\"Indicators\":[{}]}}", batch.join(",")).into_bytes();
            let ask = Ask {
                retry: Retry::Safe,
                ..Ask::with_body(row, channel.url(row, None), body)
            };
            let response = channel.ask(&ask).await.map_err(|error| {
                let message = format!(
                    "{} ({sent} of {} indicators were sent before)",
                    error.message(),
                    self.indicators.len()
                );
                error.with_message(message)
            })?;
            let outcomes = paging::split(&response.body, "the import's answer")?.records;
            failed += outcomes
                .iter()
                .filter(|outcome| {
                    let text = std::str::from_utf8(outcome).unwrap_or_default();
                    Members::read(text).and_then(|members| members.get("isFailed").map(|raw| raw.get() == "true")) == Some(true)
                })
                .fold(0, |count, _| count + 1);
            sent += batch.len();
            let silent = without_outcome(batch, &outcomes);
            if !silent.is_empty() {
                session.warn(format!(
                    "the service says nothing of {} of the {} indicators of this call: {}",
                    silent.len(),
                    batch.len(),
                    silent.iter().take(10).cloned().collect::<Vec<_>>().join(", ")
                ));
            }
            pages += 1;
            session.call.notices.tell(Notice::Progress {
                pages,
                items: u64::try_from(sent).unwrap_or(0),
            });
            if !outcomes.is_empty() {
                session.sink.take(outcomes, None).await;
            }
        }
        if failed > 0 {
            session.warn(format!(
                "{failed} of {sent} indicators were not taken: see isFailed and failureReason of each"
            ));
        }
        Ok(())
    }
}

/// The values that an import's answer does not speak of.
fn without_outcome(batch: &[String], outcomes: &[Bytes]) -> Vec<String> {
    if outcomes.len() >= batch.len() {
        return Vec::new();
    }
    let text = |json: &str, name: &str| Members::read(json).and_then(|members| members.text(name)).unwrap_or_default();
    let told: HashSet<String> = outcomes
        .iter()
        .map(|outcome| text(std::str::from_utf8(outcome).unwrap_or_default(), "indicator").to_lowercase())
        .collect();
    let values = batch.iter().map(|indicator| text(indicator, "indicatorValue"));
    values.filter(|value| !told.contains(&value.to_lowercase())).collect()
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
        channel
            .ask(&ask)
            .await
            .map_err(|error| named(error, &format!("indicator {}", self.id)))?;
        Ok(())
    }
}
