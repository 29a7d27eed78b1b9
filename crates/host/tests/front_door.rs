//! A front door other than the command line: serves an app through this crate alone, and stops.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;
use walnut_host::{App, Drained, Logs, Node, RouteTarget, Server, ServerConfig, run_triggers};
use walnut_manifest::Manifest;
use walnut_test_support::HttpClient;

/// A program that serves the apps of a node over HTTP.
struct FrontDoor {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Drained>,
}

impl FrontDoor {
    fn open(node: Arc<Node>) -> Self {
        let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
        config.workers = 2;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(Server::bind(config)).unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap() };
        let thread =
            thread::spawn(move || runtime.block_on(run_triggers(vec![Box::new(server)], node, stopped)).unwrap());
        FrontDoor { address, stop, thread }
    }

    fn close(self) -> Drained {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

/// Loads the app in `folder`.
fn load(node: &Node, folder: &Path) -> App {
    let text = std::fs::read_to_string(folder.join("walnut.toml")).unwrap();
    let manifest = Manifest::parse(&text, "walnut.toml", folder).unwrap();
    let route = manifest.http.routes[0].clone();
    let dir = node.open_dir("site", &route, &folder.join("public"), |_, _| {}).unwrap();
    App { components: Vec::new(), routes: vec![(route, RouteTarget::Dir(dir))] }
}

#[test]
fn an_app_is_served_without_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "[app]\nname = \"site\"\n[[http]]\nroute = \"/**\"\ndir = \"public\"\n";
    std::fs::write(folder.path().join("walnut.toml"), manifest).unwrap();
    std::fs::create_dir(folder.path().join("public")).unwrap();
    std::fs::write(folder.path().join("public/a.txt"), "first").unwrap();
    let node = Node::new(1, Logs::default(), None);
    let door = FrontDoor::open(node.clone());
    let mut client = HttpClient::open(door.address).unwrap();
    client.get("/a.txt").is(404, "nothing is served here\n");
    node.replace(vec![load(&node, folder.path())]);
    client.get("/a.txt").is(200, "first");
    assert_eq!(door.close(), Drained::Cleanly);
    assert!(client.is_closed());
}
