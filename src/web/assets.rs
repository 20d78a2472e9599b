//! Static files: embedded in the binary, addressed by a hash of their content, cached for a year under that address.

use super::links::Links;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

/// Name, content, media type. The style sheet comes last: it names the font by its final address.
const FILES: [(&str, &[u8], &str); 8] = [
    ("icon.svg", include_bytes!("../../static/icon.svg"), "image/svg+xml"),
    ("inter.woff2", include_bytes!("../../static/vendor/inter-latin-5.3.0.woff2"), "font/woff2"),
    ("idiomorph.js", include_bytes!("../../static/vendor/idiomorph-0.8.0.min.js"), "text/javascript; charset=utf-8"),
    ("uplot.js", include_bytes!("../../static/vendor/uplot-1.6.32.iife.min.js"), "text/javascript; charset=utf-8"),
    ("uplot.css", include_bytes!("../../static/vendor/uplot-1.6.32.min.css"), "text/css; charset=utf-8"),
    ("app.js", include_bytes!("../../static/app.js"), "text/javascript; charset=utf-8"),
    ("live.js", include_bytes!("../../static/live.js"), "text/javascript; charset=utf-8"),
    ("app.css", include_bytes!("../../static/app.css"), "text/css; charset=utf-8"),
];

pub struct Assets {
    prefix: String,
    /// Name with its hash (`app.1a2b3c4d.css`) -> file.
    by_address: BTreeMap<String, Asset>,
    addresses: BTreeMap<&'static str, String>,
}

struct Asset {
    body: Bytes,
    media_type: &'static str,
    etag: HeaderValue,
}

impl Assets {
    pub fn new(links: &Links) -> Self {
        let mut assets = Self { prefix: links.to("/static/"), by_address: BTreeMap::new(), addresses: BTreeMap::new() };
        for (name, content, media_type) in FILES {
            let body = if name == "app.css" {
                Bytes::from(String::from_utf8_lossy(content).replace("inter.woff2", assets.file_name("inter.woff2")))
            } else {
                Bytes::from_static(content)
            };
            let hash: String = Sha1::digest(&body).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            let address = match name.rsplit_once('.') {
                Some((stem, extension)) => format!("{stem}.{hash}.{extension}"),
                None => format!("{name}.{hash}"),
            };
            // Weak: the compression layer changes the bytes and keeps the meaning.
            let etag = HeaderValue::from_str(&format!("W/\"{hash}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
            assets.by_address.insert(address.clone(), Asset { body, media_type, etag });
            assets.addresses.insert(name, address);
        }
        assets
    }

    fn file_name(&self, name: &str) -> &str {
        self.addresses.get(name).map_or("", String::as_str)
    }

    /// The address of an embedded file, for templates.
    pub fn url(&self, name: &str) -> String {
        format!("{}{}", self.prefix, self.file_name(name))
    }

    pub fn serve(&self, address: &str, headers: &HeaderMap) -> Response {
        let Some(asset) = self.by_address.get(address) else {
            return (StatusCode::NOT_FOUND, "no such file\n").into_response();
        };
        let caching = [
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
            (header::ETAG, asset.etag.clone()),
        ];
        let seen = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if seen.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == asset.etag)) {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        (caching, [(header::CONTENT_TYPE, asset.media_type)], Body::from(asset.body.clone())).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_changes_with_the_content_and_the_font_is_named_by_it() {
        let assets = Assets::new(&Links::new("/tm"));
        let url = assets.url("app.css");
        assert!(url.starts_with("/tm/static/app.") && url.ends_with(".css"));
        let css = &assets.by_address[assets.file_name("app.css")].body;
        assert!(String::from_utf8_lossy(css).contains(assets.file_name("inter.woff2")));
    }

    #[test]
    fn every_embedded_file_has_content() {
        for (name, content, _) in FILES {
            assert!(!content.is_empty(), "{name}");
        }
    }
}
