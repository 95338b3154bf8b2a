//! Seals secrets for one deployment: HPKE (RFC 9180) with a key that follows from the deployment's own.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};

use crate::ports::Random;
use crate::sealing::DoesNotOpen;

const INFO: &[u8] = b"statuspulse export";

type EncapsulatedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The public key that secrets are sealed with: `recipient_` and 43 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(<X25519HkdfSha256 as Kem>::PublicKey);

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recipient_{}", URL_SAFE_NO_PAD.encode(self.0.to_bytes()))
    }
}

/// The text is not a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a recipient is recipient_ and 43 characters, as `statuspulse import --recipient` prints it")]
pub struct NotARecipient;

impl FromStr for Recipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        let key = text.strip_prefix("recipient_").ok_or(NotARecipient)?;
        let key = URL_SAFE_NO_PAD.decode(key).map_err(|_| NotARecipient)?;
        Deserializable::from_bytes(&key).map(Self).map_err(|_| NotARecipient)
    }
}

impl Recipient {
    /// Seals a text for this recipient, and binds it to the owner with this id.
    pub fn seal(&self, owner: [u8; 16], text: &str, random: &dyn Random) -> Result<Vec<u8>, DoesNotSeal> {
        let (encapsulated, sealed) =
            single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &self.0,
                INFO,
                text.as_bytes(),
                &owner,
                &mut Bits(random),
            )
            .map_err(|_| DoesNotSeal)?;
        Ok([encapsulated.to_bytes().as_slice(), &sealed].concat())
    }
}

/// Nothing can be sealed with this key: it is none that a deployment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recipient is not the key of a deployment")]
pub struct DoesNotSeal;

/// Opens what was sealed for a deployment.
#[derive(Clone)]
pub struct Opener {
    secret: <X25519HkdfSha256 as Kem>::PrivateKey,
    recipient: Recipient,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl Opener {
    /// The opener of the deployment with this key.
    pub fn of_key(key: &[u8]) -> Self {
        let (secret, public) = X25519HkdfSha256::derive_keypair(&[INFO, key].concat());
        Self { secret, recipient: Recipient(public) }
    }

    /// The key to seal with.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// Opens a text that was sealed for the owner with this id.
    pub fn open(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        let (encapsulated, sealed) = sealed.split_at_checked(EncapsulatedKey::size()).ok_or(DoesNotOpen)?;
        let encapsulated = Deserializable::from_bytes(encapsulated).map_err(|_| DoesNotOpen)?;
        let text = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.secret,
            &encapsulated,
            INFO,
            sealed,
            &owner,
        );
        String::from_utf8(text.map_err(|_| DoesNotOpen)?).map_err(|_| DoesNotOpen)
    }
}

/// The randomness of the port, as HPKE takes it.
struct Bits<'a>(&'a dyn Random);

impl TryRng for Bits<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(to);
        Ok(())
    }
}

impl TryCryptoRng for Bits<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted;

    impl Random for Counted {
        fn fill(&self, bytes: &mut [u8]) {
            for (byte, count) in bytes.iter_mut().zip(1..) {
                *byte = count;
            }
        }
    }

    #[test]
    fn only_the_recipient_opens_what_is_sealed_and_only_for_its_owner() {
        let (new, other) = (Opener::of_key(&[1; 32]), Opener::of_key(&[2; 32]));
        let recipient: Recipient = new.recipient().to_string().parse().unwrap();
        let sealed = recipient.seal([9; 16], "whsec_secret", &Counted).unwrap();
        assert_eq!(new.open([9; 16], &sealed).unwrap(), "whsec_secret");
        assert_eq!(new.open([8; 16], &sealed), Err(DoesNotOpen), "it is bound to its owner");
        assert_eq!(other.open([9; 16], &sealed), Err(DoesNotOpen));
        for length in 0..sealed.len() {
            assert_eq!(new.open([9; 16], &sealed[..length]), Err(DoesNotOpen), "cut after {length} bytes");
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            // The encapsulated key's last bit does not count in X25519; every other change is seen.
            assert!(new.open([9; 16], &damaged).is_err() || at == EncapsulatedKey::size() - 1, "byte {at}");
        }
    }

    #[test]
    fn what_is_no_recipient_is_refused() {
        for text in ["", "recipient_", "recipient_!", "recipient_AAAA", "acc_01J00000000000000000000000"] {
            assert_eq!(text.parse::<Recipient>(), Err(NotARecipient), "{text}");
        }
    }
}
