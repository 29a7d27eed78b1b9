//! Properties that hold for any input.

use crate::support::*;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use walnut_policy::{
    Access, Capability, Decision, Denial, EnvGrant, Mount, NamePattern, Policy, Protocol, Request, SocketPattern,
    UrlPattern, normalize,
};

fn ip() -> impl Strategy<Value = IpAddr> {
    let known = select(vec![
        "1.1.1.1",
        "10.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "::",
        "::1",
        "fe80::1",
        "2606:4700::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "::10.0.0.1",
        "fd00::1",
    ]);
    prop_oneof![
        known.prop_map(|text| text.parse().expect("an address")),
        any::<[u8; 4]>().prop_map(|b| Ipv4Addr::from(b).into()),
        any::<[u8; 16]>().prop_map(|b| Ipv6Addr::from(b).into()),
    ]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let scoped = (any::<[u8; 16]>(), any::<u16>(), any::<u32>(), any::<u32>())
        .prop_map(|(ip, port, flow, scope)| SocketAddrV6::new(ip.into(), port, flow, scope).into());
    prop_oneof![4 => (ip(), port()).prop_map(SocketAddr::from), 1 => scoped]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![select(vec![0, 80, 443, 8080]), any::<u16>()]
}

fn name() -> impl Strategy<Value = String> {
    let known = select(vec![
        "a.example",
        "A.Example.",
        "*",
        "localhost",
        "app.localhost",
        "münchen.example",
        "xn--mnchen-3ya.example",
        "127.1",
        "0x7f.1",
        "1.2.3.4",
        "[::1]",
        "::1",
        "a%2eb",
        "a b",
        "",
        ".",
        "-a",
        "xn--",
        "a..b",
        "_srv._tcp.example",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "[a-z]{1,3}(\\.[a-z]{1,3}){0,2}", "\\PC{0,12}", any::<String>()]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        "(/[a-z.%*;~]{0,4}){0,4}",
        "(/(\\.\\.|\\.|%2e|%2F|%25|\\*|a|data|private)){0,4}/?",
        "\\PC{0,12}",
        any::<String>()
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Udp])
}

fn request() -> impl Strategy<Value = Request> {
    let access = select(vec![Access::Read, Access::Stat, Access::Write, Access::Escape, Access::Special]);
    let method = prop_oneof!["(GET|POST|get|M-SEARCH|X_1)", "\\PC{0,4}"];
    let scheme = prop_oneof![9 => "(http|https)", 1 => "\\PC{0,5}"];
    let host = prop_oneof![name(), ip().prop_map(|ip| ip.to_string())];
    prop_oneof![
        (path(), access).prop_map(|(path, access)| Request::Dir { path, access }),
        prop_oneof!["[A-Z_]{1,5}", any::<String>()].prop_map(|name| Request::Env { name }),
        (protocol(), address(), prop::collection::vec(name(), 0..3))
            .prop_map(|(protocol, address, names)| Request::Connect { protocol, address, names }),
        (protocol(), address()).prop_map(|(protocol, address)| Request::Listen { protocol, address }),
        address().prop_map(|address| Request::BindForSending { address }),
        name().prop_map(|name| Request::Resolve { name }),
        (name(), ip()).prop_map(|(name, address)| Request::ResolvedAddress { name, address }),
        (method, scheme.clone(), host.clone(), port(), path())
            .prop_map(|(method, scheme, host, port, path)| Request::Http { method, scheme, host, port, path }),
        (scheme, host, address()).prop_map(|(scheme, host, address)| Request::HttpAddress { scheme, host, address }),
    ]
}

