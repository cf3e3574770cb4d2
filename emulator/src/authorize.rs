//! The authorize and admin consent endpoints and the pages behind them.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::json;
use url::Url;

use crate::aad_error::AadError;
use crate::challenge;
use crate::config::{AppRegistration, AuthorizeIss, Config, Resource, Tenant, User};
use crate::consent;
use crate::device;
use crate::http::{self, Asked, Params};
use crate::keys;
use crate::pages;
use crate::state::{App, Ask, AuthRequest, Code, Dialect, Flow, SignedIn, Verdict, stamp};

const COOKIE: &str = "ESTSAUTH";

/// `GET|POST /{tenant}/oauth2/authorize`.
pub async fn v1(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    let dialect = asked.realm.dialect(Dialect::V1, &asked);
    stamp(start(&app, asked.clone(), &tenant, dialect, false), &asked)
}

/// `GET|POST /{tenant}/oauth2/v2.0/authorize`.
pub async fn v2(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    stamp(start(&app, asked.clone(), &tenant, Dialect::V2, false), &asked)
}

/// `GET /{tenant}/adminconsent` and `/{tenant}/v2.0/adminconsent`.
pub async fn admin_consent(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    let dialect = if asked.path.contains("/v2.0/") { Dialect::V2 } else { Dialect::V1 };
    stamp(start(&app, asked.clone(), &tenant, dialect, true), &asked)
}

/// `POST /{tenant}/login`: whatever a person pressed on a page.
pub async fn login(Shared(app): Shared<App>, Path(_): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    stamp(pressed(&app, &asked), &asked)
}

/// Whether the segment means "the user's own tenant".
pub fn is_common(tenant: &str) -> bool {
    ["common", "organizations"].iter().any(|c| c.eq_ignore_ascii_case(tenant))
}

/// A tenant that is not there.
pub fn unknown_tenant(tenant: &str) -> AadError {
    AadError::new(
        "invalid_request",
        90_002,
        format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
        ),
    )
}

/// An app that is not there.
pub fn unknown_app(client_id: &str, tenant: &str) -> AadError {
    AadError::new(
        "unauthorized_client",
        700_016,
        format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
        ),
    )
}

/// The app, if people of that tenant segment may use it.
pub fn find_app<'a>(config: &'a Config, client_id: &str, tenant: &str) -> Result<&'a AppRegistration, AadError> {
    if is_common(tenant) {
        let app = config.app(client_id).ok_or_else(|| unknown_app(client_id, tenant))?;
        if !app.multi_tenant {
            return Err(AadError::new(
                "invalid_request",
                50_194,
                format!(
                    "Application '{}'({}) is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the application to be multi-tenant.",
                    app.client_id, app.name
                ),
            ));
        }
        return Ok(app);
    }
    let found = config.tenant(tenant).ok_or_else(|| unknown_tenant(tenant))?;
    config
        .app(client_id)
        .filter(|a| a.multi_tenant || config.tenant(&a.tenant).is_some_and(|home| home.id == found.id))
        .ok_or_else(|| unknown_app(client_id, &found.display_name))
}

fn page_error(app: &App, asked: &Asked, error: &AadError) -> Response {
    pages::error(asked, error, app.now())
}

