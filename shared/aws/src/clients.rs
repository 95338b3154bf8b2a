//! How AWS is called: chosen, not defaulted.
//!
//! - **TLS** by rustls with ring, as towards receivers. Trusted are the certificate authorities that AWS's own
//!   endpoints use, built in: reading the system's file costs up to 15 ms at every cold start.
//! - **Credentials** from the environment: in Lambda they are nowhere else, and the SDK's search for them elsewhere is a
//!   megabyte of code.
//! - **Time.** An attempt has two seconds, a call with its retries eight: less than a function has, so that a call
//!   that fails is seen by us, and not by the function's end.
//! - **Retries.** Three, with jittered exponential backoff from 50 ms: a throttled partition is given time, and a
//!   first attempt still leaves within a second. What fails then is thrown back to the queue.
//! - **Connections** are kept for as long as an environment sleeps between two invocations; a connection that was
//!   closed meanwhile is one of the failures that are retried.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::SdkConfig;
use aws_types::sdk_config::Builder as ConfigBuilder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(8);
const TRIES: u32 = 4;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// What Lambda sets and is missing here.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {0} is missing")]
pub struct NotInLambda(&'static str);

/// Region and credentials from the environment, as Lambda sets them and nobody else needs to; the rest as chosen.
///
/// # Errors
/// If Lambda's variables are not there.
pub fn configuration() -> Result<SdkConfig, NotInLambda> {
    let maybe = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let set = |name| maybe(name).ok_or(NotInLambda(name));
    let credentials = Credentials::new(
        set("AWS_ACCESS_KEY_ID")?,
        set("AWS_SECRET_ACCESS_KEY")?,
        maybe("AWS_SESSION_TOKEN"),
        // They are good for longer than the environment is.
        None,
        "the function's role",
    );
    let mut chosen = chosen(&set("AWS_REGION")?, credentials);
    chosen.set_endpoint_url(maybe("AWS_ENDPOINT_URL"));
    Ok(chosen.build())
}

/// The configuration with all that is described above.
pub fn chosen(region: &str, credentials: Credentials) -> ConfigBuilder {
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
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries)
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
