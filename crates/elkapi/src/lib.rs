//! elkapi: the native client for the ElkAPI chat gateway. JSON in, JSON out, nothing lost.
//!
//! ```no_run
//! let client = elkapi::Client::new(elkapi::Config::new())?; // ELKAPI_API_KEY
//! let request = r#"{"messages":[{"role":"user","content":"Name three seas."}]}"#;
//! let answer = client.chat_completions(request, None)?;
//! println!("{}", answer.text());
//! # Ok::<(), elkapi::Error>(())
//! ```
//!
//! The C library and the Python module are faces of this crate. `docs/architecture.md` in the
//! repository draws the rooms; each file begins with what it is for.

#![warn(missing_docs)]
#![deny(unsafe_code)]

mod call;
mod cancel;
mod client;
mod completion;
mod config;
mod error;
mod exchange;
mod fold;
mod image;
pub mod json;
mod net;
mod pacing;
mod proxy;
mod queue;
mod random;
pub mod raw;
mod record;
mod refusal;
mod reply;
mod request;
mod retry;
mod secret;
pub mod sse;
mod stream;
mod sys;
mod tls;

pub use call::Interrupt;
pub use cancel::Cancel;
pub use client::Client;
pub use completion::{Choice, Completion, ToolCall, Usage};
pub use config::{Config, DEFAULT_BASE_URL, Fields, OPTIONS, OptionRow, RequestHead};
pub use error::{Attempt, Billed, Error, Kind, Limit, Phase, Verdict};
pub use image::{Image, Source, data_url};
pub use queue::{HeldChunk, Queue, Taken, Work};
pub use record::{Level, Recorder};
pub use reply::{Body, Headers, Reply};
pub use request::DEFAULT_MODEL;
pub use stream::{Chunk, Collected, OwnedChunk, Step, Stream};

/// This library's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
