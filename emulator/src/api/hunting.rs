//! Advanced hunting: a little of Kusto over a few tables.
//!
//! `Table`, or `range x from A to B step S`, then any of `take N`, `limit N`, `where`, `project A, B`, `count`, `summarize N = count() by Column`. A
//! `where` joins by `and` what compares a column (`==`, `!=`, `=~`, `has`, `contains`, `<`, `<=`, `>`, `>=`) with a text, a number, `true`, `false`,
//! `datetime(...)` or `ago(7d)`, or looks for it `in ("a", "b")`.

use axum::response::Response;
use serde_json::{Value, json};

use crate::api::{self, Refusal};
use crate::clock;
use crate::data::{self, Table};
use crate::http::{self, Asked};
use crate::state::App;

/// The most rows of a result.
const ROWS: usize = 100_000;

/// Whose spelling.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Xdr,
    Endpoint,
    Graph,
}

/// Answers a query.
pub fn run(app: &App, asked: &Asked, form: Form) -> Result<Response, Refusal> {
    let body = api::body(asked)?;
    let query = body
        .get("Query")
        .or_else(|| body.get("query").filter(|_| form == Form::Graph))
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::new(400, "MissingRequiredParameter", "The required parameter 'Query' is missing."))?;
    let shift = app.state().shift;
    let table = evaluate(query, app.now() * clock::SECOND, shift).map_err(|text| Refusal::new(400, "BadRequest", text))?;
    let rows: Vec<Value> = table
        .rows
        .iter()
        .map(|row| Value::Object(table.schema.iter().map(|(name, _)| name.clone()).zip(row.iter().cloned()).collect()))
        .collect();
    let columns = |name: &str, kind: &str| -> Vec<Value> { table.schema.iter().map(|(n, t)| json!({name: n, kind: t})).collect() };
    Ok(http::json(
        200,
        &match form {
            Form::Graph => json!({
                "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults",
                "schema": columns("name", "type"),
                "results": rows,
            }),
            Form::Xdr => json!({
                "Stats": {"ExecutionTime": 0.5, "resource_usage": {"cpu": {"total cpu": "00:00:00.0156250"}}},
                "Schema": columns("Name", "Type"),
                "Results": rows,
            }),
            Form::Endpoint => json!({"Schema": columns("Name", "Type"), "Results": rows, "Stats": null}),
        },
    ))
}

fn evaluate(query: &str, now: i64, shift: clock::Ticks) -> Result<Table, String> {
    let mut steps = query.split('|').map(str::trim);
    let source = steps.next().unwrap_or_default();
    let words: Vec<&str> = source.split_whitespace().collect();
    let mut table = match words.as_slice() {
        ["range", column, "from", from, "to", to, "step", step] => {
            let number = |text: &str| text.parse::<i64>().map_err(|_| format!("'{text}' is no number."));
            let (from, to, step) = (number(from)?, number(to)?, number(step)?.max(1));
            let rows = (0..)
                .map(|n| from + n * step)
                .take_while(|n| *n <= to)
                .take(ROWS)
                .map(|n| vec![json!(n)])
                .collect();
            Table {
                schema: vec![((*column).to_owned(), "Int64".to_owned())],
                rows,
            }
        }
        [name] => data::table(name, shift).ok_or_else(|| {
            format!("'take' operator: Failed to resolve table or column expression named '{name}'. Fix semantic errors in your query.")
        })?,
        _ => return Err("Syntax error. Fix syntax errors in your query.".to_owned()),
    };
    for step in steps {
        let (operator, rest) = step.split_once(char::is_whitespace).unwrap_or((step, ""));
        let column = |name: &str| {
            table.schema.iter().position(|(n, _)| n == name).ok_or_else(|| {
                format!("'{operator}' operator: Failed to resolve scalar expression named '{name}'. Fix semantic errors in your query.")
            })
        };
        match operator {
            "take" | "limit" => {
                let most: usize = rest
                    .trim()
                    .parse()
                    .map_err(|_| "Syntax error. Fix syntax errors in your query.".to_owned())?;
                table.rows.truncate(most);
            }
            "count" => {
                table = Table {
                    schema: vec![("Count".to_owned(), "Int64".to_owned())],
                    rows: vec![vec![json!(table.rows.len())]],
                };
            }
            "where" => {
                for condition in joined(rest) {
                    let condition =
                        Condition::read(condition, now).ok_or_else(|| "Syntax error. Fix syntax errors in your query.".to_owned())?;
                    let at = column(&condition.column)?;
                    table.rows.retain(|row| row.get(at).is_some_and(|cell| condition.holds(cell)));
                }
            }
            "summarize" => {
                let syntax = || "Syntax error. Fix syntax errors in your query.".to_owned();
                let (name, by) = rest
                    .split_once('=')
                    .and_then(|(name, rest)| Some((name.trim(), rest.trim().strip_prefix("count()")?.trim().strip_prefix("by ")?.trim())))
                    .ok_or_else(syntax)?;
                let at = column(by)?;
                let mut counts: Vec<(Value, i64)> = Vec::new();
                for cell in table.rows.iter().filter_map(|row| row.get(at)) {
                    match counts.iter_mut().find(|(have, _)| have == cell) {
                        Some((_, count)) => *count += 1,
                        None => counts.push((cell.clone(), 1)),
                    }
                }
                table = Table {
                    schema: table
                        .schema
                        .get(at)
                        .cloned()
                        .into_iter()
                        .chain([(name.to_owned(), "Int64".to_owned())])
                        .collect(),
                    rows: counts.into_iter().map(|(cell, count)| vec![cell, json!(count)]).collect(),
                };
            }
            "project" => {
                let kept: Vec<usize> = rest.split(',').map(|name| column(name.trim())).collect::<Result<_, _>>()?;
                table = Table {
                    schema: kept.iter().filter_map(|at| table.schema.get(*at).cloned()).collect(),
                    rows: table
                        .rows
                        .iter()
                        .map(|row| kept.iter().filter_map(|at| row.get(*at).cloned()).collect())
                        .collect(),
                };
            }
            other => return Err(format!("The emulator does not know the operator '{other}'.")),
        }
    }
    Ok(table)
}

