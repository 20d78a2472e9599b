//! What protects the dashboard and its users: headers on every answer, allowed hosts, the path prefix.

use super::{settings::AllowedHosts, state::DashboardState};
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::net::IpAddr;

/// No inline script, no inline style, nothing from elsewhere; pages cannot be framed.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

/// Adds the security headers, and `no-store` where a handler did not say how long its answer may be kept.
pub async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses names that are not ours: without it a foreign page could bind its own name to this address and read everything.
pub async fn check_host(State(dashboard): State<DashboardState>, request: Request, next: Next) -> Response {
    let host = request.uri().host().or_else(|| request.headers().get(header::HOST)?.to_str().ok()).unwrap_or("");
    if is_for_machines(request.uri().path()) || is_allowed(host, &dashboard.settings.allowed_hosts) {
        return next.run(request).await;
    }
    let text = "This host name is not allowed here. Add it with --allowed-host, or set --external-url.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// Probes and pages of metrics: asked for by machines that know the address alone.
fn is_for_machines(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/healthz" | "/metrics" | "/burrow/admin" | "/burrow/admin/ready")
        || path.starts_with("/metrics/")
}

fn is_allowed(host: &str, allowed: &AllowedHosts) -> bool {
    let AllowedHosts::Only(names) = allowed else { return true };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(host))
}

/// Takes the prefix off the path. Probes and `/metrics` answer without it too, since nothing in front of them rewrites.
pub fn strip_prefix(prefix: &str, mut request: Request) -> Request {
    if prefix.is_empty() {
        return request;
    }
    let path = request.uri().path();
    let stripped = match path.strip_prefix(prefix) {
        Some("") => Some("/".to_owned()),
        Some(rest) if rest.starts_with('/') => Some(rest.to_owned()),
        _ if is_for_machines(path) => Some(path.to_owned()),
        _ => None,
    };
    // A path outside the prefix becomes one that no route has.
    let path = stripped.unwrap_or_else(|| "/outside-the-prefix".to_owned());
    let with_query = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if let Ok(path_and_query) = PathAndQuery::try_from(with_query) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn addresses_and_localhost_always_pass_and_foreign_names_never() {
        let only = AllowedHosts::Only(vec!["tidemark.example.com".into()]);
        for host in ["localhost", "localhost:8720", "127.0.0.1:8720", "[::1]:8720", "10.0.0.7", "Tidemark.example.com:443"] {
            assert!(is_allowed(host, &only), "{host}");
        }
        for host in ["evil.example", "tidemark.example.com.evil.example", "", "localhost.evil.example"] {
            assert!(!is_allowed(host, &only), "{host}");
        }
    }

    #[test]
    fn the_prefix_is_taken_off_and_nothing_outside_it_is_served() {
        let path = |uri: &str| {
            let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
            strip_prefix("/tm", request).uri().to_string()
        };
        assert_eq!(path("/tm"), "/");
        assert_eq!(path("/tm/groups?q=a%20b"), "/groups?q=a%20b");
        assert_eq!(path("/tmx/groups"), "/outside-the-prefix");
        assert_eq!(path("/groups"), "/outside-the-prefix");
        assert_eq!(path("/metrics"), "/metrics");
        assert_eq!(path("/metrics/kminion?strict=1"), "/metrics/kminion?strict=1");
    }
}
