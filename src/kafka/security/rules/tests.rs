use super::*;
use crate::kafka::security::{Identity, TlsSettings};

fn read(pairs: &[(&str, &str)]) -> Result<Security, PropertyError> {
    let properties: Properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    SecurityRules::of(&properties).read()
}

const PASSWORD: [(&str, &str); 2] = [("sasl.username", "me"), ("sasl.password", "hunter2")];
const TOKEN: [(&str, &str); 5] = [
    ("sasl.mechanism", "OAUTHBEARER"),
    ("sasl.oauthbearer.method", "oidc"),
    ("sasl.oauthbearer.token.endpoint.url", "https://login.example/token"),
    ("sasl.oauthbearer.client.id", "me"),
    ("sasl.oauthbearer.client.secret", "hunter2"),
];

#[test]
fn nothing_set_is_plaintext_and_protocols_are_read_in_any_case() {
    assert_eq!(read(&[]).unwrap(), Security::default());
    assert_eq!(read(&[("security.protocol", "PLAINTEXT")]).unwrap(), Security::default());
    let both = [&[("security.protocol", "SASL_SSL"), ("sasl.mechanisms", "SCRAM-SHA-512")][..], &PASSWORD].concat();
    let both = [&both[..], &[("enable.ssl.certificate.verification", "false")]].concat();
    let security = read(&both).unwrap();
    assert_eq!(security.tls, Some(TlsSettings { check: ServerCheck::Nothing, ..TlsSettings::default() }));
    let Some(SaslSettings::Password { mechanism, username, .. }) = security.sasl else { panic!("a password") };
    assert_eq!((mechanism, username), (PasswordMechanism::ScramSha512, "me".into()));
}

#[test]
fn a_token_needs_its_endpoint_and_takes_scope_and_extensions() {
    let protocol = ("security.protocol", "sasl_plaintext");
    let more = [("sasl.oauthbearer.scope", "kafka"), ("sasl.oauthbearer.extensions", "logicalCluster=lkc-1,pool=p 2")];
    let security = read(&[&[protocol][..], &TOKEN, &more].concat()).unwrap();
    let Some(SaslSettings::Token(token)) = security.sasl else { panic!("a token") };
    assert_eq!((token.endpoint.as_str(), token.scope.as_deref()), ("https://login.example/token", Some("kafka")));
    let extensions = [("logicalCluster".to_owned(), "lkc-1".to_owned()), ("pool".to_owned(), "p 2".to_owned())];
    assert_eq!(token.extensions, extensions);
    for (left_out, named) in (1..TOKEN.len()).map(|index| (TOKEN[index], TOKEN[index].0)) {
        let rest: Vec<_> = TOKEN.into_iter().filter(|pair| *pair != left_out).chain([protocol]).collect();
        assert_eq!(read(&rest).unwrap_err().key, named);
    }
}

#[test]
fn what_is_wrong_missing_or_contradicts_is_named_with_its_rule_and_without_a_secret() {
    let tls = ("security.protocol", "ssl");
    let sasl = ("security.protocol", "sasl_plaintext");
    let plain = ("sasl.mechanism", "PLAIN");
    let [user, password] = PASSWORD;
    let (certificate, key) = (("ssl.certificate.pem", "x"), ("ssl.key.pem", "hunter2"));
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (&[("security.protocol", "tls")], "security.protocol", "plaintext, ssl, sasl_plaintext or sasl_ssl"),
        (&[("ssl.ca.location", "/ca.pem")], "ssl.ca.location", "needs TLS"),
        (&[plain], "sasl.mechanism", "needs SASL"),
        (&[tls, password], "sasl.password", "needs SASL"),
        (&[tls, TOKEN[4]], "sasl.oauthbearer.client.secret", "needs SASL"),
        (&[sasl], "sasl.mechanism", "is needed with security.protocol=sasl_plaintext"),
        (&[sasl, ("sasl.mechanisms", "GSSAPI"), user, password], "sasl.mechanisms", "must be PLAIN"),
        (&[sasl, plain, ("sasl.mechanisms", "SCRAM-SHA-256")], "sasl.mechanism", "another one than sasl.mechanisms"),
        (&[sasl, plain, password], "sasl.username", "is needed with sasl.mechanism=PLAIN"),
        (&[sasl, plain, user], "sasl.password", "is needed with sasl.mechanism=PLAIN"),
        (&[sasl, plain, user, ("sasl.password", "")], "sasl.password", "must not be empty"),
        (&[sasl, plain, user, password, TOKEN[1]], "sasl.oauthbearer.method", "is for sasl.mechanism=OAUTHBEARER"),
        (&[sasl, TOKEN[0], TOKEN[1], password], "sasl.password", "is not for OAUTHBEARER"),
        (&[sasl, TOKEN[0], ("sasl.oauthbearer.method", "default")], "sasl.oauthbearer.method", "must be oidc"),
        (&[tls, certificate], "ssl.key.location", "is needed beside"),
        (&[tls, key], "ssl.certificate.location", "is needed beside"),
        (&[tls, ("ssl.key.password", "hunter2")], "ssl.key.password", "which are not set"),
        (&[tls, certificate, ("ssl.certificate.location", "/c")], "ssl.certificate.location", "leave one of them out"),
        (&[tls, ("ssl.ca.location", "/nonexistent/ca.pem")], "ssl.ca.location", "cannot be read"),
        (&[tls, ("ssl.ca.pem", "no certificate")], "ssl.ca.location", "holds no certificate"),
        (
            &[tls, ("ssl.endpoint.identification.algorithm", "http")],
            "ssl.endpoint.identification.algorithm",
            "https or none",
        ),
        (&[tls, ("enable.ssl.certificate.verification", "no")], "enable.ssl.certificate.verification", "true or false"),
    ];
    for (pairs, key, rule) in cases {
        let error = read(pairs).unwrap_err();
        assert_eq!(error.key, *key, "{error}");
        assert!(error.rule.contains(rule), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn an_extension_must_be_one_that_the_protocol_can_carry() {
    for bad in ["x", "=1", "auth=1", "a1=2", "a=", "a=\u{1}", "a=1,"] {
        let pairs = [&[("security.protocol", "sasl_plaintext"), ("sasl.oauthbearer.extensions", bad)][..], &TOKEN].concat();
        assert_eq!(read(&pairs).unwrap_err().key, "sasl.oauthbearer.extensions", "{bad:?}");
    }
}

#[test]
fn nothing_of_a_security_that_is_printed_is_a_secret() {
    let pairs = [&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")][..], &PASSWORD].concat();
    let shown = format!("{:?}", read(&pairs).unwrap());
    assert!(shown.contains("Plain") && !shown.contains("hunter2"), "{shown}");
    let identity = Identity { certificate: "c".into(), key: "hunter2".into(), key_password: Some("hunter2".into()) };
    assert!(!format!("{identity:?}").contains("hunter2"));
}
