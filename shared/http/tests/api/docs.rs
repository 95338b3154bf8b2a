//! `/openapi.json` and `/docs`: public, and without external files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Answer, DOCUMENT, Described, World};

async fn page(path: &str) -> Answer {
    let answer = World::new().await.nobody().get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}");
    answer
}

/// All pages, by their path, found by following links from the first one.
async fn all_pages() -> BTreeMap<String, Answer> {
    let world = World::new().await;
    let client = world.nobody();
    let (mut pages, mut next) = (BTreeMap::new(), vec!["/docs".to_owned()]);
    while let Some(path) = next.pop() {
        if pages.contains_key(&path) {
            continue;
        }
        let answer = client.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let links = values(&answer.text, "href").into_iter();
        let targets = links.filter_map(|link| target(&path, link)).map(|(page, _)| page);
        next.extend(targets.filter(|page| page.starts_with("/docs")));
        pages.insert(path, answer);
    }
    assert!(pages.len() > 100, "{} pages", pages.len());
    pages
}

/// The path and the anchor that a link on this page leads to; `None` if it leads elsewhere.
fn target(from: &str, link: &str) -> Option<(String, Option<String>)> {
    let base = url::Url::parse("https://statuspulse.test").unwrap().join(from).unwrap();
    let url = base.join(link).unwrap();
    (url.host_str() == Some("statuspulse.test"))
        .then(|| (url.path().to_owned(), url.fragment().map(str::to_owned)))
}

/// All values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let opening = format!(" {attribute}=\"");
    html.split(&opening).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

fn inside<'a>(html: &'a str, opening: &str, closing: &str) -> &'a str {
    html.split_once(opening).unwrap().1.split_once(closing).unwrap().0
}

fn unescaped(html: &str) -> String {
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(html.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}

#[tokio::test]
async fn the_document_is_served_as_it_is_committed() {
    let answer = World::new().await.nobody().get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.expect(StatusCode::OK), *DOCUMENT);
    assert_eq!(answer.expect(StatusCode::OK)["openapi"], "3.1.0");
}

#[tokio::test]
async fn no_page_loads_anything_or_runs_anything_but_its_own_script() {
    for (path, answer) in all_pages().await {
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        let html = &answer.text;
        for wrong in ["<link", "<img", "<iframe", "@import", "url(", "//cdn", " style=", " onclick="] {
            assert!(!html.contains(wrong), "{path} has {wrong}");
        }
        assert!(values(html, "src").is_empty(), "{path}");
        assert_eq!((html.matches("<script").count(), html.matches("<form").count()), (1, 1), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
            let own = inside(html, &format!("<{element}>"), &format!("</{element}>"));
            let digest = STANDARD.encode(Sha256::digest(own));
            assert!(policy.contains(&format!("{directive} 'sha256-{digest}'")), "{path}: {policy}");
        }
        assert!(policy.contains("form-action 'self';"), "{policy}");
    }
}

#[tokio::test]
async fn every_link_has_a_target_and_every_anchor_is_unique_on_its_page() {
    let pages = all_pages().await;
    for (path, answer) in &pages {
        let ids = values(&answer.text, "id");
        let anchors: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(anchors.len(), ids.len(), "{path}");
        for named in values(&answer.text, "aria-labelledby") {
            assert!(anchors.contains(named), "{named} names nothing on {path}");
        }
        for link in values(&answer.text, "href") {
            let Some((page, Some(anchor))) = target(path, link) else { continue };
            let page = pages.get(&page).unwrap_or_else(|| panic!("{link} of {path} leads nowhere"));
            assert!(values(&page.text, "id").contains(&&*anchor), "{link} of {path} leads nowhere");
        }
    }
}

/// Links from when the reference was a single page still lead to what they name.
#[tokio::test]
async fn former_links_are_on_the_first_page() {
    let start = page("/docs").await;
    let anchors = values(&start.text, "id");
    let problems = codes().into_iter().map(|code| format!("problem-{code}"));
    let objects = DOCUMENT["components"]["schemas"].as_object().unwrap().keys();
    let former: Vec<String> = Described::all()
        .iter()
        .map(|operation| operation.id().to_owned())
        .chain(problems)
        .chain(objects.map(|name| format!("schema-{name}")))
        .chain(["webhooks", "deliveries", "problems", "objects"].map(str::to_owned))
        .collect();
    assert!(former.len() > 100);
    for anchor in former {
        assert!(anchors.contains(&&*anchor), "/docs#{anchor}");
    }
}

