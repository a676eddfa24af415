//! The page and the JavaScript client, inside the binary: each file once as it is and once compressed, under the hash
//! of what it says.
//!
//! The page's policy lets it do nothing but talk to its own hub. The client is for pages anywhere: any origin may
//! load it, and the hub decides at the WebSocket who may connect.

use std::{io::Write, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

/// No inline script or style, nothing from elsewhere, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What makes two texts two: so much of their SHA-256.
const TAG_BYTES: usize = 12;

macro_rules! files {
    ($folder:literal, $($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../../", $folder, "/", $path)))),*]
    };
}

/// Path below `/`, content. A test holds the list against the folder.
const PAGE: &[(&str, &[u8])] =
    files!["web-demo", "index.html", "style.css", "icon.svg", "app.js", "groups.js", "keep.js", "words.js",];

/// What pages elsewhere load too; `node clients/js/build.mjs` makes it.
const CLIENT: &[(&str, &[u8])] = files!["clients/js/dist", "palabre.js", "palabre-elements.js"];

pub(super) fn routes() -> Router {
    let page = PAGE.iter().map(|(path, content)| Asset::new(path, content, false));
    let client = CLIENT.iter().map(|(path, content)| Asset::new(path, content, true));
    page.chain(client).fold(Router::new(), |router, asset| {
        let at = if asset.path == "index.html" { "/".to_owned() } else { format!("/{}", asset.path) };
        let asset = Arc::new(asset);
        router.route(&at, get(async move |asked: HeaderMap| asset.answer(&asked)))
    })
}

/// A file as it is served.
struct Asset {
    path: &'static str,
    plain: &'static [u8],
    gzipped: Bytes,
    tag: HeaderValue,
    /// Whether any origin's pages may load it.
    anywhere: bool,
}

impl Asset {
    fn new(path: &'static str, plain: &'static [u8], anywhere: bool) -> Self {
        let hash = HEXLOWER.encode(&Sha256::digest(plain)[..TAG_BYTES]);
        // Weak: the same text, whether it comes compressed or not.
        let tag = HeaderValue::try_from(format!("W/\"{hash}\"")).expect("hexadecimal digits are visible");
        Self { path, plain, gzipped: gzip(plain).into(), tag, anywhere }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let mut answer = if self.is_known(asked) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if takes_gzip(asked) {
            ([(header::CONTENT_ENCODING, "gzip")], self.gzipped.clone()).into_response()
        } else {
            self.plain.into_response()
        };
        let headers = answer.headers_mut();
        headers.insert(header::ETAG, self.tag.clone());
        for (name, value) in self.headers() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, &'static str)> {
        let all = [
            (header::CONTENT_TYPE, content_type(self.path)),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::VARY, "accept-encoding"),
            // A new binary is a new page; asking costs one round trip and, by the tag, no bytes.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        let own: &[_] = if self.anywhere {
            &[
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
                (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
            ]
        } else {
            &[(header::CONTENT_SECURITY_POLICY, POLICY)]
        };
        all.into_iter().chain(own.to_vec())
    }

    fn is_known(&self, asked: &HeaderMap) -> bool {
        let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let own = self.tag.to_str().map(strong).unwrap_or_default();
        listed(asked, &header::IF_NONE_MATCH).any(|tag| tag == "*" || strong(tag) == own)
    }
}

/// Whether the client says that it takes gzip, and not that it takes none of it.
fn takes_gzip(asked: &HeaderMap) -> bool {
    listed(asked, &header::ACCEPT_ENCODING).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(refused)
    })
}

fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("memory takes all that is written")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, kind)| kind) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    /// All that a first visit loads, in bytes on the wire.
    const PAGE_GZIPPED_MAX: usize = 40_000;

    fn walk(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_page_and_the_client_is_served_with_its_type() {
        for (folder, files) in [("web-demo", PAGE), ("clients/js/dist", CLIENT)] {
            let mut there = BTreeSet::new();
            walk(&Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(folder), "", &mut there);
            let listed: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(listed, there);
            assert!(files.iter().all(|(path, _)| content_type(path) != "application/octet-stream"));
        }
    }

    #[test]
    fn the_whole_page_is_light() {
        let all: usize = PAGE.iter().chain(CLIENT).map(|(_, content)| gzip(content).len()).sum();
        assert!(all <= PAGE_GZIPPED_MAX, "{all} bytes");
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (said, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("identity", false),
            ("", false),
        ] {
            let asked = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(said))]);
            assert_eq!(takes_gzip(&asked), takes, "{said}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
