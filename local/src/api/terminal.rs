//! Writes answers to standard output and remarks to standard error.

use std::io::{self, Write};

use serde_json::Value;

use super::client::Answer;
use super::pages::List;
use super::table::{self, Table};
use super::views::View;

/// How answers are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Terminal {
    /// As tables.
    Tables,
    /// As the API's JSON.
    Json,
}

impl Terminal {
    pub(super) fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Tables }
    }

    /// Writes an answer that is one object.
    pub(super) fn object(self, view: &View, answer: &Answer) -> io::Result<()> {
        match self {
            Self::Tables => write(&table::object(view, &answer.value)),
            Self::Json => line(&answer.text),
        }
    }

    /// Writes a list, and says on standard error if there may be more.
    pub(super) fn list(self, view: &View, list: &List) -> io::Result<()> {
        match self {
            Self::Tables => write(&Table::new(view.columns).rows(&list.entries))?,
            Self::Json => line(&list.document())?,
        }
        if list.next_cursor.is_some() {
            remark(&format!("There may be more than these {}: see --limit.", list.entries.len()));
        }
        Ok(())
    }

    /// Writes what a deletion did. The API has no document for it.
    pub(super) fn done(self, text: &str) -> io::Result<()> {
        match self {
            Self::Tables => line(text),
            Self::Json => Ok(()),
        }
    }

    /// Writes further entries of a table that is continued.
    pub(super) fn rows(self, table: &mut Table, entries: &[Value]) -> io::Result<()> {
        match self {
            Self::Tables => write(&table.rows(entries)),
            Self::Json => write(&entries.iter().map(|entry| format!("{entry}\n")).collect::<String>()),
        }
    }
}

/// Writes a line to standard output.
pub(super) fn line(text: &str) -> io::Result<()> {
    write(&format!("{}\n", text.trim_end_matches('\n')))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line to standard error, for people. A closed standard error is ignored.
pub(super) fn remark(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
