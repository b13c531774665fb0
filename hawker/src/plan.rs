//! From command line, environment and file to one checked plan of what to run. Every
//! fault is found before anything is started.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rand::distr::{Alphanumeric, SampleString as _};
use shared::admin::AdminConfig;
use shared::bus::{BusConfig, Unset};
use shared::config::{Secret, Settings};
use shared::db::DbOptions;
use shared::telemetry::LogFormat;
use shared::token::TokenKey;

use crate::cli::{PlaceArgs, RunArgs};
use crate::data_dir;

/// Stands for a value that is known only once the data directory is open.
const LATER: &str = "known-once-the-data-directory-is-open";
/// Stands for where the pages are until the ports are settled.
const LATER_URL: &str = "http://known-once-the-ports-are-settled.invalid";
/// The name of the engine on a private database.
const ONLY_NODE: &str = "hawker";
/// The private listener's port unless another is named.
const ADMIN_PORT: u16 = 8082;
/// Per minute and address: as good as none.
const UNLIMITED: &str = "1000000";

/// Where the data is.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory of the private Postgres and the secrets.
    pub data_dir: PathBuf,
    /// One's own database, if one is named.
    pub database_url: Option<Secret>,
    /// How it is used.
    pub db: DbOptions,
    /// How logs are written.
    pub log_format: LogFormat,
}

/// All that `run` needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the data is.
    pub place: Place,
    /// The REST service.
    pub api: core_api::Config,
    /// The live engine.
    pub engine: live_engine::Config,
    /// What is between them, and other services over the same database.
    pub bus: BusConfig,
    /// Where an operator looks.
    pub private: AdminConfig,
    /// No token secret was given: one is kept in the data directory.
    pub keeps_secret: bool,
    /// Write the demo shop into an empty private database.
    pub seed: bool,
    /// Put the simulated show on air.
    pub show: bool,
}

impl Place {
    /// Reads it from the command line and the settings.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(args: &PlaceArgs) -> Result<Self> {
        let mut settings = settings(args)?;
        let place = Self::from(&mut settings);
        // A file for `run` says more than other commands ask.
        core_api::Config::read(&mut settings);
        live_engine::Config::read(&mut settings);
        BusConfig::read(&mut settings, Unset::Memory);
        AdminConfig::read(&mut settings, ADMIN_PORT);
        Ok(settings.finish(place)?)
    }

    fn from(settings: &mut Settings) -> Option<Self> {
        let data_dir: Option<PathBuf> = settings.optional("data_dir");
        let url: Option<Secret> = settings.optional("database_url");
        let allow_unsafe = settings.or("allow_unsafe_database", false);
        let log_format = settings.or("log_format", LogFormat::Text);
        let data_dir = data_dir.map_or_else(data_dir::default, Ok);
        let data_dir = data_dir
            .map_err(|error| settings.fault("data_dir", &error.to_string()))
            .ok();
        Some(Self {
            data_dir: data_dir?,
            database_url: url.filter(|url| url.expose() != LATER),
            db: DbOptions {
                allow_unsafe: allow_unsafe?,
                ..DbOptions::default()
            },
            log_format: log_format?,
        })
    }
}

/// The settings under the command line's, and what both services demand and only a
/// running one has.
fn settings(args: &PlaceArgs) -> Result<Settings> {
    let mut settings = Settings::load(args.config.as_deref())?;
    if let Some(dir) = &args.data_dir {
        settings.set("data_dir", dir.display().to_string());
    }
    if let Some(url) = &args.database_url {
        settings.set("database_url", url.as_str());
    }
    settings.set_default("database_url", LATER);
    settings.set_default("token_secret", LATER);
    Ok(settings)
}

