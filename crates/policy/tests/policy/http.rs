use crate::support::*;
use walnut_policy::Reason;

#[test]
fn origins() {
    check(&[
        (&[], http("https://a.example/x"), No),
        (&["http https://a.example"], http("https://a.example/x"), Yes),
        (&["http https://a.example"], http("http://a.example/x"), No),
        (&["http https://a.example"], http("https://a.example:8443/x"), No),
        (&["http https://a.example:*"], http("https://a.example:8443/x"), Yes),
        (&["http https://a.example:8000-9000"], http("https://a.example:8443/x"), Yes),
        (&["http *://a.example"], http("http://a.example/x"), Yes),
        (&["http *://a.example"], http("https://a.example/x"), Yes),
        (&["http *://a.example"], http("http://a.example:443/x"), No),
        (&["http https://A.Example./"], http("https://a.EXAMPLE/"), Yes),
        (&["http https://*.example"], http("https://a.b.example/"), Yes),
        (&["http https://*.example"], http("https://example/"), No),
        (&["http https://*.example"], http("https://evil-example/"), No),
        (&["http https://a.example"], http("https://a.example.evil/"), No),
        (&["http http://10.0.0.1:80"], http("http://10.0.0.1/"), Yes),
        (&["http http://[10.0.0.0/8]:80"], http("http://10.1.2.3/"), Yes),
        (&["http http://[::1]:8080/**"], http("http://[::1]:8080/x"), Yes),
        (&["http http://localhost:8080"], http("http://127.0.0.1:8080/x"), Yes),
        (&["allow-all"], http("http://10.0.0.1/"), Yes),
    ]);
}

#[test]
fn a_star_is_no_way_inside() {
    let open = ["http *://*:*"];
    for url in [
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://localhost/",
        "http://app.localhost:8080/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://2852039166/latest",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
    ] {
        assert_eq!(answer(&policy(&open), &http(url)), No, "{url}");
    }
    check(&[
        (&open, http("http://a.example:81/"), Yes),
        (&open, http("https://1.1.1.1/"), Yes),
        (&open, http_at("http://a.example", "1.1.1.1:80"), Yes),
        (&open, http_at("http://a.example", "127.0.0.1:80"), No),
        (&open, http_at("http://localhost", "127.0.0.1:80"), No),
        (&open, http_at("http://127.1", "127.0.0.1:80"), Yes),
        (&open, http_at("http://a.example", "169.254.169.254:80"), No),
    ]);
}

#[test]
fn where_a_name_leads() {
    let named = "http http://a.example:8080";
    check(&[
        (&[named], http_at("http://a.example", "10.0.0.1:8080"), No),
        (&[named, "http http://10.0.0.1:8080"], http_at("http://a.example", "10.0.0.1:8080"), Yes),
        (&[named, "http http://10.0.0.1:80"], http_at("http://a.example", "10.0.0.1:8080"), No),
        (&[named, "http https://10.0.0.1:8080"], http_at("http://a.example", "10.0.0.1:8080"), No),
        (&[named, "connect 10.0.0.1:8080"], http_at("http://a.example", "10.0.0.1:8080"), Yes),
        (&[named, "connect udp:10.0.0.1:8080"], http_at("http://a.example", "10.0.0.1:8080"), No),
        (&["http http://localhost:8080"], http_at("http://localhost", "127.0.0.1:8080"), Yes),
        (&["http http://localhost:8080"], http_at("http://localhost", "10.0.0.1:8080"), No),
        (&["http http://localhost:8080"], http_at("http://localhost", "127.0.0.1:8081"), No),
        (&["allow-all"], http_at("http://a.example", "10.0.0.1:80"), Yes),
        // A denial of an address holds for the names that lead there.
        (&["allow-all", "deny-connect 10.0.0.0/8:*"], http_at("http://a.example", "10.0.0.1:80"), Never),
        (&["allow-all", "deny-connect a.example:*"], http_at("http://A.example.", "1.1.1.1:80"), Never),
        (&["allow-all", "deny-http http://10.0.0.1/admin"], http_at("http://a.example", "10.0.0.1:80"), Never),
        (&["allow-all", "deny-http http://localhost:*"], http_at("http://a.example", "127.0.0.1:80"), Never),
        (&["allow-all", "deny-http http://10.0.0.1/admin"], http_at("http://a.example", "10.0.0.2:80"), Yes),
        (&["allow-all", "deny-http DELETE *://*:*"], http_at("http://a.example", "1.1.1.1:80"), Yes),
    ]);
    assert_eq!(flag(&policy(&[named]), &http_at("http://a.example", "10.0.0.1:8080")), "--http http://10.0.0.1:8080");
}

