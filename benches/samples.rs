//! What the benchmarks work on: messages of the size that people write.

use shared::ids::{MessageId, RequestId, UserId};
use shared::protocol::{Author, ChatMessage, ClientCommand, ClientFrame, RoomEvent};

/// A sentence of some length that a viewer may type.
const SENTENCE: &str = "Does the glaze on the large bowl hold up in the dishwasher, and do you ship it to Ireland?";

/// `count` chat messages of about 90 characters by as many people.
#[must_use]
pub fn chat_events(count: usize) -> Vec<RoomEvent> {
    (0..count)
        .map(|i| {
            RoomEvent::Chat(ChatMessage {
                id: MessageId::new(),
                author: Author {
                    id: UserId::new(),
                    name: format!("viewer-{i}"),
                    host: false,
                    moderator: false,
                },
                text: SENTENCE.to_owned(),
                reply_to: None,
                quote: None,
                at: 1_795_000_000_000,
            })
        })
        .collect()
}

/// The command that says the same.
#[must_use]
pub fn chat_command() -> ClientFrame {
    ClientFrame {
        id: 7,
        request_id: Some(RequestId::new()),
        command: ClientCommand::Chat {
            text: SENTENCE.to_owned(),
            reply_to: None,
        },
    }
}
