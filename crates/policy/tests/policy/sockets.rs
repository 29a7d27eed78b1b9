use crate::support::*;
use walnut_policy::{AddressClass, Protocol, Reason, Request};

#[test]
fn connections_by_address() {
    check(&[
        (&[], tcp("10.0.0.1:5432"), No),
        (&["connect 10.0.0.1:5432"], tcp("10.0.0.1:5432"), Yes),
        (&["connect 10.0.0.1:5432"], tcp("10.0.0.1:5433"), No),
        (&["connect 10.0.0.1:5432"], tcp("10.0.0.2:5432"), No),
        (&["connect 10.0.0.0/8:*"], tcp("10.255.0.1:1"), Yes),
        (&["connect 10.0.0.0/8:*"], tcp("11.0.0.1:1"), No),
        (&["connect 10.0.0.1:8000-8010"], tcp("10.0.0.1:8010"), Yes),
        (&["connect 10.0.0.1:8000-8010"], tcp("10.0.0.1:8011"), No),
        (&["connect [fd00::/8]:443"], tcp("[fd12::1]:443"), Yes),
        (&["connect [::1]:443"], tcp("127.0.0.1:443"), No),
        (&["connect 127.0.0.1:53"], udp("127.0.0.1:53"), Yes),
        (&["connect tcp:127.0.0.1:53"], udp("127.0.0.1:53"), No),
        (&["connect UDP:127.0.0.1:53"], udp("127.0.0.1:53"), Yes),
        (&["connect udp:127.0.0.1:53"], tcp("127.0.0.1:53"), No),
        (&["connect localhost:80"], tcp("127.0.0.1:80"), Yes),
        (&["connect localhost:80"], tcp("[::1]:80"), Yes),
        (&["connect localhost:80"], tcp("10.0.0.1:80"), No),
        (&["connect localhost:80"], tcp("0.0.0.0:80"), No),
        (&["allow-all"], tcp("10.0.0.1:1"), Yes),
    ]);
}

#[test]
fn a_star_is_every_public_address() {
    check(&[
        (&["connect *:443"], tcp("1.1.1.1:443"), Yes),
        (&["connect *:443"], tcp("10.0.0.1:443"), No),
        (&["connect *:443"], tcp("127.0.0.1:443"), No),
        (&["connect *:443"], tcp("169.254.169.254:443"), No),
        (&["connect *:443"], named("127.0.0.1:443", &["localhost"]), No),
        (&["connect *:443"], named("127.0.0.1:443", &["evil.example"]), No),
        (&["connect *:443"], tcp("1.1.1.1:444"), No),
        (&["connect *:*", "deny-connect *:25"], tcp("1.1.1.1:25"), Never),
        (&["allow-all", "deny-connect *:*"], tcp("127.0.0.1:25"), Never),
    ]);
}

#[test]
fn connections_by_name() {
    check(&[
        (&["connect db.example:5432"], named("1.1.1.1:5432", &["db.example"]), Yes),
        (&["connect db.example:5432"], tcp("1.1.1.1:5432"), No),
        (&["connect db.example:5432"], named("1.1.1.1:5432", &["other.example"]), No),
        (&["connect db.example:5432"], named("1.1.1.1:5433", &["db.example"]), No),
        (&["connect DB.Example.:5432"], named("1.1.1.1:5432", &["db.EXAMPLE"]), Yes),
        (&["connect *.example:5432"], named("1.1.1.1:5432", &["a.b.example."]), Yes),
        (&["connect *.example:5432"], named("1.1.1.1:5432", &["example"]), No),
        (&["connect *.example:5432"], named("1.1.1.1:5432", &["evilexample"]), No),
        (&["connect *.example:5432"], named("1.1.1.1:5432", &[".example"]), No),
        // Addresses that a name does not reach.
        (&["connect db.example:5432"], named("10.0.0.1:5432", &["db.example"]), No),
        (&["connect db.example:5432", "connect 10.0.0.1:5432"], named("10.0.0.1:5432", &["db.example"]), Yes),
        (&["connect db.example:80"], named("169.254.169.254:80", &["db.example"]), No),
        (&["connect db.example:80"], named("[::ffff:127.0.0.1]:80", &["db.example"]), No),
        // Names of this machine.
        (&["connect app.localhost:80"], named("127.0.0.1:80", &["app.localhost"]), Yes),
        (&["connect app.localhost:80"], named("10.0.0.1:80", &["app.localhost"]), No),
        (&["connect notlocalhost:80"], named("127.0.0.1:80", &["notlocalhost"]), No),
    ]);
}

