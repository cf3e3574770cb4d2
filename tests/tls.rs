//! Whose certificate is believed: the system's roots and the caller's own, for the name asked, today, and nothing is sent before.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;

use defender_xdr::client::Client;
use defender_xdr::error::{Code, Error};
use scripted::tls::Server;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, app_request};
use serde_json::json;

fn client(trusted: Option<&Server>) -> Arc<Client> {
    let ca_file = trusted.map(|server| server.ca_file().to_str().unwrap().to_owned());
    scripted::client(&json!({"cache": "private", "ca_file": ca_file}).to_string())
}

/// One call to a server with this certificate; it must fail before the server has seen a byte of the request.
fn refused(server: &Server, trusted: Option<&Server>) -> Error {
    let scripted = Scripted::start_tls(server, [Step::token(), Step::token()]);
    let request = app_request(&client(trusted), &format!("{}/{TENANT}", scripted.origin), CLIENT, SECRET);
    let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
    assert!(scripted.seen().is_empty());
    assert!(error.hint().is_some() && !error.is_retryable(), "{error:?}");
    error
}

#[test]
fn a_root_of_the_callers_own_is_trusted_beside_the_systems() {
    let server = Server::new(&["localhost"]);
    let scripted = Scripted::start_tls(&server, [Step::token()]);
    let request = app_request(&client(Some(&server)), &format!("{}/{TENANT}", scripted.origin), CLIENT, SECRET);
    assert_eq!(request.acquire_now(None, None).unwrap().0.value(), "aaa.bbb.ccc");
    assert!(scripted.seen()[0].starts_with(&format!("POST /{TENANT}/oauth2/token ")));
}

#[test]
fn an_unknown_root_is_refused_with_the_way_to_trust_it() {
    let server = Server::new(&["localhost"]);
    let other = Server::new(&["localhost"]);
    for trusted in [None, Some(&other)] {
        let error = refused(&server, trusted);
        assert_eq!(error.code(), Code::TlsUntrusted, "{error}");
        assert!(error.hint().unwrap().contains("ca_file"));
    }
}

#[test]
fn a_certificate_for_another_name_is_refused_and_both_names_are_told() {
    let server = Server::new(&["elsewhere.example"]);
    let error = refused(&server, Some(&server));
    assert_eq!(error.code(), Code::TlsName);
    assert!(
        error.message().contains("localhost") && error.message().contains("elsewhere.example"),
        "{error}"
    );
}

#[test]
fn an_expired_certificate_asks_about_the_clock() {
    let server = Server::expired();
    let error = refused(&server, Some(&server));
    assert_eq!(error.code(), Code::TlsExpired);
    assert!(error.hint().unwrap().contains("clock"), "{error}");
}

#[test]
fn a_ca_file_is_read_when_the_client_is_made() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let missing = empty.path().with_extension("missing");
    for path in [empty.path().to_str().unwrap(), missing.to_str().unwrap(), "relative.pem"] {
        let error = Client::new(json!({"cache": "private", "ca_file": path}).to_string().as_bytes())
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.code(), Code::BadArgument);
        assert!(
            error.message().contains("ca_file") && error.hint().unwrap().contains("PEM"),
            "{error}"
        );
    }
}
