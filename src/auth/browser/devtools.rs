//! The DevTools protocol over a pipe: JSON messages, each with a NUL behind it (<https://chromedevtools.github.io/devtools-protocol/>).

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::pipe::Pipe;

/// The longest message that is read, in bytes. What is asked for stays far below.
const MESSAGE_LIMIT: usize = 32 << 20;

/// What the browser says.
pub enum Message {
    /// The answer to a command, by the number that [`DevTools::send`] returned. An error has no result.
    Answer {
        /// Which command.
        id: u64,
        /// What came of it; null after an error.
        result: Value,
    },
    /// Something happened.
    Event {
        /// The session (a page) it happened in; empty for the browser as a whole.
        session: String,
        /// What, such as `Fetch.requestPaused`.
        method: String,
        /// The details.
        params: Value,
    },
}

/// A connection to a browser.
pub struct DevTools {
    pipe: Pipe,
    /// Bytes read and not handed out. They may hold an authorization code.
    buffer: Zeroizing<Vec<u8>>,
    sent: u64,
}

impl DevTools {
    /// Speaks over a pipe.
    pub fn new(pipe: Pipe) -> DevTools {
        DevTools {
            pipe,
            buffer: Zeroizing::default(),
            sent: 0,
        }
    }

    /// Sends a command to a session, or with an empty one to the browser; returns its number.
    pub async fn send(&mut self, session: &str, method: &str, params: Value) -> io::Result<u64> {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": params });
        if let (Value::Object(message), false) = (&mut message, session.is_empty()) {
            message.insert("sessionId".to_owned(), session.into());
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.pipe.to.write_all(&bytes).await?;
        self.pipe.to.flush().await?;
        Ok(self.sent)
    }

    /// The next message; `UnexpectedEof` once the browser has gone. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> io::Result<Message> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == 0) {
                let message = Zeroizing::new(self.buffer.drain(..=end).collect::<Vec<u8>>());
                let Ok(Value::Object(mut message)) = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or_default()) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let mut take = |name: &str| message.remove(name).unwrap_or_default();
                if let Some(id) = take("id").as_u64() {
                    return Ok(Message::Answer {
                        id,
                        result: take("result"),
                    });
                }
                if let Value::String(method) = take("method") {
                    let session = take("sessionId").as_str().unwrap_or_default().to_owned();
                    return Ok(Message::Event {
                        session,
                        method,
                        params: take("params"),
                    });
                }
            }
            if self.buffer.len() > MESSAGE_LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.pipe.from.read_buf(&mut *self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
