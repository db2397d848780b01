//! Makes the uploads that no compiler would make, and reads those that one made.
//!
//! ```sh
//! forge compiles-forever > FILE    a valid function that no compiler gets done with
//! forge core-module > FILE         valid WebAssembly, but no component
//! forge inspect FILE...            what each imports and exports
//! ```
//!
//! A tool of the build, never part of a component.

mod bomb;
mod inspect;

use std::error::Error;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let made = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["compiles-forever"] => bomb::compiles_forever()?,
        ["core-module"] => bomb::core_module(),
        ["inspect", ref files @ ..] => {
            let mut report = String::new();
            for file in files {
                report.push_str(&inspect::report(file, &std::fs::read(file)?)?);
            }
            report.into_bytes()
        }
        _ => return Err("one of `compiles-forever`, `core-module`, `inspect FILE...`".into()),
    };
    std::io::stdout().write_all(&made)?;
    Ok(())
}
