//! How customers verify a delivery. Runs every program of `docs/verify` on requests that the real program has sent, and
//! on changed copies of them. The libraries of the Standard Webhooks project check the same requests.

mod cases;
mod programs;
mod request;

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use statuspulse_kit::verify;

use self::cases::{Case, Verdict};
use self::programs::{Place, Program};
use self::request::{PLAIN, Request};
use crate::support::{Home, LONG, payload, text};

const HOOK: &str = "/hooks/verified";

/// Requests that the program has sent, and the secrets they are signed with.
struct Sent {
    handshake: Request,
    event: Request,
    /// Sent during a rotation from the first to the second secret, with the style `joined`.
    joined: Request,
    /// Sent after that rotation was finished.
    finished: Request,
    /// Sent during a rotation from the second to the third secret, which the customer has made, with the style `split`.
    split: Request,
    secrets: [String; 3],
}

impl Sent {
    async fn really() -> Self {
        let home = Home::new();
        let (receiver, ca) = home.tls_receiver();
        let program = home.serve(&["--dev-extra-ca", ca.to_str().unwrap()]).await;
        let api = home.admin(&program).await;
        let (webhook, first) = api.webhook(&receiver.url(HOOK), &[]).await;
        let mut came = 1;
        let mut next = async || {
            came += 1;
            api.published(&[], &payload("opened", &format!("INC-{came}"), 7), 1).await;
            Request::of(receiver.wait_for(HOOK, came, LONG).await.unwrap().last().unwrap())
        };
        let act = async |action: &str, body| {
            api.post(&format!("/v1/webhooks/{webhook}/{action}"), &body).await.expect(200)
        };
        let event = next().await;
        let second = text(&act("rotate-secret", json!({"style": "joined"})).await, "secret");
        let joined = next().await;
        act("rotate-secret/finish", json!({})).await;
        let finished = next().await;
        let brought = json!({"style": "split", "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"});
        let third = text(&act("rotate-secret", brought).await, "secret");
        let split = next().await;
        let handshake = Request::of(&receiver.received(HOOK)[0]);
        program.stop().await;
        Self { handshake, event, joined, finished, split, secrets: [first, second, third] }
    }
}

/// All failed checks, so that one failed run names every program that is wrong.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// Runs a program on a case, and records a fault unless its exit code and output are as expected. `Err(None)`
    /// expects a refusal for any reason.
    async fn of(&mut self, program: &Program, case: &Case, expected: Result<(), Option<&str>>) {
        let ended = program.judges(&case.request, &case.secret).await;
        let said = match expected {
            Ok(()) => ended.code == Some(0) && ended.out == "ok\n",
            Err(Some(reason)) => ended.code == Some(1) && ended.out == format!("refused: {reason}\n"),
            Err(None) => ended.code == Some(1) && ended.out.starts_with("refused: "),
        };
        if !said || !ended.err.is_empty() {
            let (file, name) = (program.file, &case.name);
            self.0.push(format!("{file}, {name}: {:?} {:?} {}", ended.code, ended.out, ended.err));
        }
    }

    fn are_none(self) {
        assert!(self.0.is_empty(), "{} faults\n{}", self.0.len(), self.0.join("\n"));
    }
}

#[tokio::test]
async fn every_sample_believes_what_was_sent_and_nothing_else() {
    let place = Place::new();
    let programs = place.programs().await;
    let sent = Sent::really().await;
    let mut faults = Faults::default();
    // The unchanged requests come first, because they are too old after five minutes.
    for case in [cases::as_it_came(&sent), cases::on_the_way(&sent), cases::malformed(&sent)].concat() {
        for program in &programs {
            faults.of(program, &case, case.verdict.in_words().map_err(Some)).await;
        }
    }
    faults.are_none();
}

#[tokio::test]
async fn the_standard_s_own_libraries_believe_the_same() {
    let place = Place::new();
    let programs = place.with_libraries().await;
    let sent = Sent::really().await;
    let mut faults = Faults::default();
    for case in [cases::as_it_came(&sent), cases::on_the_way(&sent)].concat() {
        // The libraries do not check X-StatusPulse-Signature.
        let good = matches!(case.verdict, Verdict::Good | Verdict::WrongPlain);
        assert_eq!(by_the_crate(&case), good, "the crate, {}", case.name);
        for program in &programs {
            faults.of(program, &case, if good { Ok(()) } else { Err(None) }).await;
        }
    }
    faults.are_none();
}

fn by_the_crate(case: &Case) -> bool {
    let headers: HeaderMap = case
        .request
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap()))
        .collect();
    standardwebhooks::Webhook::new(&case.secret).unwrap().verify(&case.request.body, &headers).is_ok()
}

/// Tests the Python lines of the README with the same requests, among them headers that are not ASCII.
#[tokio::test]
async fn the_lines_in_the_readme_do_what_they_say() {
    let place = Place::new();
    let readme = std::fs::read_to_string(place.root.join("README.md")).unwrap();
    let section = readme.split("## Verify a delivery").nth(1).unwrap();
    let lines = section.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let page = std::fs::read_to_string(place.root.join("shared/dashboard/templates/base.html")).unwrap();
    assert!(page.contains(lines.trim_end()), "the dashboard and the README show different lines");
    let before = "
import hashlib, hmac, os, sys
class Headers(dict):
    def get(self, name, default): return super().get(name.lower(), default)
class request: headers = Headers()
while line := sys.stdin.buffer.readline().rstrip(b'\\r\\n').decode('latin-1'):
    name, _, value = line.partition(': ')
    request.headers[name.lower()] = value
raw_body, secret = sys.stdin.buffer.read(), os.environ['STATUSPULSE_SECRET']
";
    let after = "print('ok' if ok else 'refused: no match')\nsys.exit(not ok)\n";
    let Some(program) = Program::python("README.md", format!("{before}{lines}{after}")) else { return };
    let sent = Sent::really().await;
    let mut faults = Faults::default();
    let mut believed = 0;
    for case in [cases::as_it_came(&sent), cases::on_the_way(&sent), cases::malformed(&sent)].concat() {
        if matches!(case.verdict, Verdict::NoSecret) {
            continue;
        }
        let good = verify::statuspulse(&case.secret, &case.request.body, &case.request.header(PLAIN));
        believed += usize::from(good);
        faults.of(&program, &case, if good { Ok(()) } else { Err(None) }).await;
    }
    assert!(believed > 5, "too few requests were accepted: the test shows nothing");
    faults.are_none();
}

#[tokio::test]
async fn every_file_is_tested_and_in_the_table() {
    let place = Place::new();
    let table = std::fs::read_to_string(place.docs().join("README.md")).unwrap();
    let mut files = BTreeSet::new();
    for folder in ["", "with-library/"] {
        for entry in std::fs::read_dir(place.docs().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.to_lowercase().starts_with("verify.") {
                files.insert(format!("{folder}{name}"));
            }
        }
    }
    assert_eq!(files, place.files(), "a file is not tested, or no longer exists");
    for file in files {
        assert!(table.contains(&format!("({file})")), "{file} is not in the table");
    }
}
