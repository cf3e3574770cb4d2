//! What Entra's error numbers mean for the person who meets them, in one table.
//!
//! Control flow never looks here: it follows `error` and `suberror`. A number refines the code's name and brings the fix; an unknown one changes
//! nothing. Source of the numbers: Microsoft Entra "Authentication and authorization error codes" (reference-error-codes).

use super::Target;
use crate::error::{Code, Error};

/// What a fix may have to name.
pub struct About<'a> {
    /// The application (client) id.
    pub client_id: &'a str,
    /// The tenant asked.
    pub tenant: &'a str,
    /// The redirect URI sent.
    pub redirect_uri: Option<&'a str>,
    /// What the token is for.
    pub target: &'a Target,
    /// Where an administrator can consent.
    pub consent_uri: Option<String>,
}

/// One number: the code it refines to, and what to do. `{client}`, `{tenant}`, `{redirect}`, `{target}`, `{scope}` and `{consent}` are filled in.
const TABLE: &[(u32, Code, &str)] = &[
    (16000, Code::InteractionRequired, "sign in interactively and choose the account"),
    (28000, Code::InvalidScope, "ask for the scopes of one resource at a time"),
    (
        50001,
        Code::InvalidScope,
        "the resource {target} is not known in the tenant {tenant}: check its spelling, a trailing slash counts",
    ),
    (
        50011,
        Code::OauthOther,
        "in the app registration {client}, under Authentication, add exactly this redirect URI for 'Mobile and desktop applications': {redirect}",
    ),
    (
        50020,
        Code::BadUserCredential,
        "the account belongs to another directory: invite it as a guest, or sign in with an account of {tenant}",
    ),
    (
        50034,
        Code::BadUserCredential,
        "the account does not exist in {tenant}: check the user name",
    ),
    (
        50053,
        Code::BadUserCredential,
        "the account is locked after too many attempts: wait, or reset the password",
    ),
    (
        50055,
        Code::BadUserCredential,
        "the password has expired: sign in interactively and change it",
    ),
    (50057, Code::BadUserCredential, "the account is disabled: ask an administrator"),
    (
        50058,
        Code::InteractionRequired,
        "nobody is signed in in this browser: sign in interactively",
    ),
    (
        50059,
        Code::TenantNotFound,
        "name the tenant: use its ID or domain in place of {tenant}",
    ),
    (
        50076,
        Code::MfaRequired,
        "sign in interactively to pass multi-factor authentication; an unattended sign-in as this user cannot",
    ),
    (
        50079,
        Code::MfaRequired,
        "sign in interactively once to register for multi-factor authentication",
    ),
    (
        50097,
        Code::BlockedByPolicy,
        "conditional access wants a registered device: sign in from one",
    ),
    (
        50105,
        Code::BlockedByPolicy,
        "assign the user to the app: Enterprise applications, {client}, Users and groups",
    ),
    (50126, Code::BadUserCredential, "user name or password is wrong"),
    (
        50158,
        Code::ClaimsChallenge,
        "sign in interactively to satisfy the extra check that conditional access asks for",
    ),
    (
        50173,
        Code::InvalidGrant,
        "the password was changed since the last sign-in: sign in again",
    ),
    (
        50194,
        Code::TenantNotFound,
        "the app {client} is registered for one tenant only: name that tenant in place of {tenant}",
    ),
    (
        53000,
        Code::BlockedByPolicy,
        "conditional access wants a compliant device: sign in from one, or ask an administrator",
    ),
    (
        53001,
        Code::BlockedByPolicy,
        "conditional access wants a domain-joined device: sign in from one, or ask an administrator",
    ),
    (
        53003,
        Code::BlockedByPolicy,
        "a conditional access policy blocks this sign-in: an administrator can see which one in the sign-in log by the correlation id",
    ),
    (
        54005,
        Code::InvalidGrant,
        "the authorization code was already used: start the sign-in again",
    ),
    (
        65001,
        Code::ConsentRequired,
        "an administrator can grant the app's permissions here: {consent}",
    ),
    (
        65004,
        Code::Declined,
        "consent was declined: sign in again and accept, or ask an administrator to grant the permissions here: {consent}",
    ),
    (
        65005,
        Code::InvalidScope,
        "the app registration {client} lists no permission for {target}: add it under API permissions",
    ),
    (
        70001,
        Code::AppNotFound,
        "check the application (client) ID {client} and that it is registered in tenant {tenant}",
    ),
    (70008, Code::InvalidGrant, "the sign-in has expired: sign in again"),
    (
        70011,
        Code::InvalidScope,
        "check the scope; an app that signs in by itself asks for {scope}",
    ),
    (70019, Code::DeviceCodeExpired, "start the sign-in again"),
    (70043, Code::InvalidGrant, "the tenant's sign-in frequency asks for a new sign-in"),
    (
        90002,
        Code::TenantNotFound,
        "check the tenant {tenant}: its ID stands on the Overview page of Microsoft Entra ID; a tenant of a national cloud needs that cloud's authority",
    ),
    (
        90014,
        Code::OauthOther,
        "a required value is missing from the request: check the client ID and redirect URI",
    ),
    (
        90072,
        Code::BadUserCredential,
        "the account does not exist in {tenant}: sign in with another, or invite it as a guest",
    ),
    (
        90094,
        Code::ConsentRequired,
        "the permissions need an administrator, who can grant them here: {consent}",
    ),
    (
        90095,
        Code::ConsentRequired,
        "an administrator has to approve the request, or can grant the permissions here: {consent}",
    ),
    (
        500011,
        Code::InvalidScope,
        "the resource {target} is not known in the tenant {tenant}: check its spelling (a trailing slash counts); for Defender XDR use https://api.security.microsoft.com",
    ),
    (
        500113,
        Code::OauthOther,
        "the app registration {client} has no redirect URI: add {redirect} under Authentication",
    ),
    (
        500212,
        Code::BlockedByPolicy,
        "tenant restrictions block sign-in to {tenant} from this network",
    ),
    (
        530003,
        Code::BlockedByPolicy,
        "conditional access wants a managed device: sign in from one, or ask an administrator",
    ),
    (
        650052,
        Code::InvalidScope,
        "the organization has not enabled the service {target}: it may lack the licence",
    ),
    (
        650053,
        Code::InvalidScope,
        "the service has no such scope: check its spelling in {target}",
    ),
    (
        650057,
        Code::InvalidScope,
        "the app registration {client} lists no permission for {target}: add it under API permissions",
    ),
    (
        700003,
        Code::BlockedByPolicy,
        "the device is not registered: sign in from a registered one",
    ),
    (
        700016,
        Code::AppNotFound,
        "no app {client} in tenant {tenant}: check both IDs, or grant consent to the app in that tenant first: {consent}",
    ),
    (
        700024,
        Code::AssertionTime,
        "the client assertion is outside its time window: is this machine's clock right?",
    ),
    (
        700027,
        Code::BadSecret,
        "the certificate is not registered with the app {client}: upload its public part under Certificates & secrets",
    ),
    (
        700030,
        Code::Certificate,
        "the certificate is not acceptable: check its issuer and subject",
    ),
    (
        700082,
        Code::InvalidGrant,
        "the refresh token has expired through inactivity: sign in again",
    ),
    (
        700084,
        Code::InvalidGrant,
        "the refresh token of a browser app lives 24 hours: sign in again",
    ),
    (
        700213,
        Code::OauthOther,
        "the federated credential of app {client} has another subject: compare it with the message",
    ),
    (
        900023,
        Code::TenantNotFound,
        "\"{tenant}\" is neither a tenant ID nor a domain: check it",
    ),
    (
        900144,
        Code::OauthOther,
        "a required value is missing from the request: check the client ID, redirect URI and scopes",
    ),
    (1002012, Code::InvalidScope, "an app that signs in by itself asks for {scope}"),
    (
        7000112,
        Code::AppNotFound,
        "the app {client} is disabled: an administrator can enable it under Enterprise applications",
    ),
    (
        7000215,
        Code::BadSecret,
        "use the secret's Value, not its Secret ID, from Certificates & secrets of app {client}; the value is shown only once, so make a new one if it is lost",
    ),
    (
        7000218,
        Code::BadSecret,
        "the app {client} is not a public client: under Authentication allow public client flows, register {redirect} for 'Mobile and desktop applications', or pass a client secret",
    ),
    (
        7000222,
        Code::SecretExpired,
        "make a new client secret for app {client} under Certificates & secrets",
    ),
    (
        9002313,
        Code::InvalidGrant,
        "the request or the refresh token is malformed: sign in again",
    ),
    (
        9002326,
        Code::OauthOther,
        "the redirect URI {redirect} is registered for a single-page app: register it for 'Mobile and desktop applications' instead",
    ),
];

