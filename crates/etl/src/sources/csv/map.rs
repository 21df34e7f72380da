//! What a person declares about files that do not say it themselves: the CSV map, a small TOML file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use encoding_rs::Encoding;
use serde::Deserialize;

use super::columns::Role;
use super::declared_time::DeclaredTime;
use super::number::Notation;
use super::records::trim;

/// The declarations of a map, in their order. The first one that is for a file is the one that counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct CsvMap(Vec<Declared>);

/// What is declared about some files; what is `None` or empty is found out as ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    pattern: Option<glob::Pattern>,
    pub(super) encoding: Option<&'static Encoding>,
    pub(super) delimiter: Option<u8>,
    /// Lines that hold something above the header.
    pub(super) skip_lines: Option<usize>,
    /// The names of the columns, for a file that does not have them.
    pub(super) header: Option<Vec<String>>,
    pub(super) notation: Option<Notation>,
    pub(super) time: Option<DeclaredTime>,
    pub(super) as_of: Option<DateTime<Utc>>,
    pub(super) change: Option<ChangeUnit>,
    /// The header of the column of a role; empty when the file has none.
    pub(super) columns: BTreeMap<Role, String>,
    pub(super) coin: GivenCoin,
}

/// The coin of a file that is about one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenCoin {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) symbol: Option<String>,
}

/// In the place of a coin's id, name or symbol: what the `*` of the path stands for in the name of the file.
const STAR: &str = "*";

impl GivenCoin {
    pub(super) fn is_some(&self) -> bool {
        self.id.is_some() || self.name.is_some() || self.symbol.is_some()
    }

    fn is_in_name(&self) -> bool {
        [&self.id, &self.name, &self.symbol].into_iter().any(|given| given.as_deref() == Some(STAR))
    }

    /// The coin of a file in whose name this stands for the star.
    fn named(&self, star: &str) -> Self {
        let named = |given: &Option<String>| {
            given.as_deref().map(|given| if given == STAR { star } else { given }.to_owned())
        };
        Self { id: named(&self.id), name: named(&self.name), symbol: named(&self.symbol) }
    }
}

/// What the only `*` in the last part of a pattern stands for in the name of a file.
fn starred<'n>(pattern: Option<&glob::Pattern>, name: Option<&'n Path>) -> Option<&'n str> {
    let last = pattern?.as_str().rsplit('/').next()?;
    let (before, behind) = last.split_once(STAR)?;
    let is_plain = |text: &str| !text.contains(['*', '?', '[']);
    (is_plain(before) && is_plain(behind)).then_some(())?;
    name?.to_str()?.strip_prefix(before)?.strip_suffix(behind)
}

/// What the change in 24 hours is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChangeUnit {
    /// 1.5 is 1.5 %.
    Percent,
    /// 0.015 is 1.5 %.
    Fraction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    file: Vec<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    path: Option<String>,
    encoding: Option<String>,
    delimiter: Option<String>,
    skip_lines: Option<usize>,
    header: Option<Vec<String>>,
    decimal: Option<String>,
    group: Option<String>,
    time_format: Option<String>,
    time_offset: Option<String>,
    as_of: Option<toml::value::Datetime>,
    change: Option<ChangeUnit>,
    #[serde(default)]
    columns: BTreeMap<Role, String>,
    #[serde(default)]
    coin: GivenCoin,
}

impl CsvMap {
    /// The declaration for a file: `path` is a pattern for its whole path or its name.
    pub(super) fn of(&self, path: &Path) -> Cow<'_, Declared> {
        let name = path.file_name().map(Path::new);
        let declared = self
            .0
            .iter()
            .find(|declared| declared.pattern.as_ref().is_none_or(|pattern| fits(pattern, path)));
        match declared {
            None => Cow::Owned(Declared::default()),
            Some(declared) if declared.coin.is_in_name() => {
                let named = starred(declared.pattern.as_ref(), name).unwrap_or_default();
                Cow::Owned(Declared { coin: declared.coin.named(named), ..declared.clone() })
            }
            Some(declared) => Cow::Borrowed(declared),
        }
    }
}

impl CsvMap {
    /// The patterns that are for none of these files.
    pub(super) fn for_none_of(&self, files: &[&Path]) -> Vec<&str> {
        let patterns = self.0.iter().filter_map(|declared| declared.pattern.as_ref());
        let unused = patterns.filter(|pattern| !files.iter().any(|file| fits(pattern, file)));
        unused.map(glob::Pattern::as_str).collect()
    }
}

