//! The table, and the calls that the other modules make.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, KeysAndAttributes, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use statuspulse_core::figures::Pending;
use statuspulse_core::ports::{Clock, Conflict, PortResult, Random, Unavailable};
use statuspulse_core::record::Unreadable;

use super::item::{Item, Read};
use super::key_cache::KeyCache;
use super::keys::{Key, PK, SK};
use crate::error::{failed, unreadable};
use crate::sealing::DataKey;

/// The store in one DynamoDB table: accounts, webhooks, events and deliveries.
#[derive(Clone)]
pub struct Table {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) data_key: DataKey,
    pub(super) random: Arc<dyn Random>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) key_cache: KeyCache,
    pub(super) figures: Arc<Pending>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The result of a conditional write.
#[derive(Debug)]
pub(super) enum Written {
    /// It was written. Contains the new item.
    Done(Item),
    /// The condition is false. Contains the current item, which is empty if there is none.
    Refused(Item),
}

impl Table {
    /// Uses the table with this name. `data_key` seals the secrets in it.
    pub fn new(
        client: Client,
        name: impl Into<String>,
        data_key: DataKey,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client,
            name: name.into(),
            data_key,
            random,
            clock,
            key_cache: KeyCache::default(),
            figures: Arc::default(),
        }
    }

    /// A unique token for one call: 16 hex digits.
    pub(super) fn token(&self) -> String {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        format!("{:016x}", u64::from_be_bytes(bytes))
    }

    /// Reads an item, strongly consistent.
    pub(super) async fn get(&self, key: Key<'_>, doing: &'static str) -> PortResult<Option<Item>> {
        let request = self.client.get_item().table_name(&self.name).set_key(Some(key.item()));
        let found = request.consistent_read(true).send().await.map_err(failed(doing))?;
        Ok(found.item)
    }

    /// Reads the items with these keys, strongly consistent and in no particular order. Missing items are left out.
    pub(super) async fn get_all(&self, keys: Vec<Item>, doing: &'static str) -> PortResult<Vec<Item>> {
        let calls = keys
            .chunks(crate::limits::BATCH_GET)
            .map(|keys| self.get_batch(keys.to_vec(), doing).boxed())
            .collect();
        Ok(side_by_side(calls).await?.into_iter().flatten().collect())
    }

    async fn get_batch(&self, keys: Vec<Item>, doing: &'static str) -> PortResult<Vec<Item>> {
        let mut items = vec![];
        let mut left = keys;
        for again in 0..crate::limits::BATCH_GET_TRIES {
            if left.is_empty() {
                return Ok(items);
            }
            pause_before(again).await;
            let keys = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build();
            let request =
                self.client.batch_get_item().request_items(&self.name, keys.map_err(failed(doing))?);
            let answer = request.send().await.map_err(failed(doing))?;
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            left = answer
                .unprocessed_keys
                .and_then(|mut left| left.remove(&self.name))
                .map_or_else(Vec::new, |left| left.keys);
        }
        Err(Unavailable { doing, source: "the table is throttled".into() })
    }

    /// Writes a new item. If it exists already, returns the stored one.
    pub(super) async fn put_if_new(&self, item: Item, doing: &'static str) -> PortResult<Option<Item>> {
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(None),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                PutItemError::ConditionalCheckFailedException(refused) => {
                    Ok(Some(refused.item.unwrap_or_default()))
                }
                other => Err(failed(doing)(other)),
            },
            Err(error) => Err(failed(doing)(error)),
        }
    }

    /// Changes an item on a condition. In the expressions, `#name` is the attribute `name`.
    pub(super) async fn update(&self, change: Change<'_>, doing: &'static str) -> PortResult<Written> {
        let Change { key, update, condition, values } = change;
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .set_expression_attribute_names(Some(names_in([update.as_str(), &condition])))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for again in 0..crate::limits::CONFLICT_TRIES {
            pause_before(again).await;
            match request.clone().send().await {
                Ok(answer) => return Ok(Written::Done(answer.attributes.unwrap_or_default())),
                Err(SdkError::ServiceError(error)) => match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(refused) => {
                        return Ok(Written::Refused(refused.item.unwrap_or_default()));
                    }
                    // A transaction locks the item for a few milliseconds. The SDK does not retry this.
                    UpdateItemError::TransactionConflictException(_) => {}
                    other => return Err(failed(doing)(other)),
                },
                Err(error) => return Err(failed(doing)(error)),
            }
        }
        Err(Unavailable { doing, source: "too many conflicts with transactions".into() })
    }

    /// Writes all or nothing. A false condition and a conflict with another transaction are both a [`Conflict`].
    pub(super) async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
        doing: &'static str,
    ) -> PortResult<Result<(), Conflict>> {
        let request = self.client.transact_write_items().set_transact_items(Some(writes));
        match request.client_request_token(self.token()).send().await {
            Ok(_) => Ok(Ok(())),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    let reasons = cancelled.cancellation_reasons();
                    let codes = || reasons.iter().filter_map(|reason| reason.code());
                    if codes()
                        .all(|code| matches!(code, "None" | "ConditionalCheckFailed" | "TransactionConflict"))
                    {
                        Ok(Err(Conflict))
                    } else {
                        let codes = codes().collect::<Vec<_>>().join(", ");
                        Err(Unavailable { doing, source: format!("transaction cancelled: {codes}").into() })
                    }
                }
                other => Err(failed(doing)(other)),
            },
            Err(error) => Err(failed(doing)(error)),
        }
    }

    /// Returns the items of a partition between two sort keys, both included, in order; at most `limit`.
    pub(super) async fn range(
        &self,
        partition: String,
        from: String,
        to: String,
        limit: usize,
        doing: &'static str,
    ) -> PortResult<Vec<Item>> {
        self.range_in(Order::Up, partition, (from, to), limit, doing).await
    }

    /// The same in this order.
    pub(super) async fn range_in(
        &self,
        order: Order,
        partition: String,
        (from, to): (String, String),
        limit: usize,
        doing: &'static str,
    ) -> PortResult<Vec<Item>> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .scan_index_forward(order == Order::Up)
            .key_condition_expression(format!("{PK} = :pk AND {SK} BETWEEN :from AND :to"))
            .expression_attribute_values(":pk", AttributeValue::S(partition))
            .expression_attribute_values(":from", AttributeValue::S(from))
            .expression_attribute_values(":to", AttributeValue::S(to))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        Ok(request.send().await.map_err(failed(doing))?.items.unwrap_or_default())
    }

    /// Returns all items of a partition whose sort key has this prefix, in order.
    pub(super) async fn all_with_prefix(
        &self,
        partition: String,
        prefix: &str,
        doing: &'static str,
    ) -> PortResult<Vec<Item>> {
        let pages = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression(format!("{PK} = :pk AND begins_with({SK}, :prefix)"))
            .expression_attribute_values(":pk", AttributeValue::S(partition))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            .into_paginator()
            .items()
            .send();
        pages.collect::<Result<Vec<Item>, _>>().await.map_err(failed(doing))
    }

    pub(super) fn put_write(
        &self,
        key: Key<'_>,
        item: Item,
        condition: Condition<'_>,
    ) -> PortResult<TransactWriteItem> {
        let mut item = item;
        item.extend(key.item());
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item))
            .set_expression_attribute_names(condition.names())
            .set_condition_expression(condition.expression())
            .set_expression_attribute_values(condition.values)
            .build();
        Ok(TransactWriteItem::builder().put(put.map_err(failed("writing"))?).build())
    }

    pub(super) fn delete_write(&self, key: Key<'_>) -> PortResult<TransactWriteItem> {
        let delete = Delete::builder().table_name(&self.name).set_key(Some(key.item())).build();
        Ok(TransactWriteItem::builder().delete(delete.map_err(failed("writing"))?).build())
    }

    pub(super) fn update_write(&self, change: Change<'_>) -> PortResult<TransactWriteItem> {
        let Change { key, update, condition, values } = change;
        let update = Update::builder()
            .table_name(&self.name)
            .set_key(Some(key.item()))
            .set_expression_attribute_names(Some(names_in([update.as_str(), &condition])))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()))
            .build();
        Ok(TransactWriteItem::builder().update(update.map_err(failed("writing"))?).build())
    }
}

