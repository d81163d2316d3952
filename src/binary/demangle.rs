//! What the source calls a function that the compiler of C++ or Rust has named for the linker.

use std::fmt::{self, Write};

use cpp_demangle::{BorrowedSymbol, DemangleOptions};

/// Longer names, of both kinds, stay as they are: a short one may stand for a text without end.
const LONGEST: usize = 4096;

/// `ns::C::meth` of `_ZN2ns1C4methEi`: without the types that it is called with and that it returns, and without the hash
/// that Rust adds. None: it is no such name.
pub(crate) fn demangled(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= LONGEST)?;
    if !["_Z", "_R", "__Z", "___Z"].iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let mut text = Bounded(String::new());
    if let Ok(of_rust) = rustc_demangle::try_demangle(name) {
        write!(text, "{of_rust:#}").ok()?;
    } else {
        let (symbol, _) = BorrowedSymbol::with_tail(name.as_bytes()).ok()?;
        symbol.structured_demangle(&mut text, &DemangleOptions::new().no_params().no_return_type()).ok()?;
    }
    Some(text.0).filter(|text| !text.is_empty())
}

/// The name of the template that a function was made from: `ns::tmpl` of `ns::tmpl<int>`, `c::f` of Rust's `c::f::<u8>`.
pub(crate) fn without_arguments(name: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    let begin = name.iter().rposition(|byte| {
        match byte {
            b'>' => depth += 1,
            b'<' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let plain = name.get(..begin?).filter(|_| name.ends_with(b">"))?;
    let plain = plain.strip_suffix(b"::").unwrap_or(plain);
    // `operator<` of something, and `operator->`.
    (!plain.is_empty() && !plain.ends_with(b"operator") && !plain.ends_with(b"operator<")).then_some(plain)
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.0.len() + part.len() > LONGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{demangled, without_arguments};

    #[test]
    fn a_template_is_called_without_its_arguments() {
        for (name, plain) in [
            ("ns::tmpl<int>", Some("ns::tmpl")),
            ("tmpl<std::map<int, char>, (a)>", Some("tmpl")),
            ("c::f::<u8>", Some("c::f")),
            ("ns::C<int>::meth", None),
            ("operator->", None),
            ("operator<<", None),
            ("operator<< <char>", Some("operator<< ")),
            ("f", None),
            (">", None),
            ("<>", None),
        ] {
            assert_eq!(without_arguments(name.as_bytes()), plain.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn names_are_those_of_the_source() {
        for (name, source) in [
            ("_ZN2ns1C4methEi", "ns::C::meth"),
            ("_ZNK2ns1C4methEv", "ns::C::meth"),
            ("_ZN2ns4overEPKc", "ns::over"),
            ("_Z4overi", "over"),
            ("_ZN2ns4tmplIiEET_S1_", "ns::tmpl<int>"),
            ("_ZN2nsplERKNS_1CE", "ns::operator+"),
            ("_ZN1c3add17h0123456789abcdefE", "c::add"),
            ("_ZN1c1S2go17h0123456789abcdefE", "c::S::go"),
            ("_RNvCs1234_7mycrate3add", "mycrate::add"),
        ] {
            assert_eq!(demangled(name.as_bytes()).as_deref(), Some(source), "{name}");
        }
        for plain in ["main", "_start", "_Z", "_ZN", "_R", "", "Zebra"] {
            assert_eq!(demangled(plain.as_bytes()), None, "{plain}");
        }
    }

    #[test]
    fn a_short_name_of_a_text_without_end_stays_as_it_is() {
        // `f<a<char>, a<a<char>, a<char>>, …>`: each argument has the one before it twice. (S_ is f, S0_ is a.)
        let mut name = "_Z1fI1aIcE".to_owned();
        for n in ('1'..='9').chain('A'..='I') {
            name += &format!("S0_IS{n}_S{n}_E");
        }
        assert!(name.len() < 250 && demangled(format!("{name}Evv").as_bytes()).is_none());
        assert!(demangled(b"_Z1fI1aIcES0_IS1_S1_EEvv").is_some_and(|name| name.starts_with("f<a<char>, a<a<char>")));
    }
}
