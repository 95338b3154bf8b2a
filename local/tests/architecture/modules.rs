//! Finds modules of a crate that import each other in a cycle. Imports are paths in `use` items and in code that lead
//! to another module of the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::Visit;
use syn::{Item, UseTree};

/// The path of a module in its crate, for example `["store", "table"]`. The path of the crate's root is empty.
type ModulePath = Vec<String>;

/// The modules of a crate, and which of them each one imports. Every file is a module, except the crate's root: it
/// declares all others, and they use what it declares.
pub(crate) struct Modules {
    files: BTreeMap<ModulePath, PathBuf>,
    imports: BTreeMap<ModulePath, BTreeSet<ModulePath>>,
}

impl Modules {
    /// Reads the files of a crate: their paths below `src`, and their code.
    pub(crate) fn of(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let mut parsed = BTreeMap::new();
        let mut for_tests = vec![];
        for (path, code) in files {
            let module = module_of(&path);
            let file = syn::parse_file(&code).unwrap();
            for item in file.items.iter().filter(|item| is_for_tests(item)) {
                if let Item::Mod(declared) = item {
                    for_tests.push([&module[..], &[declared.ident.to_string()]].concat());
                }
            }
            parsed.insert(module, (path, file));
        }
        parsed.retain(|module, _| {
            !module.is_empty() && !for_tests.iter().any(|declared| module.starts_with(declared))
        });
        let files = parsed.iter().map(|(module, (path, _))| (module.clone(), path.clone())).collect();
        let mut modules = Self { files, imports: BTreeMap::new() };
        for (module, (_, file)) in &parsed {
            let mut paths = Paths::new(&modules.files, module);
            paths.visit_file(file);
            let imported = paths.found.iter().filter_map(|path| modules.containing(path));
            let imported = imported.filter(|imported| imported != module).collect();
            modules.imports.insert(module.clone(), imported);
        }
        modules
    }

    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// The module that contains what this path names.
    fn containing(&self, path: &[String]) -> Option<ModulePath> {
        (1..=path.len())
            .rev()
            .map(|length| path[..length].to_vec())
            .find(|path| self.files.contains_key(path))
    }

    /// Each cycle as text: its imports, and the files that contain them.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
            self.files.keys().map(|module| (module, self.reached_from(module))).collect();
        let cycle_of = |module| {
            let cycle = reached[module].iter().copied().filter(|other| reached[other].contains(module));
            cycle.collect::<BTreeSet<_>>()
        };
        let cycles: BTreeSet<_> = self.files.keys().map(cycle_of).filter(|cycle| !cycle.is_empty()).collect();
        cycles.iter().map(|cycle| self.describe(cycle)).collect()
    }

    fn reached_from(&self, module: &ModulePath) -> BTreeSet<&ModulePath> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = self.imports[module].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(&self.imports[module]);
            }
        }
        reached
    }

    fn describe(&self, cycle: &BTreeSet<&ModulePath>) -> String {
        let mut edges = vec![];
        for module in cycle {
            for imported in self.imports[*module].iter().filter(|imported| cycle.contains(imported)) {
                let (from, to, file) =
                    (module.join("::"), imported.join("::"), self.files[*module].display());
                edges.push(format!("{from} -> {to} ({file})"));
            }
        }
        edges.join("\n")
    }
}

/// The module of a file, from its path relative to `src`.
fn module_of(file: &Path) -> ModulePath {
    let path = file.with_extension("");
    let mut module: ModulePath = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    let is_root = module.len() == 1 && matches!(module[0].as_str(), "lib" | "main");
    if is_root || module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    module
}

/// Finds the paths in a file that lead to modules of its crate.
struct Paths<'a> {
    files: &'a BTreeMap<ModulePath, PathBuf>,
    /// The module that is visited; inside of `mod x { … }` with its name.
    within: ModulePath,
    /// What `use` items name so far, with its path from the root of the crate.
    imported: BTreeMap<String, Vec<String>>,
    /// The paths, from the root of the crate.
    found: Vec<Vec<String>>,
}

impl<'a> Paths<'a> {
    fn new(files: &'a BTreeMap<ModulePath, PathBuf>, module: &ModulePath) -> Self {
        Self { files, within: module.clone(), imported: BTreeMap::new(), found: vec![] }
    }

    fn add(&mut self, path: &[String]) {
        self.found.extend(self.within_crate(path));
    }

