//! Replaces the data key, and seals everything anew, while all functions run. Each call does the next step, and can be
//! repeated whatever became of the last one.
//!
//! 1. A next key is announced. From the time at which every environment has read it, all can open what it seals.
//! 2. The next key seals. From the time at which every environment has read that, and every call has ended that had not,
//!    nothing more is sealed with the old key.
//! 3. Everything that the old key has sealed is sealed anew. Then the old key is deleted.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use statuspulse_core::ports::{PortResult, Random, Unavailable};
use statuspulse_core::sealing::{SealedFormat, Sealer};

use super::{CURSORS, DataKey};
use crate::dynamodb::item::{Item, Read, binary, time};
use crate::dynamodb::keys::{Key, PK, SK, owner_of_sealed};
use crate::error::{failed, unreadable};
use crate::limits;

const DOING: &str = "replacing the data key";
/// The attributes that hold sealed texts.
const SEALED: [&str; 3] = ["sealed", "slack", "seed"];

/// What a call has done, and when the next one has something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// The step that the replacement is at.
    pub step: Step,
    /// Secrets that this call has sealed anew.
    pub sealed: u64,
    /// In how many seconds the next call goes on.
    pub again_in_seconds: u64,
}

/// The step that a replacement is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All environments get to know the next key.
    Announced,
    /// All environments begin to seal with it.
    Switched,
    /// What the old key has sealed is sealed anew.
    Sealing,
    /// The old key opens nothing, and is deleted.
    Done,
}

impl Step {
    /// The name in an answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Switched => "switched",
            Self::Sealing => "sealing",
            Self::Done => "done",
        }
    }
}

impl DataKey {
    /// Does the next step of a replacement, or begins one. A call ends within some seconds.
    pub async fn rekey(&self, random: &dyn Random) -> PortResult<Rekeyed> {
        let absent = || Unavailable { doing: DOING, source: "the table has no data key".into() };
        let item = self.item().await?.ok_or_else(absent)?;
        let since = item.maybe_time("since").map_err(unreadable(DOING))?;
        let lasts = |long: Duration| {
            let passed = since.map_or(long, |since| self.wall().duration_since(since).unsigned_abs());
            long.saturating_sub(passed)
        };
        if item.contains_key("next") {
            return match lasts(limits::DATA_KEY_KNOWN_AFTER) {
                Duration::ZERO => self.switch(&item, random).await,
                left => Ok(at(Step::Announced, left)),
            };
        }
        if item.contains_key("old") {
            return match lasts(limits::OLD_KEY_UNUSED_AFTER) {
                Duration::ZERO => self.seal_anew(item, random).await,
                left => Ok(at(Step::Switched, left)),
            };
        }
        self.announce(&item).await
    }

    async fn announce(&self, item: &Item) -> PortResult<Rekeyed> {
        let next = self.generated(DOING).await?;
        let values = [(":next", binary(next)), (":since", time(self.wall())), (":wrapped", wrapped(item)?)];
        let condition = "#wrapped = :wrapped AND attribute_not_exists(#next) AND attribute_not_exists(#old)";
        self.change("SET #next = :next, #since = :since", condition, values.into()).await?;
        Ok(at(Step::Announced, limits::DATA_KEY_KNOWN_AFTER))
    }

    async fn switch(&self, item: &Item, random: &dyn Random) -> PortResult<Rekeyed> {
        let next = item.bytes("next").map_err(unreadable(DOING))?;
        let sealer = Sealer::new(self.unwrap(next).await?, SealedFormat::DerivedKeys);
        // Lists that are being read go on.
        let cursors =
            sealer.seal(CURSORS, &STANDARD.encode(self.open(item.clone()).await?.cursor_key), random);
        let values = [
            (":next", binary(next)),
            (":wrapped", wrapped(item)?),
            (":since", time(self.wall())),
            (":yes", AttributeValue::Bool(true)),
            (":cursors", binary(cursors)),
        ];
        let update = "SET #wrapped = :next, #old = :wrapped, #since = :since, #derived = :yes, #cursors = :cursors \
                      REMOVE #next, #after";
        self.change(update, "#next = :next AND #wrapped = :wrapped", values.into()).await?;
        Ok(at(Step::Switched, limits::OLD_KEY_UNUSED_AFTER))
    }

