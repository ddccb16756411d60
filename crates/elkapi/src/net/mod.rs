//! Connections of our own under the HTTP engine: resolve, dial, proxy, TLS, pool, waiting.
//!
//! The engine writes requests and reads replies; which socket, how long, and who may stop it is
//! decided here. The only room that names `ureq::unversioned`, which may change with any minor
//! version of ureq; hence the pinned version in `Cargo.toml`.

mod buffers;
mod dial;
mod dns;
mod proxy;
mod socket;
mod tls;
mod transport;
mod wait;

use std::fmt;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as EngineResolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport};
use ureq::{Agent, http::Uri};

use crate::call::Call;
use crate::error::{Error, Kind, Phase};
use crate::proxy::{Protocol, Proxy};
use crate::tls::Trust;
use dns::{NoAddress, Resolver, address_in};
use proxy::{NoTunnel, Target, open_tunnel};
use socket::{Socket, connect_limit, token};
use tls::TlsConnector;
use transport::Tcp;

use wait::Stop;

pub(crate) use wait::with_facts;

/// Idle connections are dropped just before common servers and balancers drop theirs (60 to 75 s).
const IDLE_AGE: Duration = Duration::from_secs(55);

/// The reply's head at most: status line and field lines together.
const HEAD: usize = 64 * 1024;

/// An agent over our own connections, and what is known of them.
#[derive(Debug)]
pub(crate) struct Connections {
    pub agent: Agent,
    idle: Arc<AtomicUsize>,
    spare: Arc<Spare>,
}

impl Connections {
    /// Connections that are reached directly or all through the same proxy.
    pub fn new(max_idle: usize, trust: Arc<Trust>, proxy: Option<Arc<Proxy>>) -> Connections {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(max_idle)
            .max_idle_connections_per_host(max_idle)
            .max_idle_age(IDLE_AGE)
            .max_response_header_size(HEAD)
            .proxy(None)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .build();
        let idle = Arc::new(AtomicUsize::new(0));
        let spare = Arc::new(Spare::default());
        let chain = TakeSpare(spare.clone())
            .chain(Dialer { resolver: Resolver::default(), proxy })
            .chain(TlsConnector::new(trust))
            .chain(Established { idle: idle.clone(), spare: spare.clone() });
        Connections { agent: Agent::with_parts(config, chain, NoLookup), idle, spare }
    }

    /// Whether a connection waits for use.
    pub fn has_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0 || self.spare.is_filled()
    }
}

/// The engine asks for addresses before it looks into its pool; ours are looked up when a socket is
/// opened.
#[derive(Debug)]
struct NoLookup;

impl EngineResolver for NoLookup {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Opens the socket, through the proxy where there is one.
#[derive(Debug)]
struct Dialer {
    resolver: Resolver,
    proxy: Option<Arc<Proxy>>,
}

impl Connector<Box<dyn Transport>> for Dialer {
    /// Opened ahead, or new and without TLS yet.
    type Out = Either<Box<dyn Transport>, Tcp>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<Box<dyn Transport>>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(ahead) = chained {
            return Ok(Some(Either::A(ahead)));
        }
        let call = Call::current().ok_or_else(token)?;
        call.set_dialling();
        let host = details.uri.host().unwrap_or_default();
        let port =
            details.uri.port_u16().unwrap_or(if details.uri.scheme_str() == Some("http") { 80 } else { 443 });
        let socket = match &self.proxy {
            None => self.directly(host, port, &call),
            Some(proxy) => self.through(proxy, host, port, &call),
        };
        match socket {
            Ok(socket) => Ok(Some(Either::B(Tcp::new(socket)))),
            Err(error) => {
                call.fail(error);
                Err(token())
            }
        }
    }
}

impl Dialer {
    fn directly(&self, host: &str, port: u16, call: &Call) -> Result<Socket, Error> {
        let addresses = self.addresses(host, call)?;
        self.dial(&addresses, host, port, call).map_err(|stop| match stop {
            Stop::Failed(error) => wait::with_facts(
                Error::new(
                    Kind::Connection,
                    format!("No connection could be made to {host}:{port}: {error}"),
                ),
                call,
            ),
            stop => wait::stopped(call, stop),
        })
    }

