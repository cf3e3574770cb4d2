//! Apps that sign instead of showing a secret: certificates, and federated credentials of every kind of issuer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::*;
use defender_emulator::config::AppCertificate;
use defender_emulator::{BlockingEmulator, Config, Emulator};
use serde_json::{Value, json};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const DEFAULT: &str = "https://api.security.microsoft.com/.default";
const WORKLOAD: &str = "f5b1c6d2-7a0b-4c8e-9d55-2f8f0a4f7c31";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "repo:fabrikam/soc:ref:refs/heads/main";
const EXCHANGE: &str = "api://AzureADTokenExchange";
const V2_TOKEN: &str = "https://login.microsoftonline.com/8e58f0bf-3f7c-4dc0-90c3-f13a92d07897/oauth2/v2.0/token";

struct Key {
    pair: RsaKeyPair,
    der: Vec<u8>,
    pem: String,
}

/// A key and a certificate that is valid between two years.
fn key(from: i32, to: i32) -> Key {
    let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let certificate = params.self_signed(&made).unwrap();
    Key {
        pair: RsaKeyPair::from_pkcs8(&made.serialize_der()).unwrap(),
        der: certificate.der().to_vec(),
        pem: certificate.pem(),
    }
}

impl Key {
    fn print(&self, algorithm: &'static aws_lc_rs::digest::Algorithm) -> Vec<u8> {
        aws_lc_rs::digest::digest(algorithm, &self.der).as_ref().to_vec()
    }

    fn x5t(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.print(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY))
    }

    fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.print(&aws_lc_rs::digest::SHA256))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let how: &dyn RsaEncoding = if header["alg"] == "PS256" {
            &RSA_PSS_SHA256
        } else {
            &RSA_PKCS1_SHA256
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(how, &aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes(), &mut signature)
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn claims() -> Value {
    json!({"aud": V2_TOKEN, "iss": RUNBOOK, "sub": RUNBOOK, "jti": "1", "nbf": now(), "exp": now() + 600})
}

fn registered(key: &Key) -> BlockingEmulator {
    configured(|c| {
        c.apps[1].certificates.push(AppCertificate {
            pem: Some(key.pem.clone()),
            ..AppCertificate::default()
        });
    })
}

fn ask(emulator: &BlockingEmulator, client: &str, assertion: &str) -> Answer {
    v2_token(
        emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion),
            ("scope", DEFAULT),
        ],
    )
}

#[test]
fn both_algorithms_and_every_name_of_a_key_are_taken() {
    let key = key(2020, 2099);
    let emulator = registered(&key);
    let hex: String = key
        .print(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY)
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    for header in [
        json!({"alg": "RS256", "typ": "JWT", "x5t": key.x5t()}),
        json!({"alg": "PS256", "typ": "JWT", "x5t#S256": key.x5t_s256()}),
        json!({"alg": "RS256", "typ": "JWT", "x5t#S256": key.x5t_s256(), "x5c": [STANDARD.encode(&key.der)]}),
        json!({"alg": "RS256", "typ": "JWT", "kid": hex}),
        // As MSAL Python writes them: padded, and with the line breaks of a PEM text.
        json!({"alg": "PS256", "x5t#S256": format!("{}=", key.x5t_s256()), "x5c": [key.pem.split("-----").nth(2).unwrap()]}),
    ] {
        let mut claims = claims();
        // A date may have a fraction.
        claims["exp"] = json!(now() as f64 + 600.5);
        let answer = ask(&emulator, RUNBOOK, &key.sign(&header, &claims));
        assert_eq!(answer.status, 200, "{header}: {}", answer.text());
        let body = answer.json();
        let (_, access) = decode(body["access_token"].as_str().unwrap());
        assert_eq!(access["appidacr"], "2");
    }
    // The older dialect, and the older audience.
    let mut older = claims();
    older["aud"] = json!(format!("https://login.windows.net/{TENANT}/oauth2/token"));
    let assertion = key.sign(&json!({"alg": "RS256", "x5t": key.x5t()}), &older);
    let v1 = v1_token(
        &emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", RUNBOOK),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
            ("resource", XDR),
        ],
    );
    assert_eq!(v1.json()["expires_in"], "3599", "{}", v1.text());
}

#[test]
fn a_certificate_known_by_its_thumbprint_has_to_be_shown() {
    let key = key(2020, 2099);
    let emulator = configured(|c| {
        c.apps[1].certificates.push(AppCertificate {
            thumbprint: Some(key.x5t_s256()),
            ..AppCertificate::default()
        });
    });
    let mut header = json!({"alg": "PS256", "x5t#S256": key.x5t_s256()});
    is_error(
        &ask(&emulator, RUNBOOK, &key.sign(&header, &claims())),
        401,
        "invalid_client",
        700_027,
    );
    header["x5c"] = json!([STANDARD.encode(&key.der)]);
    assert_eq!(ask(&emulator, RUNBOOK, &key.sign(&header, &claims())).status, 200);
}

