//! Changes of functions. Never a look at their bytes: `artifacts` has those.
use super::{
    Catalog, Change, DeleteFunctionError, Etag, Function, FunctionPatch, FunctionRef, Guard,
    NotFound, Noun, PatchFunctionError, Problem, PutVersionError, Selector, Settings, Version,
    error::StoreError,
    function::is_alias,
    stored::{self, StoredFunction, StoredVersion},
};
use crate::artifacts::KeepError;
use bytes::Bytes;
use log_contract::{BlobError, Digest, Expect, FunctionName, LogUnavailable};
use sandbox::AdmitError;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// What an upload did.
#[derive(Clone, Debug)]
pub struct PutVersion {
    pub function: Arc<Function>,
    pub version: Arc<Version>,
    /// `Created`: a new version. `Unchanged`: these bytes have one.
    pub change: Change,
}

/// A version that a trigger, or a caller, means.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub function: Arc<Function>,
    pub version: Arc<Version>,
}

/// Text of all environment variables of a function, at most.
const ENVIRONMENT_BYTES_MAX: usize = 64 << 10;
const ALIASES_MAX: usize = 100;
const HOSTS_MAX: usize = 100;
const TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);

impl Catalog {
    /// Finds the version that is meant.
    ///
    /// # Errors
    /// The function, the version or the alias that is not there.
    pub fn resolve(&self, reference: &FunctionRef) -> Result<Resolved, NotFound> {
        let FunctionRef { name, selector } = reference;
        let Some(function) = self.function(name) else {
            let hint = format!("upload it: PUT /v1/functions/{name}");
            return Err(NotFound::new(Noun::Function, name.as_str()).with_hint(hint));
        };
        if let Some(version) = function.select(selector) {
            let version = Arc::clone(version);
            return Ok(Resolved { function, version });
        }
        let newest = function.newest().version;
        Err(match selector {
            Selector::Alias(alias) => {
                let hint = format!(
                    "set it: PATCH /v1/functions/{name} {{\"aliases\": {{\"{alias}\": {newest}}}}}"
                );
                NotFound::new(Noun::Alias, reference.to_string()).with_hint(hint)
            }
            _ => NotFound::new(Noun::Version, reference.to_string())
                .with_hint(format!("the newest is `{name}@{newest}`")),
        })
    }

    /// Checks, compiles and keeps a component, and gives it the next version.
    ///
    /// # Errors
    /// It does not fit, or cannot be kept now.
    pub async fn put_version(
        &self,
        name: &FunctionName,
        component: Bytes,
    ) -> Result<PutVersion, PutVersionError> {
        let admitted = self.artifacts.keep(component.clone()).await.map_err(not_kept)?;
        let _turn = self.writes.lock().await;
        let before = self.function(name);
        let known = before.as_ref().and_then(|function| {
            let found = function.versions.iter().find(|found| found.digest == admitted.digest);
            Some((Arc::clone(function), Arc::clone(found?)))
        });
        if let Some((function, version)) = known {
            return Ok(PutVersion { function, version, change: Change::Unchanged });
        }
        // Whoever had it before us may have been deleted since we looked, and it with him.
        self.artifacts.keep_again(component).await.map_err(not_kept)?;
        let number = before.as_ref().map_or(1, |function| function.newest().version + 1);
        let version = Arc::new(Version {
            version: number,
            digest: admitted.digest,
            world: admitted.world,
            bytes: admitted.bytes as u64,
            compile_ms: admitted.compile_ms,
            imports: admitted.imports,
            created_at: self.now(),
        });
        let key = stored::version_key(name, number);
        let document = stored::encode(StoredVersion::from(version.as_ref()));
        // Whatever lies there was left by a crash before its function named it.
        self.write(&key, Some(document), Expect::Anything).await.map_err(not_written)?;
        let mut function = before.as_deref().cloned().unwrap_or_else(|| Function {
            name: name.clone(),
            etag: Etag(0),
            created_at: version.created_at,
            versions: Vec::new(),
            settings: Settings::new(),
        });
        function.versions.push(Arc::clone(&version));
        let function = self.write_head(function).await.map_err(not_written)?;
        Ok(PutVersion { function, version, change: Change::Created })
    }

