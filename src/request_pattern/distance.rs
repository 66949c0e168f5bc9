//! How much two texts differ.

/// Texts are compared up to this length, because the comparison takes quadratic time.
const MAX_COMPARED: usize = 256;

/// The edit distance (Levenshtein) of two texts, divided by the length of the longer one. Case counts half.
pub(crate) fn distance(left: &str, right: &str) -> f64 {
    let [left, right] = [left, right].map(|text| text.chars().take(MAX_COMPARED).collect::<Vec<_>>());
    let longer = left.len().max(right.len());
    if longer == 0 {
        return 0.0;
    }
    let mut row: Vec<f64> = (0_u16..).map(f64::from).take(right.len() + 1).collect();
    for a in &left {
        let mut diagonal = row[0];
        row[0] += 1.0;
        for (column, b) in right.iter().enumerate() {
            let cost = match (a == b, a.eq_ignore_ascii_case(b)) {
                (true, _) => 0.0,
                (_, true) => 0.5,
                _ => 1.0,
            };
            let replaced = diagonal + cost;
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1.0).min(diagonal + 1.0);
        }
    }
    row[right.len()] / f64::from(u16::try_from(longer).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_edit_distance_relative_to_the_length() {
        for (left, right, expected) in [
            ("", "", 0.0),
            ("abc", "abc", 0.0),
            ("abcd", "abed", 0.25),
            ("abc", "", 1.0),
            ("ab", "abcd", 0.5),
            ("A", "a", 0.5),
        ] {
            assert_eq!((distance(left, right), distance(right, left)), (expected, expected), "{left} {right}");
        }
        assert!(distance(&"a".repeat(100_000), &"b".repeat(100_000)) <= 1.0);
    }
}
