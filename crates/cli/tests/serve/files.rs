//! Files of a folder: which are served and how, and which never are.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use walnut_test_programs::RUST_P2_HTTP_HELLO;
use walnut_test_support::{Http2, HttpClient, Response, ServeProcess, TestEnv, guest, request, test_env};

const HELLO: &str = "hello from a sealed component\n";

/// An app with a folder `public` below `/static`, and a component for `/static/private` and below
/// it.
fn site(routes: &str) -> TestEnv {
    let env = test_env!();
    let hello = guest(RUST_P2_HTTP_HELLO);
    let manifest = format!(
        "[app]\nname = \"site\"\n[component.hello]\nsource = \"{hello}\"\n\
         [[http]]\nroute = \"/static/**\"\ndir = \"./public\"\n\
         [[http]]\nroute = \"/static/private/**\"\ncomponent = \"hello\"\n{routes}"
    );
    env.file("site/walnut.toml", manifest);
    env.folder("site/public");
    env
}

fn serve(env: &TestEnv) -> ServeProcess {
    ServeProcess::of_apps(env, ["site"])
}

fn public(env: &TestEnv, path: &str) -> PathBuf {
    env.path("site/public").join(path)
}

fn with(server: &ServeProcess, method: &str, path: &str, headers: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n")).unwrap();
    if method == "HEAD" { client.head().unwrap() } else { client.response() }
}

#[track_caller]
fn has(response: &Response, name: &str, value: &str) {
    assert_eq!(response.header(name), Some(value), "{name} of {response:?}");
}

#[test]
fn a_file_is_served_with_its_type() {
    let env = site("");
    env.file("site/public/a/b.css", "body {}");
    let server = serve(&env);
    let response = server.get("/static/a/b.css");
    response.is(200, "body {}");
    has(&response, "content-type", "text/css; charset=utf-8");
    has(&response, "content-length", "7");
    has(&response, "x-content-type-options", "nosniff");
    has(&response, "accept-ranges", "bytes");
    has(&response, "vary", "accept-encoding");
    let head = with(&server, "HEAD", "/static/a/b.css", "");
    let timeless =
        |headers: &[(String, String)]| headers.iter().filter(|(name, _)| name != "date").cloned().collect::<Vec<_>>();
    assert_eq!((head.status, timeless(&head.headers)), (200, timeless(&response.headers)));
    server.get("/static/a/c.css").is(404, "there is no such file\n");
    // Files that were missing are served now, and changed ones in their new version.
    env.file("site/public/a/c.css", "later");
    env.file("site/public/a/b.css", "changed");
    server.get("/static/a/c.css").is(200, "later");
    server.get("/static/a/b.css").is(200, "changed");
    server.says("/static/**          files in site/public\n");
}

