//! The front door: takes the host prefix off, logs, applies faults, and hands over to the service addressed.

use std::convert::Infallible;
use std::io::Write as _;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use crate::faults::{self, Action};
use crate::hosts::{self, Base, Service};
use crate::http::{self, Asked, Params};
use crate::realm::Realm;
use crate::state::App;
use crate::{api, authorize, challenge, control, device, discovery, federation, keys, managed_identity, token, workload};

const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// The connection is to be closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Dropped {}

/// The services behind the door.
#[derive(Clone)]
pub struct Services {
    app: App,
    login: Router,
    xdr: Router,
    endpoint: Router,
    graph: Router,
    identity: Router,
    workload: Router,
}

impl Services {
    pub fn new(app: App) -> Self {
        let login = Router::new()
            .route("/common/discovery/instance", get(discovery::instance))
            .route("/common/userrealm/{user}", get(discovery::user_realm))
            .route("/common/UserRealm/{user}", get(discovery::user_realm))
            .route("/adfs/services/trust/mex", get(federation::metadata))
            .route("/adfs/services/trust/{version}/{kind}", post(federation::issue))
            .route("/{tenant}/.well-known/openid-configuration", get(discovery::v1))
            .route("/{tenant}/v2.0/.well-known/openid-configuration", get(discovery::v2))
            .route("/{tenant}/discovery/keys", get(discovery::keys))
            .route("/{tenant}/discovery/v2.0/keys", get(discovery::keys))
            .route("/{tenant}/oauth2/authorize", get(authorize::v1).post(authorize::v1))
            .route("/{tenant}/oauth2/v2.0/authorize", get(authorize::v2).post(authorize::v2))
            .route("/{tenant}/adminconsent", get(authorize::admin_consent))
            .route("/{tenant}/v2.0/adminconsent", get(authorize::admin_consent))
            .route("/{tenant}/login", post(authorize::login))
            .route("/{tenant}/oauth2/devicecode", get(device::v1).post(device::v1))
            .route("/{tenant}/oauth2/v2.0/devicecode", get(device::v2).post(device::v2))
            .route("/devicelogin", get(device::page).post(device::typed))
            .route("/device", get(device::page).post(device::typed))
            .route("/{tenant}/oauth2/deviceauth", get(device::page).post(device::typed))
            .route("/{tenant}/oauth2/token", post(token::v1))
            .route("/{tenant}/oauth2/v2.0/token", post(token::v2));
        let identity = Router::new()
            .route("/metadata/identity/oauth2/token", get(managed_identity::imds))
            .route("/metadata/instance/compute/location", get(managed_identity::location))
            .route("/metadata/instance/compute", get(managed_identity::compute))
            .route("/msi/app-service/token", get(managed_identity::app_service))
            .route(
                "/msi/automation/oauth2/token",
                get(managed_identity::automation).post(managed_identity::automation),
            )
            .route("/msi/arc/metadata/identity/oauth2/token", get(managed_identity::arc))
            .route(
                "/msi/service-fabric/metadata/identity/oauth2/token",
                get(managed_identity::service_fabric),
            )
            .route(
                "/msi/cloud-shell/oauth2/token",
                get(managed_identity::cloud_shell).post(managed_identity::cloud_shell),
            )
            .route("/msi/azure-ml/token", get(managed_identity::machine_learning));
        let workload = Router::new().route("/{run}/idtoken/{job}", get(workload::github)).route(
            "/{organization}/{project}/_apis/distributedtask/hubs/{hub}/plans/{plan}/jobs/{job}/oidctoken",
            post(workload::pipelines),
        );
        let xdr = Router::new()
            .route("/api/incidents", get(api::incidents::list))
            .route("/api/v1.0/incidents", get(api::incidents::list))
            .route("/api/incidents/{id}", get(api::incidents::get).patch(api::incidents::update))
            .route("/api/v1.0/incidents/{id}", get(api::incidents::get).patch(api::incidents::update))
            .route("/api/advancedhunting/run", post(api::incidents::hunt))
            .route("/api/v1.0/advancedhunting/run", post(api::incidents::hunt));
        let login = login
            .fallback(token::not_found)
            .method_not_allowed_fallback(token::not_allowed)
            .with_state(app.clone());
        let refusing = |router: Router<App>| {
            router
                .fallback(api::not_found)
                .method_not_allowed_fallback(api::not_allowed)
                .with_state(app.clone())
        };
        Self {
            login,
            xdr: refusing(xdr),
            endpoint: Router::new().fallback(api::endpoint::answer).with_state(app.clone()),
            graph: Router::new().fallback(api::graph::answer).with_state(app.clone()),
            identity: identity.with_state(app.clone()),
            workload: workload.with_state(app.clone()),
            app: app.clone(),
        }
    }

