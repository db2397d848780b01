//! Opening: reads what a directory holds, frame by frame, and folds it into a state. Damage at or after
//! the newest frame known to be durable is a torn tail and is cut; damage before it is refused. Never
//! a guess, never a frame that stale bytes left behind.
mod scan;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    aligned::in_block,
    disk::{Disk, is_full},
    frame::{self, Header},
    index::{self, SegmentIndex},
    journal::Segment,
    options::OpenError,
    segment,
    snapshot::{self, Snapshot},
    state::{Place, State},
};
pub(crate) use scan::{Found, Scan};

/// What a directory held.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) state: State,
    /// Where the journal goes on.
    pub(crate) segment: Segment,
    pub(crate) at: u64,
    /// Of the next frame.
    pub(crate) number: u64,
    /// Frames that are there and were perhaps never synced: no later one says so. At most the last.
    pub(crate) unsure: Vec<Place>,
    /// The segment after it, if it was prepared.
    pub(crate) ready: Option<Segment>,
    /// Of all segments up to that one that are there.
    pub(crate) journal_bytes: u64,
    /// Those up to that one.
    pub(crate) segments: BTreeSet<u64>,
    /// The snapshots that are there.
    pub(crate) snapshots: snapshot::Kept,
    /// Those of the last segments that have no file that is whole.
    pub(crate) indexes: Vec<Arc<SegmentIndex>>,
    /// Bytes of frames that had to be read.
    pub(crate) replayed: u64,
}

/// Reads the journal in `dir`. `None`: there is none yet.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path) -> Result<Option<Recovered>, OpenError> {
    let names = disk.list(dir).map_err(at("list", dir))?;
    let (snapshot, snapshots) = snapshot::load(disk, dir);
    let first = snapshot.as_ref().map_or(1, |snapshot| snapshot.state.end.segment);
    let mut ids = segment_ids(dir, &names, first)?;
    let segments = ids.range(first..).map(|id| open_segment(disk, dir, *id));
    let segments = segments.collect::<Result<Vec<_>, _>>()?;
    let Some(oldest) = segments.first() else { return Ok(None) };
    let mut fold = Fold::new();
    if let Some(snapshot) = snapshot {
        check_end(dir, oldest, &snapshot)?;
        fold.go_on(snapshot.state);
    }
    for (nth, segment) in segments.iter().enumerate() {
        // Also behind one without frames: the number says which is the next, wherever it lies.
        fold.take_segment(dir, nth, segment)?;
        fold.indexes.drain(..fold.indexes.len().saturating_sub(INDEXES_MAX));
    }
    fold.indexes.retain(|index| {
        let of = segments.iter().find(|segment| segment.id == index.segment);
        of.is_some_and(|of| index::read(disk, dir, of.id, of.salt).is_none())
    });
    let (nth, at) = fold.tail;
    refuse_lost_frames(dir, &segments, &fold)?;
    let read: u64 = segments.iter().take(nth + 1).map(|segment| segment.capacity).sum();
    let journal_bytes = read + check_earlier(disk, dir, &ids, first, &fold.state)?;
    let mut rest = segments.into_iter().skip(nth);
    let missing = || OpenError::Missing { file: dir.join(segment::file_name(1)) };
    let segment = rest.next().ok_or_else(missing)?;
    let Fold { state, number, unsure, indexes, replayed, .. } = fold;
    let ready = rest.next();
    ids.retain(|id| *id <= segment.id);
    Ok(Some(Recovered {
        state,
        segment,
        at,
        number,
        unsure,
        ready,
        journal_bytes,
        segments: ids,
        snapshots,
        indexes,
        replayed,
    }))
}

