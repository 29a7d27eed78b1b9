//! Loads apps and serves them through the public API of this crate: what a front door other than
//! the command line does.

use std::env::VarError;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use walnut_host::{
    AppError, AppErrors, Deployment, ErrorClass, FrontDoor, Loader, LoaderConfig, Logs, Node, Notice, Notices, Server,
    ServerConfig, Severity, run_triggers,
};
use walnut_test_support::HttpClient;

/// A front door that keeps its notices and does nothing else.
#[derive(Default)]
struct TestFrontDoor {
    notices: Mutex<Vec<Notice>>,
}

impl Notices for TestFrontDoor {
    fn notify(&self, notice: &Notice) {
        self.notices.lock().unwrap().push(notice.clone());
    }
}

impl FrontDoor for TestFrontDoor {
    fn variable(&self, name: &str) -> Result<String, VarError> {
        if name == "SET" { Ok("value".to_owned()) } else { Err(VarError::NotPresent) }
    }
}

impl TestFrontDoor {
    fn warnings(&self) -> Vec<String> {
        let notices = self.notices.lock().unwrap();
        let warnings = notices.iter().filter(|notice| notice.severity == Severity::Warning);
        warnings.map(|notice| notice.message.clone()).collect()
    }
}

struct TestNode {
    node: Arc<Node>,
    front_door: Arc<TestFrontDoor>,
    loader: Loader,
}

impl TestNode {
    fn new() -> Self {
        let config = LoaderConfig::default();
        let node = Node::new(config.node_sandboxes, Logs::default(), None);
        let front_door = Arc::<TestFrontDoor>::default();
        let loader = Loader::new(node.clone(), config, front_door.clone());
        TestNode { node, front_door, loader }
    }

    /// Loads `targets` together, which is refused.
    fn refused(&self, targets: &[&Path]) -> AppErrors {
        let targets: Vec<_> = targets.iter().map(|target| target.display().to_string()).collect();
        self.loader.load(&targets, None).err().expect("it is refused")
    }

    /// Loads `target` and has the node serve it.
    fn deploy(&self, target: &Path, previous: Option<&Deployment>) -> Result<Deployment, AppErrors> {
        let (deployment, apps) = self.loader.load(&[target.display().to_string()], previous)?;
        self.node.replace(apps);
        Ok(deployment)
    }

    /// Serves over HTTP until the end of the test.
    fn serve(&self) -> SocketAddr {
        let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
        config.workers = 1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(Server::bind(config)).unwrap();
        let address = server.address().unwrap();
        let node = self.node.clone();
        thread::spawn(move || runtime.block_on(run_triggers(vec![Box::new(server)], node, std::future::pending())));
        address
    }
}

fn shop() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop"))
}

/// A copy of the shop that a test may change.
fn copied_shop() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("public")).unwrap();
    for file in ["walnut.toml", "greeter.wat", "public/index.html"] {
        std::fs::copy(shop().join(file), dir.path().join(file)).unwrap();
    }
    dir
}

fn hints(errors: &AppErrors) -> Vec<String> {
    errors.iter().flat_map(AppError::hints).collect()
}