#[test]
fn methods() {
    check(&[
        (&["http GET,HEAD https://a.example"], http("HEAD https://a.example/"), Yes),
        (&["http GET|HEAD https://a.example"], http("HEAD https://a.example/"), Yes),
        (&["http GET HEAD https://a.example"], http("HEAD https://a.example/"), Yes),
        (&["http GET https://a.example"], http("POST https://a.example/"), No),
        (&["http get https://a.example"], http("GET https://a.example/"), Yes),
        (&["http * https://a.example"], http("POST https://a.example/"), Yes),
        (&["http M-SEARCH https://a.example"], http("M-SEARCH https://a.example/"), Yes),
        (&["http X_1 https://a.example"], http("X_1 https://a.example/"), Yes),
        (&["allow-all", "deny-http DELETE https://a.example"], http("DELETE https://a.example/"), Never),
        (&["allow-all", "deny-http DELETE https://a.example"], http("delete https://a.example/"), Never),
        (&["allow-all", "deny-http DELETE https://a.example"], http("GET https://a.example/"), Yes),
    ]);
}

#[test]
fn paths() {
    let grants = |pattern: &str, path: &str| {
        let granting = policy(&[&format!("http https://a.example{pattern}")]);
        answer(&granting, &http(&format!("https://a.example{path}")))
    };
    for (pattern, path, expected) in [
        ("/v1", "/v1", Yes),
        ("/v1", "/v1/", No),
        ("/v1", "/v2", No),
        ("/v1", "/V1", No),
        ("/", "/", Yes),
        ("/", "/x", No),
        ("/**", "/x/y", Yes),
        ("/v1/**", "/v1/x/y", Yes),
        ("/v1/**", "/v1", Yes),
        ("/v1/**", "/v10", No),
        ("/v1/*/z", "/v1/y/z", Yes),
        ("/v1/*/z", "/v1/y/x/z", No),
        ("/v1/*/z", "/v1//z", No),
        ("/v1/*", "/v1/a%2Fb", No),
        ("/v1/*", "/v1/a%252Fb", No),
        ("/v1/*", "/v1/a%5Cb", No),
        ("/v1/**", "/v1/a%2Fb", Yes),
        ("/v1/a%2fb", "/v1/a%2Fb", Yes),
        ("/a", "/%61", Yes),
        ("/%61", "/a", Yes),
        ("/a%2A", "/a*", Yes),
        // Dots lead elsewhere.
        ("/v1/**", "/v1/../admin", Never),
        ("/v1/**", "/v1/%2e%2e/admin", Never),
        ("/v1/**", "/v1/%252e%252e/admin", Never),
        ("/v1/**", "/v1/..%2fadmin", Never),
        ("/v1/**", "/v1/..%5cadmin", Never),
        ("/v1/**", "/v1/..;x/admin", Never),
        ("/v1/**", "/v1/.%2e%20/admin", Never),
        ("/v1/**", "/v1/..%20%20/admin", Never),
        ("/v1/**", "/v1/..%00/admin", Never),
        ("/v1/**", "/v1/..%09/admin", Never),
        ("/v1/**", "/v1/%20../admin", Never),
        ("/v1/**", "/v1/..%e2%80%8b/admin", Never),
        ("/v1/**", "/v1/%c0%ae%c0%ae/admin", Never),
        ("/v1/**", "/v1/%e0%80%ae%2e/admin", Never),
        ("/v1/**", "/v1/%ff/admin", Never),
        ("/v1/**", "/v1/%ef%bc%8e%ef%bc%8e/admin", Never),
        ("/v1/**", "/v1/．．/admin", Never),
        ("/v1/**", "/v1/%e2%80%a5/admin", Never),
        ("/v1/**", "/v1/x%ef%bc%8f../admin", Never),
        ("/v1/**", "/v1/%2525252525252e%2525252525252e/admin", Never),
        ("/v1/**", "/v1/%2525252525252525252561", Never),
        ("/v1/**", "/v1/a%20b/%c3%bc", Yes),
        ("/v1/**", "/v1/..a/.b/c..", Yes),
        ("/v1/**", "/v1/.../admin", Yes),
        ("", "/v1/../admin", Yes),
        ("/**", "/v1/../admin", Yes),
    ] {
        assert_eq!(grants(pattern, path), expected, "{pattern} {path}");
    }
    let ambiguous = reason(&policy(&["http https://a.example/v1/**"]), &http("https://a.example/v1/../x"));
    assert_eq!(ambiguous, Reason::AmbiguousPath);
}