/// Generates grants and denials that concern the requests of [`request`].
fn rules() -> impl Strategy<Value = Vec<&'static str>> {
    const LINES: [&str; 36] = [
        "dir ./h::/data",
        "dir ./h::/data::rw",
        "dir ./p::/data/private",
        "dir .::/",
        "env A",
        "env HOME=1",
        "connect *:443",
        "connect a.example:*",
        "connect localhost:80",
        "connect udp:*:*",
        "connect 10.0.0.0/8:*",
        "connect *.example:8080",
        "listen *:8080",
        "listen 127.0.0.1:*",
        "listen 0.0.0.0:80",
        "resolve *",
        "resolve *.example",
        "resolve a.example",
        "http https://a.example/a/**",
        "http *://*:*",
        "http GET http://localhost:*",
        "http http://10.0.0.1:80",
        "http *://*.example/*/a",
        "deny-dir /data/private",
        "deny-env A",
        "deny-connect 10.0.0.1:*",
        "deny-connect a.example:443",
        "deny-connect localhost:*",
        "deny-listen 127.0.0.1:80",
        "deny-listen *:443",
        "deny-resolve a.example",
        "deny-resolve 10.0.0.0/8",
        "deny-http DELETE *://*:*",
        "deny-http *://a.example/private/**",
        "deny-http http://127.0.0.1:*",
        "deny-http *://10.0.0.1:*",
    ];
    prop::collection::vec(select(LINES.to_vec()), 0..6)
}

/// Like [`policy`], without the lines that contradict earlier lines.
fn policy_of(lines: &[&str]) -> Policy {
    let mut policy = Policy::sealed();
    for line in lines {
        let (word, pattern) = line.split_once(' ').expect("two words");
        let capability = |word: &str| Capability::ALL.into_iter().find(|c| c.name() == word).expect("a capability");
        let _ = match word.strip_prefix("deny-") {
            Some(word) => policy.deny(capability(word), pattern),
            None => policy.allow(capability(word), pattern),
        };
    }
    policy
}

/// Splits a flag into words, as a shell does.
fn words(flag: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = flag.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            '\\' if !quoted => word.extend(chars.next()),
            _ => {
                let plain = c.is_ascii_alphanumeric() || "_-./:,@%+=".contains(c);
                assert!(quoted || plain, "a shell reads `{c}` in its own way: {flag}");
                word.push(c);
            }
        }
    }
    assert!(!quoted, "{flag}");
    words.push(word);
    words
}

/// Returns the capability and the pattern of a flag.
fn read_flag(flag: &str) -> (Capability, String) {
    let words = words(flag);
    let (word, pattern) = match words.as_slice() {
        [one] => one.split_once('=').expect("a value"),
        [flag, pattern] => (flag.as_str(), pattern.as_str()),
        _ => panic!("{flag}"),
    };
    assert!(words.len() == 1 || !pattern.starts_with('-'), "an option to a parser: {flag}");
    let capability = Capability::ALL.into_iter().find(|c| word.strip_prefix("--") == Some(c.name()));
    (capability.expect("a flag"), pattern.to_owned())
}

/// Returns requests that ask for more than `request` in one respect.
fn neighbours(request: &Request) -> Vec<Request> {
    let other_port = |a: SocketAddr| SocketAddr::new(a.ip(), a.port().wrapping_add(1));
    let other_ip = |a: SocketAddr| SocketAddr::new("203.0.113.77".parse().expect("an address"), a.port());
    match request.clone() {
        Request::Dir { path, access } => {
            let path = normalize(&path).unwrap_or_default();
            let top = path.rsplit_once('/').is_none_or(|(folder, _)| folder.is_empty());
            // Only a mount of the root grants a file at the root.
            let outside = (!top).then(|| dir("/somewhere-else/x", access));
            let more = (access != Access::Write).then(|| write(&path));
            outside.into_iter().chain(more).collect()
        }
        Request::Env { name } => vec![env(&format!("{name}2")), env("OTHER")],
        Request::Connect { protocol, address, names } => vec![
            Request::Connect { protocol, address: other_port(address), names: names.clone() },
            Request::Connect { protocol, address: other_ip(address), names: Vec::new() },
            Request::Listen { protocol, address },
        ],
        Request::Listen { protocol, address } => vec![
            Request::Listen { protocol, address: other_port(address) },
            Request::Connect { protocol, address, names: Vec::new() },
        ],
        Request::BindForSending { address } => {
            vec![Request::Connect { protocol: Protocol::Udp, address, names: Vec::new() }]
        }
        Request::Resolve { name } => vec![resolve(&format!("x.{name}")), resolve("other.invalid")],
        Request::ResolvedAddress { name, .. } => vec![resolved(&name, "203.0.113.77"), resolved(&name, "10.77.0.77")],
        Request::Http { method, scheme, host, port, path } => {
            let http = |method: &str, scheme: &str, host: &str, port: u16, path: &str| Request::Http {
                method: method.into(),
                scheme: scheme.into(),
                host: host.into(),
                port,
                path: path.into(),
            };
            let other = if scheme == "http" { "https" } else { "http" };
            vec![
                http("BREW", &scheme, &host, port, &path),
                http(&method, other, &host, port, &path),
                http(&method, &scheme, "other.invalid", port, &path),
                http(&method, &scheme, &format!("x.{host}"), port, &path),
                http(&method, &scheme, &host, port.wrapping_add(1), &path),
                http(&method, &scheme, &host, port, &format!("{path}/x")),
                http(&method, &scheme, &host, port, "/other/path"),
            ]
        }
        Request::HttpAddress { scheme, host, address } => vec![
            Request::HttpAddress { scheme: scheme.clone(), host: host.clone(), address: other_port(address) },
            Request::HttpAddress { scheme, host, address: "10.77.0.77:80".parse().expect("an address") },
            Request::Connect { protocol: Protocol::Tcp, address, names: Vec::new() },
        ],
    }
}

