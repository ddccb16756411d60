//! Telling a forked child from its parent, without a system call.
//!
//! One page that the kernel wipes in the child (`MADV_WIPEONFORK`) also sees `_Fork` and `clone`,
//! which fork handlers do not. Where there is no such page, the process id serves.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers handed out so far; a child continues its parent's count, so it never meets a number
/// that stands in an object it inherited.
static LAST: AtomicU64 = AtomicU64::new(0);

static MARK: OnceLock<Mark> = OnceLock::new();

enum Mark {
    /// Holds the process's number; zero after a fork.
    Page(&'static AtomicU64),
    /// No such page here: the process id is asked each time.
    ProcessId,
}

/// This process's number: the same until a fork, another one in the child.
pub(crate) fn generation() -> u64 {
    match MARK.get_or_init(Mark::new) {
        Mark::Page(word) => match word.load(Ordering::Relaxed) {
            0 => number(word),
            number => number,
        },
        Mark::ProcessId => u64::from(std::process::id()),
    }
}

#[cold]
fn number(word: &AtomicU64) -> u64 {
    let fresh = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => fresh,
        Err(of_another_thread) => of_another_thread,
    }
}

impl Mark {
    #[cfg(target_os = "linux")]
    fn new() -> Mark {
        const SIZE: usize = 4096;
        // SAFETY: a fresh anonymous mapping; nothing else knows of it.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Mark::ProcessId;
        }
        // SAFETY: the range is the mapping made above.
        if unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) } != 0 {
            // SAFETY: as above; nothing refers to the page yet.
            unsafe { libc::munmap(page, SIZE) };
            return Mark::ProcessId;
        }
        // SAFETY: the mapping is page-aligned, zeroed, never unmapped, and used as this atomic alone.
        Mark::Page(unsafe { &*page.cast::<AtomicU64>() })
    }

    #[cfg(not(target_os = "linux"))]
    fn new() -> Mark {
        Mark::ProcessId
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_made_without_fork_handlers_has_another_number() {
        let parent = generation();
        assert_eq!(parent, generation());
        // SAFETY: the child only compares numbers and leaves at once.
        let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if child == 0 {
            let changed = generation() != parent && generation() == generation();
            // SAFETY: ends the child without running anything of the test program.
            unsafe { libc::_exit(if changed { 7 } else { 8 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child as i32, &mut status, 0) }, child as i32);
        assert_eq!(libc::WEXITSTATUS(status), 7);
        assert_eq!(parent, generation());
    }
}
