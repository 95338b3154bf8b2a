//! Sealed secrets: who opens them, and with which key.

#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use statuspulse_core::ports::Random;
use statuspulse_core::sealing::{DoesNotOpen, SealedFormat, Sealer, SealingKey};

#[derive(Default)]
struct Counted(AtomicU64);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        bytes.iter_mut().zip(n.iter().cycle()).for_each(|(byte, from)| *byte = *from);
    }
}

fn key(of: u8) -> SealingKey {
    SealingKey::new(&[of; 32]).unwrap()
}

const FORMATS: [SealedFormat; 2] = [SealedFormat::OneKey, SealedFormat::DerivedKeys];

#[test]
fn a_sealed_text_opens_for_its_owner_alone_and_only_unchanged() {
    for format in FORMATS {
        let sealer = Sealer::new(key(1), format);
        let sealed = sealer.seal([7; 16], "whsec_secret", &Counted::default());
        assert_eq!(sealer.unseal([7; 16], &sealed).unwrap(), "whsec_secret");
        assert_eq!(sealer.unseal([8; 16], &sealed), Err(DoesNotOpen));
        assert_eq!(Sealer::new(key(2), format).unseal([7; 16], &sealed), Err(DoesNotOpen));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.unseal([7; 16], &changed), Err(DoesNotOpen), "{format:?} byte {at}");
            assert_eq!(sealer.unseal([7; 16], &sealed[..at]), Err(DoesNotOpen), "{format:?} {at} bytes");
        }
    }
}

/// What AES-GCM must never be given: two texts with the same key and nonce. Each text has a key of its own, so equal texts
/// give different ones even if only the salt differs.
#[test]
fn each_text_is_sealed_with_a_key_of_its_own() {
    let (sealer, random) = (Sealer::new(key(1), SealedFormat::DerivedKeys), Counted::default());
    let sealed: BTreeSet<Vec<u8>> = (0..1_000)
        .map(|_| {
            let sealed = sealer.seal([7; 16], "the same text", &random);
            assert!(sealed.starts_with(&key(1).prefix()));
            sealed[9 + 24..].to_vec()
        })
        .collect();
    assert_eq!(sealed.len(), 1_000);
}

/// The format must not change: stores have it. Computed with Python's `cryptography`: HKDF-SHA256 of the key with the salt
/// and the purpose, then AES-256-GCM with the first 32 bytes and the nonce in the last 12.
#[test]
fn the_format_is_the_documented_one() {
    let sealer = Sealer::new(key(0x11), SealedFormat::DerivedKeys);
    let sealed = sealer.seal([0x22; 16], "whsec_secret", &Counted(AtomicU64::new(0x3333_3333_3333_3333)));
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, EXPECTED);
}

const EXPECTED: &str = "025f845478fee7aeed3333333333333333333333333333333333333333333\
    33333c9cf5fc8006060b1fbfdc12e04910cd1230af4edc248b20412353ac8";

#[test]
fn both_formats_and_both_keys_open_while_a_key_is_replaced() {
    let random = Counted::default();
    let replacing = Sealer::new(key(2), SealedFormat::DerivedKeys).also_opening(key(1));
    for format in FORMATS {
        let old = Sealer::new(key(1), format).seal([7; 16], "text", &random);
        assert_eq!(replacing.unseal([7; 16], &old).unwrap(), "text");
        let new = replacing.reseal([7; 16], &old, &random).unwrap().unwrap();
        assert!(new.starts_with(&key(2).prefix()));
        assert_eq!(replacing.reseal([7; 16], &new, &random).unwrap(), None);
        assert_eq!(Sealer::new(key(2), format).unseal([7; 16], &new).unwrap(), "text");
        assert_eq!(Sealer::new(key(1), format).unseal([7; 16], &new), Err(DoesNotOpen));
        let other = Sealer::new(key(3), format).seal([7; 16], "text", &random);
        assert_eq!(replacing.reseal([7; 16], &other, &random), Err(DoesNotOpen));
    }
    assert!(SealingKey::new(&[1; 31]).is_err());
    assert!(!format!("{:?}", Sealer::new(key(0x41), SealedFormat::DerivedKeys)).contains("65"));
}