fn start(app: &App, asked: Asked, tenant: &str, dialect: Dialect, admin: bool) -> Response {
    let params = asked.query.and(&asked.form);
    let request = match trusted(app, &asked, tenant, dialect, admin, params) {
        Ok(request) => request,
        Err(error) => return page_error(app, &asked, &error),
    };
    let request = match checked(app, request) {
        Ok(request) => request,
        Err((request, error)) => return refuse(app, &request, &error),
    };
    let mut flow = Flow {
        request,
        user: None,
        confirmed: false,
        consented: false,
        awaiting_mfa: None,
    };
    if app.auto_approve {
        return auto_approve(app, flow);
    }
    let session = session_users(app, &asked);
    let prompt = flow.request.prompt.clone();
    let hint = flow.request.params.get("login_hint").map(str::to_owned);
    let silent = matches!(prompt.as_str(), "none" | "attempt_none");
    if !matches!(prompt.as_str(), "login" | "refresh_session" | "select_account") {
        let matching: Vec<&SignedIn> = session
            .iter()
            .filter(|s| {
                hint.as_deref()
                    .is_none_or(|hint| app.config.user(&s.user).is_some_and(|(_, u)| u.upn.eq_ignore_ascii_case(hint)))
            })
            .collect();
        if let [one] = matching.as_slice() {
            flow.user = Some(one.user.clone());
        } else if silent {
            let error = if matching.is_empty() {
                AadError::new(
                    "login_required",
                    50_058,
                    "A silent sign-in request was sent but no user is signed in. The cookies used to represent the user's session were not sent in the request to Microsoft Entra ID.",
                )
            } else {
                AadError::new(
                    "interaction_required",
                    16_000,
                    "Either multiple user identities are available for the current request or selected account is not supported for the scenario.",
                )
            };
            return refuse(app, &flow.request, &error);
        }
    }
    proceed(app, flow, &session, None)
}

/// The checks up to a redirect URI that can be trusted. Failures here are shown, never sent.
fn trusted(app: &App, asked: &Asked, tenant: &str, dialect: Dialect, admin_consent: bool, params: Params) -> Result<AuthRequest, AadError> {
    let config = &app.config;
    if !is_common(tenant) && config.tenant(tenant).is_none() {
        return Err(unknown_tenant(tenant));
    }
    let client_id = params.get("client_id").ok_or_else(|| AadError::missing("client_id"))?.to_owned();
    let registration = if admin_consent && is_common(tenant) {
        config.app(&client_id).ok_or_else(|| unknown_app(&client_id, tenant))?
    } else {
        find_app(config, &client_id, tenant)?
    };
    let uris = &registration.redirect_uris;
    let redirect_uri = match params.get("redirect_uri") {
        Some(uri) => uri.to_owned(),
        // Entra falls back to the first registered one.
        None => uris
            .web
            .iter()
            .chain(&uris.spa)
            .chain(&uris.public_client)
            .next()
            .cloned()
            .ok_or_else(|| AadError::new("invalid_client", 500_113, "No reply address is registered for the application."))?,
    };
    let matches = |list: &[String]| list.iter().any(|r| same_redirect(r, &redirect_uri));
    let web = matches(&uris.web);
    if !web && !matches(&uris.public_client) && !matches(&uris.spa) {
        return Err(AadError::new(
            "invalid_client",
            50_011,
            format!(
                "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured for the application '{}'. Make sure the redirect URI sent in the request matches one added to your application in the Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about how to troubleshoot this error.",
                registration.client_id
            ),
        ));
    }
    Ok(AuthRequest {
        dialect,
        asked: asked.clone(),
        tenant: tenant.to_owned(),
        client_id: registration.client_id.clone(),
        redirect_uri,
        web,
        response_mode: params.get("response_mode").unwrap_or("query").to_owned(),
        ask: Ask::default(),
        challenge: None,
        prompt: params.get("prompt").unwrap_or_default().to_owned(),
        admin_consent,
        device: None,
        params,
    })
}

