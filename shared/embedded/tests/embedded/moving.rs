//! Exports of a folder, and imports of them: interrupted after any line, and refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use statuspulse_core::access::{Account, ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::Actor;
use statuspulse_core::delivery::{Delivery, State, Timing};
use statuspulse_core::event::Event;
use statuspulse_core::ids::{DeliveryId, WebhookId};
use statuspulse_core::message::Message;
use statuspulse_core::moving::import::{Importer, Part, Pass, Taken};
use statuspulse_core::moving::survey::Survey;
use statuspulse_core::moving::{Opener, Recipient};
use statuspulse_core::outbox::Outbox;
use statuspulse_core::ports::arrivals::Arrivals;
use statuspulse_core::ports::{Accounts, Deliveries, Records, Webhooks};
use statuspulse_core::webhook::{self, Pause, PauseReason, Webhook};
use statuspulse_embedded::{Embedded, ExportError, OpenError, Purpose, export};
use tempfile::TempDir;

use crate::stage::Stage;

/// What was in the folder that was exported, and the lines of the file.
struct Exported {
    account: Account,
    key: ApiKey,
    webhook: Webhook,
    deliveries: Vec<Delivery>,
    lines: Vec<String>,
}

/// A folder to import into, which has its key before the export is made.
struct Target(TempDir);

impl Target {
    fn new() -> Self {
        let stage = Stage::new();
        let Stage { store, folder, .. } = stage;
        drop(store);
        Self(folder)
    }

    fn importer(&self, stage: &Stage) -> (Arc<Embedded>, Importer) {
        let store = Embedded::open(self.0.path(), Purpose::Move, stage.clock.clone()).unwrap();
        let ports = || store.clone();
        let outbox = Outbox::new(ports(), ports(), ports(), ports(), stage.clock.clone());
        let opener = store.opener();
        let (arrivals, accounts, clock) = (store.clone(), store.clone(), stage.clock.clone());
        (store, Importer { arrivals, accounts, outbox, opener, clock })
    }

    fn recipient(&self, stage: &Stage) -> Recipient {
        self.importer(stage).0.opener().recipient().clone()
    }
}

/// Exports a folder with deliveries in all states that are not finished, and one that is.
async fn exported(for_whom: &Recipient) -> (Stage, Exported) {
    let stage = Stage::new();
    let account = stage.account("acme");
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), &*stage.dice);
    let entry = created_account(&account, &key, Actor::OWNER);
    stage.store.create_account(&account, &key, &entry).await.unwrap();
    let pause =
        Pause { reason: PauseReason::Manual, since: stage.now(), last_error: None, failing_since: None };
    let webhook = Webhook { state: webhook::State::Paused(pause), ..stage.webhook(account.id) };
    stage.store.create_webhook(&webhook).await.unwrap();
    let retry = State::Scheduled { number: 3, at: stage.now(), timing: Timing::OnTime };
    let mut deliveries = vec![];
    for (incident, state) in
        [("INC-1", State::Held), ("INC-2", retry), ("INC-2", State::Waiting), ("INC-3", State::Delivered)]
    {
        stage.pass(Duration::from_millis(1));
        let event = Event { account_id: account.id, ..stage.event(incident) };
        let accepted = stage.accepted_event(&event, webhook.id).await;
        deliveries.push(stage.saved(accepted, state).await.delivery);
    }
    let Stage { store, folder, clock, dice } = stage;
    drop(store);
    let file = folder.path().join("moved");
    let mut told = 0;
    let end = export(folder.path(), for_whom, &file, clock.clone(), &mut |lines| told = lines).unwrap();
    assert_eq!((end.events, end.deliveries, end.webhooks, end.keys), (4, 4, 1, 1));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(told, lines.len() as u64 - 2, "all but the header and the end");
    let store = Embedded::open(folder.path(), Purpose::Move, clock.clone()).unwrap();
    let stage = Stage { store, folder, clock, dice };
    (stage, Exported { account, key, webhook, deliveries, lines })
}

impl Exported {
    fn part(&self, pass: Pass, lines: std::ops::Range<usize>) -> Part {
        let from = lines.start as u64 + 1;
        Part { pass, header: self.lines[0].clone(), from, lines: self.lines[lines].to_vec() }
    }

    async fn done(&self, importer: &Importer, pass: Pass, lines: std::ops::Range<usize>) {
        let taken = importer.take(&self.part(pass, lines)).await.unwrap();
        assert!(matches!(taken, Taken::Done { .. }), "{taken:?}");
    }

    async fn all_done(&self, importer: &Importer) {
        for pass in [Pass::Check, Pass::Take, Pass::Start] {
            self.done(importer, pass, 1..self.lines.len()).await;
        }
    }

