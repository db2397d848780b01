//! Damaged and torn journals: cut where nothing was promised, refused where something was, and never
//! read as what they are not.
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    OsDisk,
    entry::Put,
    frame, journal, recovery,
    recovery::{Recovered, recover},
    segment,
    state::State,
};

/// A journal and what it holds after each of its frames.
struct Journal {
    dir: tempfile::TempDir,
    /// Where each frame begins, and where the last one ends.
    places: Vec<u64>,
    /// After so many frames.
    states: Vec<State>,
}

impl Journal {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        {
            let log = open(dir.path());
            let (source, sink) = (topic(&log, "source", 2).await, topic(&log, "sink", 1).await);
            append(&log, source, &["a", "b", "c"]).await;
            let lease = lease(&log, "c", source).await;
            log.settle(&lease, settlement(1, &[(sink, "out")])).await.expect("it settles");
            append(&log, source, &["d"]).await;
        }
        let mut journal = Self { dir, places: Vec::new(), states: vec![State::default()] };
        journal.read_frames();
        journal
    }

    fn read_frames(&mut self) {
        let bytes = fs::read(self.segment()).expect("the segment");
        let salt = segment::Header::parse(&bytes[..segment::HEADER_LEN]).expect("whole").salt;
        let mut at = segment::HEADER_LEN;
        self.places.push(at as u64);
        let mut state = State::default();
        while let Ok(header) = frame::parse_header(&bytes[at..]) {
            let whole = &bytes[at..at + header.total()];
            frame::check(whole, salt).expect("whole");
            let place = crate::state::Place {
                frame: header.number,
                segment: 1,
                at: at as u32,
                len: whole.len() as u32,
            };
            let body = &whole[frame::HEADER_LEN..frame::HEADER_LEN + header.len as usize];
            state.apply(place, body).expect("it fits");
            self.states.push(state.clone());
            at += header.total();
            self.places.push(at as u64);
        }
        assert!(self.states.len() > 5, "there are some frames");
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn segment(&self) -> PathBuf {
        self.journal().join(segment::file_name(1))
    }

    fn recover(&self) -> Result<Recovered, OpenError> {
        recover(&OsDisk, &self.journal()).map(|found| found.expect("there is a journal"))
    }

    fn last_frame(&self) -> std::ops::Range<u64> {
        let last = self.places.len() - 1;
        self.places[last - 1]..self.places[last]
    }
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("it is there");
    file.write_all_at(bytes, at).expect("it can be written");
}

#[tokio::test]
async fn a_frame_torn_at_any_length_is_cut_and_the_log_goes_on() {
    let journal = Journal::new().await;
    let whole = fs::read(journal.segment()).expect("the segment");
    let last = journal.last_frame();
    let before = &journal.states[journal.states.len() - 2];
    for filler in [0, 0xa5] {
        for cut in last.clone() {
            let left = vec![filler; (last.end - cut) as usize];
            if whole[cut as usize..last.end as usize] == left[..] {
                continue;
            }
            overwrite(&journal.segment(), cut, &left);
            let found = journal.recover().expect("a torn tail is cut");
            assert_eq!(found.state, *before, "torn at {cut}");
            assert_eq!(found.at, last.start);
        }
        overwrite(&journal.segment(), last.start, &whole[last.start as usize..]);
    }
    // A file that ends in the middle.
    let file = fs::OpenOptions::new().write(true).open(journal.segment()).expect("it is there");
    for cut in last.clone().rev() {
        file.set_len(cut).expect("it can be cut");
        assert_eq!(journal.recover().expect("a torn tail is cut").state, *before);
    }
    let log = open(journal.dir.path());
    let source = log.topics().await.expect("listed")[1].id;
    append(&log, source, &["e"]).await;
    assert!(log.cursors().await.expect("listed").len() == 1);
}