#[tokio::test]
async fn every_operation_has_a_page_with_its_roles_parameters_and_calls() {
    let mut snippets = vec![];
    for operation in Described::all() {
        let article = page(&format!("/docs/{}", operation.id())).await.text;
        let route = format!("{}</span> <code>{}</code>", operation.method.to_uppercase(), operation.path);
        assert!(article.contains(&route), "{}", operation.id());
        for role in operation.roles() {
            assert!(article.contains(&format!("<code>{role}</code>")), "{} for {role}", operation.id());
        }
        for parameter in operation.parameters() {
            let name = parameter["name"].as_str().unwrap();
            assert!(article.contains(&format!("<dt><code>{name}</code>")), "{} takes {name}", operation.id());
        }
        for status in operation.value["responses"].as_object().unwrap().keys() {
            assert!(
                article.contains(&format!("<code>{status}</code>")),
                "{} answers {status}",
                operation.id()
            );
        }
        let path = operation.path.split('{').next().unwrap();
        let curl = unescaped(inside(&article, "aria-label=\"With curl\"><code>", "</code>"));
        assert!(curl.starts_with("curl ") && curl.contains(&format!("\"$URL{path}")), "{curl}");
        let python = unescaped(inside(&article, "aria-label=\"In Python\"><code>", "</code>"));
        assert!(python.contains(&format!("os.environ[\"URL\"] + \"{path}")), "{python}");
        snippets.push(python);
    }
    assert_parsed_by_python(&snippets);
}

fn assert_parsed_by_python(snippets: &[String]) {
    let program = "import ast, json, sys\nfor code in json.load(sys.stdin): ast.parse(code)";
    let mut python = Command::new("python3").args(["-c", program]).stdin(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(&serde_json::to_vec(snippets).unwrap()).unwrap();
    assert!(python.wait().unwrap().success());
}

/// Problem documents link to `/docs#problem-…`, which leads here.
#[tokio::test]
async fn every_code_of_a_refusal_is_explained() {
    let answer = page("/docs/errors").await;
    let found = codes();
    assert!(found.len() > 15, "{found:?}");
    for code in found {
        let anchor = format!("<dt id=\"problem-{code}\">");
        let (_, rest) = answer.text.split_once(&anchor).unwrap_or_else(|| panic!("{code} is not explained"));
        let (head, description) = rest.split_once("<dd>").unwrap();
        let digits = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        assert!(head.split(['<', '>']).any(digits), "{code} has no status");
        assert!(!description.starts_with("</dd>"), "{code} is not explained");
    }
}

/// Headers, retries, pause, order and verification, from `docs/receiving.md`.
#[tokio::test]
async fn the_guide_for_receivers_is_there() {
    let pages = [
        ("receiving", "Five steps"),
        ("receiving-the-request", "X-StatusPulse-Delivery-Id"),
        ("receiving-verify", "whsec_"),
        ("receiving-retries-and-pause", "60 minutes"),
        ("receiving-duplicates-and-order", "lane"),
        ("receiving-limits", "128 KiB"),
        ("receiving-the-three-event-types", "incident_resolved"),
    ];
    for (name, text) in pages {
        let answer = page(&format!("/docs/{name}")).await;
        assert!(inside(&answer.text, "<main", "</main>").contains(text), "{name} has no {text}");
    }
    let register = page("/docs/receiving-register").await.text;
    assert!(register.contains("<h2 id=\"the-handshake\">The handshake</h2>"));
    let retries = page("/docs/receiving-retries-and-pause").await.text;
    assert!(retries.contains("href=\"receiving-retries-and-pause#resume\""));
    for (path, answer) in all_pages().await {
        assert!(!answer.text.contains(".md\""), "{path} links to a file of the repository");
    }
}

#[tokio::test]
async fn the_search_finds_pages_that_have_all_words_titles_first() {
    let found = |html: &str| {
        let main = inside(html, "<main", "</main>").to_owned();
        values(&main, "href").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let answer = page("/docs/search?q=ROTATE+secret").await;
    let all = found(&answer.text);
    assert!(all.len() > 2, "{all:?}");
    assert!(all[..3].contains(&"receiving-rotate-the-secret".to_owned()), "{all:?}");
    // The description of this page has the words, and its title has not.
    let changes = all.iter().position(|page| *page == "schema-Change").unwrap();
    assert!(changes > all.iter().position(|page| *page == "rotateSecret").unwrap(), "{all:?}");
    let codes = found(&page("/docs/search?q=rotation_in_progress").await.text);
    assert!(codes.contains(&"errors".to_owned()), "{codes:?}");
    // What is typed is shown as text.
    let answer = page("/docs/search?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(!answer.text.contains("<script>alert"));
    assert!(answer.text.contains("No page contains"), "{}", answer.text);
    assert!(page("/docs/search").await.text.contains("Enter words"));
    assert!(page("/docs/search?q=+").await.text.contains("Enter words"));
}

#[tokio::test]
async fn what_is_not_a_page_is_refused() {
    let world = World::new().await;
    let client = world.nobody();
    for path in
        ["/docs/nothing", "/docs/nothing/more", "/docs/createwebhook", "/docs/%FF", "/docs/a%2Fb", "/docs/"]
    {
        client.get(path).await.refused(404, "unknown_path");
    }
    client.get("/docs/search?query=x").await.refused(422, "invalid_fields");
}

fn codes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_codes(&DOCUMENT, &mut found);
    found
}

fn collect_codes(value: &Value, found: &mut BTreeSet<String>) {
    if let Some(codes) = value.get("x-codes").and_then(Value::as_array) {
        found.extend(codes.iter().map(|code| code.as_str().unwrap().to_owned()));
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|value| collect_codes(value, found)),
        Value::Array(items) => items.iter().for_each(|value| collect_codes(value, found)),
        _ => {}
    }
}
