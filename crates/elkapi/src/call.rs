//! What one call carries: its limits, who may stop it, and the facts it gathers on the way.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::config::Limits;
use crate::error::{Billed, Error, Kind, Limit, Phase};

/// Asked on the calling thread when a signal interrupted a wait, so that an embedder can stop the
/// call (Ctrl-C in an interpreter).
pub trait Interrupt: Send + Sync {
    /// Whether to stop the call.
    fn ask(&self) -> bool;

    /// Asked anew for each wait: also ask where this long nobody did. For embedders whose signal handlers
    /// only leave a note, which may come just before a wait begins, or between waits that do not last.
    fn backstop(&self) -> Option<Duration> {
        None
    }
}

/// One call: a request with all its attempts, or one stream.
pub(crate) struct Call {
    pub limits: Limits,
    /// Whoever holds one of these may stop the call: the caller, and a stream's own handle.
    cancels: Vec<Cancel>,
    interrupt: Option<Arc<dyn Interrupt>>,
    /// When that was asked last, where it wants to be asked now and then.
    asked: Mutex<Instant>,
    pub started: Instant,
    /// When the whole call must have ended.
    pub deadline: Option<Instant>,
    phase: AtomicU8,
    sent: AtomicU64,
    received: AtomicU64,
    /// The attempt runs on a connection that served an earlier one.
    reused: AtomicBool,
    /// The whole request was handed to the kernel.
    fully_sent: AtomicBool,
    /// The connection ended, not reset, before any byte of a reply, and nothing of the request had
    /// been acknowledged.
    stale: AtomicBool,
    /// Take no connection from the pool.
    fresh_only: AtomicBool,
    /// When the connection for this attempt began to be made.
    dialling_since: Mutex<Option<Instant>>,
    /// How long the present attempt waited for its turn, and the pace then, where calls are paced.
    paced: Mutex<Option<Paced>>,
    /// The call only opens a connection ahead.
    warming: AtomicBool,
}

impl Call {
    pub fn new(
        limits: &Limits,
        cancels: impl IntoIterator<Item = Cancel>,
        interrupt: Option<&Arc<dyn Interrupt>>,
    ) -> Arc<Call> {
        let started = Instant::now();
        Arc::new(Call {
            limits: limits.clone(),
            cancels: cancels.into_iter().collect(),
            interrupt: interrupt.cloned(),
            asked: Mutex::new(started),
            started,
            deadline: limits.total.and_then(|total| started.checked_add(total)),
            phase: AtomicU8::new(Phase::Send as u8),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            reused: AtomicBool::new(true),
            fully_sent: AtomicBool::new(false),
            stale: AtomicBool::new(false),
            fresh_only: AtomicBool::new(false),
            dialling_since: Mutex::new(None),
            paced: Mutex::new(None),
            warming: AtomicBool::new(false),
        })
    }

    /// No call of its own: somebody waits for other calls, who may only be interrupted.
    pub fn of_waiter(interrupt: Option<&Arc<dyn Interrupt>>) -> Arc<Call> {
        Call::new(&Limits::default(), [], interrupt)
    }

