//! TLS: 1.2 or higher, the certificate and the name in it checked, and a reason a person can act on if not.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

/// An extra root that is no certificate, or cannot be an authority.
#[derive(Debug, thiserror::Error)]
#[error("the extra root certificate cannot be used: {0}")]
pub struct BadRoot(Error);

/// Made once: it is what a connection shares with all others, the tickets to resume a session among it.
///
/// The roots are webpki's built-in table: parsing the system's costs milliseconds at each cold start.
pub(crate) fn config(extra_roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, BadRoot> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(root).map_err(BadRoot)?;
    }
    let provider = Arc::new(ring::default_provider());
    let trusted = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| BadRoot(Error::General(error.to_string())))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(BadRoot)?
        // Not as dangerous as it is called: see the verifier.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Explaining { trusted }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificate is signed by its own key: "self-signed" and "of an issuer we do not know" are the same to
/// webpki, but not to who has to mend it.
#[derive(Debug)]
pub(crate) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed certificate")
    }
}

impl std::error::Error for SelfSigned {}

/// webpki's verifier. Every question is answered by it, and what it refuses stays refused: only the words of
/// one refusal are made more precise.
#[derive(Debug)]
struct Explaining {
    trusted: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused =
            match self.trusted.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            {
                Ok(verified) => return Ok(verified),
                Err(refused) => refused,
            };
        let unknown = matches!(
            refused,
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
                | Error::InvalidCertificate(CertificateError::Other(_)) // such as "an authority used as a server"
        );
        if unknown && intermediates.is_empty() && is_self_signed(end_entity, server_name, now) {
            return Err(CertificateError::Other(OtherError(Arc::new(SelfSigned))).into());
        }
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trusted.supported_verify_schemes()
    }
}

/// Whether the certificate holds once it is trusted itself.
fn is_self_signed(end_entity: &CertificateDer<'_>, server_name: &ServerName<'_>, now: UnixTime) -> bool {
    let mut itself = RootCertStore::empty();
    if itself.add(end_entity.clone().into_owned()).is_err() {
        return false;
    }
    let provider = Arc::new(ring::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(itself), provider).build() else {
        return false;
    };
    match verifier.verify_server_cert(end_entity, &[], server_name, &[], now) {
        Ok(_) => true,
        // Its own signature held, if all that is wrong is what is checked after it.
        Err(Error::InvalidCertificate(reason)) => matches!(
            reason,
            CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. }
                | CertificateError::Other(_)
        ),
        Err(_) => false,
    }
}
