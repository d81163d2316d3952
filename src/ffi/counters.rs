//! The counters of the kernel side, as they are mapped into this process's memory.

/// Rows of the ledger for each CPU: `KINDS_MAX` in event.bpf.h (its map has that many entries before it is sized).
pub(crate) const KINDS_MAX: u32 = 64;

/// How many causes of loss are counted: the length of `event::CAUSES` (checked where a skeleton is declared).
pub(crate) const CAUSES: usize = 6;

/// The kernel side's counters, mapped into this process's memory: the map `ledger` of event.bpf.h.
///
/// They are not read by system call: see event.bpf.h.
#[derive(Debug, Default)]
pub struct MappedCounters {
    words: Option<std::ptr::NonNull<u64>>,
    len: usize,
}

/// Of one kind on one CPU: `struct counters` (checked in `skeleton!`).
pub(crate) const COUNTER_WORDS: usize = 4 + CAUSES;

impl MappedCounters {
    /// Maps the counters.
    #[allow(unsafe_code)]
    pub(crate) fn new(map: &libbpf_rs::Map<'_>) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        use libbpf_rs::MapCore as _;
        use nix::sys::mman::{MapFlags, ProtFlags, mmap};
        use std::os::fd::AsFd as _;
        anyhow::ensure!(map.value_size() as usize == COUNTER_WORDS * 8, "the ledger's counters have another size");
        let len = map.max_entries() as usize * COUNTER_WORDS * 8;
        let size = std::num::NonZero::new(len).context("the ledger is empty")?;
        // SAFETY: a new mapping, at an address of the kernel's choice; nothing else has it, and only `drop` unmaps it.
        let at = unsafe { mmap(None, size, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, map.as_fd(), 0) };
        let at = at.context("mapping the ledger")?;
        Ok(MappedCounters { words: Some(at.cast()), len })
    }

    /// The counters of a kind, one item per CPU.
    #[allow(unsafe_code)]
    pub(crate) fn of(&self, kind: u32) -> impl Iterator<Item = [u64; COUNTER_WORDS]> + use<'_> {
        let row = KINDS_MAX as usize * COUNTER_WORDS;
        let from = kind as usize * COUNTER_WORDS;
        let rows = if kind < KINDS_MAX { self.len / 8 / row } else { 0 };
        self.words.into_iter().flat_map(move |words| {
            (0..rows).map(move |cpu| {
                std::array::from_fn(|n| {
                    // SAFETY: within the mapping, by the count of rows; aligned, as it begins at a page. The kernel
                    //         writes each of the words at once, hence the volatile read.
                    unsafe { words.add(cpu * row + from + n).read_volatile() }
                })
            })
        })
    }
}

impl MappedCounters {
    /// How many events of all kinds were lost on a CPU for one cause (index into `event::CAUSES`).
    #[allow(unsafe_code)]
    pub(crate) fn lost_on(&self, cpu: usize, cause: usize) -> u64 {
        let rows = KINDS_MAX as usize;
        let at = |kind: usize| ((cpu * rows) + kind) * COUNTER_WORDS + 3 + cause;
        let words = self.words.filter(|_| cause < CAUSES);
        let kinds = (0..rows).filter(|kind| at(*kind) < self.len / 8);
        // SAFETY: within the mapping, and as in `of`.
        words.map_or(0, |words| kinds.map(|kind| unsafe { words.add(at(kind)).read_volatile() }).sum())
    }
}

impl Drop for MappedCounters {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if let Some(words) = self.words {
            // SAFETY: mapped in `new` with this length, and not used after this.
            let _ = unsafe { nix::sys::mman::munmap(words.cast(), self.len) };
        }
    }
}

/// How often the kernel skipped a program because it was already running on that CPU (struct bpf_prog_info, since
/// 5.12); none where the kernel does not report it.
#[allow(unsafe_code)]
pub(crate) fn recursion_misses(program: &libbpf_rs::Program<'_>) -> Option<u64> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = u32::try_from(size_of_val(&info)).ok()?;
    // SAFETY: the descriptor is open while `program` lives, and `len` is the size of `info`, which is
    //         plain data; its pointers are null, so the kernel writes nothing elsewhere.
    let ret = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_fd().as_raw_fd(), &mut info, &mut len) };
    (ret == 0).then_some(info.recursion_misses)
}
