//! Opening, appending, reading back and opening again, on real files.

use steadfast_journal::{
    AppendError, Create, End, Found, From, Journal, Level, Lsn, OpenError, Options, Position,
    ReadError, Uuid, WaitError, WriteMode,
};

use crate::common::{append, batch, drain, open, payloads, read_all, small};

fn modes() -> [WriteMode; 2] {
    [WriteMode::Map, WriteMode::Pwrite]
}

#[test]
fn groups_are_read_back_in_order_and_again_after_reopening() {
    for mode in modes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = || small().write_mode(mode);
        let (journal, opened) = Journal::open(dir.path(), options()).expect("new");
        assert_eq!((opened.found, opened.write_mode), (Found::Created, mode));
        let mut expected = Vec::new();
        for number in 0..1000_u32 {
            let payload = format!("record {number}").into_bytes();
            append(&journal, &payload);
            expected.push(payload);
        }
        let end = journal.positions().appended;
        assert_eq!(journal.wait_durable(end).expect("durable").position(), end);
        assert_eq!(payloads(&read_all(&journal)), expected);
        journal.close().expect("closes");

        let (journal, opened) = Journal::open(dir.path(), options()).expect("sound");
        assert_eq!(opened.found, Found::Clean);
        assert_eq!(opened.safe_point.map(|safe| safe.lsn), Some(Lsn::new(1000)));
        assert_eq!(payloads(&read_all(&journal)), expected);
        append(&journal, b"one more");
        assert_eq!(read_all(&journal).last().map(|group| group.lsn), Some(1001));
    }
}

#[test]
fn segments_roll_and_readers_follow() {
    for mode in modes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let journal = open(dir.path(), small().write_mode(mode));
        let mut tail = journal.read(From::Start).expect("readable");
        let mut seen = Vec::new();
        let mut expected = Vec::new();
        for number in 0..600_u32 {
            let payload = vec![u8::try_from(number % 251).expect("below 251"); 1000];
            append(&journal, &payload);
            expected.push(payload);
            if number % 7 == 0 {
                journal.wait(journal.positions().appended, Level::Process).expect("stored");
                seen.extend(payloads(&drain(&mut tail)));
            }
        }
        journal.wait(journal.positions().appended, Level::Process).expect("stored");
        seen.extend(payloads(&drain(&mut tail)));
        assert_eq!(seen, expected);
        drop(journal);
        let journal = open(dir.path(), small().write_mode(mode));
        assert_eq!(payloads(&read_all(&journal)), expected);
        let inspection = Journal::inspect(dir.path(), Options::new()).expect("sound");
        assert!(inspection.segments().len() >= 9, "{:?}", inspection.segments());
    }
}

#[test]
fn a_group_larger_than_a_segment_is_one_group() {
    for mode in modes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let journal = open(dir.path(), small().write_mode(mode));
        append(&journal, b"before");
        let records: Vec<Vec<u8>> = (0..70_000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let large = batch(records.iter().map(Vec::as_slice));
        let appended = journal.append(&large, End::SafePoint).expect("there is room");
        append(&journal, b"after");
        journal.wait_durable(journal.positions().appended).expect("durable");
        let check = |journal: &Journal| {
            let groups = read_all(journal);
            assert_eq!(groups.len(), 3);
            assert_eq!((groups[1].lsn, &groups[1].records), (appended.lsn.get(), &records));
            // Reading from inside the group begins with the next one.
            let inside = From::Position(Position::new(groups[1].position - 64));
            let rest = drain(&mut journal.read(inside).expect("readable"));
            assert_eq!(payloads(&rest), [b"after"]);
        };
        check(&journal);
        journal.close().expect("closes");
        check(&open(dir.path(), small().write_mode(mode)));
    }
}

#[test]
fn reading_begins_where_it_is_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let appended: Vec<_> = (0..500_u32).map(|n| append(&journal, &n.to_le_bytes())).collect();
    for (index, place) in appended.iter().enumerate() {
        let from = drain(&mut journal.read(From::Lsn(place.lsn)).expect("readable"));
        assert_eq!(from.len(), 500 - index);
        let from = drain(&mut journal.read(From::Position(place.position)).expect("readable"));
        assert_eq!(from.len(), 499 - index);
    }
}

