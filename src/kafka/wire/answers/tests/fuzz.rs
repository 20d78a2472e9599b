//! Broken frames for every decoder, the same ones in every run: each valid frame of the other tests is cut, flipped, spliced and
//! given impossible lengths. `TIDEMARK_FUZZ_SEED` starts elsewhere; a failure prints the seed and the frame.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Broken frames that are made of one valid frame.
const MUTATIONS: u64 = 48;

/// Lengths that no frame holds, in the classic and in the compact form.
const CLAIMS: [&[u8]; 6] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0x7f, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0x80, 0x80, 0x80, 0x01],
];

/// A small generator of numbers (xorshift64*), so that the frames depend on the seed alone.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

fn seed() -> u64 {
    std::env::var("TIDEMARK_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x7469_6465)
}

/// One to three changes, each of another kind.
fn broken(valid: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut frame = valid.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(frame.len());
        match numbers.below(6) {
            0 => frame.truncate(at),
            1 if !frame.is_empty() => frame[at] ^= 1 << numbers.below(8),
            2 if !frame.is_empty() => frame[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
            3 => {
                let claim = CLAIMS[numbers.below(CLAIMS.len())];
                let end = (at + claim.len()).min(frame.len());
                frame.splice(at..end, claim.iter().copied());
            }
            4 => {
                let from = numbers.below(valid.len());
                let to = (from + numbers.below(40)).min(valid.len());
                frame.splice(at..at, valid[from..to].iter().copied());
            }
            _ => {
                let end = (at + numbers.below(12)).min(frame.len());
                frame.drain(at..end);
            }
        }
    }
    frame
}

/// Nothing that a frame says may cost more than its bytes: no decoder hands on more than there is, or panics.
fn survives(frame: &[u8], seed: u64, decode: impl Fn(&[u8], &mut Seen)) {
    let mut seen = Seen::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| decode(frame, &mut seen)));
    assert!(outcome.is_ok(), "seed {seed}: a decoder panics at {frame:02x?}");
    // A name may be handed on with each of the partitions behind it.
    let most = 32 * (frame.len() + 64) * (frame.len() + 64);
    let bytes: usize = seen.iter().map(String::len).sum();
    assert!(seen.len() <= frame.len() + 8 && bytes <= most, "seed {seed}: {} items of {frame:02x?}", seen.len());
}

/// Called with every valid frame that the other tests hold a decoder to.
pub fn break_it<R: Call>(valid: &[u8], version: i16, decode: Decode) {
    let seed = seed();
    let mut numbers = Numbers(seed ^ (u64::from(R::API.unsigned_abs()) << 32) ^ u64::from(version.unsigned_abs()) | 1);
    for _ in 0..MUTATIONS {
        let frame = broken(valid, &mut numbers);
        survives(&frame, seed, |frame, seen| {
            if let Ok((found, _)) = decoded::<R>(frame, version, decode) {
                *seen = found;
            }
        });
    }
}

#[test]
fn frames_of_nothing_but_impossible_lengths_are_refused_by_every_decoder() {
    for (decode, versions) in every_decoder() {
        for version in versions {
            for flexible in [false, true] {
                for claim in CLAIMS {
                    for lead in 0..12 {
                        let frame: Vec<u8> = [0, 1].into_iter().cycle().take(lead).chain(claim.repeat(40)).collect();
                        survives(&frame, 0, |frame, seen| {
                            let _ = decode(&mut Cursor::new(frame, flexible), version, seen);
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn random_frames_are_survived_by_every_decoder() {
    let seed = seed();
    let mut numbers = Numbers(seed | 1);
    for _ in 0..200 {
        let length = numbers.below(600);
        let frame: Vec<u8> =
            (0..length).map(|_| (numbers.next() >> 24) as u8 & if numbers.below(2) == 0 { 0x03 } else { 0xff }).collect();
        for (decode, versions) in every_decoder() {
            for version in versions {
                for flexible in [false, true] {
                    survives(&frame, seed, |frame, seen| {
                        let _ = decode(&mut Cursor::new(frame, flexible), version, seen);
                    });
                }
            }
        }
    }
}
