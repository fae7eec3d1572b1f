//! Where etcd is, and how it is talked to.

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How an [`EtcdCoordinator`](crate::EtcdCoordinator) finds etcd and what it does there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EtcdOptions {
    /// The client addresses of its members, `https://10.0.0.1:2379`. All are tried in turn; give all of them.
    pub endpoints: Vec<String>,
    /// What the keys begin with, `steadfast` by default: `steadfast/GROUP/record` and `steadfast/GROUP/lease`.
    pub prefix: String,
    /// How long a lease outlives its holder; 3 s by default. etcd counts whole seconds, so it is rounded up, and etcd
    /// makes it no shorter than one and a half of its election time-outs: 2 s unless told otherwise.
    pub lease: Duration,
    /// By how much this node believes its lease to end earlier than etcd does, for clocks that go differently; 500 ms by
    /// default, and at most a quarter of the lease.
    pub margin: Duration,
    /// How long one member may take to answer before the next one is asked; a swap may take three times as long. 500 ms by
    /// default, and at most an eighth of the lease.
    pub request: Duration,
    /// How it is known that etcd is etcd, and what it is shown. Needed for `https` addresses.
    pub tls: Option<EtcdTls>,
    /// The user and the password, if etcd asks for them.
    pub user: Option<(String, String)>,
    /// Whether `http` addresses may be used that other machines can reach, although nobody knows who answers.
    pub allow_plaintext: bool,
}

impl EtcdOptions {
    /// The default options, for members at these addresses.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: "steadfast".to_owned(),
            lease: Duration::from_secs(3),
            margin: Duration::from_millis(500),
            request: Duration::from_millis(500),
            tls: None,
            user: None,
            allow_plaintext: false,
        }
    }

    /// The lease in whole seconds, and no shorter than one.
    pub(crate) fn seconds(&self) -> u64 {
        let part = u64::from(self.lease.subsec_nanos() > 0);
        (self.lease.as_secs() + part).max(1)
    }

    pub(crate) fn request_max(&self) -> Duration {
        self.request.min(Duration::from_secs(self.seconds()) / 8).max(Duration::from_millis(1))
    }
}

/// Certificates in PEM, by which a node and etcd know each other.
#[derive(Clone)]
pub struct EtcdTls {
    /// The authorities, one of which must have signed etcd's certificate.
    pub authorities: Vec<u8>,
    /// This node's certificates, its own first, and its key; etcd with `--client-cert-auth` asks for them.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

impl EtcdTls {
    /// Those of files: authorities, and this node's certificates and key.
    ///
    /// # Errors
    ///
    /// If a file cannot be read. What is in them is looked at by [`EtcdCoordinator::new`](crate::EtcdCoordinator::new).
    pub fn from_files(authorities: &Path, own: Option<(&Path, &Path)>) -> std::io::Result<Self> {
        let own = match own {
            Some((certificates, key)) => Some((std::fs::read(certificates)?, std::fs::read(key)?)),
            None => None,
        };
        Ok(Self { authorities: std::fs::read(authorities)?, own })
    }
}

/// The key is not shown.
impl fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTls").field("own", &self.own.is_some()).finish_non_exhaustive()
    }
}

/// Why options are none that work. That etcd cannot be reached is no error: it is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// There are no addresses.
    #[error("no address of etcd is given")]
    NoEndpoint,
    /// An address is none.
    #[error("`{endpoint}` is no address of etcd; `https://10.0.0.1:2379` is one")]
    Endpoint {
        /// The address.
        endpoint: String,
    },
    /// Who answers there is not known, and it can be another machine.
    #[error(
        "`{endpoint}` can be on another machine, and without TLS nobody knows who answers there; \
         use https, or allow plaintext if the network keeps others out"
    )]
    Plaintext {
        /// The address.
        endpoint: String,
    },
    /// There is an `https` address and nothing to know etcd by.
    #[error("`{endpoint}` needs the authorities that sign etcd's certificates")]
    NoAuthorities {
        /// The address.
        endpoint: String,
    },
    /// A certificate or a key is none.
    #[error("{what} cannot be used: {why}")]
    Certificate {
        /// Which one.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}
