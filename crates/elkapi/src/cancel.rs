//! Stopping calls from outside: a one-way token that any number of calls may share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::loan::{Loan, Number};
use crate::sys::wake::{Wake, WakeSlot};

/// A token that stops every call it was given to, now or later, in every phase. Cheap to clone.
///
/// The flag is the truth; what is behind it only ends waits: a descriptor that wakes, made by the first call
/// that waits, so that making a token cannot fail, and the socket of a receive that blocks.
#[derive(Clone, Default)]
pub struct Cancel(Arc<State>);

#[derive(Default)]
struct State {
    signalled: AtomicBool,
    slot: WakeSlot,
    socket: Loan,
}

impl Cancel {
    /// A token that has not been signalled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Stops the calls; cannot be undone. From any thread. It takes no lock, allocates nothing and
    /// touches no thread-local, so a signal handler may call it if it preserves `errno`.
    ///
    /// In a forked child it stops the child's calls only.
    pub fn signal(&self) {
        self.0.signalled.store(true, Ordering::SeqCst);
        self.0.socket.shut_down();
        self.0.slot.wake();
    }

    /// Whether it was signalled.
    pub fn is_signalled(&self) -> bool {
        self.0.signalled.load(Ordering::SeqCst)
    }

    /// The same for all clones of a token, and for no other that lives.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// The descriptor to wait on; look at [`Cancel::is_signalled`] after this and before waiting.
    pub(crate) fn wake(&self) -> std::io::Result<&Wake> {
        self.0.slot.get()
    }

    /// Has the socket shut down when the token is signalled, until it is taken back; `false` where another
    /// call's is lent already. Look at [`Cancel::is_signalled`] after this and before blocking.
    pub(crate) fn lend(&self, socket: Number) -> bool {
        self.0.socket.lend(socket)
    }

    pub(crate) fn take_back(&self, socket: Number) {
        self.0.socket.take_back(socket);
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_signalled()).finish()
    }
}
