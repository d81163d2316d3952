//! Each kind of file, sound, cut and damaged.

use super::budget::TYPES_MAX;
use super::read::HEAD;
use super::samples::*;
use super::*;
use crate::fake::Tree;
use crate::types::sample::sample;

const FORMATS: [&str; 4] = ["gzip", "xz", "zstd", "lz4"];

fn about() -> About {
    let machine = Some(if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" });
    About { release: Some(RELEASE.to_owned()), build_id: Some(vec![1, 2, 3, 4]), machine, module: false }
}

/// It is a kernel with the sample's types.
fn assert_kernel(bytes: &[u8], what: &str) {
    let image = from_bytes(bytes).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    assert_eq!((image.btf, image.about), (sample(), about()), "{what}");
}

fn fault(bytes: &[u8]) -> String {
    from_bytes(bytes).map_or_else(|fault| fault.to_string(), |image| format!("{image:?}"))
}

#[test]
fn elf_tells_types_release_build_id_and_machine() {
    assert_kernel(&vmlinux(&sample(), RELEASE), "elf");
    let tree = Tree::new();
    tree.file("vmlinux", vmlinux(&sample(), RELEASE));
    let image = read(&tree.path("vmlinux")).unwrap();
    assert!(image.btf == sample() && image.about == about());
    tree.file("raw", sample());
    let image = read(&tree.path("raw")).unwrap();
    assert!(image.btf == sample() && image.about == About::default());
}

#[test]
fn a_compressed_kernel_is_unpacked() {
    let kernel = vmlinux(&sample(), RELEASE);
    for format in FORMATS {
        assert_kernel(&packed(format, &kernel), format);
        assert_eq!(from_bytes(&packed(format, &sample())).unwrap().btf, sample(), "{format}");
        match really_packed(format, &kernel) {
            Some(packed) => assert_kernel(&packed, format),
            None => eprintln!("there is no {format} here"),
        }
    }
}

#[test]
fn more_than_one_block_is_unpacked() {
    // 9 MB: lz4 has blocks of 8 MB, and no window has all of it.
    let mut noise = 1_u32;
    let more: Vec<u8> = (0..9 << 20)
        .map(|n| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if n % 3 == 0 { noise.to_le_bytes()[3] } else { 7 }
        })
        .collect();
    let kernel = elf(MACHINE, &[(".text", &more), (".BTF", &sample())]);
    for format in FORMATS {
        assert_eq!(from_bytes(&packed(format, &kernel)).unwrap().btf, sample(), "{format}");
        if let Some(packed) = really_packed(format, &kernel) {
            assert_eq!(from_bytes(&packed).unwrap().btf, sample(), "{format}");
        }
    }
}

#[test]
fn a_boot_image_is_looked_into() {
    let kernel = vmlinux(&sample(), RELEASE);
    for format in FORMATS {
        // As the kernel's build does it, with the size behind.
        let mut payload = packed(format, &kernel);
        payload.extend(u32::try_from(kernel.len()).unwrap().to_le_bytes());
        assert_kernel(&bz_image(&payload, true), format);
        assert_kernel(&bz_image(&payload, false), format);
        assert_kernel(&packed("gzip", &bz_image(&payload, true)), format);
        let arm = arm_image(&kernel_btf());
        let image = from_bytes(&zboot(&packed(format, &arm))).unwrap();
        assert_eq!((image.btf, image.about.machine), (kernel_btf(), Some("arm64")), "{format}");
        assert_eq!(image.about.release.as_deref(), Some(RELEASE));
    }
    assert_kernel(&bz_image(&kernel, true), "not packed");
    assert_eq!(from_bytes(&packed("gzip", &arm_image(&kernel_btf()))).unwrap().btf, kernel_btf());
    let bare = elf(MACHINE, &[(".text", b"x")]);
    assert!(fault(&bz_image(&packed("xz", &bare), true)).contains("is a kernel without BTF"));
    assert!(fault(&bz_image(b"nothing that is known", true)).contains("no packed kernel was found"));
    assert!(fault(&bz_image(b"BZh91AY", true)).contains("is compressed with bzip2"));
}

