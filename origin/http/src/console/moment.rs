//! Times as forms have them: what `<input type="datetime-local">` sends, taken as UTC, for pages know no other zone.

/// The Unix second of a date and a time of day, as `2026-11-22T08:15` or `2026-11-22T08:15:30`; none for anything else.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once(['T', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let time = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    let [hour, minute, second] = numbers(&time, ':')?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    if !is_time || !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let at = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    // A day that its month does not have comes out as another.
    (input(at).get(..10) == Some(date)).then_some(at)
}

/// A Unix second as such a form takes it.
pub(super) fn input(at: u64) -> String {
    let iso = crate::pages::when::when(at, at).iso;
    iso.trim_end_matches('Z').to_owned()
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() <= 4;
    let parts = text.split(separator).map(|part| part.parse().ok().filter(|_| plain(part)));
    parts.collect::<Option<Vec<u64>>>()?.try_into().ok()
}

/// Days since 1970 of a date in the Gregorian calendar, whose years are taken to begin in March, so that the day that only some years
/// have comes last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_shows_comes_back() {
        for at in [0, 951_782_399, 951_782_400, 951_868_800, 1_795_335_301, 4_107_542_400, 253_402_300_799] {
            assert_eq!(parse(&input(at)), Some(at), "{}", input(at));
        }
        assert_eq!(parse("2026-11-22T08:15"), Some(1_795_335_300));
        assert_eq!(parse(" 2026-11-22 08:15:01 "), Some(1_795_335_301));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T",
            "2026-02-29T00:00",
            "2026-13-01T00:00",
            "2026-11-31T00:00",
            "2026-11-22T24:00",
            "2026-11-22T08:15:60",
            "1969-12-31T23:59",
            "+026-11-22T08:15",
            "2026-11-22T08:15Z",
            "99999-01-01T00:00",
            "now",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
