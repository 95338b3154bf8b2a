//! The webhooks in memory. A write replaces its webhook here, also in the list of its account, before it returns to its
//! caller.
//!
//! A read that began before a write must not bring back what the write replaced. A webhook is not replaced by an older
//! version. A list is kept only if its account has written nothing since the read began. When the cache is full, the
//! account that takes the most memory is forgotten, so that it costs itself and no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::ports::WebhookList;
use statuspulse_core::webhook::Webhook;

/// The cached webhooks.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    by_id: HashMap<WebhookId, Arc<Webhook>>,
    accounts: HashMap<AccountId, OfAccount>,
    bytes: usize,
    /// How often something was forgotten: a version that was replaced is then unknown.
    evictions: u64,
}

#[derive(Debug, Default)]
struct OfAccount {
    list: Option<Arc<WebhookList>>,
    /// How often its webhooks were changed.
    writes: u64,
    bytes: usize,
}

impl Cache {
    fn with<T>(&self, work: impl FnOnce(&mut Cached) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The webhook, or what [`read_webhook`](Self::read_webhook) needs to know.
    pub(crate) fn webhook(&self, id: WebhookId) -> Result<Arc<Webhook>, u64> {
        self.with(|cached| cached.by_id.get(&id).cloned().ok_or(cached.evictions))
    }

    /// The account's list, or what [`read_list`](Self::read_list) needs to know.
    pub(crate) fn list(&self, account: AccountId) -> Result<Arc<WebhookList>, u64> {
        self.with(|cached| match cached.accounts.get(&account) {
            Some(OfAccount { list: Some(list), .. }) => Ok(list.clone()),
            other => Err(other.map_or(0, |other| other.writes)),
        })
    }

    /// Keeps a webhook that was read, unless something was forgotten since the read began.
    pub(crate) fn read_webhook(&self, webhook: &Arc<Webhook>, evictions: u64) {
        self.with(|cached| {
            if cached.evictions == evictions {
                cached.keep(webhook);
                cached.bound();
            }
        });
    }

    /// Keeps a list that was read, unless its account has changed a webhook since the read began.
    pub(crate) fn read_list(&self, account: AccountId, list: &Arc<WebhookList>, writes: u64) {
        self.with(|cached| {
            let of_account = cached.accounts.entry(account).or_default();
            if of_account.writes != writes {
                return;
            }
            of_account.list = Some(list.clone());
            list.readable.iter().for_each(|webhook| cached.keep(webhook));
            cached.bound();
        });
    }

    /// Replaces a webhook that was written.
    pub(crate) fn wrote(&self, webhook: &Arc<Webhook>) {
        self.with(|cached| {
            cached.keep(webhook);
            let of_account = cached.accounts.entry(webhook.account_id).or_default();
            of_account.writes += 1;
            if let Some(list) = &mut of_account.list {
                Arc::make_mut(list).replace(webhook);
            }
            cached.bound();
        });
    }

    /// Forgets a webhook that was removed.
    pub(crate) fn removed(&self, account: AccountId, id: WebhookId) {
        self.with(|cached| {
            let of_account = cached.accounts.entry(account).or_default();
            of_account.writes += 1;
            of_account.list = None;
            cached.forget(id);
        });
    }
}

impl Cached {
    /// Keeps the webhook, unless a newer version is known.
    fn keep(&mut self, webhook: &Arc<Webhook>) {
        if self.by_id.get(&webhook.id).is_some_and(|known| known.version >= webhook.version) {
            return;
        }
        self.forget(webhook.id);
        let bytes = bytes_of(webhook);
        self.bytes += bytes;
        self.accounts.entry(webhook.account_id).or_default().bytes += bytes;
        self.by_id.insert(webhook.id, webhook.clone());
    }

    fn forget(&mut self, id: WebhookId) {
        let Some(webhook) = self.by_id.remove(&id) else { return };
        let bytes = bytes_of(&webhook);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(of_account) = self.accounts.get_mut(&webhook.account_id) {
            of_account.bytes = of_account.bytes.saturating_sub(bytes);
        }
    }

