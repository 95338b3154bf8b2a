//! Runs the conformance suite on the emulator's DynamoDB, with the real SDK clients.

#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

#[path = "conformance/rekey.rs"]
mod rekey;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use futures_util::FutureExt;
use statuspulse_aws::{DataKey, Table};
use statuspulse_conformance::{Dice, Place, Stage, Store, Watch};
use statuspulse_core::check::Checked;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_emulator::{Emulator, Options};

/// One table, shared by all cases. Each case has its own ids.
#[derive(Clone)]
struct InTable {
    endpoint: Arc<str>,
    table: Arc<str>,
    key: Arc<str>,
    clock: Arc<Watch>,
    dice: Arc<Dice>,
}

impl InTable {
    /// Each case needs its own clients, because its runtime and the connections end with it.
    fn configuration(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "the emulator's root user");
        let chosen = statuspulse_aws::chosen("us-east-1", credentials, self.clock.clone());
        chosen.endpoint_url(&*self.endpoint).build()
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.configuration())
    }
}

#[async_trait]
impl Place for InTable {
    async fn open(&self) -> Arc<dyn Store> {
        let dynamodb = self.dynamodb();
        let kms = aws_sdk_kms::Client::new(&self.configuration());
        let key = DataKey::new(kms, &*self.key, dynamodb.clone(), &*self.table, self.clock.clone());
        key.open_or_make().await.unwrap();
        Arc::new(Table::new(dynamodb, &*self.table, key, self.dice.clone(), self.clock.clone()))
    }

    async fn beside(&self) -> Arc<dyn Place> {
        Arc::new(self.clone())
    }

    async fn damage(&self, account: AccountId, id: WebhookId) {
        let text = |text: String| AttributeValue::S(text);
        for (pk, sk) in [(format!("W#{id}"), "w".to_owned()), (format!("A#{account}"), format!("w#{id}"))] {
            let update = self.dynamodb().update_item().table_name(&*self.table);
            let update =
                update.key("pk", text(pk)).key("sk", text(sk)).condition_expression("attribute_exists(pk)");
            let update = update.update_expression("SET #record = :damaged");
            let update = update.expression_attribute_names("#record", "record");
            update.expression_attribute_values(":damaged", text("{}".to_owned())).send().await.unwrap();
        }
    }
}

fn main() -> ExitCode {
    let emulator = match Emulator::start(&Options::default()) {
        Ok(emulator) => emulator,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let seeds = Arc::new(AtomicU64::new(1));
    let table: Arc<str> = emulator.output("TableName").into();
    let key: Arc<str> = emulator.output("KmsKeyArn").into();
    let endpoint: Arc<str> = emulator.endpoint.as_str().into();
    let stage = move || {
        let (seeds, endpoint, table, key) = (seeds.clone(), endpoint.clone(), table.clone(), key.clone());
        async move {
            let clock = Arc::new(Watch::at("2026-11-24T12:00:00Z".parse().unwrap()));
            let dice = Arc::new(Dice::seeded(seeds.fetch_add(1, Ordering::Relaxed) << 32));
            let place = InTable { endpoint, table, key, clock: clock.clone(), dice: dice.clone() };
            Stage::on(Arc::new(place), clock, dice).await
        }
        .boxed()
    };
    let conclusion = statuspulse_conformance::run(stage);
    let longest = longest_list(&emulator);
    remembers_where_a_check_stopped(&emulator);
    rekey::replaces_the_data_key(&emulator);
    drop(emulator);
    if longest > LIST_MAX {
        eprintln!("an item of the table has a list of {longest} places: each append pays for all of them");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Only on AWS does the check of all webhooks have too little time for them.
fn remembers_where_a_check_stopped(emulator: &Emulator) {
    let clock = Arc::new(Watch::at("2026-11-24T12:00:00Z".parse().unwrap()));
    let place = InTable {
        endpoint: emulator.endpoint.as_str().into(),
        table: emulator.output("TableName").into(),
        key: emulator.output("KmsKeyArn").into(),
        clock: clock.clone(),
        dice: Arc::new(Dice::seeded(1)),
    };
    let key = DataKey::new(
        aws_sdk_kms::Client::new(&place.configuration()),
        &*place.key,
        place.dynamodb(),
        &*place.table,
        clock.clone(),
    );
    let table = Table::new(place.dynamodb(), &*place.table, key, place.dice.clone(), clock);
    let account = AccountId::from_bytes([1; 16]);
    let places = [2, 3].map(|n| Some(Checked { account, webhook: WebhookId::from_bytes([n; 16]) }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(table.stopped_at().await.unwrap(), None);
        for stopped in [places[0], places[1], None] {
            table.stop_at(stopped).await.unwrap();
            assert_eq!(table.stopped_at().await.unwrap(), stopped);
        }
    });
}

/// The most places that an item may have, whatever the cases did.
const LIST_MAX: usize = 100;

/// The length of the longest list in the items of the table.
fn longest_list(emulator: &Emulator) -> usize {
    let credentials = Credentials::new("test", "test", None, None, "the emulator's root user");
    let clock = Arc::new(Watch::at("2026-11-24T12:00:00Z".parse().unwrap()));
    let chosen = statuspulse_aws::chosen("us-east-1", credentials, clock).endpoint_url(&emulator.endpoint);
    let client = aws_sdk_dynamodb::Client::new(&chosen.build());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pages = client.scan().table_name(emulator.output("TableName")).into_paginator().items().send();
    let items = runtime.block_on(pages.collect::<Result<Vec<_>, _>>()).unwrap();
    let lists = items.iter().flat_map(|item| item.values()).filter_map(|value| value.as_l().ok());
    lists.map(Vec::len).max().unwrap_or(0)
}
