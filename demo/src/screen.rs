//! How things look in a terminal: its width, colour where it is wanted, tables, times, and texts that must be shown with care.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

const WIDEST: usize = 132;
/// Behind this much space stands what belongs to a step.
pub const INDENT: &str = "      ";

/// The colours that are used, by meaning.
#[derive(Clone, Copy)]
pub enum Ink {
    Strong,
    Faint,
    Good,
    Bad,
    Careful,
}

/// Where the output goes.
#[derive(Clone, Copy)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Standard output is a terminal.
    pub terminal: bool,
    colour: bool,
}

impl Screen {
    /// Looks at standard output and the environment.
    pub fn detect() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let speaks_ansi = !cfg!(windows) || set("WT_SESSION") || set("TERM");
        let width = terminal_size::terminal_size().map_or(120, |(width, _)| usize::from(width.0));
        Self {
            width: width.clamp(60, WIDEST),
            terminal,
            colour: terminal && speaks_ansi && !set("NO_COLOR"),
        }
    }

    /// The text in a colour, if there are colours.
    pub fn ink(&self, ink: Ink, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Careful => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Columns behind the indent.
    pub fn room(&self) -> usize {
        self.width - INDENT.len()
    }
}

/// Writes a line. Whoever closed the pipe does not want the rest.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes without ending the line.
pub fn say_part(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Writes a line beside the output.
pub fn remark(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A table as lines: the last column takes the room that is left.
pub fn table(screen: &Screen, heads: &[&str], rows: &[Vec<String>], ink: impl Fn(usize, &str) -> Option<Ink>) -> Vec<String> {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    if let Some((last, others)) = widths.split_last_mut() {
        let taken: usize = others.iter().map(|width| width + 2).sum();
        *last = (*last).min(screen.room().saturating_sub(taken).max(8));
    }
    let line = |cells: &mut dyn Iterator<Item = (usize, &str)>, ink: &dyn Fn(usize, &str) -> Option<Ink>| {
        let mut line = String::new();
        for (column, cell) in cells {
            let width = widths.get(column).copied().unwrap_or_default();
            let text = fit(cell, width);
            let pad = width - text.width();
            line.push_str(&ink(column, cell).map_or_else(|| text.clone(), |ink| screen.ink(ink, &text)));
            if column + 1 < widths.len() {
                line.push_str(&" ".repeat(pad + 2));
            }
        }
        line
    };
    let mut lines = vec![line(&mut heads.iter().copied().enumerate(), &|_, _| Some(Ink::Strong))];
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ");
    lines.push(screen.ink(Ink::Faint, &rule));
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str).enumerate(), &ink)));
    lines
}

/// Cuts a text to so many columns.
pub fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or_default();
        if used > columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// Breaks a text into lines of so many columns, between words.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.width() + 1 + word.width() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A text from outside without what steers a terminal or turns the reading direction.
pub fn clean(text: &str) -> String {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Shows a token by its first characters and its length.
pub fn shorten(token: &str) -> String {
    let start: String = token.chars().take(6).collect();
    format!("{start}… ({} characters)", thousands(token.chars().count()))
}

/// Shortens everything in a text that could be a token: a long unbroken run of the characters tokens are made of.
pub fn shorten_tokens(text: &str) -> String {
    let of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '=');
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(of_token) {
        let (before, from) = rest.split_at(start);
        let (run, behind) = from.split_at(from.find(|c| !of_token(c)).unwrap_or(from.len()));
        shown.push_str(before);
        if is_token(run) {
            shown.push_str(&shorten(run));
        } else {
            shown.push_str(run);
        }
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

/// A JWT, or a run too long to be anything else.
fn is_token(run: &str) -> bool {
    (run.len() > 40 && run.starts_with("eyJ")) || (run.len() > 80 && run.bytes().any(|b| b.is_ascii_alphanumeric()))
}

/// `1,523`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2026-11-21 02:43:35 UTC`.
pub fn time(unix_seconds: i64) -> String {
    defender_emulator::clock::spaced(unix_seconds).replace('Z', " UTC")
}

/// A duration with a unit that suits it.
pub fn duration(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    if micros < 1_000.0 {
        format!("{micros:.0} µs")
    } else if micros < 10_000.0 {
        format!("{:.1} ms", micros / 1e3)
    } else if micros < 1_000_000.0 {
        format!("{:.0} ms", micros / 1e3)
    } else {
        format!("{:.1} s", micros / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::{Screen, clean, fit, shorten_tokens, table, thousands, wrap};

    const PLAIN: Screen = Screen {
        width: 60,
        terminal: false,
        colour: false,
    };

    #[test]
    fn tokens_are_shortened_and_other_words_are_not() {
        let token = format!("eyJ0eXAi.{}.{}", "a1B2".repeat(100), "c3D4-_".repeat(20));
        let text = format!(
            "before {token}, \"{token}\" https://login.windows.net/8e58f0bf-3f7c-4dc0-90c3-f13a92d07897/oauth2 {}",
            "-".repeat(99)
        );
        let shown = shorten_tokens(&text);
        assert!(!shown.contains("a1B2"), "{shown}");
        assert_eq!(shown.matches("eyJ0eX… (530 characters)").count(), 2, "{shown}");
        assert!(
            shown.ends_with(&format!("/8e58f0bf-3f7c-4dc0-90c3-f13a92d07897/oauth2 {}", "-".repeat(99))),
            "{shown}"
        );
    }

    #[test]
    fn a_table_keeps_to_the_width() {
        let rows = vec![vec!["1".to_owned(), "short".to_owned()], vec!["22".to_owned(), "漢字".repeat(60)]];
        let lines = table(&PLAIN, &["id", "name"], &rows, |_, _| None);
        assert_eq!(lines.first().map(String::as_str), Some("id  name"));
        assert!(
            lines
                .iter()
                .all(|line| unicode_width::UnicodeWidthStr::width(line.as_str()) <= PLAIN.room()),
            "{lines:#?}"
        );
        assert!(lines.last().is_some_and(|line| line.ends_with('…')));
    }

    #[test]
    fn texts_from_outside_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\u{202e}c\nd"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(
            (thousands(12), thousands(1234), thousands(1_234_567)),
            ("12".into(), "1,234".into(), "1,234,567".into())
        );
    }
}
