//! Managed identity endpoints: every kind of place with its headers, its shapes and its refusals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::*;
use defender_emulator::{BlockingEmulator, Emulator, PLACES};
use serde_json::Value;

const ASSIGNED: &str = "9d4c7b1e-6a58-4e2f-b3c0-18f5d7a2e964";
const SYSTEM: &str = "3b0e1a52-8c1f-4d0b-a5f6-6d2c9e7f4b18";
const RESOURCE: &str = "resource=https%3A%2F%2Fapi.security.microsoft.com";

fn at(emulator: &BlockingEmulator, place: &BTreeMap<String, String>, name: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
    let target = place[name].strip_prefix(emulator.origin()).unwrap();
    send(emulator.origin(), "GET", &format!("{target}?{query}"), headers, b"").unwrap()
}

fn works(emulator: &BlockingEmulator, body: &Value) {
    let token = body["access_token"].as_str().unwrap_or_else(|| panic!("{body}"));
    assert_eq!(api(emulator, token, "/api/incidents").status, 200);
    let (_, claims) = decode(token);
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert!(claims["xms_mirid"].as_str().unwrap().starts_with("/subscriptions/"));
}

#[test]
fn a_virtual_machine_asks_the_metadata_service() {
    let emulator = start();
    for base in ["/169.254.169.254", ""] {
        let get = |query: &str, headers: &[(&str, &str)]| {
            let target = format!("{base}/metadata/identity/oauth2/token?{query}");
            send(emulator.origin(), "GET", &target, headers, b"").unwrap()
        };
        let asked = |more: &str| get(&format!("api-version=2018-02-01&{RESOURCE}{more}"), &[("metadata", "true")]);
        let body = asked("").json();
        works(&emulator, &body);
        assert_eq!(body["client_id"], SYSTEM);
        assert_eq!(body["expires_in"], "3599");
        assert!(body["expires_on"].as_str().unwrap().parse::<i64>().is_ok());
        for more in [
            format!("&client_id={ASSIGNED}"),
            "&object_id=c6f2b8a4-5d0e-4a3b-8f51-93b7e0d2c684".to_owned(),
            "&msi_res_id=%2Fsubscriptions%2Fe2f7a9d1-0c34-4b6f-9d28-7a1b5c8e3f60%2FresourceGroups%2Fsoc%2Fproviders%2FMicrosoft.ManagedIdentity%2FuserAssignedIdentities%2Fid-soc".to_owned(),
        ] {
            assert_eq!(asked(&more).json()["client_id"], ASSIGNED);
        }
        for (answer, text) in [
            (asked("&client_id=nobody"), "Identity not found"),
            (
                get(&format!("api-version=2018-02-01&{RESOURCE}"), &[]),
                "Required metadata header not specified",
            ),
            (
                get("api-version=2018-02-01", &[("metadata", "true")]),
                "Required query variable 'resource' is missing",
            ),
            (
                get(RESOURCE, &[("metadata", "true")]),
                "Required query variable 'api-version' is missing",
            ),
            (
                get(
                    &format!("api-version=2018-02-01&{RESOURCE}"),
                    &[("metadata", "true"), ("x-forwarded-for", "1.2.3.4")],
                ),
                "Request must not be forwarded",
            ),
        ] {
            assert_eq!(answer.status, 400);
            let body = answer.json();
            assert_eq!(body["error"], "invalid_request");
            assert_eq!(body["error_description"], text);
        }
        let unknown = get(
            "api-version=2018-02-01&resource=https%3A%2F%2Fnobody.example",
            &[("metadata", "true")],
        );
        assert_eq!(unknown.json()["error"], "invalid_resource");
    }
    let region = send(
        emulator.origin(),
        "GET",
        "/169.254.169.254/metadata/instance/compute/location?api-version=2021-02-01&format=text",
        &[("metadata", "true")],
        b"",
    );
    assert_eq!(region.unwrap().text(), "westeurope");
}

