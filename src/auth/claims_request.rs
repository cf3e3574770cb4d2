//! The `claims` parameter (OpenID Connect Core section 5.5): what the caller or a challenge asks for, with what this client says it can handle.
//!
//! A capability is told as `{"access_token":{"xms_cc":{"values":["cp1"]}}}` (Microsoft identity platform, "Claims challenges, claims requests,
//! and client capabilities").

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// One parameter of several parts, later ones laid over earlier ones; `None` if nothing is asked for.
pub fn merge(parts: &[Option<&str>], capabilities: &[String]) -> Result<Option<String>> {
    let mut merged = Value::Object(Map::new());
    if !capabilities.is_empty() {
        merged = json!({"access_token": {"xms_cc": {"values": capabilities}}});
    }
    let parts: Vec<&str> = parts.iter().copied().flatten().collect();
    if let ([only], []) = (parts.as_slice(), capabilities) {
        // What stands alone is sent as it came.
        return object(only).map(|_| Some((*only).to_owned()));
    }
    for part in &parts {
        lay_over(&mut merged, object(part)?);
    }
    Ok((!parts.is_empty() || !capabilities.is_empty()).then(|| merged.to_string()))
}

fn object(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Error::argument("claims is not a JSON object", "pass the claims of the challenge unchanged"))
}

/// Objects are joined member by member, lists become their union, and of two single values the later one counts.
fn lay_over(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                match base.get_mut(&name) {
                    Some(old) => lay_over(old, value),
                    None => {
                        base.insert(name, value);
                    }
                }
            }
        }
        (Value::Array(base), Value::Array(over)) => {
            for value in over {
                if !base.contains(&value) {
                    base.push(value);
                }
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_and_challenges_share_one_parameter() {
        let cp1 = ["cp1".to_owned()];
        assert_eq!(merge(&[None], &[]).unwrap(), None);
        assert_eq!(merge(&[Some("{ \"a\":1}")], &[]).unwrap().as_deref(), Some("{ \"a\":1}"));
        assert_eq!(
            merge(&[], &cp1).unwrap().as_deref(),
            Some(r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#)
        );
        let challenge = r#"{"access_token":{"nbf":{"essential":true,"value":"1"},"xms_cc":{"values":["cp1","x"]}}}"#;
        assert_eq!(
            merge(&[Some(r#"{"id_token":{"nbf":null}}"#), Some(challenge)], &cp1)
                .unwrap()
                .as_deref(),
            Some(r#"{"access_token":{"xms_cc":{"values":["cp1","x"]},"nbf":{"essential":true,"value":"1"}},"id_token":{"nbf":null}}"#)
        );
        for bad in ["", "[]", "1", "{"] {
            assert!(merge(&[Some(bad)], &[]).is_err() && merge(&[Some(bad)], &cp1).is_err(), "{bad}");
        }
    }
}
