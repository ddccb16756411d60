//! What a caller may set: one table of names and meanings for Rust, C and Python.
//!
//! [`Config`] is what the caller says, from JSON, setters or the environment; [`Settings`] is what
//! a client lives by, complete and checked. Nothing here touches the network.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq_proto::http::{HeaderName, HeaderValue, Uri};

use crate::error::Error;
use crate::json::{Document, Type, View};
use crate::proxy::{self, Proxy};
use crate::request::Contract;
use crate::retry::Policy;
use crate::secret::Secret;
use crate::tls::{TlsOptions, Trust};

/// Where the gateway is.
pub const DEFAULT_BASE_URL: &str = "https://api.elkapi.com/v1";

/// One option, as the documentation and every language show it.
#[derive(Debug)]
pub struct OptionRow {
    /// Its name.
    pub name: &'static str,
    /// Unit or values.
    pub takes: &'static str,
    /// What holds when it is absent.
    pub default: &'static str,
    /// Whether `with` takes it too.
    pub per_call: bool,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! options {
    ($($name:ident: $type:ty, $takes:literal, $default:literal, $per_call:literal, $meaning:literal;)*) => {
        /// The table of options.
        pub const OPTIONS: &[OptionRow] = &[$(OptionRow {
            name: stringify!($name), takes: $takes, default: $default,
            per_call: $per_call, meaning: $meaning,
        },)*];

        /// What the caller says about a client; see [`OPTIONS`].
        #[derive(Clone, Default)]
        pub struct Config {
            $($name: Option<$type>,)*
            proxies_around: proxy::Environment,
        }

        impl fmt::Debug for Config {
            /// The names that are set; values may be secrets.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut set = f.debug_set();
                $(if self.$name.is_some() {
                    set.entry(&format_args!(stringify!($name)));
                })*
                set.finish()
            }
        }

        impl Config {
            $(#[doc = concat!($meaning, " Takes: ", $takes, ". Default: ", $default, ".")]
            pub fn $name(mut self, value: impl Into<$type>) -> Config {
                self.$name = Some(value.into());
                self
            })*

            /// Sets the option of that name from a JSON value.
            fn set(&mut self, name: &str, value: View<'_>) -> Result<(), Error> {
                match name {
                    $(stringify!($name) => {
                        self.$name = Some(FromJson::read(value).map_err(|wanted| wrong_type(name, wanted, value))?);
                    })*
                    _ => return Err(unknown(name, value)),
                }
                Ok(())
            }

            /// The names of the options that are set.
            fn set_names(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$name.is_some() {
                    names.push(stringify!($name));
                })*
                names
            }

            /// `changes` on top of `self`.
            fn overlaid(mut self, changes: Config) -> Config {
                $(if let Some(value) = changes.$name {
                    self.$name = Some(Overlay::over(value, self.$name));
                })*
                self
            }
        }
    };
}

