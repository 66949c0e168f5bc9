//! Checks of `doctor`: this machine's clock agrees with the server's, and identity tokens are valid now.

use super::facts::Facts;
use super::finding::Finding;
use crate::cli::client::Client;
use std::time::{Duration, SystemTime};

/// Libraries accept tokens of a clock that differs by 10 s. The header `Date` has whole seconds.
const TOLERANCE: Duration = Duration::from_secs(10);

pub(super) fn fine(facts: &Facts) -> String {
    match facts.answers().is_some_and(|answers| answers.identity.is_some()) {
        true => "the clocks agree, and the identity token is valid".to_owned(),
        false => "the clocks agree; the server gives no identity token for the default account".to_owned(),
    }
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    let answers = facts.answers().filter(|answers| answers.has_flavor)?;
    let now = facts.machine.now;
    if let Some((seconds, direction)) = answers.date.and_then(|date| offset(now, date)) {
        let what = format!(
            "this machine's clock is {seconds} s {direction} the server's: tokens seem expired or not yet valid"
        );
        let finding = Finding::warning(what, Client::ALL).remedy("sudo timedatectl set-ntp true");
        return Some(vec![finding.or("set the clock of the server's machine")]);
    }
    let Some(token) = answers.identity else { return Some(Vec::new()) };
    let what = match () {
        () if token.expires <= now => "the server's identity token has expired",
        () if token.issued > now + TOLERANCE => "the server's identity token is issued in the future",
        () => return Some(Vec::new()),
    };
    let finding = Finding::warning(format!("{what}: services refuse it"), Client::ALL).remedy("unset GOOGLE_ID_TOKEN");
    Some(vec![finding.or("start the server with a valid token")])
}

/// By how many seconds a clock differs from another one, and in which direction.
fn offset(own: SystemTime, other: SystemTime) -> Option<(u64, &'static str)> {
    let (difference, direction) = match own.duration_since(other) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    (difference > TOLERANCE).then_some((difference.as_secs(), direction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::probe::{Answers, Lifetime};

    fn line(change: impl FnOnce(SystemTime, &mut Answers)) -> Option<String> {
        let mut facts = Facts::example(&[]);
        let mut answers = Answers::example(facts.machine.now);
        change(facts.machine.now, &mut answers);
        facts.server = Ok(answers);
        find(&facts).unwrap().first().map(|finding| finding.line("clock"))
    }

    #[test]
    fn a_clock_that_differs_by_more_than_ten_seconds_is_reported() {
        let seconds = Duration::from_secs;
        assert_eq!(line(|now, answers| answers.date = Some(now - seconds(10))), None);
        assert_eq!(line(|_, answers| answers.date = None), None);
        let ahead = line(|now, answers| answers.date = Some(now - seconds(60))).unwrap();
        assert!(ahead.starts_with("warning: this machine's clock is 60 s ahead of the server's: "), "{ahead}");
        let behind = line(|now, answers| answers.date = Some(now + seconds(60))).unwrap();
        assert!(behind.contains("60 s behind the server's"), "{behind}");
    }

    #[test]
    fn a_token_must_be_valid_now() {
        let lifetime =
            |issued, expires| move |_, answers: &mut Answers| answers.identity = Some(Lifetime { issued, expires });
        let now = Facts::example(&[]).machine.now;
        let hour = Duration::from_secs(3600);
        assert_eq!(line(lifetime(now - hour + TOLERANCE, now + TOLERANCE)), None);
        assert_eq!(line(lifetime(now + TOLERANCE, now + hour)), None);
        assert!(line(lifetime(now - hour, now)).unwrap().contains("has expired"));
        assert!(line(lifetime(now + hour, now + 2 * hour)).unwrap().contains("issued in the future"));
    }
}