/// Whether a registered redirect URI covers the one sent: exactly, but any port for loopback hosts.
fn same_redirect(registered: &str, sent: &str) -> bool {
    if registered == sent {
        return true;
    }
    let (Ok(a), Ok(b)) = (Url::parse(registered), Url::parse(sent)) else {
        return false;
    };
    let loopback = |u: &Url| u.scheme() == "http" && matches!(u.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    loopback(&a)
        && loopback(&b)
        && a.host_str() == b.host_str()
        && a.path() == b.path()
        && b.query().is_none()
        && b.fragment().is_none()
        && b.username().is_empty()
}

/// The checks whose failures go to the redirect URI.
fn checked(app: &App, mut request: AuthRequest) -> Result<AuthRequest, (Box<AuthRequest>, AadError)> {
    match check(app, &mut request) {
        Ok(()) => Ok(request),
        Err(error) => Err((Box::new(request), error)),
    }
}

fn check(app: &App, request: &mut AuthRequest) -> Result<(), AadError> {
    let params = &request.params;
    if !matches!(request.response_mode.as_str(), "query" | "fragment" | "form_post") {
        let mode = std::mem::replace(&mut request.response_mode, "query".to_owned());
        return Err(AadError::new(
            "invalid_request",
            900_148,
            format!("The response_mode '{mode}' is not supported."),
        ));
    }
    if request.admin_consent {
        return Ok(());
    }
    match params.get("response_type") {
        Some("code") => {}
        None => return Err(AadError::missing("response_type")),
        Some(other) => {
            return Err(AadError::new(
                "unsupported_response_type",
                700_054,
                format!("response_type '{other}' is not enabled for the application."),
            ));
        }
    }
    request.ask = match request.dialect {
        Dialect::V1 => match params.get("resource") {
            Some(resource) => consent::ask_v1(&app.config, resource, &request.tenant)?,
            None => Ask {
                openid: true,
                offline: true,
                ..Ask::default()
            },
        },
        Dialect::V2 => {
            let scope = params.get("scope").ok_or_else(|| AadError::missing("scope"))?;
            consent::ask_v2(&app.config, scope, &request.tenant)?
        }
    };
    consent::app_may(&app.config, &request.client_id, &request.ask)?;
    if let Some(challenge) = params.get("code_challenge") {
        let method = params.get("code_challenge_method").unwrap_or("plain");
        let unreserved = challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if !matches!(method, "S256" | "plain") || !unreserved || !(43..=128).contains(&challenge.len()) {
            return Err(AadError::new(
                "invalid_request",
                501_491,
                "Invalid size of Code_Challenge parameter.",
            ));
        }
        request.challenge = Some((method.to_owned(), challenge.to_owned()));
    }
    if !matches!(
        request.prompt.as_str(),
        "" | "login" | "select_account" | "consent" | "admin_consent" | "none" | "attempt_none" | "refresh_session" | "create"
    ) {
        return Err(AadError::new("invalid_request", 90_023, "Unsupported 'prompt' value."));
    }
    if let Some(claims) = params.get("claims")
        && !serde_json::from_str::<serde_json::Value>(claims).is_ok_and(|c| c.is_object())
    {
        return Err(AadError::new(
            "invalid_request",
            900_144,
            "The 'claims' parameter is not a JSON object.",
        ));
    }
    Ok(())
}

/// Who signs in when nobody does: the one hinted at, the default user, or the tenant's first.
pub fn stand_in<'a>(config: &'a Config, request: &AuthRequest) -> Option<(&'a Tenant, &'a User)> {
    match request.params.get("login_hint") {
        Some(hint) => config.user(hint),
        None if is_common(&request.tenant) => config.default_user(),
        None => match (config.default_user(), config.tenant(&request.tenant)) {
            (Some((home, user)), Some(tenant)) if home.id == tenant.id => Some((home, user)),
            (_, Some(tenant)) => tenant.users.first().map(|u| (tenant, u)),
            (default, None) => default,
        },
    }
}

/// Whether a second step follows this user's password.
pub fn second_step(config: &Config, request: &AuthRequest, user: &User) -> bool {
    user.mfa
        || challenge::wants_second_step(request.params.get("claims"))
        || request
            .ask
            .resource
            .as_deref()
            .and_then(|r| config.resource(r))
            .is_some_and(|r| r.require_mfa)
}

fn auto_approve(app: &App, mut flow: Flow) -> Response {
    let config = &app.config;
    let Some((tenant, user)) = stand_in(config, &flow.request) else {
        let error = no_such_user(flow.request.params.get("login_hint").unwrap_or_default());
        return page_error(app, &flow.request.asked, &error);
    };
    if let Err(error) = belongs(&flow.request.tenant, tenant, user, config) {
        return page_error(app, &flow.request.asked, &error);
    }
    flow.user = Some(user.object_id.clone());
    grant_all(app, &flow.request, &user.object_id, tenant, flow.request.admin_consent);
    let mfa = second_step(config, &flow.request, user);
    let cookie = remember(
        app,
        &flow.request.asked,
        SignedIn {
            user: user.object_id.clone(),
            mfa,
        },
    );
    with_cookie(finish(app, &flow.request, tenant, user, mfa), cookie)
}

