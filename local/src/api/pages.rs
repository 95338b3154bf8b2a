//! Reads lists page by page.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use statuspulse_core::limits::PAGE_MAX;

use super::client::{Answer, Call, Client};

/// The beginning of a list.
#[derive(Debug)]
pub(super) struct List {
    pub(super) entries: Vec<Value>,
    /// Leads to the rest. `None` if nothing is left.
    pub(super) next_cursor: Option<String>,
    /// The first page as it came.
    first: String,
    pages: usize,
}

impl List {
    /// The API's document: the page as it came, or a document of its form with the entries of all pages.
    pub(super) fn document(&self) -> String {
        match self.pages {
            1 => self.first.clone(),
            _ => json!({ "data": self.entries, "next_cursor": self.next_cursor }).to_string(),
        }
    }
}

/// Reads pages until there are `limit` entries, or all of them. `call` makes the call of a page.
pub(super) async fn read<'a>(
    client: &Client,
    call: impl Fn() -> Call<'a>,
    limit: Option<usize>,
) -> Result<List> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut list = page(client, call(), limit).await?;
    while let Some(cursor) = list.next_cursor.take_if(|_| list.entries.len() < limit) {
        let more = page(client, call().query("cursor", Some(cursor)), limit - list.entries.len()).await?;
        list.entries.extend(more.entries);
        list.next_cursor = more.next_cursor;
        list.pages += 1;
    }
    Ok(list)
}

/// Reads one page of at most `limit` entries.
pub(super) async fn page(client: &Client, call: Call<'_>, limit: usize) -> Result<List> {
    let Answer { text, mut value } = client.send(call.query("limit", Some(limit.min(PAGE_MAX)))).await?;
    let Value::Array(entries) = value["data"].take() else { bail!("the answer is not a list") };
    let next_cursor = value["next_cursor"].as_str().map(str::to_owned);
    Ok(List { entries, next_cursor, first: text, pages: 1 })
}
