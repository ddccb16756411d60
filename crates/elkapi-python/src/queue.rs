//! Calls that an event loop waits for: the core's queue, for `elkapi._async`.
//!
//! The queue's threads never touch the interpreter. What they bring is fetched by `drain`, which the
//! loop calls when the queue's descriptor is readable, and kept in the call that it belongs to.

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elkapi::{Cancel, Collected, Error, HeldChunk, Taken, Verdict, Work};
use pyo3::intern;
use pyo3::prelude::*;

use crate::answer::{Completion, Document};
use crate::failure::raised;
use crate::headers::Headers;
use crate::interrupt;
use crate::stream::Chunk;

/// Calls of one event loop under way at once; the others wait, in order.
const WORKERS: usize = 1024;
/// What is fetched at a time, so that the loop's other tasks have their turn.
const FETCHED: usize = 256;

/// The calls of one event loop.
#[pyclass(frozen, name = "_Queue", module = "elkapi._elkapi")]
pub struct Queue {
    /// None once the loop has ended.
    core: Mutex<Option<Arc<elkapi::Queue>>>,
    calls: Mutex<HashMap<u64, Py<Call>>>,
    last: AtomicU64,
}

/// What a call ends with.
pub enum Makes {
    Completion,
    Document,
    Stream,
    /// A [`Work::task`] keeps what it came to.
    Kept(Box<dyn Kept>),
}

/// What a task of a queue leaves behind for the loop.
pub trait Kept: Send + Sync {
    /// What it came to; with the error where it never ran.
    fn result<'py>(&self, py: Python<'py>, error: Option<Error>) -> PyResult<Bound<'py, PyAny>>;

    /// Nobody waits for it any more: it is thrown away, also when it comes later.
    fn leave(&self);
}

/// One call of a queue.
#[pyclass(frozen, name = "_Call", module = "elkapi._elkapi")]
pub struct Call {
    makes: Makes,
    /// Stops it, beside a token of the caller's. It may be that of more than this call, so it is not
    /// signalled after the end.
    stop: Cancel,
    /// Told when it has gone on.
    wake: Py<PyAny>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of a stream that was opened, what was handed out of it.
    collected: Option<Collected>,
    chunks: VecDeque<HeldChunk>,
    has_begun: bool,
    /// The end that came; of a stream told once the chunks before it are handed out.
    end: Option<(Option<elkapi::Completion>, Option<Error>)>,
    has_ended: bool,
    /// It was left early.
    left: bool,
    /// How often what the completion is made of has changed.
    turned: u64,
    completion: Option<Py<Completion>>,
}

/// Never while Python code runs or may run: it could come here again, or let another thread wait here
/// that holds the interpreter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl Queue {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Queue> {
        let core = elkapi::Queue::without_client(WORKERS, usize::MAX);
        let core = core.map_err(|error| raised(py, &error))?;
        Ok(Queue { core: Mutex::new(Some(Arc::new(core))), calls: Mutex::default(), last: AtomicU64::new(0) })
    }

    /// The descriptor that is readable while something is to be drained.
    fn fileno(&self) -> i32 {
        locked(&self.core).as_ref().map_or(-1, |core| core.handle().as_raw_fd())
    }

    /// Fetches what has come and wakes the calls that it belongs to.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        let mut woken: Vec<Py<Call>> = Vec::new();
        // Not locked meanwhile: what takes a record may come here again.
        let Some(core) = locked(&self.core).clone() else { return Ok(()) };
        for _ in 0..FETCHED {
            let taken = core.take(Some(Duration::ZERO)).map_err(|error| raised(py, &error))?;
            let (tag, is_end) = match &taken {
                Taken::Opened { tag, .. } | Taken::Chunk { tag, .. } => (*tag, false),
                Taken::Ended { tag, .. } => (*tag, true),
                Taken::Pending | Taken::Done => break,
            };
            let call = match locked(&self.calls).get(&tag) {
                Some(call) => call.clone_ref(py),
                None => continue,
            };
            if is_end {
                locked(&self.calls).remove(&tag);
            }
            if call.get().receive(taken) && !woken.iter().any(|other| other.is(&call)) {
                woken.push(call);
            }
        }
        // All are woken, also where one of them raises, as a Ctrl-C handler may.
        let mut raising = interrupt::raised_meanwhile();
        for call in woken {
            if let Err(error) = call.get().wake.call0(py) {
                raising.get_or_insert(error);
            }
        }
        raising.map_or(Ok(()), Err)
    }

    /// Stops all calls.
    fn close(&self, py: Python<'_>) {
        let core = locked(&self.core).take();
        let calls = self.stopped();
        py.detach(|| drop(core));
        drop(calls);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // The core waits for its workers, and a task ends by its own token alone.
        self.stopped();
    }
}

