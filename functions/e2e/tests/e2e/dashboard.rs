//! The dashboard as a Lambda function, behind the API's routes.

use serde_json::json;
use statuspulse_kit::Behaviour;
use statuspulse_kit::api::{Page, payload, text};

use crate::stack::Stack;

const HOOK: &str = "/dashboard-hook";

struct Browser<'a> {
    stack: &'a Stack,
    cookie: String,
}

impl Browser<'_> {
    async fn open(&self, path: &str) -> Page {
        self.stack.admin.page(path, None, &self.cookie).await
    }

    /// Sends a form. Returns the location that the answer redirects to.
    async fn submit(&self, path: &str, form: &str) -> String {
        let answer = self.stack.admin.page(path, Some(form), &self.cookie).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.html);
        answer.location.unwrap()
    }
}

pub(crate) async fn shows_and_does_the_same(stack: &Stack) {
    let bought = stack.admin.post("/v1/dashboard-sessions", &json!({})).await.expect(201);
    let link = text(&bought, "url").split_once("?link=").unwrap().1.to_owned();
    let mut browser = Browser { stack, cookie: String::new() };
    assert_eq!(browser.open("/dashboard").await.status, 401);
    let signed_in = stack.admin.page("/dashboard/sign-in", Some(&format!("link={link}")), "").await;
    assert_eq!((signed_in.status, signed_in.location.as_deref()), (303, Some("/dashboard/webhooks")));
    let cookie = signed_in.cookie.unwrap();
    assert!(cookie.starts_with("__Host-statuspulse=spd_") && cookie.ends_with("SameSite=Lax"), "{cookie}");
    let again = stack.admin.page("/dashboard/sign-in", Some(&format!("link={link}")), "").await;
    assert_eq!(again.status, 401, "a link must work only once");
    browser.cookie = cookie.split(';').next().unwrap().to_owned();

    let url = stack.receiver.url(HOOK);
    let own = browser
        .submit("/dashboard/webhooks", &format!("destination=json&url={url}&events=incident_opened"))
        .await;
    let webhook = own.rsplit('/').next().unwrap().to_owned();
    assert!(browser.open("/dashboard/webhooks").await.html.contains(&webhook));
    let page = browser.open(&own).await;
    assert!(page.status == 200 && page.html.contains("Active"), "{}", page.html);

    browser.submit(&format!("{own}/pause"), "").await;
    stack.admin.publish(&[], &payload("opened", "INC-HELD", 1), None).await.unwrap().expect(202);
    stack.until(&webhook, "it is held", |webhook| webhook["held_deliveries"] == 1).await;
    let paused = browser.open(&own).await.html;
    assert!(paused.contains("Paused since") && paused.contains("<strong>1</strong> delivery"), "{paused}");
    browser.submit(&format!("{own}/resume"), "").await;
    browser.submit(&format!("{own}/redeliver"), "range=1h").await;
    stack.admin.all_delivered(&webhook).await;

    let list = browser.open(&format!("{own}/deliveries?status=delivered")).await.html;
    let delivery = list.split(&format!("{own}/deliveries/")).nth(1).unwrap().split('"').next().unwrap();
    let sent = stack.arrived(HOOK, 2).await.remove(1);
    let shown = browser.open(&format!("{own}/deliveries/{delivery}")).await.html;
    assert!(shown.contains(sent.header("x-statuspulse-signature").unwrap()), "{shown}");
    browser.submit(&format!("{own}/deliveries/{delivery}/redeliver"), "").await;
    stack.arrived(HOOK, 3).await;
    stack.admin.all_delivered(&webhook).await;
    stack.receiver.behaviour(HOOK, Behaviour::status(503));
    let tested = browser.submit(&format!("{own}/test"), "").await;
    assert_eq!(tested, own);

    browser.submit("/dashboard/sign-out", "").await;
    assert_eq!(browser.open(&own).await.status, 401);
    stack.quiet().await;
}