    /// A tunnel through the proxy to the first of the host's addresses that it can reach, or to the
    /// host's name.
    fn through(&self, proxy: &Proxy, host: &str, port: u16, call: &Call) -> Result<Socket, Error> {
        let addresses;
        let targets: Vec<Target<'_>> = match address_in(host) {
            Some(address) => vec![Target::Address(address)],
            None if proxy.protocol == Protocol::Socks5 => {
                addresses = self.addresses(host, call)?;
                addresses.iter().copied().map(Target::Address).collect()
            }
            None => vec![Target::Name(host)],
        };
        let mut unreachable = None;
        for target in targets {
            let mut socket = self.to_proxy(proxy, call)?;
            match open_tunnel(&mut socket, proxy, target, port, call) {
                Ok(()) => return Ok(socket),
                Err(NoTunnel::For(error)) => return Err(error),
                Err(NoTunnel::ToThisAddress(error)) => unreachable = Some(error),
            }
        }
        Err(unreachable.unwrap_or_else(|| {
            wait::with_facts(Error::new(Kind::Dns, format!("The host name {host} has no address")), call)
        }))
    }

    /// A socket to the proxy itself.
    fn to_proxy(&self, proxy: &Proxy, call: &Call) -> Result<Socket, Error> {
        call.set_phase(Phase::Dns);
        let limit = connect_limit(call);
        let addresses = self.resolver.resolve(&proxy.host, call, limit).map_err(|why| match why {
            NoAddress::Unknown(reason) => {
                let detail =
                    format!("The name of the proxy {} could not be resolved: {reason}", proxy.place());
                proxy::failure(call, detail, true)
            }
            NoAddress::Stopped(stop) => wait::stopped(call, stop),
        })?;
        self.dial(&addresses, &proxy.host, proxy.port, call).map_err(|stop| match stop {
            Stop::Failed(error) => {
                let detail = format!("No connection could be made to the proxy {}: {error}", proxy.place());
                proxy::failure(call, detail, true)
            }
            stop => wait::stopped(call, stop),
        })
    }

    fn addresses(&self, host: &str, call: &Call) -> Result<Arc<[IpAddr]>, Error> {
        call.set_phase(Phase::Dns);
        self.resolver.resolve(host, call, connect_limit(call)).map_err(|why| match why {
            NoAddress::Unknown(reason) => wait::with_facts(
                Error::new(Kind::Dns, format!("The host name {host} could not be resolved: {reason}")),
                call,
            ),
            NoAddress::Stopped(stop) => wait::stopped(call, stop),
        })
    }

    fn dial(&self, addresses: &[IpAddr], host: &str, port: u16, call: &Call) -> Result<Socket, Stop> {
        call.set_phase(Phase::Connect);
        let socket = dial::dial(addresses, port, call, connect_limit(call));
        socket.map(Socket::new).inspect_err(|_| self.resolver.forget(host))
    }
}

/// The last link: the connection stands. One that is opened ahead is put aside here.
#[derive(Debug)]
struct Established {
    idle: Arc<AtomicUsize>,
    spare: Arc<Spare>,
}

impl<In: Transport> Connector<In> for Established {
    type Out = Counted;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Counted>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        let call = Call::current().ok_or_else(token)?;
        call.set_phase(Phase::Send);
        let counted = Counted { transport: Box::new(transport), idle: self.idle.clone(), is_idle: false };
        if call.is_warming() {
            self.spare.put(Box::new(counted));
            return Err(token());
        }
        Ok(Some(counted))
    }
}

/// A connection that counts itself while it lies in the pool.
struct Counted {
    transport: Box<dyn Transport>,
    idle: Arc<AtomicUsize>,
    is_idle: bool,
}

impl Counted {
    fn set_idle(&mut self, is_idle: bool) {
        if is_idle != self.is_idle {
            self.is_idle = is_idle;
            if is_idle {
                self.idle.fetch_add(1, Ordering::Relaxed);
            } else {
                self.idle.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set_idle(false);
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transport.fmt(f)
    }
}

impl Transport for Counted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.transport.await_input(timeout)
    }

    /// Asked on the way into the pool and on the way out of it, in turn.
    fn is_open(&mut self) -> bool {
        let open = self.transport.is_open();
        self.set_idle(open && !self.is_idle);
        open
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

/// One connection opened ahead of the first call.
#[derive(Debug, Default)]
struct Spare(Mutex<Option<(Instant, Box<dyn Transport>)>>);

impl Spare {
    fn put(&self, transport: Box<dyn Transport>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), transport));
    }

    fn take(&self) -> Option<Box<dyn Transport>> {
        let (since, mut transport) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // Asked twice, as the pool does: what came with the handshake, and what the kernel says.
        let open = transport.is_open() && transport.is_open();
        (open && since.elapsed() < IDLE_AGE).then_some(transport)
    }

    fn is_filled(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// The first link: a connection that was opened ahead serves the first call that needs one.
#[derive(Debug)]
struct TakeSpare(Arc<Spare>);

impl Connector<()> for TakeSpare {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        let wanted = Call::current().is_some_and(|call| !call.is_fresh_only() && !call.is_warming());
        Ok(if wanted { self.0.take() } else { None })
    }
}

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