options! {
    base_url: String, "URL", "`ELKAPI_BASE_URL`, else `https://api.elkapi.com/v1`", false,
        "Where the gateway is, up to and including `/v1`.";
    api_key: String, "text", "`ELKAPI_API_KEY`", false,
        "The bearer token. Never shown, logged or sent elsewhere.";
    contract: String, "`elkapi`, `openai`", "`elkapi`", false,
        "Which members a request is completed with: ElkAPI's documented contract, or only `stream` for other OpenAI-compatible servers.";
    timeout_ms: u64, "milliseconds, 0 = none", "", true,
        "Short form: the total of a unary call, first byte and idle of a stream; a specific name beats it.";
    connect_timeout_ms: u64, "milliseconds, 0 = none", "10000", true,
        "Name lookup, TCP, proxy and TLS together.";
    write_timeout_ms: u64, "milliseconds, 0 = none", "30000", true,
        "How long no byte of the request can be written.";
    first_byte_timeout_ms: u64, "milliseconds, 0 = none", "none for unary, 600000 for streams", true,
        "From the last byte sent to the reply's first byte.";
    idle_timeout_ms: u64, "milliseconds, 0 = none", "310000", true,
        "Between two bytes of the reply.";
    total_timeout_ms: u64, "milliseconds, 0 = none", "600000 for unary, none for streams", true,
        "The whole call.";
    max_retries: u64, "number", "2", true,
        "How often a call is repeated at most; only what cannot be billed twice is.";
    base_delay_ms: u64, "milliseconds", "500", true,
        "The first pause before repeating; each further one is twice as long, up to 8 s.";
    retry_risky: bool, "boolean", "false", true,
        "Also repeat failures after which the request may have been billed.";
    pacing: bool, "boolean", "false", false,
        "Learn from refusals for the rate (429, 503) how many calls a second the server takes, and start no more; a call that is refused so is repeated up to 16 times, unless `max_retries` is 0.";
    idempotency_header: String, "name of a header field", "none", true,
        "Sends a random value under that name, the same for all attempts of a call. The gateway knows no such field.";
    ca_file: String, "path of a PEM file", "none", false,
        "Certificate authorities to trust beside the system's.";
    ca_pem: String, "PEM text", "none", false,
        "The same, as text.";
    client_cert_file: String, "path of a PEM file", "none", false,
        "Our own certificate chain, for servers that ask for one.";
    client_key_file: String, "path of a PEM file", "none", false,
        "The private key of that certificate.";
    min_tls: String, "`1.2`, `1.3`", "`1.2`", false,
        "The oldest version of TLS that is accepted.";
    insecure_skip_verify: bool, "boolean", "false", false,
        "Accept any certificate: whoever stands between here and the server can then read the key and change everything.";
    proxy: String, "URL, empty = none", "`HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`, but not for this machine", false,
        "The proxy to go through: `http://`, `socks5://` or `socks5h://`, with `user:password@` where it wants a login.";
    no_proxy: String, "comma-separated hosts, addresses, networks", "`NO_PROXY`, for a proxy of the environment", false,
        "Targets that are reached directly, as in `NO_PROXY`.";
    headers: Fields, "object of name and text", "none", true,
        "More header fields for every request.";
    traceparent: String, "W3C trace context", "none", true,
        "Passed on as the `traceparent` header field.";
    user_agent: String, "text", "`elkapi/<version>`", false,
        "The `User-Agent` header field.";
    max_body_bytes: u64, "bytes", "268435456", false,
        "The largest reply body taken, after decompression.";
    max_event_bytes: u64, "bytes", "134217728", false,
        "The largest event of a stream taken.";
    max_idle_connections: u64, "number", "64", false,
        "Connections kept open between calls.";
    allow_http: bool, "boolean", "false", false,
        "Allow `http://` to hosts other than 127.0.0.0/8, ::1 and localhost; the key then travels unencrypted.";
    environment: bool, "boolean", "true", false,
        "Take what is absent from the environment variables.";
}

