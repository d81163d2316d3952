//! Looks at a file of type information before libbpf does, because libbpf's errors do not say what is wrong with it.
//!
//! A file of another kernel cannot be told from here: it loads, and reads wrong offsets.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::btf::Fault;
use crate::bytes::Bytes;

/// `BTF_MAGIC` (include/uapi/linux/btf.h).
const MAGIC: u16 = 0xeb9f;
/// `sizeof(struct btf_header)`: u16 magic, u8 version, u8 flags, u32 hdr_len, type_off, type_len, str_off, str_len.
const HEADER: usize = 24;
/// `sizeof(Elf64_Ehdr)` and `sizeof(Elf64_Shdr)` (include/uapi/linux/elf.h).
const ELF_HEADER: usize = 64;
const ELF_SECTION: usize = 64;

/// Refuses what libbpf could not use.
pub(crate) fn check(path: &Path) -> Result<(), Fault> {
    let about = fs::metadata(path).map_err(fault)?;
    if !about.is_file() {
        return Err(Fault::Unreadable(io::Error::other("not a regular file")));
    }
    let file = File::open(path).map_err(fault)?;
    let mut head = [0; ELF_HEADER];
    let got = read_upto(&file, &mut head, 0)?;
    let head = &head[..got];
    if head.starts_with(b"\x7fELF") { elf(&file, head, about.len()) } else { raw(head, about.len()) }
}

fn fault(error: io::Error) -> Fault {
    if error.kind() == io::ErrorKind::NotFound { Fault::Missing } else { Fault::Unreadable(error) }
}

fn read_upto(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize, Fault> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64).map_err(Fault::Unreadable)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

/// The header of raw BTF, and that `size` bytes hold what it promises (as `btf_parse_hdr()` in libbpf's btf.c).
fn raw(head: &[u8], size: u64) -> Result<(), Fault> {
    match Bytes(head).u16(0) {
        Some(MAGIC) => {}
        Some(magic) if magic == MAGIC.swap_bytes() => return Err(Fault::ForeignByteOrder),
        _ => return Err(Fault::NotBtf { compressed: compressed(head) }),
    }
    let cut = Fault::Cut { size, wanted: HEADER as u64 };
    if head.len() < HEADER {
        return Err(cut);
    }
    let field = |n: usize| Bytes(head).u32(4 + 4 * n).map_or(0, u64::from);
    let [header, type_off, type_len, str_off, str_len] = [field(0), field(1), field(2), field(3), field(4)];
    let wanted = header + (type_off + type_len).max(str_off + str_len);
    if header < HEADER as u64 || head[2] != 1 {
        return Err(Fault::BadHeader("its header is of no known version"));
    }
    if size < wanted {
        return Err(Fault::Cut { size, wanted });
    }
    if type_off % 4 != 0 || type_off + type_len > str_off {
        return Err(Fault::BadHeader("its types and strings overlap"));
    }
    if type_len == 0 || str_len == 0 {
        return Err(Fault::BadHeader("it describes no type"));
    }
    Ok(())
}

/// An ELF file such as a vmlinux with debug information: it must have a `.BTF` section that is sound.
/// Only 64-bit files of this byte order are looked into; of others libbpf says what it thinks.
fn elf(file: &File, head: &[u8], size: u64) -> Result<(), Fault> {
    const CLASS_64: u8 = 2;
    const ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
    if head.len() < ELF_HEADER {
        return Err(Fault::Cut { size, wanted: ELF_HEADER as u64 });
    }
    if head[5] != ORDER {
        return Err(Fault::ForeignByteOrder);
    }
    if head[4] != CLASS_64 {
        return Ok(());
    }
    let table = Bytes(head).u64(40).unwrap_or(0);
    let [entry, count, names] = [58, 60, 62].map(|at| usize::from(Bytes(head).u16(at).unwrap_or(0)));
    if table == 0 || count == 0 || entry != ELF_SECTION {
        return Err(Fault::NoSection);
    }
    let wanted = table.saturating_add((count * ELF_SECTION) as u64);
    if size < wanted {
        return Err(Fault::Cut { size, wanted });
    }
    let mut sections = vec![0; count * ELF_SECTION];
    read_upto(file, &mut sections, table)?;
    let section = |n: usize| {
        let bytes = sections.get(n * ELF_SECTION..(n + 1) * ELF_SECTION)?;
        Some((Bytes(bytes).u32(0)?, Bytes(bytes).u64(24)?, Bytes(bytes).u64(32)?))
    };
    let (_, names_at, _) = section(names).ok_or(Fault::NoSection)?;
    for (name, at, length) in (0..count).filter_map(section) {
        let mut text = [0; 5];
        read_upto(file, &mut text, names_at.saturating_add(u64::from(name)))?;
        if &text == b".BTF\0" {
            let wanted = at.saturating_add(length);
            if size < wanted {
                return Err(Fault::Cut { size, wanted });
            }
            let mut header = [0; HEADER];
            let got = read_upto(file, &mut header, at)?.min(usize::try_from(length).unwrap_or(HEADER));
            return raw(&header[..got], length);
        }
    }
    Err(Fault::NoSection)
}

