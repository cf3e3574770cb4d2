//! An emulator and a client of it, which live by one clock that moves when it is waited on.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test crate uses its part of it")]

use std::sync::Arc;
use std::time::Duration;

use defender_emulator::{BlockingEmulator, Emulator, config::Kind};
use defender_xdr::client::{Client, Operation, PreparedRequest, State};
use defender_xdr::clock::{BoxFuture, Clock, SystemClock, SystemRandom};
use defender_xdr::error::Error;
use serde_json::{Value, json};

use super::scripted::{self, TENANT};

/// The system's time, except that a wait is over at once and moves this clock and the emulator's.
pub struct Together {
    ahead_ms: std::sync::atomic::AtomicI64,
    emulator: std::sync::Mutex<Option<Arc<BlockingEmulator>>>,
}

impl Clock for Together {
    fn unix_ms(&self) -> i64 {
        SystemClock.unix_ms() + self.ahead_ms.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let ms = i64::try_from(duration.as_millis()).unwrap();
        if let Some(emulator) = self.emulator.lock().unwrap().as_ref() {
            emulator.advance_clock_ms(ms);
        }
        self.ahead_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

pub struct Bench {
    pub emulator: Arc<BlockingEmulator>,
    pub request: Arc<PreparedRequest>,
    pub clock: Arc<Together>,
}

pub fn bench_with(config: Value, change: impl FnOnce(&mut defender_emulator::Config)) -> Bench {
    let mut emulated = defender_emulator::Config::default();
    change(&mut emulated);
    let emulator = Arc::new(Emulator::builder().config(emulated).auto_approve(true).start_blocking().unwrap());
    let mut document = json!({"cache": "private", "emulator": emulator.env_value()});
    document.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let clock = Arc::new(Together {
        ahead_ms: 0.into(),
        emulator: std::sync::Mutex::new(Some(Arc::clone(&emulator))),
    });
    let client = Client::with(
        document.to_string().as_bytes(),
        Arc::clone(&clock) as Arc<dyn Clock>,
        Arc::new(SystemRandom),
    )
    .unwrap();
    let app = emulator.config().first_app(Kind::Confidential).unwrap().clone();
    let request = scripted::app_request(
        &client,
        &format!("https://login.microsoftonline.com/{TENANT}"),
        &app.client_id,
        &app.secrets.first().unwrap().value,
    );
    Bench { emulator, request, clock }
}

pub fn bench() -> Bench {
    bench_with(json!({}), |_| {})
}

#[derive(Debug, Default)]
pub struct Got {
    pub items: Vec<Value>,
    pub events: Vec<Value>,
}

impl Got {
    pub fn kinds(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["kind"] == kind).collect()
    }
}

pub fn finish(operation: &Operation) -> Result<Got, Error> {
    let mut got = Got::default();
    loop {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => got.events.push(operation.take_event().unwrap().to_json().clone()),
            State::Item => got.items.push(serde_json::from_slice(&operation.take_item().unwrap()).unwrap()),
            State::Done => return Ok(got),
            State::Running => panic!("nothing happens"),
            _ => return Err(operation.error().unwrap()),
        }
    }
}

impl Bench {
    pub fn call(&self, document: Value) -> Result<Got, Error> {
        finish(&*self.request.call(document.to_string().as_bytes(), None)?)
    }

    pub fn asked(&self, path: &str) -> usize {
        self.emulator
            .requests()
            .iter()
            .filter(|request| request.path.contains(path))
            .count()
    }

    pub fn fault(&self, faults: Value) {
        self.emulator.set_faults_json(&faults).unwrap();
    }
}

pub fn ids(got: &Got, name: &str) -> Vec<String> {
    got.items.iter().map(|item| item[name].to_string()).collect()
}
