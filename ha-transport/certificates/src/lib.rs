//! An authority of its own for each test or measurement, and certificates of nodes that it signs.
//!
//! # What it is not
//!
//! A way to run one: keys stay in memory, and nothing is asked of anybody.

pub use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};

use rcgen::{BasicConstraints, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Own {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Its key is not shown.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// One of this name, with a key of its own.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("random numbers");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate of its own"))
    }

    /// Its certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its certificate, in DER.
    pub fn der(&self) -> &[u8] {
        self.0.der()
    }

    /// A certificate for these names, for servers and clients, with what is changed.
    ///
    /// # Panics
    ///
    /// If a name is none.
    pub fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Own {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("random numbers");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate").pem();
        Own { certificate, key: key.serialize_pem() }
    }

    /// A certificate for a node of a group, as `steadfast_ha_transport::Tls` wants it.
    pub fn node(&self, node: u32, group: u64, domain: &str) -> Own {
        self.issue(&[&format!("node-{node}.group-{group}.{domain}")], |_| {})
    }
}