/// Files of type information are often passed on packed.
fn compressed(head: &[u8]) -> bool {
    [&b"\xfd7zXZ"[..], b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"PK\x03\x04"]
        .iter()
        .any(|magic| head.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::super::btf::sample;
    use super::*;
    use crate::kernel::fake::Tree;

    fn checked(content: &[u8]) -> Result<(), String> {
        let tree = Tree::new();
        tree.file("f", content);
        check(&tree.path("f")).map_err(|fault| format!("{fault:?}"))
    }

    #[test]
    fn sound_btf_is_accepted() {
        assert_eq!(checked(&sample()), Ok(()));
    }

    #[test]
    fn missing_unreadable_and_foreign_files_are_told_apart() {
        let tree = Tree::new();
        assert!(matches!(check(&tree.path("none")), Err(Fault::Missing)));
        assert!(matches!(check(tree.root()), Err(Fault::Unreadable(_))));
        for (content, compressed) in [(&b"hello"[..], false), (b"", false), (b"\xeb", false), (b"\x1f\x8b\x08", true)] {
            assert_eq!(checked(content), Err(format!("NotBtf {{ compressed: {compressed} }}")));
        }
        let mut swapped = sample();
        swapped.swap(0, 1);
        assert_eq!(checked(&swapped), Err("ForeignByteOrder".into()));
    }

    #[test]
    fn a_cut_file_is_cut_wherever_the_cut_is() {
        let whole = sample();
        for length in 2..whole.len() {
            let error = checked(&whole[..length]).unwrap_err();
            assert!(error.starts_with("Cut"), "{length}: {error}");
        }
    }

    #[test]
    fn a_header_that_contradicts_itself_is_refused() {
        let spoiled = |at: usize, value: u8| {
            let mut bytes = sample();
            bytes[at] = value;
            checked(&bytes)
        };
        assert!(spoiled(2, 9).unwrap_err().starts_with("BadHeader"), "version");
        assert!(spoiled(4, 8).unwrap_err().starts_with("BadHeader"), "header length");
        let low = if cfg!(target_endian = "little") { 0 } else { 3 };
        assert!(spoiled(16 + low, 4).unwrap_err().starts_with("BadHeader"), "strings inside types");
        assert!(spoiled(12 + low, 0).unwrap_err().starts_with("BadHeader"), "no types");
        assert!(spoiled(16 + 3 - low, 255).unwrap_err().starts_with("Cut"), "strings far away");
    }

    /// An ELF file with section names and one section of this name and content.
    fn elf_with(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ELF_HEADER];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, if cfg!(target_endian = "little") { 1 } else { 2 }]);
        let names_at = bytes.len() as u64;
        bytes.push(0);
        bytes.extend(name.bytes().chain([0]));
        let (at, table) = (bytes.len() as u64, bytes.len() + content.len());
        bytes.extend(content);
        bytes[40..48].copy_from_slice(&(table as u64).to_ne_bytes());
        for (field, value) in [(58, 64u16), (60, 3), (62, 1)] {
            bytes[field..field + 2].copy_from_slice(&value.to_ne_bytes());
        }
        for (name, at, length) in [(0u32, 0u64, 0u64), (0, names_at, 7), (1, at, content.len() as u64)] {
            let mut section = [0; ELF_SECTION];
            section[..4].copy_from_slice(&name.to_ne_bytes());
            section[24..32].copy_from_slice(&at.to_ne_bytes());
            section[32..40].copy_from_slice(&length.to_ne_bytes());
            bytes.extend(section);
        }
        bytes
    }

    #[test]
    fn an_elf_file_needs_the_section() {
        assert_eq!(checked(&elf_with(".BTF", &sample())), Ok(()));
        assert_eq!(checked(&elf_with(".BTX", &sample())), Err("NoSection".into()));
        assert_eq!(checked(&elf_with(".BTF.ext", &sample())), Err("NoSection".into()));
        assert!(checked(&elf_with(".BTF", b"nonsense")).unwrap_err().starts_with("NotBtf"));
        let whole = elf_with(".BTF", &sample());
        for length in 4..whole.len() {
            assert!(checked(&whole[..length]).unwrap_err().starts_with("Cut"), "{length}");
        }
    }
}