    /// Serves one connection until its end.
    pub async fn connection(self, io: impl AsyncRead + AsyncWrite + Unpin, tls: bool) {
        let service = service_fn(move |request| {
            let services = self.clone();
            async move { services.answer(request, tls).await }
        });
        // An error here is a client that went away, or a fault that wanted just that.
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(io), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>, tls: bool) -> Result<Response, Dropped> {
        let (parts, body) = request.into_parts();
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|h| h.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if !is_ours(&host) {
            // A name that was made to point here by someone else's DNS.
            return Ok(http::json(421, &json!({"error": "this emulator answers on loopback names only"})));
        }
        let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
            return Ok(http::json(413, &json!({"error": "the body is too large"})));
        };
        let body = body.to_bytes();
        let full = parts.uri.path();
        let scheme = if tls { "https" } else { "http" };
        let (base, service, path) = match hosts::split(full) {
            Some((host, service, path)) => (Base::Host(host.to_owned()), service, path),
            None => (Base::Own(format!("{scheme}://{host}")), hosts::own_service(full), full),
        };
        let query_text = parts.uri.query().unwrap_or_default();
        let is_form = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|t| t.to_str().ok())
            .is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"));
        let correlation_id = parts
            .headers
            .get("client-request-id")
            .and_then(|v| v.to_str().ok())
            .filter(|v| v.len() == 36 && v.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'))
            .map_or_else(keys::guid, str::to_owned);
        // What the realm does not have is left as it is, and found nowhere.
        let (realm, route) = match service {
            Service::Login => Realm::of(&self.app.config, &base, path).unwrap_or((Realm::Entra, "/.none".to_owned())),
            _ => (Realm::Entra, path.to_owned()),
        };
        let asked = Asked {
            method: parts.method.clone(),
            base,
            realm,
            route,
            path: path.to_owned(),
            query_text: query_text.to_owned(),
            query: Params::parse(query_text.as_bytes()),
            form: if is_form { Params::parse(&body) } else { Params::default() },
            headers: parts.headers.clone(),
            body,
            correlation_id,
            trace_id: keys::guid(),
        };
        if full.starts_with(control::PREFIX) {
            return Ok(control::answer(&self.app, &asked));
        }
        let n = self.app.log.arrived(&asked);
        let Some(action) = faults::take(&self.app, &asked) else {
            let response = self.normal(&asked, service).await;
            self.app.log.answered(n, &asked, Some(response.status().as_u16()), "");
            return Ok(response);
        };
        if let Some(wait) = action.delay_ms {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        if action.drop || action.hang {
            self.app.log.answered(n, &asked, None, " (fault)");
            if action.hang {
                std::future::pending::<()>().await;
            }
            return Err(Dropped);
        }
        let response = self.faulty(&action, &asked, service).await;
        self.app.log.answered(n, &asked, Some(response.status().as_u16()), " (fault)");
        Ok(response)
    }

    /// The answer as the service gives it.
    async fn normal(&self, asked: &Asked, service: Service) -> Response {
        let router = match service {
            Service::Login => &self.login,
            Service::Xdr => &self.xdr,
            Service::Endpoint => &self.endpoint,
            Service::Graph => &self.graph,
            Service::Identity => &self.identity,
            Service::Workload => &self.workload,
        };
        let mut request = Request::new(Body::empty());
        *request.method_mut() = asked.method.clone();
        let Ok(uri) = asked.route.parse() else {
            return http::json(400, &json!({"error": "the path cannot be read"}));
        };
        *request.uri_mut() = uri;
        request.extensions_mut().insert(asked.clone());
        let response = match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err::<_, Infallible>(never) => match never {},
        };
        if service == Service::Login {
            response
        } else {
            compressed(response, asked).await
        }
    }

    async fn faulty(&self, action: &Action, asked: &Asked, service: Service) -> Response {
        let own = action.status.is_some()
            || action.body.is_some()
            || action.json.is_some()
            || action.redirect.is_some()
            || action.token_error.is_some()
            || action.claims_challenge.is_some()
            || action.html;
        let mut response = if own {
            instead(action, asked, self.app.now())
        } else {
            let plain = match &action.next_link {
                // Spliced before compression, so ask without it.
                Some(_) => {
                    let mut asked = asked.clone();
                    asked.headers.remove(header::ACCEPT_ENCODING);
                    self.normal(&asked, service).await
                }
                None => self.normal(asked, service).await,
            };
            match &action.next_link {
                Some(link) => linked(plain, link).await,
                None => plain,
            }
        };
        for (name, value) in &action.headers {
            if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        match action.truncate {
            Some(bytes) => cut(response, bytes).await,
            None => response,
        }
    }
}

