//! The schema of a container.

use serde_json::{Value as Json, json};

use super::object::Object;
use super::primitive::nullable;
use crate::event::Names;

/// A container, or null.
pub(super) fn container() -> Json {
    const MEMBERS: [(&str, &str); 5] = [
        ("name", "As its runtime calls it; in a pod of Kubernetes, as the pod does. Null: no file names it."),
        ("image", "The image, as it was asked for."),
        ("runtime", "What runs it: docker, podman, cri-o, containerd, lxc, systemd-nspawn, runc, crun."),
        ("pod", "The name of the pod that it is part of, or the pod's id where no file names it."),
        ("namespace", "The namespace of Kubernetes, or of containerd."),
    ];
    let mut object = Object::default();
    let id = "Usually 64 hexadecimal digits; a name, where a runtime has no other id.";
    object.always("id", id, json!({ "type": "string" }));
    for (name, doc) in MEMBERS {
        object.always(name, doc, nullable(json!({ "type": "string" })));
    }
    nullable(object.finish("container", Names::CONTAINER.1))
}
