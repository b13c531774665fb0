//! Secrets that are handed out: refresh tokens, and what a mailed link carries. 32 random
//! bytes that only their holder knows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngCore as _;
use sha2::{Digest, Sha256};

/// What makes the next refresh token of one that is spent.
pub(crate) type Seed = [u8; 32];

/// A new seed.
pub(crate) fn seed() -> Seed {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A secret as its holder has it. Never logged, never stored.
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(seed()))
    }

    pub(crate) fn received(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored and found by. A plain hash is enough: the token has 256 random bits.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }

    /// The refresh token that follows this one. It takes both this token, which is not stored, and
    /// the seed, which is not told: whoever has one of them knows nothing of the next.
    pub(crate) fn next(&self, seed: &[u8]) -> anyhow::Result<Self> {
        let mut mac = Hmac::<Sha256>::new_from_slice(seed)?;
        mac.update(self.0.as_bytes());
        Ok(Self(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_token_hangs_on_both_the_token_and_the_seed() {
        let (token, other) = (Secret::random(), Secret::random());
        let next = |token: &Secret, seed: &Seed| token.next(seed).expect("made").expose().to_owned();
        let (a, b) = (seed(), seed());
        assert_eq!(next(&token, &a), next(&token, &a));
        assert_ne!(next(&token, &a), next(&token, &b));
        assert_ne!(next(&token, &a), next(&other, &a));
        assert_eq!(next(&token, &a).len(), token.expose().len());
    }
}