#[test]
fn packages_are_looked_into() {
    let image = bz_image(&packed("zstd", &vmlinux(&sample(), RELEASE)), true);
    let odd = b"readme";
    let data = tar(&[
        ("./", b'5', b""),
        ("./boot/", b'5', b""),
        ("./boot/config-6.1", b'0', odd),
        ("./boot/vmlinuz", b'2', b""),
        ("./boot/vmlinuz-6.1.0-50-cloud-amd64", b'0', &image),
    ]);
    for format in FORMATS {
        assert_kernel(&deb("data.tar.x", &packed(format, &data)), format);
    }
    assert_kernel(&deb("data.tar", &data), "data.tar");
    assert_kernel(&data, "tar");
    // Names that are longer than a header holds, as GNU and POSIX have them.
    let long = format!("usr/lib/debug/{}/vmlinux-6.1", "d".repeat(150));
    assert_kernel(&tar(&[("././@LongLink", b'L', long.as_bytes()), ("usr/lib", b'0', &image)]), "GNU");
    let pax = format!("11 mtime=1\n{} path={long}\n", long.len() + 10);
    assert_kernel(&tar(&[("PaxHeaders/vm", b'x', pax.as_bytes()), ("usr/lib", b'0', &image)]), "POSIX");

    let files = cpio(&[
        ("./lib/modules/6.1", 0o40_755, b""),
        ("./lib/modules/6.1/vmlinuz", 0o120_777, b"elsewhere"),
        ("./lib/modules/6.1/config", 0o100_644, odd),
        ("./lib/modules/6.1/vmlinuz", 0o100_755, &image),
    ]);
    for format in FORMATS {
        assert_kernel(&rpm(&packed(format, &files)), format);
    }
    assert_kernel(&rpm(&files), "not packed");
    assert!(fault(&deb("data.tar", &tar(&[("a", b'0', odd)]))).contains("is a package without a kernel image"));
    assert!(fault(&rpm(&cpio(&[("a", 0o100_644, odd)]))).contains("is a package without a kernel image"));
    assert!(fault(&deb("data.tar.bz2", b"BZh91AY")).contains("compressed with bzip2, which"));
    assert!(fault(&rpm(b"\x5d\0\0\x80\0")).contains("compressed with lzma, which"));
    let bare = elf(MACHINE, &[(".text", b"x")]);
    assert!(fault(&tar(&[("boot/vmlinux-1", b'0', &bare)])).contains("is a kernel without BTF"));
    // BTFHub's.
    assert_eq!(from_bytes(&packed("xz", &tar(&[("5.4.0.btf", b'0', &sample())]))).unwrap().btf, sample());
}

/// One of each kind.
fn all() -> Vec<(String, Vec<u8>)> {
    let kernel = vmlinux(&sample(), RELEASE);
    let mut all = vec![("elf".to_owned(), kernel.clone()), ("raw".to_owned(), sample())];
    for format in FORMATS {
        let packed_kernel = packed(format, &kernel);
        all.push((format!("bzImage {format}"), bz_image(&packed_kernel, true)));
        all.push((format!("deb {format}"), deb("data.tar", &packed(format, &tar(&[("vmlinux", b'0', &kernel)])))));
        all.push((format!("rpm {format}"), rpm(&packed(format, &cpio(&[("vmlinux", 0o100_644, &kernel)])))));
        all.push((format.to_owned(), really_packed(format, &kernel).unwrap_or(packed_kernel)));
    }
    all.push(("zboot".to_owned(), zboot(&packed("gzip", &arm_image(&kernel_btf())))));
    all
}

#[test]
fn a_cut_file_is_an_error_wherever_the_cut_is() {
    for (what, whole) in all() {
        for length in (0..whole.len().min(5000)).filter(|n| n % 7 == 0 || *n < 200) {
            match from_bytes(&whole[..length]) {
                // What is behind the types is not missed.
                Ok(image) => assert!(image.btf == sample() || image.btf == kernel_btf(), "{what} {length}"),
                Err(fault) => {
                    let error = fault.to_string();
                    assert!(!error.is_empty(), "{what} {length}");
                    assert!(length < HEAD || error.contains("cut") || what == "zboot", "{what} {length}: {error}");
                }
            }
        }
    }
}

#[test]
fn damage_does_no_harm() {
    for (what, whole) in all() {
        for at in (0..whole.len().min(5000)).filter(|n| n % 5 == 0 || *n < 200) {
            let mut bytes = whole.clone();
            bytes[at] ^= [1, 0x80, 0xff][at % 3];
            if let Ok(image) = from_bytes(&bytes) {
                assert!(image.btf.len() <= bytes.len().max(1 << 20), "{what} {at}");
            }
        }
    }
}

#[test]
fn a_wrong_checksum_is_reported() {
    for format in ["gzip", "xz", "zstd"] {
        let tree = Tree::new();
        let mut bytes = really_packed(format, &sample()).unwrap_or_else(|| packed(format, &sample()));
        let at = match format {
            "gzip" => bytes.len() - 8,
            "zstd" => bytes.len() - 1,
            // Before the index and the footer, the block's.
            _ => bytes.len() - 12 - 8 - 4,
        };
        bytes[at] ^= 1;
        tree.file("f", &bytes);
        let error = read(&tree.path("f")).unwrap_err().to_string();
        assert_eq!(error, format!("is damaged: what {format} packed cannot be unpacked"));
    }
}

#[test]
fn what_is_packed_over_and_over_comes_to_an_end() {
    let mut bytes = sample();
    for _ in 0..20 {
        bytes = packed("gzip", &bytes);
    }
    assert!(matches!(from_bytes(&bytes), Err(Fault::TooLarge)));
}