#[test]
fn a_certificate_can_be_registered_while_it_runs() {
    let key = key(2020, 2099);
    let emulator = start();
    let assertion = key.sign(&json!({"alg": "RS256", "x5t": key.x5t()}), &claims());
    is_error(&ask(&emulator, RUNBOOK, &assertion), 401, "invalid_client", 700_027);
    let body = |client: &str, pem: &str| json!({"client_id": client, "pem": pem}).to_string();
    assert_eq!(control(&emulator, "POST", "certificates", &body(RUNBOOK, &key.pem)).status, 204);
    assert_eq!(ask(&emulator, RUNBOOK, &assertion).status, 200);
    // On that app only, and until a reset.
    is_error(&ask(&emulator, WORKLOAD, &assertion), 401, "invalid_client", 700_027);
    emulator.reset().unwrap();
    is_error(&ask(&emulator, RUNBOOK, &assertion), 401, "invalid_client", 700_027);
    assert_eq!(control(&emulator, "POST", "certificates", &body("nobody", &key.pem)).status, 400);
    assert_eq!(control(&emulator, "POST", "certificates", &body(RUNBOOK, "x")).status, 400);
}

#[test]
fn what_is_wrong_with_an_assertion_is_said() {
    let (right, other, old) = (key(2020, 2099), key(2020, 2099), key(2020, 2021));
    let mut config = Config::default();
    for k in [&right, &old] {
        config.apps[1].certificates.push(AppCertificate {
            pem: Some(k.pem.clone()),
            ..AppCertificate::default()
        });
    }
    let emulator = Emulator::builder().config(config).start_blocking().unwrap();
    let header = |k: &Key| json!({"alg": "RS256", "x5t": k.x5t()});
    let refused = |assertion: &str, code: u64| {
        let answer = ask(&emulator, RUNBOOK, assertion);
        let (status, error) = if code == 50_027 && assertion == "x" {
            (400, "invalid_request")
        } else {
            (401, "invalid_client")
        };
        is_error(&answer, status, error, code);
        answer.json()["error_description"].as_str().unwrap().to_owned()
    };
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        right.sign(&header(&right), &claims)
    };
    refused("x", 50_027);
    let text = refused(&other.sign(&header(&other), &claims()), 700_027);
    assert!(
        text.contains("The key was not found., Thumbprint of key used by client: '"),
        "{text}"
    );
    let text = refused(&other.sign(&header(&right), &claims()), 700_027);
    assert!(
        text.contains("use of the key to verify the signature failed") && text.contains("Start=01/01/2020 00:00:00"),
        "{text}"
    );
    let text = refused(&old.sign(&header(&old), &claims()), 700_027);
    assert!(text.contains("The key used is expired"), "{text}");
    refused(&right.sign(&json!({"alg": "RS256"}), &claims()), 50_027);
    refused(&right.sign(&json!({"alg": "HS256", "x5t": right.x5t()}), &claims()), 5_002_730);
    refused(
        &right.sign(
            &json!({"alg": "RS256", "x5t": right.x5t(), "x5c": [STANDARD.encode(&other.der)]}),
            &claims(),
        ),
        50_012,
    );
    refused(&with("sub", json!(PUBLIC)), 700_021);
    refused(&with("iss", json!(PUBLIC)), 700_021);
    refused(
        &with("aud", json!("https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token")),
        700_023,
    );
    refused(&with("aud", json!("https://evil.example/")), 700_023);
    let text = refused(&with("exp", json!(now() - 600)), 700_024);
    assert!(
        text.contains("Current time: ") && text.contains("expiry time of assertion "),
        "{text}"
    );
    refused(&with("nbf", json!(now() + 590)), 700_024);
    // Five minutes are forgiven.
    assert_eq!(ask(&emulator, RUNBOOK, &with("exp", json!(now() - 200))).status, 200);
    let public = ask(&emulator, PUBLIC, &right.sign(&header(&right), &claims()));
    is_error(&public, 401, "invalid_client", 700_025);
    let untyped = v2_token(
        &emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", RUNBOOK),
            ("client_assertion", "x"),
            ("scope", DEFAULT),
        ],
    );
    is_error(&untyped, 400, "invalid_request", 900_144);
}

