//! Opening a directory, step by step: take it, read it, say in it that it is open, start the threads.
use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    aligned::BLOCK,
    blobs,
    cold::Cold,
    disk::{Disk, LockedFile},
    entry::Put,
    frame,
    frame_buf::FrameBuf,
    housekeeper::Housekeeper,
    index::{Indexes, Keeper},
    journal::{Journal, WriteError, make_segment},
    log::EmbeddedLog,
    options::{OpenError, Options},
    plan::Changes,
    prepare::{Preparer, bytes_of},
    recovery::{Recovered, SegmentFiles, at, begun, full_or, recover, secure},
    segment,
    shared::Shared,
    snapshot::{Due, Kept},
    spare::Spare,
    state::State,
    tail::Tail,
    writer::Writer,
};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const ARTIFACTS: &str = "artifacts";
/// What an earlier process was about to write.
const WASTE: [&str; 4] = [
    segment::UNFINISHED,
    segment::RESERVE_UNFINISHED,
    segment::INDEX_UNFINISHED,
    segment::SNAPSHOT_UNFINISHED,
];
/// No segment is smaller: its header, and room for some frames.
const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// Positions in a segment are u32.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// So small a part of what is meant for the newest frames may wait for the next ones.
const SPARE_SHARE: usize = 4;

pub(crate) fn open(dir: &Path, mut options: Options) -> Result<Arc<EmbeddedLog>, OpenError> {
    let whole = |bytes: u64| {
        bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX).next_multiple_of(BLOCK as u64)
    };
    options.segment_bytes = whole(options.segment_bytes);
    options.reserve_bytes = match options.reserve_bytes {
        0 => 0,
        bytes => whole(bytes),
    };
    let disk = options.disk.clone();
    let lock = take_directory(&*disk, dir)?;
    let (journal_dir, artifacts) = (dir.join(JOURNAL), dir.join(ARTIFACTS));
    for made in [&journal_dir, &artifacts] {
        disk.create_dir(made).map_err(at("create", made))?;
    }
    disk.sync_dir(dir).map_err(at("sync", dir))?;
    // Any of these may have been made just now; a relative path ends at the current directory.
    for parent in dir.ancestors().skip(1) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match disk.sync_dir(parent) {
            // Not ours to read, so not made by us.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            synced => synced.map_err(at("sync", parent))?,
        }
    }
    clean(&*disk, &journal_dir, |name| WASTE.contains(&name))?;
    clean(&*disk, &artifacts, |name| name.ends_with(blobs::UNFINISHED))?;

    let recovered = match recover(&*disk, &journal_dir)? {
        Some(recovered) => {
            secure(&*disk, &journal_dir, &recovered)?;
            recovered
        }
        None => fresh(&*disk, &journal_dir, options.segment_bytes)?,
    };
    start(options, &journal_dir, artifacts, recovered, lock)
}

fn take_directory(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn LockedFile>, OpenError> {
    disk.create_dir(dir).map_err(at("create", dir))?;
    let path = dir.join(LOCK);
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            OpenError::InUse { dir: dir.into(), owner: error.to_string().parse().ok() }
        }
        _ => at("lock", &path)(error),
    })
}

/// Removes what an earlier process left half done.
fn clean(disk: &dyn Disk, dir: &Path, is_waste: impl Fn(&str) -> bool) -> Result<(), OpenError> {
    let names = disk.list(dir).map_err(at("list", dir))?;
    for name in names.iter().filter(|name| is_waste(name)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(at("remove", &path))?;
    }
    Ok(())
}

fn fresh(disk: &dyn Disk, dir: &Path, segment_bytes: u64) -> Result<Recovered, OpenError> {
    let bytes = bytes_of(1, segment_bytes);
    let segment = make_segment(disk, dir, 1, bytes)
        .map_err(|error| full_or("write ahead in", error, dir, dir))?;
    let journal_bytes = segment.capacity;
    let (state, at) = (State::default(), segment::HEADER_LEN as u64);
    let unsure = Vec::new();
    Ok(Recovered {
        state,
        segment,
        at,
        number: 1,
        unsure,
        ready: None,
        journal_bytes,
        segments: BTreeSet::from([1]),
        snapshots: Kept::default(),
        indexes: Vec::new(),
        replayed: 0,
    })
}

