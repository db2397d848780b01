//! What a measurement found, as a table for a person and as JSON for a program. Pure. The keys are
//! listed in runtime/docs/bench.md and stay: never renamed, never with another unit.
use serde_json::{Map, Number, Value};

/// The figures of one subcommand.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// What was done, in a line.
    pub(super) about: String,
    pub(super) figures: Vec<Figure>,
}

/// One number.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// Stable; ends with the unit.
    pub(super) key: String,
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) unit: Unit,
    /// What it is compared with, where it says more than the number: `1.3 x a sync`.
    pub(super) beside: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Micros,
    Nanos,
    PerSecond,
    MegabytesPerSecond,
    GigabytesPerSecond,
    /// 10⁶ bytes.
    Megabytes,
    Times,
    PerRecord,
    Count,
}

impl Unit {
    /// What a key of this unit ends with.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Micros => "_us",
            Self::Nanos => "_ns",
            Self::PerSecond => "_per_second",
            Self::MegabytesPerSecond => "_mb_per_second",
            Self::GigabytesPerSecond => "_gb_per_second",
            Self::Megabytes => "_mb",
            Self::Times => "_ratio",
            Self::PerRecord => "_per_record",
            Self::Count => "",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "-".to_owned(),
            Self::Micros if value >= 10_000.0 => format!("{:.1} ms", value / 1_000.0),
            Self::Micros => format!("{value:.0} us"),
            Self::Nanos if value >= 100.0 => format!("{value:.0} ns"),
            Self::Nanos => format!("{value:.1} ns"),
            Self::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::PerSecond if value >= 1e4 => format!("{:.0} k/s", value / 1e3),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::MegabytesPerSecond => format!("{value:.0} MB/s"),
            Self::GigabytesPerSecond => format!("{value:.1} GB/s"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Times => format!("{value:.2} x"),
            Self::PerRecord => format!("{value:.4}"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Section {
    pub(super) fn new(name: &'static str, about: impl Into<String>) -> Self {
        Self { name, about: about.into(), figures: Vec::new() }
    }

    /// `key` without its unit.
    pub(super) fn add(&mut self, key: &str, label: &str, value: f64, unit: Unit) {
        let key = format!("{key}{}", unit.suffix());
        self.figures.push(Figure { key, label: label.to_owned(), value, unit, beside: None });
    }

    /// Says what the last figure is compared with.
    pub(super) fn beside(&mut self, text: impl Into<String>) {
        if let Some(last) = self.figures.last_mut() {
            last.beside = Some(text.into());
        }
    }

    /// Lines for a person.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), format!("{}: {}", self.name, self.about)];
        for figure in &self.figures {
            let Figure { label, value, unit, beside, .. } = figure;
            let beside = beside.as_ref().map(|text| format!("  {text}")).unwrap_or_default();
            lines.push(format!("  {label:<52}{:>12}{beside}", unit.show(*value)));
        }
        lines
    }
}

/// All of it as one object: a key per section, in it one per figure.
pub(super) fn json(sections: &[Section]) -> Value {
    let object = |section: &Section| {
        section.figures.iter().map(|figure| (figure.key.clone(), number(figure.value))).collect()
    };
    let sections = sections.iter().map(|one| (one.name.to_owned(), Value::Object(object(one))));
    Value::Object(sections.collect::<Map<_, _>>())
}

/// Four digits say all that a measurement knows; `null` is a figure that could not be measured.
fn number(value: f64) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Value::Number((value as i64).into());
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return Value::Number((value.round() as i64).into());
    }
    let scale = 10f64.powi(digits);
    Number::from_f64((value * scale).round() / scale).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let mut section = Section::new("limits", "what this machine can do");
        section.add("sync_4k_p50", "append 4 KiB, sync, p50", 149.237, Unit::Micros);
        section.add("sequential", "sequential write", 1_630.0, Unit::MegabytesPerSecond);
        section.beside("0.6 x memory");
        section
    }

    #[test]
    fn a_key_ends_with_its_unit_and_a_number_has_four_digits() {
        assert_eq!(
            json(&[section()]).to_string(),
            r#"{"limits":{"sync_4k_p50_us":149.2,"sequential_mb_per_second":1630}}"#
        );
        for (value, shown) in [
            (0.0, "0"),
            (2.0, "2"),
            (2_345_678.4, "2345678"),
            (0.123_456, "0.1235"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(number(value).to_string(), shown);
        }
    }

    #[test]
    fn a_person_reads_a_line_per_figure_with_what_it_is_compared_with() {
        let lines = section().lines();
        assert_eq!(lines[1], "limits: what this machine can do");
        assert!(lines[2].starts_with("  append 4 KiB, sync, p50 "), "{}", lines[2]);
        assert!(lines[2].ends_with(" 149 us"), "{}", lines[2]);
        assert!(lines[3].ends_with("1630 MB/s  0.6 x memory"), "{}", lines[3]);
    }

    #[test]
    fn units_are_shown_as_a_person_says_them() {
        for (unit, value, shown) in [
            (Unit::PerSecond, 2_340_000.0, "2.34 M/s"),
            (Unit::PerSecond, 512_300.0, "512 k/s"),
            (Unit::Micros, 31_400.0, "31.4 ms"),
            (Unit::Nanos, 6.84, "6.8 ns"),
            (Unit::Times, 1.3, "1.30 x"),
            (Unit::Times, f64::NAN, "-"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }
}
