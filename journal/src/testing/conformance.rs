//! What any [`Storage`] must do, as a suite that any can run.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::mmap::MapPermit;
use crate::storage::{Access, LockError, Storage, StorageFile};

/// Puts a storage through the contract of [`Storage`], in a directory that does not exist yet.
///
/// Durability cannot be seen from outside; what a crash leaves is tested with
/// [`SimDisk`](super::SimDisk).
///
/// # Errors
///
/// What the storage does wrong, or an error that it answers.
pub fn check_storage(storage: &dyn Storage, dir: &Path) -> Result<(), String> {
    let missing = storage.list(dir).map_err(|error| error.kind());
    expect("listing a missing directory", missing == Err(io::ErrorKind::NotFound))?;
    attempt("create the directory", storage.create_dir(dir))?;
    attempt("create it again", storage.create_dir(dir))?;
    check_files(storage, dir)?;
    check_names(storage, dir)?;
    check_maps(storage, dir)?;
    check_locks(storage, dir)?;
    let incarnation = attempt("name the incarnation", storage.incarnation())?;
    let again = attempt("name it again", storage.incarnation())?;
    expect("one incarnation in one run", incarnation == again)?;
    let mut random = [0; 32];
    attempt("draw numbers", storage.random(&mut random))?;
    expect("numbers that differ", random[..16] != random[16..])?;
    attempt("name the medium", storage.medium(dir))?;
    let identity = attempt("name the directory", storage.identity(dir))?;
    expect("one name for it", attempt("again", storage.identity(dir))? == identity)
}

fn expect(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("the storage fails at: {what}")) }
}

fn attempt<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("the storage fails to {what}: {error}"))
}

fn check_files(storage: &dyn Storage, dir: &Path) -> Result<(), String> {
    let path = dir.join("file");
    let absent = storage.open(&path, Access::Read).map_err(|error| error.kind());
    expect("opening a missing file", absent.err() == Some(io::ErrorKind::NotFound))?;
    let file = attempt("create a file", storage.open(&path, Access::Create))?;
    expect("a new file is empty", attempt("measure", file.is_empty())?)?;
    attempt("write", file.write_at(&[7; 6000], 0))?;
    attempt("write inside", file.write_at(b"inside", 4093))?;
    attempt("sync", file.sync())?;
    attempt("drop the cache", file.drop_cache(u64::MAX))?;
    expect("the length", attempt("measure", file.len())? == 6000)?;
    for access in [Access::Read, Access::Write] {
        let other = attempt("open the file", storage.open(&path, access))?;
        let mut bytes = [0; 8];
        let count = attempt("read", other.read_at(&mut bytes, 4092))?;
        expect("what was written", count == 8 && bytes == *b"\x07inside\x07")?;
        bytes.fill(0);
        let cached = attempt("read the cache", other.read_cached_at(&mut bytes, 4092))?;
        let count = cached.unwrap_or_default().min(bytes.len());
        expect("the cache holds what was written", bytes[..count] == b"\x07inside\x07"[..count])?;
        let count = attempt("read at the end", other.read_at(&mut bytes, 5996))?;
        expect("a read that the end cuts short", count == 4)?;
        let count = attempt("read behind the end", other.read_at(&mut bytes, 7000))?;
        expect("a read behind the end", count == 0)?;
    }
    let direct = attempt("open past the cache", storage.open(&path, Access::ReadDirect))?;
    let mut bytes = vec![0; 3 * 4096];
    let shift = bytes.as_ptr().align_offset(4096);
    let aligned = &mut bytes[shift..shift + 8192];
    let count = attempt("read past the cache", direct.read_at(aligned, 0))?;
    expect("what was written, past the cache", count == 6000 && aligned[..4093] == [7; 4093])?;
    let emptied = attempt("create it again", storage.open(&path, Access::Create))?;
    expect("a file that is made again is empty", attempt("measure", emptied.is_empty())?)?;
    check_allocation(&*emptied)
}

