//! Suggestions for misspelled keys: the nearest of the keys that GCE has at a place.

use super::expect;
use crate::schema;

/// The candidate that a misspelled word most likely means, if one is near: one edit for short words, two for longer ones. Case does not
/// count. An edit inserts, removes or replaces a letter, or swaps two.
///
/// ```
/// use gce_metadata_routes::nearest;
///
/// assert_eq!(nearest("preemptd", ["preempted", "preemptible"]), Some("preempted"));
/// assert_eq!(nearest("colour", ["hostname"]), None);
/// ```
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // A long key is not a misspelled one, and the distance takes the product of both lengths.
    const LONGEST: usize = 64;
    let letters: Vec<char> = word.to_ascii_lowercase().chars().take(LONGEST + 1).collect();
    let allowed = match letters.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=LONGEST => 2,
        _ => return None,
    };
    let distances = candidates.into_iter().map(|candidate| (distance(&letters, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= allowed).min().map(|(_, candidate)| candidate)
}

/// The number of edits between two words (optimal string alignment).
fn distance(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.to_ascii_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    for (row, letter) in word.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in candidate.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut fewest = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *letter == candidate[column - 1] && word[row - 1] == *other {
                fewest = fewest.min(before[column - 1] + 1);
            }
            current.push(fewest);
        }
        before = std::mem::replace(&mut last, current);
    }
    last[candidate.len()]
}

/// The key of GCE's that a misspelled key in this directory most likely means, in its JSON spelling.
pub(crate) fn nearest_key(directory: &[&str], key: &str) -> Option<String> {
    let segments = expect::patterns().chain(schema::patterns()).filter_map(|pattern| {
        let (parent, segment) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let is_here = if parent.is_empty() { directory.is_empty() } else { schema::matches(parent, directory) };
        (is_here && !segment.starts_with('*')).then(|| schema::camel_case(segment))
    });
    let candidates: Vec<String> = segments.collect();
    nearest(&schema::camel_case(key), candidates.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_keys_have_a_suggestion_from_the_keys_at_their_place() {
        let instance = ["instance"];
        for (directory, key, expected) in [
            (&instance[..], "premepted", Some("preempted")),
            (&instance, "hostnam", Some("hostname")),
            (&instance, "network-interface", Some("networkInterfaces")),
            (&instance, "tag", Some("tags")),
            (&instance, "colour", None),
            (&instance, "ix", None),
            (&instance, "projectId", None),
            (&["project"], "projctId", Some("projectId")),
            (&[], "instanse", Some("instance")),
            (&["instance", "disks", "0"], "devicename2", Some("deviceName")),
            (&["instance", "scheduling"], "preemptable", Some("preemptible")),
        ] {
            assert_eq!(nearest_key(directory, key).as_deref(), expected, "{key}");
        }
        assert_eq!(nearest(&"preempted".repeat(1000), ["preempted"]), None);
    }
}