#[test]
fn a_bomb_is_not_unpacked_to_its_end() {
    // Types of 64 MB and more, of a few KB; a dictionary of 4 GB; a window of 2 TB.
    let mut huge = sample();
    huge[16..20].copy_from_slice(&0x7000_0000_u32.to_ne_bytes());
    huge.resize(TYPES_MAX + 100, 0);
    for format in FORMATS {
        let packed = really_packed(format, &huge).unwrap_or_else(|| packed(format, &huge));
        assert!(matches!(from_bytes(&packed), Err(Fault::TooLarge)), "{format}");
    }
    let mut wide = packed("xz", &sample());
    let header = [2, 0, 0x21, 1, 40, 0, 0, 0];
    wide[12..20].copy_from_slice(&header);
    assert!(from_bytes(&wide).is_err());
    let mut wide = packed("zstd", &sample());
    wide[4..6].copy_from_slice(&[0, 0xff]);
    assert!(from_bytes(&wide).is_err());
}

#[test]
fn missing_unreadable_and_foreign_files_are_distinguished() {
    let tree = Tree::new();
    assert!(matches!(read(&tree.path("none")), Err(Fault::Missing)));
    assert!(matches!(read(tree.root()), Err(Fault::Unreadable(_))));
    for content in [&b"hello"[..], b"", b"\xeb", b"\0"] {
        tree.file("f", content);
        assert!(matches!(read(&tree.path("f")), Err(Fault::NotBtf)), "{content:?}");
    }
    let mut swapped = sample();
    swapped.swap(0, 1);
    assert!(matches!(from_bytes(&swapped), Err(Fault::ForeignByteOrder)));
    let mut foreign = vmlinux(&sample(), RELEASE);
    foreign[5] ^= 3;
    assert!(matches!(from_bytes(&foreign), Err(Fault::ForeignByteOrder)));
    foreign = vmlinux(&sample(), RELEASE);
    foreign[4] = 1;
    assert!(matches!(from_bytes(&foreign), Err(Fault::ForeignMachine("x86_64" | "arm64"))));
}

#[test]
fn an_elf_file_needs_the_section() {
    let with = |name: &str, content: &[u8]| fault(&elf(0, &[(name, content)]));
    assert!(from_bytes(&elf(0, &[(".BTF", &sample())])).is_ok());
    assert!(with(".BTX", &sample()).contains("without a .BTF section"));
    assert!(with(".BTF.ext", &sample()).contains("without a .BTF section"));
    assert!(with(".BTF", b"nonsense").contains("is not BTF"));
    // Where debug information is kept apart, the section is there without its content.
    let mut apart = elf(0, &[(".BTF", &sample())]);
    let row = apart.len() - 2 * 64;
    apart[row + 4..row + 8].copy_from_slice(&8_u32.to_ne_bytes());
    assert!(fault(&apart).contains("without a .BTF section"));
    let tree = Tree::new();
    let whole = elf(0, &[(".BTF", &sample())]);
    for length in 4..whole.len() {
        tree.file("f", &whole[..length]);
        assert!(matches!(read(&tree.path("f")), Err(Fault::Cut { .. })), "{length}");
    }
}

#[test]
fn a_raw_file_is_cut_or_contradicts_itself() {
    let tree = Tree::new();
    let checked = |bytes: &[u8]| {
        tree.file("f", bytes);
        read(&tree.path("f")).map(|_| ()).map_err(|fault| format!("{fault:?}"))
    };
    let whole = sample();
    for length in 2..whole.len() {
        assert!(checked(&whole[..length]).unwrap_err().starts_with("Cut"), "{length}");
    }
    let damaged = |at: usize, value: u8| {
        let mut bytes = sample();
        bytes[at] = value;
        checked(&bytes).unwrap_err()
    };
    assert!(damaged(2, 9).starts_with("BadHeader"), "version");
    assert!(damaged(4, 8).starts_with("BadHeader"), "header length");
    let low = if cfg!(target_endian = "little") { 0 } else { 3 };
    assert!(damaged(16 + low, 4).starts_with("BadHeader"), "strings inside types");
    assert!(damaged(12 + low, 0).starts_with("BadHeader"), "no types");
    assert!(damaged(16 + 3 - low, 255).starts_with("Cut"), "strings far away");
}

#[test]
fn a_kernel_with_its_dwarf_is_not_held_in_memory() {
    // Sections and names are listed behind 130 MB of other things, which gzip makes small.
    let debug = vec![0; 130 << 20];
    let whole = elf(MACHINE, &[(".BTF", &sample()), (".debug_info", &debug)]);
    let image = elf::stream(Box::new(whole.as_slice())).unwrap();
    assert_eq!(image.btf, sample());
    for length in [100, 64 << 20, 129 << 20, whole.len() - 1] {
        assert!(matches!(elf::stream(Box::new(&whole[..length])), Err(Fault::EndsEarly)), "{length}");
    }
}
