//! Attempts to keep a right, or to lose a denial, by taking another way to a folder. Each has an
//! allowed twin.

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat};
use std::fs;
use std::os::unix::fs::symlink;
use walnut_test_programs::{RUST_P1_FILES, RUST_P3_FILES};
use walnut_test_support::{RunOutput, TestEnv, guest, test_env};

const SECRET: &str = "what nobody granted\n";

fn programs() -> [String; 2] {
    [RUST_P1_FILES, RUST_P3_FILES].map(guest)
}

fn run(env: &TestEnv, program: &str, flags: &[&str], args: &[&str]) -> RunOutput {
    env.run(["run"].iter().chain(flags).chain(&[program]).chain(args))
}

/// Makes folders in `data` and a link at their end to the folder `data/private`. The guest path is
/// below the system's longest path, and the host's own path above it. Returns the link's guest
/// path.
fn deep_link(env: &TestEnv) -> String {
    const MAX_PATH: usize = 4096;
    let mut folder = openat(CWD, env.path("data"), OFlags::DIRECTORY, Mode::empty()).expect("it is there");
    let (mut path, mut up) = ("/data".to_owned(), String::new());
    while path.len() < MAX_PATH - 230 {
        let name = "d".repeat(200);
        mkdirat(&folder, name.as_str(), Mode::RWXU).expect("a folder can be made");
        folder = openat(&folder, name.as_str(), OFlags::DIRECTORY, Mode::empty()).expect("it is there");
        path = format!("{path}/{name}");
        up += "../";
    }
    let name = "l".repeat(MAX_PATH - 10 - path.len());
    symlinkat(format!("{up}private").as_str(), &folder, name.as_str()).expect("a link can be made");
    assert!(env.path(&path[1..]).as_os_str().len() + name.len() > MAX_PATH);
    format!("{path}/{name}")
}

#[test]
fn a_denial_holds_where_the_hosts_path_is_too_long() {
    for program in programs() {
        let env = test_env!();
        env.file("data/private/key", SECRET);
        env.file("data/plain", "plain\n");
        let link = deep_link(&env);
        let key = format!("{link}/key");
        let mount = ["--dir", "data::/data::rw"];
        let deny = [&mount[..], &["--deny-dir", "/data/private"]].concat();
        for args in [
            &["read", key.as_str()][..],
            &["stat", &key],
            &["write", &key, "x"],
            &["append", &key, "x"],
            &["truncate", &key],
            &["touch-open", &key],
            &["list", &link],
            &["link", &key, "/data/hard"],
            &["rename", &key, "/data/moved"],
            &["rename", "/data/plain", &key],
            &["remove", &key],
        ] {
            let output = run(&env, &program, &deny, args).exits_with(1).says("deny-dir /data/private");
            assert!(!output.stdout.contains(SECRET.trim()), "{output}");
        }
        assert_eq!(fs::read_to_string(env.path("data/private/key")).expect("it is there"), SECRET);
        assert!(!env.path("data/hard").exists() && !env.path("data/moved").exists());
        run(&env, &program, &mount, &["read", &key]).prints(SECRET);
    }
}

/// Each component of a path takes system calls, so a path has an end.
#[test]
fn a_path_has_a_longest_length() {
    let env = test_env!();
    env.file("data/inside", "inside\n");
    env.folder("data/d");
    for program in programs() {
        let path = |turns: usize| format!("/data/{}inside", "d/../".repeat(turns));
        run(&env, &program, &["--dir", "data::/data"], &["read", &path(100)]).prints("inside\n");
        run(&env, &program, &["--dir", "data::/data"], &["read", &path(10_000)]).exits_with(1);
    }
}

#[test]
fn a_mount_inside_a_mount_keeps_its_rights_through_links() {
    for program in programs() {
        let env = test_env!();
        env.file("app/config/key", "original\n");
        env.file("app/shadow/hidden", SECRET);
        env.folder("empty");
        symlink("config", env.path("app/link")).expect("a link can be made");
        symlink("shadow", env.path("app/to-shadow")).expect("a link can be made");
        let outer = ["--dir", "app::/app::rw"];
        let inner = ["--dir", "app/config::/app/config", "--dir", "empty::/app/shadow"];
        let both = [outer, [inner[0], inner[1]], [inner[2], inner[3]]].concat();
        for folder in ["/app/config", "/app/link"] {
            let (key, new) = (format!("{folder}/key"), format!("{folder}/new"));
            for args in [&["write", key.as_str(), "x"][..], &["remove", &key], &["mkdir", &new], &["write", &new, "x"]]
            {
                run(&env, &program, &both, args).exits_with(1).says("the mount `/app/config` is read-only");
            }
            run(&env, &program, &both, &["read", &key]).prints("original\n");
        }
        for path in ["/app/shadow/hidden", "/app/to-shadow/hidden"] {
            let output = run(&env, &program, &both, &["read", path]).exits_with(1);
            assert!(!output.stdout.contains(SECRET.trim()), "{output}");
            run(&env, &program, &outer, &["read", path]).prints(SECRET);
        }
        run(&env, &program, &outer, &["write", "/app/link/key", "changed\n"]).succeeds();
        assert_eq!(fs::read_to_string(env.path("app/config/key")).expect("it is there"), "changed\n");
    }
}

#[test]
fn a_mounted_folder_has_the_rights_of_its_mount_wherever_it_is_found() {
    for program in programs() {
        let env = test_env!();
        env.file("app/config/key", "original\n");
        env.file("app/other/key", "original\n");
        let mounts = ["--dir", "app::/app::rw", "--dir", "app/config::/config"];
        let refused = run(&env, &program, &mounts, &["write", "/app/config/key", "x"]).exits_with(1);
        refused.says("the mount `/config` is read-only");
        run(&env, &program, &mounts, &["rename", "/app/config", "/app/moved"]).exits_with(1);
        run(&env, &program, &mounts, &["read", "/app/config/key"]).prints("original\n");
        run(&env, &program, &mounts, &["write", "/app/other/key", "x"]).succeeds();
    }
}

#[test]
fn a_folder_that_holds_a_mount_or_a_denied_place_stays_where_it_is() {
    for program in programs() {
        let env = test_env!();
        env.file("app/way/ro/key", "original\n");
        env.file("app/up/private/key", SECRET);
        env.file("app/free/key", "free\n");
        let mounts = [
            "--dir",
            "app::/app::rw",
            "--dir",
            "app/way/ro::/app/way/ro",
            "--dir",
            "app/up::/again::rw",
            "--deny-dir",
            "/app/up/private",
        ];
        for args in [
            &["rename", "/app/way", "/app/moved"][..],
            &["rename", "/app/way/ro", "/app/moved"],
            &["rmdir", "/app/way/ro"],
            &["rename", "/app/up", "/app/moved"],
            &["rename", "/again/private", "/again/moved"],
            &["rename", "/app/free", "/app/way/ro"],
        ] {
            run(&env, &program, &mounts, args).exits_with(1);
        }
        let output = run(&env, &program, &mounts, &["read", "/again/private/key"]).exits_with(1);
        assert!(!output.stdout.contains(SECRET.trim()), "{output}");
        run(&env, &program, &mounts, &["read", "/app/way/ro/key"]).prints("original\n");
        run(&env, &program, &mounts, &["rename", "/app/free", "/app/moved"]).succeeds();
        run(&env, &program, &mounts, &["rename", "/app/moved", "/app/free"]).succeeds();
    }
}
