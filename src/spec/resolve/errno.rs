//! Errors by their names.

use nix::errno::Errno;

/// The last one that programs see: include/uapi/asm-generic/errno.h.
const LAST: i32 = 133;
/// What is one in C, but not the first name of its number; and what only the kernel itself sees
/// (include/linux/errno.h).
const OTHERS: &[(&str, i32)] = &[
    ("EWOULDBLOCK", 11),
    ("EDEADLOCK", 35),
    ("EOPNOTSUPP", 95),
    ("ENOTSUP", 95),
    ("ERESTARTSYS", 512),
    ("ERESTARTNOINTR", 513),
    ("ERESTARTNOHAND", 514),
    ("ENOIOCTLCMD", 515),
    ("ERESTART_RESTARTBLOCK", 516),
    ("EPROBE_DEFER", 517),
    ("EOPENSTALE", 518),
    ("ENOPARAM", 519),
    ("EBADHANDLE", 521),
    ("ENOTSYNC", 522),
    ("EBADCOOKIE", 523),
    ("ENOTSUPP", 524),
    ("ETOOSMALL", 525),
    ("ESERVERFAULT", 526),
    ("EBADTYPE", 527),
    ("EJUKEBOX", 528),
    ("EIOCBQUEUED", 529),
    ("ERECALLCONFLICT", 530),
    ("ENOGRACE", 531),
];

/// All names that there are.
pub(crate) fn names() -> impl Iterator<Item = (String, i32)> {
    let known = (1..=LAST).map(|number| (Errno::from_raw(number), number));
    let known = known.filter(|(errno, _)| *errno != Errno::UnknownErrno).map(|(errno, n)| (format!("{errno:?}"), n));
    known.chain(OTHERS.iter().map(|(name, number)| ((*name).to_owned(), *number)))
}

/// The number of an error.
pub(crate) fn errno(name: &str) -> Option<i32> {
    name.starts_with('E').then(|| names().find(|(known, _)| known == name).map(|(_, number)| number))?
}
