//! Requests, and the verdict that a customer's program must reach.

use serde_json::Value;

use super::Sent;
use super::request::{ID, PLAIN, PLAIN_NEXT, Request, STANDARD_LIST, TIME};

/// Values without any secret bytes. A signature with one of them proves nothing.
const NO_SECRETS: [&str; 2] = ["", "whsec_"];
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const MINUTE: i64 = 60;

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Request,
    pub(super) secret: String,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    NoSecret,
    WrongTime,
    WrongStandard,
    WrongPlain,
}

impl Verdict {
    /// The verdict as every program prints it. Each reason belongs to one check, so a check without effect is noticed.
    pub(super) fn in_words(self) -> Result<(), &'static str> {
        match self {
            Self::Good => Ok(()),
            Self::NoSecret => Err("the secret is not whsec_ and 24 to 64 bytes in base64"),
            Self::WrongTime => Err("webhook-timestamp is not within five minutes of now"),
            Self::WrongStandard => Err("webhook-signature does not match"),
            Self::WrongPlain => Err("X-StatusPulse-Signature does not match"),
        }
    }
}

fn case(name: impl Into<String>, request: Request, secret: &str, verdict: Verdict) -> Case {
    Case { name: name.into(), request, secret: secret.to_owned(), verdict }
}

pub(super) fn as_it_came(sent: &Sent) -> Vec<Case> {
    use Verdict::{Good, WrongPlain, WrongStandard};
    let [first, second, third] = &sent.secrets;
    assert_eq!(sent.split.header(PLAIN).len(), 64, "only the old signature");
    vec![
        case("the handshake", sent.handshake.clone(), first, Good),
        case("an event", sent.event.clone(), first, Good),
        case("an event, the wrong secret", sent.event.clone(), OTHER, WrongStandard),
        case(
            "an event, the wrong secret, but with a valid webhook-signature",
            sent.event.standard_signed(OTHER),
            OTHER,
            WrongPlain,
        ),
        case("joined, the old secret", sent.joined.clone(), first, Good),
        case("joined, the new secret", sent.joined.clone(), second, Good),
        case("joined, a third secret", sent.joined.clone(), third, WrongStandard),
        case("finished, the new secret", sent.finished.clone(), second, Good),
        case("finished, the old secret", sent.finished.clone(), first, WrongStandard),
        case(
            "finished, the old secret, but with a valid webhook-signature",
            sent.finished.standard_signed(first),
            first,
            WrongPlain,
        ),
        case("split, the old secret", sent.split.clone(), second, Good),
        case("split, the new secret", sent.split.clone(), third, Good),
        case("split, the secret before both", sent.split.clone(), first, WrongStandard),
    ]
}

/// Changes that an attacker between sender and receiver can make, also if one of the two signatures were forged.
pub(super) fn on_the_way(sent: &Sent) -> Vec<Case> {
    use Verdict::{Good, WrongPlain, WrongStandard, WrongTime};
    let (event, secret) = (&sent.event, &*sent.secrets[0]);
    let mut cases = vec![];
    let mut add = |name: &str, request, verdict| cases.push(case(name, request, secret, verdict));
    // Minutes away from the limit of five minutes, so that slow machines get the same verdict.
    let sent_at: i64 = event.header(TIME).parse().unwrap();
    let at = |minutes: i64| (sent_at + minutes * MINUTE).to_string();
    add("the time changed to a minute earlier", event.with(TIME, at(-1)), WrongStandard);
    add("the time changed to an hour earlier", event.with(TIME, at(-60)), WrongTime);
    add("signed a minute ago", event.signed_at(secret, &at(-1)), Good);
    add("signed six minutes ago", event.signed_at(secret, &at(-6)), WrongTime);
    add("signed an hour ago", event.signed_at(secret, &at(-60)), WrongTime);
    add("signed by a clock that is four minutes fast", event.signed_at(secret, &at(4)), Good);
    add("signed by a clock that is twelve minutes fast", event.signed_at(secret, &at(12)), WrongTime);

    for (name, body) in tampered(&event.body) {
        let request = event.with_body(body);
        add(name, request.clone(), WrongStandard);
        add(
            &format!("{name}, with a valid X-StatusPulse-Signature"),
            request.plainly_signed(secret),
            WrongStandard,
        );
        add(&format!("{name}, with a valid webhook-signature"), request.standard_signed(secret), WrongPlain);
    }
    add("another id", event.with(ID, "evt_01K00000000000000000000000"), WrongStandard);
    cases
}

