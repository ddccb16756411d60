//! A stream of chunks: every event at once, and a verdict at the end.
//!
//! Pulls bytes through the decoder one event at a time and folds them into the document that a unary
//! call would have brought. An answer that stops early is never a success; what arrived is kept.

use std::borrow::Cow;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::Call;
use crate::cancel::Cancel;
use crate::completion::{Completion, StreamFacts, verdict_of};
use crate::error::{Attempt, Billed, Error, Kind, Verdict};
use crate::exchange::{DRAIN, Events};
use crate::fold::Fold;
use crate::json::{Document, NotJson};
use crate::net::{self, Received};
use crate::record::{Attempted, Recording};
use crate::refusal;
use crate::reply::{Body, Reply};
use crate::secret::Secret;
use crate::sse::Decoder;
use crate::sys::fork;

/// A reply to a stream request whose status says success.
pub(crate) struct Opened {
    /// When the attempt began.
    pub began: Instant,
    /// Status and header fields.
    pub head: Reply,
    pub source: Source,
}

/// What the reply consists of.
pub(crate) enum Source {
    /// Events, as asked for.
    Events(Events),
    /// One whole answer instead.
    Whole(Completion),
}

/// Makes the request, again where that is allowed. With an error: that is how the last attempt ended,
/// so pause and repeat, or give it back.
pub(crate) type Open = Box<dyn FnMut(&mut Vec<Attempt>, Option<Error>) -> Result<Opened, Error> + Send>;

/// What the stream needs of its client.
pub(crate) struct Terms {
    pub key: Secret,
    pub max_event_bytes: usize,
    /// Refusals of the gateway itself are unbilled; of other servers nothing is known.
    pub trusts_refusals: bool,
}

/// What [`Stream::poll`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A chunk is there: [`Stream::chunk`].
    Chunk,
    /// Nothing came in that time; nothing is lost.
    Pending,
    /// The stream has ended well.
    Done,
}

/// An open stream. One thread at a time uses it; a [`Cancel`] stops it from others. Dropped before its
/// end, it closes its connection at once.
pub struct Stream {
    call: Arc<Call>,
    /// Stops this stream alone.
    cancel: Cancel,
    terms: Terms,
    generation: u64,
    /// `None` once a chunk was handed out: then nothing may be repeated.
    open: Option<Open>,
    head: Reply,
    source: Option<Source>,
    decoder: Decoder,
    fold: Fold,
    /// The present chunk's text where its bytes are not UTF-8.
    lossy: Option<String>,
    has_chunk: bool,
    input_ended: bool,
    saw_done: bool,
    events: u64,
    attempts: Vec<Attempt>,
    verdict: Option<Verdict>,
    failure: Option<Error>,
    whole: Option<Completion>,
    /// Told of each attempt, where somebody takes records.
    recording: Option<Arc<Recording>>,
    /// The present attempt was.
    is_recorded: bool,
    began: Instant,
    first_chunk: Option<Duration>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("events", &self.events)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

/// One event of a stream, valid until the next one is asked for.
#[derive(Debug)]
pub struct Chunk<'a> {
    data: Data<'a>,
    text: &'a str,
}

#[derive(Debug)]
enum Data<'a> {
    /// Judged to be UTF-8.
    Bytes(&'a [u8]),
    Text(Cow<'a, str>),
}

impl<'a> Chunk<'a> {
    /// The event's JSON as it came.
    pub fn json(&self) -> &str {
        match &self.data {
            Data::Bytes(bytes) => simdutf8::basic::from_utf8(bytes).unwrap_or_default(),
            Data::Text(text) => text,
        }
    }

    /// What it added to the text of the choice with the lowest index; `""` if nothing.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// A copy that outlives the stream's next step.
    pub fn to_owned(&self) -> OwnedChunk {
        let copied = |text: &str| {
            // With room for the NUL that is put behind it.
            let mut bytes = Vec::with_capacity(text.len() + 1);
            bytes.extend_from_slice(text.as_bytes());
            Body::new(bytes)
        };
        OwnedChunk { json: copied(self.json()), text: copied(self.text) }
    }

    /// The event as a document, to be read by member or JSON Pointer.
    ///
    /// # Errors
    ///
    /// Where it nests too deep to be walked.
    pub fn document(&self) -> Result<Document, NotJson> {
        Document::of_text(self.json())
    }
}

/// A chunk that was taken out of its stream.
#[derive(Clone, Debug)]
pub struct OwnedChunk {
    json: Body,
    text: Body,
}

impl OwnedChunk {
    /// The event's JSON as it came.
    pub fn json(&self) -> &Body {
        &self.json
    }

    /// What it added to the text of the choice with the lowest index; empty if nothing.
    pub fn text(&self) -> &Body {
        &self.text
    }

    /// The event as a document, to be read by member or JSON Pointer.
    ///
    /// # Errors
    ///
    /// Where it nests too deep to be walked.
    pub fn document(&self) -> Result<Document, NotJson> {
        Document::of_text(self.json.as_text().unwrap_or_default())
    }

    /// How much memory it holds, about.
    pub(crate) fn size(&self) -> usize {
        self.json.as_bytes().len() + self.text.as_bytes().len()
    }
}

/// What chunks that were taken out of their stream come to, in the shape of a whole answer.
pub struct Collected {
    head: Reply,
    fold: Fold,
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collected").finish_non_exhaustive()
    }
}