fn fits(pattern: &glob::Pattern, path: &Path) -> bool {
    let name = path.file_name().map(Path::new);
    pattern.matches_path(path) || name.is_some_and(|name| pattern.matches_path(name))
}

impl FromStr for CsvMap {
    type Err = Vec<String>;

    /// Reads the text of a map.
    ///
    /// # Errors
    /// Everything that is wrong with it, a sentence each.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let document: Document =
            toml::from_str(text).map_err(|error| vec![error.to_string().trim_end().to_owned()])?;
        let (mut declared, mut problems) = (Vec::new(), Vec::new());
        for (number, section) in document.file.into_iter().enumerate() {
            let mut check = Check { section: number + 1, problems: &mut problems };
            declared.push(check.declared(section));
        }
        if problems.is_empty() { Ok(Self(declared)) } else { Err(problems) }
    }
}

/// Takes over a section and notes what is wrong with it.
struct Check<'p> {
    section: usize,
    problems: &'p mut Vec<String>,
}

impl Check<'_> {
    fn declared(&mut self, section: Section) -> Declared {
        let pattern = section.path.as_deref().map(pattern_of);
        let encoding = section.encoding.as_deref();
        let delimiter = section.delimiter.as_deref();
        self.star(&section);
        self.one_meaning(&section.columns);
        Declared {
            pattern: self.checked("path", pattern.map(|pattern| pattern.map_err(|error| error.to_string()))),
            encoding: self.checked("encoding", encoding.map(encoding_of)),
            delimiter: self.checked("delimiter", delimiter.map(delimiter_of)),
            skip_lines: section.skip_lines,
            header: section.header,
            notation: self.notation(section.decimal.as_deref(), section.group.as_deref()),
            time: self.time(section.time_format.as_deref(), section.time_offset.as_deref()),
            as_of: self.checked("as_of", section.as_of.map(as_of)),
            change: section.change,
            columns: section.columns,
            coin: section.coin,
        }
    }

    fn checked<T>(&mut self, name: &str, value: Option<Result<T, String>>) -> Option<T> {
        value?
            .map_err(|problem| self.problems.push(format!("[[file]] {}: {name}: {problem}", self.section)))
            .ok()
    }

    fn star(&mut self, section: &Section) {
        let pattern = section.path.as_deref().and_then(|path| glob::Pattern::new(path).ok());
        // The pattern fits itself where every sign but the star stands for itself.
        let itself = section.path.as_deref().and_then(|path| path.rsplit('/').next()).map(Path::new);
        if section.coin.is_in_name() && starred(pattern.as_ref(), itself).is_none() {
            let problem = "\"*\" stands for what the * of path does in the name of the file: write a path with \
                 one *, such as \"*-USD.csv\"";
            self.checked::<()>("coin", Some(Err(problem.to_owned())));
        }
    }

    fn one_meaning(&mut self, columns: &BTreeMap<Role, String>) {
        let mut names: Vec<&str> =
            columns.values().map(|name| trim(name)).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let problem = format!("{:?} stands for two things; a column has one meaning", twice[0]);
            self.checked::<()>("columns", Some(Err(problem)));
        }
    }

    fn notation(&mut self, decimal: Option<&str>, group: Option<&str>) -> Option<Notation> {
        if decimal.is_none() && group.is_none() {
            return None;
        }
        let decimal = match decimal.unwrap_or(".") {
            "." => '.',
            "," => ',',
            other => {
                return self.checked("decimal", Some(Err(format!("{other:?} is neither \".\" nor \",\""))));
            }
        };
        let group = match group {
            None => {
                if decimal == '.' {
                    ','
                } else {
                    '.'
                }
            }
            Some("’") => '\'',
            Some("," | "." | " " | "'" | "_") if group != Some(decimal.encode_utf8(&mut [0; 4])) => {
                group.and_then(|group| group.chars().next()).unwrap_or(' ')
            }
            Some(other) => {
                let problem = format!(
                    "{other:?} is none of \",\", \".\", \" \", \"'\" and \"_\", or the same as the decimal sign"
                );
                return self.checked("group", Some(Err(problem)));
            }
        };
        Some(Notation { decimal, group })
    }

    fn time(&mut self, format: Option<&str>, offset: Option<&str>) -> Option<DeclaredTime> {
        match (format, offset) {
            (None, None) => None,
            (None, Some(_)) => {
                let problem = "say the time_format too, such as \"%d.%m.%Y %H:%M\"".to_owned();
                self.checked("time_offset", Some(Err(problem)))
            }
            (Some(format), offset) => self.checked("time_format", Some(DeclaredTime::new(format, offset))),
        }
    }
}

