//! `statuspulse webhooks`, `deliveries`, `events` and `keys` over the API of a running server.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::Value;
use statuspulse_kit::{Behaviour, Receiver, ReceiverOptions, verify};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Ended, Home, LONG, Program, eventually, payload, text};

const HOOK: &str = "/hook";

/// A server, and a shell with the variables that name it.
struct Shell {
    home: Home,
    program: Program,
    receiver: Receiver,
    key: String,
}

impl Shell {
    async fn open() -> Self {
        let home = Home::new();
        let program = home.serve(&[]).await;
        let key = home.keys("create", &["--role", "admin", "--account", "Acme"]).await.succeeded();
        let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
        Self { home, program, receiver, key: key.trim().to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.env("STATUSPULSE_URL", &self.program.origin).env("STATUSPULSE_KEY", &self.key);
        command.env("NO_PROXY", "127.0.0.1");
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments)).await
    }

    /// The standard output of a command that must succeed.
    async fn prints(&self, arguments: &[&str]) -> String {
        self.run(arguments).await.succeeded()
    }

    /// What a command prints with `--json`.
    async fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.prints(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Registers a webhook for the group EU and returns its id.
    async fn webhook(&self) -> String {
        let url = self.receiver.url(HOOK);
        let created =
            self.json(&["webhooks", "create", &url, "--event", "incident_opened", "--group", "EU"]).await;
        text(&created, "id")
    }

    /// Publishes an event for the group EU and returns its payload.
    async fn publish(&self, incident: &str) -> String {
        let sent = payload("opened", incident, 1);
        let file = self.home.path().join("event.json");
        std::fs::write(&file, &sent).unwrap();
        let published = self.json(&["events", "publish", file.to_str().unwrap(), "--group", "EU"]).await;
        assert_eq!(published["deliveries"], 1, "{published}");
        sent
    }

    async fn follow(&self, more: &[&str]) -> Follow {
        let mut command = self.command(&[&["deliveries", "list", "--follow"], more].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Follow { child, lines }
    }
}

/// A running `deliveries list --follow`.
struct Follow {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follow {
    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(LONG, self.lines.next_line()).await.expect("a line").unwrap();
        line.expect("it ended")
    }

    /// Reads lines until one contains all of these words.
    async fn until(&mut self, words: &[&str]) -> String {
        loop {
            let line = self.line().await;
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    /// Presses Ctrl-C. It must end with 0 and have printed nothing else.
    async fn interrupt(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
        let ended = tokio::time::timeout(LONG, self.child.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.code(), Some(0));
        assert_eq!(self.lines.next_line().await.unwrap(), None);
    }
}

/// The value of a line of one object, such as `id  whe_…`.
fn value<'a>(printed: &'a str, heading: &str) -> &'a str {
    let mut lines = printed.lines().filter_map(|line| line.strip_prefix(heading)?.strip_prefix("  "));
    lines.next().unwrap_or_else(|| panic!("no {heading} in {printed}")).trim()
}

#[tokio::test]
async fn a_webhook_is_registered_tested_rotated_and_deleted() {
    let shell = Shell::open().await;
    let url = shell.receiver.url(HOOK);
    let settings = ["--event", "incident_opened", "--group", "EU", "--group", "US", "--description", "東京"];
    let created = shell.run(&[&["webhooks", "create", &url], &settings[..]].concat()).await;
    assert!(created.err.contains("only this once"), "{}", created.err);
    let created = created.succeeded();
    let (id, secret) = (value(&created, "id"), value(&created, "secret"));
    assert!(secret.starts_with("whsec_") && value(&created, "status") == "active", "{created}");

    let listed = shell.prints(&["webhooks", "list"]).await;
    let [heading, line] = listed.lines().collect::<Vec<_>>()[..] else { panic!("{listed}") };
    assert!(heading.starts_with("ID ") && heading.ends_with("GROUPS  DESCRIPTION"), "{listed}");
    assert!(line.starts_with(id) && line.contains(&url) && line.ends_with("EU, US  東京"), "{listed}");
    let shown = shell.prints(&["webhooks", "show", id]).await;
    assert_eq!((value(&shown, "monitor groups"), value(&shown, "handshake passed")), ("EU, US", "true"));
    assert!(!shown.contains(secret));

    let tested = shell.prints(&["webhooks", "test", id]).await;
    assert_eq!((value(&tested, "passed"), value(&tested, "status code")), ("true", "200"));
    shell.receiver.behaviour(HOOK, Behaviour::status(500));
    let tested = shell.run(&["webhooks", "test", id, "--event", "incident_opened"]).await;
    assert_eq!((tested.code, value(&tested.out, "status code")), (Some(1), "500"));
    assert!(tested.err.contains("did not accept the test"), "{}", tested.err);
    let verified = shell.run(&["webhooks", "verify", id]).await;
    assert_eq!(verified.code, Some(1), "{}", verified.out);
    shell.receiver.behaviour(HOOK, Behaviour::ok());
    shell.prints(&["webhooks", "verify", id]).await;

    let rotated = shell.prints(&["webhooks", "rotate", id, "--idempotency-key", "once"]).await;
    assert_ne!(value(&rotated, "secret"), secret);
    assert_eq!(shell.prints(&["webhooks", "rotate", id, "--idempotency-key", "once"]).await, rotated);
    let finished = shell.prints(&["webhooks", "rotate", id, "--finish"]).await;
    assert!(!finished.contains("old secret until"), "{finished}");
    let refused = shell.run(&["webhooks", "rotate", id, "--cancel"]).await.refused();
    assert!(refused.contains("(409 no_rotation)"), "{refused}");

    assert_eq!(shell.prints(&["webhooks", "delete", id]).await, format!("{id} is deleted\n"));
    assert_eq!(shell.json(&["webhooks", "list"]).await["data"].as_array().unwrap().len(), 0);
    shell.program.stop().await;
}

#[tokio::test]
async fn events_are_published_held_released_and_redelivered() {
    let shell = Shell::open().await;
    let webhook = &shell.webhook().await;
    let sent = shell.publish("INC-1").await;
    let arrived = shell.receiver.wait_for(HOOK, 2, LONG).await.unwrap();
    assert_eq!(arrived[1].body, sent.as_bytes(), "byte for byte");
    shell.program.api(&shell.key).all_delivered(webhook).await;

    let listed = shell.prints(&["deliveries", "list", "--webhook", webhook, "--incident", "INC-1"]).await;
    let [heading, line] = listed.lines().collect::<Vec<_>>()[..] else { panic!("{listed}") };
    assert!(heading.starts_with("ACCEPTED") && heading.ends_with("INCIDENT"), "{listed}");
    assert!(line.contains("delivered") && line.ends_with("INC-1"), "{listed}");
    let id = line.split_whitespace().nth(1).unwrap();
    let shown = shell.prints(&["deliveries", "show", id]).await;
    assert_eq!((value(&shown, "status"), value(&shown, "attempted because of")), ("delivered", "event"));
    assert!(shown.contains("\nATTEMPT  AT ") && shown.contains("\n1        20"), "{shown}");
    let again = shell.prints(&["deliveries", "redeliver", id]).await;
    assert_eq!(value(&again, "attempted because of"), "redelivery");
    shell.receiver.wait_for(HOOK, 3, LONG).await.unwrap();
    let all = ["deliveries", "redeliver", "--webhook", webhook, "--since", "2026-01-01T00:00:00Z"];
    assert_eq!(shell.prints(&all).await, "deliveries  0\n");

    assert_eq!(value(&shell.prints(&["webhooks", "pause", webhook]).await, "status"), "paused");
    for incident in ["INC-2", "INC-3", "INC-4"] {
        shell.publish(incident).await;
    }
    let held = ["deliveries", "list", "--status", "held"];
    let is_held = async || shell.json(&held).await["data"].as_array().unwrap().len() == 3;
    eventually("three are held", is_held).await;
    let resumed = shell.run(&["webhooks", "resume", webhook]).await;
    assert!(resumed.err.lines().last().unwrap().starts_with("0 of 3 are held"), "{}", resumed.err);
    let resumed = resumed.succeeded();
    assert_eq!((value(&resumed, "status"), value(&resumed, "held deliveries")), ("active", "3"));
    shell.receiver.wait_for(HOOK, 6, LONG).await.unwrap();
    shell.program.stop().await;
}

#[tokio::test]
async fn a_resume_waits_unless_it_should_not_and_can_discard() {
    let home = Home::new();
    let program = home.serve(&["--ladder", "10ms,10ms,10ms,10ms"]).await;
    let key = home.keys("create", &["--role", "admin", "--account", "Acme"]).await.succeeded();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let shell = Shell { home, program, receiver, key: key.trim().to_owned() };
    let webhook = &shell.webhook().await;
    shell.prints(&["webhooks", "pause", webhook]).await;
    shell.publish("INC-1").await;
    let is_held = async || shell.json(&["webhooks", "show", webhook]).await["held_deliveries"] == 1;
    eventually("it is held", is_held).await;

    shell.receiver.behaviour(HOOK, Behaviour::status(500));
    let quick = shell.run(&["webhooks", "resume", webhook, "--no-wait", "--json"]).await;
    assert_eq!(quick.err, "");
    assert_eq!(serde_json::from_str::<Value>(&quick.out).unwrap()["held"], 1);
    eventually("it is paused and held again", is_held).await;
    let discarded = shell.run(&["webhooks", "resume", webhook, "--discard"]).await;
    assert!(discarded.err.lines().last().unwrap().starts_with("0 of 1 are held"), "{}", discarded.err);
    let deliveries = shell.json(&["deliveries", "list"]).await;
    assert_eq!(deliveries["data"][0]["status"], "discarded");
    shell.program.stop().await;
}

#[tokio::test]
async fn followed_deliveries_are_printed_once_for_each_change() {
    let shell = Shell::open().await;
    shell.webhook().await;
    shell.publish("INC-OLD").await;
    shell.receiver.behaviour(HOOK, Behaviour::status(500));
    let delivered = async || shell.json(&["deliveries", "list"]).await["data"][0]["status"] == "delivered";
    eventually("the first is delivered", delivered).await;

    let mut table = shell.follow(&[]).await;
    let mut lines = shell.follow(&["--json", "--status", "delivered"]).await;
    assert!(table.line().await.starts_with("ACCEPTED"));
    assert!(table.line().await.ends_with("INC-OLD"));
    assert!(lines.line().await.contains("INC-OLD"));
    shell.publish("INC-NEW").await;
    let failed = table.until(&["INC-NEW", "500"]).await;
    let id = failed.split_whitespace().nth(1).unwrap();
    shell.receiver.behaviour(HOOK, Behaviour::ok());
    shell.prints(&["deliveries", "redeliver", id]).await;
    table.until(&["INC-NEW", "200", "delivered"]).await;
    let document: Value = serde_json::from_str(&lines.line().await).unwrap();
    assert_eq!((&document["id"], &document["status"]), (&id.into(), &"delivered".into()));
    table.interrupt().await;
    lines.interrupt().await;
    shell.program.stop().await;
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_the_documents_of_the_api_are_printed_as_they_are() {
    let shell = Shell::open().await;
    shell.webhook().await;
    for n in 0..3 {
        shell.publish(&format!("INC-{n}")).await;
    }
    let some = shell.run(&["deliveries", "list", "--limit", "2"]).await;
    assert!(some.err.contains("more than these 2"), "{}", some.err);
    assert_eq!(some.succeeded().lines().count(), 3);
    let all = shell.run(&["deliveries", "list", "--limit", "300"]).await;
    assert_eq!((all.err.as_str(), all.out.lines().count()), ("", 4));
    let eventually_same = async || {
        let direct = shell.program.api(&shell.key).get("/v1/deliveries").await.expect(200);
        shell.json(&["deliveries", "list"]).await == direct
    };
    eventually("both are the same", eventually_same).await;

    // The reader of the output goes away.
    for arguments in [&["webhooks", "list"][..], &["keys", "list"], &["deliveries", "list", "--follow"]] {
        let mut child =
            shell.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = tokio::time::timeout(LONG, child.wait_with_output()).await.expect("it ends").unwrap();
        assert_eq!((ended.status.code(), ended.stderr), (Some(0), vec![]), "{arguments:?}");
    }
    shell.program.stop().await;
}

#[tokio::test]
async fn each_error_says_what_to_do() {
    let shell = Shell::open().await;
    let refused = async |arguments: &[&str]| shell.run(arguments).await.refused();
    let unknown = refused(&["webhooks", "show", "whe_01JD8V1Q8MZ4T4K0D8N6S2W3Y3"]).await;
    assert!(unknown.starts_with("statuspulse: ") && unknown.contains("(404 "), "{unknown}");
    let url = shell.receiver.url(HOOK);
    let invalid = refused(&["webhooks", "create", &url, "--event", "incident_exploded"]).await;
    assert!(invalid.contains("(422 ") && invalid.contains("\n  /events/0: "), "{invalid}");
    let parameter = refused(&["deliveries", "list", "--status", "lost"]).await;
    assert!(parameter.contains("\n  status: "), "{parameter}");

    let with = |name: &str, value: Option<&str>| {
        let mut command = shell.command(&["webhooks", "list"]);
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
        Ended::of(command)
    };
    let wrong = with("STATUSPULSE_KEY", Some("spk_wrong")).await.refused();
    assert!(wrong.contains("(401 ") && wrong.contains("The key is from STATUSPULSE_KEY."), "{wrong}");
    assert!(!wrong.contains("spk_wrong"), "{wrong}");
    for blank in [None, Some(""), Some(" ")] {
        let missing = with("STATUSPULSE_KEY", blank).await.refused();
        assert!(missing.contains("STATUSPULSE_KEY") && missing.contains("--key-file"), "{missing}");
        let missing = with("STATUSPULSE_URL", blank).await.refused();
        assert!(missing.contains("STATUSPULSE_URL") && missing.contains("--url"), "{missing}");
    }
    // Nothing listens on port 1.
    let absent = with("STATUSPULSE_URL", Some("http://127.0.0.1:1/")).await.refused();
    assert!(absent.contains("no answer from http://127.0.0.1:1/") && absent.contains("refused"), "{absent}");
    for odd in ["127.0.0.1:8080", "ftp://a.example", "no url"] {
        let refused = with("STATUSPULSE_URL", Some(odd)).await.refused();
        assert!(refused.contains("--url"), "{refused}");
    }
    // Something else answers, over HTTPS with a certificate of an authority that the system trusts, or does not.
    let (secure, ca) = shell.home.tls_receiver();
    let mut command = shell.command(&["webhooks", "list", "--url", &secure.url("/")]);
    command.env("SSL_CERT_FILE", ca).env_remove("SSL_CERT_DIR");
    let other = Ended::of(command).await.refused();
    assert!(other.contains("not with JSON"), "{other}");
    let untrusted = with("STATUSPULSE_URL", Some(&secure.url("/"))).await.refused();
    assert!(
        untrusted.contains("no answer from https://") && untrusted.contains("certificate"),
        "{untrusted}"
    );
    let other = with("STATUSPULSE_URL", Some(&shell.receiver.url("/"))).await.refused();
    assert!(other.contains("not with JSON"), "{other}");
    shell.program.stop().await;
}

#[tokio::test]
async fn a_key_can_be_in_a_file_and_settings_and_payloads_on_standard_input() {
    let shell = Shell::open().await;
    let file = shell.home.path().join("key");
    std::fs::write(&file, format!("{}\n", shell.key)).unwrap();
    let is_for = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    is_for(0o640);
    let mut open = shell.command(&["webhooks", "list", "--key-file", file.to_str().unwrap()]);
    open.env_remove("STATUSPULSE_KEY");
    let open = Ended::of(open).await.refused();
    assert!(open.contains("others can read the key file") && open.contains("chmod 600"), "{open}");
    is_for(0o600);
    let file = file.to_str().unwrap();
    let with_file = async |arguments: &[&str], input: &str| {
        let source = shell.home.path().join("input.json");
        std::fs::write(&source, input).unwrap();
        let mut command = shell.command(&[arguments, &["--key-file", file]].concat());
        command.env_remove("STATUSPULSE_KEY").stdin(std::fs::File::open(source).unwrap());
        Ended::of(command).await
    };
    let settings = format!(
        r#"{{ "url": "{}", "events": ["incident_opened"], "headers": {{ "X-Customer": "of ours" }} }}"#,
        shell.receiver.url(HOOK)
    );
    let created = with_file(&["webhooks", "create", "--body", "-"], &settings).await.succeeded();
    let secret = value(&created, "secret");
    let sent = payload("opened", "INC-1", 1);
    let publish = ["events", "publish", "-", "--idempotency-key", "INC-1-opened"];
    let first = with_file(&publish, &sent).await.succeeded();
    assert_eq!(with_file(&publish, &sent).await.succeeded(), first);
    let arrived = shell.receiver.wait_for(HOOK, 2, LONG).await.unwrap();
    assert_eq!(arrived[1].header("x-customer"), Some("of ours"));
    assert!(verify::statuspulse(
        secret,
        &arrived[1].body,
        arrived[1].header("x-statuspulse-signature").unwrap()
    ));
    let broken = with_file(&publish, "{").await.refused();
    assert!(broken.contains("standard input is not a JSON document"), "{broken}");
    std::fs::write(file, "two words").unwrap();
    let refused = with_file(&["webhooks", "list"], "").await.refused();
    assert!(refused.contains(file) && !refused.contains("two words"), "{refused}");
    shell.program.stop().await;
}

#[tokio::test]
async fn keys_are_managed_over_the_api_without_a_data_folder() {
    let shell = Shell::open().await;
    let made = shell.prints(&["keys", "create", "--role", "viewer", "--name", "Wall screen"]).await;
    assert!(made.starts_with("spk_") && made.lines().count() == 1, "{made}");
    shell.program.api(made.trim()).get("/v1/webhooks").await.expect(200);
    let listed = shell.prints(&["keys", "list"]).await;
    let line = listed.lines().find(|line| line.contains(&made[..12])).expect(&listed);
    assert!(line.contains("viewer") && line.ends_with("Wall screen"), "{listed}");
    let id = line.split_whitespace().next().unwrap();
    assert_eq!(shell.prints(&["keys", "revoke", id]).await, format!("{id} is revoked\n"));
    shell.program.api(made.trim()).get("/v1/webhooks").await.expect(401);
    let created = shell.json(&["keys", "create", "--role", "publisher"]).await;
    assert!(text(&created, "key").starts_with("spk_"), "{created}");

    // An operator does the same for any account.
    let account = text(&shell.program.api(&shell.key).get("/v1/account").await.expect(200), "id");
    let operator = shell.home.operator_key().await;
    let operated = async |arguments: &[&str]| {
        let mut command = shell.command(&["keys", "--account", &account]);
        command.args(arguments).env("STATUSPULSE_KEY", &operator);
        Ended::of(command).await.succeeded()
    };
    let made = operated(&["create", "--role", "admin", "--name", "owner"]).await;
    shell.program.api(made.trim()).get("/v1/webhooks").await.expect(200);
    let listed = operated(&["list"]).await;
    let id = listed
        .lines()
        .find(|line| line.ends_with("owner"))
        .expect(&listed)
        .split_whitespace()
        .next()
        .unwrap();
    assert_eq!(operated(&["revoke", id]).await, format!("{id} is revoked\n"));
    shell.program.api(made.trim()).get("/v1/webhooks").await.expect(401);
    let refused = shell.run(&["keys", "list", "--account", &account]).await.refused();
    assert!(refused.contains("403") || refused.contains("may not do this"), "{refused}");
    let data = shell.home.data();
    let refused = shell.run(&["keys", "list", "--json", "--data", data.to_str().unwrap()]).await.refused();
    assert!(refused.contains("STATUSPULSE_DATA"), "{refused}");
    let mut nowhere = shell.command(&["keys", "list"]);
    nowhere.env_remove("STATUSPULSE_URL").env("STATUSPULSE_DATA", "");
    let refused = Ended::of(nowhere).await.refused();
    assert!(refused.contains("STATUSPULSE_DATA") && refused.contains("STATUSPULSE_URL"), "{refused}");
    shell.program.stop().await;
}
