//! A page of the reference, and its place.

use askama::Template;

use super::words::escaped;

/// All pages have the same style sheet and script.
pub(super) const STYLE: &str = include_str!("../../templates/docs/style.css");
pub(super) const SCRIPT: &str = include_str!("../../templates/docs/script.js");

/// A part of the reference, as the navigation shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Group {
    Receiving,
    /// The operations of a tag of the document.
    Tag(String),
    Errors,
    Objects,
}

impl Group {
    pub(super) fn title(&self) -> String {
        match self {
            Self::Receiving => "Receiving".to_owned(),
            Self::Tag(name) => capitalised(name),
            Self::Errors => "Errors".to_owned(),
            Self::Objects => "Objects".to_owned(),
        }
    }

    /// The name of its first page.
    pub(super) fn page(&self) -> String {
        match self {
            Self::Tag(name) => name.clone(),
            other => other.title().to_lowercase(),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A page.
pub(super) struct Page {
    /// Its path below `/docs`. When the reference was a single page, this was an anchor on it.
    pub(super) name: String,
    pub(super) group: Group,
    pub(super) title: String,
    /// Says in a line of text what the page is about.
    pub(super) summary: String,
    /// What it contains, below its title.
    pub(super) html: String,
}

/// A list of links to pages, with what each is about.
pub(super) fn list<'a>(pages: impl IntoIterator<Item = &'a Page>) -> String {
    let item = |page: &Page| {
        let (name, title, summary) = (&page.name, escaped(&page.title), escaped(&page.summary));
        format!("<dt><a href=\"{name}\">{title}</a></dt><dd>{summary}</dd>")
    };
    format!("<dl class=\"pages\">{}</dl>", pages.into_iter().map(item).collect::<String>())
}

#[expect(clippy::expect_used, reason = "writing to a String does not fail")]
pub(super) fn rendered(template: &impl Template) -> String {
    template.render().expect("a template without filters that fail")
}
