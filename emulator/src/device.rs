//! Device codes (RFC 8628): the endpoint that gives them out, and the page where a person types one.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::json;

use crate::aad_error::AadError;
use crate::authorize::{self, find_app, is_common, proceed, session_users, unknown_tenant};
use crate::consent;
use crate::hosts::Base;
use crate::http::{self, Asked};
use crate::keys;
use crate::pages;
use crate::state::{App, Ask, AuthRequest, Device, Dialect, Flow, Verdict, stamp};

/// `POST /{tenant}/oauth2/devicecode`; ADAL sends a GET.
pub async fn v1(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    let dialect = asked.realm.dialect(Dialect::V1, &asked);
    answer(&app, &asked, &tenant, dialect)
}

/// `POST /{tenant}/oauth2/v2.0/devicecode`.
pub async fn v2(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    answer(&app, &asked, &tenant, Dialect::V2)
}

fn answer(app: &App, asked: &Asked, tenant: &str, dialect: Dialect) -> Response {
    let response = match give(app, asked, tenant, dialect) {
        Ok(body) => http::no_store(http::json(200, &body)),
        Err(error) => error.response(asked, app.now()),
    };
    stamp(response, asked)
}

fn give(app: &App, asked: &Asked, tenant: &str, dialect: Dialect) -> Result<serde_json::Value, AadError> {
    let config = &app.config;
    if !is_common(tenant) && config.tenant(tenant).is_none() {
        return Err(unknown_tenant(tenant));
    }
    let params = asked.query.and(&asked.form);
    let registration = find_app(
        config,
        params.get("client_id").ok_or_else(|| AadError::missing("client_id"))?,
        tenant,
    )?;
    let ask = match dialect {
        Dialect::V1 => match params.get("resource") {
            Some(resource) => consent::ask_v1(config, resource, tenant)?,
            None => Ask {
                openid: true,
                offline: true,
                ..Ask::default()
            },
        },
        Dialect::V2 => consent::ask_v2(config, params.get("scope").ok_or_else(|| AadError::missing("scope"))?, tenant)?,
    };
    consent::app_may(config, &registration.client_id, &ask)?;
    let settings = &config.device_code;
    let user_code = user_code();
    let device_code = format!("{}A{}", &user_code[..1], keys::b64(keys::random::<120>()));
    let page = settings.verification_uri.clone().unwrap_or_else(|| {
        // Not Microsoft's: a person who opens what is shown must land here.
        let origin = match &asked.base {
            Base::Own(origin) => origin.as_str(),
            Base::Host(_) => app.origin.get().map_or("", String::as_str),
        };
        format!("{origin}/devicelogin")
    });
    let message = format!("To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate.");
    let request = AuthRequest {
        dialect,
        asked: asked.clone(),
        tenant: tenant.to_owned(),
        client_id: registration.client_id.clone(),
        redirect_uri: String::new(),
        web: false,
        response_mode: "query".to_owned(),
        ask,
        challenge: None,
        prompt: String::new(),
        admin_consent: false,
        device: Some(device_code.clone()),
        params,
    };
    app.state().devices.insert(
        device_code.clone(),
        Device {
            user_code: user_code.clone(),
            request,
            created: app.now(),
            interval_seconds: settings.interval_seconds,
            polled_ms: None,
            polls: 0,
            verdict: Verdict::Pending,
            redeemed: false,
        },
    );
    Ok(match dialect {
        Dialect::V1 => json!({
            "user_code": user_code,
            "device_code": device_code,
            "verification_url": page,
            "expires_in": settings.lifetime_seconds.to_string(),
            "interval": settings.interval_seconds.to_string(),
            "message": message,
        }),
        Dialect::V2 => json!({
            "user_code": user_code,
            "device_code": device_code,
            "verification_uri": page,
            "expires_in": settings.lifetime_seconds,
            "interval": settings.interval_seconds,
            "message": message,
        }),
    })
}

/// Nine letters and digits without those that look like others.
fn user_code() -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    keys::random::<9>()
        .iter()
        .map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()]))
        .collect()
}

/// What the configuration says about a code nobody looked at, at its nth poll.
pub fn without_a_person(app: &App, request: &AuthRequest, polls: u32) -> Option<Verdict> {
    let settings = &app.config.device_code;
    let decided = request.device.as_deref().is_some_and(|code| {
        app.state()
            .devices
            .get(code)
            .is_some_and(|d| !matches!(d.verdict, Verdict::Pending))
    });
    if decided {
        return None;
    }
    if settings.decline_after_polls.is_some_and(|after| polls > after) {
        return Some(Verdict::Declined);
    }
    let after = settings.approve_after_polls.or_else(|| app.auto_approve.then_some(0))?;
    if polls <= after {
        return None;
    }
    let (tenant, user) = authorize::stand_in(&app.config, request)?;
    authorize::grant_all(app, request, &user.object_id, tenant, false);
    Some(Verdict::Approved {
        user: user.object_id.clone(),
        mfa: authorize::second_step(&app.config, request, user),
    })
}

/// Notes what a person decided.
pub fn decided(app: &App, code: &str, verdict: Verdict) {
    if let Some(device) = app.state().devices.get_mut(code) {
        device.verdict = verdict;
    }
}

/// `GET /devicelogin`, `/device`, `/{tenant}/oauth2/deviceauth`; `?otc=CODE` fills the code in.
pub async fn page(Extension(asked): Extension<Asked>) -> Response {
    stamp(
        pages::device_code(&target(&asked), asked.query.get("otc").unwrap_or_default(), None),
        &asked,
    )
}

fn target(asked: &Asked) -> String {
    match &asked.base {
        Base::Host(host) => format!("/{host}{}", asked.path),
        Base::Own(_) => asked.path.clone(),
    }
}

/// The code a person typed on that page.
pub async fn typed(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let code: String = asked
        .form
        .get("otc")
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let life = i64::try_from(app.config.device_code.lifetime_seconds).unwrap_or(i64::MAX / 4);
    let now = app.now();
    let found = app
        .state()
        .devices
        .values()
        .find(|d| d.user_code == code && now - d.created < life && matches!(d.verdict, Verdict::Pending))
        .map(|d| d.request.clone());
    let Some(request) = found else {
        let failed = "The code is not known here, or too old. Type it again.";
        return stamp(pages::device_code(&target(&asked), &code, Some(failed)), &asked);
    };
    let session = session_users(&app, &asked);
    let flow = Flow {
        user: match session.as_slice() {
            [one] => Some(one.user.clone()),
            _ => None,
        },
        request,
        confirmed: false,
        consented: false,
        awaiting_mfa: None,
    };
    stamp(proceed(&app, flow, &session, None), &asked)
}
