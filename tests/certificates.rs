//! Signing in with a certificate or an assertion: every form of file, every grant, and each thing that can be wrong before the network is asked.
//!
//! The certificates are made by openssl while the test runs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;
mod support;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use defender_emulator::config::AppCertificate;
use defender_emulator::{BlockingEmulator, Config, Emulator};
use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::clock::{Clock, SystemRandom};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{CLIENT, Scripted, Step, TENANT, VirtualClock};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

const XDR: &str = "https://api.security.microsoft.com";
const PASSWORD: &str = "canary-pfx-p\u{e4}ssword-0123456789";
const PFX_PASSWORD: &str = "canary-pfx-p\u{e4}\u{20ac}sword-0123456789";

/// What openssl made, by file name.
struct Made(PathBuf);

impl Made {
    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    /// A new file of several others, one behind the other.
    fn join(&self, name: &str, parts: &[&str]) {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| self.bytes(part)).collect();
        // In one step: other tests read the same files at the same time.
        let aside = tempfile::NamedTempFile::new_in(&self.0).unwrap();
        std::fs::write(aside.path(), bytes).unwrap();
        aside.persist(self.0.join(name)).unwrap();
    }

    fn run(&self, command: &str) {
        let words = command
            .split_whitespace()
            .map(|word| word.replace("PASSWORD", PFX_PASSWORD).replace("PEMPASS", PASSWORD));
        let output = Command::new("openssl").args(words).current_dir(&self.0).output().unwrap();
        assert!(
            output.status.success(),
            "openssl {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// openssl as the host that has the key: answers the event `sign`.
    fn sign(&self, event: &Value, key: &str) -> Vec<u8> {
        let mut data = tempfile::NamedTempFile::new().unwrap();
        data.write_all(&STANDARD.decode(event["data"].as_str().unwrap()).unwrap()).unwrap();
        let mut command = Command::new("openssl");
        command.current_dir(&self.0).args(["dgst", "-sha256", "-sign", key]);
        if event["algorithm"] == "PS256" {
            command.args(["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]);
        }
        command.arg(data.path()).output().unwrap().stdout
    }

    fn certificate(&self, pem: &str) -> Vec<u8> {
        let text = String::from_utf8(self.bytes(pem)).unwrap();
        let body = text
            .split("-----BEGIN CERTIFICATE-----")
            .nth(1)
            .unwrap()
            .split("-----END")
            .next()
            .unwrap();
        STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap()
    }
}

/// Makes the files once; `None`, said aloud, where there is no openssl.
fn made(test: &str) -> Option<&'static Made> {
    static MADE: OnceLock<Option<Made>> = OnceLock::new();
    let made = MADE
        .get_or_init(|| {
            support::on_path("openssl")?;
            let made = Made(support::scratch("certificates"));
            for name in ["a", "b"] {
                made.run(&format!(
                    "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -days 30 -subj /CN=app-{name}"
                ));
            }
            made.run("req -x509 -newkey rsa:1024 -nodes -keyout short.key -out short.crt -days 30 -subj /CN=short");
            made.run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ec.key -out ec.crt -days 30 -subj /CN=ec");
            // A chain of five: root, three between, the certificate itself with the key of "a".
            made.run("req -x509 -newkey rsa:2048 -nodes -keyout ca0.key -out ca0.crt -days 30 -subj /CN=ca0");
            std::fs::write(made.0.join("ca.ext"), "basicConstraints=CA:TRUE\n").unwrap();
            for (issuer, name, key) in [
                ("ca0", "ca1", "ca0.key"),
                ("ca1", "ca2", "ca0.key"),
                ("ca2", "ca3", "ca0.key"),
                ("ca3", "leaf", "a.key"),
            ] {
                made.run(&format!("req -new -key {key} -out {name}.csr -subj /CN={name}"));
                made.run(&format!(
                    "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey ca0.key -CAcreateserial -days 30 -out {name}.crt -extfile ca.ext"
                ));
            }
            made.join("issuers.crt", &["ca1.crt", "ca0.crt", "ca3.crt", "ca2.crt"]);
            made.run("rsa -in a.key -traditional -out a.pkcs1");
            made.run("pkcs8 -topk8 -in a.key -out a.aes -passout pass:PEMPASS");
            made.run("pkcs8 -topk8 -in a.key -out a.des3 -v2 des3 -passout pass:PEMPASS");
            made.run("pkcs8 -topk8 -in a.key -out a.sha1 -v2 aes-128-cbc -v2prf hmacWithSHA1 -passout pass:PEMPASS");
            made.run("pkcs8 -topk8 -in a.key -out a.scrypt -scrypt -passout pass:PEMPASS");
            made.run("rsa -in a.key -traditional -aes128 -out a.old -passout pass:PEMPASS");
            made.run("pkcs8 -topk8 -in a.key -out a.v1 -v1 PBE-SHA1-3DES -passout pass:PEMPASS");
            made.run("x509 -in a.crt -outform DER -out a.cer");
            Some(made)
        })
        .as_ref();
    if made.is_none() {
        support::skip(test, "there is no openssl on PATH");
    }
    made
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn clock_at(unix: i64) -> Arc<VirtualClock> {
    let clock = VirtualClock::new();
    clock.advance(unix - clock.unix());
    clock
}

fn client(clock: &Arc<VirtualClock>) -> Arc<Client> {
    Client::with(
        br#"{"cache":"private"}"#,
        Arc::clone(clock) as Arc<dyn Clock>,
        Arc::new(SystemRandom),
    )
    .unwrap()
}

/// A request of the app to a scripted server.
fn request(client: &Arc<Client>, server: &Scripted, credential: Value, extra: Value) -> Result<Arc<PreparedRequest>, Error> {
    let mut json = json!({"grant": "client_credentials", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "credential": credential});
    json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    if json.get("resource").is_none() {
        json["scopes"] = json!([format!("{XDR}/.default")]);
    }
    PreparedRequest::new(client, json.to_string().as_bytes())
}

fn set(request: &PreparedRequest, name: &str, value: &str) {
    request.set_secret(name, &Secret::new(value.to_owned())).unwrap();
}

/// The form of the last token request.
fn form(server: &Scripted) -> HashMap<String, String> {
    let seen = server.seen();
    let body = seen.last().unwrap().split_once("\r\n\r\n").unwrap().1.to_owned();
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

/// Checks a client assertion with the certificate's public key, as the service would, and returns its header and claims.
fn verified(form: &HashMap<String, String>, certificate: &[u8], audience: &str) -> (Value, Value) {
    assert_eq!(
        form["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    assert!(!form.contains_key("client_secret"));
    let assertion = &form["client_assertion"];
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap()).unwrap()).unwrap();
    let algorithm = match header["alg"].as_str().unwrap() {
        "PS256" => jsonwebtoken::Algorithm::PS256,
        "RS256" => jsonwebtoken::Algorithm::RS256,
        other => panic!("{other}"),
    };
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    let key = jsonwebtoken::DecodingKey::from_rsa_der(&parsed.public_key().subject_public_key.data);
    let mut rules = jsonwebtoken::Validation::new(algorithm);
    rules.set_audience(&[audience]);
    rules.set_issuer(&[CLIENT]);
    rules.validate_nbf = true;
    rules.sub = Some(CLIENT.to_owned());
    let token = jsonwebtoken::decode::<Value>(assertion, &key, &rules).unwrap();
    let claims = token.claims;
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    (header, claims)
}

fn audience(server: &Scripted, v2: bool) -> String {
    format!("{}/{TENANT}/oauth2/{}token", server.origin, if v2 { "v2.0/" } else { "" })
}

#[test]
fn every_form_of_file_signs() {
    let Some(made) = made("every_form_of_file_signs") else { return };
    let pfx = "pkcs12 -export -inkey a.key -in a.crt -name x -passout pass:PASSWORD -out";
    let mut files: Vec<(&str, Option<&str>)> = Vec::new();
    for (name, options) in [
        ("modern.pfx", ""),
        ("legacy.pfx", "-legacy"),
        (
            "windows-3des.pfx",
            "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg SHA1 -iter 2000",
        ),
        ("rc2.pfx", "-legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-3DES -macalg SHA1"),
        (
            "aes-sha256.pfx",
            "-certpbe AES-256-CBC -keypbe AES-256-CBC -macalg SHA256 -iter 2000",
        ),
        ("sha512.pfx", "-macalg SHA512"),
        ("clear-certificates.pfx", "-certpbe NONE"),
        ("no-mac.pfx", "-nomac"),
    ] {
        made.run(&format!("{pfx} {name} {options}"));
        files.push((name, Some(PFX_PASSWORD)));
    }
    made.run("pkcs12 -export -inkey a.key -in leaf.crt -certfile issuers.crt -passout pass:PASSWORD -out chain.pfx");
    files.push(("chain.pfx", Some(PFX_PASSWORD)));
    // With a bag of no known kind: what was the last certificate's.
    made.run("pkcs12 -export -inkey a.key -in leaf.crt -certfile issuers.crt -passout pass: -keypbe NONE -certpbe NONE -nomac -out unknown-chain.pfx");
    let mut bytes = made.bytes("unknown-chain.pfx");
    let bag = [0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
    let last = bytes.windows(bag.len()).rposition(|window| window == bag).unwrap();
    bytes[last + bag.len() - 1] = 0x09;
    std::fs::write(made.0.join("unknown-chain.pfx"), bytes).unwrap();
    files.push(("unknown-chain.pfx", None));
    // Key Vault's have a MAC over an empty password.
    for (name, options) in [
        ("empty.pfx", ""),
        ("empty-legacy.pfx", "-legacy"),
        ("clear.pfx", "-keypbe NONE -certpbe NONE"),
    ] {
        made.run(&format!(
            "pkcs12 -export -inkey a.key -in a.crt -passout pass: -out {name} {options}"
        ));
        files.push((name, None));
    }
    for (name, parts, password) in [
        ("key-last.pem", &["a.crt", "a.key"][..], None),
        ("key-first.pem", &["a.key", "a.crt"], None),
        ("pkcs1.pem", &["a.pkcs1", "a.crt"], None),
        ("aes.pem", &["a.aes", "a.crt"], Some(PASSWORD)),
        ("des3.pem", &["a.crt", "a.des3"], Some(PASSWORD)),
        ("sha1.pem", &["a.crt", "a.sha1"], Some(PASSWORD)),
        ("scrypt.pem", &["a.crt", "a.scrypt"], Some(PASSWORD)),
        ("chain.pem", &["a.key", "leaf.crt", "issuers.crt"], None),
        ("leaf-last.pem", &["issuers.crt", "leaf.crt", "a.key"], None),
        // A second key that belongs to nothing does no harm.
        ("two-keys.pem", &["b.key", "a.crt", "a.key"], None),
    ] {
        made.join(name, parts);
        files.push((name, password));
    }
    // With the remarks openssl puts between, and as an editor on Windows leaves it.
    made.run("pkcs12 -in modern.pfx -nodes -passin pass:PASSWORD -out remarks.pem");
    let text = String::from_utf8(made.bytes("remarks.pem")).unwrap();
    assert!(text.contains("Bag Attributes"));
    std::fs::write(made.0.join("crlf.pem"), format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    files.extend([("remarks.pem", None), ("crlf.pem", None)]);

    let server = Scripted::start([]);
    let clock = clock_at(now());
    for (name, password) in files {
        let client = client(&clock);
        let request = request(&client, &server, json!({"type": "certificate", "path": made.path(name)}), json!({})).unwrap();
        if let Some(password) = password {
            set(&request, "certificate_password", password);
        }
        server.add(Step::token());
        request.acquire_now(None, None).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let leaf = if name.contains("chain") || name.contains("leaf") {
            "leaf.crt"
        } else {
            "a.crt"
        };
        let certificate = made.certificate(leaf);
        let (header, _) = verified(&form(&server), &certificate, &audience(&server, true));
        assert!(header.get("x5c").is_none(), "{name}");
        let about = &request.describe()["credential"];
        let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
        assert_eq!(about["subject"], parsed.subject().to_string(), "{name}");
        assert_eq!(about["expires_on"], parsed.validity().not_after.timestamp());
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate);
        let hexadecimal: String = thumbprint.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!((&about["type"], &about["thumbprint"]), (&json!("certificate"), &json!(hexadecimal)));
    }
}

#[test]
fn claims_of_the_callers_own_are_signed_too() {
    let Some(made) = made("claims_of_the_callers_own_are_signed_too") else {
        return;
    };
    made.join("one.pem", &["leaf.crt", "a.key"]);
    let server = Scripted::start([]);
    let client = client(&clock_at(now()));
    let wish = |claims: Value| {
        let credential = json!({"type": "certificate", "path": made.path("one.pem"), "claims": claims});
        request(&client, &server, credential, json!({}))
    };
    for (address, calls) in [("192.0.2.7", 1), ("192.0.2.7", 1), ("192.0.2.8", 2)] {
        server.add(Step::token());
        wish(json!({"client_ip": address, "n": 1}))
            .unwrap()
            .acquire_now(None, None)
            .unwrap();
        // Other claims may mean another token.
        assert_eq!(server.seen().len(), calls, "{address}");
        let (_, claims) = verified(&form(&server), &made.certificate("leaf.crt"), &audience(&server, true));
        assert_eq!((&claims["client_ip"], &claims["n"]), (&json!(address), &json!(1)));
    }
    for name in ["aud", "iss", "sub", "jti", "nbf", "iat", "exp"] {
        let error = wish(json!({ name: "x" })).err().unwrap();
        assert_eq!(error.code(), Code::BadArgument, "{name}");
        assert!(error.message().contains(name), "{error}");
    }
}

#[test]
fn each_dialect_gets_the_signature_it_wants_and_the_chain_on_request() {
    let Some(made) = made("each_dialect_gets_the_signature_it_wants_and_the_chain_on_request") else {
        return;
    };
    made.join("leaf-last.pem", &["issuers.crt", "leaf.crt", "a.key"]);
    let leaf = made.certificate("leaf.crt");
    let digest = |algorithm| URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(algorithm, &leaf).as_ref());
    let server = Scripted::start([]);
    let clock = clock_at(now());
    for (target, authority, algorithm, v2) in [
        (json!({}), format!("{}/{TENANT}", server.origin), "PS256", true),
        (json!({"resource": XDR}), format!("{}/{TENANT}", server.origin), "RS256", false),
        (json!({}), format!("{}/adfs", server.origin), "RS256", false),
    ] {
        let mut extra = target.clone();
        extra["authority"] = json!(authority);
        let credential = json!({"type": "certificate", "path": made.path("leaf-last.pem"), "send_x5c": true});
        let request = request(&client(&clock), &server, credential, extra).unwrap();
        server.add(Step::token());
        request.acquire_now(None, None).unwrap();
        let expected = if authority.ends_with("adfs") {
            format!("{authority}/oauth2/token")
        } else {
            audience(&server, v2)
        };
        let (header, claims) = verified(&form(&server), &leaf, &expected);
        assert_eq!(header["alg"], algorithm, "{authority}");
        assert_eq!(claims["nbf"], clock.unix());
        let (has, lacks, thumbprint) = if algorithm == "PS256" {
            ("x5t#S256", "x5t", digest(&aws_lc_rs::digest::SHA256))
        } else {
            ("x5t", "x5t#S256", digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY))
        };
        assert_eq!(header[has], thumbprint.as_str());
        assert!(header.get(lacks).is_none());
        // In order, and without the root.
        let sent: Vec<Vec<u8>> = header["x5c"]
            .as_array()
            .unwrap()
            .iter()
            .map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap())
            .collect();
        let chain: Vec<Vec<u8>> = ["leaf.crt", "ca3.crt", "ca2.crt", "ca1.crt"]
            .iter()
            .map(|name| made.certificate(name))
            .collect();
        assert_eq!(sent, chain);
    }
    let ids: Vec<String> = server
        .seen()
        .iter()
        .map(|sent| sent.split("client_assertion=").nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn every_grant_with_a_credential_sends_it() {
    let Some(made) = made("every_grant_with_a_credential_sends_it") else {
        return;
    };
    made.join("key-last.pem", &["a.crt", "a.key"]);
    let server = Scripted::start([]);
    let clock = clock_at(now());
    for (grant, extra, secrets) in [
        ("client_credentials", json!({}), &[][..]),
        ("refresh_token", json!({}), &[("refresh_token", "rt")]),
        ("on_behalf_of", json!({}), &[("user_assertion", "aaa.bbb.ccc")]),
        ("password", json!({"username": "ann@contoso.com"}), &[("password", "pw")]),
        (
            "authorization_code",
            json!({"redirect_uri": "https://portal.azure.com"}),
            &[("code", "c0de"), ("code_verifier", "v")],
        ),
    ] {
        let mut extra = extra.clone();
        extra["grant"] = json!(grant);
        let credential = json!({"type": "certificate", "path": made.path("key-last.pem")});
        let request = request(&client(&clock), &server, credential, extra).unwrap();
        for (name, value) in secrets {
            set(&request, name, value);
        }
        server.add(Step::token());
        request.acquire_now(None, None).unwrap_or_else(|error| panic!("{grant}: {error:?}"));
        verified(&form(&server), &made.certificate("a.crt"), &audience(&server, true));
    }
}

#[test]
fn a_device_code_is_polled_with_a_proof_each_time() {
    let Some(made) = made("a_device_code_is_polled_with_a_proof_each_time") else {
        return;
    };
    made.join("key-last.pem", &["a.crt", "a.key"]);
    let device = r#"{"user_code":"ABC","device_code":"d3v1ce","verification_uri":"https://microsoft.com/devicelogin","expires_in":900,"interval":5,"message":"x"}"#;
    let pending = Step::json(
        400,
        r#"{"error":"authorization_pending","error_description":"AADSTS70016: pending"}"#,
    );
    let server = Scripted::start([Step::json(200, device), pending, Step::token()]);
    let credential = json!({"type": "certificate", "path": made.path("key-last.pem")});
    let request = request(&client(&clock_at(now())), &server, credential, json!({"grant": "device_code"})).unwrap();
    let (result, _) = operate(&request, &|_| panic!("nothing to answer"));
    result.unwrap();
    let polls: Vec<String> = server
        .seen()
        .into_iter()
        .filter(|sent| sent.contains("client_assertion="))
        .collect();
    assert_eq!(polls.len(), 2);
    assert_ne!(polls[0], polls[1], "each assertion has an id of its own");
    verified(&form(&server), &made.certificate("a.crt"), &audience(&server, true));
}

/// The failure of a request that must not have reached the network.
fn failure(clock: &Arc<VirtualClock>, credential: Value, password: Option<&str>) -> Error {
    let server = Scripted::start([]);
    let result = request(&client(clock), &server, credential, json!({})).and_then(|request| {
        if let Some(password) = password {
            set(&request, "certificate_password", password);
        }
        // Both ways in say the same.
        let error = request.acquire_now(None, None).map(drop).unwrap_err();
        assert_eq!(request.acquire(true, None).map(drop).unwrap_err().message(), error.message());
        Err::<(), Error>(error)
    });
    assert!(server.seen().is_empty(), "the network was asked");
    let error = result.unwrap_err();
    let said = format!("{error:?} {error} {}", error.to_json());
    assert!(!said.contains("canary"), "{said}");
    assert!(error.hint().is_some(), "{said}");
    error
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_before_the_network_is_asked() {
    let Some(made) = made("what_is_wrong_with_a_certificate_is_said_before_the_network_is_asked") else {
        return;
    };
    made.run("pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -out locked.pfx");
    made.run("pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -legacy -out locked-legacy.pfx");
    made.run("pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -nomac -out locked-no-mac.pfx");
    made.run("pkcs12 -export -nokeys -in a.crt -passout pass:PASSWORD -out no-key.pfx");
    made.run("pkcs12 -export -nocerts -inkey a.key -passout pass:PASSWORD -out no-certificate.pfx");
    made.run("pkcs12 -export -inkey ec.key -in ec.crt -passout pass:PASSWORD -out ec.pfx");
    made.run("pkcs12 -export -inkey short.key -in short.crt -passout pass:PASSWORD -out short.pfx");
    made.run("pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -legacy -keypbe PBE-SHA1-RC4-128 -out rc4.pfx");
    for (name, parts) in [
        ("mismatch.pem", &["a.crt", "b.key"][..]),
        ("ec.pem", &["ec.crt", "ec.key"]),
        ("ec-key.pem", &["a.crt", "ec.key"]),
        ("short.pem", &["short.crt", "short.key"]),
        ("only-key.pem", &["a.key"]),
        ("locked.pem", &["a.crt", "a.aes"]),
        ("old.pem", &["a.crt", "a.old"]),
        ("v1.pem", &["a.crt", "a.v1"]),
    ] {
        made.join(name, parts);
    }
    let crt = made.bytes("a.crt");
    std::fs::write(made.0.join("cut.pem"), &crt[..crt.len() - 100]).unwrap();
    let locked = made.bytes("locked-no-mac.pfx");
    std::fs::write(made.0.join("cut.pfx"), &locked[..locked.len() - 100]).unwrap();
    std::fs::write(made.0.join("nonsense.pfx"), b"0\x82nonsense").unwrap();
    std::fs::write(made.0.join("text.pem"), b"a text").unwrap();
    std::fs::write(made.0.join("empty.pem"), b"").unwrap();
    std::fs::write(made.0.join("large.pem"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let clock = clock_at(now());
    for (name, password, code, words) in [
        ("absent.pfx", None, Code::Certificate, "cannot be read"),
        ("", None, Code::Certificate, "cannot be read"),
        ("nonsense.pfx", None, Code::Certificate, "is not a certificate"),
        ("text.pem", None, Code::Certificate, "is not a certificate"),
        ("empty.pem", None, Code::Certificate, "is not a certificate"),
        ("large.pem", None, Code::Certificate, "larger than 1 MiB"),
        ("cut.pem", None, Code::Certificate, "damaged"),
        ("cut.pfx", Some(PFX_PASSWORD), Code::Certificate, "is not a certificate"),
        ("locked.pfx", Some("canary-wrong-password"), Code::PrivateKey, "password"),
        ("locked-legacy.pfx", Some("canary-wrong-password"), Code::PrivateKey, "password"),
        ("locked-no-mac.pfx", Some("canary-wrong-password"), Code::PrivateKey, "password"),
        ("locked.pem", Some("canary-wrong-password"), Code::PrivateKey, "password"),
        ("locked.pfx", None, Code::PrivateKey, "none was given"),
        ("locked.pem", None, Code::PrivateKey, "none was given"),
        ("rc4.pfx", Some(PFX_PASSWORD), Code::PrivateKey, "not supported"),
        ("old.pem", Some(PASSWORD), Code::PrivateKey, "old format"),
        ("v1.pem", Some(PASSWORD), Code::PrivateKey, "not supported"),
        ("no-key.pfx", Some(PFX_PASSWORD), Code::PrivateKey, "no private key"),
        ("a.crt", None, Code::PrivateKey, "no private key"),
        ("a.cer", None, Code::PrivateKey, "no private key"),
        ("no-certificate.pfx", Some(PFX_PASSWORD), Code::Certificate, "no certificate"),
        ("only-key.pem", None, Code::Certificate, "no certificate"),
        ("mismatch.pem", None, Code::PrivateKey, "does not belong"),
        ("ec-key.pem", None, Code::PrivateKey, "not an RSA key"),
        ("ec.pfx", Some(PFX_PASSWORD), Code::Certificate, "elliptic curve"),
        ("ec.pem", None, Code::Certificate, "elliptic curve"),
        ("short.pfx", Some(PFX_PASSWORD), Code::Certificate, "1024 bits"),
        ("short.pem", None, Code::Certificate, "1024 bits"),
    ] {
        let error = failure(&clock, json!({"type": "certificate", "path": made.path(name)}), password);
        assert_eq!(error.code(), code, "{name}: {error:?}");
        assert!(error.message().contains(words), "{name}: {error:?}");
    }
    for (name, days, words) in [("expired", 31, "expired on"), ("early", -1, "not valid before")] {
        made.join("key-last.pem", &["a.crt", "a.key"]);
        let then = clock_at(now() + days * 86_400);
        let error = failure(&then, json!({"type": "certificate", "path": made.path("key-last.pem")}), None);
        assert_eq!(error.code(), Code::Certificate, "{name}: {error:?}");
        assert!(
            error.message().contains(words) && error.message().contains("clock says"),
            "{name}: {error:?}"
        );
    }
}

/// Without a MAC only the padding tells a wrong password, and one of 256 leaves a padding that looks right.
#[test]
fn a_wrong_password_is_told_in_a_file_without_a_mac_too() {
    let Some(made) = made("a_wrong_password_is_told_in_a_file_without_a_mac_too") else {
        return;
    };
    made.run("pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -iter 1 -nomac -out wrong-passwords.pfx");
    let clock = clock_at(now());
    let credential = json!({"type": "certificate", "path": made.path("wrong-passwords.pfx")});
    for attempt in 0..1024 {
        let error = failure(&clock, credential.clone(), Some(&format!("canary-wrong-{attempt}")));
        assert_eq!(error.code(), Code::PrivateKey, "{attempt}: {error:?}");
        assert!(error.message().contains("password"), "{attempt}: {error:?}");
    }
}

/// A DER element.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len();
    let length = match u8::try_from(len) {
        Ok(short) if short < 128 => vec![short],
        Ok(byte) => vec![0x81, byte],
        Err(_) => vec![0x82, u8::try_from(len >> 8).unwrap(), u8::try_from(len & 255).unwrap()],
    };
    [vec![tag], length, content].concat()
}

/// An encrypted private key (RFC 5958) whose password hashing is this.
fn encrypted_key(hashing: &[u8]) -> String {
    let aes = tlv(0x30, &[&tlv(6, &[b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a"]), &tlv(4, &[&[0; 16]])]);
    let pbes2 = tlv(
        0x30,
        &[&tlv(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"]), &tlv(0x30, &[hashing, &aes])],
    );
    let der = tlv(0x30, &[&pbes2, &tlv(4, &[&[0; 64]])]);
    format!(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n-----END ENCRYPTED PRIVATE KEY-----\n",
        STANDARD.encode(der)
    )
}

#[test]
fn a_file_that_would_eat_the_machine_is_refused() {
    let scrypt = |n: &[u8], r: &[u8], p: &[u8]| {
        let parameters = tlv(0x30, &[&tlv(4, &[b"saltsalt"]), &tlv(2, &[n]), &tlv(2, &[r]), &tlv(2, &[p])]);
        encrypted_key(&tlv(0x30, &[&tlv(6, &[b"\x2b\x06\x01\x04\x01\xda\x47\x04\x0b"]), &parameters]))
    };
    let pbkdf2 = |rounds: &[u8]| {
        let hash = tlv(0x30, &[&tlv(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x02\x09"]), b"\x05\x00"]);
        let parameters = tlv(0x30, &[&tlv(4, &[b"saltsalt"]), &tlv(2, &[rounds]), &hash]);
        encrypted_key(&tlv(0x30, &[&tlv(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c"]), &parameters]))
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.pem");
    let clock = clock_at(now());
    for (content, words) in [
        // 8 GiB, and 512 MiB, of memory.
        (scrypt(&[0x10, 0, 0], &[64], &[1]), "more time or memory"),
        (scrypt(&[0x08, 0, 0], &[8], &[1]), "more time or memory"),
        // No, and no allowed, count of rounds.
        (scrypt(&[0], &[8], &[1]), "more time or memory"),
        (scrypt(&[1], &[8], &[1]), "more time or memory"),
        (scrypt(&[3], &[8], &[1]), "more time or memory"),
        (scrypt(&[2], &[0], &[1]), "more time or memory"),
        (scrypt(&[2], &[8], &[0]), "more time or memory"),
        // Hours.
        (scrypt(&[4, 0, 0], &[8], &[0x7f, 0xff]), "more time or memory"),
        (pbkdf2(&[0x7f, 0xff, 0xff, 0xff]), "more time or memory"),
        (pbkdf2(&[0]), "more time or memory"),
        (pbkdf2(&[0x0f, 0x42, 0x40]).repeat(100), "encrypted private keys"),
        // What openssl writes is opened: here with the wrong password.
        (scrypt(&[0x40, 0], &[8], &[1]), "the password of"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = failure(&clock, json!({"type": "certificate", "path": path}), Some("canary-password"));
        assert_eq!(error.code(), Code::PrivateKey, "{error:?}");
        assert!(error.message().contains(words), "{words}: {error:?}");
    }
}

/// A PFX in which one thing is another: the last place where it stands, or every one.
fn altered(pfx: &[u8], what: &[u8], new: &[u8], everywhere: bool) -> Vec<u8> {
    assert_eq!(what.len(), new.len(), "the lengths around it stay");
    let mut bytes = pfx.to_vec();
    let mut found = 0;
    for at in (0..=bytes.len() - what.len()).rev() {
        if bytes[at..].starts_with(what) {
            bytes[at..at + new.len()].copy_from_slice(new);
            found += 1;
            if !everywhere {
                break;
            }
        }
    }
    assert!(found > 0, "there is no {what:02x?} in the file");
    bytes
}

#[test]
fn a_pfx_that_would_eat_the_machine_is_refused_and_says_why() {
    let Some(made) = made("a_pfx_that_would_eat_the_machine_is_refused_and_says_why") else {
        return;
    };
    // 65,536 rounds, and 8,388,607: an INTEGER as long.
    const USUAL: &[u8] = b"\x02\x03\x01\x00\x00";
    const ABSURD: &[u8] = b"\x02\x03\x7f\xff\xff";
    const PBKDF2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
    const SCRYPT: &[u8] = b"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x04\x0b";
    let pfx = |name: &str, options: &str| {
        made.run(&format!(
            "pkcs12 -export -inkey a.key -in a.crt -passout pass:PASSWORD -iter 65536 -out {name} {options}"
        ));
        made.bytes(name)
    };
    let with_mac = pfx("many-rounds.pfx", "");
    let no_mac = pfx("many-rounds-no-mac.pfx", "-nomac");
    let old = pfx("many-rounds-3des.pfx", "-nomac -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.pfx");
    let clock = clock_at(now());
    for (name, content, words) in [
        // The count of the MAC stands last.
        ("MAC", altered(&with_mac, USUAL, ABSURD, false), "more time or memory"),
        ("PBKDF2", altered(&no_mac, USUAL, ABSURD, true), "more time or memory"),
        ("PKCS#12's own hashing", altered(&old, USUAL, ABSURD, true), "more time or memory"),
        ("scrypt", altered(&no_mac, PBKDF2, SCRYPT, true), "is not supported"),
        ("scrypt of the key", altered(&with_mac, PBKDF2, SCRYPT, false), "is not supported"),
    ] {
        std::fs::write(&path, content).unwrap();
        // The password is right: a count that was carried out would sign.
        let error = failure(&clock, json!({"type": "certificate", "path": path}), Some(PFX_PASSWORD));
        assert_eq!(error.code(), Code::PrivateKey, "{name}: {error:?}");
        assert!(
            error.message().contains(words) && error.message().contains("hostile.pfx"),
            "{name}: {error:?}"
        );
        assert!(error.hint().unwrap().contains("openssl pkcs12 -export"), "{name}: {error:?}");
    }
}

/// What never answers must not be waited for: neither by the caller nor by what else needs the library's threads.
#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let clock = clock_at(now());
    let (sender, receiver) = std::sync::mpsc::channel();
    let file = folder.path().join("token");
    std::thread::spawn(move || {
        for special in [pipe, "/dev/zero".into()] {
            let error = failure(&clock, json!({"type": "certificate", "path": special}), Some("x"));
            sender.send((Code::Certificate, error)).unwrap();
            let server = Scripted::start([]);
            let asked = request(&client(&clock), &server, json!({"type": "assertion", "file": special}), json!({})).unwrap();
            let error = asked.acquire_now(None, None).map(drop).unwrap_err();
            sender.send((Code::FederatedTokenFile, error)).unwrap();
            let error = Client::new(json!({"cache": "private", "ca_file": special}).to_string().as_bytes()).map(drop);
            sender.send((Code::BadArgument, error.unwrap_err())).unwrap();
        }
        // One that becomes a pipe after it was read once.
        let server = Scripted::start([]);
        let client = client(&clock);
        std::fs::write(&file, foreign(now() + 7200, "first")).unwrap();
        let request = request(&client, &server, json!({"type": "assertion", "file": file}), json!({})).unwrap();
        server.add(Step::token());
        request.acquire_now(None, None).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        clock.advance(3600);
        sender
            .send((Code::FederatedTokenFile, request.acquire_now(None, None).map(drop).unwrap_err()))
            .unwrap();
    });
    for _ in 0..7 {
        let (code, error) = receiver.recv_timeout(Duration::from_secs(60)).expect("something waits for a pipe");
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.message().contains("not a plain file"), "{error:?}");
    }
}

#[test]
fn a_credential_that_says_too_little_or_too_much_is_refused_at_once() {
    let clock = clock_at(now());
    for (credential, words) in [
        (json!({"type": "certificate"}), "where the certificate is"),
        (json!({"type": "certificate", "path": "relative.pfx"}), "not an absolute path"),
        (
            json!({"type": "certificate", "path": "/x.pfx", "store": "CurrentUser"}),
            "says it twice",
        ),
        (json!({"type": "certificate", "path": "/x.pfx", "thumbprint": "00"}), "no store"),
        (json!({"type": "certificate", "store": "Elsewhere", "subject": "x"}), "is not known"),
        (json!({"type": "certificate", "store": "CurrentUser"}), "one of them"),
        (
            json!({"type": "certificate", "store": "CurrentUser", "thumbprint": "00"}),
            "40 hexadecimal digits",
        ),
        (json!({"type": "certificate", "caller_signs": "%"}), "not base64"),
        (json!({"type": "certificate", "path": "/x.pfx", "file": "/x"}), "has no \"file\""),
        (json!({"type": "assertion", "path": "/x.pfx"}), "has no \"path\""),
        (json!({"type": "assertion", "file": "relative"}), "not an absolute path"),
        (json!({"type": "assertion", "file": "/x", "from_event": true}), "both"),
        (json!({"type": "client_secret", "send_x5c": true}), "has no \"send_x5c\""),
        (json!({"type": "certificat"}), "is not known"),
        (json!({"type": "certificate", "pfad": "/x"}), "pfad"),
    ] {
        let error = failure(&clock, credential.clone(), None);
        assert_eq!(error.code(), Code::BadArgument, "{credential}: {error:?}");
        assert!(error.message().contains(words), "{credential}: {error:?}");
    }
    let error = failure(&clock, json!({"type": "certificate", "caller_signs": "AAAA"}), None);
    assert_eq!(error.code(), Code::Certificate);
}

#[test]
#[cfg(not(windows))]
fn there_is_no_certificate_store_here() {
    let thumbprint = "00a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3";
    for credential in [
        json!({"type": "certificate", "store": "CurrentUser", "thumbprint": thumbprint}),
        json!({"type": "certificate", "store": "LocalMachine", "subject": "CN=app"}),
    ] {
        let error = failure(&clock_at(now()), credential, None);
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.hint().unwrap().contains("PFX or PEM"), "{error:?}");
    }
}

#[test]
fn a_renewed_file_is_taken_up_and_keeps_its_place_in_the_cache() {
    let Some(made) = made("a_renewed_file_is_taken_up_and_keeps_its_place_in_the_cache") else {
        return;
    };
    made.join("rotating.pem", &["a.crt", "a.key"]);
    let server = Scripted::start([]);
    let clock = clock_at(now());
    let client = client(&clock);
    let credential = json!({"type": "certificate", "path": made.path("rotating.pem")});
    let request = request(&client, &server, credential, json!({})).unwrap();
    server.add(Step::token());
    request.acquire_now(None, None).unwrap();
    verified(&form(&server), &made.certificate("a.crt"), &audience(&server, true));
    // Another content of another length: file times may be coarse.
    made.join("rotating.pem", &["b.crt", "b.crt", "b.key"]);
    assert!(request.acquire_now(None, None).unwrap().1, "the cached token serves on");
    clock.advance(3600);
    server.add(Step::token());
    request.acquire_now(None, None).unwrap();
    let sent = form(&server);
    let (_, b) = X509Certificate::from_der(Box::leak(made.certificate("b.crt").into_boxed_slice())).unwrap();
    let key = jsonwebtoken::DecodingKey::from_rsa_der(&b.public_key().subject_public_key.data);
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::PS256);
    rules.set_audience(&[audience(&server, true)]);
    // The test's clock is an hour ahead of the verifier's.
    rules.validate_nbf = false;
    jsonwebtoken::decode::<Value>(&sent["client_assertion"], &key, &rules).unwrap();
    assert!(request.acquire_now(None, None).unwrap().1);
    // A file that went away is an error once a token is needed.
    std::fs::remove_file(made.0.join("rotating.pem")).unwrap();
    clock.advance(3600);
    assert_eq!(request.acquire_now(None, None).map(drop).unwrap_err().code(), Code::Certificate);
}

#[test]
fn tokens_are_cached_by_thumbprint() {
    let Some(made) = made("tokens_are_cached_by_thumbprint") else {
        return;
    };
    made.join("of-a.pem", &["a.crt", "a.key"]);
    made.join("also-of-a.pem", &["a.key", "a.crt"]);
    made.join("of-b.pem", &["b.crt", "b.key"]);
    let server = Scripted::start([Step::token(), Step::token()]);
    let client = client(&clock_at(now()));
    let from_cache = |file: &str| {
        let credential = json!({"type": "certificate", "path": made.path(file)});
        request(&client, &server, credential, json!({}))
            .unwrap()
            .acquire_now(None, None)
            .unwrap()
            .1
    };
    assert!(!from_cache("of-a.pem"));
    assert!(from_cache("also-of-a.pem"));
    assert!(!from_cache("of-b.pem"), "another certificate has to prove itself");

    // What was got without a credential is not found with one that is of no use.
    let refresh = json!({"grant": "refresh_token"});
    let public = request(&client, &server, json!({"type": ""}), refresh.clone()).unwrap();
    set(&public, "refresh_token", "rt");
    server.add(Step::token());
    public.acquire_now(None, None).unwrap();
    assert!(public.acquire_now(None, None).unwrap().1);
    for credential in [
        json!({"type": "certificate", "path": "/no/such/file"}),
        json!({"type": "assertion"}),
    ] {
        let useless = request(&client, &server, credential, refresh.clone()).unwrap();
        set(&useless, "refresh_token", "rt");
        assert!(useless.cached().unwrap().is_none());
        assert!(useless.acquire_now(None, None).is_err());
    }
}

/// Runs an operation; `answer` replies to each event that wants one. Returns the questions.
fn operate(request: &Arc<PreparedRequest>, answer: &dyn Fn(&Value) -> String) -> (Result<(), Error>, Vec<Value>) {
    let operation = request.acquire(true, Some(Duration::from_secs(30))).unwrap();
    let mut asked = Vec::new();
    loop {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => {
                let event = operation.take_event().unwrap().to_json().clone();
                if event["reply"] == "required" {
                    let reply = Zeroizing::new(answer(&event));
                    operation.reply(event["id"].as_u64().unwrap(), reply).unwrap();
                    asked.push(event);
                }
            }
            State::Done => return (Ok(()), asked),
            State::Failed => return (Err(operation.error().unwrap()), asked),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_key_with_the_caller_signs_through_the_event() {
    let Some(made) = made("a_key_with_the_caller_signs_through_the_event") else {
        return;
    };
    let server = Scripted::start([]);
    let clock = clock_at(now());
    let credential = json!({"type": "certificate", "caller_signs": STANDARD.encode(made.certificate("a.crt"))});
    for extra in [json!({}), json!({"resource": XDR})] {
        let client = client(&clock);
        let request = request(&client, &server, credential.clone(), extra.clone()).unwrap();
        server.add(Step::token());
        let (result, asked) = operate(&request, &|event| {
            let signature = made.sign(event, "a.key");
            if extra.get("resource").is_some() {
                STANDARD.encode(signature)
            } else {
                URL_SAFE_NO_PAD.encode(signature)
            }
        });
        result.unwrap();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0]["kind"], "sign");
        assert_eq!(
            asked[0]["algorithm"],
            if extra.get("resource").is_some() { "RS256" } else { "PS256" }
        );
        assert_eq!(asked[0]["thumbprint"].as_str().unwrap().len(), 40);
        verified(
            &form(&server),
            &made.certificate("a.crt"),
            &audience(&server, extra.get("resource").is_none()),
        );
        // With the token in the cache nobody is asked.
        let (result, asked) = operate(&request, &|_| panic!("asked again"));
        result.unwrap();
        assert!(asked.is_empty());
        assert!(request.acquire_now(None, None).unwrap().1);
    }
    // A signature by another key, of something else, or none at all is noticed here.
    let before = server.seen().len();
    for (reply, words) in [
        ("other", "does not fit"),
        ("AAAA", "does not fit"),
        ("%%%", "not base64"),
        ("", "does not fit"),
    ] {
        let request = request(&client(&clock), &server, credential.clone(), json!({})).unwrap();
        let (result, _) = operate(&request, &|event| match reply {
            "other" => URL_SAFE_NO_PAD.encode(made.sign(event, "b.key")),
            text => text.to_owned(),
        });
        let error = result.unwrap_err();
        assert_eq!(error.code(), Code::PrivateKey, "{error:?}");
        assert!(error.message().contains(words), "{error:?}");
    }
    // A blocking call has nobody to ask, and says what to use.
    let request = request(&client(&clock), &server, credential, json!({})).unwrap();
    let error = request.acquire_now(None, None).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.hint().unwrap().contains("dxdr_acquire_token_start"), "{error:?}");
    assert_eq!(server.seen().len(), before);
}

#[test]
fn two_callers_with_a_key_are_both_asked_and_share_the_call() {
    let Some(made) = made("two_callers_with_a_key_are_both_asked_and_share_the_call") else {
        return;
    };
    let server = Scripted::start([Step::token()]);
    let client = client(&clock_at(now()));
    let credential = json!({"type": "certificate", "caller_signs": STANDARD.encode(made.certificate("a.crt"))});
    let start = || {
        let request = request(&client, &server, credential.clone(), json!({})).unwrap();
        let operation = request.acquire(true, Some(Duration::from_secs(30))).unwrap();
        assert_eq!(operation.wait(Duration::from_secs(60)), State::Event);
        let event = operation.take_event().unwrap().to_json().clone();
        (operation, event)
    };
    let (first, second) = (start(), start());
    for (operation, event) in [&first, &second] {
        let signature = made.sign(event, "a.key");
        operation
            .reply(event["id"].as_u64().unwrap(), Zeroizing::new(STANDARD.encode(signature)))
            .unwrap();
    }
    for (operation, _) in [&first, &second] {
        loop {
            match operation.wait(Duration::from_secs(60)) {
                State::Event => drop(operation.take_event()),
                state => break assert_eq!(state, State::Done, "{:?}", operation.error()),
            }
        }
    }
    assert_eq!(server.seen().len(), 1);
}

/// An assertion that somebody else signed; nobody here checks how.
fn foreign(exp: i64, name: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"iss": "https://token.actions.githubusercontent.com", "sub": name, "aud": "api://AzureADTokenExchange", "exp": exp});
    format!(
        "{}.{}.{}",
        part(json!({"alg": "RS256"})),
        part(claims),
        URL_SAFE_NO_PAD.encode("canary-signature-0123456789")
    )
}

const REFUSED: &str = r#"{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range.","error_codes":[700024]}"#;

#[test]
fn a_given_assertion_is_sent_until_it_expires() {
    let server = Scripted::start([]);
    let clock = clock_at(now());
    let client = client(&clock);
    let of = |assertion: &str| {
        let request = request(&client, &server, json!({"type": "assertion"}), json!({})).unwrap();
        set(&request, "client_assertion", assertion);
        request
    };
    let fresh = foreign(now() + 300, "one");
    server.add(Step::token());
    of(&fresh).acquire_now(None, None).unwrap();
    assert_eq!(form(&server)["client_assertion"], fresh);
    // Another request with it finds its token; one with another proves anew.
    assert!(of(&fresh).acquire_now(None, None).unwrap().1);
    server.add(Step::token());
    assert!(!of(&foreign(now() + 300, "two")).acquire_now(None, None).unwrap().1);

    let before = server.seen().len();
    let expired = of(&foreign(now() - 1, "three")).acquire_now(None, None).map(drop).unwrap_err();
    assert_eq!(expired.code(), Code::AssertionTime);
    assert!(
        expired.message().contains("expired on") && expired.message().contains("clock says"),
        "{expired:?}"
    );
    assert_eq!(of("two words").acquire_now(None, None).map(drop).unwrap_err().code(), Code::NotJwt);
    assert_eq!(server.seen().len(), before);
    // It cannot be had anew: a refusal is the end.
    server.add(Step::json(401, REFUSED));
    let refused = of(&foreign(now() + 300, "four")).acquire_now(None, None).map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::AssertionTime);
    assert_eq!(server.seen().len(), before + 1);
    assert!(!format!("{refused:?}{expired:?}").contains("canary"));
    let missing = request(&client, &server, json!({"type": "assertion"}), json!({})).unwrap();
    assert!(
        missing
            .acquire_now(None, None)
            .map(drop)
            .unwrap_err()
            .message()
            .contains("client_assertion")
    );
}

#[test]
fn an_assertion_file_is_read_at_each_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let server = Scripted::start([]);
    let clock = clock_at(now());
    let client = client(&clock);
    let request = request(
        &client,
        &server,
        json!({"type": "assertion", "file": path.to_str().unwrap()}),
        json!({}),
    )
    .unwrap();
    let fails = |code: Code, words: &str| {
        let error = request.acquire_now(None, None).map(drop).unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.message().contains(words), "{error:?}");
    };
    fails(Code::FederatedTokenFile, "cannot be read");
    write(" \n");
    fails(Code::FederatedTokenFile, "empty");
    write(&"x".repeat(70_000));
    fails(Code::FederatedTokenFile, "larger");
    write(&foreign(now() - 10, "old"));
    fails(Code::AssertionTime, "expired on");
    assert!(server.seen().is_empty());

    for round in 0..2 {
        let assertion = foreign(now() + 7200, &format!("round {round}"));
        write(&format!("{assertion}\n"));
        server.add(Step::token());
        assert!(!request.acquire_now(None, None).unwrap().1);
        assert_eq!(form(&server)["client_assertion"], assertion);
        assert!(request.acquire_now(None, None).unwrap().1);
        clock.advance(3600);
    }
    // Refused, and the file still has the same: sent once.
    write(&foreign(now() + 36_000, "last"));
    let before = server.seen().len();
    server.add(Step::json(401, REFUSED));
    fails(Code::AssertionTime, "AADSTS700024");
    assert_eq!(server.seen().len(), before + 1);
}

#[test]
fn an_assertion_by_event_is_asked_for_once_more_and_then_given_up() {
    let server = Scripted::start([]);
    let clock = clock_at(now());
    let of = || {
        request(
            &client(&clock),
            &server,
            json!({"type": "assertion", "from_event": true}),
            json!({}),
        )
        .unwrap()
    };
    let count = std::cell::Cell::new(0);
    let numbered = |exp: i64| {
        count.set(count.get() + 1);
        foreign(exp, &count.get().to_string())
    };
    server.add(Step::token());
    let (result, asked) = operate(&of(), &|_| numbered(now() + 300));
    result.unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (
            &asked[0]["kind"],
            &asked[0]["audience"],
            &asked[0]["client_id"],
            &asked[0]["problem"]
        ),
        (&json!("assertion"), &json!(audience(&server, true)), &json!(CLIENT), &Value::Null)
    );
    assert_eq!(form(&server)["client_assertion"], foreign(now() + 300, "1").as_str());

    // Expired answers never leave: asked once more, told why, then an end.
    let before = server.seen().len();
    let (result, asked) = operate(&of(), &|_| numbered(now() - 1));
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::AssertionTime, "{error:?}");
    assert_eq!(asked.len(), 2);
    assert!(asked[1]["problem"].as_str().unwrap().contains("expired on"));
    assert_eq!(server.seen().len(), before);
    // Expired, then fresh.
    server.add(Step::token());
    let (result, asked) = operate(&of(), &|event| numbered(now() + if event["problem"].is_null() { -1 } else { 300 }));
    result.unwrap();
    assert_eq!(asked.len(), 2);
    // The service says it is used up: another one, once.
    server.add(Step::json(401, REFUSED));
    server.add(Step::token());
    let (result, asked) = operate(&of(), &|_| numbered(now() + 300));
    result.unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked[1]["problem"].as_str().unwrap().contains("AADSTS700024"));
    let before = server.seen().len();
    server.add(Step::json(401, REFUSED));
    server.add(Step::json(401, REFUSED));
    let (result, asked) = operate(&of(), &|_| numbered(now() + 300));
    assert_eq!(result.unwrap_err().code(), Code::AssertionTime);
    assert_eq!((asked.len(), server.seen().len()), (2, before + 2));
    // A code is never sent twice, whatever was refused.
    let extra = json!({"grant": "authorization_code", "redirect_uri": "https://portal.azure.com"});
    let request = request(&client(&clock), &server, json!({"type": "assertion", "from_event": true}), extra).unwrap();
    set(&request, "code", "c0de");
    let before = server.seen().len();
    server.add(Step::json(401, REFUSED));
    let (result, asked) = operate(&request, &|_| numbered(now() + 300));
    assert_eq!(result.unwrap_err().code(), Code::AssertionTime);
    assert_eq!((asked.len(), server.seen().len()), (1, before + 1));
    // A blocking call has nobody to ask.
    let error = of().acquire_now(None, None).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.hint().unwrap().contains("dxdr_op_reply"), "{error:?}");
}

#[test]
fn a_wrong_clock_is_named_with_both_times() {
    let Some(made) = made("a_wrong_clock_is_named_with_both_times") else {
        return;
    };
    made.join("key-last.pem", &["a.crt", "a.key"]);
    let server = Scripted::start([]);
    // Certificates of now are valid ten minutes ahead, too.
    let clock = clock_at(now() + 660);
    let request = request(
        &client(&clock),
        &server,
        json!({"type": "certificate", "path": made.path("key-last.pem")}),
        json!({}),
    )
    .unwrap();
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs((now() + 60).try_into().unwrap()));
    server.add(Step::answer(
        401,
        &[("Content-Type", "application/json"), ("Date", &date)],
        REFUSED.as_bytes(),
    ));
    let error = request.acquire_now(None, None).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::AssertionTime);
    let hint = error.hint().unwrap();
    let local = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(clock.unix().try_into().unwrap()));
    assert!(hint.contains(&date) && hint.contains(&local), "{hint}");
}

/// Emulated Entra; `change` adds to its data. The second of its apps is "runbook", which signs in by itself.
fn emulated(change: impl FnOnce(&mut Config)) -> (BlockingEmulator, Arc<Client>) {
    let mut config = Config::default();
    change(&mut config);
    let emulator = Emulator::builder().config(config).start_blocking().unwrap();
    let config = json!({"cache": "private", "emulator": emulator.env_value()});
    let client = Client::new(config.to_string().as_bytes()).unwrap();
    (emulator, client)
}

fn app(client: &Arc<Client>, client_id: &str, target: Value, credential: Value) -> Arc<PreparedRequest> {
    let mut json = json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": client_id, "credential": credential});
    json.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
    PreparedRequest::new(client, json.to_string().as_bytes()).unwrap()
}

#[test]
fn entra_takes_what_a_registered_certificate_signs() {
    let Some(made) = made("entra_takes_what_a_registered_certificate_signs") else {
        return;
    };
    made.join("of-a.pem", &["a.crt", "a.key"]);
    made.join("of-b.pem", &["b.crt", "b.key"]);
    let pem = String::from_utf8(made.bytes("a.crt")).unwrap();
    let (emulator, entra) = emulated(|config| {
        config.apps[1].certificates.push(AppCertificate {
            pem: Some(pem),
            ..AppCertificate::default()
        });
    });
    let runbook = emulator.config().apps[1].client_id.clone();
    let file = |name: &str| json!({"type": "certificate", "path": made.path(name)});
    for target in [json!({"resource": XDR}), json!({"scopes": [format!("{XDR}/.default")]})] {
        let (token, _) = app(&entra, &runbook, target.clone(), file("of-a.pem"))
            .acquire_now(None, None)
            .unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.value().split('.').nth(1).unwrap()).unwrap()).unwrap();
        // Two: the app showed a certificate, not a secret.
        let shown = claims.get("appidacr").or(claims.get("azpacr"));
        assert_eq!(shown, Some(&json!("2")), "{claims}");
        // One that is not registered, the cache notwithstanding.
        let error = app(&entra, &runbook, target, file("of-b.pem"))
            .acquire_now(None, None)
            .map(drop)
            .unwrap_err();
        assert_eq!(error.aadsts(), Some(700_027), "{error:?}");
        assert!(error.hint().unwrap().contains("certificate"), "{error:?}");
    }

    // An app that knows only the thumbprint needs the certificate along.
    let thumbprint: String = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &made.certificate("b.crt"))
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (_emulator, entra) = emulated(|config| {
        config.apps[1].certificates.push(AppCertificate {
            thumbprint: Some(thumbprint),
            ..AppCertificate::default()
        });
    });
    let scopes = json!({"scopes": [format!("{XDR}/.default")]});
    assert!(
        app(&entra, &runbook, scopes.clone(), file("of-b.pem"))
            .acquire_now(None, None)
            .is_err()
    );
    let mut along = file("of-b.pem");
    along["send_x5c"] = json!(true);
    app(&entra, &runbook, scopes, along).acquire_now(None, None).unwrap();
}

#[test]
fn entra_takes_federated_assertions_from_every_source() {
    const WORKLOAD: &str = "f5b1c6d2-7a0b-4c8e-9d55-2f8f0a4f7c31";
    let (emulator, entra) = emulated(|_| {});
    let issuer = "https://token.actions.githubusercontent.com";
    let mint = |audience: &str| {
        emulator
            .federated_token(issuer, "repo:fabrikam/soc:ref:refs/heads/main", audience, 600)
            .unwrap()
    };
    let fresh = || mint("api://AzureADTokenExchange");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, fresh()).unwrap();
    let scopes = json!({"scopes": [format!("{XDR}/.default")]});
    let of = |credential: Value| app(&entra, WORKLOAD, scopes.clone(), credential);
    of(json!({"type": "assertion", "file": path})).acquire_now(None, None).unwrap();
    let given = of(json!({"type": "assertion"}));
    set(&given, "client_assertion", &fresh());
    given.acquire_now(None, None).unwrap();
    // The first is for another audience and is refused; the host brings a better one.
    let (result, asked) = operate(&of(json!({"type": "assertion", "from_event": true})), &|event| {
        if event["problem"].is_null() {
            mint("https://github.com/fabrikam")
        } else {
            fresh()
        }
    });
    result.unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked[1]["problem"].as_str().unwrap().contains("AADSTS700212"), "{asked:?}");
}

/// Neither a code nor a challenge changes the app's certificate: its file is not read again for them.
#[test]
fn another_secret_does_not_read_the_certificates_file() {
    let Some(made) = made("another_secret_does_not_read_the_certificates_file") else {
        return;
    };
    made.join("gone-later.pem", &["a.crt", "a.key"]);
    let path = made.path("gone-later.pem");
    let client = scripted::client(r#"{"cache":"private"}"#);
    let document = json!({"grant": "authorization_code", "tenant_id": TENANT, "client_id": CLIENT, "resource": XDR, "redirect_uri": "http://localhost",
        "credential": {"type": "certificate", "path": path}});
    let request = PreparedRequest::new(&client, document.to_string().as_bytes()).unwrap();
    let before = request.describe()["credential"].clone();
    std::fs::remove_file(&path).unwrap();
    request.set_secret("code", &Secret::new("a-code".into())).unwrap();
    assert_eq!(request.describe()["credential"], before);
    assert!(before.is_object());
    // The file's own password does.
    request.set_secret("certificate_password", &Secret::new(PASSWORD.into())).unwrap();
    assert!(request.describe()["credential"].is_null());
}
