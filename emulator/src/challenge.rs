//! Claims challenges (OpenID Connect Core section 5.5, and Microsoft's continuous access evaluation): what an API insists on,
//! and whether a token was asked for with it.

use serde_json::{Value, json};

/// The `access_token` part of a claims request, without what a client says about itself.
pub fn requested(claims: Option<&str>) -> Value {
    let mut wanted = claims
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .map_or(Value::Null, |c| c["access_token"].clone());
    if let Value::Object(fields) = &mut wanted {
        fields.remove("xms_cc");
    }
    wanted
}

/// The challenge after a revocation.
pub fn newer_than(seconds: i64) -> Value {
    json!({"nbf": {"essential": true, "value": seconds.to_string()}})
}

/// Whether everything a challenge names was asked for.
pub fn met(challenge: &Value, asked: &Value) -> bool {
    challenge
        .as_object()
        .is_none_or(|fields| fields.iter().all(|(name, wanted)| asked[name.as_str()] == *wanted))
}

/// The authentication contexts (`acrs`) of a claims request.
pub fn contexts(claims: Option<&str>) -> Vec<String> {
    let wanted = requested(claims);
    let one = wanted["acrs"]["value"].as_str().map(str::to_owned);
    let many = wanted["acrs"]["values"].as_array().cloned().unwrap_or_default();
    one.into_iter()
        .chain(many.iter().filter_map(|v| v.as_str().map(str::to_owned)))
        .collect()
}

/// Whether a claims request can only be met by a second step: a policy's own claims, or an authentication context.
pub fn wants_second_step(claims: Option<&str>) -> bool {
    let wanted = requested(claims);
    ["capolids", "polids", "acrs"].iter().any(|name| !wanted[*name].is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_about_itself_is_no_answer() {
        let asked = requested(Some(
            r#"{"access_token":{"xms_cc":{"values":["cp1"]},"nbf":{"essential":true,"value":"7"}}}"#,
        ));
        assert_eq!(asked, newer_than(7));
        assert!(met(&newer_than(7), &asked));
        assert!(!met(&newer_than(8), &asked));
        assert!(!met(&newer_than(7), &Value::Null));
        assert_eq!(
            contexts(Some(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#)),
            ["c1"]
        );
        assert!(requested(Some("no json")).is_null());
    }
}
