//! All pages together: how they are found, and what surrounds each.

use askama::Template;
use statuspulse_core::limits;

use super::page::{Group, Page, SCRIPT, STYLE, rendered};
use super::words::plain_text;
use super::{guide, reference};

/// All pages.
pub(super) struct Site {
    title: String,
    version: String,
    introduction: String,
    pages: Vec<Page>,
    /// The text of each page in lowercase, for the search.
    texts: Vec<String>,
    /// Codes of problems, which have anchors on the page of errors.
    problems: Vec<String>,
}

/// What surrounds each page.
#[derive(Template)]
#[template(path = "docs/frame.html")]
struct Frame<'a> {
    style: &'a str,
    script: &'a str,
    site: &'a str,
    title: &'a str,
    wanted: &'a str,
    /// What leads from the page to the folder of the others.
    base: &'a str,
    groups: Vec<Listed<'a>>,
    /// The name of the page.
    current: &'a str,
    content: &'a str,
}

/// A group with its pages, as the navigation and the first page list it.
struct Listed<'a> {
    title: String,
    page: String,
    is_open: bool,
    pages: Vec<&'a Page>,
}

#[derive(Template)]
#[template(path = "docs/start.html")]
struct Start<'a> {
    version: &'a str,
    introduction: &'a str,
    groups: Vec<Listed<'a>>,
    problems: &'a [String],
}

#[derive(Template)]
#[template(path = "docs/found.html")]
struct Found<'a> {
    wanted: &'a str,
    count: usize,
    /// The first of them.
    pages: Vec<&'a Page>,
}

impl Site {
    pub(super) fn new(document: &str, guide: &str) -> Self {
        let reference = reference::read(document);
        let mut pages = guide::pages(guide);
        pages.extend(reference.pages);
        let text =
            |page: &Page| format!("{} {} {}", page.name, page.title, plain_text(&page.html)).to_lowercase();
        Self {
            texts: pages.iter().map(text).collect(),
            title: reference.title,
            version: reference.version,
            introduction: reference.introduction,
            problems: reference.problems,
            pages,
        }
    }

    /// The first page, at `/docs`.
    pub(super) fn start(&self) -> String {
        let start = Start {
            version: &self.version,
            introduction: &self.introduction,
            groups: self.groups(|_| true),
            problems: &self.problems,
        };
        let content = rendered(&start);
        rendered(&Frame { base: "docs/", content: &content, ..self.frame(&self.title, None) })
    }

    pub(super) fn page(&self, name: &str) -> Option<String> {
        let page = self.pages.iter().find(|page| page.name == name)?;
        let frame = self.frame(&page.title, Some(&page.group));
        Some(rendered(&Frame { current: &page.name, content: &page.html, ..frame }))
    }

    /// The pages that contain all words. Those whose title contains them come first.
    pub(super) fn search(&self, wanted: &str) -> String {
        let lowercase = wanted.to_lowercase();
        let words: Vec<&str> = lowercase.split_whitespace().take(limits::DOCS_SEARCH_WORDS).collect();
        let has_all = |text: &str| !words.is_empty() && words.iter().all(|word| text.contains(word));
        let all = self.pages.iter().zip(&self.texts);
        let mut pages: Vec<&Page> = all.filter(|(_, text)| has_all(text)).map(|(page, _)| page).collect();
        pages.sort_by_key(|page| !has_all(&format!("{} {}", page.name, page.title).to_lowercase()));
        let count = pages.len();
        pages.truncate(limits::DOCS_SEARCH_RESULTS);
        let content = rendered(&Found { wanted, count, pages });
        rendered(&Frame { wanted, content: &content, ..self.frame("Search", None) })
    }

    /// What surrounds a page below `/docs`, with one group open in the navigation.
    fn frame<'a>(&'a self, title: &'a str, open: Option<&Group>) -> Frame<'a> {
        // Objects are many: they are listed on their first page.
        let groups = self.groups(|group| Some(group) == open && *group != Group::Objects);
        let (style, script, site) = (STYLE, SCRIPT, &*self.title);
        Frame { style, script, site, title, wanted: "", base: "", groups, current: "", content: "" }
    }

    fn groups(&self, is_open: impl Fn(&Group) -> bool) -> Vec<Listed<'_>> {
        let mut groups: Vec<(&Group, Vec<&Page>)> = vec![];
        for page in &self.pages {
            match groups.last_mut().filter(|(group, _)| **group == page.group) {
                Some((_, pages)) => pages.push(page),
                None => groups.push((&page.group, vec![page])),
            }
        }
        let listed = groups.into_iter().map(|(group, mut pages)| {
            pages.retain(|page| page.name != group.page());
            Listed { title: group.title(), page: group.page(), is_open: is_open(group), pages }
        });
        listed.collect()
    }
}
