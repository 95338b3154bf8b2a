//! Checks of the structure that the compiler does not make: dependencies between crates and between the modules of a
//! crate, and the length of files.
//!
//! `core` <- {`http`, `outbound`, `aws`, `embedded`} <- {`functions/*`, `local`}. Adapters do not depend on each other,
//! `core` depends on no runtime, database or HTTP crate, and the local program compiles no AWS SDK.

#![expect(clippy::unwrap_used, reason = "test helpers may panic")]

#[path = "architecture/modules.rs"]
mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand};
use statuspulse_core::admin::commands::NewWebhook;
use statuspulse_core::destination::{self, Destination, Format};
use statuspulse_core::event::EventType;

use modules::Modules;

/// The maximum length of a source file. Longer files are hard to keep in mind.
const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The host's target triple. Crates that only other targets need are not downloaded.
fn host() -> String {
    let rustc = std::process::Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(rustc.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    let options = ["--locked", "--offline", "--filter-platform", &host()].map(str::to_owned);
    MetadataCommand::new()
        .manifest_path(manifest)
        .features(CargoOpt::AllFeatures)
        .other_options(options)
        .exec()
        .unwrap()
}

/// The `[dependencies]` of each crate of the workspace.
fn named(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let names =
                package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            (package.name.to_string(), names.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

#[test]
fn core_names_no_crate_of_the_outside_world() {
    let named = named(&metadata());
    let foreign =
        ["tokio", "aws", "reqwest", "axum", "lambda", "hyper", "rusqlite", "rustls", "utoipa", "askama"];
    for name in &named["statuspulse-core"] {
        assert!(!foreign.iter().any(|prefix| name.starts_with(prefix)), "core depends on {name}");
    }
}

#[test]
fn each_crate_names_only_crates_below_it() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("statuspulse-core", &[] as &[&str]),
        ("statuspulse-http", &["statuspulse-core"]),
        ("statuspulse-dashboard", &["statuspulse-core"]),
        ("statuspulse-shares", &["statuspulse-core"]),
        ("statuspulse-outbound", &["statuspulse-core", "statuspulse-shares"]),
        ("statuspulse-embedded", &["statuspulse-core", "statuspulse-shares"]),
        ("statuspulse-aws", &["statuspulse-core"]),
        ("statuspulse-conformance", &["statuspulse-core"]),
        ("statuspulse-emulator", &[]),
        ("statuspulse-verify", &[]),
        ("statuspulse-function-host", &["statuspulse-aws", "statuspulse-core", "statuspulse-outbound"]),
        (
            "statuspulse-functions",
            &["statuspulse-core", "statuspulse-dashboard", "statuspulse-function-host", "statuspulse-http"],
        ),
        ("statuspulse-functions-e2e", &[]),
        ("statuspulse-kit", &[]),
        ("statuspulse-bench", &["statuspulse-kit"]),
        ("statuspulse-fuzz", &[]),
        ("statuspulse-hostile", &["statuspulse-kit"]),
        ("statuspulse-sim", &["statuspulse-core"]),
        (
            "statuspulse",
            &[
                "statuspulse-core",
                "statuspulse-dashboard",
                "statuspulse-embedded",
                "statuspulse-http",
                "statuspulse-kit",
                "statuspulse-outbound",
                "statuspulse-shares",
            ],
        ),
    ]);
    for (package, names) in named(&metadata()) {
        let allowed = allowed
            .get(package.as_str())
            .unwrap_or_else(|| panic!("add {package} to the list of allowed dependencies"));
        for name in names.iter().filter(|name| name.starts_with("statuspulse")) {
            assert!(allowed.contains(&name.as_str()), "{package} must not depend on {name}");
        }
    }
}

#[test]
fn the_local_program_compiles_no_aws_sdk() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let local =
        metadata.workspace_packages().into_iter().find(|package| package.name == "statuspulse").unwrap();
    let mut reached = BTreeSet::new();
    let mut next = vec![&local.id];
    while let Some(id) = next.pop() {
        if reached.insert(id) {
            let node = resolve.nodes.iter().find(|node| node.id == *id).unwrap();
            next.extend(node.deps.iter().map(|dependency| &dependency.pkg));
        }
    }
    assert!(reached.len() > 50, "the dependency graph was not read");
    for id in reached {
        let name = &metadata[id].name;
        assert!(
            !name.starts_with("aws") && !name.starts_with("lambda"),
            "the local program must not compile {name}"
        );
    }
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let mut sources = vec![];
    for folder in ["shared", "local", "functions", "testing"] {
        collect_sources(&root().join(folder), &mut sources);
    }
    assert!(sources.len() > 50, "the sources were not found");
    for source in sources {
        let lines = std::fs::read_to_string(&source).unwrap().lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", source.display());
    }
}

