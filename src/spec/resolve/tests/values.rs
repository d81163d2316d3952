//! What values mean, and when an event is wanted.

use super::*;
use crate::spec::ir::{Compare, STR_MAX, Test};

#[test]
fn every_argument_has_a_meaning_with_nothing_declared() {
    let found = at_return("vfs_unlink", None, "").unwrap();
    assert_eq!(
        outline(&found.shown),
        "dir:Inode*(dev:Device ino:Int mode:Octal) dentry:Alone*(name:Path) delegated_inode:Pointer ret:Ret"
    );
    let found = at_return("vfs_read", None, "").unwrap();
    assert_eq!(outline(&found.shown), "file:File*(path:Path flags:Hex) buf:Str count:Int pos:Pointer ret:Ret");
    assert!(found.notes.iter().any(|note| note.contains("may be gone")), "{:?}", found.notes);
    let found = at_return("copy_process", None, "").unwrap();
    let task = "Task*(pid:Int tid:Int comm:Str)";
    assert_eq!(outline(&found.shown), format!("parent:{task} name:Str ret:{task}"));
    let found = at_return("thing_do", None, "").unwrap();
    assert_eq!(outline(&found.shown), "thing:Pointer color:Enum sign:Enum yes:Bool n:Int u:Int p:Pointer");
    let found = at_return("sized", None, "").unwrap();
    assert_eq!(outline(&found.shown), "after:Int callback:Symbol mode:Octal");
    assert!(found.notes[0].contains("not shown: large"), "{:?}", found.notes);
}

#[test]
fn members_mean_what_their_types_say() {
    let kinds = |args: &str| outline(&at_entry("thing_do", args, "").unwrap().shown);
    assert_eq!(
        kinds(
            "thing->color, thing->kind, thing->done, thing->label, thing->data, thing->dev, thing->port, thing->flags"
        ),
        "thing->color:Enum thing->kind:Enum thing->done:Symbol thing->label:Str thing->data:Bytes thing->dev:Device \
         thing->port:Network thing->flags:Hex"
    );
    assert_eq!(kinds("thing->texts"), "thing->texts:List(0:Str 1:Str)");
    assert_eq!(kinds("thing->wide, thing->state, thing->rows"), "thing->wide:Bytes thing->state:Int thing->rows:Bytes");
    assert_eq!(kinds("thing->pairs[0]"), "thing->pairs[0]:Braces(a:Int b:Int)");
    let ShownKind::Enum { names, signed, .. } = kind("thing_do", "sign") else { panic!("no enum") };
    assert_eq!((&names[..], signed), (&[(-1, "MINUS".to_owned()), (1, "PLUS".to_owned())][..], true));
}

#[test]
fn a_format_overrides_the_type() {
    let kinds = |args: &str| outline(&at_entry("thing_do", args, "").unwrap().shown);
    assert_eq!(kinds("n:x, n:o, u:d, n:u, n:char, n:u8"), "n:Hex n_2:Octal u:Int n_3:Int n_4:Char n_5:Int");
    assert_eq!(
        kinds("thing:raw, p:sym, p:str, p:bytes[4], color:d"),
        "thing:Pointer p:Symbol p_2:Str p_3:Bytes color:Int"
    );
    assert_eq!(kinds("thing->numbers:ptr, thing->data:str[3]"), "thing->numbers:Pointer thing->data:Str");
    assert_eq!(kinds("*p:u32, *p:f64, *p:str"), "*p:Int *p_2:Float *p_3:Str");
    assert_eq!(
        slot("thing_do", "thing->data:str[3]").read,
        Read::Str { offset: 136, space: Space::Kernel, max: 3, array: false }
    );
    assert_eq!(slot("thing_do", "p:bytes[4]").read, Read::Bytes { offset: 0, space: Space::ByAddress, len: 4 });
    assert_eq!(slot("thing_do", "thing->numbers:ptr").read, Read::Plain { offset: 40, shift: 0, narrow: None });
}

#[test]
fn a_star_shows_all_of_a_struct() {
    let found = at_entry("vfs_unlink", "*dentry", "").unwrap();
    assert_eq!(outline(&found.shown), "*dentry:Braces(d_flags:Hex d_name:Str d_inode:Pointer)");
    let found = at_entry("thing_do", "*thing", "").unwrap();
    assert!(found.program.slots.len() <= 24, "{}", found.program.slots.len());
    assert!(
        found.notes.iter().any(|note| note.contains("struct thing") && note.contains("left out")),
        "{:?}",
        found.notes
    );
    let found = at_entry("vfs_read", "file->f_path, *file->f_path.dentry", "").unwrap();
    assert_eq!(found.shown[0].kind, ShownKind::Path { slot: 0 }, "what is known is not taken apart");
}

