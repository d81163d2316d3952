//! Which functions break, or mislead their program, when it is watched where they return: for that, the kernel puts an
//! address of its own in the place of the one that a function returns to, which has to be there, and to be nobody else's.

use super::open::Binary;
use super::symbols::{Function, is_fragment};

/// Whether a place can be hooked where its function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returns {
    Watched,
    /// It is within a function, or a part of one.
    Within,
    /// It is called, but its return is left alone; and why.
    Left(&'static str),
    /// It is jumped to: there is no address to return to where one would be; and why.
    Jumped(&'static str),
}

impl Returns {
    /// Whether the address that the function returns to is on top of the stack there (arm64: in its register).
    pub fn is_called(self) -> bool {
        matches!(self, Returns::Watched | Returns::Left(_))
    }

    /// Why a function's return is not watched, of those that one would expect to be.
    pub fn why_not(self) -> Option<&'static str> {
        match self {
            Returns::Left(why) | Returns::Jumped(why) => Some(why),
            Returns::Watched | Returns::Within => None,
        }
    }
}

const BEGINS: &str = "the program begins there, and nothing has called it";
const JUMPED: &str = "it is jumped to, not called";
const KEEPS: &str = "it keeps the address that it returns to, and the program goes there again";
const SWITCHES: &str = "the program goes on in another context, on another stack";
const CALLER: &str = "it looks at the address that it returns to, to know which library calls it";
const UNWINDS: &str = "it follows the addresses that functions return to";
const THROWS: &str = "it does not return: the addresses that functions return to are followed from there";
/// runtime/stack.go (copystack) and runtime/traceback.go: `unexpected return pc`.
const GO: &str = "Go moves stacks, and ends the program where an address to return to is not of its code";
const NEVER: &str = "it does not return";

/// Functions of the C library, the dynamic linker, libgcc and libstdc++, by what watching their return would do:
/// `setjmp` and `getcontext` (glibc: setjmp/setjmp.S keeps the address in its buffer), `dlsym` and `dlopen`
/// (dlfcn/dlsym.c: `RETURN_ADDRESS (0)`), unwinding (libgcc/unwind-dw2.c: `__builtin_return_address`), and what the
/// dynamic linker jumps through (sysdeps/x86_64/dl-trampoline.S: other words are on top of the stack).
const KNOWN: &[(&str, &[&str])] = &[
    (KEEPS, &["setjmp", "_setjmp", "__setjmp", "sigsetjmp", "__sigsetjmp", "__libc_sigsetjmp"]),
    (KEEPS, &["getcontext", "__getcontext"]),
    (SWITCHES, &["swapcontext", "__swapcontext", "setcontext", "__setcontext", "jump_fcontext", "ontop_fcontext"]),
    (
        NEVER,
        &[
            "longjmp",
            "_longjmp",
            "__longjmp",
            "siglongjmp",
            "__libc_longjmp",
            "__libc_siglongjmp",
            "longjmp_unwind",
            "__longjmp_chk",
            "____longjmp_chk",
            "exit",
            "_exit",
            "_Exit",
            "quick_exit",
            "abort",
            "pthread_exit",
            "thrd_exit",
            "__pthread_exit",
            "__assert_fail",
            "__assert_perror_fail",
            "__assert",
            "__stack_chk_fail",
            "__fortify_fail",
            "__chk_fail",
            "_ZSt9terminatev",
            "__cxa_pure_virtual",
        ],
    ),
    (CALLER, &["dlsym", "dlvsym", "dlopen", "dlmopen", "___dlsym", "___dlvsym", "___dlopen", "___dlmopen"]),
    (CALLER, &["__dlsym", "__dlvsym", "__dlopen", "__dlmopen", "mcount", "_mcount", "__fentry__"]),
    (
        UNWINDS,
        &[
            "_Unwind_RaiseException",
            "_Unwind_ForcedUnwind",
            "_Unwind_Resume",
            "_Unwind_Resume_or_Rethrow",
            "_Unwind_Backtrace",
            "_Unwind_SjLj_RaiseException",
            "_Unwind_SjLj_Resume",
            "backtrace",
            "__backtrace",
            "___backtrace",
            "__pthread_unwind",
            "__pthread_unwind_next",
            "unwind_stop",
            "__libc_unwind_link_get",
        ],
    ),
    (
        THROWS,
        &[
            "__cxa_throw",
            "__cxa_rethrow",
            "__cxa_call_unexpected",
            "__cxa_throw_bad_array_new_length",
            "_ZSt17rethrow_exceptionNSt15__exception_ptr13exception_ptrE",
            "__cxa_bad_cast",
            "__cxa_bad_typeid",
            "rust_panic",
            "__rust_start_panic",
            "rust_begin_unwind",
            "_d_throw",
            "_d_throwdwarf",
        ],
    ),
];

