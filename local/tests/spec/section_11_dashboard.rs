//! The dashboard: sign-in, and what all pages have in common (rule 11.4). The tests in a real browser are in
//! `shared/dashboard/e2e`.

use std::time::Duration;

use http::header::SET_COOKIE;
use serde_json::json;

use crate::support::*;

pub(crate) const LIST: &str = "/dashboard/webhooks";

pub(crate) fn path(hook: &Hook, rest: &str) -> String {
    format!("{LIST}/{}{rest}", hook.id)
}

pub(crate) async fn key(world: &World, role: &str) -> Api {
    let made = world.post("/v1/keys", &json!({"role": role})).await.expect(201);
    world.with_key(text(&made["key"]))
}

// --- Sign-in ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_key_buys_a_link_that_signs_in_once() {
    let world = World::new().await;
    let bought = world.post("/v1/dashboard-sessions", &json!({})).await.expect(201);
    assert_eq!(bought["expires_at"], "2024-03-15T14:27:01Z");
    let url = text(&bought["url"]);
    assert!(url.starts_with("https://webhooks.statuspulse.io/dashboard/sign-in?link=spd_"), "{url}");
    let link = url.split_once("?link=").unwrap().1;

    let browser = Browser::new(&world);
    browser.open(LIST).await.expect(401).says("Sign in");
    // Opening the link does not use it up, because chat programs open links to show a preview.
    for _ in 0..2 {
        browser.open(&format!("/dashboard/sign-in?link={link}")).await.expect(200).says("Open the dashboard");
    }
    let answer = browser.send("/dashboard/sign-in", &[("link", link)], SAME).await;
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert!(value.starts_with("__Host-statuspulse=spd_") && !value.contains(link), "{value}");
    assert_eq!(attributes, "Path=/; Max-Age=36000; Secure; HttpOnly; SameSite=Lax");
    browser.open(LIST).await.expect(200).says("Your Company");

    let another = Browser::new(&world);
    another
        .submit("/dashboard/sign-in", &[("link", link)])
        .await
        .expect(401)
        .says("the link was used before");
    another.open(LIST).await.expect(401);
    for wrong in ["", "spd_x", &world.key] {
        another.submit("/dashboard/sign-in", &[("link", wrong)]).await.expect(401);
    }
}

#[tokio::test]
async fn a_link_lasts_five_minutes_and_a_session_ten_hours() {
    let world = World::new().await;
    let (late, early) = (link(&world).await, link(&world).await);
    world.advance(Duration::from_millis(299_999)).await;
    let browser = Browser::new(&world);
    browser.submit("/dashboard/sign-in", &[("link", &early)]).await.expect(200);
    world.advance(Duration::from_millis(1)).await;
    Browser::new(&world).submit("/dashboard/sign-in", &[("link", &late)]).await.expect(401);
    world.advance(HOUR * 10 - Duration::from_millis(2)).await;
    browser.open(LIST).await.expect(200);
    world.advance(Duration::from_millis(1)).await;
    browser.open(LIST).await.expect(401);
}

#[tokio::test]
async fn a_session_ends_by_hand_and_with_its_key() {
    let world = World::new().await;
    let browser = world.browser().await;
    let cookies = browser.cookies.lock().unwrap().clone();
    browser.submit("/dashboard/sign-out", &[]).await.expect(200).says("Sign in");
    // A copy of the cookie does not work either.
    *browser.cookies.lock().unwrap() = cookies;
    browser.open(LIST).await.expect(401);

    let made = world.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
    let viewer = world.with_key(text(&made["key"]));
    let (browser, unused) = (Browser::signed_in(&viewer).await, link(&viewer).await);
    world.delete(&format!("/v1/keys/{}", text(&made["id"]))).await.expect(204);
    browser.open(LIST).await.expect(401);
    Browser::new(&world).submit("/dashboard/sign-in", &[("link", &unused)]).await.expect(401);
}

#[tokio::test]
async fn only_keys_that_may_read_an_account_create_a_link() {
    let world = World::new().await;
    let publisher = key(&world, "publisher").await;
    for (api, status) in [(&publisher, 403), (&world.operator, 403), (&world.with_key("spk_x"), 401)] {
        api.post("/v1/dashboard-sessions", &json!({})).await.problem(status);
    }
    let refused = world.post("/v1/dashboard-sessions", &json!({"role": "admin"})).await.refused();
    assert_eq!(refused, ["/role"]);
    // Neither a link nor a session is an API key.
    world.with_key(&link(&world).await).get("/v1/webhooks").await.problem(401);
    let browser = world.browser().await;
    let session = browser.cookies.lock().unwrap()["__Host-statuspulse"].clone();
    world.with_key(&session).get("/v1/webhooks").await.problem(401);
    assert!(
        !world
            .files()
            .iter()
            .any(|(_, bytes)| bytes.windows(40).any(|part| part == &session.as_bytes()[..40]))
    );
}

