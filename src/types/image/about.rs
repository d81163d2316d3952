//! What is read out of a file: types, and what the file says of its kernel.

use super::search::find;

/// Types, and of which kernel they are.
#[derive(Debug)]
pub(crate) struct Image {
    /// The bytes of the BTF.
    pub btf: Vec<u8>,
    pub about: About,
    /// The types that a module brings along of what it was built against.
    pub base: Option<Vec<u8>>,
}

/// What an image says of the kernel that it is of; raw BTF says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// As `uname -r` has it.
    pub release: Option<String>,
    /// The linker's hash of it all.
    pub build_id: Option<Vec<u8>>,
    pub machine: Option<&'static str>,
    /// It is a module's, whose types go on where the kernel's end.
    pub module: bool,
}

/// The release in a kernel's banner (init/version-timestamp.c): `Linux version 6.1.0-50-cloud-amd64 (…`.
pub(super) fn release(rodata: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    let mut rest = rodata;
    while let Some(at) = find(rest, BANNER) {
        rest = rest.get(at + BANNER.len()..)?;
        let word = rest.get(..rest.len().min(65))?.split(|byte| *byte == b' ').next()?;
        if word.first().is_some_and(u8::is_ascii_digit) && word.len() <= 64 && word.iter().all(u8::is_ascii_graphic) {
            return String::from_utf8(word.to_vec()).ok();
        }
    }
    None
}
