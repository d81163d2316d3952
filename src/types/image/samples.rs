//! For tests: files of each kind, made here.

pub(crate) const RELEASE: &str = "6.1.0-50-cloud-amd64";
/// The machine that the tests run on.
pub(crate) const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

/// An ELF file with these sections.
pub(crate) fn elf(machine: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order, 1]);
    let mut names = vec![0];
    let mut table = vec![[0; 64]];
    let mut row = |name: usize, at: usize, len: usize| {
        let mut row = [0; 64];
        row[..4].copy_from_slice(&u32::try_from(name).unwrap().to_ne_bytes());
        row[4..8].copy_from_slice(&1_u32.to_ne_bytes());
        row[24..32].copy_from_slice(&(at as u64).to_ne_bytes());
        row[32..40].copy_from_slice(&(len as u64).to_ne_bytes());
        table.push(row);
    };
    for (name, content) in sections {
        row(names.len(), bytes.len(), content.len());
        names.extend(name.bytes().chain([0]));
        bytes.extend(*content);
    }
    row(0, bytes.len(), names.len());
    bytes.extend(&names);
    let at = bytes.len() as u64;
    let count = u16::try_from(table.len()).unwrap();
    bytes.extend(table.concat());
    bytes[40..48].copy_from_slice(&at.to_ne_bytes());
    for (field, value) in [(18, machine), (58, 64), (60, count), (62, count - 1)] {
        bytes[field..field + 2].copy_from_slice(&value.to_ne_bytes());
    }
    bytes
}

/// A note with a build id.
pub(crate) fn notes(id: &[u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Another one before it, of a name that is padded.
    for (kind, name, content) in [(0x100_u32, &b"Linux\0\0\0"[..], &[1, 0, 0, 0][..]), (3, b"GNU\0", id)] {
        let len = if kind == 3 { 4_u32 } else { 6 };
        for number in [len, 4, kind] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(name.iter().chain(content));
    }
    bytes
}

/// A kernel.
pub(crate) fn vmlinux(btf: &[u8], release: &str) -> Vec<u8> {
    // More than what is read to see what it is.
    let code = [0x90; 1500];
    let banner = format!("%s Linux version of something\0Linux version {release} (someone@somewhere) #1\n\0");
    elf(
        MACHINE,
        &[(".text", &code), (".rodata", banner.as_bytes()), (".BTF", btf), (".notes", &notes(b"\x01\x02\x03\x04"))],
    )
}

/// What a program of the host makes of bytes; none if it is not there.
#[cfg(test)]
fn piped(program: &str, args: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let bytes = bytes.to_vec();
    let feed = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().ok()?;
    feed.join().ok()?.ok()?;
    output.status.success().then_some(output.stdout)
}

/// Packed in a format.
pub(crate) fn packed(format: &str, bytes: &[u8]) -> Vec<u8> {
    match format {
        "gzip" => stored(bytes),
        "lz4" => {
            let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
            for block in bytes.chunks(8 << 20) {
                let block = literals(block);
                packed.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
                packed.extend(block);
            }
            packed
        }
        "zstd" => ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
        "xz" => xz(bytes),
        _ => panic!("{format}"),
    }
}

/// gzip, of blocks that are only stored.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let len = u16::try_from(block.len()).unwrap();
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend(len.to_le_bytes().into_iter().chain((!len).to_le_bytes()));
        packed.extend(block);
    }
    packed.extend(crc32(bytes).to_le_bytes());
    packed.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    packed
}