/// A path that begins nowhere is that of a file wherever it is.
fn pattern_of(path: &str) -> Result<glob::Pattern, glob::PatternError> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let is_anywhere = path.contains('/') && !path.starts_with(['/', '*']);
    if is_anywhere { glob::Pattern::new(&format!("**/{path}")) } else { glob::Pattern::new(path) }
}

fn encoding_of(label: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        format!("{label:?} is no encoding that is known; such as utf-8, windows-1252, iso-8859-15, utf-16le")
    })
}

fn delimiter_of(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
        _ => Err(format!("{text:?} is not one ASCII character, such as \";\" or \"\\t\"")),
    }
}

fn as_of(time: toml::value::Datetime) -> Result<DateTime<Utc>, String> {
    let text = time.to_string();
    text.parse().map_err(|_| format!("{text} is no time with an offset, such as 2026-01-31T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        text.parse::<CsvMap>().unwrap_err().join("\n")
    }

    #[test]
    fn the_first_section_that_fits_counts() {
        let map: CsvMap = "[[file]]\npath = \"*_de.csv\"\ndecimal = \",\"\n[[file]]\npath = \"/data/*\"\nskip_lines = 2\n[[file]]\n"
            .parse()
            .unwrap();
        let of = |path: &str| map.of(Path::new(path));
        assert_eq!(of("/data/x_de.csv").notation, Some(Notation { decimal: ',', group: '.' }));
        assert_eq!((of("/data/x.csv").notation, of("/data/x.csv").skip_lines), (None, Some(2)));
        assert_eq!(of("/elsewhere/x.csv").skip_lines, None);
    }

    #[test]
    fn the_name_of_a_file_may_say_which_coin_it_is_about() {
        let map: CsvMap =
            "[[file]]\npath = \"prices/*-USD.csv\"\n[file.coin]\nsymbol = \"*\"\nname = \"Any\"\n"
                .parse()
                .unwrap();
        let coin = map.of(Path::new("prices/BTC-USD.csv")).coin.clone();
        assert_eq!((coin.symbol.as_deref(), coin.name.as_deref(), coin.id), (Some("BTC"), Some("Any"), None));
        assert_eq!(map.of(Path::new("/data/prices/ETH-USD.csv")).coin.symbol.as_deref(), Some("ETH"));
        assert!(!map.of(Path::new("/data/ETH-USD.csv")).coin.is_some());
        assert!(map.for_none_of(&[Path::new("/data/prices/ETH-USD.csv")]).is_empty());
        assert_eq!(map.for_none_of(&[Path::new("/data/ETH-USD.csv")]), ["**/prices/*-USD.csv"]);
        for path in ["", "path = \"BTC.csv\"\n", "path = \"*_*.csv\"\n", "path = \"?*.csv\"\n"] {
            let said = problems(&format!("[[file]]\n{path}[file.coin]\nid = \"*\"\n"));
            assert!(said.contains("one *"), "{path}{said}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let said = problems(
            "[[file]]\nencoding = \"latin-9000\"\ndelimiter = \"::\"\ndecimal = \";\"\nas_of = 2026-01-31\n\
             [[file]]\ntime_format = \"%Q\"\ntime_offset = \"+02:00\"\n[[file]]\ntime_offset = \"+02:00\"\n\
             [[file]]\ndecimal = \",\"\ngroup = \",\"\n[[file]]\n[file.columns]\nid = \"code\"\nname = \" code\"\n",
        );
        for part in [
            "[[file]] 1: encoding",
            "1: delimiter",
            "1: decimal",
            "1: as_of",
            "2: time_format",
            "3: time_offset",
            "4: group",
            "5: columns: \"code\"",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn an_unknown_name_is_listed_with_what_is_known() {
        let said = problems("[[file]]\ndelimeter = \";\"\n");
        assert!(
            said.contains("line 2") && said.contains("delimeter") && said.contains("`delimiter`"),
            "{said}"
        );
        let said = problems("[[file]]\n[file.columns]\nprize = \"Close\"\n");
        assert!(said.contains("prize") && said.contains("price_usd"), "{said}");
        assert!(problems("[[file]\n").contains("line 1"));
    }
}
