//! Lookups in real folders: files that are found, and files that must never be.

use super::*;
use crate::app::OPEN_FILES;
use crate::app::{App, Node, RouteTarget};
use crate::http::static_files::find::{FileOrFolder, LookupError, classify, find};
use crate::telemetry::Logs;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use proptest::prelude::*;
use std::fs;
use std::io::Read;
use tempfile::TempDir;

/// A folder `public` with secrets beside it. The content of each file tells whether it may be
/// served.
struct World {
    root: TempDir,
    dir: Dir,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["public/a/b", "public/.git", "public/.well-known", "public/empty", "other"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in
            ["public/a.css", "public/a/b/c.js", "public/index.html", "public/a/index.html", "public/.well-known/x"]
        {
            fs::write(root.path().join(file), "public").unwrap();
        }
        for file in ["secret", "other/secret", "public/.git/secret", "public/.env"] {
            fs::write(root.path().join(file), "secret").unwrap();
        }
        let dir = Dir::open_ambient_dir(root.path().join("public"), ambient_authority()).unwrap();
        World { root, dir }
    }

    fn get(&self, rest: &str) -> Result<String, LookupError> {
        let wanted = RelativePath::parse(rest).ok_or(LookupError::Absent)?;
        match find(&self.dir, &wanted, &[]).map_err(|error| classify(&error))? {
            FileOrFolder::Folder => Ok("folder".to_owned()),
            FileOrFolder::File(mut opened) => {
                let mut text = String::new();
                opened.file.read_to_string(&mut text).unwrap();
                Ok(text)
            }
        }
    }
}

#[test]
fn names_are_found_below_the_folder() {
    let world = World::new();
    for path in ["/a.css", "/%61.css", "/a/b/c.js", "/", "/a/", "/.well-known/x"] {
        assert_eq!(world.get(path).as_deref(), Ok("public"), "{path}");
    }
    for path in ["", "/a", "/a/b", "/empty"] {
        assert_eq!(world.get(path).as_deref(), Ok("folder"), "{path}");
    }
    for path in ["/a.css/", "/a.css/b", "/empty/", "/none", "/none/", "/A.CSS ", &format!("/{}", "n".repeat(300))] {
        assert_eq!(world.get(path), Err(LookupError::Absent), "{path}");
    }
}

#[cfg(unix)]
#[test]
fn links_lead_within_the_folder_and_never_out() {
    let world = World::new();
    let public = world.root.path().join("public");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, public.join(name)).unwrap();
    link("a/b/c.js", "inside");
    link("../public/a.css", "around");
    link("../secret", "out");
    link("../other", "out-folder");
    link("/etc/passwd", "absolute");
    link("circle", "circle");
    link("nothing", "broken");
    link("a/b", "inside-folder");
    assert_eq!(world.get("/inside").as_deref(), Ok("public"));
    assert_eq!(world.get("/inside-folder/c.js").as_deref(), Ok("public"));
    for path in ["/out", "/out-folder/secret", "/absolute", "/circle", "/around"] {
        assert_eq!(world.get(path), Err(LookupError::Forbidden), "{path}");
    }
    assert_eq!(world.get("/broken"), Err(LookupError::Absent));
}

