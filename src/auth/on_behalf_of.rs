//! The app acts for the person whose token it was given: Entra's on-behalf-of flow (RFC 7523 section 2.1 with `requested_token_use`;
//! Microsoft identity platform, "OAuth 2.0 On-Behalf-Of flow").

use super::answer::{self, Answer};
use super::credential::Proof;
use super::{Asks, Env, SignIn};
use crate::error::Result;
use crate::secret::Secret;
use crate::transport::{Call, Retry};

/// Exchanges the person's token, issued to this app, for one to the target.
pub async fn on_behalf_of(env: &Env, call: &Call, sign_in: &SignIn, user_assertion: &Secret, proof: &Proof) -> Result<Answer> {
    let mut form: Vec<(&str, &str)> = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("client_id", &sign_in.client_id),
        ("assertion", user_assertion.expose()),
        ("client_info", "1"),
    ];
    form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    let target = sign_in.target_fields(Asks::Person);
    form.extend(target.iter().map(|(name, value)| (*name, value.as_str())));
    if let Some(claims) = &sign_in.claims {
        form.push(("claims", claims));
    }
    answer::ask(env, call, sign_in, &form, Retry::Once).await
}
