//! Files that are packed, in another encoding, or need a CSV map.

use std::fs::{self, File};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::failure::FailureKind;

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A file of these bytes, read with a map.
fn read_with(map: &str, name: &str, bytes: &[u8]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    extract_with(map, &path, &[])
}

fn extract_with(map: &str, path: &Path, known: &[FileState]) -> Run {
    let clock = Clock { database_time: at(NOW), read_at: Instant::now() };
    let map = Arc::new(map.parse().unwrap());
    let plan = Plan { batch_size: 1000, as_of: None, map, clock, cancel: Cancel::default() };
    collect(Extractor::new(&[path.to_owned()], known, plan))
}

fn prices(run: &Run) -> Vec<String> {
    let price = |record: &MarketRecord| record.values.price_usd.as_ref().map(ToString::to_string);
    run.records().iter().map(|record| price(record).unwrap_or_default()).collect()
}

fn times(run: &Run) -> Vec<String> {
    run.records().iter().map(|record| record.observed_at.unwrap().to_rfc3339()).collect()
}

fn refusal(run: &Run) -> &str {
    let failure = run.failure.as_ref().unwrap();
    assert_eq!((failure.kind, run.batches.len()), (FailureKind::Refused, 0));
    &failure.message
}

const TEXT: &[u8] = b"id,price,date\nbitcoin,1.50,2021-07-06\nether,2,2021-07-06\n";

#[test]
fn a_packed_file_is_read_as_its_text() {
    let run = read_with("", "prices.csv.gz", &packed(TEXT));
    assert_eq!(
        (run.ids(), prices(&run)),
        (vec!["bitcoin".into(), "ether".into()], vec!["1.50".into(), "2".into()])
    );
    assert_eq!(run.batches[0].bytes, TEXT);
    assert_eq!(state_of(&run.batches[0]).read_bytes as usize, TEXT.len());
}

#[test]
fn a_packed_file_that_grows_gives_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prices.csv.gz");
    fs::write(&path, packed(TEXT)).unwrap();
    let first = extract_with("", &path, &[]).states(&[]);
    assert!(extract_with("", &path, &first).batches.is_empty(), "it is not read again");

    // Another member behind the first one.
    File::options().append(true).open(&path).unwrap().write_all(&packed(b"tether,1,2021-07-06\n")).unwrap();
    let grown = extract_with("", &path, &first);
    assert_eq!(grown.ids(), ["tether"]);
    let second = grown.states(&first);

    // The same text, packed as one and otherwise.
    let all = [TEXT, b"tether,1,2021-07-06\n"].concat();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&all).unwrap();
    fs::write(&path, encoder.finish().unwrap()).unwrap();
    let again = extract_with("", &path, &second);
    assert_eq!((again.batches.len(), again.looked.len()), (0, 1));

    fs::write(&path, packed(b"id,price,date\nother,9,2021-07-06\n")).unwrap();
    let replaced = extract_with("", &path, &again.states(&second));
    assert_eq!(replaced.ids(), ["other"]);
    assert_eq!(state_of(&replaced.batches[0]).generation, 2);
}

#[test]
fn a_packed_file_that_is_cut_anywhere_gives_nothing() {
    let whole = packed(TEXT);
    for length in 2..whole.len() {
        let run = read_with("", "prices.csv.gz", &whole[..length]);
        let said = refusal(&run);
        assert!(
            said.contains("prices.csv.gz") && said.contains("middle of its compressed data"),
            "{length}: {said}"
        );
    }
    let mut damaged = whole.clone();
    let crc = damaged.len() - 6;
    damaged[crc] ^= 1;
    assert!(refusal(&read_with("", "prices.csv.gz", &damaged)).contains("damaged"));
}

#[test]
fn a_bomb_is_refused() {
    let bomb = packed(&[TEXT, &vec![b'\n'; 100 << 20]].concat());
    assert!(refusal(&read_with("", "prices.csv.gz", &bomb)).contains("times its size"));
}

#[test]
fn utf_16_says_so_itself_and_other_encodings_are_declared() {
    let text = "id,name,price\nz,Zürich €,1\n";
    let little: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let big: Vec<u8> =
        [0xFE, 0xFF].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    for bytes in [little.clone(), big, packed(&little)] {
        let run = read_with("", "x.csv", &bytes);
        assert_eq!(run.records()[0].crypto_name.as_deref(), Some("Zürich €"));
    }
    let windows = b"id,name,price\nz,Z\xFCrich \x80,1\n";
    assert_eq!(read_with("", "x.csv", windows).rejects().len(), 1);
    let run = read_with("[[file]]\nencoding = \"windows-1252\"\n", "x.csv", windows);
    assert_eq!(run.records()[0].crypto_name.as_deref(), Some("Zürich €"));
    assert_eq!(run.batches[0].bytes, text.as_bytes());
}

#[test]
fn a_decimal_comma_is_declared() {
    let text = "id;price;market cap;24h %\nbitcoin;US$26.247,60;1.057.030;1,5\nshib;0,00161381;2;-0,1\n";
    let said = read_with("", "x.csv", text.as_bytes());
    assert!(refusal(&said).contains("decimal = \",\""));
    let run = read_with("[[file]]\ndecimal = \",\"\n", "x.csv", text.as_bytes());
    assert_eq!(prices(&run), ["26247.60", "0.00161381"]);
    let values = &run.records()[0].values;
    assert_eq!(values.market_cap_usd.as_ref().unwrap().as_str(), "1057030");
    assert_eq!(values.change_24h_percent.as_ref().unwrap().as_str(), "1.5");
    assert_eq!(run.rejects(), []);
}