#[test]
fn a_connection_goes_on_after_every_answer() {
    let env = site("");
    env.file("site/public/a.txt", "text");
    let server = serve(&env);
    let mut client = server.connect();
    for _ in 0..3 {
        client.get("/static/a.txt").is(200, "text");
        client.get("/static/none").is(404, "there is no such file\n");
        client.send("HEAD /static/a.txt HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
        let headers = "host: test\r\nif-none-match: *\r\n\r\n";
        assert_eq!(client.ask(format!("GET /static/a.txt HTTP/1.1\r\n{headers}")).status, 304);
    }
}

#[test]
fn folders_have_an_index_and_a_slash() {
    let env =
        site("[[http]]\nroute = \"/favicon.ico\"\ndir = \"public\"\n[[http]]\nroute = \"/sub\"\ndir = \"public\"\n");
    env.file("site/public/index.html", "root");
    env.file("site/public/sub/index.html", "sub");
    env.file("site/public/favicon.ico", "icon");
    env.folder("site/public/bare");
    let server = serve(&env);
    let index = server.get("/static/");
    index.is(200, "root");
    has(&index, "content-type", "text/html; charset=utf-8");
    server.get("/static/sub/").is(200, "sub");
    for (path, to) in [
        ("/static", "/static/"),
        ("/static/sub", "/static/sub/"),
        ("/static/sub?a=%2F&b", "/static/sub/?a=%2F&b"),
        ("/static/bare", "/static/bare/"),
    ] {
        let response = server.get(path);
        assert_eq!(response.status, 301, "{path}");
        has(&response, "location", to);
    }
    // No listing of a folder.
    server.get("/static/bare/").is(404, "there is no such file\n");
    server.get("/static/index.html/").is(404, "there is no such file\n");
    // A route that is one path serves the file of its last name.
    server.get("/favicon.ico").is(200, "icon");
    server.get("/sub").is(404, "there is no such file\n");
}

#[test]
fn files_are_only_read() {
    let env = site("");
    env.file("site/public/a.txt", "text");
    let server = serve(&env);
    for method in ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        let response = with(&server, method, "/static/a.txt", "content-length: 0\r\n");
        response.is(405, "files can only be read\n");
        has(&response, "allow", "GET, HEAD");
    }
    assert_eq!(server.post("/static/a.txt", "other").status, 405);
    // The query is not read, either.
    let mut client = Http2::open(server.address()).unwrap();
    client.ask(request("POST", "/static/a.txt"), &[0; 1 << 20]).is(405, "files can only be read\n");
    client.ask(request("GET", "/static/a.txt"), b"question").is(200, "text");
    with(&server, "GET", "/static/a.txt", "content-length: 1000000000000000\r\n").is(200, "text");
    server.get("/static/a.txt").is(200, "text");
    assert_eq!(env.read("site/public/a.txt"), "text");
}

