//! How AWS is called: chosen, not defaulted.
//!
//! - **TLS** by rustls with ring, as towards receivers. Trusted are the certificate authorities that AWS's own
//!   endpoints use, built in: reading the system's file costs up to 15 ms at every cold start.
//! - **Time.** An attempt has two seconds, a call with its retries eight: less than a function has, so that a call
//!   that fails is seen by us, and not by the function's end.
//! - **Retries.** Three, with jittered exponential backoff from 50 ms: a throttled partition is given time, and a
//!   first attempt still leaves within a second. What fails then is thrown back to the queue.
//! - **Connections** are kept for as long as an environment sleeps between two invocations; a connection that was
//!   closed meanwhile is one of the failures that are retried.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(8);
const TRIES: u32 = 4;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Region, credentials and endpoint from the environment, as Lambda sets it; the rest as chosen.
pub async fn configuration() -> SdkConfig {
    chosen(aws_config::defaults(BehaviorVersion::latest())).load().await
}

/// The configuration with all that is described above.
pub fn chosen(loader: ConfigLoader) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(TRIES)
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(MAX_BACKOFF);
    let tls = TlsContext::builder().with_trust_store(amazons_roots()).build().unwrap_or_default();
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .pool_idle_timeout(None::<Duration>)
        .build_https();
    loader.http_client(http).timeout_config(timeouts).retry_config(retries)
}

/// Amazon Trust Services has its own roots; before them it was signed by Starfield's.
fn amazons_roots() -> TrustStore {
    let mut roots = TrustStore::empty();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        if [b"Amazon".as_slice(), b"Starfield"].iter().any(|name| contains(certificate, name)) {
            roots.add_pem_certificate(pem(certificate));
        }
    }
    roots
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn pem(certificate: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
}
