//! The functions that the calls of a stack are in.

use std::collections::HashMap;
use std::mem::take;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::frames::{Found, Frames};
use crate::event::stack::{BUILD_ID, addresses};
use crate::event::{Call, Event, Place, UserStack, Value};

/// The most calls that are remembered.
const MOST: usize = 1 << 16;
/// How long memory is believed to have the same code where a program may put other code.
const FRESH: Duration = Duration::from_secs(1);

/// Where a call is, and in which program, if that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Key {
    /// An address in the kernel.
    Kernel { at: u64, returns: bool },
    /// A place in a file.
    File { id: [u8; BUILD_ID], at: u64, returns: bool },
    /// An address in a program that a process ran.
    Process { pid: u32, image: u64, at: u64, returns: bool },
}

/// The functions of calls, each looked up once; again after a while those in memory that is no file's, where a program may
/// have compiled other functions, or not said yet what they are.
///
/// What an address in a file of a process meant is kept as long as the process runs the same program, though it may have
/// mapped another file there meanwhile.
#[derive(Debug, Default)]
pub struct Stacks {
    /// None: what is not known is not looked up, as in a replay.
    frames: Option<Frames>,
    known: HashMap<Key, Known>,
    /// Those that were looked up since they were last taken.
    fresh: Vec<(Key, Arc<[Call]>)>,
    /// Functions that are known by their names alone.
    own: HashMap<Box<str>, Arc<[Call]>>,
    /// Of the current event.
    kernel: Shown,
    user: Shown,
}

#[derive(Debug)]
struct Known {
    calls: Arc<[Call]>,
    /// When it is looked up again; None: never.
    until: Option<Instant>,
}

/// The calls of a stack that are shown, and whether there are more.
#[derive(Debug, Default)]
struct Shown {
    calls: Vec<Arc<[Call]>>,
    cut: bool,
}

impl Shown {
    /// Leaves out what is not shown.
    fn limit(&mut self, most: usize) {
        self.cut = self.calls.len() > most;
        self.calls.truncate(most);
    }
}

/// A call that was looked up, for a recording.
#[derive(Serialize, Deserialize)]
struct Recorded<C> {
    key: Key,
    calls: C,
}

impl Stacks {
    /// Of the host whose `/` is there.
    #[must_use]
    pub fn of_host(root: &Path) -> Self {
        Stacks { frames: Some(Frames::new(root)), ..Stacks::default() }
    }

    /// Looks up the calls of an event.
    pub fn look_up(&mut self, event: &Event<'_>) {
        let Some(taken) = &event.taken else { return };
        if let Some(kernel) = taken.kernel {
            self.look_up_kernel(kernel, taken.most, taken.own);
        }
        if let Some(user) = &taken.user {
            self.look_up_user(event.head.pid, taken.most, user);
        }
    }

