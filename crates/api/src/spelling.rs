//! "Did you mean …?": the closest of a few known words.

/// The known word that the given one was probably meant to be.
pub(crate) fn closest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    // An edit distance is quadratic in the length: what is longer than any known word is no misspelling.
    if given.is_empty() || given.len() > 64 {
        return None;
    }
    let scored = known.iter().filter_map(|word| Some((distance_if_close(&given, word)?, *word)));
    scored.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// The number of edits, when it is small for the length; a beginning or an end of the word counts as one edit.
fn distance_if_close(given: &str, word: &str) -> Option<usize> {
    if given.len() >= 3 && (word.starts_with(given) || word.ends_with(given) || given.starts_with(word)) {
        return Some(1);
    }
    let distance = edit_distance(given, word);
    (distance <= word.len().min(given.len()) / 3 + 1).then_some(distance)
}

/// Levenshtein distance over characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_and_beginnings_are_recognised() {
        let sorts = ["created_at", "price_usd", "market_cap_usd"];
        for (given, meant) in [
            ("price", Some("price_usd")),
            ("PRICE_USD", Some("price_usd")),
            ("prise_usd", Some("price_usd")),
            ("market_cap", Some("market_cap_usd")),
            ("created", Some("created_at")),
            ("volume", None),
            ("", None),
        ] {
            assert_eq!(closest(given, &sorts), meant, "{given}");
        }
        assert_eq!(closest("descending", &["asc", "desc"]), Some("desc"));
        assert_eq!(closest("offest", &["limit", "offset"]), Some("offset"));
        assert_eq!(closest(&"x".repeat(1_000_000), &["limit"]), None);
    }
}