/// Sees to it that the journal holds what a snapshot was made of: it was durable.
fn check_end(dir: &Path, segment: &Segment, snapshot: &Snapshot) -> Result<(), OpenError> {
    let path = dir.join(segment::file_name(segment.id));
    let Snapshot { state, salt, .. } = snapshot;
    let Some(last) = state.end.in_block.last() else { return Ok(()) };
    let damaged = |why: String| OpenError::Damaged {
        file: path.clone(),
        at: u64::from(last.at),
        why: format!(
            "frame {} is not there, which a snapshot knows: {why}; if the journal is an older copy than \
             `{}`, move that file aside, and `{}` too if this is said again: where retention took nothing \
             yet, the journal is opened as it was then",
            last.frame,
            segment::SNAPSHOT,
            segment::SNAPSHOT_BEFORE
        ),
    };
    if segment.salt != *salt {
        return Err(damaged("it is another segment".into()));
    }
    let mut frame = vec![0; last.len as usize];
    match segment.file.read_at(u64::from(last.at), &mut frame) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged("the file ends before it".into()));
        }
        Err(error) => return Err(at("read", &path)(error)),
    }
    let header = frame::check(&frame, segment.salt).map_err(|why| damaged(why.to_string()))?;
    if header.number != last.frame || header.segment != segment.id {
        return Err(damaged("another frame lies there".into()));
    }
    Ok(())
}

/// What the block holds already in which the journal goes on: it is written again with the next frame, so
/// it is taken from frames that are whole.
pub(crate) fn begun(dir: &Path, kept: &Recovered) -> Result<Vec<u8>, OpenError> {
    let path = dir.join(segment::file_name(kept.segment.id));
    let mut bytes = Vec::new();
    for place in &kept.state.end.in_block {
        if place.segment != kept.segment.id {
            // The journal goes on at the beginning of another.
            continue;
        }
        let (at_frame, mut frame) = (u64::from(place.at), vec![0; place.len as usize]);
        kept.segment.file.read_at(at_frame, &mut frame).map_err(at("read", &path))?;
        let damaged = |why: String| OpenError::Damaged { file: path.clone(), at: at_frame, why };
        frame::check(&frame, kept.segment.salt).map_err(|why| damaged(why.to_string()))?;
        bytes.append(&mut frame);
    }
    let begun = in_block(kept.at);
    Ok(bytes.split_off(bytes.len().saturating_sub(begun)))
}

/// Makes durable what recovery keeps: the opening will say that it is, and it will be served. Written
/// again, as it may be in memory only and count as clean there: a sync that failed in an earlier
/// process leaves it so. The names are synced, too: that process may have ended before it did.
pub(crate) fn secure(disk: &dyn Disk, dir: &Path, kept: &Recovered) -> Result<(), OpenError> {
    for place in &kept.unsure {
        let path = dir.join(segment::file_name(place.segment));
        let segment = if place.segment == kept.segment.id {
            kept.segment.clone()
        } else {
            open_segment(disk, dir, place.segment)?
        };
        let (at_frame, mut frame) = (u64::from(place.at), vec![0; place.len as usize]);
        segment.file.read_at(at_frame, &mut frame).map_err(at("read", &path))?;
        // What is not what was read a moment ago must not replace it.
        frame::check(&frame, segment.salt).map_err(|why| OpenError::Damaged {
            file: path.clone(),
            at: at_frame,
            why: why.to_string(),
        })?;
        let written = segment.file.write_at(at_frame, &frame).and_then(|()| segment.file.sync());
        written.map_err(|error| full_or("write again", error, dir, &path))?;
    }
    let path = dir.join(segment::file_name(kept.segment.id));
    kept.segment.file.sync().map_err(at("sync", &path))?;
    disk.sync_dir(dir).map_err(at("sync", dir))
}

/// Whether it is for want of room is for a person to know.
pub(crate) fn full_or(act: &'static str, error: io::Error, dir: &Path, path: &Path) -> OpenError {
    if is_full(&error) { OpenError::Full { dir: dir.into() } } else { at(act, path)(error) }
}

