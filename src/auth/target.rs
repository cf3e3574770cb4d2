//! What a token is for, and how each kind of authority is told.

use super::SignIn;
use super::authority::{Dialect, Kind};

/// What the token is for, which also decides the endpoint dialect where the authority has both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// v1: one resource, exactly as the caller wrote it (a trailing slash is another audience).
    Resource(String),
    /// v2: scopes, in the caller's order.
    Scopes(Vec<String>),
}

/// Which request tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// A token request of the app for itself.
    App,
    /// A token request for a person.
    Person,
    /// An authorize request, or the redemption of its code.
    Code,
}

impl Target {
    /// The dialect that understands it.
    pub fn dialect(&self) -> Dialect {
        match self {
            Target::Resource(_) => Dialect::V1,
            Target::Scopes(_) => Dialect::V2,
        }
    }

    /// The part of a cache key: order and repetition of scopes do not matter, a trailing slash does.
    pub fn key(&self) -> String {
        match self {
            Target::Resource(resource) => format!("v1 {resource}"),
            Target::Scopes(scopes) => {
                let mut sorted: Vec<&str> = scopes.iter().map(String::as_str).collect();
                sorted.sort_unstable();
                sorted.dedup();
                format!("v2 {}", sorted.join(" "))
            }
        }
    }

    /// The parameters that say it. A resource is `resource` to Entra's v1 endpoints and to AD FS (which gives an ID token only to who asks for
    /// `openid`), the scope `RESOURCE/.default` to B2C and external tenants, and a resource indicator (RFC 8707) to any other provider.
    pub fn fields(&self, kind: Kind, asks: Asks) -> Vec<(&'static str, String)> {
        let person = asks != Asks::App;
        match (self, kind) {
            (Target::Scopes(scopes), _) if person => vec![("scope", user_scopes(scopes))],
            (Target::Scopes(scopes), _) => vec![("scope", scopes.join(" "))],
            (Target::Resource(resource), Kind::B2c | Kind::Ciam) => {
                let scope = format!("{resource}/.default");
                vec![("scope", if person { user_scopes(&[scope]) } else { scope })]
            }
            (Target::Resource(resource), _) => {
                let mut fields = vec![("resource", resource.clone())];
                match (kind, asks) {
                    (Kind::Oidc, Asks::Person | Asks::Code) => fields.push(("scope", user_scopes(&[]))),
                    (_, Asks::Person) | (Kind::Adfs, Asks::Code) => fields.push(("scope", "openid".to_owned())),
                    _ => {}
                }
                fields
            }
        }
    }
}

/// The scopes asked for a person: with those that bring an ID token and a refresh token.
fn user_scopes(scopes: &[String]) -> String {
    let mut all: Vec<&str> = scopes.iter().map(String::as_str).collect();
    for extra in ["openid", "profile", "offline_access"] {
        if !all.contains(&extra) {
            all.push(extra);
        }
    }
    all.join(" ")
}

impl SignIn {
    /// The parameters that tell this request's authority what the token is for.
    pub(crate) fn target_fields(&self, asks: Asks) -> Vec<(&'static str, String)> {
        self.target.fields(self.authority.kind(), asks)
    }

    /// The same for the authorize request, which may ask consent for more than the token is for.
    pub(crate) fn authorize_fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.target_fields(Asks::Code);
        for (_, scopes) in fields.iter_mut().filter(|(name, _)| *name == "scope") {
            for extra in &self.extra_scopes {
                if !scopes.split(' ').any(|scope| scope == extra) {
                    scopes.push(' ');
                    scopes.push_str(extra);
                }
            }
        }
        fields
    }

    /// The dialect this request is made in.
    pub fn dialect(&self) -> Dialect {
        self.authority.dialect(&self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_told_in_each_authoritys_own_words() {
        let resource = Target::Resource("https://r.example/".into());
        let text = |kind, asks| {
            let fields = resource.fields(kind, asks);
            let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.join("&")
        };
        assert_eq!(text(Kind::Entra, Asks::App), "resource=https://r.example/");
        assert_eq!(text(Kind::Entra, Asks::Code), "resource=https://r.example/");
        assert_eq!(text(Kind::Entra, Asks::Person), "resource=https://r.example/&scope=openid");
        assert_eq!(text(Kind::Adfs, Asks::Code), "resource=https://r.example/&scope=openid");
        assert_eq!(text(Kind::Ciam, Asks::App), "scope=https://r.example//.default");
        assert_eq!(
            text(Kind::B2c, Asks::Code),
            "scope=https://r.example//.default openid profile offline_access"
        );
        assert_eq!(text(Kind::Oidc, Asks::App), "resource=https://r.example/");
        assert_eq!(
            text(Kind::Oidc, Asks::Code),
            "resource=https://r.example/&scope=openid profile offline_access"
        );
        let scopes = Target::Scopes(vec!["a".into(), "openid".into()]);
        assert_eq!(scopes.fields(Kind::Adfs, Asks::App), [("scope", "a openid".to_owned())]);
        assert_eq!(
            scopes.fields(Kind::Entra, Asks::Person),
            [("scope", "a openid profile offline_access".to_owned())]
        );
    }
}
