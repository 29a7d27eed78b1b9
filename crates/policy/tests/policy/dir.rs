use crate::support::*;
use walnut_policy::{Access, Capability, Mount, MountAccess, Policy, Reason, normalize};

const RW: &str = "dir ./h::/data::rw";
const RO: &str = "dir ./h::/data";

#[test]
fn a_mount_grants_what_it_says() {
    check(&[
        (&[], read("/data/a"), No),
        (&[RO], read("/data/a"), Yes),
        (&[RO], read("/data"), Yes),
        (&[RO], dir("/data/a", Access::Stat), Yes),
        (&[RO], write("/data/a"), No),
        (&[RW], write("/data/a"), Yes),
        (&["dir ./h::/data::ro"], write("/data/a"), No),
        (&[RW], read("/database"), No),
        (&[RW], read("/"), No),
        (&["dir .::/::rw"], write("/any/where"), Yes),
        (&["allow-all"], write("/any/where"), Yes),
    ]);
}

#[test]
fn dots_do_not_leave_a_mount() {
    check(&[
        (&[RW], read("/data/../etc/passwd"), No),
        (&[RW], read("/data/./x/../y"), Yes),
        (&[RW], read("/data/../../etc"), Never),
        (&[RW], dir("/data/link", Access::Escape), Never),
        (&[], dir("/data/link", Access::Escape), Never),
        (&[RW], dir("/data/pipe", Access::Special), Never),
        (&["allow-all"], dir("/dev/null", Access::Special), Yes),
    ]);
}

#[test]
fn the_deepest_mount_decides() {
    let nested = ["dir ./a::/data::rw", "dir ./b::/data/fixed"];
    check(&[
        (&nested, write("/data/x"), Yes),
        (&nested, write("/data/fixed/x"), No),
        (&nested, read("/data/fixed/x"), Yes),
        (&nested, write("/data/fixed2"), Yes),
    ]);
    let nested = ["dir ./a::/data", "dir ./b::/data/state::rw"];
    check(&[(&nested, write("/data/x"), No), (&nested, write("/data/state/x"), Yes)]);
}

#[test]
fn a_denied_path_is_denied_with_all_below_and_cannot_be_moved_away() {
    check(&[
        (&[RW, "deny-dir /data/private"], read("/data/private/key"), Never),
        (&[RW, "deny-dir /data/private"], read("/data/private"), Never),
        (&[RW, "deny-dir /data/private/"], read("/data/x/../private/key"), Never),
        (&[RW, "deny-dir /data/private"], read("/data/privateer"), Yes),
        (&[RW, "deny-dir /data/a/private"], write("/data/a"), Never),
        (&[RW, "deny-dir /data/a/private"], read("/data/a"), Yes),
        (&["allow-all", "deny-dir /etc"], read("/etc/passwd"), Never),
        (&["allow-all", "deny-dir /etc"], read("/usr"), Yes),
    ]);
}

#[test]
fn suggested_grants_can_be_added() {
    let mut policy = policy(&[RO]);
    assert_eq!(flag(&policy, &write("/data/a")), "--dir ./h::/data::rw");
    // The read-only grant is still on the command line.
    policy.allow(Capability::Dir, "./h::/data::rw").expect("the wider of two");
    assert_eq!(answer(&policy, &write("/data/a")), Yes);
    policy.allow(Capability::Dir, "./h::/data").expect("takes nothing away");
    assert_eq!(answer(&policy, &write("/data/a")), Yes);
    assert_eq!(flag(&policy, &read("/etc/hosts")), "--dir ./host/etc::/etc");
    assert_eq!(flag(&policy, &write("/it's/a file")), r"--dir './host/it'\''s::/it'\''s::rw'");
    assert_eq!(flag(&policy, &read("/a:b/c")), "", "a mount cannot say it");
}

#[test]
fn two_folders_at_one_place_are_a_mistake() {
    let error = policy(&[RO]).allow(Capability::Dir, "./other::/data").expect_err("two folders");
    assert_eq!(error.to_string(), "`./other::/data` is a second folder at /data (the first is ./h)");
}

#[test]
fn allow_all_keeps_mounts() {
    let mut policy = policy(&[RO]);
    policy.allow_all();
    assert_eq!(policy.mount_of("/data/x").map(|(_, m)| m.host.clone()), Some("./h".into()));
    assert_eq!(policy.mount_of("/etc").map(|(_, m)| m.host.clone()), Some("/".into()));
}

#[test]
fn the_reason_is_the_mount() {
    assert_eq!(
        reason(&policy(&[RO]), &write("/data/a")),
        Reason::ReadOnly { host: "./h".into(), name: "/data".into() }
    );
    assert_eq!(reason(&policy(&[RO]), &dir("/data/l", Access::Escape)), Reason::OutsideMount("/data".into()));
}

#[test]
fn mounts_read() {
    let mount = |text| Mount::parse(text).expect(text);
    let parts = |text| {
        let m = mount(text);
        (m.host.display().to_string(), m.guest, m.access == MountAccess::ReadWrite)
    };
    assert_eq!(parts("./h::/g"), ("./h".into(), "/g".into(), false));
    assert_eq!(parts("./h::/g::rw"), ("./h".into(), "/g".into(), true));
    assert_eq!(parts("./h::rw"), ("./h".into(), "/h".into(), true));
    assert_eq!(parts("."), (".".into(), "/".into(), false));
    assert_eq!(parts("/a/b"), ("/a/b".into(), "/a/b".into(), false));
    assert_eq!(parts("h::a/../b/"), ("h".into(), "/b".into(), false));
    for text in ["", "::/g", "h::", "h::..", "h::/a/../..", "a::b::c", "a::b::c::rw", "h::/a:b", "a\0b", "..", "a:::b"]
    {
        Mount::parse(text).expect_err(text);
    }
    for text in ["", "..", "./h::/g"] {
        Policy::sealed().deny(Capability::Dir, text).expect_err(text);
    }
}

#[test]
fn paths_normalize() {
    for (text, expected) in [
        ("", Some("/")),
        ("/", Some("/")),
        ("a//b/./c/", Some("/a/b/c")),
        ("/a/../b", Some("/b")),
        ("..", None),
        ("/a/../../b", None),
        ("/...", Some("/...")),
    ] {
        assert_eq!(normalize(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn relative_folders_begin_where_the_file_is() {
    let mut policy = policy(&["dir ./h::/data", "dir ../h::/up", "dir /abs::/abs"]);
    policy.resolve_mounts("/srv/shop".as_ref());
    let hosts: Vec<_> = policy.mounts().iter().map(|mount| mount.host.to_str().expect("text")).collect();
    assert_eq!(hosts, ["/srv/shop/h", "/srv/shop/../h", "/abs"]);
}
