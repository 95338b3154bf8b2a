//! `/openapi.json` and `/docs`: public, and without external files.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Answer, DOCUMENT, Described, World};

async fn page() -> Answer {
    let answer = World::new().await.nobody().get("/docs").await;
    assert_eq!(answer.status, StatusCode::OK);
    answer
}

/// All values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let opening = format!(" {attribute}=\"");
    html.split(&opening).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn the_document_is_served_as_it_is_committed() {
    let answer = World::new().await.nobody().get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.expect(StatusCode::OK), *DOCUMENT);
    assert_eq!(answer.expect(StatusCode::OK)["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_page_loads_runs_and_sends_nothing() {
    let answer = page().await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let html = &answer.text;
    for wrong in ["<script", "<link", "<img", "<iframe", "<form", "@import", "url(", "//cdn", " style="] {
        assert!(!html.contains(wrong), "the page has {wrong}");
    }
    assert!(values(html, "src").is_empty());
    assert!(values(html, "href").iter().all(|href| href.starts_with('#') || *href == "openapi.json"));
    let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let digest = STANDARD.encode(Sha256::digest(style));
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(policy.contains(&format!("style-src 'sha256-{digest}'")), "{policy}");
}

#[tokio::test]
async fn every_link_of_the_page_has_a_target_and_every_anchor_is_unique() {
    let answer = page().await;
    let ids = values(&answer.text, "id");
    let anchors: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(anchors.len(), ids.len());
    for href in values(&answer.text, "href").into_iter().filter_map(|href| href.strip_prefix('#')) {
        assert!(anchors.contains(href), "#{href} leads nowhere");
    }
    for named in values(&answer.text, "aria-labelledby") {
        assert!(anchors.contains(named), "{named} names nothing");
    }
}

#[tokio::test]
async fn every_operation_is_on_the_page_with_its_roles_parameters_and_call() {
    let answer = page().await;
    for operation in Described::all() {
        let start = answer.text.split_once(&format!("<h3 id=\"{}\">", operation.id())).unwrap().1;
        let article = start.split_once("</article>").unwrap().0;
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
        assert!(article.contains("<code>curl"), "{}", operation.id());
        assert!(article.contains(&format!("&#34;$URL{path}")), "{}", operation.id());
    }
}

/// Problem documents link here: `type` is `/docs#problem-…`.
#[tokio::test]
async fn every_code_of_a_refusal_is_explained() {
    let answer = page().await;
    let mut found = BTreeSet::new();
    collect_codes(&DOCUMENT, &mut found);
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

fn collect_codes(value: &Value, found: &mut BTreeSet<String>) {
    if let Some(codes) = value.pointer("/properties/code/enum").and_then(Value::as_array) {
        found.extend(codes.iter().map(|code| code.as_str().unwrap().to_owned()));
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|value| collect_codes(value, found)),
        Value::Array(items) => items.iter().for_each(|value| collect_codes(value, found)),
        _ => {}
    }
}