impl Collected {
    /// No chunk yet, of a stream whose reply has this head.
    pub fn new(head: Reply) -> Collected {
        Collected { head, fold: Fold::default() }
    }

    /// Status and header fields of the reply.
    pub fn head(&self) -> &Reply {
        &self.head
    }

    /// Adds the next chunk.
    pub fn add(&mut self, chunk: &OwnedChunk) {
        self.fold.absorb(chunk.json.as_text().unwrap_or_default());
    }

    /// What they come to; a stream that has not ended is `truncated` unless it was left.
    pub fn completion(&self, verdict: Option<Verdict>) -> Completion {
        let facts = StreamFacts { saw_done: false, verdict: verdict.or(Some(Verdict::Truncated)) };
        Completion::folded(&self.head, self.fold.document(), facts)
    }
}

impl Stream {
    /// Makes the request and waits for the reply's header fields.
    pub(crate) fn open(
        call: Arc<Call>,
        cancel: Cancel,
        terms: Terms,
        recording: Option<Arc<Recording>>,
        mut open: Open,
    ) -> Result<Stream, Error> {
        let mut attempts = Vec::new();
        let opened = open(&mut attempts, None)?;
        let mut stream = Stream::over(call, cancel, terms, opened);
        stream.open = Some(open);
        stream.attempts = attempts;
        stream.recording = recording;
        Ok(stream)
    }

    /// A stream over a reply that is there.
    pub(crate) fn over(call: Arc<Call>, cancel: Cancel, terms: Terms, opened: Opened) -> Stream {
        let decoder = Decoder::new(terms.max_event_bytes);
        Stream {
            call,
            cancel,
            terms,
            generation: fork::generation(),
            open: None,
            head: opened.head,
            source: Some(opened.source),
            decoder,
            fold: Fold::default(),
            lossy: None,
            has_chunk: false,
            input_ended: false,
            saw_done: false,
            events: 0,
            attempts: Vec::new(),
            verdict: None,
            failure: None,
            whole: None,
            recording: None,
            is_recorded: false,
            began: opened.began,
            first_chunk: None,
        }
    }

    /// The next chunk; `None` at the good end. Waits as long as the client's limits allow.
    ///
    /// # Errors
    ///
    /// Everything that a stream can end with; [`Stream::completion`] has what arrived. Asked again, the
    /// same error.
    #[allow(clippy::should_implement_trait)] // Lends the chunk, which no Iterator can.
    pub fn next(&mut self) -> Option<Result<Chunk<'_>, Error>> {
        match self.poll(None) {
            Ok(Step::Chunk) => self.chunk().map(Ok),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Goes on by one chunk, waiting at most that long; `None` waits as long as the limits allow.
    ///
    /// # Errors
    ///
    /// As [`Stream::next`].
    pub fn poll(&mut self, wait: Option<Duration>) -> Result<Step, Error> {
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        loop {
            if let Some(step) = self.go_on(Some(wait))? {
                return Ok(step);
            }
            if !self.receive(until)? {
                return Ok(Step::Pending);
            }
        }
    }

    /// Goes on by one chunk that is here already, without any wait or system call.
    ///
    /// # Errors
    ///
    /// As [`Stream::next`].
    pub fn poll_buffered(&mut self) -> Result<Step, Error> {
        Ok(self.go_on(None)?.unwrap_or(Step::Pending))
    }

    /// Reads nothing until the descriptor is readable: whoever takes the chunks is behind. The call's
    /// total and its tokens count meanwhile.
    pub(crate) fn rest(&mut self, until_readable: BorrowedFd<'_>) -> Result<(), Error> {
        match net::wait_readable(&self.call, until_readable, None) {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = self.broken(error);
                Err(self.fail(error))
            }
        }
    }

