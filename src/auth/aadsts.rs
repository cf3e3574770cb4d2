//! What Entra's error numbers mean for the person who meets them, from one table: `aadsts.txt` beside this file.
//!
//! Control flow never looks here: it follows `error` and `suberror`. A number refines the code's name and brings the fix; an unknown one changes
//! nothing. Source of the numbers: Microsoft Entra "Authentication and authorization error codes" (reference-error-codes).

use super::{Grant, Target};
use crate::error::{Code, Error};

/// What a fix may have to name.
pub struct About<'a> {
    /// How the token is got.
    pub grant: Grant,
    /// The application (client) id.
    pub client_id: &'a str,
    /// The tenant asked.
    pub tenant: &'a str,
    /// The redirect URI sent.
    pub redirect_uri: Option<&'a str>,
    /// What the token is for.
    pub target: &'a Target,
    /// The authority's host.
    pub host: &'a str,
    /// Where an administrator can consent.
    pub consent_uri: Option<String>,
}

const TABLE: &str = include_str!("aadsts.txt");

/// What one number means.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The code it refines to.
    pub code: Code,
    /// What it means.
    pub meaning: &'static str,
    /// What to do, with the places that a request fills in.
    fix: &'static str,
}

impl Row {
    /// What to do, for one request.
    fn fix_for(&self, about: &About<'_>) -> String {
        let (target, scope) = match about.target {
            Target::Resource(resource) => (resource.clone(), format!("{resource}/.default")),
            Target::Scopes(scopes) => (scopes.join(" "), default_scope(scopes)),
        };
        if self.meaning == NO_SUCH_SCOPE
            && let Some(bare) = of_no_resource(about.target)
        {
            return format!(
                "a scope without a resource is one of Microsoft Graph: for Defender XDR write {}/{bare}",
                defender(about.host, &target)
            );
        }
        self.fix
            .replace("{client}", about.client_id)
            .replace("{tenant}", about.tenant)
            .replace("{redirect}", about.redirect_uri.unwrap_or("(none was sent)"))
            .replace("{defender}", defender(about.host, &target))
            .replace("{target}", &target)
            .replace("{scope}", &scope)
            .replace(
                "{consent}",
                about.consent_uri.as_deref().unwrap_or("the app's API permissions page"),
            )
    }

    /// What to do, where no request is at hand.
    pub fn fix(&self) -> String {
        self.fix
            .replace("{client}", "(client ID)")
            .replace("{tenant}", "the tenant")
            .replace("{redirect}", "(the redirect URI sent)")
            .replace("{defender}", defender("", ""))
            .replace("{target}", "the resource or scope asked for")
            .replace("{scope}", "RESOURCE/.default")
            .replace(
                "{consent}",
                "https://login.microsoftonline.com/TENANT/adminconsent?client_id=CLIENT",
            )
    }
}

/// What AADSTS650053 means: the table's words.
const NO_SUCH_SCOPE: &str = "the service has no such scope";

/// The resource of Defender XDR in the cloud that is meant ("Microsoft Defender for US Government customers"): GCC signs in with the public cloud.
fn defender(host: &str, target: &str) -> &'static str {
    if host.ends_with(".us") {
        "https://api-gov.security.microsoft.us"
    } else if target.contains("://api-gcc.") {
        "https://api-gcc.security.microsoft.us"
    } else {
        "https://api.security.microsoft.com"
    }
}

/// The first scope that names a permission but no resource. The scopes of OpenID Connect belong to none.
fn of_no_resource(target: &Target) -> Option<&str> {
    let Target::Scopes(scopes) = target else { return None };
    let openid = ["openid", "profile", "offline_access", "email"];
    scopes
        .iter()
        .map(String::as_str)
        .find(|scope| !scope.contains(['/', ':']) && !openid.contains(scope))
}

/// The rows of the table, as number, grant and the rest.
fn rows() -> impl Iterator<Item = (u32, Option<&'static str>, Row)> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut parts = line.splitn(4, '|').map(str::trim);
        let key = parts.next()?;
        let name = parts.next()?;
        let (number, grant) = match key.split_once(' ') {
            Some((number, grant)) => (number, Some(grant)),
            None => (key, None),
        };
        let row = Row {
            code: Code::ALL.iter().copied().find(|code| code.name() == name)?,
            meaning: parts.next()?,
            fix: parts.next()?,
        };
        Some((number.parse().ok()?, grant, row))
    })
}