/// A block of lz4 that is all literals.
fn literals(bytes: &[u8]) -> Vec<u8> {
    let mut block = vec![if bytes.len() < 15 { u8::try_from(bytes.len()).unwrap() << 4 } else { 0xf0 }];
    if let Some(mut rest) = bytes.len().checked_sub(15) {
        while rest >= 255 {
            block.push(255);
            rest -= 255;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(bytes);
    block
}

/// xz, of LZMA2 chunks that are only stored (xz-file-format.txt).
fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\xfd7zXZ\0\0\x01".to_vec();
    out.extend(crc32(b"\0\x01").to_le_bytes());
    let begin = out.len();
    // Header: 12 bytes, one filter, LZMA2 with one property, of a dictionary of 64 KB.
    let header = [2, 0, 0x21, 1, 8, 0, 0, 0];
    out.extend(header);
    out.extend(crc32(&header).to_le_bytes());
    for (n, chunk) in bytes.chunks(1 << 16).enumerate() {
        out.push(if n == 0 { 1 } else { 2 });
        out.extend(u16::try_from(chunk.len() - 1).unwrap().to_be_bytes());
        out.extend(chunk);
    }
    out.push(0);
    let unpadded = out.len() - begin + 4;
    pad(&mut out, 4);
    out.extend(crc32(bytes).to_le_bytes());
    let mut index = vec![0, 1];
    for mut number in [unpadded, bytes.len()] {
        while number >= 0x80 {
            index.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        index.push(u8::try_from(number).unwrap());
    }
    pad(&mut index, 4);
    let size = u32::try_from((index.len() + 4) / 4 - 1).unwrap();
    out.extend(&index);
    out.extend(crc32(&index).to_le_bytes());
    let footer = [&size.to_le_bytes()[..], b"\0\x01"].concat();
    out.extend(crc32(&footer).to_le_bytes());
    out.extend(footer);
    out.extend(b"YZ");
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// A bzImage of this payload, which is followed by other things.
pub(crate) fn bz_image(payload: &[u8], says_where: bool) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&if says_where { 0x20f_u16 } else { 0x200 }.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&100_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    image.extend([0x90; 100]);
    image.extend(payload);
    image.extend(b"code and data behind it");
    image
}

/// arm64's Image: the kernel as it lies in memory.
pub(crate) fn arm_image(btf: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 4096];
    image[56..60].copy_from_slice(b"ARM\x64");
    image.extend(format!("Linux version {RELEASE} (x)\0").bytes());
    // The types of a little program, before and after the kernel's.
    let small = crate::types::sample::sample();
    image.extend([&small[..], btf, &small, b"the end"].concat());
    image
}

/// EFI's zboot of this payload.
pub(crate) fn zboot(payload: &[u8]) -> Vec<u8> {
    let mut image = b"MZ\0\0zimg".to_vec();
    image.extend(512_u32.to_le_bytes().into_iter().chain(u32::try_from(payload.len()).unwrap().to_le_bytes()));
    image.resize(512, 0);
    image.extend(payload);
    image
}

/// A tar archive: an entry is a name, a kind, a content.
pub(crate) fn tar(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, content) in entries {
        let mut head = [0_u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        head[148..156].fill(b' ');
        head[156] = *kind;
        head[257..263].copy_from_slice(b"ustar\0");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(head);
        out.extend(*content);
        pad(&mut out, 512);
    }
    out.extend([0; 1024]);
    out
}

/// A Debian package of this data archive.
pub(crate) fn deb(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", b"odd"), (name, data)] {
        out.extend(format!("{name:16}{:12}{:6}{:6}{:8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        out.extend(content);
        pad(&mut out, 2);
    }
    out
}

/// A cpio archive of the new format: names, modes, contents.
pub(crate) fn cpio(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, mode, content) in entries.iter().chain([&("TRAILER!!!", 0, &b""[..])]) {
        out.extend(b"070701");
        let (size, length) = (u32::try_from(content.len()).unwrap(), u32::try_from(name.len() + 1).unwrap());
        for number in [1, *mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0] {
            out.extend(format!("{number:08x}").bytes());
        }
        out.extend(name.bytes().chain([0]));
        pad(&mut out, 4);
        out.extend(*content);
        pad(&mut out, 4);
    }
    out
}

/// An RPM package of this payload.
pub(crate) fn rpm(payload: &[u8]) -> Vec<u8> {
    let mut out = b"\xed\xab\xee\xdb".to_vec();
    out.resize(96, 0);
    for (entries, size) in [(2_u32, 13_u32), (1, 7)] {
        out.extend(b"\x8e\xad\xe8\x01\0\0\0\0");
        out.extend(entries.to_be_bytes().into_iter().chain(size.to_be_bytes()));
        out.resize(out.len() + (entries * 16 + size) as usize, 7);
        if size == 13 {
            pad(&mut out, 8);
        }
    }
    out.extend(payload);
    out
}

/// The same made by the program that people use; none if it is not here.
#[cfg(test)]
pub(crate) fn really_packed(format: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    match format {
        "gzip" => piped("gzip", &["-9c"], bytes),
        "xz" => piped("xz", &["--check=crc32", "--x86", "--lzma2=preset=0,dict=1MiB", "-c"], bytes),
        "zstd" => piped("zstd", &["-q", "-c"], bytes),
        "lz4" => piped("lz4", &["-q", "-l", "-c"], bytes),
        _ => None,
    }
}

/// The types in the object that is built for the tests.
pub(crate) fn kernel_btf() -> Vec<u8> {
    super::from_bytes(test_objects::bytes("kernel")).unwrap().btf
}
