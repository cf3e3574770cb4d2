//! A person signs in on another device (RFC 8628).

use std::sync::Arc;

use super::answer::Answer;
use super::credential::Proof;
use super::interaction::Host;
use super::{Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::transport::Call;

/// Shows a code through the host and asks for the token until the person has signed in.
pub async fn device_code(_env: &Env, _call: &Call, _sign_in: &SignIn, _host: &Arc<dyn Host>, _proof: &Proof) -> Result<Answer> {
    Err(Error::new(Code::Unsupported, "the grant device_code is not built yet"))
}