    /// Before anything is sent: nobody stopped it, and its time is not over.
    pub fn check_start(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            let detail = "The call was cancelled before it began";
            return Err(Error::new(Kind::Cancelled, detail).with_billed(Billed::No));
        }
        if self.left() == Some(Duration::ZERO) {
            let elapsed = self.elapsed_ms();
            let detail = format!("The limit total expired after {elapsed} ms, before the call's turn came");
            let error = Error::new(Kind::Timeout, detail).with_limit(Limit::Total);
            return Err(error.with_billed(Billed::No).with_elapsed_ms(elapsed));
        }
        Ok(())
    }

    /// Forgets what the last attempt left behind.
    pub fn begin_attempt(&self) {
        self.set_phase(Phase::Send);
        self.sent.store(0, Ordering::Relaxed);
        self.received.store(0, Ordering::Relaxed);
        self.reused.store(true, Ordering::Relaxed);
        self.fully_sent.store(false, Ordering::Relaxed);
        self.stale.store(false, Ordering::Relaxed);
    }

    pub fn phase(&self) -> Phase {
        const ALL: [Phase; 8] = [
            Phase::Dns,
            Phase::Connect,
            Phase::Proxy,
            Phase::Tls,
            Phase::Send,
            Phase::Wait,
            Phase::Read,
            Phase::Pause,
        ];
        ALL[usize::from(self.phase.load(Ordering::Relaxed)) % ALL.len()]
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Whether a connection is being made; its bytes are not the request's.
    pub fn is_connecting(&self) -> bool {
        matches!(self.phase(), Phase::Dns | Phase::Connect | Phase::Proxy | Phase::Tls)
    }

    pub fn count_sent(&self, bytes: usize) {
        if !self.is_connecting() {
            self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub fn count_received(&self, bytes: usize) {
        if !self.is_connecting() {
            self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// A connection is being opened for this attempt.
    pub fn set_dialling(&self) {
        self.reused.store(false, Ordering::Relaxed);
        *self.dialling_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When that began.
    pub fn dialling_since(&self) -> Instant {
        self.dialling_since.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(self.started)
    }

    pub fn is_reused(&self) -> bool {
        self.reused.load(Ordering::Relaxed)
    }

    pub fn set_fully_sent(&self) {
        self.fully_sent.store(true, Ordering::Relaxed);
    }

    pub fn is_fully_sent(&self) -> bool {
        self.fully_sent.load(Ordering::Relaxed)
    }

    pub fn set_stale(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    pub fn set_fresh_only(&self) {
        self.fresh_only.store(true, Ordering::Relaxed);
    }

    pub fn is_fresh_only(&self) -> bool {
        self.fresh_only.load(Ordering::Relaxed)
    }

    pub fn set_paced(&self, waited: Duration, rate: Option<f64>) {
        *self.paced.lock().unwrap_or_else(PoisonError::into_inner) = Some(Paced { waited, rate });
    }

    pub fn paced(&self) -> Option<Paced> {
        *self.paced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_warming(&self) {
        self.warming.store(true, Ordering::Relaxed);
    }

    pub fn is_warming(&self) -> bool {
        self.warming.load(Ordering::Relaxed)
    }

    /// Whether someone signalled one of its tokens.
    pub fn is_cancelled(&self) -> bool {
        self.cancels.iter().any(Cancel::is_signalled)
    }

    /// How often the interrupt hook wants to be asked, if now and then.
    pub fn asks_every(&self) -> Option<Duration> {
        self.interrupt.as_ref()?.backstop()
    }

    /// When that is due next, counted over all waits, lest a server that never lets one last keep it from being
    /// asked.
    pub fn next_ask(&self) -> Option<Instant> {
        let every = self.asks_every()?;
        Some(*self.asked.lock().unwrap_or_else(PoisonError::into_inner) + every)
    }

    /// Asks the interrupt hook whether to stop.
    pub fn is_interrupted(&self) -> bool {
        let Some(interrupt) = &self.interrupt else { return false };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        interrupt.ask()
    }

    /// The tokens that may stop it.
    pub fn cancels(&self) -> &[Cancel] {
        &self.cancels
    }

    pub fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// What remains of the whole call's time.
    pub fn left(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// The earlier of a part's own limit and the whole call's.
    pub fn nearest(&self, own: Option<(Instant, Limit)>) -> Option<(Instant, Limit)> {
        let total = self.deadline.map(|at| (at, Limit::Total));
        match (own, total) {
            (Some(own), Some(total)) => Some(if own.0 <= total.0 { own } else { total }),
            (own, total) => own.or(total),
        }
    }
}

/// What pacing did to an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paced {
    pub waited: Duration,
    /// The limit then, in calls a second.
    pub rate: Option<f64>,
}
