//! A socket lent to whoever may end the wait in it: a receive that blocks ends when its socket is shut down.
//!
//! A descriptor's number means something only while its owner keeps it open. So the owner takes it back
//! before it does anything else with the socket, and waits for a shutdown that is under way.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustix::net::Shutdown;

use super::fork;

/// A place for one socket, which any number of threads may shut down while it is there.
#[derive(Debug, Default)]
pub(crate) struct Loan(AtomicU64);

/// Nobody lends anything.
const NONE: u64 = 0;
/// The socket is being shut down.
const IN_USE: u64 = 1;

impl Loan {
    /// Puts a socket there, unless there is one. Whoever lends looks at its flag after this and before
    /// it blocks, and takes the socket back whatever happens.
    pub fn lend(&self, socket: BorrowedFd<'_>) -> bool {
        self.0.compare_exchange(NONE, packed(socket.as_raw_fd()), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Takes back what was lent.
    pub fn take_back(&self, socket: BorrowedFd<'_>) {
        let lent = packed(socket.as_raw_fd());
        if self.0.compare_exchange(lent, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return;
        }
        // In a forked child the thread that was shutting it down is not there to end that.
        while self.0.load(Ordering::SeqCst) == IN_USE && packed(socket.as_raw_fd()) == lent {
            thread::yield_now();
        }
    }

    /// Shuts down what is lent, for receiving; of no effect on what a parent lent before a fork.
    /// Async-signal-safe but for `errno`: loads, compares and one `shutdown`.
    ///
    /// The caller has set its flag before.
    pub fn shut_down(&self) {
        let lent = self.0.load(Ordering::SeqCst);
        let number = (lent & NUMBER) as RawFd;
        if packed(number) == lent
            && self.0.compare_exchange(lent, IN_USE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            // SAFETY: it is lent and in use, and until that ends its owner keeps it open.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            // It fails where the connection is over, and then nobody blocks.
            let _ = rustix::net::shutdown(socket, Shutdown::Read);
            self.0.store(NONE, Ordering::SeqCst);
        }
    }
}

/// The bits of a descriptor's number, which is never negative.
const NUMBER: u64 = i32::MAX as u64;

/// A descriptor of this process in one word that is neither of those above.
fn packed(number: RawFd) -> u64 {
    1 << 63 | (fork::generation() & NUMBER) << 32 | number as u64 & NUMBER
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_receive_that_blocks_ends_when_its_socket_is_shut_down() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let loan = Loan::default();
        assert!(loan.lend(ours.as_fd()));
        let started = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                loan.shut_down();
            });
            assert_eq!(ours.read(&mut [0]).unwrap(), 0);
        });
        assert!(started.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn only_what_is_lent_is_shut_down() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let loan = Loan::default();
        loan.shut_down();
        assert!(loan.lend(ours.as_fd()));
        assert!(!loan.lend(theirs.as_fd()), "one socket at a time");
        loan.take_back(theirs.as_fd());
        loan.take_back(ours.as_fd());
        loan.shut_down();
        let silent = ours.read(&mut [0]).unwrap_err();
        assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
        assert!(loan.lend(ours.as_fd()));
    }

    #[test]
    fn a_child_leaves_alone_what_its_parent_lent() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let loan = Loan::default();
        assert!(loan.lend(ours.as_fd()));
        // SAFETY: the child makes one system call at most and leaves at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            loan.shut_down();
            // SAFETY: ends the child without running anything of the test program.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child);
        let silent = ours.read(&mut [0]).unwrap_err();
        assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
        loan.take_back(ours.as_fd());
    }

    #[test]
    fn no_shutdown_is_under_way_once_it_was_taken_back() {
        let loan = Loan::default();
        thread::scope(|scope| {
            let shutting = scope.spawn(|| {
                for _ in 0..20_000 {
                    loan.shut_down();
                }
            });
            while !shutting.is_finished() {
                let (ours, _theirs) = UnixStream::pair().unwrap();
                assert!(loan.lend(ours.as_fd()));
                loan.take_back(ours.as_fd());
                // Whatever gets the number next must not be shut down.
                drop(ours);
                let (mut next, mut theirs) = UnixStream::pair().unwrap();
                next.set_nonblocking(true).unwrap();
                std::io::Write::write_all(&mut theirs, b"x").unwrap();
                assert_eq!(next.read(&mut [0; 2]).unwrap(), 1);
                let silent = next.read(&mut [0]).unwrap_err();
                assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
            }
        });
    }
}
