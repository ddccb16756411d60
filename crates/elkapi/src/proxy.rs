//! Which proxy a client goes through: proxy URLs, the environment's variables, `NO_PROXY`.
//!
//! Asked once, when a client is made. Pure: the environment is handed in, no name is looked up, no
//! socket is opened; the handshakes are in `net/proxy`. No message and no `Debug` shows a login.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::secret::Secret;

/// The longest user, password and host name that SOCKS5 can carry (RFC 1928, RFC 1929).
pub(crate) const SOCKS_TEXT: usize = 255;

/// How to speak to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP: a tunnel by CONNECT, whatever the scheme of the target.
    Http,
    /// SOCKS5 with the target's name looked up here.
    Socks5,
    /// SOCKS5 with the target's name looked up by the proxy.
    Socks5h,
}

/// User and password as the proxy gets them: percent-decoded, any bytes.
#[derive(Clone)]
pub(crate) struct Login {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

/// A proxy, checked.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub protocol: Protocol,
    /// A name or an address; IPv6 stands in brackets.
    pub host: String,
    pub port: u16,
    pub login: Option<Login>,
    /// What must be shown nowhere: the password and the forms that a proxy may echo.
    secrets: Vec<Secret>,
    /// The user, which is cut out of the proxy's own words only: it may be an everyday word.
    user: Option<Secret>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("protocol", &self.protocol).field("at", &self.place()).finish()
    }
}

impl Proxy {
    /// Reads a proxy URL. `of` says where it stands, such as `option "proxy"`.
    ///
    /// # Errors
    ///
    /// `config`. The URL itself is never quoted: a password may stand anywhere in a wrong one.
    pub fn parse(text: &str, of: &str) -> Result<Proxy, Error> {
        let wrong = |why: &str| Error::config(format!("The {of} {why}")).with_param("proxy");
        let text = text.trim();
        if let Some(at) = text.bytes().position(|byte| !(0x21..=0x7e).contains(&byte)) {
            return Err(wrong(&format!(
                "has a character at byte {at} that a URL cannot have; percent-encode it"
            )));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (protocol, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, 80),
            "socks5" => (Protocol::Socks5, 1080),
            "socks5h" | "socks" => (Protocol::Socks5h, 1080),
            "https" => {
                return Err(wrong(
                    "asks for TLS to the proxy itself (https://), which is not supported; use http://, which tunnels the gateway's own TLS, or socks5h://",
                ));
            }
            _ => {
                return Err(wrong(
                    "must begin with http://, socks5:// or socks5h://, such as http://proxy.example.com:3128",
                ));
            }
        };
        let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(behind, "" | "/") {
            return Err(wrong(
                "has something behind host and port; percent-encode /, ? and # in a user or password",
            ));
        }
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place).map_err(wrong)?;
        let login = userinfo.filter(|userinfo| !userinfo.is_empty()).map(|userinfo| {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            Login { user: percent_decoded(user), password: percent_decoded(password) }
        });
        let mut proxy = Proxy {
            protocol,
            host,
            port: port.unwrap_or(usual_port),
            login,
            secrets: Vec::new(),
            user: None,
        };
        proxy.check_login().map_err(wrong)?;
        proxy.keep_secret(userinfo.unwrap_or_default());
        Ok(proxy)
    }

    fn check_login(&self) -> Result<(), &'static str> {
        let Some(login) = &self.login else { return Ok(()) };
        match self.protocol {
            // RFC 7617: the first colon ends the user.
            Protocol::Http if login.user.contains(&b':') => {
                Err("has a colon in its user, which Basic authentication cannot carry")
            }
            Protocol::Socks5 | Protocol::Socks5h
                if login.user.len() > SOCKS_TEXT || login.password.len() > SOCKS_TEXT =>
            {
                Err("has a user or password of more than 255 bytes, which SOCKS5 cannot carry")
            }
            _ => Ok(()),
        }
    }

    fn keep_secret(&mut self, userinfo: &str) {
        let Some(login) = &self.login else { return };
        let as_written = userinfo.split_once(':').map_or("", |(_, password)| password);
        let password = String::from_utf8_lossy(&login.password);
        // The longest first, so that nothing of it is left when a part is cut out.
        let forms = [&basic(login), as_written, password.as_ref()];
        self.secrets = forms.into_iter().filter(|form| !form.is_empty()).map(Secret::of_text).collect();
        self.user = Some(Secret::of_text(&String::from_utf8_lossy(&login.user)));
    }

    /// `HOST:PORT`, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The value of `Proxy-Authorization`.
    pub fn authorization(&self) -> Option<String> {
        self.login.as_ref().map(|login| format!("Basic {}", basic(login)))
    }

    /// What is to be cut out of every word: the password in the forms in which it may be echoed.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter()
    }

    /// The proxy's own words without user and password.
    pub fn clean(&self, words: &str) -> String {
        let secrets = self.secrets().chain(&self.user);
        secrets.fold(words.to_owned(), |words, secret| secret.cut_from(&words).into_owned())
    }
}

