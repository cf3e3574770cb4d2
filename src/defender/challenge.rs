//! Claims challenges of an API: a 401 whose `WWW-Authenticate` says which claims the token lacks (Microsoft identity platform, "Claims challenges, claims
//! requests, and client capabilities"; the header's grammar is RFC 9110 section 11.6.1).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::transport::Response;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// The claims asked for, as the JSON text of a claims request.
pub fn claims(response: &Response) -> Option<String> {
    response
        .headers
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .find_map(|(_, value)| of_header(value))
}

fn of_header(header: &str) -> Option<String> {
    let parameters = parameters(header);
    let value = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    if value("error") != Some("insufficient_claims") {
        return None;
    }
    let encoded: String = value("claims")?.chars().filter(|c| !c.is_whitespace()).collect();
    let alphabet = if encoded.contains(['-', '_']) {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    let bytes = GeneralPurpose::new(alphabet, LENIENT).decode(encoded).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    serde_json::from_str::<serde_json::Value>(&text).ok()?.is_object().then_some(text)
}

/// The parameters of a header with one or more challenges, in its order: `Bearer realm="", error="x", claims="y"`.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((name, behind)) = rest.split_once('=') {
        // A scheme may stand before the name.
        let name = name.trim().rsplit([' ', ',', '\t']).next().unwrap_or_default().to_owned();
        let behind = behind.trim_start();
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted),
            None => {
                let end = behind.find([',', ' ']).unwrap_or(behind.len());
                let (value, behind) = behind.split_at(end);
                (value.to_owned(), behind)
            }
        };
        found.push((name, value));
        rest = behind;
    }
    found
}

/// The text up to the closing quote, and what is behind it.
fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_in_the_forms_services_write_them() {
        let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;
        let base64 = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ==";
        for header in [
            format!(
                r#"Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", error="insufficient_claims", claims="{base64}""#
            ),
            format!(r#"Bearer error="insufficient_claims",claims="{}""#, base64.trim_end_matches('=')),
            format!(r#"Basic realm="a, \"b=c\"", Bearer claims="{base64}", error="insufficient_claims""#),
            format!("Bearer error=insufficient_claims, claims={}", base64.trim_end_matches('=')),
        ] {
            assert_eq!(of_header(&header).as_deref(), Some(claims), "{header}");
        }
        for header in [
            String::new(),
            "Bearer".to_owned(),
            format!(r#"Bearer error="invalid_token", claims="{base64}""#),
            r#"Bearer error="insufficient_claims""#.to_owned(),
            r#"Bearer error="insufficient_claims", claims="%%%""#.to_owned(),
            r#"Bearer error="insufficient_claims", claims="W10=""#.to_owned(),
            r#"Bearer error="insufficient_claims", claims=""#.to_owned(),
        ] {
            assert_eq!(of_header(&header), None, "{header}");
        }
    }
}