/// Changed bodies. All are valid JSON, because the libraries parse them.
fn tampered(body: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    let mut flipped = body.to_vec();
    let digit = body.iter().position(u8::is_ascii_digit).unwrap();
    flipped[digit] ^= 1;
    let space = body.iter().position(|byte| *byte == b' ').unwrap();
    let parsed: Value = serde_json::from_slice(body).unwrap();
    [
        ("a digit flipped", flipped),
        ("parsed and written again", parsed.to_string().into_bytes()),
        ("a line end added", [body, b"\n"].concat()),
        ("a space removed", [&body[..space], &body[space + 1..]].concat()),
    ]
}

/// Malformed requests that our senders never send, but others can.
pub(super) fn malformed(sent: &Sent) -> Vec<Case> {
    use Verdict::{Good, NoSecret, WrongPlain, WrongStandard, WrongTime};
    let secret = &*sent.secrets[0];
    // Four minutes ahead, so that it stays valid for nine minutes.
    let ahead = sent.event.header(TIME).parse::<i64>().unwrap() + 4 * MINUTE;
    let event = &sent.event.signed_at(secret, &ahead.to_string());
    let mut cases = vec![];
    let mut add = |name: String, request, verdict| cases.push(case(name, request, secret, verdict));

    for (header, verdict) in [(PLAIN, WrongPlain), (STANDARD_LIST, WrongStandard)] {
        add(format!("no {header}"), event.without(header), verdict);
        let right = event.header(header);
        for (name, value) in wrong(&right) {
            add(format!("{header} is {name}"), event.with(header, value), verdict);
        }
        let (separator, unknown) = if header == PLAIN { (",", "v2=00") } else { (" ", "v1a,00") };
        for junk in ["é".as_bytes(), b"\xff", b"*", unknown.as_bytes(), b""] {
            let list = [junk, separator.as_bytes(), right.as_bytes(), separator.as_bytes(), junk].concat();
            add(
                format!("{header} has the valid signature in a list with {junk:?}"),
                event.with(header, list),
                Good,
            );
        }
    }
    add("an empty X-StatusPulse-Signature-Next".to_owned(), event.with(PLAIN_NEXT, ""), Good);
    add(
        "only one unrelated header".to_owned(),
        Request { headers: vec![], ..event.clone() }.with("host", "x"),
        WrongTime,
    );

    for time in ["", "soon", "NaN", "1e9", "-1", "0", "99999999999999999999", "٣", "0x7fffffff"] {
        add(format!("webhook-timestamp is {time:?}"), event.signed_at(secret, time), WrongTime);
    }
    add("a time with a fraction".to_owned(), event.signed_at(secret, &format!("{ahead}.5")), WrongTime);
    add("a time that is not UTF-8".to_owned(), event.with(TIME, b"\xff\xfe"), WrongTime);
    add("no time".to_owned(), event.without(TIME), WrongTime);
    add("no id".to_owned(), event.without(ID), WrongStandard);
    add("an id that is not UTF-8".to_owned(), event.with(ID, b"\xff\xfe"), WrongStandard);
    add("an id of 60 KB".to_owned(), event.with(ID, "e".repeat(60_000)), WrongStandard);

    for body in [&b""[..], b"\n", b"\r\n\r\n{}\r\n\r\n", b"\0\xff\xfe\0", "é\u{2028}".as_bytes()] {
        let signed = event.with_body(body).plainly_signed(secret).standard_signed(secret);
        add(format!("a body of {body:?}"), signed, Good);
    }
    let mut shouting = event.clone();
    shouting.headers.iter_mut().for_each(|(name, _)| *name = name.to_uppercase());
    add("header names in capitals".to_owned(), shouting, Good);
    add("lines that end with CR LF".to_owned(), Request { line_end: "\r\n", ..event.clone() }, Good);

    for no_secret in NO_SECRETS {
        let signed = event.plainly_signed(no_secret).standard_signed(no_secret);
        cases.push(case(format!("signed with {no_secret:?}"), signed, no_secret, NoSecret));
    }
    cases
}

/// Values that resemble the valid one, and others that do not.
fn wrong(right: &str) -> Vec<(&'static str, Vec<u8>)> {
    let shorter = &right[..right.len() - 1];
    // Uppercase base64 means other bytes. Uppercase hex means the same bytes, but the header must be lowercase.
    vec![
        ("empty", vec![]),
        ("a separator", b", ,".to_vec()),
        ("not ASCII", "é".repeat(32).into_bytes()),
        ("not UTF-8", vec![0xff; 64]),
        ("60 KB long", vec![b'a'; 60_000]),
        ("a list of 20,000", b"a, ".repeat(20_000)),
        ("a character short", shorter.as_bytes().to_vec()),
        ("a character too long", format!("{right}0").into_bytes()),
        ("in capitals", right.to_uppercase().into_bytes()),
        ("without its start", right.as_bytes()[3..].to_vec()),
    ]
}
