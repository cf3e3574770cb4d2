//! Advanced hunting: one query, its columns, its rows.
//!
//! Sources: Graph's "security: runHuntingQuery", "Advanced hunting API" of Defender XDR and of Defender for Endpoint. The old two stop on
//! 2027-02-01 (their pages, and message center MC1220762).

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::incidents::{OLD_APIS_END, object};
use super::listing::Items;
use super::params::{Params, quoted};
use super::services::operations::{self as rows, Operation};
use super::session::{Ask, Place, Session};
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::{Notice, Retry};

/// The largest result: the Endpoint API sends up to 124 MB.
const RESULT_LIMIT: usize = 160 << 20;
/// A query may run for 200 s at the service.
pub const TIMEOUT: Duration = Duration::from_secs(260);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backend {
    Graph,
    Xdr,
    Endpoint,
}

/// A checked query.
pub struct Run {
    backend: Backend,
    place: Place,
    query: String,
    timespan: Option<String>,
    items: Items,
}

impl Run {
    /// Reads the keys of `hunting.run`.
    pub fn read(params: &mut Params, place: Place) -> Result<Run> {
        let backend = params.choice(
            "backend",
            &[("graph", Backend::Graph), ("xdr", Backend::Xdr), ("endpoint", Backend::Endpoint)],
        )?;
        let query = params.need("query", "set query to a query in Kusto, such as DeviceInfo | take 10")?;
        let timespan = params.text("timespan")?;
        if timespan.is_some() && backend != Backend::Graph {
            return Err(Error::argument(
                "timespan works with Graph only",
                "put the time into the query, such as | where Timestamp > ago(7d)",
            ));
        }
        if timespan
            .as_ref()
            .is_some_and(|span| span.len() > 100 || !(span.starts_with('P') || span.contains('/')))
        {
            return Err(Error::argument(
                "timespan is no ISO 8601 duration or interval",
                "write it as P30D, or as 2026-11-01T00:00:00Z/2026-11-21T00:00:00Z",
            ));
        }
        Ok(Run {
            backend,
            place,
            query,
            timespan,
            items: params.choice("items", &[("records", Items::Records), ("pages", Items::Pages)])?,
        })
    }

    fn row(&self) -> &'static Operation {
        match self.backend {
            Backend::Graph => &rows::HUNTING,
            Backend::Xdr => &rows::HUNTING_XDR,
            Backend::Endpoint => &rows::HUNTING_ENDPOINT,
        }
    }

    /// Runs the query: an event with the columns first, then the rows.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let row = self.row();
        if self.backend != Backend::Graph {
            let days = (OLD_APIS_END - session.transport.clock().unix()).div_euclid(86_400);
            session.warn(if days >= 0 {
                format!(
                    "{} stops on 2027-02-01, in {days} days: use Graph (backend graph, permission ThreatHunting.Read.All)",
                    row.path
                )
            } else {
                format!(
                    "{} was to stop on 2027-02-01: use Graph (backend graph, permission ThreatHunting.Read.All)",
                    row.path
                )
            });
        }
        let channel = session.channel(row.service, &self.place)?;
        let timespan = self.timespan.as_ref().map(|span| ("Timespan", quoted(span)));
        let body = object([("Query", quoted(&self.query))].into_iter().chain(timespan));
        let ask = Ask {
            // A query that timed out has cost its share of CPU; once more would cost it again.
            retry: Retry::Never,
            limit: RESULT_LIMIT,
            timeout: Some(TIMEOUT),
            ..Ask::with_body(row, channel.url(row, None), body)
        };
        let response = channel.ask(&ask).await.map_err(explained)?;
        if self.items == Items::Pages {
            session.sink.take(vec![response.body], None).await;
            return Ok(());
        }
        let (schema, rows) = taken_apart(&response.body)?;
        let count = rows.len();
        let mut fields = schema;
        if let Value::Object(fields) = &mut fields {
            fields.insert("rows".to_owned(), json!(count));
            fields.insert("backend".to_owned(), json!(row.service.key));
        }
        session.call.notices.tell(Notice::Detail { kind: "schema", fields });
        session.call.notices.tell(Notice::Progress {
            pages: 1,
            items: u64::try_from(count).unwrap_or(0),
            pass: 1,
        });
        if !rows.is_empty() {
            session.sink.take(rows, None).await;
        }
        Ok(())
    }
}

