//! A token as it is handed out: the value, until when, for whom. Immutable.

use serde::{Deserialize, Deserializer, Serialize};

use super::answer::{Answer, id_claims, missing_scopes};
use super::authority::Dialect;
use super::{Grant, SignIn, Target};
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// Where a token came from, this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The cache held it.
    Cache,
    /// The token endpoint gave it without a person.
    Network,
    /// A person signed in.
    Interaction,
    /// The caller brought it.
    Caller,
}

/// Who the token is about, from the ID token (ADAL's `UserInfo`, and MSAL's account).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// `oid`, else `sub`.
    pub unique_id: Option<String>,
    /// `upn`, else `email`, else `preferred_username`.
    pub displayable_id: Option<String>,
    /// `given_name`.
    pub given_name: Option<String>,
    /// `family_name`.
    pub family_name: Option<String>,
    /// `idp`, else `iss`.
    pub identity_provider: Option<String>,
    /// When the password expires, in Unix seconds.
    pub password_expires_on: Option<i64>,
    /// Where the password is changed.
    pub password_change_url: Option<String>,
    /// The account across tenants: `uid.utid`.
    pub home_account_id: Option<String>,
    /// `preferred_username`, else `upn`.
    pub username: Option<String>,
}

/// An access token and what came with it.
#[derive(Debug)]
pub struct Token {
    value: Secret,
    id_token: Option<Secret>,
    description: Description,
}

/// All about a token but the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    #[serde(deserialize_with = "bearer")]
    token_type: &'static str,
    /// Unix seconds.
    pub expires_on: i64,
    extended_expires_on: Option<i64>,
    acquired_on: i64,
    refresh_on: Option<i64>,
    authority: String,
    /// The tenant that issued it, for a person's token.
    pub tenant_id: Option<String>,
    client_id: String,
    resource: Option<String>,
    scopes: Vec<String>,
    missing_scopes: Vec<String>,
    #[serde(deserialize_with = "dialect")]
    dialect: &'static str,
    #[serde(deserialize_with = "grant")]
    grant: &'static str,
    source: Source,
    correlation_id: String,
    has_id_token: bool,
    /// The person, if there is one.
    pub user: Option<User>,
}

fn bearer<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<&'static str, D::Error> {
    String::deserialize(from).map(|_| "Bearer")
}

fn dialect<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<&'static str, D::Error> {
    let name = String::deserialize(from)?;
    let known = [Dialect::V1, Dialect::V2]
        .into_iter()
        .map(Dialect::name)
        .find(|known| *known == name);
    known.ok_or_else(|| serde::de::Error::custom("the dialect is not known"))
}

fn grant<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<&'static str, D::Error> {
    Grant::parse(&String::deserialize(from)?)
        .map(Grant::name)
        .map_err(serde::de::Error::custom)
}

/// Keeps a NUL behind the text, so that C can print what an accessor lends.
fn with_nul(secret: &Secret) -> Secret {
    let mut text = String::with_capacity(secret.expose().len() + 1);
    text.push_str(secret.expose());
    text.push('\0');
    Secret::new(text)
}

fn without_nul(secret: &Secret) -> &str {
    secret.expose().trim_end_matches('\0')
}

impl Token {
    /// From an answer of the token endpoint.
    pub fn from_answer(answer: &Answer, sign_in: &SignIn, now: i64, source: Source) -> Result<Token> {
        let claims = answer.id_token.as_ref().and_then(id_claims);
        let members = claims.as_deref().and_then(Members::read);
        let tenant_id = members.as_ref().and_then(|m| m.text("tid"));
        if let (Some(tid), tenant) = (&tenant_id, sign_in.authority.tenant())
            && super::authority::is_guid(tenant)
            && !tid.eq_ignore_ascii_case(tenant)
        {
            return Err(
                Error::new(Code::OauthOther, format!("the answer is for tenant {tid}, not for {tenant}"))
                    .with_hint("sign in with an account of the tenant asked for"),
            );
        }
        let user = members
            .as_ref()
            .filter(|_| !matches!(sign_in.grant, Grant::ClientCredentials | Grant::ManagedIdentity))
            .map(|m| user_of(m, answer.client_info.as_deref(), now));
        let (resource, asked): (Option<String>, &[String]) = match &sign_in.target {
            Target::Resource(resource) => (Some(resource.clone()), &[]),
            Target::Scopes(scopes) => (None, scopes),
        };
        let granted = answer.scope.as_deref().unwrap_or_default();
        let missing_scopes = if answer.scope.is_some() {
            missing_scopes(asked, granted)
        } else {
            Vec::new()
        };
        Ok(Token {
            value: with_nul(&answer.access_token),
            id_token: answer.id_token.as_ref().map(with_nul),
            description: Description {
                token_type: "Bearer",
                expires_on: now.saturating_add(answer.expires_in),
                extended_expires_on: answer.ext_expires_in.map(|seconds| now.saturating_add(seconds)),
                acquired_on: now,
                refresh_on: answer.refresh_in.map(|seconds| now.saturating_add(seconds)),
                authority: sign_in.authority.display(tenant_id.as_deref()),
                tenant_id,
                client_id: sign_in.client_id.clone(),
                resource,
                scopes: granted.split_whitespace().map(str::to_owned).collect(),
                missing_scopes,
                dialect: sign_in.dialect().name(),
                grant: sign_in.grant.name(),
                source,
                correlation_id: answer.correlation_id.clone(),
                has_id_token: answer.id_token.is_some(),
                user,
            },
        })
    }

