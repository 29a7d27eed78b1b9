//! Grants and denials as people write them, and the requests of a guest that wants more than it
//! has.
//!
//! The input is lines: the first is what the guest asks for, the others are grants and, after a
//! `!`, denials.
//!
//! A bug is: a panic or a hang; a pattern that, printed, does not read as the same; a denial that
//! takes nothing away; a refusal whose fix is not accepted, or does not allow what was refused; a
//! fix that a terminal or a shell reads otherwise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walnut_policy::{Capability, Decision, Denial, NamePattern, Policy, Protocol, Request, SocketPattern, UrlPattern};

fuzz_target!(|text: &str| {
    let mut lines = text.lines().take(16);
    let Some(asked) = lines.next() else { return };
    let (mut granted, mut policy) = (Policy::sealed(), Policy::sealed());
    for line in lines {
        round_trip(line.trim_start_matches('!'));
        for capability in Capability::ALL {
            match line.strip_prefix('!') {
                Some(denial) => drop(policy.deny(capability, denial)),
                None => {
                    let _ = granted.allow(capability, line);
                    let _ = policy.allow(capability, line);
                }
            }
        }
    }
    for request in requests(asked) {
        let Decision::Denied { reason } = policy.decide(&request) else {
            assert!(allows(&granted, &request), "a denial granted {request}");
            continue;
        };
        let denial = Denial { request: request.clone(), reason };
        let Some(fix) = denial.fix(|guest| format!(".{guest}")) else { continue };
        assert!(!fix.flag.chars().any(char::is_control), "{}", fix.flag);
        let mut fixed = policy.clone();
        // A mount may be there already, with another folder of the host.
        match fixed.allow(fix.capability, &fix.pattern) {
            Ok(()) => assert!(allows(&fixed, &request), "`{}` does not allow to {request}", fix.flag),
            Err(e) => assert!(fix.capability == Capability::Dir, "`{}` is not accepted: {e}", fix.flag),
        }
    }
});

fn allows(policy: &Policy, request: &Request) -> bool {
    matches!(policy.decide(request), Decision::Allowed { .. })
}

fn round_trip(text: &str) {
    if let Ok(pattern) = SocketPattern::parse(text) {
        assert_eq!(SocketPattern::parse(&pattern.to_string()), Ok(pattern));
    }
    if let Ok(pattern) = UrlPattern::parse(text) {
        assert_eq!(UrlPattern::parse(&pattern.to_string()), Ok(pattern));
    }
    if let Ok(pattern) = NamePattern::parse(text) {
        assert_eq!(NamePattern::parse(&pattern.to_string()), Ok(pattern));
    }
}

/// Everything that `text` could mean to a guest.
fn requests(text: &str) -> Vec<Request> {
    let mut requests = vec![Request::Resolve { name: text.into() }, Request::Env { name: text.into() }];
    if let Ok(address) = text.parse() {
        requests.extend([
            Request::Connect { protocol: Protocol::Tcp, address, names: Vec::new() },
            Request::Connect { protocol: Protocol::Udp, address, names: vec!["a.example".into()] },
            Request::Listen { protocol: Protocol::Tcp, address },
            Request::HttpAddress { scheme: "http".into(), host: "a.example".into(), address },
        ]);
    }
    if let Some((host, rest)) = text.split_once('/') {
        let (method, host) = host.split_once(' ').unwrap_or(("GET", host));
        requests.push(Request::Http {
            method: method.into(),
            scheme: "https".into(),
            host: host.into(),
            port: 443,
            path: format!("/{rest}"),
        });
    }
    requests
}
