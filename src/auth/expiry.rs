//! When a token expires, in the forms that identity endpoints and tools write it.

use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

/// Unix seconds from a number, a string of digits, an ISO 8601 or US date (`9/14/2017 12:00:00 AM +00:00`). A time without an offset is UTC.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim().trim_matches('"');
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(seconds);
    }
    if let Some((whole, _)) = text.split_once('.')
        && let Ok(seconds) = whole.parse::<i64>()
    {
        return Some(seconds);
    }
    let (date, rest) = text.split_once(['T', ' '])?;
    let date = date_of(date)?;
    let (clock, offset) = split_offset(rest.trim());
    let (clock, half) = match clock.trim().rsplit_once(' ') {
        Some((clock, half)) => (clock, Some(half.to_ascii_uppercase())),
        None => (clock.trim(), None),
    };
    let mut parts = clock.split(':');
    let mut hour: u8 = parts.next()?.parse().ok()?;
    let minute: u8 = parts.next()?.parse().ok()?;
    // A fraction of a second changes nothing here.
    let second: u8 = parts.next().unwrap_or("0").split('.').next()?.parse().ok()?;
    match half.as_deref() {
        Some("AM") if hour == 12 => hour = 0,
        // "00:00:00 PM" stands in Microsoft's own example, and means what it says before the letters.
        Some("PM") if (1..12).contains(&hour) => hour += 12,
        Some("AM" | "PM") | None => {}
        Some(_) => return None,
    }
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_offset(offset?).unix_timestamp())
}

fn date_of(text: &str) -> Option<Date> {
    let us = text.contains('/');
    let mut parts = text.split(if us { '/' } else { '-' });
    let mut next = || parts.next().and_then(|part| part.parse::<u16>().ok());
    let (a, b, c) = (next()?, next()?, next()?);
    let (year, month, day) = if us { (c, a, b) } else { (a, b, c) };
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()
}

/// The time of day, and the offset behind it.
fn split_offset(text: &str) -> (&str, Option<UtcOffset>) {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return (clock, Some(UtcOffset::UTC));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return (text, Some(UtcOffset::UTC));
    };
    let (clock, sign) = text.split_at(at);
    let digits: String = sign.chars().filter(char::is_ascii_digit).collect();
    let offset = || {
        let hours: i8 = digits.get(..2)?.parse().ok()?;
        let minutes: i8 = digits.get(2..4).unwrap_or("0").parse().ok()?;
        let side = if sign.starts_with('-') { -1 } else { 1 };
        UtcOffset::from_hms(side * hours, side * minutes, 0).ok()
    };
    (clock, offset())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_form_means_the_same_moment() {
        for text in [
            "1505347200",
            "\"1505347200\"",
            "1505347200.75",
            "9/14/2017 12:00:00 AM +00:00",
            "9/14/2017 00:00:00 PM +00:00",
            "09/14/2017 00:00:00 +00:00",
            "09/13/2017 05:00:00 PM -07:00",
            "2017-09-14T00:00:00Z",
            "2017-09-14T02:00:00.123+02:00",
            "2017-09-14T02:00:00+0200",
            "2017-09-14 00:00:00.000000",
        ] {
            assert_eq!(parse(text), Some(1_505_347_200), "{text}");
        }
        for bad in [
            "",
            "soon",
            "13/40/2017 00:00:00",
            "2017-09-14",
            "2017-09-14T25:00:00Z",
            "9/14/2017 1:00:00 XM +00:00",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
