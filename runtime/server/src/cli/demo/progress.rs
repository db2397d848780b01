//! How far each trigger is, as text: a table for a terminal, a line for a file. Pure; never the
//! terminal itself, never a look at the server.

/// How far one trigger is. All counts are of records and of the whole data directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    pub(super) trigger: String,
    /// What the source topic ever took.
    pub(super) records_in: u64,
    /// Done without a dead letter.
    pub(super) handled: u64,
    /// What the output topic ever took.
    pub(super) out: u64,
    pub(super) dead_lettered: u64,
    pub(super) lag: u64,
    /// Done a second, lately; over the whole run once it is over.
    pub(super) rate: f64,
    /// As the API names it.
    pub(super) state: String,
}

impl Progress {
    pub(super) fn done(&self) -> u64 {
        self.handled + self.dead_lettered
    }
}

/// For a terminal. No line is wider than [`WIDTH`], so that redrawing can count lines.
pub(super) fn table(seconds: f64, triggers: &[Progress]) -> Vec<String> {
    let head = format!(
        "{:<10}{:>11}{:>11}{:>11}{:>7}{:>9}{:>11}  {}",
        format!("{seconds:.1} s"),
        "in",
        "handled",
        "out",
        "dead",
        "lag",
        "records/s",
        "state",
    );
    let rows = triggers.iter().map(|one| {
        format!(
            "{:<10}{:>11}{:>11}{:>11}{:>7}{:>9}{:>11}  {}",
            one.trigger,
            grouped(one.records_in),
            grouped(one.handled),
            grouped(one.out),
            grouped(one.dead_lettered),
            grouped(one.lag),
            grouped(one.rate.round() as u64),
            one.state,
        )
    });
    let lines = std::iter::once(head).chain(rows);
    lines.map(|line| line.chars().take(WIDTH).collect()).collect()
}

/// Narrower than any terminal that a person works in.
pub(super) const WIDTH: usize = 79;

/// For a file or a pipe: one line that says all.
pub(super) fn line(seconds: f64, triggers: &[Progress]) -> String {
    let parts = triggers.iter().map(|one| {
        format!(
            "{} {} of {} done ({} dead-lettered), {} out, lag {}, {}/s",
            one.trigger,
            grouped(one.done()),
            grouped(one.records_in),
            grouped(one.dead_lettered),
            grouped(one.out),
            grouped(one.lag),
            grouped(one.rate.round() as u64),
        )
    });
    format!("{seconds:>6.1} s  {}", parts.collect::<Vec<_>>().join("; "))
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrich() -> Progress {
        Progress {
            trigger: "enrich".into(),
            records_in: 20_000,
            handled: 9_900,
            out: 9_600,
            dead_lettered: 100,
            lag: 10_000,
            rate: 48_211.4,
            state: "running".into(),
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_table_has_a_head_and_a_line_per_trigger() {
        let alerts = Progress { trigger: "alerts".into(), state: "idle".into(), ..enrich() };
        let lines = table(1.25, &[enrich(), alerts]);
        assert_eq!(
            lines,
            [
                "1.2 s              in    handled        out   dead      lag  records/s  state",
                "enrich         20,000      9,900      9,600    100   10,000     48,211  running",
                "alerts         20,000      9,900      9,600    100   10,000     48,211  idle",
            ]
        );
    }

    #[test]
    fn no_line_of_the_table_wraps() {
        let long = Progress {
            trigger: "a-trigger-with-a-long-name".into(),
            records_in: u64::MAX,
            state: "waiting_for_retry".into(),
            ..enrich()
        };
        assert!(table(1e9, &[long]).iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn a_pipe_gets_one_line_that_says_all() {
        assert_eq!(
            line(3.0, &[enrich()]),
            "   3.0 s  enrich 10,000 of 20,000 done (100 dead-lettered), 9,600 out, lag 10,000, 48,211/s"
        );
    }
}