/// Header fields by name.
#[derive(Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Fields {
        Fields(fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Reading an option's value; the error says what was wanted.
trait FromJson: Sized {
    fn read(value: View<'_>) -> Result<Self, &'static str>;
}

impl FromJson for String {
    fn read(value: View<'_>) -> Result<String, &'static str> {
        value.as_str().map(|text| text.into_owned()).ok_or("a string")
    }
}

impl FromJson for u64 {
    fn read(value: View<'_>) -> Result<u64, &'static str> {
        let number = if value.kind() == Type::Number { value.as_i64() } else { None };
        number.and_then(|n| u64::try_from(n).ok()).ok_or("a whole number from 0")
    }
}

impl FromJson for bool {
    fn read(value: View<'_>) -> Result<bool, &'static str> {
        match value.raw() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false"),
        }
    }
}

impl FromJson for Fields {
    fn read(value: View<'_>) -> Result<Fields, &'static str> {
        const WANTED: &str = "an object of header names and texts";
        if value.kind() != Type::Object {
            return Err(WANTED);
        }
        let field = |(name, text): (&str, View<'_>)| Some((name.to_owned(), text.as_str()?.into_owned()));
        value.members().map(field).collect::<Option<Vec<_>>>().map(Fields).ok_or(WANTED)
    }
}

/// How a later value meets an earlier one of the same option.
trait Overlay: Sized {
    fn over(self, _earlier: Option<Self>) -> Self {
        self
    }
}

impl Overlay for String {}
impl Overlay for u64 {}
impl Overlay for bool {}

impl Overlay for Fields {
    /// Header fields are merged by name; the later value wins.
    fn over(self, earlier: Option<Fields>) -> Fields {
        let mut fields = earlier.unwrap_or_default();
        fields.0.retain(|(name, _)| !self.0.iter().any(|(later, _)| later.eq_ignore_ascii_case(name)));
        fields.0.extend(self.0);
        fields
    }
}

fn wrong_type(name: &str, wanted: &str, value: View<'_>) -> Error {
    // An option's value may be a key: only its type is told.
    let is = match value.kind() {
        Type::Number => value.raw(),
        other => other.name(),
    };
    Error::config(format!("The option \"{name}\" must be {wanted}, but it is {is}")).with_param(name)
}

fn unknown(name: &str, _value: View<'_>) -> Error {
    let nearest = OPTIONS
        .iter()
        .map(|row| (strsim::damerau_levenshtein(name, row.name), row.name))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3);
    let advice = match nearest {
        Some((_, candidate)) => format!("; did you mean \"{candidate}\"?"),
        None => {
            let names: Vec<_> = OPTIONS.iter().map(|row| row.name).collect();
            format!("; the options are {}", names.join(", "))
        }
    };
    Error::config(format!("There is no option \"{name}\"{advice}")).with_param(name)
}

impl Config {
    /// Nothing set: everything from the environment and the defaults.
    pub fn new() -> Config {
        Config::default()
    }

    /// Reads a JSON object of options.
    ///
    /// # Errors
    ///
    /// `config`, naming the option or the byte offset: not JSON, not an object, an unknown name
    /// (with the nearest known one), a repeated name, or a wrong type.
    pub fn from_json(text: &str) -> Result<Config, Error> {
        let document = Document::of_text(text)
            .map_err(|error| Error::config(format!("The configuration is not JSON: {error}")))?;
        let root = document.root();
        if root.kind() != Type::Object {
            let kind = root.kind().name();
            return Err(Error::config(format!(
                "The configuration must be a JSON object, but it is of type {kind}"
            )));
        }
        let mut config = Config::default();
        let mut seen = Vec::new();
        for (name, value) in root.members() {
            if seen.contains(&name) {
                return Err(
                    Error::config(format!("The option \"{name}\" stands twice; keep one")).with_param(name)
                );
            }
            seen.push(name);
            config.set(name, value)?;
        }
        Ok(config)
    }

    /// Refuses options that belong to a client and cannot change per call.
    pub(crate) fn check_per_call(text: &str) -> Result<Config, Error> {
        let config = Config::from_json(text)?;
        let document = Document::of_text(text).map_err(|error| Error::config(error.to_string()))?;
        for (name, _) in document.root().members() {
            if OPTIONS.iter().any(|row| row.name == name && !row.per_call) {
                let names: Vec<_> = OPTIONS.iter().filter(|row| row.per_call).map(|row| row.name).collect();
                return Err(Error::config(format!(
                    "The option \"{name}\" belongs to the client and cannot change per call; these can: {}",
                    names.join(", ")
                ))
                .with_param(name));
            }
        }
        Ok(config)
    }

    /// `changes` on top of these: a later `timeout_ms` replaces earlier limits that it stands for.
    pub(crate) fn changed(mut self, changes: Config) -> Config {
        if changes.timeout_ms.is_some() {
            self.first_byte_timeout_ms = None;
            self.idle_timeout_ms = None;
            self.total_timeout_ms = None;
        }
        self.overlaid(changes)
    }

    /// Takes from the environment what it is asked for and is absent; after this the environment is
    /// not looked at again.
    pub(crate) fn completed(mut self) -> Config {
        if self.environment != Some(false) {
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            self.api_key = self.api_key.or_else(|| variable("ELKAPI_API_KEY"));
            self.base_url = self.base_url.or_else(|| variable("ELKAPI_BASE_URL"));
            let base_url = self.base_url.as_deref().unwrap_or(DEFAULT_BASE_URL).trim_start();
            let https = !base_url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
            // Values that are no text are kept in a form that is refused where it matters.
            self.proxies_around = proxy::Environment::read(https, |name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            });
        }
        self
    }

    /// Completes with the defaults, and checks.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let Some(key) = &self.api_key else {
            return Err(Error::config(
                "There is no API key: set the environment variable ELKAPI_API_KEY or the option \"api_key\"",
            )
            .with_param("api_key"));
        };
        let key = Secret::new(key)?;
        let base_url = self.base_url.as_deref().unwrap_or(DEFAULT_BASE_URL);
        let contract = self.checked_contract()?;
        let user_agent = match &self.user_agent {
            Some(text) => header_value("user_agent", text)?,
            None => HeaderValue::from_static(concat!("elkapi/", env!("CARGO_PKG_VERSION"))),
        };
        let mut fields = Vec::new();
        for (name, value) in &self.headers.clone().unwrap_or_default().0 {
            fields.push(field(name, value)?);
        }
        if let Some(traceparent) = &self.traceparent {
            fields.push((HeaderName::from_static("traceparent"), header_value("traceparent", traceparent)?));
        }
        let authorization = bearer(&key)?;
        let trust = self.trust()?;
        let base_url = BaseUrl::parse(base_url, self.allow_http.unwrap_or(false))
            .map_err(|error| error.without(|text| key.cut_from(text)))?;
        let proxy = self.proxy_to(&base_url)?.map(Arc::new);
        let own_fields = self.headers.iter().flat_map(|headers| &headers.0);
        let credentials: Vec<Secret> =
            own_fields.flat_map(|(name, value)| credentials(name, value)).collect();
        Ok(Settings {
            trust: Arc::new(trust),
            base_url,
            // Wherever the key is cut out, the proxy's password is, and keys in fields of their own.
            key: key.beside(proxy.iter().flat_map(|proxy| proxy.secrets())).beside(&credentials),
            proxy,
            authorization,
            contract,
            user_agent,
            fields,
            left_out: Vec::new(),
            query: String::new(),
            unary: self.limits(),
            stream: self.stream_limits(),
            max_event_bytes: usize::try_from(self.max_event_bytes.unwrap_or(128 << 20)).unwrap_or(usize::MAX),
            retry: Policy {
                max_retries: u32::try_from(self.max_retries.unwrap_or(2)).unwrap_or(u32::MAX),
                base_delay: Duration::from_millis(self.base_delay_ms.unwrap_or(500)),
                risky: self.retry_risky.unwrap_or(false),
            },
            pacing: self.pacing.unwrap_or(false),
            idempotency_header: self.idempotency_header.as_deref().map(idempotency_header).transpose()?,
            max_body_bytes: self.max_body_bytes.unwrap_or(256 << 20),
            max_idle_connections: self.max_idle(),
        })
    }

    /// What connections are made by, for exchanges whose URL is not known yet.
    ///
    /// # Errors
    ///
    /// `config`, for an option that belongs to calls or cannot be used.
    pub(crate) fn network(&self) -> Result<Network, Error> {
        for name in self.set_names() {
            if !NETWORK.contains(&name) {
                return Err(Error::config(format!(
                    "The option \"{name}\" belongs to a client that makes calls; a transport takes {}",
                    NETWORK.join(", ")
                ))
                .with_param(name));
            }
        }
        let around = |https| match self.environment {
            Some(false) => proxy::Environment::default(),
            _ => proxy::Environment::read(https, |name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            }),
        };
        Ok(Network {
            trust: Arc::new(self.trust()?),
            max_idle_connections: self.max_idle(),
            contract: self.checked_contract()?,
            retry_risky: self.retry_risky.unwrap_or(false),
            allow_http: self.allow_http.unwrap_or(false),
            proxy: self.proxy.clone(),
            no_proxy: self.no_proxy.clone(),
            around_http: around(false),
            around_https: around(true),
        })
    }

    fn trust(&self) -> Result<Trust, Error> {
        Trust::new(&TlsOptions {
            ca_file: self.ca_file.as_deref(),
            ca_pem: self.ca_pem.as_deref(),
            client_cert_file: self.client_cert_file.as_deref(),
            client_key_file: self.client_key_file.as_deref(),
            min_tls: self.min_tls.as_deref(),
            insecure_skip_verify: self.insecure_skip_verify.unwrap_or(false),
        })
    }

    fn checked_contract(&self) -> Result<Contract, Error> {
        match self.contract.as_deref() {
            None | Some("elkapi") => Ok(Contract::Elkapi),
            Some("openai") => Ok(Contract::Openai),
            Some(other) => Err(Error::config(format!(
                "The option \"contract\" must be \"elkapi\" or \"openai\", but it is {}",
                crate::json::quote(other)
            ))
            .with_param("contract")),
        }
    }

    fn max_idle(&self) -> usize {
        self.max_idle_connections.unwrap_or(64) as usize
    }

    /// The proxy on the way to the gateway, if any.
    fn proxy_to(&self, base_url: &BaseUrl) -> Result<Option<Proxy>, Error> {
        let (host, port, https) = base_url.target();
        let target = proxy::Target { host: &host, port, is_loopback: is_loopback(&host) };
        let chosen =
            proxy::choose(self.proxy.as_deref(), self.no_proxy.as_deref(), &self.proxies_around, &target)?;
        let encrypted = https || self.allow_http.unwrap_or(false);
        if encrypted { Ok(chosen) } else { on_this_machine(chosen, "The base URL begins with http://") }
    }

    /// The limits of a unary call.
    fn limits(&self) -> Limits {
        Limits {
            connect: limit(self.connect_timeout_ms, 10_000),
            write: limit(self.write_timeout_ms, 30_000),
            first_byte: limit(self.first_byte_timeout_ms, 0),
            idle: limit(self.idle_timeout_ms, 310_000),
            total: limit(self.total_timeout_ms.or(self.timeout_ms), 600_000),
        }
    }

    /// The limits of a stream: it may last as long as something comes.
    fn stream_limits(&self) -> Limits {
        Limits {
            first_byte: limit(self.first_byte_timeout_ms.or(self.timeout_ms), 600_000),
            idle: limit(self.idle_timeout_ms.or(self.timeout_ms), 310_000),
            total: limit(self.total_timeout_ms, 0),
            ..self.limits()
        }
    }
}

fn limit(own: Option<u64>, default: u64) -> Option<Duration> {
    let ms = own.unwrap_or(default);
    (ms > 0).then(|| Duration::from_millis(ms))
}

/// How long each part of a call may take; `None` = no limit.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Name lookup, TCP, proxy and TLS together.
    pub connect: Option<Duration>,
    /// How long no byte of the request can be written.
    pub write: Option<Duration>,
    /// From the last byte sent to the reply's first byte.
    pub first_byte: Option<Duration>,
    /// Between two bytes of the reply.
    pub idle: Option<Duration>,
    /// The whole call.
    pub total: Option<Duration>,
}

