//! Names records that it was never given: "outside-failed" in a value names a failed record past the batch's end,
//! "outside-source" an output's source there. The SDK cannot say either, so this one speaks the bindings. Otherwise
//! every record comes out as it came.
#![cfg_attr(target_family = "wasm", allow(unsafe_code, reason = "the export is generated"))]

use millstream::bindings::{Batch, Blame, FailedRecord, Failure, Guest, Output, Response};

struct Outside;

impl Guest for Outside {
    fn handle(batch: Batch) -> Result<Response, Failure> {
        let mut response = Response { outputs: Vec::new(), failed: Vec::new() };
        let past_the_end =
            u32::try_from(batch.records.len()).expect("a list in 32-bit memory has fewer") + 7;
        for (index, record) in (0u32..).zip(batch.records) {
            let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
            if text.contains("outside-failed") {
                let reason = "a record that nobody handed over".to_owned();
                response.failed.push(FailedRecord {
                    index: past_the_end,
                    blame: Blame::Rejected,
                    reason,
                });
            }
            let source = if text.contains("outside-source") { past_the_end } else { index };
            response.outputs.push(Output {
                source: Some(source),
                topic: None,
                key: record.key,
                value: record.value,
                headers: record.headers,
            });
        }
        Ok(response)
    }
}

#[cfg(target_family = "wasm")]
millstream::bindings::export!(Outside with_types_in millstream::bindings);
#[cfg(not(target_family = "wasm"))]
const _: fn(Batch) -> Result<Response, Failure> = Outside::handle;
