//! The configuration of the AWS clients.
//!
//! - **TLS**: rustls with ring, as for receivers. It trusts the certificate authorities of AWS's own endpoints, which
//!   are built in. Reading the system's file would cost up to 15 ms at each cold start.
//! - **Credentials** come from the environment, the only source in Lambda. The SDK's search through other sources would
//!   add a megabyte of code.
//! - **Timeouts**: 2 seconds for a try, 8 seconds for a call with its retries. The functions have longer timeouts, so
//!   they can handle a failed call themselves.
//! - **Retries**: three, with jittered exponential backoff from 50 ms. This gives a throttled partition time, and a
//!   first attempt is still sent within a second. If all fail, the message goes back to its queue.
//! - **Connections** are kept for the calls of the next minutes: see `connections.rs`. A call on a connection that was
//!   closed meanwhile is retried.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, SharedHttpClient,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::SdkConfig;
use aws_types::sdk_config::Builder as ConfigBuilder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use statuspulse_core::ports::Clock;

use crate::connections::Connections;

/// An environment variable that Lambda sets is missing.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {0} is missing")]
pub struct NotInLambda(&'static str);

/// The configuration in Lambda: region and credentials come from the environment, the rest from [`chosen`].
///
/// # Errors
/// Fails if a variable that Lambda sets is missing.
pub fn configuration(clock: Arc<dyn Clock>) -> Result<SdkConfig, NotInLambda> {
    let maybe = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let set = |name| maybe(name).ok_or(NotInLambda(name));
    let credentials = Credentials::new(
        set("AWS_ACCESS_KEY_ID")?,
        set("AWS_SECRET_ACCESS_KEY")?,
        maybe("AWS_SESSION_TOKEN"),
        // No expiry: they are valid for longer than the environment lives.
        None,
        "the function's role",
    );
    let mut chosen = chosen(&set("AWS_REGION")?, credentials, clock);
    chosen.set_endpoint_url(maybe("AWS_ENDPOINT_URL"));
    Ok(chosen.build())
}

/// The configuration as described in this module, for any region and credentials. `clock` is the wall clock.
pub fn chosen(region: &str, credentials: Credentials, clock: Arc<dyn Clock>) -> ConfigBuilder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(crate::limits::CONNECT_TIMEOUT)
        .operation_attempt_timeout(crate::limits::REQUEST_TIMEOUT)
        .operation_timeout(crate::limits::CALL_TIMEOUT)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(crate::limits::CALL_TRIES)
        .with_initial_backoff(crate::limits::FIRST_BACKOFF)
        .with_max_backoff(crate::limits::MAX_BACKOFF);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(Connections::new(http_client, clock))
        .timeout_config(timeouts)
        .retry_config(retries)
}

/// A client without connections. It does not measure how long they are idle, because its clock stops with the environment.
fn http_client() -> SharedHttpClient {
    let tls = TlsContext::builder().with_trust_store(amazons_roots()).build().unwrap_or_default();
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .pool_idle_timeout(None::<Duration>)
        .build_https()
}

/// The roots of Amazon Trust Services, and those of Starfield, which signed its certificates before.
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
