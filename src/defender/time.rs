//! The services' times: UTC, ISO 8601, up to seven digits of a second's fraction.

/// Units of 100 ns since 1970: as fine as the services speak.
pub type Ticks = i64;

/// Ticks in a second.
pub const SECOND: Ticks = 10_000_000;

// Days since 1970-01-01 of a date of the Gregorian calendar, its years counted from March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of_400 = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_400 + of_400 / 4 - of_400 / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (
        of_400 + era * 400 + i64::from(month <= 2),
        month,
        of_year - (153 * shifted + 2) / 5 + 1,
    )
}

/// The time in the services' form.
pub fn iso(ticks: Ticks) -> String {
    let seconds = ticks.div_euclid(SECOND);
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    );
    let fraction = ticks.rem_euclid(SECOND);
    if fraction != 0 {
        text.push('.');
        text.push_str(format!("{fraction:07}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Reads `YYYY-MM-DD[Thh:mm[:ss[.fffffff]][Z|+hh:mm|-hh:mm]]`; without a zone it is UTC.
pub fn parse(text: &str) -> Option<Ticks> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let whole = days(year, month, day);
    if byte(4) != Some(b'-') || byte(7) != Some(b'-') || !(1..=12).contains(&month) || date(whole) != (year, month, day) {
        return None;
    }
    let (mut seconds, mut fraction, mut at) = (whole * 86_400, 0, 10);
    if text.len() > 10 {
        let (hour, minute) = (number(11, 13)?, number(14, 16)?);
        if !matches!(byte(10), Some(b'T' | b't' | b' ')) || byte(13) != Some(b':') || hour > 23 || minute > 59 {
            return None;
        }
        seconds += hour * 3_600 + minute * 60;
        at = 16;
        if byte(at) == Some(b':') {
            let second = number(17, 19)?;
            if second > 59 {
                return None;
            }
            seconds += second;
            at = 19;
            if byte(at) == Some(b'.') {
                let digits: String = text.get(at + 1..)?.chars().take_while(char::is_ascii_digit).collect();
                if digits.is_empty() {
                    return None;
                }
                fraction = digits
                    .chars()
                    .chain(std::iter::repeat('0'))
                    .take(7)
                    .collect::<String>()
                    .parse()
                    .ok()?;
                at += 1 + digits.len();
            }
        }
        match byte(at) {
            None => {}
            Some(b'Z' | b'z') => at += 1,
            Some(sign @ (b'+' | b'-')) if byte(at + 3) == Some(b':') => {
                let offset = number(at + 1, at + 3)? * 3_600 + number(at + 4, at + 6)? * 60;
                seconds += if sign == b'+' { -offset } else { offset };
                at += 6;
            }
            Some(_) => return None,
        }
    }
    (at == text.len()).then(|| seconds.checked_mul(SECOND)?.checked_add(fraction))?
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
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.9999999Z",
        ] {
            assert_eq!(iso(parse(text).unwrap()), text);
        }
        assert_eq!(parse("2026-09-14T02:00:00+02:00"), parse("2026-09-14"));
        assert_eq!(parse("2026-09-14T02:00"), parse("2026-09-14T02:00:00.000Z"));
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-09-14T",
            "2026-09-14T25:00",
            "x",
            "2026-09-14T01:02:03Zx",
            "2026-09-14T01:02:03.Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