    /// Adds what was found to that event.
    pub fn add<'e>(&'e self, event: &mut Event<'e>) {
        if event.taken.is_none() {
            return;
        }
        for (_, value) in &mut event.fields {
            let Value::Stack(stack) = value else { continue };
            let shown = if stack.of_kernel { &self.kernel } else { &self.user };
            (stack.known, stack.cut) = (&shown.calls, shown.cut);
        }
    }

    /// The calls that were looked up since then, as a recording has them.
    pub fn take_fresh(&mut self) -> impl Iterator<Item = String> + use<> {
        take(&mut self.fresh)
            .into_iter()
            .filter_map(|(key, calls)| serde_json::to_string(&Recorded { key, calls: &*calls }).ok())
    }

    /// Takes what a recording has.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn take_recorded(&mut self, bytes: &[u8]) -> Result<()> {
        let Recorded { key, calls } = serde_json::from_slice::<Recorded<Vec<Call>>>(bytes).context("a call's names")?;
        self.remember(key, calls.into(), true);
        Ok(())
    }

    fn look_up_kernel(&mut self, kernel: &[u8], most: usize, own: Option<&str>) {
        let mut all = take(&mut self.kernel);
        all.calls.clear();
        for at in addresses(kernel) {
            let key = Key::Kernel { at, returns: !all.calls.is_empty() };
            let calls = self.calls(key, |frames| Found::lasting(frames.kernel(at, key.returns())));
            // The program that took the stack, and what leads to it, are no calls of the kernel's.
            if !(all.calls.is_empty() && calls.iter().all(is_of_tracing)) {
                all.calls.push(calls);
            }
        }
        let is_own = |own: &&str| all.calls.first().is_some_and(|calls| calls.iter().any(|call| is_it(call, own)));
        if let Some(own) = own.filter(|own| !is_own(own)) {
            all.calls.insert(0, self.own(own));
        }
        all.limit(most);
        self.kernel = all;
    }

    fn own(&mut self, name: &str) -> Arc<[Call]> {
        if let Some(known) = self.own.get(name) {
            return Arc::clone(known);
        }
        let calls: Arc<[Call]> = [Call { function: Some(name.into()), ..Call::default() }].into();
        self.own.insert(name.into(), Arc::clone(&calls));
        calls
    }

    fn look_up_user(&mut self, pid: u32, most: usize, user: &UserStack<'_>) {
        let mut all = take(&mut self.user);
        all.calls.clear();
        let is_there = user.places().nth(1).is_some_and(|second| is_same(second, user.caller));
        let caller = (user.caller != 0 && !is_there).then_some(Place::Address(user.caller));
        let innermost = user.places().take(1);
        for place in innermost.chain(caller).chain(user.places().skip(1)) {
            let calls = self.user_calls(pid, place, !all.calls.is_empty(), user);
            all.calls.push(calls);
        }
        all.limit(most);
        self.user = all;
    }

    fn user_calls(&mut self, pid: u32, place: Place, returns: bool, user: &UserStack<'_>) -> Arc<[Call]> {
        match place {
            Place::File { id, offset } => {
                let key = Key::File { id, at: offset, returns };
                self.calls(key, |frames| Found::lasting(frames.in_file(&id, offset, returns, pid, user)))
            }
            Place::Address(at) => {
                let key = Key::Process { pid, image: user.image, at, returns };
                self.calls(key, |frames| frames.in_process(at, returns, pid, user))
            }
        }
    }

    /// What is known of a call; it is looked up where it was not before.
    fn calls(&mut self, key: Key, look: impl FnOnce(&mut Frames) -> Found) -> Arc<[Call]> {
        let known = self.known.get(&key);
        if let Some(known) = known.filter(|known| known.until.is_none_or(|until| Instant::now() < until)) {
            return Arc::clone(&known.calls);
        }
        let before = known.map(|known| Arc::clone(&known.calls));
        let found = match &mut self.frames {
            Some(frames) => look(frames),
            None => Found::lasting(vec![key.unknown()]),
        };
        // The process may have ended meanwhile: what was known of it is better than nothing.
        let same = before.filter(|before| **before == *found.calls || (is_named(before) && !is_named(&found.calls)));
        let is_new = same.is_none();
        let calls = same.unwrap_or_else(|| found.calls.into());
        if is_new && self.frames.is_some() {
            self.fresh.push((key, Arc::clone(&calls)));
        }
        self.remember(key, Arc::clone(&calls), found.lasts);
        calls
    }

    fn remember(&mut self, key: Key, calls: Arc<[Call]>, lasts: bool) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let until = (!lasts).then(|| Instant::now() + FRESH);
        self.known.insert(key, Known { calls, until });
    }
}

impl Key {
    /// Whether it is where a call returns to, which is behind it: else it is where the program is.
    fn returns(&self) -> bool {
        match self {
            Key::Kernel { returns, .. } | Key::File { returns, .. } | Key::Process { returns, .. } => *returns,
        }
    }

    fn unknown(&self) -> Call {
        match self {
            Key::Kernel { at, .. } | Key::Process { at, .. } => Call { address: Some(*at), ..Call::default() },
            Key::File { id, at, .. } => Call::in_unknown_file(id, *at),
        }
    }
}

fn is_named(calls: &[Call]) -> bool {
    calls.iter().any(|call| call.function.is_some())
}

/// Whether an address may be the same place: it is the same within a page, of which files are mapped as a whole.
fn is_same(place: Place, address: u64) -> bool {
    const PAGE: u64 = 4096;
    match place {
        Place::Address(other) => other == address,
        Place::File { offset, .. } => offset % PAGE == address % PAGE,
    }
}

/// Whether a call is in the function of that name: `NAME`, `MODULE:NAME`, or a system call's.
fn is_it(call: &Call, own: &str) -> bool {
    let own = own.rsplit_once(':').map_or(own, |(_, name)| name);
    let is = |name: &str| name == own || name.strip_suffix(own).is_some_and(|front| front.ends_with("_sys_"));
    call.function.as_deref().is_some_and(is)
}

