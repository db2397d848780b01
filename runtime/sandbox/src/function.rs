//! A compiled function, mapped, linked and checked, ready to be instantiated. Never a running instance.
use crate::{
    abi::{Answer, Params},
    admit::{AdmitError, HANDLER, HostTrouble, WORLD},
    engine::{CORE_INSTANCES_MAX, Engines, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX},
    host::{self, Host},
};
use log_contract::Digest;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use wasmtime::{
    Engine, ResourcesRequired,
    component::{Component, ComponentExportIndex, InstancePre, Linker, types::ComponentItem},
};

const WASM_PAGE: u64 = 64 << 10;

/// One version's component, mapped and linked. Unmapped when the last clone of its `Arc` goes.
pub struct Function {
    digest: Digest,
    imports: Vec<String>,
    file: PathBuf,
    engines: Arc<Engines>,
    first: Linked,
    /// For what runs beyond the pool; made when it is needed.
    spare: OnceLock<Result<Linked, HostTrouble>>,
}

/// A component on one engine.
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<Host>,
    pub(crate) handle: ComponentExportIndex,
}

/// Why a function that was admitted once does not load now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    #[error("component `{0}` is not in the store any more")]
    Missing(Digest),
    /// This version of the runtime no longer takes it.
    #[error("component `{digest}` cannot run on this version")]
    Refused { digest: Digest, source: AdmitError },
    #[error("{0}")]
    Host(HostTrouble),
}

impl Function {
    /// Of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Interfaces that it imports, in its order.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Maps a compiled file and checks what it is. `Err(Host)` if the file is not one that this engine
    /// wrote.
    pub(crate) fn open(
        digest: Digest,
        file: PathBuf,
        engines: Arc<Engines>,
        memory_max: usize,
    ) -> Result<Self, AdmitError> {
        let component = map_within_pool(&engines, &file)?;
        check_needs(component.resources_required(), memory_max)?;
        let engine = engines.first();
        let ty = component.component_type();
        let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let first = Linked::new(engine, &component)?;
        Ok(Self { digest, imports, file, engines, first, spare: OnceLock::new() })
    }

    /// Whether its first engine is the pool.
    pub(crate) fn pooled(&self) -> Option<&Linked> {
        self.engines.pooled.is_some().then_some(&self.first)
    }

    pub(crate) fn on_demand(&self) -> Result<&Linked, HostTrouble> {
        if self.engines.pooled.is_none() {
            return Ok(&self.first);
        }
        let make = || {
            let engine = &self.engines.on_demand;
            let component = map(engine, &self.file).map_err(|error| self.trouble(&error))?;
            Linked::new(engine, &component).map_err(|error| self.trouble(&error))
        };
        self.spare.get_or_init(make).as_ref().map_err(Clone::clone)
    }

    fn trouble(&self, error: &impl fmt::Display) -> HostTrouble {
        HostTrouble::new(format!("link `{}` outside the pool", self.digest), error)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.digest).finish()
    }
}

impl Linked {
    /// Names what is missing: an import that the host lacks, the export, or its type.
    fn new(engine: &Engine, component: &Component) -> Result<Self, AdmitError> {
        let handle = find_handle(component)?;
        let mut linker = Linker::<Host>::new(engine);
        host::link(&mut linker)
            .map_err(|error| HostTrouble::new("link the host".into(), &error))?;
        let pre = linker.instantiate_pre(component).map_err(|error| unknown_import(&error))?;
        let (ComponentItem::ComponentFunc(ty), handle) = handle else {
            let reason = "it is no function".into();
            return Err(AdmitError::WrongHandleType { name: handle_name(), reason });
        };
        ty.typecheck::<Params<'_>, Answer>(&pre.instance_type()).map_err(|error| {
            let reason = format!("{error:#}");
            AdmitError::WrongHandleType { name: handle_name(), reason }
        })?;
        Ok(Self { pre, handle })
    }
}

fn handle_name() -> String {
    format!("{HANDLER}#handle")
}

fn find_handle(component: &Component) -> Result<(ComponentItem, ComponentExportIndex), AdmitError> {
    let missing = |name: &str| AdmitError::MissingHandle { name: name.into() };
    let handler = component.get_export_index(None, HANDLER).ok_or_else(|| missing(HANDLER))?;
    component.get_export(Some(&handler), "handle").ok_or_else(|| missing(&handle_name()))
}

/// The engine's words name the import in backticks, and what is wrong with it in causes.
fn unknown_import(error: &wasmtime::Error) -> AdmitError {
    let text = error.to_string();
    let name = text.split('`').nth(1).unwrap_or(&text).to_owned();
    let causes: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
    let known = format!("`{WORLD}` has nothing of that name");
    let is_missing = causes.last().is_none_or(|cause| cause.contains("implementation is missing"));
    let reason = match causes.as_slice() {
        [.., part, _] if is_missing && part.contains('`') => {
            format!("its `{}` is missing", part.split('`').nth(1).unwrap_or_default())
        }
        _ if is_missing => known,
        causes => causes.join(": "),
    };
    AdmitError::UnknownImport { name, reason }
}

/// What the pool refuses and the plain engine takes is too large for the pool.
fn map_within_pool(engines: &Engines, file: &Path) -> Result<Component, AdmitError> {
    let refused = match map(engines.first(), file) {
        Ok(component) => return Ok(component),
        Err(error) => error,
    };
    match map(&engines.on_demand, file) {
        Ok(_) => Err(AdmitError::ExceedsPool {
            needs: format!("more than a slot of the pool has ({})", refused.root_cause()),
            most: most_text(),
        }),
        Err(error) => {
            let act = format!("map compiled component `{}`", file.display());
            Err(AdmitError::Host(HostTrouble::new(act, &format!("{error:#}"))))
        }
    }
}

fn map(engine: &Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file lies in a directory that only this user may write (mode 0700, made by us), under a
    // name that holds the fingerprint of this engine. It came there by a rename after our own compiler had
    // written and synced it, and nobody writes to it again.
    #[expect(unsafe_code, reason = "a compiled file is code, and code is trusted")]
    unsafe {
        Component::deserialize_file(engine, file)
    }
}

fn check_needs(needs: Option<ResourcesRequired>, memory_max: usize) -> Result<(), AdmitError> {
    let exceeds = |needs: String, most: String| Err(AdmitError::ExceedsPool { needs, most });
    let Some(needs) = needs else {
        return exceeds("core modules as imports".into(), "modules of its own".into());
    };
    let memory = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE);
    if memory > memory_max as u64 {
        return exceeds(
            format!("{memory} bytes of memory to start with"),
            format!("{memory_max} bytes (`memory_max`)"),
        );
    }
    let elements = needs.max_initial_table_size.unwrap_or(0);
    let counts = [
        (u64::from(needs.num_memories), MEMORIES_MAX, "memories"),
        (u64::from(needs.num_tables), TABLES_MAX, "tables"),
        (elements, TABLE_ELEMENTS_MAX, "elements in a table"),
    ];
    match counts.into_iter().find(|(needs, most, _)| *needs > *most as u64) {
        Some((needs, most, what)) => exceeds(format!("{needs} {what}"), most.to_string()),
        None => Ok(()),
    }
}

fn most_text() -> String {
    format!(
        "`memory_max` bytes of memory, {MEMORIES_MAX} memories, {TABLES_MAX} tables of \
         {TABLE_ELEMENTS_MAX} elements, {CORE_INSTANCES_MAX} core modules"
    )
}