/// The limits of hunting, where an error comes from one of them.
fn explained(error: Error) -> Error {
    let said = error.message().to_ascii_lowercase();
    match error.code() {
        Code::Throttled => {
            let after = error.retry_after_ms();
            error.with_code(Code::Quota).with_retry(after).with_hint(
                "the tenant's hunting quota is used up (at least 45 queries a minute, and a share of CPU that is counted in cycles of 15 minutes): wait, or make the query cheaper",
            )
        }
        Code::BadFilter if said.contains("result size") || said.contains("exceeded the allowed") => error.with_code(Code::Quota).with_hint(
            "the result is too large (100,000 rows; 50 MB with Graph, 124 MB with Endpoint): project fewer columns, or ask for less",
        ),
        Code::BadFilter => error.with_hint("check the query: see the message for what the service did not understand"),
        Code::Timeout => {
            error.with_hint("a query may run for 3 minutes: make it cheaper; it was not sent again, because each run costs quota")
        }
        _ => error,
    }
}

/// Columns and rows. Names are looked up without regard to case: the three endpoints write them differently.
fn taken_apart(body: &Bytes) -> Result<(Value, Vec<Bytes>)> {
    let odd = |why: &str| {
        Error::new(Code::BadPayload, format!("the hunting result {why}"))
            .with_hint("this is not an answer the API documents: check that no proxy answers in its place")
    };
    let text = std::str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
        .map_err(|_| Error::new(Code::NotJson, "the hunting result is not UTF-8"))?;
    let members = Members::read(text).ok_or_else(|| match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => odd("is not an object"),
        Err(error) if error.is_eof() => Error::new(Code::Truncated, "the hunting result ends in the middle"),
        Err(_) => Error::new(Code::NotJson, "the hunting result is not JSON"),
    })?;
    let find = |members: &Members<'_>, name: &str| -> Option<String> {
        members
            .0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, raw)| raw.get().to_owned())
    };
    let schema = find(&members, "schema").ok_or_else(|| odd("has no schema"))?;
    let columns: Vec<&RawValue> = serde_json::from_str(&schema).map_err(|_| odd("has a schema that is no list"))?;
    let columns: Vec<Value> = columns
        .into_iter()
        .map(|column| {
            let column = Members::read(column.get()).ok_or_else(|| odd("has a column that is no object"))?;
            let text = |name: &str| find(&column, name).and_then(|raw| serde_json::from_str::<String>(&raw).ok());
            Ok(json!({ "name": text("name"), "type": text("type") }))
        })
        .collect::<Result<_>>()?;
    let results = members
        .0
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case("results"))
        .map(|(_, raw)| *raw)
        .ok_or_else(|| odd("has no results"))?;
    let rows: Option<Vec<&RawValue>> = serde_json::from_str(results.get()).map_err(|_| odd("has results that are no list"))?;
    let rows = rows
        .unwrap_or_default()
        .into_iter()
        .map(|row| body.slice_ref(row.get().as_bytes()))
        .collect();
    let stats = find(&members, "stats").and_then(|raw| serde_json::from_str::<Value>(&raw).ok());
    Ok((json!({ "columns": columns, "stats": stats }), rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_spellings_are_one() {
        for text in [
            r#"{"Stats":{"x":1},"Schema":[{"Name":"B","Type":"Int64"},{"Name":"A","Type":"String"}],"Results":[{"B":9007199254740993,"A":"x"}]}"#,
            r#"{"@odata.context":"c","schema":[{"name":"B","type":"Int64"},{"Name":"A","Type":"String"}],"results":[{"B":9007199254740993,"A":"x"}]}"#,
        ] {
            let body = Bytes::copy_from_slice(text.as_bytes());
            let (schema, rows) = taken_apart(&body).unwrap();
            assert_eq!(
                schema["columns"],
                json!([{"name": "B", "type": "Int64"}, {"name": "A", "type": "String"}])
            );
            assert_eq!(rows.first().unwrap().as_ref(), b"{\"B\":9007199254740993,\"A\":\"x\"}");
        }
        let code = |text: &'static str| taken_apart(&Bytes::from_static(text.as_bytes())).unwrap_err().code();
        assert_eq!(code("{}"), Code::BadPayload);
        assert_eq!(code("{\"schema\":[]}"), Code::BadPayload);
        assert_eq!(code("{\"schema\":[],\"results\":["), Code::Truncated);
        assert_eq!(code("x"), Code::NotJson);
        assert!(
            taken_apart(&Bytes::from_static(b"{\"schema\":[],\"results\":null}"))
                .unwrap()
                .1
                .is_empty()
        );
    }
}