/// A user name nobody has.
pub fn no_such_user(name: &str) -> AadError {
    AadError::new(
        "invalid_grant",
        50_034,
        format!(
            "The user account {name} does not exist in the directory. To sign into this application, the account must be added to the directory."
        ),
    )
}

fn belongs(segment: &str, tenant: &Tenant, user: &User, config: &Config) -> Result<(), AadError> {
    if is_common(segment) || config.tenant(segment).is_some_and(|t| t.id == tenant.id) {
        return Ok(());
    }
    Err(AadError::new(
        "invalid_request",
        50_020,
        format!(
            "User account '{}' from identity provider '{}' does not exist in tenant '{segment}' and cannot access the application in that tenant. The account needs to be added as an external user in the tenant first. Sign out and sign in again with a different Microsoft Entra user account.",
            user.upn, tenant.display_name
        ),
    ))
}

/// Takes a sign-in as far as it goes without a person, and shows the page where it needs one.
pub fn proceed(app: &App, flow: Flow, session: &[SignedIn], failed: Option<&str>) -> Response {
    let config = &app.config;
    let Some(id) = flow.user.clone() else {
        let hint = flow.request.params.get("login_hint").unwrap_or_default().to_owned();
        let pick = failed.is_none()
            && !session.is_empty()
            && !matches!(flow.request.prompt.as_str(), "login" | "refresh_session")
            && (hint.is_empty() || flow.request.prompt == "select_account");
        return if pick {
            let users: Vec<&User> = session.iter().filter_map(|s| config.user(&s.user).map(|(_, u)| u)).collect();
            show(app, flow, |f, id| pages::pick(config, f, id, &users))
        } else {
            show(app, flow, |f, id| pages::sign_in(config, f, id, &hint, failed))
        };
    };
    let Some((tenant, user)) = config.user(&id) else {
        return page_error(app, &flow.request.asked, &no_such_user(&id));
    };
    if let Err(error) = belongs(&flow.request.tenant, tenant, user, config) {
        return page_error(app, &flow.request.asked, &error);
    }
    let mfa = session.iter().any(|s| s.user == id && s.mfa);
    if !mfa && second_step(config, &flow.request, user) {
        let silent = matches!(flow.request.prompt.as_str(), "none" | "attempt_none");
        if silent {
            let mut error = AadError::new(
                "interaction_required",
                50_076,
                "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication.",
            );
            error.suberror = Some("basic_action".to_owned());
            return refuse(app, &flow.request, &error);
        }
        let mut flow = flow.clone();
        flow.awaiting_mfa = Some(id);
        return show(app, flow, |f, id| pages::approve(config, f, id, user));
    }
    if flow.request.device.is_some() && !flow.confirmed {
        return show(app, flow, |f, id| pages::confirm_device(config, f, id, user));
    }
    if !flow.consented {
        let open = match open_permissions(app, &flow.request, tenant, user) {
            Ok(open) => open,
            Err(error) => return refuse(app, &flow.request, &error),
        };
        let everything = matches!(flow.request.prompt.as_str(), "consent" | "admin_consent") || flow.request.admin_consent;
        if everything || open.iter().any(|(_, scopes)| !scopes.is_empty()) {
            if matches!(flow.request.prompt.as_str(), "none" | "attempt_none") {
                let mut error = config
                    .app(&flow.request.client_id)
                    .map_or_else(|| unknown_app("", ""), consent::no_consent);
                error.error = "interaction_required".to_owned();
                return refuse(app, &flow.request, &error);
            }
            let admin_needed = flow.request.admin_consent
                || flow.request.prompt == "admin_consent"
                || open
                    .iter()
                    .any(|(resource, scopes)| consent::describe(resource, scopes).iter().any(|p| p.admin_only));
            return if admin_needed && !user.admin {
                show(app, flow, |f, id| pages::needs_admin(config, f, id, user))
            } else {
                let shown = all_permissions(app, &flow.request);
                show(app, flow, |f, id| pages::consent(config, f, id, user, &shown))
            };
        }
    }
    finish(app, &flow.request, tenant, user, mfa)
}