impl Plan {
    /// Reads the plan, and settles which ports are used.
    ///
    /// # Errors
    /// Every fault of the configuration at once; a port that is taken.
    pub fn make(args: &RunArgs) -> Result<Self> {
        let mut plan = Self::read(args)?;
        plan.api.bind = settle(plan.api.bind, "--http")?;
        plan.engine.bind = settle(plan.engine.bind, "--live")?;
        if plan.api.live_url.is_empty() {
            plan.api.live_url = format!("ws://{}/ws", reachable(plan.engine.bind));
        }
        if plan.api.mail.public_url == LATER_URL {
            plan.api.mail.public_url = plan.page_url();
        }
        for origin in origins(plan.api.bind) {
            plan.api.allowed_origins.push(origin.clone());
            plan.engine.allowed_origins.push(origin);
        }
        Ok(plan)
    }

    /// Reads the plan, and looks at nothing else.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(args: &RunArgs) -> Result<Self> {
        let mut settings = settings(&args.place)?;
        if let Some(http) = args.http {
            settings.set("http", http.to_string());
        }
        if let Some(live) = args.live {
            settings.set("live", live.to_string());
        }
        settings.set_default("live_url", "");
        settings.set_default("public_url", LATER_URL);
        if is_private(&mut settings, "http") && is_private(&mut settings, "live") {
            relax(&mut settings);
        }
        let secret: Option<Secret> = settings.optional("token_secret");
        let api = core_api::Config::read(&mut settings);
        let engine = live_engine::Config::read(&mut settings);
        let bus = BusConfig::read(&mut settings, Unset::Memory);
        let place = Place::from(&mut settings);
        let private = AdminConfig::read(&mut settings, ADMIN_PORT);
        let services = place.zip(api).zip(engine).zip(bus).zip(private);
        let ((((place, mut api), mut engine), bus), private) = settings.finish(services)?;
        if api.mail.smtp_url.is_none() {
            // Without a server mail is kept where it can be read.
            api.mail.folder.get_or_insert_with(|| place.data_dir.join("mail"));
        }
        if api.media.bucket.is_none() {
            api.media.folder.get_or_insert_with(|| place.data_dir.join("media"));
        }
        // What the test provider sends to ourselves is signed anew in each process.
        api.webhooks
            .test
            .get_or_insert_with(|| Secret::new(Alphanumeric.sample_string(&mut rand::rng(), 48)));
        if place.database_url.is_none() {
            // Nobody else works on a private database.
            engine.node.get_or_insert_with(|| ONLY_NODE.to_owned());
        }
        Ok(Self {
            place,
            api,
            engine,
            bus,
            private,
            keeps_secret: secret.is_none_or(|secret| secret.expose() == LATER),
            seed: !args.no_seed,
            show: args.show,
        })
    }

    /// Signs with `secret` from now on.
    ///
    /// # Errors
    /// When it is too short.
    pub fn set_secret(&mut self, secret: &str) -> Result<()> {
        let key = TokenKey::new(secret.as_bytes()).context("the kept token secret is shorter than 32 bytes")?;
        self.api.token_key = key.clone();
        self.engine.token_key = key;
        Ok(())
    }

    /// Nobody but this machine can come in.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.api.bind.ip().is_loopback() && self.engine.bind.ip().is_loopback()
    }

    /// Where the page is.
    #[must_use]
    pub fn page_url(&self) -> String {
        format!("http://{}", reachable(self.api.bind))
    }
}

/// Whether the address under `key`, absent or readable, is this machine's own.
fn is_private(settings: &mut Settings, key: &str) -> bool {
    // What cannot be read is found, and said, by the service whose address it is.
    let mut copy = Settings::default();
    let Some(text) = settings.optional::<String>(key) else {
        return true;
    };
    copy.set(key, text);
    copy.optional::<SocketAddr>(key)
        .is_some_and(|addr| addr.ip().is_loopback())
}

/// On one's own machine a show of thousands comes from one address, and there is no
/// HTTPS for a cookie to insist on.
fn relax(settings: &mut Settings) {
    for key in [
        "reads", "writes", "money", "media", "register", "login", "refresh", "tickets",
    ] {
        settings.set_default(&format!("limit_{key}_per_minute"), UNLIMITED);
    }
    settings.set_default("limit_password_wait_ms", "120000");
    settings.set_default("limit_password_queue", UNLIMITED);
    settings.set_default("limit_connections_per_address", UNLIMITED);
    settings.set_default("limit_connects", "1000000/1000000");
    settings.set_default("limit_reactions_per_address", "1000000/1000000");
    settings.set_default("cookie_secure", "false");
}

