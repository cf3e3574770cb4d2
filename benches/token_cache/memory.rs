//! What an entry takes beside its token, in a process of its own.

use std::process::Command;

use crate::fill::{Shape, TOKEN_BYTES, cache};
use crate::report::{Goal, Report};

pub fn memory(report: &mut Report) -> Result<(), String> {
    if resident().is_none() {
        report.skipped("memory", "this system does not say what a process holds in /proc/self/statm");
        return Ok(());
    }
    report.section(&format!("Memory of an entry beside its token of {TOKEN_BYTES} bytes"));
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    for shape in Shape::ALL {
        for entries in ["10000", "100000", "1000000"] {
            let output = Command::new(&own).args(["fill", shape.name(), entries]).output();
            let output = output.map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let bytes: f64 = text.parse().map_err(|_| format!("the process that fills a cache said: {text}"))?;
            let goal = (shape == Shape::Tenants).then(|| Goal::aim_at_most(400.0));
            let id = if shape == Shape::Tenants {
                "memory_tenants"
            } else {
                "memory_people"
            };
            report.derived(id, &format!("{entries} {}", shape.name()), bytes, "bytes", goal);
        }
    }
    Ok(())
}

/// Fills a cache and prints the bytes that one entry takes beside its token.
#[expect(clippy::cast_precision_loss, reason = "bytes of one process")]
pub fn process(shape: &str, entries: &str) -> Result<(), String> {
    let shape = Shape::ALL.into_iter().find(|known| known.name() == shape).ok_or("which shape?")?;
    let entries: usize = entries.parse().map_err(|_| "how many?")?;
    // What the first entries bring in for good is not theirs.
    drop(cache(shape, 100)?);
    let before = resident().ok_or("how much?")?;
    let filled = cache(shape, entries)?;
    let after = resident().ok_or("how much?")?;
    if filled.entries().0.len() != entries {
        return Err("entries are missing".to_owned());
    }
    println!("{:.0}", after.saturating_sub(before) as f64 / entries as f64 - TOKEN_BYTES as f64);
    Ok(())
}

/// Bytes of memory that this process holds.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