#[tokio::test]
async fn a_flipped_byte_is_cut_off_or_refused_and_never_believed() {
    let journal = Journal::new().await;
    let whole = fs::read(journal.segment()).expect("the segment");
    let (last, end) = (journal.last_frame(), whole.len() as u64);
    let full = journal.states.last().expect("some");
    let before = &journal.states[journal.states.len() - 2];
    // The zeros behind the last frame are all alike.
    for at in (0..last.end + 64).chain([end - 1]) {
        overwrite(&journal.segment(), at, &[whole[at as usize] ^ 0x41]);
        match journal.recover() {
            Ok(found) if at >= last.end => assert_eq!(found.state, *full, "byte {at}"),
            Ok(found) => {
                assert!(last.contains(&at), "byte {at} was durable");
                assert_eq!(found.state, *before, "byte {at}");
            }
            Err(OpenError::Damaged { file, at: place, .. }) => {
                assert!(at < last.start, "byte {at} was not known to be durable");
                assert_eq!(file, journal.segment());
                let frame = journal.places.partition_point(|begin| *begin <= at);
                let begin = if frame == 0 { 0 } else { journal.places[frame - 1] };
                assert_eq!(place, begin, "the place is named");
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
        overwrite(&journal.segment(), at, &[whole[at as usize]]);
    }
    let error = {
        overwrite(&journal.segment(), journal.places[2] + 50, &[0xff]);
        try_open(journal.dir.path()).expect_err("it is refused")
    };
    assert!(error.to_string().contains("0000000001.seg"), "{error}");
    assert!(error.to_string().contains("backup"), "it says what to do: {error}");
}

/// Frames of before a cut that lie exactly where new ones end.
#[tokio::test]
async fn stale_frames_behind_a_cut_are_never_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    let journal = dir.path().join("journal");
    let path = journal.join(segment::file_name(1));
    let found = recover(&OsDisk, &journal).expect("whole").expect("there");
    let (salt, number, epoch) = (found.segment.salt, found.number, found.state.epoch);
    let forge = |number: u64, durable_to: u64, topic: &str| {
        let mut frame = vec![0; frame::HEADER_LEN];
        let mut put = Put(&mut frame);
        if topic.is_empty() {
            put.topic_deleted(TopicId(1));
        } else {
            let spec = TopicSpec::new(TopicName::parse(topic).expect("a name"), 1);
            put.topic(
                crate::entry::Kind::TopicCreated,
                &log_contract::TopicInfo { id: TopicId(1), spec },
            );
        }
        let numbers = frame::Numbers { salt, segment: 1, number, epoch, durable_to };
        frame::finish(&mut frame, 0, &numbers);
        frame
    };
    // As long as the frame that says that the log is open; torn.
    let mut torn = forge(number, number - 1, "");
    torn[frame::HEADER_LEN + 5] ^= 1;
    let stale = forge(number + 1, number - 1, "ghost");
    overwrite(&path, found.at, &torn);
    overwrite(&path, found.at + torn.len() as u64, &stale);

    let log = open(dir.path());
    assert_eq!(log.topics().await.expect("listed"), []);
    drop(log);
    let found_again = recover(&OsDisk, &journal).expect("whole").expect("there");
    assert_eq!(found_again.at, found.at + torn.len() as u64, "the new frame is as long");
    assert_eq!(found_again.number, number + 1);
    let log = open(dir.path());
    assert_eq!(log.topics().await.expect("listed"), []);
    topic(&log, "real", 1).await;
    drop(log);
    assert_eq!(open(dir.path()).topics().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn frames_of_another_segment_or_another_log_are_no_frames() {
    let journal = Journal::new().await;
    let other = Journal::new().await;
    let end = journal.last_frame().end;
    let foreign = fs::read(other.segment()).expect("the segment");
    overwrite(&journal.segment(), end, &foreign[segment::HEADER_LEN..end as usize]);
    let found = journal.recover().expect("they say nothing");
    assert_eq!(found.state, *journal.states.last().expect("some"));
}

#[tokio::test]
async fn a_segment_that_is_missing_or_mixed_up_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let log = open(dir.path());
        let topic = topic(&log, "t", 1).await;
        for _ in 0..30 {
            append(&log, topic, &[&"x".repeat(3_000)]).await;
        }
        assert!(log.stats().segments >= 5);
    }
    let journal = dir.path().join("journal");
    let name = |id| journal.join(segment::file_name(id));
    let is_refused = |act: &dyn Fn(), undo: &dyn Fn()| {
        act();
        let error = recover(&OsDisk, &journal).expect_err("it is refused").to_string();
        undo();
        recover(&OsDisk, &journal).expect("whole again");
        error
    };
    let aside = dir.path().join("aside");
    for id in [1, 2, 3] {
        let take = || fs::rename(name(id), &aside).expect("moved");
        let bring = || fs::rename(&aside, name(id)).expect("moved");
        let error = is_refused(&take, &bring);
        assert!(error.contains(&segment::file_name(id)) && error.contains("missing"), "{error}");
    }
    let swap = || {
        fs::rename(name(2), &aside).expect("moved");
        fs::rename(name(3), name(2)).expect("moved");
        fs::rename(&aside, name(3)).expect("moved");
    };
    assert!(is_refused(&swap, &swap).contains("says that it is segment 3"));
}

#[tokio::test]
async fn damage_in_a_sealed_segment_is_refused_and_a_reader_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { tail_bytes: 0, ..options() };
    let log = EmbeddedLog::open(dir.path(), options).expect("it opens");
    let topic = topic(&log, "t", 1).await;
    for _ in 0..30 {
        append(&log, topic, &[&"x".repeat(3_000)]).await;
    }
    assert_eq!(values(&log, first_of(topic)).await.len(), 30, "off the disk");
    let path = dir.path().join("journal").join(segment::file_name(2));
    let at = segment::HEADER_LEN as u64 + 1_000;
    overwrite(&path, at, b"?");
    let budget = ReadBudget {
        records_max: usize::MAX,
        bytes_max: usize::MAX,
        wait_max: std::time::Duration::ZERO,
    };
    let read = log.read(first_of(topic), Offset(0), budget).await;
    let Err(log_contract::ReadError::Damaged(why)) = read else { panic!("{read:?}") };
    assert!(why.contains("0000000002.seg") && why.contains("4096"), "{why}");
    drop(log);
    // An opening does not read what a snapshot knows; a reader is told as before.
    let snapshot = dir.path().join("journal").join(segment::SNAPSHOT);
    assert!(snapshot.exists());
    let log = open(dir.path());
    let again = log.read(first_of(topic), Offset(0), budget).await.expect_err("it is damaged");
    assert_eq!(again.to_string(), format!("{}", log_contract::ReadError::Damaged(why)));
    drop(log);
    fs::remove_file(snapshot.with_file_name(segment::SNAPSHOT_BEFORE)).expect("removed");
    fs::remove_file(snapshot).expect("removed");
    let error = try_open(dir.path()).expect_err("it is refused");
    assert!(matches!(error, OpenError::Damaged { at: 4096, .. }), "{error}");
}

