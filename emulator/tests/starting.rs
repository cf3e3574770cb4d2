//! Starting and stopping from Rust.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::TcpStream;

use common::*;
use defender_emulator::Emulator;
use defender_emulator::person::Options;

#[tokio::test]
async fn an_emulator_lives_on_the_callers_runtime() {
    let emulator = Emulator::builder().auto_approve(true).tls(true).start().await.unwrap();
    let ca = emulator.ca_file().unwrap().to_owned();
    assert!(ca.exists());
    let url = format!(
        "{}/common/oauth2/authorize?client_id={PUBLIC}&response_type=code&redirect_uri={PORTAL}&resource={XDR}",
        emulator.tls_origin().unwrap()
    );
    let options = Options {
        ca_pem: emulator.ca_pem().map(str::to_owned),
        ..Options::default()
    };
    let outcome = defender_emulator::person::browse(&url, &options).await.unwrap();
    assert!(outcome.parameter("code").is_some());
    assert_eq!(emulator.requests().len(), 1);
    let authority = emulator.origin().strip_prefix("http://").unwrap().to_owned();
    emulator.stop().await;
    assert!(TcpStream::connect(authority).is_err());
    assert!(!ca.exists());
}

#[test]
fn dropping_stops_and_a_taken_port_is_said_so() {
    let emulator = start();
    let authority = emulator.origin().strip_prefix("http://").unwrap().to_owned();
    let port: u16 = authority.rsplit(':').next().unwrap().parse().unwrap();
    let second = Emulator::builder().port(port).start_blocking();
    assert!(second.is_err_and(|e| e.to_string().contains(&port.to_string())));
    drop(emulator);
    assert!(TcpStream::connect(&authority).is_err());
    let again = Emulator::builder().port(port).start_blocking().unwrap();
    assert_eq!(again.origin(), format!("http://{authority}"));
}

#[test]
fn ipv6_loopback_listens_on_the_same_port() {
    let emulator = start();
    let port: u16 = emulator.origin().rsplit(':').next().unwrap().parse().unwrap();
    // Where the machine has IPv6 at all.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        TcpStream::connect(("::1", port)).unwrap();
    }
}
