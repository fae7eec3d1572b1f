//! What kind of file system holds a directory, by the magic numbers of statfs(2).

#[cfg(target_os = "linux")]
use std::fs;
use std::io;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;

use super::Medium;

/// Where Linux names its version.
#[cfg(target_os = "linux")]
const OS_RELEASE: &str = "/proc/sys/kernel/osrelease";

/// What statfs(2) says of the file system that holds the directory.
pub(super) fn magic_of(dir: &Path) -> io::Result<u32> {
    let info = rustix::fs::statfs(dir)?;
    // The type's width differs by architecture; the magic numbers are 32 bits wide.
    Ok(u32::try_from(info.f_type & 0xffff_ffff).unwrap_or_default())
}

/// Whether each handle of a file in the directory is told of a failure to write back: by a file system
/// that is known to, of a Linux whose open files each keep their own place in the sequence of errors of
/// the inode.
#[cfg(target_os = "linux")]
pub(super) fn tells_every_handle(dir: &Path) -> io::Result<bool> {
    static KEEPS_PLACES: OnceLock<bool> = OnceLock::new();
    let keeps_places = || fs::read_to_string(OS_RELEASE).is_ok_and(|text| keeps_places(&text));
    Ok(checks_by_place(magic_of(dir)?) && *KEEPS_PLACES.get_or_init(keeps_places))
}

/// Whether fsync(2) of the file system answers by the open file's place in the sequence of errors.
///
/// On the others, among them FUSE, those of a network, and overlays, whose files stand for others',
/// nobody has looked.
#[cfg(target_os = "linux")]
fn checks_by_place(magic: u32) -> bool {
    // Ext2 to ext4, XFS, Btrfs, F2FS.
    matches!(magic, 0xef53 | 0x5846_5342 | 0x9123_683e | 0xf2f5_2010)
}

/// Whether a Linux of this version keeps those places: 4.13 began to, and in 4.14 all of the file
/// systems that count here answer by them.
#[cfg(target_os = "linux")]
fn keeps_places(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (4, 14),
        _ => false,
    }
}

/// Sorts file systems by the magic numbers of statfs(2).
pub(super) fn medium_of(magic: u32) -> Medium {
    match magic {
        // NFS, SMB, SMB2, CIFS, NCP, Coda, AFS, Ceph, 9P, Lustre, GFS2, OCFS2.
        0x6969 | 0x517b | 0xfe53_4d42 | 0xff53_4d42 | 0x564c | 0x7375_7245 | 0x5346_414f
        | 0x00c3_6400 | 0x0102_1997 | 0x0bd0_0bd0 | 0x0116_1970 | 0x7461_636f => Medium::Network,
        // Btrfs, ZFS, bcachefs, the logs F2FS and NILFS, and FUSE, which can be anything but a promise to
        // keep blocks.
        0x9123_683e | 0x2fc1_2fc1 | 0xca45_1a4e | 0xf2f5_2010 | 0x3434 | 0x6573_5546 => {
            Medium::CopyOnWrite
        }
        _ => Medium::InPlace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_copying_file_systems_are_known() {
        assert_eq!(medium_of(0x6969), Medium::Network);
        assert_eq!(medium_of(0x9123_683e), Medium::CopyOnWrite);
        assert_eq!(medium_of(0xf2f5_2010), Medium::CopyOnWrite);
        assert_eq!(medium_of(0xef53), Medium::InPlace);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_known_local_file_systems_tell_every_handle() {
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010] {
            assert!(checks_by_place(magic), "{magic:x}");
            assert_ne!(medium_of(magic), Medium::Network, "{magic:x}");
        }
        // NFS, SMB2, FUSE, overlay, tmpfs, ZFS, and one that is nobody's.
        let others =
            [0x6969, 0xfe53_4d42, 0x6573_5546, 0x794c_7630, 0x0102_1994, 0x2fc1_2fc1, 0x1234_5678];
        for magic in others {
            assert!(!checks_by_place(magic), "{magic:x}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_a_linux_that_keeps_places_tells_every_handle() {
        for release in ["4.14.0-8-amd64\n", "4.19", "5.0.0-rc1\n", "6.1-custom", "10.0.1"] {
            assert!(keeps_places(release), "{release}");
        }
        for release in ["4.13.16\n", "4.9.337", "3.20.0", "4", "", "next.14", "4.x", "-4.14"] {
            assert!(!keeps_places(release), "{release}");
        }
    }

    /// The directory is asked, not the system: `/proc` is on no disk.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_directory_is_asked() {
        assert!(!tells_every_handle(Path::new("/proc")).expect("it is there"));
        let missing = tells_every_handle(Path::new("/no/such/directory"));
        assert_eq!(missing.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let release = fs::read_to_string(OS_RELEASE).expect("a Linux");
        let expected =
            checks_by_place(magic_of(dir.path()).expect("it is there")) && keeps_places(&release);
        assert_eq!(tells_every_handle(dir.path()).ok(), Some(expected));
    }
}
