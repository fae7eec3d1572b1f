//! Requests to whichever member of etcd answers.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Timeout};

use crate::options::{EtcdError, EtcdOptions, EtcdTls};

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// Nothing has happened: nobody was reached.
    Unreachable(String),
    /// It may have happened.
    Unknown(String),
    /// etcd says no, with a code of gRPC's.
    Refused { code: u64, message: String },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Unknown(why) => f.write_str(why),
            Self::Refused { message, .. } => f.write_str(message),
        }
    }
}

/// Codes of gRPC's that are about the request or who makes it, not about the member that was asked.
const NOT_FOUND: u64 = 5;
const OF_REQUESTS: [u64; 6] = [3, NOT_FOUND, 7, 9, 11, 16];
/// An answer is some kilobytes; a stranger's may be anything.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// The longest line of a watch.
const LINE_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    endpoints: Vec<String>,
    /// The one that answered last.
    preferred: AtomicUsize,
    request: Duration,
    user: Option<(String, String)>,
    token: Mutex<Option<String>>,
}

impl Client {
    pub(crate) fn new(options: &EtcdOptions) -> Result<Self, EtcdError> {
        if options.endpoints.is_empty() {
            return Err(EtcdError::NoEndpoint);
        }
        let endpoints = options.endpoints.iter().map(|it| endpoint(it, options));
        let endpoints = endpoints.collect::<Result<_, _>>()?;
        // No proxy of the environment: what holds a group together is reached directly or not at all.
        let config = Agent::config_builder().proxy(None).max_redirects(0);
        let config = config.http_status_as_error(false).tls_config(tls(options.tls.as_ref())?);
        Ok(Self {
            agent: config.build().new_agent(),
            endpoints,
            preferred: AtomicUsize::new(0),
            request: options.request_max(),
            user: options.user.clone(),
            token: Mutex::default(),
        })
    }

    /// What may be done twice: each member is asked until one answers.
    pub(crate) fn ask(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let mut failure = Failure::Unreachable("no member was asked".to_owned());
        for _ in 0..self.endpoints.len() {
            match self.authorized(path, body, self.request) {
                Err(other @ (Failure::Unreachable(_) | Failure::Unknown(_))) => failure = other,
                answer => return answer,
            }
        }
        Err(failure)
    }

    /// What must not be done twice: as soon as a member may have heard it no other one is asked.
    pub(crate) fn tell(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let mut failure = Failure::Unreachable("no member was asked".to_owned());
        for _ in 0..self.endpoints.len() {
            match self.authorized(path, body, 3 * self.request) {
                Err(other @ Failure::Unreachable(_)) => failure = other,
                answer => return answer,
            }
        }
        Err(failure)
    }

    /// Asks the preferred member; when it does not answer, the next one is preferred.
    fn authorized(&self, path: &str, body: &Value, time: Duration) -> Result<Value, Failure> {
        let at = self.preferred.load(Ordering::SeqCst);
        let answer = self.token(at).and_then(|token| {
            match self.request(at, path, body, time, token) {
                // A token that is not valid any more, in one word or another; and what is refused has not happened.
                Err(refusal) if self.user.is_some() && refusal.is_refused() => {
                    let token = self.authenticate(at)?;
                    self.request(at, path, body, time, Some(token))
                }
                answer => answer,
            }
        });
        answer.inspect_err(|failure| self.failed(at, failure))
    }

    /// Another one is asked next, if this one is still the preferred one.
    fn failed(&self, at: usize, failure: &Failure) {
        if !matches!(failure, Failure::Refused { .. }) {
            let next = (at + 1) % self.endpoints.len();
            // If another thread has turned already, so be it.
            self.preferred.compare_exchange(at, next, Ordering::SeqCst, Ordering::SeqCst).ok();
        }
    }

