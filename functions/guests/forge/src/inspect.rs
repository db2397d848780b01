//! What a component asks for and offers. Reading only.

use std::fmt::Write;

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn report(name: &str, bytes: &[u8]) -> Result<String, Error> {
    Validator::new_with_features(WasmFeatures::default()).validate_all(bytes)?;
    let mut report = format!("{name} ({} bytes)\n", bytes.len());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                report.push_str("  is a core module\n");
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    writeln!(report, "  imports {}", import?.name.name)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    writeln!(report, "  exports {}", export?.name.name)?;
                }
            }
            _ => {}
        }
    }
    Ok(report)
}
