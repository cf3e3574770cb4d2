//! JSON objects as the library takes them in: from callers, whose typos must not be silent, and from servers.

use serde::Deserialize;

use crate::error::{Code, Error, Result};

/// The largest document of a caller, in bytes.
const LIMIT: usize = 1 << 20;

/// Reads a caller's document; an empty one is all defaults. What is wrong with it is told by the parser, which names the key.
pub fn from_caller<'a, T: Deserialize<'a> + Default>(json: &'a [u8], what: &str) -> Result<T> {
    if json.is_empty() {
        return Ok(T::default());
    }
    if json.len() > LIMIT {
        return Err(Error::new(Code::TooLarge, format!("the {what} is larger than 1 MiB")));
    }
    let text = std::str::from_utf8(json).map_err(|_| Error::new(Code::BadUtf8, format!("the {what} is not valid UTF-8")))?;
    let wrong = |why: &str| {
        Error::argument(
            format!("the {what} is not right: {why}"),
            "the header describes the keys of each document; unknown keys are errors, so that a typo is not silent",
        )
    };
    if !is_object(json) {
        return Err(wrong("it is not a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))
}

/// Reads a server's answer; a byte order mark is passed over. `None` if it is not such an object.
pub fn from_server<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    if is_object(json) { serde_json::from_slice(json).ok() } else { None }
}

/// A parser of structures takes an array for one, value by value; nobody who writes one means that.
fn is_object(json: &[u8]) -> bool {
    json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Default, Debug)]
    #[serde(default, deny_unknown_fields)]
    struct Document {
        name: Option<String>,
    }

    #[test]
    fn only_objects_of_known_keys_are_taken() {
        assert_eq!(
            from_caller::<Document>(b" {\"name\":\"x\"}", "thing").unwrap().name.as_deref(),
            Some("x")
        );
        assert!(from_caller::<Document>(b"", "thing").unwrap().name.is_none());
        for bad in [
            "[]",
            "[\"x\"]",
            "null",
            "1",
            "\"x\"",
            "{",
            "{\"nmae\":\"x\"}",
            "{\"name\":1}",
            "{} {}",
        ] {
            assert_eq!(
                from_caller::<Document>(bad.as_bytes(), "thing").unwrap_err().code(),
                Code::BadArgument,
                "{bad}"
            );
        }
        assert!(from_server::<Document>(b"[\"x\"]").is_none());
        assert!(from_server::<Document>(b"\xef\xbb\xbf{}").is_some());
    }
}
