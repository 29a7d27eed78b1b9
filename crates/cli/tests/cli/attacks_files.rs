//! Attempts to reach a file outside the mounts. Each has an allowed twin.

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use walnut_test_programs::{RUST_P1_FILES, RUST_P3_FILES};
use walnut_test_support::{RunOutput, TestEnv, guest, test_env};

const SECRET: &str = "what nobody granted\n";

/// An environment with a secret next to the mount and a public file in it.
fn world() -> TestEnv {
    let env = test_env!();
    fs::write(env.outside().join("secret"), SECRET).expect("it can be written");
    env.file("data/inside", "inside\n");
    env
}

fn programs() -> [String; 2] {
    [RUST_P1_FILES, RUST_P3_FILES].map(guest)
}

fn run(env: &TestEnv, program: &str, flags: &[&str], args: &[&str]) -> RunOutput {
    env.run(["run", "--dir", "data::/data::rw"].iter().chain(flags).chain(&[program]).chain(args))
}

/// Asserts that the guest fails, shows nothing of the secret, and that the denial is explained.
#[track_caller]
fn is_refused(output: &RunOutput) {
    output.clone().exits_with(1).says("denied: ");
    assert!(!output.stdout.contains(SECRET.trim()) && !output.stderr.contains(SECRET.trim()), "{output}");
}

fn outside(env: &TestEnv, file: &str) -> String {
    env.outside().join(file).into_os_string().into_string().expect("the path is text")
}

#[test]
fn climbing_out_by_dots() {
    let env = world();
    for program in programs() {
        for path in [
            "/data/../../outside/secret",
            "/data/../outside/secret",
            "/../../../../etc/passwd",
            "/data/./.././../outside/secret",
        ] {
            is_refused(&run(&env, &program, &[], &["read", path]));
            is_refused(&run(&env, &program, &[], &["write", path, "x"]));
        }
        env.folder("data/deep");
        run(&env, &program, &[], &["read", "/data/deep/../inside"]).prints("inside\n");
    }
    assert_eq!(fs::read_to_string(env.outside().join("secret")).expect("it is there"), SECRET);
}

#[test]
fn absolute_paths_are_the_guests_own() {
    let env = world();
    let secret = outside(&env, "secret");
    for program in programs() {
        is_refused(&run(&env, &program, &[], &["read", &secret]));
        is_refused(&run(&env, &program, &[], &["stat", &secret]));
        is_refused(&run(&env, &program, &[], &["write", &secret, "x"]));
        // The host's path of a file in the mount means nothing to the guest, either.
        is_refused(&run(&env, &program, &[], &["read", env.path("data/inside").to_str().expect("text")]));
        run(&env, &program, &[], &["read", "/data/inside"]).prints("inside\n");
    }
}

#[test]
fn links_that_lead_out_are_not_followed() {
    let env = world();
    symlink(env.outside().join("secret"), env.path("data/absolute")).expect("a link can be made");
    symlink("../../outside/secret", env.path("data/relative")).expect("a link can be made");
    symlink("../../outside", env.path("data/folder")).expect("a link can be made");
    symlink("relative", env.path("data/chain")).expect("a link can be made");
    symlink("inside", env.path("data/good")).expect("a link can be made");
    symlink("/data/inside", env.path("data/rooted")).expect("a link can be made");
    for program in programs() {
        for path in ["/data/absolute", "/data/relative", "/data/folder/secret", "/data/chain"] {
            let output = run(&env, &program, &[], &["read", path]);
            is_refused(&output);
            output.says("leave its mount");
            is_refused(&run(&env, &program, &[], &["write", path, "x"]));
        }
        is_refused(&run(&env, &program, &[], &["list", "/data/folder"]));
        is_refused(&run(&env, &program, &[], &["mkdir", "/data/folder/new"]));
        is_refused(&run(&env, &program, &[], &["remove", "/data/folder/secret"]));
        run(&env, &program, &[], &["read", "/data/good"]).prints("inside\n");
        // The link itself lies in the mount and may be read.
        run(&env, &program, &[], &["stat", "/data/absolute"]).succeeds();
    }
    assert_eq!(fs::read_to_string(env.outside().join("secret")).expect("it is there"), SECRET);
    assert_eq!(fs::read_dir(env.outside()).expect("it is there").count(), 1, "nothing was made");
}

