//! The rows of the fault catalogue as data: the token endpoint (TK), the loopback redirect (LB) and the identity sources (MI).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::scripted::{CLIENT, Step, TENANT};
use crate::support;

const XDR: &str = "https://api.security.microsoft.com";
const CLAIMS: &str = r#"{"access_token":{"capolids":{"essential":true,"values":["0001"]}}}"#;
/// A user name that a shell would take apart.
pub const AWKWARD: &str = "a&b\"c%d$(e)`f@fabrikam.example";
/// A redirect URI that nothing catches where there is no app window.
pub const PASTED: &str = "https://portal.azure.com/pasted";
/// A person at a terminal, who pastes the address of the page they landed on, and it holds no code: the same as [`without_a_code`] brings.
const A_PERSON_PASTES: &str = "& (Get-Module DefenderXdr) {
    Import-DefenderPrivate
    function script:Test-DefenderPrompt { $true }
    function script:Read-Host {
        param($Prompt, [switch] $AsSecureString)
        if (-not $AsSecureString) { throw 'it would be echoed' }
        $state = [regex]::Match($url, '[?&]state=([^&]+)').Groups[1].Value
        ConvertTo-SecureString -String \"https://portal.azure.com/pasted?state=$state\" -AsPlainText -Force
    }
}
";
/// Where the agent of Azure Arc puts its secret files on Linux.
const TOKENS: &str = "/var/opt/azcmagent/tokens";
/// Starts a program that finds such files, in a mount that nothing else sees, and is root without the right to read what it may not.
pub const ARC_AGENT: &str = "set -e
mount -t tmpfs tmpfs /var/opt
mkdir -p /var/opt/azcmagent/tokens
(
    cd /var/opt/azcmagent/tokens
    umask 077
    echo canary-arc-secret >good.key
    head -c 4097 /dev/zero | tr '\\0' x >large.key
    echo canary-arc-secret >locked.key
    chmod 0 locked.key
)
exec setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search \"$@\"
";
/// Every secret begins like this: no text that is shown may hold it.
pub const CANARY: &str = "canary";
pub const SECRETS: [(&str, &str); 13] = [
    ("client_secret", "canary-secret-0123456789-!~"),
    ("password", "canary-password-0123456789"),
    ("refresh_token", "canary-refresh-token-0123456789"),
    ("user_assertion", "canary-user-assertion-0123456789"),
    ("code", "canary-code-0123456789"),
    // A code is for one use in a process, whatever became of it.
    ("code_2", "canary-code-2-0123456789"),
    ("code_3", "canary-code-3-0123456789"),
    ("code_4", "canary-code-4-0123456789"),
    ("code_5", "canary-code-5-0123456789"),
    ("certificate_password", "canary-pfx-password-0123456789"),
    ("IDENTITY_HEADER", "canary-identity-header-0123456789"),
    ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary-actions-token-0123456789"),
    ("wrong_certificate_password", "canary-wrong-password-0123456789"),
];

/// One row. `ORIGIN` in its document, its variables and its command stands for the scripted server of the run.
#[derive(Clone)]
pub struct Row {
    /// The catalogue's number, and what tells rows of one number apart.
    pub id: String,
    /// What the server answers, in order.
    pub answers: Vec<Step>,
    /// What is asked for first, by the same client; what comes of it does not count.
    pub before: Vec<Value>,
    /// The request, as a C program writes it.
    pub document: Value,
    /// The names of the secrets the request is given; `NAME=OTHER` takes the value of another.
    pub secrets: Vec<&'static str>,
    /// Variables of the place.
    pub place: Vec<(&'static str, String)>,
    /// The same in PowerShell; empty where PowerShell has no such call.
    pub command: String,
    /// How often it is called; what the last call brings counts.
    pub times: usize,
    /// The limit in milliseconds, for both.
    pub limit: u32,
    /// The name of the code; `OK` for a token, empty where it depends on the machine.
    pub name: &'static str,
    /// What the message, or the warnings of a call that succeeds, must hold.
    pub message: Vec<String>,
    /// What the hint must hold.
    pub hint: Vec<String>,
    /// Members of the error document, or of the description of the token.
    pub about: Value,
    /// The requests that the server saw.
    pub seen: usize,
    /// The texts hold times that go on between two runs.
    pub timed: bool,
}

impl Row {
    fn new(id: &str, name: &'static str, document: Value, command: &str) -> Row {
        Row {
            id: id.to_owned(),
            answers: Vec::new(),
            before: Vec::new(),
            document,
            secrets: Vec::new(),
            place: Vec::new(),
            command: command.to_owned(),
            times: 1,
            limit: 300_000,
            name,
            message: Vec::new(),
            hint: Vec::new(),
            about: json!({}),
            seen: 0,
            timed: false,
        }
    }

    /// The server's answers, all of which are asked for.
    fn answers(mut self, steps: impl IntoIterator<Item = Step>) -> Row {
        self.answers = steps.into_iter().collect();
        self.seen = self.answers.len();
        self
    }

    fn before(mut self, documents: impl IntoIterator<Item = Value>) -> Row {
        self.before = documents.into_iter().collect();
        self
    }

