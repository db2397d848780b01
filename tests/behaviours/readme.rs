//! The README's tour: every command works as printed, in order, in one shell.
use millstream_tests::{Server, wait};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root is there")
}

/// The shell blocks between the tour's heading and the next one, each with what the README shows it to
/// answer (the `text` or `json` block that follows, if any).
fn tour(readme: &str) -> Vec<(String, Option<String>)> {
    let start = readme.find("## Five minutes").expect("the README has a tour");
    let section = &readme[start + 2..];
    let section = &section[..section.find("\n## ").unwrap_or(section.len())];
    let mut steps: Vec<(String, Option<String>)> = Vec::new();
    let mut block: Option<(String, String)> = None;
    for line in section.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(kind)) => block = Some((kind.trim().to_owned(), String::new())),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => (),
            (Some(_), Some(_)) => {
                let (kind, text) = block.take().expect("a block is open");
                match kind.as_str() {
                    "sh" => steps.push((text, None)),
                    _ => steps.last_mut().expect("an answer follows a command").1 = Some(text),
                }
            }
        }
    }
    steps
}

fn run(script: &str, base: &str) -> (bool, String) {
    let script = script.replace("http://127.0.0.1:8470", base);
    let output =
        Command::new("sh").args(["-euc", &script]).current_dir(root()).output().expect("a shell");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn every_command_of_the_tour_works_as_printed() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let steps = tour(&readme);
    assert!(steps.len() >= 7, "the tour has steps: {}", steps.len());
    let server = Server::start().await;
    for (script, shown) in steps {
        if script.contains("cargo run") {
            continue; // starts the server: the harness did
        }
        // Words that the README shows must be in the answer: it may take a moment to be there.
        let words: Vec<String> = shown.iter().flat_map(|text| essential(text)).collect();
        let what = format!("{script} answers {words:?}");
        wait::until(&what, async || {
            let (worked, text) = run(&script, server.client().base());
            assert!(worked, "{script}\n{text}");
            words.iter().all(|word| text.contains(word.as_str())).then_some(())
        })
        .await;
    }
}

/// What of a shown answer must be there whatever the time and the digest: quoted words and metric names.
fn essential(shown: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (nth, piece) in shown.split('"').enumerate() {
        let is_fixed = piece.len() > 1
            && !piece.contains(['\n', '…'])
            && !piece.contains("sha256")
            && !piece.starts_with("20");
        if nth % 2 == 1 && is_fixed {
            words.push(format!("\"{piece}\""));
        }
    }
    words
}