    async fn has_arrived(&self, stage: &Stage, new: &Target) {
        {
            let store = Embedded::open(new.0.path(), Purpose::Serve, stage.clock.clone()).unwrap();
            assert_eq!(store.arriving(self.account.id).await.unwrap(), None);
            assert_eq!(store.key_by_hash(&self.key.hash).await.unwrap().unwrap(), self.key);
            let webhook = store.webhook(self.webhook.id).await.unwrap().unwrap();
            assert_eq!(
                (webhook.id, webhook.version, &webhook.keys),
                (self.webhook.id, 0, &self.webhook.keys)
            );
            for delivery in &self.deliveries {
                let found = store.delivery(&[self.webhook.id], delivery.id).await.unwrap().unwrap();
                assert_eq!(found, *delivery);
            }
            let log = store.audit_log(self.account.id, None, None, 10).await.unwrap().items;
            let actions: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
            assert_eq!(actions, ["account.imported", "account.created"]);
        }
        assert_eq!(messages_in(stage, new).await, self.owed());
    }

    /// The deliveries that a worker is to look at.
    fn owed(&self) -> BTreeSet<DeliveryId> {
        let is_owed =
            |delivery: &&Delivery| matches!(delivery.state, State::Scheduled { .. } | State::Waiting);
        self.deliveries.iter().filter(is_owed).map(|delivery| delivery.id).collect()
    }
}

async fn messages_in(stage: &Stage, new: &Target) -> BTreeSet<DeliveryId> {
    let store = Embedded::open(new.0.path(), Purpose::Serve, stage.clock.clone()).unwrap();
    store.make_due_ready().await.unwrap();
    let mut all = BTreeSet::new();
    while let Some(received) =
        statuspulse_embedded::queues().into_iter().find_map(|queue| store.try_receive(queue).unwrap())
    {
        match &received.message {
            Message::Attempt(message) => all.insert(message.delivery_id),
            other => panic!("nothing calls for {other:?}"),
        };
        received.done();
    }
    all
}

#[tokio::test]
async fn an_import_that_stops_after_any_line_of_any_pass_goes_on() {
    let first = Target::new();
    let lines = exported(&first.recipient(&Stage::new())).await.1.lines.len();
    for pass in [Pass::Take, Pass::Start] {
        for cut in 1..=lines {
            let new = Target::new();
            let (stage, exported) = exported(&new.recipient(&Stage::new())).await;
            {
                let (_store, importer) = new.importer(&stage);
                if pass == Pass::Start {
                    exported.done(&importer, Pass::Take, 1..lines).await;
                }
                exported.done(&importer, pass, 1..cut).await;
            }
            if pass == Pass::Take {
                assert!(messages_in(&stage, &new).await.is_empty(), "nothing starts before all is there");
            }
            let (store, importer) = new.importer(&stage);
            if cut < lines || pass == Pass::Take {
                exported.all_done(&importer).await;
            }
            drop((store, importer));
            exported.has_arrived(&stage, &new).await;
        }
    }
}

#[tokio::test]
async fn what_was_done_since_the_import_is_not_undone_by_another_one() {
    let new = Target::new();
    let (stage, exported) = exported(&new.recipient(&Stage::new())).await;
    let (store, importer) = new.importer(&stage);
    exported.done(&importer, Pass::Take, 1..exported.lines.len()).await;
    let retried = &exported.deliveries[1];
    let delivered =
        store.save_delivery(&retried.clone().with_state(State::Delivered)).await.unwrap().unwrap();
    exported.all_done(&importer).await;
    let found = store.delivery(&[exported.webhook.id], retried.id).await.unwrap();
    assert_eq!(found, Some(delivered.delivery));
}

async fn why(importer: &Importer, part: &Part) -> (u64, String) {
    match importer.take(part).await.unwrap() {
        Taken::Refused { line, why } => (line, why),
        Taken::Done { .. } => panic!("it is refused"),
    }
}

