//! How customers verify a delivery: every file of `docs/verify`, fed with what the program really sent, and with what
//! somebody made of that on the way. The Standard Webhooks project's own libraries judge the same requests.

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

/// What was sent, and the secrets it was signed with.
struct Sent {
    handshake: Request,
    event: Request,
    /// In the window of a rotation from the first secret to the second, both in one header.
    joined: Request,
    /// When that window had been ended.
    finished: Request,
    /// In the window of a rotation from the second secret to the third, each in its own header.
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
        let second = text(&act("rotate-secret", json!({})).await, "secret");
        let joined = next().await;
        act("rotate-secret/finish", json!({})).await;
        let finished = next().await;
        let third = text(&act("rotate-secret", json!({"style": "split"})).await, "secret");
        let split = next().await;
        let handshake = Request::of(&receiver.received(HOOK)[0]);
        program.stop().await;
        Self { handshake, event, joined, finished, split, secrets: [first, second, third] }
    }
}

/// What was not as it should be, all of it: one red run names every language that is wrong.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// A program says what is expected, as it is expected, and nothing else.
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
    // What really came is first: it is five minutes from being too old.
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
        // They know nothing of the product's own form.
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

/// The lines in the README are too few to get wrong, and were: a header that is not ASCII raised an exception.
#[tokio::test]
async fn the_lines_in_the_readme_do_what_they_say() {
    let place = Place::new();
    let readme = std::fs::read_to_string(place.root.join("README.md")).unwrap();
    let section = readme.split("## Verify a delivery").nth(1).unwrap();
    let lines = section.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let page = std::fs::read_to_string(place.root.join("shared/dashboard/templates/base.html")).unwrap();
    assert!(page.contains(lines.trim_end()), "the dashboard shows other lines than the README");
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
    assert!(believed > 5, "the requests were not understood");
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
    assert_eq!(files, place.files(), "a file that is not tested, or is gone");
    for file in files {
        assert!(table.contains(&format!("({file})")), "{file} is not in the table");
    }
}
