//! The snapshots of a replica: files in `snapshots/` beside its log.
//!
//! `SEQ-ID.snapshot` is one (20 decimal and 16 hexadecimal digits; the bytes are in [`crate::snapshot`]). The newest two
//! are kept. Each was written as `writing.tmp`, or came as `incoming.tmp`, was read again, synced, and only then got its
//! name; the directory is synced after that. What is deleted is renamed to `*.tmp` before. What is damaged is
//! renamed to `*.damaged` and left for people.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::SnapshotWriter;
use crate::epochs::Epochs;
use crate::ids::{Chain, Epoch, NodeId, Seq};
use crate::snapshot::{Checking, Hashing, Head, Offer, SnapshotDamage, SnapshotId};

const DIRECTORY: &str = "snapshots";
const WRITING: &str = "writing.tmp";
const INCOMING: &str = "incoming.tmp";
/// So many are kept.
pub(super) const KEPT: usize = 2;
const BUFFER_BYTES: usize = 256 << 10;

/// A snapshot on the disk whose head is whole.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) offer: Offer,
    pub(super) head: Head,
    pub(super) path: PathBuf,
}

/// Why a file is not used, for people.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct RefusedSnapshot {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: SnapshotDamage,
}

/// They behind a message, if there are any.
pub(super) fn listed(refused: &[RefusedSnapshot]) -> String {
    refused.iter().fold(String::new(), |text, it| text + "; " + &it.to_string())
}

/// The snapshots of one node.
#[derive(Debug)]
pub(super) struct Snapshots {
    pub(super) files: Files,
    /// The newest last.
    pub(super) kept: Vec<Kept>,
    /// Those that the log was seen to have the last batch of, with its chain.
    seen: Vec<SnapshotId>,
    pub(super) refused: Vec<RefusedSnapshot>,
}

/// Where they are, and whose.
#[derive(Clone, Debug)]
pub(super) struct Files {
    dir: PathBuf,
    group: u64,
    node: NodeId,
}

impl Files {
    fn path(&self, offer: &Offer) -> PathBuf {
        self.dir.join(format!("{:020}-{:016x}.snapshot", offer.at.0, offer.id.0))
    }

