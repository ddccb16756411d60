//! Back-pressure: how far a stream may run ahead of whoever takes its chunks.
//!
//! Each chunk holds a permit. When too many are out, the stream reads no further, so the server is
//! slowed down by its own connection and nothing piles up here.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Kind};
use crate::stream::Stream;
use crate::sys::wake::Level;

/// Chunks and bytes that may wait to be taken. One chunk always may, however large.
const CHUNKS: usize = 64;
const BYTES: usize = 256 * 1024;

/// What one stream has out.
#[derive(Debug, Default)]
pub(crate) struct Window {
    chunks: AtomicUsize,
    bytes: AtomicUsize,
    /// The stream rests, and the gate wakes it.
    resting: AtomicBool,
    /// Made when the stream first has to rest.
    gate: OnceLock<Level>,
}

impl Window {
    /// One more chunk of that size is out.
    pub fn permit(self: &Arc<Window>, bytes: usize) -> Permit {
        self.chunks.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        Permit { window: self.clone(), bytes }
    }

    fn is_above(&self, chunks: usize, bytes: usize) -> bool {
        self.chunks.load(Ordering::SeqCst) > chunks || self.bytes.load(Ordering::SeqCst) > bytes
    }

    fn is_full(&self) -> bool {
        self.is_above(CHUNKS - 1, BYTES - 1)
    }

    /// Lets the stream rest as long as too much is out.
    pub fn wait(&self, stream: &mut Stream) -> Result<(), Error> {
        while self.is_full() {
            let gate = match self.gate.get() {
                Some(gate) => gate,
                None => {
                    let made = Level::new().map_err(|error| {
                        Error::new(Kind::Internal, format!("No descriptor to wait with: {error}"))
                    })?;
                    self.gate.get_or_init(|| made)
                }
            };
            gate.lower();
            // Looked at again after this: either we see what was given back, or who gave it back sees us.
            self.resting.store(true, Ordering::SeqCst);
            if self.is_full() {
                stream.rest(gate.as_fd())?;
            }
            self.resting.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    /// A chunk was taken. The stream goes on when half of the room is free, not for each chunk.
    fn give_back(&self, bytes: usize) {
        self.chunks.fetch_sub(1, Ordering::SeqCst);
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.resting.load(Ordering::SeqCst)
            && !self.is_above(CHUNKS / 2, BYTES / 2)
            && self.resting.swap(false, Ordering::SeqCst)
            && let Some(gate) = self.gate.get()
        {
            gate.raise();
        }
    }
}

/// Held by one chunk until somebody has taken it.
#[derive(Debug)]
pub(crate) struct Permit {
    window: Arc<Window>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.window.give_back(self.bytes);
    }
}