#[tokio::test]
async fn a_session_outlives_a_restart() {
    let world = World::new().await;
    let cookies = world.browser().await.cookies.lock().unwrap().clone();
    let world = world.restart().await;
    let browser = Browser::new(&world);
    *browser.cookies.lock().unwrap() = cookies;
    browser.open(LIST).await.expect(200);
}

// --- All pages -------------------------------------------------------------------------------------------

/// The page or form at this path of the router, of this webhook, or of a key.
fn filled(path: &str, hook: &Hook, delivery: &str) -> String {
    let id = if path.contains("/keys/") { "key_01HS17VFS8FD7MSPZHG9F96010" } else { &hook.id };
    path.replace("{id}", id).replace("{delivery}", delivery)
}

/// All pages but those that need no session, or have nothing to show.
fn pages_of(hook: &Hook, delivery: &str) -> Vec<String> {
    let open = ["/dashboard/sign-in", "/dashboard/assets/{file}", "/dashboard/{*rest}"];
    let all = routes::of_dashboard().pages.into_iter().filter(|page| !open.contains(&&**page));
    all.map(|page| filled(&page, hook, delivery)).collect()
}

/// All forms but those for signing in and out. Deleting comes last.
fn forms_of(hook: &Hook, delivery: &str) -> Vec<String> {
    let all = routes::of_dashboard().forms.into_iter().filter(|form| !form.contains("/sign-"));
    let mut forms: Vec<String> = all.map(|form| filled(&form, hook, delivery)).collect();
    forms.sort_by_key(|form| form.ends_with("/delete"));
    forms
}

/// Creates a webhook with a delivery whose first attempt failed.
async fn with_a_delivery(world: &World) -> (Hook, String) {
    let hook = world.register(URL).await;
    world.receivers.answers_next(URL, [503]);
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let delivery = text(&world.delivery(&hook, &event).await["id"]).to_owned();
    (hook, delivery)
}

#[tokio::test]
async fn every_page_and_form_requires_a_session() {
    let world = World::new().await;
    let (hook, delivery) = with_a_delivery(&world).await;
    let browser = Browser::new(&world);
    for page in pages_of(&hook, &delivery) {
        browser.open(&page).await.expect(401).says("Sign in");
    }
    for form in forms_of(&hook, &delivery) {
        browser.submit(&form, &[]).await.expect(401);
    }
    assert_eq!(world.status(&hook).await, "active");
}

/// Each form, sent by an admin from the dashboard itself. What it answers depends on its fields, which are missing here.
#[tokio::test]
async fn every_form_takes_what_an_admin_sends_from_the_dashboard() {
    let world = World::new().await;
    let (hook, delivery) = with_a_delivery(&world).await;
    let browser = world.browser().await;
    for form in forms_of(&hook, &delivery) {
        let status = browser.send(&form, &[], SAME).await.status().as_u16();
        assert!(status < 500 && ![401, 403].contains(&status), "{form} answered {status}");
    }
}

#[tokio::test]
async fn every_page_keeps_scripts_frames_and_caches_out() {
    let world = World::new().await;
    let (hook, delivery) = with_a_delivery(&world).await;
    let browser = world.browser().await;
    let mut pages = pages_of(&hook, &delivery);
    pages.extend(["/dashboard/nothing", "/dashboard/sign-in?link=x"].map(str::to_owned));
    for page in pages {
        let shown = browser.open(&page).await;
        let header = |name: &str| shown.headers[name].to_str().unwrap().to_owned();
        assert!(
            header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"),
            "{page}"
        );
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{page}");
        assert_eq!(header("cache-control"), "no-store", "{page}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{page}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{page}");
        assert!(header("x-request-id").starts_with("req_"), "{page}");
        for part in ["style=", "onclick", "<script>", "javascript:"] {
            assert!(!shown.html.contains(part), "{page}: {part}");
        }
    }
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let world = World::new().await;
    let (hook, delivery) = with_a_delivery(&world).await;
    let browser = world.browser().await;
    let others: [Origin<'_>; 7] = [
        &[],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://here"), ("Host", "here")],
        &[("Origin", "https://evil.example"), ("Host", "here")],
        &[("Origin", "null"), ("Host", "here")],
        // Whoever can change http can write any page of it.
        &[("Origin", "http://here"), ("Host", "here")],
    ];
    for form in forms_of(&hook, &delivery) {
        for from in others {
            let refused = page(browser.send(&form, &[], from).await).await;
            refused.expect(403).says("Nothing was changed");
        }
    }
    assert_eq!(world.status(&hook).await, "active");
    let older: Origin<'_> = &[("Origin", "https://here:8080"), ("Host", "here:8080")];
    let paused = browser.send(&path(&hook, "/pause"), &[], older).await;
    assert_eq!(paused.status(), 303, "older browsers send only Origin");
    assert_eq!(world.status(&hook).await, "paused");
}

