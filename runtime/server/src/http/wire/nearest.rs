//! The known name that somebody probably meant. Never a list of names.

/// The nearest known name, if it is near: a third of its letters may differ.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let (best, distance) =
        known.iter().map(|known| (*known, distance(name, known))).min_by_key(|(_, far)| *far)?;
    let is_part =
        best.len() > 3 && (name.contains(best) || (name.len() > 3 && best.contains(name)));
    (distance <= (best.len() / 3).max(1) || is_part).then_some(best)
}

/// What to say of a name that is not known.
pub(crate) fn unknown(noun: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown {noun} `{name}`; did you mean `{near}`?"),
        None if known.is_empty() => format!("unknown {noun} `{name}`; there are none here"),
        None => format!("unknown {noun} `{name}`; known are `{}`", known.join("`, `")),
    }
}

/// Letters to add, drop or change; two neighbours in the wrong order count as one.
fn distance(left: &str, right: &str) -> usize {
    let lower = |text: &str| text.chars().take(64).flat_map(char::to_lowercase).collect::<Vec<_>>();
    let (left, right) = (lower(left), lower(right));
    let mut rows = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    rows[0] = (0..=right.len()).collect();
    for at in 0..left.len() {
        rows[at + 1][0] = at + 1;
        for to in 0..right.len() {
            let change = usize::from(left[at] != right[to]);
            let plain = (rows[at][to + 1] + 1).min(rows[at + 1][to] + 1).min(rows[at][to] + change);
            let is_swap =
                at > 0 && to > 0 && left[at] == right[to - 1] && left[at - 1] == right[to];
            rows[at + 1][to + 1] =
                if is_swap { plain.min(rows[at - 1][to - 1] + 1) } else { plain };
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["partitions", "retention", "compaction", "age", "records_max"];

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        for (slip, meant) in [
            ("partition", "partitions"),
            ("Partitions", "partitions"),
            ("partitoins", "partitions"),
            ("retentions", "retention"),
            ("aeg", "age"),
            ("max_records_max", "records_max"),
            ("recordsMax", "records_max"),
        ] {
            assert_eq!(nearest(slip, &KNOWN), Some(meant), "{slip}");
        }
        assert_eq!(nearest("colour", &KNOWN), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn what_is_far_from_all_gets_the_list() {
        assert_eq!(
            unknown("field", "colour", &["a", "b"]),
            "unknown field `colour`; known are `a`, `b`"
        );
        assert!(unknown("field", "partition", &KNOWN).ends_with("did you mean `partitions`?"));
    }
}