fn collect_sources(folder: &Path, sources: &mut Vec<PathBuf>) {
    collect_files(folder, &["rs"], sources);
}

fn collect_files(folder: &Path, extensions: &[&str], sources: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, extensions, sources);
        } else if path.extension().is_some_and(|known| extensions.iter().any(|extension| known == *extension))
        {
            sources.push(path);
        }
    }
}

/// The table of what answers mean is in the code and in the documentation.
#[test]
fn the_table_of_verdicts_is_the_same_in_code_and_documentation() {
    let code = std::fs::read_to_string(root().join("shared/core/src/destination.rs")).unwrap();
    let documented = std::fs::read_to_string(root().join("docs/destinations.md")).unwrap();
    let table: Vec<&str> = code.lines().filter_map(|line| line.strip_prefix("//! |")).collect();
    assert_eq!(table.len(), 2 + destination::ALL.len(), "a head, a separator and a row each");
    for name in destination::ALL.map(Format::name) {
        assert!(table.iter().any(|row| row.starts_with(&format!(" `{name}` "))), "{name} has no row");
    }
    assert!(
        documented.contains(&format!("|{}\n\n", table.join("\n|"))),
        "docs/destinations.md must contain the table of destination.rs"
    );
}

/// Rule 1.1 of docs/behaviour.md is the list of both.
#[test]
fn every_setting_of_a_webhook_and_every_destination_is_in_the_rules() {
    let rules = std::fs::read_to_string(root().join("docs/behaviour.md")).unwrap();
    let (_, from_rule) = rules.split_once("**1.1**").unwrap();
    let (rule, _) = from_rule.split_once("**1.2**").unwrap();
    for name in NewWebhook::FIELDS.into_iter().chain(destination::ALL.map(Format::name)) {
        assert!(rule.contains(&format!("`{name}`")), "rule 1.1 does not name {name}");
    }
}

/// Nothing else misses them.
#[test]
fn every_destination_has_a_section_and_tests() {
    let documented = std::fs::read_to_string(root().join("docs/destinations.md")).unwrap();
    let titles: Vec<String> =
        documented.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    for name in destination::ALL.map(Format::name) {
        // The format of a customer's own endpoint is in docs/receiving.md, and all other tests use it.
        if name != Destination::default().name() {
            assert!(titles.contains(&name.to_owned()), "docs/destinations.md has no section about {name}");
            let tests = format!("local/tests/spec/destinations_{name}.rs");
            assert!(root().join(&tests).exists(), "{tests} is missing");
        }
    }
}

/// These files list the event types where no compiler reads them.
#[test]
fn every_event_type_is_wherever_all_of_them_are_listed() {
    let files = [
        "docs/behaviour.md",
        "docs/receiving.md",
        "events/signature_vectors.json",
        "infra/template.yaml",
        "local/src/demo/story.rs",
        "local/tests/fuzz/hooks.py",
        "local/tests/spec/support/api.rs",
        "shared/dashboard/e2e/program.js",
        "testing/bench/src/api.rs",
        "testing/kit/src/api.rs",
    ];
    for file in files {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        for name in EventType::ALL.iter().map(|each| each.name()) {
            assert!(text.contains(name), "{file} does not list {name}");
        }
    }
}

/// A destination is added by implementing its format. Nothing else may compare with the name of one.
#[test]
fn only_a_destination_itself_knows_its_name() {
    let mut sources = vec![];
    for folder in ["shared", "functions"] {
        collect_files(&root().join(folder), &["rs", "html", "css", "js"], &mut sources);
    }
    let is_outside = |path: &Path| {
        let path = path.to_string_lossy();
        !["/core/src/destination", "/tests/", "/e2e/", "/node_modules/"]
            .iter()
            .any(|part| path.contains(part))
    };
    let names = destination::ALL.map(|format| format!("\"{}\"", format.name()));
    let compares = |line: &&str| {
        let compares = ["==", "!=", "=>", "matches!", "value="].iter().any(|sign| line.contains(sign));
        compares && names.iter().any(|name| line.contains(name))
    };
    assert!(compares(&"if settings.destination.name() == \"slack\" {"), "the search must find one");
    for source in sources.into_iter().filter(|path| is_outside(path)) {
        let text = std::fs::read_to_string(&source).unwrap();
        let found: Vec<&str> = text.lines().filter(compares).collect();
        assert_eq!(found, Vec::<&str>::new(), "{}: ask the destination's format instead", source.display());
    }
}

