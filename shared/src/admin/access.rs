//! Where the private listener is and who may ask it. On this machine alone a `Host` that
//! names this machine is enough, which no page of a browser can pretend; on any other
//! address a token is asked for.

use std::net::{IpAddr, SocketAddr};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use sha2::{Digest as _, Sha256};

use crate::config::{Secret, Settings};

/// The shortest token, in bytes.
const TOKEN_BYTES: usize = 16;

/// Where the listener is, and what it asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminConfig {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Nobody named the address: where it is taken, a free port will do.
    pub may_move: bool,
    /// What `Authorization: Bearer` must bring; none only on loopback.
    pub token: Option<Secret>,
}

impl AdminConfig {
    /// Reads it; what is wrong is recorded in `settings`. Without a setting it is at this
    /// port of this machine.
    pub fn read(settings: &mut Settings, default_port: u16) -> Option<Self> {
        let token = settings.optional::<Secret>("admin_token");
        if token.as_ref().is_some_and(|token| token.expose().len() < TOKEN_BYTES) {
            settings.fault("admin_token", "must have at least 16 bytes");
            return None;
        }
        let Some(bind) = settings
            .or::<String>("admin_http", String::new())
            .filter(|bind| !bind.is_empty())
        else {
            return Some(Self {
                bind: SocketAddr::from(([127, 0, 0, 1], default_port)),
                may_move: true,
                token,
            });
        };
        let Ok(bind) = bind.parse::<SocketAddr>() else {
            settings.fault("admin_http", "must be an address and a port, such as 127.0.0.1:8082");
            return None;
        };
        if !bind.ip().is_loopback() && token.is_none() {
            settings.fault("admin_token", "is required by an admin_http that others can reach");
            return None;
        }
        Some(Self {
            bind,
            may_move: false,
            token,
        })
    }
}

/// Who may ask.
pub(super) struct Access {
    token: Option<[u8; 32]>,
}

impl Access {
    pub(super) fn new(config: &AdminConfig) -> Self {
        Self {
            token: config.token.as_ref().map(|token| digest(token.expose())),
        }
    }

    /// Whether a request may be answered.
    ///
    /// # Errors
    /// The status of the refusal.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match &self.token {
            Some(wanted) => {
                let brought = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
                // Digests, so that the time it takes tells nothing of the token.
                match brought.is_some_and(|token| digest(token.trim()) == *wanted) {
                    true => Ok(()),
                    false => Err(StatusCode::UNAUTHORIZED),
                }
            }
            None if text(HOST).is_some_and(names_this_machine) => Ok(()),
            None => Err(StatusCode::FORBIDDEN),
        }
    }
}

/// Whether a `Host` header names this machine by a name that nobody else can give away.
fn names_this_machine(host: &str) -> bool {
    if let Ok(addr) = host.parse::<SocketAddr>() {
        return addr.ip().is_loopback();
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_let_in_with_a_token_only() {
        let read = |pairs: &[(&str, &str)]| {
            let mut settings = Settings::default();
            for (key, value) in pairs {
                settings.set(key, *value);
            }
            let config = AdminConfig::read(&mut settings, 8082);
            settings.finish(config)
        };
        let faults = |pairs| read(pairs).map_or_else(|error| error.0.len(), |_| 0);
        assert_eq!(
            read(&[]).map(|config| (config.bind.port(), config.may_move)),
            Ok((8082, true))
        );
        let named = read(&[("admin_http", "127.0.0.1:9")]);
        assert_eq!(
            named.map(|config| (config.bind.port(), config.may_move)),
            Ok((9, false))
        );
        assert_eq!(faults(&[("admin_http", "nowhere")]), 1);
        assert_eq!(faults(&[("admin_http", "0.0.0.0:8082")]), 1);
        assert_eq!(faults(&[("admin_http", "0.0.0.0:8082"), ("admin_token", "short")]), 1);
        assert_eq!(
            faults(&[("admin_http", "0.0.0.0:8082"), ("admin_token", "long enough to be one")]),
            0
        );
    }

    #[test]
    fn only_names_of_this_machine_are_believed() {
        for host in [
            "127.0.0.1:9",
            "127.0.0.1",
            "localhost",
            "localhost:8082",
            "[::1]:9",
            "[::1]",
        ] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "shop.example:8082",
            "localhost.shop.example",
            "10.0.0.1:9",
            "",
            "[::2]:9",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
