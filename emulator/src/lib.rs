//! Entra ID sign-in and the Defender APIs on loopback: what a storage emulator is for storage.
//!
//! ```no_run
//! # async fn run() -> Result<(), defender_emulator::Error> {
//! let emulator = defender_emulator::Emulator::builder()
//!     .auto_approve(true)
//!     .start()
//!     .await?;
//! println!("DEFENDER_XDR_EMULATOR={}", emulator.env_value());
//! emulator.stop().await;
//! # Ok(())
//! # }
//! ```

mod aad_error;
mod api;
mod authorize;
mod certificate;
mod challenge;
pub mod clock;
mod clouds;
pub mod config;
mod consent;
mod control;
mod data;
mod device;
mod discovery;
mod emulator;
mod environment;
pub mod faults;
mod federation;
mod hosts;
mod http;
mod keys;
pub mod log;
mod managed_identity;
mod odata;
mod pages;
pub mod person;
mod realm;
mod server;
mod state;
mod tls;
mod token;
mod workload;

pub use config::Config;
pub use emulator::{BlockingEmulator, Builder, Emulator, Ready};
pub use environment::{PLACES, elsewhere as environment_of};
pub use faults::Fault;
pub use log::LoggedRequest;

/// Why the emulator, or the person at its page, could not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// The configuration is wrong; the text names the key.
    Config(String),
    /// It could not start.
    Start(String),
    /// The person at the sign-in page got nowhere.
    Person(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(text) => write!(f, "configuration: {text}"),
            Self::Start(text) => write!(f, "could not start: {text}"),
            Self::Person(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