#[tokio::test]
async fn a_viewer_sees_everything_and_no_button_and_changes_nothing() {
    let world = World::new().await;
    let (hook, delivery) = with_a_delivery(&world).await;
    world.act(&hook, "pause").await;
    let browser = Browser::signed_in(&key(&world, "viewer").await).await;
    for page in [
        LIST.to_owned(),
        path(&hook, ""),
        path(&hook, "/deliveries"),
        path(&hook, &format!("/deliveries/{delivery}")),
    ] {
        let shown = browser.open(&page).await.expect(200);
        shown.says("viewer");
        let forms = shown.html.matches("method=\"post\"").count();
        assert_eq!(forms, 1, "{page}: only the form to sign out");
        for link in ["/edit\"", "/delete\"", "/rotate\"", "/discard\"", "/new\""] {
            assert!(!shown.html.contains(link), "{page}: {link}");
        }
    }
    browser.open(&path(&hook, "")).await.says("Paused since");
    for form in forms_of(&hook, &delivery) {
        browser.submit(&form, &[]).await.expect(403).says("Not allowed");
    }
    assert_eq!(world.status(&hook).await, "paused");
}

#[tokio::test]
async fn pages_of_another_account_are_404() {
    let world = World::new().await;
    let (hook, delivery) = with_a_delivery(&world).await;
    let browser = Browser::signed_in(&world.another_account().await).await;
    browser.open(LIST).await.expect(200).says("Get started");
    for page in pages_of(&hook, &delivery).into_iter().filter(|page| page.contains(&hook.id)) {
        browser.open(&page).await.expect(404);
    }
    for form in forms_of(&hook, &delivery).into_iter().filter(|form| form.contains(&hook.id)) {
        browser.submit(&form, &[("range", "24h")]).await.expect(404);
    }
    // Also what is not even text.
    for nonsense in ["webhooks/whe_nonsense", "webhooks/%FF", "webhooks/%FF/deliveries/x", "keys/%FF/revoke"]
    {
        browser.open(&format!("/dashboard/{nonsense}")).await.expect(404).says("Another").says("Sign out");
    }
}

#[tokio::test]
async fn no_page_shows_a_secret_again() {
    let world = World::new().await;
    let browser = world.browser().await;
    let fields = [
        ("destination", "json"),
        ("url", URL),
        ("events", "incident_opened"),
        ("headers", "X-Api-Key: t0p-secret"),
    ];
    let made = browser.submit(LIST, &fields).await.expect(200);
    let secret = made.html.split("<code id=\"new-secret\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let id = made.html.split("<code id=\"id\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let hook = Hook { id, url: URL.to_owned(), secret: secret.to_owned() };
    let event = world.publish(&opened("A")).await;
    world.run_until_idle().await;
    let delivery = text(&world.delivery(&hook, &event).await["id"]).to_owned();
    for page in pages_of(&hook, &delivery) {
        let shown = browser.open(&page).await;
        // Only its first four characters after `whsec_` are shown, to tell secrets apart.
        assert!(!shown.html.contains(&secret[..11]) && !shown.html.contains(&secret[10..]), "{page}");
        assert!(!shown.html.contains("t0p-secret"), "{page}");
    }
}

#[tokio::test]
async fn a_page_that_refreshes_itself_does_not_take_the_secret_of_the_next_page() {
    let world = World::new().await;
    let hook = world.register(URL).await;
    let browser = world.browser().await;
    browser.send(&path(&hook, "/rotate"), &[("style", "joined")], SAME).await;
    // Another tab refreshes itself before the browser follows the redirect.
    let refreshed = browser.refresh(&path(&hook, "")).await.expect(200);
    let opened = browser.open(&path(&hook, "")).await;
    let shows_secret = [&refreshed, &opened].map(|page| page.html.contains("new-secret"));
    assert_eq!(shows_secret, [false, true]);
}