    fn secrets(mut self, names: &[&'static str]) -> Row {
        self.secrets = names.to_vec();
        self
    }

    fn place(mut self, variables: &[(&'static str, &str)]) -> Row {
        self.place = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self
    }

    fn says(mut self, parts: &[&str]) -> Row {
        self.message = parts.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    fn hints(mut self, parts: &[&str]) -> Row {
        self.hint = parts.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    fn about(mut self, members: Value) -> Row {
        self.about = members;
        self
    }

    fn times(mut self, times: usize) -> Row {
        self.times = times;
        self
    }

    fn limit(mut self, ms: u32) -> Row {
        self.limit = ms;
        self
    }

    fn timed(mut self) -> Row {
        self.timed = true;
        self
    }

    /// Whether a person or the host is asked something, which the one-shot call cannot do.
    pub fn asks(&self) -> bool {
        let grant = self.document["grant"].as_str();
        grant == Some("device_code")
            || grant == Some("authorization_code") && !self.secrets.iter().any(|name| name.starts_with("code"))
            || self.document["credential"]["from_event"] == true
    }
}

fn with(mut document: Value, more: Value) -> Value {
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

fn v2(grant: &str) -> Value {
    json!({"grant": grant, "authority": format!("ORIGIN/{TENANT}"), "client_id": CLIENT, "scopes": [format!("{XDR}/.default")]})
}

/// An app with a secret.
fn app(id: &str, name: &'static str) -> Row {
    let command = "Get-DefenderToken -Authority $Authority -ClientId $ClientId -ClientSecret $Secrets.client_secret";
    Row::new(id, name, v2("client_credentials"), command).secrets(&["client_secret"])
}

fn on_behalf(id: &str, name: &'static str) -> Row {
    let command = "Get-DefenderToken -Authority $Authority -ClientId $ClientId -ClientSecret $Secrets.client_secret -UserAssertion $Secrets.user_assertion";
    Row::new(id, name, v2("on_behalf_of"), command).secrets(&["client_secret", "user_assertion"])
}

fn refresh(id: &str, name: &'static str) -> Row {
    let command = "Get-DefenderToken -Authority $Authority -ClientId $ClientId -RefreshToken $Secrets.refresh_token";
    Row::new(id, name, v2("refresh_token"), command).secrets(&["refresh_token"])
}

fn password(id: &str, name: &'static str) -> Row {
    let command = "Connect-Defender -Authority $Authority -ClientId $ClientId -Credential ([pscredential]::new('adele@fabrikam.example', $Secrets.password))";
    Row::new(
        id,
        name,
        with(v2("password"), json!({"username": "adele@fabrikam.example"})),
        command,
    )
    .secrets(&["password"])
}

/// The caller's own code, as ADAL.PS takes it.
fn own_code(id: &str, name: &'static str, code: &'static str) -> Row {
    let document = json!({"grant": "authorization_code", "authority": format!("ORIGIN/{TENANT}"), "client_id": CLIENT, "resource": XDR,
        "redirect_uri": "https://portal.azure.com", "cache": "skip"});
    let command = format!(
        "Get-ADALToken -Authority $Authority -ClientId $ClientId -Resource {XDR} -RedirectUri https://portal.azure.com -ClientSecret $Secrets.client_secret -AuthorizationCode $Texts.{}",
        code.rsplit('=').next().unwrap()
    );
    Row::new(id, name, document, &command).secrets(&["client_secret", code])
}

fn device(id: &str, name: &'static str) -> Row {
    Row::new(
        id,
        name,
        v2("device_code"),
        "Get-DefenderToken -Authority $Authority -ClientId $ClientId -DeviceCode",
    )
    .limit(900_000)
}

/// The same device code on a clock that only moves when it is waited on: see `clocked.rs`.
pub fn clocked() -> Vec<(Row, Vec<u64>)> {
    let slow = || refusal("slow_down", 70016);
    let pending = || refusal("authorization_pending", 70016);
    let own = |interval: Value| code(json!({"interval": interval, "verification_uri": "https://microsoft.com/devicelogin"}));
    let without = Step::json(
        200,
        r#"{"user_code":"ABCD-EFGH","device_code":"canary-device-code-0123456789","verification_uri":"https://microsoft.com/devicelogin","expires_in":900}"#,
    );
    // Half a minute without a connection: four questions that are lost, each two intervals after the one before.
    let lost = [
        own(json!(5)),
        Step::Drop,
        Step::Drop,
        Step::Drop,
        Step::Drop,
        pending(),
        Step::token(),
    ];
    vec![
        (
            device("TK-21", "OK").answers([own(json!(5)), slow(), slow(), slow(), pending(), Step::token()]),
            vec![5, 10, 15, 20, 20],
        ),
        (
            device("TK-25 absent", "OK").answers([without, pending(), Step::token()]),
            vec![5, 5],
        ),
        (
            device("TK-25 text", "OK").answers([own(json!("5")), pending(), Step::token()]),
            vec![5, 5],
        ),
        (
            device("TK-25 nought", "OK").answers([own(json!(0)), pending(), Step::token()]),
            vec![1, 1],
        ),
        (
            device("TK-25 negative", "OK").answers([own(json!(-1)), pending(), Step::token()]),
            vec![1, 1],
        ),
        (device("TK-25 long", "OK").answers([own(json!(1e9)), Step::token()]), vec![900]),
        (device("TK-26", "OK").answers(lost), vec![5, 10, 10, 10, 10, 5]),
        (
            device("TK-22", "DEVICE_CODE_EXPIRED").answers([
                code(json!({"interval": 5, "expires_in": 12})),
                pending(),
                pending(),
                pending(),
            ]),
            vec![5, 5, 2],
        ),
    ]
}

/// A person whose tokens are kept, with the redirect URI whose path the browser does; `cache` is `only` where nobody may be asked.
fn person(name: &str, cache: &str) -> Value {
    json!({"grant": "authorization_code", "authority": format!("ORIGIN/{TENANT}"), "client_id": CLIENT, "resource": XDR, "cache": cache,
        "redirect_uri": "http://localhost/right", "user": {"id": format!("{name}@fabrikam.example"), "type": "required_displayable_id"}})
}

/// The same in PowerShell.
fn person_command(name: &str, prompt: &str) -> String {
    format!(
        "Get-ADALToken -Authority $Authority -ClientId $ClientId -Resource {XDR} -RedirectUri http://localhost/right -UserId {name}@fabrikam.example -UserIdType RequiredDisplayableId -PromptBehavior {prompt}"
    )
}

/// What the token endpoint answers for a person: an access token that is soon over, and a refresh token.
fn with_refresh(name: &str) -> Step {
    let id_token = jwt(&json!({"oid": format!("oid-{name}"), "tid": TENANT, "upn": format!("{name}@fabrikam.example"), "ver": "1.0"}));
    let info = URL_SAFE_NO_PAD.encode(json!({"uid": format!("oid-{name}"), "utid": TENANT}).to_string());
    granted(
        json!({"expires_in": "10", "id_token": id_token, "client_info": info, "refresh_token": format!("canary-refresh-of-{name}-0123456789")}),
    )
}

/// TK-13 and TK-31: what becomes of the tokens that are kept.
fn kept() -> Vec<Row> {
    let over = || refusal("invalid_grant", 700082);
    let asks = |name: &str| format!("$null = {}", person_command(name, "Auto"));
    let silently = |name: &str| format!("try {{ $null = {} }} catch {{ $null = $_ }}", person_command(name, "Never"));
    let row = |id: &str, name, document: Value, commands: &[String]| {
        Row::new(id, name, document, &commands.join("; ")).place(&[("BROWSER", "FAKE")])
    };
    vec![
        row(
            "TK-13 a person who may not be asked",
            "INVALID_GRANT",
            person("adele", "only"),
            &[asks("adele"), person_command("adele", "Never")],
        )
        .before([person("adele", "read")])
        .answers([with_refresh("adele"), over()]),
        row(
            "TK-13 a person who may be asked",
            "OK",
            person("adele", "read"),
            &[asks("adele"), person_command("adele", "Auto")],
        )
        .before([person("adele", "read")])
        .answers([with_refresh("adele"), over(), with_refresh("adele")]),
        // It is not sent again.
        row(
            "TK-13 dropped",
            "INTERACTION_REQUIRED",
            person("adele", "only"),
            &[asks("adele"), silently("adele"), person_command("adele", "Never")],
        )
        .before([person("adele", "read"), person("adele", "only")])
        .answers([with_refresh("adele"), over()]),
        row(
            "TK-13 and no other",
            "OK",
            person("diego", "only"),
            &[asks("adele"), asks("diego"), silently("adele"), person_command("diego", "Never")],
        )
        .before([person("adele", "read"), person("diego", "read"), person("adele", "only")])
        .answers([with_refresh("adele"), with_refresh("diego"), over(), with_refresh("diego")]),
        // Diego signed in where Adele was asked for: his tokens are not hers.
        row(
            "TK-31 not kept",
            "INTERACTION_REQUIRED",
            person("adele", "only"),
            &[
                format!("try {{ {} }} catch {{ $null = $_ }}", asks("adele")),
                person_command("adele", "Never"),
            ],
        )
        .before([person("adele", "read")])
        .answers([with_refresh("diego")]),
    ]
}

/// A browser that does what the redirect URI's path says: see `browser.rs`.
fn browser(id: &str, name: &'static str, redirect: &str) -> Row {
    let document = with(v2("authorization_code"), json!({"redirect_uri": redirect}));
    let command = format!("Get-DefenderToken -Authority $Authority -ClientId $ClientId -RedirectUri {redirect}");
    Row::new(id, name, document, &command).place(&[("BROWSER", "FAKE")])
}

fn identity(id: &str, name: &'static str) -> Row {
    let document = json!({"grant": "managed_identity", "scopes": [format!("{XDR}/.default")]});
    Row::new(id, name, document, "Get-DefenderToken -ManagedIdentity")
}

fn refused(status: u16, error: &str, number: u32, more: Value) -> Step {
    let body = json!({"error": error, "error_description": format!("AADSTS{number}: The server's words.\r\nTrace ID: t\r\nCorrelation ID: c"),
        "error_codes": [number], "correlation_id": "corr-1", "trace_id": "trace-1"});
    Step::json(status, &with(body, more).to_string())
}

fn refusal(error: &str, number: u32) -> Step {
    refused(400, error, number, json!({}))
}

fn code(more: Value) -> Step {
    let body = json!({"user_code": "ABCD-EFGH", "device_code": "canary-device-code-0123456789", "verification_uri": "https://microsoft.com/devicelogin",
        "expires_in": 900, "interval": 1, "message": "To sign in, open https://microsoft.com/devicelogin and enter ABCD-EFGH"});
    Step::json(200, &with(body, more).to_string())
}

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(&json!({"alg": "RS256"})),
        part(claims),
        URL_SAFE_NO_PAD.encode("canary-signature")
    )
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// An assertion from elsewhere that lives this many seconds, and is signed by nobody.
pub fn assertion(lives: i64, name: &str) -> String {
    jwt(
        &json!({"iss": "https://token.actions.githubusercontent.com", "sub": name, "aud": "api://AzureADTokenExchange", "exp": now() + lives}),
    )
}

fn for_person(name: &str, tenant: &str) -> Step {
    let id_token =
        jwt(&json!({"oid": format!("oid-{name}"), "tid": tenant, "preferred_username": format!("{name}@fabrikam.example"), "ver": "2.0"}));
    let info = URL_SAFE_NO_PAD.encode(json!({"uid": format!("oid-{name}"), "utid": tenant}).to_string());
    Step::json(
        200,
        &json!({"access_token": "aaa.bbb.ccc", "token_type": "Bearer", "expires_in": 3599, "id_token": id_token, "client_info": info})
            .to_string(),
    )
}

fn granted(fields: Value) -> Step {
    let body = json!({"access_token": "aaa.bbb.ccc", "token_type": "Bearer"});
    Step::json(200, &with(body, fields).to_string())
}

/// The rows of 2.2. Rows with a token show in its description what the catalogue says of them.
pub fn token_endpoint() -> Vec<Row> {
    let mut rows = vec![
        refresh("TK-1 refresh token", "MFA_REQUIRED")
            .answers([refusal("invalid_grant", 50076)])
            .hints(&["sign in interactively"])
            .about(json!({"aadsts": 50076, "correlation_id": "corr-1", "trace_id": "trace-1"})),
        password("TK-1 password", "MFA_REQUIRED")
            .answers([refusal("invalid_grant", 50076)])
            .hints(&["client_credentials", "browser"]),
        on_behalf("TK-1 claims", "MFA_REQUIRED")
            .answers([refused(
                400,
                "interaction_required",
                50076,
                json!({"claims": CLAIMS, "suberror": "basic_action"}),
            )])
            .hints(&["cannot be done unattended", "claims"])
            .about(json!({"claims": CLAIMS, "suberror": "basic_action"})),
        password("TK-2", "MFA_REQUIRED")
            .answers([refusal("invalid_grant", 50079)])
            .hints(&["register"]),
        on_behalf("TK-3", "CLAIMS_CHALLENGE")
            .answers([refused(400, "interaction_required", 50158, json!({"claims": CLAIMS}))])
            .hints(&["hand these claims"])
            .about(json!({"claims": CLAIMS})),
        app("TK-5", "APP_NOT_FOUND")
            .answers([refusal("unauthorized_client", 700016)])
            .hints(&[CLIENT, TENANT]),
        app("TK-6", "BAD_SECRET")
            .answers([refused(401, "invalid_client", 7000215, json!({}))])
            .hints(&["not its Secret ID", CLIENT])
            .about(json!({"http_status": 401})),
        app("TK-7", "SECRET_EXPIRED")
            .answers([refused(401, "invalid_client", 7000222, json!({}))])
            .hints(&["new client secret", CLIENT]),
        app("TK-9 90002", "TENANT_NOT_FOUND")
            .answers([refusal("invalid_request", 90002)])
            .hints(&[TENANT]),
        app("TK-9 900023", "TENANT_NOT_FOUND")
            .answers([refusal("invalid_request", 900023)])
            .hints(&[TENANT]),
        app("TK-10 70011", "INVALID_SCOPE")
            .answers([refusal("invalid_scope", 70011)])
            .hints(&[&format!("{XDR}/.default")]),
        app("TK-10 1002012", "INVALID_SCOPE")
            .answers([refusal("invalid_scope", 1002012)])
            .hints(&[&format!("{XDR}/.default")]),
        own_code("TK-11 50011", "OAUTH_OTHER", "code")
            .answers([refusal("invalid_request", 50011)])
            .hints(&["https://portal.azure.com", "Authentication", CLIENT]),
        own_code("TK-11 500113", "OAUTH_OTHER", "code=code_2")
            .answers([refusal("invalid_request", 500113)])
            .hints(&["https://portal.azure.com", "Authentication", CLIENT]),
        refresh("TK-13 700082", "INVALID_GRANT")
            .answers([refusal("invalid_grant", 700082)])
            .hints(&["sign in"]),
        refresh("TK-13 70043", "INVALID_GRANT")
            .answers([refusal("invalid_grant", 70043)])
            .hints(&["sign in"]),
        refresh("TK-15", "THROTTLED_LOCALLY")
            .answers([refused(400, "interaction_required", 50058, json!({"claims": CLAIMS}))])
            .times(2)
            .says(&["CLAIMS_CHALLENGE", "The server's words"])
            .hints(&[" s"])
            .about(json!({"aadsts": 50058, "claims": CLAIMS, "correlation_id": "corr-1"}))
            .timed(),
        app("TK-17 number", "OAUTH_OTHER")
            .answers([refusal("brand_new_error", 98_765_432)])
            .hints(&["AADSTS98765432", "https://login.microsoftonline.com/error?code=98765432"])
            .about(json!({"aadsts": 98_765_432})),
        app("TK-17 word", "OAUTH_OTHER")
            .answers([Step::json(400, r#"{"error":"brand_new_error"}"#)])
            .says(&["brand_new_error"]),
        on_behalf("TK-18", "OAUTH_OTHER")
            .answers([Step::json(
                400,
                &json!({"error": "interaction_required\u{1b}[2J", "error_codes": [1], "suberror": "a\r\nb",
                    "error_description": format!("AADSTS50058: \u{1b}[31mred\u{7}\r\nforged line canary-user-assertion-0123456789 {}", "x".repeat(1_000_000))})
                .to_string(),
            )])
            .says(&["\\u{1b}[31mred", "[redacted]"]),
        // Asked a second after the code came, then no more until its life of three seconds ends.
        device("TK-21", "DEVICE_CODE_EXPIRED").answers([
            code(json!({"expires_in": 3})),
            refusal("slow_down", 70016),
            refusal("authorization_pending", 70016),
        ]),
        device("TK-22", "DEVICE_CODE_EXPIRED")
            .answers([code(json!({})), refusal("expired_token", 70019)])
            .hints(&["start the sign-in again"]),
        device("TK-22 its own life", "DEVICE_CODE_EXPIRED")
            .answers([code(json!({"expires_in": 1})), refusal("authorization_pending", 70016)])
            .hints(&["start the sign-in again"]),
        device("TK-23", "DECLINED").answers([code(json!({})), refusal("authorization_declined", 65004)]),
        device("TK-23 access_denied", "DECLINED").answers([code(json!({})), refusal("access_denied", 65004)]),
        device("TK-25", "OK").answers([code(json!({"interval": 0})), Step::token()]),
        device("TK-25 negative", "OK").answers([code(json!({"interval": -1})), Step::token()]),
        device("TK-25 longer than it lives", "OK").answers([code(json!({"interval": 1e9, "expires_in": 1})), Step::token()]),
        device("TK-26", "OK").answers([code(json!({})), Step::Drop, Step::token()]),
        app("TK-27 no token", "NOT_JSON").answers([Step::json(200, r#"{"token_type":"Bearer"}"#)]),
        app("TK-27 other type", "OAUTH_OTHER")
            .answers([Step::json(200, r#"{"access_token":"x","token_type":"pop"}"#)])
            .says(&["\"pop\""]),
        app("TK-29", "OK")
            .answers([granted(json!({"expires_in": "1000", "expires_on": "5", "refresh_in": 5000}))])
            .about(json!({"expires_in": 1000})),
        refresh("TK-31 tenant", "OAUTH_OTHER")
            .answers([for_person("adele", "11111111-3c51-4d11-ad15-99b70e71c548")])
            .says(&[TENANT]),
        app("TK-34", "ASSERTION_TIME")
            .answers([Step::answer(
                401,
                &[
                    ("Content-Type", "application/json"),
                    ("Date", &httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(600))),
                ],
                json!({"error": "invalid_client", "error_description": "AADSTS700024: words", "error_codes": [700024]})
                    .to_string()
                    .as_bytes(),
            )])
            .hints(&["GMT"])
            .timed(),
        own_code("TK-37", "INVALID_GRANT", "code=code_3")
            .answers([refusal("invalid_grant", 54005)])
            .hints(&["already used"]),
        own_code("TK-37 asked again", "INVALID_GRANT", "code=code_5")
            .answers([Step::Drop])
            .times(2)
            .says(&["already used"])
            .hints(&["start the sign-in again"]),
        own_code("TK-37 connection lost", "RESET", "code=code_4").answers([Step::Drop]),
    ];
    for (suberror, number, name) in [
        ("bad_token", 50076, "INVALID_GRANT"),
        ("token_expired", 0, "INVALID_GRANT"),
        ("consent_required", 50126, "CONSENT_REQUIRED"),
        ("protection_policy_required", 0, "BLOCKED_BY_POLICY"),
        ("client_mismatch", 0, "OAUTH_OTHER"),
    ] {
        let mut more = json!({"suberror": suberror});
        if number == 0 {
            more["error_codes"] = json!([]);
            more["error_description"] = json!("Words that say consent_required and bad_token and interaction_required.");
        }
        let row = refresh(&format!("TK-14 {suberror}"), name).answers([refused(400, "invalid_grant", number, more)]);
        rows.push(row.about(json!({"suberror": suberror})));
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for (what, body) in [
        ("text", "hello"),
        ("array", "[]"),
        ("null", "null"),
        ("truncated", "{\"access_token\":\"x\""),
        ("deep", &deep),
    ] {
        rows.push(app(&format!("TK-19 {what}"), "NOT_JSON").answers([Step::json(200, body)]));
    }
    for (what, authority) in [
        ("not https", "http://login.microsoftonline.com/contoso.com"),
        ("path", "https://login.microsoftonline.com/contoso.com/../x"),
        ("query", "https://login.microsoftonline.com/contoso.com?x=1"),
        ("scheme", "ftp://login.microsoftonline.com/contoso.com"),
    ] {
        let command = format!("Get-DefenderToken -Authority '{authority}' -ClientId $ClientId -ClientSecret $Secrets.client_secret");
        let mut row = app(&format!("TK-35 {what}"), "BAD_ARGUMENT");
        row.document["authority"] = json!(authority);
        row.command = command;
        rows.push(row);
    }
    let mut early = app("TK-10 not even asked", "INVALID_SCOPE").hints(&[&format!("{XDR}/.default")]);
    early.document["scopes"] = json!([format!("{XDR}/Incident.Read.All")]);
    early.command.push_str(&format!(" -Scopes {XDR}/Incident.Read.All"));
    rows.push(early);
    let mut fewer = refresh("TK-30", "OK")
        .answers([granted(json!({"expires_in": 1000, "scope": format!("{XDR}/Incident.Read openid")}))])
        .says(&["AdvancedHunting.Read"])
        .about(json!({"scopes": [format!("{XDR}/Incident.Read"), "openid"], "missing_scopes": [format!("{XDR}/AdvancedHunting.Read")]}));
    fewer.document["scopes"] = json!([format!("{XDR}/Incident.Read"), format!("{XDR}/AdvancedHunting.Read")]);
    fewer
        .command
        .push_str(&format!(" -Scopes {XDR}/Incident.Read, {XDR}/AdvancedHunting.Read"));
    rows.push(fewer);
    // The person who signs in is not the one that was asked for.
    let mut other = browser("TK-31 person", "OAUTH_OTHER", "http://localhost/right").answers([for_person("diego", TENANT)]);
    other.document["resource"] = json!(XDR);
    other.document.as_object_mut().unwrap().remove("scopes");
    other.document["user"] = json!({"id": "adele@fabrikam.example", "type": "required_displayable_id"});
    other.command = format!(
        "Get-ADALToken -Authority $Authority -ClientId $ClientId -Resource {XDR} -RedirectUri http://localhost/right -UserId adele@fabrikam.example -UserIdType RequiredDisplayableId"
    );
    rows.push(other.about(json!({"oauth_error": "user_mismatch"})));
    rows.extend(kept());
    rows
}

/// The rows of 2.3. `taken` is a port that somebody listens on.
pub fn loopback(taken: u16) -> Vec<Row> {
    vec![
        browser("LB-1", "STATE_MISMATCH", "http://localhost/wrong-state"),
        browser("LB-1 then right", "OK", "http://localhost/wrong-then-right").answers([Step::token()]),
        browser("LB-2", "STATE_MISMATCH", "http://localhost/no-state"),
        browser("LB-5", "ISS_MISMATCH", "http://localhost/other-issuer"),
        browser("LB-6", "OK", "http://localhost/rebinding-then-right").answers([Step::token()]),
        browser("LB-8", "REDIRECT_ERROR", "http://localhost/error"),
        browser("LB-8 declined", "DECLINED", "http://localhost/declined").about(json!({"aadsts": 65004})),
        browser("LB-9", "OK", "http://localhost/empty-then-right").answers([Step::token()]),
        // The host brings an address that holds no code. PowerShell brings none for a loopback address, and lets a person paste any other.
        {
            let mut row = browser("LB-9 brought by the host", "NO_CODE", "http://localhost/brought").hints(&["code="]);
            row.command.clear();
            row
        },
        {
            let mut row = browser("LB-9 pasted", "NO_CODE", PASTED).place(&[]).hints(&["code="]);
            row.command = format!("{A_PERSON_PASTES}{}", row.command);
            row
        },
        browser("LB-10", "OK", "http://localhost/noise-then-right").answers([Step::token()]),
        browser("LB-13", "OK", "http://localhost/binary-then-right").answers([Step::token()]),
        browser("LB-12", "OK", "http://localhost/large-then-right").answers([Step::token()]),
        browser("LB-14", "OK", "http://localhost/idle-then-right").answers([Step::token()]),
        browser("LB-16", "OK", "http://localhost/other-family").answers([Step::token()]),
        {
            let mut row = browser("LB-24", "OK", "http://localhost/exact").answers([Step::token()]);
            row.document["login_hint"] = json!(AWKWARD);
            row.document["user"] = json!({"id": AWKWARD, "type": "optional_displayable_id"});
            row.command.push_str(&format!(" -LoginHint '{AWKWARD}'"));
            row
        },
        {
            let mut row = browser("LB-17 and LB-18", "BROWSER_TIMEOUT", "http://localhost/silent")
                .hints(&["http://localhost:", "/silent", CLIENT, "AADSTS50011", "Ctrl+C"])
                .limit(1000);
            row.command.push_str(" -Timeout 1");
            row
        },
        browser("LB-21", "OK", "http://localhost/early").answers([Step::token()]),
        browser("LB-22", "OK", "http://localhost/posted").answers([Step::token()]),
        browser("the port is taken", "PORT_IN_USE", &format!("http://127.0.0.1:{taken}")).says(&[&taken.to_string()]),
        browser("no browser", "NO_BROWSER", "http://localhost/nobody")
            .place(&[])
            .says(&["no desktop"])
            .hints(&["device code"]),
    ]
}

/// The rows of 2.7 that need no certificate.
pub fn identities(folder: &Path, arc_agent: bool) -> Vec<Row> {
    let file = folder.join("federated-token");
    let imds = |id: &str, name, step| {
        identity(id, name)
            .place(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "ORIGIN")])
            .answers([step])
    };
    let service = |id: &str, name| {
        identity(id, name)
            .place(&[("IDENTITY_ENDPOINT", "ORIGIN/msi/token")])
            .secrets(&["IDENTITY_HEADER"])
    };
    let arc = |id: &str, name, realm: &str| {
        identity(id, name)
            .place(&[("IDENTITY_ENDPOINT", "ORIGIN/token"), ("IMDS_ENDPOINT", "ORIGIN")])
            .answers([Step::answer(401, &[("WWW-Authenticate", &format!("Basic realm={realm}"))], b"")])
    };
    let too_old = || {
        Step::json(
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range.","error_codes":[700024]}"#,
        )
    };
    let job = |value: &str| Step::json(200, &json!({"value": value, "count": 1}).to_string());
    let federated = |kind: &str| with(v2("client_credentials"), json!({"credential": {"type": kind}}));
    let mut rows = vec![
        imds(
            "MI-2 not there",
            "NO_MANAGED_IDENTITY",
            Step::json(404, r#"{"error":"not_found","error_description":"Identity not found"}"#),
        ),
        imds(
            "MI-2 several",
            "NO_MANAGED_IDENTITY",
            Step::json(400, r#"{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"}"#),
        )
        .says(&["several"])
        .hints(&["-IdentityClientId"]),
        // Whether a metadata service answers depends on the machine. That the proxy hears nothing is looked at after all rows.
        {
            let mut row = identity("MI-3", "").limit(1000);
            row.command.push_str(" -Timeout 1");
            row
        },
        identity("MI-7", "NO_MANAGED_IDENTITY")
            .place(&[("IDENTITY_ENDPOINT", "http://10.0.0.4/msi/token")])
            .secrets(&["IDENTITY_HEADER"])
            .says(&["IDENTITY_ENDPOINT"]),
        identity("MI-7 metadata", "NO_MANAGED_IDENTITY")
            .place(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254.example/x")])
            .says(&["AZURE_POD_IDENTITY_AUTHORITY_HOST"]),
        service("MI-8 seconds", "OK")
            .answers([granted(json!({"expires_on": (now() + 1000).to_string()}))])
            .about(json!({"expires_in": 1000})),
        service("MI-8 date", "OK")
            .answers([granted(json!({"expires_on": "1/2/2100 3:04:05 PM +00:00"}))])
            .about(json!({"expires_in": 4_102_585_445 - now()})),
        service("MI-8 neither", "NOT_JSON").answers([granted(json!({"expires_on": "soon"}))]),
        Row::new(
            "MI-10",
            "OAUTH_OTHER",
            federated("workload_identity"),
            "Get-DefenderToken -Authority $Authority -ClientId $ClientId -WorkloadIdentity",
        )
        .place(&[("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap())])
        .answers([refused(401, "invalid_client", 700213, json!({}))])
        .hints(&["repo:fabrikam/soc:ref:refs/heads/other", "https://token.actions.githubusercontent.com", CLIENT]),
        Row::new(
            "MI-11",
            "ASSERTION_TIME",
            federated("github_actions"),
            "Get-DefenderToken -Authority $Authority -ClientId $ClientId -GitHubActions",
        )
        .place(&[("ACTIONS_ID_TOKEN_REQUEST_URL", "ORIGIN/idtoken?api-version=2.0")])
        .secrets(&["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
        .answers([job("canary-first.a.a"), too_old(), job("canary-second.b.b"), too_old()]),
        Row::new(
            "MI-11 the host's own",
            "ASSERTION_TIME",
            with(v2("client_credentials"), json!({"credential": {"type": "assertion", "from_event": true}})),
            "$script:asked = 0; try { Get-DefenderToken -Authority $Authority -ClientId $ClientId -ClientAssertion { $script:asked++; $Texts.expired_assertion } } finally { if ($script:asked -ne 2) { throw \"asked $script:asked times\" } }",
        )
        .timed(),
    ];
    if cfg!(target_os = "linux") {
        rows.extend([
            arc("MI-4 outside", "ARC_SECRET", "/etc/passwd").says(&["outside"]),
            arc("MI-4 above", "ARC_SECRET", &format!("{TOKENS}/../x.key")).says(&["outside"]),
            arc("MI-4 not .key", "ARC_SECRET", &format!("{TOKENS}/x.pem")).says(&[".key"]),
        ]);
    }
    if arc_agent {
        let mut own = arc("MI-4 the agent's own", "OK", &format!("{TOKENS}/good.key"));
        own.answers.push(granted(json!({"expires_on": (now() + 1000).to_string()})));
        own.seen = 2;
        rows.extend([
            own.about(json!({"expires_in": 1000})),
            arc("MI-4 large", "ARC_SECRET", &format!("{TOKENS}/large.key")).says(&["4096"]),
            arc("MI-6", "ARC_SECRET", &format!("{TOKENS}/locked.key"))
                .says(&["may not read"])
                .hints(&["himds"]),
        ]);
    }
    rows
}

/// Makes the files that the rows name.
pub fn make_files(folder: &Path) {
    std::fs::write(
        folder.join("federated-token"),
        assertion(600, "repo:fabrikam/soc:ref:refs/heads/other"),
    )
    .unwrap();
    let Some(openssl) = support::on_path("openssl") else {
        return support::skip("TK-33 and MI-12", "there is no openssl on PATH");
    };
    let run = |command: &str| {
        let words = command
            .split(' ')
            .map(|word| word.replace("PASSWORD", "canary-pfx-password-0123456789"));
        let output = Command::new(&openssl).args(words).current_dir(folder).output().unwrap();
        assert!(
            output.status.success(),
            "openssl {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    for name in ["a", "b"] {
        run(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -days 30 -subj /CN={name}"
        ));
    }
    run("req -x509 -newkey rsa:1024 -nodes -keyout short.key -out short.crt -days 30 -subj /CN=short");
    run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ec.key -out ec.crt -days 30 -subj /CN=ec");
    // Old versions of openssl give no certificate a past of its own.
    let key = rcgen::KeyPair::from_pem(&std::fs::read_to_string(folder.join("a.key")).unwrap()).unwrap();
    let mut old = rcgen::CertificateParams::default();
    old.not_before = rcgen::date_time_ymd(2020, 1, 1);
    old.not_after = rcgen::date_time_ymd(2021, 1, 1);
    std::fs::write(folder.join("old.crt"), old.self_signed(&key).unwrap().pem()).unwrap();
    run("pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -out locked.pfx");
    run("pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -legacy -keypbe PBE-SHA1-RC4-128 -out rc4.pfx");
    run(
        "pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-3DES -macalg SHA1 -out rc2.pfx",
    );
    // A chain of five: the root, three between, and the app's own.
    std::fs::write(folder.join("ca.ext"), "basicConstraints=CA:TRUE\n").unwrap();
    for (issuer, name) in [("b", "ca1"), ("ca1", "ca2"), ("ca2", "ca3"), ("ca3", "leaf")] {
        let key = if name == "leaf" { "a" } else { "b" };
        run(&format!("req -new -key {key}.key -out {name}.csr -subj /CN={name}"));
        run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey b.key -CAcreateserial -days 30 -out {name}.crt -extfile ca.ext"
        ));
    }
    let issuers: Vec<u8> = ["ca1", "b", "ca3", "ca2"]
        .iter()
        .flat_map(|name| std::fs::read(folder.join(format!("{name}.crt"))).unwrap())
        .collect();
    std::fs::write(folder.join("issuers.crt"), issuers).unwrap();
    run("pkcs12 -export -inkey a.key -in leaf.crt -certfile issuers.crt -passout pass:PASSWORD -out chain.pfx");
    // With a bag of no known kind: what was the last certificate's.
    run("pkcs12 -export -inkey a.key -in leaf.crt -certfile issuers.crt -passout pass: -keypbe NONE -certpbe NONE -nomac -out unknown.pfx");
    let mut bytes = std::fs::read(folder.join("unknown.pfx")).unwrap();
    let bag = [0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
    let last = bytes.windows(bag.len()).rposition(|window| window == bag).unwrap();
    bytes[last + bag.len() - 1] = 0x09;
    std::fs::write(folder.join("unknown.pfx"), bytes).unwrap();
    run("pkcs12 -export -nokeys -in a.crt -passout pass:PASSWORD -out no-key.pfx");
    run("pkcs12 -export -nocerts -inkey a.key -passout pass:PASSWORD -out no-certificate.pfx");
    run("pkcs12 -export -inkey short.key -in short.crt -passout pass:PASSWORD -out short.pfx");
    run("pkcs12 -export -inkey ec.key -in ec.crt -passout pass:PASSWORD -out ec.pfx");
    for (name, parts) in [
        ("mismatch.pem", ["a.crt", "b.key"]),
        ("expired.pem", ["old.crt", "a.key"]),
        ("ec.pem", ["ec.crt", "ec.key"]),
    ] {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| std::fs::read(folder.join(part)).unwrap()).collect();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    std::fs::write(folder.join("nonsense.pfx"), b"0\x82nonsense").unwrap();
}

/// TK-33 and MI-12: what is wrong with a certificate is said before the network is asked. None where openssl made no files.
pub fn certificates(folder: &Path) -> Vec<Row> {
    if !folder.join("nonsense.pfx").exists() {
        return Vec::new();
    }
    let given = "certificate_password";
    let wrong = "certificate_password=wrong_certificate_password";
    let rows = [
        ("TK-33 mismatch", "mismatch.pem", "", "PRIVATE_KEY", "does not belong"),
        ("TK-33 no key", "a.crt", "", "PRIVATE_KEY", "no private key"),
        ("TK-33 wrong password", "locked.pfx", wrong, "PRIVATE_KEY", "password"),
        ("TK-33 no password", "locked.pfx", "", "PRIVATE_KEY", "none was given"),
        ("TK-33 expired", "expired.pem", "", "CERTIFICATE", "expired on"),
        ("TK-33 elliptic curve", "ec.pem", "", "CERTIFICATE", "elliptic curve"),
        ("TK-33 no file", "absent.pfx", "", "CERTIFICATE", "cannot be read"),
        ("MI-12 wrong password", "rc4.pfx", wrong, "PRIVATE_KEY", "password"),
        ("MI-12 no key", "no-key.pfx", given, "PRIVATE_KEY", "no private key"),
        ("MI-12 no certificate", "no-certificate.pfx", given, "CERTIFICATE", "no certificate"),
        ("MI-12 1024 bits", "short.pfx", given, "CERTIFICATE", "1024 bits"),
        ("MI-12 elliptic curve", "ec.pfx", given, "CERTIFICATE", "elliptic curve"),
        ("MI-12 old cipher", "rc4.pfx", given, "PRIVATE_KEY", "not supported"),
        ("MI-12 nonsense", "nonsense.pfx", "", "CERTIFICATE", "is not a certificate"),
        // What other programs write, and what an app proves itself by as with any.
        ("MI-12 chain of five", "chain.pfx", given, "OK", ""),
        ("MI-12 legacy RC2", "rc2.pfx", given, "OK", ""),
        ("MI-12 unknown bag", "unknown.pfx", "", "OK", ""),
    ];
    let rows = rows.map(|(id, file, password, name, words)| {
        let path: PathBuf = folder.join(file);
        let document = with(
            v2("client_credentials"),
            json!({"credential": {"type": "certificate", "path": path}}),
        );
        let mut command = format!(
            "Get-DefenderToken -Authority $Authority -ClientId $ClientId -CertificatePath '{}'",
            path.display()
        );
        if !password.is_empty() {
            let name = password.rsplit('=').next().unwrap();
            command.push_str(&format!(" -CertificatePassword $Secrets.{name}"));
        }
        let row = Row::new(id, name, document, &command);
        let row = match name {
            "OK" => row.answers([Step::token()]),
            _ => row.says(&[words]),
        };
        let mut row = row.secrets(if password.is_empty() {
            &[]
        } else {
            std::slice::from_ref(&password)
        });
        // The day it expired is told with the clock's time.
        row.timed = words == "expired on";
        row
    });
    rows.into()
}
