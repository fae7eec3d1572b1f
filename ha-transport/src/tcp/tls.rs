//! TLS under a link: who a certificate is for, and a session that two threads use.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::{Resumption, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, Error, RootCertStore,
    ServerConfig, ServerConnection,
};

use super::refusal::Refusal;
use super::wire::{Timed, lost};
use crate::ids::NodeId;

/// What both sides speak inside of TLS.
const PROTOCOL: &[u8] = b"steadfast-ha/1";
/// Bytes that are encrypted at once, and that are read at once to be decrypted.
const CHUNK_BYTES: usize = 64 << 10;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in them is not what it should be.
    #[error("{what} cannot be used: {why}")]
    Invalid {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// They were given as bytes, so there is nothing to read again.
    #[error("the certificates are not from files")]
    NotFromFiles,
}

/// Certificates of a node, by which it and its peers know each other: TLS 1.3, and both sides show one.
///
/// A node's certificate must have, as a DNS name of its subject's alternative names, `node-N.group-G.DOMAIN`, with the
/// numbers of the node and of its group; for several groups, several of these. The domain tells clusters of one
/// authority apart. If it is restricted to usages, it needs those of servers *and* of clients. Whoever can have such
/// names signed can be any node, so the authority had better be one for this alone. Certificates are not revoked but
/// replaced together with their authority.
///
/// Clones are the same: what is replaced in one is in all, and links that come up from then on use it. Those that are up
/// stay up.
///
/// # Example
///
/// ```no_run
/// use steadfast_ha_transport::{NodeId, TcpOptions, TcpTransport, Tls};
///
/// let tls = Tls::from_files("orders.example", "ca.pem", "node-1.pem", "node-1.key")?;
/// assert_eq!(tls.name(NodeId(1), 7), "node-1.group-7.orders.example");
/// let mut options = TcpOptions::new(7);
/// options.tls = Some(tls.clone());
/// let transport = TcpTransport::bind(NodeId(1), "10.0.0.11:7400", options)?;
/// // Later, when the files are new ones:
/// tls.reload()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    domain: Arc<str>,
    files: Option<Arc<[PathBuf; 3]>>,
    configs: Arc<Mutex<Configs>>,
}

/// Of one set of certificates.
#[derive(Clone)]
struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    own: CertificateDer<'static>,
}

/// No key is shown.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files.as_deref();
        f.debug_struct("Tls")
            .field("domain", &self.domain)
            .field("files", &files)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Those of these files, in PEM: the authorities, the node's certificates with its own first, and its key.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn from_files(
        domain: &str,
        authorities: impl AsRef<Path>,
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let files = [authorities.as_ref(), certificates.as_ref(), key.as_ref()].map(Path::to_owned);
        let configs = Configs::of_files(&files)?;
        Ok(Self { files: Some(Arc::new(files)), ..Self::new(domain, configs) })
    }

    /// Those of these bytes, in PEM, in the same order.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn from_pem(
        domain: &str,
        authorities: &[u8],
        certificates: &[u8],
        key: &[u8],
    ) -> Result<Self, TlsError> {
        Ok(Self::new(domain, Configs::of(authorities, certificates, key)?))
    }

    fn new(domain: &str, configs: Configs) -> Self {
        Self { domain: domain.into(), files: None, configs: Arc::new(Mutex::new(configs)) }
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; then those that were there go on being used.
    pub fn reload(&self) -> Result<(), TlsError> {
        let files = self.files.as_deref().ok_or(TlsError::NotFromFiles)?;
        *self.configs() = Configs::of_files(files)?;
        Ok(())
    }

    /// Uses others from now on.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; then those that were there go on being used.
    pub fn replace(
        &self,
        authorities: &[u8],
        certificates: &[u8],
        key: &[u8],
    ) -> Result<(), TlsError> {
        *self.configs() = Configs::of(authorities, certificates, key)?;
        Ok(())
    }

    /// The name that the certificate of a node of a group must have.
    pub fn name(&self, node: NodeId, group: u64) -> String {
        format!("node-{node}.group-{group}.{}", self.domain)
    }

    fn configs(&self) -> MutexGuard<'_, Configs> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server_name(&self, node: NodeId, group: u64) -> Result<ServerName<'static>, Refusal> {
        let name = self.name(node, group);
        ServerName::try_from(name.clone()).map_err(|_| Refusal::NotForNode(name))
    }

    /// Whether the own certificate is for this node.
    pub(super) fn is_own(&self, node: NodeId, group: u64) -> Result<(), Refusal> {
        let own = self.configs().own.clone();
        self.is_certificate_for(&own, node, group)
    }

    fn is_certificate_for(
        &self,
        certificate: &CertificateDer<'_>,
        node: NodeId,
        group: u64,
    ) -> Result<(), Refusal> {
        let name = self.server_name(node, group)?;
        let is_for = ParsedCertificate::try_from(certificate)
            .and_then(|certificate| verify_server_name(&certificate, &name));
        is_for.map_err(|_| Refusal::NotForNode(self.name(node, group)))
    }

    /// Whether the peer's certificate is for the node that it says it is.
    pub(super) fn is_for(
        &self,
        connection: &Connection,
        peer: NodeId,
        group: u64,
    ) -> Result<(), Refusal> {
        let certificates = connection.peer_certificates().unwrap_or_default();
        let certificate = certificates.first().ok_or(Refusal::NoCertificate)?;
        self.is_certificate_for(certificate, peer, group)
    }

    /// Who was dialed is the client's to name; both show certificates.
    pub(super) fn shake_hands<'a>(
        &self,
        mut over: Timed<'a>,
        group: u64,
        dialed: Option<NodeId>,
    ) -> Result<Greeting<'a>, Refusal> {
        let configs = self.configs().clone();
        let mut connection: Connection = match dialed {
            Some(node) => {
                let name = self.server_name(node, group)?;
                let client = ClientConnection::new(configs.client, name.clone());
                client.map_err(|error| of_tls(&error))?.into()
            }
            None => ServerConnection::new(configs.server).map_err(|error| of_tls(&error))?.into(),
        };
        while connection.is_handshaking() {
            // If it fails, what is wrong is said to the other side, too.
            if let Err(error) = connection.complete_io(&mut over) {
                return Err(refusal_of(&error, dialed.map(|node| self.name(node, group))));
            }
        }
        Ok(Greeting { connection, over })
    }
}

