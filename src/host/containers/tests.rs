use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::fake::Tree;

/// An id of 64 digits.
fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

const UID: &str = "0d2b7a34-5a51-4e0c-9a3b-6b1f6f0c1d2e";

/// The id's first digit, the name, the runtime and the pod of each container that a path says something of.
fn said(path: &str) -> Vec<String> {
    let all = containers(path.as_bytes()).into_iter();
    all.map(|said| {
        let id = if path::is_id(&said.id) { said.id[..1].to_owned() } else { said.id };
        let parts = [Some(id), said.name, said.runtime.map(str::to_owned), said.pod, said.user.map(|n| n.to_string())];
        parts.map(|part| part.unwrap_or("-".into())).join(" ")
    })
    .collect()
}

#[test]
fn a_path_says_in_which_containers_it_is() {
    let (a, b, under) = (id('a'), id('b'), UID.replace('-', "_"));
    let table: &[(String, &[&str])] = &[
        ("/".into(), &[]),
        ("".into(), &[]),
        ("/system.slice/cron.service".into(), &[]),
        (format!("/docker/{a}"), &["a - docker - -"]),
        (format!("/system.slice/docker-{a}.scope"), &["a - docker - -"]),
        (format!("/my.slice/docker-{a}.scope/init.scope"), &["a - docker - -"]),
        (format!("/machine.slice/libpod-{a}.scope/container"), &["a - podman - -"]),
        (format!("/machine.slice/libpod-conmon-{a}.scope"), &[]),
        (format!("/libpod_parent/libpod-{a}"), &["a - podman - -"]),
        (format!("/libpod_parent/{b}/libpod-{a}"), &["a - podman bbbbbbbbbbbb -"]),
        (format!("/machine.slice/machine-libpod_pod_{b}.slice/libpod-{a}.scope"), &["a - podman bbbbbbbbbbbb -"]),
        (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{a}.scope"), &["a - podman - 1000"]),
        (
            format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/crio-{a}.scope"),
            &["a - cri-o 0d2b7a34-5a51-4e0c-9a3b-6b1f6f0c1d2e -"],
        ),
        (
            format!("/kubepods.slice/kubepods-pod{under}.slice/cri-containerd-{a}.scope"),
            &["a - containerd 0d2b7a34-5a51-4e0c-9a3b-6b1f6f0c1d2e -"],
        ),
        (format!("/kubepods/besteffort/pod{UID}/{a}"), &["a - - 0d2b7a34-5a51-4e0c-9a3b-6b1f6f0c1d2e -"]),
        (
            format!("/system.slice/containerd.service/kubepods-pod{under}.slice:cri-containerd:{a}"),
            &["a - containerd 0d2b7a34-5a51-4e0c-9a3b-6b1f6f0c1d2e -"],
        ),
        (format!("/system.slice/nerdctl-{a}.scope"), &["a - containerd - -"]),
        // Docker in docker, kind.
        (format!("/docker/{a}/docker/{b}"), &["a - docker - -", "b - docker - -"]),
        (
            format!("/docker/{a}/kubelet/kubepods/besteffort/pod{UID}/{b}"),
            &["a - docker - -", "b - - 0d2b7a34-5a51-4e0c-9a3b-6b1f6f0c1d2e -"],
        ),
        (
            format!(
                "/system.slice/docker-{a}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{under}.slice/cri-containerd-{b}.scope"
            ),
            &["a - docker - -", "b - containerd 0d2b7a34-5a51-4e0c-9a3b-6b1f6f0c1d2e -"],
        ),
        ("/lxc.payload.web".into(), &["web web lxc - -"]),
        ("/lxc.monitor.web".into(), &[]),
        ("/lxc/web/init.scope".into(), &["web web lxc - -"]),
        ("/machine.slice/systemd-nspawn@my\\x2dbox.service/payload".into(), &["my-box my-box systemd-nspawn - -"]),
        ("/machine.slice/machine-box.scope".into(), &["box box systemd-nspawn - -"]),
        ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope".into(), &[]),
        ("/machine.slice/machine-lxc\\x2d42\\x2dweb.scope".into(), &["web web lxc - -"]),
        ("/user.slice/crun-box.scope".into(), &["box box crun - -"]),
        // Neither a container's own nor below one.
        (format!("/system.slice/{a}.service"), &[]),
        (format!("/system.slice/var-lib-docker-{a}-merged.mount"), &[]),
        (format!("/docker/{}", &a[1..]), &[]),
        (format!("/docker/{}", a.to_uppercase()), &[]),
        (format!("/docker/x{a}"), &[]),
        ("/system.slice/crun-.scope".into(), &[]),
        ("/lxc.payload.".into(), &[]),
    ];
    for (path, want) in table {
        assert_eq!(said(path), *want, "{path}");
        for said in containers(path.as_bytes()) {
            let own = &path[..said.end];
            assert_eq!(containers(own.as_bytes()).last().unwrap().id, said.id, "{own}");
            assert!(path[said.end..].is_empty() || path[said.end..].starts_with('/'), "{path}");
        }
    }
    // As deep as the kernel allows, and deeper: no more than that is looked at.
    assert!(containers(format!("/{a}").repeat(10_000).as_bytes()).len() <= 64);
    assert!(containers(b"/docker/\xff\xfe/a:::::b/pod-pod/kubepods-pod.slice/:").is_empty());
}

#[test]
fn a_path_says_in_which_units_it_is() {
    let units = |path: &'static str| {
        let all = units(path.as_bytes()).map(|unit| String::from_utf8(unit.to_vec()).unwrap());
        all.collect::<Vec<_>>()
    };
    assert_eq!(units("/system.slice/nginx.service"), ["nginx.service"]);
    assert_eq!(units("/user.slice/user-0.slice/session-3.scope"), ["session-3.scope"]);
    assert_eq!(
        units("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope"),
        ["user@1000.service", "app-x.scope"]
    );
    assert_eq!(units("/system.slice/_cpu.service"), ["cpu.service"]);
    assert!(units("/").is_empty() && units("").is_empty() && units("/system.slice/.service/x.slice").is_empty());
}

