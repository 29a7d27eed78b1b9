//! Wrong patterns, and their errors.

use crate::support::examples;
use walnut_policy::{Capability, NamePattern, Policy, SocketPattern, UrlPattern};

#[test]
fn mistakes_in_addresses_say_what_to_type() {
    for (text, message, hint) in [
        ("db.example", "has no port", "`db.example:443`"),
        ("", "has no port", "HOST:PORT"),
        (":80", "has no host", "HOST:PORT"),
        ("udp:53", "has a protocol but no host", "HOST:PORT"),
        ("db.example:", "has no port, port range or `*`", "HOST:PORT"),
        ("db.example:http", "has no port, port range or `*`", "HOST:PORT"),
        ("db.example:65536", "has a port above 65535", "HOST:PORT"),
        ("db.example:90-80", "a range that ends before it begins", "HOST:PORT"),
        ("https://db.example", "is a URL", "use `http`"),
        ("::1:80", "without brackets", "write `[::1]:80`"),
        ("[::1", "is not an address", "HOST:PORT"),
        ("[db.example]:80", "is not an address", "HOST:PORT"),
        (
            "10.0.0.1/8:80",
            "inside a block",
            "`10.0.0.0/8:80` for the whole block, or `10.0.0.1:80` for the one address",
        ),
        ("10.0.0.0/33:80", "is not an address", "HOST:PORT"),
        ("127.1:80", "is a number that some programs read", "`127.0.0.1:80`"),
        ("010.0.0.1:80", "is a number that some programs read", "`8.0.0.1:80`"),
        ("0x7f000001:80", "is a number that some programs read", "`127.0.0.1:80`"),
        ("300.1.1.1:80", "is not an address", "HOST:PORT"),
        ("a.*.example:80", "has a `*` that is not the whole first part", "HOST:PORT"),
        ("*example:80", "has a `*` that is not the whole first part", "HOST:PORT"),
        ("1..:80", "is not an address", "HOST:PORT"),
        ("a b:80", "is not a host name", "HOST:PORT"),
        ("a%2eb:80", "is not a host name", "HOST:PORT"),
        ("fd00::/8:443", "without brackets", "write `[fd00::/8]:443`"),
        ("tpc:x:1", "neither `tcp` nor `udp`", "did you mean `tcp:x:1`?"),
        ("udpp:*:53", "neither `tcp` nor `udp`", "did you mean `udp:*:53`?"),
        ("icmp:x:1", "neither `tcp` nor `udp`", "`tcp:` or `udp:` before the host"),
    ] {
        let error = SocketPattern::parse(text).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.hint.contains(hint), "{text}: {}", error.hint);
        holds(Capability::Connect, &error.hint);
    }
}

#[test]
fn mistakes_in_urls_say_what_to_type() {
    for (text, message, hint) in [
        ("api.example/v1", "has no `http://` or `https://`", "write `https://api.example/v1`"),
        ("ftp://a.example", "scheme other than", "https://"),
        ("https://", "has no host", "https://"),
        ("https://a.example:x", "a port that is not one", "https://"),
        ("https://u:p@a.example", "has a user name", "https://"),
        ("https://a.example/x?y", "has a query", "https://"),
        ("https://a.example/x/../y", "has `.` or `..`", "https://"),
        ("https://a.example/x*", "has a `*`", "https://"),
        ("https://a.example/**/x", "has a `*`", "https://"),
        ("http://10.0.0.0/8", "has a CIDR block without brackets", "`http://[10.0.0.0/8]:80`"),
        ("http://10.0.0.0/8:*", "has a CIDR block without brackets", "`http://[10.0.0.0/8]:80`"),
        ("G(T https://a.example", "has a method that is not a word", "GET,HEAD"),
        (", https://a.example", "has a method that is not a word", "GET,HEAD"),
        ("*,GET https://a.example", "has a method that is not a word", "GET,HEAD"),
        ("GET api.example/v1", "has no `http://` or `https://`", "write `GET https://api.example/v1`"),
        ("GET", "is a method without a URL", "write a URL after it: `GET https://api.example.com/**`"),
        ("get,head", "is a method without a URL", "`get,head https://api.example.com/**`"),
        ("GTE https://a.example", "has the method GTE, which is not an HTTP method", "did you mean `GET`?"),
        ("GET,PSOT https://a.example", "has the method PSOT, which is not an HTTP method", "did you mean `POST`?"),
        ("http://127.1/x", "is a number that some programs read", "write `http://127.0.0.1/x`"),
        ("http://a b/", "has a method that is not a word", "GET,HEAD"),
        ("http://[10.0.0.1/8]:80", "is an address inside a block", "https://"),
    ] {
        let error = UrlPattern::parse(text).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.hint.contains(hint), "{text}: {}", error.hint);
        holds(Capability::Http, &error.hint);
    }
}