/// RFC 7617.
fn basic(login: &Login) -> String {
    STANDARD.encode([&login.user, &b":"[..], &login.password].concat())
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), &'static str> {
    const NO_HOST: &str = "has no host; it should look like http://proxy.example.com:3128";
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']').ok_or("has a bracket that is not closed")?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err("has brackets around something that is not an IPv6 address");
            }
            let port = match behind {
                "" => None,
                _ => Some(behind.strip_prefix(':').ok_or("has text between the host and its port")?),
            };
            (format!("[{address}]"), port)
        }
        None => match place.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("has more than one colon in its host; an IPv6 address stands in brackets");
            }
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (place.to_owned(), None),
        },
    };
    if host.is_empty() {
        return Err(NO_HOST);
    }
    let port = match port {
        None | Some("") => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port @ 1..) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(port),
            _ => return Err("has a port that is not a number from 1 to 65535"),
        },
    };
    Ok((host, port))
}

/// Once, as URLs mean it; a percent sign that begins no escape is itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// What the environment says of proxies.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    /// The variable that holds, and its value.
    proxy: Option<(&'static str, String)>,
    no_proxy: Option<String>,
}

impl Environment {
    /// Reads the variables that count for a target of that scheme. Lower case wins over upper case;
    /// an empty variable is as good as none.
    pub fn read(https: bool, variable: impl Fn(&str) -> Option<String>) -> Environment {
        // A CGI program finds the request's field `Proxy` there: whoever sends requests to it would
        // choose its proxy.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let names: &[&'static str] = match https {
            true => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
            false => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        };
        let filled = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let proxy = names
            .iter()
            .filter(|name| !(is_cgi && **name == "HTTP_PROXY"))
            .find_map(|name| filled(name).map(|value| (*name, value)));
        Environment { proxy, no_proxy: filled("no_proxy").or_else(|| filled("NO_PROXY")) }
    }
}

/// Where a client's connections end.
pub(crate) struct Target<'a> {
    /// A name or an address; IPv6 may stand in brackets.
    pub host: &'a str,
    pub port: u16,
    pub is_loopback: bool,
}

/// The proxy for a target, if any.
///
/// `proxy` is the option: it beats the environment, applies to this machine too, and `""` means
/// none. `no_proxy`, the option, excepts targets from either; without it, the environment's list
/// excepts targets from the environment's proxy only. This machine is never looked for behind the
/// environment's proxy.
///
/// # Errors
///
/// `config`, naming the option or the variable, for a URL that cannot be used.
pub(crate) fn choose(
    proxy: Option<&str>,
    no_proxy: Option<&str>,
    environment: &Environment,
    target: &Target,
) -> Result<Option<Proxy>, Error> {
    let excepted = |list: Option<&str>| list.is_some_and(|list| is_excepted(list, target.host, target.port));
    match proxy.map(str::trim) {
        Some("") => Ok(None),
        Some(url) => {
            let proxy = Proxy::parse(url, "option \"proxy\"")?;
            Ok((!excepted(no_proxy)).then_some(proxy))
        }
        None => match &environment.proxy {
            Some((name, url))
                if !target.is_loopback && !excepted(no_proxy.or(environment.no_proxy.as_deref())) =>
            {
                Proxy::parse(url, &format!("environment variable {name}")).map(Some)
            }
            _ => Ok(None),
        },
    }
}