#[test]
fn a_link_that_the_guest_makes_leads_nowhere() {
    for program in programs() {
        let env = world();
        is_refused(&run(&env, &program, &[], &["symlink", &outside(&env, "secret"), "/data/absolute"]));
        // A relative link cannot be told from a good one until it is followed.
        let _ = run(&env, &program, &[], &["symlink", "../../outside/secret", "/data/relative"]);
        let output = run(&env, &program, &[], &["read", "/data/relative"]);
        output.clone().exits_with(1);
        assert!(!output.stdout.contains(SECRET.trim()), "{output}");
        run(&env, &program, &[], &["symlink", "inside", "/data/good"]).succeeds();
        run(&env, &program, &[], &["read", "/data/good"]).prints("inside\n");
    }
}

#[test]
fn a_hard_link_to_an_outside_file_cannot_be_made() {
    for program in programs() {
        let env = world();
        symlink("../../outside/secret", env.path("data/link")).expect("a link can be made");
        is_refused(&run(&env, &program, &[], &["link", &outside(&env, "secret"), "/data/hard"]));
        is_refused(&run(&env, &program, &[], &["link", "/data/../../outside/secret", "/data/hard"]));
        assert!(!env.path("data/hard").exists());
        // Linking the link makes another link, which leads nowhere, either.
        let _ = run(&env, &program, &[], &["link", "/data/link", "/data/hard"]);
        is_refused(&run(&env, &program, &[], &["read", "/data/link"]));
        let output = run(&env, &program, &[], &["read", "/data/hard"]).exits_with(1);
        assert!(!output.stdout.contains(SECRET.trim()), "{output}");
        run(&env, &program, &[], &["link", "/data/inside", "/data/twin"]).succeeds();
        run(&env, &program, &[], &["read", "/data/twin"]).prints("inside\n");
    }
}

#[test]
fn nothing_is_moved_in_or_out() {
    for program in programs() {
        let env = world();
        is_refused(&run(&env, &program, &[], &["rename", &outside(&env, "secret"), "/data/mine"]));
        is_refused(&run(&env, &program, &[], &["rename", "/data/inside", &outside(&env, "gone")]));
        is_refused(&run(&env, &program, &[], &["rename", "/data/inside", "/data/../gone"]));
        assert_eq!(env.read("data/inside"), "inside\n");
        run(&env, &program, &[], &["rename", "/data/inside", "/data/renamed"]).succeeds();
    }
}

/// A link is swapped with a file while the guest reads, so that a check before the use would be
/// fooled.
#[test]
fn a_link_swapped_during_the_call() {
    let env = world();
    symlink(env.outside().join("secret"), env.path("data/trap")).expect("a link can be made");
    env.file("data/target", "inside\n");
    while_swapping(&env.path("data/target"), &env.path("data/trap"), || {
        for program in programs() {
            for _ in 0..20 {
                let output = run(&env, &program, &["--quiet"], &["read", "/data/target"]);
                assert!(output.stdout.is_empty() || output.stdout == "inside\n", "{output}");
            }
        }
    });
    fs::remove_file(env.path("data/target")).expect("it is there");
    env.file("data/target", "inside\n");
    run(&env, &guest(RUST_P1_FILES), &[], &["read", "/data/target"]).prints("inside\n");
}

