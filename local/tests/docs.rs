//! Checks of the documents: links, cited rules, commands, flags and variables exist, and numbers are right.

#![expect(clippy::unwrap_used, reason = "test helpers may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Parser, Tag, TagEnd};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files of the repository with this ending, without generated and installed files.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let is_built = path == root().join("target");
                if !is_built && !["node_modules", ".git", ".aws-sam", "cdk.out"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The parts of a document that are checked.
#[derive(Default)]
struct Document {
    path: PathBuf,
    links: Vec<String>,
    /// The anchors of its headings.
    anchors: BTreeSet<String>,
    /// Its code blocks of the language `sh`.
    samples: Vec<String>,
    /// Its inline code.
    codes: Vec<String>,
}

impl Document {
    fn of(path: &Path) -> Self {
        let text = read(path);
        let mut document = Self { path: path.to_owned(), ..Self::default() };
        let (mut heading, mut sample) = (None::<String>, None::<String>);
        for event in Parser::new_ext(&text, pulldown_cmark::Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    document.anchors.insert(anchor(&heading.take().unwrap()));
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(CowStr::Borrowed("sh")))) => {
                    sample = Some(String::new());
                }
                Event::End(TagEnd::CodeBlock) => document.samples.extend(sample.take()),
                Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                    document.codes.push(text.into_string());
                }
                Event::Text(text) => {
                    for open in [&mut heading, &mut sample].into_iter().flatten() {
                        open.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        document
    }

    fn all() -> Vec<Self> {
        files(".md").iter().map(|path| Self::of(path)).collect()
    }

    /// Everything that a reader could copy into a shell.
    fn commands(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().chain(&self.codes).map(String::as_str)
    }
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let documents = Document::all();
    assert!(documents.len() > 15, "too few documents were found");
    let mut broken = vec![];
    for document in &documents {
        for link in document.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.path.clone(),
                file => document.path.parent().unwrap().join(file),
            };
            let leads =
                target.exists() && (anchor.is_empty() || Document::of(&target).anchors.contains(anchor));
            if !leads {
                broken.push(format!("{}: {link}", short(&document.path)));
            }
        }
    }
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

/// The rules that a line cites, such as "rule 9.2" or "rules 4.3, 4.4 and 8.1".
fn cited_rules(line: &str) -> Vec<String> {
    let lower = line.to_lowercase();
    let Some((_, cited)) = ["rule ", "rules "].iter().find_map(|word| lower.split_once(word)) else {
        return vec![];
    };
    let words = cited.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_digit()));
    let numbers = words.take_while(|word| word.is_empty() || word.contains('.'));
    numbers.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The invariants that a line cites, such as "I7".
fn cited_invariants(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let is_invariant = |word: &&str| {
        word.strip_prefix('I').is_some_and(|n| n.len() == 1 && n.chars().all(|c| c.is_ascii_digit()))
    };
    words.filter(is_invariant).map(str::to_owned).collect()
}

#[test]
fn every_rule_section_and_invariant_that_is_cited_exists() {
    let behaviour = read(&root().join("docs/behaviour.md"));
    let (mut rules, mut invariants, mut unknown) = (0, 0, vec![]);
    for path in files(".rs").into_iter().chain(files(".md")).chain(files(".py")) {
        for (number, line) in (1..).zip(read(&path).lines()) {
            let mut check = |what: &str, exists: bool| {
                if !exists {
                    unknown.push(format!("{}:{number}: {what}", short(&path)));
                }
            };
            for rule in cited_rules(line) {
                rules += 1;
                check(&rule, behaviour.contains(&format!("**{rule}**")));
            }
            for invariant in cited_invariants(line) {
                invariants += 1;
                check(&invariant, behaviour.contains(&format!("**{invariant}**")));
            }
            if let Some((before, _)) = line.to_lowercase().split_once(" of docs/behaviour.md")
                && let Some((_, section)) = before.rsplit_once("section ")
            {
                rules += 1;
                check(section, behaviour.contains(&format!("\n## {section} ")));
            }
        }
    }
    assert!(rules > 30 && invariants > 30, "{rules} rules and {invariants} invariants were found");
    assert!(unknown.is_empty(), "cited, but not in docs/behaviour.md: {unknown:#?}");
}

/// A threat that no test shows any more must not look as if one did.
#[test]
fn every_test_that_the_threat_model_points_at_exists() {
    let sources: Vec<String> = files(".rs").iter().map(|path| read(path)).collect();
    let document = Document::of(&root().join("SECURITY.md"));
    let is_name = |code: &&String| {
        code.len() > 24
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
    };
    let named: Vec<&String> = document.codes.iter().filter(is_name).collect();
    assert!(named.len() > 30, "{named:?}");
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !sources.iter().any(|source| source.contains(&format!("fn {name}("))))
        .collect();
    assert_eq!(missing, Vec::<&String>::new(), "named in SECURITY.md, but there is no such test");
}

