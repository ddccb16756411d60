//! Threads that leave the host alone: named, all signals blocked.

use std::io;
use std::thread::Builder;

/// Starts a detached thread that no signal of the host is ever delivered to.
///
/// # Errors
///
/// When the process cannot have another thread.
pub(crate) fn spawn_quiet(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let before = SignalMask::block_all();
    // Name service modules of the host run on it; address space is all that a larger stack costs.
    let started = Builder::new().name(name.to_owned()).stack_size(512 * 1024).spawn(run);
    drop(before);
    started.map(drop)
}

/// From now on this thread, when it is woken, does not take the core away from who runs there: it waits
/// until that one sleeps or its time is over. Where the system has no such thing, nothing changes.
///
/// Without it, who hands over work loses its own core to the thread that it wakes, for milliseconds.
pub(crate) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: plain data of which zero is a value; the call reads it and changes this thread alone.
        unsafe {
            let normal: libc::sched_param = std::mem::zeroed();
            libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_BATCH, &normal);
        }
    }
}

/// All signals blocked on this thread; a thread started meanwhile inherits that. Restored on drop.
struct SignalMask(libc::sigset_t);

impl SignalMask {
    fn block_all() -> SignalMask {
        // SAFETY: plain data; `sigfillset` fills it and `pthread_sigmask` reads one set and writes the
        // other, both alive here.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            SignalMask(before)
        }
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: the set was written by `block_all` on this same thread.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}
