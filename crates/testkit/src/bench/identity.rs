//! `make bench-identity`: which coins of two vendors are one, as decided by the program from recorded lists, against a map of
//! pairs that it has never seen; and what deciding costs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Nullable, Text};
use kasparro_localpg::Cluster;
use sha2::{Digest, Sha256};

use super::measure::{Measured, run};
use super::on_server;
use crate::recordings::lists::{Contracts, RecordedLists};
use crate::recordings::recordings;
use crate::simulator::{Simulator, Universe};

/// Coins of each vendor when times are taken.
const COINS: usize = 20_000;
/// Runs after which it is looked whether time and memory have grown.
const FURTHER_RUNS: usize = 9;
/// Why a coin is open, by the name that the program stores.
const REASONS: [(&str, &str); 7] = [
    ("declared_never", "they are declared to be two"),
    ("contract_disagrees", "their addresses on one chain differ"),
    ("ambiguous_contract", "several coins of a vendor have the address"),
    ("price_disagrees", "their prices are too far apart"),
    ("ambiguous_name", "several coins of a vendor have the symbol and a name that comes to the same"),
    ("symbol_only", "the symbol is the same, the names are not"),
    ("name_only", "the names are the same, the symbols are not"),
];
const NOTHING: &str = "neither symbol nor name nor an address in common";

/// Measures and prints.
///
/// # Errors
/// When a program fails or a recording is not what it should be.
pub fn run_all(etl: &Path, folder: &Path) -> Result<()> {
    on_server(folder, |cluster| {
        let bench = Bench { etl, cluster };
        bench.times()?;
        match recordings() {
            Some(recorded) => bench.quality(&recorded),
            None => {
                println!("skipped: precision and recall: there are no recordings beside the checkout");
                Ok(())
            }
        }
    })
}

struct Bench<'b> {
    etl: &'b Path,
    cluster: &'b Cluster,
}

impl Bench<'_> {
    fn fresh_database(&self, name: &str) -> Result<String> {
        let mut admin = PgConnection::establish(&self.cluster.url("postgres"))?;
        sql_query(format!("drop database if exists {name}")).execute(&mut admin)?;
        sql_query(format!("create database {name}")).execute(&mut admin)?;
        let url = self.cluster.url(name);
        run(Command::new(self.etl).arg("migrate").env("DATABASE_URL", &url))?;
        Ok(url)
    }

    fn load(&self, database: &str, simulator: &Simulator, listings: &str) -> Result<Measured> {
        run(Command::new(self.etl)
            .args(["run", "--sources", "coinpaprika,coingecko"])
            .env("DATABASE_URL", database)
            .env("LISTINGS_EVERY", listings)
            .env("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url())
            .env("COINGECKO_BASE_URL", simulator.coingecko_base_url()))
    }

    fn resolve(&self, database: &str) -> Result<Measured> {
        run(Command::new(self.etl).arg("resolve").env("DATABASE_URL", database))
    }

    /// The first resolution of two universes, one after every price has moved, and one with nothing new.
    fn times(&self) -> Result<()> {
        let simulator = Simulator::start(Universe::new(1).coins(COINS));
        let database = self.fresh_database("times")?;
        self.load(&database, &simulator, "24h")?;
        let mut connection = PgConnection::establish(&database)?;
        // As before the first resolution; what it was decided from stays.
        sql_query("truncate asset_links, asset_reviews, coin_states, assets cascade")
            .execute(&mut connection)?;
        let forget = "update etl_checkpoints set cursor = '{}' where source = 'assets'";
        sql_query(forget).execute(&mut connection)?;
        let first = self.resolve(&database)?;
        sql_query(forget).execute(&mut connection)?;
        let again = self.resolve(&database)?;
        let unchanged = self.resolve(&database)?;
        for _ in 0..FURTHER_RUNS {
            self.load(&database, &simulator, "24h")?;
        }
        sql_query(forget).execute(&mut connection)?;
        let later = self.resolve(&database)?;
        let line = |what: &str, measured: Measured, reach: &str| {
            println!("{what:46} {:9.3} s   {:7.1} MiB (reach: {reach})", measured.seconds, measured.peak_mib);
        };
        line("first resolution of 2 x 20,000 coins", first, "<= 5 s");
        line("the same decided again, no link changes", again, "<= 5 s");
        line("resolution with nothing new", unchanged, "<= 0.5 s");
        line("decided again after ten times the observations", later, "memory as before");
        Ok(())
    }

    fn quality(&self, recorded: &Path) -> Result<()> {
        let lists = RecordedLists::read(recorded)?;
        for (contracts, said) in [
            (Contracts::None, "without contracts (reach: precision and recall 99.5 % and 80 %)"),
            (
                Contracts::Recorded,
                "with the contracts that were recorded, of one chain in 2021 (reach: 99.9 % and 92 %)",
            ),
            (
                Contracts::Complete,
                "with the contracts of the known pairs besides, as CoinGecko lists them (reach: 99.9 % and 92 %)",
            ),
        ] {
            let simulator = lists.play(recorded, contracts)?;
            let database = self.fresh_database("quality")?;
            self.load(&database, &simulator, if contracts == Contracts::None { "off" } else { "24h" })?;
            let mut connection = PgConnection::establish(&database)?;
            let outcome = Outcome::read(&mut connection)?;
            println!("{said}");
            let with_contracts = lists.with_contracts(recorded, contracts)?;
            Judge { lists: &lists, with_contracts }.judge(&outcome);
        }
        Ok(())
    }
}

