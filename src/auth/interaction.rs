//! The questions a sign-in may have for the program or person it runs for.

use zeroize::Zeroizing;

use crate::clock::BoxFuture;
use crate::error::Result;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Open this address in a browser. Without a reply the library does it.
    OpenBrowser {
        /// The address to open.
        url: String,
        /// Where the browser will come back to.
        redirect_uri: String,
        /// What the library opens without a reply.
        opens: Opens,
    },
    /// Show a person where to sign in on another device, and with which code (RFC 8628 section 3.3). Nothing is replied.
    DeviceCode {
        /// What the person types.
        user_code: String,
        /// Where.
        verification_uri: String,
        /// The same with the code in it, where the service has such an address: for a QR code, for instance.
        verification_uri_complete: Option<String>,
        /// A sentence that says all of it.
        message: String,
        /// When the code expires, in Unix seconds.
        expires_on: i64,
        /// Seconds between two of the library's own questions to the service.
        interval: i64,
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
    /// Sign these bytes with the certificate's private key. Needs a reply: the signature in base64url.
    Sign {
        /// What is signed; it holds no secret.
        data: Vec<u8>,
        /// `PS256` or `RS256` (RFC 7518 section 3.1).
        algorithm: &'static str,
        /// The certificate's thumbprint (SHA-1, hexadecimal).
        thumbprint: String,
    },
    /// Send this as a POST with the Windows account of the session (Negotiate, RFC 4559). Needs a reply: the answer, as JSON.
    Negotiate {
        /// Where to.
        url: String,
        /// The header `Content-Type`.
        content_type: &'static str,
        /// The header `SOAPAction`.
        action: &'static str,
        /// The body; it holds no secret.
        body: String,
    },
    /// Bring a client assertion, a JWT that proves the app. Needs a reply.
    Assertion {
        /// The token endpoint it will be sent to.
        audience: String,
        /// The app it is for.
        client_id: String,
        /// Why the one before was not good enough.
        problem: Option<String>,
    },
}

/// What the library opens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// The person's own browser, which comes back to a port of this machine.
    SystemBrowser,
    /// A window of its own, which is watched and closed.
    AppWindow,
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

    /// False where nobody takes questions, so that each gets its built-in answer.
    fn listens(&self) -> bool {
        true
    }
}
