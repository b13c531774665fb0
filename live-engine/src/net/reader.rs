//! WebSocket frames as a server reads them (RFC 6455, section 5), and compressed messages
//! (RFC 7692). Bytes in, messages out; nothing here knows a socket, a clock or a command.
//!
//! Bytes are read into a buffer that all connections of a worker share. A frame that is
//! whole there is unmasked in place and handed on without a copy; only of a message that
//! is not whole yet does a reader keep anything, never more than its limit and never
//! before the frame's header was judged. A reader with nothing under way owns no memory
//! but itself.

mod header;

use std::ops::ControlFlow;

use self::header::{Header, Kind, MAX_HEADER_BYTES};
use super::deflate::{InflateError, Inflater};

/// What is too much for a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimits {
    /// Bytes of a message, before and after inflation.
    pub message_bytes: u32,
    /// Frames of one message.
    pub fragments: u32,
}

/// What a client said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A whole message of text.
    Text(&'a str),
    /// A whole message of bytes.
    Binary(&'a [u8]),
    /// A question for a pong with the same payload.
    Ping(&'a [u8]),
    /// An answer to a ping, or a sign of life.
    Pong,
    /// The end, with the code that the client gave. Nothing is read after it.
    Close(Option<u16>),
}

/// Why a connection cannot be read any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The frames break a rule of the protocol.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text, or the reason of a close frame, is not UTF-8.
    #[error("text must be UTF-8")]
    NotUtf8,
    /// A compressed message is not what RFC 7692 says.
    #[error("the message cannot be inflated")]
    NotDeflate,
    /// A message is larger than may be, as announced, as sent or as inflated.
    #[error("the message is too large")]
    TooLarge,
    /// A message has more frames than may be.
    #[error("the message has too many fragments")]
    TooManyFragments,
}

impl ReadError {
    /// The code to close with (RFC 6455, 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotUtf8 | Self::NotDeflate => 1007,
            Self::TooLarge | Self::TooManyFragments => 1009,
        }
    }
}

/// A message of which something has come.
#[derive(Debug)]
struct Message {
    text: bool,
    compressed: bool,
    fragments: u32,
    bytes: Vec<u8>,
    /// How much of a text is known to be UTF-8.
    checked: usize,
}

/// What is kept while something is not whole.
#[derive(Debug, Default)]
struct Unfinished {
    /// The beginning of a header.
    header: Vec<u8>,
    /// A frame whose payload is not all there.
    frame: Option<Header>,
    /// The payload of a control frame so far.
    control: Vec<u8>,
    message: Option<Message>,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    limits: ReadLimits,
    deflate: bool,
    closed: bool,
    unfinished: Option<Box<Unfinished>>,
}

impl Reader {
    /// A reader that has read nothing; `deflate` when compression was negotiated.
    #[must_use]
    pub const fn new(limits: ReadLimits, deflate: bool) -> Self {
        Self {
            limits,
            deflate,
            closed: false,
            unfinished: None,
        }
    }

    /// Whether something has begun and is not whole.
    #[must_use]
    pub const fn is_midway(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Bytes kept of what is not whole.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.unfinished.as_deref().map_or(0, |unfinished| {
            let message = unfinished.message.as_ref();
            unfinished.header.len() + unfinished.control.len() + message.map_or(0, |message| message.bytes.len())
        })
    }

