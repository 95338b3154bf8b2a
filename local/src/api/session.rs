//! A server to call, and how to show its answers.

use anyhow::Result;

use super::arguments::ServerOptions;
use super::client::{Answer, Call, Client};
use super::pages;
use super::terminal::Terminal;

/// A server to call, and how to show its answers.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) terminal: Terminal,
}

impl Session {
    /// # Errors
    /// Fails if the options and the environment do not name a server and a key.
    pub(super) fn new(options: &ServerOptions) -> Result<Self> {
        Ok(Self { client: Client::new(options)?, terminal: Terminal::new(options.json) })
    }

    /// Makes the call and shows its answer.
    pub(super) async fn show(&self, call: Call<'_>) -> Result<Answer> {
        let view = call.view();
        let answer = self.client.send(call).await?;
        if let Some(view) = view {
            self.terminal.object(view, &answer)?;
        }
        Ok(answer)
    }

    /// Reads and shows the first `limit` entries of a list, or all. `call` makes the call of a page.
    pub(super) async fn list<'a>(&self, call: impl Fn() -> Call<'a>, limit: Option<usize>) -> Result<()> {
        let list = pages::read(&self.client, &call, limit).await?;
        if let Some(view) = call().view() {
            self.terminal.list(view, &list)?;
        }
        Ok(())
    }
}
