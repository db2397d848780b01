//! Spans against a plain list of places.
use super::*;
use crate::{BatchBuilder, Headers};
use proptest::{collection::vec, prelude::*};

const BATCH_LEN: usize = 6;

fn batches() -> [RecordBatch; 3] {
    [0_usize, 1, 2].map(|nth| {
        let mut builder = BatchBuilder::default();
        for at in 0..BATCH_LEN {
            let value = vec![b'v'; nth + at];
            builder.push_new(Timestamp(0), None, Some(&value), Headers::NONE);
        }
        builder.build()
    })
}

/// Batch and index there.
type Places = Vec<(usize, usize)>;

/// Pushed one by one, or as the run that it begins.
fn pushed() -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    vec((0..3_usize, 0..BATCH_LEN, 0..4_usize), 0..12)
}

fn built(batches: &[RecordBatch; 3], pushed: &[(usize, usize, usize)]) -> (Span, Places) {
    let (mut span, mut model) = (Span::default(), Vec::new());
    for (batch, start, len) in pushed {
        let end = (start + len).min(BATCH_LEN);
        if *len == 0 {
            span.push_one(&batches[*batch], *start);
            model.push((*batch, *start));
        } else {
            span.push(Run::new(batches[*batch].clone(), *start..end));
            model.extend((*start..end).map(|at| (*batch, at)));
        }
    }
    (span, model)
}

fn is_equal(batches: &[RecordBatch; 3], span: &Span, model: &[(usize, usize)]) -> bool {
    let is_same = |((batch, at), model): ((&RecordBatch, usize), &(usize, usize))| {
        batch.is_same(&batches[model.0]) && at == model.1
    };
    let bytes: usize = model.iter().map(|(batch, at)| batch + at).sum();
    let shapes = span.runs().iter().all(|run| !run.is_empty());
    let ends = model.is_empty()
        || span.head().0 == model[0].1 as u64 && span.last().0 == model[model.len() - 1].1 as u64;
    (span.len(), span.is_empty(), span.bytes()) == (model.len(), model.is_empty(), bytes)
        && span.places().zip(model).all(is_same)
        && span.records().count() == model.len()
        && shapes
        && ends
}

proptest! {
    #[test]
    fn a_span_holds_what_was_pushed(pushed in pushed()) {
        let batches = batches();
        let (span, model) = built(&batches, &pushed);
        prop_assert!(is_equal(&batches, &span, &model));
    }

    #[test]
    fn to_split_a_span_is_to_split_the_list(
        pushed in pushed(),
        at in any::<prop::sample::Index>(),
    ) {
        let batches = batches();
        let (span, model) = built(&batches, &pushed);
        let at = at.index(model.len() + 1);
        let (front, back) = span.split_at(at);
        prop_assert!(is_equal(&batches, &front, &model[..at]));
        prop_assert!(is_equal(&batches, &back, &model[at..]));
    }

    #[test]
    fn to_part_a_span_is_to_part_the_list(pushed in pushed(), chosen in vec(any::<bool>(), 60)) {
        let batches = batches();
        let (span, model) = built(&batches, &pushed);
        let mut asked = Vec::new();
        let (yes, no) = span.partition(|nth, batch, at| {
            let batch = batches.iter().position(|other| other.is_same(batch));
            asked.push((nth, (batch.expect("one of them"), at)));
            chosen[nth]
        });
        prop_assert_eq!(asked, model.iter().copied().enumerate().collect::<Vec<_>>());
        let side = |wanted: bool| {
            let nth = model.iter().zip(&chosen).filter(|(_, chosen)| **chosen == wanted);
            nth.map(|(place, _)| *place).collect::<Vec<_>>()
        };
        prop_assert!(is_equal(&batches, &yes, &side(true)));
        prop_assert!(is_equal(&batches, &no, &side(false)));
    }

    #[test]
    fn a_run_is_cut_and_skipped_like_a_range(
        start in 0..BATCH_LEN,
        len in 1..BATCH_LEN,
        cut in 1..BATCH_LEN,
    ) {
        let end = (start + len).min(BATCH_LEN);
        let mut run = Run::new(batches()[0].clone(), start..end);
        let cut = cut.min(run.len());
        let mut skipped = run.clone();
        let front = run.cut(cut);
        skipped.skip(cut);
        prop_assert_eq!((front.range(), run.range()), (start..start + cut, start + cut..end));
        prop_assert_eq!(skipped.range(), run.range());
        prop_assert_eq!(run.is_empty(), start + cut == end);
    }
}
