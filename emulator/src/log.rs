//! What was asked of the emulator: kept for assertions, and written as short lines for people.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::http::{Asked, Params};

/// At least so many of the last requests are kept.
const KEEP: usize = 10_000;

/// A request as it came.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedRequest {
    /// Number, counting from 1.
    pub n: u64,
    /// Method.
    pub method: String,
    /// The Microsoft host it was meant for, or the emulator's own.
    pub host: String,
    /// Path behind the host prefix.
    pub path: String,
    /// Query as it came.
    pub query_text: String,
    /// Query parameters; of a repeated one the last.
    pub query: BTreeMap<String, String>,
    /// Form parameters.
    pub form: BTreeMap<String, String>,
    /// The body, where it is JSON.
    pub json: Option<serde_json::Value>,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Status of the answer; none when there was no answer.
    pub status: Option<u16>,
}

/// Receives one line a request.
pub(crate) type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// The log.
#[derive(Default)]
pub struct Log {
    kept: Mutex<(u64, Vec<LoggedRequest>)>,
    sink: Option<Sink>,
}

impl Log {
    /// A log that also hands each line to someone.
    pub fn to(sink: Sink) -> Self {
        Self {
            sink: Some(sink),
            ..Self::default()
        }
    }

    /// Notes a request that has arrived.
    pub fn arrived(&self, asked: &Asked) -> u64 {
        let map = |params: &Params| params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0 += 1;
        let n = kept.0;
        kept.1.push(LoggedRequest {
            n,
            method: asked.method.to_string(),
            host: asked.base.name().to_owned(),
            path: asked.path.clone(),
            query_text: asked.query_text.clone(),
            query: map(&asked.query),
            form: map(&asked.form),
            json: serde_json::from_slice(&asked.body).ok(),
            headers: asked
                .headers
                .iter()
                .map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
                .collect(),
            status: None,
        });
        // A long benchmark must not fill the memory.
        if kept.1.len() >= 2 * KEEP {
            kept.1.drain(..KEEP);
        }
        n
    }

    /// Notes what was answered.
    pub fn answered(&self, n: u64, asked: &Asked, status: Option<u16>, remark: &str) {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = kept.1.iter_mut().rev().find(|e| e.n == n) {
                entry.status = status;
            }
        }
        if let Some(sink) = &self.sink {
            let status = status.map_or_else(|| "---".to_owned(), |s| s.to_string());
            // Neither query nor body: they carry codes and secrets.
            sink(&format!("{status} {} {}{}{remark}", asked.method, asked.base.name(), asked.path));
        }
    }

    /// Everything after number `since`, newest last.
    pub fn since(&self, since: u64) -> Vec<LoggedRequest> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1.iter().filter(|e| e.n > since).cloned().collect()
    }

    /// Forgets everything; numbers go on.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}
