//! The person at the sign-in page: opens an address, fills in forms, presses buttons, follows where it leads.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::Error;

const STEPS: usize = 25;

/// How the person behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who signs in; none takes the first test user the page names.
    pub user: Option<String>,
    /// Their password; none takes the one the page names.
    pub password: Option<String>,
    /// The code a device shows, for the page that asks for it.
    pub user_code: Option<String>,
    /// Press Cancel on the first page that has it.
    pub decline: bool,
    /// Press Cancel on the consent page only.
    pub decline_consent: bool,
    /// Send this `state` to the redirect URI instead of the right one.
    pub wrong_state: Option<String>,
    /// Stop in front of the redirect URI, also when it is a loopback one.
    pub stop_at_redirect: bool,
    /// The certificate authority to trust for an https address.
    pub ca_pem: Option<String>,
    /// Give up after that long.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user: None,
            password: None,
            user_code: None,
            decline: false,
            decline_consent: false,
            wrong_state: None,
            stop_at_redirect: false,
            ca_pem: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was handed to a loopback redirect URI, which answered with this status.
    Delivered {
        /// The redirect URI with everything it was sent.
        url: String,
        /// Status of its page.
        status: u16,
        /// Its page.
        page: String,
    },
    /// A device's sign-in ended at a page that says how.
    Finished {
        /// The page's address.
        url: String,
        /// What it says.
        text: String,
    },
    /// The browser stands at an address that is not followed: what a person would copy.
    Landed {
        /// That address; of a posted answer, the fields as a query.
        url: String,
    },
}

impl Outcome {
    /// The address the answer went to.
    pub fn url(&self) -> &str {
        match self {
            Self::Delivered { url, .. } | Self::Finished { url, .. } | Self::Landed { url } => url,
        }
    }

    /// A parameter of the answer, from its query or fragment.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.url()).ok()?;
        let text = url.query().or_else(|| url.fragment())?;
        url::form_urlencoded::parse(text.as_bytes())
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.into_owned())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Landed { url } => f.write_str(url),
            Self::Finished { text, .. } => f.write_str(text),
            Self::Delivered { url, status, .. } => {
                let to = url.split(['?', '#']).next().unwrap_or(url);
                let what = if self.parameter("error").is_some() { "an error" } else { "a code" };
                write!(f, "delivered {what} to {to}, which answered {status}")
            }
        }
    }
}

/// Browses as a person would, with a fresh browser.
pub async fn browse(url: &str, options: &Options) -> Result<Outcome, Error> {
    Browser::default().browse(url, options).await
}

/// The same for callers without a runtime.
pub fn browse_blocking(url: &str, options: &Options) -> Result<Outcome, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Person(e.to_string()))?
        .block_on(browse(url, options))
}

/// One control request to an emulator elsewhere, by the value it printed: the body of a 200.
pub(crate) async fn control(value: &str, path: &str) -> Result<String, Error> {
    let wrong = || fail("that is no emulator's value: http://127.0.0.1:PORT/KEY".to_owned());
    let (origin, key) = value.trim().rsplit_once('/').ok_or_else(wrong)?;
    let url = Url::parse(&format!("{origin}/.emulator/{path}")).map_err(|_| wrong())?;
    let mut browser = Browser {
        key: Some(key.to_owned()),
        ..Browser::default()
    };
    let page = browser.fetch(&url, None, &Options::default()).await?;
    if page.status == 200 {
        return Ok(page.body);
    }
    Err(fail(format!("the emulator answers {}: {}", page.status, page.body)))
}

/// A browser that keeps its cookies, so that a second sign-in finds the first one's session.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    cookies: HashMap<String, String>,
    /// Sent as the emulator's key.
    key: Option<String>,
}

struct Page {
    status: u16,
    location: Option<String>,
    body: String,
}

enum Next {
    Get(Url),
    Post(Url, Vec<(String, String)>),
}

