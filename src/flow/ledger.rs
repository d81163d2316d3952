//! The ledger: for every kind of event, how many were seen, filtered, delivered and lost, and why.
//! The kernel side counts in a per-CPU map; this side counts what reached the output. At the end the two must agree:
//! seen = filtered + delivered + aggregated + dropped.

use std::fmt;

use crate::escape;
use crate::event::{CAUSES, Failure, Kind, Lost};
use crate::ffi::counters::{COUNTER_WORDS, MappedCounters};

/// The kernel's counters of one kind, on one CPU or summed up: `struct counters` in event.bpf.h.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often the hook was reached.
    pub seen: u64,
    /// Refused by a filter in the kernel.
    pub filtered: u64,
    /// Put into the buffer, or added up.
    pub emitted: u64,
    /// Lost, by cause.
    pub dropped: [u64; CAUSES.len()],
    /// Of the filtered ones, those that might have been wanted: what their condition asks for could not be read.
    pub undecided: u64,
}

impl Counters {
    fn new([seen, filtered, emitted, dropped @ .., undecided]: [u64; COUNTER_WORDS]) -> Self {
        Counters { seen, filtered, emitted, dropped, undecided }
    }

    fn add(&mut self, other: &Counters) {
        self.seen += other.seen;
        self.filtered += other.filtered;
        self.emitted += other.emitted;
        self.undecided += other.undecided;
        self.dropped.iter_mut().zip(other.dropped).for_each(|(sum, n)| *sum += n);
    }

    /// Lost for any cause.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

/// What this side did with the events of one kind that it read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Written to the output.
    pub delivered: u64,
    /// Refused by a filter in user space, beyond `--count`, or after the reader of the output is gone.
    pub filtered: u64,
    /// Lost here: the output failed, or had not taken it by the end of the run.
    pub unwritten: u64,
    /// Not sent by the kernel but added up there: how many of them are in the totals.
    pub aggregated: u64,
}

/// The account of one kind.
#[derive(Debug, Clone)]
pub struct Account {
    pub kind: Kind,
    /// What it watches, where several accounts are of one name: the function of a spec.
    pub of: String,
    /// The kernel side, summed over all CPUs.
    pub kernel: Counters,
    /// The part of it that was already reported as lost, by CPU.
    reported: Vec<[u64; CAUSES.len()]>,
    /// This side.
    pub tally: Tally,
    /// The next sequence number, by CPU.
    next_seq: Vec<u64>,
}

/// All accounts of a run.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// By kind, in the tracer's order.
    pub accounts: Vec<Account>,
    /// How often the kernel skipped the program because it was already running on that CPU, for any process.
    pub missed: u64,
    /// Only some of the host's processes are watched: whether a missed event was one of theirs is unknown.
    pub partial: bool,
    /// Calls whose entry was seen but not their return, at the end: they were under way, or the kernel did not show
    /// their return.
    pub unreturned: Vec<(String, u64)>,
    /// What programs could not read or keep: events lack it, or show it as unreadable.
    pub failures: Vec<Failure>,
}

impl Ledger {
    /// A ledger for these kinds.
    #[must_use]
    pub fn new<'k>(kinds: impl Iterator<Item = &'k Kind>) -> Self {
        let accounts = kinds
            .map(|kind| Account {
                kind: kind.clone(),
                of: String::new(),
                kernel: Counters::default(),
                reported: Vec::new(),
                tally: Tally::default(),
                next_seq: Vec::new(),
            })
            .collect();
        Ledger { accounts, ..Ledger::default() }
    }

    /// The account of a kind, by its number on the wire.
    pub fn account(&mut self, kind: u32) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|a| a.kind.id == kind)
    }

    /// Reads the kernel's counters. They are never reset: the kernel writes them, too.
    ///
    /// Calls `lost` for each loss since the last call, by kind, CPU and cause; its time is left 0.
    pub fn read(&mut self, counters: &MappedCounters, lost: &mut dyn FnMut(Lost)) {
        for account in &mut self.accounts {
            let mut sum = Counters::default();
            for (cpu, words) in counters.of(account.kind.id).enumerate() {
                let counters = Counters::new(words);
                sum.add(&counters);
                if account.reported.len() <= cpu {
                    account.reported.resize(cpu + 1, [0; CAUSES.len()]);
                }
                let Some(reported) = account.reported.get_mut(cpu) else { continue };
                for ((cause, now), reported) in CAUSES.iter().zip(counters.dropped).zip(reported) {
                    if now > *reported {
                        let cpu = u32::try_from(cpu).unwrap_or(u32::MAX);
                        lost(Lost { unix_ns: 0, class: account.kind.name.clone(), cause, count: now - *reported, cpu });
                        *reported = now;
                    }
                }
            }
            account.kernel = sum;
        }
    }

    /// Whether every event that the kernel saw is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.accounts.iter().all(|a| {
            let k = &a.kernel;
            k.seen == k.filtered + k.emitted + k.lost()
                && k.emitted == a.tally.delivered + a.tally.filtered + a.tally.unwritten + a.tally.aggregated
        })
    }

    /// How many events were lost, for any cause. Events that the kernel skipped count if every process is watched.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let missed = if self.partial { 0 } else { self.missed };
        self.accounts.iter().map(Account::lost).sum::<u64>() + missed
    }

    /// How many of them the output did not take.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        self.accounts.iter().map(|a| a.tally.unwritten).sum()
    }

    /// How many events were written to the output.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.accounts.iter().map(|a| a.tally.delivered).sum()
    }
}