#[cfg(unix)]
#[test]
fn special_files_are_not_waited_for() {
    let world = World::new();
    let public = world.root.path().join("public");
    rustix::fs::mkfifoat(rustix::fs::CWD, public.join("pipe"), rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(public.join("socket")).unwrap();
    assert_eq!(world.get("/pipe"), Err(LookupError::Absent));
    assert_eq!(world.get("/socket"), Err(LookupError::Absent));
    let devices = Dir::open_ambient_dir("/dev", ambient_authority()).unwrap();
    for name in ["/null", "/zero", "/tty"] {
        let found = find(&devices, &RelativePath::parse(name).unwrap(), &[]);
        assert_eq!(found.err().map(|error| classify(&error)), Some(LookupError::Absent), "{name}");
    }
}

/// Serves the folder of `world` on `node` for `route`.
fn serve(node: &Node, world: &World, route: &str) -> Arc<ServedDir> {
    let text = format!("[app]\nname = \"a\"\n[[http]]\nroute = \"{route}\"\ndir = \"public\"\n");
    let manifest = walnut_manifest::Manifest::parse(&text, "walnut.toml", world.root.path()).unwrap();
    let route = &manifest.http.routes[0];
    let dir = node.open_dir("a", route, &world.root.path().join("public"), |_, _| {}).unwrap();
    let routes = vec![(route.clone(), RouteTarget::Dir(dir.clone()))];
    node.replace(vec![App { components: Vec::new(), routes }]);
    dir
}

fn get(path: &str) -> Parts {
    http::Request::get(path).body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn slow_clients_do_not_keep_others_from_small_files() {
    use http_body_util::BodyExt;
    let world = World::new();
    fs::write(world.root.path().join("public/big"), vec![b'x'; 100_000]).unwrap();
    let dir = serve(&Node::new(1, Logs::default(), None), &world, "/static/**");
    let mut slow = Vec::new();
    for _ in 0..OPEN_FILES.sandboxes {
        let (cause, response) = respond(&dir, get("/static/big")).await;
        assert_eq!(cause, Cause::Ok);
        slow.push(response);
    }
    assert_eq!(dir.admission.open_files.in_use(), 512);
    // A further large file waits; a small one does not.
    let mut one_more = Box::pin(respond(&dir, get("/static/big")));
    tokio::select! {
        biased;
        _ = &mut one_more => panic!("no permit was free"),
        (_, small) = respond(&dir, get("/static/a.css")) => assert_eq!(small.status(), 200),
    }
    while dir.admission.open_files.queued() == 0 {
        let small = respond(&dir, get("/static/a.css"));
        tokio::select! { _ = &mut one_more => panic!("no permit was free"), _ = small => {} }
    }
    slow.pop();
    let (cause, response) = one_more.await;
    assert_eq!(cause, Cause::Ok);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.len() == 100_000 && body.iter().all(|byte| *byte == b'x'));
    drop(slow);
    assert_eq!(dir.admission.open_files.in_use(), 0);
}

#[tokio::test]
async fn open_files_of_slow_clients_count_for_the_next_folder_of_the_route() {
    let world = World::new();
    fs::write(world.root.path().join("public/big"), vec![b'x'; 100_000]).unwrap();
    let node = Node::new(1, Logs::default(), None);
    let before = serve(&node, &world, "/static/**");
    let (_, slow) = respond(&before, get("/static/big")).await;
    let after = serve(&node, &world, "/static/**");
    let (_, also_slow) = respond(&after, get("/static/big")).await;
    assert_eq!(after.admission.open_files.in_use(), 2);
    drop((slow, also_slow));
    assert_eq!(after.admission.open_files.in_use(), 0);
    // Another route has permits of its own.
    let (_, _slow) = respond(&after, get("/static/big")).await;
    assert_eq!(serve(&node, &world, "/other/**").admission.open_files.in_use(), 0);
}

/// Pieces of paths that try to escape, and arbitrary text.
fn piece() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "/",
        "..",
        ".",
        "a",
        "a.css",
        "%2e",
        "%2E%2e",
        "%2f",
        "%5c",
        "\\",
        "%00",
        "secret",
        "other",
        "public",
        "out",
        "out-folder",
        ".git",
        ".env",
        "%2eenv",
        "etc/passwd",
        "%",
        "%25",
        "C:",
        "//",
        "index.html",
        "b",
    ];
    prop_oneof![4 => proptest::sample::select(KNOWN).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_path_stays_below_the_folder(pieces in proptest::collection::vec(piece(), 0..8), first: bool) {
        thread_local!(static WORLD: World = {
            let world = World::new();
            #[cfg(unix)]
            for (to, name) in [("../secret", "out"), ("../other", "out-folder"), ("/", "a/b/root")] {
                std::os::unix::fs::symlink(to, world.root.path().join("public").join(name)).unwrap();
            }
            world
        });
        let rest = format!("{}{}", if first { "/" } else { "" }, pieces.concat());
        if let Ok(text) = WORLD.with(|world| world.get(&rest)) {
            prop_assert!(text == "public" || text == "folder", "{rest:?} reads {text:?}");
        }
    }
}
