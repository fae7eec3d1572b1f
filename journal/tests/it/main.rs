//! Tests of the journal through its public interface.

mod basics;
mod common;
mod compacted;
mod crash;
mod cuts;
mod damage;
mod faults;
mod format;
mod full_disk;
mod fuzz;
mod golden;
mod histories;
mod hooked;
#[cfg(shuttle)]
mod interleavings;
mod keyed;
mod lazyfs;
mod left_over;
mod mend;
mod model;
mod mounted;
mod normalize;
mod overtaken;
mod pinned;
mod process;
mod real_disks;
#[cfg(target_os = "linux")]
mod recorded;
#[cfg(target_os = "linux")]
mod recorder;
mod recovery;
mod reopened_full;
mod repair;
mod storage;
mod tail;
mod threads;
mod world;
