use super::{super::AllowedHosts, fixture::Scenario, *};
use sha1::Digest;

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_a_request_id() {
    let dashboard = dashboard(Scenario::Normal);
    for uri in ["/", "/groups.json", "/nothing-here", "/livez", "/metrics", "/static/none.js", "/stream?view=none"] {
        let answer = dashboard.get(uri).await;
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{uri}");
        assert!(!policy.contains("unsafe"), "{uri}");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{uri}");
        assert!(!answer.header("x-request-id").is_empty(), "{uri}");
        assert!(!answer.header(header::CACHE_CONTROL).is_empty(), "{uri}");
    }
}

fn theme_form(site: Option<&str>, back: &str) -> Request<Body> {
    let mut request = Request::post("/theme").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(site) = site {
        request = request.header("sec-fetch-site", site);
    }
    let body = super::super::links::query(&[("to", "dark"), ("back", back)]);
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let dashboard = dashboard(Scenario::Normal);
    for site in ["cross-site", "same-site"] {
        assert_eq!(dashboard.send(theme_form(Some(site), "/groups")).await.code, StatusCode::FORBIDDEN, "{site}");
    }
    let answer = dashboard.send(theme_form(Some("same-origin"), "/groups?q=a")).await;
    assert_eq!((answer.code, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/groups?q=a"));
    assert!(answer.header(header::SET_COOKIE).starts_with("tidemark_theme=dark; Path=/; "));
}

#[tokio::test]
async fn the_way_back_cannot_lead_to_another_site() {
    let dashboard = dashboard(Scenario::Normal);
    for back in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nset-cookie: x=1"] {
        let answer = dashboard.send(theme_form(Some("same-origin"), back)).await;
        assert!(answer.code == StatusCode::BAD_REQUEST || answer.header(header::LOCATION) == "/", "{back:?}");
        assert!(!answer.header(header::SET_COOKIE).contains("x=1"));
    }
}

#[tokio::test]
async fn the_theme_of_the_cookie_is_the_theme_of_the_page() {
    let dashboard = dashboard(Scenario::Normal);
    for (cookie, theme) in
        [("tidemark_theme=dark", "dark"), ("a=b; tidemark_theme=light", "light"), ("tidemark_theme=\"><b>", "auto")]
    {
        let answer = dashboard.send(Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).unwrap()).await;
        assert!(answer.body.contains(&format!("data-theme=\"{theme}\"")), "{cookie}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let request = Request::post("/theme")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::CONTENT_LENGTH, 1_000_000)
        .body(Body::from("to=dark&back=".to_owned() + &"x".repeat(999_987)))
        .unwrap();
    assert_eq!(dashboard(Scenario::Normal).send(request).await.code, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_foreign_host_name_is_refused_and_probes_are_not() {
    let settings =
        Settings { allowed_hosts: AllowedHosts::Only(vec!["tidemark.example.com".into()]), ..Settings::default() };
    let dashboard = dashboard_with(Scenario::Normal, settings, |state| state);
    let get = |uri: &str, host: &str| Request::get(uri).header(header::HOST, host).body(Body::empty()).unwrap();
    assert_eq!(dashboard.send(get("/", "evil.example")).await.code, StatusCode::MISDIRECTED_REQUEST);
    for (uri, host) in
        [("/", "127.0.0.1:8720"), ("/", "tidemark.example.com"), ("/metrics", "monitor:8720"), ("/livez", "pod")]
    {
        assert_eq!(dashboard.send(get(uri, host)).await.code, StatusCode::OK, "{uri} {host}");
    }
}

#[tokio::test]
async fn a_monitor_that_a_defect_has_stopped_asks_to_be_started_again() {
    let dashboard = dashboard(Scenario::Normal);
    assert_eq!(dashboard.get("/livez").await.code, StatusCode::OK);
    dashboard.published.tell_defect();
    assert_eq!(dashboard.get("/livez").await.code, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_monitor_that_cannot_reach_kafka_is_still_ready() {
    let dashboard = dashboard(Scenario::Down);
    for uri in ["/livez", "/readyz", "/healthz", "/"] {
        assert_eq!(dashboard.get(uri).await.code, StatusCode::OK, "{uri}");
    }
    assert!(dashboard.get("/healthz").await.body.contains("kafka unreachable, ledger unreachable"));
    dashboard.stop.cancel();
    assert_eq!(dashboard.get("/readyz").await.code, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn metrics_are_served_as_they_were_prepared() {
    let dashboard = dashboard(Scenario::Normal);
    let plain = dashboard.get("/metrics").await;
    assert_eq!((plain.body.as_str(), plain.header(header::CONTENT_ENCODING)), ("plain\n", ""));
    assert!(plain.header(header::CONTENT_TYPE).starts_with("text/plain; version=0.0.4"));
    let request = Request::get("/metrics").header(header::ACCEPT_ENCODING, "br, gzip").body(Body::empty()).unwrap();
    let gzip = dashboard.send(request).await;
    assert!(gzip.body.starts_with('\u{1f}'), "the first byte of gzip");
    assert_eq!(gzip.header(header::CONTENT_ENCODING), "gzip");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let dashboard = dashboard(Scenario::Normal);
    dashboard.get("/groups/local/payment-service").await;
    dashboard.get("/no/such/page/12345").await;
    let text = dashboard.process.encode().unwrap().0;
    assert!(text.contains(r#"route="/groups/{cluster}/{group}""#));
    assert!(text.contains(r#"code="404",method="GET",route="none""#) && !text.contains("12345"));
}

#[tokio::test]
async fn a_static_file_is_kept_for_a_year_and_confirmed_by_its_tag() {
    let dashboard = dashboard(Scenario::Normal);
    for name in ["app.css", "app.js", "live.js", "inter.woff2", "uplot.js", "idiomorph.js", "icon.svg", "uplot.css"] {
        let url = dashboard.state.assets.url(name);
        let first = dashboard.get(&url).await;
        assert_eq!(first.code, StatusCode::OK, "{url}");
        assert!(first.header(header::CACHE_CONTROL).contains("immutable"));
        let tag = first.header(header::ETAG).to_owned();
        let again = dashboard.send(Request::get(&url).header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap()).await;
        assert_eq!((again.code, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    }
    assert_eq!(dashboard.get("/static/app.css").await.code, StatusCode::NOT_FOUND);
}

#[test]
fn vendored_files_are_those_that_the_table_names() {
    let table = include_str!("../../../static/VENDOR.md");
    let files: [(&str, &[u8]); 4] = [
        ("idiomorph-0.8.0.min.js", include_bytes!("../../../static/vendor/idiomorph-0.8.0.min.js")),
        ("uplot-1.6.32.iife.min.js", include_bytes!("../../../static/vendor/uplot-1.6.32.iife.min.js")),
        ("uplot-1.6.32.min.css", include_bytes!("../../../static/vendor/uplot-1.6.32.min.css")),
        ("inter-latin-5.3.0.woff2", include_bytes!("../../../static/vendor/inter-latin-5.3.0.woff2")),
    ];
    for (name, content) in files {
        let hash: String = sha1::Sha1::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        let row = table.lines().find(|line| line.contains(name)).unwrap();
        assert!(row.contains(&hash), "{name}: {hash}");
    }
}

#[tokio::test]
async fn below_a_prefix_every_address_carries_it() {
    let settings = Settings { route_prefix: "/tide".into(), ..Settings::default() };
    let dashboard = dashboard_with(Scenario::Normal, settings, |state| state);
    for uri in ["/tide", "/tide/", "/tide/groups", "/tide/groups/local?group=..", "/tide/alerts", "/tide/livez", "/metrics"]
    {
        assert_eq!(dashboard.get(uri).await.code, StatusCode::OK, "{uri}");
    }
    assert_eq!(dashboard.get("/groups").await.code, StatusCode::NOT_FOUND);
    for uri in
        ["/tide/", "/tide/groups", "/tide/groups/local/payment-service", "/tide/duplicates", "/tide/status", "/tide/flow"]
    {
        let body = dashboard.get(uri).await.body;
        for attribute in ["href=\"/", "src=\"/", "action=\"/", "data-live=\"/", "data-series=\"/"] {
            for found in body.split(attribute).skip(1) {
                assert!(found.starts_with("tide/"), "{uri}: {attribute}{}", &found[..40.min(found.len())]);
            }
        }
    }
    let theme = Request::post("/tide/theme")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("to=dark&back=/tide/groups"))
        .unwrap();
    let answer = dashboard.send(theme).await;
    assert_eq!(answer.header(header::LOCATION), "/tide/groups");
    assert!(answer.header(header::SET_COOKIE).contains("Path=/tide;"));
}

#[tokio::test]
async fn a_page_is_compressed_for_those_who_accept_it() {
    let request = Request::get("/").header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
    assert_eq!(dashboard(Scenario::Normal).send(request).await.header(header::CONTENT_ENCODING), "gzip");
}
