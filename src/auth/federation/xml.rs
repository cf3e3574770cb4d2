//! XML as a provider sends it: read with a limit on its size and its nodes, and without a document type, so that nothing is expanded or fetched.

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::{Code, Error, Result};
use crate::transport::Response;

/// The most elements, attributes and texts that are read. AD FS' metadata in MSAL's tests has some 1,500.
const MOST_NODES: u32 = 100_000;

pub const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
pub const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
pub const POLICY: &str = "http://schemas.xmlsoap.org/ws/2004/09/policy";
pub const UTILITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";

/// Reads a document; `None` if it is not well formed, has a document type, or is too large.
pub fn parse(text: &str) -> Option<Document<'_>> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).ok()
}

/// The text of an answer.
pub fn text_of(response: &Response) -> Option<&str> {
    std::str::from_utf8(&response.body).ok()
}

/// The children of that name.
pub fn children<'a, 'i: 'a>(node: Node<'a, 'i>, namespace: &'a str, name: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| is(*child, namespace, name))
}

/// The first child of that name.
pub fn child<'a, 'i: 'a>(node: Node<'a, 'i>, namespace: &'a str, name: &'a str) -> Option<Node<'a, 'i>> {
    children(node, namespace, name).next()
}

/// True for an element of that name.
pub fn is(node: Node<'_, '_>, namespace: &str, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name && node.tag_name().namespace() == Some(namespace)
}

/// Writes a text so that it can stand in an element or in an attribute (XML 1.0 section 2.4). What XML cannot carry at all is refused.
pub fn escaped(text: &str, into: &mut String) -> Result<()> {
    for c in text.chars() {
        match c {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&apos;"),
            // A reader would make a line feed of it.
            '\r' => into.push_str("&#13;"),
            '\t' | '\n' | '\u{20}'..='\u{FFFD}' | '\u{10000}'.. => into.push(c),
            _ => {
                return Err(Error::argument(
                    "the user name or password holds a character that WS-Trust cannot carry",
                    "a control character is not possible here: check what was pasted",
                ));
            }
        }
    }
    Ok(())
}

/// The most bytes that [`escaped`] makes of one.
pub const LONGEST_ESCAPE: usize = 6;

/// A provider's answer that is not what it should be.
pub fn not_understood(host: &str, status: u16, what: &str) -> Error {
    Error::new(
        Code::ServerError,
        format!("the federation service {host} did not answer with {what} (HTTP {status})"),
    )
    .with_status(status)
    .with_hint("tell whoever runs the federation of the domain; or sign in with a browser (grant authorization_code)")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_expands_or_never_ends_is_not_read() {
        assert!(parse("<a><b/></a>").is_some());
        for bad in [
            "",
            "<a>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
            "<a>&x;</a>",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        // What nests deep takes no stack, and what is long ends.
        let deep = 90_000;
        let text = format!("{}{}", "<a>".repeat(deep), "</a>".repeat(deep));
        assert_eq!(parse(&text).unwrap().root_element().descendants().count(), deep);
        assert!(parse(&format!("<a>{}</a>", "<b/>".repeat(150_000))).is_none());
    }

    #[test]
    fn what_is_escaped_is_read_back() {
        for text in ["p<>&\"'w", " two  spaces ", "line\r\nfeed\t", "\u{e4}\u{1f511}", "]]>", "&amp;"] {
            let mut written = String::new();
            escaped(text, &mut written).unwrap();
            assert!(written.len() <= text.len() * LONGEST_ESCAPE);
            let document = format!("<a>{written}</a>");
            assert_eq!(parse(&document).unwrap().root_element().text().unwrap_or_default(), text);
        }
        for bad in ["\0", "\u{1b}", "\u{FFFE}"] {
            assert!(escaped(bad, &mut String::new()).is_err());
        }
    }
}
