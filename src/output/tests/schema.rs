//! JSON lines against their schema.

use std::collections::BTreeSet;

use serde_json::Value as JsonValue;

use super::*;
use crate::output::schema::schema;

/// Checks lines against the schema of some kinds.
pub(super) struct Validator(boon::Schemas, boon::SchemaIndex);

impl Validator {
    fn new() -> Self {
        Self::of(&[&SAMPLE, &OTHER])
    }

    pub(super) fn of(kinds: &[&Kind]) -> Self {
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.enable_format_assertions();
        compiler.enable_content_assertions();
        compiler.add_resource("coretrace.json", schema(kinds)).unwrap();
        let index = compiler.compile("coretrace.json", &mut schemas).unwrap();
        Validator(schemas, index)
    }

    pub(super) fn accepts(&self, object: &JsonValue) -> Result<(), String> {
        self.0.validate(object, self.1).map_err(|error| format!("{object}: {error:#}"))
    }
}

#[test]
fn json_lines_keep_to_the_schema() {
    let validator = Validator::new();
    let part = Path { names: b"\xff\0x\0", deleted: true, truncated: true, outside: true, ..Path::default() };
    let values = [
        ("uint", Value::Uint(u64::MAX)),
        ("child", Value::Pid(u32::MAX)),
        ("code", Value::Code(1)),
        ("signal", Value::Signal(37)),
        ("core", Value::Bool(true)),
        ("rss", Value::Size(u64::MAX)),
        ("lifetime", Value::Span(u64::MAX)),
        ("str", Value::Str(b"\xff")),
        ("exe", Value::Path(part)),
        ("argv", Value::List(List { bytes: b"a\0\xff", total: 9 })),
        ("flags", bits(0x103)),
        ("ret", Value::Ret(i64::MIN)),
        ("mode", Value::Mode(u32::MAX)),
        ("env", Value::Env(Env::all(b"A=1\0\xff=\xff", 99, true))),
        ("env_diff", Value::EnvDiff(Env::changes(b"+A=1\0~B=\xff\0-C=\0", true))),
        (
            "above",
            Value::Ancestors(Ancestors { bytes: b"\x07\0\0\0sh\xff\0\0\0\0\0\0\0\0\0\0\0\0\0", truncated: true }),
        ),
    ];
    let unreadable = values.map(|(name, value)| (name, Value::Unreadable(value.shape())));
    let plain = [
        ("str", Value::Str(b"a")),
        ("exe", Value::Path(path(b"a\0"))),
        ("argv", list(b"a\0")),
        ("signal", Value::Signal(u32::MAX)),
        ("flags", bits(0)),
        ("ret", Value::Ret(0)),
        ("mode", Value::Mode(0)),
        ("env", Value::Env(Env::all(b"", 0, false))),
        ("env_diff", Value::EnvDiff(Env::changes(b"", false))),
        ("above", Value::Ancestors(Ancestors { bytes: b"", truncated: false })),
    ];
    let failed = [
        ("ret", Value::Ret(-2)),
        ("exe", Value::Path(Path { called: b"x", end_truncated: true, ..Path::default() })),
        ("argv", Value::List(List { bytes: b"a", total: List::UNKNOWN })),
    ];
    let shapes = values.iter().map(|(_, value)| value.shape());
    assert!(shapes.eq(SAMPLE.fields().iter().map(|field| field.shape)), "every shape, in order");

    let none = Container { id: "x".into(), ..Container::default() };
    let own = || Some("x".to_owned());
    let all = Container { name: own(), image: own(), runtime: own(), pod: own(), namespace: own(), ..none.clone() };
    let mut events = vec![sample(&values), sample(&unreadable), sample(&plain), sample(&failed), sample(&[])];
    events[0].label = b"\xff";
    events[1].label = b"web";
    events[1].names = Some(Names::default());
    events[2].names =
        Some(Names { user: Some(b"\xff"), cgroup: Some(b"/"), unit: Some(b"x.\xff"), container: Some(&all) });
    events[3].names = Some(Names { container: Some(&none), ..Names::default() });
    let mut other = Event::new(&OTHER, head(b"\xff"));
    other.push("code", Value::Code(0));
    events.push(other);
    for event in &events {
        let object: JsonValue = serde_json::from_str(&line(Format::Json, UTC, event)).unwrap();
        validator.accepts(&object).unwrap();
    }
    let mut out = Vec::new();
    build(Format::Json, UTC).lost(&mut out, &LOST).unwrap();
    validator.accepts(&serde_json::from_slice(&out).unwrap()).unwrap();
}

