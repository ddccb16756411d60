//! What the HTTP engine writes into and reads from: output is corked, input grows as it is needed.

use ureq::unversioned::transport::Buffers;

const OUTPUT: usize = 32 * 1024;
/// A large request leaves in pieces of about this size.
const OUTPUT_MOST: usize = 256 * 1024;
/// The output is to be flushed when less than this is free, so that no field line fails to fit.
const OUTPUT_RESERVE: usize = 16 * 1024;
const INPUT: usize = 16 * 1024;
const INPUT_MOST: usize = 128 * 1024;

/// Buffers whose output grows behind what is pending, so that several writes become one.
#[derive(Default)]
pub(crate) struct Corked {
    output: Vec<u8>,
    /// Bytes of `output` that wait to be sent.
    pending: usize,
    input: Vec<u8>,
    /// The unconsumed part of `input`.
    start: usize,
    end: usize,
    progress: bool,
    scratch: Vec<u8>,
}

impl Corked {
    /// Adds what the engine wrote to what is pending; `false` when that is to be sent before more is
    /// written.
    pub fn wrote(&mut self, amount: usize) -> bool {
        self.pending += amount;
        let is_nearly_full = self.output.len() - self.pending < OUTPUT_RESERVE;
        if is_nearly_full && self.output.len() < OUTPUT_MOST {
            self.output.resize(OUTPUT_MOST, 0);
            return true;
        }
        !is_nearly_full
    }

    /// The request is written: what only a large one needed is given back.
    pub fn end_of_output(&mut self) {
        if self.output.len() > OUTPUT {
            self.output = Vec::new();
            self.scratch = Vec::new();
        }
    }

    /// What waits to be sent.
    pub fn pending(&self) -> &[u8] {
        &self.output[..self.pending]
    }

    /// It was sent, or need not be.
    pub fn sent(&mut self) {
        self.pending = 0;
    }

    /// Free space for input, made where there is none.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.input.len() && self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            let larger = if self.input.is_empty() { INPUT } else { self.input.len() * 2 };
            self.input.resize(larger, 0);
        }
        &mut self.input[self.end..]
    }

    pub fn received(&mut self, amount: usize) {
        let filled = amount > 0 && self.end + amount == self.input.len();
        self.end += amount;
        // A read that filled the buffer means that more is there: fetch more at once next time.
        if filled && self.start == 0 && self.input.len() < INPUT_MOST {
            let larger = self.input.len() * 2;
            self.input.resize(larger, 0);
        }
    }
}

impl Buffers for Corked {
    fn output(&mut self) -> &mut [u8] {
        if self.output.is_empty() {
            self.output.resize(OUTPUT, 0);
        }
        &mut self.output[self.pending..]
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.room()
    }

    fn input_appended(&mut self, amount: usize) {
        self.received(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.start = (self.start + amount).min(self.end);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        if self.output.is_empty() {
            self.output.resize(OUTPUT, 0);
        }
        if self.scratch.is_empty() {
            // The engine reads request bodies of unknown length through it; ours have a length.
            self.scratch.resize(10 * 1024, 0);
        }
        (&mut self.scratch, &mut self.output[self.pending..])
    }

    fn can_use_input(&self) -> bool {
        self.start < self.end && self.progress
    }
}