    /// From a token that the caller brought; its expiry is read from it where it can be.
    pub fn from_caller(value: &Secret, sign_in: &SignIn, now: i64, correlation_id: &str) -> Result<Token> {
        let text = value.expose().trim();
        let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
        if text.is_empty() || text.bytes().any(|b| b.is_ascii_control() || b == b' ' || !b.is_ascii()) {
            return Err(Error::argument(
                "the access token holds characters that no header can carry",
                "pass the token alone, without line breaks",
            ));
        }
        let claims = crate::claims::decode(text).ok();
        let members = claims.as_ref().and_then(|decoded| Members::read(&decoded.claims));
        let expires_on = members
            .as_ref()
            .and_then(|m| m.seconds("exp"))
            .unwrap_or_else(|| now.saturating_add(3600));
        Ok(Token {
            value: with_nul(&Secret::new(text.to_owned())),
            id_token: None,
            description: Description {
                token_type: "Bearer",
                expires_on,
                extended_expires_on: None,
                acquired_on: now,
                refresh_on: None,
                authority: sign_in.authority.display(None),
                tenant_id: members.as_ref().and_then(|m| m.text("tid")),
                client_id: sign_in.client_id.clone(),
                resource: match &sign_in.target {
                    Target::Resource(resource) if !resource.is_empty() => Some(resource.clone()),
                    _ => None,
                },
                scopes: members
                    .as_ref()
                    .and_then(|m| m.text("scp"))
                    .map(|scp| scp.split_whitespace().map(str::to_owned).collect())
                    .unwrap_or_default(),
                missing_scopes: Vec::new(),
                dialect: sign_in.dialect().name(),
                grant: sign_in.grant.name(),
                source: Source::Caller,
                correlation_id: correlation_id.to_owned(),
                has_id_token: false,
                user: None,
            },
        })
    }

    /// From what was kept of a token elsewhere: its texts, and what [`Token::describe`] said of it.
    pub fn from_kept(value: &Secret, id_token: Option<&Secret>, description: Description) -> Token {
        Token {
            value: with_nul(value),
            id_token: id_token.map(with_nul),
            description: Description {
                has_id_token: id_token.is_some(),
                ..description
            },
        }
    }

    /// The access token.
    pub fn value(&self) -> &str {
        without_nul(&self.value)
    }

    /// The ID token.
    pub fn id_token(&self) -> Option<&str> {
        self.id_token.as_ref().map(without_nul)
    }

    /// When it expires, in Unix seconds.
    pub fn expires_on(&self) -> i64 {
        self.description.expires_on
    }

    /// When it came, in Unix seconds.
    pub fn acquired_on(&self) -> i64 {
        self.description.acquired_on
    }

    /// The person it is about.
    pub fn user(&self) -> Option<&User> {
        self.description.user.as_ref()
    }

    /// The tenant that issued it.
    pub fn tenant_id(&self) -> Option<&str> {
        self.description.tenant_id.as_deref()
    }

    /// True if it still has more than `margin` seconds at `now`.
    pub fn is_fresh(&self, now: i64, margin: i64) -> bool {
        self.description.expires_on.saturating_sub(now) > margin
    }

    /// All about it but the token; `from_cache` says that this time no one was asked.
    pub fn describe(&self, from_cache: bool) -> Description {
        let mut description = self.description.clone();
        if from_cache && description.source != Source::Caller {
            description.source = Source::Cache;
        }
        description
    }
}

fn user_of(claims: &Members<'_>, client_info: Option<&str>, now: i64) -> User {
    let text = |name: &str| claims.text(name).filter(|value| !value.is_empty());
    let home = client_info
        .and_then(home_account)
        .or_else(|| Some(format!("{}.{}", text("oid")?, text("tid")?)));
    User {
        unique_id: text("oid").or_else(|| text("sub")),
        displayable_id: text("upn").or_else(|| text("email")).or_else(|| text("preferred_username")),
        given_name: text("given_name"),
        family_name: text("family_name"),
        identity_provider: text("idp").or_else(|| text("iss")),
        password_expires_on: claims
            .seconds("pwd_exp")
            .filter(|seconds| *seconds > 0)
            .map(|seconds| now.saturating_add(seconds)),
        password_change_url: text("pwd_url"),
        home_account_id: home,
        username: text("preferred_username").or_else(|| text("upn")).or_else(|| text("email")),
    }
}

/// `uid.utid` from Entra's `client_info`.
fn home_account(client_info: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(client_info.trim_end_matches('='))
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let members = Members::read(&text)?;
    Some(format!("{}.{}", members.text("uid")?, members.text("utid")?))
}
