//! Host names to addresses: with a deadline, cancellable, cached for a while.
//!
//! `getaddrinfo` cannot be interrupted. It runs on a thread of its own, only when the cache does
//! not know the name, and the caller waits on a descriptor; a cancelled caller leaves it behind.
//! Callers that ask for the same name at the same time share one look-up.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::wait::{Stop, wait};
use crate::call::Call;
use crate::error::Limit;
use crate::sys::thread::spawn_quiet;
use crate::sys::wake::Wake;

/// How long an answer is used again; the system's own answers carry no life time.
const KEPT: Duration = Duration::from_secs(60);

/// Names kept at most; a client talks to one gateway and perhaps a proxy.
const NAMES: usize = 64;

/// Why a name has no address.
pub(crate) enum NoAddress {
    /// The name service says so.
    Unknown(String),
    /// The call ended first.
    Stopped(Stop),
}

/// Remembers and shares look-ups.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    names: Arc<Names>,
}

#[derive(Debug, Default)]
struct Names(Mutex<HashMap<String, Entry>>);

#[derive(Debug, Clone)]
enum Entry {
    Known(Arc<[IpAddr]>, Instant),
    Asked(Arc<Lookup>),
}

/// A look-up under way: an answer that is not there yet, and a descriptor that tells when it is.
#[derive(Debug)]
struct Lookup {
    answer: OnceLock<Result<Arc<[IpAddr]>, String>>,
    done: Wake,
}

impl Resolver {
    /// The addresses of a host, in the order of preference that the system gives.
    pub fn resolve(
        &self,
        host: &str,
        call: &Call,
        limit: Option<(Instant, Limit)>,
    ) -> Result<Arc<[IpAddr]>, NoAddress> {
        if let Some(literal) = address_in(host) {
            return Ok(Arc::from([literal]));
        }
        let lookup = match self.entry(host).map_err(|error| NoAddress::Stopped(error.into()))? {
            Entry::Known(addresses, _) => return Ok(addresses),
            Entry::Asked(lookup) => lookup,
        };
        let answer = loop {
            if let Some(answer) = lookup.answer.get() {
                break answer.clone();
            }
            let mut fds = Vec::with_capacity(2);
            fds.push(PollFd::new(&lookup.done, PollFlags::IN));
            wait(&mut fds, call, limit, None).map_err(NoAddress::Stopped)?;
        };
        answer.map_err(NoAddress::Unknown)
    }

    /// The addresses did not serve: the next caller asks anew.
    pub fn forget(&self, host: &str) {
        let mut names = self.names.lock();
        if matches!(names.get(host), Some(Entry::Known(..))) {
            names.remove(host);
        }
    }

    fn entry(&self, host: &str) -> io::Result<Entry> {
        let mut names = self.names.lock();
        match names.get(host) {
            Some(Entry::Known(addresses, since)) if since.elapsed() < KEPT => {
                return Ok(Entry::Known(addresses.clone(), *since));
            }
            Some(Entry::Asked(lookup)) => return Ok(Entry::Asked(lookup.clone())),
            _ => {}
        }
        let lookup = Arc::new(Lookup { answer: OnceLock::new(), done: Wake::new()? });
        let (name, asked, known) = (host.to_owned(), lookup.clone(), self.names.clone());
        spawn_quiet("elkapi-dns", move || {
            let answer = match (name.as_str(), 0).to_socket_addrs() {
                Ok(addresses) => {
                    let list: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
                    if list.is_empty() { Err("it has no address".to_owned()) } else { Ok(list.into()) }
                }
                Err(error) => Err(error.to_string()),
            };
            // Settled here, not by who waits: they may all have left.
            known.settle(name, &asked, &answer);
            let _ = asked.answer.set(answer);
            asked.done.wake();
        })?;
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(host.to_owned(), Entry::Asked(lookup.clone()));
        Ok(Entry::Asked(lookup))
    }
}

/// The address, where the host of a URL is one.
pub(crate) fn address_in(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces a finished look-up by its answer; a failed one is asked anew by the next caller.
    fn settle(&self, host: String, lookup: &Arc<Lookup>, answer: &Result<Arc<[IpAddr]>, String>) {
        let mut names = self.lock();
        let still_ours = matches!(names.get(&host), Some(Entry::Asked(entry)) if Arc::ptr_eq(entry, lookup));
        match answer {
            Ok(addresses) if still_ours => {
                names.insert(host, Entry::Known(addresses.clone(), Instant::now()));
            }
            Err(_) if still_ours => {
                names.remove(&host);
            }
            _ => {}
        }
    }
}
