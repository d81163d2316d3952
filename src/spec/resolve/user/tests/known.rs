//! What is known without debug information: declared arguments, the table of prototypes, the notes of static probes.

use super::*;
use crate::binary::Passing;

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn declared_arguments_are_in_registers_one_after_the_other() {
    let it = binary("static");
    assert_eq!(read(&it, "simple(fd:i32,name:str,count:u64)"), "di:i4 str(si) dx");
    assert_eq!(read(&it, "simple(a:x,b:ptr,c:bytes[4],d:char,e:u8,f:i64)"), "di si bytes4(dx) cx:u1 r8:u1 r9");
    assert_eq!(read(&it, "simple(arg1:str,arg0)"), "str(si) di", "by number");
    assert_eq!(read(&it, "simple(a:u64) if a > 5"), "di");
    assert_eq!(read(&it, "simple(a:i32) if a < 0 && a != -5"), "di:i4");
    let (_, sites) = uprobe(&it, "with_floats(second:i32,third:f64,fifth:u32)").unwrap();
    let fifth = sites.each[0].scope.param("fifth").unwrap().way.clone().unwrap();
    assert_eq!(base(fifth.base), "si", "floats take none of the registers for integers");
    assert_eq!(read(&it, "simple(a:i32,b:str) if b == \"x\""), "str(si) di:i4");
    assert!(wrong(&it, "with_floats(second:i32,third:f64)").contains("a register for floats"));
    let seven = wrong(&it, "many(a:u8,b:u8,c:u8,d:u8,e:u8,f:u8,g:u8)");
    assert!(seven.contains("no more registers for arguments"), "{seven}");
    assert_eq!(returned(&it, "simple(ret:i32)"), "ret:i4");
    let (_, sites) = uprobe(&it, "simple").unwrap();
    assert!(sites.notes[0].contains("nothing is known of the arguments of simple"), "{:?}", sites.notes);
    let (_, sites) = uprobe(&it, "simple(a:u64)").unwrap();
    assert_eq!(sites.notes, [""; 0], "it was declared");
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn arguments_that_are_declared_where_totals_are_shown_instead_are_where_they_were() {
    let it = binary("static");
    let own = parse("x:simple(a:i32,b:str,c:u64)", Grammar::Uprobe).unwrap();
    let of = |text: &str| {
        let mut spec = parse(text, Grammar::Uprobe).unwrap();
        spec.declares = own.args.clone().unwrap();
        let found = sites(&spec, &it, None).and_then(|sites| resolved((spec, sites), When::Entry)).unwrap();
        found.program.slots.iter().map(slot).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([of("x:simple(c)"), of("x:simple(b:str) if a < 5")], ["dx", "di:i4 str(si)"]);
    assert_eq!([of("x:simple(arg1)"), of("x:simple() if c > 5")], ["si", "dx"]);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn well_known_functions_are_in_a_table() {
    let it = binary("static");
    assert_eq!(read(&it, "malloc"), "di");
    assert_eq!(read(&it, "read"), "di:i4 si dx");
    let (_, sites) = uprobe(&it, "malloc(size) if size > 4k").unwrap();
    assert!(sites.notes[0].contains("malloc is taken to be what the documentation says"), "{:?}", sites.notes);
    assert!(wrong(&it, "malloc(bytes)").contains("it has: size_t size"));
    let listed = list_functions(&it, "malloc").unwrap();
    assert_eq!(listed[0].text.as_deref(), Some("void *malloc(size_t size)"));
}

#[test]
fn debug_information_in_files_of_its_own_is_said_to_be_that() {
    let (_, sites) = uprobe(&binary("split"), "simple").unwrap();
    let why = "nothing is known of the arguments of simple, as its debug information is in .dwo files";
    assert!(sites.notes.iter().any(|note| note.contains(why)), "{:?}", sites.notes);
}

#[test]
fn versions_of_a_function_are_distinguished() {
    let it = binary("versions");
    let places = |text: &str| {
        let (_, sites) = uprobe(&it, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        sites.each.iter().map(|site| site.offset).collect::<Vec<_>>()
    };
    let (old, today) = (places("it_of_old"), places("it_of_today"));
    assert_ne!(old, today);
    assert_eq!(places("it"), today, "the default");
    assert_eq!(places("it@@IT_2"), today, "the default by its full name");
    assert_eq!(places("it@IT_2"), today, "the default by its version");
    assert_eq!(places("it@IT_1"), old);
    for name in ["it@IT_3", "it@@IT_3"] {
        assert!(wrong(&it, name).contains(&format!("there is no function {name}")));
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn static_probes_have_their_arguments_where_their_notes_say() {
    for name in ["marks", "marks-fixed"] {
        let it = binary(name);
        let read = |text: &str| {
            let (spec, sites) = usdt(&it, text).unwrap();
            let one = |site: &Site| {
                let found = resolve(&spec, &sites.types, &site.scope(When::Entry)).unwrap();
                found.program.slots.iter().map(slot).collect::<Vec<_>>().join(" ")
            };
            sites.each.iter().map(one).collect::<Vec<_>>()
        };
        let twelve = read("groupc:twelve");
        let ends = twelve[0].split(" [ip").next().unwrap();
        assert_eq!(ends, "di si dx:u4 cx:i4 r8:u2 r9:i2 ax:u1 w5:i1 12 -1:i4", "{name}");
        assert_eq!(twelve[0].matches("]u8").count(), 2, "{name}: variables of the program");
        let forms = &read("groupc:forms")[0];
        assert_eq!(forms, "[sp-8]u8 [sp+ax*8+16]u8 ax>>8:u1 [bp-16]u8 [cx*4]u4 [dx]u8", "{name}");
        let (_, sites) = usdt(&it, "groupb:probe2").unwrap();
        assert_eq!(sites.each.len(), 2, "{name}: where it was inlined");
        let (_, sites) = usdt(&it, "groupc:*").unwrap();
        let marks: Vec<_> = sites.each.iter().map(|site| (site.semaphore.is_some(), site.in_red_zone)).collect();
        assert_eq!(marks, [(true, false), (false, true), (false, false)], "{name}");
        let semaphore = it.elf.section(".probes").unwrap().offset;
        assert_eq!(sites.each[0].semaphore, Some(semaphore), "{name}");
    }
    let it = binary("marks");
    let one = |text: &str| resolved(usdt(&it, text).unwrap(), When::Entry).unwrap();
    let slots = |text: &str| one(text).program.slots.iter().map(slot).collect::<Vec<_>>().join(" ");
    assert_eq!(slots("groupa:probe1(var1:i32)"), "di:i4");
    assert_eq!(slots(":counted(argv:ptr)"), "si");
    assert_eq!(slots("groupc:counted(argv:str) if argv ^= \"x\""), "str(si)");
    assert_eq!(slots("groupc:twelve(a:str,b:u64,c:x) if b > 3 && arg2 == 4"), "si dx:u4 str(di)");
    let error = |text: &str| usdt(&it, text).unwrap_err().to_string();
    assert!(error("groupx:a").contains("there are: groupa, groupb, groupc"));
    assert!(error("groupb:prob").contains("closest: groupb:probe2"));
    let none = usdt(&binary("plain"), ":*").unwrap_err();
    assert!(none.message.contains("has no static probes"));
    let wrong = resolved(usdt(&it, "groupc:forms(arg3)").unwrap(), When::Entry).unwrap_err();
    assert!(wrong.message.contains("%xmm0 is a register that probes cannot read"), "{wrong}");
    let listed = list_statics(&it, "groupa", "");
    assert_eq!(
        (listed[0].name.as_str(), listed[0].text.as_deref(), listed[0].note.as_deref()),
        ("groupa:probe1", Some("i32"), Some("-4@%edi"))
    );
}

#[test]
fn conditions_ask_for_the_head_by_the_kernels_types() {
    let it = binary("static");
    let kernel = crate::types::model::Types::read(&crate::types::image::samples::kernel_btf()).unwrap();
    let spec = parse("x:simple(a:u64) if a > 5 && pid == 7", Grammar::Uprobe).unwrap();
    let found = sites(&spec, &it, None).unwrap();
    let error = resolve(&spec, &found.types, &found.each[0].scope(When::Entry)).unwrap_err();
    assert!(error.message.contains("pid is not known without the types of the kernel"), "{error}");
    let found = sites(&spec, &it, Some(&kernel)).unwrap();
    let known = resolve(&spec, &found.types, &found.each[0].scope(When::Entry));
    // The little kernel of the tests may have no task.
    assert!(known.is_ok() || kernel.find(4, "task_struct").is_none(), "{known:?}");
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn arm_has_its_own_convention() {
    // By the same types, as if the program were of that machine.
    let it = binary("plain");
    let at = |way: Way| match (way.base, way.at) {
        (Base::Word { index, .. }, At::Value { .. }) => format!("x{index}"),
        (Base::Word { index: 31, .. }, At::Memory { offset, .. }) => format!("sp+{offset}"),
        other => format!("{other:?}"),
    };
    let all = |function: &str| {
        let (_, sites) = uprobe(&it, function).unwrap();
        let mut abi = Abi::new(crate::binary::Machine::Arm, &sites.types, None, Passing::ByValue);
        let params = &sites.each[0].scope(When::Entry).params;
        let ways =
            params.iter().map(|param| abi.next(&sites.types, param.ty, Passing::ByValue).map_or("-".to_owned(), at));
        ways.collect::<Vec<_>>().join(" ")
    };
    // A struct of two words finds one register left, and goes onto the stack with all that follows.
    assert_eq!(all("many"), "x0 x1 x2 x3 x4 x5 x6 x7 sp+0 sp+16");
    // A complex number is two floats, and one of 16 bytes begins in an even register.
    assert_eq!((&*all("with_complex"), &*all("wide_behind_one")), ("- x0 - x1 x2", "x0 x2 x4"));
}
