//! What is asked for, and what the bytes of the map mean.

use std::sync::Arc;

use super::*;
use crate::tracers::specs::recorded::By;

fn request(of: Options) -> Request {
    of.request().unwrap().unwrap()
}

fn named(name: &str) -> Named {
    Named { name: name.to_owned(), text: name.to_owned(), is_func: name == "func" }
}

fn recorded() -> Recorded {
    let functions = vec![(0x1000, "vfs_open".to_owned()), (0x2000, "vfs_read".to_owned())];
    Recorded {
        spec: "fn:vfs_*".to_owned(),
        kind: 32,
        name: "probe".to_owned(),
        func: "vfs_*".to_owned(),
        functions,
        by: By::Code,
        ways: Vec::new(),
    }
}

#[test]
fn a_map_has_a_bounded_size() {
    assert_eq!((entries(40, 8, 2), entries(296, 1088, 2)), (8192, 8192));
    assert_eq!(entries(296, 1088, 64), 959);
    assert_eq!(entries(296, 1088, 8192), 128);
    assert_eq!(entries(0, 0, 0), 8192);
}

#[test]
fn what_is_not_needed_of_keys_and_values_is_left_off() {
    let aggregation = |mode, slots: &[KeySlot]| Aggregation { mode, slots: slots.to_vec(), ..Aggregation::default() };
    let sizes = |aggregation: Aggregation| (aggregation.key_bytes(), aggregation.value_bytes());
    assert_eq!(sizes(aggregation(total_mode::TOTAL_COUNT, &[KeySlot::Number(3)])), (16, 8));
    assert_eq!(sizes(aggregation(total_mode::TOTAL_HIST, &[])), (8, 48 + 130 * 8));
    assert_eq!(sizes(aggregation(total_mode::TOTAL_SUM, &[KeySlot::Text(3), KeySlot::Func])), (104, 48));
    assert_eq!(sizes(aggregation(total_mode::TOTAL_HIST, &[KeySlot::Func, KeySlot::Path(3)])), (168, 48 + 130 * 8));
}

#[test]
fn a_spec_reads_what_is_added_up_and_nothing_else() {
    let options = Options { sum: Some("n=ret".into()), by: Some("comm, func, len=count".into()), ..Options::default() };
    let request = request(options);
    let spec = request.spec("fn:vfs_read(file) if count > 4k", Grammar::Probe).unwrap();
    assert_eq!(spec.text, "fn:vfs_read(comm, len=count, n=ret) if count > 4k");
    assert!(asks_for_return(&spec));
    let names = spec.args.iter().flatten().map(|arg| match arg {
        Arg::One { name: Some(name), .. } => name.text.clone(),
        _ => String::new(),
    });
    assert_eq!(names.collect::<Vec<_>>(), ["0", "1", "2"]);
    let count = Options { count_by: Some("comm".into()), ..Options::default() };
    let at_entry = |text| !asks_for_return(&count.request().unwrap().unwrap().spec(text, Grammar::Probe).unwrap());
    assert!(at_entry("fn:vfs_read") && at_entry("fn:vfs_read(ret) if count > 1"));
    assert!(!at_entry("fn:vfs_read if !(count > 1 || ret < 0)"));
}

#[test]
fn only_numbers_are_added_up_and_only_single_values_are_keys() {
    let int = |signed| ShownKind::Int { slot: 5, signed };
    let value =
        |kind: &ShownKind| Value::new(&named("x"), kind).map(|value| (value.slot, value.signed, value.of.unit)).ok();
    assert_eq!(value(&int(true)), Some((5, true, Unit::Plain)));
    assert_eq!(value(&int(false)), Some((5, false, Unit::Plain)));
    assert_eq!(value(&ShownKind::Duration { slot: 5 }), Some((5, false, Unit::Nanoseconds)));
    for kind in [ShownKind::Str { slot: 1 }, ShownKind::Pointer { slot: 1 }, ShownKind::Network { slot: 1, size: 2 }] {
        assert_eq!(value(&kind), None, "{kind:?}");
    }
    let key = |kind: &ShownKind| KeySlot::new(&named("x"), kind).ok();
    assert_eq!(key(&int(true)), Some(KeySlot::Number(5)));
    assert_eq!(key(&ShownKind::Str { slot: 5 }), Some(KeySlot::Text(5)));
    assert_eq!(key(&ShownKind::Path { slot: 5 }), Some(KeySlot::Path(5)));
    let parts = vec![
        Shown { name: "a".to_owned(), kind: int(true) },
        Shown { name: "b".to_owned(), kind: ShownKind::Str { slot: 1 } },
    ];
    assert_eq!(key(&ShownKind::Group { style: crate::event::Style::Braces, address: None, parts }), None);
}