    /// Reads `input`, which it unmasks in place, and tells `each` what is whole. Gives
    /// back how many bytes were read: all of them, unless `each` broke off; the rest is
    /// then to be fed again before anything else.
    ///
    /// # Errors
    /// When the connection must be closed; nothing may be fed after that.
    pub fn feed(
        &mut self,
        input: &mut [u8],
        inflater: &mut Inflater,
        mut each: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<usize, ReadError> {
        let mut at = 0;
        while at < input.len() {
            if self.closed {
                return Ok(input.len());
            }
            let (used, flow) = self.step(&mut input[at..], inflater, &mut each)?;
            at += used;
            if flow.is_break() {
                break;
            }
        }
        Ok(at)
    }

    /// Reads one header, or (a part of) one payload.
    fn step(
        &mut self,
        input: &mut [u8],
        inflater: &mut Inflater,
        each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(usize, ControlFlow<()>), ReadError> {
        let begun = self.unfinished.as_mut().and_then(|unfinished| unfinished.frame.take());
        if let Some(mut header) = begun {
            let used = header.left.min(input.len());
            let payload = &mut input[..used];
            header::unmask(payload, header.mask);
            header.mask.rotate_left(used % 4);
            header.left -= used;
            return Ok((used, self.part(header, payload, inflater, each)?));
        }
        let Some((header, used)) = self.header(input)? else {
            return Ok((input.len(), ControlFlow::Continue(())));
        };
        self.admit(&header)?;
        let rest = &mut input[used..];
        if rest.len() < header.left {
            self.unfinished.get_or_insert_default().frame = Some(header);
            return Ok((used, ControlFlow::Continue(())));
        }
        let payload = &mut rest[..header.left];
        header::unmask(payload, header.mask);
        let used = used + header.left;
        Ok((used, self.whole(header, payload, inflater, each)?))
    }

    /// The next header and how many bytes of `input` it took; `None` when it is not whole.
    fn header(&mut self, input: &[u8]) -> Result<Option<(Header, usize)>, ReadError> {
        let Some(unfinished) = self
            .unfinished
            .as_mut()
            .filter(|unfinished| !unfinished.header.is_empty())
        else {
            let parsed = header::parse(input, self.deflate)?;
            if parsed.is_none() {
                self.unfinished.get_or_insert_default().header = input.to_vec();
            }
            return Ok(parsed);
        };
        let kept = unfinished.header.len();
        let more = input.len().min(MAX_HEADER_BYTES - kept);
        unfinished.header.extend_from_slice(&input[..more]);
        match header::parse(&unfinished.header, self.deflate)? {
            Some((header, len)) => {
                unfinished.header = Vec::new();
                self.tidy();
                Ok(Some((header, len - kept)))
            }
            None => Ok(None),
        }
    }

    /// Judges a frame by its header and by what came before it.
    fn admit(&self, header: &Header) -> Result<(), ReadError> {
        if header.kind.is_control() {
            return Ok(());
        }
        let message = self
            .unfinished
            .as_ref()
            .and_then(|unfinished| unfinished.message.as_ref());
        let (bytes, fragments) = match (message, header.kind) {
            (Some(message), Kind::Continuation) => (message.bytes.len(), message.fragments),
            (None, Kind::Continuation) => return Err(ReadError::Protocol("there is no message to continue")),
            (Some(_), _) => return Err(ReadError::Protocol("the message before is not finished")),
            (None, _) => (0, 0),
        };
        if bytes.saturating_add(header.left) > self.limits.message_bytes as usize {
            return Err(ReadError::TooLarge);
        }
        if fragments >= self.limits.fragments {
            return Err(ReadError::TooManyFragments);
        }
        Ok(())
    }

    /// Takes a frame whose payload is all there.
    fn whole(
        &mut self,
        header: Header,
        payload: &[u8],
        inflater: &mut Inflater,
        each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let alone = header.last && header.kind != Kind::Continuation;
        if header.kind.is_control() {
            return self.control(header.kind, payload, each);
        }
        if alone {
            let text = header.kind == Kind::Text;
            return deliver(text, header.compressed, payload, self.limits, inflater, each);
        }
        self.part(Header { left: 0, ..header }, payload, inflater, each)
    }

    /// Takes the next part of a frame; with nothing left, the frame is at its end.
    fn part(
        &mut self,
        header: Header,
        payload: &[u8],
        inflater: &mut Inflater,
        each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let unfinished = self.unfinished.get_or_insert_default();
        if header.left > 0 {
            unfinished.frame = Some(header);
        }
        if header.kind.is_control() {
            unfinished.control.extend_from_slice(payload);
            if header.left > 0 {
                return Ok(ControlFlow::Continue(()));
            }
            let payload = std::mem::take(&mut unfinished.control);
            self.tidy();
            return self.control(header.kind, &payload, each);
        }
        let message = unfinished.message.get_or_insert_with(|| Message {
            text: header.kind == Kind::Text,
            compressed: header.compressed,
            fragments: 0,
            bytes: Vec::new(),
            checked: 0,
        });
        message.bytes.extend_from_slice(payload);
        if message.text && !message.compressed {
            message.checked += utf8_prefix(&message.bytes[message.checked..])?;
        }
        if header.left > 0 {
            return Ok(ControlFlow::Continue(()));
        }
        message.fragments += 1;
        if !header.last {
            return Ok(ControlFlow::Continue(()));
        }
        let message = unfinished.message.take();
        self.tidy();
        match message {
            Some(Message {
                text,
                compressed,
                bytes,
                ..
            }) => deliver(text, compressed, &bytes, self.limits, inflater, each),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn control(
        &mut self,
        kind: Kind,
        payload: &[u8],
        each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        Ok(match kind {
            Kind::Ping => each(Event::Ping(payload)),
            Kind::Close => {
                let code = close_code(payload)?;
                self.closed = true;
                self.unfinished = None;
                each(Event::Close(code))
            }
            Kind::Pong | Kind::Continuation | Kind::Text | Kind::Binary => each(Event::Pong),
        })
    }

    /// Lets go of everything once nothing is under way.
    fn tidy(&mut self) {
        let idle = self.unfinished.as_ref().is_some_and(|unfinished| {
            unfinished.header.is_empty()
                && unfinished.frame.is_none()
                && unfinished.control.is_empty()
                && unfinished.message.is_none()
        });
        if idle {
            self.unfinished = None;
        }
    }
}

/// Hands a whole message on.
fn deliver(
    text: bool,
    compressed: bool,
    payload: &[u8],
    limits: ReadLimits,
    inflater: &mut Inflater,
    each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ReadError> {
    let payload = if compressed {
        let inflated = inflater.inflate(payload, limits.message_bytes as usize);
        inflated.map_err(|error| match error {
            InflateError::TooLarge => ReadError::TooLarge,
            InflateError::NotDeflate => ReadError::NotDeflate,
        })?
    } else {
        payload
    };
    Ok(if text {
        let text = std::str::from_utf8(payload).map_err(|_| ReadError::NotUtf8)?;
        each(Event::Text(text))
    } else {
        each(Event::Binary(payload))
    })
}

/// The code of a close frame; none for an empty one.
fn close_code(payload: &[u8]) -> Result<Option<u16>, ReadError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(ReadError::Protocol("half a close code")),
        };
    };
    let code = u16::from_be_bytes(*code);
    // RFC 6455, 7.4, and the registry: 1004 to 1006 and 1015 never stand in a frame.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(ReadError::Protocol("there is no such close code"));
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(ReadError::NotUtf8),
    }
}

/// How many bytes at the beginning are whole characters; what follows them may be the
/// beginning of another one.
fn utf8_prefix(bytes: &[u8]) -> Result<usize, ReadError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(ReadError::NotUtf8),
    }
}

#[cfg(test)]
mod tests;
