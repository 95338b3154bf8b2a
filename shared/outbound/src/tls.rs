//! TLS 1.2 or later, with a verified certificate and name, and failures that tell people what to fix.

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

/// An extra root is not a certificate, or cannot be a certificate authority.
#[derive(Debug, thiserror::Error)]
#[error("the extra root certificate is not valid: {0}")]
pub struct BadRoot(Error);

/// Creates the configuration that all connections share, including the cache of TLS sessions.
///
/// The roots are webpki's built-in table, because parsing the system's roots costs milliseconds at each cold start.
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
        // Safe here: the verifier only delegates to webpki's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Explaining { trusted }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificate is signed with its own key. webpki does not distinguish this from an unknown issuer, but the fix is
/// different.
#[derive(Debug)]
pub(crate) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed certificate")
    }
}

impl std::error::Error for SelfSigned {}

/// Delegates every check to webpki's verifier. What it refuses stays refused; only one of its errors is replaced with a
/// more precise one.
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
        let unknown = matches!(refused, Error::InvalidCertificate(CertificateError::UnknownIssuer))
            || is_a_ca_used_as_a_server(&refused);
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

/// webpki's own error, for which rustls has no name.
pub(crate) fn unnamed(error: &CertificateError) -> Option<&webpki::Error> {
    let CertificateError::Other(OtherError(error)) = error else { return None };
    error.downcast_ref()
}

/// Many self-signed certificates are authorities.
fn is_a_ca_used_as_a_server(error: &Error) -> bool {
    let Error::InvalidCertificate(error) = error else { return false };
    matches!(unnamed(error), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether the certificate would be valid if it were a trusted root.
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
        // These are checked after the signature, so the signature is valid.
        Err(refused) if is_a_ca_used_as_a_server(&refused) => true,
        Err(Error::InvalidCertificate(reason)) => matches!(
            reason,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use rustls::HandshakeKind;
    use rustls::pki_types::pem::PemObject;
    use statuspulse_kit::{Authority, CertificateSpec, Receiver, ReceiverOptions, TlsVersions};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::*;

    /// rustls' own server does not start with such a certificate.
    #[test]
    fn an_extension_that_nobody_knows_is_not_taken_for_a_self_signature() {
        let authority = Authority::fresh().unwrap();
        let root = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(ring::default_provider());
        let trusted = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let certificate = authority.issue(CertificateSpec::UnknownExtension).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let verified =
            Explaining { trusted }.verify_server_cert(certificate.der(), &[], &name, &[], UnixTime::now());
        let refused = std::io::Error::other(verified.unwrap_err());
        let reason = crate::explain::io(&refused).reason;
        assert!(reason.contains("marked as critical"), "{reason}");
    }

    #[tokio::test]
    async fn the_second_connection_to_a_host_resumes_the_session_of_the_first() {
        let authority = Authority::fresh().unwrap();
        let root = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap();
        for tls_versions in [TlsVersions::OnlyTls12, TlsVersions::OnlyTls13] {
            let options = ReceiverOptions::tls(authority.issue(CertificateSpec::Good).unwrap());
            let receiver = Receiver::start(ReceiverOptions { tls_versions, ..options }).unwrap();
            let connector = TlsConnector::from(config(vec![root.clone()]).unwrap());
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let tcp = TcpStream::connect(receiver.addr()).await.unwrap();
                let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
                kinds.push(stream.get_ref().1.handshake_kind());
                // TLS 1.3 sends its tickets after the handshake. They are read with the response.
                stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                stream.read_u8().await.unwrap();
            }
            assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)], "{tls_versions:?}");
        }
    }
}