/// The first AADSTS number in a server's text.
pub fn number_in(text: &str) -> Option<u32> {
    let digits = text.split("AADSTS").nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// Refines an error's code and brings the fix.
pub fn refine(error: Error, number: Option<u32>, about: &About<'_>) -> Error {
    let Some((_, code, hint)) = number.and_then(|number| TABLE.iter().find(|row| row.0 == number)) else {
        return error;
    };
    let (target, scope) = match about.target {
        Target::Resource(resource) => (resource.clone(), format!("{resource}/.default")),
        Target::Scopes(scopes) => (scopes.join(" "), default_scope(scopes)),
    };
    let hint = hint
        .replace("{client}", about.client_id)
        .replace("{tenant}", about.tenant)
        .replace("{redirect}", about.redirect_uri.unwrap_or("(none was sent)"))
        .replace("{target}", &target)
        .replace("{scope}", &scope)
        .replace(
            "{consent}",
            about.consent_uri.as_deref().unwrap_or("the app's API permissions page"),
        );
    error.with_code(*code).with_hint(hint)
}

/// `https://host/.default` for the resource that the first scope belongs to.
pub fn default_scope(scopes: &[String]) -> String {
    let first = scopes.first().map(String::as_str).unwrap_or_default();
    match first.rsplit_once('/') {
        Some((resource, _))
            if resource.contains("://") && !resource.ends_with(':') && !resource.ends_with('/') || first.ends_with("//.default") =>
        {
            format!("{resource}/.default")
        }
        _ => "https://api.security.microsoft.com/.default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_numbers_are_found_in_text() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(number_in("AADSTS7000215: Invalid client secret"), Some(7_000_215));
        assert_eq!(number_in("no number AADSTS"), None);
        assert_eq!(number_in(""), None);
    }

    #[test]
    fn the_corrected_scope_names_the_resource() {
        assert_eq!(
            default_scope(&["https://api.security.microsoft.com/Incident.Read".into()]),
            "https://api.security.microsoft.com/.default"
        );
        assert_eq!(
            default_scope(&["https://security.microsoft.com/mtp//.default".into()]),
            "https://security.microsoft.com/mtp//.default"
        );
        assert_eq!(
            default_scope(&["Incident.Read".into()]),
            "https://api.security.microsoft.com/.default"
        );
    }
}
