//! A move from one machine to AWS: everything that a data folder owes, with the real program and the real AWS command
//! line.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_kit::api::{Api, LONG};
use statuspulse_kit::household::{Household, Size};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::stack::Stack;

/// An account that arrives, whose id the template knows before: the one that CloudWatch's alarms go to.
const ALARMED: &str = "acc_01JDAAAAAAAAAAAAAAAAAAAAAA";
const ALARMED_KEY: &str = "spk_YWxhcm0gYWNjb3VudCBvZiB0aGUgZTJlIHRlc3QhISE";
const ALARMED_KEY_HASH: &str = "eNBgAlMu9VzyWb6GxY/q/uj9u2F3u3TA0mb+0rZs3DI=";
const SIZE: Size = Size { accounts: 3, webhooks: 50, events: 20 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moves_to_aws_is_delivered_once_and_in_order() {
    let stack = Stack::start_with([60, 300, 900, 3600], &[("AlarmAccount", ALARMED)]).await;
    let old = Old::new();
    let household = old.settled(&stack).await;
    assert_eq!(household.held(), 1000);

    let function = stack.emulator.output("RegistrationFunctionName");
    let recipient = old.run(&stack, &["import", "--lambda", function, "--recipient"]).await;
    let exported = old.run(&stack, &["export", "--data", "data", "--recipient", &recipient, "moved"]).await;
    assert!(exported.starts_with("exported 3 accounts, 6 keys, 51 webhooks, 1001 events, "), "{exported}");
    an_alarm_of_cloudwatch_reaches_an_account_that_moved(&stack, &old, &recipient).await;
    let checked = old.run(&stack, &["import", "--lambda", function, "--dry-run", "moved"]).await;
    assert!(checked.starts_with("nothing is in the way of 3 accounts, "), "{checked}");
    let household = household.at(stack.emulator.api.as_deref().unwrap());
    household.heal(&stack.receiver);

    let imported = old.run(&stack, &["import", "--lambda", function, "moved"]).await;
    assert!(imported.starts_with("imported 3 accounts, "), "{imported}");
    household.is_whole(&stack.receiver).await;
    household.is_delivered(&stack.receiver).await;
    // The second attempt is due when it was on the old machine.
    stack.pass(Duration::from_secs(60), 2).await;
    household.is_retried(&stack.receiver).await;
    let refused = old.output(&stack, &["import", "--lambda", function, "moved"]).await;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is there already"), "{refused:?}");
}

async fn an_alarm_of_cloudwatch_reaches_an_account_that_moved(stack: &Stack, old: &Old, recipient: &str) {
    let at = "2026-11-24T12:00:00Z";
    let lines = [
        json!({"header": {"format": "statuspulse-export/1", "export": "export_AAAAAAAAAAAAAAAAAAAAAA", "at": at,
                          "recipient": recipient}}),
        json!({"account": {"id": ALARMED, "name": "alarmed", "allowed_domains": [], "quotas": {}, "created_at": at,
                           "version": 0}}),
        json!({"key": {"id": "key_01JDAAAAAAAAAAAAAAAAAAAAAA", "account_id": ALARMED, "role": "admin",
                       "prefix": &ALARMED_KEY[..12], "hash": ALARMED_KEY_HASH, "created_at": at}}),
        json!({"end": {"accounts": [ALARMED], "events": 0, "deliveries": 0, "webhooks": 0, "entries": 0, "keys": 1}}),
    ];
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(old.folder.path().join("alarmed"), text.join("\n")).unwrap();
    let function = stack.emulator.output("RegistrationFunctionName");
    old.run(stack, &["import", "--lambda", function, "alarmed"]).await;
    let admin = stack.admin.with_key(ALARMED_KEY);
    admin.webhook(&stack.receiver.url("/alarms"), &["AWS/EC2"]).await;

    let sample = include_str!("../../../../shared/core/tests/sources/cloudwatch-alarm.json");
    let sample: Value = serde_json::from_str(sample).unwrap();
    let event = json!({
        "Source": sample["source"],
        "DetailType": sample["detail-type"],
        "Resources": sample["resources"],
        "Detail": sample["detail"].to_string(),
    });
    // It comes twice, as EventBridge may deliver it.
    for _ in 0..2 {
        stack.emulator.put_aws_event(&event);
    }
    let came = stack.arrived("/alarms", 2).await;
    assert_eq!(came[1].header("x-statuspulse-event"), Some("incident_opened"));
    assert!(came[1].contains("ServerCpuTooHigh"), "{:?}", came[1]);
    stack.quiet().await;
    assert_eq!(stack.receiver.count("/alarms"), 2, "once");
}

/// The machine that is left.
struct Old {
    folder: TempDir,
    program: PathBuf,
    /// Where the AWS command line is installed.
    aws: PathBuf,
}

impl Old {
    fn new() -> Self {
        let program = statuspulse_emulator::build_package("statuspulse").unwrap();
        let aws = program
            .join("../venv-aws/bin")
            .canonicalize()
            .expect("`make venv` installs the AWS command line");
        Self { folder: tempfile::tempdir().unwrap(), program: program.join("statuspulse"), aws }
    }

    fn command(&self, stack: &Stack, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATH", format!("{}:{path}", self.aws.display()));
        command.envs([
            ("AWS_ENDPOINT_URL", stack.emulator.endpoint.as_str()),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        command
    }

    async fn output(&self, stack: &Stack, arguments: &[&str]) -> Output {
        let output = self.command(stack, arguments).output();
        tokio::time::timeout(Duration::from_secs(600), output).await.expect("it ends").unwrap()
    }

    /// Runs the program, and returns what it prints.
    async fn run(&self, stack: &Stack, arguments: &[&str]) -> String {
        let output = self.output(stack, arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn settled(&self, stack: &Stack) -> Household {
        let key = self.run(stack, &["keys", "create", "--role", "operator", "--data", "data", "--new"]).await;
        let (mut server, origin) = self.served(stack, &stack.authority()).await;
        let household = Household::settle(&Api::new(&origin, &key), &stack.receiver, SIZE).await;
        let pid = server.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        assert!(server.wait().await.unwrap().success());
        household
    }

    async fn served(&self, stack: &Stack, authority: &Path) -> (Child, String) {
        let mut command = self.command(stack, &["serve", "--listen", "127.0.0.1:0", "--data", "data"]);
        command.args(["--dev-allow-cidr", "127.0.0.0/8,::1/128", "--dev-extra-ca"]).arg(authority);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(LONG, lines.next_line()).await.expect("a ready line").unwrap();
        let origin = line.as_deref().and_then(|line| line.strip_prefix("ready ")).expect("it is ready");
        (child, origin.to_owned())
    }
}
