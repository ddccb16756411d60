//! Waiting, on sockets and the wake descriptor, without time slices.
//!
//! Nothing else in this client blocks but a receive where bytes follow one another fast, which saves the wait
//! before it: its socket is lent to the call's tokens meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::call::Call;
use crate::cancel::Cancel;
use crate::error::{Billed, Error, Kind, Limit, Phase};
use crate::sys::loan::Number;

/// Why a wait or a socket operation ended the call.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Someone signalled the call's token, or its interrupt hook said so.
    Cancelled,
    /// That limit passed.
    TimedOut(Limit),
    /// Nothing came in the time that the caller of a stream wanted to wait: no failure.
    Impatient,
    /// The system refused.
    Failed(io::Error),
    /// Something else, said whole.
    Said(Box<Error>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Said(Box::new(error))
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Failed(errno.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Waits until one of the descriptors is ready, `until` passes (which is no failure), or the call is
/// stopped. The answer stands in each descriptor's `revents`.
///
/// `own` is the limit of the part that waits; the call's total counts always.
pub(crate) fn wait<'a>(
    fds: &mut Vec<PollFd<'a>>,
    call: &'a Call,
    own: Option<(Instant, Limit)>,
    until: Option<Instant>,
) -> Result<(), Stop> {
    let watched = fds.len();
    for cancel in call.cancels() {
        fds.push(PollFd::new(cancel.wake()?, PollFlags::IN));
    }
    let outcome = wait_on(fds, call, call.nearest(own), until);
    fds.truncate(watched);
    outcome
}

/// [`wait`] for one descriptor; gives what it is ready for, nothing when `until` passed.
pub(crate) fn wait_for_one(
    fd: impl AsFd,
    interest: PollFlags,
    call: &Call,
    own: Option<(Instant, Limit)>,
    until: Option<Instant>,
) -> Result<PollFlags, Stop> {
    // A call has at most four tokens: two of the caller's, a stream's own, and the queue's.
    const TOKENS: usize = 4;
    let unused = || PollFd::new(&fd, PollFlags::empty());
    let mut fds = [PollFd::new(&fd, interest), unused(), unused(), unused(), unused()];
    let mut watched = 1;
    for cancel in call.cancels().iter().take(TOKENS) {
        fds[watched] = PollFd::new(cancel.wake()?, PollFlags::IN);
        watched += 1;
    }
    wait_on(&mut fds[..watched], call, call.nearest(own), until)?;
    Ok(fds[0].revents())
}

/// How long a receive blocks at most; the system may add a tick or two.
pub(crate) const RECEIVE: Duration = Duration::from_millis(20);

/// A socket in the hands of those who may stop the call, who end a receive that blocks on it.
pub(crate) struct Lent<'a> {
    socket: Number,
    cancels: &'a [Cancel],
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        for cancel in self.cancels {
            cancel.take_back(self.socket);
        }
    }
}

/// Lends the socket for one receive of at most [`RECEIVE`], after which the caller looks again whether the
/// call was cancelled. Nothing where a limit is near, or where a token has another call's socket.
pub(crate) fn lend<'a>(
    socket: BorrowedFd<'_>,
    call: &'a Call,
    own: Option<(Instant, Limit)>,
    until: Option<Instant>,
) -> Result<Option<Lent<'a>>, Stop> {
    let now = Instant::now();
    let soonest = call.nearest(own).map(|(at, _)| at).into_iter().chain(until).min();
    if soonest.is_some_and(|at| at < now + 2 * RECEIVE) {
        return Ok(None);
    }
    // A hook that would be due in the middle of it is asked before, where that does not make it much oftener.
    if call.asks_every().is_some_and(|every| every < 4 * RECEIVE) {
        return Ok(None);
    }
    if call.next_ask().is_some_and(|at| at < now + RECEIVE) && call.is_interrupted() {
        return Err(Stop::Cancelled);
    }
    let mut lent = Lent { socket: Number::of(socket), cancels: &[] };
    for (before, cancel) in call.cancels().iter().enumerate() {
        if !cancel.lend(lent.socket) {
            return Ok(None);
        }
        lent.cancels = &call.cancels()[..=before];
    }
    if call.is_cancelled() { Err(Stop::Cancelled) } else { Ok(Some(lent)) }
}

