//! Tokens of the person who is signed in to a developer tool of this machine: the Azure CLI, the Azure Developer CLI, Azure PowerShell, Visual Studio.
//!
//! The tool is asked as a person would ask it (`az account get-access-token`, `azd auth token`, `Get-AzAccessToken`), so whatever it is signed in with
//! serves. It is off while an emulator stands in: a person's real token must not reach one.

pub mod azure_powershell;
pub mod visual_studio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::authority::Kind;
use super::program::{self, Ran, Trouble};
use super::{Env, Grant, SignIn, Target, aadsts, claims_request, expiry};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::Call;

/// One tool.
struct Tool {
    /// What people call it.
    name: &'static str,
    /// How it is signed in to.
    sign_in: &'static str,
    /// Where it comes from.
    install: &'static str,
    /// What it takes, at its sign-in, to name a tenant; `None` where a person chooses in a window.
    tenant: Option<&'static str>,
    /// What it takes, at its sign-in, to be given the claims of a challenge, in base64.
    claims: Option<&'static str>,
}

const AZURE_CLI: Tool = Tool {
    name: "the Azure CLI",
    sign_in: "az login",
    install: "https://aka.ms/azure-cli",
    tenant: Some("--tenant"),
    claims: Some("--claims-challenge"),
};

const AZURE_DEVELOPER_CLI: Tool = Tool {
    name: "the Azure Developer CLI",
    sign_in: "azd auth login",
    install: "https://aka.ms/azd-install",
    tenant: Some("--tenant-id"),
    claims: None,
};

/// Their files, in the order in which they are looked for.
const AZ: &[&str] = if cfg!(windows) { &["az.cmd", "az.exe"] } else { &["az"] };
const AZD: &[&str] = if cfg!(windows) { &["azd.exe", "azd.cmd"] } else { &["azd"] };

/// What the tools print: `az` and Visual Studio the first two, `azd` the others.
#[derive(Deserialize)]
struct Printed {
    #[serde(rename = "accessToken", alias = "access_token")]
    access_token: Option<Zeroizing<String>>,
    expires_on: Option<Value>,
    token: Option<Zeroizing<String>>,
    #[serde(rename = "expiresOn")]
    expires_on_date: Option<Value>,
}

/// Asks the tool that the request's grant names.
pub async fn developer_tool(env: &Env, call: &Call, sign_in: &SignIn) -> Result<Answer> {
    let tool = match sign_in.grant {
        Grant::AzureDeveloperCli => &AZURE_DEVELOPER_CLI,
        Grant::AzurePowerShell => &azure_powershell::TOOL,
        Grant::VisualStudio => &visual_studio::TOOL,
        _ => &AZURE_CLI,
    };
    if let Some(emulator) = env.transport.emulator_origin() {
        return Err(Error::new(
            Code::Unsupported,
            format!("{} is not asked while an emulator stands in ({emulator})", tool.name),
        )
        .with_hint("remove DEFENDER_XDR_EMULATOR to use it; an emulator must not get a person's real token"));
    }
    tool.check_claims(sign_in)?;
    match sign_in.grant {
        Grant::AzureDeveloperCli => on_command_line(tool, AZD, azd_arguments(&sign_in.target), env, call, sign_in).await,
        Grant::AzurePowerShell => azure_powershell::token(env, call, sign_in).await,
        Grant::VisualStudio => visual_studio::token(env, call, sign_in).await,
        _ => on_command_line(tool, AZ, az_arguments(&sign_in.target), env, call, sign_in).await,
    }
}

