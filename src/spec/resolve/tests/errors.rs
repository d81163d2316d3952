//! What is wrong with a spec, where, and what to write instead.

use super::*;

#[track_caller]
fn refused(function: &str, args: &str, condition: &str, at: &str, parts: &[&str]) {
    let (message, part) = wrong(function, args, condition);
    for wanted in parts {
        assert!(message.contains(wanted), "{args} {condition}: {message:?} has no {wanted:?}");
    }
    assert_eq!(part, at, "{args} {condition}: {message}");
}

#[test]
fn a_member_that_is_not_there() {
    let has = ["struct dentry has no member d_nam", "closest: struct qstr d_name"];
    refused("vfs_unlink", "dentry->d_nam.name", "", "d_nam", &has);
    refused("vfs_read", "file->zzz", "", "zzz", &["it has: unsigned int f_flags, struct path f_path"]);
    refused("thing_do", "thing->dep", "", "dep", &["unsigned int deep"]);
    refused("vfs_unlink", "delegated_inode->i_ino", "", "i_ino", &["only one pointer", "(*…)->i_ino"]);
    refused("thing_do", "thing->hidden->x", "", "x", &["do not say what is in a struct opaque"]);
    refused("thing_do", "p->x", "", "x", &["void * has no members", "((struct NAME *)…)->x"]);
    refused("thing_do", "n->x", "", "x", &["int has no members"]);
}

#[test]
fn a_name_that_means_nothing() {
    let has = ["vfs_unlink has no parameter dentri", "perhaps: dentry", "struct inode *dir, struct dentry *dentry"];
    refused("vfs_unlink", "dentri", "", "dentri", &has);
    refused("vfs_unlink", "arg9", "", "arg9", &["no parameter arg9"]);
    refused("vfs_unlink", "ret", "", "ret", &["no result at the entry"]);
    refused("sized", "large.a", "", "large", &["by value"]);
    assert!(at_return("thing_do", Some("ret"), "").unwrap_err().message.contains("returns nothing"));
    refused("vfs_unlink", "cgroup", "", "cgroup", &["not where it is expected"]);
}

#[test]
fn a_function_that_is_not_there() {
    let types = kernel::types();
    let target = |text: &str| {
        let name = Word { text: text.to_owned(), span: 3..5 };
        Target::Function { how: crate::spec::ast::How::Any, module: None, name }
    };
    let error = scopes(&target("vfs_unlnk"), &types, ENTRY, None).unwrap_err();
    assert_eq!(error.span, 3..5);
    assert!(error.to_string().contains("closest: vfs_unlink"), "{error}");
    assert!(error.to_string().contains("isra"), "{error}");
    assert!(scopes(&target("zz*"), &types, ENTRY, None).is_err());
    let error = tracepoint_error(&types, "sched_wakup");
    assert!(error.contains("closest: sched_wakeup"), "{error}");
}

fn tracepoint_error(types: &Types, name: &str) -> String {
    let target = Target::RawTracepoint { name: Word { text: name.to_owned(), span: 0..1 } };
    scopes(&target, types, ENTRY, None).unwrap_err().to_string()
}

#[test]
fn an_element_behind_the_end() {
    refused("thing_do", "thing->numbers[4]", "", "thing->numbers[4]", &["unsigned int [4] ends at [3]"]);
    refused("thing_do", "n[0]", "", "n[0]", &["int is no array"]);
    refused("thing_do", "p[1]", "", "p[1]", &["the size of void is not known"]);
    refused("thing_do", "thing->rest[99999999999]", "", "thing->rest[99999999999]", &["2 GB"]);
    refused("thing_do", "*n", "", "*n", &["int is no pointer"]);
}

#[test]
fn a_cast_that_cannot_be() {
    refused("thing_do", "(struct par *)p", "", "par", &["have no par", "closest: pair"]);
    refused("thing_do", "(struct pair *)n", "", "pair", &["8 bytes", "4"]);
    refused("thing_do", "(struct pair)p", "", "pair", &["no struct"]);
    refused("thing_do", "(struct opaque)p", "", "opaque", &["have no opaque"]);
    refused("thing_do", "(enum color)thing->low", "", "color", &["bit field"]);
}

#[test]
fn a_format_that_makes_no_sense() {
    refused("thing_do", "n:str", "", "str", &["int is no string"]);
    refused("thing_do", "thing->flags:str", "", "str", &["no string", "(char *)"]);
    refused("vfs_unlink", "dentry:str", "", "str", &["struct dentry * is no string", "->name"]);
    refused("vfs_unlink", "dentry->d_name:x", "", "x", &["struct qstr is no number"]);
    refused("thing_do", "n:u64", "", "u64", &["too small"]);
    refused("thing_do", "n:ptr", "", "ptr", &["no address"]);
    refused("thing_do", "n:sym", "", "sym", &["no address"]);
    refused("thing_do", "p:str[5000]", "", "str", &["1 to 4096"]);
    refused("thing_do", "thing->data:bytes[7]", "", "bytes", &["only 6 bytes"]);
    refused("thing_do", "thing->low:u8", "", "u8", &["bit field"]);
    refused("thing_do", "n:f32", "", "f32", &["registers of their own"]);
    refused("thing_do", "*p", "", "*p", &["no value to show"]);
}

#[test]
fn a_comparison_that_is_never_true() {
    refused("thing_do", "", "u == -1", "-1", &["never negative"]);
    refused("thing_do", "", "n > 4294967296", "4294967296", &["never 4294967296", "32 bits"]);
    refused("thing_do", "", "thing->low == 8", "8", &["3 bits, from 0 to 7"]);
    refused("thing_do", "", "color == PINK", "PINK", &["enum color has no value PINK", "RED, GREEN, BLUE"]);
    refused("thing_do", "", "color == GREN", "GREN", &["closest: GREEN"]);
    refused("thing_do", "", "n == -ENOENTT", "ENOENTT", &["closest: ENOENT"]);
    refused("thing_do", "", "n == \"x\"", "\"x\"", &["int is no string"]);
    refused("thing_do", "", "n ^= 1", "n ^= 1", &["for strings"]);
    refused("thing_do", "", "thing->label == 1", "thing->label == 1", &["it is a string"]);
    refused("thing_do", "", "thing->label < \"x\"", "thing->label < \"x\"", &["compared by"]);
    refused("thing_do", "", "thing->port > 80", "80", &["network byte order"]);
    refused("thing_do", "", "p < -1", "-1", &["no negative number"]);
    refused("vfs_unlink", "", "dentry->d_name == 1", "dentry->d_name", &["no number", "member"]);
}

#[test]
fn too_many_values() {
    let all: Vec<String> = (0..40).map(|n| format!("thing->rest[{n}]")).collect();
    let (message, _) = wrong("thing_do", &all.join(", "), "");
    assert!(message.contains("40 values") && message.contains("32"), "{message}");
    let all: Vec<String> =
        (0..5).map(|n| format!("thing->rest[{n}]:ptr, (char *)thing->rest[{n}]:str[4096]")).collect();
    let (message, _) = wrong("thing_do", &all.join(", "), "");
    assert!(message.contains("20480 bytes"), "{message}");
}
