//! Names for the numbers in an event's head.

use crate::host::containers::Container;

/// Of the host where it happened, as they were then. None: that host has no name for that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names<'a> {
    pub user: Option<&'a [u8]>,
    /// From the mount point of cgroup v2 on.
    pub cgroup: Option<&'a [u8]>,
    /// The innermost of systemd's units that it is in, if it is in one.
    pub unit: Option<&'a [u8]>,
    /// The innermost container, likewise.
    pub container: Option<&'a Container>,
}

impl<'a> Names<'a> {
    /// How formats call those that are text, and what they are; in the order of [`Names::all`].
    pub const ALL: [(&'static str, &'static str); 3] = [
        ("user", "Name of the user."),
        ("cgroup", "Path of the cgroup (v2)."),
        ("unit", "The innermost of systemd's units that it is in, by the cgroup's path: a service, a scope."),
    ];
    /// How they call the container, and what it is.
    pub const CONTAINER: (&'static str, &'static str) =
        ("container", "The innermost container that it is in, by the cgroup's path and the files of runtimes.");

    /// Each that is text by its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Option<&'a [u8]>)> + use<'a> {
        let Names { user, cgroup, unit, container: _ } = *self;
        Self::ALL.into_iter().zip([user, cgroup, unit]).map(|((name, _), value)| (name, value))
    }

    /// Those that are shown as text beside fields: what it is not in is left out.
    pub fn details(&self) -> impl Iterator<Item = (&'static str, Option<&'a [u8]>)> + use<'a> {
        let in_none = |name: &str, value: Option<&[u8]>| name == "unit" && value.is_none();
        let container = self.container.map(|container| (Self::CONTAINER.0, Some(container.shown().as_bytes())));
        self.all().filter(move |(name, value)| !in_none(name, *value)).chain(container)
    }
}