/// Asks a tool that is one program and prints JSON.
async fn on_command_line(
    tool: &'static Tool,
    files: &'static [&'static str],
    mut arguments: Vec<String>,
    env: &Env,
    call: &Call,
    sign_in: &SignIn,
) -> Result<Answer> {
    if let (Some(name), Some(tenant)) = (tool.tenant, tenant(sign_in)) {
        arguments.extend([name.to_owned(), tenant.to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    check_arguments(&arguments)?;
    let found = program::on_path(&env.place, call, tool.name, move |look| look(files));
    let Some(program) = found.await? else {
        return Err(tool.missing());
    };
    let ran = program::run(tool.name, &program, &arguments, &env.place, call)
        .await
        .map_err(|trouble| tool.trouble(trouble))?;
    tool.answer(&ran, env, call, sign_in)
}

/// The tenant to ask for; `None` where the tool's own will do.
fn tenant(sign_in: &SignIn) -> Option<&str> {
    let authority = &sign_in.authority;
    (authority.kind() == Kind::Entra && !authority.is_multi_tenant()).then(|| authority.tenant())
}

/// The resource that a target names, for a tool that knows no scopes.
fn resource(tool: &Tool, target: &Target) -> Result<String> {
    match target {
        Target::Resource(resource) => Ok(resource.clone()),
        Target::Scopes(scopes) => match scopes.as_slice() {
            [scope] if scope.ends_with("/.default") => Ok(scope.strip_suffix("/.default").unwrap_or(scope).to_owned()),
            _ => Err(Error::new(
                Code::InvalidScope,
                format!("{} is asked for exactly one scope that ends in /.default", tool.name),
            )
            .with_hint(format!("use {}", aadsts::default_scope(scopes)))),
        },
    }
}

fn az_arguments(target: &Target) -> Vec<String> {
    let mut arguments: Vec<String> = ["account", "get-access-token", "--output", "json"].map(str::to_owned).into();
    match target {
        Target::Resource(resource) => arguments.extend(["--resource".to_owned(), resource.clone()]),
        Target::Scopes(scopes) => {
            arguments.push("--scope".to_owned());
            arguments.extend(scopes.iter().cloned());
        }
    }
    arguments
}

fn azd_arguments(target: &Target) -> Vec<String> {
    let mut arguments: Vec<String> = ["auth", "token", "--output", "json", "--no-prompt"].map(str::to_owned).into();
    let scopes = match target {
        Target::Resource(resource) => vec![format!("{resource}/.default")],
        Target::Scopes(scopes) => scopes.clone(),
    };
    for scope in scopes {
        arguments.extend(["--scope".to_owned(), scope]);
    }
    arguments
}

/// Refuses what no resource, scope or tenant needs and a command line could misread.
fn check_arguments(arguments: &[&str]) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'~');
    let odd = arguments.iter().find(|argument| !argument.bytes().all(plain));
    match odd {
        Some(odd) => Err(Error::argument(
            format!("\"{odd}\" cannot be given to a command-line tool"),
            "letters, digits and - _ . : / ~ can stand in a resource, scope or tenant here",
        )),
        None => Ok(()),
    }
}

impl Tool {
    fn missing(&self) -> Error {
        Error::new(Code::ToolMissing, format!("{} is not installed, or not on PATH", self.name))
            .with_hint(format!("install it ({}) and sign in with: {}", self.install, self.sign_in))
    }

    fn failed(&self, what: &str) -> Error {
        Error::new(Code::ToolFailed, format!("{} {what}", self.name)).with_hint(format!("update it ({}), and try it by hand", self.install))
    }

    fn trouble(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Held(error) => error,
            Trouble::NotStarted(kind) => self.failed(&format!("could not be started: {kind}")),
            Trouble::TooMuch => self.failed("printed more than a token"),
        }
    }

    /// Refuses claims: the tools take them when a person signs in, and give the same token again else. What this client says it can handle is none.
    fn check_claims(&self, sign_in: &SignIn) -> Result<()> {
        let Some(claims) = sign_in.claims.as_deref() else { return Ok(()) };
        if claims_request::merge(&[], &sign_in.capabilities)?.as_deref() == Some(claims) {
            return Ok(());
        }
        let given = self
            .claims
            .map(|name| format!(" {name} {}", STANDARD.encode(claims)))
            .unwrap_or_default();
        let tenant = self.named_tenant(sign_in);
        Err(Error::new(
            Code::ClaimsChallenge,
            format!(
                "{} gives no token for more claims until its person has signed in for them",
                self.name
            ),
        )
        .with_oauth("interaction_required", None)
        .with_claims(Some(claims.to_owned()))
        .with_hint(format!(
            "sign in with: {}{tenant}{given}; then try again without claims",
            self.sign_in
        )))
    }

    /// What names the tenant at a sign-in.
    fn named_tenant(&self, sign_in: &SignIn) -> String {
        match self.tenant {
            Some(name) if !sign_in.authority.is_multi_tenant() => format!(" {name} {}", sign_in.authority.tenant()),
            _ => String::new(),
        }
    }

    /// The token that a program printed as JSON.
    fn answer(&self, ran: &Ran, env: &Env, call: &Call, sign_in: &SignIn) -> Result<Answer> {
        if !ran.success {
            return Err(self.refusal(&ran.complaint, sign_in));
        }
        let printed: Printed = serde_json::from_slice(&ran.output).map_err(|_| self.failed("printed something that is not its JSON"))?;
        let expires_on = [&printed.expires_on, &printed.expires_on_date]
            .into_iter()
            .flatten()
            .find_map(|value| expiry::parse(&value.to_string()));
        self.token(printed.access_token.or(printed.token), expires_on, env, call)
    }

    /// What a tool gave, if it can be used.
    fn token(&self, token: Option<Zeroizing<String>>, expires_on: Option<i64>, env: &Env, call: &Call) -> Result<Answer> {
        let token = token
            .filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or_else(|| self.failed("printed no access token"))?;
        let expires_on = expires_on.ok_or_else(|| self.failed("printed no time of expiry that can be read"))?;
        let now = env.transport.clock().unix();
        if expires_on <= now {
            return Err(Error::new(Code::ToolFailed, format!("{} gave a token that has expired", self.name))
                .with_hint(format!("sign in anew: {}; is this machine's clock right?", self.sign_in)));
        }
        Ok(Answer::of_token(
            Secret::new(token.as_str().to_owned()),
            expires_on - now,
            None,
            &call.correlation_id,
        ))
    }

    /// What it says when it fails, without what could be a token.
    fn refusal(&self, complaint: &str, sign_in: &SignIn) -> Error {
        let said = redacted(complaint);
        let lower = said.to_ascii_lowercase();
        let tenant = self.named_tenant(sign_in);
        let wants_person = [
            "az login",
            "azd auth login",
            "connect-azaccount",
            // Visual Studio's number for an account that has to sign in anew.
            "ts005",
            "not logged in",
            "no subscription found",
            "interaction_required",
            "login_required",
        ];
        let number = aadsts::number_in(&said);
        if wants_person.iter().any(|words| lower.contains(words)) {
            return self.nobody(&format!(" for this: {said}"), sign_in).with_aadsts(number);
        }
        if lower.contains("is not recognized") || lower.contains("command not found") {
            return Error::new(Code::ToolMissing, format!("{} is not whole: {said}", self.name))
                .with_hint(format!("install it again: {}", self.install));
        }
        let error = Error::new(Code::ToolFailed, format!("{} failed: {said}", self.name))
            .with_aadsts(number)
            .with_hint(format!("try it by hand, or sign in anew: {}{tenant}", self.sign_in));
        aadsts::refine(error, number, false, &sign_in.about())
    }

    /// The error for a tool that nobody is signed in to.
    fn nobody(&self, why: &str, sign_in: &SignIn) -> Error {
        Error::new(Code::InteractionRequired, format!("nobody is signed in to {}{why}", self.name))
            .with_oauth("interaction_required", None)
            .with_hint(format!("sign in with: {}{}", self.sign_in, self.named_tenant(sign_in)))
    }
}