/// The options that a transport takes.
const NETWORK: &[&str] = &[
    "ca_file",
    "ca_pem",
    "client_cert_file",
    "client_key_file",
    "min_tls",
    "insecure_skip_verify",
    "proxy",
    "no_proxy",
    "max_idle_connections",
    "allow_http",
    "contract",
    "retry_risky",
    "environment",
];

/// What connections to anywhere are made by.
pub(crate) struct Network {
    pub trust: Arc<Trust>,
    pub max_idle_connections: usize,
    pub contract: Contract,
    pub retry_risky: bool,
    allow_http: bool,
    proxy: Option<String>,
    no_proxy: Option<String>,
    around_http: proxy::Environment,
    around_https: proxy::Environment,
}

impl Network {
    /// The proxy on the way to that server, if any.
    ///
    /// # Errors
    ///
    /// `config`, where what is sent would travel unencrypted to another machine, or the proxy's URL
    /// cannot be used.
    pub fn proxy_to(&self, https: bool, host: &str, port: u16) -> Result<Option<Proxy>, Error> {
        let is_loopback = is_loopback(host);
        if !https && !is_loopback && !self.allow_http {
            return Err(Error::config(format!(
                "A request to http://{host} would send the key unencrypted; use https:// or set \"allow_http\""
            ))
            .with_param("allow_http"));
        }
        let around = if https { &self.around_https } else { &self.around_http };
        let target = proxy::Target { host, port, is_loopback };
        let chosen = proxy::choose(self.proxy.as_deref(), self.no_proxy.as_deref(), around, &target)?;
        if https || self.allow_http {
            Ok(chosen)
        } else {
            on_this_machine(chosen, &format!("The request goes to http://{host}"))
        }
    }
}

