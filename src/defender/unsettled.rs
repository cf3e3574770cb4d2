//! What is known of a change whose answer did not come, or cannot be read: it may have been made, and once more may make it twice.

use super::session::Ask;
use crate::error::{Code, Error};
use crate::transport::Retry;

/// A call that failed, and whether the service may have done what it was asked.
pub struct Failed {
    /// Why.
    pub error: Error,
    /// The request was sent, and no answer says that nothing was done.
    pub unsettled: bool,
}

impl From<Error> for Failed {
    /// For what fails before anything is sent.
    fn from(error: Error) -> Failed {
        Failed { error, unsettled: false }
    }
}

impl Failed {
    /// A request that was sent and brought this.
    pub fn sent(error: Error) -> Failed {
        let unsettled = match error.http_status() {
            // Not Implemented: it does not do such things.
            Some(501) => false,
            Some(status) => status >= 500 || (200..300).contains(&status),
            None => matches!(
                error.code(),
                Code::Reset | Code::Truncated | Code::Timeout | Code::BadHttp | Code::BadEncoding
            ),
        };
        Failed { error, unsettled }
    }

    /// The error of who gives up while the answer is awaited, as after a sleep of the machine; `None` where another try does no harm.
    pub fn given_up(ask: &Ask) -> Option<Error> {
        let error = Error::new(Code::Timeout, "the call took longer than its limit").with_retry(None);
        (!is_harmless(ask)).then(|| Failed { error, unsettled: true }.unknown(ask))
    }

    /// The error, which says so where a change may have been made and another try may make it twice.
    pub fn told(self, ask: &Ask) -> Error {
        if self.unsettled && !is_harmless(ask) {
            self.unknown(ask)
        } else {
            self.error
        }
    }

    fn unknown(self, ask: &Ask) -> Error {
        let (done, look) = words(ask.row.name);
        let message = self.error.message();
        let message = match self.error.http_status() {
            Some(status) if status < 300 => format!("HTTP {status} came, but it is not known whether {done}: {message}"),
            _ => format!("it is not known whether {done}: {message}"),
        };
        let hint = match (self.error.code(), self.error.hint()) {
            (Code::CaptivePortal, Some(hint)) => format!("{hint}; then {look}"),
            _ => look.to_owned(),
        };
        self.error.with_message(message).with_hint(hint).without_retry()
    }
}

/// What changes nothing, or the same again, can be tried again.
pub fn is_harmless(ask: &Ask) -> bool {
    ask.method == "GET" || ask.retry != Retry::Never || ask.row.name.starts_with("hunting.")
}

/// What may have been done, and how to find out.
fn words(operation: &str) -> (&'static str, &'static str) {
    match operation {
        "incidents.update" | "graph.incidents.update" => (
            "the incident was changed",
            "get the incident (incidents.get) before trying again: a comment that is there already would be added twice",
        ),
        "graph.incidents.comment" => (
            "the comment was added",
            "get the incident (incidents.get) before trying again: a comment that is there already would be added twice",
        ),
        "alerts.update" => (
            "the alert was changed",
            "get the alert (alerts.get) before trying again: a comment that is there already would be added twice",
        ),
        "alerts.batch_update" => (
            "the alerts were changed",
            "get the alerts (alerts.get) before trying again: a comment that is there already would be added twice",
        ),
        "machine_actions.cancel" => (
            "the action was cancelled",
            "see how the action stands (machine_actions.get) before trying again",
        ),
        "indicators.delete" => (
            "the indicator was deleted",
            "try again: NOT_FOUND then says that it was, and one that is deleted cannot be deleted twice",
        ),
        machine if machine.starts_with("machines.") => ("the action was started", "Look at machine_actions.list before trying again"),
        _ => (
            "the change was made",
            "read what was to be changed before trying again; where a second time does no harm, set retry to safe",
        ),
    }
}