/// Of comm, a path, and the function.
fn aggregation() -> Aggregation {
    let shown = |name: &str, kind| Shown { name: name.to_owned(), kind };
    let shown = [shown("comm", ShownKind::Str { slot: 0 }), shown("path", ShownKind::Path { slot: 1 })];
    let slots = vec![KeySlot::Text(7), KeySlot::Path(9), KeySlot::Func];
    Aggregation { mode: total_mode::TOTAL_COUNT, slots, shown: Arc::from(shown), ..Aggregation::default() }
}

/// What such a key is, as JSON has its values.
fn spelled(texts: [&[u8]; 2], ip: u64, unread: u32) -> (String, Vec<String>) {
    let mut key = total_key { unread, ..total_key::default() };
    for (n, text) in texts.iter().enumerate() {
        key.number[n] = (text.len() as u64) << 16;
        key.text[n * 64..n * 64 + text.len()].copy_from_slice(text);
    }
    key.number[2] = ip;
    let total = aggregation().row(&key, Amount::default(), &recorded(), None);
    (total.func, total.by.group().iter().map(|(name, value)| format!("{name}={value:?}")).collect())
}

#[test]
fn a_key_has_the_values_that_it_was_made_of() {
    let (func, keys) = spelled([b"dd\0", b"passwd\0etc\0"], 0x2005, 0);
    assert_eq!((func.as_str(), keys[0].as_str()), ("vfs_read", r#"comm=Str([100, 100])"#));
    assert!(keys[1].starts_with("path=Path(Path { names: ") && keys[1].contains("truncated: false"), "{keys:?}");
    let (func, keys) = spelled([b"dd\0", b""], 0, 1);
    assert_eq!((func.as_str(), keys[0].as_str()), ("vfs_*", "comm=Unreadable(Any)"));
}

#[test]
fn a_path_that_was_cut_has_no_half_names() {
    let long = [&[b'a'; 50][..], b"\0usr\0local"].concat();
    let number = |names: &[u8]| {
        let mut text = [0; 64];
        text[..names.len()].copy_from_slice(names);
        whole_names((names.len() as u64) << 16, &text)
    };
    assert_eq!(number(&long[..60]), 60 << 16, "it may have been longer only if all is taken");
    let full = [&long[..], b"-lib"].concat();
    assert_eq!((full.len(), number(&full)), (64, 55 << 16 | 2 << 32));
    let whole = [&full[..63], b"\0"].concat();
    assert_eq!(number(&whole), 64 << 16);
    assert_eq!(number(&[b'x'; 64]), 64 << 16 | 2 << 32, "one name alone");
    assert_eq!(whole_names(u64::MAX, b""), u64::MAX);
}

#[test]
fn the_halves_of_a_sum_come_together() {
    let of = |signed| Value { slot: 0, signed, of: Measured { name: "x".to_owned(), unit: Unit::Plain } };
    let amount = |signed, values: &[u64]| {
        let mut sums = total { count: values.len() as u64, min: values[0], max: values[0], ..total::default() };
        for value in values {
            // As total_value_of of totals.bpf.h does.
            sums.low = sums.low.wrapping_add(value & 0xffff_ffff);
            let high = if signed { (value.cast_signed() >> 32).cast_unsigned() } else { value >> 32 };
            sums.high = sums.high.wrapping_add(high);
        }
        let aggregation =
            Aggregation { mode: total_mode::TOTAL_SUM, value: Some(of(signed)), ..Aggregation::default() };
        aggregation.amount(&sums).sum
    };
    assert_eq!(amount(false, &[u64::MAX; 3]), 3 * i128::from(u64::MAX));
    assert_eq!(amount(true, &[u64::MAX; 3]), -3);
    assert_eq!(amount(true, &[i64::MIN.cast_unsigned(); 2]), 2 * i128::from(i64::MIN));
    assert_eq!(amount(true, &[i64::MAX.cast_unsigned(), 1, (-5_i64).cast_unsigned()]), i128::from(i64::MAX) - 4);
    assert_eq!(amount(false, &[0]), 0);
}

#[test]
fn values_of_any_length_are_padded() {
    let value: total = padded(&7_u64.to_ne_bytes()).unwrap();
    assert_eq!((value.count, value.unread, value.powers[129]), (7, 0, 0));
    assert!(padded::<total>(&[0; 5000]).is_ok() && padded::<total_key>(&[]).is_ok());
}
