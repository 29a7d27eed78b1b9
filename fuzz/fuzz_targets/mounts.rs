//! Mounts as people write them, and the paths of a guest.
//!
//! The input is lines: the first is the guest's path, the second a denied path, the others are
//! mounts.
//!
//! A bug is: a panic; a path that, once normal, is not so for good, or leads above the root; a
//! mount that, printed, does not read as the same; a path that is reached outside every mount, or
//! inside a denied folder, or written to in a read-only mount; a fix that does not allow what was
//! refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walnut_policy::{Access, Capability, Decision, Denial, Mount, MountAccess, Policy, Request, normalize};

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let (Some(path), Some(denied)) = (lines.next(), lines.next()) else { return };
    let normal = normalize(path);
    if let Some(normal) = &normal {
        assert_eq!(normalize(normal).as_ref(), Some(normal));
        assert!(normal.starts_with('/') && normal.split('/').all(|part| part != ".." && part != "."));
    }
    let mut policy = Policy::sealed();
    for line in lines.take(16) {
        if let Ok(mount) = Mount::parse(line) {
            assert_eq!(Mount::parse(&mount.to_string()).as_ref(), Ok(&mount));
            let _ = policy.allow(Capability::Dir, line);
        }
    }
    let denied = policy.deny(Capability::Dir, denied).ok().and(normalize(denied));
    for access in [Access::Read, Access::Stat, Access::Write] {
        decide(&policy, path, normal.as_deref(), denied.as_deref(), access);
    }
});

fn decide(policy: &Policy, path: &str, normal: Option<&str>, denied: Option<&str>, access: Access) {
    let request = Request::Dir { path: path.into(), access };
    match policy.decide(&request) {
        Decision::Allowed { .. } => {
            let normal = normal.expect("nothing is above the root");
            let (_, mount) = policy.mount_of(normal).expect("it lies in a mount");
            assert!(within(normal, &mount.guest));
            assert!(access != Access::Write || mount.access == MountAccess::ReadWrite);
            assert!(denied.is_none_or(|denied| !within(normal, denied)));
        }
        Decision::Denied { reason } => {
            let denial = Denial { request: request.clone(), reason };
            let Some(fix) = denial.fix(|guest| format!(".{guest}")) else { return };
            let mut fixed = policy.clone();
            if fixed.allow(Capability::Dir, &fix.pattern).is_ok() {
                let allowed = matches!(fixed.decide(&request), Decision::Allowed { .. });
                assert!(allowed, "`{}` does not allow to {request}", fix.flag);
            }
        }
    }
}

fn within(path: &str, folder: &str) -> bool {
    folder == "/" || path == folder || path.starts_with(&format!("{folder}/"))
}
