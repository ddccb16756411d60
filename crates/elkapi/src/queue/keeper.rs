//! Keeps the promises to calls that wait for a worker: each ends at its limit, and at once when it is
//! cancelled.
//!
//! A thread that lives only while calls wait. A call that a worker has looks after itself.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Shared;
use crate::call::Call;

/// Tokens watched by their descriptors; what waits with more of them is looked at from time to time,
/// so that long queues do not use up the process's descriptors.
const WATCHED: usize = 64;
const LOOK: Duration = Duration::from_millis(50);

/// Runs until nothing waits any more.
pub(super) fn keep(shared: &Arc<Shared>) {
    while let Some(waiting) = shared.waiting_calls() {
        sleep(shared, &waiting);
        shared.keeper.lower();
        shared.end_overdue(&mut shared.state());
    }
}

/// Until one of them must end, or another one came.
fn sleep(shared: &Shared, waiting: &[Arc<Call>]) {
    let mut until = waiting.iter().filter_map(|call| call.deadline).min();
    let mut tokens: Vec<_> = waiting.iter().flat_map(|call| call.cancels()).collect();
    tokens.sort_by_key(|token| token.id());
    tokens.dedup_by_key(|token| token.id());
    if tokens.len() > WATCHED {
        let look = Instant::now() + LOOK;
        until = Some(until.map_or(look, |until| until.min(look)));
    }
    let mut fds = vec![PollFd::from_borrowed_fd(shared.keeper.as_fd(), PollFlags::IN)];
    // One without a descriptor is noticed when a worker takes the call up.
    let wakes = tokens.iter().take(WATCHED).filter_map(|token| token.wake().ok());
    fds.extend(wakes.map(|wake| PollFd::new(wake, PollFlags::IN)));
    // A signal or a deadline that passed meanwhile are seen by the look that follows.
    if waiting.iter().all(|call| call.check_start().is_ok()) {
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()));
        let wait = wait.map(|wait| wait.min(Duration::from_secs(86_400)));
        let wait =
            wait.map(|wait| Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ });
        let _ = poll(&mut fds, wait.as_ref());
    }
}
