//! Inputs that are almost right: a seed with a few edits. Random bytes alone never get past the first brace of a JSON text.

use std::fmt::Debug;

use bolero::TypeGenerator;
use bolero::generator::bolero_generator::driver::{ByteSliceDriver, Options};

/// Inputs of each target that parses something, in a run of the tests.
pub const INPUTS: u64 = 10_000;

/// Runs a target on the same inputs at each run. STATUSPULSE_FUZZ_TIMES multiplies their number.
///
/// # Panics
/// Panics with the number of the input if the target does.
pub fn each<T: TypeGenerator + Debug>(inputs: u64, target: impl Fn(&T)) {
    let times = std::env::var("STATUSPULSE_FUZZ_TIMES").ok().and_then(|text| text.parse().ok());
    for n in 0..inputs * times.unwrap_or(1) {
        let bytes = noise(n);
        let mut driver = ByteSliceDriver::new(&bytes, &Options::default());
        let Some(input) = T::generate(&mut driver) else { continue };
        let run = std::panic::AssertUnwindSafe(|| target(&input));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("input {n}: {input:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Bytes that look random (SplitMix64), as many as an input with its edits needs.
pub fn noise(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    });
    words.take(64).flatten().collect()
}

/// What is inserted as a whole: the ends of ranges, and what parsers disagree about.
const TOKENS: [&str; 32] = [
    "null",
    "true",
    "-0",
    "1e999",
    "9223372036854775808",
    "1.50",
    "{}",
    "[]",
    "[[[[[[[[",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "\\",
    "\"",
    ",",
    ":",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "%00",
    "%2e%2e/",
    "../",
    "@",
    "#",
    "?",
    "//",
    "[::1]",
    "0x7f.1",
    "xn--",
    "\r\n",
    "\t",
];

/// One change of a text.
#[derive(Debug, Clone, TypeGenerator)]
pub struct Edit {
    at: u16,
    kind: u8,
    with: u8,
}

/// A seed and its edits, or bytes without a seed.
#[derive(Debug, Clone, TypeGenerator)]
pub struct Edited {
    seed: u8,
    edits: Vec<Edit>,
    raw: Option<Vec<u8>>,
}

impl Edited {
    /// The input, made from one of these seeds.
    pub fn of(&self, seeds: &[impl AsRef<[u8]>]) -> Vec<u8> {
        // Now and then only bytes.
        if let (Some(raw), 0) = (&self.raw, self.seed % 8) {
            return raw.clone();
        }
        let mut bytes = seeds[usize::from(self.seed) % seeds.len()].as_ref().to_vec();
        // Most inputs are near their seed.
        for edit in self.edits.iter().take(1 + usize::from(self.seed) / 32) {
            edit.apply(&mut bytes);
        }
        bytes
    }

    /// The same as text.
    pub fn text_of(&self, seeds: &[impl AsRef<[u8]>]) -> String {
        String::from_utf8_lossy(&self.of(seeds)).into_owned()
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = usize::from(self.at) % (bytes.len() + 1);
        let end = (at + 1 + usize::from(self.with) % 16).min(bytes.len());
        match self.kind % 6 {
            0 if at < bytes.len() => bytes[at] = self.with,
            1 => bytes.insert(at, self.with),
            2 if at < end => drop(bytes.drain(at..end)),
            3 if at < end => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part.repeat(1 + usize::from(self.kind) / 64));
            }
            4 => bytes.truncate(at),
            _ => {
                let token = TOKENS[usize::from(self.with) % TOKENS.len()];
                bytes.splice(at..at, token.bytes());
            }
        }
    }
}
