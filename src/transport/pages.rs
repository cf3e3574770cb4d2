//! What a browser shows when it came back to a port of this machine: pages of the library's own, or of the caller's.
//!
//! Whoever writes them, they run no script and load nothing, and nobody can frame them.

use crate::error::{Error, Result};

/// The longest page of a caller's, in bytes.
const PAGE_LIMIT: usize = 64 << 10;
/// Stands in a caller's page for what went wrong.
const MESSAGE: &str = "{message}";

/// The pages at the end of a sign-in.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    success: Option<String>,
    failure: Option<String>,
}

impl Pages {
    /// Pages of the caller's, as HTML; `None` is the library's own.
    ///
    /// # Errors
    ///
    /// `BAD_ARGUMENT` for an empty page or one of more than 64 KiB.
    pub fn new(success: Option<String>, failure: Option<String>) -> Result<Pages> {
        for (name, page) in [("success_page", &success), ("failure_page", &failure)] {
            if page.as_ref().is_some_and(|page| page.trim().is_empty() || page.len() > PAGE_LIMIT) {
                return Err(Error::argument(
                    format!("{name} is empty or longer than {PAGE_LIMIT} bytes"),
                    "give the page's HTML, or leave it out",
                ));
            }
        }
        Ok(Pages { success, failure })
    }

    /// The answer after a sign-in.
    pub fn success(&self) -> String {
        match &self.success {
            Some(html) => response("200 OK", html),
            None => response(
                "200 OK",
                &built_in("ok", "You are signed in", "You can close this window and return to your program."),
            ),
        }
    }

    /// The answer after one that failed; `message` is text from outside.
    pub fn failure(&self, message: &str) -> String {
        match &self.failure {
            Some(html) => response("200 OK", &html.replace(MESSAGE, &escape(message))),
            None => response("200 OK", &built_in("failed", "Sign-in did not succeed", message)),
        }
    }
}

/// An answer to a request that is not the redirect.
pub fn page(status: &str, title: &str, text: &str) -> String {
    response(status, &built_in("other", title, text))
}

fn built_in(kind: &str, title: &str, text: &str) -> String {
    let sign = match kind {
        "ok" => "&#10003;",
        "failed" => "!",
        _ => "?",
    };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><link rel=\"icon\" href=\"data:,\"><style>{}</style></head><body class=\"{kind}\"><main><p class=\"sign\" aria-hidden=\"true\">{sign}</p><h1>{title}</h1><p>{}</p></main></body></html>",
        include_str!("pages.css"),
        escape(text)
    )
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_page_keeps_the_policy_and_gets_the_message_as_text() {
        let pages = Pages::new(Some("<p>done".into()), Some("<p title='x'>{message}</p>{message}".into())).unwrap();
        assert!(pages.success().ends_with("\r\n\r\n<p>done"));
        let failed = pages.failure("<script>alert('1')</script>");
        assert!(failed.contains("default-src 'none'") && !failed.contains("<script>"), "{failed}");
        assert_eq!(failed.matches("alert(&#39;1&#39;)").count(), 2);
        assert!(Pages::new(Some(" ".into()), None).is_err());
        assert!(
            Pages::new(None, Some("x".repeat(PAGE_LIMIT + 1)))
                .unwrap_err()
                .message()
                .contains("failure_page")
        );
    }
}
