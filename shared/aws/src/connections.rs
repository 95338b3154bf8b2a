//! The connections to AWS, which are used for a few minutes.
//!
//! An execution environment is frozen between two invocations. Its monotonic clock stops, so an idle time that is measured
//! with it does not end. Meanwhile the network may forget the connections, and a call on one that it forgot waits for
//! its timeout. So connections end by the wall clock, and by their age: all clients share them, and a client that is idle
//! must not be kept by a busy one.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;
use statuspulse_core::ports::Clock;

use crate::limits::CONNECTIONS_KEPT_FOR;

/// An HTTP client that begins anew from time to time.
pub(crate) struct Connections {
    begin: fn() -> SharedHttpClient,
    clock: Arc<dyn Clock>,
    current: Mutex<Current>,
}

struct Current {
    client: SharedHttpClient,
    began: Timestamp,
}

impl Connections {
    /// `begin` returns a client without connections.
    pub(crate) fn new(begin: fn() -> SharedHttpClient, clock: Arc<dyn Clock>) -> Self {
        let current = Mutex::new(Current { client: begin(), began: clock.now() });
        Self { begin, clock, current }
    }

    fn client(&self) -> SharedHttpClient {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(current.began).unsigned_abs() > CONNECTIONS_KEPT_FOR {
            *current = Current { client: (self.begin)(), began: now };
        }
        current.client.clone()
    }
}

impl HttpClient for Connections {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.client().http_connector(settings, components)
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client().validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client().validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client().connector_metadata()
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use aws_sdk_dynamodb::config::Credentials;
    use statuspulse_kit::{Answer, Receiver, ReceiverOptions};

    use super::*;

    #[derive(Debug, Default)]
    struct WallClock(AtomicI64);

    impl Clock for WallClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
        }
    }

    #[tokio::test]
    async fn a_connection_from_before_a_freeze_is_not_used() {
        let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
        receiver.behaviour("/", Answer::status(200).body(b"{}".to_vec()));
        let clock = Arc::<WallClock>::default();
        let credentials = Credentials::new("none", "none", None, None, "no account");
        let chosen = crate::chosen("us-east-1", credentials, Arc::<WallClock>::clone(&clock));
        let client = aws_sdk_dynamodb::Client::new(&chosen.endpoint_url(receiver.url("/")).build());
        let kept_for = i64::try_from(CONNECTIONS_KEPT_FOR.as_secs()).unwrap();
        let table =
            [(0, 1), (kept_for - 1, 1), (1, 1), (1, 2), (kept_for, 2), (3_600, 3), (0, 3), (-3_600, 4)];
        for (frozen, connections) in table {
            clock.0.fetch_add(frozen, Ordering::SeqCst);
            client.list_tables().send().await.unwrap();
            assert_eq!(receiver.connections(), connections, "after {frozen} seconds");
        }
    }
}
