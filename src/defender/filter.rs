//! `$filter` from plain wishes, and one service's words in the place of another's.

use super::time::{self, Ticks};
use crate::error::{Code, Error, Result};

/// A text as an OData literal: in quotes, with those inside doubled.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A caller's own filter, checked for what no service takes.
pub fn checked(filter: Option<String>) -> Result<Option<String>> {
    let filter = filter.map(|filter| filter.trim().to_owned()).filter(|filter| !filter.is_empty());
    if let Some(filter) = &filter
        && (filter.len() > 8192 || filter.chars().any(char::is_control))
    {
        return Err(Error::argument(
            "the filter is longer than 8192 bytes or holds control characters",
            "write an OData filter such as status eq 'Active'",
        )
        .with_code(Code::BadFilter));
    }
    Ok(filter)
}

/// One of several values of a field.
pub fn any_of(field: &str, values: &[String], as_literal: impl Fn(&str) -> String) -> Option<String> {
    let parts: Vec<String> = values.iter().map(|value| format!("{field} eq {}", as_literal(value))).collect();
    match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(format!("({})", parts.join(" or "))),
    }
}

/// A field at or after a time.
pub fn at_or_after(field: &str, ticks: Ticks) -> String {
    format!("{field} ge {}", time::iso(ticks))
}

/// All of several conditions. What may hold an `or` of its own stands in parentheses.
pub fn all_of(parts: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return None;
    }
    let only = parts.len() == 1;
    let joined: Vec<String> = parts
        .into_iter()
        .map(|part| {
            if only || !part.contains(" or ") || part.starts_with('(') && closes_at_end(&part) {
                part
            } else {
                format!("({part})")
            }
        })
        .collect();
    Some(joined.join(" and "))
}

/// True if the first parenthesis is closed by the last character.
fn closes_at_end(text: &str) -> bool {
    let (mut depth, mut quoted) = (0i32, false);
    let last = text.len().saturating_sub(1);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return at == last;
                }
            }
            _ => {}
        }
    }
    false
}

/// Replaces words outside quotes, and lets `value` change the quoted literals, with the field they are compared with.
pub fn translate(filter: &str, word: impl Fn(&str) -> Option<&'static str>, value: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut out = String::with_capacity(filter.len() + 16);
    let mut field = String::new();
    let mut rest = filter;
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            let mut end = 1;
            while let Some(at) = rest.get(end..).and_then(|tail| tail.find('\'')) {
                end += at + 1;
                if rest.get(end..).is_some_and(|tail| tail.starts_with('\'')) {
                    end += 1;
                } else {
                    break;
                }
            }
            let (quoted, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let inner = quoted.trim_start_matches('\'').trim_end_matches('\'');
            match value(&field, inner) {
                Some(changed) => out.push_str(&literal(&changed)),
                None => out.push_str(quoted),
            }
            rest = if tail.len() == rest.len() { "" } else { tail };
        } else if c.is_ascii_alphabetic() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (name, tail) = rest.split_at(end);
            match word(name) {
                Some(other) => {
                    other.clone_into(&mut field);
                    out.push_str(other);
                }
                None => {
                    if !matches!(name, "eq" | "ne" | "gt" | "ge" | "lt" | "le" | "in" | "and" | "or" | "not") {
                        name.clone_into(&mut field);
                    }
                    out.push_str(name);
                }
            }
            rest = tail;
        } else {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_become_filters() {
        let status = any_of("status", &["Active".to_owned(), "it's".to_owned()], literal);
        let since = at_or_after("createdTime", 0);
        assert_eq!(
            all_of([status.clone(), Some(since), Some("a eq 1 or b eq 2".to_owned()), None]).unwrap(),
            "(status eq 'Active' or status eq 'it''s') and createdTime ge 1970-01-01T00:00:00Z and (a eq 1 or b eq 2)"
        );
        assert_eq!(all_of([Some("a or b".to_owned())]).unwrap(), "a or b");
        assert_eq!(
            all_of([Some("(a) or (b)".to_owned()), Some("c".to_owned())]).unwrap(),
            "((a) or (b)) and c"
        );
        assert_eq!(all_of([None]), None);
    }

    #[test]
    fn words_and_values_are_translated_outside_and_inside_quotes() {
        let got = translate(
            "lastUpdateTime ge 2026-01-01T00:00:00Z and (status eq 'Active' or assignedTo eq 'lastUpdateTime ''x''') and x in ('A','B')",
            |word| (word == "lastUpdateTime").then_some("lastUpdateDateTime"),
            |field, value| matches!(field, "status" | "x").then(|| value.to_lowercase()),
        );
        assert_eq!(
            got,
            "lastUpdateDateTime ge 2026-01-01T00:00:00Z and (status eq 'active' or assignedTo eq 'lastUpdateTime ''x''') and x in ('a','b')"
        );
        for odd in ["'", "a eq 'x", "''", "a eq ''''", "\u{e9} '\u{e9}"] {
            assert_eq!(translate(odd, |_| None, |_, _| None), odd);
        }
    }
}