/// What the kernel runs between the function or tracepoint and the program that takes the stack.
fn is_of_tracing(call: &Call) -> bool {
    const BEGINNINGS: [&str; 11] = [
        "bpf_prog_",
        "bpf_trampoline_",
        "bpf_get_stack",
        "bpf_trace_run",
        "__bpf_trace_",
        "__bpf_prog_",
        "__traceiter_",
        "trace_call_bpf",
        "perf_trace_",
        "perf_call_bpf",
        "perf_syscall_",
    ];
    call.function.as_deref().is_some_and(|name| BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::about;
    use crate::event::stack::USER_FRAME;
    use crate::event::{Head, Kind, Path as Exe, Stack, Taken};

    static KIND: Kind = Kind::new(1, "call", "A sample.", &[]);

    /// Where this process's code is, and when it began: what an event of it would have.
    fn own(frames: &[u8]) -> UserStack<'_> {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        let image = number(19) * crate::host::procfs::tick();
        UserStack { image, caller: 0, caller_in: None, code: (number(23), number(24)), inode: 0, exe: None, frames }
    }

    fn frame(id: Option<[u8; BUILD_ID]>, at: u64) -> [u8; USER_FRAME] {
        let mut frame = [0; USER_FRAME];
        frame[..4].copy_from_slice(&if id.is_some() { 1_i32 } else { 2 }.to_ne_bytes());
        frame[4..24].copy_from_slice(&id.unwrap_or_default());
        frame[24..].copy_from_slice(&at.to_ne_bytes());
        frame
    }

    /// The calls of an event of this process with that stack.
    fn calls(stacks: &mut Stacks, user: UserStack<'_>) -> Vec<Call> {
        let mut event = Event::new(&KIND, Head { pid: std::process::id(), ..Head::default() });
        event.taken = Some(Taken { user: Some(user), most: 8, ..Taken::default() });
        event.push("user_stack", Value::Stack(Stack::taken(false)));
        stacks.look_up(&event);
        stacks.add(&mut event);
        let Some(Value::Stack(stack)) = event.get("user_stack") else { panic!("it has one") };
        stack.calls().cloned().collect()
    }

    #[inline(never)]
    extern "C" fn known_by_name(n: u64) -> u64 {
        std::hint::black_box(n) * 3
    }

    fn address() -> u64 {
        (known_by_name as extern "C" fn(u64) -> u64 as usize) as u64
    }

    #[test]
    fn an_address_is_in_a_function_of_what_the_process_has_mapped() {
        let frames = [frame(None, address()), frame(None, address() + 2), frame(None, 4097)].concat();
        let found = calls(&mut Stacks::of_host(Path::new("/")), own(&frames));
        let function = |n: usize| found[n].function.as_deref().unwrap_or_default();
        assert!(function(0).contains("known_by_name") && found[0].offset == 0, "{found:#?}");
        // The last one, but for what is inlined.
        assert_eq!(found.last().unwrap(), &Call { address: Some(4097), ..Call::default() });
        assert!(
            found
                .iter()
                .any(|call| call.function.as_deref().is_some_and(|name| name.contains("known")) && call.offset == 2)
        );
    }

    /// Removes the file at the end of a test.
    struct Removed(std::path::PathBuf);

    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn code_that_a_program_makes_anew_is_looked_up_again() {
        // Code in memory that is no file's: what the kernel itself puts into each process.
        let all = crate::binary::find::mappings(std::process::id(), Path::new("/proc")).unwrap();
        let at = all.iter().find(|mapping| mapping.path == Path::new("[vdso]")).unwrap().start;
        let frames = frame(None, at);
        let map = Removed(format!("/tmp/perf-{}.map", std::process::id()).into());
        let mut stacks = Stacks::of_host(Path::new("/"));
        let mut name = |line: Option<&str>| {
            if let Some(name) = line {
                std::fs::write(&map.0, format!("{at:x} 40 {name}\n")).unwrap();
            } else {
                let _ = std::fs::remove_file(&map.0);
            }
            let before = calls(&mut stacks, own(&frames))[0].function.clone();
            stacks.known.values_mut().for_each(|known| known.until = known.until.map(|_| Instant::now()));
            stacks.frames.as_mut().unwrap().doubt();
            let after = calls(&mut stacks, own(&frames))[0].function.clone();
            (before.as_deref().map(str::to_owned), after.as_deref().map(str::to_owned), stacks.take_fresh().count())
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(name(None), (None, None, 1));
        assert_eq!(name(Some("first")), (None, some("first"), 1), "a recording has it, too");
        assert_eq!(name(Some("second one")), (some("first"), some("second one"), 1));
        assert_eq!(
            name(None),
            (some("second one"), some("second one"), 0),
            "it has ended, or does not say it any more"
        );
    }

    #[test]
    fn an_address_of_another_program_is_not_looked_up_in_this_one() {
        let frames = frame(None, address());
        for other in [UserStack { code: (1, 2), ..own(&frames) }, UserStack { image: 5, ..own(&frames) }] {
            let found = calls(&mut Stacks::of_host(Path::new("/")), other);
            assert_eq!(found, [Call { address: Some(address()), ..Call::default() }]);
        }
    }

    #[test]
    fn a_file_is_found_by_its_build_id() {
        let Some(own_id) = about(Path::new("/proc/self/exe")).unwrap().build_id else { return };
        let id: [u8; BUILD_ID] = own_id.try_into().unwrap();
        let maps = crate::binary::find::mappings(std::process::id(), Path::new("/proc")).unwrap();
        let mapping = maps.iter().find(|one| one.start <= address() && address() < one.end).unwrap();
        let frames = frame(Some(id), address() - mapping.start + mapping.offset);
        let mut live = Stacks::of_host(Path::new("/"));
        let found = calls(&mut live, own(&frames));
        assert!(found[0].function.as_deref().is_some_and(|name| name.contains("known_by_name")), "{found:#?}");

        // What a recording has is enough.
        let mut replayed = Stacks::default();
        live.take_fresh().for_each(|one| replayed.take_recorded(one.as_bytes()).unwrap());
        assert_eq!(calls(&mut replayed, own(&frames)), found);
        assert!(replayed.take_recorded(b"{}").is_err());
    }

    #[test]
    fn a_file_that_is_nowhere_is_known_by_its_build_id() {
        let frames = frame(Some([0xab; BUILD_ID]), 0x1234);
        for mut stacks in [Stacks::of_host(Path::new("/")), Stacks::default()] {
            let found = calls(&mut stacks, own(&frames));
            assert_eq!(found, [Call::in_unknown_file(&[0xab; BUILD_ID], 0x1234)]);
            assert_eq!(found[0].build_id.as_deref(), Some("ab".repeat(20).as_str()));
        }
    }

    #[test]
    fn the_caller_comes_behind_the_function_unless_it_is_there() {
        let frames = [frame(None, 0x5000), frame(None, 0x6010)].concat();
        let places = |caller: u64, frames: &[u8]| {
            let user = UserStack { caller, ..own(frames) };
            calls(&mut Stacks::default(), user).iter().map(|call| call.address.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(places(0x7010, &frames), [0x5000, 0x7010, 0x6010]);
        assert_eq!(places(0x6010, &frames), [0x5000, 0x6010]);
        assert_eq!(places(0, &frames), [0x5000, 0x6010]);
        assert_eq!(places(0x7010, &frames[..USER_FRAME]), [0x5000, 0x7010]);
    }

    #[test]
    fn what_takes_the_stack_is_not_in_it() {
        let mut stacks = Stacks::default();
        let names = [(1, "bpf_prog_1f_probe_typed"), (2, "bpf_trace_run1"), (3, "do_exit"), (4, "bpf_prog_run")];
        for (at, name) in names {
            let call = Call { address: Some(at), function: Some(name.into()), ..Call::default() };
            for returns in [false, true] {
                stacks.remember(Key::Kernel { at, returns }, [call.clone()].into(), true);
            }
        }
        let kernel = [1_u64, 2, 3, 4].map(u64::to_ne_bytes).concat();
        stacks.look_up_kernel(&kernel, 8, None);
        let shown: Vec<_> = stacks.kernel.calls.iter().map(|calls| calls[0].function.as_deref().unwrap()).collect();
        assert_eq!(shown, ["do_exit", "bpf_prog_run"]);

        let mut with = |own| {
            stacks.look_up_kernel(&kernel, 2, Some(own));
            stacks.kernel.calls.iter().map(|calls| calls[0].function.as_deref().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            with("vfs_unlink"),
            ["vfs_unlink", "do_exit"],
            "what was about to run is added, and no more are shown"
        );
        assert_eq!(with("do_exit"), ["do_exit", "bpf_prog_run"]);
    }

    #[test]
    fn the_file_of_a_process_that_has_ended_is_its_own() {
        let exe = std::env::current_exe().unwrap();
        let names: Vec<u8> = exe
            .iter()
            .skip(1)
            .collect::<Vec<_>>()
            .iter()
            .rev()
            .flat_map(|name| [name.as_encoded_bytes(), b"\0"].concat())
            .collect();
        let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&exe).unwrap());
        let frames = frame(None, address());
        // Of another process: one that is not there.
        let user = UserStack { exe: Some(Exe::walked(&names, 0)), inode, image: 7, ..own(&frames) };
        let look = |user| calls(&mut Stacks::of_host(Path::new("/")), user);
        let found = look(user);
        assert!(found[0].function.as_deref().is_some_and(|name| name.contains("known_by_name")), "{found:#?}");
        // The caller, of which the kernel said in which file it is: of a program that has other code at that place.
        let mapping = crate::binary::find::mappings(std::process::id(), Path::new("/proc")).unwrap();
        let mapping = mapping.into_iter().find(|one| one.start <= address() && address() < one.end).unwrap();
        let caller_in = Some((inode, address() + 1 - mapping.start + mapping.offset));
        let called = look(UserStack { caller: 77, caller_in, code: (0, 0), frames: &[], ..user });
        assert!(called[0].function.as_deref().is_some_and(|name| name.contains("known_by_name")), "{called:#?}");
        let replaced = look(UserStack { inode: inode + 1, ..user });
        assert_eq!(replaced, [Call { address: Some(address()), ..Call::default() }], "another file is there now");
    }
}
