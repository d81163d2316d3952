//! Where values are.

use super::*;

fn number(offset: i32, size: u8, bits: (u8, u8), signed: bool) -> Read {
    Read::Number { offset, space: Space::Kernel, size, left: bits.0, right: bits.1, signed }
}

#[test]
fn a_chain_has_as_few_steps_as_there_are_pointers() {
    let found = slot("copy_process", "parent->mm->exe_file->f_path.dentry->d_name.name:str");
    let read = Read::Str { offset: 0, space: Space::ByAddress, max: 256, array: false };
    assert_eq!(found, Slot { base: word(0), derefs: kernel(&[1000, 800, 72, 40]), read });
    assert_eq!(slot("copy_process", "parent.mm.exe_file->f_path->dentry.d_name->name:str"), found, "`.` is `->`");
}

#[test]
fn members_of_what_has_no_name_are_its_own() {
    assert_eq!(slot("thing_do", "thing->either").read, number(8, 8, (0, 0), false));
    assert_eq!(slot("thing_do", "thing->deep").read, number(12, 4, (32, 32), false));
}

#[test]
fn bit_fields_are_cut_out() {
    assert_eq!(slot("thing_do", "thing->low").read, number(16, 4, (61, 61), false));
    assert_eq!(slot("thing_do", "thing->middle").read, number(16, 4, (56, 59), true));
    assert_eq!(slot("thing_do", "thing->kind").read, number(16, 4, (52, 60), false));
    assert_eq!(slot("thing_do", "thing->packed").read, number(27, 4, (40, 44), false), "over the end of its word");
}

#[test]
fn elements_are_found_by_their_size() {
    assert_eq!(slot("thing_do", "thing->numbers[3]").read, number(52, 4, (32, 32), false));
    assert_eq!(slot("thing_do", "thing->rows[2][1]").read, number(92, 4, (32, 32), false));
    assert_eq!(slot("thing_do", "thing->pairs[1].b").read, number(116, 4, (32, 32), true));
    assert_eq!(slot("thing_do", "thing->rest[9]").read, number(288, 8, (0, 0), false), "no end is declared");
    let pointed = slot("vfs_read", "buf[2]");
    assert_eq!(
        pointed.read,
        Read::Number { offset: 2, space: Space::User, size: 1, left: 56, right: 56, signed: true }
    );
}

#[test]
fn pointers_are_followed_by_a_star() {
    let found = slot("vfs_unlink", "(*delegated_inode)->i_ino");
    assert_eq!(
        found,
        Slot { base: Base::Word { index: 2, typed: false }, derefs: kernel(&[0]), read: number(16, 8, (0, 0), false) }
    );
    assert_eq!(slot("thing_do", "*thing->numbers").read, number(40, 4, (32, 32), false), "an array is its first");
}

#[test]
fn what_is_tagged_as_a_users_stays_it() {
    let found = slot("vfs_read", "buf:str[16]");
    assert_eq!(found.read, Read::Str { offset: 0, space: Space::User, max: 16, array: false });
    let inner = slot("vfs_read", "((struct qstr *)buf)->name:str");
    assert_eq!(inner.derefs, [Deref { offset: 8, space: Space::Kernel }], "a cast takes the tag away");
}

#[test]
fn a_cast_says_what_it_is() {
    let found = slot("thing_do", "((struct pair *)p)->b");
    assert_eq!(
        found,
        Slot { base: Base::Word { index: 6, typed: false }, derefs: Vec::new(), read: number(4, 4, (32, 32), true) }
    );
    let found = slot("copy_process", "((struct inode *)parent)->i_ino");
    assert_eq!(found.base, Base::Word { index: 0, typed: false }, "no longer what the verifier knows");
    assert!(matches!(kind("thing_do", "(enum color)u"), ShownKind::Enum { .. }));
    assert!(matches!(kind("thing_do", "(char *)p"), ShownKind::Str { .. }));
    let array = slot("thing_do", "((struct pair *)thing->numbers)->b");
    assert_eq!(array.read, number(44, 4, (32, 32), true), "an array is its address");
}

#[test]
fn roots_are_words_of_the_context() {
    assert_eq!(slot("thing_do", "n").read, Read::Plain { offset: 0, shift: 0, narrow: Some((4, true)) });
    assert_eq!(slot("thing_do", "arg4").base, Base::Word { index: 4, typed: false });
    assert_eq!(
        slot("thing_do", "task->pid"),
        Slot { base: Base::Task, derefs: Vec::new(), read: number(1200, 4, (32, 32), true) }
    );
    assert_eq!(slot("thing_do", "pid").read, number(1204, 4, (32, 32), true), "a process is a thread group");
    assert_eq!(slot("thing_do", "comm").read, Read::Str { offset: 1400, space: Space::Kernel, max: 16, array: true });
    assert_eq!(slot("thing_do", "uid").derefs, kernel(&[1300]));
    let found = at_return("vfs_read", Some("ret, duration"), "").unwrap();
    assert_eq!(found.program.words, 5, "what is returned is behind the arguments");
    assert_eq!(found.program.slots[0].base, Base::Return);
    assert_eq!(outline(&found.shown), "ret:Ret duration:Duration");
}