fn check_allocation(file: &dyn StorageFile) -> Result<(), String> {
    attempt("write", file.write_at(&[7; 100], 0))?;
    for allocated in [20_000, 10] {
        attempt("allocate", file.allocate(allocated))?;
        expect("the length allocated", attempt("measure", file.len())? == 20_000)?;
    }
    let mut bytes = vec![1; 20_000];
    let count = attempt("read what was allocated", file.read_at(&mut bytes, 0))?;
    let (before, new) = bytes.split_at(100);
    let holds = count == 20_000 && before == [7; 100] && new.iter().all(|byte| *byte == 0);
    expect("what was there, and zeros behind it", holds)
}

fn check_names(storage: &dyn Storage, dir: &Path) -> Result<(), String> {
    let (from, to) = (dir.join("from"), dir.join("to"));
    for (path, content) in [(&from, b"from"), (&to, b"to..")] {
        let file = attempt("create a file", storage.open(path, Access::Create))?;
        attempt("write", file.write_at(content, 0))?;
    }
    let old = attempt("open", storage.open(&to, Access::Read))?;
    attempt("rename", storage.rename(&from, &to))?;
    attempt("sync the directory", storage.sync_dir(dir))?;
    let mut bytes = [0; 4];
    let file = attempt("open", storage.open(&to, Access::Read))?;
    attempt("read", file.read_at(&mut bytes, 0))?;
    expect("a rename replaces at once", bytes == *b"from")?;
    drop(old);
    let names = |storage: &dyn Storage| -> Result<Vec<OsString>, String> {
        let entries = attempt("list", storage.list(dir))?;
        let mut names: Vec<OsString> = entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        Ok(names)
    };
    expect("the names after a rename", names(storage)? == ["file", "to"])?;
    let open = attempt("open what is removed next", storage.open(&to, Access::Read))?;
    attempt("remove", storage.remove(&to))?;
    attempt("sync the directory", storage.sync_dir(dir))?;
    bytes.fill(0);
    attempt("read what was removed while it is open", open.read_at(&mut bytes, 0))?;
    expect("a file that is open outlives its name", bytes == *b"from")?;
    expect("the names after a removal", names(storage)? == ["file"])?;
    expect("removing what is not there", storage.remove(&to).is_err())?;
    expect("renaming what is not there", storage.rename(&from, &to).is_err())?;
    attempt("create a directory inside", storage.create_dir(&dir.join("inside")))?;
    let entries = attempt("list", storage.list(dir))?;
    let inside = entries.iter().find(|entry| entry.name == "inside");
    expect("a directory inside", inside.is_some_and(|entry| entry.is_dir))
}

fn check_maps(storage: &dyn Storage, dir: &Path) -> Result<(), String> {
    let path = dir.join("map");
    let file = attempt("create a file", storage.open(&path, Access::Create))?;
    attempt("write", file.write_at(&[0; 8192], 0))?;
    let mut map = match file.map_write(8192, MapPermit::for_segment()) {
        Ok(map) => map,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
        Err(error) => return Err(format!("the storage fails to map: {error}")),
    };
    expect("no map past the end", file.map_write(8193, MapPermit::for_segment()).is_err())?;
    map.store(4096 + 32, b"payload");
    map.publish(4096, b"HEADER..HEADER..HEADER..HEADER..");
    if let Some(release) = map.before_sync(4096, 4135) {
        release();
    }
    let mut bytes = [0; 39];
    attempt("read", file.read_at(&mut bytes, 4096))?;
    expect("stores are seen by reads", bytes == *b"HEADER..HEADER..HEADER..HEADER..payload")
}

fn check_locks(storage: &dyn Storage, dir: &Path) -> Result<(), String> {
    let path = dir.join("LOCK");
    let lock = attempt("lock", storage.lock(&path, "the first"))?;
    match storage.lock(&path, "the second") {
        Err(LockError::Held { holder }) => {
            expect("the holder's name", holder.as_deref() == Some("the first"))?;
        }
        other => return Err(format!("the storage locks twice: {other:?}")),
    }
    drop(lock);
    attempt("lock again", storage.lock(&path, "the third")).map(drop)
}