/// The parts of a condition that ` and ` joins, outside of texts.
fn joined(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') if text[at..].starts_with(" and ") => {
                parts.push(text[begin..at].trim());
                begin = at + " and ".len();
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts
}

/// What a column is held against.
enum Wanted {
    Text(String),
    Number(f64),
    Flag(bool),
    /// In ticks.
    Time(i64),
}

struct Condition {
    column: String,
    operator: String,
    wanted: Vec<Wanted>,
}

impl Condition {
    fn read(text: &str, now: i64) -> Option<Self> {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
        let (column, rest) = (&text[..end], text[end..].trim_start());
        let found = ["==", "!=", "=~", "<=", ">=", "<", ">", "has ", "contains ", "in "]
            .into_iter()
            .find(|operator| rest.starts_with(operator))?;
        let value = rest[found.len()..].trim();
        let wanted = if found == "in " {
            let list = value.strip_prefix('(')?.strip_suffix(')')?;
            list.split(',').map(|one| Wanted::read(one.trim(), now)).collect::<Option<_>>()?
        } else {
            vec![Wanted::read(value, now)?]
        };
        Some(Self {
            column: column.to_owned(),
            operator: found.trim().to_owned(),
            wanted,
        })
    }

    fn holds(&self, cell: &Value) -> bool {
        let any = self.wanted.iter().any(|wanted| wanted.fits(&self.operator, cell));
        if self.operator == "!=" { !any } else { any }
    }
}

impl Wanted {
    fn read(text: &str, now: i64) -> Option<Self> {
        let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(time) = inner("datetime") {
            return clock::parse_ticks(time.trim_matches(['"', '\''])).map(Wanted::Time);
        }
        if let Some(span) = inner("ago") {
            let unit = match span.chars().last()? {
                'd' => 86_400,
                'h' => 3_600,
                'm' => 60,
                's' => 1,
                _ => return None,
            };
            let count: i64 = span[..span.len() - 1].parse().ok()?;
            return Some(Wanted::Time(now - count * unit * clock::SECOND));
        }
        for quote in ['"', '\''] {
            if let Some(text) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
                return Some(Wanted::Text(text.to_owned()));
            }
        }
        match text {
            "true" => Some(Wanted::Flag(true)),
            "false" => Some(Wanted::Flag(false)),
            _ => text.parse().ok().map(Wanted::Number),
        }
    }

    fn fits(&self, operator: &str, cell: &Value) -> bool {
        use std::cmp::Ordering;
        let ordered = |order: Ordering| match operator {
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            ">=" => order != Ordering::Less,
            _ => order == Ordering::Equal,
        };
        match (self, cell) {
            (Self::Text(wanted), Value::String(have)) => match operator {
                "=~" => have.eq_ignore_ascii_case(wanted),
                "has" | "contains" => have.to_lowercase().contains(&wanted.to_lowercase()),
                _ => ordered(have.as_str().cmp(wanted)),
            },
            (Self::Number(wanted), cell) => cell.as_f64().and_then(|have| have.partial_cmp(wanted)).is_some_and(ordered),
            (Self::Flag(wanted), Value::Bool(have)) => ordered(have.cmp(wanted)),
            (Self::Flag(wanted), cell) => cell.as_i64().is_some_and(|have| (have != 0) == *wanted),
            (Self::Time(wanted), Value::String(have)) => clock::parse_ticks(have).is_some_and(|have| ordered(have.cmp(wanted))),
            _ => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn conditions_choose_rows() {
        let now = clock::parse_ticks("2026-09-14T12:00:00Z").unwrap();
        let count = |query: &str| evaluate(query, now, 0).map(|table| table.rows.len());
        for (query, rows) in [
            ("DeviceNetworkEvents", 4),
            ("DeviceNetworkEvents | where Timestamp > ago(1d)", 3),
            ("DeviceNetworkEvents | where Timestamp >= datetime(2026-09-14T06:58:40.9999999Z)", 1),
            (
                "DeviceNetworkEvents | where RemotePort == 80 and DeviceId in ('56f18844cec46b794bf3beae9e1cc08ca6babb22', \"x\")",
                1,
            ),
            ("DeviceNetworkEvents | where RemotePort < 443", 2),
            ("DeviceNetworkEvents | where RemoteUrl has \"UPDATES\"", 3),
            ("DeviceNetworkEvents | where InitiatingProcessFileName =~ 'SVCHOST.exe'", 2),
            ("DeviceNetworkEvents | where ActionType != \"ConnectionSuccess\"", 1),
            ("DeviceInfo | where IsAzureADJoined == true", 3),
            ("DeviceNetworkEvents | summarize N = count() by DeviceId", 2),
            ("DeviceProcessEvents | where ProcessCommandLine contains \" and \"", 0),
        ] {
            assert_eq!(count(query).unwrap(), rows, "{query}");
        }
        for bad in [
            "DeviceInfo | where OSBuild",
            "DeviceInfo | summarize count()",
            "DeviceInfo | summarize N = sum() by OSBuild",
            "DeviceInfo | where OSBuild == ago(x)",
            "DeviceInfo | where None == 1",
            "DeviceInfo | where DeviceName in \"x\"",
        ] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }
}