/// The proxy of a request that is not encrypted: none on another machine.
fn on_this_machine(proxy: Option<Proxy>, why: &str) -> Result<Option<Proxy>, Error> {
    match proxy {
        Some(proxy) if !is_loopback(&proxy.host) => Err(Error::config(format!(
            "{why} and the option \"proxy\" is another machine: the key would travel there unencrypted; use https://, except the host by \"no_proxy\", or set \"allow_http\""
        ))
        .with_param("proxy")),
        proxy => Ok(proxy),
    }
}

/// What a client lives by.
#[derive(Clone)]
pub(crate) struct Settings {
    pub trust: Arc<Trust>,
    pub proxy: Option<Arc<Proxy>>,
    pub base_url: BaseUrl,
    pub key: Secret,
    pub authorization: HeaderValue,
    pub contract: Contract,
    pub user_agent: HeaderValue,
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Field lines that are not sent, whoever wrote them.
    pub left_out: Vec<HeaderName>,
    /// Behind every path, percent-encoded and without its question mark; empty for none.
    pub query: String,
    pub unary: Limits,
    pub stream: Limits,
    pub max_event_bytes: usize,
    pub retry: Policy,
    pub pacing: bool,
    pub idempotency_header: Option<HeaderName>,
    pub max_body_bytes: u64,
    pub max_idle_connections: usize,
}