#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = read(&root().join("Makefile"));
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let mut unknown = vec![];
    for document in Document::all() {
        for line in document.commands().flat_map(str::lines) {
            let mut words = line.split_whitespace().skip_while(|word| *word != "make");
            if let (Some(_), Some(target)) = (words.next(), words.next())
                && !targets.contains(target)
            {
                unknown.push(format!("{}: make {target}", short(&document.path)));
            }
        }
    }
    assert!(unknown.is_empty(), "not in the Makefile: {unknown:#?}");
}

/// A sample may contain placeholders, but its syntax must be valid.
#[test]
fn every_shell_sample_is_a_shell_program() {
    let mut samples = 0;
    for document in Document::all() {
        for sample in &document.samples {
            samples += 1;
            let checked = Command::new("bash").args(["-n", "-c", sample]).output().unwrap();
            assert!(
                checked.status.success(),
                "{}: {}\n{sample}",
                short(&document.path),
                String::from_utf8_lossy(&checked.stderr)
            );
        }
    }
    assert!(samples > 15, "{samples} samples were found");
}

fn help(subcommand: &[&str]) -> String {
    let program =
        Command::new(env!("CARGO_BIN_EXE_statuspulse")).args(subcommand).arg("--help").output().unwrap();
    String::from_utf8(program.stdout).unwrap()
}

fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let is_flag =
        |word: &&str| word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic));
    words.filter(is_flag).map(str::to_owned).collect()
}

#[test]
fn every_flag_of_the_program_in_a_sample_exists() {
    let mut unknown = vec![];
    for document in Document::all() {
        let joined: Vec<String> = document.commands().map(|text| text.replace("\\\n", " ")).collect();
        for line in joined.iter().flat_map(|text| text.lines()) {
            let mut words = line.split_whitespace().skip_while(|word| !word.ends_with("statuspulse"));
            let (Some(_), Some(subcommand)) = (words.next(), words.next()) else { continue };
            let has_actions = ["keys", "webhooks", "deliveries", "events"].contains(&subcommand);
            if !has_actions && !["serve", "demo", "receive", "backup", "restore"].contains(&subcommand) {
                continue;
            }
            let action = words.clone().next().filter(|word| has_actions && !word.starts_with('-'));
            let subcommands: Vec<&str> = [Some(subcommand), action].into_iter().flatten().collect();
            let known = flags(&help(&subcommands));
            let used = flags(&words.take_while(|word| !word.starts_with('#')).collect::<Vec<_>>().join(" "));
            unknown.extend(
                used.difference(&known).map(|flag| format!("{}: {subcommand} {flag}", short(&document.path))),
            );
        }
    }
    assert!(unknown.is_empty(), "the program does not have these flags: {unknown:#?}");
}

#[test]
fn every_flag_of_serve_and_receive_and_every_variable_is_in_the_documents() {
    let documents = ["README.md", "docs/operations.md", "docs/running.md"];
    let text: String =
        documents.iter().map(|file| std::fs::read_to_string(root().join(file)).unwrap_or_default()).collect();
    let undocumented: Vec<String> = ["serve", "receive"]
        .into_iter()
        .flat_map(|subcommand| flags(&help(&[subcommand])))
        .filter(|flag| flag != "--help" && !text.contains(flag))
        .collect();
    assert!(undocumented.is_empty(), "flags that no document mentions: {undocumented:?}");
    assert!(text.contains("STATUSPULSE_LOG"));
}

/// Each alarm of the template has a heading in the runbook, and each heading has its alarm.
#[test]
fn every_alarm_has_its_runbook() {
    let template = read(&root().join("infra/template.yaml"));
    let alarms: BTreeSet<&str> = template
        .split("AlarmName: !Sub \"${AWS::StackName}-")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let operations = read(&root().join("docs/operations.md"));
    let section = operations.split("\n## ").find(|section| section.starts_with("Alarms\n")).unwrap();
    let headings = section.lines().filter_map(|line| line.strip_prefix("### "));
    assert_eq!(headings.flat_map(|heading| heading.split(", ")).collect::<BTreeSet<_>>(), alarms);
}

/// A source file that a document or a comment names exists.
#[test]
fn every_source_file_that_is_named_exists() {
    let sources = files(".rs");
    let mut missing = vec![];
    // A decision record and the changelog describe the code as it was.
    let is_history = |path: &Path| path.ends_with("CHANGELOG.md") || short(path).starts_with("docs/adr/");
    for path in files(".md").iter().filter(|path| !is_history(path)).chain(&sources) {
        let text = read(path);
        let is_source = path.extension().is_some_and(|ending| ending == "rs");
        for line in text.lines().filter(|line| !is_source || line.trim_start().starts_with("//")) {
            for quoted in line.split('`').skip(1).step_by(2) {
                let name = quoted.split(':').next().unwrap_or_default();
                let is_file = name.ends_with(".rs") && !name.contains(['*', '{', ' ', '<', '…']);
                if is_file && !sources.iter().any(|source| source.ends_with(name)) {
                    missing.push(format!("{}: `{name}`", short(path)));
                }
            }
        }
    }
    assert!(missing.is_empty(), "no such file:\n{}", missing.join("\n"));
}

