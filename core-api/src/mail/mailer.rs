//! The way of a letter out of the house: over SMTP where that is configured, else into the
//! log and a folder. The log says that a letter went out, never to whom or what it said.

use std::error::Error as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, Mailbox, SinglePart};
use lettre::transport::smtp::response::Category;
use lettre::transport::smtp::{AsyncSmtpTransport, AsyncSmtpTransportBuilder, PoolConfig};
use lettre::{AsyncTransport as _, Message, Tokio1Executor};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use uuid::Uuid;

use super::config::MailConfig;
use super::letter::Written;

/// How long the SMTP server may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// What is said of a server that says nothing.
const SILENT: &str = "the server fell silent";
/// Files of the folder that are kept, the newest.
const FILES_MAX: usize = 1_000;

/// How long a connection is kept for the next letter.
const IDLE: Duration = Duration::from_secs(60);
/// Connections kept at most: as many as letters are sent at once.
const KEPT_MAX: usize = 8;

/// Sends letters.
#[derive(Clone)]
pub struct Mailer {
    from: Mailbox,
    send_timeout: Duration,
    way: Way,
    due: Arc<Notify>,
}

#[derive(Clone)]
enum Way {
    Smtp(Arc<Lines>),
    Here { folder: Option<PathBuf>, log_links: bool },
}

/// Lines to the SMTP server, each with a connection at most, which one letter at a time has to
/// itself. One that is given up in the middle takes its line with it: the library would keep
/// the connection as it is, with an answer on its way that the next letter takes for its own.
struct Lines {
    make: AsyncSmtpTransportBuilder,
    free: Mutex<Vec<Line>>,
}

type Line = AsyncSmtpTransport<Tokio1Executor>;

impl Lines {
    fn new(url: &str) -> anyhow::Result<Self> {
        let make = Line::from_url(url).context("mail_smtp_url")?;
        let pool = PoolConfig::new().max_size(1).idle_timeout(IDLE);
        Ok(Self {
            make: make.timeout(Some(CONNECT_TIMEOUT)).pool_config(pool),
            free: Mutex::default(),
        })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Line>> {
        // A list is whole after each change.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a letter; an error is what the server, or the way to it, had against it.
    async fn send(&self, message: Message) -> Result<(), lettre::transport::smtp::Error> {
        let free = self.free().pop();
        let line = free.unwrap_or_else(|| self.make.clone().build());
        let sent = line.send(message).await;
        // Only here: who drops this before drops the line.
        let mut free = self.free();
        if free.len() < KEPT_MAX {
            free.push(line);
        }
        sent.map(drop)
    }
}

/// Why a letter was not sent, in words that are kept and logged: what a server says may name
/// the recipient, so they are ours, with no more of its words than the codes.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Unsent {
    /// It may be, later.
    Later(String),
    /// It never will.
    Never(String),
}

impl Mailer {
    /// As the settings have it.
    ///
    /// # Errors
    /// When the SMTP server's URL is none.
    pub fn new(config: &MailConfig) -> anyhow::Result<Self> {
        let way = match &config.smtp_url {
            Some(url) => Way::Smtp(Arc::new(Lines::new(url.expose())?)),
            None => Way::Here {
                folder: config.folder.clone(),
                log_links: config.log_links,
            },
        };
        Ok(Self {
            from: config.from.clone(),
            send_timeout: config.send_timeout,
            way,
            due: Arc::default(),
        })
    }

    /// Says that a letter was queued and committed, so that it goes out at once and not at
    /// the next look.
    pub fn nudge(&self) {
        self.due.notify_one();
    }

    /// Waits until a letter was queued here.
    pub(super) async fn nudged(&self) {
        self.due.notified().await;
    }

    pub(super) async fn send(&self, written: &Written) -> Result<(), Unsent> {
        let message = self.message(written);
        let message = message.map_err(|_| Unsent::Never("its address cannot be written to".to_owned()))?;
        match &self.way {
            // The library waits for an answer for ever.
            Way::Smtp(smtp) => match tokio::time::timeout(self.send_timeout, smtp.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if is_about_the_letter(&error) => return Err(Unsent::Never(in_words(&error))),
                Ok(Err(error)) => return Err(Unsent::Later(in_words(&error))),
                Err(_) => return Err(Unsent::Later(SILENT.to_owned())),
            },
            Way::Here { folder, log_links } => {
                if let Some(folder) = folder {
                    let dropped = drop_off(folder, &message.formatted()).await;
                    dropped
                        .map_err(|error| Unsent::Later(format!("the folder of letters: {}", cause(error.as_ref()))))?;
                }
                if *log_links && let Some(link) = &written.link {
                    tracing::info!(letter = written.kind, %link, "a link was mailed");
                }
            }
        }
        tracing::info!(letter = written.kind, "a letter was sent");
        Ok(())
    }

    fn message(&self, written: &Written) -> anyhow::Result<Message> {
        let to = written.to.parse().context("the recipient's address")?;
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(written.subject)
            .message_id(Some(format!("<{}@{}>", Uuid::now_v7(), self.from.email.domain())))
            .date(Utc::now().into())
            .singlepart(plain(&written.text))
            .context("a letter")
    }
}

/// Whether the server refuses this letter for good, rather than us: of what is permanent,
/// a wrong password or an unknown command (RFC 5321, 4.2.1), and whatever it has against
/// whoever sends (RFC 3463, 3.8: relaying, for one), is for an operator to mend, and every
/// letter is still wanted then.
fn is_about_the_letter(error: &lettre::transport::smtp::Error) -> bool {
    let of_the_mail = error.status().is_some_and(|code| code.category == Category::MailSystem);
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    error.is_permanent() && of_the_mail && !said.starts_with("5.7.")
}

/// A failure of the library in our words.
fn in_words(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        return match enhanced(&said) {
            Some(enhanced) => format!("the server said {code} {enhanced}"),
            None => format!("the server said {code}"),
        };
    }
    if error.is_timeout() {
        return SILENT.to_owned();
    }
    if error.is_tls() {
        return "no TLS with the server".to_owned();
    }
    if error.is_response() || error.is_client() {
        return "the server and we do not understand each other".to_owned();
    }
    format!("no connection to the server: {}", cause(error))
}