#[test]
fn what_a_condition_needs_is_read_first_and_once() {
    let found = at_entry("vfs_read", "file, count, file->f_flags", "count > 4096 && file->f_flags & 1").unwrap();
    assert_eq!(found.program.early, 2);
    let signed = false;
    let test = Test::All(vec![
        Test::Number { slot: 0, op: Compare::Greater { signed }, operand: 4096 },
        Test::Number { slot: 1, op: Compare::Bits, operand: 1 },
    ]);
    assert_eq!(found.program.test, Some(test));
    assert_eq!(found.program.slots.len(), 4, "the address and the path of the file are all that comes new");
    let found = at_entry("vfs_unlink", "dentry->d_name.name", "dentry->d_name.name ~ \"*.c\"").unwrap();
    assert_eq!((found.program.early, found.program.slots.len()), (1, 1));
    assert_eq!(found.program.test, Some(Test::Glob { slot: 0, glob: b"*.c".to_vec() }));
    assert_eq!(found.program.slots[0].read.longest(), STR_MAX, "its end counts");
    let found = at_entry("vfs_unlink", "dentry->d_name.name:str[8]", "dentry->d_name.name ~ \"*.c\"").unwrap();
    assert_eq!(found.program.slots.iter().map(|slot| slot.read.longest()).collect::<Vec<_>>(), [STR_MAX, 8]);
}

#[test]
fn names_stand_for_numbers() {
    let operand = |function: &str, condition: &str| {
        let found = at_return(function, Some(""), condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
        match found.program.test {
            Some(Test::Number { operand, .. }) => operand.cast_signed(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(operand("thing_do", "color == GREEN"), 8);
    assert_eq!(operand("thing_do", "sign < PLUS"), 1);
    assert_eq!(operand("thing_do", "sign == MINUS"), -1);
    assert_eq!(operand("thing_do", "yes == true"), 1);
    assert_eq!(operand("thing_do", "thing->state == TCP_LISTEN"), 10, "of any enum");
    assert_eq!(operand("vfs_unlink", "ret == -ENOENT"), -2);
    assert_eq!(operand("vfs_unlink", "ret == -EPROBE_DEFER"), -517);
    assert_eq!(operand("copy_process", "ret == -EAGAIN"), -11, "an error in a pointer");
    assert_eq!(operand("copy_process", "ret >= -4095"), -4095);
    assert_eq!(operand("thing_do", "thing->port == 80"), i64::from(80_u16.to_be()));
    assert_eq!(operand("vfs_unlink", "dir->i_uid == 1000"), 1000, "a struct for its type's sake");
    assert_eq!(operand("vfs_unlink", "dir"), 0);
}

#[test]
fn comparisons_have_the_sign_of_their_type() {
    let op = |condition: &str| match at_return("vfs_read", Some(""), condition).unwrap().program.test {
        Some(Test::Number { op, .. }) => op,
        other => panic!("{other:?}"),
    };
    assert_eq!(op("ret < 0"), Compare::Less { signed: true });
    assert_eq!(op("count <= 1"), Compare::LessEqual { signed: false });
    assert_eq!(op("pos >= 1"), Compare::GreaterEqual { signed: false });
}

#[test]
fn each_half_of_a_call_tests_what_it_can_see() {
    let types = kernel::types();
    let spec = write::spec(Some("dentry, ret"), "dentry->d_flags == 4 && ret != 0 && pid == 1");
    let half = |when: When| resolve(&spec, &types, &scope(&types, "vfs_unlink", Hook { when, ..ENTRY })).unwrap();
    let (entry, exit) = (half(When::EntryOf), half(When::ReturnOf));
    assert_eq!((outline(&entry.shown), outline(&exit.shown)), ("dentry:Alone*(name:Path)".into(), "ret:Ret".into()));
    assert_eq!((entry.program.early, exit.program.early), (2, 2));
    let mixed = write::spec(Some(""), "dentry->d_flags == 4 || ret != 0");
    let error =
        resolve(&mixed, &types, &scope(&types, "vfs_unlink", Hook { when: When::EntryOf, ..ENTRY })).unwrap_err();
    assert!(error.message.contains("different times"), "{error}");
}

#[test]
fn what_does_not_fit_is_shown_by_its_address() {
    let paths = ["file"; 6].join(", ");
    let found = at_entry("vfs_read", &paths, "").unwrap();
    assert_eq!(found.program.slots.len(), 3, "the same is read once");
    let found =
        at_entry("thing_do", "*thing, *thing->pairs, thing->numbers, thing->rows, task, task->mm->exe_file", "")
            .unwrap();
    assert!(found.program.slots.len() <= 32 && !found.notes.is_empty(), "{:?}", found.notes);
}

#[test]
fn functions_are_spelled_as_in_c() {
    let types = kernel::types();
    let spelled = |name: &str| prototype(&types, name).unwrap();
    assert_eq!(
        spelled("vfs_unlink"),
        "int vfs_unlink(struct inode *dir, struct dentry *dentry, struct inode **delegated_inode)"
    );
    assert_eq!(spelled("sized"), "void sized(struct large large, kuid_t after, int (*callback)(void *), umode_t mode)");
    assert_eq!(spelled("vfs_read"), "long vfs_read(struct file *file, char __user *buf, size_t count, void *pos)");
    assert_eq!(
        tracepoint_prototype(&types, "sched_wakeup").unwrap(),
        "sched_wakeup(struct task_struct *task, int prio)"
    );
}

#[test]
fn globs_find_all_that_match() {
    let types = kernel::types();
    let names = |glob: &str| functions(&types, glob).unwrap().into_iter().map(|f| f.name).collect::<Vec<_>>();
    assert_eq!(names("vfs_*"), ["vfs_read", "vfs_rename", "vfs_unlink"]);
    assert_eq!(names("vfs_?e[a-m]?"), ["vfs_read"]);
    assert_eq!(names("vfs_[!re]*"), ["vfs_unlink"]);
    assert!(functions(&types, "vfs_[").is_err(), "a bracket that is never closed is itself");
}