type Permissions<'a> = Vec<(&'a Resource, Vec<String>)>;

/// Everything the request asks for, by resource. A v1 request without a resource means all the app lists.
fn all_permissions<'a>(app: &'a App, request: &AuthRequest) -> Permissions<'a> {
    let config = &app.config;
    let Some(registration) = config.app(&request.client_id) else {
        return Vec::new();
    };
    match request.ask.resource.as_deref().and_then(|r| config.resource(r)) {
        Some(resource) => {
            let scopes = consent::needed(config, registration, &request.ask).unwrap_or_default();
            vec![(resource, scopes)]
        }
        None => registration
            .permissions
            .iter()
            .filter_map(|p| {
                let resource = config.resource(&p.resource)?;
                Some((resource, p.delegated.clone()))
            })
            .collect(),
    }
}

/// What of it is not granted yet.
fn open_permissions<'a>(app: &'a App, request: &AuthRequest, tenant: &Tenant, user: &User) -> Result<Permissions<'a>, AadError> {
    let config = &app.config;
    let registration = config
        .app(&request.client_id)
        .ok_or_else(|| unknown_app(&request.client_id, &tenant.display_name))?;
    consent::needed(config, registration, &request.ask)?;
    let state = app.state();
    Ok(all_permissions(app, request)
        .into_iter()
        .map(|(resource, scopes)| {
            let have = consent::granted(config, &state, registration, resource, tenant, user);
            let open = scopes.into_iter().filter(|s| !have.contains(s)).collect();
            (resource, open)
        })
        .collect())
}

/// Grants all a request asks for, to one user or to everyone.
pub fn grant_all(app: &App, request: &AuthRequest, user: &str, tenant: &Tenant, everyone: bool) {
    let who = if everyone {
        format!("tenant:{}", tenant.id)
    } else {
        user.to_owned()
    };
    let mut granted: Vec<(String, String)> = all_permissions(app, request)
        .into_iter()
        .flat_map(|(r, scopes)| scopes.into_iter().map(|s| (r.app_id.clone(), s)))
        .collect();
    if everyone && let Some(registration) = app.config.app(&request.client_id) {
        for listed in &registration.permissions {
            if let Some(resource) = app.config.resource(&listed.resource) {
                for name in listed.application.iter().chain(&listed.delegated) {
                    granted.push((resource.app_id.clone(), name.clone()));
                }
            }
        }
    }
    let mut state = app.state();
    for (resource, scope) in granted {
        state.grants.insert((who.clone(), request.client_id.clone(), resource, scope));
    }
}

/// Keeps the flow and shows a page that carries its id.
pub fn show(app: &App, flow: Flow, page: impl FnOnce(&Flow, &str) -> Response) -> Response {
    let id = keys::b64(keys::random::<24>());
    let response = page(&flow, &id);
    app.state().flows.insert(id, flow);
    response
}