/// What a number means, where a grant met it or in general.
pub fn look_up(number: u32, grant: Option<Grant>) -> Option<Row> {
    let mut general = None;
    for (_, of, row) in rows().filter(|(of, _, _)| *of == number) {
        match of {
            None => general = Some(row),
            Some(name) if grant.is_some_and(|grant| grant.name() == name) => return Some(row),
            Some(_) => {}
        }
    }
    general
}

/// True for the numbers that say the refresh token itself is over. It only spares a request that could not succeed: the answer to the caller is the
/// same.
pub fn ends_refresh_token(number: u32) -> bool {
    matches!(number, 50_173 | 70_043 | 700_081 | 700_082 | 700_084)
}

/// The first AADSTS number in a server's text.
pub fn number_in(text: &str) -> Option<u32> {
    let digits = text.split("AADSTS").nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// Brings the fix, and refines the error's code unless a `suberror` has decided it.
pub fn refine(error: Error, number: Option<u32>, decided: bool, about: &About<'_>) -> Error {
    let Some(number) = number else { return error };
    match look_up(number, Some(about.grant)) {
        Some(row) => {
            let hint = row.fix_for(about);
            if decided { error } else { error.with_code(row.code) }.with_hint(hint)
        }
        None if error.code() == Code::OauthOther => error.with_hint(format!(
            "https://login.microsoftonline.com/error?code={number} explains AADSTS{number}; for support, give the correlation id"
        )),
        None => error,
    }
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
        let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
        let rows: Vec<_> = rows().collect();
        assert_eq!(
            rows.len(),
            lines,
            "every line is a row of a number, a code that exists, a meaning and a fix"
        );
        assert!(rows.len() > 200);
        for (number, grant, row) in &rows {
            assert!(
                grant.is_none_or(|name| Grant::parse(name).is_ok() && look_up(*number, None).is_some()),
                "{number}"
            );
            assert!(
                !row.meaning.is_empty() && !row.fix.is_empty() && !row.fix.ends_with('.'),
                "{number}"
            );
            let filled = row.fix();
            assert!(!filled.contains(['{', '}']), "{number}: {filled}");
        }
        let keys: Vec<(u32, Option<&str>)> = rows.iter().map(|(number, grant, _)| (*number, *grant)).collect();
        assert!(
            keys.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0] != pair[1]),
            "in the order of the numbers, once each"
        );
        assert_eq!(number_in("AADSTS7000215: Invalid client secret"), Some(7_000_215));
        assert_eq!(number_in("no number AADSTS"), None);
        assert_eq!(number_in(""), None);
    }

    #[test]
    fn a_scope_without_a_resource_is_told_what_it_means() {
        let said_by = |host: &str, number: u32, scopes: &[&str]| {
            let target = Target::Scopes(scopes.iter().map(|&scope| scope.to_owned()).collect());
            let about = About {
                grant: Grant::DeviceCode,
                client_id: "app",
                tenant: "tenant",
                redirect_uri: None,
                target: &target,
                host,
                consent_uri: None,
            };
            refine(Error::new(Code::OauthOther, "invalid"), Some(number), false, &about)
        };
        for (host, resource, defender) in [
            (
                "login.microsoftonline.com",
                "https://api.example",
                "https://api.security.microsoft.com",
            ),
            (
                "login.microsoftonline.us",
                "https://api-gov.security.microsoft.us",
                "https://api-gov.security.microsoft.us",
            ),
            (
                "login.microsoftonline.com",
                "https://api-gcc.security.microsoft.us",
                "https://api-gcc.security.microsoft.us",
            ),
        ] {
            let error = said_by(host, 500_011, &[&format!("{resource}/.default")]);
            assert!(error.hint().unwrap().ends_with(defender), "{error}");
        }
        let said = |scopes: &[&str]| said_by("login.microsoftonline.com", 650_053, scopes);
        let error = said(&["openid", "Incident.Read"]);
        assert_eq!(error.code(), Code::InvalidScope);
        assert!(
            error.hint().unwrap().ends_with("https://api.security.microsoft.com/Incident.Read"),
            "{error}"
        );
        let error = said(&["https://api.security.microsoft.com/Incident.Raed"]);
        assert!(error.hint().unwrap().contains("check its spelling"), "{error}");
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