/// Whether a list as in `NO_PROXY` names the target.
///
/// Entries are separated by commas or spaces: `*`; a host, with all hosts below it; the same with a
/// leading dot; `*.host` for the hosts below it alone; an IP address, in brackets or not; a network
/// as `address/bits`. A port, `host:port`, restricts an entry to it.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = address(&host);
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| covers(&entry.to_ascii_lowercase(), &host, address, port))
}

fn covers(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return match (self::address(network), bits.parse(), address) {
            (Some(network), Ok(bits), Some(address)) => is_in(address, network, bits),
            _ => false,
        };
    }
    let (name, only) = without_port(entry);
    match only {
        Some(Ok(wanted)) if wanted != port => return false,
        Some(Err(())) => return false,
        _ => {}
    }
    match (self::address(name), address) {
        (Some(listed), Some(address)) => return listed == address,
        (None, None) => {}
        _ => return false,
    }
    let name = name.trim_end_matches('.');
    match name.strip_prefix("*.") {
        Some(suffix) => is_below(host, suffix),
        None => {
            let name = name.trim_start_matches('.');
            !name.is_empty() && (host == name || is_below(host, name))
        }
    }
}

/// An address, in brackets or not; one that maps IPv4 into IPv6 is the IPv4 address.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The entry, and its port where it has one; `Err` is a port that is no number.
fn without_port(entry: &str) -> (&str, Option<Result<u16, ()>>) {
    let colons = entry.bytes().filter(|byte| *byte == b':').count();
    let split = match entry.rfind(']') {
        Some(end) if entry.starts_with('[') => entry[end..].find(':').map(|at| end + at),
        // Several colons without brackets: an IPv6 address, which has no port.
        _ if colons == 1 => entry.find(':'),
        _ => None,
    };
    match split {
        Some(at) => (&entry[..at], Some(entry[at + 1..].parse().map_err(|_| ()))),
        None => (entry, None),
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    !domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let same = |a: u128, b: u128, width: u32| bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => same(a.to_bits().into(), n.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => same(a.to_bits(), n.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Proxy {
        Proxy::parse(url, "option \"proxy\"").unwrap()
    }

    fn login(url: &str) -> (String, String) {
        let login = parsed(url).login.unwrap();
        (String::from_utf8(login.user).unwrap(), String::from_utf8(login.password).unwrap())
    }

    #[test]
    fn proxy_urls_are_read_with_their_usual_ports() {
        for (url, protocol, place) in [
            ("http://proxy.example.com:3128", Protocol::Http, "proxy.example.com:3128"),
            (" HTTP://proxy.example.com/ ", Protocol::Http, "proxy.example.com:80"),
            ("proxy.example.com:8080", Protocol::Http, "proxy.example.com:8080"),
            ("10.0.0.1", Protocol::Http, "10.0.0.1:80"),
            ("http://proxy:", Protocol::Http, "proxy:80"),
            ("socks5://proxy", Protocol::Socks5, "proxy:1080"),
            ("socks5h://[::1]:9050", Protocol::Socks5h, "[::1]:9050"),
            ("socks://127.0.0.1/", Protocol::Socks5h, "127.0.0.1:1080"),
            ("http://a:b@[fe80::1]", Protocol::Http, "[fe80::1]:80"),
        ] {
            let proxy = parsed(url);
            assert_eq!((proxy.protocol, proxy.place().as_str()), (protocol, place), "{url}");
        }
    }

    #[test]
    fn logins_are_percent_decoded_once() {
        for (url, user, password) in [
            ("http://user:pass@p", "user", "pass"),
            ("http://user@p", "user", ""),
            ("http://:pass@p", "", "pass"),
            ("http://a%40b:c%3Ad%2Fe@p", "a@b", "c:d/e"),
            ("http://user:%2541@p", "user", "%41"),
            ("http://user:100%sure%@p", "user", "100%sure%"),
            ("http://user:a:b@c@p", "user", "a:b@c"),
            ("socks5://us%3Aer:%C3%A9@p", "us:er", "é"),
        ] {
            assert_eq!(login(url), (user.to_owned(), password.to_owned()), "{url}");
        }
        assert!(parsed("http://p").login.is_none());
        assert!(parsed("http://@p").login.is_none());
        assert_eq!(
            parsed("http://Aladdin:open%20sesame@p").authorization().unwrap(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }

    #[test]
    fn proxy_urls_that_cannot_be_used_are_refused_without_being_shown() {
        let long = format!("socks5://user:{}@p", "SECRET".repeat(50));
        for (url, says) in [
            ("https://user:SECRET@p", "not supported"),
            ("socks4://user:SECRET@p", "must begin with http://, socks5:// or socks5h://"),
            ("ftp://SECRET@p", "must begin with"),
            ("http://user:SECRET#SECRET@p", "percent-encode /, ? and #"),
            ("http://p:1/SECRET", "something behind host and port"),
            ("http://user:SECRET", "port that is not a number"),
            ("http://user:SECRET@p:0", "port that is not a number"),
            ("http://user:SECRET@p:+80", "port that is not a number"),
            ("http://user:SECRET@p:65536", "port that is not a number"),
            ("http://user:SECRET@", "has no host"),
            ("http://", "has no host"),
            ("http://user:SECRET@::1", "stands in brackets"),
            ("http://user:SECRET@[::1", "not closed"),
            ("http://user:SECRET@[SECRET]", "not an IPv6 address"),
            ("http://user:SECRET@[::1]SECRET", "between the host and its port"),
            ("http://us er:SECRET@p", "character at byte 9"),
            ("http://user:SECRETé@p", "character at byte 18"),
            ("http://us%3aer:SECRET@p", "colon in its user"),
            (&long, "more than 255 bytes"),
        ] {
            let error = Proxy::parse(url, "environment variable ALL_PROXY").unwrap_err();
            assert_eq!((error.kind().name(), error.param()), ("config", Some("proxy")), "{url}");
            assert!(error.message().contains(says), "{url}: {error}");
            assert!(error.message().contains("environment variable ALL_PROXY"), "{url}: {error}");
            assert!(!error.document().contains("SECRET"), "{url}: {error}");
        }
    }

    #[test]
    fn nothing_shows_a_login() {
        let proxy = parsed("http://Alfred:p%40ss%25w0rd@proxy.example.com:3128");
        let debug = format!("{proxy:?}");
        assert_eq!(debug, "Proxy { protocol: Http, at: \"proxy.example.com:3128\" }");
        for echo in ["p@ss%w0rd", "p%40ss%25w0rd", "QWxmcmVkOnBAc3MldzByZA==", "cEBzcyV3MHJk"] {
            let cut = Secret::of_text("sk-test").beside(proxy.secrets()).cut_from(echo).into_owned();
            assert!(cut.contains("***") && !cut.contains("w0rd") && cut.len() < 12, "{echo}: {cut}");
        }
        assert_eq!(proxy.clean("alfred, not p@ss%w0rd"), "***, not ***");
        assert_eq!(parsed("http://p").clean("as it is"), "as it is");
    }

    #[test]
    fn lists_of_exceptions_name_hosts_networks_and_ports() {
        for (list, host, port, covered) in [
            ("*", "api.elkapi.com", 443, true),
            ("", "api.elkapi.com", 443, false),
            (",, ,", "api.elkapi.com", 443, false),
            ("api.elkapi.com", "api.elkapi.com", 443, true),
            ("API.ElkAPI.com", "api.elkapi.COM", 443, true),
            ("elkapi.com", "api.elkapi.com", 443, true),
            (".elkapi.com", "api.elkapi.com", 443, true),
            (".elkapi.com", "elkapi.com", 443, true),
            ("*.elkapi.com", "api.elkapi.com", 443, true),
            ("*.elkapi.com", "elkapi.com", 443, false),
            ("*.elkapi.com:443", "api.elkapi.com", 443, true),
            ("elkapi.com", "notelkapi.com", 443, false),
            ("*.elkapi.com", "notelkapi.com", 443, false),
            ("api.elkapi.com", "elkapi.com", 443, false),
            ("com", "elkapi.com", 443, true),
            (".", "elkapi.com", 443, false),
            ("*.", "elkapi.com", 443, false),
            ("elkapi.*", "elkapi.com", 443, false),
            // Spaces, trailing dots, several entries.
            ("a.example , elkapi.com,b.example", "elkapi.com", 443, true),
            ("a.example elkapi.com", "elkapi.com", 443, true),
            ("elkapi.com.", "elkapi.com", 443, true),
            ("elkapi.com", "elkapi.com.", 443, true),
            // Ports.
            ("elkapi.com:443", "elkapi.com", 443, true),
            ("elkapi.com:8443", "elkapi.com", 443, false),
            ("elkapi.com:", "elkapi.com", 443, false),
            ("elkapi.com:x", "elkapi.com", 443, false),
            (":443", "elkapi.com", 443, false),
            // Addresses.
            ("10.0.0.1", "10.0.0.1", 80, true),
            ("10.0.0.1:80", "10.0.0.1", 80, true),
            ("10.0.0.1:81", "10.0.0.1", 80, false),
            ("0.0.1", "10.0.0.1", 80, false),
            (".0.0.1", "10.0.0.1", 80, false),
            ("10.0.0.1", "110.0.0.1", 80, false),
            ("::1", "[::1]", 80, true),
            ("[::1]", "::1", 80, true),
            ("[::1]:80", "[::1]", 80, true),
            ("[::1]:81", "[::1]", 80, false),
            ("2001:DB8:0:0::1", "[2001:db8::1]", 443, true),
            ("::ffff:10.0.0.1", "10.0.0.1", 80, true),
            ("10.0.0.1", "elkapi.com", 80, false),
            // Networks.
            ("10.0.0.0/8", "10.9.8.7", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("192.168.1.77/24", "192.168.1.200", 80, true),
            ("10.0.0.1/32", "10.0.0.1", 80, true),
            ("10.0.0.1/32", "10.0.0.0", 80, false),
            ("0.0.0.0/0", "8.8.8.8", 80, true),
            ("0.0.0.0/0", "[::1]", 80, false),
            ("10.0.0.0/33", "10.0.0.0", 80, false),
            ("10.0.0.0/", "10.0.0.0", 80, false),
            ("10.0.0.0/-1", "10.0.0.0", 80, false),
            ("10.0.0.0/8", "elkapi.com", 80, false),
            ("2001:db8::/32", "[2001:db8:1::2]", 443, true),
            ("[2001:db8::]/32", "[2001:db8:1::2]", 443, true),
            ("2001:db8::/32", "[2001:db9::]", 443, false),
            ("::/0", "[2001:db9::]", 443, true),
            ("fe80::/129", "[fe80::]", 443, false),
        ] {
            assert_eq!(is_excepted(list, host, port), covered, "{list:?} and {host}:{port}");
        }
    }

    /// The place of the proxy that a target gets, or `-`.
    fn chosen(
        variables: &[(&str, &str)],
        proxy: Option<&str>,
        no_proxy: Option<&str>,
        https: bool,
        host: &str,
    ) -> String {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let target = Target { host, port: if https { 443 } else { 80 }, is_loopback: host == "localhost" };
        let chosen = choose(proxy, no_proxy, &Environment::read(https, variable), &target);
        chosen.unwrap().map_or("-".to_owned(), |proxy| proxy.host)
    }

    #[test]
    fn the_environments_proxy_goes_by_the_targets_scheme() {
        let all: &[(&str, &str)] =
            &[("HTTPS_PROXY", "secure"), ("HTTP_PROXY", "plain"), ("ALL_PROXY", "any")];
        for (variables, for_https, for_http) in [
            (all, "secure", "plain"),
            (&[("ALL_PROXY", "any")][..], "any", "any"),
            (&[("HTTPS_PROXY", "secure")][..], "secure", "-"),
            (&[("http_proxy", "plain")][..], "-", "plain"),
            (&[("HTTPS_PROXY", "upper"), ("https_proxy", "lower")][..], "lower", "-"),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "upper")][..], "upper", "-"),
            (&[("https_proxy", " "), ("all_proxy", "any")][..], "any", "any"),
            // A CGI program's HTTP_PROXY comes from whoever sent the request.
            (&[("HTTP_PROXY", "evil"), ("REQUEST_METHOD", "GET")][..], "-", "-"),
            (&[("http_proxy", "mine"), ("REQUEST_METHOD", "")][..], "-", "mine"),
            (&[("HTTP_PROXY", "evil"), ("ALL_PROXY", "any"), ("REQUEST_METHOD", "GET")][..], "any", "any"),
            (&[][..], "-", "-"),
        ] {
            assert_eq!(chosen(variables, None, None, true, "elkapi.com"), for_https, "{variables:?}");
            assert_eq!(chosen(variables, None, None, false, "elkapi.com"), for_http, "{variables:?}");
        }
    }

    #[test]
    fn options_beat_the_environment() {
        let set = &[("ALL_PROXY", "theirs"), ("NO_PROXY", "elkapi.com")];
        let open = &[("ALL_PROXY", "theirs")];
        for (variables, proxy, no_proxy, host, expected) in [
            (&set[..], None, None, "api.elkapi.com", "-"),
            (&set[..], None, None, "example.com", "theirs"),
            (&set[..], None, Some(""), "api.elkapi.com", "theirs"),
            (&set[..], None, Some("example.com"), "example.com", "-"),
            // The environment's exceptions are those of the environment's proxy.
            (&set[..], Some("mine"), None, "api.elkapi.com", "mine"),
            (&set[..], Some("mine"), Some("elkapi.com"), "api.elkapi.com", "-"),
            (&open[..], Some(""), None, "example.com", "-"),
            (&open[..], None, None, "localhost", "-"),
            (&open[..], None, Some(""), "localhost", "-"),
            (&open[..], Some("mine"), None, "localhost", "mine"),
            (&open[..], Some("mine"), Some("localhost"), "localhost", "-"),
        ] {
            let got = chosen(variables, proxy, no_proxy, true, host);
            assert_eq!(got, expected, "{variables:?} {proxy:?} {no_proxy:?} {host}");
        }
        let lower = [("no_proxy", "a.example"), ("NO_PROXY", "elkapi.com"), ("ALL_PROXY", "theirs")];
        assert_eq!(chosen(&lower, None, None, true, "elkapi.com"), "theirs");
        assert_eq!(chosen(&lower, None, None, true, "a.example"), "-");
    }

    #[test]
    fn a_wrong_variable_matters_only_where_it_would_be_used() {
        let environment = |https| {
            Environment::read(https, |name| (name == "HTTPS_PROXY").then(|| "quic://SECRET@p".to_owned()))
        };
        let target = Target { host: "elkapi.com", port: 443, is_loopback: false };
        let error = choose(None, None, &environment(true), &target).unwrap_err();
        assert!(error.message().contains("The environment variable HTTPS_PROXY must begin with"), "{error}");
        assert!(choose(None, None, &environment(false), &target).unwrap().is_none());
        assert!(choose(None, Some("*"), &environment(true), &target).unwrap().is_none());
        assert!(choose(Some(""), None, &environment(true), &target).unwrap().is_none());
        let error = choose(Some("quic://p"), Some("*"), &environment(true), &target).unwrap_err();
        assert!(error.message().contains("The option \"proxy\" must begin with"), "{error}");
    }
}
