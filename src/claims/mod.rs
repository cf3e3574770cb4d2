//! What a token says, read on this machine without a network and without any claim about its signature.
//!
//! A client is not a token's audience, so nothing here verifies: [`Decoded`] says so in every answer. Reading is strict where a lenient reading
//! could mislead (base64url alphabet, JSON, size, depth) and keeps every claim exactly as it was sent.

mod explain;

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Code, Error, Result};

pub use explain::Summary;

/// The largest token that is read, in bytes.
pub const TOKEN_LIMIT: usize = 256 << 10;
/// The deepest nesting of JSON that is read.
const DEPTH_LIMIT: usize = 64;

/// Padding is not part of a JWT (RFC 7515 section 2) but does no harm in reading one; it is reported as a note.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A decoded, not verified, JSON Web Token (RFC 7519).
#[derive(Debug)]
pub struct Decoded {
    /// The header's JSON, byte for byte.
    pub header: String,
    /// The claims' JSON, byte for byte.
    pub claims: String,
    /// True if there is a signature part; nothing is said about its worth.
    pub signature_present: bool,
    /// Oddities worth knowing.
    pub notes: Vec<String>,
}

/// Members of a JSON object in order, values unparsed.
pub(crate) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads the top level of a JSON object.
    pub(crate) fn read(json: &'a str) -> Option<Members<'a>> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(32);
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(members)
            }
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let members = deserializer.deserialize_map(Collect).ok()?;
        deserializer.end().ok()?;
        Some(Members(members))
    }

    /// The last value of a member: what JavaScript, PowerShell and Entra's own libraries would take.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// A member that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// A member that is a number or a numeric string (v1 endpoints send such), floored to whole seconds.
    pub(crate) fn seconds(&self, name: &str) -> Option<i64> {
        seconds(self.get(name)?.get())
    }

    /// A member that is a string, or an array of which the strings count.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let Some(raw) = self.get(name) else { return Vec::new() };
        match serde_json::from_str::<serde_json::Value>(raw.get()) {
            Ok(serde_json::Value::String(text)) => vec![text],
            Ok(serde_json::Value::Array(items)) => items.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        }
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a member name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Seconds from JSON text: an integer, a float (floored), or a string of digits.
pub(crate) fn seconds(raw: &str) -> Option<i64> {
    let text = raw.trim().trim_matches('"');
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole);
    }
    let float = text.parse::<f64>().ok()?.floor();
    // Beyond 2^53 a float is no exact second any more, and no date either.
    if float.abs() < 9_007_199_254_740_992.0 {
        format!("{float:.0}").parse().ok()
    } else {
        None
    }
}

/// Reads a token's header and claims. Takes an access or ID token as text, with or without a leading `Bearer `.
pub fn decode(token: &str) -> Result<Decoded> {
    if token.len() > TOKEN_LIMIT {
        return Err(Error::new(
            Code::TooLarge,
            format!("the token is larger than {} KiB", TOKEN_LIMIT >> 10),
        ));
    }
    let mut notes = Vec::new();
    let mut token = token.trim();
    if let Some((scheme, rest)) = token.split_once(' ')
        && scheme.eq_ignore_ascii_case("bearer")
    {
        token = rest.trim();
    }
    let not_jwt = |message: &str| {
        Error::new(Code::NotJwt, message)
            .with_hint("a JSON Web Token is three base64url parts with dots between them and begins with eyJ; pass the whole token")
    };
    let parts: Vec<&str> = token.splitn(7, '.').collect();
    let (header, payload, signature) = match parts.as_slice() {
        [""] => return Err(not_jwt("the token is empty")),
        // Tokens of personal accounts and some first-party services are of this kind.
        [single] if single.starts_with("Ew") && single.len() > 100 => {
            return Err(
                Error::new(Code::Opaque, "the token is opaque: only the service it is for can read it")
                    .with_hint("this is normal for some services; the token can be used all the same"),
            );
        }
        [header, payload, signature] => (*header, *payload, *signature),
        [_, _, _, _, _] => {
            return Err(
                Error::new(Code::Encrypted, "the token is encrypted: only the service it is for can read it")
                    .with_hint("the token can be used all the same"),
            );
        }
        other => {
            let message = match other.len() {
                1 => "this is not a token: it has no dots".to_owned(),
                7 => "this is not a token: it has more than six parts".to_owned(),
                n => format!("this is not a token: it has {n} parts"),
            };
            return Err(not_jwt(&message));
        }
    };
    if header.is_empty() || payload.is_empty() {
        return Err(not_jwt("the token's header or claims part is empty"));
    }
    let header = part(header, "header", &mut notes)?;
    let claims = part(payload, "claims", &mut notes)?;
    if BASE64URL.decode(signature).is_err() {
        return Err(bad_base64("signature"));
    }
    Ok(Decoded {
        header,
        claims,
        signature_present: !signature.is_empty(),
        notes,
    })
}

