//! Folding as sentences: records in, state out.

use super::*;

/// Applies a script: `+1=a` inserts, `1=b` updates, `-1` deletes, `e` evaluates, `c` commits.
fn fold(script: &str) -> Result<Image, FoldError> {
    let mut image = Image::default();
    image.apply(&Record::Type { tag: TypeTag::new(0), name: "F" })?;
    let mut seq = 1;
    let mut commit = 0;
    for word in script.split_whitespace() {
        seq += 1;
        let at = Seq::new(seq);
        let number = |text: &str| FactHandle::new(text.parse().expect("a number"));
        let record = match (word.as_bytes()[0], word.split_once('=')) {
            (b'+', Some((handle, value))) => Record::Insert {
                handle: number(&handle[1..]),
                kind: TypeTag::new(0),
                version: 1,
                bytes: value.as_bytes(),
                seq: at,
                origin: None,
                stated: true,
                clock: 0,
            },
            (b'-', None) => {
                Record::Delete { handle: number(&word[1..]), seq: at, origin: None, cascade: false }
            }
            (b'e', None) => Record::Evaluated,
            (b'c', None) => {
                commit += 1;
                Record::Commit {
                    commit: CommitSeq::new(commit),
                    point: SafePoint::Evaluated,
                    counters: Counters::default(),
                }
            }
            (_, Some((handle, value))) => Record::Update {
                handle: number(handle),
                version: 1,
                bytes: value.as_bytes(),
                mask: 1,
                seq: at,
                origin: None,
            },
            _ => panic!("no such word: {word}"),
        };
        image.apply(&record)?;
    }
    Ok(image)
}

fn check(script: &str, expected: &str) {
    let outcome = match fold(script) {
        Ok(image) => {
            let facts = image
                .facts()
                .map(|(handle, fact)| format!("{handle}={}", String::from_utf8_lossy(&fact.bytes)));
            let staged =
                (!image.staged().is_empty()).then(|| format!("{} staged", image.staged().len()));
            facts.chain(staged).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(outcome, expected, "{script}");
}

#[test]
fn insert_then_delete_cancels() {
    check("+1=a e -1 e +2=b e", "f#2=b");
}

#[test]
fn updates_fold_to_the_last_value_in_place() {
    check("+1=a e 1=b 1=c e", "f#1=c");
}

#[test]
fn staged_operations_stay_verbatim_until_evaluated() {
    check("+1=a e 1=b +2=x -2", "f#1=a 3 staged");
}

/// INV-62: what cannot happen at its place is an error.
#[test]
fn contradictions_are_errors() {
    check("-7", "error: deletion of fact f#7, which does not exist");
    check("+1=a +1=b", "error: fact f#1 is inserted twice");
    check("+1=a e -1 1=b", "error: update of fact f#1, which does not exist");
    check("c e", "");
}

#[test]
fn commits_are_dense() {
    let mut image = fold("c c").expect("two commits");
    let counters = Counters::default();
    let skipped = Record::Commit { commit: CommitSeq::new(4), point: SafePoint::Fired, counters };
    let error = FoldError::CommitOrder { found: CommitSeq::new(4), last: CommitSeq::new(2) };
    assert_eq!(image.apply(&skipped), Err(error));
}

#[test]
fn effects_wait_until_they_are_acknowledged_once() {
    let mut image = Image::default();
    let commit = CommitSeq::new(1);
    let point = SafePoint::Fired;
    let effect = Record::Effect { ordinal: 0, topic: "T", version: 1, bytes: b"x" };
    image.apply(&effect).expect("an effect");
    assert_eq!(image.outbox().len(), 0, "not before its commit");
    image
        .apply(&Record::Commit { commit, point, counters: Counters::default() })
        .expect("a commit");
    assert_eq!(image.outbox().len(), 1);
    let acknowledge = Record::Acknowledge { commit, ordinal: 0 };
    image.apply(&acknowledge).expect("it was waiting");
    let error = FoldError::UnknownEffect { commit, ordinal: 0 };
    assert_eq!(image.apply(&acknowledge), Err(error));
}

#[test]
fn an_image_and_its_tail_give_the_image_of_the_whole() {
    let whole = fold("+1=a e c 1=b +2=c e c").expect("a history");
    let mut continued = fold("+1=a e c").expect("its beginning");
    for record in [
        Record::Update {
            handle: FactHandle::new(1),
            version: 1,
            bytes: b"b",
            mask: 1,
            seq: Seq::new(5),
            origin: None,
        },
        Record::Insert {
            handle: FactHandle::new(2),
            kind: TypeTag::new(0),
            version: 1,
            bytes: b"c",
            seq: Seq::new(6),
            origin: None,
            stated: true,
            clock: 0,
        },
        Record::Evaluated,
        Record::Commit {
            commit: CommitSeq::new(2),
            point: SafePoint::Evaluated,
            counters: Counters::default(),
        },
    ] {
        continued.apply(&record).expect("the tail");
    }
    assert_eq!(continued, whole);
    assert_eq!(continued.digest(), whole.digest());
}
