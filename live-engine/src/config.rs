//! The engine's configuration: typed, and read whole at start.

mod limits;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shared::config::{Secret, Settings};
use shared::db::DbOptions;
use shared::token::TokenKey;

use crate::hook::{HookConfig, OnFailure};
use crate::room::host_watch::HostPatience;
use crate::room::state::Doors;
pub use limits::{Limits, Rate};

/// Connections to the database at least: each kind of work has one, and rounds go on.
const LEAST_CONNECTIONS: u32 = 6;

/// Everything the engine is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// How many workers serve connections.
    pub workers: usize,
    /// A name that no other engine of this database has. One that is started again under
    /// its name has its rooms back at once; without it, or elsewhere, they are waited for
    /// until the lease of the former owner has run out.
    pub node: Option<String>,
    /// The database.
    pub database_url: Secret,
    /// How it is used.
    pub db: DbOptions,
    /// Verifies tickets and access tokens, signs resume tokens.
    pub token_key: TokenKey,
    /// Browsers' origins that may connect, such as `https://shop.example`; `*` for all.
    /// A client that sends no Origin is no browser and may.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// The service that is asked about messages before they are said.
    pub moderation: Option<HookConfig>,
    /// Whether frames are compressed for clients that offer it.
    pub compression: bool,
    /// When viewers may be in a room, and how long they wait for a host.
    pub show: ShowRules,
    /// How it stops.
    pub drain: Drain,
    /// What is too much.
    pub limits: Limits,
}

/// How an engine that is told to stop does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drain {
    /// How long it may take.
    pub deadline: Duration,
    /// Over how long at most its viewers come back.
    pub spread: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(12),
            spread: Duration::from_secs(30),
        }
    }
}

impl Drain {
    fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let deadline = settings.or("drain_seconds", default.deadline.as_secs());
        let spread = settings.or("drain_spread_seconds", default.spread.as_secs());
        for (key, seconds) in [("drain_seconds", deadline), ("drain_spread_seconds", spread)] {
            if seconds.is_some_and(|seconds| !(1..=3_600).contains(&seconds)) {
                settings.fault(key, "must be from 1 to 3600");
            }
        }
        Some(Self {
            deadline: Duration::from_secs(deadline?),
            spread: Duration::from_secs(spread?),
        })
    }
}

/// The course of a show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShowRules {
    /// When viewers may be there before it begins and after it has ended.
    pub doors: Doors,
    /// How long its host may be away.
    pub patience: HostPatience,
    /// Up to so many people a room says who is there.
    pub named_below: usize,
}

impl Default for ShowRules {
    fn default() -> Self {
        Self {
            doors: Doors {
                open_before: Duration::from_secs(30 * 60),
                close_after: Duration::from_secs(30),
            },
            patience: HostPatience {
                grace: Duration::from_secs(15),
                ends_after: Duration::from_secs(5 * 60),
            },
            named_below: 30,
        }
    }
}

impl ShowRules {
    fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let minutes = settings.or("waiting_room_minutes", default.doors.open_before.as_secs() / 60);
        let farewell = settings.or("farewell_seconds", default.doors.close_after.as_secs());
        let grace = settings.or("host_grace_seconds", default.patience.grace.as_secs());
        let ends_after = settings.or("host_away_ends_after_seconds", default.patience.ends_after.as_secs());
        let named_below = settings.or("named_viewers_below", default.named_below);
        let is_long = |seconds: Option<u64>, most| seconds.is_some_and(|seconds| seconds > most);
        for (key, seconds, most) in [
            ("waiting_room_minutes", minutes, 7 * 24 * 60),
            ("farewell_seconds", farewell, 86_400),
            ("host_grace_seconds", grace, 86_400),
            ("host_away_ends_after_seconds", ends_after, 7 * 86_400),
        ] {
            if is_long(seconds, most) {
                settings.fault(key, &format!("must be at most {most}"));
            }
        }
        if grace
            .zip(ends_after)
            .is_some_and(|(grace, ends_after)| ends_after < grace)
        {
            settings.fault(
                "host_away_ends_after_seconds",
                "must not be less than host_grace_seconds",
            );
        }
        Some(Self {
            doors: Doors {
                open_before: Duration::from_secs(minutes?.saturating_mul(60)),
                close_after: Duration::from_secs(farewell?),
            },
            patience: HostPatience {
                grace: Duration::from_secs(grace?),
                ends_after: Duration::from_secs(ends_after?),
            },
            named_below: named_below?,
        })
    }
}

