//! The indexes that were used last, in memory that is bounded; others are read, or made again. Never
//! the index of the segment that is being written.
use std::{path::Path, sync::Arc};

use quick_cache::{Weighter, sync::Cache};

use super::{SegmentIndex, rebuild::rebuild};
use crate::{
    cold::by_bytes,
    disk::Disk,
    options::OpenError,
    recovery::{SegmentFiles, at},
    segment,
};

/// What it holds beyond an index.
const INDEX_BYTES: u64 = 160;
/// An index is about so large when it matters how many there are.
const INDEX_BYTES_EXPECTED: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Indexes {
    kept: Cache<u64, Arc<SegmentIndex>, Memory>,
}

#[derive(Clone, Debug)]
struct Memory;

impl Weighter<u64, Arc<SegmentIndex>> for Memory {
    fn weight(&self, _: &u64, index: &Arc<SegmentIndex>) -> u64 {
        index.bytes() as u64 + INDEX_BYTES
    }
}

impl Indexes {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { kept: by_bytes(bytes_max, INDEX_BYTES_EXPECTED, Memory) }
    }

    /// The index of a segment, if it is in memory.
    pub(crate) fn get(&self, segment: u64) -> Option<Arc<SegmentIndex>> {
        self.kept.get(&segment)
    }

    /// Of a segment that was just written to its end.
    pub(crate) fn keep(&self, index: Arc<SegmentIndex>) {
        self.kept.insert(index.segment, index);
    }

    /// A segment is gone.
    pub(crate) fn forget(&self, segment: u64) {
        self.kept.remove(&segment);
    }

    /// The index of a segment that is written no more; whoever comes while another reads it waits for
    /// that.
    pub(crate) fn load(
        &self,
        files: &SegmentFiles,
        segment: u64,
    ) -> Result<Arc<SegmentIndex>, OpenError> {
        self.kept.get_or_insert_with(&segment, || {
            let of = files.get(segment)?;
            let index = read(files.disk(), files.dir(), segment, of.salt);
            index.map_or_else(|| rebuild(&of, files.path(segment)), Ok).map(Arc::new)
        })
    }
}

/// What the file says, if there is one and it is whole.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, segment: u64, salt: u64) -> Option<SegmentIndex> {
    let path = dir.join(segment::index_name(segment));
    let read = || {
        let file = disk.open(&path)?;
        let len = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    match read() {
        Ok(bytes) => match SegmentIndex::parse(&bytes, segment, salt) {
            Ok(index) => Some(index),
            Err(why) => {
                tracing::warn!(path = %path.display(), %why, "an index is made again");
                None
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(error = %at("read", &path)(error), "an index is made again");
            None
        }
    }
}
