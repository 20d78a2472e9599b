use super::*;
use crate::config::Property;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A token endpoint on loopback: answers what `answer` says to the number of the request, and remembers the last one.
struct Endpoint {
    url: String,
    asked: Arc<AtomicUsize>,
    last: Arc<std::sync::Mutex<String>>,
}

async fn endpoint(answer: impl Fn(usize) -> (&'static str, String) + Send + 'static) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (asked, last) = (Arc::<AtomicUsize>::default(), Arc::<std::sync::Mutex<String>>::default());
    let (count, text) = (Arc::clone(&asked), Arc::clone(&last));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("grant_type=") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            *text.lock().unwrap() = String::from_utf8_lossy(&request).into_owned();
            let (status, body) = answer(count.fetch_add(1, Ordering::SeqCst));
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    Endpoint { url, asked, last }
}

fn source(url: &str) -> TokenSource {
    TokenSource::new(TokenSettings {
        endpoint: url.to_owned(),
        client_id: Property::from("monitor"),
        client_secret: Property::from("hunter2"),
        scope: Some("kafka read".to_owned()),
        extensions: Vec::new(),
        roots: Roots::System,
    })
}

fn granted(life_s: u64) -> (&'static str, String) {
    ("200 OK", format!(r#"{{"access_token": "secret-token", "token_type": "Bearer", "expires_in": {life_s}}}"#))
}

#[tokio::test]
async fn a_token_is_asked_for_by_client_credentials_and_kept() {
    let endpoint = endpoint(|_| granted(3600)).await;
    let source = source(&endpoint.url);
    for _ in 0..3 {
        let token = source.token().await.unwrap();
        assert_eq!((token.value.expose_secret(), token.principal.as_str()), ("secret-token", "monitor"));
        assert!(!format!("{token:?}").contains("secret-token"));
    }
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 1);
    let request = endpoint.last.lock().unwrap().clone();
    assert!(request.starts_with("POST /token "), "{request}");
    assert!(request.contains("authorization: Basic bW9uaXRvcjpodW50ZXIy"), "{request}");
    assert!(request.ends_with("grant_type=client_credentials&scope=kafka+read"), "{request}");
}

#[tokio::test]
async fn a_token_without_a_life_left_is_fetched_again_and_so_is_one_that_was_refused() {
    let short = endpoint(|_| granted(0)).await;
    let long = endpoint(|_| granted(3600)).await;
    for (endpoint, forget) in [(short, false), (long, true)] {
        let source = source(&endpoint.url);
        for _ in 0..2 {
            source.token().await.unwrap();
            if forget {
                source.forget().await;
            }
        }
        assert_eq!(endpoint.asked.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_refusal_names_the_endpoint_and_the_status_and_never_the_secret() {
    let refusing = endpoint(|_| {
        ("401 Unauthorized", r#"{"error": "invalid_client", "error_description": "no such\nclient"}"#.to_owned())
    })
    .await;
    let problem = source(&refusing.url).token().await.unwrap_err();
    let url = refusing.url.clone();
    assert_eq!(problem, format!("no token from {url}: it answers 401 Unauthorized (invalid_client: no suchclient)"));

    let strange = endpoint(|_| ("200 OK", "<html>hello</html>".to_owned())).await;
    let problem = source(&strange.url).token().await.unwrap_err();
    assert!(problem.ends_with("200 OK without an access_token in JSON"), "{problem}");

    let moved = endpoint(|_| ("302 Found", String::new())).await;
    assert!(source(&moved.url).token().await.unwrap_err().contains("302 Found"));

    let problem = source("http://me:hunter2@127.0.0.1:1/token").token().await.unwrap_err();
    assert!(problem.starts_with("no token from http://***@127.0.0.1:1/token: "), "{problem}");
    assert!(!problem.contains("hunter2"), "{problem}");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let endless = endpoint(|_| ("200 OK", " ".repeat(ANSWER_BYTES_MAX + 1))).await;
    assert!(source(&endless.url).token().await.unwrap_err().contains("larger than"));
}

#[test]
fn a_jwt_says_itself_whom_it_is_for_and_until_when() {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let jwt = format!("{}.{}.", part("{}"), part(r#"{"sub": "svc-monitor", "exp": 4102444800}"#));
    let token = token(Granted { access_token: jwt, expires_in: None }, "id");
    assert_eq!(token.principal, "svc-monitor");
    assert_eq!(token.until, UNIX_EPOCH + Duration::from_secs(4_102_444_800));
}

#[test]
fn a_life_in_quotes_is_a_life() {
    let granted: Granted = serde_json::from_str(r#"{"access_token": "t", "expires_in": "3599"}"#).unwrap();
    let life = token(granted, "id").until.duration_since(SystemTime::now()).unwrap();
    assert!(life > Duration::from_secs(3_000), "{life:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_silent_endpoint_waits_for_one_try_and_is_told_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = source(&format!("http://{}/token", listener.local_addr().unwrap()));
    let begun = Instant::now();
    let answers = futures_util::future::join_all((0..20).map(|_| source.token())).await;
    // One try of ten seconds, and not one for each.
    assert!(begun.elapsed() < FETCH_TIMEOUT * 2, "{:?}", begun.elapsed());
    let problems: std::collections::BTreeSet<_> = answers.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems.first().unwrap().starts_with("no token from http://127.0.0.1:"), "{problems:?}");

    // For as long as the try took, the next one is told the same; then the endpoint is asked again.
    let again = Instant::now();
    assert!(problems.contains(&source.token().await.unwrap_err()));
    assert_eq!(again.elapsed(), Duration::ZERO);
    tokio::time::advance(FETCH_TIMEOUT * 2).await;
    source.token().await.unwrap_err();
    assert!(again.elapsed() >= FETCH_TIMEOUT * 2 + FETCH_TIMEOUT / 2, "{:?}", again.elapsed());
}

#[tokio::test]
async fn an_endpoint_that_is_back_is_asked_soon_after_a_quick_refusal() {
    let endpoint = endpoint(|asked| if asked == 0 { ("503 Service Unavailable", String::new()) } else { granted(60) }).await;
    let source = source(&endpoint.url);
    source.token().await.unwrap_err();
    let soon = async {
        while source.token().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FETCH_TIMEOUT, soon).await.unwrap();
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 2);
}
