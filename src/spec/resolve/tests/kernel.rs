//! A little kernel for the tests: its types, of which each offset is known.

use crate::types::model::Types;
use crate::types::sample::{Made, Row};

const PTR: u8 = 2;
const STRUCT: u8 = 4;
const UNION: u8 = 5;
const FWD: u8 = 7;
const TYPEDEF: u8 = 8;
const CONST: u8 = 10;
const TAG: u8 = 18;

/// Bits, for members that begin with a byte.
fn at<'a>(name: &'a str, id: u32, byte: u32) -> Row<'a> {
    (name, id, byte * 8, 0)
}

pub(super) fn types() -> Types {
    let mut b = Made::new();
    let char = b.int("char", 1, 1);
    let int = b.int("int", 4, 1);
    let long = b.int("long int", 8, 1);
    let u8 = b.int("unsigned char", 1, 0);
    let u16 = b.int("short unsigned int", 2, 0);
    let u32 = b.int("unsigned int", 4, 0);
    let u64 = b.int("long unsigned int", 8, 0);
    let boolean = b.int("_Bool", 1, 4);
    let huge = b.int("__int128", 16, 1);
    let mode = b.refer(TYPEDEF, "umode_t", u16);
    let dev = b.refer(TYPEDEF, "dev_t", u32);
    let be16 = b.refer(TYPEDEF, "__be16", u16);
    let be32 = b.refer(TYPEDEF, "__be32", u32);
    let size = b.refer(TYPEDEF, "size_t", u64);
    let const_char = b.refer(CONST, "", char);
    let str = b.refer(PTR, "", const_char);
    let user_char = b.refer(TAG, "user", char);
    let user_str = b.refer(PTR, "", user_char);
    let const_u8 = b.refer(CONST, "", u8);
    let name = b.refer(PTR, "", const_u8);
    let void = b.refer(PTR, "", 0);
    let callback_proto = b.proto(int, &[("", void)]);
    let callback = b.refer(PTR, "", callback_proto);

    let color = b.enumeration("color", false, &[("RED", 7), ("GREEN", 8), ("BLUE", 9)]);
    let sign = b.enumeration("sign", true, &[("MINUS", -1), ("PLUS", 1)]);
    b.enumeration("", false, &[("TCP_LISTEN", 10)]);

    let kuid_struct = b.composite(STRUCT, "", 4, &[at("val", u32, 0)]);
    let kuid = b.refer(TYPEDEF, "kuid_t", kuid_struct);
    let qstr = b.composite(STRUCT, "qstr", 16, &[at("hash", u32, 0), at("len", u32, 4), at("name", name, 8)]);
    let opaque = b.refer(FWD, "opaque", 0);
    let opaque_ptr = b.refer(PTR, "", opaque);
    let sb = b.composite(STRUCT, "super_block", 64, &[at("s_dev", dev, 16)]);
    let sb_ptr = b.refer(PTR, "", sb);
    let inode = b.composite(
        STRUCT,
        "inode",
        64,
        &[
            at("i_mode", mode, 0),
            at("i_uid", kuid, 4),
            at("i_sb", sb_ptr, 8),
            at("i_ino", u64, 16),
            at("i_size", long, 24),
        ],
    );
    let inode_ptr = b.refer(PTR, "", inode);
    let inode_ptr_ptr = b.refer(PTR, "", inode_ptr);
    let dentry = b.composite(
        STRUCT,
        "dentry",
        128,
        &[at("d_flags", u32, 0), at("d_name", qstr, 32), at("d_inode", inode_ptr, 48)],
    );
    let dentry_ptr = b.refer(PTR, "", dentry);
    let path = b.composite(STRUCT, "path", 16, &[at("mnt", void, 0), at("dentry", dentry_ptr, 8)]);
    let file = b.composite(
        STRUCT,
        "file",
        160,
        &[at("f_flags", u32, 8), at("f_path", path, 64), at("f_inode", inode_ptr, 80)],
    );
    let file_ptr = b.refer(PTR, "", file);
    let mm = b.composite(STRUCT, "mm_struct", 1000, &[at("exe_file", file_ptr, 800)]);
    let mm_ptr = b.refer(PTR, "", mm);
    let comm = b.array(char, 16);
    let cred = b.composite(STRUCT, "cred", 100, &[at("uid", kuid, 8), at("gid", kuid, 12)]);
    let cred_ptr = b.refer(PTR, "", cred);
    // Its own member points to it.
    let task_ptr = b.refer(PTR, "", b.next() + 1);
    b.composite(
        STRUCT,
        "task_struct",
        4000,
        &[
            at("mm", mm_ptr, 1000),
            at("pid", int, 1200),
            at("tgid", int, 1204),
            at("real_parent", task_ptr, 1208),
            at("cred", cred_ptr, 1300),
            at("comm", comm, 1400),
        ],
    );

    let inner = b.composite(STRUCT, "", 8, &[at("deep", u32, 4)]);
    let anonymous = b.composite(UNION, "", 8, &[at("either", u64, 0), at("", inner, 0)]);
    let numbers = b.array(u32, 4);
    let rows = b.array(numbers, 3);
    let pairs = b.composite(STRUCT, "pair", 8, &[at("a", u32, 0), at("b", int, 4)]);
    let some_pairs = b.array(pairs, 2);
    let any = b.array(u64, 0);
    let data = b.array(u8, 6);
    let texts = b.array(str, 2);
    let thing = b.composite(
        STRUCT,
        "thing",
        256,
        &[
            at("first", u64, 0),
            at("", anonymous, 8),
            ("low", u32, 128, 3),
            ("middle", int, 131, 5),
            ("kind", color, 136, 4),
            ("packed", u32, 220, 20),
            at("color", color, 32),
            at("numbers", numbers, 40),
            at("rows", rows, 56),
            at("pairs", some_pairs, 104),
            at("state", u8, 120),
            at("port", be16, 122),
            at("address", be32, 124),
            at("done", callback, 128),
            at("data", data, 136),
            at("label", comm, 142),
            at("texts", texts, 160),
            at("wide", huge, 176),
            at("flags", u64, 192),
            at("dev", dev, 200),
            at("yes", boolean, 204),
            at("hidden", opaque_ptr, 208),
            at("rest", any, 216),
        ],
    );
    let thing_ptr = b.refer(PTR, "", thing);
    let large = b.composite(STRUCT, "large", 24, &[at("a", u64, 0), at("b", u64, 8), at("c", u64, 16)]);
    let two = b.composite(STRUCT, "two", 16, &[at("p", void, 0), at("kernel", boolean, 8)]);

    b.function("vfs_unlink", int, &[("dir", inode_ptr), ("dentry", dentry_ptr), ("delegated_inode", inode_ptr_ptr)]);
    b.function("vfs_rename", int, &[("dentry", dentry_ptr)]);
    b.function("vfs_read", long, &[("file", file_ptr), ("buf", user_str), ("count", size), ("pos", void)]);
    b.function("copy_process", task_ptr, &[("parent", task_ptr), ("name", str)]);
    b.function(
        "thing_do",
        0,
        &[
            ("thing", thing_ptr),
            ("color", color),
            ("sign", sign),
            ("yes", boolean),
            ("n", int),
            ("u", u32),
            ("p", void),
        ],
    );
    b.function(
        "many",
        u64,
        &[("a", int), ("two", two), ("b", int), ("c", int), ("d", int), ("e", int), ("f", int), ("uid", kuid)],
    );
    b.function("sized", 0, &[("large", large), ("after", kuid), ("callback", callback), ("mode", mode)]);
    let traced = [("__data", void), ("task", task_ptr), ("prio", int)];
    b.function("__traceiter_sched_wakeup", int, &traced);
    let unnamed = b.proto(0, &[("", void), ("", inode_ptr), ("", int)]);
    let unnamed_ptr = b.refer(PTR, "", unnamed);
    b.refer(TYPEDEF, "btf_trace_lost", unnamed_ptr);
    b.refer(TYPEDEF, "btf_trace_sched_wakeup", unnamed_ptr);
    b.function("__do_sys_openat", long, &[("dfd", int), ("filename", str), ("flags", int), ("mode", mode)]);
    Types::read(&b.bytes()).unwrap()
}
