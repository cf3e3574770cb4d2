//! The app signs in by itself (RFC 6749 section 4.4), with whatever credential it has.

use super::answer::{self, Answer};
use super::authority::Kind;
use super::credential::Proof;
use super::{Asks, Env, SignIn, Target, aadsts};
use crate::error::{Error, Result};
use crate::transport::{Call, Retry};

/// Asks for a token for the app itself.
pub async fn client_credentials(env: &Env, call: &Call, sign_in: &SignIn, proof: &Proof) -> Result<Answer> {
    let mut form: Vec<(&str, &str)> = vec![("grant_type", "client_credentials"), ("client_id", &sign_in.client_id)];
    form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    let target = sign_in.target_fields(Asks::App);
    form.extend(target.iter().map(|(name, value)| (*name, value.as_str())));
    if let Some(claims) = &sign_in.claims {
        form.push(("claims", claims));
    }
    answer::ask(env, call, sign_in, &form, Retry::Once).await
}

/// Refuses, before the network is asked, what the token endpoint would refuse.
pub fn check(sign_in: &SignIn) -> Result<()> {
    if sign_in.authority.is_multi_tenant() {
        return Err(Error::argument(
            format!(
                "an app that signs in by itself needs its tenant, not \"{}\"",
                sign_in.authority.tenant()
            ),
            "name the tenant by its ID or domain",
        ));
    }
    // Other providers have scopes of their own.
    if matches!(sign_in.authority.kind(), Kind::Entra | Kind::Ciam | Kind::B2c)
        && let Target::Scopes(scopes) = &sign_in.target
        && (scopes.len() != 1 || !scopes.iter().all(|scope| scope.ends_with("/.default")))
    {
        return Err(Error::argument(
            "an app that signs in by itself asks for exactly one scope that ends in /.default",
            format!("use {}", aadsts::default_scope(scopes)),
        )
        .with_code(crate::error::Code::InvalidScope));
    }
    Ok(())
}
