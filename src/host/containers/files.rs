//! What runtimes leave in files about a container: its name, its image, its pod.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::container::Container;
use super::path::{self, Said};
use crate::host::untrusted::Base;
use crate::host::users;

/// The longest file that is read: podman and CRI-O have all containers in one.
const FILE_MAX: u64 = 8 << 20;
/// The longest text of a file that is taken, in bytes.
const TEXT_MAX: usize = 1024;
/// How many entries of a directory are looked at: of containerd's namespaces and of drivers of storage, of logs.
const FEW: usize = 64;
const MANY: usize = 1 << 14;

/// Where dockerd keeps its containers: Debian's, a snap's.
const DOCKER: [&str; 2] = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
/// Where containerd keeps what runs: its own, k3s's and RKE2's, k0s's, MicroK8s's.
const CONTAINERD: [&str; 4] =
    ["run/containerd", "run/k3s/containerd", "run/k0s/containerd", "var/snap/microk8s/common/run/containerd"];
/// Where podman and CRI-O keep their containers, and what runs of them.
const STORAGE: [&str; 2] = ["var/lib/containers/storage", "run/containers/storage"];

/// The files of a host.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    /// Where cgroups are mounted, of both versions.
    mounts: Vec<PathBuf>,
}

/// From where the files of a container are looked for.
struct Root {
    /// The host's own: links are followed.
    host: Option<PathBuf>,
    base: Base,
}

impl Root {
    fn dir(&self, below: &str) -> Option<Base> {
        match &self.host {
            Some(root) => Base::of_host(&root.join(below)),
            None => self.base.below(below),
        }
    }
}

impl Files {
    /// Of the host whose `/` is at `root`, and whose cgroups (v2) are mounted there.
    #[must_use]
    pub fn new(root: &Path, mount: Option<&Path>) -> Self {
        let first = ["systemd", "pids", "memory"].map(|name| root.join("sys/fs/cgroup").join(name));
        Files { root: root.to_owned(), mounts: mount.map(Path::to_owned).into_iter().chain(first).collect() }
    }

    /// The containers that the path of a cgroup leads through, the outermost first, with all that is found about them.
    /// What is not found is left out: a container without a name may be looked for again.
    #[must_use]
    pub fn containers(&self, path: &[u8]) -> Vec<Container> {
        let said = path::containers(path);
        let host = Base::of_host(&self.root).map(|base| Root { host: Some(self.root.clone()), base });
        let mut outer: Option<&Said> = None;
        let mut found = Vec::new();
        for said in &said {
            let mut container = Container::from(said);
            // The files of a container in a container are in the outer one. (Who may make cgroups in there could give
            // them the number of another container of the host's.)
            match outer {
                None => host.iter().for_each(|host| self.look(host, said, &mut container)),
                Some(outer) => {
                    let root = path.get(..outer.end).and_then(|path| self.inside(path));
                    root.iter().for_each(|root| self.look(root, said, &mut container));
                }
            }
            container.name = container.name.take().map(shorten);
            found.push(container);
            outer = Some(said);
        }
        found
    }

    fn look(&self, root: &Root, said: &Said, container: &mut Container) {
        // What the path says is the name.
        if said.name.is_some() {
            return;
        }
        let id = said.id.as_str();
        // What a user started has its files in the user's home, and those of root's containers say nothing of it.
        let dirs = match said.user.filter(|_| root.host.is_some()) {
            Some(uid) => self.home(uid).map(|home| Dirs::of_user(root, &home, uid)),
            None => Some(Dirs::of_root(root)),
        };
        if let Some(dirs) = dirs {
            let found = docker(&dirs.docker, id).or_else(|| storage(&dirs.storage, id));
            let found = found.or_else(|| containerd(&dirs.containerd, id));
            found.into_iter().for_each(|found| container.fill(found));
        }
        if said.user.is_none() && (container.name.is_none() || (said.pod.is_some() && container.namespace.is_none())) {
            let of_log = log(root, id);
            // What the path says is the pod's id: a name is better.
            container.pod = of_log.as_ref().and_then(|log| log.pod.clone()).or(container.pod.take());
            of_log.into_iter().for_each(|found| container.fill(found));
        }
        container.pod = container.pod.take().or_else(|| said.pod.clone());
    }

    /// The home of a user, whose containers have their files there.
    fn home(&self, uid: u32) -> Option<Base> {
        let home = users::home(&self.root, uid)?;
        Base::of_host(&self.root.join(home.strip_prefix("/").ok()?))
    }

