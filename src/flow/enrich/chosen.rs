//! `--container` and `--unit`: which cgroups' events are shown.

use anyhow::{Result, ensure};

use crate::host::containers::{Container, units};
use crate::names::glob;

/// Whether events of a cgroup are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    #[default]
    Shown,
    /// Shown, too: it is not known what its container is called, or in which one it was.
    Unsure,
    Refused,
}

/// What is chosen; all that is given of one kind is a choice of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    containers: Vec<String>,
    units: Vec<String>,
}

/// How many digits of an id stand for all of it.
const PREFIX: usize = 4;

impl Chosen {
    /// Names, ids (or where they begin: at least four digits) or globs of containers, names or globs of units.
    ///
    /// # Errors
    /// When one is empty, and would match nothing.
    pub fn new(containers: &[String], units: &[String]) -> Result<Self> {
        ensure!(containers.iter().all(|name| !name.is_empty()), "--container: an empty name matches nothing");
        ensure!(units.iter().all(|name| !name.is_empty()), "--unit: an empty name matches nothing");
        // As systemctl does: `nginx` is a service.
        let whole =
            |name: &String| if name.contains(['.', '*', '?', '[']) { name.clone() } else { format!("{name}.service") };
        Ok(Chosen { containers: containers.to_vec(), units: units.iter().map(whole).collect() })
    }

    /// Whether all is chosen.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.containers.is_empty() && self.units.is_empty()
    }

    /// What becomes of a cgroup's events; `sure`: there is no more to know of its containers. Without a path nothing is
    /// known of it: it was gone when it was looked for.
    pub(super) fn verdict(&self, path: Option<&[u8]>, containers: &[Container], sure: bool) -> Verdict {
        let Some(path) = path.filter(|_| !self.is_all()) else {
            return if self.is_all() { Verdict::Shown } else { Verdict::Unsure };
        };
        let is_unit = |unit: &[u8]| self.units.iter().any(|name| glob::matches(name.as_bytes(), unit));
        if !self.units.is_empty() && !units(path).any(is_unit) {
            return Verdict::Refused;
        }
        let is_it = |container| self.containers.iter().any(|name| is_called(container, name));
        if self.containers.is_empty() || containers.iter().any(is_it) {
            Verdict::Shown
        } else if sure || containers.iter().all(|container| container.name.is_some()) {
            Verdict::Refused
        } else {
            Verdict::Unsure
        }
    }
}

/// Whether a container is meant: by its name, `POD/NAME`, `NAMESPACE/POD/NAME`, or its id.
fn is_called(container: &Container, wanted: &str) -> bool {
    let Container { id, name, pod, namespace, .. } = container;
    let is_id = wanted.len() >= PREFIX && wanted.bytes().all(|b| b.is_ascii_hexdigit()) && id.starts_with(wanted);
    let matches = |parts: &[&Option<String>]| {
        let parts: Option<Vec<&str>> = parts.iter().map(|part| part.as_deref()).collect();
        parts.is_some_and(|parts| glob::matches(wanted.as_bytes(), parts.join("/").as_bytes()))
    };
    is_id
        || glob::matches(wanted.as_bytes(), id.as_bytes())
        || matches(&[name])
        || matches(&[pod, name])
        || matches(&[namespace, pod, name])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: Option<&str>) -> Container {
        Container { id: "0123456789ab".repeat(5) + "cdef", name: name.map(str::to_owned), ..Container::default() }
    }

    fn of_container(wanted: &[&str], containers: &[Container], sure: bool) -> Verdict {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        Chosen::new(&wanted, &[]).unwrap().verdict(Some(b"/docker/x"), containers, sure)
    }

    #[test]
    fn a_container_is_chosen_by_its_name_its_id_or_a_glob() {
        let web = [container(Some("web-1"))];
        for wanted in ["web-1", "web-*", "*", "0123456789ab", "0123", &web[0].id] {
            assert_eq!(of_container(&[wanted], &web, true), Verdict::Shown, "{wanted}");
        }
        for wanted in ["web", "web-2", "eb-1", "012", "123456", "WEB-1"] {
            assert_eq!(of_container(&[wanted], &web, true), Verdict::Refused, "{wanted}");
        }
        assert_eq!(of_container(&["db", "web-1"], &web, true), Verdict::Shown);
        assert_eq!(of_container(&["*"], &[], true), Verdict::Refused, "it is in no container");
        assert_eq!(of_container(&["*"], &[], false), Verdict::Refused, "nor will it be");
        // All that is in it.
        assert_eq!(of_container(&["node"], &[container(Some("node")), container(Some("web"))], true), Verdict::Shown);
    }

    #[test]
    fn what_is_not_known_yet_is_not_refused() {
        assert_eq!(of_container(&["web"], &[container(None)], false), Verdict::Unsure);
        assert_eq!(of_container(&["web"], &[container(None)], true), Verdict::Refused);
        assert_eq!(of_container(&["0123"], &[container(None)], false), Verdict::Shown);
        let web = Chosen::new(&["web".to_owned()], &[]).unwrap();
        assert_eq!(web.verdict(None, &[], true), Verdict::Unsure, "it was gone before it could be found");
    }

    #[test]
    fn a_pods_container_is_chosen_by_the_pod_too() {
        let own = |text: &str| Some(text.to_owned());
        let nginx = [Container { pod: own("web-0"), namespace: own("shop"), ..container(Some("nginx")) }];
        for wanted in ["nginx", "web-0/nginx", "web-0/*", "shop/*", "shop/web-0/nginx"] {
            assert_eq!(of_container(&[wanted], &nginx, true), Verdict::Shown, "{wanted}");
        }
        for wanted in ["web-0", "shop", "kube-system/*", "/nginx"] {
            assert_eq!(of_container(&[wanted], &nginx, true), Verdict::Refused, "{wanted}");
        }
    }

    #[test]
    fn a_unit_is_chosen_by_its_name_or_a_glob() {
        let of = |wanted: &str, path: &str| {
            Chosen::new(&[], &[wanted.to_owned()]).unwrap().verdict(Some(path.as_bytes()), &[], true)
        };
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope";
        for (wanted, path) in [
            ("nginx.service", "/system.slice/nginx.service"),
            ("nginx", "/system.slice/nginx.service/below"),
            ("session-*.scope", "/user.slice/user-0.slice/session-3.scope"),
            ("user@1000.service", user),
            ("app-x.scope", user),
        ] {
            assert_eq!(of(wanted, path), Verdict::Shown, "{wanted} {path}");
        }
        for (wanted, path) in [("nginx", "/"), ("user.slice", user), ("app", user), ("nginx", "/x/nginx.scope")] {
            assert_eq!(of(wanted, path), Verdict::Refused, "{wanted} {path}");
        }
        let both = Chosen::new(&["web".to_owned()], &["docker-*".to_owned()]).unwrap();
        let web = [container(Some("web"))];
        assert_eq!(both.verdict(Some(b"/system.slice/docker-1.scope"), &web, true), Verdict::Shown);
        assert_eq!(both.verdict(Some(b"/docker/1"), &web, true), Verdict::Refused);
        assert!(Chosen::new(&[String::new()], &[]).is_err() && Chosen::new(&[], &[String::new()]).is_err());
    }
}