#[test]
fn a_denied_name_is_denied_in_every_spelling() {
    for name in [
        "secret.example",
        "SECRET.example.",
        "secret%2eexample",
        "ｓecret.example",
        "secret。example",
        "sec\u{ad}ret.example",
    ] {
        check(&[
            (&["connect *:*", "deny-connect secret.example:*"], named("1.1.1.1:80", &[name]), Never),
            (&["connect *:*", "deny-connect *.example:*"], named("1.1.1.1:80", &["a.example", name]), Never),
            (&["allow-all", "deny-resolve secret.example"], resolve(name), Never),
            (&["allow-all", "deny-resolve other.example"], resolve(name), Yes),
        ]);
    }
}

#[test]
fn look_ups() {
    check(&[
        (&[], resolve("a.example"), No),
        (&["resolve a.example"], resolve("A.example."), Yes),
        (&["resolve *.example"], resolve("a.example"), Yes),
        (&["resolve *.example"], resolve("example"), No),
        (&["resolve *"], resolve("a.example"), Yes),
        (&["resolve *", "deny-resolve *.corp"], resolve("a.corp"), Never),
        (&["resolve *", "deny-resolve *.corp"], resolve("corp"), Yes),
        (&["connect a.example:443"], resolve("a.example"), Yes),
        (&["http https://a.example"], resolve("a.example"), No),
        // Other scripts, in either form.
        (&["resolve münchen.example"], resolve("xn--mnchen-3ya.example"), Yes),
        (&["resolve xn--mnchen-3ya.example"], resolve("MÜNCHEN.example"), Yes),
        (&[], resolve("münchen.example"), No),
        // Numbers in any form are addresses.
        (&["resolve *"], resolve("127.1"), No),
        (&["resolve *"], resolve("0x7f000001"), No),
        (&["connect 127.0.0.1:80"], resolve("2130706433"), Yes),
        (&["connect 127.0.0.1:80"], resolve("127.0.0.1"), Yes),
        (&["allow-all", "deny-resolve 127.0.0.1"], resolve("0177.0.0.1"), Never),
        // Texts that are not names.
        (&[], resolve("a b"), Never),
        (&[], resolve("127.1.."), Never),
        (&["resolve *"], resolve("a b"), Yes),
        (&["resolve *", "deny-resolve *"], resolve("a b"), Never),
    ]);
}

#[test]
fn addresses_of_names() {
    check(&[
        (&["resolve a.example"], resolved("a.example", "1.1.1.1"), Yes),
        (&["resolve a.example"], resolved("a.example", "10.0.0.1"), No),
        (&["resolve a.example", "resolve 10.0.0.1"], resolved("a.example", "10.0.0.1"), Yes),
        (&["resolve a.example", "connect 10.0.0.1:1"], resolved("a.example", "10.0.0.1"), Yes),
        (&["connect a.example:5432"], resolved("a.example", "127.0.0.1"), No),
        (&["connect a.example:5432", "connect 127.0.0.1:5432"], resolved("a.example", "127.0.0.1"), Yes),
        (&["resolve *"], resolved("a.example", "169.254.169.254"), No),
        (&["resolve *"], resolved("a.example", "::ffff:169.254.169.254"), No),
        (&["resolve localhost"], resolved("localhost", "127.0.0.1"), Yes),
        (&["resolve localhost"], resolved("localhost", "10.0.0.1"), No),
        (&["resolve a.example", "deny-resolve 1.0.0.0/8"], resolved("a.example", "1.1.1.1"), Never),
        (&["resolve a.example", "deny-resolve 1.0.0.0/8"], resolved("a.example", "2.1.1.1"), Yes),
        (&["allow-all"], resolved("a.example", "10.0.0.1"), Yes),
        (&["allow-all", "deny-resolve a.example"], resolved("a.example", "10.0.0.1"), Never),
    ]);
}