    /// The root directory of the processes in a container, whose cgroup's path is that.
    fn inside(&self, path: &[u8]) -> Option<Root> {
        let path = relative(path)?;
        let dirs = self.mounts.iter().filter_map(|mount| Base::of_host(mount)?.below(path));
        let pid = dirs.into_iter().find_map(|dir| some_process(&dir))?;
        let root = self.root.join(format!("proc/{pid}/root"));
        let id = |path: &Path| path.metadata().ok().map(|dir| (dir.dev(), dir.ino()));
        // A process without a root directory of its own has the host's.
        let own = id(&root)? != id(&self.root)?;
        Some(Root { host: None, base: Base::of_host(&root).filter(|_| own)? })
    }
}

/// Where runtimes keep their files.
struct Dirs {
    docker: Vec<Base>,
    storage: Vec<Base>,
    containerd: Vec<Base>,
}

impl Dirs {
    fn of_root(root: &Root) -> Self {
        let elsewhere = data_root(root).and_then(|dir| root.dir(&dir));
        Dirs {
            docker: DOCKER.iter().filter_map(|dir| root.dir(dir)).chain(elsewhere).collect(),
            storage: STORAGE.iter().filter_map(|dir| root.dir(dir)).collect(),
            containerd: CONTAINERD.iter().filter_map(|dir| root.dir(dir)).collect(),
        }
    }

    fn of_user(root: &Root, home: &Base, uid: u32) -> Self {
        let running = |what: &str| root.dir(&format!("run/user/{uid}/{what}"));
        Dirs {
            docker: home.below(".local/share/docker").into_iter().collect(),
            storage: home.below(".local/share/containers/storage").into_iter().chain(running("containers")).collect(),
            containerd: running("containerd").into_iter().collect(),
        }
    }
}

impl From<&Said> for Container {
    fn from(said: &Said) -> Self {
        let Said { id, name, runtime, .. } = said;
        let runtime = runtime.map(str::to_owned);
        Container { id: id.clone(), name: name.clone(), runtime, ..Container::default() }
    }
}

fn relative(path: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(Path::new(std::ffi::OsStr::from_bytes(path.strip_prefix(b"/")?)))
}

/// A process in a cgroup or below, which are looked at breadth-first: those of inner containers are deeper.
fn some_process(base: &Base) -> Option<u32> {
    let mut rest = std::collections::VecDeque::from([(base.below(".")?, 0)]);
    let mut looked = 0;
    while let Some((dir, depth)) = rest.pop_front() {
        let procs = dir.read("cgroup.procs", 1 << 20).unwrap_or_default();
        let first = procs.split(|b| *b == b'\n').next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
        // 0: it is in another PID namespace.
        if let Some(pid) = first.filter(|pid| *pid != 0) {
            return Some(pid);
        }
        looked += 1;
        if looked >= FEW || depth >= 4 {
            continue;
        }
        const INNER: [&str; 5] = ["docker", "kubepods", "kubelet", "libpod_parent", "machine.slice"];
        let is_inner = |name: &str| {
            INNER.iter().any(|inner| name.starts_with(inner)) || !path::containers(name.as_bytes()).is_empty()
        };
        let names = dir.names(MANY).into_iter().filter(|name| !is_inner(name));
        rest.extend(names.filter_map(|name| Some((dir.below(&name)?, depth + 1))).take(FEW));
    }
    None
}

/// Docker: `containers/ID/config.v2.json`.
fn docker(dirs: &[Base], id: &str) -> Option<Container> {
    let file = path::is_id(id).then(|| format!("containers/{id}/config.v2.json"))?;
    let config = dirs.iter().find_map(|dir| json(dir, &file))?;
    let of = |key: &str| text(config.get("Config")?.get(key));
    let labels = config.get("Config").and_then(|config| config.get("Labels"));
    let name = text(config.get("Name")).map(|name| name.strip_prefix('/').map_or(name.clone(), str::to_owned));
    let own = Container { image: of("Image"), runtime: Some("docker".into()), ..Container::default() };
    let mut found = labels.map(annotated).unwrap_or_default();
    found.fill(name.map(|name| named(&name)).unwrap_or_default());
    found.image = own.image.or(found.image);
    found.runtime = own.runtime;
    Some(found)
}

/// Where dockerd keeps its data, if it was told so.
fn data_root(root: &Root) -> Option<String> {
    let config = json(&root.dir("etc/docker")?, "daemon.json")?;
    let dir = text(config.get("data-root").or_else(|| config.get("graph")))?;
    dir.strip_prefix('/').map(str::to_owned)
}

