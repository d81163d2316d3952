//! For a look at any binary, and at how long that takes: CORETRACE_LOOK=FILE CORETRACE_AT='malloc file.c:12 read_*'

use super::*;
use crate::spec::resolve::spell::declare;

#[test]
#[ignore = "shows what is in a binary of one's choice"]
fn look() {
    let given = |name| std::env::var(name).unwrap_or_default();
    let it = Binary::open(Path::new("/"), Path::new(&given("CORETRACE_LOOK"))).unwrap();
    for text in given("CORETRACE_AT").split(' ') {
        let start = std::time::Instant::now();
        match uprobe(&it, text) {
            Err(error) => println!("{text}: {error}"),
            Ok((_, sites)) => {
                println!("{text}: {} places, {} types {:?}", sites.each.len(), sites.types.btf.types(), sites.notes);
                for site in sites.each.iter().take(5) {
                    println!("  {} at {:#x}", site.name, site.offset);
                    for (n, param) in site.scope.params.iter().enumerate() {
                        let declared = declare(&sites.types, param.ty, &site.scope.called(n));
                        println!("    {declared}: {:?}", param.way.as_ref().map(|way| (way.base, way.at)));
                    }
                }
            }
        }
        println!("  in {:?}", start.elapsed());
    }
    println!("{} static probes", list_statics(&it, "", "").len());
}

#[test]
fn a_function_is_not_watched_where_it_returns_if_the_program_would_break() {
    let it = binary("plain");
    let returns = |text: &str| uprobe(&it, text).unwrap().1.each[0].returns;
    assert!(matches!(returns("_start"), Returns::Jumped(why) if why.contains("begins there")));
    assert!(matches!(returns("never_returns"), Returns::Left("it does not return")));
    assert_eq!(returns("simple"), Returns::Watched);
    assert!(returns("never_returns").is_called() && !returns("_start").is_called());
    let found = uprobe(&it, "never_returns(ret)").and_then(|found| resolved(found, When::Entry));
    let error = found.unwrap_err().to_string();
    assert!(error.contains("never_returns is not watched where it returns: it does not return"), "{error}");
}

#[test]
fn a_program_with_several_stacks_is_known() {
    assert!(binary("stacks").switches_stacks());
    assert!(!binary("plain").switches_stacks() && !binary("methods").switches_stacks());
}

#[test]
fn a_template_is_found_by_its_name_alone() {
    let it = binary("methods");
    let names = |text: &str| {
        let sites = uprobe(&it, text).unwrap().1;
        sites.each.into_iter().map(|site| site.name).collect::<Vec<_>>()
    };
    assert_eq!(names("space::made"), ["space::made<int>", "space::made<long>"]);
    assert_eq!(names("space::made<long>"), ["space::made<long>"]);
}
