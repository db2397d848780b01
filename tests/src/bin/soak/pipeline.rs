//! The line under test: `orders` → `tally` → `counted` → `copy` → `final`, and `replay` beside it. The
//! first counts each key in its state and orders by key, the second copies and orders by partition.
use anyhow::Result;
use millstream_tests::component;
use serde_json::json;

use crate::scene::Scene;

pub(crate) const PARTITIONS: u32 = 4;
/// Triggers that are there for the whole run.
pub(crate) const TRIGGERS: [&str; 3] = ["tally", "copy", "replay"];
pub(crate) const DEAD_LETTERS: &str = "tally.dead-letters";

pub(crate) async fn set_up(scene: &Scene) -> Result<()> {
    for function in ["tally", "identity"] {
        upload(scene, function, component(function)).await?;
    }
    let environment = json!({"environment": {"FAILS": "items"}, "aliases": {"live": 1}});
    scene.call("PATCH", "/v1/functions/tally", Some(&environment), &[200]).await?;
    for (topic, partitions) in [
        ("orders", PARTITIONS),
        ("counted", PARTITIONS),
        ("final", PARTITIONS),
        ("replay.in", 1),
        ("replay.out", 1),
    ] {
        let spec = json!({"partitions": partitions});
        scene.call("PUT", &format!("/v1/topics/{topic}"), Some(&spec), &[201]).await?;
    }
    let retry = json!({"attempts_max": 3, "backoff_min": "1ms", "backoff_max": "10ms"});
    let batch = json!({"records_max": 1_000});
    for (trigger, spec) in [
        (
            "tally",
            json!({
                "source": "orders", "function": "tally@live", "output": "counted", "batch": batch,
                "ordering": "key", "retry": retry, "dead_letters": DEAD_LETTERS,
            }),
        ),
        (
            "copy",
            json!({"source": "counted", "function": "identity", "output": "final", "batch": batch}),
        ),
        ("replay", json!({"source": "replay.in", "function": "identity", "output": "replay.out"})),
    ] {
        scene.call("PUT", &format!("/v1/triggers/{trigger}"), Some(&spec), &[201]).await?;
    }
    Ok(())
}

/// Uploads, and answers the version.
pub(crate) async fn upload(scene: &Scene, function: &str, component: Vec<u8>) -> Result<u64> {
    let headers = [("content-type", "application/wasm")];
    let path = format!("/v1/functions/{function}");
    let answer = scene.send("PUT", &path, &headers, component, &[200, 201]).await?;
    Ok(answer.json()["version"].as_u64().unwrap_or_default())
}

/// The same component with other bytes: a section that nobody reads at its end.
pub(crate) fn variant(name: &str, nth: u64) -> Vec<u8> {
    const NAME: &[u8] = b"soak";
    let mut bytes = component(name);
    let payload = nth.to_le_bytes();
    bytes.extend([0, (1 + NAME.len() + payload.len()) as u8, NAME.len() as u8]);
    bytes.extend(NAME);
    bytes.extend(payload);
    bytes
}