/// Podman and CRI-O: `DRIVER-containers/containers.json`, of those that are not kept
/// `DRIVER-containers/volatile-containers.json`, and the configuration of one that runs.
fn storage(dirs: &[Base], id: &str) -> Option<Container> {
    let mut found: Option<Container> = None;
    for dir in dirs {
        for driver in drivers(dir) {
            let all = ["volatile-containers.json", "containers.json"].into_iter();
            let listed = all.filter_map(|list| json(&driver, list)).find_map(|all| stored(&all, id));
            let running = json(&driver, &format!("{id}/userdata/config.json"));
            let running = running.as_ref().and_then(|config| config.get("annotations")).map(annotated);
            for one in listed.into_iter().chain(running) {
                found.get_or_insert_default().fill(one);
            }
        }
        if found.as_ref().is_some_and(|found| found.name.is_some()) {
            break;
        }
    }
    found
}

fn drivers(storage: &Base) -> Vec<Base> {
    let names = storage.names(FEW).into_iter().filter(|name| name.ends_with("-containers"));
    names.filter_map(|name| storage.below(name)).collect()
}

/// A container in a list of storage. What its maker keeps with it is text that is JSON again.
fn stored(all: &Value, id: &str) -> Option<Container> {
    let one = all.as_array()?.iter().find(|one| one.get("id").and_then(Value::as_str) == Some(id))?;
    let kept = one.get("metadata").and_then(Value::as_str).and_then(|kept| serde_json::from_str::<Value>(kept).ok());
    let kept = kept.unwrap_or_default();
    let name = text(one.get("names").and_then(|names| names.get(0))).or_else(|| text(kept.get("name")));
    let name = name.map(|name| named(&name)).unwrap_or_default();
    let mut found = Container { image: text(kept.get("image-name")), ..Container::default() };
    found.fill(name);
    Some(found)
}

/// Containerd and what builds on it: the container's configuration, in a directory for each namespace.
fn containerd(dirs: &[Base], id: &str) -> Option<Container> {
    for tasks in dirs.iter().filter_map(|dir| dir.below("io.containerd.runtime.v2.task")) {
        for namespace in tasks.names(FEW) {
            let Some(config) = json(&tasks, &format!("{namespace}/{id}/config.json")) else { continue };
            let mut found = config.get("annotations").map(annotated).unwrap_or_default();
            found.runtime = found.runtime.or_else(|| Some("containerd".into()));
            // That of Kubernetes says more than containerd's `k8s.io`.
            found.namespace = found.namespace.or(Some(namespace).filter(|name| name != "moby"));
            return Some(found);
        }
    }
    None
}

/// What Kubernetes' runtimes, and nerdctl, write into a container's configuration: of containerd (io.kubernetes.cri.*),
/// of CRI-O (io.kubernetes.container.name, io.kubernetes.cri-o.*), of cri-dockerd.
fn annotated(all: &Value) -> Container {
    let first = |keys: &[&str]| keys.iter().find_map(|key| text(all.get(*key)));
    let kind =
        first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType", "io.kubernetes.docker.type"]);
    let is_sandbox = kind.is_some_and(|kind| matches!(kind.as_str(), "sandbox" | "podsandbox"));
    let name = first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]);
    Container {
        // What holds a pod together has no name of its own.
        name: name.or_else(|| is_sandbox.then(|| "POD".to_owned())),
        image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        ..Container::default()
    }
}

/// What a name says: `k8s_NAME_POD_NAMESPACE_UID_ATTEMPT` of CRI-O and cri-dockerd. Names of Kubernetes have no `_`.
fn named(name: &str) -> Container {
    let parts: Vec<&str> = name.split('_').collect();
    let own = |text: &str| Some(text.to_owned());
    match parts.as_slice() {
        ["k8s", name, pod, namespace, _uid, _attempt] => {
            Container { name: own(name), pod: own(pod), namespace: own(namespace), ..Container::default() }
        }
        _ => Container { name: own(name), ..Container::default() },
    }
}

/// `/var/log/containers/POD_NAMESPACE_NAME-ID.log`, which kubelet makes: its name alone.
fn log(root: &Root, id: &str) -> Option<Container> {
    let logs = root.dir("var/log/containers")?;
    let end = path::is_id(id).then(|| format!("-{id}.log"))?;
    let name = logs.names(MANY).into_iter().find(|name| name.ends_with(&end))?;
    let mut parts = name.strip_suffix(&end)?.split('_').map(str::to_owned);
    let (pod, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let none = parts.next().is_none();
    none.then(|| Container { name: Some(name), pod: Some(pod), namespace: Some(namespace), ..Container::default() })
}

fn json(dir: &Base, file: &str) -> Option<Value> {
    serde_json::from_slice(&dir.read(file, FILE_MAX)?).ok()
}

/// Text that says something, not longer than it may be.
fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str().filter(|text| !text.is_empty())?;
    Some(shorten(text.to_owned()))
}

fn shorten(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate((0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        text.push('…');
    }
    text
}
