//! What is known of a container.

use serde::{Deserialize, Serialize};

use super::path;

/// A container, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Usually 64 hexadecimal digits; a name, where a runtime has no other id.
    pub id: String,
    /// As its runtime calls it; in a pod of Kubernetes, as the pod does.
    pub name: Option<String>,
    /// The image, as it was asked for.
    pub image: Option<String>,
    /// What runs it: `docker`, `podman`, `cri-o`, `containerd`, `lxc`, `systemd-nspawn`, `runc`, `crun`.
    pub runtime: Option<String>,
    /// The name of the pod that it is part of, or the pod's id where no file names it.
    pub pod: Option<String>,
    /// The namespace of Kubernetes, or of containerd.
    pub namespace: Option<String>,
}

impl Container {
    /// Its name, or its id, shortened where that is only digits.
    #[must_use]
    pub fn shown(&self) -> &str {
        match &self.name {
            Some(name) => name,
            None if path::is_id(&self.id) => self.id.get(..path::SHORT).unwrap_or(&self.id),
            None => &self.id,
        }
    }

    /// Adds what another source knows, where nothing is known yet.
    pub(super) fn fill(&mut self, other: Container) {
        let Container { id: _, name, image, runtime, pod, namespace } = other;
        let fields = [
            (&mut self.name, name),
            (&mut self.image, image),
            (&mut self.runtime, runtime),
            (&mut self.pod, pod),
            (&mut self.namespace, namespace),
        ];
        for (own, other) in fields {
            *own = own.take().or(other);
        }
    }
}
