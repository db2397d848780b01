//! What an upload must be, and that each refusal names the thing and what to do.
use crate::support::{Kept, call, component, handled, own_sandbox, shared};
use bytes::Bytes;
use log_contract::{Blobs as _, Digest};
use sandbox::{AdmitError, CompileResource, LoadError};
use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

async fn refused(component: Bytes) -> AdmitError {
    shared().admit(component).await.expect_err("refused")
}

#[tokio::test]
async fn a_function_is_admitted_with_what_it_imports() {
    let (sandbox, dir) = own_sandbox(|_| {});
    let bytes = component("counter");
    let admitted = sandbox.admit(bytes.clone()).await.expect("admitted");
    assert_eq!(admitted.digest, Digest::of(&bytes));
    assert_eq!(admitted.bytes, bytes.len());
    assert!(admitted.imports.iter().any(|name| name == "millstream:function/state@0.1.0"));
    assert_eq!(admitted.world, "millstream:function/function@0.1.0");
    assert!(admitted.compile_ms > 0);
    let again = sandbox.admit(bytes).await.expect("admitted");
    assert_eq!(again.compile_ms, 0, "it was compiled already");
    let compiled = dir.path().join("compiled");
    let mode = fs::metadata(&compiled).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let files: Vec<_> =
        fs::read_dir(&compiled).expect("there").map(|file| file.expect("there")).collect();
    assert_eq!(files.len(), 1, "nothing unfinished stays: {files:?}");
}

#[tokio::test]
async fn what_is_no_component_is_told_what_it_is() {
    let core = refused(component("core-module")).await;
    assert!(matches!(core, AdmitError::NotAComponent { .. }), "{core:?}");
    assert!(core.to_string().contains("core module") && core.to_string().contains("wasm32-wasip2"));
    let text = refused(Bytes::from_static(b"(component)")).await;
    assert!(text.to_string().contains("it is text"), "{text}");
    for bytes in [&b""[..], b"\0asm", b"PK\x03\x04 a zip file"] {
        let other = refused(Bytes::from_static(bytes)).await;
        assert!(other.to_string().contains("does not begin as WebAssembly does"), "{other}");
    }
    let mut damaged = component("identity").to_vec();
    damaged.truncate(5_000);
    let damaged = refused(damaged.into()).await;
    assert!(matches!(damaged, AdmitError::NotAComponent { .. }), "{damaged:?}");
}

#[tokio::test]
async fn a_missing_import_or_export_is_named() {
    let unknown = refused(component("imports-unknown")).await;
    assert!(
        matches!(&unknown, AdmitError::UnknownImport { name, .. } if name == "acme:secret/store@1.0.0"),
        "{unknown:?}"
    );
    assert!(unknown.to_string().contains("wasi 0.2"), "{unknown}");
    let missing = refused(component("no-handle")).await;
    assert!(
        matches!(&missing, AdmitError::MissingHandle { name } if name == "millstream:function/handler@0.1.0"),
        "{missing:?}"
    );
    assert!(missing.to_string().contains("wit/function.wit"), "{missing}");
}

#[tokio::test]
async fn size_and_compilation_are_bounded() {
    let (sandbox, _dir) = own_sandbox(|config| {
        config.component_bytes_max = 100_000;
        config.compile.cpu = Duration::from_secs(1);
    });
    let large = sandbox.admit(component("counter")).await.expect_err("refused");
    assert!(matches!(large, AdmitError::TooLarge { max: 100_000, .. }), "{large:?}");
    let bomb = sandbox.admit(component("compiles-forever")).await.expect_err("refused");
    assert!(
        matches!(bomb, AdmitError::CompileLimit { what: CompileResource::Cpu, .. }),
        "{bomb:?}"
    );
    assert!(bomb.to_string().contains("1 s of CPU time"), "{bomb}");
    let (narrow, _dir) = own_sandbox(|config| config.compile.memory_bytes = 28 << 20);
    let error = narrow.admit(component("counter")).await.expect_err("refused");
    assert!(
        matches!(error, AdmitError::CompileLimit { what: CompileResource::Memory, .. }),
        "{error:?}"
    );
    let (broken, _dir) =
        own_sandbox(|config| config.compile_command = "/nowhere/millstream".into());
    let error = broken.admit(component("identity")).await.expect_err("refused");
    assert!(matches!(error, AdmitError::Host(_)), "{error:?}");
    assert!(error.to_string().contains("/nowhere/millstream"), "{error}");
}

#[tokio::test]
async fn a_function_is_found_again_after_a_restart_and_made_again_if_need_be() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = Kept::default();
    let digest = blobs.keep(component("identity")).await.expect("kept");
    let open = || sandbox::Sandbox::new(crate::support::config(dir.path())).expect("a sandbox");
    let first = open();
    first.admit(component("identity")).await.expect("admitted");
    drop(first);
    let compiled = dir.path().join("compiled");
    fs::write(compiled.join("0badc0de-0000000000000000.cwasm"), "of another engine")
        .expect("written");
    let second = open();
    let function = second.load(digest, &blobs).await.expect("loaded");
    assert_eq!(second.stats().compiles_total, 0, "mapped, not compiled");
    let same = second.load(digest, &blobs).await.expect("loaded");
    assert!(std::sync::Arc::ptr_eq(&function, &same));
    handled(second.invoke(&function, call(&["x"])).await);
    let files: Vec<_> =
        fs::read_dir(&compiled).expect("there").map(|file| file.expect("there").path()).collect();
    assert_eq!(files.len(), 1, "what another engine left is gone");
    drop((function, same));
    fs::write(&files[0], "damaged").expect("written");
    let function = second.load(digest, &blobs).await.expect("compiled again");
    handled(second.invoke(&function, call(&["x"])).await);
    assert_eq!(second.stats().compiles_total, 1);
    drop(function);
    second.forget(digest);
    blobs.remove(digest).await.expect("removed");
    let gone = second.load(digest, &blobs).await.expect_err("gone");
    assert!(matches!(gone, LoadError::Missing(missing) if missing == digest), "{gone:?}");
}