fn bad_base64(name: &str) -> Error {
    Error::new(Code::BadBase64, format!("the token's {name} part is not base64url"))
        .with_hint("the token was changed on its way here: look for line breaks, spaces, or a cut end")
}

/// Undoes base64url, and checks that the text is a JSON object of bearable depth without repeated members.
fn part(text: &str, name: &str, notes: &mut Vec<String>) -> Result<String> {
    let bytes = BASE64URL.decode(text).map_err(|_| bad_base64(name))?;
    if text.ends_with('=') {
        notes.push(format!("the {name} part is padded with '=', which a JWT should not be"));
    }
    let bad_json = || Error::new(Code::BadJson, format!("the token's {name} part is not a JSON object"));
    let json = String::from_utf8(bytes).map_err(|_| bad_json())?;
    if depth_exceeds(&json) {
        return Err(Error::new(
            Code::TooLarge,
            format!("the token's {name} part is nested deeper than {DEPTH_LIMIT} levels"),
        ));
    }
    let members = Members::read(&json).ok_or_else(bad_json)?;
    let mut names: Vec<&str> = members.0.iter().map(|(key, _)| key.as_ref()).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if let [a, b] = pair
            && a == b
        {
            notes.push(format!("the {name} part holds \"{a}\" more than once"));
        }
    }
    drop(members);
    Ok(json)
}

fn depth_exceeds(json: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_LIMIT {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn token(header: &str, claims: &str, signature: &str) -> String {
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    fn code(text: &str) -> Code {
        decode(text).unwrap_err().code()
    }

    #[test]
    fn what_is_not_a_token_is_named() {
        for text in ["", "   ", "abc", "a.b", "a.b.c.d", "..", &"a.".repeat(1000)] {
            assert_eq!(code(text), Code::NotJwt, "{text:.20}");
        }
        assert_eq!(code("a.b.c.d.e"), Code::Encrypted);
        assert_eq!(code(&format!("Ew{}", "B".repeat(200))), Code::Opaque);
        assert_eq!(code(&"x".repeat(TOKEN_LIMIT + 1)), Code::TooLarge);
    }

    #[test]
    fn base64url_is_strict_but_for_padding() {
        let good = token("{\"alg\":\"RS256\"}", "{\"a\":1}", "c2ln");
        assert!(decode(&good).is_ok());
        for bad in ["e+J9.e30.", "e/J9.e30.", "e30.e30.x", "e3 0.e30.", "e30.e31.", "e30.e\n30."] {
            assert_eq!(code(bad), Code::BadBase64, "{bad}");
        }
        let padded = decode("e30=.e30=.").unwrap();
        assert_eq!(padded.notes.len(), 2);
        assert!(!padded.signature_present);
    }

    #[test]
    fn claims_keep_every_byte_and_oddities_are_noted() {
        let claims = "{\"big\":123456789012345678901234567890, \"neg\":-0,\"exp\":1,\"exp\":2,\"x\":\"\\u00e9\"}";
        let decoded = decode(&token("{}", claims, "")).unwrap();
        assert_eq!(decoded.claims, claims);
        assert_eq!(decoded.notes, ["the claims part holds \"exp\" more than once"]);
        assert_eq!(Members::read(claims).unwrap().seconds("exp"), Some(2));
    }

    #[test]
    fn json_that_is_no_object_or_too_deep_is_refused() {
        for bad in ["[]", "1", "\"a\"", "{", "{\"a\":}", "{}x", "null"] {
            assert_eq!(code(&token("{}", bad, "")), Code::BadJson, "{bad}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(code(&token("{}", &deep, "")), Code::TooLarge);
        let strings = format!("{{\"a\":\"{}\"}}", "[".repeat(200));
        assert!(decode(&token("{}", &strings, "")).is_ok());
    }

    #[test]
    fn seconds_come_in_several_dresses() {
        assert_eq!(seconds("3599"), Some(3599));
        assert_eq!(seconds("\"3599\""), Some(3599));
        assert_eq!(seconds("1.9"), Some(1));
        assert_eq!(seconds("-1.5"), Some(-2));
        for odd in ["1e400", "\"never\"", "null", "[1]", "true"] {
            assert_eq!(seconds(odd), None, "{odd}");
        }
    }
}