fn rewrite(shop: &Path, from: &str, to: &str) {
    let manifest = shop.join("walnut.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&manifest, text.replace(from, to)).unwrap();
}

#[test]
fn a_component_and_a_folder_of_an_app_answer_requests() {
    let test = TestNode::new();
    let deployment = test.deploy(shop(), None).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(deployment.summaries.len(), 1);
    let lines = deployment.summaries[0].lines.join("\n");
    assert!(lines.contains("/api/**") && lines.contains("shop/greeter") && lines.contains("files in "), "{lines}");
    let mut client = HttpClient::open(test.serve()).unwrap();
    let index = std::fs::read_to_string(shop().join("public/index.html")).unwrap();
    client.get("/").is(200, &index);
    client.get("/api/hello").is(200, "hello from a sealed component\n");
    assert_eq!(client.get("/nothing").status, 404);
    assert_eq!(test.front_door.warnings(), Vec::<String>::new());
}

#[test]
fn an_app_with_errors_is_refused_with_all_of_them() {
    let (test, shop) = (TestNode::new(), copied_shop());
    rewrite(shop.path(), "source = \"greeter.wat\"", "source = \"greter.wat\"");
    rewrite(shop.path(), "dir = \"./public\"", "dir = \"./pubic\"");
    rewrite(shop.path(), "\"100ms\"", "\"soon\"");
    let errors = test.refused(&[shop.path()]);
    assert_eq!((errors.iter().count(), errors.class()), (1, ErrorClass::Host));
    let text = errors.to_string();
    for expected in ["greter.wat", "did you mean `greeter.wat`?", "did you mean `./public`?", "`soon`"] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn a_target_that_does_not_exist_has_its_own_class() {
    let test = TestNode::new();
    let errors = test.refused(&[&shop().join("greter.wat")]);
    assert_eq!(errors.class(), ErrorClass::NotFound);
    assert_eq!(hints(&errors), [format!("did you mean `{}`?", shop().join("greeter.wat").display())]);
}

#[test]
fn inputs_tell_of_changes_also_after_a_load_that_failed() {
    let (test, shop) = (TestNode::new(), copied_shop());
    rewrite(shop.path(), "\"100ms\"", "\"soon\"");
    assert!(test.deploy(shop.path(), None).is_err());
    assert!(test.loader.inputs().changed().is_none());
    rewrite(shop.path(), "\"soon\"", "\"200ms\"");
    assert!(test.loader.inputs().changed().is_some());
    assert!(test.deploy(shop.path(), None).is_ok());
    assert!(test.loader.inputs().changed().is_none());
}

#[test]
fn a_summary_tells_the_same_app_from_another_version_of_it() {
    let (test, shop) = (TestNode::new(), copied_shop());
    let first = test.deploy(shop.path(), None).unwrap_or_else(|errors| panic!("{errors}"));
    let same = test.deploy(shop.path(), Some(&first)).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(same.summaries[0].has_content_of(&first.summaries[0]));
    rewrite(shop.path(), "\"100ms\"", "\"200ms\"");
    let other = test.deploy(shop.path(), Some(&same)).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!other.summaries[0].has_content_of(&first.summaries[0]));
}

#[test]
fn a_component_that_no_route_leads_to_is_warned_of() {
    let (test, shop) = (TestNode::new(), copied_shop());
    let text = std::fs::read_to_string(shop.path().join("walnut.toml")).unwrap();
    let idle = text + "\n[component.idle]\nsource = \"greeter.wat\"\n";
    std::fs::write(shop.path().join("walnut.toml"), idle).unwrap();
    assert!(test.deploy(shop.path(), None).is_ok());
    let warnings = test.front_door.warnings();
    assert!(
        matches!(warnings.as_slice(), [warning] if warning.contains("no route leads to [component.idle]")),
        "{warnings:?}"
    );
}

#[test]
fn a_variable_that_is_not_set_is_warned_of() {
    for (variable, count) in [("SET", 0), ("UNSET", 1), ("UNSET=value", 0)] {
        let (test, shop) = (TestNode::new(), copied_shop());
        let grant = format!("limits.cpu = \"100ms\"\nallow.env = \"{variable}\"");
        rewrite(shop.path(), "limits.cpu = \"100ms\"", &grant);
        assert!(test.deploy(shop.path(), None).is_ok());
        let warnings = test.front_door.warnings();
        let expected = "[component.greeter.allow]: the variable `UNSET` is not set here";
        assert_eq!(warnings.iter().filter(|warning| warning.contains(expected)).count(), count, "{warnings:?}");
    }
}

#[test]
fn two_apps_may_not_claim_the_same_routes_or_names() {
    let (test, other) = (TestNode::new(), copied_shop());
    let errors = test.refused(&[shop(), other.path()]);
    let text = errors.to_string();
    for expected in ["serves /api/** too", "serves /** too", "has a shop/greeter too"] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    rewrite(other.path(), "name = \"shop\"", "name = \"other\"");
    rewrite(other.path(), "\"/api/**\"", "\"/other/api/**\"");
    rewrite(other.path(), "\"/**\"", "\"/other/**\"");
    let targets = [shop(), other.path()].map(|target| target.display().to_string());
    assert_eq!(test.loader.load(&targets, None).unwrap_or_else(|errors| panic!("{errors}")).1.len(), 2);
}

#[test]
fn components_without_a_manifest_get_the_proposal_of_one() {
    let (test, shop) = (TestNode::new(), copied_shop());
    let (first, second) = (shop.path().join("greeter.wat"), shop.path().join("second.wat"));
    std::fs::copy(&first, &second).unwrap();
    let errors = test.refused(&[&first, &second]);
    assert_eq!(errors.class(), ErrorClass::Host);
    let proposal = hints(&errors).remove(0).split_once('\n').unwrap().1.to_owned();
    std::fs::write(shop.path().join("walnut.toml"), proposal).unwrap();
    assert!(test.deploy(shop.path(), None).is_ok());
}

#[test]
fn a_target_that_is_named_twice_is_wrong_usage() {
    let errors = TestNode::new().refused(&[shop(), &shop().join("walnut.toml")]);
    assert_eq!(errors.class(), ErrorClass::Usage);
}