    /// The path from the root of the crate; `None` if it leads to another crate.
    fn within_crate(&self, path: &[String]) -> Option<Vec<String>> {
        let first = path.first()?;
        let mut start = self.within.clone();
        let mut rest = path;
        match first.as_str() {
            "crate" => {
                start.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    start.pop();
                    rest = &rest[1..];
                }
            }
            child if path.len() > 1 && self.has_child(child) => {}
            name => {
                start.clone_from(self.imported.get(name)?);
                rest = &path[1..];
            }
        }
        start.extend_from_slice(rest);
        Some(start)
    }

    fn has_child(&self, name: &str) -> bool {
        let mut child = self.within.clone();
        child.push(name.to_owned());
        self.files.contains_key(&child)
    }

    fn add_use(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| match name.to_string() {
            // `use store::{self}` is `use store`.
            name if name == "self" && !before.is_empty() => before.to_vec(),
            name => [before, &[name]].concat(),
        };
        match tree {
            UseTree::Path(path) => self.add_use(&with(&path.ident), &path.tree),
            UseTree::Name(name) => {
                let path = with(&name.ident);
                self.add_name(path[path.len() - 1].clone(), &path);
            }
            UseTree::Rename(rename) => self.add_name(rename.rename.to_string(), &with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(before, tree)),
        }
    }

    fn add_name(&mut self, name: String, path: &[String]) {
        if let Some(path) = self.within_crate(path) {
            self.found.push(path.clone());
            self.imported.insert(name, path);
        }
    }

    /// Adds the paths in the tokens of a macro or an attribute.
    fn add_tokens(&mut self, mut rest: Cursor<'_>) {
        while !rest.eof() {
            if let Some((inside, _, _, after)) = rest.any_group() {
                self.add_tokens(inside);
                rest = after;
                continue;
            }
            let mut path = vec![];
            while let Some((name, after)) = rest.ident() {
                path.push(name.to_string());
                rest = after;
                let Some(after) = after_colon(after).and_then(after_colon) else { break };
                rest = after;
            }
            if path.is_empty() {
                rest = rest.token_tree().unwrap().1;
            }
            self.add(&path);
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(item) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.within.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.add_use(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.add(&names);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.add_tokens(TokenBuffer::new2(call.tokens.clone()).begin());
        syn::visit::visit_macro(self, call);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.add_tokens(TokenBuffer::new2(list.tokens.clone()).begin());
    }

    /// `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn after_colon(at: Cursor<'_>) -> Option<Cursor<'_>> {
    at.punct().filter(|(mark, _)| mark.as_char() == ':').map(|(_, after)| after)
}

/// Whether the item is only compiled for tests.
fn is_for_tests(item: &Item) -> bool {
    let attributes = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

#[test]
fn a_cycle_is_found_in_each_form_of_a_path() {
    let find = |files: &[(&str, &str)]| {
        Modules::of(files.iter().map(|(path, code)| (path.into(), (*code).to_owned()))).cycles()
    };
    let below = ("store/table.rs", "use crate::clock::Clock;");
    let clock = |code| [("lib.rs", "mod clock; mod store; use store::Table;"), below, ("clock.rs", code)];
    for cycle in [
        "use crate::store::table::Table;",
        "use crate::{ids, store::{table, keys}};",
        "use super::store::table::*;",
        "use crate::store; fn now(table: &store::table::Table) {}",
        "use crate::store::{self as kept}; fn now() { kept::table::read(); }",
        "mod inner { use super::super::store::table::Table; }",
        "fn now(table: &crate::store::table::Table) {}",
        "fn now() { crate::store::table::read(); }",
        "fn now() { println!(\"{}\", 1 + crate::store::table::read()); }",
        "#[derive(Clone)] struct Clock { #[schema(value_type = crate::store::table::Time)] at: u64 }",
    ] {
        let found = find(&clock(cycle));
        let expected = "clock -> store::table (clock.rs)\nstore::table -> clock (store/table.rs)";
        assert_eq!(found, [expected], "{cycle}");
    }
    for harmless in [
        "use crate::Table;",
        "use std::store::table::Table;",
        "#[cfg(test)] mod tests { use crate::store::table::Table; }",
        "#[cfg(test)] use crate::store::table::Table;",
        "/// [`Table`](crate::store::table::Table)\nstruct Clock;",
    ] {
        assert!(find(&clock(harmless)).is_empty(), "{harmless}");
    }
    // A parent may declare a child that uses it. If it also uses the child, that is a cycle.
    let parent = |code| [("store/mod.rs", code), ("store/table.rs", "use super::Key;")];
    assert!(find(&parent("mod table;")).is_empty());
    for cycle in ["mod table; pub use table::Table;", "mod table; fn read() { table::read(); }"] {
        let expected = "store -> store::table (store/mod.rs)\nstore::table -> store (store/table.rs)";
        assert_eq!(find(&parent(cycle)), [expected], "{cycle}");
    }
}
