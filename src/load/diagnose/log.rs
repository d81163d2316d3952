//! Reads what libbpf and the kernel's verifier say when something fails (libbpf 1.7, kernels 5.10 to 7.2).

/// libbpf's log, in lines without its name in front.
pub(super) struct Log<'a>(Vec<&'a str>);

/// A helper that the verifier refuses: its name where the kernel knows it, and its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Helper<'a> {
    /// `unknown` where the kernel is older than the helper.
    pub(super) name: &'a str,
    pub(super) id: u32,
}

/// What `kernel/bpf/verifier.c` (`check_helper_call`) writes before `NAME#NUMBER`: for a number that the kernel does
/// not know, and for a helper that the kind of program may not call (before and since 6.12).
const HELPER_REFUSED: [&str; 3] = ["invalid func ", "unknown func ", "program of this type cannot use helper "];

/// libbpf puts this number in place of what it could not resolve (`bpf_core_poison_insn()` in its relo_core.c).
pub(super) const POISON: u32 = 195_896_080;

/// Lines at the end of a verifier's log that are not the reason.
const STATISTICS: [&str; 5] =
    ["processed ", "verification time ", "stack depth ", "peak_states ", "-- END PROG LOAD LOG"];

/// Lines of the verifier's trace between possible reasons.
const WALK: [&str; 8] = ["; ", "from ", "last_idx ", "parent ", "regs=", "mark_precise", "propagating ", "arg#"];

impl<'a> Log<'a> {
    /// Messages as libbpf emits them: some have many lines.
    pub(super) fn new(messages: &'a [String]) -> Self {
        let lines = messages.iter().flat_map(|message| message.lines());
        Self(lines.map(|line| line.strip_prefix("libbpf: ").unwrap_or(line).trim_end()).collect())
    }

    /// Whether some line contains this text.
    pub(super) fn has(&self, text: &str) -> bool {
        self.0.iter().any(|line| line.contains(text))
    }

    /// What follows this text in the last line that contains it.
    pub(super) fn after(&self, text: &str) -> Option<&'a str> {
        self.0.iter().rev().find_map(|line| line.split_once(text).map(|(_, rest)| rest))
    }

    /// The last line that contains all of these texts.
    pub(super) fn line(&self, texts: &[&str]) -> Option<&'a str> {
        self.0.iter().rev().copied().find(|line| texts.iter().all(|text| line.contains(text)))
    }

    /// The last helper that was refused.
    pub(super) fn helper(&self) -> Option<Helper<'a>> {
        self.0.iter().rev().find_map(|line| {
            let rest = HELPER_REFUSED.iter().find_map(|text| line.strip_prefix(text))?;
            let (name, id) = rest.split_once('#')?;
            Some(Helper { name, id: id.trim().parse().ok()? })
        })
    }

    /// The field, type or enumerator that is not in the kernel's type information, as `struct cred.egid`.
    pub(super) fn unresolved(&self) -> Option<&'a str> {
        if let Some(spec) = self.after("failed to resolve CO-RE relocation ") {
            return spec_name(spec);
        }
        // If libbpf did not rewrite the log itself: `no matching targets` alone is no failure, as a program may ask
        // whether a field exists.
        if self.helper()?.id != POISON {
            return None;
        }
        let (relo, _) = self.line(&["relo #", ": no matching targets found"])?.rsplit_once(": ")?;
        spec_name(self.0.iter().find_map(|line| line.strip_prefix(relo)?.strip_prefix(": "))?)
    }

    /// How many instructions the verifier looked at before it gave up for that reason.
    pub(super) fn too_complex(&self) -> Option<&'a str> {
        let counted = |line: &&str| {
            let mut words = line.strip_prefix("processed ")?.split_whitespace();
            let count: u64 = words.next()?.parse().ok()?;
            let limit: u64 = words.nth(2)?.strip_suffix(')')?.parse().ok()?;
            Some(count > limit)
        };
        let gave_up = |line: &&&str| line.contains("BPF program is too large") || line.contains("jumps is too complex");
        let over = |line: &&&str| counted(line) == Some(true);
        self.0.iter().rev().find(gave_up).or_else(|| self.0.iter().rev().find(over)).copied()
    }

    /// The last program that the verifier refused, and its reason.
    pub(super) fn verifier(&self) -> Option<(&'a str, &'a str)> {
        let begin = self.0.iter().rposition(|line| line.contains("-- BEGIN PROG LOAD LOG --"))?;
        let program = quoted(self.0[begin]).unwrap_or("?");
        let block = &self.0[begin + 1..];
        let end = block.iter().position(|line| line.contains("-- END PROG LOAD LOG --")).unwrap_or(block.len());
        let reason = block[..end].iter().rev().find(|line| is_reason(line)).copied();
        reason.map(|line| (program, line.trim()))
    }
}

