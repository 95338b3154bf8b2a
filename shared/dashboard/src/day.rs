//! The figures as the pages show them: the bars of a day, and whether the promise held.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use statuspulse_core::admin::stats::{Stats, sum};
use statuspulse_core::figures::Counts;
use statuspulse_core::limits::PROMISED;

use crate::show::{Markup, counted, millis};

/// The last 24 hours of the clock.
pub(crate) struct Day {
    hours: Vec<Counts>,
    sum: Counts,
}

impl Day {
    pub(crate) fn of(hours: &[(Timestamp, Counts)]) -> Self {
        let hours: Vec<Counts> = hours.iter().map(|(_, counts)| counts.clone()).collect();
        Self { sum: sum(&hours), hours }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sum.delivered().total() + self.sum.failed_attempts() == 0
    }

    /// The numbers as text, also as the label of the diagram.
    pub(crate) fn words(&self) -> String {
        let (delivered, failed) = (self.sum.delivered().total(), self.sum.failed_attempts());
        let given_up = match self.sum.given_up() {
            0 => String::new(),
            count => format!(", {count} given up"),
        };
        format!("{delivered} delivered, {}{given_up}", counted(failed, "failed attempt"))
    }

    /// Half of the successful attempts took at most this long.
    pub(crate) fn response_time(&self) -> String {
        at_most(self.sum.delivered().percentile(50))
    }

    /// A bar per hour, the latest on the right: delivered below, failed attempts above.
    pub(crate) fn sparkline(&self) -> Markup {
        let height_of_all = 24;
        let parts = |hour: &Counts| [("good", hour.delivered().total()), ("bad", hour.failed_attempts())];
        let height_of = |hour: &Counts| parts(hour).iter().map(|(_, count)| count).sum::<u64>();
        let most = self.hours.iter().map(height_of).max().unwrap_or(0).max(1);
        let mut svg = format!(
            r#"<svg class="spark" viewBox="0 0 96 {height_of_all}" width="96" height="{height_of_all}" role="img" aria-label="Last 24 hours: {}">"#,
            self.words()
        );
        for (place, hour) in self.hours.iter().enumerate() {
            let (x, mut top) = (place * 4, height_of_all);
            for (class, count) in parts(hour) {
                let height = (count * (height_of_all - 2)).div_ceil(most);
                if height > 0 {
                    top = top.saturating_sub(height);
                    _ = write!(
                        svg,
                        r#"<rect class="{class}" x="{x}" y="{top}" width="3" height="{height}"/>"#
                    );
                }
            }
            if top == height_of_all {
                let y = height_of_all - 1;
                _ = write!(svg, r#"<rect class="none" x="{x}" y="{y}" width="3" height="1"/>"#);
            }
        }
        svg.push_str("</svg>");
        Markup::ours(svg)
    }
}

/// Whether the promise held in a period.
pub(crate) struct Promise {
    pub(crate) period: &'static str,
    pub(crate) words: String,
}

impl Promise {
    /// The last day and the last 30 days.
    pub(crate) fn of(stats: &Stats) -> [Self; 2] {
        [("Last 24 hours", &stats.day), ("Last 30 days", &stats.month)]
            .map(|(period, counts)| Self { period, words: in_words(counts) })
    }
}

fn in_words(counts: &Counts) -> String {
    let first = counts.first_attempts();
    let waited = match counts.after_wait() {
        0 => String::new(),
        count => format!(" {} had to wait, and are not counted.", counted(count, "other")),
    };
    if first.total() == 0 {
        return format!("no first attempts.{waited}");
    }
    let at = |percent| at_most(first.percentile(percent));
    format!(
        "{} of {} began within {} ms. Half began within {}, 95 % within {}, 99 % within {}.{waited}",
        share(first.within(PROMISED), first.total()),
        counted(first.total(), "first attempt"),
        PROMISED.as_millis(),
        at(50),
        at(95),
        at(99),
    )
}

/// "99.98 %". Never rounded up to 100 %.
fn share(part: u64, all: u64) -> String {
    if part == all {
        return "100 %".to_owned();
    }
    let hundredths = (part * 10_000).checked_div(all).unwrap_or(0);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn at_most(time: Option<Duration>) -> String {
    time.map_or_else(|| "more than a minute".to_owned(), millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        let table = [(1, 1, "100 %"), (99_999, 100_000, "99.99 %"), (1, 3, "33.33 %"), (0, 5, "0.00 %")];
        for (part, all, words) in table {
            assert_eq!(share(part, all), words);
        }
    }
}
