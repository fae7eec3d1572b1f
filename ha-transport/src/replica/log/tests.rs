//! A log comes back, whole or cut.

use super::*;
use crate::snapshot::SnapshotDamage;

/// Batches of these epochs, with payloads that say which they are.
fn fill(log: &mut ReplicaLog, prev: Option<&Batch>, epochs: &[u64]) -> Vec<Batch> {
    let mut all: Vec<Batch> = Vec::new();
    for &epoch in epochs {
        let before = all.last().or(prev);
        let begins = before.is_none_or(|it| it.epoch < Epoch(epoch));
        let seq = before.map_or(Seq(1), |it| it.seq.next());
        let batch = Batch {
            epoch: Epoch(epoch),
            seq,
            prev_epoch: before.map_or(Epoch(0), |it| it.epoch),
            prev_chain: before.map_or(Chain(0), Batch::chain),
            kind: if begins { Kind::EpochStart } else { Kind::Work },
            payload: format!("{epoch} {seq}").repeat(usize::from(!begins)).into_bytes().into(),
        };
        log.append(&batch).unwrap();
        all.push(batch);
    }
    all
}

#[test]
fn batches_come_back_and_are_read_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let open = || ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
    let mut log = open();
    log.promise(Epoch(2)).unwrap();
    let batches = fill(&mut log, None, &[[1; 100].as_slice(), &[2; 100]].concat());
    for from in [1, 2, 63, 64, 65, 128, 199, 200] {
        let read = log.read(Seq(from), usize::MAX, usize::MAX).unwrap();
        assert_eq!(read, batches[usize::try_from(from).unwrap() - 1..], "{from}");
        assert_eq!(log.read(Seq(from), 7, 1).unwrap().len(), 1);
        assert_eq!(log.read(Seq(from), 1, usize::MAX).unwrap().len(), 1);
    }
    assert_eq!(log.read(Seq(201), 10, 1000).unwrap(), []);
    log.promise(Epoch(5)).unwrap();
    log.note_committed(Seq(150)).unwrap();
    drop(log);
    let stored = open().stored();
    let expected = Epochs::of(vec![(Epoch(1), Seq(1)), (Epoch(2), Seq(101))], Seq(200)).unwrap();
    assert_eq!((stored.log, stored.chain), (expected, batches[199].chain()));
    assert_eq!((stored.promised, stored.committed), (Epoch(5), Seq(150)));
}

#[test]
fn what_is_dropped_is_gone_and_others_take_its_place() {
    for above in [0, 1, 63, 64, 65, 99, 100] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        log.promise(Epoch(3)).unwrap();
        let batches = fill(&mut log, None, &[1; 100]);
        log.truncate(Seq(above)).unwrap();
        assert_eq!(log.last(), Seq(above));
        let kept = usize::try_from(above).unwrap();
        let others = fill(&mut log, kept.checked_sub(1).map(|at| &batches[at]), &[3; 70]);
        let all = [&batches[..kept], &others].concat();
        assert_eq!(log.read(Seq(1), usize::MAX, usize::MAX).unwrap(), all, "{above}");
        drop(log);
        let log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        assert_eq!(log.read(Seq(1), usize::MAX, usize::MAX).unwrap(), all, "{above}");
        assert_eq!(log.stored().chain, all.last().unwrap().chain());
    }
}

#[test]
fn reading_goes_on_where_it_ended_and_begins_anew_behind_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
    log.promise(Epoch(3)).unwrap();
    let mut all = fill(&mut log, None, &[1; 40]);
    let read = |log: &mut ReplicaLog, from: u64, most| {
        let batches = log.read_on(Seq(from), most, usize::MAX).unwrap();
        let places = log.readers.iter().map(|known| known.0.0).collect::<Vec<_>>();
        (batches, places)
    };
    assert_eq!(read(&mut log, 1, 10), (all[..10].to_vec(), vec![11]));
    assert_eq!(read(&mut log, 21, 15), (all[20..35].to_vec(), vec![11, 36]));
    assert_eq!(read(&mut log, 11, 10), (all[10..20].to_vec(), vec![36, 21]));
    assert_eq!(read(&mut log, 36, 10), (all[35..].to_vec(), vec![21, 41]));
    assert_eq!(read(&mut log, 41, 10), (vec![], vec![21, 41]), "there are no more");
    let more = fill(&mut log, all.last(), &[1; 10]);
    all.extend(more);
    assert_eq!(read(&mut log, 41, 5), (all[40..45].to_vec(), vec![21, 46]));
    log.truncate(Seq(43)).unwrap();
    all.truncate(43);
    let more = fill(&mut log, all.last(), &[3; 10]);
    all.extend(more);
    assert_eq!(read(&mut log, 46, 100), (all[45..].to_vec(), vec![54]));
    for from in (1..=8).rev() {
        read(&mut log, from, 1);
    }
    assert_eq!(log.readers.len(), READERS);
}