fn pressed(app: &App, asked: &Asked) -> Response {
    let expired = || {
        AadError::new(
            "invalid_request",
            90_014,
            "This sign-in is no longer open. Start again from the application.",
        )
    };
    let Some(mut flow) = asked.form.get("flow").and_then(|id| app.state().flows.get(id).cloned()) else {
        return page_error(app, asked, &expired());
    };
    let session = session_users(app, asked);
    let config = &app.config;
    let action = asked.form.get("action").unwrap_or("signin");
    if let Some(name) = action.strip_prefix("pick:") {
        flow.user = config
            .user(name)
            .map(|(_, u)| u.object_id.clone())
            .filter(|id| session.iter().any(|s| s.user == *id));
        return proceed(app, flow, &session, None);
    }
    match action {
        "signin" => {
            let name = asked.form.get("login").unwrap_or_default().trim();
            let password = asked.form.get("password").unwrap_or_default();
            match config.user(name) {
                Some((_, user)) if keys::same(&user.password, password) => {
                    if second_step(config, &flow.request, user) {
                        flow.awaiting_mfa = Some(user.object_id.clone());
                        return show(app, flow, |f, id| pages::approve(config, f, id, user));
                    }
                    let id = user.object_id.clone();
                    signed_in(app, asked, flow, id, false)
                }
                _ => {
                    let failed = "Your account or password is incorrect. (AADSTS50126)";
                    show(app, flow, |f, id| pages::sign_in(config, f, id, name, Some(failed)))
                }
            }
        }
        "approve" => match flow.awaiting_mfa.take() {
            Some(id) => signed_in(app, asked, flow, id, true),
            None => page_error(app, asked, &expired()),
        },
        "continue" => {
            flow.confirmed = true;
            proceed(app, flow, &session, None)
        }
        "other" => show(app, flow, |f, id| pages::sign_in(config, f, id, "", None)),
        "accept" => {
            let Some((tenant, user)) = flow.user.as_deref().and_then(|id| config.user(id)) else {
                return page_error(app, asked, &expired());
            };
            let everyone =
                user.admin && (flow.request.admin_consent || flow.request.prompt == "admin_consent" || asked.form.get("for_all").is_some());
            grant_all(app, &flow.request, &user.object_id, tenant, everyone);
            flow.consented = true;
            proceed(app, flow, &session, None)
        }
        _ => {
            if let Some(id) = asked.form.get("flow") {
                app.state().flows.remove(id);
            }
            let error = AadError::new("access_denied", 65_004, "User declined to consent to access the app.").sub("cancel");
            refuse(app, &flow.request, &error)
        }
    }
}

fn signed_in(app: &App, asked: &Asked, mut flow: Flow, id: String, mfa: bool) -> Response {
    let who = SignedIn { user: id.clone(), mfa };
    let cookie = remember(app, asked, who.clone());
    flow.user = Some(id);
    with_cookie(proceed(app, flow, &[who], None), cookie)
}

/// Who is signed in on this browser.
pub fn session_users(app: &App, asked: &Asked) -> Vec<SignedIn> {
    asked
        .cookie(COOKIE)
        .and_then(|id| app.state().sessions.get(id).cloned())
        .unwrap_or_default()
}

/// Adds a user to the browser's session and gives the session's id.
fn remember(app: &App, asked: &Asked, who: SignedIn) -> String {
    let mut state = app.state();
    let id = asked
        .cookie(COOKIE)
        .filter(|id| state.sessions.contains_key(*id))
        .map_or_else(|| keys::b64(keys::random::<24>()), str::to_owned);
    let users = state.sessions.entry(id.clone()).or_default();
    users.retain(|s| s.user != who.user);
    users.push(who);
    id
}

fn with_cookie(mut response: Response, session: String) -> Response {
    let cookie = format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax");
    http::set(&mut response, "set-cookie", &cookie);
    response
}

