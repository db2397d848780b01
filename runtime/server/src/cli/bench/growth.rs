//! Whether throughput stays where a stream grows: more partitions, more triggers, larger batches, beside the
//! usual shape in the same run.
use anyhow::Result;

use super::{
    load::Load,
    pipeline::{Shape, run},
    report::{Section, Unit},
    rig::{IDENTITY, Rig},
};

const LOAD: Load = Load { bytes: 100, records: 1_000, keyed: false };

pub(super) async fn measure(rig: &Rig, records: u64) -> Result<Section> {
    let about = "a backlog of 100 B through identity, larger in one way at a time";
    let mut section = Section::new("growth", about);
    rig.function("identity", IDENTITY).await?;
    let usual = Shape::USUAL;
    let shapes = [
        ("usual", "4 partitions, 1 trigger, batch 1,000", usual),
        ("partitions_64", "64 partitions", Shape { partitions: 64, ..usual }),
        (
            "triggers_64",
            "64 triggers, a partition each",
            Shape { triggers: 64, partitions: 1, ..usual },
        ),
        ("batch_10k", "batch 10,000", Shape { batch: 10_000, ..usual }),
    ];
    let mut first = None;
    for (name, label, shape) in shapes {
        let run = run(rig, name, shape, LOAD, records).await?;
        let per_second = run.per_second;
        section.add(name, label, per_second, Unit::PerSecond);
        let usual = *first.get_or_insert(per_second);
        if name != "usual" {
            let ratio = per_second / usual;
            section.beside(format!("{ratio:.2} x the usual"));
            section.add(&format!("{name}_of_usual"), "  of the usual", ratio, Unit::Times);
        }
        section.add(&format!("{name}_cores"), "  cores used", run.cores, Unit::Times);
    }
    Ok(section)
}