#[test]
fn an_open_root_is_discarded_and_its_numbers_are_not_reused() {
    for mode in modes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let journal = open(dir.path(), small().write_mode(mode));
        append(&journal, b"kept");
        let lost = journal.append(&batch([&b"lost"[..]]), End::Batch).expect("there is room");
        drop(journal);
        let (journal, opened) = Journal::open(dir.path(), small().write_mode(mode)).expect("sound");
        assert_eq!(opened.found, Found::Cut);
        assert_eq!(opened.quarantined_bytes(), 40);
        assert_eq!(payloads(&read_all(&journal)), [b"kept"]);
        let next = append(&journal, b"next");
        assert!(next.lsn > lost.lsn && next.position > lost.position);
        drop(journal);
        let journal = open(dir.path(), small().write_mode(mode));
        assert_eq!(payloads(&read_all(&journal)), [&b"kept"[..], b"next"]);
    }
}

#[test]
fn an_empty_safe_point_completes_an_open_root_and_else_writes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let empty = batch([]);
    let start = journal.append(&empty, End::SafePoint).expect("nothing to write");
    assert_eq!(start.position, Position::START);
    journal.append(&batch([&b"work"[..]]), End::Batch).expect("there is room");
    let done = journal.append(&empty, End::SafePoint).expect("there is room");
    assert_eq!(journal.append(&empty, End::SafePoint).expect("nothing to write"), done);
    drop(journal);
    let journal = open(dir.path(), small());
    assert_eq!(payloads(&read_all(&journal)), [b"work"]);
}

#[test]
fn limits_are_refused_and_leave_the_journal_as_it_was() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let room = (64 << 10) - 4096 - 32 - 32;
    let longest = vec![1; room - 5];
    append(&journal, &longest);
    let refused = journal.append(&batch([&vec![1; room - 4][..]]), End::SafePoint);
    assert!(
        matches!(refused, Err(AppendError::RecordTooLong { max, .. }) if max == room),
        "{refused:?}"
    );
    assert_eq!(payloads(&read_all(&journal)), [longest]);
    let far = Position::new(1 << 40);
    assert!(matches!(journal.wait_durable(far), Err(WaitError::NotAppended { .. })));
    let gone = drain(&mut journal.read(From::Position(far)).expect("the end may come there"));
    assert!(gone.is_empty());
}

#[test]
fn the_create_policy_and_the_session_are_respected() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("nested/journal");
    let never = Journal::open(&path, small().create(Create::Never));
    assert!(matches!(never, Err(OpenError::NotFound { .. })), "{never:?}");
    let session = Uuid::from_bytes([7; 16]);
    let options = || small().session(session);
    let (journal, opened) = Journal::open(&path, options().create(Create::New)).expect("new");
    assert_eq!((opened.session, journal.session()), (session, session));
    let twice = Journal::open(&path, options());
    assert!(matches!(twice, Err(OpenError::AlreadyOpen { .. })), "{twice:?}");
    drop(journal);
    let new = Journal::open(&path, options().create(Create::New));
    assert!(matches!(new, Err(OpenError::Exists { .. })), "{new:?}");
    let other = Journal::open(&path, small().session(Uuid::from_bytes([8; 16])));
    assert!(matches!(other, Err(OpenError::WrongSession { .. })), "{other:?}");
    drop(open(&path, options().create(Create::Never)));
    assert!(matches!(
        Journal::open(&path, Options::new().segment_bytes(1)),
        Err(OpenError::Options { .. })
    ));
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("writable");
    let refused = Journal::open(dir.path(), small());
    assert!(matches!(refused, Err(OpenError::ForeignDirectory { .. })), "{refused:?}");
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("readable").collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn readers_outlive_the_handle_and_see_its_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let mut reader = journal.read(From::Start).expect("readable");
    append(&journal, b"last");
    journal.close().expect("closes");
    assert_eq!(payloads(&drain(&mut reader)), [b"last"]);
    assert!(matches!(reader.next_group(), Ok(None)));
    let _: fn(ReadError) = drop;
}
