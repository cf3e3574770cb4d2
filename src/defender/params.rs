//! The keys of a call's document, taken one by one; what is left over is a typo.

use serde_json::value::RawValue;

use super::time;
use crate::claims::Members;
use crate::error::{Code, Error, Result};

/// The largest document of a call, in bytes: a long list of indicators is one.
const LIMIT: usize = 16 << 20;

/// A document of which every key has to be used.
pub struct Params {
    members: Vec<(String, Box<RawValue>, bool)>,
}

impl Params {
    /// Reads the document; an empty one has no keys.
    pub fn read(json: &[u8]) -> Result<Params> {
        if json.len() > LIMIT {
            return Err(Error::new(Code::TooLarge, "the call is larger than 16 MiB").with_hint("send the records in several calls"));
        }
        let text = std::str::from_utf8(json).map_err(|_| Error::new(Code::BadUtf8, "the call is not valid UTF-8"))?;
        if text.is_empty() {
            return Ok(Params { members: Vec::new() });
        }
        let wrong = |why: String| {
            Error::argument(
                format!("the call is not right: {why}"),
                "the header describes the keys of each call",
            )
        };
        let Some(read) = Members::read(text) else {
            let why = match serde_json::from_str::<&RawValue>(text) {
                Err(error) => error.to_string(),
                Ok(_) => "it is not a JSON object".to_owned(),
            };
            return Err(wrong(why));
        };
        let mut members: Vec<(String, Box<RawValue>, bool)> = Vec::with_capacity(read.0.len());
        for (name, value) in read.0 {
            if members.iter().any(|(have, _, _)| *have == name) {
                return Err(wrong(format!("it holds \"{name}\" twice")));
            }
            members.push((name.into_owned(), value.to_owned(), false));
        }
        Ok(Params { members })
    }

    /// A value as it was written, `null` included.
    pub fn raw(&mut self, name: &str) -> Option<&RawValue> {
        let (_, value, used) = self.members.iter_mut().find(|(have, _, _)| have == name)?;
        *used = true;
        Some(value)
    }

