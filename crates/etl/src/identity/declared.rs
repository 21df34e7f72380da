//! What people have declared about ids: the file that comes with the program, their own, and the command line.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use kasparro_core::store::asset_ruling::Ruling;

use super::evidence::Evidence;
use crate::failure::{FailureKind, SourceError};
use crate::sources;

/// The file that comes with the program.
const SHIPPED: &str = include_str!("../../../../data/asset_links.csv");

/// What the first line of a file says, and the order of the fields of every other one.
const HEADER: &str = "verdict,source,crypto_id,other_source,other_id,note";

/// A source and an id.
type Id = (String, String);

/// All declarations; of two about the same pair the stronger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    pairs: BTreeMap<(Id, Id), bool>,
    /// Source, old id, new id.
    migrations: BTreeSet<(String, String, String)>,
}

impl Declared {
    /// The shipped file, and over it that of the user.
    ///
    /// # Errors
    /// Missing, Io; Refused with the line that cannot be understood.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, SourceError> {
        let mut declared = Self::default();
        declared.add_file(SHIPPED, "asset_links.csv")?;
        if let Some(path) = path {
            let text = fs::read_to_string(path).map_err(|error| {
                let missing = error.kind() == std::io::ErrorKind::NotFound;
                let kind = if missing { FailureKind::Missing } else { FailureKind::Io };
                SourceError::new(kind, format!("ASSET_LINKS_PATH: {}: {error}", path.display()))
            })?;
            declared.add_file(&text, &path.display().to_string())?;
        }
        Ok(declared)
    }

    /// The lines below the [`HEADER`].
    fn add_file(&mut self, text: &str, origin: &str) -> Result<(), SourceError> {
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(text.as_bytes());
        let refused = |line: u64, what: String| {
            let message = format!(
                "{origin} line {line}: {what}; a line is {HEADER} with a verdict of same, never or migrated"
            );
            SourceError::new(FailureKind::Refused, message)
        };
        let header = reader.headers().map_err(|error| refused(1, error.to_string()))?;
        if !header.is_empty() && !is_header(header) {
            let message = format!("{origin}: the header is missing; put this line in front: {HEADER}");
            return Err(SourceError::new(FailureKind::Refused, message));
        }
        for record in reader.records() {
            let record = record.map_err(|error| {
                refused(error.position().map_or(0, csv::Position::line), error.to_string())
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let field = |at: usize| record.get(at).unwrap_or_default().to_owned();
            let (one, other) = ((field(1), field(2)), (field(3), field(4)));
            if [&one.0, &one.1, &other.0, &other.1].iter().any(|part| part.is_empty()) || one == other {
                return Err(refused(line, "two different ids with their sources are needed".to_owned()));
            }
            if let Some(unknown) = [&one.0, &other.0].into_iter().find(|name| sources::find(name).is_none()) {
                let known = sources::names().join(", ");
                return Err(refused(line, format!("{unknown:?} is no source, there are {known}")));
            }
            match field(0).as_str() {
                "same" => self.put(one, other, true),
                "never" => self.put(one, other, false),
                "migrated" if one.0 == other.0 => {
                    self.migrations.insert((one.0, one.1, other.1));
                }
                "migrated" => return Err(refused(line, "an id migrates within its source".to_owned())),
                other => return Err(refused(line, format!("{other:?} is no verdict"))),
            }
        }
        Ok(())
    }

    /// What was decided at the command line is stronger than any file.
    pub(crate) fn add_rulings(&mut self, rulings: Vec<Ruling>) {
        for ruling in rulings {
            let (one, other) = ((ruling.source, ruling.crypto_id), (ruling.other_source, ruling.other_id));
            self.put(one, other, ruling.verdict == "same");
        }
    }

    fn put(&mut self, one: Id, other: Id, same: bool) {
        let pair = if one < other { (one, other) } else { (other, one) };
        self.pairs.insert(pair, same);
    }

    /// Old and new ids of a source.
    pub(crate) fn migrations_of(&self, source: &str) -> impl Iterator<Item = (&str, &str)> {
        let of_source = self.migrations.iter().filter(move |(of, ..)| of == source);
        of_source.map(|(_, old, new)| (old.as_str(), new.as_str()))
    }

    /// Enters the pairs whose coins are there. Coins that are the same as one that is not are the same, too.
    pub(crate) fn describe(&self, evidence: &mut Evidence) {
        let (mut same, mut never) = (BTreeSet::new(), BTreeSet::new());
        let places: HashMap<(&str, &str), usize> = evidence.places();
        let place = |id: &Id| places.get(&(id.0.as_str(), id.1.as_str())).copied();
        for ((one, other), is_same) in &self.pairs {
            if let (Some(one), Some(other)) = (place(one), place(other)) {
                let pair = Evidence::pair(one, other);
                if *is_same {
                    same.insert(pair)
                } else {
                    never.insert(pair)
                };
            }
        }
        for group in self.groups() {
            let there: Vec<usize> = group.iter().filter_map(|id| place(id)).collect();
            if there.len() < group.len() {
                let pairs = there.windows(2).map(|pair| Evidence::pair(pair[0], pair[1]));
                same.extend(pairs.filter(|pair| !never.contains(pair)));
            }
        }
        (evidence.same, evidence.never) = (same, never);
    }

    /// The ids that are declared to be the same, directly or by way of others, in order.
    fn groups(&self) -> Vec<Vec<&Id>> {
        let mut neighbours: BTreeMap<&Id, Vec<&Id>> = BTreeMap::new();
        for ((one, other), _) in self.pairs.iter().filter(|(_, is_same)| **is_same) {
            neighbours.entry(one).or_default().push(other);
            neighbours.entry(other).or_default().push(one);
        }
        let mut groups = Vec::new();
        while let Some((first, next)) = neighbours.pop_first() {
            let (mut group, mut open) = (vec![first], next);
            while let Some(id) = open.pop() {
                if let Some(next) = neighbours.remove(id) {
                    group.push(id);
                    open.extend(next);
                }
            }
            group.sort_unstable();
            groups.push(group);
        }
        groups
    }

    /// A text that is another when anything is declared otherwise.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{:?}{:?}", self.pairs, self.migrations)
    }
}

