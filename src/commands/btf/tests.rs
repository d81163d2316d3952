//! Types that clang makes of `tests/bpf`, shown and compared; and files that are damaged.

use serde_json::json;

use super::declare::Declare;
use super::lookup::find;
use super::show::Shown;
use super::*;
use crate::fake::Tree;

fn target(name: &str) -> Target {
    Target::read(&test_objects::path(name)).unwrap()
}

fn text(target: &Target, name: &str) -> String {
    let items = find(&target.types, name).unwrap();
    items.iter().map(|item| Shown::new(target, item).unwrap().text()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_struct_is_shown_as_it_lies_in_memory() {
    let shown = text(&target("layout"), "struct shapes");
    let expected = "\
struct shapes {
	u8 first;                                        /*      0      1 */

	/* hole of 7 bytes */

	u64 second;                                      /*      8      8 */
	union {
		u32 one;                                 /*     16      4 */
		struct {
			u8 x;                            /*     16      1 */
			u8 y;                            /*     17      1 */
		} pair[2];                               /*     16      4 */
	};                                               /*     16      4 */
	u32 low:3;                                       /*   20.0     :3 */
	u32 high:7;                                      /*   20.3     :7 */

	/* hole of 2 bytes and 6 bits */

	const char *text;                                /*     24      8 */
	int (*call)(struct shapes *, const void *, ...); /*     32      8 */
	u8 grid[2][3];                                   /*     40      6 */

	/* hole of 2 bytes */

	struct leaf leaf;                                /*     48      8 */
	struct {
		u64 inner;
	} *hidden;                                       /*     56      8 */
	atomic count;                                    /*     64      4 */
	enum sign sign;                                  /*     68      4 */
	volatile u8 last;                                /*     72      1 */

	/* padding of 7 bytes */

	/* size: 80, members: 13, holes: 3 (11 bytes and 6 bits) */
};
";
    assert_eq!(shown, expected, "{shown}");
}

#[test]
fn whatever_has_a_name_is_found_by_it() {
    let target = target("layout");
    for (name, shown) in [
        ("shapes.leaf", "/* struct shapes.leaf: offset 48, size 8 */\nstruct leaf leaf;\n"),
        ("struct shapes.leaf.b", "/* struct shapes.leaf.b: offset 52, size 4 */\nu32 b;\n"),
        ("shapes.one", "/* struct shapes.one: offset 16, size 4 */\nu32 one;\n"),
        ("shapes.high", "/* struct shapes.high: offset 20.3, size :7 */\nu32 high:7;\n"),
        ("atomic.counter", "/* atomic.counter: offset 0, size 4 */\nint counter;\n"),
        ("enum sign", "enum sign {\n\tZERO = 0,\n\tPLUS = 1,\n\n\t/* size: 4, values: 2 */\n};\n"),
        ("PLUS", "PLUS = 1 /* enum sign */\n"),
        ("u64", "typedef unsigned long long u64; /* size: 8 */\n"),
        ("number_of", "int number_of(struct shapes *shapes, u32 n);\n"),
        ("later", "struct later *later; /* size: 8 */\n"),
        ("struct later", "struct later;\n"),
        ("int", "int; /* size: 4 */\n"),
    ] {
        let found = text(&target, name);
        assert!(found.contains(shown), "{name}: {found}");
    }
    let typedef = text(&target, "atomic");
    assert!(typedef.starts_with("typedef struct {\n\tint counter; ") && typedef.ends_with("} atomic;\n"), "{typedef}");
    let pair = text(&target, "shapes.pair");
    assert!(pair.contains("offset 16, size 4") && pair.ends_with("} pair[2];\n"), "{pair}");
}

#[test]
fn what_is_missing_is_reported_with_similar_names() {
    let target = target("layout");
    for (name, message) in [
        ("SHAPES", "there is no SHAPES; there is: shapes"),
        ("umber", "there is no umber; there is: number_of"),
        ("plus", "there is no plus; there is: PLUS"),
        ("enum shapes", "there is no enum shapes"),
        ("shapes.Second", "struct shapes has no member Second; there is: second"),
        ("shapes.X", "struct shapes has no member X; there is: text"),
        ("shapes.text.x", "shapes.text.x: struct shapes.text is no struct or union; what it points to"),
        ("shapes.", "struct shapes has no member "),
        ("u64.x", "there is no struct or union for u64.x"),
        ("", "there is no "),
        (".", "there is no struct or union for ."),
        ("\u{1b}[31m", "there is no \\x1b[31m"),
    ] {
        let error = find(&target.types, name).unwrap_err().to_string();
        assert!(error.starts_with(message), "{name}: {error}");
    }
}

#[test]
fn programs_get_the_same() {
    let target = target("layout");
    let shown = |name: &str| Shown::new(&target, &find(&target.types, name).unwrap()[0]).unwrap().json();
    let shapes = shown("struct shapes");
    assert_eq!((&shapes["kind"], &shapes["size"]), (&"struct".into(), &80.into()));
    let high = &shapes["members"][4];
    let of = ["name", "type", "offset", "bit", "bits", "size"].map(|key| high[key].to_string());
    assert_eq!(of, ["\"high\"", "\"u32\"", "20", "3", "7", "null"]);
    let pair = &shapes["members"][2]["members"][1];
    assert_eq!((&pair["name"], &pair["size"]), (&"pair".into(), &4.into()));
    assert_eq!((&pair["type"], &pair["members"][1]["offset"]), (&"struct {...} [2]".into(), &17.into()));
    assert_eq!((&shown("PLUS")["value"], &shown("PLUS")["enum"]), (&1.into(), &"sign".into()));
    assert_eq!(shown("shapes.second")["offset"], 8);
}

#[test]
fn what_changed_is_reported() {
    let targets = [target("kernel"), target("all")];
    let text = |name: &str| {
        let mut text = String::new();
        diff::compare([&targets[0], &targets[1]], name, true)
            .unwrap()
            .iter()
            .for_each(|change| change.text("->", &mut text));
        text
    };
    assert_eq!(
        text("struct thing"),
        "
struct thing: size 56 -> 20
  - first: u64, offset 0, size 8
  ~ number: u64 -> u32, offset 8 -> 0, size 8 -> 4
  ~ inners: struct inner[4] -> struct inner[2], offset 16 -> 4, size 32 -> 8
  ~ hidden: offset 48 -> 12
  - low: u32, offset 52.0, size :3
  ~ bits: offset 52.3 -> 16.0, size :5 -> :7
"
    );
    assert_eq!(text("enum color"), "\nenum color:\n  ~ RED: 7 -> 1\n  ~ GREEN: 8 -> 0\n");
    assert_eq!(text("handle_all"), "\nfunc handle_all: added\n");
    assert_eq!(text("thing.first"), "\nstruct thing.first: removed\n");
    assert_eq!(text("thing.hidden"), "\nstruct thing.hidden:\n  ~ hidden: offset 48 -> 12\n");
    assert_eq!(text("u32"), "\ntypedef u32: the same\n");
    let error = diff::compare([&targets[0], &targets[1]], "Thing", true).unwrap_err().to_string();
    assert!(error.matches("there is: thing").count() == 2, "{error}");
    assert!(diff::compare([&targets[0], &targets[1]], "Thing", false).unwrap().is_empty());
}

#[test]
fn damaged_types_do_no_harm() {
    crate::ffi::log::capture_log(false);
    let (tree, whole) = (Tree::new(), target("layout").types.btf.bytes().to_vec());
    let mut read = 0;
    for at in 0..whole.len() {
        for value in [0, 1, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            tree.file("damaged", &bytes);
            let Ok(target) = Target::read(&tree.path("damaged")) else { continue };
            read += 1;
            for name in ["shapes", "shapes.pair", "PLUS", "number_of", "u64"] {
                for item in find(&target.types, name).unwrap_or_default() {
                    if let Ok(shown) = Shown::new(&target, &item) {
                        _ = (shown.text(), shown.json());
                    }
                }
            }
            if let Ok(mut declare) = Declare::new(&target, target.types.own()) {
                (1..target.types.btf.types()).for_each(|id| _ = declare.0.define(id));
            }
        }
    }
    assert!(read > 1000, "{read}");
}

/// Raw BTF of these types, with one name: `x`.
fn raw(words: &[u32]) -> Target {
    let (tree, size) = (Tree::new(), u32::try_from(words.len() * 4).unwrap());
    let mut bytes = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
    bytes.extend([24, 0, size, size, 3].iter().chain(words).flat_map(|word| word.to_ne_bytes()));
    bytes.extend(b"\0x\0");
    tree.file("raw", &bytes);
    Target::read(&tree.path("raw")).unwrap()
}

#[test]
fn values_are_of_32_or_64_bits_with_a_sign_or_without() {
    for (kind, value, expected) in [
        (6 << 24, &[u32::MAX][..], json!(4_294_967_295_u32)),
        (1 << 31 | 6 << 24, &[u32::MAX], json!(-1)),
        (19 << 24, &[u32::MAX, u32::MAX], json!(u64::MAX)),
        (1 << 31 | 19 << 24, &[0, 1 << 31], json!(i64::MIN)),
    ] {
        let target = raw(&[&[1, kind | 1, 8, 1], value].concat());
        let items = find(&target.types, "enum x").unwrap();
        let shown = Shown::new(&target, &items[0]).unwrap();
        assert_eq!(shown.json()["values"][0]["value"], expected);
        assert!(shown.text().contains(&format!("x = {expected},")), "{}", shown.text());
    }
}

#[test]
fn types_that_libbpf_would_not_come_to_an_end_with_are_refused() {
    let kind = |kind: u32, rows: u32| kind << 24 | rows;
    let (pointer, array, composite, typedef) = (2, 3, 4, 8);
    for (what, words) in [
        ("a pointer to itself", vec![0, kind(pointer, 0), 1]),
        ("an array of itself", vec![0, kind(array, 0), 0, 1, 1, 2]),
        ("a struct in itself", vec![1, kind(composite, 1), 8, 1, 1, 0]),
        ("one without a name that points to itself", vec![0, kind(composite, 1), 8, 1, 2, 0, 0, kind(pointer, 0), 1]),
        ("names of each other", vec![1, kind(typedef, 0), 2, 0, kind(pointer, 0), 1]),
        ("a member without a size", vec![1, kind(composite, 1), 8, 1, 2, 0, 0, kind(13, 0), 0]),
    ] {
        let target = raw(&words);
        let error = Declare::new(&target, target.types.own()).unwrap_err().to_string();
        assert!(error.contains("contradict"), "{what}: {error}");
    }
    // Doubling at each step, and deep: soon it is more than there is memory.
    let double = |n: u32| [0, kind(composite, 2), 8, 1, n + 2, 0, 1, n + 2, 32];
    let deep = |n: u32| [0, kind(pointer, 0), n + 2];
    let int = [1, kind(1, 0), 4, 32];
    for words in [
        (0..40).flat_map(double).chain(int).collect::<Vec<_>>(),
        (0..100_000).flat_map(deep).chain(int).collect(),
        vec![1, kind(composite, 0), u32::MAX],
    ] {
        assert!(Declare::new(&raw(&words), [1].into_iter()).is_err());
    }
    let words = (0..8).flat_map(double).chain(int).collect::<Vec<_>>();
    assert!(Declare::new(&raw(&words), [1].into_iter()).is_ok());
}
