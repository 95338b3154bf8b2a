//! Clients that generators make from `docs/openapi.json` (`testing/clients`). Each registers a webhook, publishes, lists,
//! pauses, resumes and rotates with its own types, and reads from an error what is wrong with which field.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use statuspulse_kit::{Receiver, ReceiverOptions};
use tokio::process::Command;

use crate::support::{Ended, Home, LONG, say};

const HOOK: &str = "/hooks/generated";

/// What each story prints.
const STORY: &str = "\
registered active 200
published 1
listed 1 INC-1 true
paused paused manual
resumed active 1
rotated true
refused 422 invalid_fields /url
refused 409 rotation_in_progress 0
";

/// A client that this generator makes.
struct Client {
    generator: &'static str,
    language: Language,
    /// Its story in `testing/clients`.
    file: &'static str,
    /// What its generator needs.
    needs: &'static str,
}

enum Language {
    Python,
    TypeScript,
}

const CLIENTS: [Client; 4] = [
    Client {
        generator: "openapi-python-client",
        language: Language::Python,
        file: "openapi_python_client.py",
        needs: "Python",
    },
    Client {
        generator: "openapi-generator",
        language: Language::Python,
        file: "openapi_generator.py",
        needs: "Java",
    },
    Client {
        generator: "openapi-typescript",
        language: Language::TypeScript,
        file: "openapi_fetch.ts",
        needs: "npm",
    },
    Client { generator: "hey-api", language: Language::TypeScript, file: "hey_api.ts", needs: "npm" },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

impl Client {
    fn folder(&self) -> PathBuf {
        root().join("target/clients").join(self.generator)
    }

    fn is_generated(&self) -> bool {
        let found = self.folder().join(".checked").exists();
        if !found {
            let how = format!("make clients, which needs {} for it", self.needs);
            say(&format!("the client of {} was NOT tested: it is not generated ({how})", self.generator));
        }
        found
    }

    fn command(&self) -> Command {
        let mut command = match self.language {
            Language::Python => Command::new(root().join("target/venv-clients/bin/python")),
            Language::TypeScript => {
                let mut node = Command::new("node");
                node.args(["--import", "tsx"]);
                node
            }
        };
        command.arg(self.file).current_dir(root().join("testing/clients"));
        command.env("PYTHONPATH", self.folder()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

async fn story(client: &Client) {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let key = home.keys("create", &["--role", "admin", "--account", "Acme"]).await.succeeded();
    let mut command = client.command();
    command.env("STATUSPULSE_URL", &program.origin).env("STATUSPULSE_KEY", key.trim());
    command.env("RECEIVER_URL", receiver.url(HOOK));
    let ended = Ended::of(command).await;
    assert_eq!(ended.out, STORY, "{}: {}", client.generator, ended.err);
    assert_eq!(ended.code, Some(0), "{}: {}", client.generator, ended.err);
    // The handshake, the event, and the event that was held.
    let received = receiver.wait_for(HOOK, 3, LONG).await.unwrap();
    for (request, text) in received[1..].iter().zip(["2026-11-24T12:00:00Z", "2026-11-24T12:05:00Z"]) {
        assert!(request.contains(text), "{}: {text}", client.generator);
    }
    program.stop().await;
}

#[tokio::test]
async fn generated_clients_work() {
    for client in &CLIENTS {
        if client.is_generated() {
            story(client).await;
        }
    }
}