/// Sends the code.
fn finish(app: &App, request: &AuthRequest, tenant: &Tenant, user: &User, mfa: bool) -> Response {
    if let Some(code) = &request.device {
        let name = app.config.app(&request.client_id).map_or("", |a| a.name.as_str());
        device::decided(
            app,
            code,
            Verdict::Approved {
                user: user.object_id.clone(),
                mfa,
            },
        );
        return pages::device_done(name, true);
    }
    let mut answer: Vec<(&str, String)> = Vec::new();
    if request.admin_consent {
        answer.push(("admin_consent", "True".to_owned()));
        answer.push(("tenant", tenant.id.clone()));
    } else {
        let code = format!("1.A{}", keys::b64(keys::random::<240>()));
        app.state().codes.insert(
            code.clone(),
            Code {
                client_id: request.client_id.clone(),
                redirect_uri: request.redirect_uri.clone(),
                web: request.web,
                user: user.object_id.clone(),
                mfa,
                ask: request.ask.clone(),
                challenge: request.challenge.clone(),
                nonce: request.params.get("nonce").map(str::to_owned),
                claims: request.params.get("claims").map(str::to_owned),
                created: app.now(),
                used: false,
            },
        );
        answer.push(("code", code));
        if request.params.get("client_info") == Some("1") {
            answer.push(("client_info", client_info(user, tenant)));
        }
    }
    if let Some(state) = request.params.get("state") {
        answer.push(("state", state.to_owned()));
    }
    if !request.admin_consent {
        answer.push(("session_state", keys::guid()));
    }
    let issuer = request.asked.issuer(request.dialect, &tenant.id);
    match app.config.behaviour.authorize_iss {
        AuthorizeIss::None if !request.asked.realm.sends_iss() => {}
        AuthorizeIss::None => answer.push(("iss", issuer)),
        AuthorizeIss::Right => answer.push(("iss", issuer)),
        AuthorizeIss::Wrong => answer.push(("iss", "https://issuer.invalid/".to_owned())),
    }
    send(request, &answer)
}

/// `client_info`: who signed in, for a client that asked.
pub fn client_info(user: &User, tenant: &Tenant) -> String {
    keys::b64(json!({"uid": user.object_id, "utid": tenant.id}).to_string())
}

/// Sends an error.
fn refuse(app: &App, request: &AuthRequest, error: &AadError) -> Response {
    if let Some(code) = &request.device {
        if error.error != "access_denied" {
            return page_error(app, &request.asked, error);
        }
        let name = app.config.app(&request.client_id).map_or("", |a| a.name.as_str());
        device::decided(app, code, Verdict::Declined);
        return pages::device_done(name, false);
    }
    let mut answer = vec![
        ("error", error.error.clone()),
        ("error_description", error.description(&request.asked, app.now())),
        ("error_uri", format!("{}/error?code={}", request.asked.base.login(), error.code)),
    ];
    if let Some(sub) = &error.suberror {
        answer.push(("error_subcode", sub.clone()));
    }
    if let Some(claims) = &error.claims {
        answer.push(("claims", claims.clone()));
    }
    if request.asked.realm.sends_iss() {
        answer.push(("iss", request.asked.issuer(request.dialect, "")));
    }
    if let Some(state) = request.params.get("state") {
        answer.push(("state", state.to_owned()));
    }
    send(request, &answer)
}

fn send(request: &AuthRequest, answer: &[(&str, String)]) -> Response {
    if request.response_mode == "form_post" {
        return pages::form_post(&request.redirect_uri, answer);
    }
    let pairs = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
    let mut to = request.redirect_uri.clone();
    // Entra adds the slash a bare host lacks.
    if let Some((_, rest)) = to.split_once("://")
        && !rest.contains('/')
    {
        to.push('/');
    }
    to.push(match request.response_mode.as_str() {
        "fragment" => '#',
        _ if to.contains('?') => '&',
        _ => '?',
    });
    to.push_str(&pairs);
    http::redirect(&to)
}

#[cfg(test)]
mod tests {
    use super::same_redirect;

    #[test]
    fn loopback_redirects_match_on_any_port_and_others_exactly() {
        assert!(same_redirect("http://localhost", "http://localhost:4711"));
        assert!(same_redirect("http://localhost", "http://localhost:4711/"));
        assert!(same_redirect("http://127.0.0.1", "http://127.0.0.1:1"));
        assert!(!same_redirect("http://localhost", "http://127.0.0.1:4711"));
        assert!(!same_redirect("http://localhost", "http://localhost:4711/callback"));
        assert!(!same_redirect("http://localhost", "https://localhost:4711"));
        assert!(!same_redirect("https://portal.azure.com", "https://portal.azure.com/"));
        assert!(!same_redirect("https://portal.azure.com", "https://portal.azure.com:444"));
    }
}
