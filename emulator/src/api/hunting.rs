//! Advanced hunting: a little of Kusto over a few tables.
//!
//! `Table`, or `range x from A to B step S`, then any of `take N`, `limit N`, `where Column == "text"` (or `!=`), `project A, B` and `count`.

use axum::response::Response;
use serde_json::{Value, json};

use crate::api::{self, Refusal};
use crate::data::{self, Table};
use crate::http::{self, Asked};

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
pub fn run(asked: &Asked, form: Form) -> Result<Response, Refusal> {
    let body = api::body(asked)?;
    let query = body
        .get("Query")
        .or_else(|| body.get("query").filter(|_| form == Form::Graph))
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::new(400, "MissingRequiredParameter", "The required parameter 'Query' is missing."))?;
    let table = evaluate(query).map_err(|text| Refusal::new(400, "BadRequest", text))?;
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

fn evaluate(query: &str) -> Result<Table, String> {
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
        [name] => data::table(name).ok_or_else(|| {
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
                let (name, value, wanted) = match (rest.split_once("=="), rest.split_once("!=")) {
                    (Some((name, value)), _) => (name.trim(), value, true),
                    (None, Some((name, value))) => (name.trim(), value, false),
                    _ => return Err("Syntax error. Fix syntax errors in your query.".to_owned()),
                };
                let at = column(name)?;
                let value = value.trim().trim_matches(['"', '\'']).to_owned();
                table
                    .rows
                    .retain(|row| (row.get(at).and_then(Value::as_str) == Some(value.as_str())) == wanted);
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
