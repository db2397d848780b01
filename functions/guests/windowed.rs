//! Counts the records of a tumbling window in its state, and says the count once, when the window ends:
//! `{"start_ms": …, "end_ms": …, "n": …, "early": …}`, without a key. Without a window it fails for good.

use millstream::json::json;
use millstream::{Batch, Failure, Output, Outputs};

#[millstream::function]
fn handle(batch: &Batch, outputs: &mut Outputs) -> Result<(), Failure> {
    let Some(window) = batch.window() else {
        return Err(Failure::permanent("the trigger has no window"));
    };
    let before = batch.state().get_json::<usize>("count")?.unwrap_or(0);
    let n = before + batch.len();
    if window.is_final {
        outputs.emit_unsourced(Output::json(&json!({
            "start_ms": window.start_ms, "end_ms": window.end_ms, "n": n, "early": window.is_early,
        }))?);
        batch.state().delete("count");
    } else {
        batch.state().set_json("count", &n)?;
    }
    Ok(())
}
