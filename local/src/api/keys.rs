//! `statuspulse keys` without a data folder.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use statuspulse_core::access::Role;

use super::arguments::ServerOptions;
use super::client::Call;
use super::operations::{
    CREATE_KEY, CREATE_KEY_OF_ACCOUNT, LIST_KEYS, LIST_KEYS_OF_ACCOUNT, Operation, REVOKE_KEY,
    REVOKE_KEY_OF_ACCOUNT,
};
use super::session::Session;
use super::terminal::{Terminal, line};
use crate::arguments::KeysCommand;

/// Runs the command for the account of the key that the environment names, or for any account with an operator's key.
pub(crate) async fn run(server: &ServerOptions, account: Option<&str>, command: KeysCommand) -> Result<()> {
    let session = Session::new(server)?;
    match command {
        KeysCommand::Create { role, name, new } => {
            ensure!(!new, "--new needs --data: it makes a data folder");
            let call = either(account, &CREATE_KEY, &CREATE_KEY_OF_ACCOUNT);
            create(&session, call, Role::from(role), name.as_deref()).await
        }
        KeysCommand::List => session.list(|| either(account, &LIST_KEYS, &LIST_KEYS_OF_ACCOUNT), None).await,
        KeysCommand::Revoke { key } => {
            let call = either(account, &REVOKE_KEY, &REVOKE_KEY_OF_ACCOUNT);
            session.client.send(call.of(&key)).await?;
            Ok(session.terminal.done(&format!("{key} is revoked"))?)
        }
    }
}

/// A call of the operation for the key's own account, or of the one for any account.
fn either<'a>(account: Option<&'a str>, of_own: &'static Operation, of_any: &'static Operation) -> Call<'a> {
    match account {
        None => Call::to(of_own),
        Some(account) => Call::to(of_any).of(account),
    }
}

/// Prints the key alone, as with a data folder.
async fn create(session: &Session, call: Call<'_>, role: Role, name: Option<&str>) -> Result<()> {
    let body = json!({ "role": role.name(), "name": name }).to_string();
    let answer = session.client.send(call.body(body)).await?;
    let text = match session.terminal {
        Terminal::Json => &answer.text,
        Terminal::Tables => answer.value["key"].as_str().context("the answer has no key")?,
    };
    Ok(line(text)?)
}