impl Account {
    /// Its kind, and what it watches.
    fn name(&self) -> String {
        match self.of.as_str() {
            "" => self.kind.name.to_string(),
            of => format!("{} of {}", self.kind.name, escape::line(of.as_bytes())),
        }
    }

    /// Lost for any cause, in the kernel or here.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.kernel.lost() + self.tally.unwritten
    }

    /// Records the sequence number of an event that arrived; returns whether others are missing before it.
    pub fn arrived(&mut self, cpu: u32, seq: u64) -> bool {
        let cpu = cpu as usize;
        // A damaged recording may claim any CPU: numbers that no kernel has are not tracked.
        const CPUS_MAX: usize = 8192;
        if cpu >= CPUS_MAX {
            return false;
        }
        if self.next_seq.len() <= cpu {
            self.next_seq.resize(cpu + 1, 0);
        }
        let Some(next) = self.next_seq.get_mut(cpu) else { return false };
        let gap = seq != *next;
        *next = seq.wrapping_add(1);
        gap
    }
}

/// `12 seen = 2 filtered + 10 delivered + 0 dropped (exec 3, exit 4, fork 3)`, and a line for each cause of loss.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&Account) -> u64| self.accounts.iter().map(of).sum::<u64>();
        let seen = sum(|a| a.kernel.seen);
        let filtered = sum(|a| a.kernel.filtered + a.tally.filtered);
        let (delivered, dropped) = (sum(|a| a.tally.delivered), sum(Account::lost));
        let aggregated = sum(|a| a.tally.aggregated);
        // If read while events still come in: those still in the buffer.
        let pending = seen.saturating_sub(filtered + delivered + aggregated + dropped);
        write!(f, "{seen} seen = {filtered} filtered + {delivered} delivered + ")?;
        if aggregated > 0 {
            write!(f, "{aggregated} aggregated + ")?;
        }
        write!(f, "{dropped} dropped")?;
        if pending > 0 {
            write!(f, " + {pending} pending")?;
        }
        // Several specs have kinds of one name.
        let mut kinds: Vec<(&str, u64)> = Vec::new();
        for account in self.accounts.iter().filter(|a| a.tally.delivered > 0) {
            match kinds.iter_mut().find(|(name, _)| *name == account.kind.name) {
                Some((_, sum)) => *sum += account.tally.delivered,
                None => kinds.push((&account.kind.name, account.tally.delivered)),
            }
        }
        for (n, (name, sum)) in kinds.iter().enumerate() {
            write!(f, "{}{name} {sum}", if n == 0 { " (" } else { ", " })?;
        }
        if delivered > 0 {
            write!(f, ")")?;
        }
        for account in &self.accounts {
            for (cause, n) in CAUSES.iter().zip(account.kernel.dropped).filter(|(_, n)| *n > 0) {
                write!(f, "\n  dropped: {n} {} ({cause})", account.name())?;
            }
            if account.kernel.undecided > 0 {
                write!(
                    f,
                    "\n  undecided: {} of the filtered {} (what the condition asks for could not be read)",
                    account.kernel.undecided,
                    account.name()
                )?;
            }
            if account.tally.unwritten > 0 {
                write!(f, "\n  dropped: {} {} (unwritten)", account.tally.unwritten, account.name())?;
            }
        }
        if self.missed > 0 {
            write!(
                f,
                "\n  missed: {} (the kernel did not run the program: it was already running there{})",
                self.missed,
                if self.partial { "; for which process, watched or not, is unknown" } else { "" }
            )?;
        }
        let unreturned: u64 = self.unreturned.iter().map(|(_, count)| count).sum();
        if unreturned > 0 {
            write!(
                f,
                "\n  unreturned: {unreturned} (calls under way, or of which the kernel did not show the return)"
            )?;
            let of = self.unreturned.iter().filter(|(of, _)| !of.is_empty());
            for (n, (of, count)) in of.enumerate() {
                write!(f, "{} {count} of {}", if n == 0 { ":" } else { "," }, escape::line(of.as_bytes()))?;
            }
            if self.unreturned.iter().any(|(of, _)| !of.is_empty()) {
                write!(f, "; --entry shows calls when they begin")?;
            }
        }
        for Failure { what, error, count } in &self.failures {
            write!(f, "\n  failed: {count} times, {what} ({error})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static KINDS: [Kind; 2] = [Kind::new(3, "a", "", &[]), Kind::new(9, "b", "", &[])];

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(KINDS.iter());
        let a = ledger.account(3).unwrap();
        a.kernel = Counters { seen: 10, filtered: 2, emitted: 5, dropped: [1, 0, 2, 0, 0, 0], undecided: 0 };
        a.tally = Tally { delivered: 4, filtered: 1, unwritten: 0, aggregated: 0 };
        ledger
    }

    #[test]
    fn it_balances_only_when_every_event_is_accounted_for() {
        assert!(ledger().balances());
        for unbalance in [
            |k: &mut Account| k.kernel.seen += 1,
            |k: &mut Account| k.kernel.dropped[1] += 1,
            |k: &mut Account| k.tally.delivered -= 1,
            |k: &mut Account| k.kernel.emitted += 1,
        ] {
            let mut ledger = ledger();
            unbalance(ledger.account(3).unwrap());
            assert!(!ledger.balances());
        }
    }

    #[test]
    fn the_closing_line_adds_up() {
        let mut ledger = ledger();
        assert_eq!(
            ledger.to_string(),
            "10 seen = 3 filtered + 4 delivered + 3 dropped (a 4)\n  dropped: 1 a (buffer_full)\n  dropped: 2 a (map_full)"
        );
        ledger.account(3).unwrap().kernel.seen = 12;
        assert!(ledger.to_string().contains("+ 2 pending"));
        assert_eq!((ledger.lost(), ledger.delivered()), (3, 4));
        ledger.missed = 7;
        assert_eq!(ledger.lost(), 10);
        // It may have been a process that is not watched: no loss is reported.
        ledger.partial = true;
        assert_eq!(ledger.lost(), 3);
        assert!(ledger.to_string().contains("missed: 7") && ledger.to_string().contains("unknown"));
        let tally = &mut ledger.account(3).unwrap().tally;
        (tally.delivered, tally.unwritten) = (2, 2);
        assert_eq!((ledger.lost(), ledger.delivered()), (5, 2));
        assert!(ledger.to_string().contains("5 dropped") && ledger.to_string().contains("dropped: 2 a (unwritten)"));
        ledger.account(3).unwrap().tally.aggregated = 1;
        assert!(
            ledger.to_string().starts_with("12 seen = 3 filtered + 2 delivered + 1 aggregated + 5 dropped + 1 pending")
        );
        ledger.account(3).unwrap().kernel.undecided = 2;
        assert!(ledger.to_string().contains("\n  undecided: 2 of the filtered a (what"));
        ledger.account(3).unwrap().of = "vfs_*\u{1b}".to_owned();
        let printed = ledger.to_string();
        assert!(printed.contains("\n  undecided: 2 of the filtered a of vfs_*\\x1b (what"), "{printed}");
        assert!(printed.contains("\n  dropped: 1 a of vfs_*\\x1b (buffer_full)"), "{printed}");
        assert!(printed.contains("\n  dropped: 2 a of vfs_*\\x1b (unwritten)"), "{printed}");
        ledger.unreturned = vec![("fn:vfs_*".to_owned(), 3), (String::new(), 2)];
        assert!(ledger.to_string().contains("\n  unreturned: 5 (calls"));
        assert!(
            ledger.to_string().ends_with("the return): 3 of fn:vfs_*; --entry shows calls when they begin"),
            "{ledger}"
        );
        ledger.failures = vec![Failure { what: "to read a socket", error: "EFAULT".to_owned(), count: 3 }];
        assert!(ledger.to_string().ends_with("\n  failed: 3 times, to read a socket (EFAULT)"), "{ledger}");
    }

    #[test]
    fn a_gap_in_a_cpus_numbers_is_noticed() {
        let mut ledger = ledger();
        let a = ledger.account(3).unwrap();
        assert!(!a.arrived(0, 0) && !a.arrived(0, 1) && !a.arrived(5, 0));
        assert!(a.arrived(0, 3) && !a.arrived(0, 4));
        assert!(!a.arrived(u32::MAX, 7));
    }

    #[test]
    fn counters_are_read_in_the_order_of_the_kernels_struct() {
        let counters = Counters { seen: 1, filtered: 2, emitted: 3, dropped: [4, 5, 6, 7, 8, 9], undecided: 10 };
        assert_eq!(Counters::new([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), counters);
    }
}
