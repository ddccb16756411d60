//! Opens connections: resolve, dial, through the proxy where there is one, TLS where it is asked for.

use std::net::IpAddr;
use std::sync::Arc;

use super::connection::Connection;
use super::dial;
use super::dns::{NoAddress, Resolver, address_in};
use super::proxy::{self, NoTunnel, Target, open_tunnel};
use super::socket::{Socket, connect_limit};
use super::tls::Tls;
use super::wait::{self, Stop};
use crate::call::Call;
use crate::error::{Error, Kind, Phase};
use crate::proxy::{Protocol, Proxy};
use crate::tls::Trust;

/// The server that connections lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub https: bool,
    /// As URLs have it: addresses of IPv6 in brackets.
    pub host: String,
    pub port: u16,
}

/// How a server is reached.
pub(crate) struct Dialer {
    origin: Origin,
    trust: Arc<Trust>,
    proxy: Option<Arc<Proxy>>,
    resolver: Resolver,
}

impl Dialer {
    pub fn new(origin: Origin, trust: Arc<Trust>, proxy: Option<Arc<Proxy>>) -> Dialer {
        Dialer { origin, trust, proxy, resolver: Resolver::default() }
    }

    /// A new connection, ready for a request.
    pub fn connect(&self, call: &Call) -> Result<Connection, Error> {
        call.set_dialling();
        let Origin { https, host, port } = &self.origin;
        let socket = match &self.proxy {
            None => self.directly(host, *port, call),
            Some(proxy) => self.through(proxy, host, *port, call),
        }?;
        let connection = if *https {
            let tls = Tls::over(socket, &self.trust, host, call);
            Connection::tls(tls.map_err(|stop| wait::stopped(call, stop))?)
        } else {
            Connection::plain(socket)
        };
        call.set_phase(Phase::Send);
        Ok(connection)
    }

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