/// What is found of the innermost container of a path.
fn found(tree: &Tree, path: &str) -> Container {
    let files = Files::new(tree.root(), Some(&tree.path("sys/fs/cgroup")));
    files.containers(path.as_bytes()).pop().expect("it is in a container")
}

/// `NAME IMAGE RUNTIME POD NAMESPACE`
fn shown(container: &Container) -> String {
    let Container { id: _, name, image, runtime, pod, namespace } = container;
    [name, image, runtime, pod, namespace].map(|part| part.as_deref().unwrap_or("-").to_owned()).join(" ")
}

fn docker_config(name: &str, image: &str) -> String {
    format!(
        r#"{{"StreamConfig":{{}},"State":{{"Running":true,"Pid":77}},"ID":"x","Path":"nginx","Args":["-g"],
        "Config":{{"Hostname":"b2","Env":["A=1"],"Image":"{image}","Labels":{{"maintainer":"x"}}}},
        "Image":"sha256:00","Name":"{name}","Driver":"overlay2"}}"#
    )
}

#[test]
fn dockers_files_name_its_containers() {
    let (tree, a) = (Tree::new(), id('a'));
    tree.file(&format!("var/lib/docker/containers/{a}/config.v2.json"), docker_config("/web-1", "nginx:1.25"));
    for path in [format!("/docker/{a}"), format!("/system.slice/docker-{a}.scope"), format!("/my.slice/{a}/x")] {
        assert_eq!(shown(&found(&tree, &path)), "web-1 nginx:1.25 docker - -", "{path}");
    }
    // Its data elsewhere, behind a link of root's, or by its configuration.
    let tree = Tree::new();
    tree.file(&format!("data/docker/containers/{a}/config.v2.json"), docker_config("/web-1", "nginx"));
    assert_eq!(shown(&found(&tree, &format!("/docker/{a}"))), "- - docker - -");
    tree.file("etc/docker/daemon.json", r#"{"data-root": "/data/docker"}"#);
    assert_eq!(shown(&found(&tree, &format!("/docker/{a}"))), "web-1 nginx docker - -");
    tree.remove("etc/docker/daemon.json");
    tree.dir("var/lib");
    tree.link("var/lib/docker", "../../data/docker");
    assert_eq!(shown(&found(&tree, &format!("/docker/{a}"))), "web-1 nginx docker - -");
}

#[test]
fn cri_dockerds_containers_are_of_pods() {
    let (tree, a) = (Tree::new(), id('a'));
    let config = r#"{"Name":"/k8s_nginx_web-0_default_1-2_0","Config":{"Image":"nginx@sha256:1","Labels":{
        "io.kubernetes.container.name":"nginx","io.kubernetes.docker.type":"container",
        "io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"default"}}}"#;
    tree.file(&format!("var/lib/docker/containers/{a}/config.v2.json"), config);
    let path = format!("/kubepods/burstable/pod{UID}/{a}");
    assert_eq!(shown(&found(&tree, &path)), "nginx nginx@sha256:1 docker web-0 default");
}

#[test]
fn podmans_lists_name_its_containers() {
    let (tree, a, b) = (Tree::new(), id('a'), id('b'));
    let one = |id: &str, name: &str| {
        format!(
            r#"{{"id":"{id}","names":["{name}"],"image":"1f","layer":"2e","metadata":"{{\"image-name\":\"docker.io/library/alpine:latest\",\"image-id\":\"1f\",\"name\":\"{name}\",\"created-at\":1700000000}}","created":"2026-01-01T00:00:00Z","flags":{{"ProcessLabel":""}}}}"#
        )
    };
    let dir = "var/lib/containers/storage/overlay-containers";
    tree.file(&format!("{dir}/containers.json"), format!("[{},{}]", one(&b, "other"), one(&a, "box")));
    tree.file(&format!("{dir}/volatile-containers.json"), "[]");
    let path = format!("/machine.slice/libpod-{a}.scope/container");
    assert_eq!(shown(&found(&tree, &path)), "box docker.io/library/alpine:latest podman - -");
    // One of `podman run --rm`, and one of a user.
    tree.file(&format!("{dir}/containers.json"), "[]");
    tree.file(&format!("{dir}/volatile-containers.json"), format!("[{}]", one(&a, "short")));
    assert_eq!(found(&tree, &path).name.as_deref(), Some("short"));
    tree.file("etc/passwd", "anna:x:1000:1000::/home/anna:/bin/sh\n");
    let home = "home/anna/.local/share/containers/storage/overlay-containers/containers.json";
    tree.file(home, format!("[{}]", one(&b, "annas")));
    let path = format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{b}.scope");
    assert_eq!(shown(&found(&tree, &path)), "annas docker.io/library/alpine:latest podman - -");
    let path = format!("/user.slice/user-1001.slice/user@1001.service/user.slice/libpod-{b}.scope");
    assert_eq!(shown(&found(&tree, &path)), "- - podman - -", "of another user");
    // Who may make cgroups may call one like root's container.
    let path = format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{a}.scope");
    assert_eq!(shown(&found(&tree, &path)), "- - podman - -", "it is not the user's");
}

#[test]
fn cri_os_lists_name_the_pod() {
    let (tree, a) = (Tree::new(), id('a'));
    let list = format!(
        r#"[{{"id":"{a}","names":["k8s_nginx_web-0_default_{UID}_1"],"metadata":"{{\"pod-name\":\"k8s_web-0_default_{UID}_0\",\"pod-id\":\"9\",\"image-name\":\"quay.io/nginx:1\",\"name\":\"k8s_nginx_web-0_default_{UID}_1\"}}"}}]"#
    );
    tree.file("var/lib/containers/storage/overlay-containers/containers.json", list);
    let path = format!("/kubepods.slice/kubepods-pod{}.slice/crio-{a}.scope", UID.replace('-', "_"));
    assert_eq!(shown(&found(&tree, &path)), "nginx quay.io/nginx:1 cri-o web-0 default");
    // What it has of a container that runs.
    let tree = Tree::new();
    let config = r#"{"ociVersion":"1.0.2","annotations":{"io.kubernetes.container.name":"POD","io.kubernetes.cri-o.ContainerType":"sandbox",
        "io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"default","io.kubernetes.cri-o.ImageName":"pause:3"}}"#;
    tree.file(&format!("run/containers/storage/overlay-containers/{a}/userdata/config.json"), config);
    assert_eq!(shown(&found(&tree, &path)), "POD pause:3 cri-o web-0 default");
}

#[test]
fn containerds_configurations_name_containers_and_pods() {
    let a = id('a');
    let path = format!("/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{a}.scope", UID.replace('-', "_"));
    for dir in ["run/containerd", "run/k3s/containerd"] {
        let tree = Tree::new();
        let config = r#"{"ociVersion":"1.1.0","process":{"args":["nginx"]},"annotations":{"io.kubernetes.cri.container-name":"nginx",
            "io.kubernetes.cri.container-type":"container","io.kubernetes.cri.image-name":"docker.io/library/nginx:1",
            "io.kubernetes.cri.sandbox-id":"9","io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
        tree.file(&format!("{dir}/io.containerd.runtime.v2.task/k8s.io/{a}/config.json"), config);
        assert_eq!(shown(&found(&tree, &path)), "nginx docker.io/library/nginx:1 containerd web-0 shop");
        // What holds the pod together.
        let sandbox = r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"web-0",
            "io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
        tree.file(&format!("{dir}/io.containerd.runtime.v2.task/k8s.io/{a}/config.json"), sandbox);
        assert_eq!(shown(&found(&tree, &path)), "POD - containerd web-0 shop");
    }
    let tree = Tree::new();
    let nerdctl = r#"{"annotations":{"nerdctl/name":"box","nerdctl/namespace":"default"}}"#;
    tree.file(&format!("run/containerd/io.containerd.runtime.v2.task/default/{a}/config.json"), nerdctl);
    assert_eq!(shown(&found(&tree, &format!("/default/{a}"))), "box - containerd - default");
}

#[test]
fn names_of_logs_are_enough_for_pods() {
    let (tree, a) = (Tree::new(), id('a'));
    tree.link(&format!("var/log/containers/web-0_shop_nginx-{a}.log"), "/var/log/pods/none");
    tree.file(&format!("var/log/containers/a_b-{}.log", id('b')), "");
    let path = |id: &str| format!("/kubepods/besteffort/pod{UID}/{id}");
    assert_eq!(shown(&found(&tree, &path(&a))), "nginx - - web-0 shop");
    assert_eq!(shown(&found(&tree, &path(&id('b')))), format!("- - - {UID} -"), "that is no name of a log");
    assert_eq!(found(&tree, &path(&id('b'))).shown(), "bbbbbbbbbbbb");
}

#[test]
fn a_container_in_a_container_is_named_by_the_outer_ones_files() {
    let (tree, a, b) = (Tree::new(), id('a'), id('b'));
    tree.file(&format!("var/lib/docker/containers/{a}/config.v2.json"), docker_config("/node", "kindest/node:v1"));
    tree.file(&format!("sys/fs/cgroup/docker/{a}/cgroup.procs"), "");
    tree.file(&format!("sys/fs/cgroup/docker/{a}/docker/{b}/cgroup.procs"), "9\n");
    tree.file(&format!("sys/fs/cgroup/docker/{a}/init/cgroup.procs"), "5\n6\n");
    tree.file(&format!("proc/5/root/var/lib/docker/containers/{b}/config.v2.json"), docker_config("/inner", "alpine"));
    let files = Files::new(tree.root(), Some(&tree.path("sys/fs/cgroup")));
    let both = files.containers(format!("/docker/{a}/docker/{b}").as_bytes());
    assert_eq!(
        both.iter().map(shown).collect::<Vec<_>>(),
        ["node kindest/node:v1 docker - -", "inner alpine docker - -"]
    );
    // In there, a link leads nowhere.
    tree.remove("proc/5/root/var/lib/docker");
    tree.file(&format!("secret/containers/{b}/config.v2.json"), docker_config("/secret", "x"));
    for target in ["/secret", "../../../../../secret", tree.path("secret").to_str().unwrap()] {
        tree.link("proc/5/root/var/lib/docker", target);
        let both = files.containers(format!("/docker/{a}/docker/{b}").as_bytes());
        assert_eq!(both.iter().map(|one| one.name.as_deref()).collect::<Vec<_>>(), [Some("node"), None], "{target}");
    }
}

#[test]
fn hostile_files_are_harmless() {
    let a = id('a');
    let file = format!("var/lib/docker/containers/{a}/config.v2.json");
    let name = |tree: &Tree| found(tree, &format!("/docker/{a}")).name;
    // No link is followed, nothing is waited for.
    let tree = Tree::new();
    tree.file("secret", docker_config("/secret", "x"));
    tree.dir(&format!("var/lib/docker/containers/{a}"));
    tree.link(&file, tree.path("secret").to_str().unwrap());
    assert_eq!(name(&tree), None);
    tree.remove(&file);
    tree.link(&file, "../../../../../secret");
    assert_eq!(name(&tree), None);
    tree.remove(&file);
    mkfifo(&tree.path(&file), Mode::S_IRWXU).unwrap();
    let begin = Instant::now();
    assert_eq!(name(&tree), None);
    assert!(begin.elapsed().as_secs() < 5);
    tree.remove(&file);
    tree.dir(&file);
    assert_eq!(name(&tree), None);
    tree.remove(&file);
    // What is no JSON, or another one.
    let deep = "[".repeat(1 << 20);
    let others =
        ["", "{", "[]", "7", "null", "\"x\"", r#"{"Name":7}"#, r#"{"Name":["/a"]}"#, r#"{"Config":7}"#, "\u{0}", &deep];
    for other in others {
        tree.file(&file, other);
        assert_eq!(name(&tree), None, "{}", &other[..other.len().min(20)]);
    }
    tree.file(&file, b"{\"Name\":\"\xff\"}");
    assert_eq!(name(&tree), None);
    // Long ones are cut, and say so; files are read up to a size.
    tree.file(&file, docker_config(&format!("/{}", "\u{e9}".repeat(5000)), "x"));
    let long = name(&tree).unwrap();
    assert!(long.len() <= 1024 + 3 && long.ends_with("é…"), "{}", long.len());
    tree.file(&file, docker_config(&format!("/{}", "a".repeat(9 << 20)), "x"));
    assert_eq!(name(&tree), None);
    // Lists of storage.
    let list = "var/lib/containers/storage/overlay-containers/containers.json";
    let tree = Tree::new();
    let lists = ["[7]", "{}", r#"[{"id":7}]"#, &format!(r#"[{{"id":"{a}","names":7,"metadata":"{{"}}]"#)];
    for other in lists {
        tree.file(list, other);
        assert_eq!(name(&tree), None, "{other}");
    }
}

#[test]
fn what_is_shown_is_the_name_or_a_short_id() {
    let container = |id: &str, name: Option<&str>| Container {
        id: id.into(),
        name: name.map(str::to_owned),
        ..Container::default()
    };
    assert_eq!(container(&id('a'), Some("web")).shown(), "web");
    assert_eq!(container(&id('a'), None).shown(), "aaaaaaaaaaaa");
    assert_eq!(container("a-name-that-is-long", None).shown(), "a-name-that-is-long");
}
