//! Every shape that a handler may have, and what becomes of its answer.

use std::time::Duration;

use millstream::bindings::{self, Blame};
use millstream::testing::{Answer, Partition};
use millstream::{Batch, Failure, Json, Output, Outputs, Record, Reject};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
struct Order {
    id: String,
    total: u64,
}

#[derive(Debug, Serialize)]
struct Sum {
    id: String,
    twice: u64,
}

const ORDER: &str = r#"{"id":"o-1","total":21}"#;
const SUM: &str = r#"{"id":"o-1","twice":42}"#;

fn sum(order: Order) -> Sum {
    Sum { twice: order.total * 2, id: order.id }
}

fn hand<Shape>(
    handler: impl millstream::handler::Handler<Shape>,
    records: &[(&str, &str)],
) -> Result<Answer, bindings::Failure> {
    Partition::new().hand(handler, records.iter().copied())
}

fn values<Shape>(handler: impl millstream::handler::Handler<Shape>) -> Vec<String> {
    hand(handler, &[("k", ORDER)]).expect("handled").values()
}

#[test]
fn a_handler_of_typed_records_answers_in_many_ways() {
    assert_eq!(values(|order: Order| Json(sum(order))), [SUM]);
    assert_eq!(values(|order: Order| Some(sum(order))), [SUM]);
    assert_eq!(values(|_: Order| None::<Sum>), [""; 0]);
    assert_eq!(values(|order: Order| vec![sum(order)]), [SUM]);
    assert_eq!(values(|_: Order| ()), [""; 0]);
    assert_eq!(values(|order: Order| Output::bytes(order.id)), ["o-1"]);
    assert_eq!(values(|order: Order| Some(Output::bytes(order.id))), ["o-1"]);
    assert_eq!(values(|order: Order| vec![Output::bytes(order.id); 2]), ["o-1", "o-1"]);
    assert_eq!(values(|order: Order| -> Result<_, Reject> { Ok(Some(sum(order))) }), [SUM]);
    assert_eq!(values(|_: Order| -> Result<(), Reject> { Ok(()) }), [""; 0]);
}

#[test]
fn a_handler_may_see_the_record_with_or_without_its_value_decoded() {
    fn both(order: Order, record: Record<'_>) -> Json<(String, u64, u32)> {
        Json((order.id, record.timestamp_ms(), record.index()))
    }
    fn raw(record: Record<'_>) -> Result<Output, Reject> {
        #[derive(Deserialize)]
        struct Borrowed<'a> {
            id: &'a str,
        }
        Ok(Output::bytes(record.json::<Borrowed<'_>>()?.id))
    }
    assert_eq!(values(both), [r#"["o-1",0,0]"#]);
    assert_eq!(values(raw), ["o-1"]);
}

#[test]
fn a_handler_of_batches_names_what_failed_and_what_it_put_out_for_that_is_not_kept() {
    fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
        for record in batch.records() {
            outputs.emit(record, Output::from(record));
            match record.text()? {
                "bad" => outputs.rejected(record, "it is bad"),
                "worse" => outputs.permanent(record, "it is worse"),
                _ => {}
            }
        }
        outputs.emit_unsourced(Output::bytes("end").to("ends"));
        Ok(())
    }
    let answer = hand(handle, &[("a", "good"), ("b", "worse"), ("c", "bad")]).expect("handled");
    assert_eq!(answer.values(), ["good", "end"]);
    assert_eq!((answer.outputs[0].source, answer.outputs[1].source), (Some(0), None));
    assert_eq!(answer.outputs[1].topic.as_deref(), Some("ends"));
    let failed: Vec<_> = answer.failed.iter().map(|each| (each.index, each.blame)).collect();
    assert_eq!(failed, [(1, Blame::Permanent), (2, Blame::Rejected)]);
    assert!(hand(|_: &Batch, _: &mut Outputs| (), &[]).expect("handled").outputs.is_empty());
}

#[test]
fn outputs_keep_the_key_unless_told_otherwise() {
    fn handle(_: Record<'_>) -> Vec<Output> {
        vec![
            Output::bytes("kept"),
            Output::bytes("given").key("mine"),
            Output::bytes("none").without_key(),
            Output::tombstone().header("why", "gone"),
        ]
    }
    let answer = hand(handle, &[("k", "v")]).expect("handled");
    let keys: Vec<_> = answer.outputs.iter().map(|output| output.key.as_deref()).collect();
    assert_eq!(keys, [Some(&b"k"[..]), Some(b"mine"), None, Some(b"k")]);
    assert!(answer.outputs.iter().all(|output| output.source == Some(0)));
    assert_eq!(
        (&answer.outputs[3].value, &*answer.outputs[3].headers[0].value),
        (&None, &b"gone"[..])
    );
}

#[test]
fn a_record_that_fails_fails_alone_and_an_outage_is_the_batch_s() {
    fn handle(order: Order) -> Result<Option<Sum>, Reject> {
        match order.total {
            0 => Err(Reject::permanent("nothing to sum")),
            1 => Err(Reject::unavailable("the bank is closed", Duration::from_secs(3))),
            2 => Err("x".parse::<u64>().expect_err("no number").into()),
            _ => Ok(Some(sum(order))),
        }
    }
    let with = |total: u64| format!(r#"{{"id":"o-1","total":{total}}}"#);
    let (zero, one, two) = (with(0), with(1), with(2));
    let records = [("a", zero.as_str()), ("b", ORDER), ("c", two.as_str()), ("d", "{}")];
    let answer = hand(handle, &records).expect("handled");
    assert_eq!((answer.values(), answer.outputs[0].source), (vec![SUM.to_owned()], Some(1)));
    let failed: Vec<_> =
        answer.failed.iter().map(|each| (each.index, each.blame, each.reason.as_str())).collect();
    let expected = [
        (0, Blame::Permanent, "nothing to sum"),
        (2, Blame::Rejected, "invalid digit found in string"),
        (3, Blame::Permanent, "`id` is missing"),
    ];
    assert_eq!(failed, expected);
    let Err(bindings::Failure::Unavailable(outage)) = hand(handle, &[("a", ORDER), ("b", &one)])
    else {
        panic!("the bank is closed");
    };
    assert_eq!((outage.reason.as_str(), outage.retry_after_ms), ("the bank is closed", Some(3000)));
}
