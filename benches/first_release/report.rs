//! Samples, what is said of them, and how they are printed.

use serde_json::{Value, json};

/// A goal for a median, in the figure's own unit.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// Measured values of one thing.
pub struct Figure {
    pub id: &'static str,
    pub what: String,
    pub unit: &'static str,
    pub samples: Vec<f64>,
    pub goal: Option<Goal>,
}

impl Figure {
    pub fn new(id: &'static str, what: impl Into<String>, unit: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self {
            id,
            what: what.into(),
            unit,
            samples,
            goal: None,
        }
    }

    pub const fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// The value below which this share of the samples lies.
    fn quantile(&self, share: f64) -> f64 {
        let last = self.samples.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into the samples"
        )]
        let index = (share * last as f64).round() as usize;
        self.samples.get(index).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// Where figures go.
pub struct Report {
    json: bool,
    missed: usize,
}

impl Report {
    pub const fn new(json: bool) -> Self {
        Self { json, missed: 0 }
    }

    pub fn head(&self, machine: &[(&str, String)]) {
        if self.json {
            let machine: serde_json::Map<String, Value> = machine
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone().into()))
                .collect();
            println!("{}", json!({ "machine": machine }));
        } else {
            for (key, value) in machine {
                println!("{key:<12} {value}");
            }
        }
    }

    pub fn section(&self, title: &str) {
        if !self.json {
            println!(
                "\n{title}\n{:<58} {:>6} {:>10} {:>10} {:>10} {:<5} goal",
                "", "rounds", "min", "median", "p95", "unit"
            );
        }
    }

    /// A figure as a line.
    pub fn figure(&mut self, figure: &Figure) {
        let median = figure.median();
        let met = figure.goal.map(|goal| self.judge(goal, median));
        if self.json {
            println!(
                "{}",
                json!({
                    "figure": figure.id, "what": figure.what, "unit": figure.unit, "rounds": figure.samples.len(),
                    "min": round(figure.quantile(0.0)), "median": round(median), "p95": round(figure.quantile(0.95)),
                    "goal": figure.goal.map(goal_text), "met": met,
                })
            );
        } else {
            println!(
                "{:<58} {:>6} {:>10} {:>10} {:>10} {:<5} {}",
                figure.what,
                figure.samples.len(),
                short(figure.quantile(0.0)),
                short(median),
                short(figure.quantile(0.95)),
                figure.unit,
                verdict(figure.goal, met)
            );
        }
    }

    /// A value that is computed from figures: a ratio or a difference of medians.
    pub fn derived(&mut self, id: &str, what: &str, value: f64, unit: &str, goal: Option<Goal>) {
        let met = goal.map(|goal| self.judge(goal, value));
        if self.json {
            println!(
                "{}",
                json!({ "derived": id, "what": what, "value": round(value), "unit": unit, "goal": goal.map(goal_text), "met": met })
            );
        } else {
            println!(
                "{:<58} {:>6} {:>10} {:>10} {:>10} {unit:<5} {}",
                format!("= {what}"),
                "",
                "",
                short(value),
                "",
                verdict(goal, met)
            );
        }
    }

    pub fn skipped(&self, what: &str, why: &str) {
        if self.json {
            println!("{}", json!({ "skipped": what, "why": why }));
        } else {
            println!("\nSKIPPED: {what}: {why}");
        }
    }

    pub fn end(&self, seconds: f64) {
        if self.json {
            println!("{}", json!({ "seconds": round(seconds), "goals_missed": self.missed }));
        } else {
            println!("\n{} goals missed; took {seconds:.0} s", self.missed);
        }
    }

    fn judge(&mut self, goal: Goal, value: f64) -> bool {
        let met = match goal {
            Goal::AtMost(limit) => value <= limit,
            Goal::AtLeast(limit) => value >= limit,
        };
        self.missed += usize::from(!met);
        met
    }
}

fn goal_text(goal: Goal) -> String {
    match goal {
        Goal::AtMost(limit) => format!("<= {limit}"),
        Goal::AtLeast(limit) => format!(">= {limit}"),
    }
}

fn verdict(goal: Option<Goal>, met: Option<bool>) -> String {
    match (goal, met) {
        (Some(goal), Some(true)) => format!("{} met", goal_text(goal)),
        (Some(goal), _) => format!("{} MISSED", goal_text(goal)),
        _ => String::new(),
    }
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn short(value: f64) -> String {
    if value >= 1_000.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}