#[test]
fn a_denied_path_is_denied_as_any_server_may_read_it() {
    let rule = "deny-http https://a.example/admin/**";
    for path in [
        "/admin",
        "/admin/",
        "/admin/x",
        "//admin/x",
        "/%61dmin/x",
        "/%2561dmin/x",
        "/ADMIN/x",
        "/admin;v=1/x",
        "/\\admin",
        "/%2fadmin",
        "/x/../admin/y",
        "/x/%2e%2e/admin",
        "/./admin",
    ] {
        assert_eq!(answer(&policy(&["allow-all", rule]), &http(&format!("https://a.example{path}"))), Never, "{path}");
    }
    check(&[
        (&["allow-all", rule], http("https://a.example/x/admin"), Yes),
        (&["allow-all", rule], http("https://a.example/administrator"), Yes),
        (&["allow-all", "deny-http https://a.example/*/keys"], http("https://a.example/x/keys/"), Never),
        (&["allow-all", "deny-http https://a.example/*/keys"], http("https://a.example/keys"), Yes),
    ]);
}

#[test]
fn a_denied_host_is_denied_in_every_spelling() {
    for (rule, url) in [
        ("*://*:*", "http://127.0.0.1:8080/"),
        ("*://*:*", "http://localhost/"),
        ("http://127.0.0.1", "http://127.1/"),
        ("http://127.0.0.1", "http://0x7f000001/"),
        ("http://127.0.0.1", "http://[::ffff:127.0.0.1]/"),
        ("http://127.0.0.1", "http://0.0.0.0/"),
        ("http://localhost", "http://127.0.0.1/"),
        ("http://localhost", "http://LOCALHOST./"),
        ("http://*.corp", "http://A.CORP./"),
    ] {
        assert_eq!(answer(&policy(&["allow-all", &format!("deny-http {rule}")]), &http(url)), Never, "{rule}: {url}");
    }
}

#[test]
fn fixes_name_the_request() {
    for (asked, expected) in [
        ("https://a.example/v1", "--http 'GET https://a.example/v1'"),
        ("https://a.example:8443/v1", "--http 'GET https://a.example:8443/v1'"),
        ("PROPFIND http://[::1]:8080/v1", "--http 'PROPFIND http://[::1]:8080/v1'"),
        ("https://a.example/a*b/c", "--http 'GET https://a.example/a%2Ab/c'"),
        ("https://a.example/**", "--http 'GET https://a.example/%2A%2A'"),
        ("https://a.example/it's", r"--http 'GET https://a.example/it'\''s'"),
        ("https://a.example/ü", "--http 'GET https://a.example/%C3%BC'"),
        ("http://127.1/x", "--http 'GET http://127.0.0.1/x'"),
        ("* https://a.example/", ""),
        ("https://*/", ""),
        ("https://*.example/", ""),
        ("https://a.example/../x", ""),
        ("ftp://a.example/x", ""),
    ] {
        assert_eq!(flag(&policy(&[]), &http(asked)), expected, "{asked}");
    }
}