impl Queue {
    /// The calls that are under way, each told to stop.
    fn stopped(&self) -> HashMap<u64, Py<Call>> {
        let calls = std::mem::take(&mut *locked(&self.calls));
        calls.values().for_each(|call| call.get().stop.signal());
        calls
    }

    /// Hands a call over; the token stops it.
    pub fn submit<'py>(
        queue: &Bound<'py, Queue>,
        work: Work,
        makes: Makes,
        wake: Py<PyAny>,
        stop: Cancel,
    ) -> PyResult<Bound<'py, Call>> {
        let (py, this) = (queue.py(), queue.get());
        let tag = this.last.fetch_add(1, Ordering::Relaxed) + 1;
        let work = work.tag(tag).cancel(&stop);
        let call = Bound::new(py, Call { makes, stop, wake, state: Mutex::default() })?;
        locked(&this.calls).insert(tag, call.clone().unbind());
        let submitted = match locked(&this.core).as_ref() {
            Some(core) => core.submit(work),
            None => Err(Error::new(elkapi::Kind::Closed, "The event loop has ended")),
        };
        submitted.map_err(|error| {
            locked(&this.calls).remove(&tag);
            raised(py, &error)
        })?;
        Ok(call)
    }
}

impl Call {
    /// Keeps what came; whether somebody may wait for it.
    fn receive(&self, taken: Taken) -> bool {
        let mut state = locked(&self.state);
        if state.left {
            return false;
        }
        match taken {
            Taken::Opened { head, .. } => state.collected = Some(Collected::new(head)),
            Taken::Chunk { chunk, .. } => state.chunks.push_back(chunk),
            Taken::Ended { answer, error, .. } => state.end = Some((answer, error)),
            Taken::Pending | Taken::Done => return false,
        }
        true
    }

    fn completion_of<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Completion>>> {
        let state = locked(&self.state);
        if let Some(completion) = &state.completion {
            return Ok(Some(completion.bind(py).clone()));
        }
        let made = match (&state.end, &state.collected) {
            (Some((Some(answer), _)), _) if state.has_ended => answer.clone(),
            (_, Some(collected)) => collected.completion(state.left.then_some(Verdict::Cancelled)),
            _ => return Ok(None),
        };
        let (ended, turned) = (state.has_ended || state.left, state.turned);
        drop(state);
        let completion = Completion::of_stream(py, made, ended)?;
        let mut state = locked(&self.state);
        if state.turned != turned {
            // Another thread read on meanwhile.
            return Ok(Some(completion));
        }
        let kept = state.completion.get_or_insert_with(|| completion.unbind());
        Ok(Some(kept.bind(py).clone()))
    }
}

impl State {
    /// What was made of it until now is out of date; to be dropped where nothing is locked.
    fn turn(&mut self) -> Option<Py<Completion>> {
        self.turned += 1;
        self.completion.take()
    }
}

#[pymethods]
impl Call {
    /// Whether the end has come.
    #[getter]
    fn ended(&self) -> bool {
        locked(&self.state).end.is_some()
    }

    /// Of a stream: whether its reply has begun.
    #[getter]
    fn opened(&self) -> bool {
        locked(&self.state).collected.is_some()
    }