#[test]
fn totals_keep_to_the_schema() {
    use crate::event::total::{Amount, Keys, Measure, Measured, Power, Total, Totals, Unit};
    let validator = Validator::new();
    let of = Measured { name: "ret".to_owned(), unit: Unit::Nanoseconds };
    let most = i128::from(u64::MAX);
    let amount = Amount { count: 3, unread: 1, sum: 2 * most, range: Some((-1, most)), ..Amount::default() };
    let amount = Amount { powers: [(Power::at(0).unwrap(), 1), (Power::at(70).unwrap(), 1)].into(), ..amount };
    for measure in [Measure::Count, Measure::Sum(of.clone()), Measure::Histogram(of)] {
        let row = |amount: &Amount| Total {
            func: "f".to_owned(),
            by: Keys::new([].into(), Vec::new(), 0, None),
            amount: amount.clone(),
        };
        let rows = vec![row(&amount), row(&Amount::default())];
        let mut out = Vec::new();
        build(Format::Json, UTC)
            .totals(&mut out, &Totals { boot_ns: 0, kind: 1, measure, names: Vec::new(), rows, in_ledger: false }, T)
            .unwrap();
        for line in str::from_utf8(&out).unwrap().lines() {
            let mut object: JsonValue = serde_json::from_str(line).unwrap();
            validator.accepts(&object).unwrap();
            object["surprise"] = 1.into();
            assert!(validator.accepts(&object).is_err());
        }
    }
}

#[test]
fn the_schema_refuses_what_is_not_said() {
    let validator = Validator::new();
    let good: JsonValue = serde_json::from_str(&line(Format::Json, UTC, &sample(&[("code", Value::Code(1))]))).unwrap();
    validator.accepts(&good).unwrap();
    let changed = |key: &str, value: JsonValue| {
        let mut object = good.clone();
        object[key] = value;
        object
    };
    for (key, value) in [
        ("kind", "another".into()),
        ("code", (-1).into()),
        ("code", "1".into()),
        ("pid", JsonValue::Null),
        ("surprise", 1.into()),
        ("exe_deleted", false.into()),
        ("time", "yesterday".into()),
        ("str_b64", "?".into()),
        ("label", 7.into()),
        ("user", 7.into()),
        ("errno", "no".into()),
        ("mode", "644".into()),
    ] {
        assert!(validator.accepts(&changed(key, value)).is_err(), "{key}");
    }
    for key in good.as_object().unwrap().keys().filter(|key| *key != "code") {
        let mut object = good.clone();
        object.as_object_mut().unwrap().remove(key);
        assert!(validator.accepts(&object).is_err(), "{key} is required");
    }
}

#[test]
fn the_schema_describes_every_property() {
    let schema = schema(&[&SAMPLE, &OTHER]);
    let objects = schema["oneOf"].as_array().unwrap();
    assert_eq!(objects.len(), 8);
    for object in objects {
        let properties = object["properties"].as_object().unwrap();
        for (name, property) in properties {
            assert!(property["description"].as_str().is_some_and(|doc| doc.ends_with('.')), "{name}");
            assert!(!property["type"].is_null(), "{name}");
        }
        let required: BTreeSet<&str> =
            object["required"].as_array().unwrap().iter().filter_map(|r| r.as_str()).collect();
        assert!(required.iter().all(|name| properties.contains_key(*name)));
    }
    assert!(objects[1]["required"].as_array().unwrap().contains(&"code".into()));
    assert!(!objects[0]["required"].as_array().unwrap().contains(&"code".into()));
}