    /// Seals anew for some seconds.
    async fn seal_anew(&self, item: Item, random: &dyn Random) -> PortResult<Rekeyed> {
        let own = [(":wrapped", wrapped(&item)?)];
        let mut after = match item.get("after") {
            Some(AttributeValue::M(key)) => Some(key.clone()),
            _ => None,
        };
        let sealer = self.open(item).await?.sealer;
        let (until, mut sealed) = (end(self.wall()), 0);
        loop {
            let (some, last) = self.seal_page(&sealer, after.take(), random).await?;
            sealed += some;
            let Some(last) = last else { break };
            if self.wall() >= until {
                let values = own.iter().cloned().chain([(":after", AttributeValue::M(last))]).collect();
                self.change("SET #after = :after", "#wrapped = :wrapped", values).await?;
                return Ok(Rekeyed { sealed, ..at(Step::Sealing, Duration::ZERO) });
            }
            after = Some(last);
        }
        self.change("REMOVE #old, #since, #after", "#wrapped = :wrapped", own.into()).await?;
        Ok(Rekeyed { sealed, ..at(Step::Done, Duration::ZERO) })
    }

    /// Seals anew what is in a page of the table. Returns how many secrets these were, and where the next page begins.
    async fn seal_page(
        &self,
        sealer: &Sealer,
        after: Option<Item>,
        random: &dyn Random,
    ) -> PortResult<(u64, Option<Item>)> {
        let has_one = SEALED.map(|name| format!("attribute_exists(#{name})")).join(" OR ");
        let mut request = self
            .0
            .dynamodb
            .scan()
            .table_name(&self.0.table)
            .consistent_read(true)
            .projection_expression(format!("pk, sk, {}", SEALED.map(|name| format!("#{name}")).join(", ")))
            .filter_expression(has_one)
            .set_exclusive_start_key(after);
        for name in SEALED {
            request = request.expression_attribute_names(format!("#{name}"), name);
        }
        let page = request.send().await.map_err(failed(DOING))?;
        let mut sealed = 0;
        for item in page.items.unwrap_or_default() {
            for name in SEALED {
                sealed += u64::from(self.seal_attribute(sealer, &item, name, random).await?);
            }
        }
        Ok((sealed, page.last_evaluated_key))
    }

    /// Returns whether it has sealed something. What was written meanwhile is sealed with the new key.
    async fn seal_attribute(
        &self,
        sealer: &Sealer,
        item: &Item,
        name: &'static str,
        random: &dyn Random,
    ) -> PortResult<bool> {
        let Some(old) = item.maybe_bytes(name) else { return Ok(false) };
        let Some(owner) = owner_of_sealed(item) else { return Ok(false) };
        let new = match sealer.reseal(owner, old, random) {
            Ok(None) => return Ok(false),
            Ok(Some(new)) => new,
            Err(error) => {
                // It could not be read before either.
                tracing::error!(attribute = name, %error, "a secret is left as it is");
                return Ok(false);
            }
        };
        let key = [PK, SK].map(|name| (name.to_owned(), item.get(name).cloned()));
        let key = key.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let update = self.0.dynamodb.update_item().table_name(&self.0.table).set_key(Some(key));
        let update = update
            .update_expression("SET #sealed = :new")
            .condition_expression("#sealed = :old")
            .expression_attribute_names("#sealed", name)
            .expression_attribute_values(":new", binary(new))
            .expression_attribute_values(":old", binary(old));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(failed(DOING)(error)),
        }
    }

    /// Changes the item of the key. Fails if another call did so.
    async fn change(
        &self,
        update: &str,
        condition: &str,
        values: HashMap<&'static str, AttributeValue>,
    ) -> PortResult<()> {
        let mut request = self
            .0
            .dynamodb
            .update_item()
            .table_name(&self.0.table)
            .set_key(Some(Key::Sealing.item()))
            .update_expression(update)
            .condition_expression(condition);
        for name in ["wrapped", "derived", "next", "old", "since", "after", "cursors"] {
            let placeholder = format!("#{name}");
            if update.contains(&placeholder) || condition.contains(&placeholder) {
                request = request.expression_attribute_names(placeholder, name);
            }
        }
        for (name, value) in values {
            request = request.expression_attribute_values(name, value);
        }
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_refused(&error) => {
                Err(Unavailable { doing: DOING, source: "another call does so, too; call again".into() })
            }
            Err(error) => Err(failed(DOING)(error)),
        }
    }
}

fn is_refused<R>(error: &SdkError<aws_sdk_dynamodb::operation::update_item::UpdateItemError, R>) -> bool {
    error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception())
}

fn wrapped(item: &Item) -> PortResult<AttributeValue> {
    Ok(binary(item.bytes("wrapped").map_err(unreadable(DOING))?))
}

fn end(now: Timestamp) -> Timestamp {
    now.checked_add(limits::REKEY_FOR).unwrap_or(now)
}

fn at(step: Step, wait: Duration) -> Rekeyed {
    Rekeyed { step, sealed: 0, again_in_seconds: wait.as_secs() }
}
