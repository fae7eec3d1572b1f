//! A coordinator for nodes of one process or of one machine.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Coordinator, CoordinatorEvent};
use crate::codec;
use crate::group::GroupRecord;
use crate::ids::{NodeId, Version};
use crate::node::Swapped;
use crate::transport::Wake;

/// A register for nodes of one process, or of one machine by way of a directory: for tests, and for groups that shall
/// survive the death of processes and no more. Nodes of several machines need one that outlives each of them.
///
/// In a directory there are `GROUP`, the version (8, little-endian) and the [record](codec::encode_record), which is
/// replaced by renaming; `LEASE`, the holder (4) and the time until it holds, in milliseconds since 1970 (8); and `LOCK`,
/// which whoever reads or writes locks. Not for network file systems.
#[derive(Debug)]
pub struct LocalCoordinator {
    node: NodeId,
    store: Store,
    lease: Duration,
    leads: bool,
    held_until: Option<Instant>,
    /// When it last looked whether the record has changed, and held the lease again.
    looked: u64,
    /// When it may say again that nobody holds the lease.
    expires: u64,
    seen: Version,
    events: VecDeque<CoordinatorEvent>,
    wake: Option<Arc<dyn Wake>>,
}

#[derive(Clone, Debug)]
enum Store {
    Memory(Arc<Mutex<Register>>),
    Directory(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Register {
    record: Option<(Version, GroupRecord)>,
    lease: Option<(NodeId, u64)>,
}

/// Milliseconds since 1970. Only leases depend on it, and only progress on leases.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl LocalCoordinator {
    /// One for each of the nodes of a process, all of the same group.
    pub fn in_memory(
        nodes: impl IntoIterator<Item = NodeId>,
        lease: Duration,
    ) -> impl Iterator<Item = Self> {
        let register = Arc::new(Mutex::new(Register::default()));
        let store = Store::Memory(register);
        nodes.into_iter().map(move |node| Self::new(node, store.clone(), lease))
    }

    /// That of a node of a group whose register is in a directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made or read.
    pub fn in_directory(dir: impl AsRef<Path>, node: NodeId, lease: Duration) -> io::Result<Self> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir)?;
        let store = Store::Directory(dir.to_owned());
        store.with(|_| ())?;
        Ok(Self::new(node, store, lease))
    }

    fn new(node: NodeId, store: Store, lease: Duration) -> Self {
        Self {
            node,
            store,
            lease,
            leads: false,
            held_until: None,
            looked: 0,
            // Who starts first has time to come up.
            expires: now() + millis(lease),
            seen: Version(0),
            events: VecDeque::new(),
            wake: None,
        }
    }

    fn say(&mut self, event: CoordinatorEvent) {
        self.events.push_back(event);
        if let Some(wake) = &self.wake {
            wake.wake();
        }
    }

    /// Looks whether the record has changed and the lease is held, and holds it.
    fn look(&mut self) {
        let time = now();
        if time < self.looked + millis(self.lease) / 8 && time >= self.looked {
            return;
        }
        self.looked = time;
        let (node, leads, until) = (self.node, self.leads, time + millis(self.lease));
        let holding = Instant::now() + self.lease;
        let looked = self.store.with(|register| {
            let is_free = register.lease.is_none_or(|(holder, end)| holder == node || end < time);
            if leads && is_free {
                register.lease = Some((node, until));
            }
            let is_own = register.lease.is_some_and(|(holder, _)| holder == node);
            (register.record.clone(), is_free && !leads, is_own)
        });
        let Ok((record, is_free, is_own)) = looked else { return };
        if leads && is_own {
            self.held_until = Some(holding);
        } else if !is_own {
            self.held_until = None;
        }
        if let Some((version, record)) = record
            && version > self.seen
        {
            self.seen = version;
            self.events.push_back(CoordinatorEvent::Record(version, record));
        }
        if is_free && time >= self.expires {
            // Not all at once: those with lower numbers first.
            self.expires = time + millis(self.lease) / 2 * (2 + u64::from(node.0 % 8));
            self.events.push_back(CoordinatorEvent::LeaseExpired);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// Reads the register, lets it be changed, and keeps it if it was. Nobody else does so meanwhile.
    fn with<R>(&self, change: impl FnOnce(&mut Register) -> R) -> io::Result<R> {
        match self {
            Self::Memory(register) => {
                Ok(change(&mut register.lock().unwrap_or_else(PoisonError::into_inner)))
            }
            Self::Directory(dir) => {
                let mut options = File::options();
                options.create(true).truncate(false).write(true);
                let lock = options.open(dir.join("LOCK"))?;
                lock.lock()?;
                let before = read(dir)?;
                let mut register = before.clone();
                let result = change(&mut register);
                if register.record != before.record
                    && let Some((version, record)) = &register.record
                {
                    let bytes =
                        [&version.0.to_le_bytes()[..], &codec::encode_record(record)].concat();
                    replace(dir, "GROUP", &bytes, true)?;
                }
                if register.lease != before.lease
                    && let Some((holder, until)) = register.lease
                {
                    let bytes = [&holder.0.to_le_bytes()[..], &until.to_le_bytes()].concat();
                    replace(dir, "LEASE", &bytes, false)?;
                }
                Ok(result)
            }
        }
    }
}

fn read(dir: &Path) -> io::Result<Register> {
    let file = |name: &str| match fs::read(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    };
    let record = match file("GROUP")? {
        None => None,
        Some(bytes) => {
            let record = bytes.split_first_chunk::<8>().and_then(|(version, record)| {
                Some((Version(u64::from_le_bytes(*version)), codec::decode_record(record)?))
            });
            let path = dir.join("GROUP");
            let damaged = || io::Error::other(format!("{} is damaged", path.display()));
            Some(record.ok_or_else(damaged)?)
        }
    };
    let lease = file("LEASE")?.and_then(|bytes| {
        let (holder, until) = bytes.split_first_chunk::<4>()?;
        let until = u64::from_le_bytes(until.try_into().ok()?);
        Some((NodeId(u32::from_le_bytes(*holder)), until))
    });
    Ok(Register { record, lease })
}

/// Replaces a file; durable, if that is wanted.
fn replace(dir: &Path, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.tmp")));
    fs::write(&new, bytes)?;
    if durable {
        File::open(&new)?.sync_all()?;
    }
    fs::rename(&new, &path)?;
    if durable {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

impl Coordinator for LocalCoordinator {
    fn start(&mut self, wake: Arc<dyn Wake>) {
        self.wake = Some(wake);
    }

    fn read(&mut self) {
        match self.store.with(|register| register.record.clone()) {
            Ok(Some((version, record))) => {
                self.seen = self.seen.max(version);
                self.say(CoordinatorEvent::Record(version, record));
            }
            Ok(None) => self.say(CoordinatorEvent::NoRecord),
            Err(_) => {} // asked again by and by
        }
    }

    fn swap(&mut self, ticket: u64, expect: Version, record: GroupRecord) {
        let holding = Instant::now() + self.lease;
        let (node, until) = (self.node, now() + millis(self.lease));
        let is_own = record.leader == node;
        let swapped = self.store.with(|register| {
            let version = register.record.as_ref().map_or(Version(0), |&(version, _)| version);
            if version == expect {
                let next = Version(version.0 + 1);
                register.record = Some((next, record.clone()));
                if is_own {
                    // A candidate has as long to become the leader.
                    register.lease = Some((node, until));
                }
                return Swapped::Done(next);
            }
            match &register.record {
                Some((version, record)) => Swapped::Conflict(*version, record.clone()),
                None => Swapped::Unknown,
            }
        });
        // If it could not be written, it may have been all the same.
        let swapped = swapped.unwrap_or(Swapped::Unknown);
        if is_own && matches!(swapped, Swapped::Done(_)) {
            self.held_until = Some(holding);
        }
        self.say(CoordinatorEvent::Swapped { ticket, swapped });
    }

    fn lead(&mut self, leads: bool) {
        if self.leads && !leads {
            let node = self.node;
            let released = self.store.with(|register| {
                if register.lease.is_some_and(|(holder, _)| holder == node) {
                    register.lease = Some((node, 0));
                }
            });
            // If not, it ends by itself.
            released.ok();
        }
        if !leads {
            self.held_until = None;
        }
        self.leads = leads;
        self.looked = 0;
    }

    fn poll(&mut self) -> Option<CoordinatorEvent> {
        self.look();
        self.events.pop_front()
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    fn held_until(&self) -> Option<Instant> {
        // Whole milliseconds, rounded down on both sides.
        self.held_until.and_then(|until| until.checked_sub(Duration::from_millis(2)))
    }
}