#[test]
fn several_assigned_identities_and_none_of_its_own_have_to_be_told_apart() {
    let emulator = configured(|c| {
        for identity in &mut c.managed_identities {
            identity.system_assigned = false;
        }
    });
    let target = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&{RESOURCE}");
    let answer = send(emulator.origin(), "GET", &target, &[("metadata", "true")], b"").unwrap();
    assert_eq!(answer.status, 400);
    let text = answer.json()["error_description"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Multiple user assigned identities exist"), "{text}");
    // What a machine under load, being updated or without an identity says is a fault's business.
    for status in [404, 410, 429, 500] {
        emulator
            .set_faults_json(&serde_json::json!([{"match": {"path_contains": "/metadata/identity"}, "do": {"status": status}}]))
            .unwrap();
        assert_eq!(
            send(emulator.origin(), "GET", &target, &[("metadata", "true")], b"")
                .unwrap()
                .status,
            status
        );
    }
}

#[test]
fn app_service_has_two_versions_with_two_kinds_of_dates() {
    let emulator = start();
    let place = emulator.environment("app-service").unwrap();
    let header = place["IDENTITY_HEADER"].as_str();
    let new = at(
        &emulator,
        &place,
        "IDENTITY_ENDPOINT",
        &format!("api-version=2019-08-01&{RESOURCE}"),
        &[("x-identity-header", header)],
    )
    .json();
    works(&emulator, &new);
    assert!(new["expires_on"].as_str().unwrap().parse::<i64>().is_ok());
    let old = at(
        &emulator,
        &place,
        "MSI_ENDPOINT",
        &format!("api-version=2017-09-01&{RESOURCE}&clientid={ASSIGNED}"),
        &[("secret", header)],
    )
    .json();
    works(&emulator, &old);
    let date = old["expires_on"].as_str().unwrap();
    assert!(date.ends_with("M +00:00") && date.contains('/'), "{date}");
    let wrong = at(
        &emulator,
        &place,
        "IDENTITY_ENDPOINT",
        &format!("api-version=2019-08-01&{RESOURCE}"),
        &[("x-identity-header", "x")],
    );
    assert_eq!(wrong.status, 401);
    let nobody = at(
        &emulator,
        &place,
        "IDENTITY_ENDPOINT",
        &format!("api-version=2019-08-01&{RESOURCE}&client_id=nobody"),
        &[("x-identity-header", header)],
    );
    assert_eq!(nobody.status, 400);
    assert_eq!(nobody.json()["statusCode"], 400);
}

#[test]
fn automation_has_its_own_dates() {
    let emulator = start();
    let place = emulator.environment("automation").unwrap();
    let headers = [("x-identity-header", place["IDENTITY_HEADER"].as_str()), ("metadata", "True")];
    let body = at(&emulator, &place, "IDENTITY_ENDPOINT", RESOURCE, &headers).json();
    works(&emulator, &body);
    let date = body["expires_on"].as_str().unwrap();
    assert_eq!(date.len(), "2021-07-02 08:00:34Z".len(), "{date}");
    let target = place["IDENTITY_ENDPOINT"].strip_prefix(emulator.origin()).unwrap();
    let posted = send(
        emulator.origin(),
        "POST",
        target,
        &[headers[0], ("content-type", "application/x-www-form-urlencoded")],
        RESOURCE.as_bytes(),
    );
    works(&emulator, &posted.unwrap().json());
    assert_eq!(at(&emulator, &place, "IDENTITY_ENDPOINT", RESOURCE, &[]).status, 401);
}

#[test]
fn arc_wants_the_content_of_a_file() {
    let folder = std::env::temp_dir().join(format!("defender-emulator-arc-{}", std::process::id()));
    let emulator = configured(|c| c.behaviour.arc_key_directory = Some(folder.display().to_string()));
    let place = emulator.environment("arc").unwrap();
    let query = format!("api-version=2020-06-01&{RESOURCE}");
    let ask = |headers: &[(&str, &str)]| at(&emulator, &place, "IDENTITY_ENDPOINT", &query, headers);
    assert_eq!(ask(&[]).status, 400);
    let first = ask(&[("metadata", "true")]);
    assert_eq!(first.status, 401);
    let path = first.header("www-authenticate").strip_prefix("Basic realm=").unwrap().to_owned();
    assert!(path.starts_with(folder.to_str().unwrap()) && path.ends_with(".key"), "{path}");
    let key = std::fs::read_to_string(&path).unwrap();
    assert!(key.len() <= 4096);
    let basic = format!("Basic {key}");
    let body = ask(&[("metadata", "true"), ("authorization", &basic)]).json();
    works(&emulator, &body);
    assert!(!std::path::Path::new(&path).exists());
    // Once only.
    assert_eq!(ask(&[("metadata", "true"), ("authorization", &basic)]).status, 401);
    assert_eq!(place["IMDS_ENDPOINT"], emulator.origin());
    emulator.stop();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn cloud_shell_takes_a_form() {
    let emulator = start();
    let place = emulator.environment("cloud-shell").unwrap();
    let target = place["MSI_ENDPOINT"].strip_prefix(emulator.origin()).unwrap();
    let ask = |method: &str, headers: &[(&str, &str)], body: &str| {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend(headers);
        send(emulator.origin(), method, target, &all, body.as_bytes()).unwrap()
    };
    let body = ask("POST", &[("metadata", "true")], RESOURCE).json();
    works(&emulator, &body);
    assert_eq!(body["expires_in"], "3599");
    assert_eq!(ask("POST", &[], RESOURCE).status, 400);
    assert_eq!(ask("GET", &[("metadata", "true")], "").status, 405);
    let assigned = format!("{RESOURCE}&client_id={ASSIGNED}");
    assert_eq!(ask("POST", &[("metadata", "true")], &assigned).status, 400);
}

#[test]
fn machine_learning_speaks_app_services_old_protocol() {
    let emulator = start();
    let place = emulator.environment("azure-ml").unwrap();
    let query = format!("api-version=2017-09-01&{RESOURCE}&clientid={ASSIGNED}");
    let body = at(&emulator, &place, "MSI_ENDPOINT", &query, &[("secret", &place["MSI_SECRET"])]).json();
    works(&emulator, &body);
    assert!(body["expires_on"].as_str().unwrap().parse::<i64>().is_ok());
    assert_eq!(at(&emulator, &place, "MSI_ENDPOINT", &query, &[]).status, 401);
}

#[test]
fn service_fabric_needs_tls_and_names_its_certificate() {
    assert!(start().environment("service-fabric").is_err());
    let emulator = Emulator::builder().tls(true).start_blocking().unwrap();
    let place = emulator.environment("service-fabric").unwrap();
    assert!(place["IDENTITY_ENDPOINT"].starts_with(emulator.tls_origin().unwrap()));
    assert_eq!(place["IDENTITY_SERVER_THUMBPRINT"].len(), 40);
    let target = place["IDENTITY_ENDPOINT"].strip_prefix(emulator.tls_origin().unwrap()).unwrap();
    let ask = |secret: &str, version: &str| {
        let target = format!("{target}?api-version={version}&{RESOURCE}");
        send(emulator.origin(), "GET", &target, &[("secret", secret)], b"").unwrap()
    };
    let body = ask(&place["IDENTITY_HEADER"], "2019-07-01-preview").json();
    works(&emulator, &body);
    assert!(body["expires_on"].is_i64());
    assert_eq!(ask("x", "2019-07-01-preview").json()["error"]["code"], "ManagedIdentityNotFound");
    assert_eq!(ask(&place["IDENTITY_HEADER"], "1").status, 400);
}

#[test]
fn the_program_prints_the_variables_of_a_running_emulator() {
    let emulator = start();
    let run = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_defender-emulator"))
            .args(arguments)
            .env("DEFENDER_XDR_EMULATOR", emulator.env_value())
            .output()
            .unwrap()
    };
    for place in PLACES.iter().filter(|p| **p != "service-fabric") {
        let done = run(&["environment", place, "--format", "json"]);
        assert!(done.status.success(), "{place}: {}", String::from_utf8_lossy(&done.stderr));
        let printed: BTreeMap<String, String> = serde_json::from_slice(&done.stdout).unwrap();
        let known = emulator.environment(place).unwrap();
        assert_eq!(printed.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
    }
    let shell = String::from_utf8(run(&["environment", "arc"]).stdout).unwrap();
    assert!(shell.contains(&format!("export IMDS_ENDPOINT='{}'", emulator.origin())), "{shell}");
    let powershell = String::from_utf8(run(&["environment", "arc", "--format", "powershell"]).stdout).unwrap();
    assert!(powershell.contains("$env:IMDS_ENDPOINT = 'http"), "{powershell}");
    let wrong = run(&["environment", "moon"]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("app-service"));
}