/// The ids of all segments. From `first` on none is missing; of those before, the state says which must be
/// there.
fn segment_ids(dir: &Path, names: &[String], first: u64) -> Result<BTreeSet<u64>, OpenError> {
    let ids: BTreeSet<u64> =
        names.iter().filter_map(|name| segment::parse_file_name(name)).collect();
    let is_later = |name: &String| {
        [segment::RESERVE, segment::SNAPSHOT, segment::SNAPSHOT_BEFORE].contains(&&**name)
    };
    if ids.is_empty() && !names.iter().any(is_later) {
        // Those are made after the first segment: without them there never was one.
        return Ok(ids);
    }
    if first == 1 && ids.first().is_some_and(|oldest| *oldest > 1) {
        return Err(OpenError::NoSnapshot { dir: dir.into(), oldest: *ids.first().unwrap_or(&1) });
    }
    let mut expected = first;
    for id in ids.range(first..) {
        if *id != expected {
            break;
        }
        expected += 1;
    }
    let is_gap = ids.range(expected..).next().is_some();
    if expected == first || is_gap {
        return Err(OpenError::Missing { file: dir.join(segment::file_name(expected)) });
    }
    Ok(ids)
}

/// Sees to it that every segment before `first` is there that has records, and is what its name says,
/// though it is not read. Gives the bytes of all that are there.
fn check_earlier(
    disk: &dyn Disk,
    dir: &Path,
    ids: &BTreeSet<u64>,
    first: u64,
    state: &State,
) -> Result<u64, OpenError> {
    for id in state.in_sealed.range(..first).map(|(id, _)| id) {
        if !ids.contains(id) {
            return Err(OpenError::Missing { file: dir.join(segment::file_name(*id)) });
        }
        open_segment(disk, dir, *id)?;
    }
    let mut bytes = 0;
    for id in ids.range(..first) {
        let path = dir.join(segment::file_name(*id));
        bytes += disk.open(&path).and_then(|file| file.len()).map_err(at("look at", &path))?;
    }
    Ok(bytes)
}

/// One segment, its header checked.
pub(crate) fn open_segment(disk: &dyn Disk, dir: &Path, id: u64) -> Result<Segment, OpenError> {
    let path = dir.join(segment::file_name(id));
    let file = disk.open(&path).map_err(at("open", &path))?;
    let damaged = |why: String| OpenError::Damaged { file: path.clone(), at: 0, why };
    let capacity = file.len().map_err(at("look at", &path))?;
    let mut block = vec![0; segment::HEADER_LEN];
    match file.read_at(0, &mut block) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged("a segment header is cut off".into()));
        }
        Err(error) => return Err(at("read", &path)(error)),
    }
    let header = segment::Header::parse(&block).map_err(|why| damaged(why.to_string()))?;
    if header.id != id {
        return Err(damaged(format!("its header says that it is segment {}", header.id)));
    }
    let segment::Header { salt, is_reserve, .. } = header;
    Ok(Segment { file, id, salt, capacity, is_reserve })
}

/// Of so many segments, the last ones, it is looked whether the index has a file: a crash leaves one or two
/// without. What no file has is made again when it is wanted, too.
const INDEXES_MAX: usize = 16;

struct Fold {
    state: State,
    /// Of the next frame.
    number: u64,
    /// The largest that any frame says.
    durable_to: u64,
    /// Beyond that.
    unsure: Vec<Place>,
    /// Where the next frame goes: the segment's place in the list, and the position.
    tail: (usize, u64),
    replayed: u64,
    /// Of segments that are written no more.
    indexes: Vec<Arc<SegmentIndex>>,
}

impl Fold {
    fn new() -> Self {
        Self {
            state: State::default(),
            number: 1,
            durable_to: 0,
            unsure: Vec::new(),
            tail: (0, 0),
            replayed: 0,
            indexes: Vec::new(),
        }
    }

    /// Begins behind what a snapshot knows.
    fn go_on(&mut self, state: State) {
        self.number = state.end.number + 1;
        // Nothing is in a snapshot that was not.
        self.durable_to = state.end.number;
        self.tail = (0, state.end.at);
        self.state = state;
    }

