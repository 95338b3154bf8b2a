//! Verifies both signatures of a delivery, as a customer would.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Verifies `X-StatusPulse-Signature`: the HMAC-SHA256 of the raw body in lowercase hex, keyed with the text of the
/// secret. During a rotation the header contains `new,old`; one valid signature is enough.
pub fn statuspulse(secret: &str, body: &[u8], header: &str) -> bool {
    let Some(mac) = keyed(secret.as_bytes(), &[body]) else { return false };
    header.split(',').filter_map(|item| lowercase_hex(item.trim())).any(|digest| equals(&mac, &digest))
}

/// Verifies `webhook-signature` by the Standard Webhooks specification: the HMAC-SHA256 of `id.timestamp.body`, keyed
/// with the decoded bytes after `whsec_`. The header contains `v1,<base64>` items separated by spaces; one valid
/// signature is enough. Does not check the age of the timestamp.
pub fn standard_webhooks(secret: &str, id: &str, timestamp: &str, body: &[u8], header: &str) -> bool {
    let key = secret.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
    let Some(key) = key else { return false };
    let Some(mac) = keyed(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]) else {
        return false;
    };
    header
        .split(' ')
        .filter_map(|item| item.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .any(|digest| equals(&mac, &digest))
}

/// Returns the value of `X-StatusPulse-Signature` for a body, for a test or for the bench's measurement of itself.
/// Do not use it to verify: the comparison would not take constant time.
pub fn statuspulse_digest(secret: &str, body: &[u8]) -> String {
    let digest = keyed(secret.as_bytes(), &[body]).map(|mac| mac.finalize().into_bytes());
    digest.iter().flatten().map(|byte| format!("{byte:02x}")).collect()
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

/// Compares in constant time. `verify_slice` refuses a truncated digest.
fn equals(mac: &Hmac<Sha256>, digest: &[u8]) -> bool {
    mac.clone().verify_slice(digest).is_ok()
}

/// Refuses uppercase: customers may compare the header as text, so it must be lowercase.
fn lowercase_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |character: u8| match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected values come from `openssl dgst -sha256` with `-hmac` or `-macopt hexkey`, not from this crate.
    const BODY: &[u8] = br#"{"event_type":"incident_opened","incident_id":"INC-8842-ALPHA","n":1240.50}"#;
    const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    const NEW_HEX: &str = "fc54d6608dbb985cc8c04e81bfd49318682ec0f96837d4a772fee5f438bb6ec6";
    const NEW_V1: &str = "v1,mbl589nbd9EvR3YXCKH021VAdX2vlOciSRzv/7Bhckk=";
    const OLD: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OLD_HEX: &str = "83826e44c747f80321d0be1309ea4c730d0f4a780bfd69b5f41f97e4b260d31b";
    const OLD_V1: &str = "v1,+a8uiQY4AkO2PwezO9IJAzH3aoED4zcejD8cnOtgVSU=";

    #[test]
    fn the_hex_signature_is_over_the_raw_body_with_the_secret_s_own_characters() {
        assert!(statuspulse(NEW, BODY, NEW_HEX));
        assert!(!statuspulse(OLD, BODY, NEW_HEX));
        assert!(!statuspulse(NEW, &BODY[1..], NEW_HEX));
        assert_eq!(statuspulse_digest(NEW, BODY), NEW_HEX);
    }

    #[test]
    fn during_a_rotation_either_secret_is_enough() {
        let both = format!("{NEW_HEX},{OLD_HEX}");
        assert!(statuspulse(NEW, BODY, &both) && statuspulse(OLD, BODY, &both));
        let both = format!("{NEW_V1} {OLD_V1}");
        let check = |secret| standard_webhooks(secret, "evt_01", "1710512521", BODY, &both);
        assert!(check(NEW) && check(OLD));
    }

    #[test]
    fn what_is_not_a_whole_lowercase_digest_is_refused() {
        for header in ["", ",", &NEW_HEX[..62], &NEW_HEX[..63], &NEW_HEX.to_uppercase(), "sha256", "é"] {
            assert!(!statuspulse(NEW, BODY, header), "{header}");
        }
    }

    #[test]
    fn the_standard_signature_covers_id_time_and_body() {
        let check = |id, at, body, header| standard_webhooks(NEW, id, at, body, header);
        assert!(check("evt_01", "1710512521", BODY, NEW_V1));
        assert!(!check("evt_02", "1710512521", BODY, NEW_V1));
        assert!(!check("evt_01", "1710512522", BODY, NEW_V1));
        assert!(!check("evt_01", "1710512521", &BODY[1..], NEW_V1));
        assert!(!check("evt_01", "1710512521", BODY, &NEW_V1.replace("v1,", "v1a,")));
        assert!(!standard_webhooks("no prefix", "evt_01", "1710512521", BODY, NEW_V1));
    }
}