#[test]
fn structs_by_value_take_the_words_that_they_need() {
    assert_eq!(slot("many", "b").base, Base::Word { index: 3, typed: false });
    assert_eq!(slot("many", "two.kernel").base, Base::Word { index: 2, typed: false });
    assert_eq!(slot("many", "uid").read, Read::Plain { offset: 0, shift: 0, narrow: Some((4, false)) });
    let types = kernel::types();
    let probe = Hook { words: Words::Registers(Machine::X86), when: When::Entry };
    let places = |name: &str| {
        let base = |param: &scope::Param| param.way.as_ref().ok().map(|way| way.base);
        scope(&types, name, probe).params.iter().map(base).collect::<Vec<_>>()
    };
    let reg = |index: u32| Some(Base::Word { index, typed: false });
    assert_eq!(places("many"), [reg(14), reg(13), reg(11), reg(9), reg(8), None, None, None]);
    assert_eq!(places("sized"), [None, reg(14), reg(13), reg(12)], "what is large is on the stack");
}

#[test]
fn a_record_is_read_from_its_begin() {
    let format = "name: x\nID: 7\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:__data_loc char[] name;\toffset:8;\tsize:4;\tsigned:0;\n\
        \tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n\
        \tfield:pid_t pid;\toffset:28;\tsize:4;\tsigned:1;\n\
        \tfield:umode_t mode;\toffset:32;\tsize:2;\tsigned:0;\n\
        \tfield:unsigned long args[6];\toffset:40;\tsize:48;\tsigned:0;\n\
        \tfield:const char * filename;\toffset:88;\tsize:8;\tsigned:0;\n\
        \tfield:struct dentry * dentry;\toffset:96;\tsize:8;\tsigned:0;\n\
        \tfield:__rel_loc char rel[];\toffset:104;\tsize:4;\tsigned:0;\n\nprint fmt: \"%s\", REC->name\n";
    let types = kernel::types();
    let word = |text: &str| Word { text: text.to_owned(), span: 0..0 };
    let target = Target::Tracepoint { category: word("c"), name: word("x") };
    let scope = scopes(&target, &types, ENTRY, Some(format)).unwrap().remove(0);
    let found = resolve(&write::spec(None, ""), &types, &scope).unwrap();
    assert_eq!(
        outline(&found.shown),
        "name:Str comm:Str pid:Int mode:Octal args:List(0:Int 1:Int 2:Int 3:Int 4:Int 5:Int) filename:Str \
         dentry:Alone*(name:Path) rel:Hex"
    );
    assert_eq!(found.program.slots[0].read, Read::Located { offset: 8, max: 256 });
    assert_eq!(found.program.slots[1].read, Read::Str { offset: 12, space: Space::Kernel, max: 16, array: true });
    let found = resolve(&write::spec(Some("args[1], common_pid, dentry->d_flags"), ""), &types, &scope).unwrap();
    assert_eq!(found.program.slots[0].read, number(48, 8, (0, 0), false));
    assert_eq!(
        found.program.slots[2],
        Slot { base: Base::Context, derefs: kernel(&[96]), read: number(0, 4, (32, 32), false) }
    );
    let found = resolve(&write::spec(Some("pid"), "name == \"x\" && comm ^= \"y\""), &types, &scope).unwrap();
    assert_eq!(found.program.early, 2);
}

#[test]
fn a_system_call_has_the_registers_of_its_caller() {
    let types = kernel::types();
    let probe = Hook { words: Words::Registers(Machine::X86), when: When::Both };
    let target = |name: &str| Target::Syscall { name: Word { text: name.to_owned(), span: 0..0 } };
    let scope = scopes(&target("openat"), &types, probe, None).unwrap().remove(0);
    let found = resolve(&write::spec(None, ""), &types, &scope).unwrap();
    assert_eq!(outline(&found.shown), "dfd:Int filename:Str flags:Int mode:Octal ret:Ret");
    assert_eq!(
        found.program.slots[1],
        Slot {
            base: Base::Word { index: 14, typed: false },
            derefs: kernel(&[104]),
            read: Read::Str { offset: 0, space: Space::User, max: 256, array: false }
        }
    );
    let unknown = scopes(&target("other"), &types, probe, None).unwrap().remove(0);
    let found = resolve(&write::spec(Some("arg3, arg1:str, arg2:i32"), ""), &types, &unknown).unwrap();
    assert_eq!(found.program.slots[0].read, number(56, 8, (0, 0), false), "r10");
    assert_eq!(outline(&found.shown), "arg3:Hex arg1:Str arg2:Int");
}

#[test]
fn tracepoints_have_names_where_the_kernel_has_them() {
    let types = kernel::types();
    let names = |name: &str| {
        let target = Target::TypedTracepoint { name: Word { text: name.to_owned(), span: 0..0 } };
        let scopes = scopes(&target, &types, BOTH, None).unwrap();
        scopes.iter().map(|scope| (scope.called(0), scope.called(1), scope.returns)).collect::<Vec<_>>()
    };
    assert_eq!(names("sched_wakeup"), [("task".to_owned(), "prio".to_owned(), None)]);
    assert_eq!(names("lost"), [("arg0".to_owned(), "arg1".to_owned(), None)]);
    assert_eq!(names("*").len(), 2);
}
