//! Prints 32 MiB to stdout and as much to stderr over a record that holds "flood"; and is done with it all the same.
//! Every record comes out as it came.

use std::io::Write;

use guests::says;
use millstream::{Output, Record};

const LINE: &str = "all work and no play makes this function a dull one, over and over again, for 32 MiB on each......\n";
const BYTES: usize = 32 << 20;

#[millstream::function]
fn handle(record: Record<'_>) -> Output {
    if says(record, "flood") {
        for line in 0..BYTES / LINE.len() {
            // The result does not matter: a log that is full is no reason to fail.
            let _ = write!(std::io::stdout(), "{line}: {LINE}");
            let _ = write!(std::io::stderr(), "{line}: {LINE}");
        }
    }
    Output::from(record)
}