/// Makes sure that `addr` is free, and picks a port where it has none: each service's
/// address must be known before the other starts.
fn settle(addr: SocketAddr, flag: &str) -> Result<SocketAddr> {
    match TcpListener::bind(addr).and_then(|listener| listener.local_addr()) {
        Ok(addr) => Ok(addr),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("cannot listen on {addr}: another program has that port; choose one with {flag} ADDRESS")
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {addr} ({flag})")),
    }
}

/// An address that others can use to reach a listener on `addr`.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        SocketAddr::new(own_address(), addr.port())
    } else {
        addr
    }
}

/// The address of this machine that packets to others would carry. None is sent.
fn own_address() -> IpAddr {
    let ask = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // An address for documentation: routed like any other, and nobody's.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    ask().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The origins of our own pages, as browsers write them.
fn origins(http: SocketAddr) -> Vec<String> {
    let mut hosts = vec![reachable(http).to_string()];
    if http.ip().is_loopback() || http.ip().is_unspecified() {
        hosts.push(format!("localhost:{}", http.port()));
        hosts.push(format!("127.0.0.1:{}", http.port()));
    }
    hosts.dedup();
    hosts.into_iter().map(|host| format!("http://{host}")).collect()
}

/// What a demo of its own runs on: free ports of this machine and a scratch directory.
#[must_use]
pub fn scratch(data_dir: &Path) -> RunArgs {
    let free = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    RunArgs {
        http: free,
        live: free,
        place: PlaceArgs {
            data_dir: Some(data_dir.to_owned()),
            ..PlaceArgs::default()
        },
        ..RunArgs::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(http: &str) -> RunArgs {
        RunArgs {
            http: Some(http.parse().expect("an address")),
            live: Some("127.0.0.1:0".parse().expect("an address")),
            ..scratch(Path::new("/nonexistent"))
        }
    }

    #[test]
    fn limits_per_address_hold_unless_nobody_else_can_come_in() {
        let per_minute = |limits: &core_api::Limits| {
            [
                limits.reads_per_minute,
                limits.writes_per_minute,
                limits.money_per_minute,
                limits.media_per_minute,
                limits.register_per_minute,
                limits.login_per_minute,
                limits.refresh_per_minute,
                limits.tickets_per_minute,
            ]
            .map(std::num::NonZeroU32::get)
        };
        let planned = |http| per_minute(&Plan::read(&args(http)).expect("read").api.limits);
        assert_eq!(planned("127.0.0.1:0"), [1_000_000; 8]);
        assert_eq!(planned("0.0.0.0:0"), per_minute(&core_api::Limits::default()));
    }

    #[test]
    fn pictures_are_kept_beside_the_other_data() {
        let media = Plan::read(&args("127.0.0.1:0")).expect("read").api.media;
        assert_eq!(media.folder.as_deref(), Some(Path::new("/nonexistent/media")));
    }

    #[test]
    fn cookies_insist_on_https_unless_nobody_else_can_come_in() {
        assert!(!Plan::read(&args("127.0.0.1:0")).expect("read").api.cookie_secure);
        assert!(Plan::read(&args("0.0.0.0:0")).expect("read").api.cookie_secure);
    }

    #[test]
    fn a_taken_port_is_one_clear_line() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = taken.local_addr().expect("an address");
        let line = format!("{:#}", settle(addr, "--http").expect_err("taken"));
        assert!(
            line.contains("--http") && line.contains(&addr.to_string()) && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn the_services_know_each_other_and_the_page() {
        let plan = Plan::make(&args("127.0.0.1:0")).expect("made");
        assert_eq!(plan.api.live_url, format!("ws://{}/ws", plan.engine.bind));
        let localhost = format!("http://localhost:{}", plan.api.bind.port());
        assert!(plan.engine.allowed_origins.contains(&localhost));
        assert!(plan.place.database_url.is_none() && plan.keeps_secret);
    }
}
