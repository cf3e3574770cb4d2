//! The questions a sign-in may have for the program or person it runs for.

use zeroize::Zeroizing;

use crate::clock::BoxFuture;
use crate::error::Result;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Open this address in a browser. Without a reply the library opens the system's.
    OpenBrowser {
        /// The address to open.
        url: String,
        /// Where the browser will come back to.
        redirect_uri: String,
    },
    /// Have a person sign in at this address and bring back the address they landed on. Needs a reply.
    PasteRedirect {
        /// The address to open.
        url: String,
        /// Where the browser will land.
        redirect_uri: String,
        /// What to tell the person.
        message: String,
    },
}

/// What is answered. The text may hold an authorization code.
pub enum Reply {
    /// The library does what it would do by itself.
    BuiltIn,
    /// The host's own words: `opened`, or an address.
    Text(Zeroizing<String>),
}

/// Who is asked.
pub trait Host: Send + Sync {
    /// Puts the question and waits for the reply.
    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Reply>>;
}
