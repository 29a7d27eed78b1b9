//! TLS trusts the public roots of the web, or only those in `SSL_CERT_FILE`.

use crate::{programs, run};
use walnut_test_support::{TlsServer, test_env};

#[test]
fn a_certificate_that_the_operator_trusts_is_accepted() {
    let (env, server) = (test_env!(), TlsServer::start());
    let roots = env.file("roots.pem", server.certificate());
    for program in programs() {
        let url = format!("https://localhost:{}/", server.address().port());
        let args =
            ["run", "--http", &url, "--connect", "127.0.0.1:*", "--connect", "[::1]:*", &program, "http", "GET", &url];
        env.walnut(args).env("SSL_CERT_FILE", &roots).run().prints("status 200\nanswer");
        assert_eq!(server.handshake(), "agreed");
        env.walnut(args).env("SSL_CERT_FILE", "nothing.pem").run().exits_with(1);
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (env, server) = (test_env!(), TlsServer::start());
    for program in programs() {
        for host in ["127.0.0.1", "localhost"] {
            let authority = format!("{host}:{}", server.address().port());
            let [plain, secure] = ["http", "https"].map(|scheme| format!("{scheme}://{authority}/"));
            let grants = ["--http", &plain, "--http", &secure, "--connect", "127.0.0.1:*", "--connect", "[::1]:*"];
            let refused = run(&env, &program, &grants, &["http", "GET", &secure]).exits_with(1);
            assert_eq!(refused.stdout, "", "{refused}");
            let refused = refused.says("certificate");
            assert!(!refused.stderr.contains("denied"), "{refused}");
            assert_eq!(server.handshake(), "received fatal alert: UnknownCA");
            run(&env, &program, &grants, &["http", "GET", &plain]).prints("status 200\nanswer");
        }
    }
}
