//! The choice of the write mode.

use crate::error::{At as _, IoError};
use crate::files::Dir;
use crate::mmap::MapPermit;
use crate::options::WriteMode;
use crate::storage::Medium;

/// The file of the self-test; removed with the other temporary files if a crash leaves it.
const TEST_NAME: &str = "selftest.tmp";
const TEST_BYTES: u64 = 8192;

/// The forced mode, or the map where stores through it and reads of the file agree. Where
/// overwriting allocates, a store can find the disk full, which only `pwrite` can report.
pub(super) fn choose(
    dir: &Dir,
    forced: Option<WriteMode>,
    medium: Medium,
) -> Result<WriteMode, IoError> {
    match forced {
        Some(mode) => Ok(mode),
        None if medium != Medium::InPlace => Ok(WriteMode::Pwrite),
        None => match map_agrees(dir) {
            Ok(true) => Ok(WriteMode::Map),
            Ok(false) => Ok(WriteMode::Pwrite),
            // No room for the test. What is always right, until the journal is opened again.
            Err(error) if error.is_out_of_space() => {
                drop(dir.remove(TEST_NAME));
                Ok(WriteMode::Pwrite)
            }
            Err(error) => Err(error),
        },
    }
}

/// Whether stores through a map are seen by reads of the file, and writes by the map.
fn map_agrees(dir: &Dir) -> Result<bool, IoError> {
    let path = dir.file(TEST_NAME);
    let file = dir.fill(TEST_NAME, TEST_BYTES)?;
    let agrees = match file.map_write(TEST_BYTES, MapPermit::for_segment()) {
        Err(_) => false, // No maps here: `pwrite` needs none.
        Ok(mut map) => {
            let header = *b"the header of the self-test: 32.";
            map.store(4096 + 32, b"payload");
            map.publish(4096, &header);
            let mut read = [0; 39];
            let count = file.read_at(&mut read, 4096).at("read", &path)?;
            count == read.len() && read[..32] == header && &read[32..] == b"payload"
        }
    };
    dir.remove(TEST_NAME)?;
    Ok(agrees)
}
