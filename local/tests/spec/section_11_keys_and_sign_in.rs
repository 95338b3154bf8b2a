//! Section 11 of docs/behaviour.md: signing in with a key, returning to the page that was asked for, and the page of keys.

use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_key_signs_in_and_leads_to_the_page_that_was_asked_for() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let browser = Browser::new(&world);
    let asked = format!("/dashboard/webhooks/{}?from=slack", hook.id);
    browser.open(&asked).await.expect(401).says("API key");
    browser.submit("/dashboard/sign-in", &[("key", "spk_wrong")]).await.expect(401).says("Not signed in");
    let signed_in = browser.submit("/dashboard/sign-in", &[("key", &world.key)]).await.expect(200);
    assert_eq!(signed_in.path, asked);
    assert!(!signed_in.html.contains(&world.key));

    // Asked for once only, and never another site.
    browser.submit("/dashboard/sign-out", &[]).await;
    let again = browser.submit("/dashboard/sign-in", &[("key", &world.key)]).await.expect(200);
    assert_eq!(again.path, "/dashboard/webhooks");
}

#[tokio::test]
async fn a_publishers_or_an_operators_key_does_not_sign_in() {
    let world = World::new().await;
    let publisher = world.post("/v1/keys", &json!({"role": "publisher"})).await.expect(201);
    for key in [text(&publisher["key"]), &world.operator.key] {
        let refused = Browser::new(&world).submit("/dashboard/sign-in", &[("key", key)]).await;
        refused.expect(401).says("Not signed in");
    }
}

#[tokio::test]
async fn a_link_says_whose_account_it_opens() {
    let world = World::new().await;
    let link = link(&world).await;
    let browser = Browser::new(&world);
    browser
        .open(&format!("/dashboard/sign-in?link={link}"))
        .await
        .expect(200)
        .says("Sign in to Your Company");
    browser.open("/dashboard/sign-in?link=spd_x").await.expect(401).says("too old");
}

#[tokio::test]
async fn keys_are_created_and_revoked_on_their_page() {
    let world = World::new().await;
    let browser = world.browser().await;
    browser.open("/dashboard/keys").await.says("this session").says("Valid");
    let page = browser
        .submit("/dashboard/keys", &[("role", "viewer"), ("name", "Wall screen"), ("ends", "7d")])
        .await
        .expect(200);
    page.says("This is the new viewer key. It is shown only once.");
    let start = page.html.find("spk_").unwrap();
    let key: String = page.html[start..].chars().take_while(|c| *c != '<').collect();
    let viewer = Browser::new(&world);
    viewer.submit("/dashboard/sign-in", &[("key", &key)]).await.expect(200);
    viewer.open("/dashboard/keys").await.expect(200).does_not_say("Create key").does_not_say("Revoke");
    browser.open("/dashboard/keys").await.does_not_say(&key);

    let keys = world.get("/v1/keys").await.expect(200);
    let made = keys["data"].as_array().unwrap().iter().find(|key| key["role"] == "viewer").unwrap().clone();
    let revoke = format!("/dashboard/keys/{}/revoke", text(&made["id"]));
    browser.open(&revoke).await.says("Revoke the viewer key “Wall screen”").says(text(&made["prefix"]));
    browser.open("/dashboard/keys").await.says("Wall screen").says("Last used");
    browser
        .submit("/dashboard/keys", &[("role", "viewer"), ("name", &"x".repeat(201))])
        .await
        .says("1 to 200 characters");
    browser.submit(&revoke, &[]).await.says("The key was revoked").says("Revoked");
    viewer.open("/dashboard/keys").await.expect(401);
    browser.submit("/dashboard/keys", &[("role", "operator")]).await.says("must be one of");
    let own = keys["data"].as_array().unwrap().iter().find(|key| key["role"] == "admin").unwrap();
    let revoke = format!("/dashboard/keys/{}/revoke", text(&own["id"]));
    browser.open(&revoke).await.says("You are signed in with this key").says("the last valid admin key");
}

#[tokio::test]
async fn a_redelivery_of_all_asks_first_and_says_how_many() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    world.receivers.answers(URL, 400);
    for n in 0..3 {
        world.publish(&opened(&format!("INC-{n}"))).await;
    }
    world.advance(HOUR * 2).await;
    world.act(&hook, "resume").await;
    world.advance(HOUR).await;
    let browser = world.browser().await;
    let own = format!("/dashboard/webhooks/{}", hook.id);
    let asked = browser.open(&format!("{own}/redeliver?range=24h")).await.expect(200);
    let failed = world.statuses(&hook).await.iter().filter(|status| *status == "failed").count();
    let noun = if failed == 1 { "delivery is" } else { "deliveries are" };
    asked.says(&format!("{failed} failed {noun} sent again")).says("last 24 hours");
    browser.open(&format!("{own}/redeliver")).await.says("Choose a period");
}
