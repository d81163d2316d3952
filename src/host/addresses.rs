//! Names of the kernel's addresses: of this one, or of another one, as a recording has them.

use std::cell::OnceCell;
use std::rc::Rc;

use super::kallsyms::Symbols;

/// Where names of addresses are from.
#[derive(Debug, PartialEq, Eq)]
pub enum Addresses {
    /// This kernel.
    Here(Rc<Symbols>),
    /// A recording.
    Recorded(Learned),
}

impl Addresses {
    /// Those of a recording, which come one after the other.
    #[must_use]
    pub fn recorded() -> Self {
        Addresses::Recorded(Learned::new())
    }

    /// The symbol that an address is in, and how far behind its beginning.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<(&str, u64)> {
        match self {
            Addresses::Here(symbols) => symbols.at(address).map(|(symbol, offset)| (symbol.name, offset)),
            Addresses::Recorded(learned) => learned.at(address),
        }
    }

    /// Takes what a recording has.
    pub fn learn(&self, address: u64, offset: u64, name: &str) {
        if let Addresses::Recorded(learned) = self {
            learned.learn(address, offset, name);
        }
    }
}

/// Names by address. What is known stays, so that others may borrow it while more is learned.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// By a hash of the address.
    buckets: Box<[Link]>,
}

type Link = OnceCell<Box<Name>>;

#[derive(Debug, PartialEq, Eq)]
struct Name {
    address: u64,
    offset: u64,
    name: Box<str>,
    next: Link,
}

impl Learned {
    /// Where nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        const BUCKETS: usize = 1024;
        Learned { buckets: (0..BUCKETS).map(|_| Link::new()).collect() }
    }

    fn bucket(&self, address: u64) -> Option<&Link> {
        // Functions begin at multiples of 16.
        let hash = (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.buckets.get(hash as usize % self.buckets.len().max(1))
    }

    fn all(&self, address: u64) -> impl Iterator<Item = &Name> {
        std::iter::successors(self.bucket(address).and_then(OnceCell::get), |name| name.next.get()).map(AsRef::as_ref)
    }

    /// The symbol that an address is in, and how far behind its beginning.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<(&str, u64)> {
        self.all(address).find(|name| name.address == address).map(|found| (&*found.name, found.offset))
    }

    /// An address is so far behind the beginning of that symbol. The first that is said of it counts.
    pub fn learn(&self, address: u64, offset: u64, name: &str) {
        /// A recording that has more in one place, or longer names, was made for that.
        const CHAIN: usize = 4096;
        const NAME: usize = 4096;
        if self.at(address).is_some() || name.len() > NAME || self.all(address).count() >= CHAIN {
            return;
        }
        let last = self.all(address).last().map(|last| &last.next);
        if let Some(end) = last.or_else(|| self.bucket(address)) {
            let _ = end.set(Box::new(Name { address, offset, name: name.into(), next: Link::new() }));
        }
    }
}

impl Drop for Learned {
    /// One after the other: a long list that drops itself needs as deep a stack.
    fn drop(&mut self) {
        for bucket in &mut self.buckets {
            let mut next = bucket.take();
            while let Some(mut name) = next {
                next = name.next.take();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_known_while_more_is_learned() {
        let learned = Learned::new();
        assert_eq!(learned.at(7), None);
        learned.learn(7, 3, "first");
        let first = learned.at(7);
        (0..100_000).for_each(|n| learned.learn(n, n + 1, "more"));
        assert_eq!(first, Some(("first", 3)));
        assert_eq!((learned.at(7), learned.at(99_999), learned.at(100_000)), (first, Some(("more", 100_000)), None));
        assert_eq!(Learned::default().at(7), None);
        Learned::default().learn(7, 3, "nowhere");
    }

    #[test]
    fn many_names_in_one_place_end_without_a_deep_stack() {
        let learned = Learned { buckets: [Link::new()].into() };
        (0..20_000).for_each(|n| learned.learn(n, 0, ""));
        assert_eq!(learned.all(0).count(), 4096, "no more than can be gone through");
    }
}