    /// Makes the directory, durable.
    fn make(&self) -> io::Result<()> {
        if !self.dir.try_exists()? {
            fs::create_dir(&self.dir)?;
            sync_directory(self.dir.parent().unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }

    /// Writes a snapshot of the state after a batch. It is whole and durable when this returns.
    pub(super) fn write(
        &self,
        log: Epochs,
        chain: Chain,
        writer: SnapshotWriter,
    ) -> io::Result<Kept> {
        self.make()?;
        let (group, node, tmp) = (self.group, self.node, self.dir.join(WRITING));
        let mut head = Head { group, node, log, chain, body_bytes: 0, digest: 0 };
        let mut file = File::create(&tmp)?;
        file.write_all(&vec![0; head.encode().len()])?;
        let mut hashing = Hashing::new(BufWriter::with_capacity(BUFFER_BYTES, file));
        writer(&mut hashing)?;
        hashing.flush()?;
        (head.body_bytes, head.digest) = hashing.sum();
        let file = hashing.into_inner().into_inner().map_err(io::IntoInnerError::into_error)?;
        file.write_all_at(&head.encode(), 0)?;
        file.sync_all()?;
        drop(file);
        // Read again before it counts: what was written is what was meant.
        verify(&tmp)?.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        self.publish(&tmp, head)
    }

    /// Gives a file that is whole and durable its name.
    fn publish(&self, tmp: &Path, head: Head) -> io::Result<Kept> {
        let offer = head.offer();
        let path = self.path(&offer);
        fs::rename(tmp, &path)?;
        sync_directory(&self.dir)?;
        Ok(Kept { offer, head, path })
    }

    /// Opens the file of a snapshot that comes, and says how much of it is there from an earlier attempt; that is
    /// durable.
    pub(super) fn receive(&self, offer: &Offer) -> io::Result<(File, u64)> {
        self.make()?;
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.dir.join(INCOMING))?;
        let there = file.metadata()?.len();
        let head = Head::read(&mut BufReader::new(&file), offer.bytes)?;
        let is_of_it = there <= offer.bytes && head.is_ok_and(|head| head.offer() == *offer);
        if !is_of_it {
            file.set_len(0)?;
        }
        file.sync_all()?;
        sync_directory(&self.dir)?;
        let durable = file.seek(SeekFrom::End(0))?;
        Ok((file, durable))
    }

    /// Looks whether what came is what was written; if not it is dropped.
    pub(super) fn check_incoming(&self) -> io::Result<Option<Head>> {
        let path = self.dir.join(INCOMING);
        match verify(&path)? {
            Ok(head) if head.group == self.group => Ok(Some(head)),
            Ok(_) | Err(_) => {
                fs::remove_file(&path)?;
                Ok(None)
            }
        }
    }
}

/// Whether a file is a whole snapshot.
pub(super) fn verify(path: &Path) -> io::Result<Result<Head, SnapshotDamage>> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    let head = match Head::read(&mut reader, bytes)? {
        Ok(head) => head,
        Err(why) => return Ok(Err(why)),
    };
    match Checking::new(reader, &head).finish() {
        Ok(()) => Ok(Ok(head)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Err(SnapshotDamage::Body)),
        Err(error) => Err(error),
    }
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Snapshots {
    /// Looks at what is there. Heads are checked, bodies when they are used.
    pub(super) fn open(dir: &Path, group: u64, node: NodeId) -> io::Result<Self> {
        let files = Files { dir: dir.join(DIRECTORY), group, node };
        let mut these = Self { files, kept: Vec::new(), seen: Vec::new(), refused: Vec::new() };
        let entries = match fs::read_dir(&these.files.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(these),
            Err(error) => return Err(error),
        };
        let mut paths: Vec<_> =
            entries.map(|entry| entry.map(|it| it.path())).collect::<io::Result<_>>()?;
        paths.sort();
        for path in paths {
            match path.extension().and_then(|it| it.to_str()) {
                Some("tmp") if path.file_name().is_some_and(|name| name != INCOMING) => {
                    fs::remove_file(&path)?;
                }
                Some("snapshot") => these.look_at(path)?,
                _ => {}
            }
        }
        these.kept.sort_by_key(|kept| kept.offer.at);
        Ok(these)
    }

    fn look_at(&mut self, path: PathBuf) -> io::Result<()> {
        let file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        match Head::read(&mut BufReader::new(file), bytes)? {
            Ok(head) if head.group == self.files.group => {
                self.kept.push(Kept { offer: head.offer(), head, path });
                Ok(())
            }
            Ok(head) => self.refuse_file(&path, SnapshotDamage::Other { group: head.group }),
            Err(why) => self.refuse_file(&path, why),
        }
    }

    /// The log, which is being read, has this batch with this chain.
    pub(super) fn see(&mut self, seq: Seq, chain: Chain) {
        let is_of = |it: &&Kept| (it.offer.at, it.head.chain) == (seq, chain);
        self.seen.extend(self.kept.iter().filter(is_of).map(|it| it.offer.id));
    }

    /// A snapshot that came from another node and that the log does not have the last batch of: it was to replace the log.
    pub(super) fn to_adopt(&self, log: &Epochs, promised: Epoch) -> Option<&Kept> {
        let newest = self.kept.last()?;
        let lacks = log.at(newest.offer.at) != Some(newest.offer.epoch);
        let came = newest.head.node != self.files.node;
        (lacks && came && newest.offer.epoch <= promised).then_some(newest)
    }

    /// A snapshot of more than the log has.
    pub(super) fn ahead_of(&self, log: &Epochs) -> Option<Offer> {
        self.newest().filter(|newest| newest.at > log.last())
    }

    /// Keeps those that are of the log, which begins behind a batch. Those of another log are put aside, those before its
    /// begin dropped.
    pub(super) fn keep_seen(&mut self, begin: Seq) -> io::Result<()> {
        self.drop_before(begin)?;
        let is_other = |it: &&Kept| !self.seen.contains(&it.offer.id);
        let others: Vec<_> = self.kept.iter().filter(is_other).map(|it| it.offer.id).collect();
        others.into_iter().try_for_each(|id| self.refuse(id, SnapshotDamage::Log))?;
        self.seen.clear();
        Ok(())
    }

    /// The newest one.
    pub(super) fn newest(&self) -> Option<Offer> {
        self.kept.last().map(|kept| kept.offer)
    }

    /// Does not use a file any more, and leaves it to people.
    pub(super) fn refuse(&mut self, id: SnapshotId, why: SnapshotDamage) -> io::Result<()> {
        let Some(at) = self.kept.iter().position(|kept| kept.offer.id == id) else { return Ok(()) };
        let kept = self.kept.remove(at);
        self.refuse_file(&kept.path, why)
    }

    fn refuse_file(&mut self, path: &Path, why: SnapshotDamage) -> io::Result<()> {
        let aside = path.with_extension("damaged");
        fs::rename(path, &aside)?;
        sync_directory(&self.files.dir)?;
        self.refused.push(RefusedSnapshot { path: aside, why });
        Ok(())
    }

    /// There is a new one. Of the others the newest stays.
    pub(super) fn add(&mut self, kept: Kept) -> io::Result<()> {
        self.kept.retain(|it| it.offer.id != kept.offer.id);
        self.kept.push(kept);
        self.kept.sort_by_key(|kept| kept.offer.at);
        let old = self.kept.len().saturating_sub(KEPT);
        self.drop_first(old)
    }

    /// Drops those of a place that the log does not go back to.
    pub(super) fn drop_before(&mut self, seq: Seq) -> io::Result<()> {
        let old = self.kept.iter().take_while(|kept| kept.offer.at < seq).count();
        self.drop_first(old)
    }

    fn drop_first(&mut self, count: usize) -> io::Result<()> {
        for kept in self.kept.drain(..count) {
            let tmp = kept.path.with_extension("tmp");
            fs::rename(&kept.path, &tmp)?;
            fs::remove_file(&tmp)?;
        }
        Ok(())
    }

    /// What came, and was looked through, becomes the only snapshot: those before are of a log that is replaced. Durable
    /// when this returns; the older ones go when the log is replaced.
    pub(super) fn adopt_incoming(&mut self, head: Head) -> io::Result<Kept> {
        let tmp = self.files.dir.join(INCOMING);
        let kept = self.files.publish(&tmp, head)?;
        self.kept.retain(|it| it.offer.id != kept.offer.id);
        self.kept.push(kept.clone());
        Ok(kept)
    }
}

impl Kept {
    /// A reader of the body, which ends with an error if that is damaged.
    pub(super) fn body(&self) -> io::Result<Checking<BufReader<File>>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.head.head_bytes()))?;
        Ok(Checking::new(BufReader::with_capacity(BUFFER_BYTES, file), &self.head))
    }
}

/// A piece of a file; empty if there is none.
pub(super) fn read_piece(file: &File, offset: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    file.take(most).read_to_end(&mut piece)?;
    Ok(piece)
}