    /// Changes settings: limits, environment, aliases.
    ///
    /// # Errors
    /// All that is wrong with the change.
    pub async fn patch_function(
        &self,
        name: &FunctionName,
        patch: FunctionPatch,
        guard: Guard,
    ) -> Result<Arc<Function>, PatchFunctionError> {
        let _turn = self.writes.lock().await;
        let Some(before) = self.function(name) else {
            return Err(NotFound::new(Noun::Function, name.as_str()).into());
        };
        guard.check(Some(before.etag))?;
        for alias in patch.aliases.iter().filter_map(|(alias, to)| to.is_none().then_some(alias)) {
            let meant =
                FunctionRef { name: name.clone(), selector: Selector::Alias(alias.clone()) };
            let triggers = self.triggers_with(|trigger| trigger.definition.function == meant);
            if !triggers.is_empty() {
                return Err(PatchFunctionError::AliasInUse { alias: alias.clone(), triggers });
            }
        }
        let mut settings = before.settings.clone();
        apply(patch, &mut settings);
        let problems = problems_of(&settings, &before);
        if !problems.is_empty() {
            return Err(PatchFunctionError::Invalid(problems));
        }
        if settings == before.settings {
            return Ok(before);
        }
        let function = Function { settings, ..before.as_ref().clone() };
        Ok(self.write_head(function).await?)
    }

    /// Deletes a function with all its versions.
    ///
    /// # Errors
    /// A trigger names it.
    pub async fn delete_function(&self, name: &FunctionName) -> Result<(), DeleteFunctionError> {
        let _turn = self.writes.lock().await;
        let Some(function) = self.function(name) else {
            return Err(NotFound::new(Noun::Function, name.as_str()).into());
        };
        let triggers = self.users_of_function(name);
        if !triggers.is_empty() {
            return Err(DeleteFunctionError::InUse { name: name.to_string(), triggers });
        }
        let unavailable = |error: StoreError| match error {
            StoreError::Unavailable(why) => DeleteFunctionError::Unavailable(why),
            StoreError::GuardFailed(_) => unreachable!("a put that expects anything has no guard"),
        };
        let head = format!("{}{name}", stored::FUNCTIONS);
        self.write(&head, None, Expect::Anything).await.map_err(unavailable)?;
        self.hide_function(name);
        for version in &function.versions {
            let key = stored::version_key(name, version.version);
            self.write(&key, None, Expect::Anything).await.map_err(unavailable)?;
        }
        let kept = self.digests();
        for digest in function.versions.iter().map(|version| version.digest) {
            if !kept.contains(&digest)
                && let Err(error) = self.artifacts.remove(digest).await
            {
                tracing::warn!(%digest, error = &error as &dyn std::error::Error, "an unused component stays");
            }
        }
        Ok(())
    }

    /// Of all versions of all functions.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<Digest> {
        let functions = self.functions();
        let versions = functions.iter().flat_map(|function| &function.versions);
        versions.map(|version| version.digest).collect()
    }

    async fn write_head(&self, mut function: Function) -> Result<Arc<Function>, StoreError> {
        let versions = function.newest().version;
        let document = StoredFunction::new(function.created_at, versions, &function.settings);
        let expect = if function.etag == Etag(0) {
            Expect::Nothing
        } else {
            Expect::Version(function.etag.0)
        };
        let key = format!("{}{}", stored::FUNCTIONS, function.name);
        let version = self.write(&key, Some(stored::encode(document)), expect).await?;
        function.etag = Etag(version);
        let function = Arc::new(function);
        self.show_function(Arc::clone(&function));
        Ok(function)
    }
}

