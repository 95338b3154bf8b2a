//! All routes: those of the API from its description, which must match the router (`shared/http/tests/api/document.rs`), and
//! those of the dashboard from its router.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

/// A route of the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The roles that may call it, sorted; empty if everybody may.
    pub(crate) roles: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `docs/openapi.json`.
pub(crate) static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    serde_json::from_str(&text).unwrap()
});

/// All operations of the API.
pub(crate) fn of_api() -> Vec<Route> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, operations)| {
        operations.as_object().unwrap().iter().map(move |(method, described)| (path, method, described))
    });
    let route = |(path, method, described): (&String, &String, &Value)| {
        let needed = described["security"].as_array().cloned().unwrap_or_default();
        let roles = needed.iter().flat_map(|one| one["key"].as_array().unwrap().clone());
        let roles: BTreeSet<String> = roles.map(|role| role.as_str().unwrap().to_owned()).collect();
        Route { method: method.to_uppercase(), path: path.clone(), roles: roles.into_iter().collect() }
    };
    operations.map(route).collect()
}

/// The paths of all pages and of all forms of the dashboard, with placeholders.
pub(crate) struct OfDashboard {
    pub(crate) pages: Vec<String>,
    pub(crate) forms: Vec<String>,
}

pub(crate) fn of_dashboard() -> OfDashboard {
    let router = std::fs::read_to_string(root().join("shared/dashboard/src/pages/mod.rs")).unwrap();
    let lines: Vec<&str> = router.lines().filter(|line| line.contains(".route(")).collect();
    let with = |method: &str| {
        let lines = lines.iter().filter(|line| line.contains(method));
        lines.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let found = OfDashboard { pages: with("get("), forms: with("post(") };
    assert!(found.pages.len() > 20 && found.forms.len() > 20, "the router is read");
    found
}
