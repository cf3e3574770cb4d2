//! The steps: each is shown as it ends, and kept for the JSON document.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::library::Failure;
use crate::screen::{self, INDENT, Ink, Screen};

/// Why a step did not do its job.
pub struct Problem {
    text: String,
    hint: Option<String>,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, hint: None }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self {
            text: failure.to_string(),
            hint: failure.hint,
        }
    }
}

/// What a step has to tell.
pub struct Notes {
    pub screen: Screen,
    lines: Vec<String>,
    details: Map<String, Value>,
}

impl Notes {
    /// A line with a label in front.
    pub fn fact(&mut self, label: &str, text: &str) {
        let room = self.screen.room().saturating_sub(13).max(20);
        for (index, line) in screen::wrap(text, room).into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.lines
                .push(format!("{} {line}", self.screen.ink(Ink::Faint, &format!("{label:<12}"))));
        }
    }

    /// Lines as they are.
    pub fn lines(&mut self, lines: impl IntoIterator<Item = String>) {
        self.lines.extend(lines);
    }

    /// For the JSON document only.
    pub fn detail(&mut self, key: &str, value: impl Into<Value>) {
        self.details.insert(key.to_owned(), value.into());
    }
}

/// The whole walk-through's output.
pub struct Show {
    pub screen: Screen,
    json: bool,
    total: usize,
    steps: Vec<Value>,
    failed: bool,
    started: Instant,
}

impl Show {
    /// Begins; with `json`, nothing is printed before the end.
    pub fn new(json: bool, total: usize) -> Self {
        Self {
            screen: Screen::detect(),
            json,
            total,
            steps: Vec::new(),
            failed: false,
            started: Instant::now(),
        }
    }

    /// A line between the steps.
    pub fn line(&self, text: &str) {
        if !self.json {
            screen::say(text);
        }
    }

    /// Runs a step and shows it. None if it failed.
    pub fn step<T>(&mut self, id: &str, title: &str, work: impl FnOnce(&mut Notes) -> Result<T, Problem>) -> Option<T> {
        // While a step runs its title stands there; cargo, which speaks while it builds, gets the line for itself.
        let waiting = !self.json && self.screen.terminal && id != "build";
        if waiting {
            screen::say_part(&self.head(title));
        }
        let mut notes = Notes {
            screen: self.screen,
            lines: Vec::new(),
            details: Map::new(),
        };
        let started = Instant::now();
        let result = work(&mut notes);
        let took = started.elapsed();
        if waiting {
            screen::say_part("\r");
        }
        match result {
            Ok(value) => {
                self.finish(id, title, ("ok", Ink::Good), Some(took), notes);
                Some(value)
            }
            Err(problem) => {
                self.failed = true;
                notes.fact("problem", &screen::shorten_tokens(&screen::clean(&problem.text)));
                notes.detail("problem", problem.text);
                if let Some(hint) = problem.hint {
                    notes.fact("what to do", &hint);
                    notes.detail("hint", hint);
                }
                self.finish(id, title, ("FAILED", Ink::Bad), Some(took), notes);
                None
            }
        }
    }

    /// A step that is not run, and that is no failure.
    pub fn skip(&mut self, id: &str, title: &str, why: &str, hint: &str) {
        let mut notes = Notes {
            screen: self.screen,
            lines: Vec::new(),
            details: Map::new(),
        };
        notes.fact("why", why);
        notes.fact("what to do", hint);
        notes.detail("why", why);
        notes.detail("hint", hint);
        self.finish(id, title, ("SKIPPED", Ink::Careful), None, notes);
    }

    fn head(&self, title: &str) -> String {
        format!("[{}/{}] {title}", self.steps.len() + 1, self.total)
    }

    fn finish(&mut self, id: &str, title: &str, (outcome, ink): (&str, Ink), took: Option<Duration>, notes: Notes) {
        if !self.json {
            let head = self.head(title);
            let time = took.map(screen::duration).unwrap_or_default();
            let right = self.screen.width.min(100).saturating_sub(time.chars().count() + outcome.len() + 2);
            let head = screen::fit(&head, right.saturating_sub(1));
            let gap = " ".repeat(right.saturating_sub(unicode_width::UnicodeWidthStr::width(head.as_str())));
            screen::say(&format!(
                "{}{gap}{}  {}",
                self.screen.ink(Ink::Strong, &head),
                self.screen.ink(Ink::Faint, &time),
                self.screen.ink(ink, outcome)
            ));
            for line in &notes.lines {
                screen::say(format!("{INDENT}{line}").trim_end());
            }
        }
        let mut step = json!({ "step": id, "title": title, "outcome": outcome.to_ascii_lowercase(), "ms": took.map(milliseconds) });
        if let Some(step) = step.as_object_mut() {
            step.extend(notes.details);
        }
        self.steps.push(step);
    }

    /// What was kept of a step.
    pub fn detail(&self, id: &str, key: &str) -> Value {
        self.steps
            .iter()
            .find(|step| step["step"] == id)
            .map_or(Value::Null, |step| step[key].clone())
    }

    /// The end: the JSON document or the last line. Returns whether every step did its job.
    pub fn end(self, more: &Value) -> bool {
        let took = self.started.elapsed();
        if self.json {
            let mut document = json!({ "ok": !self.failed, "ms": milliseconds(took) });
            if let (Some(document), Some(more)) = (document.as_object_mut(), more.as_object()) {
                document.extend(more.clone());
                document.insert("steps".to_owned(), self.steps.into());
            }
            screen::say(&serde_json::to_string_pretty(&document).unwrap_or_default());
        } else if self.failed {
            screen::say(&format!("\n{}", self.screen.ink(Ink::Bad, "The walk-through failed.")));
        } else {
            screen::say(&format!(
                "\n{}",
                self.screen
                    .ink(Ink::Good, &format!("Every step did its job, in {}.", screen::duration(took)))
            ));
        }
        !self.failed
    }
}

/// Milliseconds with three digits behind the point.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