/// Loopback names, and Microsoft's for clients whose resolver was pointed here.
fn is_ours(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1") || hosts::service(name).is_some()
}

fn instead(action: &Action, asked: &Asked, now: i64) -> Response {
    if let Some(error) = &action.token_error {
        let mut response = error.as_error().response(asked, now);
        if let Some(status) = action.status.and_then(|s| StatusCode::from_u16(s).ok()) {
            *response.status_mut() = status;
        }
        return crate::state::stamp(response, asked);
    }
    if let Some(wanted) = &action.claims_challenge {
        let claims = if wanted.is_object() {
            wanted.clone()
        } else {
            challenge::newer_than(now)
        };
        return api::Refusal::challenge(&claims).response(asked);
    }
    if let Some(to) = &action.redirect {
        let mut response = http::redirect(to);
        if let Some(status) = action.status.and_then(|s| StatusCode::from_u16(s).ok()) {
            *response.status_mut() = status;
        }
        return response;
    }
    let status = action.status.unwrap_or(200);
    if action.html {
        return http::answer(
            status,
            "text/html; charset=utf-8",
            "<!DOCTYPE html><html><head><title>Guest network</title></head><body><h1>Welcome</h1><p>Accept the terms to use this network.</p><form method=\"post\" action=\"/accept\"><button>Accept</button></form></body></html>",
        );
    }
    if let Some(body) = &action.json {
        return http::json(status, body);
    }
    http::answer(status, "text/plain; charset=utf-8", action.body.clone().unwrap_or_default())
}

async fn bytes_of(body: Body) -> Bytes {
    body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

/// gzip for a client that takes it, when it is worth it.
async fn compressed(response: Response, asked: &Asked) -> Response {
    let takes = asked
        .header("accept-encoding")
        .is_some_and(|h| h.split(',').any(|e| e.trim().split(';').next() == Some("gzip")));
    if !takes {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = bytes_of(body).await;
    if body.len() < 1_024 {
        return Response::from_parts(parts, Body::from(body));
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = encoder.write_all(&body).and_then(|()| encoder.finish());
    match packed {
        Ok(packed) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(packed))
        }
        Err(_) => Response::from_parts(parts, Body::from(body)),
    }
}

/// The answer with another nextLink.
async fn linked(response: Response, link: &str) -> Response {
    const NAME: &str = ",\"@odata.nextLink\":";
    let (mut parts, body) = response.into_parts();
    let mut text = String::from_utf8_lossy(&bytes_of(body).await).into_owned();
    if parts.status.is_success() && text.ends_with('}') {
        text.truncate(text.rfind(NAME).unwrap_or(text.len() - 1));
        text.push_str(NAME);
        text.push_str(&serde_json::Value::String(link.to_owned()).to_string());
        text.push('}');
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}

/// The answer's headers with the full length, and only so many bytes of its body.
async fn cut(response: Response, keep: usize) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = bytes_of(body).await;
    if keep >= body.len() {
        return Response::from_parts(parts, Body::from(body));
    }
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Response::from_parts(parts, Body::new(Cut::new(body.slice(..keep))))
}

/// A body that ends in an error. The pause lets what came before reach the wire.
struct Cut {
    first: Option<Bytes>,
    pause: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl Cut {
    fn new(first: Bytes) -> Self {
        Self {
            first: Some(first),
            pause: Box::pin(tokio::time::sleep(Duration::from_millis(20))),
        }
    }
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Dropped>>> {
        if let Some(first) = self.first.take()
            && !first.is_empty()
        {
            return std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(first))));
        }
        self.pause.as_mut().poll(context).map(|()| Some(Err(Dropped)))
    }
}