#[test]
fn a_payload_may_be_long() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
    let mut batches = fill(&mut log, None, &[1]);
    let payload: Vec<u8> = (0..20_u32 << 20).map(|at| (at % 251) as u8).collect();
    let (seq, prev_chain) = (Seq(2), batches[0].chain());
    let kind = Kind::Work;
    let payload = payload.into();
    let long = Batch { epoch: Epoch(1), seq, prev_epoch: Epoch(1), prev_chain, kind, payload };
    log.append(&long).unwrap();
    batches.push(long);
    assert!(
        log.read(Seq(1), usize::MAX, usize::MAX).unwrap() == batches,
        "another payload came back"
    );
}

#[test]
fn a_log_that_lacks_what_was_committed_or_promised_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
    fill(&mut log, None, &[1, 1]);
    drop(log);
    let opened = ReplicaLog::open(dir.path(), 7, NodeId(1));
    assert!(matches!(opened, Err(LogError::Other { .. })), "{opened:?}");

    let dir = tempfile::tempdir().unwrap();
    let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
    log.promise(Epoch(1)).unwrap();
    fill(&mut log, None, &[1, 1]);
    log.note_committed(Seq(3)).unwrap();
    drop(log);
    let opened = ReplicaLog::open(dir.path(), 7, NodeId(1));
    assert!(matches!(opened, Err(LogError::Other { .. })), "{opened:?}");
}

#[test]
fn what_is_no_log_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), Options::new()).unwrap();
    let mut batch = steadfast_journal::Batch::new();
    batch.push(1, 1, b"something else").unwrap();
    journal.append(&batch, End::SafePoint).unwrap();
    journal.close().unwrap();
    let opened = ReplicaLog::open(dir.path(), 7, NodeId(1));
    assert!(matches!(opened, Err(LogError::Other { .. })), "{opened:?}");
    assert!(!dir.path().join("VOTE").exists());
}

fn epochs(of: &[u64]) -> Epochs {
    let mut epochs = Epochs::new();
    of.iter().for_each(|&epoch| epochs.push(Epoch(epoch)));
    epochs
}

/// A snapshot that a node has taken, beside the log of node 1.
fn snapshot_of(dir: &Path, node: u32, of: &[u64]) {
    let snapshots = Snapshots::open(dir, 7, NodeId(node)).unwrap();
    let writer: crate::SnapshotWriter = Box::new(|out| out.write_all(b"a state"));
    snapshots.files.write(epochs(of), Chain(77), writer).unwrap();
}

// A crash between the two steps of a replacement: the snapshot has its name, and the log does not know it yet.
#[test]
fn a_snapshot_that_came_replaces_the_log_when_that_is_opened() {
    for of in [&[][..], &[1, 1, 1], &[1, 1, 2], &[1, 1, 2, 2, 2]] {
        let dir = tempfile::tempdir().unwrap();
        let open = || ReplicaLog::open(dir.path(), 7, NodeId(1));
        let mut log = open().unwrap();
        log.promise(Epoch(5)).unwrap();
        fill(&mut log, None, of);
        drop(log);
        snapshot_of(dir.path(), 2, &[1, 1, 3, 3]);
        for _ in 0..2 {
            let log = open().unwrap();
            let Stored { promised, log: has, trimmed, snapshot, chain, committed } = log.stored();
            assert_eq!((has, trimmed, chain), (epochs(&[1, 1, 3, 3]), Seq(4), Chain(77)), "{of:?}");
            assert_eq!((promised, committed), (Epoch(5), Seq(4)), "what was promised stays");
            assert_eq!(snapshot.map(|it| it.at), Some(Seq(4)));
            assert_eq!(log.read(Seq(4), 9, 999).unwrap(), []);
        }
        let mut log = open().unwrap();
        let (epoch, prev_epoch, prev_chain) = (Epoch(3), Epoch(3), Chain(77));
        let (kind, payload) = (Kind::Work, b"behind"[..].into());
        let next = Batch { epoch, seq: Seq(5), prev_epoch, prev_chain, kind, payload };
        log.append(&next).unwrap();
        assert_eq!(log.read(Seq(5), 9, 999).unwrap(), std::slice::from_ref(&next));
        drop(log);
        assert_eq!(open().unwrap().read(Seq(5), 9, 999).unwrap(), [next]);
    }
}

#[test]
fn a_log_that_ends_before_its_own_snapshot_or_one_that_was_not_promised_is_refused() {
    for (node, promised) in [(1, 5), (2, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        log.promise(Epoch(promised)).unwrap();
        fill(&mut log, None, &[1, 1]);
        drop(log);
        snapshot_of(dir.path(), node, &[1, 1, 3, 3]);
        let opened = ReplicaLog::open(dir.path(), 7, NodeId(1));
        assert!(matches!(opened, Err(LogError::Other { .. })), "{opened:?}");
    }
}

#[test]
fn a_snapshot_of_another_log_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
    log.promise(Epoch(5)).unwrap();
    fill(&mut log, None, &[1, 1, 3, 3, 3]);
    drop(log);
    // The number and the epoch are there, and the chain is another one.
    snapshot_of(dir.path(), 1, &[1, 1, 3, 3]);
    let log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
    assert_eq!((log.trimmed(), log.stored().snapshot), (Seq(0), None));
    let refused = log.refused_snapshots();
    assert_eq!(refused.iter().map(|it| it.why).collect::<Vec<_>>(), [SnapshotDamage::Log]);
    assert!(refused[0].path.exists());
}
