//! What was found, printed line by line.

use std::io::Write;

use anyhow::Result;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    /// The server runs, but not as it should.
    Warning,
    /// The server does not start, or does not deliver.
    Problem,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Level>);

impl Findings {
    /// Prints a finding.
    fn add(&mut self, level: Level, subject: &str, words: &str) -> Result<()> {
        let name = match level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        self.0.push(level);
        Ok(writeln!(std::io::stdout(), "{name:<8} {subject:<12} {words}")?)
    }

    pub(super) fn ok(&mut self, subject: &str, words: &str) -> Result<()> {
        self.add(Level::Ok, subject, words)
    }

    pub(super) fn warning(&mut self, subject: &str, words: &str) -> Result<()> {
        self.add(Level::Warning, subject, words)
    }

    pub(super) fn problem(&mut self, subject: &str, words: &str) -> Result<()> {
        self.add(Level::Problem, subject, words)
    }

    /// The numbers of problems and of warnings.
    pub(super) fn problems_and_warnings(&self) -> (usize, usize) {
        let of = |level| self.0.iter().filter(|found| **found == level).count();
        (of(Level::Problem), of(Level::Warning))
    }
}