/// Whatever becomes of it, the journal is the truth as long as it is all there.
#[tokio::test]
async fn a_snapshot_that_is_damaged_or_gone_costs_time_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let t = topic(&log, "t", 3).await;
    for nth in 0..40 {
        append(&log, t, &[&format!("{nth}"), &"x".repeat(2_000)]).await;
    }
    log.close().await;
    drop(log);
    let journal = dir.path().join("journal");
    let path = journal.join(segment::SNAPSHOT);
    let whole = fs::read(&path).expect("a clean end leaves one");
    let before = path.with_file_name(segment::SNAPSHOT_BEFORE);
    let whole_before = fs::read(&before).expect("and there is one of a while ago");
    let found = || recover(&OsDisk, &journal).expect("whole").expect("there");
    let with = found();
    assert_eq!(with.replayed, 0, "nothing came after it");
    let journal_bytes = with.journal_bytes;
    for nth in 0..40 {
        let mut damaged = whole.clone();
        match nth % 4 {
            0 => damaged.truncate(whole.len() * nth / 40),
            _ => damaged[whole.len() * nth / 40] ^= 1 << (nth % 8),
        }
        fs::write(&path, damaged).expect("written");
        fs::write(&before, if nth % 2 == 0 { &whole_before[..] } else { b"" }).expect("written");
        let without = found();
        // From the one before on, or all.
        assert_eq!(without.replayed > 80_000, nth % 2 == 1, "{}", without.replayed);
        assert!(without.replayed > 0);
        assert_eq!(without.snapshots.covered(), 0, "nothing may go before there are two again");
        assert_eq!((&without.state, without.at), (&with.state, with.at));
        assert_eq!((without.number, without.journal_bytes), (with.number, journal_bytes));
    }
}

