//! How the command line finds accounts and keys.

use statuspulse_core::access::{ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::audit::Actor;
use statuspulse_core::ports::Accounts;

use crate::stage::Stage;

#[tokio::test]
async fn the_command_line_finds_accounts_by_their_exact_names() {
    let stage = Stage::new();
    let account = stage.account("Acme \"& Söhne\"");
    let (key, _) = ApiKey::generate(Some(account.id), Role::Admin, None, stage.now(), &*stage.dice);
    stage.store.create_account(&account, &key, &created_account(&account, &key, Actor::OWNER)).await.unwrap();
    assert_eq!(stage.store.accounts_by_name(&account.name).unwrap()[0].id, account.id);
    assert!(stage.store.accounts_by_name("acme").unwrap().is_empty());
}

#[tokio::test]
async fn the_command_line_revokes_a_key_by_id_or_prefix_if_exactly_one_is_meant() {
    let stage = Stage::new();
    let (one, _) = ApiKey::generate(None, Role::Operator, None, stage.now(), &*stage.dice);
    let (two, _) = ApiKey::generate(None, Role::Operator, None, stage.now(), &*stage.dice);
    let (mut twin, _) = ApiKey::generate(None, Role::Operator, None, stage.now(), &*stage.dice);
    twin.prefix = two.prefix.clone();
    for key in [&one, &two, &twin] {
        stage.store.create_key(key, None).await.unwrap();
    }
    let revoke = async |text: &str| stage.store.revoke_any_key(text, stage.now()).await.unwrap();
    assert!(revoke(&one.prefix).await);
    assert!(!revoke(&one.prefix).await, "already revoked");
    assert!(!revoke(&two.prefix).await, "two keys have this prefix");
    assert!(revoke(&two.id.to_string()).await);
    assert!(revoke(&twin.prefix).await, "only one key with this prefix is not revoked");
    assert!(!revoke("").await);
    let all = stage.store.all_keys().unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|(key, account)| key.revoked_at.is_some() && account.is_none()));
}