#[test]
fn a_name_that_leads_inside_is_fixed_with_the_ports_of_its_rule() {
    let granted = policy(&["connect tcp:db.example:5432-5440"]);
    assert_eq!(flag(&granted, &resolved("db.example", "10.0.0.7")), "--connect tcp:10.0.0.7:5432-5440");
    assert_eq!(flag(&policy(&["resolve db.example"]), &resolved("db.example", "10.0.0.7")), "--resolve 10.0.0.7");
    let refused = reason(&granted, &resolved("db.example", "10.0.0.7"));
    assert!(matches!(refused, Reason::AddressNotPublic { class: AddressClass::Private, .. }));
    assert_eq!(refused.to_string(), "`db.example` is granted by name, and a name does not reach private addresses");
}

#[test]
fn listening() {
    check(&[
        (&[], listen("127.0.0.1:8080"), No),
        (&["listen 127.0.0.1:8080"], listen("127.0.0.1:8080"), Yes),
        (&["listen 127.0.0.1:8080"], listen("0.0.0.0:8080"), No),
        (&["listen 127.0.0.1:8080"], listen("127.0.0.1:8081"), No),
        (&["listen localhost:8080"], listen("[::1]:8080"), Yes),
        (&["listen *:8080"], listen("0.0.0.0:8080"), Yes),
        (&["listen *:8080"], listen("192.168.1.2:8080"), Yes),
        (&["listen 0.0.0.0:8080"], listen("127.0.0.1:8080"), Yes),
        (&["listen 0.0.0.0:8080"], listen("[::1]:8080"), No),
        (&["listen [::]:8080"], listen("[::1]:8080"), Yes),
        (&["listen *:8080"], listen("127.0.0.1:0"), No),
        (&["listen *:*"], listen("127.0.0.1:0"), Yes),
        (&["listen *:*", "deny-listen *:80"], listen("127.0.0.1:80"), Never),
        (&["listen *:*", "deny-listen 0.0.0.0:*"], listen("127.0.0.1:80"), Yes),
        // A socket on every address also receives at the denied address.
        (&["listen *:*", "deny-listen 10.0.0.0/8:*"], listen("0.0.0.0:80"), Never),
        (&["listen *:*", "deny-listen 10.0.0.0/8:*"], listen("127.0.0.1:80"), Yes),
        (&["allow-all"], listen("0.0.0.0:80"), Yes),
    ]);
}

#[test]
fn binding_to_send() {
    check(&[
        // The datagrams are decided, not the socket.
        (&[], bind("0.0.0.0:0"), Yes),
        (&[], bind("[::]:0"), Yes),
        (&[], udp("1.1.1.1:53"), No),
        (&[], bind("127.0.0.1:0"), No),
        (&["connect tcp:*:*"], bind("127.0.0.1:0"), No),
        (&["connect udp:*:53"], bind("127.0.0.1:0"), Yes),
        (&["listen udp:127.0.0.1:0"], bind("127.0.0.1:0"), Yes),
    ]);
}

#[test]
fn fixes_name_the_request() {
    let sealed = policy(&[]);
    for (request, expected) in [
        (tcp("10.0.0.1:5432"), "--connect 10.0.0.1:5432"),
        (tcp("[fd00::1]:5432"), "--connect '[fd00::1]:5432'"),
        (tcp("[fe80::1%4]:80"), "--connect '[fe80::1]:80'"),
        (tcp("[::ffff:10.0.0.1]:80"), "--connect 10.0.0.1:80"),
        (udp("1.1.1.1:53"), "--connect udp:1.1.1.1:53"),
        (named("1.1.1.1:443", &["api.example."]), "--connect api.example:443"),
        (named("10.0.0.1:443", &["api.example"]), "--connect 10.0.0.1:443"),
        (named("1.1.1.1:443", &["a b", "api.example"]), "--connect api.example:443"),
        (named("127.0.0.1:443", &["localhost"]), "--connect localhost:443"),
        (listen("0.0.0.0:80"), "--listen 0.0.0.0:80"),
        (resolve("MÜNCHEN.example"), "--resolve xn--mnchen-3ya.example"),
        (resolve("-a.example"), "--resolve=-a.example"),
        (resolve("127.1"), "--resolve 127.0.0.1"),
        (resolve("$(reboot)"), ""),
        (resolve("*"), ""),
        (resolve("*.example"), ""),
        (named("1.1.1.1:443", &["*", "*.example"]), "--connect 1.1.1.1:443"),
    ] {
        assert_eq!(flag(&sealed, &request), expected, "{request}");
    }
    let request = Request::Listen { protocol: Protocol::Udp, address: "[::1]:53".parse().expect("an address") };
    assert_eq!(flag(&sealed, &request), "--listen 'udp:[::1]:53'");
}
