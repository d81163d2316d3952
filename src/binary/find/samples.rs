//! For tests: caches of the loader.

/// A cache as ldconfig writes it, behind one of the old format where that is wanted.
pub(crate) fn cache(libraries: &[(&str, &str, u32, u64)], old: bool) -> Vec<u8> {
    let (mut entries, mut strings) = (Vec::new(), Vec::new());
    let begin = 48 + 24 * libraries.len();
    for (name, path, flags, capabilities) in libraries {
        let mut text = |text: &str| {
            let at = u32::try_from(begin + strings.len()).unwrap_or(0);
            strings.extend(text.bytes().chain([0]));
            at
        };
        let words = [*flags, text(name), text(path), 0];
        entries.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        entries.extend(capabilities.to_le_bytes());
    }
    let mut bytes = if old { b"ld.so-1.7.0\0\0\0\0\0".to_vec() } else { Vec::new() };
    bytes.extend(b"glibc-ld.so.cache1.1");
    let header =
        [u32::try_from(libraries.len()).unwrap_or(0), u32::try_from(strings.len()).unwrap_or(0), 2, 0, 0, 0, 0];
    bytes.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(entries);
    bytes.extend(strings);
    bytes
}
