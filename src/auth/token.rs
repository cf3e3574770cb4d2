//! A token as it is handed out: the value, until when, for whom. Immutable.

use std::num::NonZeroI64;
use std::sync::Arc;

use once_cell::sync::Lazy;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::answer::{Answer, id_claims, missing_scopes};
use super::authority::Dialect;
use super::interned::Interned;
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

impl User {
    /// Without the room that strings leave while they grow.
    fn fitted(mut self) -> User {
        let texts = [
            &mut self.unique_id,
            &mut self.displayable_id,
            &mut self.given_name,
            &mut self.family_name,
            &mut self.identity_provider,
            &mut self.password_change_url,
            &mut self.home_account_id,
            &mut self.username,
        ];
        texts.into_iter().flatten().for_each(String::shrink_to_fit);
        self
    }
}

/// An access token and what came with it. Small: a cache may hold a million. What many have in common is kept once.
#[derive(Debug)]
pub struct Token {
    /// The access token and the ID token, each with a NUL behind it, so that C can print what an accessor lends.
    text: Secret,
    value_len: u32,
    source: Source,
    has_id_token: bool,
    expires_on: i64,
    acquired_on: i64,
    extended_expires_on: Option<NonZeroI64>,
    refresh_on: Option<NonZeroI64>,
    correlation_id: CorrelationId,
    /// The tenant that ends the authority's address, if it is named by its id.
    authority_tenant: Option<Uuid>,
    tenant_id: Option<Uuid>,
    kind: Arc<Kind>,
    user: Option<Arc<User>>,
}

/// What the tokens of one app for one purpose have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    /// Without the tenant that stands in the token.
    authority: String,
    /// A tenant whose id is no UUID.
    tenant_id: Option<String>,
    client_id: String,
    resource: Option<String>,
    scopes: Vec<String>,
    missing_scopes: Vec<String>,
    dialect: Dialect,
    grant: Grant,
}

/// An id of an exchange, which nearly always is a UUID.
#[derive(Debug)]
enum CorrelationId {
    Uuid(Uuid),
    Other(Box<str>),
}

/// A UUID in a third of its text.
#[derive(Clone, Copy, Debug)]
struct Uuid([u8; 16]);

static KINDS: Lazy<Interned<Kind>> = Lazy::new(Interned::default);

/// All about a token but the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    token_type: TokenType,
    /// Unix seconds.
    pub expires_on: i64,
    extended_expires_on: Option<i64>,
    acquired_on: i64,
    /// From when on it should be renewed ahead, in Unix seconds.
    pub refresh_on: Option<i64>,
    /// Who issued it.
    pub authority: String,
    /// The tenant that issued it, for a person's token.
    pub tenant_id: Option<String>,
    client_id: String,
    /// What it is for, as v1 names it.
    pub resource: Option<String>,
    /// What it is for, as granted.
    pub scopes: Vec<String>,
    missing_scopes: Vec<String>,
    #[serde(serialize_with = "write_dialect", deserialize_with = "read_dialect")]
    dialect: Dialect,
    #[serde(serialize_with = "write_grant", deserialize_with = "read_grant")]
    /// How it was got.
    pub grant: Grant,
    source: Source,
    correlation_id: String,
    has_id_token: bool,
    /// The person, if there is one.
    pub user: Option<User>,
}

/// How a token is sent (RFC 6750).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum TokenType {
    Bearer,
}

type Read<T, E> = std::result::Result<T, E>;

fn write_dialect<S: Serializer>(dialect: &Dialect, to: S) -> Read<S::Ok, S::Error> {
    to.serialize_str(dialect.name())
}

fn read_dialect<'de, D: Deserializer<'de>>(from: D) -> Read<Dialect, D::Error> {
    let name = String::deserialize(from)?;
    let known = [Dialect::V1, Dialect::V2].into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| serde::de::Error::custom("the dialect is not known"))
}

fn write_grant<S: Serializer>(grant: &Grant, to: S) -> Read<S::Ok, S::Error> {
    to.serialize_str(grant.name())
}

fn read_grant<'de, D: Deserializer<'de>>(from: D) -> Read<Grant, D::Error> {
    Grant::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

impl Uuid {
    /// From a text that is written back exactly as it is.
    fn parse(text: &str) -> Option<Uuid> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let uuid = Uuid(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes());
        (uuid.to_string() == text).then_some(uuid)
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, byte)| {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")
        })
    }
}

/// The address of an authority, without the tenant that ends it if that is named by its id, and the tenant.
fn split_tenant(authority: String) -> (String, Option<Uuid>) {
    let last = authority.strip_suffix('/').and_then(|text| text.rsplit_once('/'));
    match last.and_then(|(base, last)| Some((format!("{base}/"), Uuid::parse(last)?))) {
        Some((base, tenant)) => (base, Some(tenant)),
        None => (authority, None),
    }
}

