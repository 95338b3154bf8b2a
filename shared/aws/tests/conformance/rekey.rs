//! The data key is replaced, while two environments write: one looks at the table whenever it may, and the other only when it
//! must.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kms::primitives::Blob;
use jiff::Timestamp;
use statuspulse_aws::{DataKey, Step, Table};
use statuspulse_conformance::{Dice, Stage, Watch};
use statuspulse_core::access::{Account, ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::Actor;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::once::Draw;
use statuspulse_core::ports::{Accounts, Clock, Records, Webhooks};
use statuspulse_core::sealing::{SealedFormat, Sealer, SealingKey};
use statuspulse_core::target::EndpointUrl;
use statuspulse_emulator::Emulator;

use crate::InTable;

const SLACK: &str = "https://hooks.slack.com/services/T0/B0/slackpath";

/// An execution environment.
struct Environment {
    key: DataKey,
    table: Table,
}

impl Environment {
    fn of(place: &InTable) -> Self {
        let kms = aws_sdk_kms::Client::new(&place.configuration());
        let key = DataKey::new(kms, &*place.key, place.dynamodb(), &*place.table, place.clock.clone());
        let table =
            Table::new(place.dynamodb(), &*place.table, key.clone(), place.dice.clone(), place.clock.clone());
        Self { key, table }
    }
}

/// Everything that is sealed in the table: the number of the texts that each of these keys opens, and of all.
async fn opened_by(place: &InTable, keys: &[SealingKey]) -> (Vec<usize>, usize) {
    let pages = place.dynamodb().scan().table_name(&*place.table).into_paginator().items().send();
    let items = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    let (mut opened, mut all) = (vec![0; keys.len()], 0);
    for item in &items {
        for (name, owner) in [("sealed", "W#"), ("slack", "A#"), ("seed", "I#")] {
            let Some(AttributeValue::B(sealed)) = item.get(name) else { continue };
            all += 1;
            let owners = owners(item, owner);
            for (count, key) in opened.iter_mut().zip(keys) {
                let sealer = Sealer::new(key.clone(), SealedFormat::DerivedKeys);
                *count +=
                    usize::from(owners.iter().any(|owner| sealer.unseal(*owner, sealed.as_ref()).is_ok()));
            }
        }
    }
    (opened, all)
}

/// Whom the sealed text of an item may belong to, by its key.
fn owners(item: &std::collections::HashMap<String, AttributeValue>, kind: &str) -> Vec<[u8; 16]> {
    let text = |name: &str| item[name].as_s().unwrap().clone();
    let (pk, sk) = (text("pk"), text("sk"));
    match kind {
        "W#" => [pk.strip_prefix("W#"), sk.strip_prefix("w#")]
            .into_iter()
            .flatten()
            .map(|id| id.parse::<WebhookId>().unwrap().to_bytes())
            .collect(),
        "A#" => vec![pk[2..].parse::<AccountId>().unwrap().to_bytes()],
        _ => vec![u128::from_str_radix(&pk[2..34], 16).unwrap().to_be_bytes()],
    }
}

async fn data_key(place: &InTable, attribute: &str) -> Option<SealingKey> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let item = place.dynamodb().get_item().table_name(&*place.table);
    let item = item.key("pk", text("S#data-key")).key("sk", text("s")).send().await.unwrap().item.unwrap();
    let wrapped = item.get(attribute)?.as_b().unwrap().clone();
    let kms = aws_sdk_kms::Client::new(&place.configuration());
    let opened = kms.decrypt().key_id(&*place.key).ciphertext_blob(Blob::new(wrapped));
    let opened = opened.encryption_context("statuspulse:table", &*place.table).send().await.unwrap();
    Some(SealingKey::new(opened.plaintext.unwrap().as_ref()).unwrap())
}

async fn replace(place: InTable) {
    let stage = Stage::on(Arc::new(place.clone()), place.clock.clone(), place.dice.clone()).await;
    let (first, second) = (Environment::of(&place), Environment::of(&place));
    let dice = place.dice.clone();
    let now = place.clock.now();
    let mut account = Account::new("Rekeyed", now, &*dice).unwrap();
    account.slack = Some(EndpointUrl::restore(SLACK).unwrap());
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, now, &*dice);
    first.table.create_account(&account, &key, &created_account(&account, &key, Actor::OWNER)).await.unwrap();
    let drawn =
        |at: Timestamp| Draw { id: [0x77; 32], fingerprint: [0x77; 32], at, seed: "c2VlZA==".to_owned() };
    first.table.keep_draw(&drawn(now)).await.unwrap();
    let mut kept = vec![];
    let cursor_key = first.key.cursor_key().await.unwrap();
    let old = data_key(&place, "wrapped").await.unwrap();

    let (mut steps, mut sealed) = (vec![], 0);
    loop {
        // Both environments write and read what the other has written, at each step and in between.
        for (own, other) in [(&first, &second), (&second, &first)] {
            let new = stage.webhook(account.id);
            own.table.create_webhook(&new).await.unwrap();
            assert_eq!(other.table.webhook(new.id).await.unwrap().as_deref(), Some(&new));
            kept.push(new);
        }
        let done = first.key.rekey(&*dice).await.unwrap();
        steps.push(done.step);
        sealed += done.sealed;
        if done.step == Step::Done {
            break;
        }
        place.clock.pass(Duration::from_secs(done.again_in_seconds / 2 + 1));
    }
    steps.dedup();
    assert_eq!(steps, [Step::Announced, Step::Switched, Step::Done]);
    assert!(sealed > 10, "{sealed}");

    let new = data_key(&place, "wrapped").await.unwrap();
    for gone in ["next", "old"] {
        assert!(data_key(&place, gone).await.is_none(), "{gone}");
    }
    let (opened, all) = opened_by(&place, &[old.clone(), new]).await;
    assert_eq!(opened[0], 0, "nothing opens with the old key");
    // What a case of the suite has damaged on purpose is not counted.
    assert!(opened[1] > all / 2 && opened[1] >= kept.len() * 2, "{opened:?} of {all}");
    let later = Environment::of(&place);
    for environment in [&first, &second, &later] {
        for webhook in &kept {
            assert_eq!(environment.table.webhook(webhook.id).await.unwrap().as_deref(), Some(webhook));
        }
        let found = environment.table.account(account.id).await.unwrap().unwrap();
        assert_eq!(found.slack.unwrap().as_str(), SLACK);
        assert_eq!(environment.table.keep_draw(&drawn(place.clock.now())).await.unwrap().seed, "c2VlZA==");
        assert_eq!(environment.key.cursor_key().await.unwrap(), cursor_key, "lists go on");
    }
    // The next call begins again.
    assert_eq!(later.key.rekey(&*dice).await.unwrap().step, Step::Announced);
}

pub(crate) fn replaces_the_data_key(emulator: &Emulator) {
    let place = InTable {
        endpoint: emulator.endpoint.as_str().into(),
        table: emulator.output("TableName").into(),
        key: emulator.output("KmsKeyArn").into(),
        clock: Arc::new(Watch::at("2026-11-24T12:00:00Z".parse().unwrap())),
        dice: Arc::new(Dice::seeded(77)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(replace(place));
}
