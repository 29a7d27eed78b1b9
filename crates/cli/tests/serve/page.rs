//! The admin page, as a browser shows it.

use crate::Served;
use crate::admin::{address, bad, counts, labels};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use walnut_test_programs::*;

/// A browser that shows the page of a server.
struct Browser(&'static str);

impl Browser {
    /// Returns the browser of this machine, if there is one.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn find() -> Option<Self> {
        let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs);
        if found.is_none() {
            eprintln!("skipped: there is no chromium on the PATH");
        }
        found.map(Browser)
    }

    /// Renders the page of `server` after so many seconds of virtual time, which pass as quickly as
    /// the server answers.
    fn shows(&self, server: &Served, seconds: u32, arguments: &[&str]) -> String {
        let mut command = Command::new(self.0);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--window-size=1200,900"]).arg(format!("--virtual-time-budget={seconds}000"));
        command.arg(format!("--user-data-dir={}", server.env.temp().join("browser").display())).args(arguments);
        let output = command.arg(format!("http://{}/", address(server))).output().expect("the browser starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Skipped where there is no browser.
#[test]
fn the_page_shows_what_is_served_and_what_was_refused() {
    let Some(browser) = Browser::find() else { return };
    let flags = ["--quiet", "--env", "<img/src/onerror>=1", "--memory", "32MiB", "--deadline", "1h"];
    let audit = if cfg!(target_os = "linux") { "/dev/full" } else { "audit.jsonl" };
    let server = bad(&[&flags[..], &["--audit", audit]].concat());
    server.get("/file?path=/data/%3Cb%3Ea.txt");
    if cfg!(target_os = "linux") {
        counts(&server, "walnut_audit_lost_lines_total 1");
    }
    server.get("/memory");
    counts(&server, &format!(r#"walnut_limits_reached_total{{{},limit="memory"}} 1"#, labels()));
    counts(&server, &format!(r#"walnut_denials_total{{{},capability="dir"}} 1"#, labels()));
    let mut under_way = server.connect();
    under_way.send("GET /sleep?ms=600000 HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    counts(&server, &format!("walnut_sandboxes{{{}}} 1", labels()));
    let page = browser.shows(&server, 4, &["--dump-dom"]);
    let name = RUST_P2_HTTP_BAD.path().file_name().unwrap().to_string_lossy().into_owned();
    for text in [
        format!("<h2>{name}/component</h2>"),
        r#"<span class="phase serving" id="phase">serving</span>"#.into(),
        "<div>read /data/&lt;b&gt;a.txt</div>".into(),
        "<code>--dir ./data::/data</code>".into(),
        r#"<code>dir = ["./data::/data"]</code>"#.into(),
        "<h3>Requests by cause</h3><div>memory 1 · ok 1</div>".into(),
        "<h3>Limits reached</h3><div>memory 1</div>".into(),
        "<dt>requests</dt><dd>2</dd>".into(),
        "<dt>in flight</dt><dd>1</dd>".into(),
        r#"<dt>sandboxes</dt><dd title="1 of 100 admission permits in use">1</dd>"#.into(),
        // Text from others is shown as text, not as HTML.
        "<code>env = &lt;img/src/onerror&gt;</code>".into(),
    ] {
        assert!(page.contains(&text), "no {text:?} in:\n{page}");
    }
    assert!(page.contains(" · lost lines: 1 of the audit</span>") || !cfg!(target_os = "linux"), "{page}");
    assert!(!page.contains("<img") && page.contains("<title>Walnut</title>"), "{page}");
}

/// The plots and the latencies while requests come. Skipped where there is no browser.
#[test]
fn the_page_lives() {
    let Some(browser) = Browser::find() else { return };
    let server = bad(&["--access-log", "off"]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                while !is_over.load(SeqCst) {
                    client.get("/fine").is(200, "well behaved\n");
                }
            });
        }
        // On a busy machine, no request may come just before the last poll.
        let look = || is_alive(&browser.shows(&server, 60, &["--dump-dom"]));
        let mut seen = look();
        for _ in 0..10 {
            if seen.is_err() {
                seen = look();
            }
        }
        if let Some(folder) = std::env::var_os("WALNUT_SCREENSHOTS") {
            let file = Path::new(&folder).join("page.png");
            browser.shows(&server, 60, &[&format!("--screenshot={}", file.display())]);
        }
        is_over.store(true, SeqCst);
        seen.unwrap();
    });
}

/// Checks that each plot has lines from one point to the next, and each tile a number. Returns the
/// names of those that do not.
fn is_alive(page: &str) -> Result<(), String> {
    let part = |of: &str, from: &str, to: &str| Some(of.split_once(from)?.1.split_once(to)?.0.to_owned());
    for (title, lines) in
        [("requests/s", ["first", "bad"]), ("latency", ["first", "second"]), ("admission permits", ["first", "second"])]
    {
        let plot = part(page, &format!("<figcaption><span>{title}<i"), "</figure>").unwrap_or_default();
        for line in lines {
            let path = part(&plot, &format!("<path class=\"{line}\" d=\""), "\"");
            if !path.is_some_and(|path| path.starts_with('M') && path.contains('L')) {
                return Err(format!("the line {line} of {title}: {plot}"));
            }
        }
    }
    for tile in ["requests/s", "p50", "p99", "sandbox start", "processors", "peak memory"] {
        let shown = part(page, &format!("<dt>{tile}</dt>"), "</dd>").unwrap_or_default();
        if !shown.rsplit('>').next().is_some_and(|text| text.starts_with(|first: char| first.is_ascii_digit())) {
            return Err(format!("{tile}: {shown}"));
        }
    }
    Ok(())
}