    fn bound(&mut self) {
        while self.bytes > crate::limits::WEBHOOK_CACHE_BYTES {
            let largest = self.accounts.iter_mut().max_by_key(|(_, of_account)| of_account.bytes);
            let Some((account, of_account)) = largest else { return };
            let account = *account;
            self.bytes = self.bytes.saturating_sub(of_account.bytes);
            *of_account = OfAccount { list: None, writes: of_account.writes + 1, bytes: 0 };
            self.by_id.retain(|_, webhook| webhook.account_id != account);
            self.evictions += 1;
        }
    }
}

/// About what a webhook takes in memory.
fn bytes_of(webhook: &Webhook) -> usize {
    let headers = webhook.settings.headers.0.iter().map(|(name, value)| name.len() + value.len());
    crate::limits::WEBHOOK_BYTES + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use statuspulse_core::destination::Destination;
    use statuspulse_core::ports::Random;
    use statuspulse_core::secret::Secret;
    use statuspulse_core::signature::SigningKeys;
    use statuspulse_core::target::EndpointUrl;
    use statuspulse_core::webhook::{Headers, Settings, State};

    use super::*;

    struct NotRandom;

    impl Random for NotRandom {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn webhook(account: u8, id: u8, version: u64, header_bytes: usize) -> Arc<Webhook> {
        let settings = Settings {
            url: EndpointUrl::restore("https://hooks.example.com/in").unwrap(),
            destination: Destination::default(),
            events: vec![],
            monitor_groups: vec![],
            description: None,
            headers: Headers([("X-Large".to_owned(), "x".repeat(header_bytes))].into()),
        };
        let keys = SigningKeys::new(Secret::generate(&NotRandom));
        let (id, account) = (WebhookId::from_bytes([id; 16]), AccountId::from_bytes([account; 16]));
        let new = Webhook::new(id, account, settings, keys, Timestamp::UNIX_EPOCH);
        Arc::new(Webhook { version, ..new })
    }

    fn list_of(webhooks: &[Arc<Webhook>]) -> Arc<WebhookList> {
        Arc::new(WebhookList { readable: webhooks.to_vec(), unreadable: vec![] })
    }

    #[test]
    fn a_write_changes_the_list_of_its_account_and_of_no_other() {
        let (cache, first, second) = (Cache::default(), webhook(1, 1, 0, 0), webhook(1, 3, 0, 0));
        let other = webhook(2, 9, 0, 0);
        for (account, list) in
            [(&first, list_of(&[first.clone(), second])), (&other, list_of(std::slice::from_ref(&other)))]
        {
            let writes = cache.list(account.account_id).unwrap_err();
            cache.read_list(account.account_id, &list, writes);
        }
        let ids = || -> Vec<(u8, u64)> {
            let list = cache.list(first.account_id).unwrap();
            list.readable.iter().map(|one| (one.id.to_bytes()[0], one.version)).collect()
        };
        cache.wrote(&webhook(1, 1, 1, 0));
        assert_eq!(ids(), [(1, 1), (3, 0)]);
        cache.wrote(&webhook(1, 2, 0, 0));
        assert_eq!(ids(), [(1, 1), (2, 0), (3, 0)], "a new one has its place");
        cache.wrote(&Arc::new(Webhook { state: State::Deleted, ..Webhook::clone(&webhook(1, 3, 1, 0)) }));
        assert_eq!(ids(), [(1, 1), (2, 0)], "a deleted one is gone");
        assert_eq!(cache.list(other.account_id).unwrap().readable.len(), 1);
    }

    #[test]
    fn a_read_that_began_before_a_write_brings_nothing_back() {
        let (cache, old) = (Cache::default(), webhook(1, 1, 0, 0));
        let (evictions, writes) =
            (cache.webhook(old.id).unwrap_err(), cache.list(old.account_id).unwrap_err());
        cache.wrote(&webhook(1, 1, 1, 0));
        cache.read_webhook(&old, evictions);
        cache.read_list(old.account_id, &list_of(std::slice::from_ref(&old)), writes);
        assert_eq!(cache.webhook(old.id).unwrap().version, 1);
        assert!(cache.list(old.account_id).is_err(), "the old list is not kept");
        // The same, if the new version has been forgotten in the meantime.
        let evictions = cache.webhook(webhook(1, 8, 0, 0).id).unwrap_err();
        cache.with(|cached| cached.forget(old.id));
        cache.wrote(&webhook(3, 7, 0, crate::limits::WEBHOOK_CACHE_BYTES));
        cache.read_webhook(&old, evictions);
        assert!(cache.webhook(old.id).is_err());
    }

    #[test]
    fn an_account_that_takes_too_much_costs_itself_and_no_other() {
        let (cache, small) = (Cache::default(), webhook(1, 1, 0, 0));
        cache.wrote(&small);
        for id in 2..=100 {
            cache.wrote(&webhook(2, id, 0, crate::limits::WEBHOOK_CACHE_BYTES / 10));
        }
        assert!(cache.webhook(small.id).is_ok());
        let bytes = cache.with(|cached| cached.by_id.values().map(|one| bytes_of(one)).sum::<usize>());
        assert!(bytes <= crate::limits::WEBHOOK_CACHE_BYTES);
        assert_eq!(bytes, cache.with(|cached| cached.bytes));
    }
}
