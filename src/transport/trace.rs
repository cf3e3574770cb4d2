//! The redacted trace: one line an exchange or decision, to where `DEFENDER_XDR_LOG` says.
//!
//! `DEFENDER_XDR_LOG=stderr` writes to standard error; an absolute path appends to that file. Lines hold times, hosts, paths, statuses and ids;
//! queries, bodies, headers and tokens are never given to this module.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::error::clean;

/// Where the trace goes, and the setting that it was asked for with.
static SINK: RwLock<(String, Sink)> = RwLock::new((String::new(), Sink::Off));

enum Sink {
    Off,
    Stderr,
    File(Mutex<File>),
}

/// Sends the trace of the process where a host's value of `DEFENDER_XDR_LOG` says, else the process's own: the latest counts.
pub fn send_to(wanted: Option<String>) {
    let wanted = wanted.or_else(|| std::env::var("DEFENDER_XDR_LOG").ok()).unwrap_or_default();
    let is_set = |sink: &(String, Sink)| sink.0 == wanted;
    if is_set(&SINK.read().unwrap_or_else(PoisonError::into_inner)) {
        return;
    }
    let mut sink = SINK.write().unwrap_or_else(PoisonError::into_inner);
    if !is_set(&sink) {
        *sink = (wanted.clone(), opened(&wanted));
    }
}

fn opened(wanted: &str) -> Sink {
    if wanted.eq_ignore_ascii_case("stderr") {
        return Sink::Stderr;
    }
    if !Path::new(wanted).is_absolute() {
        return Sink::Off;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(wanted).map_or(Sink::Off, |file| Sink::File(Mutex::new(file)))
}

/// Writes one line, if a trace is wanted. `text` is made only then.
pub fn line(unix_ms: i64, text: impl FnOnce() -> String) {
    match &SINK.read().unwrap_or_else(PoisonError::into_inner).1 {
        Sink::Off => {}
        Sink::Stderr => {
            // Not eprintln!, which panics when nobody reads any more.
            let _ = writeln!(std::io::stderr(), "{} defender-xdr {}", iso8601(unix_ms), clean(&text()));
        }
        Sink::File(file) => {
            let line = format!("{} defender-xdr {}\n", iso8601(unix_ms), clean(&text()));
            // A trace that cannot be written must not fail the call it describes.
            let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        }
    }
}

/// A time in UTC as ISO 8601 with milliseconds, for example `2026-11-21T08:30:00.000Z`.
pub fn iso8601(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    // Days to civil date in the proleptic Gregorian calendar, in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::iso8601;

    #[test]
    fn dates_are_civil() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(951_826_554_321), "2000-02-29T12:15:54.321Z");
        assert_eq!(iso8601(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(iso8601(-1), "1969-12-31T23:59:59.999Z");
    }
}
