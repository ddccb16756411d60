//! Stopping a call from outside: a one-way flag that any number of calls may share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A token that stops every call it was given to, now or later. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A token that has not been signalled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Stops the calls; cannot be undone.
    pub fn signal(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was signalled.
    pub fn is_signalled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
