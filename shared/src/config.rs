//! Reading configuration: an optional TOML file, and over it the environment
//! (`HAWKER_` and the key in capitals).
//!
//! Every binary has one typed configuration, checked whole at start: [`Settings`]
//! collects every fault, and [`Settings::finish`] reports them all at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use config::{Config, Environment, File};

/// The prefix of environment variables.
const PREFIX: &str = "HAWKER";

/// A value that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one who needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One thing wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The key, as in the TOML file.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Everything wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        for Fault { key, problem } in &self.0 {
            write!(f, "\n  {key} ({PREFIX}_{}): {problem}", key.to_uppercase())?;
        }
        Ok(())
    }
}

/// Values on their way to a typed configuration.
#[derive(Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    from_file: Vec<String>,
    asked: Vec<String>,
    faults: Vec<Fault>,
}

impl Settings {
    /// Reads the file, if one is given, and the environment over it.
    ///
    /// # Errors
    /// When the file cannot be read or is not TOML.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        if let Some(path) = file {
            let text = |error: config::ConfigError| {
                ConfigError(vec![Fault {
                    key: "config".into(),
                    problem: format!("{}: {error}", path.display()),
                }])
            };
            let table = Config::builder().add_source(File::from(path)).build().map_err(text)?;
            settings.from_file = settings.add(table, text)?;
        }
        let text = |error: config::ConfigError| {
            ConfigError(vec![Fault {
                key: "environment".into(),
                problem: error.to_string(),
            }])
        };
        let environment = Config::builder()
            .add_source(Environment::with_prefix(PREFIX).prefix_separator("_"))
            .build()
            .map_err(text)?;
        settings.add(environment, text)?;
        Ok(settings)
    }

    /// Settings from pairs alone, for tests and for programs that compose their own.
    #[must_use]
    pub fn from_pairs<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        let values = pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self {
            values,
            ..Self::default()
        }
    }

    /// Sets `key`, whatever the file and the environment say: for command lines.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
    }

    /// Sets `key` where nothing else has: for programs whose defaults differ.
    pub fn set_default(&mut self, key: &str, value: impl Into<String>) {
        self.values.entry(key.to_owned()).or_insert_with(|| value.into());
    }

    fn add(
        &mut self,
        source: Config,
        text: impl Fn(config::ConfigError) -> ConfigError,
    ) -> Result<Vec<String>, ConfigError> {
        let table: BTreeMap<String, config::Value> = source.try_deserialize().map_err(&text)?;
        let mut keys = Vec::with_capacity(table.len());
        for (key, value) in table {
            let value = value.into_string().map_err(&text)?;
            keys.push(key.clone());
            self.values.insert(key, value);
        }
        Ok(keys)
    }

    /// The value of `key`, which must be there.
    pub fn required<T: FromStr>(&mut self, key: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        let value = self.optional(key);
        if value.is_none() && !self.faults.iter().any(|fault| fault.key == key) {
            self.fault(key, "is required");
        }
        value
    }

    /// The value of `key`, or `default`.
    pub fn or<T: FromStr>(&mut self, key: &str, default: T) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        let had_faults = self.faults.len();
        let value = self.optional(key);
        if self.faults.len() > had_faults {
            None
        } else {
            Some(value.unwrap_or(default))
        }
    }

    /// The value of `key`, if it is there.
    pub fn optional<T: FromStr>(&mut self, key: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        self.asked.push(key.to_owned());
        let text = self.values.get(key)?.clone();
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let error = format!("{error}");
                self.fault(key, &error);
                None
            }
        }
    }

    /// The comma-separated values of `key`; none when it is absent.
    pub fn list<T: FromStr>(&mut self, key: &str) -> Vec<T>
    where
        T::Err: fmt::Display,
    {
        let text: Option<String> = self.optional(key);
        let mut values = Vec::new();
        for part in text
            .iter()
            .flat_map(|t| t.split(','))
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match part.parse() {
                Ok(value) => values.push(value),
                Err(error) => self.fault(key, &format!("{part:?}: {error}")),
            }
        }
        values
    }

    /// Records something wrong with `key`.
    pub fn fault(&mut self, key: &str, problem: &str) {
        self.faults.push(Fault {
            key: key.to_owned(),
            problem: problem.to_owned(),
        });
    }

    /// Ends the reading. A key of the file that nobody asked for is a fault, so that a
    /// typing error does not pass in silence.
    ///
    /// # Errors
    /// Every fault found.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, ConfigError> {
        for key in std::mem::take(&mut self.from_file) {
            if !self.asked.contains(&key) {
                self.fault(&key, "is not a setting");
            }
        }
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(ConfigError(self.faults)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_reported_at_once() {
        let mut settings = Settings::from_pairs([("port", "many"), ("origins", "a,b")]);
        let port: Option<u16> = settings.or("port", 1);
        let url: Option<String> = settings.required("url");
        assert_eq!(settings.list::<String>("origins"), ["a", "b"]);
        let error = settings.finish(port.zip(url)).expect_err("two faults");
        let keys: Vec<_> = error.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["port", "url"]);
        assert!(error.to_string().contains("HAWKER_URL"));
    }

    #[test]
    fn a_command_line_wins_and_a_default_yields() {
        let mut settings = Settings::from_pairs([("port", "1"), ("host", "a")]);
        settings.set("port", "2");
        settings.set_default("host", "b");
        settings.set_default("path", "c");
        let read = |settings: &mut Settings, key: &str| settings.optional::<String>(key);
        assert_eq!(read(&mut settings, "port").as_deref(), Some("2"));
        assert_eq!(read(&mut settings, "host").as_deref(), Some("a"));
        assert_eq!(read(&mut settings, "path").as_deref(), Some("c"));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(..)");
    }
}
