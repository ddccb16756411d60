//! Opening TCP connections: happy eyeballs (RFC 8305), non-blocking, stoppable at any moment.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with};

use super::wait::{Stop, wait};
use crate::call::Call;
use crate::error::Limit;

/// RFC 8305 section 5: the pause before the next address is tried beside the ones under way.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// A connected, non-blocking socket to one of the addresses: whichever answers first.
pub(crate) fn dial(
    addresses: &[IpAddr],
    port: u16,
    call: &Call,
    limit: Option<(Instant, Limit)>,
) -> Result<OwnedFd, Stop> {
    let mut waiting = alternating(addresses, port);
    let mut under_way: Vec<OwnedFd> = Vec::new();
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut next_start = Instant::now();
    loop {
        if Instant::now() >= next_start || under_way.is_empty() {
            match waiting.pop_front() {
                Some(address) => match start(address) {
                    Ok(Started::Connected(socket)) => return ready(socket).map_err(Stop::from),
                    Ok(Started::UnderWay(socket)) => {
                        under_way.push(socket);
                        next_start = Instant::now() + NEXT_ADDRESS_AFTER;
                    }
                    Err(error) => {
                        last_error = error;
                        continue;
                    }
                },
                None if under_way.is_empty() => return Err(Stop::Failed(last_error)),
                None => {}
            }
        }
        let answered = {
            let mut fds = Vec::with_capacity(under_way.len() + 1);
            fds.extend(under_way.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)));
            wait(&mut fds, call, limit, (!waiting.is_empty()).then_some(next_start))?;
            fds.iter().position(|fd| !fd.revents().is_empty())
        };
        if let Some(place) = answered {
            let socket = under_way.swap_remove(place);
            match sockopt::socket_error(&socket)? {
                Ok(()) => return ready(socket).map_err(Stop::from),
                Err(errno) => {
                    last_error = errno.into();
                    next_start = Instant::now();
                }
            }
        }
    }
}

/// The system's order, with the families alternating from the one it prefers.
fn alternating(addresses: &[IpAddr], port: u16) -> VecDeque<SocketAddr> {
    let prefers_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) = addresses
        .iter()
        .map(|ip| SocketAddr::new(*ip, port))
        .partition(|address| address.is_ipv6() == prefers_v6);
    let mut order = VecDeque::with_capacity(addresses.len());
    while let Some(address) = first.pop_front() {
        order.push_back(address);
        order.extend(second.pop_front());
    }
    order.extend(second);
    order
}

enum Started {
    Connected(OwnedFd),
    UnderWay(OwnedFd),
}

fn start(address: SocketAddr) -> io::Result<Started> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    #[cfg(target_os = "linux")]
    let socket = socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::TCP),
    )?;
    #[cfg(not(target_os = "linux"))]
    let socket = {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::empty(), Some(ipproto::TCP))?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        socket
    };
    match connect(&socket, &address) {
        Ok(()) => Ok(Started::Connected(socket)),
        // A connect that a signal interrupted goes on by itself.
        Err(Errno::INPROGRESS | Errno::INTR) => Ok(Started::UnderWay(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Options that every connection gets, once.
fn ready(socket: OwnedFd) -> io::Result<OwnedFd> {
    let fd = socket.as_fd();
    // Requests leave in one write; waiting for more to send would only delay them.
    sockopt::set_tcp_nodelay(fd, true)?;
    // Address translators forget silent connections after 60 to 350 s; a thinking model is silent.
    sockopt::set_socket_keepalive(fd, true)?;
    #[cfg(target_os = "linux")]
    {
        sockopt::set_tcp_keepidle(fd, Duration::from_secs(30))?;
        sockopt::set_tcp_keepintvl(fd, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(fd, 4)?;
        // As long as the probes take to give up; without it unanswered data is repeated for 15 minutes.
        sockopt::set_tcp_user_timeout(fd, 90_000)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_from_the_preferred_one() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let order = alternating(&[ip("::1"), ip("::2"), ip("::3"), ip("1.1.1.1"), ip("2.2.2.2")], 1);
        let order: Vec<String> = order.iter().map(|address| address.ip().to_string()).collect();
        assert_eq!(order, ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]);
    }
}