#[test]
fn what_is_known_already_is_not_sent_again() {
    let env = site("");
    env.file("site/public/a.txt", "text");
    let server = serve(&env);
    // Within the second of its change, a file has no date.
    thread::sleep(Duration::from_millis(1100));
    let first = server.get("/static/a.txt");
    let (etag, date) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    let get = |headers: String| with(&server, "GET", "/static/a.txt", &headers);
    for known in [format!("if-none-match: \"x\", {etag}\r\n"), format!("if-modified-since: {date}\r\n")] {
        let response = get(known.clone());
        response.is(304, "");
        has(&response, "etag", etag);
        has(&response, "vary", "accept-encoding");
        assert_eq!(response.header("content-length"), None);
        assert_eq!(with(&server, "HEAD", "/static/a.txt", &known).status, 304);
    }
    get("if-none-match: \"x\"\r\n".to_owned()).is(200, "text");
    get("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned()).is(200, "text");
    get(format!("if-match: {etag}\r\n")).is(200, "text");
    get("if-match: \"x\"\r\n".to_owned()).is(412, "the file has changed\n");
    get("if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned()).is(412, "the file has changed\n");
    env.file("site/public/a.txt", "other text");
    get(format!("if-none-match: {etag}\r\n")).is(200, "other text");
}

#[test]
fn parts_of_a_file() {
    let env = site("");
    let text: String = ('a'..='z').collect::<String>().repeat(10_000);
    env.file("site/public/a.txt", &text);
    let server = serve(&env);
    let etag = server.get("/static/a.txt").header("etag").unwrap().to_owned();
    let get = |headers: &str| with(&server, "GET", "/static/a.txt", headers);
    for (range, part, of) in [
        ("0-1", "ab", "bytes 0-1/260000"),
        ("-3", "xyz", "bytes 259997-259999/260000"),
        ("259999-", "z", "bytes 259999-259999/260000"),
        ("100000-200000", &text[100_000..=200_000], "bytes 100000-200000/260000"),
    ] {
        let response = get(&format!("range: bytes={range}\r\n"));
        response.is(206, part);
        has(&response, "content-range", of);
        has(&response, "content-length", &part.len().to_string());
        has(&response, "content-type", "text/plain; charset=utf-8");
    }
    let beyond = get("range: bytes=260000-\r\n");
    beyond.is(416, "the file has no such range\n");
    has(&beyond, "content-range", "bytes */260000");
    // Several ranges, and invalid ones, get the whole file.
    for range in ["bytes=0-1,4-5", "bytes=b-a", "pages=1-2"] {
        get(&format!("range: {range}\r\n")).is(200, &text);
    }
    get(&format!("range: bytes=0-1\r\nif-range: {etag}\r\n")).is(206, "ab");
    get("range: bytes=0-1\r\nif-range: \"x\"\r\n").is(200, &text);
    let head = with(&server, "HEAD", "/static/a.txt", "range: bytes=0-1\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, Some("260000")));
}

#[test]
fn what_is_compressed_already_goes_as_it_is() {
    let env = site("");
    for (name, content) in [
        ("a.js", "plain"),
        ("a.js.br", "brotli!"),
        ("a.js.gz", "gzipped"),
        ("b.js", "alone"),
        ("c.js", "plain"),
        ("c.js.zst", "zstandard"),
    ] {
        env.file(&format!("site/public/{name}"), content);
    }
    env.folder("site/public/b.js.gz");
    let server = serve(&env);
    let get = |name: &str, accepts: &str| {
        with(&server, "GET", &format!("/static/{name}"), &format!("accept-encoding: {accepts}\r\n"))
    };
    let mut tags = Vec::new();
    for (accepts, content, encoding) in [
        ("identity", "plain", None),
        ("gzip, deflate, br, zstd", "brotli!", Some("br")),
        ("gzip, br;q=0.5", "gzipped", Some("gzip")),
        ("br;q=0, *", "gzipped", Some("gzip")),
        ("zstd", "plain", None),
        ("gzip;q=0", "plain", None),
    ] {
        let response = get("a.js", accepts);
        response.is(200, content);
        assert_eq!(response.header("content-encoding"), encoding, "{accepts}");
        has(&response, "content-type", "text/javascript; charset=utf-8");
        has(&response, "vary", "accept-encoding");
        tags.push((encoding, response.header("etag").unwrap().to_owned()));
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "{tags:?}");
    assert!(tags.iter().enumerate().all(|(i, (_, tag))| tags[..i].iter().all(|(_, other)| other != tag)), "{tags:?}");
    get("b.js", "gzip").is(200, "alone");
    let zstd = get("c.js", "gzip, br, zstd");
    zstd.is(200, "zstandard");
    has(&zstd, "content-encoding", "zstd");
    // A range of a variant is a range of the encoded bytes.
    let part = with(&server, "GET", "/static/c.js", "accept-encoding: zstd\r\nrange: bytes=1-3\r\n");
    part.is(206, "sta");
    has(&part, "content-range", "bytes 1-3/9");
    // Under its own name the variant is a file of its own.
    let own = get("a.js.gz", "identity");
    own.is(200, "gzipped");
    has(&own, "content-type", "application/gzip");
    assert_eq!(own.header("content-encoding"), None);
}

#[test]
fn no_path_leads_out() {
    let env = site("");
    env.file("site/secret", "secret");
    env.file("site/public/a.txt", "text");
    env.file("site/public/.env", "secret");
    env.file("site/public/.git/config", "secret");
    env.file("site/public/.well-known/security.txt", "for everybody");
    env.file("site/public/private/x", "secret");
    let server = serve(&env);
    let mut paths: Vec<String> = [
        "../secret",
        "%2e%2e/secret",
        ".%2E/secret",
        "..%2fsecret",
        "..%5csecret",
        "..\\secret",
        "%2e%2e%2fsecret",
        "a.txt/../../secret",
        "x/../../secret",
        "./../secret",
        "/../secret",
        "%00",
        "a.txt%00",
        "a.txt%00.css",
        ".env",
        "%2eenv",
        ".git/config",
        ".git/",
        ".git",
        "%2Egit/config",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "..;/secret",
        "....//secret",
        "%c0%ae%c0%ae/secret",
        "%252e%252e/secret",
        "a.txt/",
        "a.txt/.",
        "a%2etxt/..",
    ]
    .map(|path| format!("/static/{path}"))
    .to_vec();
    paths.push(format!("/static{}", env.path("site/secret").display()));
    // The component's path, written so that only the folder's route would match.
    paths.extend(["/static/%70rivate/x", "/static//private/x", "/static/./private/x"].map(str::to_owned));
    for path in paths {
        let response = server.get(&path);
        assert_eq!(response.status, 404, "{path} is {response:?}");
    }
    // Closer to the component's path, and served.
    server.get("/static/a.txt").is(200, "text");
    server.get("/static/%61%2etxt").is(200, "text");
    server.get("/static/.well-known/security.txt").is(200, "for everybody");
    server.get("/static/private/x").is(200, HELLO);
}

/// However either is written: a client need not write a path as the manifest does.
#[test]
fn no_spelling_leads_around_a_narrower_route() {
    let narrower = |route: &str| format!("[[http]]\nroute = \"{route}\"\ncomponent = \"hello\"\n");
    let env = site(&[narrower("/static/priv%c3%a9/**"), narrower("/static/%61dmin/**")].concat());
    for folder in ["privé", "admin", "public"] {
        env.file(&format!("site/public/{folder}/x"), "a file");
    }
    let server = serve(&env);
    for path in ["/static/privé/x", "/static/priv%C3%A9/x", "/static/admin/x", "/static/%61%64min/x"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    server.get("/static/priv%c3%a9/x").is(200, HELLO);
    server.get("/static/%61dmin/x").is(200, HELLO);
    server.get("/static/%70ublic/x").is(200, "a file");
}

#[test]
fn no_link_leads_out() {
    let env = site("");
    env.file("site/secret", "secret");
    env.file("site/other/secret", "secret");
    env.file("site/public/a/b.txt", "text");
    let secret = env.path("site/secret");
    for (to, name) in [
        ("../secret", "up"),
        (secret.to_str().unwrap(), "absolute"),
        ("../other", "folder"),
        ("a/../../secret", "around"),
        ("up", "twice"),
        ("/proc/self/root/etc/passwd", "proc"),
        ("a/b.txt", "inside"),
        ("a", "inside-folder"),
    ] {
        symlink(to, public(&env, name)).unwrap();
    }
    let server = serve(&env);
    for path in ["up", "absolute", "folder/secret", "around", "twice", "proc"] {
        server.get(&format!("/static/{path}")).is(403, "this file may not be read\n");
    }
    // Nor does a file that is served as the compressed variant.
    env.file("site/public/c.txt", "plain");
    symlink("../secret", public(&env, "c.txt.gz")).unwrap();
    with(&server, "GET", "/static/c.txt", "accept-encoding: gzip\r\n").is(200, "plain");
    server.get("/static/inside").is(200, "text");
    server.get("/static/inside-folder/b.txt").is(200, "text");
}

#[test]
fn a_link_that_is_swapped_leads_nowhere_else() {
    const ASK: &str = "GET /static/swapped/a.txt HTTP/1.1\r\nhost: test\r\n\r\n";
    let env = site("");
    env.file("site/other/a.txt", "secret");
    env.file("site/public/real/a.txt", "text");
    let (name, inside, outside) = (public(&env, "swapped"), public(&env, "in"), public(&env, "out"));
    symlink("real", &name).unwrap();
    let server = serve(&env);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                for (to, link) in [("real", &inside), ("../other", &outside)] {
                    symlink(to, link).unwrap();
                    fs::rename(link, &name).unwrap();
                }
            }
        });
        let mut client = server.connect();
        let mut statuses = Vec::new();
        let mut secrets = 0;
        for _ in 0..3000 {
            let Ok(response) = client.send(ASK).and_then(|()| client.try_response()) else { break };
            secrets += usize::from(response.text() == "secret");
            if !statuses.contains(&response.status) {
                statuses.push(response.status);
            }
        }
        // Before anything can fail, or the other thread would go on for ever.
        over.store(true, Relaxed);
        assert_eq!(secrets, 0);
        assert!(statuses.contains(&200), "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 403].contains(status)), "{statuses:?}");
    });
}

