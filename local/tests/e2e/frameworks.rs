//! Receivers built with frameworks that customers use (`docs/receivers`). Each verifies signatures from its first request
//! on, and registers at its first try, because the customer brings the secret. None misses a delivery in or out of a
//! rotation, in any style.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_kit::api::Api;
use tokio::process::{Child, Command};

use crate::support::{Home, LONG, payload, say, text};

/// A customer's own secrets, one after the other.
const SECRETS: [&str; 4] = [
    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
    "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=",
    "whsec_enl4d3Z1dHNycXBvbm1sa2ppaGdmZWRjYmEwMTIzNDU2Nzg5",
    "whsec_OTg3NjU0MzIxMGZlZGNiYWdoaWprbG1ub3BxcnN0dXY=",
];

/// A receiver of `docs/receivers`.
struct Framework {
    name: &'static str,
    path: &'static str,
    /// The command with its port.
    command: fn(&Place, u16) -> Vec<String>,
    /// Finds out whether it is installed.
    look: fn(&Place) -> Vec<String>,
    how: &'static str,
}

struct Place {
    folder: PathBuf,
    python: String,
}

const FRAMEWORKS: [Framework; 5] = [
    Framework {
        name: "FastAPI",
        path: "/statuspulse",
        command: |place, port| {
            words(&[&place.python, "-m", "uvicorn", "fastapi_app:app", "--port", &port.to_string()])
        },
        look: |place| words(&[&place.python, "-c", "import fastapi, uvicorn"]),
        how: "make venv",
    },
    Framework {
        name: "Flask",
        path: "/statuspulse",
        command: |place, port| {
            words(&[&place.python, "-m", "flask", "--app", "flask_app", "run", "--port", &port.to_string()])
        },
        look: |place| words(&[&place.python, "-c", "import flask"]),
        how: "make venv",
    },
    Framework {
        name: "Express",
        path: "/statuspulse",
        command: |_, port| words(&["env", &format!("PORT={port}"), "node", "express.mjs"]),
        look: |_| words(&["node", "--input-type=module", "--eval", "import 'express'"]),
        how: "make libraries",
    },
    Framework {
        name: "PHP",
        path: "/statuspulse",
        command: |_, port| words(&["php", "-S", &format!("127.0.0.1:{port}"), "receive.php"]),
        look: |_| words(&["php", "--version"]),
        how: "make test-tools",
    },
    Framework {
        name: "adnanh/webhook",
        path: "/hooks/statuspulse",
        command: |_, port| {
            let port = port.to_string();
            words(&["webhook", "-template", "-hooks", "webhook.yaml", "-ip", "127.0.0.1", "-port", &port])
        },
        look: |_| words(&["webhook", "-version"]),
        how: "make test-tools",
    },
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Place {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join("target/venv-receivers/bin/python").to_str().unwrap().to_owned();
        Self { folder: root.join("docs/receivers"), python }
    }

    fn run(&self, words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder).kill_on_drop(true);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Framework {
    async fn is_installed(&self, place: &Place) -> bool {
        let found = place.run(&(self.look)(place)).status().await.is_ok_and(|status| status.success());
        if !found {
            say(&format!("the receiver of {} was NOT tested: it is not installed ({})", self.name, self.how));
        }
        found
    }

    /// Starts it with this secret, and waits until it answers.
    #[expect(clippy::disallowed_methods, reason = "another program takes its time to start")]
    async fn start(&self, place: &Place, port: u16, secret: &str) -> Child {
        let mut command = place.run(&(self.command)(place, port));
        let child = command.env("STATUSPULSE_SECRET", secret).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}{}", self.path);
        let is_up = async {
            let client = statuspulse_kit::api::client();
            // It answers, and refuses what is not signed.
            loop {
                let forged = client.post(&url).header("X-StatusPulse-Signature", "0".repeat(64));
                if let Ok(answer) = forged.body("{\"event_type\":\"test\"}").send().await {
                    return answer.status().as_u16();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let status = tokio::time::timeout(LONG, is_up).await;
        assert_eq!(status, Ok(401), "{} with a forged signature", self.name);
        child
    }
}

async fn stop(mut receiver: Child) {
    receiver.kill().await.unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Publishes an event, and expects its delivery to succeed at the first attempt.
async fn delivers(api: &Api, webhook: &str, when: &str) {
    let event = api.published(&[], &payload("opened", when, 1), 1).await;
    api.all_delivered(webhook).await;
    let deliveries = api.deliveries(webhook).await;
    let delivery = deliveries.iter().find(|delivery| delivery["event_id"] == event["event_id"]).unwrap();
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{when}: {delivery}");
}

async fn story(framework: &Framework, place: &Place) {
    let home = Home::new();
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let port = free_port();
    let mut receiver = framework.start(place, port, SECRETS[0]).await;
    let url = format!("http://127.0.0.1:{port}{}", framework.path);

    // Without the secret it refuses the handshake, and the answer says what to do.
    let types = ["incident_opened", "incident_updated", "incident_resolved"];
    let refused = api.post("/v1/webhooks", &json!({"url": url, "events": types})).await.expect(201);
    assert_eq!((&refused["status"], &refused["handshake"]["status_code"]), (&json!("pending"), &json!(401)));
    let reason = refused["handshake"]["reason"].as_str().unwrap();
    assert!(reason.contains("install the webhook's secret"), "{reason}");
    api.delete(&format!("/v1/webhooks/{}", text(&refused, "id"))).await;

    // With it, it registers at the first try.
    let asked = json!({"url": url, "events": types, "secret": SECRETS[0]});
    let created = api.post("/v1/webhooks", &asked).await.expect(201);
    assert_eq!(created["status"], "active", "{}: {created}", framework.name);
    let webhook = text(&created, "id");
    let act = async |action: &str, body: Value| {
        api.post(&format!("/v1/webhooks/{webhook}/{action}"), &body).await.expect(200)
    };
    delivers(&api, &webhook, "first").await;
    assert_eq!(act("test", json!({})).await["ok"], true);
    for (style, new) in ["auto", "joined", "split"].iter().zip(&SECRETS[1..]) {
        act("rotate-secret", json!({"style": style, "secret": new})).await;
        delivers(&api, &webhook, &format!("{style}-old")).await;
        stop(receiver).await;
        receiver = framework.start(place, port, new).await;
        delivers(&api, &webhook, &format!("{style}-new")).await;
        act("rotate-secret/finish", json!({})).await;
        delivers(&api, &webhook, &format!("{style}-finished")).await;
    }
    stop(receiver).await;
    program.stop().await;
}

#[tokio::test]
async fn a_receiver_that_checks_signatures_registers_at_its_first_try() {
    let place = Place::new();
    for framework in &FRAMEWORKS {
        if framework.is_installed(&place).await {
            story(framework, &place).await;
        }
    }
}