/// The enhanced status code that a server's words begin with (RFC 3463).
fn enhanced(said: &str) -> Option<&str> {
    let first = said.split_whitespace().next()?;
    let parts: Vec<&str> = first.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    (parts.len() == 3 && parts.iter().all(is_number)).then_some(first)
}

/// What the machine said, by its kind alone: a path or an address may be in the rest.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind().to_string();
        }
        next = error.source();
    }
    "for no reason given".to_owned()
}

/// Text as it is. The library would encode it for lines of more than 76 characters, and a
/// link could not be read in the file; SMTP carries 998 (RFC 5322, 2.1.1), and letters with
/// links are ASCII. Those that name a shop may not be, and are encoded.
fn plain(text: &str) -> SinglePart {
    // What people write may have any ends of lines; a letter has one (RFC 5321, 2.3.8).
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    if !text.is_ascii() {
        return SinglePart::plain(text);
    }
    let lines = text.replace('\n', "\r\n").into_bytes();
    SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .body(Body::dangerous_pre_encoded(lines, ContentTransferEncoding::SevenBit))
}

/// Writes a file that is there whole or not at all, and forgets the oldest ones.
async fn drop_off(folder: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    // Whoever reads letters takes over accounts: the folder is nobody else's.
    make_private(folder).await.context("the folder of letters")?;
    let name = Uuid::now_v7();
    let (draft, file) = (folder.join(format!(".{name}")), folder.join(format!("{name}.eml")));
    let mut private = tokio::fs::OpenOptions::new();
    let mut letter = private.write(true).create_new(true).mode(0o600).open(&draft).await?;
    letter.write_all(bytes).await?;
    letter.flush().await?;
    tokio::fs::rename(&draft, &file).await?;
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            names.push(path);
        }
    }
    if names.len() > FILES_MAX {
        // Their names sort by time.
        names.sort_unstable();
        for path in &names[..names.len() - FILES_MAX] {
            // Another letter's sender may have been quicker.
            let _ = tokio::fs::remove_file(path).await;
        }
    }
    Ok(())
}

/// Makes a folder that is its owner's alone, also of one that is there.
async fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut private = tokio::fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(folder).await?;
    let mode = tokio::fs::metadata(folder).await?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tokio::fs::set_permissions(folder, Permissions::from_mode(0o700)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_and_its_text_as_written() {
        let mailer = Mailer::new(&MailConfig::default()).expect("a mailer");
        let written = Written::confirm_email(
            &super::super::letter::Link {
                to: "viewer@xn--mnze-0ra.example".to_owned(),
                token: "t".repeat(43),
            },
            "https://shop.example",
        );
        let message = mailer.message(&written).expect("a message").formatted();
        let text = String::from_utf8(message).expect("text");
        for line in [
            "To: viewer@xn--mnze-0ra.example\r\n",
            "Subject: Confirm your e-mail address\r\n",
            "Content-Transfer-Encoding: 7bit\r\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(
            text.contains(&format!("/account#confirm={}\r\n", "t".repeat(43))),
            "{text}"
        );
    }

    #[test]
    fn a_line_ends_in_one_way_however_it_was_written() {
        let formatted = String::from_utf8(plain("a\nb\r\nc\rd").formatted()).expect("text");
        assert!(formatted.ends_with("\r\n\r\na\r\nb\r\nc\r\nd\r\n"), "{formatted:?}");
    }

    #[test]
    fn of_a_servers_words_only_its_codes_are_kept() {
        assert_eq!(enhanced("5.1.1 <viewer@example.com> is unknown"), Some("5.1.1"));
        for other in ["<viewer@example.com> is unknown", "5.1", "5.1.1111 no", "a.b.c", ""] {
            assert_eq!(enhanced(other), None, "{other}");
        }
    }

    #[test]
    fn a_failure_of_the_machine_is_told_by_its_kind() {
        let io = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "/home/viewer@example.com");
        let error = anyhow::Error::new(io).context("the folder of viewer@example.com");
        assert_eq!(cause(error.as_ref()), "permission denied");
    }

    #[tokio::test]
    async fn letters_are_kept_where_nobody_else_reads_them_and_the_oldest_go() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path().join("mail");
        for nth in 0..FILES_MAX {
            let name = format!("{nth:08}.eml");
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join(name), "old").expect("written");
        }
        drop_off(&folder, b"new").await.expect("dropped off");
        let names = |folder: &Path| std::fs::read_dir(folder).expect("the folder").count();
        assert_eq!(names(&folder), FILES_MAX);
        assert!(!folder.join("00000000.eml").exists() && folder.join("00000001.eml").exists());

        let fresh = scratch.path().join("fresh");
        drop_off(&fresh, b"new").await.expect("dropped off");
        let open = scratch.path().join("open");
        std::fs::create_dir(&open).expect("a folder");
        std::fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("open to all");
        drop_off(&open, b"new").await.expect("dropped off");
        for folder in [fresh, open] {
            let letter = std::fs::read_dir(&folder).expect("the folder").next();
            let letter = letter.expect("a letter").expect("an entry").path();
            for path in [folder, letter] {
                let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
                assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
            }
        }
    }
}