#[test]
fn a_federated_token_has_to_match_to_the_letter() {
    let emulator = start();
    let mint = |issuer: &str, subject: &str, audience: &str, life: i64| emulator.federated_token(issuer, subject, audience, life).unwrap();
    let token = mint(GITHUB, SUBJECT, EXCHANGE, 600);
    let answer = ask(&emulator, WORKLOAD, &token);
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (token, code) in [
        (mint("https://issuer.example", SUBJECT, EXCHANGE, 600), 700_211),
        (mint(GITHUB, "repo:fabrikam/other:ref:refs/heads/main", EXCHANGE, 600), 700_213),
        (mint(GITHUB, "repo:Fabrikam/soc:ref:refs/heads/main", EXCHANGE, 600), 7_002_138),
        (mint(GITHUB, SUBJECT, "https://github.com/fabrikam", 600), 700_212),
        (mint(GITHUB, SUBJECT, EXCHANGE, -600), 700_024),
        (format!("{}.AAAA", token.rsplit_once('.').unwrap().0), 50_013),
    ] {
        is_error(&ask(&emulator, WORKLOAD, &token), 401, "invalid_client", code);
    }
    // An app that trusts nobody.
    is_error(&ask(&emulator, RUNBOOK, &token), 401, "invalid_client", 70_025);
}

#[test]
fn github_actions_vouches_for_its_job() {
    let emulator = start();
    let place = emulator.environment("github-actions").unwrap();
    let url = &place["ACTIONS_ID_TOKEN_REQUEST_URL"];
    let target = url.strip_prefix(emulator.origin()).unwrap();
    let bearer = format!("Bearer {}", place["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]);
    let target = format!("{target}&audience=api%3A%2F%2FAzureADTokenExchange");
    let refused = send(emulator.origin(), "GET", &target, &[("authorization", "Bearer x")], b"").unwrap();
    assert_eq!(refused.status, 401);
    let given = send(emulator.origin(), "GET", &target, &[("authorization", &bearer)], b"")
        .unwrap()
        .json();
    let (_, claims) = decode(given["value"].as_str().unwrap());
    assert_eq!(claims["sub"], SUBJECT);
    assert_eq!(claims["repository"], "fabrikam/soc");
    assert_eq!(place["AZURE_CLIENT_ID"], WORKLOAD);
    assert_eq!(ask(&emulator, WORKLOAD, given["value"].as_str().unwrap()).status, 200);
}

#[test]
fn azure_pipelines_vouches_for_a_service_connection() {
    let emulator = start();
    let place = emulator.environment("azure-pipelines").unwrap();
    let target = place["SYSTEM_OIDCREQUESTURI"].strip_prefix(emulator.origin()).unwrap();
    let ask_for = |query: &str, bearer: &str, more: &[(&str, &str)]| {
        let bearer = format!("Bearer {bearer}");
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(more);
        send(emulator.origin(), "POST", &format!("{target}?{query}"), &headers, b"").unwrap()
    };
    let query = format!(
        "api-version=7.1&serviceConnectionId={}",
        place["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"]
    );
    let token = &place["SYSTEM_ACCESSTOKEN"];
    let given = ask_for(&query, token, &[]).json();
    assert_eq!(ask(&emulator, WORKLOAD, given["oidcToken"].as_str().unwrap()).status, 200);
    assert_eq!(ask_for(&query, "x", &[]).status, 302);
    assert_eq!(ask_for(&query, "x", &[("x-tfs-fedauthredirect", "Suppress")]).status, 401);
    let unknown = ask_for("api-version=7.1&serviceConnectionId=nobody", token, &[]);
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["message"].as_str().unwrap().contains("nobody"));
    assert_eq!(ask_for("serviceConnectionId=x", token, &[]).status, 400);
}

#[test]
fn a_cluster_writes_a_token_file_that_goes_with_the_emulator() {
    let emulator = start();
    let place = emulator.environment("kubernetes").unwrap();
    let file = &place["AZURE_FEDERATED_TOKEN_FILE"];
    let token = std::fs::read_to_string(file).unwrap();
    assert_eq!(decode(&token).1["kubernetes.io"]["namespace"], "soc");
    assert_eq!(ask(&emulator, &place["AZURE_CLIENT_ID"], &token).status, 200);
    assert_eq!(ask(&emulator, WORKLOAD, &emulator.kubernetes_token().unwrap()).status, 200);
    emulator.stop();
    assert!(!std::path::Path::new(file).exists());
}

#[test]
fn a_managed_identity_stands_for_an_app_that_trusts_it() {
    let emulator = start();
    let token = send(
        emulator.origin(),
        "GET",
        "/169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2FAzureADTokenExchange&client_id=9d4c7b1e-6a58-4e2f-b3c0-18f5d7a2e964",
        &[("metadata", "true")],
        b"",
    )
    .unwrap()
    .json();
    let answer = ask(&emulator, WORKLOAD, token["access_token"].as_str().unwrap());
    assert_eq!(answer.status, 200, "{}", answer.text());
}