/// The same with a folder on the way.
#[test]
fn a_folder_swapped_during_the_call() {
    let env = world();
    env.file("data/folder/secret", "inside\n");
    symlink(env.outside(), env.path("data/trap")).expect("a link can be made");
    while_swapping(&env.path("data/folder"), &env.path("data/trap"), || {
        for program in programs() {
            for _ in 0..20 {
                let output = run(&env, &program, &["--quiet"], &["read", "/data/folder/secret"]);
                assert!(output.stdout.is_empty() || output.stdout == "inside\n", "{output}");
                let _ = run(&env, &program, &["--quiet"], &["write", "/data/folder/new", "x"]);
            }
        }
    });
    assert_eq!(fs::read_dir(env.outside()).expect("it is there").count(), 1, "nothing was made outside");
}

/// Swaps two paths as fast as possible while `work` runs.
fn while_swapping(one: &Path, other: &Path, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !done.load(Relaxed) {
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("they can be exchanged");
                swaps += 1;
            }
            swaps
        });
        // Also when `work` panics, or the scope would wait for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Relaxed);
        let swaps = swapper.join().expect("the swapper does not panic");
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        assert!(swaps > 100, "only {swaps} exchanges: that tests nothing");
    });
}

#[test]
fn the_hosts_special_folders_are_not_there() {
    let env = world();
    for program in programs() {
        for path in
            ["/proc/self/environ", "/proc/self/root/etc/passwd", "/dev/null", "/dev/zero", "/sys/kernel", "/etc/passwd"]
        {
            is_refused(&run(&env, &program, &[], &["read", path]));
        }
        // A mount of such a folder may be granted, with everything in it.
        env.run(["run", "--dir", "/proc/self::/proc/self", &program, "read", "/proc/self/comm"]).succeeds();
    }
}

/// In a mounted /proc there are links that lead anywhere.
#[test]
fn the_links_of_proc_do_not_lead_out() {
    let env = world();
    for program in programs() {
        let output =
            env.run(["run", "--dir", "/proc/self::/proc/self", &program, "read", "/proc/self/root/etc/passwd"]);
        is_refused(&output);
        let output = env.run(["run", "--dir", "/proc/self::/proc/self", &program, "list", "/proc/self/cwd"]);
        is_refused(&output);
        env.run(["run", "--dir", "/proc/self::/proc/self", &program, "read", "/proc/self/comm"]).succeeds();
    }
}

#[test]
fn devices_are_refused() {
    let env = world();
    for program in programs() {
        for path in ["/dev/zero", "/dev/null", "/dev/tty"] {
            let started = Instant::now();
            let output = env.run(["run", "--dir", "/dev::/dev::rw", &program, "read", path]);
            is_refused(&output);
            output.says("asked to open the device, pipe or socket");
            assert!(started.elapsed() < Duration::from_secs(30));
        }
        is_refused(&env.run(["run", "--dir", "/dev::/dev::rw", &program, "write", "/dev/null", "x"]));
        // A guest that may do everything may open them, if nothing denies it.
        env.run(["run", "--allow-all", &program, "read", "/dev/null"]).prints("");
    }
}