#[test]
fn only_files_are_read() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    let env = site("");
    let mode = |mode| Mode::from_raw_mode(mode);
    mkfifoat(CWD, public(&env, "pipe"), mode(0o666)).unwrap();
    mkfifoat(CWD, public(&env, "index.html"), mode(0o666)).unwrap();
    // The name of a socket has at most 107 bytes.
    let _socket = UnixListener::bind(public(&env, "socket"));
    env.file("site/public/file", "text");
    let unread = env.file("site/public/unread", "text");
    fs::set_permissions(unread, fs::Permissions::from_mode(0o000)).unwrap();
    let server = serve(&env);
    // More than there are threads to hang.
    let mut client = server.connect();
    for _ in 0..600 {
        assert_eq!(client.get("/static/pipe").status, 404);
    }
    assert_eq!(server.get("/static/").status, 404);
    assert_eq!(server.get("/static/socket").status, 404);
    // Root may read everything.
    assert_eq!(server.get("/static/unread").status, if rustix::process::geteuid().is_root() { 200 } else { 403 });
    server.get("/static/file").is(200, "text");
}

#[test]
fn a_device_is_no_file() {
    let env = test_env!();
    env.file("site/walnut.toml", "[app]\nname = \"site\"\n[[http]]\nroute = \"/**\"\ndir = \"/dev\"\n");
    let server = serve(&env);
    for path in ["/null", "/zero", "/full", "/tty", "/stdin"] {
        let status = server.get(path).status;
        assert!([403, 404].contains(&status), "{path} is {status}");
    }
}

