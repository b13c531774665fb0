//! How things are called in Redis. Everything is a channel of sharded pub/sub, which a
//! single server and a cluster both have; no key is ever written, so there is nothing
//! to flush. A topic is the name's hash tag: all that concerns it is on one shard.

use uuid::Uuid;

/// The names of one end of the bus.
#[derive(Clone, Debug)]
pub(super) struct Names {
    namespace: String,
    end: Uuid,
}

/// What a channel of ours carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard<'a> {
    /// What is published to the topic.
    Topic(&'a str),
    /// Requests that this end serves.
    Requests(&'a str),
    /// Answers to this end's requests.
    Answers,
}

impl Names {
    /// The names of the end `end`.
    pub const fn new(namespace: String, end: Uuid) -> Self {
        Self { namespace, end }
    }

    /// Where a topic's messages are published.
    pub fn topic(&self, topic: &str) -> String {
        format!("{}:{{{topic}}}", self.namespace)
    }

    /// Where this end gets requests of a topic. That it is subscribed is the whole
    /// register of servers: it goes with the connection.
    pub fn requests(&self, topic: &str) -> String {
        format!("{}:{{{topic}}}:server:{}", self.namespace, self.end)
    }

    /// What the request channels of all servers of a topic begin with.
    pub fn servers(&self, topic: &str) -> String {
        format!("{}:{{{topic}}}:server:", self.namespace)
    }

    /// Where the end `end` gets its answers.
    pub fn answers(&self, end: Uuid) -> String {
        format!("{}:{{answers.{end}}}", self.namespace)
    }

    /// This end's own.
    pub const fn end(&self) -> Uuid {
        self.end
    }

    /// What a channel carries; `None` for one that is not ours.
    pub fn read<'a>(&self, channel: &'a str) -> Option<Heard<'a>> {
        let rest = channel.strip_prefix(self.namespace.as_str())?.strip_prefix(":{")?;
        let (topic, rest) = rest.split_once('}')?;
        if rest.starts_with(":server:") {
            return Some(Heard::Requests(topic));
        }
        let to_us = topic
            .strip_prefix("answers.")
            .is_some_and(|end| end.parse() == Ok(self.end));
        Some(if to_us { Heard::Answers } else { Heard::Topic(topic) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_what_it_is() {
        let names = Names::new("shop".into(), Uuid::now_v7());
        assert_eq!(
            names.read(&names.topic("outbox.hint")),
            Some(Heard::Topic("outbox.hint"))
        );
        assert_eq!(
            names.read(&names.requests("live.room")),
            Some(Heard::Requests("live.room"))
        );
        assert_eq!(names.read(&names.answers(names.end())), Some(Heard::Answers));
        assert!(names.requests("live.room").starts_with(&names.servers("live.room")));
        for other in ["", "shop", "shop:{x", "other:{live.room}"] {
            assert_eq!(names.read(other), None, "{other:?}");
        }
    }
}
