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
    if let Some(filter) = filter.as_deref().filter(|filter| !is_closed(filter)) {
        return Err(Error::argument(
            format!("the filter has a quote or a parenthesis without its other half: {filter}"),
            "write an OData filter such as status eq 'Active'; a quote inside a text is doubled",
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

/// All of several conditions, and of a whole filter that may hold an `or` of its own: it stands in parentheses where it is not alone.
pub fn all_of(parts: impl IntoIterator<Item = Option<String>>, own: Option<&str>) -> Option<String> {
    let mut parts: Vec<String> = parts.into_iter().flatten().collect();
    match own {
        Some(own) if parts.is_empty() => return Some(own.to_owned()),
        Some(own) => parts.push(format!("({own})")),
        None if parts.is_empty() => return None,
        None => {}
    }
    Some(parts.join(" and "))
}

/// True if every parenthesis outside quotes is closed, none before it is opened, and every quote has its end: in parentheses of another's such a
/// text stays what it is.
fn is_closed(text: &str) -> bool {
    let (mut depth, mut quoted) = (0i32, false);
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0 && !quoted
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
            all_of([status.clone(), Some(since), None], Some("a eq 1 or b eq 2")).unwrap(),
            "(status eq 'Active' or status eq 'it''s') and createdTime ge 1970-01-01T00:00:00Z and (a eq 1 or b eq 2)"
        );
        assert_eq!(all_of([None], Some("a or b")).unwrap(), "a or b");
        // However the word is written, and whatever stands beside it.
        for own in ["(a)or(b)", "a OR b", "(a) or (b)", "a\u{a0}or b", "a eq 1"] {
            assert_eq!(all_of([Some("c".to_owned())], Some(own)).unwrap(), format!("c and ({own})"));
        }
        assert_eq!(all_of([None], None), None);
    }

    #[test]
    fn a_filter_stays_inside_its_parentheses() {
        for good in ["(a)or(b)", "a eq ')'", "a eq 'it''s (' and (b)", "x/any(t: t eq '(')"] {
            assert!(checked(Some(good.to_owned())).is_ok(), "{good}");
        }
        for bad in ["a eq 1) or (b eq 2", "(a", "a)", "a eq 'x", "a eq '''"] {
            assert_eq!(checked(Some(bad.to_owned())).unwrap_err().code(), Code::BadFilter, "{bad}");
        }
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
