//! Samples, what is said of them, and how they are printed.

use serde_json::{Value, json};

/// What a median, a difference or a ratio should be, in its own unit.
#[derive(Clone, Copy)]
pub struct Goal {
    limit: f64,
    least: bool,
    aim: bool,
}

impl Goal {
    /// A goal of the first release.
    pub const fn at_most(limit: f64) -> Self {
        Self {
            limit,
            least: false,
            aim: false,
        }
    }

    /// What is aimed at beyond the first release.
    pub const fn aim_at_most(limit: f64) -> Self {
        Self {
            limit,
            least: false,
            aim: true,
        }
    }

    /// The same for what should be large.
    pub const fn aim_at_least(limit: f64) -> Self {
        Self {
            limit,
            least: true,
            aim: true,
        }
    }

    fn met_by(self, value: f64) -> bool {
        if self.least { value >= self.limit } else { value <= self.limit }
    }

    const fn kind(self) -> &'static str {
        if self.aim { "aim" } else { "goal" }
    }

    fn text(self) -> String {
        format!("{} {}", if self.least { ">=" } else { "<=" }, self.limit)
    }
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
    missed_goals: usize,
    missed_aims: usize,
}

impl Report {
    pub const fn new(json: bool) -> Self {
        Self {
            json,
            missed_goals: 0,
            missed_aims: 0,
        }
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
                    "judged_by": figure.goal.map(Goal::kind), "limit": figure.goal.map(Goal::text), "met": met,
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
                json!({ "derived": id, "what": what, "value": round(value), "unit": unit, "judged_by": goal.map(Goal::kind), "limit": goal.map(Goal::text), "met": met })
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
            println!(
                "{}",
                json!({ "seconds": round(seconds), "goals_missed": self.missed_goals, "aims_missed": self.missed_aims })
            );
        } else {
            println!(
                "\nmissed: {} goals of the release, {} aims; took {seconds:.0} s",
                self.missed_goals, self.missed_aims
            );
        }
    }

    fn judge(&mut self, goal: Goal, value: f64) -> bool {
        let met = goal.met_by(value);
        if goal.aim {
            self.missed_aims += usize::from(!met);
        } else {
            self.missed_goals += usize::from(!met);
        }
        met
    }
}

fn verdict(goal: Option<Goal>, met: Option<bool>) -> String {
    let Some(goal) = goal else { return String::new() };
    format!(
        "{} {} {}",
        goal.kind(),
        goal.text(),
        if met == Some(true) { "met" } else { "MISSED" }
    )
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