/// What a snapshot knows was durable: a journal that does not have it was cut or mixed up.
#[tokio::test]
async fn a_journal_without_what_its_snapshot_knows_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let t = topic(&log, "t", 1).await;
    append(&log, t, &["one"]).await;
    log.close().await;
    drop(log);
    let journal = dir.path().join("journal");
    let path = journal.join(segment::file_name(1));
    let whole = fs::read(&path).expect("read");
    let found = recover(&OsDisk, &journal).expect("whole").expect("there");
    let last = *found.state.end.in_block.last().expect("a frame");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        let error = try_open(dir.path()).expect_err("it is refused");
        assert!(matches!(&error, OpenError::Damaged { file, .. } if *file == path), "{error}");
        error.to_string()
    };
    let mut cut = whole.clone();
    cut[last.at as usize..].fill(0);
    let error = refused(&cut);
    assert!(error.contains(segment::SNAPSHOT) && error.contains("backup"), "{error}");
    refused(&whole[..last.at as usize + 10]);
    let mut other = whole.clone();
    let (id, salt) = (1, 99);
    let header = segment::Header { id, salt, is_reserve: false };
    other[..segment::HEADER_LEN].copy_from_slice(&header.encode());
    assert!(refused(&other).contains("another segment"));
    fs::write(&path, whole).expect("written");
    assert_eq!(values(&open(dir.path()), first_of(t)).await, ["one"]);
}

#[test]
fn a_zero_length_segment_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(segment::file_name(1));
    fs::write(&path, b"").expect("written");
    let error = recovery::open_segment(&OsDisk, dir.path(), 1).expect_err("it is no segment");
    assert!(error.to_string().contains("cut off"), "{error}");
    let made = journal::make_segment(&OsDisk, dir.path(), 1, 16 << 10).expect("made");
    assert_eq!((made.id, made.capacity), (1, 16 << 10));
}

/// Where a writer went on to the next segment, wrote nothing there, and then needed a larger one.
#[tokio::test]
async fn frames_behind_a_segment_without_frames_are_found() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    let journal = dir.path().join("journal");
    let found = recover(&OsDisk, &journal).expect("whole").expect("there");
    for id in [2, 3] {
        journal::make_segment(&OsDisk, &journal, id, 16 << 10).expect("made");
    }
    let third = recovery::open_segment(&OsDisk, &journal, 3).expect("whole");
    let (mut frame, mut state) = (vec![0; frame::HEADER_LEN], found.state.clone());
    let spec = TopicSpec::new(TopicName::parse("t").expect("a name"), 1);
    let info = log_contract::TopicInfo { id: TopicId(1), spec };
    Put(&mut frame).topic(crate::entry::Kind::TopicCreated, &info);
    let len = frame.len() - frame::HEADER_LEN;
    let numbers = frame::Numbers {
        salt: third.salt,
        segment: 3,
        number: found.number,
        epoch: state.epoch,
        durable_to: found.number - 1,
    };
    frame::finish(&mut frame, 0, &numbers);
    let at = segment::HEADER_LEN as u64;
    third.file.write_at(at, &frame).expect("written");
    let place =
        crate::state::Place { segment: 3, frame: 2, len: frame.len() as u32, ..found.unsure[0] };
    state.apply(place, &frame[frame::HEADER_LEN..frame::HEADER_LEN + len]).expect("it fits");

    let again = recover(&OsDisk, &journal).expect("nothing is lost").expect("there");
    assert_eq!((again.state, again.number), (state, found.number + 1));
    assert_eq!((again.segment.id, again.at), (3, at + frame.len() as u64));
    let log = open(dir.path());
    append(&log, TopicId(1), &["on"]).await;
    drop(log);
    assert_eq!(values(&open(dir.path()), first_of(TopicId(1))).await, ["on"]);
}

/// It is written again with the next frame, so what went bad since it was read must not become durable.
#[tokio::test]
async fn what_is_written_again_in_front_of_a_frame_is_checked_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let source = topic(&log, "t", 1).await;
    append(&log, source, &["one", "two"]).await;
    drop(log);
    let journal = dir.path().join("journal");
    let path = journal.join(segment::file_name(1));
    let found = recover(&OsDisk, &journal).expect("whole").expect("there");
    let bytes = std::fs::read(&path).expect("read");
    let (at, begun) = (found.at as usize, crate::aligned::in_block(found.at));
    assert!(begun > 0 && found.state.end.in_block.len() > 1);
    assert_eq!(recovery::begun(&journal, &found).expect("whole"), bytes[at - begun..at]);
    let first = found.state.end.in_block[0];
    let mut damaged = bytes.clone();
    damaged[first.at as usize + frame::HEADER_LEN] ^= 1;
    std::fs::write(&path, &damaged).expect("written");
    let found = recovery::begun(&journal, &found);
    assert!(matches!(found, Err(OpenError::Damaged { at, .. }) if at == u64::from(first.at)));
}
