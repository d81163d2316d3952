//! What is there when a run begins: the sockets, and the connections.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libbpf_rs::{Iter, Object};
use nix::sched::{CloneFlags, setns};

use crate::escape::shown;
use crate::host::mounts;
use crate::report::note;

/// Has the programs look at them: at sockets by an iterator, at connections by reading what the kernel lists of them.
///
/// # Errors
/// When the kernel refuses, and those of `meanwhile`.
pub(super) fn begin(object: &Object, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let loaded = |name: &str| object.progs_mut().find(|program| program.name() == name && program.autoload());
    if let Some(program) = loaded("conn_sockets") {
        let link = program.attach().context("attaching to the list of open files (iter/task_file)")?;
        let mut files = Iter::new(&link).context("listing the open files")?;
        drain(&mut files, meanwhile).context("listing the open files")?;
    }
    if loaded("conn_listed").or_else(|| loaded("conn_listed_fentry")).is_none() {
        return Ok(());
    }
    let mut found = false;
    for namespace in namespaces(Path::new("/")) {
        match list_of(&namespace) {
            Ok(mut list) => {
                found = true;
                match drain(&mut list, meanwhile) {
                    Err(error) if error.is::<io::Error>() => {
                        note(&format!("connections of a namespace are not listed: {}: {error}", shown(&namespace)));
                    }
                    drained => drained?,
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => note(&format!("connections of a namespace are not listed: {}: {error}", shown(&namespace))),
        }
    }
    if !found {
        note(
            "connections that are there already are not shown: no /proc/net/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)",
        );
    }
    Ok(())
}

/// The kernel's list of the connections in a namespace. Who opens it decides of which one it is: a thread that is in it.
fn list_of(namespace: &Path) -> io::Result<File> {
    let namespace = File::open(namespace)?;
    let own = fs::metadata("/proc/self/ns/net")?;
    let open = move || {
        // Without the right to, coretrace sees its own alone.
        if namespace.metadata()?.ino() != own.ino() {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        }
        File::open("/proc/thread-self/net/nf_conntrack")
    };
    std::thread::spawn(open).join().unwrap_or_else(|_| Err(io::Error::other("a thread has failed")))
}

/// Reads to the end. The events that this makes are taken in between.
fn drain(from: &mut impl Read, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; 1 << 14];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => meanwhile()?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A file for each network namespace that processes are in, or that has a name.
fn namespaces(root: &Path) -> Vec<PathBuf> {
    let mut found = HashMap::new();
    let all = fs::read_dir(root.join("proc")).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_process =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let mounted = mounts::namespaces(&fs::read(root.join("proc/self/mountinfo")).unwrap_or_default());
    for path in all.filter(is_process).map(|path| path.join("ns/net")).chain(mounted) {
        if let Ok(namespace) = fs::metadata(&path) {
            found.entry(namespace.ino()).or_insert(path);
        }
    }
    found.into_values().collect()
}