fn wait_on(
    fds: &mut [PollFd<'_>],
    call: &Call,
    limit: Option<(Instant, Limit)>,
    until: Option<Instant>,
) -> Result<(), Stop> {
    loop {
        // After the descriptor is there and before the wait: a signal in between is seen here.
        if call.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let mut ask_at = call.next_ask();
        if ask_at.is_some_and(|at| Instant::now() >= at) {
            if call.is_interrupted() {
                return Err(Stop::Cancelled);
            }
            ask_at = call.next_ask();
        }
        let next = [limit.map(|(at, _)| at), until, ask_at].into_iter().flatten().min();
        let timeout = next.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        match poll(fds, timeout.as_ref()) {
            Ok(0) => {
                let now = Instant::now();
                if let Some((at, which)) = limit
                    && now >= at
                {
                    return Err(Stop::TimedOut(which));
                }
                if until.is_some_and(|at| now >= at) {
                    return Ok(());
                }
            }
            Ok(_) => {
                if call.is_cancelled() {
                    return Err(Stop::Cancelled);
                }
                return Ok(());
            }
            Err(Errno::INTR) => {
                if call.is_interrupted() {
                    return Err(Stop::Cancelled);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Rounded up, so that a wait never ends just before its deadline.
fn timespec(wait: Duration) -> Timespec {
    // A year is for ever here, and keeps the seconds in range everywhere.
    let wait = wait.min(Duration::from_secs(31_536_000));
    Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ }
}

/// The error of a call that was stopped, with all that is known at this moment.
pub(crate) fn stopped(call: &Call, stop: Stop) -> Error {
    let phase = call.phase();
    let elapsed = call.elapsed_ms();
    let error = match stop {
        Stop::Cancelled => Error::new(
            Kind::Cancelled,
            format!("The call was cancelled after {elapsed} ms in phase {}", phase.name()),
        ),
        Stop::TimedOut(limit) => Error::new(
            Kind::Timeout,
            format!("The limit {} expired after {elapsed} ms in phase {}", limit.name(), phase.name()),
        )
        .with_limit(limit),
        Stop::Impatient => Error::new(Kind::Internal, "A wait without a limit ended before its time"),
        Stop::Failed(error) => Error::new(Kind::Connection, broken(phase, &error)),
        Stop::Said(error) => return *error,
    };
    with_facts(error, call)
}

fn broken(phase: Phase, error: &io::Error) -> String {
    match phase {
        Phase::Dns | Phase::Connect => format!("No connection could be made: {error}"),
        Phase::Proxy => format!("The connection to the proxy broke: {error}"),
        Phase::Tls => format!("The connection broke during the TLS handshake: {error}"),
        Phase::Send => format!("The connection broke while the request was sent: {error}"),
        Phase::Wait | Phase::Pause => format!("The connection broke before the reply: {error}"),
        Phase::Read => format!("The connection broke in the middle of the reply: {error}"),
    }
}

/// Adds phase, counts and time, and what follows from them for money and repetition.
pub(crate) fn with_facts(error: Error, call: &Call) -> Error {
    let error = error
        .with_phase(call.phase())
        .with_traffic(call.sent(), call.received())
        .with_elapsed_ms(call.elapsed_ms());
    // What did not leave whole cannot have run, so it costs nothing and may be sent again.
    let ran = call.is_fully_sent();
    match error.kind() {
        Kind::Cancelled => error.with_billed(if ran { Billed::Maybe } else { Billed::No }),
        Kind::Connection | Kind::Timeout | Kind::Dns if !ran => {
            let total = error.limit() == Some(Limit::Total);
            error.with_billed(Billed::No).with_retryable(!total)
        }
        _ => error,
    }
}