/// What a single call says in its request's head, beside the options of [`Client::with`]: for faces of
/// this library whose callers write field lines and query parameters themselves.
///
/// [`Client::with`]: crate::Client::with
#[derive(Clone, Default)]
pub struct RequestHead {
    /// Another key than the client's.
    pub key: Option<String>,
    /// Query parameters behind the path, percent-encoded and without the question mark.
    pub query: String,
    /// Field lines by name, the client's own `Authorization`, `User-Agent`, `Accept` and `Content-Type`
    /// among them; None leaves the field out.
    pub fields: Vec<(String, Option<String>)>,
}

impl fmt::Debug for RequestHead {
    /// Names alone: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.fields.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

impl Settings {
    /// The same for a call with this head.
    ///
    /// # Errors
    ///
    /// `config`, naming the field, or for a key that cannot be used.
    pub fn with_head(mut self, head: &RequestHead) -> Result<Settings, Error> {
        if let Some(key) = &head.key {
            let key = Secret::new(key)?;
            self.authorization = bearer(&key)?;
            self.key = key.beside([&self.key]);
        }
        self.query.clone_from(&head.query);
        for (name, value) in &head.fields {
            let Some(value) = value else {
                self.left_out.push(field_name(name)?);
                continue;
            };
            self.fields.push(field_of_call(name, value)?);
            self.key = self.key.beside(&credentials(name, value));
        }
        Ok(self)
    }
}

fn bearer(key: &Secret) -> Result<HeaderValue, Error> {
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
        .map_err(|_| Error::config("The API key cannot stand in a header field").with_param("api_key"))?;
    authorization.set_sensitive(true);
    Ok(authorization)
}

/// Field lines that this client writes itself.
const OWN_FIELDS: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Of those, what a single call may write or leave out.
const OPEN_FIELDS: &[&str] = &["authorization", "content-type", "user-agent"];

fn wrong_field(name: &str, why: &str) -> Error {
    let quoted = crate::json::quote(name);
    Error::config(format!("The header field {quoted} in the option \"headers\" {why}")).with_param("headers")
}

/// The name of a field that a single call may write.
fn field_name(name: &str) -> Result<HeaderName, Error> {
    let read =
        HeaderName::try_from(name).map_err(|_| wrong_field(name, "has a name that HTTP does not allow"))?;
    if OWN_FIELDS.contains(&read.as_str()) && !OPEN_FIELDS.contains(&read.as_str()) {
        return Err(wrong_field(name, "is written by the client itself"));
    }
    Ok(read)
}

fn field_of_call(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let read = field_name(name)?;
    let value = HeaderValue::from_str(value).map_err(|_| {
        wrong_field(name, "has a value with a line end, a control character or text outside ASCII")
    })?;
    Ok((read, value))
}

fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let (read, value) = field_of_call(name, value)?;
    match read.as_str() {
        "authorization" => Err(wrong_field(name, "cannot be set; give the key as \"api_key\"")),
        "user-agent" => Err(wrong_field(name, "cannot be set; use the option \"user_agent\"")),
        own if OWN_FIELDS.contains(&own) => Err(wrong_field(name, "is written by the client itself")),
        _ => Ok((read, value)),
    }
}

/// What is not to be shown of a field whose name says that it carries a credential: the whole value,
/// and what stands in it behind the scheme or the names of cookies.
fn credentials(name: &str, value: &str) -> Vec<Secret> {
    const SPEAKING: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];
    let name = name.to_ascii_lowercase();
    // Keys that tell a request from others are no credentials, and are looked for in logs.
    if name.contains("idempotency") || !SPEAKING.iter().any(|word| name.contains(word)) {
        return Vec::new();
    }
    let parts: Vec<&str> = if name.contains("cookie") {
        value.split(';').filter_map(|cookie| Some(cookie.split_once('=')?.1.trim())).collect()
    } else {
        value.split_once(' ').map(|(_, credential)| credential.trim()).into_iter().collect()
    };
    [value.trim()].into_iter().chain(parts).map(Secret::of_text).collect()
}

fn idempotency_header(name: &str) -> Result<HeaderName, Error> {
    let free = |name: &HeaderName| !matches!(name.as_str(), "accept" | "accept-encoding" | "traceparent");
    field(name, "").ok().map(|(name, _)| name).filter(free).ok_or_else(|| {
        Error::config(format!(
            "The option \"idempotency_header\" must be the name of a header field that is free, such as \"Idempotency-Key\", but it is {}",
            crate::json::quote(name)
        ))
        .with_param("idempotency_header")
    })
}

