//! Values that are used and never shown: secrets, and addresses with a password in them.
//!
//! Their `Debug` and `Display` print stars, so that no log line and no error can leak them by accident; whoever needs
//! the value itself writes `expose`, which is easy to search for. Memory is not wiped: an attacker who reads it has won.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::str::FromStr;

/// What is printed in place of what must not be seen.
pub(super) const MASK: &str = "***";

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself, for where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_boxed_str())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Where Redis is: `redis://[user:password@]host[:port][/db]`, printed without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(Secret);

impl RedisUrl {
    /// The whole address, for whoever connects.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl FromStr for RedisUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "must look like redis://[user:password@]host[:port][/db]";
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has a blank, a control character or a letter that is not ASCII in it");
        }
        if url.ends_with("#insecure") {
            return Err("#insecure belongs to TLS, which is not supported yet");
        }
        let (scheme, rest) = url.split_once(':').ok_or(SHAPE)?;
        match scheme.to_ascii_lowercase().as_str() {
            "redis" => {}
            "rediss" | "valkeys" => return Err("TLS to Redis (rediss://) is not supported yet"),
            "unix" | "redis+unix" => return Err("a unix socket is not supported yet"),
            _ => return Err(SHAPE),
        }
        let rest = rest.strip_prefix("//").ok_or(SHAPE)?;
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, port) = match place.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (place, None),
        };
        let is_name =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        let is_host = match host.strip_prefix('[') {
            Some(address) => {
                address.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
            }
            None => !host.is_empty() && is_name(host),
        };
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
        if percent_decode_str(authority).decode_utf8().is_err() {
            return Err("has escapes like %40 in it that are no text");
        }
        let is_database = database.is_empty() || database.parse::<u16>().is_ok();
        if is_host && is_port && is_database { Ok(Self(Secret::from(url.to_owned()))) } else { Err(SHAPE) }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(self.expose()))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(self.expose()))
    }
}

/// A URL that may be printed: without user, password and query.
///
/// It need not be a valid one. Everything up to the last `@` goes, for a password with a `/` or an `@` in it is not
/// escaped by everybody; a text that is no URL at all may be anything, so nothing of it stays.
pub fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let (user, place) = match rest.rsplit_once('@') {
        Some((_, place)) => ("***@", place),
        None => ("", rest),
    };
    let (place, query) = match place.find(['?', '#']) {
        Some(end) => (&place[..end], "?***"),
        None => (place, ""),
    };
    format!("{scheme}://{user}{place}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_printed_without_user_password_and_query() {
        for (url, shown) in [
            ("redis://h:6379/2", "redis://h:6379/2"),
            ("redis://user:pw@h:6379/2", "redis://***@h:6379/2"),
            ("redis://:pw@[::1]", "redis://***@[::1]"),
            ("redis://u:p@ss/w?rd#@h/1", "redis://***@h/1"),
            ("redis://h/1?password=pw", "redis://h/1?***"),
            ("redis://h#pw", "redis://h?***"),
            ("hunter2", "***"),
            ("", "***"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }

    #[test]
    fn secrets_print_as_stars() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn an_address_of_redis_is_taken_in_its_usual_forms() {
        for url in [
            "redis://localhost",
            "redis://localhost/",
            "REDIS://127.0.0.1:6380/15",
            "redis://[::1]:6379/0",
            "redis://[::1]",
            "redis://:pw@redis_1.internal:6379",
            "redis://user:p%40ss@h",
        ] {
            assert_eq!(url.parse::<RedisUrl>().unwrap().expose(), url);
        }
    }

    #[test]
    fn what_is_not_supported_yet_is_said_to_be_so() {
        for url in [
            "rediss://h",
            "rediss://h/#insecure",
            "unix:///run/redis.sock",
            "redis+unix:///s",
            "redis://h#insecure",
        ] {
            let why = url.parse::<RedisUrl>().unwrap_err();
            assert!(why.contains("not supported yet"), "{url}: {why}");
        }
    }

    #[test]
    fn a_malformed_address_of_redis_is_refused() {
        for url in [
            "",
            "redis://user:p%ff@h",
            "h",
            "h:6379",
            "http://h",
            "redis:",
            "redis:h",
            "redis://",
            "redis://:pw@",
            "redis://h:",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:x",
            "redis://::1",
            "redis://[::1",
            "redis://[x]",
            "redis://h/x",
            "redis://h/0/1",
            "redis://h/0?protocol=resp3",
            "redis://h?x",
            "redis://a b",
            "redis://h\n",
            "redis://é",
        ] {
            assert!(url.parse::<RedisUrl>().is_err(), "{url:?}");
        }
    }
}
