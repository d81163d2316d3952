//! The numbers of CPUs.

use std::fs;

use anyhow::Context;

/// One more than the highest number that a CPU may have.
///
/// # Errors
/// When the kernel does not say.
pub fn possible_cpus() -> anyhow::Result<u32> {
    let path = "/sys/devices/system/cpu/possible";
    // Ranges and numbers, ascending: `0-3,8`. Without sysfs, those that libbpf counts.
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(u32::try_from(libbpf_rs::num_possible_cpus().context("counting the CPUs")?)?);
    };
    let last = text.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<u32>().ok());
    last.and_then(|n| n.checked_add(1)).with_context(|| format!("{path} has {:?}", text.trim()))
}

/// The CPUs that are on, by number; none where the kernel does not say.
#[must_use]
pub fn online_cpus() -> Vec<u32> {
    cpu_list(&fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default())
}

/// Ranges and numbers: `0-3,8`.
fn cpu_list(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(cpu_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(cpu_list("0\n"), [0]);
        assert!(cpu_list("").is_empty() && cpu_list("x-y,3-").is_empty());
        assert!(online_cpus().len() <= possible_cpus().unwrap() as usize);
    }
}
