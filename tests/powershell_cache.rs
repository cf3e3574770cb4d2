//! The token cache on disk as a PowerShell session meets it: which command uses which cache, what is said when something is wrong with it, and where
//! no secret may be.
#![cfg(unix)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and processes tell each other by their output"
)]

#[path = "powershell_cache/accounts.rs"]
mod accounts;
#[path = "powershell_cache/canary.rs"]
mod canary;
#[path = "powershell_cache/choice.rs"]
mod choice;
mod disk;
#[path = "powershell_cache/faults.rs"]
mod faults;
#[path = "powershell_cache/guide.rs"]
mod guide;
#[path = "../demo/src/library.rs"]
mod library;
#[path = "powershell_cache/msal.rs"]
mod msal;
#[path = "powershell_cache/places.rs"]
mod places;
#[path = "powershell_cache/prompts.rs"]
mod prompts;
mod scripted;
#[path = "powershell_cache/session.rs"]
mod session;
#[path = "powershell_cache/stop.rs"]
mod stop;
mod support;

#[test]
fn another_process() {
    disk::serve();
}
