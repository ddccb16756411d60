//! The module `elkapi._elkapi`: the core in Python's words, no logic of its own.
//!
//! `options` turns keyword arguments into the core's configuration text, `encode` a request from
//! Python objects into JSON, `structure` classes that describe JSON, `decode` JSON into Python objects; `node` and `answer` are the classes
//! an answer is read by, `stream` those of one that is still being written; `failure` raises what
//! `elkapi._errors` defines; `queue` has the calls that an event loop waits for, for `elkapi._async`;
//! `interrupt` has Ctrl-C and the tokens that stop calls, `log` the lines for
//! Python's `logging`; `client` puts them together.

mod answer;
mod client;
mod decode;
mod encode;
mod failure;
mod headers;
mod image;
mod interrupt;
mod log;
mod node;
mod options;
mod queue;
mod raw;
mod stream;
mod structure;

/// Everything of elkapi that is not written in Python; use it through the package `elkapi`.
#[pyo3::pymodule(gil_used = false)]
mod _elkapi {
    #[pymodule_export]
    use crate::answer::{Completion, Document, unpickle_answer};
    #[pymodule_export]
    use crate::client::{Client, unpickle_client};
    #[pymodule_export]
    use crate::headers::Headers;
    #[pymodule_export]
    use crate::image::{Image, image_part};
    #[pymodule_export]
    use crate::interrupt::Cancel;
    #[pymodule_export]
    use crate::node::{
        Attempt, Choice, ChunkChoice, Function, Logprobs, Message, Node, TokenDetails, ToolCall, Usage,
    };
    #[pymodule_export]
    use crate::options::{ImageOptions, Timeout};
    #[pymodule_export]
    use crate::queue::{Call, Queue};
    #[pymodule_export]
    use crate::raw::{RawReply, RawTransport};
    #[pymodule_export]
    use crate::stream::{Chunk, Stream, unpickle_chunk};

    /// This library's version.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = elkapi::VERSION;
}