/// A change of one item. Each `#name` in the expressions is the attribute of that name, because many names are reserved
/// words in DynamoDB's expressions.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) key: Key<'a>,
    pub(super) update: String,
    pub(super) condition: Cow<'a, str>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// The order of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Up,
    Down,
}

/// The condition of a put.
#[derive(Debug, Default)]
pub(super) struct Condition<'a> {
    pub(super) text: Option<&'a str>,
    pub(super) values: Option<HashMap<String, AttributeValue>>,
}

impl Condition<'_> {
    /// The item does not exist yet.
    pub(super) const IS_NEW: Condition<'static> =
        Condition { text: Some("attribute_not_exists(#pk)"), values: None };

    fn names(&self) -> Option<HashMap<String, String>> {
        self.text.map(|text| names_in([text]))
    }

    fn expression(&self) -> Option<String> {
        self.text.map(str::to_owned)
    }
}

/// Sleeps before a retry: 10 ms, then twice as long each time. Conflicts end within milliseconds, and a throttled
/// partition needs time.
#[expect(
    clippy::disallowed_methods,
    reason = "between two tries of one call, as the SDK does between its own"
)]
pub(super) async fn pause_before(again: u32) {
    if again > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5 << again)).await;
    }
}

/// Finds the attribute names that occur as `#name` in the expressions.
pub(super) fn names_in<'a>(expressions: impl IntoIterator<Item = &'a str>) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for expression in expressions {
        for after in expression.split('#').skip(1) {
            let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            names.insert(format!("#{name}"), name);
        }
    }
    names
}

/// Makes many calls, up to [`crate::limits::CONCURRENT_REQUESTS`] at a time. Returns the results in order, or the first
/// failure.
pub(super) async fn side_by_side<T>(calls: Vec<BoxFuture<'_, PortResult<T>>>) -> PortResult<Vec<T>> {
    let mut answers = stream::iter(calls).buffered(crate::limits::CONCURRENT_REQUESTS);
    let mut all = vec![];
    while let Some(answer) = answers.next().await {
        all.push(answer?);
    }
    Ok(all)
}

/// The records that can be read. The others are logged: they cost those beside them nothing.
pub(super) fn all_readable<T>(
    items: &[Item],
    read: impl Fn(&Item) -> Result<T, Unreadable>,
    doing: &'static str,
) -> Vec<T> {
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        match read(item) {
            Ok(record) => found.push(record),
            Err(error) => {
                tracing::error!(record.id = item.maybe_text("id"), %error, doing, "a record cannot be read")
            }
        }
    }
    found
}

/// Turns an unreadable record into [`Unavailable`].
pub(super) fn readable<T>(record: Result<T, Unreadable>, doing: &'static str) -> PortResult<T> {
    record.map_err(unreadable(doing))
}