impl Config {
    /// Reads it; what is wrong is recorded in `settings`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let bind = settings.or("live", SocketAddr::from(([127, 0, 0, 1], 8081)));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = settings.or("live_workers", cores);
        if workers.is_some_and(|n| !(1..=1024).contains(&n)) {
            settings.fault("live_workers", "must be from 1 to 1024");
        }
        let node = settings.optional("live_node");
        let database_url = settings.required::<Secret>("database_url");
        let defaults = DbOptions::default();
        let max_connections = settings.or("live_database_connections", defaults.max_connections);
        if max_connections.is_some_and(|n| n < LEAST_CONNECTIONS) {
            settings.fault(
                "live_database_connections",
                &format!("must be at least {LEAST_CONNECTIONS}"),
            );
        }
        let allow_unsafe = settings.or("allow_unsafe_database", defaults.allow_unsafe);
        let token_key = settings.required::<Secret>("token_secret").and_then(|secret| {
            let key = TokenKey::new(secret.expose().as_bytes());
            if key.is_none() {
                settings.fault("token_secret", "must have at least 32 bytes");
            }
            key
        });
        let allowed_origins = settings.list("allowed_origins");
        let trusted_proxies = settings.list("trusted_proxies");
        let moderation = read_hook(settings);
        let compression = settings.or("live_compression", true);
        let show = ShowRules::read(settings);
        let drain = Drain::read(settings);
        let limits = Limits::read(settings);
        Some(Self {
            bind: bind?,
            workers: workers?,
            node,
            database_url: database_url?,
            db: DbOptions {
                max_connections: max_connections?,
                allow_unsafe: allow_unsafe?,
                ..defaults
            },
            token_key: token_key?,
            allowed_origins,
            trusted_proxies,
            moderation: moderation?,
            compression: compression?,
            show: show?,
            drain: drain?,
            limits: limits?,
        })
    }
}

/// The moderation service: `None` inside when none is named, outside for a fault.
fn read_hook(settings: &mut Settings) -> Option<Option<HookConfig>> {
    let url: Option<String> = settings.optional("moderation_hook_url");
    let secret: Option<Secret> = settings.optional("moderation_hook_secret");
    let deadline = settings.or("moderation_hook_deadline_ms", 200_u64);
    let concurrency = settings.or("moderation_hook_concurrency", 64_usize);
    let on_failure: Option<OnFailure> = settings.or("moderation_hook_on_failure", OnFailure::Hold);
    let Some(url) = url else {
        return Some(None);
    };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        settings.fault("moderation_hook_url", "must begin with http:// or https://");
    }
    let (deadline, concurrency) = (deadline?, concurrency?);
    if !(1..=5_000).contains(&deadline) {
        settings.fault("moderation_hook_deadline_ms", "must be from 1 to 5000");
    }
    if !(1..=1_024).contains(&concurrency) {
        settings.fault("moderation_hook_concurrency", "must be from 1 to 1024");
    }
    let secret = secret.filter(|secret| secret.expose().len() >= 16);
    if secret.is_none() {
        settings.fault("moderation_hook_secret", "must have at least 16 bytes");
    }
    Some(Some(HookConfig {
        url,
        secret: secret?,
        deadline: Duration::from_millis(deadline),
        on_failure: on_failure?,
        concurrency,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_in_one_reading() {
        let mut settings =
            Settings::from_pairs([("live", "nowhere"), ("token_secret", "short"), ("limit_chat", "often")]);
        let config = Config::read(&mut settings);
        let error = settings.finish(config).expect_err("faults");
        let keys: Vec<_> = error.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["live", "database_url", "token_secret", "limit_chat"]);
    }
}