    /// Stops it; nothing more is kept of it.
    fn stop(&self) {
        let mut state = locked(&self.state);
        let mut outdated = None;
        if state.end.is_none() || !state.chunks.is_empty() {
            state.left = true;
            if !state.has_ended {
                outdated = state.turn();
            }
        }
        let chunks = std::mem::take(&mut state.chunks);
        drop(state);
        drop((chunks, outdated));
        self.stop.signal();
        if let Makes::Kept(kept) = &self.makes {
            kept.leave();
        }
    }

    /// What a call that is no stream ended with: its answer, or the error, which is raised.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut state = locked(&self.state);
        let end = state.end.take();
        state.has_ended = end.is_some();
        drop(state);
        match (end, &self.makes) {
            (Some((_, error)), Makes::Kept(kept)) => kept.result(py, error),
            (Some((Some(answer), None)), Makes::Document) => Ok(Document::of_core(py, answer)?.into_any()),
            (Some((Some(answer), None)), _) => Ok(Completion::of_core(py, answer)?.into_any()),
            (Some((_, Some(error))), _) => Err(raised(py, &error)),
            _ => Err(raised(py, &Error::new(elkapi::Kind::Internal, "A call came to nothing"))),
        }
    }

    /// The next chunk that is here; None where there is none.
    fn chunk<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Chunk>>> {
        let mut state = locked(&self.state);
        let Some(chunk) = state.chunks.pop_front() else { return Ok(None) };
        // Its place in the stream's window is free from here on.
        let chunk = chunk.release();
        state.has_begun = true;
        let outdated = state.turn();
        if let Some(collected) = &mut state.collected {
            collected.add(&chunk);
        }
        drop(state);
        drop(outdated);
        let (json, text) = (chunk.json().as_text(), chunk.text().as_text());
        Chunk::made(py, json.unwrap_or_default(), text.unwrap_or_default(), false).map(Some)
    }

    /// The end of a stream whose chunks are all handed out: nothing, or the error, which is raised.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = locked(&self.state);
        if state.left {
            return Ok(());
        }
        let outdated = if state.has_ended { None } else { state.turn() };
        state.has_ended = true;
        let (error, has_begun) = (state.end.as_ref().and_then(|(_, error)| error.clone()), state.has_begun);
        drop(state);
        drop(outdated);
        let Some(error) = error else { return Ok(()) };
        let exception = raised(py, &error);
        if has_begun && let Some(completion) = self.completion_of(py)? {
            exception.value(py).setattr(intern!(py, "completion"), completion)?;
        }
        Err(exception)
    }

    /// Of a stream: what has been handed out of it, as a whole answer would be.
    fn completion<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Completion>>> {
        self.completion_of(py)
    }

    /// Of a stream: how it ended; None until then.
    #[getter]
    fn verdict(&self) -> Option<&'static str> {
        let state = locked(&self.state);
        match &state.end {
            _ if state.left => Some(Verdict::Cancelled.name()),
            Some((_, Some(error))) if state.has_ended => Some(error.verdict().name()),
            Some((Some(answer), None)) if state.has_ended => Some(answer.verdict().name()),
            _ => None,
        }
    }

    /// Of a stream: whether the closing `[DONE]` has come.
    #[getter]
    fn saw_done(&self) -> bool {
        let state = locked(&self.state);
        let ending = state.end.as_ref().filter(|_| state.has_ended);
        ending.and_then(|(answer, _)| answer.as_ref()?.saw_done()).unwrap_or(false)
    }

    /// Of a stream: the gateway's id of the request.
    #[getter]
    fn request_id(&self) -> Option<String> {
        let state = locked(&self.state);
        state.collected.as_ref()?.head().headers().request_id().map(str::to_owned)
    }

    /// Of a stream: HTTP status.
    #[getter]
    fn status(&self) -> Option<u16> {
        locked(&self.state).collected.as_ref().map(|collected| collected.head().status())
    }

    /// Of a stream: header fields of the reply.
    #[getter]
    fn headers(&self) -> Option<Headers> {
        let state = locked(&self.state);
        state.collected.as_ref().map(|collected| Headers::new(collected.head().headers().clone()))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.end.is_none() && !state.has_ended {
            self.stop.signal();
        }
        if let Makes::Kept(kept) = &self.makes {
            kept.leave();
        }
    }
}
