//! Files that are the same, grow, are touched, or are replaced.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::slice;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;

/// A file whose modification time is under control and never repeats.
struct Fixture {
    _dir: TempDir,
    path: PathBuf,
    changes: std::cell::Cell<u64>,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let fixture = Self { path: dir.path().join("prices.csv"), _dir: dir, changes: 0.into() };
        fixture.write(text);
        fixture
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
        self.touch();
    }

    fn append(&self, text: &str) {
        OpenOptions::new().append(true).open(&self.path).unwrap().write_all(text.as_bytes()).unwrap();
        self.touch();
    }

    /// Long ago, so that no file is taken for one that is being written.
    fn touch(&self) {
        self.changes.set(self.changes.get() + 1);
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + self.changes.get());
        File::options().write(true).open(&self.path).unwrap().set_modified(modified).unwrap();
    }
}

fn bytes_of(run: &Run) -> Vec<Vec<u8>> {
    run.batches.iter().map(|batch| batch.bytes.clone()).collect()
}

fn range(batch: &RawBatch) -> ((u64, u64), (u64, u64)) {
    match &batch.provenance {
        Provenance::File { lines, bytes, .. } => (*lines, *bytes),
        Provenance::Http { .. } => panic!("not a file"),
    }
}

const HEADER: &str = "id,name,price_usd\n";

#[test]
fn a_file_is_read_once() {
    let file = Fixture::new("id,name,price_usd\na,A,1\nb,B,2\nc,C,3\n");
    let first = extract_at(NOW, &file.path, &[], 2);
    assert_eq!(bytes_of(&first), [&b"id,name,price_usd\na,A,1\nb,B,2\n"[..], b"c,C,3\n"]);
    assert_eq!(range(&first.batches[0]), ((1, 3), (0, 30)));
    assert_eq!(range(&first.batches[1]), ((4, 4), (30, 36)));
    let last = state_of(&first.batches[1]);
    assert_eq!((last.generation, last.size_bytes, last.read_bytes, last.read_lines), (1, 36, 36, 4));
    assert_eq!(last.prefix_hash, blake3::hash(&fs::read(&file.path).unwrap()).as_bytes().to_vec());
    assert_eq!(last.path, file.path.to_str().unwrap());
    assert_eq!(first.batches[1].cursor, serde_json::json!({ "file": last.path, "line": 4, "byte": 36 }));

    let second = extract(&file.path, &first.states(&[]));
    assert!(second.batches.is_empty() && second.looked.is_empty() && second.failure.is_none());
}

#[test]
fn rows_without_times_have_the_time_of_the_first_reading() {
    let file = Fixture::new("id,price\na,1\n");
    let first = extract_at("2026-03-01T12:00:00.123456789Z", &file.path, &[], 10);
    let as_of = state_of(&first.batches[0]).as_of;
    assert_eq!(first.batches[0].fetched_at, as_of);
    assert!(
        as_of >= at("2026-03-01T12:00:00.123456Z") && as_of.timestamp_subsec_nanos().is_multiple_of(1000)
    );
    file.append("b,2\n");
    let second = extract_at("2026-03-02T12:00:00Z", &file.path, &first.states(&[]), 10);
    assert_eq!((second.batches[0].fetched_at, state_of(&second.batches[0]).as_of), (as_of, as_of));
    file.write("id,price\na,3\n");
    let third = extract_at("2026-03-03T12:00:00Z", &file.path, &second.states(&[]), 10);
    assert!(third.batches[0].fetched_at >= at("2026-03-03T12:00:00Z"));
    assert_eq!(state_of(&third.batches[0]).generation, 2);
}

#[test]
fn a_declared_time_is_taken() {
    let file = Fixture::new("id,price\na,1\n");
    let clock = Clock { database_time: at(NOW), read_at: Instant::now() };
    let as_of = Some(at("2024-01-01T00:00:00Z"));
    let plan = Plan { batch_size: 10, as_of, map: Arc::default(), clock, cancel: Cancel::default() };
    let run = collect(Extractor::new(slice::from_ref(&file.path), &[], plan));
    assert_eq!(Some(run.batches[0].fetched_at), as_of);
}

#[test]
fn only_what_was_appended_is_read() {
    let file = Fixture::new("id,name,price_usd\na,A,1\n");
    let first = extract(&file.path, &[]);
    file.append("b,B,2\n");
    let second = extract(&file.path, &first.states(&[]));
    assert_eq!(bytes_of(&second), [b"b,B,2\n"]);
    assert_eq!(range(&second.batches[0]), ((3, 3), (24, 30)));
    assert_eq!((second.ids(), second.records()[0].position), (vec!["b".to_owned()], 0));
    let whole = blake3::hash(&fs::read(&file.path).unwrap()).as_bytes().to_vec();
    assert_eq!(state_of(&second.batches[0]).prefix_hash, whole);
}