    /// The last one that was given to this node; none is needed without a user.
    fn token(&self, at: usize) -> Result<Option<String>, Failure> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_none() && self.user.is_some() {
            return self.authenticate(at).map(Some);
        }
        Ok(known)
    }

    fn authenticate(&self, at: usize) -> Result<String, Failure> {
        let Some((name, password)) = &self.user else {
            return Err(Failure::Unreachable("etcd wants a user and a password".to_owned()));
        };
        let body = json!({ "name": name, "password": password });
        let answer = self.request(at, "/v3/auth/authenticate", &body, self.request, None)?;
        let token = answer["token"].as_str().unwrap_or_default().to_owned();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn send(
        &self,
        at: usize,
        path: &str,
        body: &Value,
        time: Duration,
        token: Option<String>,
    ) -> Result<ureq::Body, Failure> {
        let endpoint = &self.endpoints[at % self.endpoints.len()];
        let request = self.agent.post(format!("{endpoint}{path}"));
        // Who cannot be connected to has heard nothing, which is worth knowing before the time is over.
        let connect = self.request * 2 / 3;
        let request = request.config().timeout_connect(Some(connect)).timeout_global(Some(time));
        let mut request = request.build().header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let mut response = request.send(body.to_string()).map_err(|error| {
            let text = format!("{endpoint}: {error}");
            if is_unsent(&error) { Failure::Unreachable(text) } else { Failure::Unknown(text) }
        })?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let unclear = |why: &str| Failure::Unknown(format!("{endpoint}: {why}"));
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let refusal: Value = serde_json::from_str(&text.map_err(|it| unclear(&it.to_string()))?)
            .map_err(|_| unclear(response.status().as_str()))?;
        Err(refused(&refusal))
    }

    fn request(
        &self,
        at: usize,
        path: &str,
        body: &Value,
        time: Duration,
        token: Option<String>,
    ) -> Result<Value, Failure> {
        let mut answer = self.send(at, path, body, time, token)?;
        let text = answer.with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| Failure::Unknown(error.to_string()))?;
        let answer: Value =
            serde_json::from_str(&text).map_err(|error| Failure::Unknown(error.to_string()))?;
        // Of what could be a stream, an error comes as its first message.
        if answer["error"].is_null() { Ok(answer) } else { Err(refused(&answer["error"])) }
    }

    /// Hands out the messages of a stream as they come, until one is the last, the time is over or the stream ends.
    pub(crate) fn stream(
        &self,
        path: &str,
        body: &Value,
        time: Duration,
        mut is_last: impl FnMut(&Value) -> bool,
    ) -> Result<(), Failure> {
        let at = self.preferred.load(Ordering::SeqCst);
        let until = Instant::now() + time;
        let answer = self.token(at).and_then(|token| self.send(at, path, body, time, token));
        let answer = answer.inspect_err(|failure| self.failed(at, failure))?;
        let mut lines = BufReader::new(answer.into_with_config().limit(u64::MAX).reader());
        let mut line = Vec::new();
        loop {
            let Ok(more) = lines.fill_buf() else {
                // Time that is over is an error here, too.
                return if Instant::now() < until { Err(ended()) } else { Ok(()) };
            };
            let end = more.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(more.len(), |end| end + 1);
            line.extend_from_slice(&more[..taken]);
            let is_over = more.is_empty();
            lines.consume(taken);
            if is_over || line.len() > LINE_BYTES_MAX {
                return Err(ended());
            }
            if end.is_some() {
                let message: Value = serde_json::from_slice(&line).map_err(|_| ended())?;
                if !message["error"].is_null() {
                    return Err(refused(&message["error"]));
                }
                if is_last(&message["result"]) {
                    return Ok(());
                }
                line.clear();
            }
        }
    }
}

fn ended() -> Failure {
    Failure::Unknown("the stream ended".to_owned())
}

/// `{"error": …, "message": …, "code": …}`, or of a stream `{"grpc_code": …, "message": …}`.
fn refused(answer: &Value) -> Failure {
    let code = answer["code"].as_u64().or_else(|| answer["grpc_code"].as_u64()).unwrap_or(2);
    let message = answer["message"].as_str().or_else(|| answer["error"].as_str());
    let message = format!("etcd says: {}", message.unwrap_or("an error of no name"));
    if OF_REQUESTS.contains(&code) {
        Failure::Refused { code, message }
    } else {
        // No leader, no time, no room: what was asked for may have been done all the same.
        Failure::Unknown(message)
    }
}

/// Whether the request was certainly not heard by anybody.
fn is_unsent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// The address without its last slash, if it may be used.
fn endpoint(text: &str, options: &EtcdOptions) -> Result<String, EtcdError> {
    let no_address = || EtcdError::Endpoint { endpoint: text.to_owned() };
    let text = text.trim_end_matches('/');
    let uri: Uri = text.parse().map_err(|_| no_address())?;
    let host = uri.host().ok_or_else(no_address)?;
    if uri.path().len() > 1 || uri.query().is_some() {
        return Err(no_address());
    }
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("http") if is_here || options.allow_plaintext => Ok(text.to_owned()),
        Some("http") => Err(EtcdError::Plaintext { endpoint: text.to_owned() }),
        Some("https") if options.tls.is_some() => Ok(text.to_owned()),
        Some("https") => Err(EtcdError::NoAuthorities { endpoint: text.to_owned() }),
        _ => Err(no_address()),
    }
}

fn tls(tls: Option<&EtcdTls>) -> Result<TlsConfig, EtcdError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    // Without authorities nobody is trusted, rather than everybody that browsers trust.
    let Some(tls) = tls else {
        return Ok(config.root_certs(RootCerts::new_with_certs(&[])).build());
    };
    let authorities = certificates("the authorities", &tls.authorities)?;
    let mut config = config.root_certs(RootCerts::new_with_certs(&authorities));
    if let Some((own, key)) = &tls.own {
        let own = certificates("the node's certificate", own)?;
        let key = PrivateKey::from_pem(key).map_err(|error| EtcdError::Certificate {
            what: "the node's key",
            why: error.to_string(),
        })?;
        config = config.client_cert(Some(ClientCert::new_with_certs(&own, key)));
    }
    Ok(config.build())
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<Certificate<'static>>, EtcdError> {
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(EtcdError::Certificate { what, why: error.to_string() }),
        }
    }
    if found.is_empty() {
        return Err(EtcdError::Certificate { what, why: "there is none in it".to_owned() });
    }
    Ok(found)
}

impl Failure {
    fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code != NOT_FOUND)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == NOT_FOUND)
    }
}
