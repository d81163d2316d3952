//! Values that are passed in ways of their own: each argument behind one shows whether that was known.

use super::*;

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn what_is_behind_vectors_packed_structs_and_complex_integers_is_read_where_it_is() {
    for name in ["passed", "passed-small", "passed-clang"] {
        let it = binary(name);
        let read = |text| read(&it, text);
        assert_eq!(read("vectors(before,after)"), "di:i4 si:i4", "{name}");
        assert!(wrong(&it, "vectors(one)").contains("a register for floats"), "{name}");
        assert!(wrong(&it, "vectors(other)").contains("a register for floats"), "{name}");
        assert!(wrong(&it, "wide_vector(after)").contains("a value before it, is passed is not known"), "{name}");
        assert!(wrong(&it, "inner_vector(after)").contains("a value before it, is passed is not known"), "{name}");
        assert_eq!(read("packed(one.second,after)"), "[sp+9]i8 cx:i4", "{name}");
        assert_eq!(read("complex_int(one.__real__,one.__imag__)"), "si:i4 si>>32:i4", "{name}");
        assert_eq!(read("complex_int(other.__imag__,after)"), "cx r8:i4", "{name}");
        assert_eq!(read("quad(before,after)"), "di:i4 si:i4", "{name}");
        assert!(wrong(&it, "quad(one)").contains("a register for floats"), "{name}");
        let error = uprobe(&it, "returns_vector(ret)").and_then(|found| resolved(found, When::Return)).unwrap_err();
        assert!(error.to_string().contains("it is in a register for floats"), "{name}: {error}");
    }
    for name in ["passed", "passed-small"] {
        assert_eq!(read(&binary(name), "decimal(before,after)"), "di:i4 si:i4", "{name}");
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn a_class_that_is_not_simply_copied_is_where_its_address_leads_to() {
    for name in ["methods", "methods-strict"] {
        let it = binary(name);
        assert_eq!(read(&it, "space::takes(one.value,after)"), "[di]i4 si:i4", "{name}");
        let many = "space::takes_many(one.value,two.inner.value,three.value,four.adj,after)";
        assert_eq!(read(&it, many), "[di+8]i4 [si]i4 dx:i4 r8 r9:i4", "{name}");
        assert_eq!(returned(&it, "space::gives(ret.value)"), "[ret]i4", "{name}");
        assert_eq!(read(&it, "space::gives(value)"), "si:i4", "{name}");
        // There is none to copy it by.
        assert_eq!(read(&it, "space::gives_staying(value)"), "si:i4", "{name}");
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn a_long_double_is_not_read_as_a_smaller_float() {
    let it = binary("plain");
    assert!(
        wrong(&it, "with_floats(fourth:f64)").contains("it is a float of 128 bits, and cannot be read as one of 64")
    );
    assert_eq!(read(&it, "with_floats(fourth)"), "bytes16(sp+8)");
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "registers of x86")]
fn what_the_compiler_has_left_out_of_a_call_is_not_shown() {
    let it = binary("passed-clang");
    // Callers of the same file need not pass it: what is in the register is of others.
    assert!(
        wrong(&it, "unused(none)").contains("none cannot be read: it is not used, and the compiler has left it out")
    );
    assert_eq!(read(&it, "unused(some)"), "si:i4");
    assert_eq!(read(&binary("passed"), "unused(none,some)"), "di:i4 si:i4");
}
