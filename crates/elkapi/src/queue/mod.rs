//! The queue: many calls at once, without blocking whoever hands them over.
//!
//! Bounded workers, started when there is work and ended when there is none for a while, make the
//! calls in the order in which they came; results and chunks are taken by any thread, or when a
//! descriptor says that something waits. The C library's queue and Python's asynchronous client
//! are faces of this. Hooks of the client run on the thread that takes, never on a worker.

mod job;
mod keeper;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::call::{Call, Interrupt};
use crate::cancel::Cancel;
use crate::client::Client;
use crate::completion::Completion;
use crate::error::{Billed, Error, Kind};
use crate::net;
use crate::record::{self, Recorder};
use crate::reply::Reply;
use crate::stream::OwnedChunk;
use crate::sys::fork;
use crate::sys::thread::{spawn_quiet, yield_to_others};
use crate::sys::wake::Level;
use job::Job;
use window::Permit;

pub use job::Work;

/// How long a worker waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// How long closing waits for the workers; what they do then ends by itself.
const JOIN: Duration = Duration::from_millis(100);

/// Calls under way, results that wait. Any thread may use it at any time; dropped, it cancels what is
/// under way and forgets what nobody has taken.
pub struct Queue(Arc<Shared>);

/// What [`Queue::take`] came to.
#[derive(Debug)]
pub enum Taken {
    /// A stream was opened that was to be announced: status and header fields.
    Opened {
        /// The call's.
        tag: u64,
        /// The reply, without its body.
        head: Reply,
    },
    /// A stream's next chunk.
    Chunk {
        /// The call's.
        tag: u64,
        /// The chunk.
        chunk: HeldChunk,
    },
    /// A call has ended, with an answer or an error; a stream that failed with both, where something
    /// had arrived; a [`Work::task`] that ran with neither.
    Ended {
        /// The call's.
        tag: u64,
        /// The answer, or what there is of it.
        answer: Option<Completion>,
        /// What went wrong.
        error: Option<Error>,
    },
    /// Nothing came in that time.
    Pending,
    /// Nothing waits, runs or can be taken.
    Done,
}

/// A chunk out of a queue. As long as it lives it counts for its stream, which reads no further while
/// too many are out.
#[derive(Debug)]
pub struct HeldChunk {
    chunk: OwnedChunk,
    _permit: Permit,
}

impl HeldChunk {
    fn new(chunk: OwnedChunk, permit: Permit) -> HeldChunk {
        HeldChunk { chunk, _permit: permit }
    }

    /// The chunk alone: its stream goes on.
    pub fn release(self) -> OwnedChunk {
        self.chunk
    }
}

impl Deref for HeldChunk {
    type Target = OwnedChunk;

    fn deref(&self) -> &OwnedChunk {
        &self.chunk
    }
}

/// What waits for whoever takes next.
enum Entry {
    ToTake(Taken),
    /// For the recorder, on the thread that takes.
    Record {
        recorder: Arc<dyn Recorder>,
        json: String,
    },
}

/// What the queue, its workers and its keeper share.
struct Shared {
    /// Makes the calls that name no other; its records come back here.
    client: Option<Client>,
    interrupt: Option<Arc<dyn Interrupt>>,
    workers: usize,
    capacity: usize,
    generation: u64,
    state: Mutex<State>,
    /// Work came, or the queue was closed.
    work: Condvar,
    /// A thread of ours ended.
    ended: Condvar,
    /// High while something waits to be taken.
    ready: Level,
    /// Wakes the keeper.
    keeper: Level,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    outbox: VecDeque<Entry>,
    /// Calls whose ending nobody has taken: the capacity counts these.
    held: usize,
    threads: usize,
    /// Of them, those that wait for work.
    idle: usize,
    /// Threads in [`Queue::take`] that wait.
    takers: usize,
    has_keeper: bool,
    is_ready: bool,
    closed: bool,
    /// Stops all that were handed over until now.
    stop: Cancel,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Queue");
        shown.field("workers", &self.0.workers).field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}

impl Queue {
    /// The most workers that a queue has.
    pub const MOST_WORKERS: usize = 1024;