/// Whether a verifier's line is neither an instruction, nor a state of registers, nor a count.
fn is_reason(line: &str) -> bool {
    let text = line.trim();
    let instruction = text.split_once(": ").is_some_and(|(n, rest)| n.parse::<u32>().is_ok() && rest.starts_with('('));
    let state = text.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(": ");
    let registers = ["R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "frame", "fp-"]
        .iter()
        .filter_map(|name| state.strip_prefix(name))
        .any(|rest| rest.starts_with(['=', '_']) || rest.starts_with("0="));
    let other = STATISTICS.iter().chain(&WALK).any(|start| text.starts_with(start));
    !text.is_empty() && !instruction && !registers && !other
}

/// The first text between single quotes.
pub(super) fn quoted(line: &str) -> Option<&str> {
    line.split('\'').nth(1)
}

/// `<byte_off> [421] struct cred.egid.val (0:6:0 @ offset 28)` → `struct cred.egid.val`; enumerators lose their value
/// (`bpf_core_format_spec()` in libbpf's relo_core.c).
fn spec_name(spec: &str) -> Option<&str> {
    let name = spec.strip_prefix('<')?.split_once("] ")?.1;
    let end = [" (", " = "].iter().filter_map(|end| name.find(end)).min().unwrap_or(name.len());
    Some(name[..end].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(block: &str) -> String {
        let log = [format!("libbpf: prog 'handle_exec': -- BEGIN PROG LOAD LOG --\n{block}-- END PROG LOAD LOG --\n")];
        let log = Log::new(&log);
        let (program, reason) = log.verifier().unwrap();
        assert_eq!(program, "handle_exec");
        reason.to_owned()
    }

    #[test]
    fn the_line_that_matters_is_found() {
        let old = "; int handle_exec(u64 *ctx)\n0: (bf) r6 = r1\n1: R1=ctx(id=0,off=0,imm=0) R10=fp0\n\
            1: (85) call bpf_d_path#147\nhelper call is not allowed in probe\n\
            processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
        assert_eq!(reason(old), "helper call is not allowed in probe");
        let new = "0: R1=ctx() R10=fp0\n; bpf_ringbuf_reserve(&rb, n, 0); @ proc.bpf.c:12\n7: (85) call bpf_ringbuf_reserve#131\n\
            R2 is not a known constant'\nR0=scalar() R10=fp0\nprocessed 8 insns (limit 1000000) max_states_per_insn 0\n\
            verification time 80 usec\nstack depth 0\n";
        assert_eq!(reason(new), "R2 is not a known constant'");
        let stack = "9: (85) call bpf_d_path#147\ninvalid indirect read from stack R2 off -64+0 size 64\n";
        assert_eq!(reason(stack), "invalid indirect read from stack R2 off -64+0 size 64");
        assert_eq!(reason("R2 unbounded size\n"), "R2 unbounded size");
        assert_eq!(reason("R10 min value is outside\n"), "R10 min value is outside");
        let unsupported = "The function do_execveat_common arg2 type STRUCT is unsupported.\nprocessed 0 insns\n";
        assert_eq!(reason(unsupported), "The function do_execveat_common arg2 type STRUCT is unsupported.");
    }

    #[test]
    fn only_the_last_program_counts() {
        let log =
            ["a", "b"].map(|p| format!("prog '{p}': -- BEGIN PROG LOAD LOG --\n{p} is wrong\n-- END PROG LOAD LOG --"));
        assert_eq!(Log::new(&log).verifier(), Some(("b", "b is wrong")));
    }

    #[test]
    fn helpers_are_read_in_all_spellings() {
        for (line, name, id) in [
            ("invalid func unknown#174", "unknown", 174),
            ("unknown func bpf_d_path#147", "bpf_d_path", 147),
            ("program of this type cannot use helper bpf_probe_read_kernel#113", "bpf_probe_read_kernel", 113),
        ] {
            assert_eq!(Log::new(&[line.to_owned()]).helper(), Some(Helper { name, id }));
        }
        assert_eq!(Log::new(&["1: (85) call unknown#174".into()]).helper(), None);
    }

    #[test]
    fn relocations_give_the_name() {
        for (spec, name) in [
            ("<byte_off> [421] struct cred.egid.val (0:6:0 @ offset 28)", "struct cred.egid.val"),
            ("<byte_off> [42] struct task_struct.stack[2] (0:1:2 @ offset 28.3)", "struct task_struct.stack[2]"),
            ("<enumval_value> [9] enum pid_type::PIDTYPE_MAX = 4", "enum pid_type::PIDTYPE_MAX"),
            ("<type_size> [7] struct trace_event_raw_sched_process_fork", "struct trace_event_raw_sched_process_fork"),
        ] {
            assert_eq!(spec_name(spec), Some(name));
        }
    }

    #[test]
    fn a_guarded_field_is_no_failure() {
        let mut log = vec![
            "libbpf: prog 'p': relo #3: <byte_off> [42] struct task_struct.loginuid (0:9 @ offset 8)\n".to_owned(),
            "libbpf: prog 'p': relo #3: no matching targets found\n".to_owned(),
        ];
        assert_eq!(Log::new(&log).unresolved(), None);
        log.push("invalid func unknown#195896080\n".into());
        assert_eq!(Log::new(&log).unresolved(), Some("struct task_struct.loginuid"));
    }

    #[test]
    fn complexity_is_seen_in_words_or_in_numbers() {
        for line in [
            "BPF program is too large. Processed 1000001 insn",
            "The sequence of 8193 jumps is too complex.",
            "processed 1000001 insns (limit 1000000) max_states_per_insn 9",
        ] {
            assert_eq!(Log::new(&[line.to_owned()]).too_complex(), Some(line));
        }
        let fine = "processed 13245 insns (limit 1000000) max_states_per_insn 9".to_owned();
        assert_eq!(Log::new(&[fine]).too_complex(), None);
    }
}