fn header_value(option: &str, text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| {
        Error::config(format!(
            "The option \"{option}\" has a line end, a control character or text outside ASCII; it becomes a header field"
        ))
        .with_param(option)
    })
}

/// The checked base URL, without a trailing slash.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    fn parse(text: &str, allow_http: bool) -> Result<BaseUrl, Error> {
        let wrong = |why: &str| Error::config(format!("The base URL {why}")).with_param("base_url");
        let text = text.trim();
        if let Some(at) = text.bytes().position(|b| !(0x21..=0x7e).contains(&b)) {
            return Err(wrong(&format!("has a character at byte {at} that a URL cannot have")));
        }
        // Userinfo is looked for first, so that a password never reaches a message.
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(wrong("has a user or password in it; leave it out, the key is given as \"api_key\""));
        }
        if text.contains('#') {
            return Err(wrong(&format!("\"{text}\" has a fragment (#…); leave it out")));
        }
        let uri: Uri = text.parse().map_err(|_| {
            wrong(&format!("\"{text}\" is not a URL; it should look like {DEFAULT_BASE_URL}"))
        })?;
        let host = uri.host().unwrap_or_default();
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if allow_http || is_loopback(host) => {}
            Some("http") => {
                return Err(wrong(&format!(
                    "\"{text}\" would send the key unencrypted; use https:// or set \"allow_http\""
                )));
            }
            _ => {
                return Err(wrong(&format!(
                    "\"{text}\" must begin with https:// (or http:// for this machine), such as {DEFAULT_BASE_URL}"
                )));
            }
        }
        if host.is_empty() {
            return Err(wrong(&format!("\"{text}\" has no host; it should look like {DEFAULT_BASE_URL}")));
        }
        if authority.rsplit(']').next().is_some_and(|rest| rest.contains(':')) && uri.port_u16().is_none() {
            return Err(wrong(&format!("\"{text}\" has a port that is not a number from 0 to 65535")));
        }
        if uri.query().is_some() {
            return Err(wrong(&format!("\"{text}\" has a query (?…); leave it out")));
        }
        let trimmed = text.trim_end_matches('/');
        if trimmed.ends_with("/chat/completions") {
            return Err(wrong(&format!(
                "\"{text}\" is the address of the call; leave \"/chat/completions\" out"
            )));
        }
        Ok(BaseUrl(trimmed.to_owned()))
    }

    /// The address of a path below it.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Host, port, and whether they are reached by TLS.
    pub fn target(&self) -> (String, u16, bool) {
        // It was parsed when it was made.
        let uri = self.0.parse::<Uri>().unwrap_or_default();
        let https = uri.scheme_str() != Some("http");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        (uri.host().unwrap_or_default().to_owned(), port, https)
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_writes_its_head_but_not_the_framing() {
        let head = |name: &str, value: Option<&str>| RequestHead {
            key: Some("sk-other".to_owned()),
            query: "a=1".to_owned(),
            fields: vec![(name.to_owned(), value.map(str::to_owned))],
        };
        let with = |head: &RequestHead| settings("{}").unwrap().with_head(head);
        let made = with(&head("User-Agent", Some("mine"))).unwrap();
        assert_eq!((made.authorization.to_str().unwrap(), &*made.query), ("Bearer sk-other", "a=1"));
        assert_eq!(made.fields, [(HeaderName::from_static("user-agent"), HeaderValue::from_static("mine"))]);
        let secret = with(&head("Authorization", Some("Basic c2VjcmV0"))).unwrap().key;
        assert_eq!(secret.cut_from("sk-other, sk-test and c2VjcmV0"), "***, *** and ***");
        assert_eq!(
            with(&head("Authorization", None)).unwrap().left_out,
            [HeaderName::from_static("authorization")]
        );
        for name in ["Host", "content-length", "Transfer-Encoding", "a b"] {
            assert_eq!(with(&head(name, None)).err().unwrap().kind(), crate::error::Kind::Config, "{name}");
            assert_eq!(
                with(&head(name, Some("x"))).err().unwrap().kind(),
                crate::error::Kind::Config,
                "{name}"
            );
        }
    }

    fn settings(json: &str) -> Result<Settings, Error> {
        let with_key =
            json.replacen('{', r#"{"environment":false,"api_key":"sk-test","#, 1).replace(",}", "}");
        Config::from_json(&with_key)?.settings()
    }

    fn refused(json: &str) -> String {
        settings(json).err().expect(json).message()
    }

    #[test]
    fn absent_options_have_their_defaults() {
        let settings = settings("{}").unwrap();
        assert_eq!(settings.base_url.join("/models"), "https://api.elkapi.com/v1/models");
        assert_eq!(settings.unary.total, Some(Duration::from_secs(600)));
        assert_eq!(settings.unary.connect, Some(Duration::from_secs(10)));
        assert_eq!(settings.unary.first_byte, None);
        assert_eq!(settings.max_body_bytes, 256 << 20);
    }

    #[test]
    fn a_specific_limit_beats_the_short_form_and_zero_means_none() {
        let limits =
            settings(r#"{"timeout_ms":5,"total_timeout_ms":7,"connect_timeout_ms":0}"#).unwrap().unary;
        assert_eq!(limits.total, Some(Duration::from_millis(7)));
        assert_eq!(limits.connect, None);
    }

    #[test]
    fn a_later_short_form_beats_an_earlier_specific_limit() {
        let first = Config::new().api_key("k").total_timeout_ms(7u64).environment(false);
        let later = first.changed(Config::new().timeout_ms(5u64));
        assert_eq!(later.settings().unwrap().unary.total, Some(Duration::from_millis(5)));
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_known_one() {
        assert!(refused(r#"{"bsae_url":""}"#).contains("did you mean \"base_url\"?"));
        assert!(refused(r#"{"timeout":1}"#).contains("did you mean \"timeout_ms\"?"));
        assert!(refused(r#"{"zzzzzzzzzzzz":1}"#).contains("the options are base_url, api_key"));
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (json, says) in [
            (r#"{"timeout_ms":-1}"#, "\"timeout_ms\" must be a whole number from 0, but it is -1"),
            (r#"{"timeout_ms":"5"}"#, "but it is string"),
            (r#"{"timeout_ms":null}"#, "but it is null"),
            (r#"{"allow_http":1}"#, "true or false"),
            (r#"{"contract":"x"}"#, "\"elkapi\" or \"openai\""),
            (r#"{"headers":{"a b":"c"}}"#, "a name that HTTP does not allow"),
            (r#"{"headers":{"X-A":"a\nb"}}"#, "line end"),
            (r#"{"headers":{"Authorization":"Bearer x"}}"#, "api_key"),
            (r#"{"headers":{"Content-Length":"5"}}"#, "written by the client"),
            (r#"{"headers":{"X-A":1}}"#, "an object of header names and texts"),
            (r#"{"timeout_ms":1,"timeout_ms":2}"#, "stands twice"),
            (r#"{"user_agent":"a\r\nb"}"#, "user_agent"),
            (r#"{"idempotency_header":"Host"}"#, "name of a header field that is free"),
        ] {
            let message = refused(json);
            assert!(message.contains(says), "{json}: {message}");
        }
        for (text, says) in [("", "byte 0"), ("[]", "of type array"), ("{\"a\":}", "byte 5")] {
            let message = Config::from_json(text).unwrap_err().message();
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn base_urls_are_checked_and_trimmed() {
        for (good, joined) in [
            ("https://api.elkapi.com/v1/", "https://api.elkapi.com/v1/x"),
            ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/x"),
            ("http://127.9.9.9", "http://127.9.9.9/x"),
            ("http://LOCALHOST:1/", "http://LOCALHOST:1/x"),
            ("http://[::1]:8080/v1", "http://[::1]:8080/v1/x"),
        ] {
            let settings = settings(&format!(r#"{{"base_url":"{good}"}}"#)).unwrap();
            assert_eq!(settings.base_url.join("/x"), joined);
        }
        for (bad, says) in [
            ("api.elkapi.com/v1", "is not a URL; it should look like https://"),
            ("ftp://a/v1", "must begin with https://"),
            ("https://", "is not a URL"),
            ("https://user:PASSWORD@a/v1", "user or password"),
            ("https://a/v1?key=1", "query"),
            ("https://a/v1#x", "fragment"),
            ("http://api.elkapi.com/v1", "unencrypted"),
            ("http://127.0.0.1.example.com/v1", "unencrypted"),
            ("https://a b/v1", "character at byte 9"),
            ("https://a/v1/chat/completions", "leave \\\"/chat/completions\\\" out"),
            ("", "is not a URL"),
        ] {
            let message = refused(&format!(r#"{{"base_url":"{bad}"}}"#));
            assert!(message.contains(&says.replace('\\', "")), "{bad}: {message}");
            assert!(!message.contains("PASSWORD"), "{message}");
        }
        assert!(settings(r#"{"base_url":"http://10.0.0.1/v1","allow_http":true}"#).is_ok());
    }
}
