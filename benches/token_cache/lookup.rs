//! How long a look takes, and a store, with ten entries and with a million.

use std::hint::black_box;
use std::time::Instant;

use defender_xdr::auth::SignIn;
use defender_xdr::auth::cache::{Cache, Key};

use crate::fill::{NOW, Shape, cache, put, sign_in, value};
use crate::report::{Figure, Goal, Report};

const SIZES: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
/// Different entries looked up in turn, as far as there are so many.
const ASKED: usize = 20_000;
const ROUNDS: usize = 15;
const LOOKS: usize = 20_000;

/// Entries far from each other, in no order that memory could guess.
fn scattered(entries: usize) -> impl Iterator<Item = usize> {
    (0..entries.min(ASKED)).map(move |n| n.wrapping_mul(7_919_777) % entries)
}

#[expect(clippy::cast_precision_loss, reason = "counts below a million")]
pub fn lookup(report: &mut Report) -> Result<(), String> {
    for shape in Shape::ALL {
        report.section(&format!(
            "One look in a cache of {}, 20,000 of them in turn; the keys are made before",
            shape.name()
        ));
        let mut medians = Vec::new();
        for entries in SIZES {
            let cache = cache(shape, entries)?;
            let mut asked: Vec<(Key, SignIn, usize)> = Vec::new();
            for n in scattered(entries) {
                let sign_in = sign_in(shape, n)?;
                asked.push((Key::new(&sign_in, None, "", false), sign_in, n));
            }
            for (key, sign_in, n) in &asked {
                let found = cache.find(key, sign_in, NOW).map_err(|error| error.to_string())?;
                if found.is_none_or(|token| token.value() != value(*n)) {
                    return Err(format!("entry {n} of {entries} was not found"));
                }
            }
            let round = || {
                let started = Instant::now();
                for (key, sign_in, _) in asked.iter().cycle().take(LOOKS) {
                    black_box(cache.find(key, sign_in, NOW).ok().flatten());
                }
                started.elapsed().as_nanos() as f64 / LOOKS as f64
            };
            let samples: Vec<f64> = (0..ROUNDS + 3).map(|_| round()).skip(3).collect();
            let id = if shape == Shape::Tenants { "find_tenants" } else { "find_people" };
            let figure = Figure::new(id, format!("{entries} entries"), "ns", samples);
            // What it takes to find one of many people under one key is held against nothing: others search them all.
            let figure = if shape == Shape::Tenants {
                figure.goal(Goal::aim_at_most(1_000.0))
            } else {
                figure
            };
            medians.push(figure.median());
            report.figure(&figure);
        }
        if let [first, .., last] = medians.as_slice() {
            let id = if shape == Shape::Tenants { "flat_tenants" } else { "flat_people" };
            let goal = (shape == Shape::Tenants).then(|| Goal::aim_at_most(8.0));
            report.derived(id, "a million against ten entries", last / first, "times", goal);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts below a million")]
pub fn store(report: &mut Report) -> Result<(), String> {
    report.section("One store, the token being made; the slowest is what another caller of the same key may have to wait");
    for shape in Shape::ALL {
        for entries in [1_000, 1_000_000] {
            let cache: Cache = cache(shape, entries)?;
            let mut samples = Vec::new();
            for n in 0..20_000 {
                let n = n * 49_999 % entries;
                let started = Instant::now();
                put(&cache, shape, n)?;
                samples.push(started.elapsed().as_nanos() as f64 / 1e3);
            }
            let slowest = samples.iter().copied().fold(0.0, f64::max);
            let id = if shape == Shape::Tenants { "store_tenants" } else { "store_people" };
            report.figure(&Figure::new(
                id,
                format!("{entries} {}, slowest {slowest:.0} us", shape.name()),
                "us",
                samples,
            ));
        }
    }
    Ok(())
}