    /// Takes the frames that follow in a segment.
    fn take_segment(&mut self, dir: &Path, nth: usize, segment: &Segment) -> Result<(), OpenError> {
        let path = dir.join(segment::file_name(segment.id));
        let mut scan = Scan::new(segment, path.clone());
        let mut position = segment::HEADER_LEN as u64;
        if self.state.end.segment == segment.id {
            position = self.state.end.at;
        }
        let mut has_frames = false;
        loop {
            let (number, epoch) = (self.number, self.state.epoch);
            // What a cut left behind has an older epoch than what was written over it.
            let is_next = |header: &Header| header.number == number && header.epoch >= epoch;
            let Found::Frame(header, body) = scan.frame_at(position, is_next)? else { break };
            let damaged =
                |why: String| OpenError::Damaged { file: path.clone(), at: position, why };
            let narrow = |number: u64| {
                u32::try_from(number).map_err(|_| damaged("a segment is too long".into()))
            };
            let place = Place {
                frame: header.number,
                segment: segment.id,
                at: narrow(position)?,
                len: narrow(header.total() as u64)?,
            };
            let applied = self.state.apply(place, body);
            let applied =
                applied.map_err(|why| damaged(format!("frame {}: {why}", header.number)))?;
            self.indexes.extend(applied.sealed);
            if header.epoch != self.state.epoch {
                return Err(damaged(format!("frame {} is of no opening", header.number)));
            }
            let durable_to = self.durable_to.max(header.durable_to);
            self.durable_to = durable_to;
            self.unsure.push(place);
            self.unsure.retain(|place| place.frame > durable_to);
            self.number += 1;
            position += header.total() as u64;
            has_frames = true;
            self.replayed += header.total() as u64;
        }
        if has_frames || nth == 0 {
            self.tail = (nth, position);
        }
        Ok(())
    }
}

/// Looks behind the tail for a frame that says that more was durable than was found.
fn refuse_lost_frames(dir: &Path, segments: &[Segment], fold: &Fold) -> Result<(), OpenError> {
    let (nth, at) = fold.tail;
    let path = |id: u64| dir.join(segment::file_name(id));
    let mut durable_to = fold.durable_to;
    // Where the missing frame should be: right here, or at the beginning of the next segment.
    let (mut file, mut place) = (path(1), at);
    for (later, segment) in segments.iter().skip(nth).enumerate() {
        let from = if later == 0 { at } else { segment::HEADER_LEN as u64 };
        let mut scan = Scan::new(segment, path(segment.id));
        let found = scan.durable_to_after(from, fold.number, fold.state.epoch)?;
        durable_to = durable_to.max(found);
        if later == 0 {
            file = path(segment.id);
            if found == 0 && scan.is_untouched(at)? && nth + 1 < segments.len() {
                (file, place) = (path(segment.id + 1), segment::HEADER_LEN as u64);
            }
        }
    }
    if durable_to < fold.number {
        return Ok(());
    }
    let why = format!(
        "frame {} is not there or not what was written, though frames up to {durable_to} were durable",
        fold.number
    );
    Err(OpenError::Damaged { file, at: place, why })
}

pub(crate) fn at(act: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path: PathBuf = path.into();
    move |error| OpenError::Io { act, path: path.clone(), error }
}

/// The segments' files for readers: a bounded number open at once.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    open: std::sync::Mutex<Vec<Segment>>,
}

impl SegmentFiles {
    const OPEN_MAX: usize = 64;

    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir, open: std::sync::Mutex::default() }
    }

    /// A segment that exists. Opened again if it was not used for long.
    pub(crate) fn get(&self, id: u64) -> Result<Segment, OpenError> {
        let lock = || self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        {
            let mut open = lock();
            if let Some(nth) = open.iter().position(|segment| segment.id == id) {
                let segment = open.remove(nth);
                open.push(segment.clone());
                return Ok(segment);
            }
        }
        let segment = open_segment(&*self.disk, &self.dir, id)?;
        let mut open = lock();
        if open.len() >= Self::OPEN_MAX {
            open.remove(0);
        }
        open.push(segment.clone());
        Ok(segment)
    }

    /// A segment is gone: whoever reads it now has it open.
    pub(crate) fn forget(&self, id: u64) {
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        open.retain(|segment| segment.id != id);
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, id: u64) -> PathBuf {
        self.dir.join(segment::file_name(id))
    }
}