/// What the program decided beside what is known.
struct Judge<'l> {
    lists: &'l RecordedLists,
    /// The pairs whose coins share an address of what both vendors list.
    with_contracts: BTreeSet<String>,
}

/// Pairs that the map has wrong: it joined them by the address of a bridged form. The vendors' own pages say which coin the
/// id is.
const WRONG_IN_THE_MAP: [&str; 1] = ["sei-sei"];

impl Judge<'_> {
    fn judge(&self, outcome: &Outcome) {
        let all: Vec<&String> = self.lists.truth.keys().collect();
        self.score("all known pairs", &all, outcome);
        // Half of the pairs was never looked at while the rules were made.
        let held_out = |id: &&&String| Sha256::digest(format!("held out {id}"))[0].is_multiple_of(2);
        self.score(
            "the half that was held out",
            &all.iter().filter(held_out).copied().collect::<Vec<_>>(),
            outcome,
        );
        let right: Vec<&String> =
            all.iter().filter(|id| !WRONG_IN_THE_MAP.contains(&id.as_str())).copied().collect();
        self.score("without what the map has wrong", &right, outcome);
        if !self.with_contracts.is_empty() {
            self.score("with a contract at both", &self.with_contracts.iter().collect::<Vec<_>>(), outcome);
        }
        self.rank(outcome);
        let mut wrong = Vec::new();
        let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (id, right) in &self.lists.truth {
            match outcome.linked.get(id) {
                Some((other, _)) if other == right => {}
                Some((other, rule)) => {
                    let map = WRONG_IN_THE_MAP.contains(&id.as_str());
                    let why = if map { "; the map joined it by the address of a bridged form" } else { "" };
                    wrong.push(format!("  wrong: {id} -> {other} (known: {right}): {rule}{why}"));
                }
                None => {
                    let open = outcome.reviews.get(id).map_or("", String::as_str);
                    let known = REASONS.iter().find(|(name, _)| *name == open);
                    missing
                        .entry(known.map_or(NOTHING, |(_, reason)| reason))
                        .or_default()
                        .push(format!("{id} -> {right}"));
                }
            }
        }
        println!("  {} links in all", outcome.linked.len());
        let known: BTreeMap<&String, &String> =
            self.lists.truth.iter().map(|(one, other)| (other, one)).collect();
        for (id, (other, rule)) in &outcome.linked {
            // The map is about one id of each; the vendor may list the coin twice.
            if let Some(one) = known.get(other).filter(|_| !self.lists.truth.contains_key(id)) {
                println!("  in the place of {one}: {id} -> {other}: {rule}");
            }
        }
        for line in wrong {
            println!("{line}");
        }
        for (reason, pairs) in missing {
            println!("  missing, {} because {reason}: {}", pairs.len(), pairs.join(", "));
        }
    }

    /// How many of the first hundred have both vendors, and which have not.
    fn rank(&self, outcome: &Outcome) {
        let first = self.lists.first_hundred();
        let alone: Vec<&str> = first.iter().copied().filter(|id| !outcome.linked.contains_key(*id)).collect();
        println!(
            "  {} of the first {} coins have both vendors; {}",
            first.len() - alone.len(),
            first.len(),
            match &alone[..] {
                [] => "none is alone".to_owned(),
                alone => format!("alone: {}", alone.join(", ")),
            }
        );
    }

    fn score(&self, what: &str, ids: &[&String], outcome: &Outcome) {
        let linked: Vec<(&String, &String)> =
            ids.iter().filter_map(|id| Some((*id, &outcome.linked.get(*id)?.0))).collect();
        let right = linked.iter().filter(|(id, other)| self.lists.truth.get(*id) == Some(*other)).count();
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        println!(
            "  {what:30} {:5} pairs: precision {:6.2} %, recall {:6.2} %",
            ids.len(),
            percent(right, linked.len()),
            percent(right, ids.len())
        );
    }
}

/// What the program decided.
struct Outcome {
    /// CoinPaprika's id, and CoinGecko's with the rule.
    linked: BTreeMap<String, (String, String)>,
    /// Why a coin of CoinPaprika is open.
    reviews: BTreeMap<String, String>,
}

impl Outcome {
    fn read(connection: &mut PgConnection) -> Result<Self> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            coinpaprika: String,
            #[diesel(sql_type = Nullable<Text>)]
            coingecko: Option<String>,
            #[diesel(sql_type = Nullable<Text>)]
            rule: Option<String>,
            #[diesel(sql_type = Nullable<Text>)]
            reason: Option<String>,
        }
        let rows: Vec<Row> = sql_query(
            "select c.crypto_id as coinpaprika, g.crypto_id as coingecko, r.reason, \
                    concat_ws(' ', k.method, k.evidence->>'rule') as rule \
               from coins c join data_sources s on s.source_id = c.source_id and s.name = 'coinpaprika' \
               join asset_links k on k.coin_id = c.coin_id and k.ended_at is null \
               left join (asset_links o join coins g using (coin_id) join data_sources t on t.source_id = g.source_id and t.name = 'coingecko') \
                 on o.asset_id = k.asset_id and o.ended_at is null \
               left join asset_reviews r on r.coin_id = c.coin_id",
        )
        .load(connection)?;
        let (mut linked, mut reviews) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            if let Some(other) = row.coingecko {
                linked.insert(row.coinpaprika, (other, row.rule.unwrap_or_default()));
            } else if let Some(reason) = row.reason {
                reviews.insert(row.coinpaprika, reason);
            }
        }
        Ok(Self { linked, reviews })
    }
}
