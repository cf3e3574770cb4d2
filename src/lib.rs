//! Sign in to Microsoft Entra ID and work with Microsoft Defender XDR.
//!
//! # The map of the house
//!
//! Data flows one way: `ffi -> client -> { auth, defender } -> transport`. [`claims`] stands beside them and does no I/O.
//! [`error`], [`secret`], [`clock`] and `document` are the cellar: all may use them, they use nobody but each other. A test (`tests/architecture.rs`) holds these edges.

pub mod auth;
pub mod claims;
pub mod client;
pub mod clock;
pub mod defender;
mod document;
pub mod error;
mod ffi;
pub mod secret;
pub mod transport;
