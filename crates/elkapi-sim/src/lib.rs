//! A gateway on loopback that answers like ElkAPI, and misbehaves on request.
//!
//! Tests in Rust start it in their own process; everyone else starts the program `elkapi-sim`.
//! Both are steered by base URL, so that a client is tested exactly as it will be used.
//!
//! ```
//! use elkapi_sim::{Options, Simulator};
//!
//! let sim = Simulator::start(Options::default())?;
//! assert_eq!(sim.base_url(), format!("{}/v1", sim.root()));
//! assert_eq!(sim.url("/fault/drip/v1"), format!("{}/fault/drip/v1", sim.root()));
//! assert_eq!(sim.stats().requests, 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The rooms, from the ground up: `clock`, `json`, `schema`, `answer`, `picture` and `bomb` know no
//! network; `http` is the connection, `tls` what may stand under it; `script`, `stats` and `reply` are what is sent and counted, `cue` what a test wants sent;
//! `route` reads the steering URL; `gateway`, `fixture`, `fault` and `misbehave` decide what comes
//! back; `server` holds it together. No code is shared with the client, lest a bug cancel itself out.

#![warn(missing_docs)]

mod answer;
mod bomb;
mod clock;
mod cue;
mod fault;
mod fixture;
mod gateway;
mod http;
mod json;
mod misbehave;
mod picture;
mod reply;
mod route;
mod schema;
mod script;
mod server;
mod stats;
mod tls;

pub use fault::table as fault_table;
pub use server::{Options, Simulator};
pub use stats::{LoggedRequest, RecordedRequest, Stats};
pub use tls::{TlsOptions, TlsVersions};
