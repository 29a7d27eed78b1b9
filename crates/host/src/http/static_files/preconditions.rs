//! What tells a file from what it was, and what clients ask of that: RFC 9110 section 13.

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue};
use httpdate::HttpDate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Before that nothing is known of when a file was changed: some systems give all of theirs the same time.
const EARLIEST: Duration = Duration::from_secs(2);

/// What dates tell apart.
const SETTLES: Duration = Duration::from_secs(1);

/// What tells a file from what it was. There is none of a file that does not say when it was changed.
pub(super) struct Validators {
    /// By time and size, as servers do. Taken as strong: whoever changes a file twice within the system's clock and keeps
    /// its size is not seen.
    pub etag: HeaderValue,
    /// Only once the file cannot change again within the second that it names, so that it is as strong as the tag (RFC 9110
    /// section 8.8.2.2).
    pub last_modified: Option<HeaderValue>,
    modified: HttpDate,
}

impl Validators {
    /// `variant` tells apart what holds the same in other bytes.
    pub fn new(modified: SystemTime, now: SystemTime, size: u64, variant: &str) -> Option<Self> {
        let since = modified.duration_since(UNIX_EPOCH).ok().filter(|since| *since >= EARLIEST)?;
        let dash = if variant.is_empty() { "" } else { "-" };
        let etag = format!("\"{:x}.{:x}-{size:x}{dash}{variant}\"", since.as_secs(), since.subsec_nanos());
        let is_settled = now.duration_since(modified).is_ok_and(|age| age >= SETTLES);
        // Beyond the year 9999 there are no dates.
        let modified = HttpDate::from(UNIX_EPOCH + since.min(Duration::from_secs(253_402_300_799)));
        Some(Validators {
            etag: HeaderValue::try_from(etag).ok()?,
            last_modified: HeaderValue::try_from(modified.to_string()).ok().filter(|_| is_settled),
            modified,
        })
    }

    /// Whether a part goes well with the parts that the client has. It says so itself, by the letter.
    pub fn fits(&self, if_range: &HeaderValue) -> bool {
        *if_range == self.etag || Some(if_range) == self.last_modified.as_ref()
    }

    fn is_one_of(&self, headers: &HeaderMap, name: &HeaderName, is_weak: bool) -> bool {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        // A comma within a tag is within none of ours.
        lines.flat_map(|line| line.split(',')).map(str::trim).any(|tag| {
            let tag = tag.strip_prefix("W/").filter(|_| is_weak).unwrap_or(tag);
            tag.as_bytes() == self.etag.as_bytes()
        })
    }
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    Serve,
    NotModified,
    Failed,
}

/// In the order of RFC 9110 section 13.2.2.
pub(super) fn check(headers: &HeaderMap, file: Option<&Validators>) -> Precondition {
    let is_any = |name| headers.get(name).is_some_and(|value| value == "*");
    let is_one_of = |name, is_weak| file.is_some_and(|file| file.is_one_of(headers, &name, is_weak));
    let since = |name| {
        let date = headers.get(name)?.to_str().ok()?.parse::<HttpDate>().ok()?;
        let file = file?;
        // One that may change again within its second has no date yet.
        file.last_modified.as_ref()?;
        Some(file.modified <= date)
    };
    if headers.contains_key(IF_MATCH) {
        if !is_any(IF_MATCH) && !is_one_of(IF_MATCH, false) {
            return Precondition::Failed;
        }
    } else if since(IF_UNMODIFIED_SINCE) == Some(false) {
        return Precondition::Failed;
    }
    let is_known = match headers.contains_key(IF_NONE_MATCH) {
        true => is_any(IF_NONE_MATCH) || is_one_of(IF_NONE_MATCH, true),
        false => since(IF_MODIFIED_SINCE) == Some(true),
    };
    if is_known { Precondition::NotModified } else { Precondition::Serve }
}