const JUMPED_TO: &[&str] = &[
    "_start",
    "__start",
    "_dl_start_user",
    "__restore_rt",
    "__libc_restore_rt",
    "__kernel_rt_sigreturn",
    "__morestack",
];
/// Of each kind of processor, or of linker, there is one.
const BEGINNINGS_OF_JUMPED_TO: [&str; 3] = ["_dl_runtime_resolve", "_dl_runtime_profile", "_dl_tlsdesc"];
/// What programs call to go to another stack: of the C library, and of Boost.
const SWITCHING: [&str; 5] = ["makecontext", "swapcontext", "jump_fcontext", "ontop_fcontext", "make_fcontext"];
/// Functions of Rust's own, as the source calls them.
const PANICS: [&str; 8] = [
    "std::panicking::begin_panic",
    "std::panicking::begin_panic_handler",
    "std::panicking::rust_panic",
    "std::panicking::rust_panic_with_hook",
    "std::panicking::rust_panic_without_hook",
    "std::panicking::resume_unwind",
    "std::panic::resume_unwind",
    "std::panicking::panic_with_hook",
];

impl Binary {
    /// Whether it was made from Go, which has a calling convention, and stacks, of its own.
    pub fn is_go(&self) -> bool {
        [".go.buildinfo", ".note.go.buildid", ".gopclntab"].iter().any(|name| self.elf.section(name).is_some())
    }

    /// Whether it goes from one stack to another within a thread, as far as its symbols show that: the kernel keeps the
    /// returns that are watched in the order of one stack (kernel/events/uprobes.c: cleanup_return_instances).
    pub fn switches_stacks(&self) -> bool {
        let is_libc = self.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libc."));
        !is_libc && self.symbols().mentions(&SWITCHING)
    }

    /// Whether a function can be watched where it returns. `never_returns`: its debug information says so.
    pub fn returns_of(&self, function: &Function, never_returns: bool) -> Returns {
        if is_fragment(function.name.as_bytes()) {
            return Returns::Within;
        }
        if self.elf.entry > 0 && function.address == self.elf.entry {
            return Returns::Jumped(BEGINS);
        }
        if self.is_go() {
            return Returns::Left(GO);
        }
        let called = function.called();
        if PANICS.contains(&called) || called.starts_with("core::panicking::panic") {
            return Returns::Left(THROWS);
        }
        let all = std::iter::once(&function.name).chain(&function.aliases);
        let named = all.map(|name| name.split('@').next().unwrap_or(name)).find_map(by_name);
        named.or(never_returns.then_some(Returns::Left(NEVER))).unwrap_or(Returns::Watched)
    }
}

fn by_name(name: &str) -> Option<Returns> {
    let known = KNOWN.iter().find(|(_, names)| names.contains(&name)).map(|(why, _)| Returns::Left(why));
    let is_jumped_to =
        || JUMPED_TO.contains(&name) || BEGINNINGS_OF_JUMPED_TO.iter().any(|begin| name.starts_with(begin));
    known.or_else(|| is_jumped_to().then_some(Returns::Jumped(JUMPED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_break_where_their_return_is_watched_are_known_by_name() {
        for name in ["_setjmp", "getcontext", "dlsym", "_Unwind_RaiseException", "__cxa_throw", "longjmp", "exit"] {
            assert!(matches!(by_name(name), Some(Returns::Left(_))), "{name}");
        }
        for name in ["_dl_runtime_resolve_xsavec", "_dl_tlsdesc_return", "_start", "__restore_rt"] {
            assert!(matches!(by_name(name), Some(Returns::Jumped(_))), "{name}");
        }
        for name in ["main", "malloc", "_start_all", "exit_mmap", "dlclose"] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }
}