    /// The present chunk.
    pub fn chunk(&self) -> Option<Chunk<'_>> {
        if !self.has_chunk {
            return None;
        }
        let data = match (&self.whole, &self.lossy) {
            (Some(whole), _) => Data::Text(String::from_utf8_lossy(whole.json())),
            (None, Some(lossy)) => Data::Text(Cow::Borrowed(lossy.as_str())),
            (None, None) => Data::Bytes(self.decoder.current().data),
        };
        Some(Chunk { data, text: self.fold.added_text() })
    }

    /// The present chunk's JSON with a NUL behind it; `None` where it must be copied for that.
    pub fn chunk_json_with_nul(&self) -> Option<&[u8]> {
        match (&self.whole, &self.lossy) {
            _ if !self.has_chunk => None,
            (Some(whole), _) => Some(whole.reply().body_with_nul()),
            (None, Some(_)) => None,
            (None, None) => Some(self.decoder.current_with_nul()),
        }
    }

    /// The present chunk's text with a NUL behind it.
    pub fn chunk_text_with_nul(&self) -> &[u8] {
        if self.has_chunk { self.fold.added_text_with_nul().as_bytes() } else { &[0] }
    }

    /// What the present chunk has at `/choices/0/delta/content`, with a NUL behind it; `None` where that
    /// is not known without reading the chunk.
    pub fn delta_content_with_nul(&self) -> Option<&[u8]> {
        let text = self.fold.delta_content_with_nul().filter(|_| self.has_chunk);
        text.map(str::as_bytes)
    }

    /// What has arrived so far, in the shape of a whole answer.
    pub fn completion(&self) -> Completion {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        // Until the end is known, what is here is a beginning.
        let verdict = self.verdict.or(Some(Verdict::Truncated));
        let facts = StreamFacts { saw_done: self.saw_done, verdict };
        Completion::folded(&self.head, self.fold.document(), facts)
            .with_call(self.attempts.clone(), self.call.elapsed_ms())
    }

    /// Reads to the end, and gives what arrived with the error that ended it, if one did.
    pub fn finish(mut self) -> (Completion, Option<Error>) {
        let error = loop {
            match self.poll(None) {
                Ok(Step::Done) => break None,
                Ok(_) => {}
                Err(error) => break Some(error),
            }
        };
        (self.completion(), error)
    }

    /// How it ended; `None` until then.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// The error that ended it.
    pub fn error(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Whether the closing `[DONE]` came.
    pub fn saw_done(&self) -> bool {
        self.saw_done
    }

    /// Status and header fields of the reply.
    pub fn head(&self) -> &Reply {
        &self.head
    }

    /// A token that stops this stream from any thread.
    pub fn canceller(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Leaves it: the connection is closed at once, what arrived stays readable. After the end: nothing.
    pub fn close(&mut self) {
        self.source = None;
        self.open = None;
        self.verdict.get_or_insert(Verdict::Cancelled);
        self.record(None);
    }

    /// Hands out the record of the present attempt, once.
    fn record(&mut self, error: Option<&Error>) {
        let Some(recording) = &self.recording else { return };
        if self.is_recorded || self.generation != fork::generation() {
            return;
        }
        self.is_recorded = true;
        let answer = self.completion();
        let attempted = Attempted {
            number: self.attempts.len().saturating_sub(1),
            took: self.began.elapsed(),
            first_chunk: self.first_chunk,
            answer: Some(&answer),
            error,
        };
        recording.take(&self.call, attempted);
    }

    /// Takes the next event out of what is here; `None` when more bytes are needed, or when the end is
    /// here and only a read is missing, for which `wait` is given where there may be one.
    fn go_on(&mut self, wait: Option<Option<Duration>>) -> Result<Option<Step>, Error> {
        self.has_chunk = false;
        loop {
            if let Some(error) = &self.failure {
                return Err(error.clone());
            }
            if self.verdict.is_some() {
                return Ok(Some(Step::Done));
            }
            if self.generation != fork::generation() {
                let error =
                    Error::new(Kind::Forked, "The stream was opened before a fork; it belongs to the parent");
                return Err(self.fail(error));
            }
            if self.call.is_cancelled() {
                let error =
                    Error::new(Kind::Cancelled, "The stream was cancelled").with_billed(self.billed());
                return Err(self.fail(error));
            }
            if self.saw_done {
                return wait.map(|wait| self.end_by_done(wait)).transpose();
            }
            if let Some(whole) = &self.whole {
                let verdict = whole.verdict();
                self.end(verdict);
                return Ok(Some(Step::Done));
            }
            if let Some(Source::Whole(whole)) =
                self.source.take_if(|source| matches!(source, Source::Whole(_)))
            {
                return Ok(Some(self.take_whole(whole)));
            }
            let has_event = match self.decoder.advance() {
                Ok(true) => true,
                Ok(false) if !self.input_ended => return Ok(None),
                Ok(false) => self.decoder.finish(),
                Err(_) => {
                    let limit = self.terms.max_event_bytes;
                    let detail = format!("An event is larger than max_event_bytes, which is {limit}");
                    return Err(self.fail(Error::new(Kind::ReplyTooLarge, detail)));
                }
            };
            let step = if has_event { self.take_event()? } else { self.conclude()? };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    /// The whole answer is one chunk.
    fn take_whole(&mut self, whole: Completion) -> Step {
        self.fold.absorb(&String::from_utf8_lossy(whole.json()));
        self.whole = Some(whole.with_call(self.attempts.clone(), self.call.elapsed_ms()));
        self.handed_out();
        Step::Chunk
    }

    /// Judges the event that the decoder has; `None` when it says nothing.
    fn take_event(&mut self) -> Result<Option<Step>, Error> {
        let event = self.decoder.current();
        let data = event.data.trim_ascii();
        if data.is_empty() {
            return Ok(None);
        }
        if data == b"[DONE]" {
            self.saw_done = true;
            return Ok(None);
        }
        let is_error = event.name == b"error";
        let whole = event.whole;
        if !is_error && self.fold.absorb_alike(data) {
            self.lossy = None;
            self.handed_out();
            return Ok(Some(Step::Chunk));
        }
        // UTF-8 is judged per event: a character cut by the network is whole again here.
        self.lossy = match std::str::from_utf8(data) {
            Ok(_) => None,
            Err(_) => Some(String::from_utf8_lossy(data).into_owned()),
        };
        let text = match &self.lossy {
            Some(lossy) => lossy.as_str(),
            None => std::str::from_utf8(data).unwrap_or_default(),
        };
        match self.fold.absorb(text) {
            Some(held) if !held.error && !is_error => {
                self.handed_out();
                Ok(Some(Step::Chunk))
            }
            None if !whole && !is_error => {
                // The stream broke off inside this event.
                self.input_ended = true;
                self.conclude()
            }
            None if !is_error => {
                let error = Error::new(Kind::Decode, "An event of the stream is not a JSON object");
                Err(self.fail(error))
            }
            _ => {
                let text = text.to_owned();
                self.server_failed(&text)
            }
        }
    }

    fn handed_out(&mut self) {
        self.has_chunk = true;
        if self.events == 0 {
            self.first_chunk = Some(self.began.elapsed());
        }
        self.events += 1;
        self.open = None;
    }

    /// The server reports a failure: before anything was handed out it may be repeated.
    fn server_failed(&mut self, text: &str) -> Result<Option<Step>, Error> {
        let error = refusal::in_stream(
            &self.head,
            text,
            self.fold.has_answer(),
            self.terms.trusts_refusals,
            &self.terms.key,
        );
        let Some(mut open) = self.open.take().filter(|_| error.retryable()) else {
            return Err(self.fail(error));
        };
        // The attempt that was noted as a success ended so after all.
        if let Some(last) = self.attempts.last_mut() {
            last.kind = Some(error.kind());
        }
        self.source = None;
        self.record(Some(&error));
        match open(&mut self.attempts, Some(error)) {
            Ok(opened) => {
                self.began = opened.began;
                self.is_recorded = false;
                self.head = opened.head;
                self.source = Some(opened.source);
                self.decoder = Decoder::new(self.terms.max_event_bytes);
                self.fold = Fold::default();
                self.input_ended = false;
                self.open = Some(open);
                Ok(None)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The bytes have ended in order.
    fn conclude(&mut self) -> Result<Option<Step>, Error> {
        if !self.fold.has_answer() && !self.decoder.bare().is_empty() {
            let bare = String::from_utf8_lossy(self.decoder.bare()).into_owned();
            return self.server_failed(&bare);
        }
        self.judge().map(|()| Some(Step::Done))
    }

    fn end_by_done(&mut self, wait: Option<Duration>) -> Result<Step, Error> {
        self.judge_after(wait).map(|()| Step::Done)
    }

    fn judge_after(&mut self, wait: Option<Duration>) -> Result<(), Error> {
        self.drain(wait);
        self.judge()
    }

    /// The stream has ended in order: was the answer whole?
    fn judge(&mut self) -> Result<(), Error> {
        if self.fold.is_finished() {
            let verdict = verdict_of(self.fold.finish_reason().as_deref());
            self.end(verdict);
            return Ok(());
        }
        let error = if self.fold.has_answer() {
            Error::new(Kind::StreamTruncated, "The stream ended before the answer did: no finish reason came")
                .with_verdict(Verdict::Truncated)
        } else {
            Error::new(Kind::EmptyResponse, "The stream ended without anything of an answer")
        };
        Err(self.fail(error))
    }

    fn end(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
        self.source = None;
        self.open = None;
        self.record(None);
    }

    /// Reads what follows the end of the events, so that the connection can be used again; as long as
    /// the caller waits anyway, but not for long.
    fn drain(&mut self, wait: Option<Duration>) {
        if let Some(Source::Events(events)) = &mut self.source {
            events.drain(Instant::now() + wait.unwrap_or(DRAIN).min(DRAIN));
        }
    }

    /// Receives more bytes; `false` when none came in time.
    fn receive(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let Some(Source::Events(events)) = &mut self.source else { return Ok(true) };
        match events.read(self.decoder.room(), until) {
            Ok(Received::Bytes(bytes)) => {
                self.decoder.filled(bytes);
                Ok(true)
            }
            Ok(Received::End) => {
                self.input_ended = true;
                Ok(true)
            }
            Ok(Received::Nothing) => Ok(false),
            Err(error) => {
                let error = self.broken(error);
                Err(self.fail(error))
            }
        }
    }

    /// What a failure of the connection means for an answer that was under way.
    fn broken(&self, error: Error) -> Error {
        match error.kind() {
            Kind::Timeout => error.with_verdict(Verdict::Stalled).with_billed(self.billed()),
            Kind::Cancelled => error.with_billed(self.billed()),
            Kind::Connection | Kind::Protocol if self.fold.has_answer() => {
                let detail = format!("The stream broke off: {}", error.server_message());
                let facts = error.phase().into_iter();
                let truncated = Error::new(Kind::StreamTruncated, detail).with_verdict(Verdict::Truncated);
                facts.fold(truncated, Error::with_phase)
            }
            _ => error.with_billed(self.billed()),
        }
    }

    fn billed(&self) -> Billed {
        if self.fold.has_answer() { Billed::Yes } else { Billed::Maybe }
    }

    /// Ends the stream with this error, which gets what is known of the call.
    fn fail(&mut self, error: Error) -> Error {
        self.source = None;
        self.open = None;
        let error = if error.reply().is_some() { error } else { error.with_reply(self.head.clone(), None) };
        let attempts =
            if error.attempts().is_empty() { self.attempts.clone() } else { error.attempts().to_vec() };
        let error = error
            .with_attempts(attempts)
            .with_traffic(self.call.sent(), self.call.received())
            .with_elapsed_ms(self.call.elapsed_ms())
            .without(|text| self.terms.key.cut_from(text));
        self.verdict = Some(error.verdict());
        self.failure = Some(error.clone());
        self.record(Some(&error));
        error
    }
}
impl Drop for Stream {
    /// One that is dropped was left: its attempt has ended here.
    fn drop(&mut self) {
        self.close();
    }
}
