//! Names for the numbers in an event's head.

/// Of this host, as it is now: they are no part of what was recorded. None: the host has no name for that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names<'a> {
    pub user: Option<&'a [u8]>,
    /// From the mount point of cgroup v2 on.
    pub cgroup: Option<&'a [u8]>,
}

impl<'a> Names<'a> {
    /// How formats call them, and what they are; in the order of [`Names::all`].
    pub const ALL: [(&'static str, &'static str); 2] =
        [("user", "Name of the user."), ("cgroup", "Path of the cgroup (v2).")];

    /// Each by its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Option<&'a [u8]>)> + use<'a> {
        let Names { user, cgroup } = *self;
        Self::ALL.into_iter().zip([user, cgroup]).map(|((name, _), value)| (name, value))
    }
}
