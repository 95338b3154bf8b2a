//! Verifies a delivery. Copy the function you need and those it calls. The standard library has no HMAC, so run
//! `cargo add base64@0.23 hmac@0.13 http@1 sha2@0.11 subtle@2`.

use std::env;
use std::io::{self, BufRead, Read};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Why a delivery must not be trusted.
type Refusal = &'static str;

/// Use this function if you can choose. The signature covers the id and the time as well as the body, so a replay is
/// refused after five minutes. `body` is the bytes as received (`Bytes` in axum): parse them afterwards.
pub fn verify_standard(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let [id, time, given] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| text(headers, name));
    let key = key_of(secret)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if !time.parse::<u64>().is_ok_and(|time| time.abs_diff(now) <= 300) {
        return Err("webhook-timestamp is not within five minutes of now");
    }
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body];
    let expected = format!("v1,{}", STANDARD.encode(digest(&key, &signed)));
    // After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
    if given.split(' ').any(|one| same(one, &expected)) {
        Ok(())
    } else {
        Err("webhook-signature does not match")
    }
}

/// The product's own form, for receivers that already use it. It covers only the body, so it cannot detect a replay.
pub fn verify_statuspulse(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    key_of(secret)?;
    let expected: String =
        digest(secret.as_bytes(), &[body]).iter().map(|byte| format!("{byte:02x}")).collect();
    // During a rotation with the style "split", a separate header has the new secret's digest.
    let given = ["x-statuspulse-signature", "x-statuspulse-signature-next"].map(|name| text(headers, name));
    if given.iter().flat_map(|list| list.split(',')).any(|one| same(one, &expected)) {
        Ok(())
    } else {
        Err("X-StatusPulse-Signature does not match")
    }
}

/// In constant time: the duration of `==` would reveal how much of a guess was right.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn digest(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of HMAC may have any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Refuses a malformed secret. A missing setting is an empty secret, with which anyone can sign.
fn key_of(secret: &str) -> Result<Vec<u8>, Refusal> {
    let key = secret.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
    key.filter(|key| (24..=64).contains(&key.len()))
        .ok_or("the secret is not whsec_ and 24 to 64 bytes in base64")
}

/// A missing header counts as an empty one.
fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// `STATUSPULSE_SECRET=whsec_… cargo run -p statuspulse-verify < request`
fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("refused: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut input = io::stdin().lock();
    let mut headers = HeaderMap::new();
    loop {
        let mut line = vec![];
        input.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or("a header without a colon")?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|error| error.to_string())?;
        let value =
            HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|error| error.to_string())?;
        headers.insert(name, value);
    }
    let mut body = vec![];
    input.read_to_end(&mut body).map_err(|error| error.to_string())?;
    let secret = env::var("STATUSPULSE_SECRET").unwrap_or_default();
    verify_standard(&secret, &headers, &body)?;
    verify_statuspulse(&secret, &headers, &body)?;
    Ok(())
}
