//! Ctrl-C while a call waits, and tokens that stop calls from other threads.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use elkapi::Interrupt;
use pyo3::prelude::*;

/// How long the main thread waits at most before it asks for signals by itself. Python's handlers
/// only leave a note; one that comes just before the wait begins wakes nobody.
const BACKSTOP: Duration = Duration::from_millis(100);

thread_local! {
    /// What a signal handler raised while this thread waited.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };

    /// Python runs signal handlers on the main thread alone.
    static IS_MAIN: bool = rustix::thread::gettid() == rustix::process::getpid();
}

/// Runs Python's signal handlers when a signal interrupted a wait.
struct Signals;

impl Interrupt for Signals {
    fn ask(&self) -> bool {
        if !IS_MAIN.with(|is_main| *is_main) {
            return false;
        }
        Python::attach(|py| match py.check_signals() {
            Ok(()) => false,
            Err(raised) => {
                keep(raised);
                true
            }
        })
    }

    fn backstop(&self) -> Option<Duration> {
        IS_MAIN.with(|is_main| is_main.then_some(BACKSTOP))
    }
}

/// The hook that every client of this module has.
pub fn signals() -> Arc<dyn Interrupt> {
    static SIGNALS: OnceLock<Arc<dyn Interrupt>> = OnceLock::new();
    SIGNALS.get_or_init(|| Arc::new(Signals)).clone()
}

/// Keeps what a signal handler raised until the call ends.
pub fn keep(raised: PyErr) {
    RAISED.with(|place| place.replace(Some(raised)));
}

/// What a signal handler raised during the call that just ended, if anything.
pub fn raised_meanwhile() -> Option<PyErr> {
    RAISED.with(RefCell::take)
}

/// Stops calls from another thread: give it to calls as `cancel=`. One-way; any number of calls may
/// share it. A stopped call raises `CallCancelledError`.
///
///     import threading
///     stop = elkapi.Cancel()
///     threading.Timer(0.5, stop.cancel).start()
///     client.ask("Count to ten.", cancel=stop)
#[pyclass(frozen, module = "elkapi")]
pub struct Cancel(pub elkapi::Cancel);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Cancel {
        Cancel(elkapi::Cancel::new())
    }

    /// Stops the calls that have it, now and later, in every phase.
    fn cancel(&self) {
        self.0.signal();
    }

    /// Whether it was cancelled.
    #[getter]
    fn cancelled(&self) -> bool {
        self.0.is_signalled()
    }

    fn __repr__(&self) -> &'static str {
        if self.0.is_signalled() { "Cancel(cancelled)" } else { "Cancel()" }
    }
}