/// `make coldstart` is not part of the tests, and a function does not start without its variables.
#[test]
fn every_variable_that_a_function_needs_is_in_the_measurement_of_cold_starts() {
    let environment = read(&root().join("functions/host/src/environment.rs"));
    let measured = read(&root().join("infra/coldstart.py"));
    let needed: Vec<&str> =
        environment.split("required(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(needed.len() >= 4, "{needed:?}");
    let missing: Vec<_> = needed.iter().filter(|name| !measured.contains(&format!("\"{name}\""))).collect();
    assert!(missing.is_empty(), "infra/coldstart.py does not set {missing:?}");
}

/// Where a document gives a number of functions or seeded defects, it is the real number.
#[test]
fn numbers_of_things_are_what_is_there() {
    let template = read(&root().join("infra/template.yaml"));
    let functions = template.matches("Type: AWS::Serverless::Function").count();
    let mutations = ["rules.rs", "repairs.rs"].map(|file| {
        read(&root().join("testing/sim/tests/mutations").join(file)).matches("    Mutation {").count()
    });
    let counted = [("Lambda functions", functions), ("seeded defects", mutations.iter().sum())];
    for document in Document::all() {
        let text = read(&document.path).replace('\n', " ");
        for (name, count) in counted {
            for (before, _) in text.match_indices(name).map(|(at, _)| text.split_at(at)) {
                let word = before.trim_end().rsplit(' ').next().unwrap_or_default();
                if let Some(said) = number(word) {
                    assert_eq!(said, count, "{}: {word} {name}", short(&document.path));
                }
            }
        }
    }
}

fn number(word: &str) -> Option<usize> {
    let words =
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    words.iter().position(|known| *known == word).map(|at| at + 1).or_else(|| word.parse().ok())
}

#[test]
fn citations_are_recognised() {
    assert_eq!(cited_rules("/// Retries (rules 4.3, 4.4 and 8.1)."), ["4.3", "4.4", "8.1"]);
    assert_eq!(cited_rules("//! A list (rule 9.3)."), ["9.3"]);
    assert_eq!(cited_rules("the ladder's own rule"), Vec::<String>::new());
    assert_eq!(cited_invariants("I4, I5: `I64` and AI3"), ["I4", "I5"]);
    assert_eq!(anchor("5 Retries, and `Retry-After`"), "5-retries-and-retry-after");
}

/// The unit, the image and the package set only what the program knows, and SQLite's folder is theirs.
#[test]
fn the_packaging_names_variables_of_serve_and_a_unit_that_systemd_accepts() {
    let packaging = root().join("packaging");
    let help = help(&["serve"]);
    for file in ["statuspulse.service", "Dockerfile"] {
        let text = std::fs::read_to_string(packaging.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        let used: BTreeSet<&str> = words.filter(|word| word.starts_with("STATUSPULSE_")).collect();
        assert!(used.contains("STATUSPULSE_DATA"), "{file}: {used:?}");
        let unknown: Vec<_> = used.iter().filter(|name| !help.contains(&format!("[env: {name}="))).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?} are not variables of serve");
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(packaging.join("statuspulse.service")).unwrap();
    let unit = unit.replace("/usr/bin/statuspulse", env!("CARGO_BIN_EXE_statuspulse"));
    std::fs::write(folder.path().join("statuspulse.service"), unit).unwrap();
    match Command::new("systemd-analyze")
        .args(["verify", "./statuspulse.service"])
        .current_dir(&folder)
        .output()
    {
        Ok(verified) => assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr)),
        Err(_) => eprintln!("the unit was NOT verified: systemd-analyze is not installed"),
    }
}

#[test]
fn completions_and_manual_pages_have_every_command() {
    let program = || Command::new(env!("CARGO_BIN_EXE_statuspulse"));
    let folder = tempfile::tempdir().unwrap();
    assert!(program().arg("man").arg(folder.path()).status().unwrap().success());
    for shell in ["bash", "zsh", "fish"] {
        let printed = program().args(["completions", shell]).output().unwrap();
        let text = String::from_utf8(printed.stdout).unwrap();
        for command in ["serve", "backup", "webhooks"] {
            assert!(text.contains(command), "{shell} knows no {command}");
            let page = folder.path().join(format!("statuspulse-{command}.1"));
            assert!(page.exists(), "there is no {}", page.display());
        }
    }
}
