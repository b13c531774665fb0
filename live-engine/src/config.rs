//! The engine's configuration: typed, and read whole at start.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use shared::config::{Secret, Settings};
use shared::db::DbOptions;
use shared::protocol::{MAX_CHAT_CHARS, MAX_CLIENT_FRAME_BYTES, MAX_REACTION_COUNT};
use shared::token::TokenKey;

use crate::hook::{HookConfig, OnFailure};
use crate::room::host_watch::HostPatience;
use crate::room::log::LogLimits;
use crate::room::state::Doors;
use crate::room::tick::Tempo;

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

/// A rate: so many in a second on average, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// On average, in a second.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

impl Rate {
    const fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
        }
    }
}

const fn at_least_one(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    /// `per_second/burst`, such as `2/10`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/').and_then(|(rate, burst)| {
            Some(Self {
                per_second: rate.trim().parse().ok()?,
                burst: burst.trim().parse().ok()?,
            })
        });
        parts.ok_or_else(|| format!("{text:?} is not a rate; write so many a second and so many at once, as in 2/10"))
    }
}

/// What is too much. Every queue, buffer and rate of the engine has its limit here or,
/// where nobody needs to change it, beside its use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Rooms open at once.
    pub rooms: usize,
    /// How long a handshake may take, and then the proof of who it is.
    pub handshake: Duration,
    /// How often a connection is pinged.
    pub ping_interval: Duration,
    /// How long after a ping something must have come.
    pub pong_deadline: Duration,
    /// How long a message may take from its first byte to its last.
    pub message: Duration,
    /// How long a socket may take nothing of what waits for it.
    pub stall: Duration,
    /// What may wait for one connection alone, in bytes.
    pub private_bytes: usize,
    /// What the kernel may keep for one socket that does not read, in bytes: a slow
    /// reader's backlog belongs in the room's one log and not in a copy of its own.
    pub send_buffer_bytes: usize,
    /// What a room keeps of its recent frames.
    pub log: LogLimits,
    /// How fast busy rooms are gone round.
    pub tempo: Tempo,
    /// How long a room without viewers, off air, stays open.
    pub room_idle: Duration,
    /// Commands of one connection.
    pub commands: Rate,
    /// Messages of one person.
    pub chat: Rate,
    /// Messages of all in one room; beyond it authors are told to wait.
    pub room_chat: Rate,
    /// Reports of one person.
    pub reports: Rate,
    /// Attempts to buy of one person.
    pub buys: Rate,
    /// Reaction commands of one person.
    pub reactions: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 50_000,
            connections_per_address: 10_000,
            rooms: 10_000,
            handshake: Duration::from_secs(10),
            ping_interval: Duration::from_secs(25),
            pong_deadline: Duration::from_secs(20),
            message: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            private_bytes: 64 * 1024,
            send_buffer_bytes: 64 * 1024,
            log: LogLimits {
                bytes: 2 * 1024 * 1024,
                age: Duration::from_secs(120),
            },
            tempo: Tempo::default(),
            room_idle: Duration::from_secs(60),
            commands: Rate::new(20, 60),
            chat: Rate::new(2, 10),
            room_chat: Rate::new(200, 400),
            reports: Rate::new(1, 10),
            buys: Rate::new(5, 20),
            reactions: Rate::new(5, 20),
        }
    }
}

impl Limits {
    /// What a client is told of them.
    #[must_use]
    pub fn announced(&self) -> shared::protocol::Limits {
        let ms = u32::try_from(self.ping_interval.as_millis()).unwrap_or(u32::MAX);
        shared::protocol::Limits {
            frame_bytes: MAX_CLIENT_FRAME_BYTES as u32,
            chat_chars: MAX_CHAT_CHARS as u32,
            reaction_count: MAX_REACTION_COUNT,
            ping_interval_ms: ms,
        }
    }

    fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let connections = settings.or("limit_connections", default.connections);
        let per_address = settings.or("limit_connections_per_address", default.connections_per_address);
        let rooms = settings.or("limit_rooms", default.rooms);
        let ping = settings.or("limit_ping_interval_seconds", default.ping_interval.as_secs());
        let message = settings.or("limit_message_seconds", default.message.as_secs());
        let stall = settings.or("limit_stall_seconds", default.stall.as_secs());
        let log_bytes = settings.or("limit_room_log_bytes", default.log.bytes);
        let tempo = read_tempo(settings, default.tempo);
        let mut rate = |key: &str, default: Rate| match settings.optional::<Rate>(key) {
            Some(rate) => rate,
            // A value that cannot be read is a fault by now, and the whole is refused.
            None => default,
        };
        let (room_chat, reports) = (
            rate("limit_room_chat", default.room_chat),
            rate("limit_reports", default.reports),
        );
        let (commands, chat) = (
            rate("limit_commands", default.commands),
            rate("limit_chat", default.chat),
        );
        let (buys, reactions) = (
            rate("limit_buys", default.buys),
            rate("limit_reactions", default.reactions),
        );
        Some(Self {
            connections: connections?,
            connections_per_address: per_address?,
            rooms: rooms?,
            ping_interval: Duration::from_secs(ping?.max(1)),
            message: Duration::from_secs(message?.max(1)),
            stall: Duration::from_secs(stall?.max(1)),
            log: LogLimits {
                bytes: log_bytes?,
                ..default.log
            },
            tempo: tempo?,
            commands,
            chat,
            room_chat,
            reports,
            buys,
            reactions,
            ..default
        })
    }
}

fn read_tempo(settings: &mut Settings, default: Tempo) -> Option<Tempo> {
    let share = settings.or("live_sweep_share_percent", default.share_percent);
    if share.is_some_and(|percent| !(5..=66).contains(&percent)) {
        settings.fault("live_sweep_share_percent", "must be from 5 to 66");
    }
    let longest = settings.or("live_round_longest_ms", default.longest.as_millis() as u64);
    if longest.is_some_and(|ms| !(20..=2000).contains(&ms)) {
        settings.fault("live_round_longest_ms", "must be from 20 to 2000");
    }
    Some(Tempo {
        share_percent: share?,
        longest: Duration::from_millis(longest?),
    })
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
    fn a_rate_says_how_many_a_second_and_how_many_at_once() {
        assert_eq!("2/10".parse(), Ok(Rate::new(2, 10)));
        for text in ["", "2", "0/1", "2/0", "a/b"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
    }

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
