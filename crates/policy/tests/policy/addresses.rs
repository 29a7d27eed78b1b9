use crate::support::*;
use walnut_policy::AddressClass::{self, LinkLocal, Loopback, Private, Public};

#[test]
fn every_range_has_its_class() {
    for (class, addresses) in [
        (Public, "1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.1.0.0 198.17.0.1 223.255.255.255"),
        (Public, "2606:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888 3ffe::1"),
        (Loopback, "127.0.0.1 127.255.255.254 ::1"),
        (LinkLocal, "169.254.169.254 169.254.0.1 fe80::1 febf::1"),
        (Private, "10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 100.100.100.200"),
        (Private, "0.0.0.0 0.1.2.3 192.0.0.192 192.0.2.1 198.18.0.1 198.19.0.1 198.51.100.7 203.0.113.9 224.0.0.1"),
        (Private, "240.0.0.1 255.255.255.255 168.63.129.16 192.88.99.1"),
        (
            Private,
            ":: fc00::1 fd00:ec2::254 fec0::1 ff02::1 2001:db8::1 3fff::1 2001::1 2001:2::1 100::1 5f00::1 4000::1",
        ),
        // An address that carries an IPv4 address has the class of that address.
        (Loopback, "::ffff:127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: 2002:7f00:1:1::5 ::127.0.0.1"),
        (LinkLocal, "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 ::169.254.169.254"),
        (Private, "::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: ::10.0.0.1 64:ff9b:1::808:808"),
        (Public, "::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1"),
    ] {
        for address in addresses.split(' ') {
            assert_eq!(AddressClass::of(address.parse().expect(address)), class, "{address}");
        }
    }
}

#[test]
fn a_denied_address_is_denied_in_every_spelling() {
    let spellings = [
        "10.0.0.5:80",
        "[::ffff:10.0.0.5]:80",
        "[::ffff:a00:5]:80",
        "[::ffff:0:10.0.0.5]:80",
        "[64:ff9b::a00:5]:80",
        "[2002:a00:5::1]:80",
        "[::10.0.0.5]:80",
    ];
    for rule in
        ["10.0.0.5:*", "10.0.0.0/8:*", "[::ffff:10.0.0.5]:80", "[::ffff:10.0.0.0/104]:*", "[64:ff9b::a00:5]:*", "*:80"]
    {
        let denying = policy(&["allow-all", &format!("deny-connect {rule}")]);
        for address in spellings {
            assert_eq!(answer(&denying, &tcp(address)), Never, "{rule}: {address}");
        }
        assert_eq!(answer(&denying, &tcp("11.0.0.5:81")), Yes, "{rule}");
    }
}

#[test]
fn the_unspecified_address_is_this_machine() {
    for rule in ["127.0.0.1:*", "127.0.0.0/8:*", "localhost:*"] {
        let denying = policy(&["allow-all", &format!("deny-connect {rule}")]);
        assert_eq!(answer(&denying, &tcp("0.0.0.0:80")), Never, "{rule}");
        assert_eq!(answer(&denying, &tcp("[::ffff:0.0.0.0]:80")), Never, "{rule}");
        assert_eq!(answer(&denying, &http_at("http://0.0.0.0", "0.0.0.0:80")), Never, "{rule}");
        assert_eq!(answer(&denying, &tcp("10.0.0.1:80")), Yes, "{rule}");
    }
    assert_eq!(answer(&policy(&["allow-all", "deny-connect [::1]:*"]), &tcp("[::]:80")), Never);
}

#[test]
fn a_block_of_carriers_grants_those_and_no_plain_addresses() {
    check(&[
        (&["connect [64:ff9b::/96]:443"], tcp("[64:ff9b::808:808]:443"), Yes),
        (&["connect [64:ff9b::/96]:443"], tcp("8.8.8.8:443"), No),
        (&["connect [2002::/16]:443"], tcp("10.0.0.1:443"), No),
        (&["connect [::/0]:443"], tcp("[::ffff:10.0.0.1]:443"), No),
        (&["connect [::/0]:443"], tcp("[2606:4700::1]:443"), Yes),
        (&["connect 8.8.8.8:443"], tcp("[::ffff:8.8.8.8]:443"), Yes),
        (&["connect [::ffff:8.8.8.0/120]:443"], tcp("8.8.8.8:443"), Yes),
    ]);
}
