//! A certificate authority in memory. It issues the certificates that a client must accept or refuse.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::clock;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Which certificate to issue. For an unknown issuer, create a second [`Authority`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateSpec {
    /// For `localhost` and 127.0.0.1, valid now.
    Good,
    /// Valid now, but only for `elsewhere.invalid`.
    WrongHost,
    /// For the right names; expired yesterday.
    Expired,
    /// For the right names; valid from tomorrow.
    NotYetValid,
    /// For the right names and valid now, but signed with its own key.
    SelfSigned,
    /// For the right names and valid now, but with an unknown critical extension.
    UnknownExtension,
    /// Its common name is `localhost`, and it has no other name.
    CommonNameAlone,
}

/// A certificate and its private key, for [`crate::ReceiverOptions::tls`].
pub struct ServerCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ServerCertificate {
    /// The certificate itself.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The same certificate, sent with its authority's certificate this many times.
    #[must_use]
    pub fn with_chain_of(mut self, authority: &Authority, times: usize) -> Self {
        let others = std::iter::repeat_n(authority.issuer.der().clone(), times);
        self.chain.extend(others);
        self
    }

    pub(crate) fn into_parts(self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain, self.key)
    }
}

impl Clone for ServerCertificate {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}

/// A certificate authority. Its key is generated in [`Authority::new`] and never leaves the process.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    ca_pem: String,
    now: SystemTime,
}

impl Authority {
    /// Creates an authority that issues certificates relative to `now`: expired ones ended a day before it.
    pub fn new(now: SystemTime) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = valid_between(now.checked_sub(365 * DAY), now.checked_add(3650 * DAY))?;
        // The name must be unique. With two authorities of the same name, a client would report a bad signature
        // where the test expects an unknown issuer.
        let id: String =
            key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("StatusPulse kit authority {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        let ca_pem = issuer.pem();
        Ok(Self { issuer, ca_pem, now })
    }

    /// Creates an authority whose time is the system clock.
    pub fn fresh() -> io::Result<Self> {
        Self::new(clock::now())
    }

    /// The CA certificate in PEM. A client that trusts it accepts this authority's certificates.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub fn issue(&self, spec: CertificateSpec) -> io::Result<ServerCertificate> {
        let before = |days: u32| self.now.checked_sub(days * DAY);
        let after = |days: u32| self.now.checked_add(days * DAY);
        let (from, until) = match spec {
            CertificateSpec::Expired => (before(30), before(1)),
            CertificateSpec::NotYetValid => (after(1), after(30)),
            _ => (before(1), after(30)),
        };
        let mut params = valid_between(from, until)?;
        let names = match spec {
            CertificateSpec::WrongHost => vec!["elsewhere.invalid".to_owned()],
            CertificateSpec::CommonNameAlone => vec![],
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let common_name = if names.is_empty() { "localhost".to_owned() } else { names.join(", ") };
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = CertificateParams::new(names).map_err(io::Error::other)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if spec == CertificateSpec::UnknownExtension {
            let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions = vec![unknown];
        }

        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = match spec {
            CertificateSpec::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        }
        .map_err(io::Error::other)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(ServerCertificate { chain: vec![certificate.der().clone()], key: key.into() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn valid_between(from: Option<SystemTime>, until: Option<SystemTime>) -> io::Result<CertificateParams> {
    let since_epoch = |time: Option<SystemTime>| {
        let time = time.ok_or_else(|| io::Error::other("the validity is out of range"))?;
        time.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)
    };
    let generation = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = generation + since_epoch(from)?;
    params.not_after = generation + since_epoch(until)?;
    Ok(params)
}
