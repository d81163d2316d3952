//! What rows of programs are of.

/// What processes have in common that are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum By {
    /// The name of the last program, as it was called, without directories
    #[default]
    Program,
    /// The file of the last program
    Exe,
    /// The name at the end
    Comm,
    /// The user
    Uid,
    /// The cgroup's id
    Cgroup,
    /// The container's name, or its short id
    Container,
    /// The unit of systemd
    Unit,
    /// All arguments of the last program
    Args,
}

impl By {
    pub(in crate::output) const ALL: [By; 8] =
        [By::Program, By::Exe, By::Comm, By::Uid, By::Cgroup, By::Container, By::Unit, By::Args];

    /// Its name, as it is typed and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            By::Program => "program",
            By::Exe => "exe",
            By::Comm => "comm",
            By::Uid => "uid",
            By::Cgroup => "cgroup",
            By::Container => "container",
            By::Unit => "unit",
            By::Args => "args",
        }
    }
}
