//! Aligns columns for a terminal. Widths are those that a terminal gives the characters, so that names in any script
//! stay in their column.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::views::{Column, View};

const NOTHING: &str = "-";
const BETWEEN: &str = "  ";

/// A table that can be continued: its columns become wider when a row needs it.
#[derive(Debug)]
pub(super) struct Table {
    columns: &'static [Column],
    widths: Vec<usize>,
    has_heading: bool,
}

impl Table {
    pub(super) fn new(columns: &'static [Column]) -> Self {
        let widths = columns.iter().map(|column| column.heading.width()).collect();
        Self { columns, widths, has_heading: false }
    }

    /// The lines of these objects. The first ones begin with the heading.
    pub(super) fn rows(&mut self, objects: &[Value]) -> String {
        let mut rows: Vec<Vec<String>> = vec![];
        if !std::mem::replace(&mut self.has_heading, true) {
            rows.push(self.columns.iter().map(|column| column.heading.to_owned()).collect());
        }
        let cell = |column: &Column, object| column.text(object).unwrap_or_else(|| NOTHING.to_owned());
        rows.extend(
            objects.iter().map(|object| self.columns.iter().map(|column| cell(column, object)).collect()),
        );
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        rows.iter().map(|row| line(row, &self.widths)).collect()
    }
}

/// One object: a line for each value that it has, and its list below.
pub(super) fn object(view: &View, object: &Value) -> String {
    let shown = |column: &Column| Some([column.heading.to_owned(), column.text(object)?]);
    let lines: Vec<[String; 2]> = view.columns.iter().filter_map(shown).collect();
    let width = lines.iter().map(|[heading, _]| heading.width()).max().unwrap_or_default();
    let mut text: String = lines.iter().map(|cells| line(cells, &[width, 0])).collect();
    if let Some((pointer, columns)) = view.list
        && let Some(entries) = object.pointer(pointer).and_then(Value::as_array)
        && !entries.is_empty()
    {
        text.push('\n');
        text.push_str(&Table::new(columns).rows(entries));
    }
    text
}

/// A line with its end, and no spaces before it.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
        line.push_str(BETWEEN);
    }
    line.truncate(line.trim_end_matches(' ').len());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::views;

    #[test]
    fn columns_are_aligned_in_any_script_and_become_wider() {
        let mut table = Table::new(views::REDELIVERED.columns);
        assert_eq!(table.rows(&[]), "deliveries\n");
        let mut table = Table::new(views::PUBLISHED.columns);
        let rows =
            table.rows(&[json!({ "event_id": "東京", "deliveries": 1 }), json!({ "event_id": "abc" })]);
        assert_eq!(rows, "event  deliveries\n東京   1\nabc    -\n");
        let rows = table.rows(&[json!({ "event_id": "a longer one", "deliveries": 2 })]);
        assert_eq!(rows, "a longer one  2\n");
        assert_eq!(table.rows(&[json!({ "event_id": "b", "deliveries": 3 })]), "b             3\n");
    }

    #[test]
    fn an_object_has_a_line_for_each_value_and_its_list_below() {
        let delivery =
            json!({ "id": "dlv_1", "next_attempt_at": null, "attempts": [{ "number": 1, "class": "dns" }] });
        let text = object(&views::DELIVERY, &delivery);
        assert!(text.starts_with("id  dlv_1\n\nATTEMPT  AT  "), "{text}");
        assert!(text.lines().nth(3).is_some_and(|line| line.starts_with("1        -   ")), "{text}");
        assert_eq!(object(&views::ROTATED, &json!({ "secret": "s" })), "secret  s\n");
    }
}