#[test]
fn a_touched_file_is_looked_at_and_not_loaded() {
    let file = Fixture::new("id,price\na,1\n");
    let first = extract(&file.path, &[]);
    file.touch();
    let second = extract(&file.path, &first.states(&[]));
    assert!(second.batches.is_empty());
    let (before, after) = (state_of(&first.batches[0]), &second.looked[0]);
    assert_ne!(before.modified_ns, after.modified_ns);
    assert_eq!((before.generation, before.read_bytes), (after.generation, after.read_bytes));
    let third = extract(&file.path, &second.states(&first.states(&[])));
    assert!(third.batches.is_empty() && third.looked.is_empty());
}

#[test]
fn a_replaced_or_shrunk_file_is_read_from_its_beginning() {
    for other in ["id,price\nx,9\ny,8\n", "id,price\n"] {
        let file = Fixture::new("id,price\na,1\nb,2\n");
        let first = extract(&file.path, &[]);
        file.write(&format!("{other}c,3\n"));
        let second = extract(&file.path, &first.states(&[]));
        assert_eq!(state_of(&second.batches[0]).generation, 2);
        assert_eq!(range(&second.batches[0]).1.0, 0);
        assert_eq!(second.ids().last().unwrap(), "c");
    }
}

#[test]
fn a_file_that_is_moved_over_another_continues_it_if_it_begins_with_it() {
    let file = Fixture::new("id,price\na,1\n");
    let first = extract(&file.path, &[]);
    let other = file.path.with_extension("new");
    fs::write(&other, "id,price\na,1\nb,2\n").unwrap();
    fs::rename(other, &file.path).unwrap();
    let second = extract(&file.path, &first.states(&[]));
    assert_eq!((second.ids(), state_of(&second.batches[0]).generation), (vec!["b".to_owned()], 1));
}

#[test]
fn a_killed_run_is_continued_after_its_last_batch() {
    let file = Fixture::new("id,price\na,1\nb,2\nc,3\n");
    let first = extract_at(NOW, &file.path, &[], 1);
    let committed = vec![state_of(&first.batches[0]).clone()];
    let second = extract(&file.path, &committed);
    assert_eq!(second.ids(), ["b", "c"]);
    assert_eq!(second.states(&committed), first.states(&[]));
}

#[test]
fn a_last_line_without_an_end_is_loaded_and_read_again_when_it_has_grown() {
    let file = Fixture::new("id,name,price_usd\na,A,1\nb,B,2");
    let first = extract(&file.path, &[]);
    assert_eq!(first.ids(), ["a", "b"]);
    assert_eq!(range(&first.batches[0]), ((1, 3), (0, 29)));
    let state = state_of(&first.batches[0]);
    assert_eq!((state.size_bytes, state.read_bytes, state.read_lines), (29, 24, 2));
    assert!(extract(&file.path, &first.states(&[])).batches.is_empty());

    file.append("5\nc,C,3\n");
    let second = extract(&file.path, &first.states(&[]));
    assert_eq!(bytes_of(&second), [b"b,B,25\nc,C,3\n"]);
    assert_eq!(second.records()[0].values.price_usd.as_ref().unwrap().as_str(), "25");
}

#[test]
fn an_unfinished_key_is_left_until_a_growing_file_is_at_rest() {
    let file = Fixture::new("price,id\n1,a\n");
    let young = "2020-09-13T12:26:50Z";
    let first = extract_at(young, &file.path, &[], 10);
    assert_eq!(first.ids(), ["a"]);
    file.append("2,bit");
    let nothing = extract_at(young, &file.path, &first.states(&[]), 10);
    assert!(nothing.batches.is_empty() && nothing.looked.is_empty());
    let at_rest = extract(&file.path, &first.states(&[]));
    assert_eq!(at_rest.ids(), ["bit"]);
    assert!(extract(&file.path, &at_rest.states(&[])).batches.is_empty());
    file.append("coin\n");
    assert_eq!(extract(&file.path, &first.states(&[])).ids(), ["bitcoin"]);
}

#[test]
fn a_header_alone_is_nothing_yet() {
    for header in [HEADER, "id,name,price_usd", "id,name,price_usd\n\n,,\n"] {
        let file = Fixture::new(header);
        let first = extract_at("2026-01-01T00:00:00Z", &file.path, &[], 10);
        assert!(first.batches.is_empty() && first.failure.is_none(), "{header:?}");
        let state = &first.looked[0];
        assert_eq!((state.read_bytes, state.generation), (0, 1));
        assert_eq!(state.prefix_hash, blake3::hash(b"").as_bytes().to_vec());
        assert!(extract(&file.path, &first.states(&[])).looked.is_empty());

        file.append("\na,A,1\n");
        let second = extract(&file.path, &first.states(&[]));
        assert_eq!((second.ids(), state_of(&second.batches[0]).generation), (vec!["a".to_owned()], 1));
        assert!(
            state_of(&second.batches[0]).as_of >= at(NOW),
            "the time of the first rows, not of the header"
        );
    }
}

