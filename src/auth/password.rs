//! A person's name and password (RFC 6749 section 4.3). Entra refuses it for guests, for accounts with multifactor authentication and for
//! personal accounts; Microsoft advises against it (Microsoft identity platform, "OAuth 2.0 Resource Owner Password Credentials"). Where the person's domain
//! is federated, the provider there checks the password (docs/adr/0023).

use super::answer::{self, Answer};
use super::credential::Proof;
use super::{Asks, Env, SignIn, federation};
use crate::error::Result;
use crate::secret::Secret;
use crate::transport::{Call, Retry};

/// Signs the person in. Sent once: a wrong password counts towards a lock-out.
pub async fn password(env: &Env, call: &Call, sign_in: &SignIn, username: &str, password: &Secret, proof: &Proof) -> Result<Answer> {
    // Asked first: the password of a federated person is none of Entra's.
    if let Some(federated) = federation::of_password(env, call, sign_in, username).await? {
        let person = federation::by_password(env, call, sign_in, &federated, username, password).await?;
        return federation::redeem(env, call, sign_in, &person, proof).await;
    }
    let mut form: Vec<(&str, &str)> = vec![
        ("grant_type", "password"),
        ("client_id", &sign_in.client_id),
        ("username", username),
        ("password", password.expose()),
        ("client_info", "1"),
    ];
    form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    let target = sign_in.target_fields(Asks::Person);
    form.extend(target.iter().map(|(name, value)| (*name, value.as_str())));
    if let Some(claims) = &sign_in.claims {
        form.push(("claims", claims));
    }
    answer::ask(env, call, sign_in, &form, Retry::Never).await
}
