//! Some members of an object, in another order.

use serde::ser::{Error as _, Serialize, SerializeMap};

use super::rest::Rest;

/// What is added to the names of members that stand beside others.
const BESIDE: [&str; 7] = ["", "_b64", "_bytes", "_deleted", "_truncated", "_unreachable", "_null"];

/// Members, written one by one.
#[derive(Debug, Default)]
pub(super) struct Pick {
    key: String,
    members: Vec<(String, Vec<u8>)>,
}

impl Pick {
    /// Writes those of these names, and what stands beside them, as an object.
    pub(super) fn write(&self, names: &[String], out: &mut Vec<u8>) {
        out.clear();
        let mut before = b'{';
        let mut done = vec![false; self.members.len()];
        for name in names {
            for ((key, value), done) in self.members.iter().zip(&mut done) {
                let beside = key.strip_prefix(name.as_str()).is_some_and(|rest| BESIDE.contains(&rest));
                if (beside || name == "ret" && key == "errno") && !*done {
                    *done = true;
                    out.push(before);
                    out.extend_from_slice(format!("\"{key}\":").as_bytes());
                    out.extend_from_slice(value);
                    before = b',';
                }
            }
        }
        out.extend_from_slice(if before == b'{' { b"{}" } else { b"}" });
    }
}

impl SerializeMap for Pick {
    type Ok = Self;
    type Error = serde_json::Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Self::Error> {
        let key = serde_json::to_value(key)?;
        // Names of members are words.
        self.key = key.as_str().ok_or_else(|| Self::Error::custom("a name is a string"))?.to_owned();
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Self::Error> {
        let mut bytes = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Rest { depth: 1 }))?;
        self.members.push((std::mem::take(&mut self.key), bytes));
        Ok(())
    }

    fn end(self) -> Result<Self, Self::Error> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_the_order_asked_for_with_what_stands_beside_them() {
        let mut all = Pick::default();
        all.serialize_entry("cpu", &3).unwrap();
        all.serialize_entry("cpu_ns", &7).unwrap();
        all.serialize_entry("argv", &["a\u{202e}"]).unwrap();
        all.serialize_entry("argv_bytes", &2).unwrap();
        let picked = |names: &[&str]| {
            let (names, mut out) = (names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), Vec::new());
            all.write(&names, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(picked(&["argv", "cpu"]), r#"{"argv":["a\u202e"],"argv_bytes":2,"cpu":3}"#);
        assert_eq!((picked(&["cpu_ns", "cpu_ns"]), picked(&["pid"])), (r#"{"cpu_ns":7}"#.into(), "{}".into()));
    }
}
