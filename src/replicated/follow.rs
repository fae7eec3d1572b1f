//! What a node does with committed batches: it folds them.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadfast_ha_transport::{Apply, Seq, SnapshotWriter};
use steadfast_snapshotter::Image;
use steadfast_wm::SessionId;
use steadfast_wm::codec::v1;

use super::payload;

/// Bytes of records that a snapshot has in one piece, about.
const PIECE_BYTES: usize = 256 << 10;
/// The longest piece that is read: a record and what came before it in the same piece.
const PIECE_BYTES_MAX: usize = 1 << 30;

/// The state that a group has agreed on, as far as this node knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    /// Shared with whoever makes an engine or a snapshot of it.
    pub(super) image: Arc<Image>,
    /// The session; none before the first batch.
    pub(super) session: Option<SessionId>,
    /// How many records this node has folded.
    pub(super) records: u64,
    /// Batches that came while the image was in use.
    backlog: Vec<Box<[u8]>>,
}

impl Agreed {
    /// Folds a batch in, or keeps it as long as somebody looks at the image.
    fn take(&mut self, batch: &[u8]) -> Result<(), String> {
        if Arc::get_mut(&mut self.image).is_none() {
            self.backlog.push(batch.into());
            return Ok(());
        }
        self.settle()?;
        self.fold(batch)
    }

    /// Folds in what was kept, into a copy if somebody still looks at the image.
    fn settle(&mut self) -> Result<(), String> {
        std::mem::take(&mut self.backlog).iter().try_for_each(|batch| self.fold(batch))
    }

    fn fold(&mut self, batch: &[u8]) -> Result<(), String> {
        let (session, records) = payload::parse(batch)?;
        match self.session {
            Some(known) if known != session => {
                return Err(format!("it is of session {session}, the group's is {known}"));
            }
            _ => self.session = Some(session),
        }
        let image = Arc::make_mut(&mut self.image);
        let count = image.apply_all(records).map_err(|error| error.to_string())?;
        if !image.is_at_boundary() {
            return Err("it ends within a commit".to_owned());
        }
        self.records += count as u64;
        Ok(())
    }
}

/// Follows a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Follow(Arc<Mutex<Agreed>>);

impl Follow {
    fn agreed(&self) -> MutexGuard<'_, Agreed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as of now.
    pub(super) fn look(&self) -> Result<Agreed, String> {
        let mut agreed = self.agreed();
        agreed.settle()?;
        Ok(agreed.clone())
    }
}

impl Apply for Follow {
    fn apply(&mut self, _: Seq, payload: &[u8]) -> Result<(), String> {
        self.agreed().take(payload)
    }

    fn reset(&mut self) {
        *self.agreed() = Agreed::default();
    }

    fn snapshot(&mut self) -> Option<SnapshotWriter> {
        let agreed = self.look().ok()?;
        let session = agreed.session?;
        Some(Box::new(move |out| write(&agreed.image, session, out)))
    }

    fn install(&mut self, snapshot: &mut dyn Read) -> Result<(), String> {
        let agreed = read(snapshot).map_err(|error| error.to_string())?;
        *self.agreed() = agreed;
        Ok(())
    }
}

/// Writes an image: version and session as a batch has them, then pieces of records, each behind its length in four
/// bytes, little-endian, and a length of zero.
fn write(image: &Image, session: SessionId, out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(&payload::of(session, &[]))?;
    let mut piece = Vec::with_capacity(2 * PIECE_BYTES);
    let mut put = |piece: &mut Vec<u8>| {
        let length = u32::try_from(piece.len()).map_err(std::io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(piece)?;
        piece.clear();
        Ok(())
    };
    image.records(|record| {
        v1::encode(record, &mut piece);
        if piece.len() < PIECE_BYTES { Ok(()) } else { put(&mut piece) }
    })?;
    if !piece.is_empty() {
        put(&mut piece)?;
    }
    put(&mut piece) // of length zero
}

fn read(snapshot: &mut dyn Read) -> std::io::Result<Agreed> {
    let other = |why: String| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
    let mut header = [0; payload::HEADER_BYTES];
    snapshot.read_exact(&mut header)?;
    let (session, _) = payload::parse(&header).map_err(other)?;
    let (mut image, mut records) = (Image::default(), 0);
    let mut piece = Vec::new();
    loop {
        let mut length = [0; 4];
        snapshot.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            break;
        }
        if length > PIECE_BYTES_MAX {
            return Err(other(format!("a piece of {length} bytes")));
        }
        piece.clear();
        let read = snapshot.take(length as u64).read_to_end(&mut piece)?;
        if read < length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        records += image.apply_all(&piece).map_err(|error| other(error.to_string()))? as u64;
    }
    // The reader says at its end whether all of it was as it was written.
    if snapshot.read(&mut [0])? != 0 {
        return Err(other("bytes follow its end".to_owned()));
    }
    if !image.is_at_boundary() {
        return Err(other("it ends within a commit".to_owned()));
    }
    Ok(Agreed { image: Arc::new(image), session: Some(session), records, backlog: Vec::new() })
}

