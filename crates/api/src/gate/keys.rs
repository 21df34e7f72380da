//! API keys: a list of names, each with a key or its hash and, if it has one, a quota of its own.
//!
//! Only hashes are kept in memory, and a key that is sent is hashed before it is compared, with all of them and in
//! constant time: how long an answer takes tells nothing about any key.

use std::num::NonZeroU32;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::bucket::{Bucket, Quota};

/// Shortest key that is taken as it is, in characters: anything shorter can be guessed.
const MIN_CHARS: usize = 16;

/// Longest key that is looked at, in characters.
const MAX_CHARS: usize = 256;

const HASH_PREFIX: &str = "sha256:";

type Hash = [u8; 32];

/// The keys that are known.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
pub(crate) struct Key {
    name: String,
    hash: Hash,
    /// `None` for that of everybody else.
    pub(crate) quota: Option<Quota>,
    pub(crate) bucket: Bucket,
}

impl Keys {
    /// Reads a list: entries on lines of their own or between commas, each `name key` or `name key
    /// requests-a-minute`; instead of a key `sha256:` and the 64 hexadecimal digits of its hash. `#` begins a comment.
    ///
    /// # Errors
    /// Everything that is wrong with it, without any key.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let (mut keys, mut problems) = (Vec::<Key>::new(), Vec::new());
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|entry| !entry.is_empty());
        for (number, entry) in (1..).zip(entries) {
            match Key::parse(entry) {
                Ok(key) if keys.iter().any(|known| known.name == key.name) => {
                    problems.push(format!("entry {number}: the name {} is there twice", key.name));
                }
                Ok(key) if keys.iter().any(|known| known.hash == key.hash) => {
                    problems.push(format!("entry {number}: {} has the key of another name", key.name));
                }
                Ok(key) => keys.push(key),
                Err(problem) => problems.push(format!("entry {number}: {problem}")),
            }
        }
        if keys.is_empty() && problems.is_empty() {
            problems.push("there is no key in it".to_owned());
        }
        if problems.is_empty() { Ok(Self(keys)) } else { Err(problems) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of the keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The entry of a key that was sent.
    pub(crate) fn find(&self, sent: &str) -> Option<&Key> {
        if sent.len() > MAX_CHARS {
            return None;
        }
        let hash = hash_of(sent);
        // Every entry is looked at, and none of the steps depends on what is found.
        let (mut found, mut position) = (Choice::from(0), 0_u64);
        for (index, key) in (0_u64..).zip(&self.0) {
            let equal = key.hash.ct_eq(&hash);
            position.conditional_assign(&index, equal);
            found |= equal;
        }
        bool::from(found).then(|| self.0.get(usize::try_from(position).ok()?)).flatten()
    }
}

impl Key {
    fn parse(entry: &str) -> Result<Self, String> {
        let mut words = entry.split_whitespace();
        let (Some(name), Some(secret), quota, None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("it is not `name key` or `name key requests-a-minute`".to_owned());
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // Not shown: it may be the key of somebody who forgot the name.
        if name.len() > 64 || !name.chars().all(is_name) {
            return Err("the name is not 1 to 64 letters, digits, `-`, `_` and `.`".to_owned());
        }
        let quota = match quota {
            None => None,
            Some(text) => Some(Quota::per_minute(
                text.parse::<NonZeroU32>()
                    .map_err(|_| format!("{name}: the requests a minute are not a whole number from 1"))?,
            )),
        };
        let hash = match secret.strip_prefix(HASH_PREFIX) {
            Some(digits) => from_hex(digits)
                .ok_or_else(|| format!("{name}: what follows {HASH_PREFIX} is not 64 hexadecimal digits"))?,
            None if !(MIN_CHARS..=MAX_CHARS).contains(&secret.len()) || !secret.is_ascii() => {
                return Err(format!(
                    "{name}: the key does not have {MIN_CHARS} to {MAX_CHARS} ASCII characters"
                ));
            }
            None => hash_of(secret),
        };
        Ok(Self { name: name.to_owned(), hash, quota, bucket: Bucket::default() })
    }
}

fn hash_of(key: &str) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

fn from_hex(digits: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH_OF_OTHER: &str = "sha256:7ec1e78e8dd3e18e5ca1b24a5a3ec5d6b0f3a5e7a1a3b2c4d5e6f708192a3b4c";

    #[test]
    fn a_key_is_found_by_itself_or_by_its_hash() {
        let digits: String =
            hash_of("canary-key-of-bob-1").iter().map(|byte| format!("{byte:02x}")).collect();
        let text =
            format!("# who may\nalice canary-key-of-alice, bob sha256:{digits} 600\n\ncarol {HASH_OF_OTHER}");
        let keys = Keys::parse(&text).unwrap();
        let found = |sent| keys.find(sent).map(|key| (key.name.as_str(), key.quota.map(Quota::get)));
        assert_eq!(keys.len(), 3);
        assert_eq!(found("canary-key-of-alice"), Some(("alice", None)));
        assert_eq!(found("canary-key-of-bob-1"), Some(("bob", Some(600))));
        for wrong in ["", "canary-key-of-alic", "canary-key-of-alice ", "alice", HASH_OF_OTHER, &digits] {
            assert_eq!(found(wrong), None, "{wrong:?}");
        }
        assert!(!format!("{keys:?}").contains("canary"), "{keys:?}");
    }

    #[test]
    fn everything_wrong_is_listed_without_a_key() {
        let text = "alice canary-short, canary-alone-as-it-is\nbob sha256:canary, a/b canary-canary-canary,\
                    carol canary-canary-canary 0, dora canary-canary-canary x y, ed canary-canary-canar1,\
                    ed canary-canary-canar2, flo canary-canary-canar1";
        let problems = Keys::parse(text).unwrap_err();
        assert_eq!(problems.len(), 8, "{problems:#?}");
        assert!(!problems.concat().contains("canary"), "{problems:#?}");
        assert!(Keys::parse(" \n# nothing\n").is_err());
    }
}