#[test]
fn blank_lines_at_the_end_are_no_records() {
    let file = Fixture::new("id,price\r\na,1\r");
    let first = extract(&file.path, &[]);
    assert_eq!(first.ids(), ["a"]);
    file.append("\n\r\n");
    let second = extract(&file.path, &first.states(&[]));
    assert!(second.batches.is_empty());
    assert_eq!((second.looked[0].read_bytes, second.looked[0].size_bytes), (17, 17));
}

#[test]
fn the_same_layout_holds_for_every_line_end() {
    let reference = extract(&Fixture::new("id,price\na,1\nb,2\n").path, &[]).records();
    for end in ["\r\n", "\r\r\n", "\r"] {
        let text = "id,price\na,1\nb,2\n".replace('\n', end);
        let file = Fixture::new(&text);
        let run = extract_at(NOW, &file.path, &[], 1);
        let plain = |records: Vec<MarketRecord>| {
            records.into_iter().map(|record| (record.crypto_id, record.values)).collect::<Vec<_>>()
        };
        assert_eq!(plain(run.records()), plain(reference.clone()), "{end:?}");
        assert_eq!(state_of(&run.batches[1]).read_lines, 3);
    }
}

#[test]
fn a_writer_at_work_loses_nothing() {
    let file = Fixture::new("id,price\na,1\n");
    let clock = Clock { database_time: at(NOW), read_at: Instant::now() };
    let plan = Plan { batch_size: 1, as_of: None, map: Arc::default(), clock, cancel: Cancel::default() };
    let (paths, mut run) = ([file.path.clone()], Run::default());
    file.append("b,2\nc,3");
    let mut extractor = Extractor::new(&paths, &[], plan);
    let Some(Ok(Extracted::Batch(batch))) = extractor.next() else { panic!("no batch") };
    run.batches.push(batch);
    file.append("3\nd,4\n");
    let rest = collect(extractor);
    run.batches.extend(rest.batches);
    assert_eq!(run.ids(), ["a", "b"], "the line that is being written is left");
    let next = extract(&file.path, &run.states(&[]));
    assert_eq!(next.ids(), ["c", "d"]);
    assert_eq!(next.records()[0].values.price_usd.as_ref().unwrap().as_str(), "33");
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_an_error_and_read_anew() {
    // Longer than one block, so that the end is not in memory yet.
    let rows: String = (0..100_000).map(|n| format!("coin-{n},{n}\n")).collect();
    let file = Fixture::new(&format!("id,price\n{rows}"));
    let clock = Clock { database_time: at(NOW), read_at: Instant::now() };
    let plan = Plan { batch_size: 10, as_of: None, map: Arc::default(), clock, cancel: Cancel::default() };
    let paths = [file.path.clone()];
    let mut extractor = Extractor::new(&paths, &[], plan);
    assert!(matches!(extractor.next(), Some(Ok(Extracted::Batch(_)))));
    File::options().write(true).open(&file.path).unwrap().set_len(300_000).unwrap();
    let failure = collect(extractor).failure.unwrap();
    assert_eq!(failure.kind, crate::failure::FailureKind::Io);
    assert!(failure.message.contains("shorter"), "{}", failure.message);
}

#[test]
fn a_run_that_is_asked_to_end_stops_between_batches() {
    let file = Fixture::new("id,price\na,1\nb,2\n");
    let cancel = Cancel::default();
    let clock = Clock { database_time: at(NOW), read_at: Instant::now() };
    let plan = Plan { batch_size: 1, as_of: None, map: Arc::default(), clock, cancel: cancel.clone() };
    let paths = [file.path.clone()];
    let mut extractor = Extractor::new(&paths, &[], plan);
    assert!(matches!(extractor.next(), Some(Ok(_))));
    cancel.set(15);
    let failure = extractor.next().unwrap().err().unwrap();
    assert_eq!(failure.kind, crate::failure::FailureKind::Cancelled);
    assert!(extractor.next().is_none());
}

#[test]
fn positions_count_the_records_of_a_batch() {
    let file = Fixture::new("id,price\n,,\na,1\nb\nc,x\n\nd,4\ne,5\n");
    let run = extract(&file.path, &[]);
    let positions: Vec<_> = run.records().iter().map(|record| record.position).collect();
    assert_eq!(positions, [0, 3, 4]);
    let rejects = run.rejects();
    assert_eq!((rejects[0].position, &rejects[0].raw[..], rejects[0].field.as_deref()), (1, &b"b"[..], None));
    assert_eq!(
        (rejects[1].position, &rejects[1].raw[..], rejects[1].field.as_deref()),
        (2, &b"c,x"[..], Some("price"))
    );
}

#[test]
fn histories_without_times_are_refused_before_anything_is_loaded() {
    let rows: String = (0..20).map(|n| format!("bitcoin,{n}\nethereum,{n}\n")).collect();
    let file = Fixture::new(&format!("slug,close\n{rows}"));
    let run = extract(&file.path, &[]);
    assert!(run.batches.is_empty());
    assert!(run.failure.unwrap().message.contains("no column says when"));
    let few = Fixture::new("slug,close\na,1\nb,2\na,3\n");
    assert_eq!(extract(&few.path, &[]).ids(), ["a", "b", "a"]);
}
