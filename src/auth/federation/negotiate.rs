//! Integrated Windows authentication: the provider is asked by the Windows account of the session.
//!
//! Kerberos and NTLM are the operating system's, and the account is that of whoever runs the host, so the host sends the request: this library
//! makes it, and reads the answer.

use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::ws_trust::{self, Answered};
use super::{Way, mex, proof, realm};
use crate::auth::authority::Kind;
use crate::auth::credential::Proof;
use crate::auth::interaction::{Host, Question, Reply};
use crate::auth::{Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::transport::{Call, host_of};

/// What the host replies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    status: Option<u16>,
    #[serde(default)]
    body: Zeroizing<String>,
    error: Option<String>,
}

/// What proves the person to the token endpoint, by their Windows account.
pub async fn integrated_windows(env: &Env, call: &Call, sign_in: &SignIn, host: &Arc<dyn Host>) -> Result<Proof> {
    if sign_in.authority.kind() != Kind::Entra {
        return Err(Error::new(
            Code::Unsupported,
            "integrated Windows authentication is for people of Microsoft Entra whose domain is federated, and the authority is another",
        )
        .with_hint("use an authority of Microsoft Entra, or sign in with a browser (grant authorization_code)"));
    }
    if !host.listens() {
        return Err(nobody_sends());
    }
    let username = sign_in.username.as_deref().unwrap_or_default();
    let federated = realm::of_windows_account(env, call, sign_in, username).await?;
    let endpoint = mex::endpoint(env, call, sign_in, &federated, Way::Windows).await?;
    let envelope = ws_trust::envelope(env, &federated, &endpoint, None)?;
    let question = Question::Negotiate {
        // The host's own way out knows of no emulator.
        url: env.transport.browser_url(call, &endpoint.url).await?.to_string(),
        content_type: ws_trust::CONTENT_TYPE,
        action: endpoint.version.action(),
        body: envelope.as_str().to_owned(),
    };
    let Reply::Text(reply) = host.ask(question).await? else {
        return Err(nobody_sends());
    };
    let at = host_of(&endpoint.url);
    let sent: Sent = serde_json::from_str(&reply).map_err(|_| {
        Error::argument(
            "the reply to the event negotiate is not the JSON that is expected",
            "reply with {\"status\": the HTTP status, \"body\": the answer's text}, or {\"error\": why nothing could be sent}",
        )
    })?;
    let status = match (sent.status, sent.error) {
        (Some(status), None) => status,
        (_, why) => {
            return Err(Error::new(
                Code::Connect,
                format!(
                    "the federation service {at} could not be asked: {}",
                    why.as_deref().unwrap_or("no status was replied")
                ),
            )
            .with_retry(None)
            .with_hint(NOT_HERE));
        }
    };
    let answer = Answered {
        host: &at,
        status,
        text: &sent.body,
        password: None,
    };
    let assertion = ws_trust::read(&answer, endpoint.version).map_err(|error| match error.code() {
        Code::BadUserCredential => error.with_hint(NOT_HERE),
        _ => error,
    })?;
    Ok(proof(&assertion))
}

/// What integrated Windows authentication takes.
const NOT_HERE: &str = "run this as the domain account itself, on a machine of the domain that reaches a domain controller and the federation service; else sign in with a browser (grant authorization_code)";

fn nobody_sends() -> Error {
    Error::new(
        Code::Unsupported,
        "the Windows account of the session is used by the caller, and a blocking call cannot ask for that",
    )
    .with_hint("use an operation, which brings the event negotiate: dxdr_acquire_token_start, dxdr_op_wait, dxdr_op_take_event, dxdr_op_reply; in PowerShell Get-MsalToken -IntegratedWindowsAuth")
}