/// Whether a `range` counts.
pub(super) fn wants_range(headers: &HeaderMap, file: Option<&Validators>) -> bool {
    headers.get(IF_RANGE).is_none_or(|if_range| file.is_some_and(|file| file.fits(if_range)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precondition::{Failed, NotModified, Serve};

    /// Sun, 06 Nov 1994 08:49:37 GMT, and half a second; looked at so much later.
    fn file_after(age: Duration) -> Validators {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        Validators::new(modified, modified + age, 255, "br").unwrap()
    }

    fn file() -> Validators {
        file_after(SETTLES)
    }

    const TAG: &str = "\"2ebc98a1.1dcd6500-ff-br\"";
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(*value).unwrap())).collect()
    }

    #[test]
    fn a_file_is_told_by_time_and_size() {
        assert_eq!(
            (file().etag, file().last_modified),
            (HeaderValue::from_static(TAG), Some(HeaderValue::from_static(DATE)))
        );
        let now = SystemTime::now();
        let of =
            |seconds, size, variant| Validators::new(UNIX_EPOCH + Duration::from_secs(seconds), now, size, variant);
        let tags = [of(9, 1, ""), of(9, 1, "gz"), of(9, 2, ""), of(8, 1, "")].map(|of| of.unwrap().etag);
        assert!(tags.iter().enumerate().all(|(i, tag)| !tags[..i].contains(tag)), "{tags:?}");
        assert!(of(0, 1, "").is_none() && of(1, 1, "").is_none());
        assert!(Validators::new(UNIX_EPOCH - Duration::from_secs(9), now, 1, "").is_none());
        // What is not yet has a tag, and no date that it could be asked for by.
        assert!(of(1 << 40, 1, "").is_some_and(|of| of.last_modified.is_none()));
    }

    #[test]
    fn a_file_that_may_change_again_within_its_second_has_no_date() {
        for (age, verdict) in [(SETTLES, NotModified), (SETTLES / 2, Serve)] {
            let asked = headers(&[(IF_MODIFIED_SINCE, AFTER)]);
            assert_eq!(check(&asked, Some(&file_after(age))), verdict, "{age:?}");
        }
    }

    #[test]
    fn preconditions_go_in_their_order() {
        let weak = format!("W/{TAG}");
        let list = format!("\"x,y\", {TAG}");
        for (lines, verdict) in [
            (&[][..], Serve),
            (&[(IF_NONE_MATCH, TAG)], NotModified),
            (&[(IF_NONE_MATCH, &weak)], NotModified),
            (&[(IF_NONE_MATCH, &list)], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"other\"")], Serve),
            // The tag is better than the date.
            (&[(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, DATE)], Serve),
            (&[(IF_MODIFIED_SINCE, DATE)], NotModified),
            (&[(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Serve),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Serve),
            (&[(IF_MATCH, TAG)], Serve),
            (&[(IF_MATCH, &list)], Serve),
            (&[(IF_MATCH, "*")], Serve),
            (&[(IF_MATCH, &weak)], Failed),
            (&[(IF_MATCH, "\"other\"")], Failed),
            (&[(IF_MATCH, TAG), (IF_UNMODIFIED_SINCE, BEFORE)], Serve),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Serve),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Serve),
            (&[(IF_MATCH, TAG), (IF_NONE_MATCH, TAG)], NotModified),
        ] {
            assert_eq!(check(&headers(lines), Some(&file())), verdict, "{lines:?}");
        }
    }

    #[test]
    fn of_what_nothing_is_known_nothing_is_assumed() {
        let check = |name: HeaderName, value| check(&headers(&[(name, value)]), None);
        assert_eq!(check(IF_NONE_MATCH, TAG), Serve);
        assert_eq!(check(IF_NONE_MATCH, "*"), NotModified);
        assert_eq!(check(IF_MODIFIED_SINCE, AFTER), Serve);
        assert_eq!(check(IF_UNMODIFIED_SINCE, BEFORE), Serve);
        assert_eq!(check(IF_MATCH, TAG), Failed);
        assert_eq!(check(IF_MATCH, "*"), Serve);
    }

    #[test]
    fn a_part_has_to_fit_what_is_there() {
        let fits = |value: &str, file| wants_range(&headers(&[(IF_RANGE, value)]), file);
        let file = file();
        assert!(fits(TAG, Some(&file)) && fits(DATE, Some(&file)) && wants_range(&HeaderMap::new(), None));
        for other in ["\"other\"", &format!("W/{TAG}"), BEFORE, AFTER, ""] {
            assert!(!fits(other, Some(&file)), "{other}");
        }
        assert!(!fits(TAG, None));
        // It may change again within the second.
        let fresh = file_after(SETTLES - Duration::from_millis(1));
        assert!(fits(TAG, Some(&fresh)) && !fits(DATE, Some(&fresh)) && fresh.last_modified.is_none());
    }
}
