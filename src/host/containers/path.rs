//! What the path of a cgroup says: in which containers and units its processes are.
//!
//! Paths are made by runtimes, with systemd (`docker-ID.scope`) or without (`/docker/ID`), and by anybody who may make
//! cgroups: they may hold anything.

/// What a path says of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Its id.
    pub id: String,
    /// Its name, where that is in the path.
    pub name: Option<String>,
    /// What runs it, where that is in the path.
    pub runtime: Option<&'static str>,
    /// The id of its pod.
    pub pod: Option<String>,
    /// Whose it is, where it was started without root's rights.
    pub user: Option<u32>,
    /// Where its own cgroup's path ends in the whole one.
    pub end: usize,
}

/// How long ids are: of docker, podman, CRI-O and containerd.
const DIGITS: usize = 64;
/// How many of them are shown in place of a name, as docker and podman do.
pub(super) const SHORT: usize = 12;
/// A path with more names than that is not searched further. (Docker in docker has six or so.)
const DEEP: usize = 64;

/// The segments of a path, and where each of them ends.
fn segments(path: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut end = 0;
    let all = path.split(|b| *b == b'/').map(move |segment| {
        end += segment.len() + 1;
        (segment, end - 1)
    });
    all.filter(|(segment, _)| !segment.is_empty()).take(DEEP)
}

/// The containers that a path leads through, the outermost first.
#[must_use]
pub fn containers(path: &[u8]) -> Vec<Said> {
    let mut found: Vec<Said> = Vec::new();
    let (mut parent, mut pod, mut user): (&str, Option<String>, Option<u32>) = ("", None, None);
    for (segment, end) in segments(path) {
        let Ok(segment) = std::str::from_utf8(segment) else {
            parent = "";
            continue;
        };
        // In one container, processes of another one may have a pod or a user of their own.
        user = user_of(segment).or(user);
        pod = pod_of(segment, parent).or(pod);
        if let Some(said) = container(segment, parent) {
            found.push(Said { pod: pod.take().or(said.pod), user: user.take(), end, ..said });
        }
        parent = segment;
    }
    found
}

/// Systemd's units (not slices) that a path leads through, the outermost first.
pub fn units(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    const KINDS: [&[u8]; 5] = [b".service", b".scope", b".socket", b".mount", b".swap"];
    let is_unit = |name: &&[u8]| KINDS.iter().any(|kind| name.len() > kind.len() && name.ends_with(kind));
    // What would be taken for a file of the kernel's has a `_` in front (cg_escape() in systemd's cgroup-util.c).
    path.split(|b| *b == b'/').map(|name| name.strip_prefix(b"_").unwrap_or(name)).filter(is_unit)
}

/// Whether that is an id of 64 digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == DIGITS && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The container whose cgroup is called so, below one that is called `parent`.
fn container(segment: &str, parent: &str) -> Option<Said> {
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    // `kubepods-podUID.slice:cri-containerd:ID`: systemd's form in the hands of who does without systemd.
    let (front, last) = name.rsplit_once(':').map_or(("", name), |(front, last)| (front, last));
    if let Some(at) = last.len().checked_sub(DIGITS)
        && let (Some(before), Some(id)) = (last.get(..at), last.get(at..))
        && is_hex(id)
        && (before.is_empty() || before.ends_with('-'))
    {
        let prefix = match before.strip_suffix('-') {
            Some(prefix) => prefix,
            None => front.rsplit(':').next().unwrap_or_default(),
        };
        return numbered(id, prefix, parent);
    }
    named(segment, name, parent)
}

/// A container that is known by its number.
fn numbered(id: &str, prefix: &str, parent: &str) -> Option<Said> {
    let runtime = match (prefix, parent) {
        // What watches over a container is outside of it.
        _ if prefix.ends_with("conmon") => return None,
        // A pod.
        ("", "libpod_parent") => return None,
        ("docker", _) | ("", "docker") => Some("docker"),
        ("libpod", _) => Some("podman"),
        ("crio", _) => Some("cri-o"),
        ("cri-containerd" | "nerdctl", _) => Some("containerd"),
        ("crun", _) => Some("crun"),
        ("runc", _) => Some("runc"),
        _ => None,
    };
    Some(Said { id: id.into(), runtime, ..Said::default() })
}

/// A container that is known by its name alone.
fn named(segment: &str, scope: &str, parent: &str) -> Option<Said> {
    let is_scope = scope.len() < segment.len();
    let nspawn = |segment: &str| Some(segment.strip_suffix(".service")?.strip_prefix("systemd-nspawn@")?.to_owned());
    let (name, runtime) = if let Some(name) = segment.strip_prefix("lxc.payload.") {
        (name.to_owned(), "lxc")
    } else if matches!(parent, "lxc" | "lxc.payload") {
        (segment.to_owned(), "lxc")
    } else if let Some(name) = nspawn(segment) {
        (unescape(&name), "systemd-nspawn")
    } else if let Some(name) = scope.strip_prefix("machine-").filter(|_| is_scope && parent == "machine.slice") {
        let name = unescape(name);
        // Virtual machines, and containers, of libvirt.
        match name.split_once('-') {
            Some(("qemu", _)) => return None,
            Some(("lxc", name)) => (name.split_once('-').map_or(name, |(_, name)| name).to_owned(), "lxc"),
            _ => (name, "systemd-nspawn"),
        }
    } else {
        let of = |prefix| scope.strip_prefix(prefix).filter(|_| is_scope);
        match (of("crun-"), of("runc-")) {
            (Some(name), _) => (name.to_owned(), "crun"),
            (_, Some(name)) => (name.to_owned(), "runc"),
            (None, None) => return None,
        }
    };
    let said = Said { id: name.clone(), name: Some(name), runtime: Some(runtime), ..Said::default() };
    (!said.id.is_empty()).then_some(said)
}

/// `\x2d` stands for `-` in names of units (systemd.unit(5)).
fn unescape(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.strip_prefix(b"x").filter(|_| *first == b'\\').and_then(|digits| digits.get(..2));
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// `user@1000.service`: what a user's own systemd started is below it.
fn user_of(segment: &str) -> Option<u32> {
    segment.strip_suffix(".service")?.strip_prefix("user@")?.parse().ok()
}

/// The id of a pod whose cgroup is called so: `podUID` or `kubepods-burstable-podUID.slice` (with `_` for `-`) of
/// Kubernetes, `machine-libpod_pod_ID.slice` or `libpod_parent/ID` of podman.
fn pod_of(segment: &str, parent: &str) -> Option<String> {
    let slice = segment.strip_suffix(".slice").or_else(|| segment.split_once(".slice:").map(|(slice, _)| slice));
    let of_podman = match slice.and_then(|slice| slice.rsplit_once("libpod_pod_")) {
        Some((_, id)) => Some(id),
        None => Some(segment).filter(|_| parent == "libpod_parent"),
    };
    if let Some(id) = of_podman.filter(|id| is_id(id)) {
        return id.get(..SHORT).map(str::to_owned);
    }
    let uid = match slice {
        Some(slice) => slice.contains("kubepods").then(|| slice.rsplit_once("-pod"))??.1.replace('_', "-"),
        None => segment.strip_prefix("pod")?.to_owned(),
    };
    // A UUID; of static pods, 32 digits.
    let is_uid = matches!(uid.len(), 32 | 36) && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_uid.then_some(uid)
}
