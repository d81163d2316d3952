//! Functions by their debug information: the same whatever compiler made it, and however it is kept.

use super::*;

/// Builds with debug information.
const BUILDS: [&str; 9] = ["plain", "small", "older", "clang", "clang4", "packed", "library", "stripped", "linked"];

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn arguments_are_where_the_calling_convention_has_them() {
    for name in BUILDS {
        let it = binary(name);
        let read = |text| read(&it, text);
        assert_eq!(read("simple"), "di:i4 str(si) dx", "{name}");
        assert_eq!(
            read("many"),
            "di:i4 si dx:i2 cx:i1 r8:u4 r9 [sp+8]i4 str([sp+16]) [sp+24]u4 [sp+28]u4 [sp+32]u8 [sp+40]i8",
            "{name}"
        );
        assert_eq!(read("by_value(pair.a,pair.b,pair.c,mixed.n,last)"), "di:u4 di>>32:u4 si dx cx", "{name}");
        assert!(wrong(&it, "by_value(mixed.d)").contains("a register for floats"), "{name}");
        assert!(wrong(&it, "by_value(floats)").contains("a register for floats"), "{name}");
        assert_eq!(read("by_memory(large.words[1],after)"), "[sp+16]u8 si:i4", "{name}");
        assert_eq!(read("with_floats(second,fifth)"), "di:i4 si:i4", "{name}");
        assert_eq!(read("with_floats(fourth)"), "bytes16(sp+8)", "{name}");
        assert!(
            wrong(&it, "with_floats(third)").contains("third cannot be read: it is passed in a register for floats"),
            "{name}"
        );
        assert_eq!(read("bits_by_value(flags.c,callback,data)"), "di>>16:i2 si dx", "{name}");
        assert_eq!(read("huge(behind)"), "dx:i4", "{name}");
        // (It does not use its argument, and Clang leaves out what is not used.)
        assert_eq!(read("variadic"), if name == "clang" { "" } else { "str(di)" }, "{name}");
        assert_eq!(read("nothing"), "", "{name}");
        assert_eq!(returned(&it, "simple"), "ret:i4", "{name}");
        assert_eq!(returned(&it, "by_value(ret.a,ret.b,ret.c)"), "ret:u4 ret>>32:u4 dx", "{name}");
        assert_eq!(returned(&it, "by_memory(ret.words[1])"), "[ret+8]u8", "{name}");
        assert_eq!(returned(&it, "returns_mixed(ret.n)"), "ax", "{name}");
        assert_eq!(returned(&it, "with_floats"), "", "{name}");
        assert_eq!(
            read("with_complex(second,third,fourth,fifth)"),
            "di:i4 bytes16(sp+8) bytes16(sp+24) si dx:i4",
            "{name}"
        );
        assert_eq!(returned(&it, "with_complex"), "", "{name}");
        assert!(wrong(&it, "with_complex(first)").contains("a register for floats"), "{name}");
        assert_eq!(read("wide_behind_one(before,behind)"), "di:i4 cx:i4", "{name}");
        assert_eq!(returned(&it, "nothing"), "", "{name}");
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn members_are_where_the_compiler_has_put_them() {
    for name in BUILDS {
        let it = binary(name);
        let read = |text: &str| read(&it, &format!("of_thing({text})"));
        assert_eq!(read("thing->name,thing->low,thing->high"), "str([di]) [di+8]u4<<61>>61 [di+8]u4<<56>>59", "{name}");
        assert_eq!(read("thing->wide,thing->color"), "[di+12]i4<<44>>44 [di+16]i4", "{name}");
        assert_eq!(read("thing->inner.small,thing->inner.numbers[2]"), "[di+20]i1 [di+26]u2", "{name}");
        assert_eq!(
            read("thing->to->numbers[1],thing->next->next->low"),
            "[[di+32]+4]u2 [[[di+40]+40]+8]u4<<61>>61",
            "{name}"
        );
        assert_eq!(read("thing->whole,thing->second"), "[di+48]u8 [di+52]u4", "{name}");
        assert_eq!(read("thing->ratio,thing->ratios[1],thing->ratio:f32"), "[di+56]u8 [di+68]u4 [di+56]u4", "{name}");
        assert_eq!(read("thing->text,thing->grid[1][2],thing->call"), "str(di+72) [di+108]i4 [di+112]u8", "{name}");
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn what_is_not_there_is_reported_with_what_is() {
    let it = binary("plain");
    assert_eq!(wrong(&it, "simpel"), "IT: there is no function simpel\n  closest: simple");
    assert_eq!(wrong(&it, "sink"), "IT: sink is no function, but data");
    assert_eq!(
        wrong(&it, "malloc"),
        "IT: malloc is called here, but it is in one of the libraries\n  these are: libc.so.6"
    );
    assert_eq!(wrong(&it, "zz*"), "no function of IT matches zz*");
    assert!(
        wrong(&it, "inlined_one").contains("no code of its own: it is inlined wherever it is called\n  these are: 0x")
    );
    assert!(wrong(&it, "inlined_one").contains("(in caller_one)"));
    assert_eq!(
        wrong(&it, "simple(fdd)"),
        "simple has no parameter fdd\n  perhaps: fd\n  it has: int fd, const char *name, size_t count"
    );
    assert!(wrong(&it, "of_thing(thing->unknown->x)").contains("do not say what is in a struct unknown"));
    assert!(wrong(&it, "0x10").contains("is in a part of the file that is not executed"));
    assert!(wrong(&it, "0xffffffff").contains("is behind the end of the file"));
    let stripped = binary("static");
    assert!(
        wrong(&stripped, "strlen").contains("one of which is chosen for the processor"),
        "{}",
        wrong(&stripped, "strlen")
    );
    assert!(wrong(&binary("stripped"), "nope_at_all").contains("there is no function nope_at_all"));
}

#[test]
fn a_glob_is_of_all_functions_that_match() {
    let it = binary("plain");
    let (_, sites) = uprobe(&it, "caller_*").unwrap();
    assert_eq!(sites.each.iter().map(|site| site.name.as_str()).collect::<Vec<_>>(), ["caller_one", "caller_two"]);
    let (_, sites) = uprobe(&it, "*simple").unwrap();
    assert_eq!(sites.each.len(), 1, "an alias is the same function");
    let named = |text| uprobe(&it, text).unwrap().1.each[0].offset;
    assert_eq!(named("simple"), named("alias_of_simple"));
    assert_eq!(named(&format!("{:#x}", named("simple"))), named("simple"), "by its offset");
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn lines_are_found_with_what_is_known_there() {
    let source = include_str!("../../../../../tests/bpf/binaries/functions.c");
    let line = |mark: &str| source.lines().position(|line| line.contains(mark)).unwrap() + 1;
    for name in ["plain", "small", "older", "clang", "clang4", "stripped"] {
        let it = binary(name);
        let at = |mark: &str, args: &str| uprobe(&it, &format!("functions.c:{}{args}", line(mark)));
        let (_, copies) = at("line: inlined", "").unwrap();
        assert_eq!(copies.each.len(), if name == "clang" { 2 } else { 3 }, "{name}: {copies:?}");
        assert!(copies.each.iter().all(|site| site.name.starts_with("inlined_one (functions.c:")), "{name}");
        let (spec, sites) = at("line: after", "(doubled)").unwrap();
        let scope = sites.each[0].scope(When::Entry);
        assert!(scope.param("doubled").is_some() && scope.param("number").is_some(), "{name}");
        if matches!(name, "plain" | "clang4") {
            let slots = resolve(&spec, &sites.types, &scope).unwrap().program.slots;
            assert_eq!(
                slots.iter().map(slot).collect::<Vec<_>>(),
                ["[bp-4]i4"].map(|at| if name == "plain" { at } else { "[bp-12]i4" }),
                "{name}"
            );
        }
    }
    let it = binary("plain");
    assert!(wrong(&it, "functions.c:1").contains("there is no code of line 1 of functions.c\n  lines with code: "));
    assert!(
        wrong(&it, "function.c:1").contains("no file function.c is in its debug information\n  closest: functions.c")
    );
    assert!(wrong(&it, "binaries/functions.c:1").contains("there is no code of line 1"), "by the end of its path");
    assert!(wrong(&binary("static"), "functions.c:1").contains("has no debug information"));
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn functions_of_classes_are_called_as_in_the_source() {
    let it = binary("methods");
    assert_eq!(read(&it, "add(this->count,more,of->first,of->third,how)"), "[di]i4 si:i4 [dx]i4 [dx+16]i1 cx:u1");
    assert_eq!(read(&it, "takes(one.value,after)"), "[di]i4 si:i4", "its address is passed");
    assert_eq!(read(&it, "_ZN5space5takesE5owneri(after)"), "si:i4", "as the linker calls it");
}

#[test]
fn damaged_debug_information_is_reported_and_not_used() {
    let file = std::fs::read(test_objects::binary("packed")).unwrap();
    let it = Binary::of_bytes(&file).unwrap();
    let at = it.elf.section(".debug_info").unwrap().offset as usize;
    let mut bytes = file.clone();
    bytes[at + 30..at + 60].fill(0xff);
    let it = Binary::of_bytes(&bytes).unwrap();
    let (_, sites) = uprobe(&it, "simple").unwrap();
    assert!(sites.notes[0].contains("its debug information is not used: .debug_info"), "{:?}", sites.notes);
    assert!(sites.notes[1].contains("nothing is known of the arguments of simple"), "{:?}", sites.notes);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "instructions of x86")]
fn functions_that_take_no_probe_are_left_out_and_named() {
    let it = binary("starts");
    let message = wrong(&it, "start_wide(a:u64)");
    assert!(
        message.contains("IT: start_wide begins with an AVX instruction, which the kernel puts no probe on"),
        "{message}"
    );
    let (_, sites) = uprobe(&it, "start_*").unwrap();
    let names: Vec<&str> = sites.each.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["start_plain"]);
    let note = sites.notes.iter().find(|note| note.starts_with("not watched: ")).unwrap();
    assert!(
        note.contains("start_locked begins with a locked instruction") && note.ends_with("; so it is with 1 others"),
        "{note}"
    );
}

#[test]
fn functions_of_namespaces_are_found_by_their_whole_names() {
    let it = binary("methods");
    for (name, called) in [
        ("space::counter::add", &["space::counter::add"][..]),
        ("space::c*", &["space::counter::add"]),
        ("space::t*s", &["space::takes"]),
        ("*::takes", &["space::takes"]),
        ("takes", &["space::takes"]),
        ("_ZN5space5takesE5owneri", &["space::takes"]),
        ("main", &["main"]),
    ] {
        let (_, sites) = uprobe(&it, name).unwrap();
        assert_eq!(sites.each.iter().map(|site| site.name.as_str()).collect::<Vec<_>>(), called, "{name}");
    }
    assert!(wrong(&it, "space::takse").contains("there is no function space::takse\n  closest: space::takes"));
    assert!(wrong(&it, "space::takes(afterr)").contains("space::takes has no parameter afterr"));
    let listed = list_functions(&it, "space::takes").unwrap();
    assert_eq!(listed[0].text.as_deref(), Some("long space::takes(struct owner one, int after)"));
}
