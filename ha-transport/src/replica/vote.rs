//! `VOTE`: what a node has promised, in two slots that are written in turn.
//!
//! Each slot has 4,096 bytes of the file to itself, so that writing one cannot damage the other; little-endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `STFV` |
//! | 4 | 4 | version, 1 |
//! | 8 | 8 | generation: one more with each write, the slot is its parity |
//! | 16 | 8 | the promised epoch |
//! | 24 | 8 | up to where batches are known to be committed |
//! | 32 | 8 | the group |
//! | 40 | 4 | the node |
//! | 44 | 4 | CRC-32C of the 44 bytes before |

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::ids::{Epoch, NodeId, Seq};

const NAME: &str = "VOTE";
const SLOT_STRIDE: u64 = 4096;
const SLOT_BYTES: usize = 48;
const MAGIC: [u8; 4] = *b"STFV";
const VERSION: u32 = 1;

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct Vote {
    file: File,
    group: u64,
    node: NodeId,
    generation: u64,
    pub(super) promised: Epoch,
    pub(super) committed: Seq,
}

/// Why a `VOTE` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoteError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither slot is one. Nobody knows what the node has promised.
    #[error(
        "{path}: neither slot is valid, so nobody knows what this node has promised; \
         make the node anew from the leader's state under a number of its own"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It is that of another node.
    #[error("{path} is that of node {node} of group {group:016x}")]
    Other {
        /// The file.
        path: PathBuf,
        /// Its group.
        group: u64,
        /// Its node.
        node: NodeId,
    },
    /// A later build wrote it.
    #[error("{path} has version {found}, this build knows {VERSION}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// There are batches and no promises.
    #[error(
        "{path} is missing although the journal has batches: it was restored from a backup or repaired; \
         make the node anew from the leader's state"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
}

impl Vote {
    /// Opens the file, or makes it for a node that has no batches yet.
    pub(super) fn open(
        dir: &Path,
        group: u64,
        node: NodeId,
        has_batches: bool,
    ) -> Result<Self, VoteError> {
        let path = dir.join(NAME);
        let io = |source| VoteError::Io { path: path.clone(), source };
        let exists = path.try_exists().map_err(io)?;
        if !exists && has_batches {
            return Err(VoteError::Missing { path });
        }
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let mut vote =
            Self { file, group, node, generation: 0, promised: Epoch(0), committed: Seq(0) };
        if !exists || vote.file.metadata().map_err(io)?.len() == 0 {
            if has_batches {
                return Err(VoteError::Missing { path });
            }
            vote.store(Epoch(0), Seq(0)).map_err(io)?;
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
            return Ok(vote);
        }
        let mut is_known = false;
        for index in 0..2 {
            let mut slot = [0; SLOT_BYTES];
            let read = vote.file.read_at(&mut slot, index * SLOT_STRIDE).map_err(io)?;
            let Some((generation, promised, committed, whose)) = decode(&slot[..read]) else {
                continue;
            };
            let (version, its_group, its_node) = whose;
            if version != VERSION {
                return Err(VoteError::Newer { path, found: version });
            }
            if (its_group, its_node) != (group, node) {
                return Err(VoteError::Other { path, group: its_group, node: its_node });
            }
            if !is_known || generation > vote.generation {
                (vote.generation, vote.promised, vote.committed) =
                    (generation, promised, committed);
                is_known = true;
            }
        }
        if is_known { Ok(vote) } else { Err(VoteError::Damaged { path }) }
    }

    /// Keeps both; they are durable when this returns.
    pub(super) fn store(&mut self, promised: Epoch, committed: Seq) -> io::Result<()> {
        let generation = self.generation + 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..4].copy_from_slice(&MAGIC);
        slot[4..8].copy_from_slice(&VERSION.to_le_bytes());
        for (at, field) in [(8, generation), (16, promised.0), (24, committed.0), (32, self.group)]
        {
            slot[at..at + 8].copy_from_slice(&field.to_le_bytes());
        }
        slot[40..44].copy_from_slice(&self.node.0.to_le_bytes());
        let crc = crc32c::crc32c(&slot[..44]);
        slot[44..].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&slot, generation % 2 * SLOT_STRIDE)?;
        self.file.sync_data()?;
        (self.generation, self.promised, self.committed) = (generation, promised, committed);
        Ok(())
    }
}

type Whose = (u32, u64, NodeId);

fn decode(slot: &[u8]) -> Option<(u64, Epoch, Seq, Whose)> {
    let slot: &[u8; SLOT_BYTES] = slot.try_into().ok()?;
    let u32_at = |at: usize| slot[at..].first_chunk().copied().map_or(0, u32::from_le_bytes);
    let u64_at = |at: usize| slot[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
    let is_one = slot[..4] == MAGIC && crc32c::crc32c(&slot[..44]) == u32_at(44);
    let whose = (u32_at(4), u64_at(32), NodeId(u32_at(40)));
    is_one.then(|| (u64_at(8), Epoch(u64_at(16)), Seq(u64_at(24)), whose))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Result<Vote, VoteError> {
        Vote::open(dir, 5, NodeId(2), true)
    }

    fn stored(dir: &Path, promises: u64) -> Vote {
        let mut vote = Vote::open(dir, 5, NodeId(2), false).unwrap();
        for epoch in 1..=promises {
            vote.store(Epoch(epoch), Seq(epoch * 10)).unwrap();
        }
        vote
    }

    #[test]
    fn the_last_promise_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        for promises in 0..5 {
            drop(stored(dir.path(), promises));
            let vote = open(dir.path()).unwrap();
            assert_eq!((vote.promised, vote.committed), (Epoch(promises), Seq(promises * 10)));
        }
    }

    #[test]
    fn a_write_that_was_torn_leaves_the_promise_before() {
        let dir = tempfile::tempdir().unwrap();
        for torn in 0..2 {
            drop(stored(dir.path(), 4));
            let file = OpenOptions::new().write(true).open(dir.path().join(NAME)).unwrap();
            file.write_all_at(&[0xa5; 7], torn * SLOT_STRIDE + 20).unwrap();
            let vote = open(dir.path()).unwrap();
            assert!(vote.promised == Epoch(4) || vote.promised == Epoch(3), "{vote:?}");
            std::fs::remove_file(dir.path().join(NAME)).unwrap();
        }
        drop(stored(dir.path(), 4));
        let file = OpenOptions::new().write(true).open(dir.path().join(NAME)).unwrap();
        (0..2).for_each(|slot| file.write_all_at(&[0xa5; 7], slot * SLOT_STRIDE + 20).unwrap());
        assert!(matches!(open(dir.path()), Err(VoteError::Damaged { .. })));
    }

    #[test]
    fn promises_of_others_and_promises_that_are_lost_are_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(open(dir.path()), Err(VoteError::Missing { .. })));
        drop(stored(dir.path(), 1));
        let other = Vote::open(dir.path(), 5, NodeId(3), true);
        assert!(matches!(other, Err(VoteError::Other { node: NodeId(2), .. })), "{other:?}");
        let other = Vote::open(dir.path(), 6, NodeId(2), true);
        assert!(matches!(other, Err(VoteError::Other { group: 5, .. })), "{other:?}");
    }
}
