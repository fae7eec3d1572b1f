//! Where threads sleep until a number changes, and are woken all at once by one call.
//!
//! Whoever wakes threads one by one gives a processor that idles something to do for as long as one
//! of them runs, and pays for each a call and an interrupt of that processor.
//!
//! Elsewhere than on Linux a lock and a condition variable do it; so they do under a scheduler that
//! tries interleavings, and in Miri, which follows no such system call.

#[cfg(all(target_os = "linux", not(any(shuttle, miri))))]
pub(crate) use linux::Gate;
#[cfg(not(all(target_os = "linux", not(any(shuttle, miri)))))]
pub(crate) use portable::Gate;

#[cfg(all(target_os = "linux", not(any(shuttle, miri))))]
mod linux {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::thread::futex;

    /// A number on which threads sleep.
    #[derive(Debug, Default)]
    pub(crate) struct Gate {
        turn: AtomicU32,
    }

    impl Gate {
        /// The number to hand to [`sleep`](Self::sleep); read it before looking at what is waited for.
        pub(crate) fn turn(&self) -> u32 {
            self.turn.load(Ordering::Acquire)
        }

        /// Sleeps unless the number has changed; may end early.
        pub(crate) fn sleep(&self, turn: u32) {
            // An error says that the number has changed, or that a signal came.
            let _woken = futex::wait(&self.turn, futex::Flags::PRIVATE, turn, None);
        }

        /// Changes the number and wakes one of the threads that sleep.
        pub(crate) fn wake_one(&self) {
            self.wake(1);
        }

        /// Changes the number and wakes all of the threads that sleep.
        pub(crate) fn wake_all(&self) {
            self.wake(i32::MAX.cast_unsigned());
        }

        fn wake(&self, count: u32) {
            self.turn.fetch_add(1, Ordering::Release);
            futex::wake(&self.turn, futex::Flags::PRIVATE, count)
                .expect("the number is aligned and lives");
        }
    }
}

#[cfg(not(all(target_os = "linux", not(any(shuttle, miri)))))]
mod portable {
    use std::sync::PoisonError;

    use crate::primitives::{Condvar, Mutex, MutexGuard};

    /// A number on which threads sleep.
    #[derive(Debug, Default)]
    pub(crate) struct Gate {
        turn: Mutex<u32>,
        changed: Condvar,
    }

    impl Gate {
        fn lock(&self) -> MutexGuard<'_, u32> {
            self.turn.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// The number to hand to [`sleep`](Self::sleep); read it before looking at what is waited for.
        pub(crate) fn turn(&self) -> u32 {
            *self.lock()
        }

        /// Sleeps unless the number has changed; may end early.
        pub(crate) fn sleep(&self, turn: u32) {
            let current = self.lock();
            if *current == turn {
                drop(self.changed.wait(current).unwrap_or_else(PoisonError::into_inner));
            }
        }

        /// Changes the number and wakes one of the threads that sleep.
        pub(crate) fn wake_one(&self) {
            self.change();
            self.changed.notify_one();
        }

        /// Changes the number and wakes all of the threads that sleep.
        pub(crate) fn wake_all(&self) {
            self.change();
            self.changed.notify_all();
        }

        fn change(&self) {
            let mut turn = self.lock();
            *turn = turn.wrapping_add(1);
        }
    }
}
