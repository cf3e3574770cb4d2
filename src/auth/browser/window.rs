//! The app window: a sign-in in a browser of our own, whose way back to the redirect URI is caught before it leaves the machine.
//!
//! Every document is paused twice, before its request is sent and when its answer is there, so that an https redirect URI is seen in the
//! `Location` that leads to it, or in the script or posted form that does. A URI that no browser loads (`urn:`, custom schemes) is seen in the
//! navigation that the browser announces.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::devtools::{DevTools, Message};
use super::installed::Browser;
use super::is_landing;
use super::program::{Program, START_PAGE};
use crate::auth::Env;
use crate::transport::Call;

/// How long a browser may take until its window is there.
const START_TIME: Duration = Duration::from_secs(20);

/// How often a window is told again where to go.
const NAVIGATIONS: u32 = 3;

/// The page shown in place of a landing that was not the answer.
const REFUSED: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Not the answer</title><body style=\"font:16px/1.5 system-ui,sans-serif;margin:18vh auto;max-width:24rem;padding:0 1.5rem\"><h1 style=\"font-size:1.4rem\">This is not the answer that was expected</h1><p>The sign-in is still waiting: go back, or close this window and start again.</p>";

/// What comes back at the redirect URI, not judged yet.
pub struct Landed {
    /// The whole address, with its query and fragment.
    pub address: Zeroizing<String>,
    /// The form posted to it.
    pub form: Option<Zeroizing<String>>,
    /// The request that waits for what becomes of it: its session and number.
    paused: Option<(String, String)>,
}

/// What happened in the window.
pub enum Seen {
    /// The browser is about to go to the redirect URI.
    Landed(Landed),
    /// The sign-in service shows an error that leads nowhere. The text begins with its number, `AADSTS50011: ...`.
    DeadEnd(String),
    /// A page could not be loaded, with the browser's word for it.
    NotLoaded(String),
    /// The browser does not go where it is told.
    Stuck,
    /// The person closed the window, or the browser is gone.
    Closed,
}

/// What a command was sent for.
enum Sent {
    Navigation(String),
    /// A world of our own in a page, to look at it from.
    World(String),
    /// A look at a page.
    Look,
}

/// An open app window. Dropping it closes it, ends the browser and removes its profile.
pub struct Window {
    // Killed before the pipe closes, by which a browser would end too: first it would let go what is paused, on to the redirect URI's host.
    program: Program,
    devtools: DevTools,
    url: Url,
    redirect: Url,
    /// How often the window may still be told where to go.
    navigations: u32,
    /// The window is to be told where to go once it shows its start page: not before, since what a browser does by itself as it starts would
    /// take the place of it.
    due: bool,
    /// Where the sign-in service's own pages may come from.
    origins: HashSet<String>,
    /// The sessions of the pages that are open.
    pages: HashSet<String>,
    sent: HashMap<u64, Sent>,
}

