//! How mail is sent, and what it says of this service.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::{Address, Tokio1Executor};
use shared::config::{Secret, Settings};

/// Settings of mail.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The SMTP server, as a URL: `smtps://name:password@host:465`, or `smtp://host:25` with
    /// `?tls=required`. `None`: mail goes to the log and the folder.
    pub smtp_url: Option<Secret>,
    /// How long the whole way of one letter to the SMTP server may take; no setting, because
    /// whoever takes letters has them for a time that hangs on it.
    pub send_timeout: Duration,
    /// Who writes.
    pub from: Mailbox,
    /// Where letters are written as `.eml` files when there is no SMTP server. `None`: not.
    pub folder: Option<PathBuf>,
    /// Whether the log says the links of letters that go to no SMTP server. For one's own
    /// machine: whoever reads the log can take over accounts.
    pub log_links: bool,
    /// Where links lead, without a slash at its end: `https://shop.example`.
    pub public_url: String,
}

impl MailConfig {
    /// The origin of pages that links lead to: of an address, what comes before its path.
    #[must_use]
    pub fn public_origin(&self) -> &str {
        let host = self.public_url.find("://").map_or(0, |at| at + 3);
        let end = self.public_url[host..]
            .find('/')
            .map_or(self.public_url.len(), |at| host + at);
        &self.public_url[..end]
    }
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            smtp_url: None,
            send_timeout: super::SEND_TIMEOUT,
            from: Mailbox::new(
                Some("Hawker".to_owned()),
                Address::new("no-reply", "localhost").unwrap_or_else(|_| unreachable!("it is an address")),
            ),
            folder: None,
            log_links: false,
            public_url: "http://127.0.0.1:8080".to_owned(),
        }
    }
}

impl MailConfig {
    /// Reads the settings; what is wrong is left in `settings`, and then the answer is
    /// `None`.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let default = Self::default();
        let smtp_url: Option<Secret> = settings.optional("mail_smtp_url");
        if let Some(url) = &smtp_url
            && let Err(error) = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
        {
            settings.fault("mail_smtp_url", &format!("cannot be used: {error}"));
        }
        let from = settings.or("mail_from", default.from);
        let folder = settings.optional("mail_folder");
        let log_links = settings.or("mail_log_links", false);
        let public_url = settings.or("public_url", default.public_url)?;
        let public_url = public_url.trim_end_matches('/').to_owned();
        if !["http://", "https://"]
            .iter()
            .any(|scheme| public_url.starts_with(scheme))
        {
            settings.fault("public_url", "must begin with http:// or https://");
        }
        Some(Self {
            smtp_url,
            send_timeout: default.send_timeout,
            from: from?,
            folder,
            log_links: log_links?,
            public_url,
        })
    }
}