impl Browser {
    /// A browser without cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens an address and follows it to the end.
    pub async fn browse(&mut self, url: &str, options: &Options) -> Result<Outcome, Error> {
        let url = Url::parse(url).map_err(|e| fail(format!("{url}: {e}")))?;
        tokio::time::timeout(options.timeout, self.follow(url, options))
            .await
            .map_err(|_| fail("gave up: the page took too long".to_owned()))?
    }

    async fn follow(&mut self, start: Url, options: &Options) -> Result<Outcome, Error> {
        let home = start.origin();
        let mut next = Next::Get(start);
        for _ in 0..STEPS {
            let (target, fields) = match &next {
                Next::Get(url) => (url.clone(), None),
                Next::Post(url, fields) => (url.clone(), Some(fields.clone())),
            };
            if target.origin() != home {
                return self.arrive(target, fields, options).await;
            }
            let page = self.fetch(&target, fields.as_deref(), options).await?;
            next = if let Some(location) = &page.location {
                // `join` would drop what a relative reference does not say, so only those are joined.
                let to = Url::parse(location)
                    .or_else(|_| target.join(location))
                    .map_err(|e| fail(format!("redirected to {location}: {e}")))?;
                Next::Get(to)
            } else if let Some(text) = finished(&page) {
                return Ok(Outcome::Finished {
                    url: target.to_string(),
                    text,
                });
            } else {
                press(&page, &target, options)?
            };
        }
        Err(fail("gave up: the sign-in goes in circles".to_owned()))
    }