/// Creates a sparse file of `size` bytes with marks at both ends.
fn big(env: &TestEnv, size: u64) -> PathBuf {
    let path = env.file("site/public/big.bin", "begin");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.set_len(size - 3).unwrap();
    file.write_all(b"end").unwrap();
    path
}

#[test]
fn a_big_file_streams_in_little_memory() {
    const SIZE: usize = 256 << 20;
    let env = site("");
    big(&env, SIZE as u64);
    env.file("site/public/a.txt", "text");
    let server = serve(&env);
    server.get("/static/a.txt").is(200, "text");
    let before = server.resident();
    let most = |server: &ServeProcess| {
        if let (Some(before), Some(now)) = (before, server.resident()) {
            assert!(now < before + (32 << 20), "{before} bytes grew to {now}");
        }
    };
    let mut client = server.connect();
    client.send("GET /static/big.bin HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    has(&client.head().unwrap(), "content-length", &SIZE.to_string());
    for part in 0..256 {
        let bytes = client.exactly(1 << 20).unwrap();
        match part {
            0 => assert_eq!(&bytes[..5], b"begin"),
            255 => assert_eq!(&bytes[(1 << 20) - 3..], b"end"),
            _ => assert!(bytes.iter().all(|byte| *byte == 0)),
        }
        if part % 64 == 0 {
            most(&server);
        }
    }
    client.get("/static/a.txt").is(200, "text");
    // A client that does not read holds no more than a few parts.
    let mut idle: Vec<HttpClient> = (0..30).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.send("GET /static/big.bin HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        assert_eq!(client.head().unwrap().status, 200);
    }
    server.get("/static/a.txt").is(200, "text");
    most(&server);
}

#[test]
fn a_file_that_is_cut_short_never_looks_whole() {
    let env = site("");
    let path = big(&env, 64 << 20);
    let server = serve(&env);
    let mut one = server.connect();
    one.send("GET /static/big.bin HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(one.exactly(100).unwrap().len(), 100);
    let mut other = Http2::open(server.address()).unwrap();
    let mut stream = other.start(request("GET", "/static/big.bin"), true);
    assert_eq!(stream.head().unwrap().status, 200);
    OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 20).unwrap();
    assert!(one.rest().len() < 64 << 20);
    let broke = loop {
        match stream.part() {
            Ok(part) if part.is_empty() => break false,
            Ok(_) => {}
            Err(_) => break true,
        }
    };
    assert!(broke, "it came to an end");
    server.says("site/public/big.bin cannot be sent: the file was truncated while it was sent");
    // In its present state, the file is served whole again.
    assert_eq!(server.get("/static/big.bin").body.len(), 1 << 20);
    let said = server.stop().stdout;
    assert_eq!(said.matches("site/files:/static/** broken_off").count(), 2, "{said}");
}

#[test]
fn http_2_serves_them_too() {
    let env = site("");
    env.file("site/public/a.txt", "text");
    let long = "0123456789".repeat(100_000);
    env.file("site/public/long.txt", &long);
    let server = serve(&env);
    let mut client = Http2::open(server.address()).unwrap();
    client.get("/static/a.txt").is(200, "text");
    client.get("/static/long.txt").is(200, &long);
    client.get("/static/.env").is(404, "there is no such file\n");
    client.get("/static").is(301, "the path of a folder ends in a slash\n");
    let head = client.ask(request("HEAD", "/static/long.txt"), b"");
    head.is(200, "");
    has(&head, "content-length", "1000000");
    let mut ranged = request("GET", "/static/long.txt");
    ranged.headers_mut().insert("range", "bytes=10-12".parse().unwrap());
    client.ask(ranged, b"").is(206, "012");
    let answers = client.ask_all((0..100).map(|_| request("GET", "/static/a.txt")));
    answers.iter().for_each(|answer| answer.is(200, "text"));
}

#[test]
fn requests_for_files_are_counted_and_said() {
    let env = site("");
    env.file("site/public/a.txt", "text");
    let server = serve(&env);
    server.get("/static/a.txt").is(200, "text");
    server.get("/static/none").is(404, "there is no such file\n");
    let said = server.stop().stdout;
    assert!(said.contains(" GET test/static/a.txt 200 4 ") && said.contains("site/files:/static/** ok "), "{said}");
    assert!(said.contains(" GET test/static/none 404 22 ") && said.contains("files:/static/** not_found "), "{said}");
}

#[test]
fn the_admin_address_tells_of_folders() {
    let env = site("");
    env.file("site/public/a.txt", "text");
    let server = ServeProcess::of_apps(&env, ["site", "--admin", "127.0.0.1:0"]);
    server.get("/static/a.txt").is(200, "text");
    let said = server.stderr();
    let admin = said.lines().find_map(|line| line.strip_prefix("admin page: http://")?.strip_suffix('/')).unwrap();
    let get = |path: &str| {
        let ask = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        HttpClient::open(admin.parse().unwrap()).unwrap().ask(ask).text()
    };
    let metrics = get("/metrics");
    let count = "walnut_requests_total{app=\"site\",component=\"files:/static/**\",class=\"2xx\",cause=\"ok\"} 1\n";
    assert!(metrics.contains(count), "{metrics}");
    let status = get("/status.json");
    let shown = "\"component\":\"files:/static/**\",\"routes\":[\"/static/**\"],\"grants\":[\"files in site/public\"]";
    assert!(status.contains(shown), "{status}");
}

#[test]
fn a_folder_that_is_none_is_told_with_its_line() {
    let env = site("[[http]]\nroute = \"/more/**\"\ndir = \"site.css\"\n");
    let refused = || env.run(["serve", "--addr", "127.0.0.1:0", "site"]);
    let _ = refused().exits_with(127).says("site/walnut.toml:13: there is no folder site/site.css");
    env.file("site/site.css", "");
    let _ = refused().exits_with(125).says("site/walnut.toml:13: site/site.css is a file, not a folder");
    fs::remove_file(env.path("site/site.css")).unwrap();
    env.folder("site/site.css");
    env.file("site/site.css/a.txt", "text");
    serve(&env).get("/more/a.txt").is(200, "text");
}