    /// A queue whose calls this client makes, at most `workers` of them at once (1 to
    /// [`Queue::MOST_WORKERS`]); it holds at most `capacity` calls that are waiting, under way or not
    /// taken yet. No thread is started.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new(client: &Client, workers: usize, capacity: usize) -> Result<Queue, Error> {
        Queue::made(Some(client), workers, capacity)
    }

    /// The same without a client: calls name theirs ([`Work::client`]), or are refused as
    /// `invalid_argument`.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn without_client(workers: usize, capacity: usize) -> Result<Queue, Error> {
        Queue::made(None, workers, capacity)
    }

    fn made(client: Option<&Client>, workers: usize, capacity: usize) -> Result<Queue, Error> {
        let level = || {
            Level::new().map_err(|error| {
                Error::new(Kind::Internal, format!("The queue cannot have a descriptor: {error}"))
            })
        };
        let (ready, keeper) = (level()?, level()?);
        let shared = Arc::new_cyclic(|own| Shared {
            client: client.map(|client| bound(client, own)),
            interrupt: client.and_then(|client| client.without_hooks().1.interrupt),
            workers: workers.clamp(1, Queue::MOST_WORKERS),
            capacity: capacity.max(1),
            generation: fork::generation(),
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
            ready,
            keeper,
        });
        Ok(Queue(shared))
    }

    /// Hands a call over. Never waits; what is wrong with the request is told by its ending. The
    /// call's limits count from now.
    ///
    /// # Errors
    ///
    /// `queue_full`, `closed`, and `forked` in a child process; `invalid_argument` where there is no
    /// client to make the call.
    pub fn submit(&self, work: Work) -> Result<(), Error> {
        let shared = &self.0;
        let mut state = shared.lock()?;
        if state.closed {
            return Err(Error::new(Kind::Closed, "The queue was closed"));
        }
        if state.held >= shared.capacity {
            let detail = format!(
                "The queue holds {} calls that are waiting, under way or not taken yet, which is its capacity",
                state.held
            );
            return Err(Error::new(Kind::QueueFull, detail));
        }
        let job = Job::new(work, shared, &state.stop)?;
        state.held += 1;
        state.waiting.push_back(job);
        shared.staff(state);
        Ok(())
    }

    /// Takes what comes next, waiting at most that long; `None` waits until something comes. Chunks of
    /// one stream come in order, its ending last.
    ///
    /// # Errors
    ///
    /// `forked` in a child process; `cancelled` when the client's interrupt hook ended the wait: the
    /// calls go on.
    pub fn take(&self, wait: Option<Duration>) -> Result<Taken, Error> {
        let shared = &*self.0;
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        let mut waiter = None;
        let mut is_over = wait == Some(Duration::ZERO);
        loop {
            let mut state = shared.lock()?;
            let entry = state.outbox.pop_front();
            if let Some(Entry::ToTake(Taken::Ended { .. })) = entry {
                state.held -= 1;
            }
            shared.settle(&mut state);
            match entry {
                Some(Entry::ToTake(taken)) => return Ok(taken),
                Some(Entry::Record { recorder, json }) => {
                    drop(state);
                    recorder.take(&json);
                    continue;
                }
                None if state.held == 0 => return Ok(Taken::Done),
                None if is_over => return Ok(Taken::Pending),
                None => {}
            }
            state.takers += 1;
            drop(state);
            let waiter = waiter.get_or_insert_with(|| Call::of_waiter(shared.interrupt.as_ref()));
            let outcome = net::wait_readable(waiter, shared.ready.as_fd(), until);
            let mut state = shared.lock()?;
            state.takers -= 1;
            shared.settle(&mut state);
            drop(state);
            is_over = match outcome {
                Ok(is_ready) => !is_ready,
                Err(error) if error.kind() == Kind::Cancelled => {
                    let detail = "The wait for the queue was interrupted; its calls go on";
                    return Err(Error::new(Kind::Cancelled, detail));
                }
                Err(error) => return Err(error),
            };
        }
    }

    /// Readable while something waits to be taken: for `poll`, `epoll` and event loops. It lives as
    /// long as the queue; only [`Queue::take`] makes it silent.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.0.ready.as_fd()
    }

    /// Stops all calls that were handed over until now; each still has its ending, to be taken.
    pub fn cancel_all(&self) {
        let Ok(mut state) = self.0.lock() else { return };
        mem::take(&mut state.stop).signal();
        self.0.end_overdue(&mut state);
    }

    /// Stops everything and forgets what nobody has taken. Waits for the workers for a tenth of a
    /// second at most, whatever the network does. Records that are left are handed out here.
    pub fn close(&self) {
        let shared = &*self.0;
        let Ok(mut state) = shared.lock() else { return };
        state.closed = true;
        state.stop.signal();
        let never_begun = mem::take(&mut state.waiting);
        shared.work.notify_all();
        shared.keeper.raise();
        let until = Instant::now() + JOIN;
        // A queue may be closed by one of its own workers, through a hook of the caller's.
        while state.threads > 0 || state.has_keeper {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = shared.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.held = 0;
        let left = mem::take(&mut state.outbox);
        shared.settle(&mut state);
        drop(state);
        drop(never_begun);
        for entry in left {
            if let Entry::Record { recorder, json } = entry {
                recorder.take(&json);
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.0.generation != fork::generation() {
            // A thread of the parent may have held the lock when the fork copied it, and what the queue
            // holds belongs to the parent. This reference is never given up, so nothing of it is touched.
            mem::forget(self.0.clone());
            return;
        }
        self.close();
    }
}

impl Shared {
    /// The state, in the process that made the queue.
    fn lock(&self) -> Result<MutexGuard<'_, State>, Error> {
        if self.generation != fork::generation() {
            let detail = "The queue was made before a fork; it belongs to the parent";
            return Err(Error::new(Kind::Forked, detail));
        }
        Ok(self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the descriptor tell the truth after a change. Whoever waits for something to come must
    /// also learn that nothing will.
    fn settle(&self, state: &mut State) {
        let is_ready = !state.outbox.is_empty() || state.takers > 0 && state.held == 0;
        if is_ready != state.is_ready {
            state.is_ready = is_ready;
            if is_ready { self.ready.raise() } else { self.ready.lower() }
        }
    }

    /// Hands something out. After the end only records are of use.
    fn deliver(&self, entry: Entry) {
        let mut state = self.state();
        if state.closed && !matches!(entry, Entry::Record { .. }) {
            return;
        }
        state.outbox.push_back(entry);
        self.settle(&mut state);
    }

    /// Sees to it that somebody attends to what waits: a worker at best, else the keeper.
    fn staff(self: &Arc<Shared>, mut state: MutexGuard<'_, State>) {
        if state.waiting.len() <= state.idle {
            // Whoever wakes must not find the lock held.
            drop(state);
            self.work.notify_one();
        } else if state.threads < self.workers {
            state.threads += 1;
            drop(state);
            let shared = self.clone();
            if let Err(error) = spawn_quiet("elkapi-queue", move || shared.work()) {
                self.without_worker(&error);
            }
        } else {
            self.keep(state);
        }
    }

    /// Sees to it that what waits ends in time.
    fn keep(self: &Arc<Shared>, mut state: MutexGuard<'_, State>) {
        if state.has_keeper {
            self.keeper.raise();
        } else if state.waiting.iter().any(Job::needs_keeper) {
            state.has_keeper = true;
            drop(state);
            let shared = self.clone();
            if spawn_quiet("elkapi-keeper", move || keeper::keep(&shared)).is_err() {
                // What waits is then looked at when a worker takes it up.
                self.state().has_keeper = false;
            }
        }
    }

    /// The system gives no thread: what waits is left to the workers there are, if any.
    fn without_worker(self: &Arc<Shared>, error: &std::io::Error) {
        let mut state = self.state();
        state.threads -= 1;
        self.ended.notify_all();
        if state.threads > 0 {
            self.keep(state);
        } else {
            for job in mem::take(&mut state.waiting) {
                let error = Error::new(Kind::Internal, format!("The queue cannot have a thread: {error}"));
                state.outbox.push_back(unbegun(&job, error.with_billed(Billed::No)));
            }
            self.settle(&mut state);
        }
    }

    /// What a worker does: calls, one after the other, as long as there are some.
    fn work(&self) {
        yield_to_others();
        while let Some(job) = self.next_job() {
            let tag = job.tag();
            let (answer, error) = job.run(self);
            self.deliver(Entry::ToTake(Taken::Ended { tag, answer, error }));
        }
    }

    /// The call whose turn it is; `None` when the worker is to end.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.state();
        let mut idle_since = None;
        loop {
            if let Some(job) = state.waiting.pop_front() {
                if state.has_keeper && state.waiting.is_empty() {
                    self.keeper.raise();
                }
                return Some(job);
            }
            let since = *idle_since.get_or_insert_with(Instant::now);
            let left = IDLE.saturating_sub(since.elapsed());
            if state.closed || left.is_zero() {
                state.threads -= 1;
                self.ended.notify_all();
                return None;
            }
            state.idle += 1;
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
    }

    /// The calls that wait, for the keeper; `None` when it is to end.
    fn waiting_calls(&self) -> Option<Vec<Arc<Call>>> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.has_keeper = false;
            self.ended.notify_all();
            return None;
        }
        Some(state.waiting.iter().map(|job| job.call().clone()).collect())
    }

    /// Ends what waits and was stopped, or whose time is over.
    fn end_overdue(&self, state: &mut State) {
        for job in mem::take(&mut state.waiting) {
            match job.call().check_start() {
                Ok(()) => state.waiting.push_back(job),
                Err(error) => state.outbox.push_back(unbegun(&job, error)),
            }
        }
        self.settle(state);
    }
}

/// The ending of a call that no worker had.
fn unbegun(job: &Job, error: Error) -> Entry {
    Entry::ToTake(Taken::Ended { tag: job.tag(), answer: None, error: Some(error) })
}

/// The client without its hooks, whose records come to the queue.
fn bound(client: &Client, queue: &Weak<Shared>) -> Client {
    let (client, hooks) = client.without_hooks();
    match hooks.recorder {
        Some(recorder) => client.with_recorder(Some(Arc::new(Forward { recorder, queue: queue.clone() }))),
        None => client,
    }
}

/// Takes records where the calls are made, and passes them on to where they are taken.
struct Forward {
    recorder: Arc<dyn Recorder>,
    queue: Weak<Shared>,
}

impl Recorder for Forward {
    fn take(&self, json: &str) {
        if let Some(queue) = self.queue.upgrade() {
            queue.deliver(Entry::Record { recorder: self.recorder.clone(), json: json.to_owned() });
        }
    }

    fn level(&self) -> record::Level {
        self.recorder.level()
    }
}

/// Any thread may use a queue.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Queue>();
};