impl Window {
    /// Opens a window at an address. `redirect` is where the sign-in ends; pages of `origins` are looked at for errors.
    pub async fn open(
        env: &Env,
        call: &Call,
        browser: &Browser,
        url: &Url,
        redirect: &Url,
        origins: HashSet<String>,
    ) -> io::Result<Window> {
        let (program, pipe) = Program::start(env, call, browser).await?;
        let mut window = Window {
            program,
            devtools: DevTools::new(pipe),
            url: url.clone(),
            redirect: redirect.clone(),
            navigations: NAVIGATIONS,
            due: true,
            origins,
            pages: HashSet::new(),
            sent: HashMap::new(),
        };
        let opening = async {
            let attach = json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true });
            window.devtools.send("", "Target.setAutoAttach", attach).await?;
            while window.due {
                let message = window.devtools.next().await?;
                window.take(message).await?;
            }
            Ok::<(), io::Error>(())
        };
        tokio::time::timeout(START_TIME, opening)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(window)
    }

    /// The next thing that happens.
    pub async fn next(&mut self) -> Seen {
        loop {
            let seen = match self.devtools.next().await {
                Ok(message) => self.take(message).await,
                Err(error) => Err(error),
            };
            match seen {
                Ok(Some(seen)) => return seen,
                Ok(None) => {}
                // The pipe ends with the browser.
                Err(_) => return Seen::Closed,
            }
        }
    }

    /// This was not the answer: the window says so, and stays.
    pub async fn refuse(&mut self, landed: Landed) {
        if let Some((session, request)) = landed.paused {
            let answer = json!({
                "requestId": request,
                "responseCode": 400,
                "responseHeaders": [{ "name": "Content-Type", "value": "text/html; charset=utf-8" }],
                "body": BASE64.encode(REFUSED),
            });
            // Where this fails the browser is gone, which the next wait tells.
            let _ = self.devtools.send(&session, "Fetch.fulfillRequest", answer).await;
        }
    }

    /// Closes the window and waits shortly until the browser and its profile are gone.
    pub async fn close(self) {
        self.program.close().await;
    }

    async fn take(&mut self, message: Message) -> io::Result<Option<Seen>> {
        let (session, method, params) = match message {
            Message::Answer { id, result } => return self.answered(id, &result).await,
            Message::Event { session, method, params } => (session, method, params),
        };
        let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match method.as_str() {
            "Target.attachedToTarget" => {
                let page = text("/sessionId").to_owned();
                if text("/targetInfo/type") == "page" {
                    self.watch(&page).await?;
                    self.pages.insert(page.clone());
                }
                // Whatever it is, it was stopped until we have looked.
                self.devtools.send(&page, "Runtime.runIfWaitingForDebugger", json!({})).await?;
            }
            "Target.detachedFromTarget" => {
                let was_open = self.pages.remove(text("/sessionId"));
                return Ok((was_open && self.pages.is_empty()).then_some(Seen::Closed));
            }
            "Page.loadEventFired" => self.look(session).await?,
            // Its load may never end.
            "Page.domContentEventFired" if !self.due => self.look(session).await?,
            // Told also of what was loaded before we came.
            "Page.lifecycleEvent" if self.due && text("/name") == "load" => self.look(session).await?,
            "Network.requestWillBeSent" if text("/type") == "Document" => {
                // What is loaded over HTTP is paused, and met there.
                let landed = landing(&self.redirect, params.get("request"))
                    .filter(|_| !matches!(self.redirect.scheme(), "http" | "https"))
                    .map(Seen::Landed);
                return Ok(landed);
            }
            "Fetch.requestPaused" => return self.paused(session, &params).await,
            _ => {}
        }
        Ok(None)
    }

    async fn navigate(&mut self, page: String) -> io::Result<()> {
        self.navigations -= 1;
        self.due = false;
        let id = self
            .devtools
            .send(&page, "Page.navigate", json!({ "url": self.url.as_str() }))
            .await?;
        self.sent.insert(id, Sent::Navigation(page));
        Ok(())
    }

    /// Asks what a page is.
    async fn look(&mut self, page: String) -> io::Result<()> {
        let id = self.devtools.send(&page, "Page.getFrameTree", json!({})).await?;
        self.sent.insert(id, Sent::World(page));
        Ok(())
    }

    /// Asks to be told what a page does.
    async fn watch(&mut self, page: &str) -> io::Result<()> {
        let patterns: Vec<Value> = ["Request", "Response"]
            .into_iter()
            .map(|stage| json!({ "urlPattern": "*", "resourceType": "Document", "requestStage": stage }))
            .collect();
        self.devtools.send(page, "Fetch.enable", json!({ "patterns": patterns })).await?;
        self.devtools
            .send(page, "Network.enable", json!({ "maxPostDataSize": 65536 }))
            .await?;
        self.devtools.send(page, "Page.enable", json!({})).await?;
        self.devtools
            .send(page, "Page.setLifecycleEventsEnabled", json!({ "enabled": true }))
            .await?;
        Ok(())
    }

    /// A document's request, or its answer, waits for us.
    async fn paused(&mut self, session: String, params: &Value) -> io::Result<Option<Seen>> {
        let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
        let request = text("requestId").to_owned();
        let is_answer = params.get("responseStatusCode").is_some() || params.get("responseErrorReason").is_some();
        let landed = if is_answer {
            redirected(&self.redirect, params)
        } else {
            landing(&self.redirect, params.get("request"))
        };
        if let Some(mut landed) = landed {
            landed.paused = Some((session, request));
            return Ok(Some(Seen::Landed(landed)));
        }
        self.devtools
            .send(&session, "Fetch.continueRequest", json!({ "requestId": request }))
            .await?;
        Ok(None)
    }

    async fn answered(&mut self, id: u64, result: &Value) -> io::Result<Option<Seen>> {
        let text = |pointer: &str| result.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match self.sent.remove(&id) {
            // Refused, or something took its place: the page tells what has become of it.
            Some(Sent::Navigation(session)) if result.is_null() || text("/errorText") == "net::ERR_ABORTED" => {
                self.due = true;
                self.look(session).await?;
                Ok(None)
            }
            Some(Sent::Navigation(_)) => match text("/errorText") {
                "" => Ok(None),
                error => Ok(Some(Seen::NotLoaded(error.to_owned()))),
            },
            Some(Sent::World(session)) => {
                if let Some(context) = result.get("executionContextId") {
                    let look = json!({
                        "expression": include_str!("page.js"),
                        "contextId": context,
                        "awaitPromise": true,
                        "returnByValue": true,
                    });
                    let id = self.devtools.send(&session, "Runtime.evaluate", look).await?;
                    self.sent.insert(id, Sent::Look);
                } else if text("/frameTree/frame/url") == START_PAGE {
                    if self.due && self.navigations == 0 {
                        return Ok(Some(Seen::Stuck));
                    }
                    if self.due {
                        self.navigate(session).await?;
                    }
                } else if !text("/frameTree/frame/id").is_empty() {
                    let world = json!({ "frameId": text("/frameTree/frame/id"), "worldName": "defender-xdr" });
                    let id = self.devtools.send(&session, "Page.createIsolatedWorld", world).await?;
                    self.sent.insert(id, Sent::World(session));
                }
                Ok(None)
            }
            // A page of another site may say what it likes.
            Some(Sent::Look) if self.origins.contains(text("/result/value/origin")) => {
                Ok(Some(Seen::DeadEnd(text("/result/value/text").to_owned())))
            }
            _ => Ok(None),
        }
    }
}

/// The landing that a request is, if it is one.
fn landing(redirect: &Url, request: Option<&Value>) -> Option<Landed> {
    let request = request?;
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    let address = Zeroizing::new(format!("{}{}", text("url"), text("urlFragment")));
    if !is_landing(redirect, &Url::parse(&address).ok()?) {
        return None;
    }
    let form = (text("method") == "POST").then(|| Zeroizing::new(text("postData").to_owned()));
    Some(Landed {
        address,
        form,
        paused: None,
    })
}

/// The landing that an answer leads to by its `Location`, if it does.
fn redirected(redirect: &Url, params: &Value) -> Option<Landed> {
    if !(300..400).contains(&params.get("responseStatusCode")?.as_u64()?) {
        return None;
    }
    let location = params.get("responseHeaders")?.as_array()?.iter().find_map(|header| {
        let is_location = header.get("name")?.as_str()?.eq_ignore_ascii_case("location");
        header.get("value")?.as_str().filter(|_| is_location)
    })?;
    let base = Url::parse(params.pointer("/request/url")?.as_str()?).ok()?;
    let address = base.join(location).ok()?;
    is_landing(redirect, &address).then(|| Landed {
        address: Zeroizing::new(address.into()),
        form: None,
        paused: None,
    })
}
