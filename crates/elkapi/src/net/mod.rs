//! HTTP over connections of our own: resolve, dial, proxy, TLS, pool, waiting.
//!
//! ureq-proto says what a request is to look like and what a reply's head means; which socket, how
//! long, who may stop it, and how bytes get from and to it is decided here.

mod chunked;
mod connection;
mod dial;
mod dialer;
mod dns;
mod http;
mod pool;
mod proxy;
mod socket;
mod tls;
mod wait;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use crate::call::Call;
use crate::error::{Error, Phase};

pub(crate) use dialer::Origin;
pub(crate) use http::{Body, Connections, Received, Sending};
pub(crate) use wait::with_facts;

/// Waits until the descriptor is readable or `until` passes, or the call is stopped; whether it is
/// readable.
pub(crate) fn wait_readable(call: &Call, fd: BorrowedFd<'_>, until: Option<Instant>) -> Result<bool, Error> {
    let ready = wait::wait_for_one(fd, PollFlags::IN, call, None, until);
    ready.map(|flags| !flags.is_empty()).map_err(|stop| wait::stopped(call, stop))
}

/// Pauses until then, or until the call is stopped.
pub(crate) fn pause(call: &Call, until: Instant) -> Result<(), Error> {
    call.set_phase(Phase::Pause);
    let mut nothing: Vec<PollFd<'_>> = Vec::with_capacity(1);
    wait::wait(&mut nothing, call, None, Some(until)).map_err(|stop| wait::stopped(call, stop))
}
