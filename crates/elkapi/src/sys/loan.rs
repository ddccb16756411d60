//! A socket lent to whoever may end the wait in it: a receive that blocks ends when its socket is shut down.
//!
//! A descriptor's number means something only while its owner keeps it open. So the owner takes it back
//! before it does anything else with the socket, and waits for a shutdown that is under way.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::Shutdown;

use super::fork;

/// A place for one socket, which any number of threads may shut down while it is there.
#[derive(Debug, Default)]
pub(crate) struct Loan(AtomicU64);

/// A descriptor of one process, as it stands in a [`Loan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(u64);

/// Nobody lends anything.
const NONE: u64 = 0;
/// Beside a number: the socket is being shut down.
const IN_USE: u64 = 1 << 31;
/// The bits of a descriptor's number, which is never negative, and as many of the process's.
const BITS: u64 = IN_USE - 1;

impl Number {
    pub fn of(socket: BorrowedFd<'_>) -> Number {
        Number::here(socket.as_raw_fd())
    }

    fn here(number: RawFd) -> Number {
        Number(1 << 63 | (fork::generation() & BITS) << 32 | number as u64 & BITS)
    }

    fn raw(self) -> RawFd {
        (self.0 & BITS) as RawFd
    }

    fn is_of_this_process(self) -> bool {
        Number::here(self.raw()) == self
    }
}

impl Loan {
    /// Puts a socket there; `false` where another one is. Whoever lends looks at its flag after this and
    /// before it blocks, and takes the socket back whatever happens.
    pub fn lend(&self, socket: Number) -> bool {
        let mut present = self.0.load(Ordering::SeqCst);
        // What a parent lent before a fork is for nobody here.
        if present != NONE && !Number(present & !IN_USE).is_of_this_process() {
            // Who fails lends nothing, which costs a little speed alone.
            let emptied = self.0.compare_exchange(present, NONE, Ordering::SeqCst, Ordering::SeqCst);
            present = if emptied.is_ok() { NONE } else { present };
        }
        present == NONE && self.0.compare_exchange(NONE, socket.0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Takes back what was lent.
    pub fn take_back(&self, socket: Number) {
        if self.0.compare_exchange(socket.0, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return;
        }
        let mut turns = 0;
        // A child has not the thread that would end it.
        while self.0.load(Ordering::SeqCst) == socket.0 | IN_USE && socket.is_of_this_process() {
            turns += 1;
            if turns < 16 {
                thread::yield_now();
            } else {
                // That thread may be of a lower priority than this one.
                thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// Shuts down what is lent, for receiving, and says whether that was anything; of no effect on what a parent
    /// lent before a fork.
    /// Async-signal-safe but for `errno`: loads, compares and one `shutdown`.
    ///
    /// The caller has set its flag before.
    pub fn shut_down(&self) -> bool {
        let present = self.0.load(Ordering::SeqCst);
        // Before anything else: only who lent something has made what tells processes apart, and to make
        // that is nothing for a signal handler.
        if present == NONE || present & IN_USE != 0 {
            return false;
        }
        let lent = Number(present);
        if !lent.is_of_this_process()
            || self.0.compare_exchange(present, present | IN_USE, Ordering::SeqCst, Ordering::SeqCst).is_err()
        {
            return false;
        }
        // SAFETY: it is lent and in use, and until that ends its owner keeps it open.
        let socket = unsafe { BorrowedFd::borrow_raw(lent.raw()) };
        // It fails where the connection is over, and then nobody blocks.
        let _ = rustix::net::shutdown(socket, Shutdown::Read);
        self.0.store(NONE, Ordering::SeqCst);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    use super::*;

    fn number(socket: &UnixStream) -> Number {
        Number::of(socket.as_fd())
    }

    fn is_silent(mut socket: &UnixStream) -> bool {
        socket.set_nonblocking(true).unwrap();
        socket.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Runs it in a child, and says whether it answered yes there.
    fn in_a_child(run: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child makes few system calls and leaves at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = if run() { 7 } else { 8 };
            // SAFETY: ends the child without running anything of the test program.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        libc::WEXITSTATUS(status) == 7
    }

    #[test]
    fn a_receive_that_blocks_ends_when_its_socket_is_shut_down() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let loan = Loan::default();
        assert!(loan.lend(number(&ours)));
        let started = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                assert!(loan.shut_down());
            });
            assert_eq!(ours.read(&mut [0]).unwrap(), 0);
        });
        assert!(started.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn only_what_is_lent_is_shut_down() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let loan = Loan::default();
        assert!(!loan.shut_down());
        assert!(loan.lend(number(&ours)));
        assert!(!loan.lend(number(&theirs)), "one socket at a time");
        loan.take_back(number(&theirs));
        assert!(!loan.lend(number(&theirs)), "who lent it takes it back");
        loan.take_back(number(&ours));
        assert!(!loan.shut_down());
        assert!(is_silent(&ours));
        assert!(loan.lend(number(&ours)));
    }

    #[test]
    fn a_child_leaves_alone_what_its_parent_lent() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let loan = Loan::default();
        let lent = number(&ours);
        assert!(loan.lend(lent));
        assert!(in_a_child(|| !loan.shut_down()));
        assert!(is_silent(&ours));
        assert!(in_a_child(|| loan.lend(number(&theirs))), "its own it may lend");
        // A thread that shuts it down just now is not there in a child.
        loan.0.store(lent.0 | IN_USE, Ordering::SeqCst);
        assert!(in_a_child(|| {
            loan.take_back(lent);
            loan.lend(number(&theirs))
        }));
        loan.0.store(lent.0, Ordering::SeqCst);
        loan.take_back(lent);
        assert_eq!(loan.0.load(Ordering::SeqCst), NONE);
    }

    #[test]
    fn its_owner_waits_for_a_shutdown_that_is_under_way() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let loan = Loan::default();
        let lent = number(&ours);
        loan.0.store(lent.0 | IN_USE, Ordering::SeqCst);
        let started = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                loan.0.store(NONE, Ordering::SeqCst);
            });
            loan.take_back(lent);
        });
        assert!(started.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn no_shutdown_is_under_way_once_it_was_taken_back() {
        let loan = Loan::default();
        let (over, hits) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    hits.fetch_add(u64::from(loan.shut_down()), Ordering::SeqCst);
                }
            });
            let started = Instant::now();
            let mut rounds = 0;
            while rounds < 5_000 || hits.load(Ordering::SeqCst) == 0 {
                rounds += 1;
                if started.elapsed() > Duration::from_secs(20) {
                    break;
                }
                let (ours, _theirs) = UnixStream::pair().unwrap();
                assert!(loan.lend(number(&ours)));
                if rounds % 64 == 0 {
                    thread::yield_now();
                }
                loan.take_back(number(&ours));
                // Whatever gets the number next must not be shut down.
                drop(ours);
                let (mut next, mut theirs) = UnixStream::pair().unwrap();
                theirs.write_all(b"x").unwrap();
                assert_eq!(next.read(&mut [0; 2]).unwrap(), 1);
                assert!(is_silent(&next));
            }
            over.store(true, Ordering::SeqCst);
        });
        assert!(hits.into_inner() > 0, "nothing was shut down");
    }
}