/// What a tool said, shortened, without words that could be a token or a key.
fn redacted(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "it said nothing".to_owned();
    }
    let short: String = text.chars().take(500).collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '+' | '.');
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let secret = word.contains("eyJ") || word.split('.').any(|part| part.len() >= 40);
        out.push_str(if secret { "[redacted]" } else { word });
        word.clear();
    };
    for c in short.chars() {
        if is_word(c) {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_could_misread_is_refused() {
        for good in [
            "https://api.security.microsoft.com//.default",
            "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897",
            "--scope",
        ] {
            assert!(check_arguments(&[good]).is_ok(), "{good}");
        }
        for bad in ["a&calc", "a\"b", "%PATH%", "a b", "a|b", "a^b", "$(x)", "a\nb", "a;b", "a'b"] {
            assert_eq!(check_arguments(&[bad]).unwrap_err().code(), Code::BadArgument, "{bad}");
        }
    }

    #[test]
    fn what_could_be_a_token_is_not_repeated() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJl";
        let said = redacted(&format!("ERROR: refused {jwt} for 8e58f0bf-3f7c-4dc0-90c3-f13a92d07897"));
        assert!(!said.contains("eyJ") && !said.contains("c2lnbmF0dXJl"), "{said}");
        assert!(said.contains("8e58f0bf-3f7c-4dc0-90c3-f13a92d07897"), "{said}");
        assert_eq!(redacted("  "), "it said nothing");
    }
}
