//! Files that are changed at random, from a fixed seed: so many of them, or as many as five seconds are enough for.
//!
//! With overflow checks: `cargo test --profile checked --lib fuzz` (the profile is in Cargo.toml, and `make test-fast`
//! runs it); as part of `cargo test --release`, without.

use std::time::{Duration, Instant};

use super::{PARSERS, quiet};

/// Of each parser.
const TIME: Duration = Duration::from_secs(5);
const INPUTS: usize = 20_000;
/// What a file of a few KB may take at most, on a busy machine and unoptimized.
const SLOWEST: Duration = Duration::from_secs(5);
/// Longer files are cut.
const LENGTH: usize = 64 << 10;

/// xorshift64 (Marsaglia).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most.max(1)
    }
}

/// Numbers at which something turns.
const NUMBERS: [u32; 16] =
    [0, 1, 2, 4, 8, 24, 63, 127, 255, 256, 0x7fff, 0xffff, 0x0100_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// What terminals and parsers take for something else.
const TEXTS: [&str; 6] = ["\u{9b}", "\u{202e}", "\x1b[", "\0", "___", "\u{e0041}"];

fn changed(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    let changes = 1 + random.below(8) * random.below(3);
    for _ in 0..changes {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let at = random.below(bytes.len());
        let rest = bytes.len() - at;
        let other = &seeds[random.below(seeds.len())];
        match random.below(10) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            // Mostly, numbers are at multiples of their size.
            2..=4 if bytes.len() >= 4 => {
                let at = (at & !3).min(bytes.len() - 4);
                let before = u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
                let number = match random.below(5) {
                    0 => before.wrapping_add(1),
                    1 => before.wrapping_sub(1),
                    2 => random.below(60) as u32,
                    _ => NUMBERS[random.below(NUMBERS.len())],
                };
                bytes[at..at + 4].copy_from_slice(&number.to_ne_bytes());
            }
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..at + random.below(64).min(rest))),
            7 => {
                let from = random.below(other.len());
                let piece = other[from..other.len().min(from + random.below(256))].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            8 => {
                let piece = bytes[at..at + random.below(64).min(rest)].to_vec();
                let to = random.below(bytes.len());
                drop(bytes.splice(to..to, piece));
            }
            _ => drop(bytes.splice(at..at, TEXTS[random.below(TEXTS.len())].bytes())),
        }
    }
    bytes.truncate(LENGTH);
    bytes
}

/// A file for whoever looks for the reason, while a test fails.
struct Last<'a>(&'a str, Vec<u8>);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = std::env::temp_dir().join(format!("coretrace-fuzz-{}", self.0));
            let kept = std::fs::write(&path, &self.1);
            eprintln!("the file that it fails with: {} ({kept:?})", path.display());
        }
    }
}

fn survives(parser: &str) {
    quiet();
    let (name, parse, seeds) = PARSERS.into_iter().find(|(name, ..)| *name == parser).unwrap();
    let (seeds, mut random) = (seeds(), Random(88_172_645_463_325_252));
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| parse(seed));
    let begin = Instant::now();
    for n in 0..INPUTS {
        if begin.elapsed() > TIME {
            assert!(n > 20, "{n} files in {TIME:?}");
            break;
        }
        let last = Last(name, changed(&mut random, &seeds));
        let began = Instant::now();
        parse(&last.1);
        assert!(began.elapsed() < SLOWEST, "{name}: {:?}", began.elapsed());
    }
}

#[test]
fn changed_recordings() {
    survives("recording");
}

#[test]
fn changed_types() {
    survives("types");
}

#[test]
fn changed_images() {
    survives("image");
}

#[test]
fn changed_packages() {
    survives("package");
}

#[test]
fn changed_objects() {
    survives("object");
}

#[test]
fn changed_archives() {
    survives("archive");
}

#[test]
fn changed_binaries() {
    survives("binary");
}

#[test]
fn changed_texts() {
    survives("text");
}

#[test]
fn changed_specs() {
    survives("spec");
}