/// Sizes, counts and times that a reader may want to change are in a `limits.rs`, with their reasons.
#[test]
fn bounds_are_in_limits_rs() {
    // What follows from another limit or from a format, and sizes of drawings.
    const ELSEWHERE: [&str; 18] = [
        "shared/core/src/retry.rs",
        "shared/core/src/sealing.rs",
        "shared/core/src/secret.rs",
        "shared/core/src/access.rs",
        "shared/core/src/signature.rs",
        "shared/http/src/page.rs",
        "shared/dashboard/src/show.rs",
        "shared/dashboard/src/pages/webhook.rs",
        "shared/embedded/src/schema.rs",
        "shared/embedded/src/sealing.rs",
        "shared/embedded/src/delivery_rows.rs",
        "shared/aws/src/dynamodb/keys.rs",
        "shared/aws/src/dynamodb/item.rs",
        "shared/outbound/src/meter.rs",
        "local/src/demo/mod.rs",
        "local/src/demo/story.rs",
        "local/src/receive.rs",
        "functions/host/src/log.rs",
    ];
    let mut sources = vec![];
    for folder in ["shared", "local", "functions"] {
        collect_sources(&root().join(folder), &mut sources);
    }
    let is_bound = |line: &&str| {
        let declared = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let kind = declared.strip_prefix("const ").and_then(|rest| rest.split_once(": "));
        kind.is_some_and(|(_, rest)| {
            ["usize", "u8", "u16", "u32", "u64", "i32", "i64", "Duration"]
                .iter()
                .any(|kind| rest.starts_with(&format!("{kind} =")))
        })
    };
    assert!(is_bound(&"    pub(crate) const TRIES: u32 = 4;"), "the search must find one");
    for source in sources {
        let path = source.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let is_product = path.contains("/src/") && !path.contains("/tests/");
        if is_product && !path.ends_with("limits.rs") && !ELSEWHERE.contains(&&*path) {
            let text = std::fs::read_to_string(&source).unwrap();
            let found: Vec<&str> = text.lines().filter(is_bound).collect();
            assert_eq!(found, Vec::<&str>::new(), "{path}: move it to limits.rs");
        }
    }
}

/// The ports promise that every read sees all earlier writes. DynamoDB does so only for reads that ask for it.
#[test]
fn every_read_of_dynamodb_asks_to_be_consistent() {
    let mut reads = 0;
    for file in ["sealing.rs", "dynamodb/table.rs", "dynamodb/lists.rs"] {
        let code = std::fs::read_to_string(root().join("shared/aws/src").join(file)).unwrap();
        let count = |text: &str| code.matches(text).count();
        let asked = count(".get_item()") + count(".query()") + count("KeysAndAttributes::builder()");
        assert_eq!(asked, count(".consistent_read(true)"), "{file}");
        reads += asked;
    }
    assert!(reads >= 7, "the reads were not found: were they moved to other files?");
    for entry in std::fs::read_dir(root().join("shared/aws/src/dynamodb")).unwrap() {
        let path = entry.unwrap().path();
        let code = std::fs::read_to_string(&path).unwrap();
        let here = path.ends_with("table.rs") || path.ends_with("lists.rs");
        assert!(here || !code.contains(".get_item()") && !code.contains(".query()"), "{}", path.display());
    }
}

/// Modules in a cycle can only be understood together. Without cycles, a module needs only what is below it.
#[test]
fn modules_of_a_crate_do_not_import_each_other_in_a_cycle() {
    let mut count = 0;
    for package in metadata().workspace_packages() {
        let source = package.manifest_path.parent().unwrap().join("src").into_std_path_buf();
        let mut paths = vec![];
        collect_sources(&source, &mut paths);
        let read = |path: PathBuf| {
            let code = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&source).unwrap().to_owned(), code)
        };
        let modules = Modules::of(paths.into_iter().map(read));
        count += modules.count();
        let cycles = modules.cycles();
        assert!(cycles.is_empty(), "cycles in {}:\n{}", package.name, cycles.join("\n\n"));
    }
    assert!(count > 150, "the modules were not found");
}