impl Token {
    fn new(value: &Secret, id_token: Option<&Secret>, about: Description) -> Token {
        let id_token = id_token.map(Secret::expose);
        let (authority, authority_tenant) = split_tenant(about.authority);
        let tenant_id = about.tenant_id.as_deref().and_then(Uuid::parse);
        let room = value.expose().len() + 1 + id_token.map_or(0, |text| text.len() + 1);
        // Made at its full size: growth would leave copies behind.
        let mut text = String::with_capacity(room);
        for part in [Some(value.expose()), id_token].into_iter().flatten() {
            text.push_str(part);
            text.push('\0');
        }
        Token {
            text: Secret::new(text),
            value_len: u32::try_from(value.expose().len()).unwrap_or(u32::MAX),
            source: about.source,
            has_id_token: id_token.is_some(),
            expires_on: about.expires_on,
            acquired_on: about.acquired_on,
            extended_expires_on: about.extended_expires_on.and_then(NonZeroI64::new),
            refresh_on: about.refresh_on.and_then(NonZeroI64::new),
            correlation_id: match Uuid::parse(&about.correlation_id) {
                Some(uuid) => CorrelationId::Uuid(uuid),
                None => CorrelationId::Other(about.correlation_id.into()),
            },
            authority_tenant,
            tenant_id,
            kind: KINDS.of(Kind {
                authority,
                tenant_id: about.tenant_id.filter(|_| tenant_id.is_none()),
                client_id: about.client_id,
                resource: about.resource,
                scopes: about.scopes,
                missing_scopes: about.missing_scopes,
                dialect: about.dialect,
                grant: about.grant,
            }),
            user: about.user.map(|user| Arc::new(user.fitted())),
        }
    }

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
        Ok(Token::new(
            &answer.access_token,
            answer.id_token.as_ref(),
            Description {
                token_type: TokenType::Bearer,
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
                dialect: sign_in.dialect(),
                grant: sign_in.grant,
                source,
                correlation_id: answer.correlation_id.clone(),
                has_id_token: answer.id_token.is_some(),
                user,
            },
        ))
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
        Ok(Token::new(
            &Secret::new(text.to_owned()),
            None,
            Description {
                token_type: TokenType::Bearer,
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
                dialect: sign_in.dialect(),
                grant: sign_in.grant,
                source: Source::Caller,
                correlation_id: correlation_id.to_owned(),
                has_id_token: false,
                user: None,
            },
        ))
    }

    /// From what was kept of a token elsewhere: its texts, and what [`Token::describe`] said of it.
    pub fn from_kept(value: &Secret, id_token: Option<&Secret>, description: Description) -> Token {
        Token::new(value, id_token, description)
    }

    /// The access token.
    pub fn value(&self) -> &str {
        let len = usize::try_from(self.value_len).unwrap_or(usize::MAX);
        self.text.expose().get(..len).unwrap_or_default()
    }

    /// The ID token.
    pub fn id_token(&self) -> Option<&str> {
        let behind = self.text.expose().get(self.value().len() + 1..).unwrap_or_default();
        self.has_id_token.then(|| behind.strip_suffix('\0').unwrap_or(behind))
    }

    /// When it expires, in Unix seconds.
    pub fn expires_on(&self) -> i64 {
        self.expires_on
    }

    /// When it came, in Unix seconds.
    pub fn acquired_on(&self) -> i64 {
        self.acquired_on
    }

    /// From when on it should be renewed ahead of its expiry, in Unix seconds, where the service said so.
    pub fn refresh_on(&self) -> Option<i64> {
        self.refresh_on.map(NonZeroI64::get)
    }

    /// True if the time has come to renew it ahead.
    pub fn is_due(&self, now: i64) -> bool {
        self.refresh_on().is_some_and(|at| at <= now)
    }

    /// The person it is about.
    pub fn user(&self) -> Option<&User> {
        self.user.as_deref()
    }

    /// The same, shared.
    pub fn shared_user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// The tenant that issued it.
    pub fn tenant_id(&self) -> Option<String> {
        self.tenant_id.map(|id| id.to_string()).or_else(|| self.kind.tenant_id.clone())
    }

    /// True if it still has more than `margin` seconds at `now`.
    pub fn is_fresh(&self, now: i64, margin: i64) -> bool {
        self.expires_on.saturating_sub(now) > margin
    }

    /// All about it but the token; `from_cache` says that this time no one was asked.
    pub fn describe(&self, from_cache: bool) -> Description {
        Description {
            token_type: TokenType::Bearer,
            expires_on: self.expires_on,
            extended_expires_on: self.extended_expires_on.map(NonZeroI64::get),
            acquired_on: self.acquired_on,
            refresh_on: self.refresh_on(),
            authority: match self.authority_tenant {
                Some(tenant) => format!("{}{tenant}/", self.kind.authority),
                None => self.kind.authority.clone(),
            },
            tenant_id: self.tenant_id(),
            client_id: self.kind.client_id.clone(),
            resource: self.kind.resource.clone(),
            scopes: self.kind.scopes.clone(),
            missing_scopes: self.kind.missing_scopes.clone(),
            dialect: self.kind.dialect,
            grant: self.kind.grant,
            source: if from_cache && self.source != Source::Caller {
                Source::Cache
            } else {
                self.source
            },
            correlation_id: match &self.correlation_id {
                CorrelationId::Uuid(uuid) => uuid.to_string(),
                CorrelationId::Other(text) => text.to_string(),
            },
            has_id_token: self.has_id_token,
            user: self.user().cloned(),
        }
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
            .map(|seconds| now.saturating_add(seconds.min(super::answer::LONGEST_LIFE))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_small_is_written_back_as_it_came() {
        for (text, is_uuid) in [
            ("0b3f9a52-6c1d-4e0f-8a7b-000102030405", true),
            ("0B3F9A52-6C1D-4E0F-8A7B-000102030405", false),
            ("0b3f9a526c1d4e0f8a7b000102030405", false),
            ("+b3f9a52-6c1d-4e0f-8a7b-000102030405", false),
            ("", false),
            ("build 17", false),
        ] {
            let uuid = Uuid::parse(text);
            assert_eq!(uuid.is_some(), is_uuid, "{text}");
            assert!(uuid.is_none_or(|uuid| uuid.to_string() == text));
            let authority = format!("https://login.microsoftonline.com/{text}/");
            let (base, tenant) = split_tenant(authority.clone());
            assert_eq!(tenant.is_some(), is_uuid);
            assert_eq!(tenant.map_or(base.clone(), |tenant| format!("{base}{tenant}/")), authority);
        }
    }
}