#[tokio::test]
async fn what_is_there_already_and_what_cannot_be_read_is_refused_before_anything_is_written() {
    let new = Target::new();
    let (stage, exported) = exported(&new.recipient(&Stage::new())).await;
    let all = 1..exported.lines.len();
    let (store, importer) = new.importer(&stage);

    let other = Importer { opener: Opener::of_key(&[9; 32]), ..importer.clone() };
    let (line, words) = why(&other, &exported.part(Pass::Check, all.clone())).await;
    assert!(line == 1 && words.contains("was sealed for"), "{words}");

    for (at, text) in exported.lines.iter().enumerate().skip(1) {
        let cut = text[..text.len() - 1].to_owned();
        let broken =
            [cut, "{}".to_owned(), "{\"later\":{}}".to_owned(), text.replace("\"id\":\"", "\"id\":\"x")];
        for broken in broken.into_iter().filter(|broken| broken != text) {
            let mut part = exported.part(Pass::Check, all.clone());
            part.lines[at - 1] = broken;
            assert_eq!(why(&importer, &part).await.0, at as u64 + 1);
        }
    }
    let webhook_at = exported.lines.iter().position(|line| line.starts_with("{\"webhook\"")).unwrap();
    let mut part = exported.part(Pass::Check, all.clone());
    let moved = WebhookId::from_bytes([3; 16]).to_string();
    part.lines[webhook_at - 1] = part.lines[webhook_at - 1].replace(&exported.webhook.id.to_string(), &moved);
    let (_, words) = why(&importer, &part).await;
    assert!(words.contains("cannot be opened"), "secrets are bound to their webhook: {words}");
    assert!(store.account(exported.account.id).await.unwrap().is_none(), "nothing was written");

    // A line whose account does not arrive is not taken.
    let events = exported.lines.iter().position(|line| line.starts_with("{\"event\"")).unwrap();
    let (line, words) = why(&importer, &exported.part(Pass::Take, events..events + 1)).await;
    assert!(line == events as u64 + 1 && words.contains("is not arriving"), "{words}");

    exported.all_done(&importer).await;
    for pass in [Pass::Check, Pass::Take] {
        let (line, words) = why(&importer, &exported.part(pass, all.clone())).await;
        assert!(line == 2 && words.contains("is there already"), "{words}");
    }
    // A key that another account has.
    let other = Target::new();
    let (store, importer) = other.importer_with(&stage, &importer);
    let (key, _) = ApiKey::generate(None, Role::Operator, None, stage.now(), &*stage.dice);
    store.create_key(&ApiKey { hash: exported.key.hash, ..key }, None).await.unwrap();
    let (_, words) = why(&importer, &exported.part(Pass::Check, all)).await;
    assert!(words.contains("the key") && words.contains("is there already"), "{words}");
}

impl Target {
    /// An importer into this folder that opens what the other one opens.
    fn importer_with(&self, stage: &Stage, other: &Importer) -> (Arc<Embedded>, Importer) {
        let (store, importer) = self.importer(stage);
        (store, Importer { opener: other.opener.clone(), ..importer })
    }
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_found_before_it_is_imported() {
    let new = Target::new();
    let lines = exported(&new.recipient(&Stage::new())).await.1.lines;
    let survey = |lines: &[String]| {
        let mut survey = Survey::default();
        lines.iter().try_for_each(|line| survey.see(line)).and_then(|()| survey.finish())
    };
    assert_eq!(survey(&lines).unwrap().deliveries, 4);
    for cut in 0..lines.len() {
        assert!(survey(&lines[..cut]).is_err(), "without everything after line {cut}");
        let mut without = lines.clone();
        without.remove(cut);
        assert!(survey(&without).is_err(), "without line {}", cut + 1);
        let mut twice = lines.clone();
        twice.insert(cut, lines[cut].clone());
        assert!(survey(&twice).is_err(), "line {} twice", cut + 1);
    }
}

#[tokio::test]
async fn an_exported_folder_is_not_served_and_a_served_one_is_not_exported() {
    let new = Target::new();
    let recipient = new.recipient(&Stage::new());
    let serving = Stage::new();
    let to = |folder: &std::path::Path, file: &std::path::Path| {
        export(folder, &recipient, file, serving.clock.clone(), &mut |_| {})
    };
    let file = serving.path().join("moved");
    let refused = to(serving.path(), &file).unwrap_err();
    assert!(matches!(refused, ExportError::Folder(OpenError::InUse(_))), "{refused}");
    let nowhere = to(&serving.path().join("nowhere"), &file).unwrap_err();
    assert!(matches!(nowhere, ExportError::NoDatabase(_)), "{nowhere}");
    assert!(!file.exists());

    let (stage, _) = exported(&recipient).await;
    let Stage { store, folder, clock, .. } = stage;
    drop(store);
    let moved = folder.path().join("moved");
    let again = to(folder.path(), &moved).unwrap_err();
    assert!(matches!(again, ExportError::File(_)), "the file is not overwritten: {again}");
    let served = Embedded::open(folder.path(), Purpose::Serve, clock.clone()).unwrap_err();
    assert!(matches!(served, OpenError::Exported(_)), "{served}");
    std::fs::remove_file(folder.path().join("exported")).unwrap();
    Embedded::open(folder.path(), Purpose::Serve, clock).unwrap();
}
