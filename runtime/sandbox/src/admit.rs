//! What an upload must be to become a function, and what each refusal says. Never a compilation.
use log_contract::Digest;
use std::{fmt, sync::Arc};

/// A component that may be a function: compiled and kept by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub digest: Digest,
    /// Interfaces that it imports, in its order.
    pub imports: Vec<String>,
    /// The world that it fits.
    pub world: String,
    /// 0 if it was compiled already.
    pub compile_ms: u64,
    /// Of the component.
    pub bytes: usize,
}

/// Why an upload is no function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    #[error("this is no WebAssembly component: {reason}")]
    NotAComponent { reason: String },
    #[error(
        "the component imports `{name}`, which the host does not have: {reason}; a function may import `{STATE}` and wasi 0.2"
    )]
    UnknownImport { name: String, reason: String },
    #[error(
        "the component does not export `{name}`: build it against the world `{WORLD}` in `wit/function.wit`"
    )]
    MissingHandle { name: String },
    #[error(
        "the export `{name}` has another type than in the world `{WORLD}`: {reason}; build it against this version of `wit/function.wit`"
    )]
    WrongHandleType { name: String, reason: String },
    #[error("the component has {bytes} bytes, the most is {max}: strip it of debug information")]
    TooLarge { bytes: usize, max: usize },
    #[error(
        "compiling the component took more than {most}: split it, or raise `compile.{what}` in the server's configuration"
    )]
    CompileLimit { what: CompileResource, most: String },
    #[error("the component needs {needs}, the most that a function may have is {most}")]
    ExceedsPool { needs: String, most: String },
    /// Ours.
    #[error("{0}")]
    Host(HostTrouble),
}

/// What a compilation ran out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompileResource {
    Cpu,
    Memory,
}

impl fmt::Display for CompileResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory_bytes",
        })
    }
}

/// The sandbox itself could not do something. Not the component's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{act}: {reason}")]
pub struct HostTrouble {
    /// What was tried, with its object in backticks.
    pub act: String,
    pub reason: Arc<str>,
}

impl HostTrouble {
    pub(crate) fn new(act: String, reason: &impl fmt::Display) -> Self {
        Self { act, reason: reason.to_string().into() }
    }
}

impl From<HostTrouble> for AdmitError {
    fn from(trouble: HostTrouble) -> Self {
        Self::Host(trouble)
    }
}

pub(crate) const WORLD: &str = "millstream:function/function@0.1.0";
pub(crate) const STATE: &str = "millstream:function/state@0.1.0";
pub(crate) const HANDLER: &str = "millstream:function/handler@0.1.0";

/// What is known without compiling: the size and the first eight bytes.
pub(crate) fn check_form(component: &[u8], bytes_max: usize) -> Result<(), AdmitError> {
    let refuse = |reason: &str| Err(AdmitError::NotAComponent { reason: reason.into() });
    if component.len() > bytes_max {
        return Err(AdmitError::TooLarge { bytes: component.len(), max: bytes_max });
    }
    match component.first_chunk() {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, 0, 0, 0]) => refuse(
            "it is a core module; build it for the target `wasm32-wasip2`, or make a component of it with \
             `wasm-tools component new`",
        ),
        Some([0, b'a', b's', b'm', ..]) => {
            refuse("it has a version of the binary format that this engine does not know")
        }
        Some(b"(compone" | b"(module ") => refuse("it is text; upload the binary form"),
        _ => refuse("it does not begin as WebAssembly does; upload the `.wasm` file itself"),
    }
}
