//! A bad deploy: rejects every batch, whatever is in it.

use millstream::{Batch, Failure, Outputs};

#[millstream::function]
fn handle(_: &Batch, _: &mut Outputs) -> Result<(), Failure> {
    Err(Failure::rejected("this version handles nothing"))
}
