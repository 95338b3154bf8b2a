#![expect(clippy::print_stdout, reason = "the report is the output")]
//! The report: a line when a scenario starts, a row when it ends, all rows at the end, and a JSON file for each row.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::proc;
use crate::tally::Spread;

const LINE_WIDTH: usize = 110;

/// The result of a scenario, or of one variant of it.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    /// The figures as text.
    items: Vec<String>,
    /// The figures for the JSON file, by name and unit.
    figures: Map<String, Value>,
    faults: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), items: Vec::new(), figures: Map::new(), faults: Vec::new() }
    }

    #[must_use]
    pub(crate) fn figure(mut self, name: &str, value: f64, unit: &str) -> Self {
        self.items.push(format!("{name} {} {unit}", short(value)).trim_end().to_owned());
        self.figures.insert(key(&[name, unit]), json!(value));
        self
    }

    /// Adds percentiles of a spread as one item. `points` are names with their per mille.
    #[must_use]
    pub(crate) fn spread(mut self, name: &str, spread: &Spread, points: &[(&str, usize)]) -> Self {
        let mut item = name.to_owned();
        for (point, per_mille) in points {
            let value = spread.at(*per_mille);
            item.push_str(&format!(" {point} {}", short(value)));
            self.figures.insert(key(&[name, point, "ms"]), json!(value));
        }
        self.items.push(item + " ms");
        self
    }

    #[must_use]
    pub(crate) fn faults(mut self, faults: Vec<String>) -> Self {
        self.faults.extend(faults);
        self
    }

    /// A figure without a unit in its key.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.figures.get(&key(&[name]))?.as_f64()
    }

    pub(crate) fn into_faults(self) -> Vec<String> {
        self.faults
    }

    pub(crate) fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    fn text(&self) -> String {
        let mut lines =
            vec![if self.passed() { self.name.clone() } else { format!("{}  FAILED", self.name) }];
        let mut line = String::new();
        for item in &self.items {
            if line.chars().count() + item.chars().count() > LINE_WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            line.extend([if line.is_empty() { "    " } else { ", " }, item]);
        }
        lines.extend((!line.is_empty()).then_some(line));
        lines.extend(self.faults.iter().map(|fault| format!("    ! {fault}")));
        lines.join("\n")
    }

    fn json(&self, quick: bool) -> Value {
        json!({
            "scenario": self.name,
            "quick": quick,
            "passed": self.passed(),
            "faults": self.faults,
            "load_average_after": proc::load_average(),
            "figures": self.figures,
        })
    }

    /// Prints the row and writes its JSON file.
    pub(crate) fn publish(&self, folder: &Path, quick: bool) -> Result<()> {
        say(&self.text());
        let file = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(&self.json(quick)).context("a row as JSON")?;
        fs::write(&file, text + "\n").with_context(|| file.display().to_string())
    }
}

pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Prints all rows again, and how many failed.
pub(crate) fn summary(rows: &[Row]) {
    say("\n=== all results ===");
    rows.iter().for_each(|row| say(&row.text()));
    let failed = rows.iter().filter(|row| !row.passed()).count();
    say(&format!("\n{} rows, {failed} failed", rows.len()));
}

/// `["event → arrival", "p99", "ms"]` becomes `event_arrival_p99_ms`.
fn key(parts: &[&str]) -> String {
    let joined = parts.join(" ").to_ascii_lowercase();
    let words = joined.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// About three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_its_figures_and_its_faults() {
        let spread = Spread::new(vec![1_000_000, 25_000_000]);
        let row = Row::new("low").spread("event → arrival", &spread, &[("p50", 500), ("max", 1000)]);
        let row = row.figure("lost", 1.0, "");
        assert_eq!(row.text(), "low\n    event → arrival p50 1.00 max 25.0 ms, lost 1.00");
        assert_eq!(row.json(true)["figures"]["event_arrival_max_ms"], 25.0);
        let row = Row::new("low").faults(vec!["1 of 2 deliveries lost".to_owned()]);
        assert_eq!(row.text(), "low  FAILED\n    ! 1 of 2 deliveries lost");
    }
}