    /// At the redirect URI.
    async fn arrive(&self, mut target: Url, mut fields: Option<Vec<(String, String)>>, options: &Options) -> Result<Outcome, Error> {
        if let Some(wrong) = &options.wrong_state {
            tamper(&mut target, fields.as_mut(), wrong);
        }
        let mut shown = target.clone();
        if let Some(fields) = &fields {
            shown.query_pairs_mut().extend_pairs(fields);
        }
        let loopback = target.scheme() == "http" && matches!(target.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if !loopback || options.stop_at_redirect {
            return Ok(Outcome::Landed { url: shown.to_string() });
        }
        let page = Self::default().fetch(&target, fields.as_deref(), options).await?;
        Ok(Outcome::Delivered {
            url: shown.to_string(),
            status: page.status,
            page: page.body,
        })
    }

    async fn fetch(&mut self, url: &Url, fields: Option<&[(String, String)]>, options: &Options) -> Result<Page, Error> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(80);
        let bare = host.trim_matches(['[', ']']);
        let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((bare, port))
            .await
            .map_err(|e| fail(format!("{host}: {e}")))?
            .filter(|a| a.ip().is_loopback())
            .collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        if addresses.is_empty() {
            return Err(fail(format!("{host} is not on this machine")));
        }
        let stream = TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|e| fail(format!("{host}:{port}: {e}")))?;
        match url.scheme() {
            "http" => self.exchange(stream, url, fields).await,
            "https" => {
                let pem = options
                    .ca_pem
                    .as_deref()
                    .ok_or_else(|| fail("an https address needs --ca-file".to_owned()))?;
                let name = ServerName::try_from(bare.to_owned()).map_err(|e| fail(format!("{host}: {e}")))?;
                let stream = connector(pem)?
                    .connect(name, stream)
                    .await
                    .map_err(|e| fail(format!("{host}:{port}: {e}")))?;
                self.exchange(stream, url, fields).await
            }
            other => Err(fail(format!("cannot open a {other} address"))),
        }
    }

    async fn exchange(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        url: &Url,
        fields: Option<&[(String, String)]>,
    ) -> Result<Page, Error> {
        let wrong = |e: &dyn std::fmt::Display| fail(format!("{}: {e}", url.origin().ascii_serialization()));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| wrong(&e))?;
        let task = tokio::spawn(connection);
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let authority = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut request = hyper::Request::builder()
            .uri(path)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .header(header::USER_AGENT, "defender-emulator person");
        if !self.cookies.is_empty() {
            let cookies: Vec<String> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if let Some(key) = &self.key {
            request = request.header("x-emulator-key", key);
        }
        let body = match fields {
            None => Bytes::new(),
            Some(fields) => {
                request = request
                    .method(Method::POST)
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(fields)
                    .finish()
                    .into()
            }
        };
        let request = request.body(Full::new(body)).map_err(|e| wrong(&e))?;
        let response = sender.send_request(request).await.map_err(|e| wrong(&e))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| wrong(&e))?.to_bytes();
        task.abort();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|c| c.split(';').next());
            if let Some((name, value)) = pair.and_then(|p| p.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(Page {
            status: parts.status.as_u16(),
            location: parts
                .status
                .is_redirection()
                .then(|| parts.headers.get(header::LOCATION))
                .flatten()
                .and_then(|l| l.to_str().ok())
                .map(str::to_owned),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

fn fail(text: String) -> Error {
    Error::Person(text)
}

fn connector(pem: &str) -> Result<TlsConnector, Error> {
    let wrong = |e: &dyn std::fmt::Display| fail(format!("certificate authority: {e}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn tamper(target: &mut Url, fields: Option<&mut Vec<(String, String)>>, wrong: &str) {
    let change = |pairs: Vec<(String, String)>| -> Vec<(String, String)> {
        pairs
            .into_iter()
            .map(|(k, v)| {
                let v = if k == "state" { wrong.to_owned() } else { v };
                (k, v)
            })
            .collect()
    };
    if let Some(fields) = fields {
        *fields = change(std::mem::take(fields));
        return;
    }
    let encode = |text: &str| {
        let pairs = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(change(pairs))
            .finish()
    };
    let query = target.query().map(encode);
    let fragment = target.fragment().map(encode);
    target.set_query(query.as_deref());
    target.set_fragment(fragment.as_deref());
}

/// What a device's last page says.
fn finished(page: &Page) -> Option<String> {
    let rest = page.body.split(r#"<p class="done" role="status">"#).nth(1)?;
    Some(unescape(rest.split("</p>").next()?))
}

/// Reads a page and decides which button to press.
fn press(page: &Page, at: &Url, options: &Options) -> Result<Next, Error> {
    let form = form(&page.body);
    let Some(form) = form else {
        let text = text_of(&page.body);
        let text = text.find("AADSTS").map_or(text.as_str(), |start| &text[start..]);
        let text: String = text.chars().take(300).collect();
        return Err(fail(format!(
            "the page shows an error ({}): {}",
            page.status,
            text.split(" Troubleshooting").next().unwrap_or(&text)
        )));
    };
    let action = if form.action.is_empty() {
        at.clone()
    } else {
        at.join(&form.action)
            .map_err(|e| fail(format!("form action {}: {e}", form.action)))?
    };
    let has = |value: &str| form.buttons.iter().any(|(_, v)| v == value);
    let mut fields: Vec<(String, String)> = form
        .inputs
        .iter()
        .filter(|i| i.kind == "hidden")
        .map(|i| (i.name.clone(), i.value.clone()))
        .collect();
    if form.inputs.iter().any(|i| i.name == "otc") {
        if page.body.contains(r#"class="alert""#) {
            return Err(fail(
                "the page says: The code is not known here, or too old. Type it again.".to_owned(),
            ));
        }
        let typed = form.inputs.iter().find(|i| i.name == "otc").map(|i| i.value.clone());
        let code = options
            .user_code
            .clone()
            .or(typed.filter(|t| !t.is_empty()))
            .ok_or_else(|| fail("the page asks for a device's code: give it with --code".to_owned()))?;
        return Ok(Next::Post(
            action,
            vec![("action".to_owned(), "next".to_owned()), ("otc".to_owned(), code)],
        ));
    }
    // A posted answer: nothing to decide.
    if action.origin() != at.origin() || form.buttons.is_empty() || !has("cancel") {
        return Ok(Next::Post(action, fields));
    }
    let mut pressed = |name: &str| fields.push(("action".to_owned(), name.to_owned()));
    if options.decline || (options.decline_consent && (has("accept") || has("continue"))) {
        pressed("cancel");
        return Ok(Next::Post(action, fields));
    }
    if has("accept") {
        pressed("accept");
    } else if has("continue") {
        pressed("continue");
    } else if has("approve") {
        pressed("approve");
    } else if form.inputs.iter().any(|i| i.kind == "password") {
        if page.body.contains(r#"class="alert""#) {
            let text = text_of(&page.body);
            let text = text.find("Your account").map_or("", |start| &text[start..]);
            let text: String = text.split(" User name").next().unwrap_or(text).chars().take(200).collect();
            return Err(fail(format!("the page says: {text}")));
        }
        let known = marked(&page.body);
        let typed = form
            .inputs
            .iter()
            .find(|i| i.name == "login")
            .map(|i| i.value.clone())
            .filter(|v| !v.is_empty());
        let user = options
            .user
            .clone()
            .or(typed)
            .or_else(|| known.first().map(|(user, _)| user.clone()))
            .ok_or_else(|| fail("no user name given, and the page names none".to_owned()))?;
        let password = options
            .password
            .clone()
            .or_else(|| {
                known
                    .iter()
                    .find(|(u, _)| u.eq_ignore_ascii_case(&user))
                    .map(|(_, password)| password.clone())
            })
            .ok_or_else(|| fail(format!("no password given for {user}")))?;
        pressed("signin");
        fields.push(("login".to_owned(), user));
        fields.push(("password".to_owned(), password));
    } else if let Some((_, pick)) = form.buttons.iter().find(|(_, value)| {
        value
            .strip_prefix("pick:")
            .is_some_and(|name| options.user.as_deref().is_none_or(|user| user.eq_ignore_ascii_case(name)))
    }) {
        pressed(pick);
    } else if form.buttons.iter().any(|(_, v)| v.starts_with("pick:")) {
        pressed("other");
    } else {
        let text = text_of(&page.body);
        return Err(fail(format!(
            "the page cannot be answered: {}",
            text.chars().take(300).collect::<String>()
        )));
    }
    Ok(Next::Post(action, fields))
}

struct Form {
    action: String,
    inputs: Vec<Input>,
    buttons: Vec<(String, String)>,
}

struct Input {
    name: String,
    kind: String,
    value: String,
}

/// The first form of a page. Enough HTML for the emulator's own pages.
fn form(page: &str) -> Option<Form> {
    let start = page.find("<form")?;
    let body = &page[start..];
    let body = &body[..body.find("</form>").unwrap_or(body.len())];
    let mut form = Form {
        action: String::new(),
        inputs: Vec::new(),
        buttons: Vec::new(),
    };
    for tag in body.split('<').skip(1) {
        let (name, rest) = tag.split_at(tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len()));
        match name {
            "form" => form.action = attribute(rest, "action").unwrap_or_default(),
            "input" => form.inputs.push(Input {
                name: attribute(rest, "name").unwrap_or_default(),
                kind: attribute(rest, "type").unwrap_or_else(|| "text".to_owned()),
                value: attribute(rest, "value").unwrap_or_default(),
            }),
            "button" => form.buttons.push((
                attribute(rest, "name").unwrap_or_default(),
                attribute(rest, "value").unwrap_or_default(),
            )),
            _ => {}
        }
    }
    Some(form)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = &tag[..tag.find('>').unwrap_or(tag.len())];
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = &tag[start..];
    Some(unescape(&value[..value.find('"')?]))
}

/// The test users a page names, with their passwords.
fn marked(page: &str) -> Vec<(String, String)> {
    let values = |mark: &str| -> Vec<String> {
        page.split(mark)
            .skip(1)
            .map(|rest| unescape(rest.split('<').next().unwrap_or_default()))
            .collect()
    };
    values("<code data-user>").into_iter().zip(values("<code data-password>")).collect()
}

/// What a page reads like.
fn text_of(page: &str) -> String {
    let page = page.split("<body>").nth(1).unwrap_or(page);
    let mut text = String::new();
    let mut inside = false;
    for c in page.chars() {
        match c {
            '<' => {
                inside = true;
                text.push(' ');
            }
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    unescape(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&rsquo;", "\u{2019}")
        .replace("&amp;", "&")
}
