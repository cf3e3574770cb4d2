//! Time as the emulator sees it: the system's, plus what a test has stepped it forward; and its text forms.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock a test can step.
#[derive(Debug, Default)]
pub struct Clock {
    /// Milliseconds.
    ahead: AtomicI64,
}

impl Clock {
    /// Unix seconds.
    pub fn now(&self) -> i64 {
        self.millis().div_euclid(1000)
    }

    /// Unix milliseconds.
    pub fn millis(&self) -> i64 {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        i64::try_from(system).unwrap_or(0) + self.ahead.load(Ordering::Relaxed)
    }

    /// Steps the clock.
    pub fn advance(&self, seconds: i64) {
        self.advance_ms(seconds.saturating_mul(1000));
    }

    /// Steps the clock by milliseconds.
    pub fn advance_ms(&self, milliseconds: i64) {
        self.ahead.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Back to the system's time.
    pub fn reset(&self) {
        self.ahead.store(0, Ordering::Relaxed);
    }
}

/// Ticks of 100 ns since 1970, the resolution the service speaks in.
pub type Ticks = i64;

/// Ticks in a second.
pub const SECOND: Ticks = 10_000_000;

// Days since 1970-01-01 of a proleptic Gregorian date, counting years from March so leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn parts(seconds: i64) -> (i64, i64, i64, i64, i64, i64) {
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    (year, month, day, of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// `2026-11-21 02:43:35Z`, as sign-in errors carry it.
pub fn spaced(seconds: i64) -> String {
    let (y, mo, d, h, mi, s) = parts(seconds);
    format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}Z")
}

/// `2026-11-21T02:43:35.0733333Z`; trailing zeros of the fraction are dropped, as the service does.
pub fn iso(ticks: Ticks) -> String {
    let (y, mo, d, h, mi, s) = parts(ticks.div_euclid(SECOND));
    let fraction = ticks.rem_euclid(SECOND);
    let mut text = format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}");
    if fraction != 0 {
        let digits = format!("{fraction:07}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Reads `YYYY-MM-DD[THH:MM[:SS[.fffffff]][Z|±HH:MM]]`; without a zone it is UTC.
pub fn parse_ticks(text: &str) -> Option<Ticks> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        if part.bytes().all(|b| b.is_ascii_digit()) {
            part.parse().ok()
        } else {
            None
        }
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if bytes.get(4) != Some(&b'-')
        || bytes.get(7) != Some(&b'-')
        || !(1..=12).contains(&month)
        || day < 1
        || civil_from_days(days_from_civil(year, month, day)) != (year, month, day)
    {
        return None;
    }
    let mut seconds = days_from_civil(year, month, day) * 86_400;
    let mut fraction = 0;
    let mut at = 10;
    if bytes.len() > 10 {
        if !matches!(bytes[10], b'T' | b't' | b' ') || bytes.get(13) != Some(&b':') {
            return None;
        }
        let (hour, minute) = (number(11, 13)?, number(14, 16)?);
        if hour > 23 || minute > 59 {
            return None;
        }
        seconds += hour * 3_600 + minute * 60;
        at = 16;
        if bytes.get(at) == Some(&b':') {
            let second = number(17, 19)?;
            if second > 59 {
                return None;
            }
            seconds += second;
            at = 19;
            if bytes.get(at) == Some(&b'.') {
                let start = at + 1;
                let digits = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
                if digits == 0 {
                    return None;
                }
                let kept: String = text[start..start + digits].chars().chain(std::iter::repeat('0')).take(7).collect();
                fraction = kept.parse().ok()?;
                at = start + digits;
            }
        }
        match bytes.get(at) {
            None => {}
            Some(b'Z' | b'z') => at += 1,
            Some(sign @ (b'+' | b'-')) => {
                if bytes.get(at + 3) != Some(&b':') {
                    return None;
                }
                let offset = number(at + 1, at + 3)? * 3_600 + number(at + 4, at + 6)? * 60;
                seconds += if *sign == b'+' { -offset } else { offset };
                at += 6;
            }
            Some(_) => return None,
        }
    }
    if at != bytes.len() {
        return None;
    }
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_ticks_agree_both_ways() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-09-14T06:52:01.8366667Z",
            "2024-02-29T23:59:59.0000001Z",
            "2026-08-30T00:00:00Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(iso(parse_ticks(text).unwrap()), text);
        }
        assert_eq!(parse_ticks("2026-09-14T02:00:00+02:00"), parse_ticks("2026-09-14"));
        assert_eq!(spaced(0), "1970-01-01 00:00:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-09-14T",
            "2026-09-14T25:00",
            "x",
            "2026-09-14T01:02:03Zx",
        ] {
            assert_eq!(parse_ticks(text), None, "{text}");
        }
    }
}