#[test]
fn a_pipe_is_refused_at_once() {
    let env = world();
    mknodat(CWD, env.path("data/pipe"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe can be made");
    symlink("pipe", env.path("data/to-pipe")).expect("a link can be made");
    let _socket = std::os::unix::net::UnixListener::bind(env.path("data/socket")).expect("a socket can be made");
    for program in programs() {
        for path in ["/data/pipe", "/data/to-pipe", "/data/socket"] {
            // Nobody is at the other end: an open that waits for a peer hangs, and the run is
            // killed.
            let output = run(&env, &program, &[], &["read", path]);
            is_refused(&output);
            output.says("a mount gives files and folders only");
            is_refused(&run(&env, &program, &[], &["append", path, "x"]));
        }
        run(&env, &program, &[], &["read", "/data/inside"]).prints("inside\n");
    }
}

#[test]
fn a_pipe_that_takes_the_place_of_a_file_holds_up_nobody() {
    let env = world();
    mknodat(CWD, env.path("data/pipe"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe can be made");
    for program in programs() {
        while_swapping(&env.path("data/inside"), &env.path("data/pipe"), || {
            for _ in 0..50 {
                let output = run(&env, &program, &["--deadline", "20s"], &["read", "/data/inside"]);
                assert!(output.stdout == "inside\n" || output.stderr.contains("files and folders only"), "{output}");
            }
        });
    }
}

#[test]
fn a_link_does_not_reach_around_a_denial() {
    let env = world();
    env.file("data/private/secret", SECRET);
    symlink("private", env.path("data/alias")).expect("a link can be made");
    symlink("private/secret", env.path("data/file")).expect("a link can be made");
    let deny = ["--deny-dir", "/data/private"];
    for program in programs() {
        for path in ["/data/private/secret", "/data/alias/secret", "/data/file"] {
            let output = run(&env, &program, &deny, &["read", path]);
            is_refused(&output);
            output.says("deny-dir /data/private");
            is_refused(&run(&env, &program, &deny, &["write", path, "x"]));
            run(&env, &program, &[], &["read", path]).prints(SECRET);
        }
        is_refused(&run(&env, &program, &deny, &["list", "/data/alias"]));
        // A link that the guest makes itself.
        let _ = run(&env, &program, &deny, &["symlink", "private/secret", "/data/mine"]);
        let output = run(&env, &program, &deny, &["read", "/data/mine"]);
        assert!(!output.stdout.contains(SECRET.trim()), "{output}");
        // A hard link would be the denied file under another name.
        is_refused(&run(&env, &program, &deny, &["link", "/data/private/secret", "/data/hard"]));
        assert!(!env.path("data/hard").exists());
        is_refused(&run(&env, &program, &deny, &["link", "/data/alias/secret", "/data/hard"]));
        assert!(!env.path("data/hard").exists());
        is_refused(&run(&env, &program, &deny, &["rename", "/data/alias/secret", "/data/moved"]));
        is_refused(&run(&env, &program, &deny, &["rename", "/data/private", "/data/moved"]));
    }
}

#[test]
fn names_that_are_no_names() {
    let env = world();
    let long = format!("/data/{}", "x".repeat(10_000));
    let deep = format!("/data{}", "/x".repeat(5_000));
    for program in programs() {
        for path in ["", "/data/\u{1b}[2J", "//data//nothing", long.as_str(), deep.as_str()] {
            let output = run(&env, &program, &[], &["read", path]).exits_with(1);
            assert!(!output.stderr.contains("\u{1b}[2J") || !output.stderr.contains("denied"), "{output}");
        }
        run(&env, &program, &[], &["read", "//data//inside"]).prints("inside\n");
    }
}

#[test]
fn a_second_mount_does_not_reach_around_a_denial() {
    let env = world();
    env.file("data/private/secret", SECRET);
    env.file("data/public", "public\n");
    let (all, here) = (["--dir", ".::/all"], ["--dir", "data::/data"]);
    for program in programs() {
        for mounts in [[all, here].concat(), [here, all].concat(), [&["--allow-all"], &here[..]].concat()] {
            let read = |path: &str| {
                let flags = [&["run"], &mounts[..], &["--deny-dir", "/data/private", &program, "read", path]].concat();
                env.run(flags)
            };
            is_refused(&read("/data/private/secret"));
            if mounts.contains(&".::/all") {
                is_refused(&read("/all/data/private/secret"));
            }
            assert_eq!(read("/data/public").succeeds().stdout, "public\n");
        }
    }
}

#[test]
fn a_link_to_nothing_makes_no_file_in_a_denied_folder() {
    let env = world();
    env.folder("data/private");
    symlink("private/made", env.path("data/dangling")).expect("a link");
    symlink("made", env.path("data/good")).expect("a link");
    for program in programs() {
        is_refused(&run(&env, &program, &["--deny-dir", "/data/private"], &["write", "/data/dangling", "x"]));
        assert!(!env.path("data/private/made").exists());
        run(&env, &program, &["--deny-dir", "/data/private"], &["write", "/data/good", "x"]).succeeds();
        assert!(env.path("data/made").exists());
    }
}