/// Checks that the examples in a hint are accepted.
#[track_caller]
fn holds(capability: Capability, hint: &str) {
    for example in examples(hint) {
        Policy::sealed().allow(capability, example).expect(hint);
    }
}

#[test]
fn methods_of_other_protocols_are_taken() {
    for method in ["PROPFIND", "PURGE", "M-SEARCH", "LOCK", "QUERY", "PROPPATCH", "MKCOL", "REPORT", "patch"] {
        UrlPattern::parse(&format!("{method} https://a.example")).expect(method);
    }
}

#[test]
fn one_listens_only_here() {
    for text in ["a.example:80", "*.example:80", "*.localhost:80"] {
        let error = Policy::sealed().allow(Capability::Listen, text).expect_err(text);
        assert!(error.hint.contains("`127.0.0.1:8080`"), "{text}: {}", error.hint);
    }
}

#[test]
fn patterns_print_as_they_are_compared() {
    for (text, printed) in [
        ("DB.Example.:0080", "db.example:80"),
        ("*:0-65535", "*:*"),
        ("UDP:[0:0::1]:53", "udp:[::1]:53"),
        ("[::ffff:1.2.3.4]:1", "1.2.3.4:1"),
        ("[::ffff:1.2.3.0/120]:1", "1.2.3.0/24:1"),
        ("münchen.example:1", "xn--mnchen-3ya.example:1"),
    ] {
        assert_eq!(SocketPattern::parse(text).expect(text).to_string(), printed);
    }
    for (text, printed) in [
        ("get|head HTTPS://A.Example/%7eu/%2f", "GET,HEAD https://a.example/~u/%2F"),
        ("http://[10.0.0.0/8]:80", "http://[10.0.0.0/8]:80"),
        ("* *://*:*", "*://*:*"),
    ] {
        assert_eq!(UrlPattern::parse(text).expect(text).to_string(), printed);
    }
    assert_eq!(NamePattern::parse("*.Example.").expect("a pattern").to_string(), "*.example");
}

#[test]
fn an_error_is_not_longer_than_a_line_or_two() {
    let long = "a ".repeat(100_000);
    for capability in Capability::ALL {
        if let Err(error) = Policy::sealed().allow(capability, &long) {
            assert!(error.to_string().len() < 400, "{capability}");
        }
    }
}

#[test]
fn mistakes_in_other_grants_say_what_to_type() {
    for (capability, text, message, hint) in [
        (Capability::Dir, "./x:/data", "one colon where a mount has two", "`./x::/data`"),
        (Capability::Dir, "./x:/data:rw", "one colon where a mount has two", "`./x::/data::rw`"),
        (Capability::Dir, "./x:/data:rw,z", "one colon where a mount has two", "`./x::/data::rw`"),
        (Capability::Dir, "./x:/data:ro", "one colon where a mount has two", "`./x::/data`"),
        (Capability::Dir, "../x", "leaves the root", "`../x::/x`"),
        (Capability::Dir, "./x::/../y/../../z::rw", "leaves the root", "`./x::/z::rw`"),
        (Capability::Listen, "8080", "has no address", "`127.0.0.1:8080`"),
        (Capability::Resolve, "http://a.example/x", "is a URL", "`a.example`"),
        (Capability::Resolve, "a.example:80", "has a port", "`a.example`"),
        (Capability::Resolve, "10.0.0.1/8", "inside a block", "`10.0.0.0/8` for the whole block"),
    ] {
        let error = Policy::sealed().allow(capability, text).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.hint.contains(hint), "{text}: {}", error.hint);
        holds(capability, &error.hint);
    }
}
