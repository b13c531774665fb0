//! Which bus a program uses.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::{MemoryBus, RedisBus, RedisConfig, SharedBus};
use crate::config::{Secret, Settings};

/// What stands before every name in Redis, unless told otherwise.
const NAMESPACE: &str = "hawker";
/// How long a start waits for Redis.
const FIRST_CONNECTION: Duration = Duration::from_secs(2);
/// The longest namespace.
const MAX_NAMESPACE_CHARS: usize = 64;

/// Which bus, with what it needs.
#[derive(Clone, Debug)]
pub enum BusConfig {
    /// The one of this process.
    Memory,
    /// Over Redis.
    Redis(RedisConfig),
}

/// What it means that nothing is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unset {
    /// Both services are in one process: a bus in memory.
    Memory,
    /// They are not: a fault, since a bus that reaches nobody is hardly meant.
    Fault,
}

enum Kind {
    Memory,
    Redis,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "memory" => Ok(Self::Memory),
            "redis" => Ok(Self::Redis),
            _ => Err(format!("{text:?} is no bus: write memory or redis")),
        }
    }
}

impl BusConfig {
    /// Reads `bus`, `redis_url` and `bus_namespace`; what is wrong is recorded in
    /// `settings`.
    pub fn read(settings: &mut Settings, unset: Unset) -> Option<Self> {
        let kind: Option<Kind> = settings.optional("bus");
        let url: Option<Secret> = settings.optional("redis_url");
        let namespace = settings.or("bus_namespace", NAMESPACE.to_owned());
        let namespace = namespace.filter(|name| {
            let sound = is_namespace(name);
            if !sound {
                let rule = "must be 1 to 64 of a-z, 0-9, dot, dash and underscore";
                settings.fault("bus_namespace", rule);
            }
            sound
        });
        match (kind, url, unset) {
            (Some(Kind::Memory), ..) | (None, None, Unset::Memory) => Some(Self::Memory),
            (_, Some(url), _) => match RedisConfig::new(&url, namespace?) {
                Ok(config) => Some(Self::Redis(config)),
                Err(problem) => {
                    settings.fault("redis_url", &problem);
                    None
                }
            },
            (Some(Kind::Redis), None, _) => {
                settings.fault("redis_url", "is required by bus = redis");
                None
            }
            (None, None, Unset::Fault) => {
                let problem = "is required for the services to reach each other; bus = memory does without";
                settings.fault("redis_url", problem);
                None
            }
        }
    }

    /// Opens the bus. One over Redis is opened whether or not Redis is there, after a
    /// short wait for it.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub async fn open(&self) -> std::io::Result<SharedBus> {
        match self {
            Self::Memory => Ok(MemoryBus::shared()),
            Self::Redis(config) => {
                let bus = RedisBus::start(config.clone())?;
                if !bus.reached(FIRST_CONNECTION).await {
                    tracing::warn!("going on without the bus until Redis answers");
                }
                Ok(Arc::new(bus))
            }
        }
    }
}

/// Names in Redis are matched by pattern, so the namespace must hold nothing that one
/// could be made of.
fn is_namespace(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    (1..=MAX_NAMESPACE_CHARS).contains(&name.len()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults<const N: usize>(pairs: [(&str, &str); N], unset: Unset) -> Vec<String> {
        let mut settings = Settings::from_pairs(pairs);
        let config = BusConfig::read(&mut settings, unset);
        match settings.finish(config) {
            Ok(_) => Vec::new(),
            Err(error) => error.0.into_iter().map(|fault| fault.key).collect(),
        }
    }

    #[test]
    fn services_apart_need_a_redis_or_are_told_to_do_without() {
        assert_eq!(faults([], Unset::Fault), ["redis_url"]);
        assert_eq!(faults([("bus", "redis")], Unset::Memory), ["redis_url"]);
        assert!(faults([("bus", "memory")], Unset::Fault).is_empty());
        assert!(faults([], Unset::Memory).is_empty());
        assert!(faults([("redis_url", "redis://127.0.0.1/")], Unset::Fault).is_empty());
        assert!(faults([("redis_url", "unix:///run/redis.sock")], Unset::Fault).is_empty());
    }

    #[test]
    fn what_is_no_bus_is_said_at_start() {
        assert_eq!(
            faults([("bus", "pigeons")], Unset::Fault).first().map(String::as_str),
            Some("bus")
        );
        assert_eq!(faults([("redis_url", "http://cache")], Unset::Memory), ["redis_url"]);
        let named = [("redis_url", "redis://cache/"), ("bus_namespace", "shop*")];
        assert_eq!(faults(named, Unset::Memory), ["bus_namespace"]);
    }

    #[test]
    fn the_password_of_a_redis_is_not_printed() {
        let mut settings = Settings::from_pairs([("redis_url", "redis://me:hunter2@cache/")]);
        let config = BusConfig::read(&mut settings, Unset::Memory);
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
