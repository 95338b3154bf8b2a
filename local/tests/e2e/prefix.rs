//! A public URL with a path, as behind a proxy that serves several programs under one host name.

use std::collections::{BTreeSet, VecDeque};

use serde_json::json;
use statuspulse_kit::{Receiver, ReceiverOptions};

use crate::support::{Ended, Home, payload, text};

const PREFIX: &str = "/tools/status-pulse";

/// Where the page leads to, in its attributes.
fn links(html: &str) -> impl Iterator<Item = &str> {
    let attributes = [" href=\"", " action=\"", " src=\"", " formaction=\""];
    attributes
        .into_iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| rest.split('"').next())
}

/// The path that a link leads to from a page, without query and fragment; `None` if it leads elsewhere.
fn led_to(link: &str, from: &str) -> Option<String> {
    let link = link.replace("&amp;", "&").replace("&#38;", "&");
    let base = url::Url::parse(&format!("http://here{from}")).unwrap();
    let to = base.join(&link).unwrap();
    (to.host_str() == Some("here")).then(|| to.path().to_owned())
}

#[tokio::test]
async fn every_page_and_every_answer_stays_below_the_path_of_the_public_url() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let program = home.serve(&["--public-url", &format!("http://localhost{PREFIX}/")]).await;
    let api = home.admin(&program).await;
    let below = api.at(&format!("{}{PREFIX}", program.origin));
    let (webhook, _) = below.webhook(&receiver.url("/"), &[]).await;
    below.published(&[], &payload("opened", "INC-1", 1), 1).await;
    below.all_delivered(&webhook).await;
    // A proxy may take the path away.
    assert_eq!(api.shown(&webhook).await["id"], json!(webhook));

    let link = below.post("/v1/dashboard-sessions", &json!({})).await.expect(201);
    let link = text(&link, "url");
    let at = link.strip_prefix(&format!("http://localhost{PREFIX}")).expect(&link);
    let token = at.split("link=").nth(1).unwrap();
    let entered = below.page("/dashboard/sign-in", Some(&format!("link={token}")), "").await;
    assert_eq!(entered.status, 303);
    let to = entered.location.unwrap();
    assert!(to.starts_with(&format!("{PREFIX}/dashboard")), "{to}");
    let cookie = entered.cookie.unwrap().split(';').next().unwrap().to_owned();

    let mut seen = BTreeSet::from([format!("{PREFIX}/dashboard/webhooks"), format!("{PREFIX}/docs")]);
    let mut next: VecDeque<String> = seen.iter().cloned().collect();
    let mut forms = 0;
    while let Some(path) = next.pop_front() {
        let page = api.page(&path, None, &cookie).await;
        // A form's target that takes no GET.
        if page.status == 405 {
            forms += 1;
            continue;
        }
        assert!(page.status < 400, "{path}: {} {}", page.status, page.html);
        if let Some(to) = &page.location {
            assert!(to.starts_with(PREFIX), "{path} leads to {to}");
        }
        for link in links(&page.html) {
            let Some(to) = led_to(link, &path) else { continue };
            assert!(to.starts_with(&format!("{PREFIX}/")), "{link} on {path} leads to {to}");
            if !to.contains("/sign-out") && seen.insert(to.clone()) {
                next.push_back(to);
            }
        }
    }
    assert!(seen.len() > 60 && forms > 3, "{} pages, {forms} forms", seen.len());

    let problem = below.get("/v1/webhooks/nothing").await;
    let kind = text(&problem.body, "type");
    assert!(kind.starts_with(&format!("{PREFIX}/docs#problem-")), "{kind}");
    let description = below.get("/openapi.json").await.expect(200);
    assert_eq!(description["servers"], json!([{"url": format!("{PREFIX}/")}]));
    let outside = api.get(&format!("{PREFIX}ly/v1/webhooks")).await;
    outside.expect(404);
    program.stop().await;
}

#[tokio::test]
async fn a_path_that_cannot_be_told_from_the_servers_own_is_refused() {
    let home = Home::new();
    for path in ["/v1", "/dashboard/x", "/docs", "/metrics/a", "/a//b", "/a%20b", "/a/../v1"] {
        let url = format!("https://x.example{path}");
        let mut command = home.serve_command(&[]);
        command.args(["--public-url", &url]);
        let said = Ended::of(command).await.refused();
        assert!(said.contains("--public-url") && said.contains("path"), "{path}: {said}");
    }
}
