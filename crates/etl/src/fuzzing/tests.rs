use std::fs;

use proptest::prelude::*;

use super::*;

/// Numbers and what is nearly one.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-+]?[0-9]{0,30}(\\.[0-9]{0,30})?([eE][-+]?[0-9]{1,4})?",
        "[-+]?0{0,400}[0-9]{0,20}\\.?0{0,400}[0-9]?",
        "[-+.eE0-9 ]{0,12}",
        Just("NaN".to_owned()),
        Just("Infinity".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
    ]
}

/// JSON values, valid and not, for a field.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => number(),
        2 => number().prop_map(|number| format!("\"{number}\"")),
        1 => Just("null".to_owned()),
        1 => "\"[^\"\\\\]{0,20}\"",
        1 => Just("{\"value\":1}".to_owned()),
        1 => Just("\"\\u0000\"".to_owned()),
        1 => Just("\"\\ud800\"".to_owned()),
    ]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        (1_200_000_000_i64..1_800_000_000).prop_map(|second| {
            format!("\"{}\"", DateTime::<Utc>::from_timestamp(second, 123_456_789).unwrap().to_rfc3339())
        }),
        value(),
    ]
}

fn ticker() -> impl Strategy<Value = String> {
    ("[a-z]{0,6}", value(), value(), value(), time()).prop_map(|(id, rank, supply, price, time)| {
        format!(
            r#"{{"id":"{id}","name":"N","symbol":{supply},"rank":{rank},"total_supply":{supply},"last_updated":{time},"quotes":{{"USD":{{"price":{price},"volume_24h":{rank}}}}}}}"#
        )
    })
}

fn market() -> impl Strategy<Value = String> {
    ("[a-z]{0,6}", value(), value(), value(), time()).prop_map(|(id, rank, supply, price, time)| {
        format!(
            r#"{{"id":"{id}","name":{supply},"market_cap_rank":{rank},"max_supply":{supply},"current_price":{price},"last_updated":{time}}}"#
        )
    })
}

/// A list, perhaps with some of its bytes changed.
fn body(element: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let list = proptest::collection::vec(element, 0..5).prop_map(|list| format!("[{}]", list.join(",")));
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (list, damage).prop_map(|(list, damage)| {
        let mut bytes = list.into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

#[test]
fn the_oracle_knows_numbers() {
    assert_eq!(canonical("-0.0120e3"), Some((true, "12".to_owned(), 0)));
    assert_eq!(canonical("1200"), Some((false, "12".to_owned(), 2)));
    assert_eq!(canonical("-0e9"), Some((false, String::new(), 0)));
    for none in ["", "-", ".", "1e", "1 ", "0x1", "1.2.3"] {
        assert_eq!(canonical(none), None, "{none}");
    }
}

/// A row as it is written, and as it is to be read.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    price: String,
    second: i64,
    quoted: bool,
}

fn row() -> impl Strategy<Value = Row> {
    let price = "(0|[1-9][0-9]{0,18})(\\.[0-9]{1,20})?";
    // The digits begin with a letter: an id that looks like a price or a date is another question.
    ("[a-z][a-z0-9-]{0,10}", price, 1_300_000_000_i64..1_760_000_000, any::<bool>())
        .prop_map(|(id, price, second, quoted)| Row { id, price, second, quoted })
}

impl Row {
    fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.second, 0).unwrap()
    }

    fn written(&self, end: &str) -> String {
        let time = self.time().format("%Y-%m-%dT%H:%M:%SZ");
        let Self { id, price, .. } = self;
        if self.quoted {
            format!("\"{id}\",\"{price}\",\"{time}\"{end}")
        } else {
            format!("{id},{price},{time}{end}")
        }
    }

    fn wanted(&self) -> String {
        format!("{}|{}|{}", self.id, self.price, self.time().to_rfc3339())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decimals_are_read_as_they_are_spelt(text in number()) {
        decimal(&text);
    }

    #[test]
    fn any_text_is_a_decimal_or_refused(text in ".{0,40}") {
        decimal(&text);
    }

    #[test]
    fn any_wish_to_be_left_alone_is_understood_or_left(
        value in prop_oneof![
            "[ -~]{0,40}",
            "[0-9]{1,30}",
            "(Mon|Sun), [0-9]{2} (Jan|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
            "[0-9]{1,9}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} [-+][0-9]{4}",
        ],
        raw in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        for name in ["retry-after", "x-ratelimit-reset"] {
            retry_after(name, value.as_bytes());
            retry_after(name, &raw);
        }
    }

    #[test]
    fn any_body_of_coinpaprika_is_read_as_it_was_sent(body in body(ticker())) {
        json_source("coinpaprika", &body);
    }

    #[test]
    fn any_body_of_coingecko_is_read_as_it_was_sent(body in body(market())) {
        json_source("coingecko", &body);
    }

    #[test]
    fn any_bytes_are_no_body(body in proptest::collection::vec(any::<u8>(), 0..60)) {
        json_source("coinpaprika", &body);
        json_source("coingecko", &body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_can_be_read_as_a_file(
        bytes in prop_oneof![
            "(id,price|id,price,date|id;name;price|symbol\tprice)(\r\n|\n|\r)([a-z0-9.,;\"\t \r\n-]{0,12}(\r\n|\n|\r)){0,12}"
                .prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..200),
        ],
    ) {
        let folder = tempfile::tempdir().unwrap();
        csv(&folder.path().join("any.csv"), &bytes);
    }

    #[test]
    fn any_state_of_a_file_leads_somewhere(
        rows in proptest::collection::vec(row(), 0..8),
        numbers in prop_oneof![
            proptest::array::uniform4(any::<i64>()),
            (any::<i8>(), 0_i64..300, 0_i64..300, 0_i64..9).prop_map(|(a, b, c, d)| [a.into(), b, c, d]),
        ],
    ) {
        let text: String = rows.iter().map(|row| row.written("\n")).collect();
        let folder = tempfile::tempdir().unwrap();
        csv_checkpoint(&folder.path().join("any.csv"), format!("id,price,date\n{text}").as_bytes(), numbers);
    }

    #[test]
    fn a_file_that_grows_is_read_to_the_last_digit(
        rows in proptest::collection::vec(row(), 1..30),
        end in prop_oneof![Just("\n"), Just("\r\n")],
        batch_size in 1_usize..9,
        grown in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.csv");
        let text: String = rows.iter().map(|row| row.written(end)).collect();
        let text = format!("id,price,date{end}{text}");
        // Whole lines: an unfinished one may read as another row, and is read again when it has grown.
        let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let mut sizes: Vec<usize> = grown.iter().map(|index| lines[index.index(lines.len())]).collect();
        sizes.push(text.len());
        sizes.sort_unstable();
        let (mut read, mut got) = (Read::default(), Vec::new());
        for size in sizes {
            fs::write(&path, &text[..size]).unwrap();
            let step = read_csv(&path, &read, batch_size);
            prop_assert_eq!((&step.failure, step.rejects), (&None, 0));
            got.extend(step.records.iter().cloned());
            read = step;
        }
        let want: Vec<String> = rows.iter().map(Row::wanted).collect();
        prop_assert_eq!(got, want);
    }
}
