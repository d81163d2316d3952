//! What was added up, as JSON: an object for each row.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::field::field;
use super::text::bytes;
use crate::event::Value;
use crate::event::total::{Amount, Measure, Measured, Total, Unit};

/// Adds all of a row but its kind and time.
pub(super) fn row<M: SerializeMap>(
    map: &mut M,
    measure: &Measure,
    row: &Total,
    buffer: &mut Vec<u8>,
) -> Result<(), M::Error> {
    bytes(map, "func", row.func.as_bytes())?;
    field(map, "by", &Value::Group(row.by.group()), buffer)?;
    match measure {
        Measure::Count => map.serialize_entry("count", &row.amount.count),
        Measure::Sum(of) => {
            begin(map, of, &row.amount)?;
            sums(map, &row.amount)
        }
        Measure::Histogram(of) => {
            begin(map, of, &row.amount)?;
            map.serialize_entry("histogram", &Powers(&row.amount))
        }
    }
}

fn begin<M: SerializeMap>(map: &mut M, of: &Measured, amount: &Amount) -> Result<(), M::Error> {
    map.serialize_entry("of", &of.name)?;
    match of.unit {
        Unit::Plain => {}
        Unit::Nanoseconds => map.serialize_entry("unit", "ns")?,
    }
    map.serialize_entry("count", &amount.count)?;
    map.serialize_entry("unread", &amount.unread)
}

fn sums<M: SerializeMap>(map: &mut M, amount: &Amount) -> Result<(), M::Error> {
    let values = amount.values();
    let range = amount.range.filter(|_| values > 0);
    map.serialize_entry("sum", &amount.sum)?;
    map.serialize_entry("min", &range.map(|(min, _)| min))?;
    map.serialize_entry("max", &range.map(|(_, max)| max))?;
    map.serialize_entry("mean", &range.map(|_| amount.sum as f64 / values as f64))
}

/// How many values are in which power of two, both ends included.
struct Powers<'a>(&'a Amount);

impl Serialize for Powers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for (power, count) in &self.0.powers {
            seq.serialize_element(&Range(power.range(), *count))?;
        }
        seq.end()
    }
}

struct Range((i128, i128), u64);

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Range((from, to), count) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", from)?;
        map.serialize_entry("to", to)?;
        map.serialize_entry("count", count)?;
        map.end()
    }
}
