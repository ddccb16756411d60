//! One piece of work: what a caller hands over, and carrying it out on a worker's thread.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::window::Window;
use super::{Entry, HeldChunk, Shared, Taken, bound};
use crate::call::Call;
use crate::cancel::Cancel;
use crate::client::Client;
use crate::completion::Completion;
use crate::config::Limits;
use crate::error::{Error, Kind};
use crate::request::Mode;

/// A call to be made by a queue, or anything else that blocks.
#[derive(Debug)]
pub struct Work {
    pub(super) tag: u64,
    task: Task,
    cancels: [Option<Cancel>; 2],
    client: Option<Client>,
    announced: bool,
}

#[derive(Debug)]
enum Task {
    Asked(Asked),
    Other(Run),
}

/// What a client is asked for.
#[derive(Debug)]
enum Asked {
    Answer(Vec<u8>),
    Stream(Vec<u8>),
    Document(String),
}

struct Run(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

impl Work {
    /// A chat request, a JSON object, for the whole answer.
    pub fn chat_completions(request: impl Into<Vec<u8>>) -> Work {
        Work::of(Task::Asked(Asked::Answer(request.into())))
    }

    /// A chat request whose answer comes chunk by chunk.
    pub fn chat_completions_stream(request: impl Into<Vec<u8>>) -> Work {
        Work::of(Task::Asked(Asked::Stream(request.into())))
    }

    /// The document at a path below the base URL, such as `/models`.
    pub fn get(path: impl Into<String>) -> Work {
        Work::of(Task::Asked(Asked::Document(path.into())))
    }

    /// Anything else that blocks, such as an exchange of [`crate::raw`], done by a worker in its turn.
    ///
    /// Its ending has neither answer nor error where it ran: it keeps what it came to by itself. Tokens
    /// and the queue's own stop end it while it waits for a worker; what runs must look at tokens of its
    /// own.
    pub fn task(run: impl FnOnce() + Send + 'static) -> Work {
        Work::of(Task::Other(Run(Box::new(run))))
    }

    fn of(task: Task) -> Work {
        Work { tag: 0, task, cancels: [None, None], client: None, announced: false }
    }

    /// A number of the caller's own that comes back with everything that belongs to this call; 0
    /// unless set.
    #[must_use]
    pub fn tag(mut self, tag: u64) -> Work {
        self.tag = tag;
        self
    }

    /// A token that stops this call. A second one stops it too; a third takes the second one's place.
    #[must_use]
    pub fn cancel(mut self, cancel: &Cancel) -> Work {
        let place = usize::from(self.cancels[0].is_some());
        self.cancels[place] = Some(cancel.clone());
        self
    }

    /// Another client than the queue's makes the call, such as one of [`Client::with`].
    #[must_use]
    pub fn client(mut self, client: &Client) -> Work {
        self.client = Some(client.clone());
        self
    }

    /// The opening of a stream is told too, before its first chunk ([`super::Taken::Opened`]).
    #[must_use]
    pub fn announced(mut self) -> Work {
        self.announced = true;
        self
    }
}

/// Work that was taken on: its time runs.
pub(super) struct Job {
    tag: u64,
    doing: Doing,
    call: Arc<Call>,
    /// The caller gave a token.
    has_token: bool,
}

enum Doing {
    Asking(Asking),
    Other(Run),
}

/// A client's call.
struct Asking {
    client: Client,
    asked: Asked,
    /// Stops this call alone.
    own: Cancel,
    announced: bool,
}

/// What a call came to: its answer; or the error, and what had arrived before it.
pub(super) type Ending = (Option<Completion>, Option<Error>);

impl Job {
    /// `stop` stops it together with all others.
    pub fn new(work: Work, shared: &Arc<Shared>, stop: &Cancel) -> Result<Job, Error> {
        let Work { tag, task, cancels, client, announced } = work;
        let has_token = cancels[0].is_some();
        let own = Cancel::new();
        let cancels = cancels.iter().flatten().chain([stop]);
        let asked = match task {
            Task::Asked(asked) => asked,
            Task::Other(run) => {
                let call = Call::new(&Limits::default(), cancels.cloned(), None);
                return Ok(Job { tag, doing: Doing::Other(run), call, has_token });
            }
        };
        let client = match (client, &shared.client) {
            (Some(client), _) => bound(&client, &Arc::downgrade(shared)),
            (None, Some(client)) => client.clone(),
            (None, None) => return Err(Error::argument("The call has no client, and the queue has none")),
        };
        let mode = if matches!(asked, Asked::Stream(_)) { Mode::Stream } else { Mode::Unary };
        let streams_own = (mode == Mode::Stream).then_some(&own);
        let call = client.call(mode, cancels.chain(streams_own));
        let asking = Asking { client, asked, own, announced };
        Ok(Job { tag, doing: Doing::Asking(asking), call, has_token })
    }

    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// Whether it can end while it waits for a worker, other than with all calls together.
    pub fn needs_keeper(&self) -> bool {
        self.has_token || self.call.deadline.is_some()
    }

    /// The call, whose time runs and whose tokens count while it waits for a worker.
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// Makes the call and hands out what it brings but for its ending. A defect of ours ends this call
    /// alone.
    pub fn run(self, shared: &Shared) -> Ending {
        catch_unwind(AssertUnwindSafe(|| self.carry_out(shared))).unwrap_or_else(|_| {
            (None, Some(Error::new(Kind::Internal, "elkapi met a defect of its own in a queue's worker")))
        })
    }

    fn carry_out(self, shared: &Shared) -> Ending {
        match self.doing {
            Doing::Asking(asking) => asking.carry_out(self.tag, &self.call, shared),
            Doing::Other(run) => match self.call.check_start() {
                Ok(()) => {
                    (run.0)();
                    (None, None)
                }
                Err(error) => (None, Some(error)),
            },
        }
    }
}

impl Asking {
    fn carry_out(&self, tag: u64, call: &Arc<Call>, shared: &Shared) -> Ending {
        let outcome = match &self.asked {
            Asked::Answer(request) => self.client.answer(call, request),
            Asked::Document(path) => self.client.document(call, path),
            Asked::Stream(request) => return self.stream(request, tag, call, shared),
        };
        match outcome {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(error)),
        }
    }

    fn stream(&self, request: &[u8], tag: u64, call: &Arc<Call>, shared: &Shared) -> Ending {
        let mut stream = match self.client.stream(call, self.own.clone(), request) {
            Ok(stream) => stream,
            Err(error) => return (None, Some(error)),
        };
        if self.announced {
            shared.deliver(Entry::ToTake(Taken::Opened { tag, head: stream.head().clone() }));
        }
        let window = Arc::new(Window::default());
        let error = loop {
            match stream.next() {
                Some(Ok(chunk)) => {
                    let chunk = chunk.to_owned();
                    let permit = window.permit(chunk.size());
                    let chunk = HeldChunk::new(chunk, permit);
                    shared.deliver(Entry::ToTake(Taken::Chunk { tag, chunk }));
                    if let Err(error) = window.wait(&mut stream) {
                        break Some(error);
                    }
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        (Some(stream.completion()), error)
    }
}