#[cfg(test)]
mod tests {
    use steadfast_wm::{CommitSeq, Counters, Record, SafePoint, TypeTag};

    use super::*;

    const SESSION: SessionId = SessionId::from_bytes([3; 16]);

    /// The batch of a commit that names a type.
    fn commit(number: u64) -> Arc<[u8]> {
        let mut records = Vec::new();
        let name = &format!("Type{number}");
        let tag = TypeTag::new(u32::try_from(number - 1).unwrap());
        v1::encode(&Record::Type { tag, name }, &mut records);
        let (commit, point) = (CommitSeq::new(number), SafePoint::Evaluated);
        let counters = Counters { next_handle: number, ..Counters::default() };
        v1::encode(&Record::Commit { commit, point, counters }, &mut records);
        payload::of(SESSION, &records)
    }

    fn follow(commits: std::ops::RangeInclusive<u64>) -> Follow {
        let mut follow = Follow::default();
        commits.for_each(|number| follow.apply(Seq(number), &commit(number)).unwrap());
        follow
    }

    #[test]
    fn what_comes_while_the_image_is_in_use_is_folded_later() {
        let mut follow = follow(1..=2);
        let seen = follow.look().unwrap().image;
        follow.apply(Seq(3), &commit(3)).unwrap();
        assert_eq!((seen.types().len(), follow.agreed().backlog.len()), (2, 1));
        assert_eq!(follow.look().unwrap().image.types().len(), 3, "also while it is");
        let seen = follow.look().unwrap().image;
        follow.apply(Seq(4), &commit(4)).unwrap();
        drop(seen);
        follow.apply(Seq(5), &commit(5)).unwrap();
        assert!(follow.agreed().backlog.is_empty());
        assert_eq!(follow.look().unwrap().image, self::follow(1..=5).look().unwrap().image);
    }

    #[test]
    fn a_batch_that_contradicts_the_state_is_refused() {
        let mut follow = follow(1..=2);
        let why = |follow: &mut Follow, payload: &[u8]| follow.apply(Seq(3), payload).unwrap_err();
        assert!(why(&mut follow, &commit(2)).contains("record 0 contradicts"));
        let mut other = commit(3).to_vec();
        other[5] ^= 1;
        assert!(why(&mut follow, &other).contains("the group's is"));
        let mut half = Vec::new();
        v1::encode(&Record::Evaluated, &mut half);
        assert!(why(&mut follow, &payload::of(SESSION, &half)).contains("within a commit"));
    }

    #[test]
    fn a_snapshot_is_what_it_was_made_of_and_nothing_less() {
        let mut follow = follow(1..=40);
        let mut bytes = Vec::new();
        follow.snapshot().unwrap()(&mut bytes).unwrap();
        let mut copy = Follow::default();
        copy.install(&mut &bytes[..]).unwrap();
        let (copied, made) = (copy.look().unwrap(), follow.look().unwrap());
        assert_eq!((copied.image, copied.session), (made.image, made.session));
        for length in 0..bytes.len() {
            assert!(copy.install(&mut &bytes[..length]).is_err(), "{length} bytes");
        }
        bytes.push(0);
        assert!(copy.install(&mut &bytes[..]).unwrap_err().contains("follow"));
        assert!(Follow::default().snapshot().is_none(), "there is nothing yet");
        copy.apply(Seq(41), &commit(41)).unwrap();
    }
}
