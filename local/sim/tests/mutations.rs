//! Can the simulation see? Each defect here is a change of a line of the rules, or of what the ports promise; the
//! simulation has to find every one. A defect that survives is a fault or an invariant that is missing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

use std::path::{Path, PathBuf};
use std::process::Command;

struct Mutation {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const CORE: &str = "shared/core/src/";
/// Runs in which a defect has to show. The rarest of them takes a few thousand.
const RUNS: &str = "20000";

const MUTATIONS: [Mutation; 31] = [
    Mutation {
        name: "a receiver asks for patience in vain",
        file: "usecase/attempt.rs",
        from: "made.retry_after.and_then(|header| retry::retry_after(&header, now));",
        to: "made.retry_after.and_then(|header| retry::retry_after(&header, now)).filter(|_| false);",
    },
    Mutation {
        name: "a receiver may ask for a day",
        file: "retry.rs",
        from: "Some(asked.min(limits::RETRY_AFTER_MAX))",
        to: "Some(asked)",
    },
    Mutation {
        name: "a redirect is taken for a success",
        file: "attempt.rs",
        from: "200..=299 => None,",
        to: "200..=399 => None,",
    },
    Mutation {
        name: "what came of an attempt is not recorded",
        file: "usecase/attempt.rs",
        from: "self.record(&delivery.attempted(attempt, None, State::Delivered)).await",
        to: "{ drop((delivery, attempt)); Result::<()>::Ok(()) }",
    },
    Mutation {
        name: "a message of a step that was done is dropped, whatever followed from the step",
        file: "usecase/attempt.rs",
        from: "self.follow_up(*delivery).await?;",
        to: "drop(delivery);",
    },
    Mutation {
        name: "an attempt is made though its webhook is paused",
        file: "usecase/attempt.rs",
        from: "Some(webhook) if webhook.is_active() => match body {",
        to: "Some(webhook) if !webhook.is_deleted() => match body {",
    },
    Mutation {
        name: "the next of a lane is not woken",
        file: "usecase/follow_up.rs",
        from: "Some(Head::Promoted(next) | Head::Found(next)) => delivery = next,",
        to: "Some(_) => return Ok(()),",
    },
    Mutation {
        name: "what is held too late for a drain is left",
        file: "usecase/follow_up.rs",
        from: "None => return self.ensure_release(delivery.webhook_id).await,",
        to: "None => return Ok(()),",
    },
    Mutation {
        name: "a lane whose head was never sent is left",
        file: "usecase/follow_up.rs",
        from: "None => return self.wake_lane(&delivery).await,",
        to: "None => return Ok(()),",
    },
    Mutation {
        name: "a drain ends without looking at what it let go",
        file: "usecase/sweep.rs",
        from: "self.wake_stragglers(webhook, now).await?.then_some(patience)",
        to: "None",
    },
    Mutation {
        name: "a sweep does not go on after its first page",
        file: "usecase/sweep.rs",
        from: "        self.follow_up_webhook(webhook).await\n    }\n}",
        to: "        Ok(())\n    }\n}",
    },
    Mutation {
        name: "a resume begins no drain",
        file: "webhook.rs",
        from: "        self.enter(State::Active, now);\n        self.begin_sweep(mode, now);",
        to: "        self.enter(State::Active, now);\n        let _ = mode;",
    },
    Mutation {
        name: "the idempotency key is ignored",
        file: "usecase/publish.rs",
        from: "Some(key) => EventId::from_idempotency_key(account_id, key),",
        to: "Some(_) => EventId::new(accepted_at, &*self.random),",
    },
    Mutation {
        name: "a notice that is being sent is sent once more",
        file: "usecase/notice.rs",
        from: "            return Ok(Handled::Again(until));\n        }\n        let account",
        to: "        }\n        let account",
    },
    Mutation {
        name: "what was taken along by another's notice is told by its own too",
        file: "usecase/notice.rs",
        from: "for (place, webhook) in claimed.iter().enumerate() {",
        to: "for (place, webhook) in claimed.iter().enumerate().take(1) {",
    },
    Mutation {
        name: "nobody is warned that a webhook fails",
        file: "usecase/attempt.rs",
        from: "Some(alert) if changed.is_for(began, alert.at) => self.tell(changed.webhook()).await,",
        to: "",
    },
    Mutation {
        name: "the end of a drain is not told",
        file: "webhook.rs",
        from: "if answers && self.health.failing_since.is_none() {",
        to: "if false {",
    },
    Mutation {
        name: "a channel's burst goes out though its webhook may be paused meanwhile",
        file: "usecase/channel.rs",
        from: "self.webhooks.webhook(id).await?.filter(|webhook| webhook.is_active());",
        to: "self.webhooks.webhook(id).await?;",
    },
    Mutation {
        name: "of a channel's burst only the first is recorded",
        file: "usecase/attempt.rs",
        from: "        for due in due {\n            recorded",
        to: "        for due in due.into_iter().take(1) {\n            recorded",
    },
    Mutation {
        name: "who stands in a channel's line is forgotten",
        file: "usecase/channel.rs",
        from: "Ok(Handled::Again(if is_first { free } else { later(free, limits::CHANNEL_WATCH) }))",
        to: "drop(is_first); Ok(Handled::Done)",
    },
    Mutation {
        name: "a rung is shorter than promised",
        file: "retry.rs",
        from: "Self([60, 300, 900, 3600]",
        to: "Self([60, 300, 600, 3600]",
    },
    Mutation {
        name: "a webhook is paused at the third failed retry",
        file: "retry.rs",
        from: "pub const FAILURES_TO_PAUSE: u8 = 4;",
        to: "pub const FAILURES_TO_PAUSE: u8 = 3;",
    },
    Mutation {
        name: "a webhook is never paused",
        file: "retry.rs",
        from: "pub const FAILURES_TO_PAUSE: u8 = 4;",
        to: "pub const FAILURES_TO_PAUSE: u8 = 5;",
    },
    Mutation {
        name: "what was brought forward and fails has lost its rung",
        file: "usecase/attempt.rs",
        from: "if own > later(now, limits::CLAIM) {",
        to: "if own > later(now, limits::CLAIM * 9999) {",
    },
    Mutation {
        name: "an attempt is begun however little is left of its claim",
        file: "usecase/attempt.rs",
        from: "later(self.clock.now(), limits::ATTEMPT_TIMEOUT + limits::CLOCK_SKEW) > claimed_until",
        to: "later(self.clock.now(), limits::CLOCK_SKEW * 0) > later(claimed_until, limits::CLAIM * 9)",
    },
    Mutation {
        name: "a secret is shown by Debug",
        file: "secret.rs",
        from: "f.write_str(\"Secret\")",
        to: "f.write_str(self.reveal())",
    },
    Mutation {
        name: "port: a claim is given to everybody",
        file: "../../../local/sim/src/store.rs",
        from: "Some(until) if until > now => Claim::Later(until),",
        to: "",
    },
    Mutation {
        name: "port: a webhook is read as an eventually consistent table gives it",
        file: "../../../local/sim/src/ports.rs",
        from: "let webhook = inner.store.webhooks.get(&id).cloned();",
        to: "let webhook = inner.store.webhooks.get(&id).cloned();\n\
             let stale = inner.store.stale(id).cloned();\n\
             let webhook = stale.filter(|_| inner.faults && inner.dice.once_in(20)).or(webhook);",
    },
    Mutation {
        name: "port: a delivery is replaced whatever its version",
        file: "../../../local/sim/src/store.rs",
        from: "if kept.delivery.version != delivery.version {",
        to: "if kept.delivery.version > delivery.version + 999 {",
    },
    Mutation {
        name: "port: an event goes at once though an earlier one of its incident is unfinished",
        file: "../../../local/sim/src/store.rs",
        from: "Some(_) => State::Waiting,",
        to: "Some(_) => delivery.state,",
    },
    Mutation {
        name: "worker: a message goes before it is worked on",
        file: "../../../local/sim/src/actors.rs",
        from: "let handled = engine.handle(received.message.clone()).await;",
        to: "world.with(|inner| inner.queue.done(received.number));\n\
             let handled = engine.handle(received.message.clone()).await;",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A workspace of the rules and the simulation alone, to be spoilt.
struct Copy {
    folder: PathBuf,
}

impl Copy {
    fn make() -> Self {
        let folder = root().join("target/mutants/workspace");
        drop(std::fs::remove_dir_all(&folder));
        for part in ["shared/core", "local/sim"] {
            copy_folder(&root().join(part), &folder.join(part));
        }
        std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let members: Vec<&str> = manifest.lines().filter(|line| line.starts_with("members = ")).collect();
        let members = <[&str; 1]>::try_from(members).unwrap()[0];
        let manifest = manifest.replace(members, r#"members = ["shared/core", "local/sim"]"#);
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        Self { folder }
    }

    /// The simulation's program.
    fn build(&self) -> Result<PathBuf, String> {
        let target = root().join("target/mutants/target");
        let built = Command::new(env!("CARGO"))
            .current_dir(&self.folder)
            .args(["build", "--offline", "--quiet", "-p", "statuspulse-sim", "--target-dir"])
            .arg(&target)
            .env("RUSTFLAGS", "-Awarnings")
            .output()
            .unwrap();
        if built.status.success() {
            Ok(target.join("debug/statuspulse-sim"))
        } else {
            Err(String::from_utf8_lossy(&built.stderr).into_owned())
        }
    }

    /// What the simulation says of this defect: the seed and what it violates; `None` if it says nothing.
    fn found(&self, mutation: &Mutation) -> Option<String> {
        let file = self.folder.join(CORE).join(mutation.file);
        let whole = std::fs::read_to_string(&file).unwrap();
        let places = whole.matches(mutation.from).count();
        assert_eq!(places, 1, "{}: the line to be spoilt is there {places} times", mutation.name);
        std::fs::write(&file, whole.replace(mutation.from, mutation.to)).unwrap();
        let program = self.build();
        std::fs::write(&file, whole).unwrap();
        violation(&program.unwrap_or_else(|error| panic!("{}: {error}", mutation.name)), RUNS)
    }
}

fn violation(program: &Path, runs: &str) -> Option<String> {
    let output = Command::new(program).args(["--seed", "1", "--runs", runs]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let at = said.rfind("\nseed ").filter(|_| !output.status.success())?;
    Some(said[at..].trim().lines().take(2).collect::<Vec<_>>().join(" "))
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
}

#[test]
fn the_simulation_finds_every_defect() {
    let copy = Copy::make();
    // Where the unspoilt rules fail, nothing was found.
    assert_eq!(violation(&copy.build().unwrap(), "1000"), None);
    let mut survivors = vec![];
    for mutation in &MUTATIONS {
        match copy.found(mutation) {
            Some(violation) => eprintln!("found: {}: {violation}", mutation.name),
            None => {
                eprintln!("SURVIVED: {}", mutation.name);
                survivors.push(mutation.name);
            }
        }
    }
    assert!(survivors.is_empty(), "the simulation does not see: {survivors:?}");
}