/// Whether it has the names of the fields that count: the note is for people.
fn is_header(record: &csv::StringRecord) -> bool {
    let mut wanted = HEADER.split(',').take(5).enumerate();
    wanted.all(|(at, name)| record.get(at).is_some_and(|field| field.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_sound() {
        let declared = Declared::read(None).unwrap();
        assert!(declared.pairs.len() > 20 && !declared.migrations.is_empty());
    }

    fn add(lines: &str) -> Result<Declared, SourceError> {
        let mut declared = Declared::default();
        declared.add_file(&format!("{HEADER}\n{lines}\n"), "mine.csv").map(|()| declared)
    }

    #[test]
    fn the_later_word_counts() {
        let declared = add("same,coinpaprika,x,csv,y,\nnever,csv,y,coinpaprika,x,").unwrap();
        assert_eq!(declared.pairs.values().collect::<Vec<_>>(), [&false]);
    }

    #[test]
    fn what_is_the_same_as_a_third_is_the_same() {
        let lines = "same,coinpaprika,x,coingecko,y,\nsame,csv,z,coinpaprika,x,\nnever,csv,z,csv,w,\nsame,csv,v,csv,w,";
        let declared = add(lines).unwrap();
        let groups = declared.groups();
        let shown: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|(_, id)| id.as_str()).collect()).collect();
        assert_eq!(shown, [vec!["y", "x", "z"], vec!["v", "w"]]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, what) in [
            ("maybe,coinpaprika,x,csv,y", "no verdict"),
            ("same,coinpaprika,x,csv,", "two different ids"),
            ("same,csv,x,csv,x", "two different ids"),
            ("migrated,coinpaprika,x,csv,y", "within its source"),
            ("same,csv,x,coinpaprka,y", "\"coinpaprka\" is no source, there are coinpaprika, coingecko, csv"),
        ] {
            let error = add(line).unwrap_err();
            assert!(error.message.contains("mine.csv line 2") && error.message.contains(what), "{error}");
        }
    }

    #[test]
    fn a_file_without_a_header_does_not_lose_its_first_line() {
        let read = |text: &str| Declared::default().add_file(text, "mine.csv");
        let line = "same,coinpaprika,x,csv,y,\n";
        let error = read(&format!("# mine\n{line}{line}")).unwrap_err().message;
        assert_eq!(error, format!("mine.csv: the header is missing; put this line in front: {HEADER}"));
        for header in [HEADER, "Verdict, source, crypto_id, other_source, other_id"] {
            assert!(read(&format!("\u{feff}{header}\n{line}")).is_ok(), "{header}");
        }
        assert!(read("").is_ok() && read("# nothing yet\n").is_ok());
    }
}
