//! The house rules that a compiler does not keep. Each failure names the file and what to do.
use std::path::{Path, PathBuf};

const WALL: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root is there")
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') && name != "bindings" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("source is UTF-8");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

#[test]
fn each_file_opens_with_what_lives_there() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(p, _)| p)
        .collect();
    assert!(silent.is_empty(), "begin with `//!` and what lives there: {silent:#?}");
}

#[test]
fn no_file_is_longer_than_the_wall() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > WALL)
        .collect();
    assert!(long.is_empty(), "split these, the wall is {WALL} lines: {long:#?}");
}

#[test]
fn no_test_is_switched_off() {
    let mark = concat!("#[", "ignore");
    let off: Vec<_> =
        sources().into_iter().filter(|(_, text)| text.contains(mark)).map(|(p, _)| p).collect();
    assert!(off.is_empty(), "a test runs or goes: {off:#?}");
}

/// Only a crate boundary is never crossed backwards, so the boundaries themselves are checked.
#[test]
fn crates_know_only_whom_they_may() {
    let allowed: &[(&str, &[&str])] = &[
        ("log-store/contract", &[]),
        ("log-store/memory", &["log-contract"]),
        ("log-store/embedded", &["log-contract"]),
        ("runtime/trigger", &["log-contract"]),
        ("runtime/sandbox", &["log-contract", "trigger"]),
    ];
    let ours =
        ["log-contract", "log-memory", "log-embedded", "trigger", "sandbox", "server", "tokio"];
    for (folder, may) in allowed {
        let manifest = root().join(folder).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("a crate has a manifest");
        let start = manifest.find("[dependencies]").expect("a table of dependencies");
        let table = &manifest[start + 1..];
        let table = &table[..table.find("\n[").unwrap_or(table.len())];
        for name in ours {
            let knows = table.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} "))
            });
            let is_pure = matches!(*folder, "log-store/contract" | "runtime/trigger");
            let is_optional = *folder == "log-store/contract" && name == "tokio";
            let is_fine = may.contains(&name) || is_optional || (name == "tokio" && !is_pure);
            assert!(!knows || is_fine, "`{folder}` must not know `{name}`");
        }
    }
}

#[test]
fn only_the_composition_root_names_a_log() {
    let app = root().join("runtime/server/src/app");
    for (path, text) in sources() {
        let is_server = path.starts_with(root().join("runtime/server/src"));
        let is_root = path.starts_with(&app) || path == app.with_extension("rs");
        let is_bench = path.starts_with(root().join("runtime/server/src/cli/bench"));
        if is_server && !is_root && !is_bench {
            for log in ["log_embedded", "log_memory"] {
                let in_code = text.split("#[cfg(test)]").next().unwrap_or_default();
                assert!(!in_code.contains(log), "{}: only `app` names `{log}`", path.display());
            }
        }
    }
}
