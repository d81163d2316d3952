//! The list of tests that may skip: tests/vm/skips.
use crate::artifacts::Arch;
use anyhow::{Context, Result};

/// One line: a kernel (or several, by pattern) and a test.
struct Entry {
    kernel: String,
    test: String,
}

/// The whole list.
pub struct Skips(Vec<Entry>);

impl Skips {
    /// Reads the list that was compiled in, for guests of this architecture.
    pub fn read(arch: Arch) -> Result<Self> {
        let entry = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (kernel, test) = (words.next()?, words.next()?);
            words.next().map(|_reason| Entry { kernel, test })
        };
        include_str!("skips")
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .filter_map(|line| match line.split_once(':') {
                Some((name, rest)) if name == Arch::Arm.name() => (arch == Arch::Arm).then_some(rest),
                _ => (arch == Arch::X86).then_some(line),
            })
            .map(|line| {
                entry(line).with_context(|| format!("tests/vm/skips: expected KERNEL TEST REASON, not: {line}"))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Whether this test may skip on this kernel.
    pub fn allow(&self, kernel: &str, test: &str) -> bool {
        test.starts_with("smoke::") || (self.0.iter()).any(|entry| entry.test == test && matches(&entry.kernel, kernel))
    }

    /// Entries for these kernels that are out of date according to `unused`, on every kernel that they match.
    pub fn unused(&self, kernels: &[String], unused: impl Fn(&str, &str) -> bool) -> Vec<(&str, &str)> {
        let out_of_date = |entry: &&Entry| {
            let mut on = kernels.iter().filter(|k| matches(&entry.kernel, k)).peekable();
            on.peek().is_some() && on.all(|kernel| unused(kernel, &entry.test))
        };
        let entries = self.0.iter().filter(out_of_date);
        entries.map(|entry| (entry.kernel.as_str(), entry.test.as_str())).collect()
    }
}

/// `*` is every kernel, `7.x` every 7.
fn matches(pattern: &str, kernel: &str) -> bool {
    match pattern.strip_suffix('x') {
        Some(start) => kernel.starts_with(start),
        None => pattern == "*" || pattern == kernel,
    }
}