fn apply(patch: FunctionPatch, settings: &mut Settings) {
    let FunctionPatch { limits, environment, aliases, allowed_hosts } = patch;
    limits.apply(&mut settings.limits);
    for (name, value) in environment {
        match value {
            Some(value) => settings.environment.insert(name, value),
            None => settings.environment.remove(&name),
        };
    }
    for (alias, version) in aliases {
        match version {
            Some(version) => settings.aliases.insert(alias, version),
            None => settings.aliases.remove(&alias),
        };
    }
    if let Some(hosts) = allowed_hosts {
        settings.allowed_hosts = hosts;
    }
}

fn problems_of(settings: &Settings, function: &Function) -> Vec<Problem> {
    let mut problems = Vec::new();
    let limits = &settings.limits;
    let mut check = |holds: bool, field: &str, message: String| {
        if !holds {
            problems.push(Problem::new(field, message));
        }
    };
    let timeout = limits.timeout;
    let fits = Duration::from_millis(1) <= timeout && timeout <= TIMEOUT_MAX;
    check(fits, "limits.timeout", "it is not between 1ms and 900s".into());
    let memory = limits.memory_bytes;
    let fits = (64 << 10..=4 << 30).contains(&memory);
    check(fits, "limits.memory", format!("{memory} bytes are not between 64KiB and 4GiB"));
    let fits = limits.output_bytes_max < 1 << 30;
    check(fits, "limits.output_bytes_max", "it is not below 1GiB".into());
    let fits = limits.output_records_max <= 1_000_000;
    check(fits, "limits.output_records_max", "it is above 1000000".into());
    let fits = limits.log_bytes_max <= 16 << 20;
    check(fits, "limits.log_bytes_max", "it is above 16MiB".into());
    check(limits.concurrency_max != Some(0), "limits.concurrency_max", "0 is below 1".into());
    let text: usize =
        settings.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    let message = format!("{text} bytes are more than {ENVIRONMENT_BYTES_MAX}");
    check(text <= ENVIRONMENT_BYTES_MAX, "environment", message);
    for (name, value) in &settings.environment {
        let is_fine = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        let message = "a name is not empty and has no `=`; neither has a NUL".into();
        check(is_fine, &format!("environment.{name}"), message);
    }
    let count = settings.aliases.len();
    check(count <= ALIASES_MAX, "aliases", format!("{count} are more than {ALIASES_MAX}"));
    for (alias, version) in &settings.aliases {
        let field = format!("aliases.{alias}");
        let message = "give 1 to 64 characters of A-Za-z0-9._- that are no number".into();
        check(is_alias(alias), &field, message);
        let newest = function.newest().version;
        let message = format!("version {version} does not exist, the newest is {newest}");
        check(function.version(*version).is_some(), &field, message);
    }
    let count = settings.allowed_hosts.len();
    check(count <= HOSTS_MAX, "allowed_hosts", format!("{count} are more than {HOSTS_MAX}"));
    problems
}

fn not_kept(error: KeepError) -> PutVersionError {
    match error {
        KeepError::Admit(AdmitError::TooLarge { bytes, max }) => {
            PutVersionError::TooLarge { bytes: bytes as u64, max: max as u64 }
        }
        KeepError::Admit(error @ AdmitError::CompileLimit { .. }) => {
            PutVersionError::Compile { reason: error.to_string() }
        }
        KeepError::Admit(AdmitError::Host(trouble)) => {
            PutVersionError::Busy { reason: trouble.to_string() }
        }
        KeepError::Admit(error) => PutVersionError::Unfit { reason: error.to_string(), hint: None },
        KeepError::Blob(BlobError::Unavailable(why)) => PutVersionError::Unavailable(why),
        KeepError::Blob(error @ BlobError::Damaged(_)) => {
            PutVersionError::Busy { reason: error.to_string() }
        }
    }
}

fn not_written(error: StoreError) -> PutVersionError {
    match error {
        StoreError::Unavailable(why) => PutVersionError::Unavailable(why),
        StoreError::GuardFailed(_) => PutVersionError::Unavailable(LogUnavailable::Away {
            why: "another process changed the function at the same time".into(),
            retry_after: Duration::from_secs(1),
        }),
    }
}
