//! A refresh token turned into an access token (RFC 6749 section 6), for any resource of the same client.

use super::answer::{self, Answer};
use super::credential::Proof;
use super::{Asks, Env, SignIn};
use crate::error::Result;
use crate::secret::Secret;
use crate::transport::{Call, Retry};

/// Spends a refresh token. It is not sent a second time: the service may have rotated it already.
pub async fn refresh(env: &Env, call: &Call, sign_in: &SignIn, refresh_token: &Secret, proof: &Proof) -> Result<Answer> {
    let mut form: Vec<(&str, &str)> = vec![
        ("grant_type", "refresh_token"),
        ("client_id", &sign_in.client_id),
        ("refresh_token", refresh_token.expose()),
        ("client_info", "1"),
    ];
    let target = sign_in.target_fields(Asks::Person);
    form.extend(target.iter().map(|(name, value)| (*name, value.as_str())));
    form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    if let Some(claims) = &sign_in.claims {
        form.push(("claims", claims));
    }
    answer::ask(env, call, sign_in, &form, Retry::Never).await
}
