//! Whether what the process takes stays the same: the median of the last quarter of the load against those
//! of the second, which saw other lives of the server, and of the third, the same life's youth. Pure; who
//! samples is elsewhere.
use std::time::Duration;

use serde_json::{Value, json};

use crate::samples::Sample;

/// A shorter load has too few settled samples to say anything.
pub(crate) const JUDGED_FROM: Duration = Duration::from_secs(4 * 60);
/// Lives differ, by what was on its way when: the allocator keeps for a while what a burst took.
const BETWEEN_LIVES: u64 = 128 << 20;
/// Caches fill, up to their bounds, and the allocator keeps what it may need again: see `soak.md`.
const WITHIN_LIFE: u64 = 64 << 20;
const DESCRIPTORS_MARGIN: u64 = 8;
/// Files that the log keeps open for its readers, the one that it writes and the next ones; each perhaps
/// twice, past the page cache and through it.
const SEGMENTS_MAX: u64 = 2 * (64 + 4);

/// The medians, how fast memory grew within the second half, and what is above its margin.
pub(crate) fn judge(samples: &[Sample], load: Duration) -> (Value, Vec<String>) {
    let quarter = |nth: u32| {
        let within = load * nth / 4..load * (nth + 1) / 4;
        samples.iter().filter(move |sample| within.contains(&sample.at)).copied()
    };
    let memory = |nth| median(quarter(nth).map(|sample| sample.anon_bytes));
    let descriptors = |nth| median(quarter(nth).map(|sample| sample.descriptors));
    let segments = samples.iter().map(|sample| sample.segments).max().unwrap_or(0);
    let (before, young, after) = (memory(1), memory(2), memory(3));
    let (few, many) = (descriptors(1), descriptors(3));
    let second_half: Vec<Sample> = quarter(2).chain(quarter(3)).collect();
    let is_judged = load >= JUDGED_FROM;
    let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes >> 20);
    let figures = json!({
        "judged": is_judged,
        "samples": samples.len(),
        "rss_anon_mib": {
            "second_quarter": mib(before), "third_quarter": mib(young), "last_quarter": mib(after),
            "margins": [BETWEEN_LIVES >> 20, WITHIN_LIFE >> 20],
            "growth_mib_per_minute_in_second_half": slope(&second_half),
        },
        "descriptors": {
            "second_quarter": few, "last_quarter": many, "margin": DESCRIPTORS_MARGIN,
            "segments_at_most": segments,
        },
    });
    let mut problems = Vec::new();
    if !is_judged {
        return (figures, problems);
    }
    match (before, young, after, few, many) {
        (Some(before), Some(young), Some(after), Some(few), Some(many)) => {
            if after > before + BETWEEN_LIVES || after > young + WITHIN_LIFE {
                let grown = [before, young, after].map(|bytes| bytes >> 20);
                problems.push(format!("memory grew, quarter by quarter, in MiB: {grown:?}"));
            }
            if many > few + DESCRIPTORS_MARGIN {
                problems.push(format!("descriptors grew from {few} to {many}"));
            }
        }
        _ => problems.push("too few samples to say whether memory is flat".into()),
    }
    if segments > SEGMENTS_MAX {
        problems.push(format!("{segments} files of the journal were open"));
    }
    (figures, problems)
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// MiB a minute, by least squares.
fn slope(samples: &[Sample]) -> Option<f64> {
    let count = samples.len() as f64;
    let minutes = |sample: &Sample| sample.at.as_secs_f64() / 60.0;
    let mib = |sample: &Sample| sample.anon_bytes as f64 / f64::from(1 << 20);
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (middle, level) = (mean(&minutes), mean(&mib));
    let spread: f64 = samples.iter().map(|sample| (minutes(sample) - middle).powi(2)).sum();
    let rise: f64 =
        samples.iter().map(|sample| (minutes(sample) - middle) * (mib(sample) - level)).sum();
    (spread > 0.0).then(|| (rise / spread * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Duration = Duration::from_secs(400);

    fn samples(of: impl Fn(u64) -> (u64, u64)) -> Vec<Sample> {
        let sample = |second| {
            let (mib, descriptors) = of(second);
            let at = Duration::from_secs(second);
            Sample { at, anon_bytes: mib << 20, descriptors, segments: 3 }
        };
        (0..400).map(sample).collect()
    }

    #[test]
    fn what_stays_is_flat_and_what_grows_is_told() {
        let (figures, problems) = judge(&samples(|second| (200 + second % 7, 40)), LOAD);
        assert_eq!(problems, Vec::<String>::new(), "{figures}");
        let (figures, problems) = judge(&samples(|second| (200 + second, 40 + second / 10)), LOAD);
        assert_eq!(problems.len(), 2, "{problems:?}");
        let growth = &figures["rss_anon_mib"]["growth_mib_per_minute_in_second_half"];
        assert_eq!(growth, 60.0);
        let (_, problems) = judge(&samples(|second| (300 + 99 * (second / 300), 40)), LOAD);
        assert_eq!(problems.len(), 1, "within a life: {problems:?}");
        assert_eq!(judge(&[], LOAD).1.len(), 1);
        assert!(judge(&[], LOAD / 4).1.is_empty(), "a short load is not judged");
    }
}
