//! Makes pages from `docs/receiving.md`: one for each of its parts. What it links to in the repository is named and not
//! linked, because a deployment does not have it.

use std::collections::BTreeMap;

use pulldown_cmark::{
    CodeBlockKind, CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html,
};

use super::page::{Group, Page};
use super::words::{escaped, plain_text};

/// The name of the first page, which has the introduction and the first part. The others are named after it.
const FIRST: &str = "receiving";

/// A part of the guide: its heading, and what follows up to the next one.
struct Part<'a> {
    title: String,
    events: Vec<Event<'a>>,
}

/// The pages of the guide.
pub(super) fn pages(guide: &str) -> Vec<Page> {
    let parts = parts(guide);
    let places = places(&parts);
    let page = |(place, part): (usize, Part<'_>)| {
        let html = rendered(part.events, &places);
        let first = html.split_once("<p>").and_then(|(_, rest)| rest.split_once("</p>"));
        Page {
            name: page_name(place, &part.title),
            group: Group::Receiving,
            summary: plain_text(first.map_or("", |(text, _)| text)),
            title: part.title,
            html,
        }
    };
    parts.into_iter().enumerate().map(page).collect()
}

/// The first part has the title of the document, the introduction and the first heading. The table of contents is left
/// out, because each page has one.
fn parts(guide: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = vec![];
    let mut introduction = vec![];
    let mut document = String::new();
    let mut is_contents = false;
    let mut events = Parser::new_ext(guide, Options::ENABLE_TABLES);
    while let Some(event) = events.next() {
        match &event {
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => document = heading(&mut events),
            Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) => {
                let title = heading(&mut events);
                parts.push(if parts.is_empty() {
                    introduction.extend(heading_events(title));
                    Part { title: std::mem::take(&mut document), events: std::mem::take(&mut introduction) }
                } else {
                    Part { title, events: vec![] }
                });
            }
            Event::Start(Tag::List(None)) if parts.is_empty() => is_contents = true,
            Event::End(TagEnd::List(_)) if is_contents => is_contents = false,
            _ if is_contents => {}
            _ => parts.last_mut().map_or(&mut introduction, |part| &mut part.events).push(event),
        }
    }
    parts
}

/// A heading inside a part.
fn heading_events<'a>(title: String) -> [Event<'a>; 3] {
    let level = HeadingLevel::H3;
    let start = Tag::Heading { level, id: None, classes: vec![], attrs: vec![] };
    [Event::Start(start), Event::Text(title.into()), Event::End(TagEnd::Heading(level))]
}

/// The text of a heading whose start was read.
fn heading<'a>(events: &mut impl Iterator<Item = Event<'a>>) -> String {
    let inside = events.take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    inside
        .filter_map(|event| {
            if let Event::Text(text) | Event::Code(text) = event { Some(text.into_string()) } else { None }
        })
        .collect()
}

fn page_name(place: usize, title: &str) -> String {
    if place == 0 { FIRST.to_owned() } else { format!("{FIRST}-{}", slug(title)) }
}

/// The anchor of a heading, as GitHub makes it.
fn slug(title: &str) -> String {
    let kept = title.to_lowercase();
    let kept = kept.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-'));
    kept.map(|one| if one == ' ' { '-' } else { one }).collect()
}

/// Where each heading is, by its anchor: `receiving-limits`, or `receiving-register#change-it`.
fn places(parts: &[Part<'_>]) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    for (place, part) in parts.iter().enumerate() {
        let page = page_name(place, &part.title);
        let mut events = part.events.iter().cloned();
        while let Some(event) = events.next() {
            if matches!(event, Event::Start(Tag::Heading { .. })) {
                let anchor = slug(&heading(&mut events));
                places.insert(anchor.clone(), format!("{page}#{anchor}"));
            }
        }
        places.insert(slug(&part.title), page);
    }
    places
}

fn rendered(events: Vec<Event<'_>>, places: &BTreeMap<String, String>) -> String {
    let mut shown: Vec<Event<'_>> = vec![];
    let mut is_linked = false;
    let mut events = events.into_iter();
    let raw = |text: String| Event::Html(CowStr::from(text));
    while let Some(event) = events.next() {
        shown.push(match event {
            // A part has a page, so its headings are one level higher there.
            Event::Start(Tag::Heading { level, .. }) => {
                let title = heading(&mut events);
                let level = if level == HeadingLevel::H3 { 2 } else { 3 };
                raw(format!("<h{level} id=\"{}\">{}</h{level}>\n", slug(&title), escaped(&title)))
            }
            Event::Start(Tag::CodeBlock(kind)) => raw(code_block(&kind, &mut events)),
            Event::Start(Tag::Link { dest_url, title, id, .. }) => match target(&dest_url, places) {
                Some(target) => {
                    is_linked = true;
                    let dest_url = CowStr::from(target);
                    Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id })
                }
                None => continue,
            },
            Event::End(TagEnd::Link) if !std::mem::take(&mut is_linked) => continue,
            event => event,
        });
    }
    let mut html = String::new();
    html::push_html(&mut html, shown.into_iter());
    html
}

fn code_block<'a>(kind: &CodeBlockKind<'_>, events: &mut impl Iterator<Item = Event<'a>>) -> String {
    let inside = events.take_while(|event| !matches!(event, Event::End(TagEnd::CodeBlock)));
    let code: String = inside
        .filter_map(|event| if let Event::Text(text) = event { Some(text.into_string()) } else { None })
        .collect();
    let label = if matches!(kind, CodeBlockKind::Fenced(language) if &**language == "sh") {
        "Command"
    } else {
        "Example"
    };
    format!(
        "<pre tabindex=\"0\" role=\"group\" aria-label=\"{label}\"><code>{}</code></pre>\n",
        escaped(code.trim_end())
    )
}

/// Where a link leads, seen from a page of the guide; `None` if it leads to a file of the repository.
fn target(url: &str, places: &BTreeMap<String, String>) -> Option<String> {
    match url.strip_prefix('#') {
        Some(anchor) => places.get(anchor).cloned(),
        None if url == "openapi.json" => Some("../openapi.json".to_owned()),
        None => url.starts_with("https://").then(|| url.to_owned()),
    }
}
