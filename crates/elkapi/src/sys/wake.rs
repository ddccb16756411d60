//! A descriptor that wakes a waiting thread, from any thread and from signal handlers.
//!
//! [`Wake`] is readable for ever once it was woken. [`WakeSlot`] holds one that the first waiter
//! makes; waking an empty slot does nothing, because whoever waits later looks at the flag first.
//! [`Level`] is readable until it is lowered again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering, fence};

use super::fork;

/// Readable once woken; belongs to the process that made it.
#[derive(Debug)]
pub(crate) struct Wake {
    reader: OwnedFd,
    /// `None` where one descriptor serves both ends.
    writer: Option<OwnedFd>,
    generation: u64,
}

impl Wake {
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Wake> {
        let (reader, writer) = pair()?;
        Ok(Wake { reader, writer, generation: fork::generation() })
    }

    /// Makes it readable. Async-signal-safe but for `errno`; of no effect in a forked child, where
    /// the descriptor is still the parent's.
    pub fn wake(&self) {
        if self.generation == fork::generation() {
            let end = self.writer.as_ref().unwrap_or(&self.reader);
            // A full pipe or counter is readable already, and nothing else can fail.
            let _ = rustix::io::write(end, &1u64.to_ne_bytes());
        }
    }

    fn is_ours(&self) -> bool {
        self.generation == fork::generation()
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(all(target_os = "linux", not(elkapi_portable)))]
fn pair() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok((eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, None))
}

#[cfg(not(all(target_os = "linux", not(elkapi_portable))))]
fn pair() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (reader, writer) = rustix::pipe::pipe()?;
    for end in [&reader, &writer] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok((reader, Some(writer)))
}

/// Readable from when it is raised until it is lowered. Who raises and lowers it keeps to an order of
/// their own, under a lock.
#[derive(Debug)]
pub(crate) struct Level(Wake);

impl Level {
    /// A low one.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Level> {
        Wake::new().map(Level)
    }

    /// Makes it readable; of no effect in a forked child.
    pub fn raise(&self) {
        self.0.wake();
    }

    /// Makes it silent; of no effect in a forked child.
    pub fn lower(&self) {
        if !self.0.is_ours() {
            return;
        }
        let mut taken = [0; 64];
        // A counter is empty after one read; a pipe may hold more.
        while matches!(rustix::io::read(&self.0.reader, &mut taken), Ok(64)) {}
    }
}

impl AsFd for Level {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A place for one [`Wake`], filled by the first waiter.
#[derive(Debug, Default)]
pub(crate) struct WakeSlot(AtomicPtr<Wake>);

impl WakeSlot {
    /// Wakes who waits. Async-signal-safe but for `errno`: loads, compares and one `write`.
    ///
    /// The caller has set its flag before.
    pub fn wake(&self) {
        // Pairs with the fence in `get`: either the waiter sees the flag, or we see its descriptor.
        fence(Ordering::SeqCst);
        // SAFETY: the pointer is null or from `Box::into_raw` in `get`; what it points to is freed
        // only when the slot is dropped, and we hold the slot.
        if let Some(wake) = unsafe { self.0.load(Ordering::Acquire).as_ref() } {
            wake.wake();
        }
    }

    /// The descriptor to wait on. The caller looks at its flag after this and before it waits.
    pub fn get(&self) -> io::Result<&Wake> {
        let mut present = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: as in `wake`.
            if let Some(wake) = unsafe { present.as_ref() }
                && wake.is_ours()
            {
                fence(Ordering::SeqCst);
                return Ok(wake);
            }
            // Empty, or inherited over a fork: the parent's is left alone, and never freed, because
            // in the child it may be shared with a copy of a thread that no longer exists.
            let fresh = Box::into_raw(Box::new(Wake::new()?));
            match self.0.compare_exchange(present, fresh, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => present = fresh,
                Err(of_another_thread) => {
                    // SAFETY: `fresh` was made above and nobody else has seen it.
                    drop(unsafe { Box::from_raw(fresh) });
                    present = of_another_thread;
                }
            }
        }
    }
}

impl Drop for WakeSlot {
    fn drop(&mut self) {
        let wake = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        if !wake.is_null() {
            // SAFETY: from `Box::into_raw` in `get`; the slot is going, so nobody borrows from it.
            drop(unsafe { Box::from_raw(wake) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn readable(wake: &Wake) -> bool {
        let mut fds = [PollFd::new(wake, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn a_wake_stays_readable_however_often_it_is_woken() {
        let slot = WakeSlot::default();
        slot.wake();
        assert!(!readable(slot.get().unwrap()), "waking an empty slot leaves nothing behind");
        for _ in 0..70_000 {
            slot.wake();
        }
        assert!(readable(slot.get().unwrap()));
        assert!(readable(slot.get().unwrap()));
    }

    #[test]
    fn a_level_is_readable_until_it_is_lowered() {
        let level = Level::new().unwrap();
        assert!(!readable(&level.0));
        for _ in 0..100 {
            level.raise();
        }
        assert!(readable(&level.0) && readable(&level.0));
        level.lower();
        assert!(!readable(&level.0));
        level.raise();
        assert!(readable(&level.0));
    }

    #[test]
    fn threads_that_wait_first_at_once_share_one_descriptor() {
        let slot = WakeSlot::default();
        let fds: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| std::os::fd::AsRawFd::as_raw_fd(&slot.get().unwrap().as_fd())))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(fds.iter().all(|fd| *fd == fds[0]), "{fds:?}");
    }
}
