//! XML as a provider sends it: read without a document type, so that nothing is expanded or fetched, and with limits on all that reading takes more than its
//! length in time for: nodes, depth, attributes, and namespaces, whose cost is cubic where each element declares another.

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::{Code, Error, Result};
use crate::transport::Response;

/// The most elements, attributes and texts that are read. AD FS' metadata in MSAL's tests has some 1,500.
const MOST_NODES: u32 = 100_000;
/// The deepest an element may stand. AD FS' metadata goes to 14.
const DEEPEST: usize = 100;
/// The most attributes of one element. AD FS' metadata has 19.
const MOST_ATTRIBUTES: usize = 256;
/// The most namespace declarations that hold at one place. AD FS' metadata has some 20.
const MOST_IN_SCOPE: usize = 100;
/// The most namespace declarations in all. AD FS' metadata has some 150; an assertion may have two for each value in it.
const MOST_DECLARED: usize = 5_000;

pub const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
pub const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
pub const POLICY: &str = "http://schemas.xmlsoap.org/ws/2004/09/policy";
pub const UTILITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";

/// Reads a document; `None` if it is not well formed, has a document type, or is too large or too deep.
pub fn parse(text: &str) -> Option<Document<'_>> {
    if !is_cheap(text) {
        return None;
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).ok()
}

/// True if a document keeps to the limits. As far as it is well formed it is read here as the parser reads it; beyond that the parser does not get.
fn is_cheap(text: &str) -> bool {
    let after = |rest: &str, opens: usize, closes: &str| Some(opens + rest.get(opens..)?.find(closes)? + closes.len());
    let (mut rest, mut scopes, mut declared) = (text, Vec::<usize>::new(), 0);
    while let Some(tag) = rest.find('<').and_then(|at| rest.get(at..)) {
        let end = if tag.starts_with("<!--") {
            after(tag, 4, "-->")
        } else if tag.starts_with("<![CDATA[") {
            after(tag, 9, "]]>")
        } else if tag.starts_with("<?") {
            after(tag, 2, "?>")
        } else if tag.starts_with("</") {
            scopes.pop();
            after(tag, 2, ">")
        } else {
            start_tag(tag)
                .filter(|start| {
                    let own = start.names.iter().filter(|name| name.starts_with("xmlns")).count();
                    let in_scope = scopes.last().copied().unwrap_or_default() + own;
                    declared += own;
                    if !start.is_empty {
                        scopes.push(in_scope);
                    }
                    start.names.len() <= MOST_ATTRIBUTES
                        && scopes.len() <= DEEPEST
                        && in_scope <= MOST_IN_SCOPE
                        && declared <= MOST_DECLARED
                })
                .map(|start| start.len)
        };
        match end.and_then(|end| tag.get(end..)) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    true
}

/// The tag that begins an element.
pub struct StartTag<'a> {
    /// Its length in bytes.
    pub len: usize,
    /// The names of its attributes and namespace declarations, as written.
    pub names: Vec<&'a str>,
    /// True if the element ends with it.
    pub is_empty: bool,
}

/// The tag that `text` begins with; `None` if it does not end.
pub fn start_tag(text: &str) -> Option<StartTag<'_>> {
    let (mut names, mut quote, mut from, mut last) = (Vec::new(), None, 1, '<');
    for (at, c) in text.char_indices().skip(1) {
        if quote.is_some() {
            if quote == Some(c) {
                (quote, from) = (None, at + 1);
            }
            continue;
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '=' => names.extend(text.get(from..at)?.split_ascii_whitespace().next_back()),
            '>' => {
                return Some(StartTag {
                    len: at + 1,
                    names,
                    is_empty: last == '/',
                });
            }
            _ => {}
        }
        last = c;
    }
    None
}

/// The text of an element, whatever comments stand in it; `None` if it is empty or holds elements.
pub fn text(node: Node<'_, '_>) -> Option<String> {
    let text: String = node
        .children()
        .filter_map(|child| child.text().filter(|_| child.is_text()))
        .collect();
    (!text.is_empty() && !node.children().any(|child| child.is_element())).then_some(text)
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
        let nested = |deep: usize| format!("{}{}", "<a>".repeat(deep), "</a>".repeat(deep));
        assert!(parse(&nested(DEEPEST)).is_some());
        assert!(parse(&nested(DEEPEST + 1)).is_none() && parse(&nested(90_000)).is_none());
        assert!(parse(&format!("<a>{}</a>", "<b/>".repeat(150_000))).is_none());
    }

    #[test]
    fn what_would_take_long_is_not_read() {
        let names = |count: usize| (0..count).map(|n| format!(" xmlns:n{n}='u'")).collect::<String>();
        let attributes = |count: usize| (0..count).map(|n| format!(" n{n}='>'")).collect::<String>();
        for (most, document) in [
            (
                MOST_IN_SCOPE,
                Box::new(|n| format!("<a{}/>", names(n))) as Box<dyn Fn(usize) -> String>,
            ),
            (MOST_IN_SCOPE, Box::new(|n| format!("<a{}><b xmlns='u'/></a>", names(n - 1)))),
            (MOST_ATTRIBUTES, Box::new(|n| format!("<a{}/>", attributes(n)))),
            (MOST_DECLARED, Box::new(|n| format!("<a>{}</a>", "<b xmlns:c='u'></b>".repeat(n)))),
        ] {
            assert!(parse(&document(most)).is_some());
            assert!(parse(&document(most + 1)).is_none());
        }
        // What only looks like it costs nothing.
        let shown = format!(
            "<a{}>{}</a>",
            names(1),
            nested_in("<!-- ", " -->") + &nested_in("<![CDATA[", "]]>") + &nested_in("<?p ", "?>")
        );
        assert!(parse(&shown).is_some());
        for (open, close) in [("<!-- ", ""), ("<![CDATA[", ""), ("<?p ", ""), ("<b c='", "")] {
            assert!(parse(&format!("<a>{open}{close}")).is_none());
        }
    }

    fn nested_in(open: &str, close: &str) -> String {
        format!("{open}{}{close}", "<b xmlns:c='u'>".repeat(2 * MOST_IN_SCOPE))
    }

    #[test]
    fn a_text_is_read_whole() {
        for (document, text_of) in [
            ("<a>b</a>", Some("b")),
            ("<a>b<!-- x -->c<?p?>d<![CDATA[<e>]]></a>", Some("bcd<e>")),
            ("<a/>", None),
            ("<a>b<c/>d</a>", None),
        ] {
            assert_eq!(text(parse(document).unwrap().root_element()).as_deref(), text_of, "{document}");
        }
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