fn start(
    options: Options,
    dir: &Path,
    artifacts: std::path::PathBuf,
    recovered: Recovered,
    lock: Box<dyn LockedFile>,
) -> Result<Arc<EmbeddedLog>, OpenError> {
    let begun = begun(dir, &recovered)?;
    let Recovered {
        state,
        segment,
        at: position,
        number,
        ready,
        mut journal_bytes,
        indexes,
        replayed,
        mut segments,
        snapshots,
        ..
    } = recovered;
    let (disk, last) = (options.disk.clone(), segment.id);
    let epoch = next_epoch(&state).map_err(at("open", dir))?;
    let reserve = reserve_there(&*disk, dir);
    let preparer = Preparer::start(
        disk.clone(),
        dir.into(),
        (options.segment_bytes, options.reserve_bytes),
        last + 1,
        ready,
        reserve,
    );
    let preparer = preparer.map_err(at("start a thread for", dir))?;
    let mut journal = Journal::at(segment, position, number, epoch, begun);
    preparer.has_room(journal.room());

    // Durable before anything else: no epoch, and so no generation of a lease, comes twice.
    let mut frame = FrameBuf::default();
    journal.begin(&mut frame);
    Put(frame.body_mut()).opened(epoch);
    let body_len = frame.body_len();
    make_room(&mut journal, &preparer, body_len, dir)?;
    if journal.segment.id != last {
        journal_bytes += journal.segment.capacity;
        segments.insert(journal.segment.id);
    }
    let place = journal.write(&mut frame).and_then(|place| journal.sync(place).map(|()| place));
    let place = place.map_err(|WriteError { what, error }| full_or(what, error, dir, dir))?;

    let files = Arc::new(SegmentFiles::new(disk, dir.into()));
    let shared = remember(state, files.clone(), &options);
    shared.covered.store(snapshots.covered(), Ordering::Release);
    let no_thread = at("start a thread for", dir);
    let keeper = Keeper::start(files, snapshots, shared.covered.clone()).map_err(&no_thread)?;
    shared.segments.store(segments.len() as u64, Ordering::Relaxed);
    shared.journal_bytes.store(journal_bytes, Ordering::Relaxed);
    let body = shared.tail.push(place.frame, body_len, &mut frame);
    let touched = shared.apply(place, &body);
    for index in indexes.into_iter().chain(touched.sealed) {
        shared.indexes.keep(index.clone());
        keeper.keep(index);
    }
    let housekeeper = Housekeeper::start(shared.clone(), &options, segments).map_err(&no_thread)?;
    let writer = Writer {
        shared: shared.clone(),
        options: options.clone(),
        journal,
        preparer,
        keeper,
        housekeeper,
        due: Due::new(options.snapshot_bytes, replayed),
        dir: dir.into(),
        frame,
        changes: Changes::default(),
        unsaid: Vec::new(),
        lock,
    };
    let builder = std::thread::Builder::new().name("log-writer".into());
    let thread = builder.spawn(move || writer.run()).map_err(no_thread)?;
    Ok(EmbeddedLog::of(shared, options, artifacts, thread))
}

/// All that is kept in memory.
fn remember(state: State, files: Arc<SegmentFiles>, options: &Options) -> Arc<Shared> {
    let spare = Arc::new(Spare::new(options.tail_bytes / SPARE_SHARE));
    let tail = Tail::new(options.tail_bytes, spare.clone());
    let cold = Cold::new(options.cold_bytes, spare);
    Shared::new(state, tail, cold, files, Indexes::new(options.index_bytes))
}

/// Bytes of the reserve, whatever the option says now. One that cannot become a segment is none.
fn reserve_there(disk: &dyn Disk, dir: &Path) -> Option<u64> {
    let bytes = disk.open(&dir.join(segment::RESERVE)).and_then(|file| file.len()).ok()?;
    (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes).then_some(bytes)
}

/// No store is opened so often; one that says so must not begin with generations that were there before.
fn next_epoch(state: &State) -> io::Result<u64> {
    let next = u32::try_from(state.epoch).ok().and_then(|epoch| epoch.checked_add(1));
    next.map(u64::from).ok_or_else(|| io::Error::other("it was opened as often as can be counted"))
}

/// The opening frame may use the reserve: recovery needs no free space.
fn make_room(
    journal: &mut Journal,
    preparer: &Preparer,
    body_len: usize,
    dir: &Path,
) -> Result<(), OpenError> {
    if journal.fits(body_len) {
        return Ok(());
    }
    let capacity = (segment::HEADER_LEN + frame::total(body_len)) as u64;
    let segment = preparer.take(capacity).ok().or_else(|| preparer.take_reserve(capacity));
    journal.advance(segment.ok_or_else(|| OpenError::Full { dir: dir.into() })?);
    Ok(())
}
