//! The components in `functions/built` belong to the sources beside them. The rule of the digests is in
//! functions/README.md; `functions/build --check` says the same.
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root is there")
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The sources below a folder that count: Rust and manifests, as paths from the root.
fn below(folder: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).expect("the folder is there") {
        let entry = entry.expect("an entry");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            below(&path, found);
        } else if path.ends_with(".rs") || path.ends_with(".toml") {
            found.push(path);
        }
    }
}

fn source_digest(name: &str) -> String {
    let mut paths: Vec<String> =
        ["functions/Cargo.toml", "functions/Cargo.lock", "wit/function.wit"].map(Into::into).into();
    below("functions/sdk", &mut paths);
    let (example, guest) =
        (format!("functions/examples/{name}"), format!("functions/guests/{name}.rs"));
    if root().join(&example).is_dir() {
        below(&example, &mut paths);
    } else if root().join(&guest).is_file() {
        paths.extend(["functions/guests/Cargo.toml", "functions/guests/lib.rs"].map(Into::into));
        paths.push(guest);
    } else {
        paths.retain(|path| !path.starts_with("functions/guests"));
        below("functions/guests/forge", &mut paths);
    }
    paths.sort();
    let mut text = Vec::new();
    for path in paths {
        let bytes = std::fs::read(root().join(&path)).expect("a source can be read");
        text.extend_from_slice(path.as_bytes());
        text.push(0);
        text.extend_from_slice(hex(&bytes).as_bytes());
        text.push(b'\n');
    }
    hex(&text)
}

#[test]
fn each_component_was_built_from_the_sources_beside_it() {
    let manifest = std::fs::read(root().join("functions/built/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("it is JSON");
    let manifest = manifest.as_object().expect("an object");
    assert!(manifest.len() > 15, "all are there");
    for (name, recorded) in manifest {
        let component = millstream_tests::component(name);
        assert_eq!(recorded["component"], hex(&component), "built/{name}.wasm is another");
        let source = source_digest(name);
        assert_eq!(recorded["source"], source, "sources of `{name}` changed: run functions/build");
    }
}
