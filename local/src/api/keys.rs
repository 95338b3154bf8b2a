//! `statuspulse keys` without a data folder.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use statuspulse_core::access::Role;

use super::arguments::ServerOptions;
use super::client::Call;
use super::operations::{CREATE_KEY, LIST_KEYS, REVOKE_KEY};
use super::session::Session;
use super::terminal::{Terminal, line};
use crate::arguments::KeysCommand;

/// Runs the command for the account of the key that the environment names.
pub(crate) async fn run(server: &ServerOptions, command: KeysCommand) -> Result<()> {
    let session = Session::new(server)?;
    match command {
        KeysCommand::Create { account, role, name, new } => {
            ensure!(!new, "--new needs --data: it makes a data folder");
            ensure!(
                account.is_none(),
                "--account needs --data: over the API a key is of the account that creates it"
            );
            create(&session, Role::from(role), name.as_deref()).await
        }
        KeysCommand::List => session.list(|| Call::to(&LIST_KEYS), None).await,
        KeysCommand::Revoke { key } => {
            session.client.send(Call::to(&REVOKE_KEY).of(&key)).await?;
            Ok(session.terminal.done(&format!("{key} is revoked"))?)
        }
    }
}

/// Prints the key alone, as with a data folder.
async fn create(session: &Session, role: Role, name: Option<&str>) -> Result<()> {
    let body = json!({ "role": role.name(), "name": name }).to_string();
    let answer = session.client.send(Call::to(&CREATE_KEY).body(body)).await?;
    let text = match session.terminal {
        Terminal::Json => &answer.text,
        Terminal::Tables => answer.value["key"].as_str().context("the answer has no key")?,
    };
    Ok(line(text)?)
}
