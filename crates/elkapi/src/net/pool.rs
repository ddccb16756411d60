//! Connections that lie idle between exchanges, the last used first.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// Idle connections are dropped just before common servers and balancers drop theirs (60 to 75 s).
const IDLE_AGE: Duration = Duration::from_secs(55);

/// Connections to one server, as many as are wanted.
#[derive(Debug)]
pub(crate) struct Pool {
    most: usize,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

impl Pool {
    pub fn new(most: usize) -> Pool {
        Pool { most, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is still as it was.
    pub fn take(&self) -> Option<Connection> {
        loop {
            // Asking the kernel, and closing, without the lock.
            let (since, mut connection) = self.idle().pop()?;
            if since.elapsed() < IDLE_AGE && connection.is_silent() {
                return Some(connection);
            }
        }
    }

    /// Lays a connection aside whose exchange came to its end, where that was in order.
    pub fn put(&self, mut connection: Connection) {
        if connection.is_at_rest() {
            self.keep(connection, self.most);
        }
    }

    /// The same for one that was opened ahead of the first call, however few are wanted.
    pub fn put_ahead(&self, mut connection: Connection) {
        if connection.is_at_rest() {
            self.keep(connection, self.most.max(1));
        }
    }

    fn keep(&self, connection: Connection, most: usize) {
        if most == 0 {
            return;
        }
        let mut idle = self.idle();
        // The oldest stand first.
        let old = idle.partition_point(|(since, _)| since.elapsed() >= IDLE_AGE);
        let too_many = idle.len().saturating_sub(most - 1);
        let dropped: Vec<_> = idle.drain(..too_many.max(old)).collect();
        idle.push((Instant::now(), connection));
        drop(idle);
        drop(dropped);
    }

    pub fn is_empty(&self) -> bool {
        self.idle().is_empty()
    }
}