    fn typed<T: serde::de::DeserializeOwned>(&mut self, name: &str, is: &str) -> Result<Option<T>> {
        match self.raw(name).map(RawValue::get) {
            None | Some("null") => Ok(None),
            Some(text) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Error::argument(format!("\"{name}\" is not {is}"), format!("give \"{name}\" as {is}"))),
        }
    }

    /// A text; empty or `null` counts as absent.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        Ok(self.typed::<String>(name, "a text")?.filter(|text| !text.trim().is_empty()))
    }

    /// A text that is a wish: an empty one would look like a wish for everything.
    pub fn wish(&mut self, name: &str) -> Result<Option<String>> {
        let text = self.typed::<String>(name, "a text")?;
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(empty(name));
        }
        Ok(text)
    }

    /// A text that has to be there.
    pub fn need(&mut self, name: &str, hint: &str) -> Result<String> {
        self.text(name)?
            .ok_or_else(|| self.missing(name, &format!("the call names no {name}"), hint))
    }

    /// The id of what a path names. The two that a path takes for a folder are none: they would lead to another address.
    pub fn id(&mut self, hint: &str) -> Result<String> {
        let id = self.need("id", hint)?;
        if id == "." || id == ".." {
            return Err(Error::argument(format!("\"{id}\" is no id"), hint));
        }
        Ok(id)
    }

    /// The error for a key that has to be there. One that differs in case only is the likelier cause.
    pub fn missing(&self, name: &str, message: &str, hint: &str) -> Error {
        match self.members.iter().find(|(have, _, used)| !used && have.eq_ignore_ascii_case(name)) {
            Some((have, _, _)) => unknown(have),
            None => Error::argument(message, hint),
        }
    }

    /// A text, or a list of them.
    pub fn texts_or_none(&mut self, name: &str) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum OneOrMore {
            One(String),
            More(Vec<String>),
        }
        Ok(match self.typed(name, "a text or a list of texts")? {
            None => Vec::new(),
            Some(OneOrMore::One(text)) => vec![text],
            Some(OneOrMore::More(texts)) => texts,
        })
    }

    /// The same for a wish: an empty list, or an empty text in it, would look like one for everything.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        let texts = self.people(name)?;
        if texts.iter().any(|text| text.trim().is_empty()) {
            return Err(empty(name));
        }
        Ok(texts)
    }

    /// The same where an empty text is a wish of its own: what nobody owns.
    pub fn people(&mut self, name: &str) -> Result<Vec<String>> {
        let texts = self.texts_or_none(name)?;
        if texts.is_empty() && self.raw(name).is_some_and(|raw| raw.get() != "null") {
            return Err(Error::argument(
                format!("\"{name}\" is an empty list, which asks for nothing"),
                format!("give \"{name}\" at least one value, or leave it out where it is not to matter"),
            ));
        }
        Ok(texts)
    }

    /// A whole number from `least` to `most`.
    pub fn number(&mut self, name: &str, least: i64, most: i64, hint: &str) -> Result<Option<i64>> {
        match self.typed::<i64>(name, "a whole number")? {
            Some(value) if value < least || value > most => Err(Error::argument(
                if most == i64::MAX {
                    format!("{name} is {value}, less than {least}")
                } else {
                    format!("{name} is {value}, outside {least} to {most}")
                },
                hint,
            )),
            value => Ok(value),
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        Ok(self.typed(name, "true or false")?.unwrap_or(default))
    }

    /// One of a few names; the first is the default.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<T> {
        let given = self.text(name)?;
        let found = match &given {
            None => choices.first(),
            Some(given) => choices.iter().find(|(choice, _)| choice == given),
        };
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            Error::argument(
                format!("{name} \"{}\" is not known", given.unwrap_or_default()),
                format!("use one of {}", names.join(", ")),
            )
        })
    }

    /// A time: ISO 8601, or Unix seconds.
    pub fn time(&mut self, name: &str) -> Result<Option<time::Ticks>> {
        let wrong = || {
            Error::argument(
                format!("\"{name}\" is no time"),
                "write it as 2026-11-21T08:00:00Z (a time without a zone is UTC), or as Unix seconds",
            )
        };
        match self.raw(name).map(RawValue::get) {
            None | Some("null") => Ok(None),
            Some(raw) => match serde_json::from_str::<serde_json::Value>(raw) {
                Ok(serde_json::Value::String(text)) => time::parse(text.trim()).map(Some).ok_or_else(wrong),
                Ok(serde_json::Value::Number(number)) => number
                    .as_i64()
                    .and_then(|seconds| seconds.checked_mul(time::SECOND))
                    .map(Some)
                    .ok_or_else(wrong),
                _ => Err(wrong()),
            },
        }
    }

    /// Fails if a key was not used.
    pub fn done(&self) -> Result<()> {
        match self.members.iter().find(|(_, _, used)| !used) {
            None => Ok(()),
            Some((name, _, _)) => Err(unknown(name)),
        }
    }
}

fn empty(name: &str) -> Error {
    Error::argument(
        format!("\"{name}\" is empty, which asks for nothing"),
        format!("give \"{name}\" a value, or leave it out where it is not to matter"),
    )
}

fn unknown(name: &str) -> Error {
    Error::argument(
        format!("the call is not right: unknown field `{name}`"),
        "the header describes the keys of each call; unknown keys are errors, so that a typo is not silent",
    )
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_nobody_takes_is_named() {
        let mut params = Params::read(br#"{"a":"x","b":3,"c":null,"t":1,"tt":"2026-01-01"}"#).unwrap();
        assert_eq!(params.text("a").unwrap().as_deref(), Some("x"));
        assert_eq!(params.number("b", 1, 5, "").unwrap(), Some(3));
        assert_eq!(params.text("c").unwrap(), None);
        assert_eq!(params.time("t").unwrap(), Some(time::SECOND));
        assert!(params.done().unwrap_err().message().contains("`tt`"));
        assert!(params.time("tt").unwrap().is_some());
        params.done().unwrap();
        assert_eq!(params.text("b").unwrap_err().code(), Code::BadArgument);
        assert!(params.number("b", 4, 5, "").is_err() && params.time("a").is_err());
        for bad in ["[]", "{", "null", "{\"a\":1,\"a\":2}", "{} x"] {
            assert_eq!(Params::read(bad.as_bytes()).err().unwrap().code(), Code::BadArgument, "{bad}");
        }
    }
}
