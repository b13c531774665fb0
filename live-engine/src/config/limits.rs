//! What is too much: every limit that somebody may want to change, and rates.

use std::num::NonZeroU32;
use std::time::Duration;

use shared::config::Settings;
use shared::protocol::{MAX_CHAT_CHARS, MAX_CLIENT_FRAME_BYTES, MAX_REACTION_COUNT};

use crate::room::log::LogLimits;
use crate::room::tick::Tempo;

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
    /// Connections from one address; of IPv6 a network of 64 bits is one.
    pub connections_per_address: usize,
    /// Attempts to connect from one address.
    pub connects: Rate,
    /// Connections of one account.
    pub connections_per_account: usize,
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
    /// Commands of one person, over all connections.
    pub person_commands: Rate,
    /// Joins of one connection.
    pub joins: Rate,
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
    /// Reactions, each counted, of everybody at one address.
    pub reactions_per_address: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 50_000,
            connections_per_address: 10_000,
            connects: Rate::new(200, 2_000),
            connections_per_account: 20,
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
            person_commands: Rate::new(40, 120),
            joins: Rate::new(1, 10),
            chat: Rate::new(2, 10),
            room_chat: Rate::new(200, 400),
            reports: Rate::new(1, 10),
            buys: Rate::new(5, 20),
            reactions: Rate::new(5, 20),
            reactions_per_address: Rate::new(200, 2_000),
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

    pub(super) fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let connections = settings.or("limit_connections", default.connections);
        let per_address = settings.or("limit_connections_per_address", default.connections_per_address);
        let per_account = settings.or("limit_connections_per_account", default.connections_per_account);
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
        Some(Self {
            connects: rate("limit_connects", default.connects),
            joins: rate("limit_joins", default.joins),
            room_chat: rate("limit_room_chat", default.room_chat),
            reports: rate("limit_reports", default.reports),
            commands: rate("limit_commands", default.commands),
            person_commands: rate("limit_commands_per_person", default.person_commands),
            chat: rate("limit_chat", default.chat),
            buys: rate("limit_buys", default.buys),
            reactions: rate("limit_reactions", default.reactions),
            reactions_per_address: rate("limit_reactions_per_address", default.reactions_per_address),
            connections: connections?,
            connections_per_address: per_address?,
            connections_per_account: per_account?,
            rooms: rooms?,
            ping_interval: Duration::from_secs(ping?.max(1)),
            message: Duration::from_secs(message?.max(1)),
            stall: Duration::from_secs(stall?.max(1)),
            log: LogLimits {
                bytes: log_bytes?,
                ..default.log
            },
            tempo: tempo?,
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
}