#[test]
fn a_file_about_one_coin_is_declared() {
    let text = "Date,Open,High,Low,Close,Adj Close,Volume\n2021-07-06,1,2,0.5,1.25,1.25,100\n2021-07-07,1,2,1,1.75,1.75,200\n";
    assert!(refusal(&read_with("", "BTC-USD.csv", text.as_bytes())).contains("[file.coin] id"));
    let map = "[[file]]\npath = \"BTC-*.csv\"\n[file.coin]\nid = \"bitcoin\"\nname = \"Bitcoin\"\nsymbol = \"BTC\"\n";
    let run = read_with(map, "BTC-USD.csv", text.as_bytes());
    assert_eq!(
        (run.ids(), prices(&run)),
        (vec!["bitcoin".to_owned(); 2], vec!["1.25".into(), "1.75".into()])
    );
    let record = run.records().remove(0);
    assert_eq!((record.crypto_name.as_deref(), record.symbol.as_deref()), (Some("Bitcoin"), Some("BTC")));
    // The map is for other files.
    assert!(read_with(map, "ETH-USD.csv", text.as_bytes()).failure.is_some());
    let named = "[[file]]\n[file.coin]\nname = \"Bitcoin\"\nsymbol = \"BTC\"\n";
    assert_eq!(read_with(named, "x.csv", text.as_bytes()).ids()[0], "btc-bitcoin");
}

#[test]
fn times_are_declared() {
    let text = "id,price,date\na,1,03/04/2018 10:00\n";
    assert!(refusal(&read_with("", "x.csv", text.as_bytes())).contains("time_format"));
    let map = "[[file]]\ntime_format = \"%d/%m/%Y %H:%M\"\ntime_offset = \"+02:00\"\n";
    assert_eq!(times(&read_with(map, "x.csv", text.as_bytes())), ["2018-04-03T08:00:00+00:00"]);
    let wrong = "[[file]]\ntime_format = \"%d-%m-%Y\"\n";
    assert!(refusal(&read_with(wrong, "x.csv", text.as_bytes())).contains("03/04/2018 10:00"));
    let micros = "[[file]]\ntime_format = \"epoch_micros\"\n[file.columns]\ntime = \"when\"\n";
    let run = read_with(micros, "x.csv", b"id,price,when\na,1,1640563200000000\n");
    assert_eq!(times(&run), ["2021-12-27T00:00:00+00:00"]);
}

#[test]
fn columns_are_declared_by_their_headers() {
    let text = b"coin;what it costs;vol;date\na;1;5%;2021-07-06\n";
    let map =
        "[[file]]\ndelimiter = \";\"\n[file.columns]\nprice_usd = \"what it costs\"\nvolume_24h_usd = \"\"\n";
    let run = read_with(map, "x.csv", text);
    assert_eq!((run.ids(), prices(&run)), (vec!["a".to_owned()], vec!["1".to_owned()]));
    let typo = "[[file]]\n[file.columns]\nprice_usd = \"what is costs\"\n";
    let said = read_with(typo, "x.csv", text);
    assert!(
        refusal(&said).contains("what is costs") && refusal(&said).contains("what it costs"),
        "{}",
        refusal(&said)
    );
}

#[test]
fn a_change_is_declared_to_be_a_fraction() {
    let text = b"id,price,24h\na,1,0.022\nb,1,-1.5e-3\n";
    assert!(read_with("", "x.csv", text).records()[0].values.change_24h_percent.is_none());
    let changes = |unit: &str| -> Vec<String> {
        let run = read_with(&format!("[[file]]\nchange = \"{unit}\"\n"), "x.csv", text);
        run.records()
            .iter()
            .map(|record| record.values.change_24h_percent.as_ref().unwrap().to_string())
            .collect()
    };
    assert_eq!(changes("fraction"), ["2.2", "-0.15"]);
    assert_eq!(changes("percent"), ["0.022", "-0.0015"]);
}

#[test]
fn lines_above_the_header_are_left_out() {
    let title = "https://www.example.com/data\nid,price\na,1\n";
    assert_eq!(read_with("", "x.csv", title.as_bytes()).ids(), ["a"]);
    let report = "prices,of,today\n\nid,price\na,1\nb,2\n";
    assert!(read_with("", "x.csv", report.as_bytes()).failure.is_some());
    let run = read_with("[[file]]\nskip_lines = 1\n", "x.csv", report.as_bytes());
    assert!(run.failure.is_none(), "{:?}", run.failure);
    assert_eq!((run.ids(), run.rejects().len()), (vec!["a".into(), "b".into()], 0));
    let bare = "[[file]]\nheader = [\"id\", \"price\"]\n";
    assert_eq!(read_with(bare, "x.csv", b"a,1\nb,2\n").ids(), ["a", "b"]);
    assert_eq!(read_with(bare, "x.csv", b"a;1\nb;2\n").ids(), ["a", "b"]);
    assert!(refusal(&read_with(bare, "x.csv", b"a,1,2\n")).contains("names 2 columns"));
}
