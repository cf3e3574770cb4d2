//! The identity of the machine or service this runs on (Microsoft Entra, "Managed identities for Azure resources").

use super::answer::Answer;
use super::{Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::transport::Call;

/// Which identity: the place's own, or one assigned to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ManagedIdentity {
    /// System-assigned.
    #[default]
    System,
    /// User-assigned, by its client (application) ID.
    ClientId(String),
    /// User-assigned, by the object ID of its service principal.
    ObjectId(String),
    /// User-assigned, by its Azure resource ID.
    ResourceId(String),
}

impl ManagedIdentity {
    /// The part of a cache key.
    pub fn key(&self) -> String {
        match self {
            ManagedIdentity::System => "system".to_owned(),
            ManagedIdentity::ClientId(id) => format!("client_id {}", id.to_ascii_lowercase()),
            ManagedIdentity::ObjectId(id) => format!("object_id {}", id.to_ascii_lowercase()),
            ManagedIdentity::ResourceId(id) => format!("resource_id {}", id.to_ascii_lowercase()),
        }
    }
}

/// Asks the endpoint of the place.
pub async fn managed_identity(_env: &Env, _call: &Call, _sign_in: &SignIn) -> Result<Answer> {
    Err(Error::new(Code::Unsupported, "the grant managed_identity is not built yet"))
}