/// A mount becomes writable as a whole.
fn shares_a_mount(policy: &Policy, a: &Request, b: &Request) -> bool {
    let mount = |request: &Request| match request {
        Request::Dir { path, .. } => policy.mount_of(&normalize(path)?).map(|(index, _)| index),
        _ => None,
    };
    mount(a).is_some() && mount(a) == mount(b)
}

fn is_allowed(policy: &Policy, request: &Request) -> bool {
    matches!(policy.decide(request), Decision::Allowed { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_reads_or_is_refused(text in prop_oneof![any::<String>(), "\\PC{0,30}", "[a-z*:/.\\[\\]0-9=% ,-]{0,24}"]) {
        for capability in Capability::ALL {
            let mut policy = Policy::sealed();
            if let Err(error) = policy.allow(capability, &text) {
                prop_assert!(!error.hint.is_empty());
                prop_assert!(!error.problem.is_empty());
            }
            let _ = policy.deny(capability, &text);
        }
    }

    #[test]
    fn what_is_printed_reads_as_the_same(text in prop_oneof![
        any::<String>(),
        "(tcp:|udp:|)[a-zA-Z0-9.*-]{1,8}:([0-9]{1,4}(-[0-9]{1,4})?|\\*)",
        "(GET |get,POST |)(http|https|\\*)://[a-z0-9.*]{1,8}(:[0-9]{1,3}|)(/[a-z%0-9*~]{0,4}){0,3}",
        "(http|\\*)://\\[?[0-9]{1,3}\\.0\\.0\\.0/[0-9]{1,2}\\]?(:80)?",
        "(udp:)?\\[[0-9a-f:]{2,9}(/[0-9]{1,3})?\\]:[0-9]{1,3}",
        "[a-z.:/]{1,6}(::[a-z./]{1,6})?(::ro|::rw)?",
    ]) {
        if let Ok(pattern) = SocketPattern::parse(&text) {
            prop_assert_eq!(SocketPattern::parse(&pattern.to_string()), Ok(pattern));
        }
        if let Ok(pattern) = UrlPattern::parse(&text) {
            prop_assert_eq!(UrlPattern::parse(&pattern.to_string()), Ok(pattern));
        }
        if let Ok(pattern) = NamePattern::parse(&text) {
            prop_assert_eq!(NamePattern::parse(&pattern.to_string()), Ok(pattern));
        }
        if let Ok(mount) = Mount::parse(&text) {
            prop_assert_eq!(Mount::parse(&mount.to_string()), Ok(mount));
        }
        if let Ok(grant) = EnvGrant::parse(&text) {
            prop_assert_eq!(EnvGrant::parse(&grant.to_string()).map(|g| g.name), Ok(grant.name));
        }
    }

    #[test]
    fn normal_paths_stay(path in path()) {
        if let Some(normal) = normalize(&path) {
            prop_assert_eq!(normalize(&normal), Some(normal.clone()));
            prop_assert!(normal.starts_with('/'));
            prop_assert!(normal.split('/').all(|part| part != ".." && part != "."));
            prop_assert!(!normal.contains("//"));
        }
    }

    #[test]
    fn a_sealed_policy_gives_nothing(request in request()) {
        let free = matches!(&request, Request::BindForSending { .. })
            // Decided after the request itself was.
            || matches!(&request, Request::HttpAddress { .. });
        prop_assert!(free || !is_allowed(&Policy::sealed(), &request));
    }

    #[test]
    fn every_denial_beats_allow_all(request in request()) {
        let everything = ["allow-all", "deny-dir /", "deny-env *", "deny-connect *:*", "deny-listen *:*", "deny-resolve *", "deny-http *://*:*"];
        let free = matches!(&request, Request::BindForSending { .. })
            || matches!(&request, Request::Http { scheme, .. } if scheme != "http" && scheme != "https");
        prop_assert!(free || !is_allowed(&policy(&everything), &request), "{}", request);
    }

    #[test]
    fn more_denials_allow_less(lines in rules(), request in request()) {
        let grants: Vec<_> = lines.iter().copied().filter(|l| !l.starts_with("deny-")).collect();
        prop_assert!(!is_allowed(&policy_of(&lines), &request) || is_allowed(&policy_of(&grants), &request));
    }

    #[test]
    fn what_is_said_is_safe_on_a_terminal(lines in rules(), request in request()) {
        let policy = policy_of(&lines);
        let hidden = |text: &str| text.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
        prop_assert!(!hidden(&request.to_string()));
        if let Decision::Denied { reason } = policy.decide(&request) {
            prop_assert!(!hidden(&reason.to_string()));
            if let Some(fix) = fix(&request, reason) {
                prop_assert!(!hidden(&fix.flag) && !hidden(&fix.manifest));
            }
        }
    }

    #[test]
    fn a_fix_allows_what_was_asked_and_nothing_else(lines in rules(), request in request()) {
        let policy = policy_of(&lines);
        let Decision::Denied { reason } = policy.decide(&request) else { return Ok(()) };
        let denial = Denial { request: request.clone(), reason };
        let Some(fix) = denial.fix(|guest| format!("./fixed{guest}")) else { return Ok(()) };
        let (capability, pattern) = read_flag(&fix.flag);
        prop_assert_eq!((capability, &pattern), (fix.capability, &fix.pattern));
        let mut fixed = policy.clone();
        prop_assert_eq!(fixed.allow(capability, &pattern), Ok(()), "{}", fix.flag);
        prop_assert!(is_allowed(&fixed, &request), "`{}` does not allow to {}", fix.flag, request);
        for other in neighbours(&request) {
            if other != request && !shares_a_mount(&policy, &request, &other) && !is_allowed(&policy, &other) {
                prop_assert!(!is_allowed(&fixed, &other), "`{}`, for {}, also allows to {}", fix.flag, request, other);
            }
        }
    }

    #[test]
    fn what_a_hint_says_to_write_is_accepted(
        capability in select(Capability::ALL.to_vec()),
        text in "(tpc:|udp:|https?://|GET |GTE |\\./|:|)[a-z*.~%\\[0-9 ]{0,6}(::|:|/|://|)[a-z*./\\]0-9:]{0,6}(:80|:x|/32|:rw|::rw|)",
    ) {
        let Err(error) = Policy::sealed().allow(capability, &text) else { return Ok(()) };
        for example in examples(&error.hint) {
            let taken = Policy::sealed().allow(capability, example);
            prop_assert!(taken.is_ok(), "--{} {:?} {}: {}", capability, text, error.problem, error.hint);
        }
    }

    #[test]
    fn ordinary_requests_have_a_fix(host in "[a-z]{1,8}(\\.[a-z]{2,4}){0,2}", port in 1u16.., path in "(/[a-z0-9_][a-z0-9._~!$&'()*+,;=:@-]{0,5}){1,4}", method in "(GET|POST|PATCH|[A-Z]{3,4}FIND|M-[A-Z]{3,7})") {
        let sealed = Policy::sealed();
        let url = Request::Http { method, scheme: "https".into(), host: host.clone(), port, path: path.clone() };
        for request in [url, read(&path.replace(':', "_")), resolve(&host), tcp(&format!("10.0.0.1:{port}"))] {
            prop_assert_eq!(answer(&sealed, &request), No, "{}", request);
        }
    }
}
