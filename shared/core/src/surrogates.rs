//! Half an emoji in a JSON text: an escape such as `\ud83d` without the other half (a lone surrogate). It is allowed by
//! the grammar of JSON, but no Unicode text can contain it, so parsers refuse it. That is no reason to refuse an alert.

use std::borrow::Cow;
use std::ops::Deref;

/// The escape of U+FFFD, the replacement character. It is as long as those that it replaces.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

/// A JSON text that parsers accept: with U+FFFD in the place of each lone surrogate. All other bytes stay, at the same
/// places.
#[derive(Debug)]
pub struct Readable<'a>(Cow<'a, [u8]>);

impl<'a> Readable<'a> {
    /// Reads this text.
    pub fn of(json: &'a [u8]) -> Self {
        Self(repaired(json))
    }
}

impl Deref for Readable<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn repaired(json: &[u8]) -> Cow<'_, [u8]> {
    let mut repaired = Cow::Borrowed(json);
    let mut at = 0;
    while at < json.len() {
        if json[at] != b'\\' {
            at += 1;
            continue;
        }
        at += match (surrogate(json, at), surrogate(json, at + 6)) {
            (Some(Half::High), Some(Half::Low)) => 12,
            (Some(_), _) => {
                repaired.to_mut()[at..at + 6].copy_from_slice(REPLACEMENT);
                6
            }
            // Another escape: a backslash and the character that it protects.
            (None, _) => 2,
        };
    }
    repaired
}

enum Half {
    High,
    Low,
}

/// The surrogate whose escape begins here.
fn surrogate(json: &[u8], at: usize) -> Option<Half> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let code = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    match code {
        0xd800..=0xdbff => Some(Half::High),
        0xdc00..=0xdfff => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_and_nothing_else() {
        for (json, expected) in [
            (r#"{"a":"\ud83d\udd25 \u00e9 \\ud83d"}"#, None),
            (r#"{"a":"\ud83d"}"#, Some(r#"{"a":"\ufffd"}"#)),
            (r#"{"\uDD25":1}"#, Some(r#"{"\ufffd":1}"#)),
            (r#""\ud83d\ud83d\udd25""#, Some(r#""\ufffd\ud83d\udd25""#)),
            (r#""\udd25\ud83dx""#, Some(r#""\ufffd\ufffdx""#)),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            (r#""\ud83"#, None),
            (r#""\ud83dé\"#, Some(r#""\ufffdé\"#)),
        ] {
            let repaired = repaired(json.as_bytes());
            assert_eq!(String::from_utf8(repaired.to_vec()).unwrap(), expected.unwrap_or(json));
            assert_eq!(matches!(repaired, Cow::Borrowed(_)), expected.is_none(), "{json}");
        }
    }
}