/// A connection behind its handshake, on which little is said yet.
pub(super) struct Greeting<'a> {
    connection: Connection,
    over: Timed<'a>,
}

impl Greeting<'_> {
    pub(super) fn end(self) -> Connection {
        self.connection
    }
}

impl Read for Greeting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.connection.read_tls(&mut self.over)? == 0 {
                return Ok(0);
            }
            if let Err(error) = self.connection.process_new_packets() {
                // What is wrong is said to the other side, if it still listens.
                self.flush().ok();
                return Err(io::Error::other(error));
            }
        }
    }
}

impl Write for Greeting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.over)?;
        }
        Ok(())
    }
}

/// What an error of a connection says of the other side.
pub(super) fn refusal(error: &io::Error) -> Refusal {
    refusal_of(error, None)
}

fn refusal_of(error: &io::Error, name: Option<String>) -> Refusal {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Refusal::NotForNode(name.unwrap_or_default()),
        Some(error) => of_tls(error),
        None => lost(error),
    }
}

fn of_tls(error: &Error) -> Refusal {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match error {
        Error::NoCertificatesPresented => Refusal::NoCertificate,
        // Another authority of the same name is another one.
        Error::InvalidCertificate(UnknownIssuer | BadSignature) => Refusal::UnknownAuthority,
        Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => Refusal::Expired,
        Error::AlertReceived(alert) => Refusal::RefusedThere(format!("{alert:?}")),
        Error::InvalidMessage(_) => Refusal::NoTls,
        other => Refusal::Tls(other.to_string()),
    }
}

impl Configs {
    fn of_files(files: &[PathBuf; 3]) -> Result<Self, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source })
        };
        let [authorities, certificates, key] = files;
        Self::of(&read(authorities)?, &read(certificates)?, &read(key)?)
    }

    fn of(authorities: &[u8], certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let invalid =
            |what| move |why: &dyn fmt::Display| TlsError::Invalid { what, why: why.to_string() };
        let of_authorities = invalid("the authorities");
        let mut roots = RootCertStore::empty();
        for authority in all(authorities, "the authorities")? {
            roots.add(authority).map_err(|error| of_authorities(&error))?;
        }
        let (roots, own) = (Arc::new(roots), all(certificates, "the node's certificates")?);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid("the key")(&error))?;
        // Named, as a library must not choose that of the process.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = [&rustls::version::TLS13];
        let of_own = invalid("the node's certificates or its key");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| of_authorities(&error))?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| of_own(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.clone(), key.clone_key())
            .map_err(|error| of_own(&error))?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| of_own(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(own.clone(), key)
            .map_err(|error| of_own(&error))?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Every link is looked at anew: what was replaced is not to come back by a ticket.
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        let own = own.into_iter().next();
        let own = own.ok_or_else(|| of_own(&"there is none in them"))?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), own })
    }
}

fn all(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let invalid = |why: String| TlsError::Invalid { what, why };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| invalid(error.to_string()))?;
    if found.is_empty() {
        return Err(invalid("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// A connection behind its handshake. One thread writes and one reads; what they share is locked only while it encrypts
/// or decrypts, never while the network is waited for.
pub(super) struct Session {
    stream: TcpStream,
    connection: Mutex<Connection>,
    /// What was encrypted and is on its way to the network.
    out: Mutex<Vec<u8>>,
}

/// Its secrets are not shown.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(stream: TcpStream, mut connection: Connection) -> Self {
        // What is handed to it in one piece is encrypted at once, so that nothing stays in it.
        connection.set_buffer_limit(None);
        Self { stream, connection: Mutex::new(connection), out: Mutex::default() }
    }

    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, before: &[u8], long: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut before, mut rest) = (before, long);
        loop {
            let (chunk, later) = rest.split_at(rest.len().min(CHUNK_BYTES));
            let mut connection = self.connection();
            let pieces = [IoSlice::new(before), IoSlice::new(chunk)];
            let taken = connection.writer().write_vectored(&pieces)?;
            if taken != before.len() + chunk.len() {
                return Err(io::Error::other("TLS takes no more"));
            }
            while connection.wants_write() {
                connection.write_tls(&mut *out)?;
            }
            drop(connection);
            let mut stream = &self.stream;
            stream.write_all(&out)?;
            out.clear();
            (before, rest) = (&[], later);
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { session: self, raw: vec![0; CHUNK_BYTES].into(), unread: 0..0 }
    }
}

/// What comes, decrypted.
pub(super) struct Reader<'a> {
    session: &'a Session,
    raw: Box<[u8]>,
    /// What was read of the network and not decrypted.
    unread: std::ops::Range<usize>,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut connection = self.session.connection();
            loop {
                match connection.reader().read(into) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
                if self.unread.is_empty() {
                    break;
                }
                let taken = connection.read_tls(&mut &self.raw[self.unread.clone()])?;
                self.unread.start += taken;
                connection.process_new_packets().map_err(io::Error::other)?;
            }
            drop(connection);
            let mut stream = &self.session.stream;
            match stream.read(&mut self.raw)? {
                0 => return Ok(0),
                read => self.unread = 0..read,
            }
        }
    }
}
