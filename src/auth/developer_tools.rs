//! Tokens of the person who is signed in to a developer tool of this machine: the Azure CLI, the Azure Developer CLI.

use super::answer::Answer;
use super::{Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::transport::Call;

/// Asks the tool that the request's grant names.
pub async fn developer_tool(_env: &Env, _call: &Call, sign_in: &SignIn) -> Result<Answer> {
    Err(Error::new(
        Code::Unsupported,
        format!("the grant {} is not built yet", sign_in.grant.name()),
    ))
}
