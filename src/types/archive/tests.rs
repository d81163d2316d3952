//! What is appended is found again, and damage is reported.

use std::fs;

use super::*;
use crate::fake::Tree;
use crate::types::sample::sample;

fn entry(release: &str, distro: &str, version: &str) -> Entry {
    Entry { release: release.into(), arch: ARCHES[0].into(), distro: distro.into(), version: version.into() }
}

const HERE: &str = "6.1.0-50-cloud-amd64";

#[test]
fn an_archive_is_read_as_it_was_written() {
    let tree = Tree::new();
    let mut archive = Archive::default();
    archive.add(entry("2", "", ""), sample()).unwrap();
    archive.add(entry("1", "debian", "12"), sample()).unwrap();
    archive.add(entry("3", "", ""), vec![1, 2, 3]).unwrap();
    // What is replaced does not stay in the file.
    archive.add(entry("3", "", ""), vec![4]).unwrap();
    tree.file("program", [b"the program".as_slice(), &archive.bytes().unwrap()].concat());
    let carrier = Carrier::open(&tree.path("program")).unwrap();
    let read = carrier.archive.unwrap().unwrap();
    assert_eq!((carrier.length, read.blobs()), (11, 2));
    let found: Vec<_> = read.entries().map(|(entry, btf)| (entry.release.as_str(), btf.to_vec())).collect();
    assert_eq!(found, [("1", sample()), ("2", sample()), ("3", vec![4])]);
    // And once more.
    assert_eq!(read.bytes(), read.bytes());
}

#[test]
fn a_program_without_one_has_none() {
    let tree = Tree::new();
    for content in [&b""[..], b"short", &[7; 1000]] {
        tree.file("program", content);
        let carrier = Carrier::open(&tree.path("program")).unwrap();
        assert!(matches!(carrier.archive, Ok(None)) && carrier.length == content.len() as u64);
    }
}

#[test]
fn the_nearest_kernel_is_taken() {
    let tree = Tree::debian();
    tree.file("etc/os-release", "ID=debian\nVERSION_ID=12\n");
    let mut archive = Archive::default();
    let found = |archive: &Archive| archive.find(&tree.host()).map(|(_, btf)| btf.to_vec());
    archive.add(entry("6.1.0-51-cloud-amd64", "debian", "12"), vec![9]).unwrap();
    archive.add(Entry { arch: "vax".into(), ..entry(HERE, "debian", "12") }, vec![8]).unwrap();
    archive.add(entry(HERE, "ubuntu", "12"), vec![7]).unwrap();
    assert_eq!(found(&archive), None);
    archive.add(entry(HERE, "", ""), vec![1]).unwrap();
    assert_eq!(found(&archive), Some(vec![1]));
    archive.add(entry(HERE, "debian", "11"), vec![2]).unwrap();
    assert_eq!(found(&archive), Some(vec![2]));
    archive.add(entry(HERE, "debian", "12"), vec![3]).unwrap();
    assert_eq!(found(&archive), Some(vec![3]));
}

#[test]
fn damage_is_reported_and_does_no_harm() {
    let tree = Tree::new();
    let mut archive = Archive::default();
    archive.add(entry(HERE, "debian", "12"), sample()).unwrap();
    let whole = [b"the program".as_slice(), &archive.bytes().unwrap()].concat();
    for at in 11..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x81;
        tree.file("program", &bytes);
        let carrier = Carrier::open(&tree.path("program")).unwrap();
        // Without its magic it is no archive.
        let expected =
            if at < whole.len() - MAGIC.len() { carrier.archive.is_err() } else { carrier.archive.unwrap().is_none() };
        assert!(expected && carrier.length == bytes.len() as u64, "{at}");
    }
    // Right checksums around any bytes.
    for length in 0..200 {
        let body: Vec<u8> = (0..length).map(|n| [0xff, 0, 1][n * n % 3]).collect();
        let mut bytes = body.clone();
        bytes.extend((body.len() as u64).to_le_bytes().into_iter().chain(checksum(&body).to_le_bytes()));
        bytes.extend(VERSION.to_le_bytes().into_iter().chain(*MAGIC));
        fs::write(tree.path("program"), &bytes).unwrap();
        let _ = Carrier::open(&tree.path("program")).unwrap();
    }
}
