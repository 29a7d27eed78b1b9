//! Validators of files, and conditional requests: RFC 9110 section 13.

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue};
use httpdate::HttpDate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Earliest plausible modification time, after 1970. Some systems give all files the same time, at
/// the epoch.
const EARLIEST: Duration = Duration::from_secs(2);

/// Resolution of dates in HTTP.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);

/// Validators of a file. A file without a modification time has none.
pub(super) struct Validators {
    /// Made of modification time and size. Considered strong: two changes within the resolution of
    /// the system's clock that keep the size are not detected.
    pub etag: HeaderValue,
    /// Set once the file can no longer change within the second that it names, so that it is as
    /// strong as the tag (RFC 9110 section 8.8.2.2).
    pub last_modified: Option<HeaderValue>,
    modified: HttpDate,
}

impl Validators {
    /// Makes the validators. `variant` distinguishes the codings of the same content.
    pub fn new(modified: SystemTime, now: SystemTime, size: u64, variant: &str) -> Option<Self> {
        let since = modified.duration_since(UNIX_EPOCH).ok().filter(|since| *since >= EARLIEST)?;
        let dash = if variant.is_empty() { "" } else { "-" };
        let etag = format!("\"{:x}.{:x}-{size:x}{dash}{variant}\"", since.as_secs(), since.subsec_nanos());
        let is_settled = now.duration_since(modified).is_ok_and(|age| age >= DATE_RESOLUTION);
        // HTTP has no dates beyond the year 9999.
        let modified = HttpDate::from(UNIX_EPOCH + since.min(Duration::from_secs(253_402_300_799)));
        Some(Validators {
            etag: HeaderValue::try_from(etag).ok()?,
            last_modified: HeaderValue::try_from(modified.to_string()).ok().filter(|_| is_settled),
            modified,
        })
    }

    /// Tells whether `if-range` names this state of the file, compared byte by byte.
    pub fn matches_range(&self, if_range: &HeaderValue) -> bool {
        *if_range == self.etag || Some(if_range) == self.last_modified.as_ref()
    }

    fn matches_any(&self, headers: &HeaderMap, name: &HeaderName, is_weak: bool) -> bool {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        // A tag that contains a comma is split, and matches none of ours either way.
        lines.flat_map(|line| line.split(',')).map(str::trim).any(|tag| {
            let tag = tag.strip_prefix("W/").filter(|_| is_weak).unwrap_or(tag);
            tag.as_bytes() == self.etag.as_bytes()
        })
    }
}

/// Result of evaluating preconditions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// The file is sent.
    Passed,
    /// The client has this state of the file: 304.
    NotModified,
    /// A precondition failed: 412.
    Failed,
}

/// Evaluates the preconditions, in the order of RFC 9110 section 13.2.2.
pub(super) fn evaluate(headers: &HeaderMap, file: Option<&Validators>) -> Precondition {
    let is_any = |name| headers.get(name).is_some_and(|value| value == "*");
    let matches_any = |name, is_weak| file.is_some_and(|file| file.matches_any(headers, &name, is_weak));
    let since = |name| {
        let date = headers.get(name)?.to_str().ok()?.parse::<HttpDate>().ok()?;
        let file = file?;
        // A file that may change again within its second has no date yet.
        file.last_modified.as_ref()?;
        Some(file.modified <= date)
    };
    if headers.contains_key(IF_MATCH) {
        if !is_any(IF_MATCH) && !matches_any(IF_MATCH, false) {
            return Precondition::Failed;
        }
    } else if since(IF_UNMODIFIED_SINCE) == Some(false) {
        return Precondition::Failed;
    }
    let is_known = match headers.contains_key(IF_NONE_MATCH) {
        true => is_any(IF_NONE_MATCH) || matches_any(IF_NONE_MATCH, true),
        false => since(IF_MODIFIED_SINCE) == Some(true),
    };
    if is_known { Precondition::NotModified } else { Precondition::Passed }
}

/// Tells whether `range` applies, by `if-range`.
pub(super) fn wants_range(headers: &HeaderMap, file: Option<&Validators>) -> bool {
    headers.get(IF_RANGE).is_none_or(|if_range| file.is_some_and(|file| file.matches_range(if_range)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Precondition::{Failed, NotModified, Passed};

    /// A file changed at Sun, 06 Nov 1994 08:49:37.5 GMT, looked at `age` later.
    fn file_after(age: Duration) -> Validators {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        Validators::new(modified, modified + age, 255, "br").unwrap()
    }

    fn file() -> Validators {
        file_after(DATE_RESOLUTION)
    }

    const TAG: &str = "\"2ebc98a1.1dcd6500-ff-br\"";
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::try_from(*value).unwrap())).collect()
    }

    #[test]
    fn a_tag_depends_on_time_and_size() {
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
        // A time in the future gives a tag and no date.
        assert!(of(1 << 40, 1, "").is_some_and(|of| of.last_modified.is_none()));
    }

    #[test]
    fn a_file_that_may_change_again_within_its_second_has_no_date() {
        for (age, verdict) in [(DATE_RESOLUTION, NotModified), (DATE_RESOLUTION / 2, Passed)] {
            let asked = headers(&[(IF_MODIFIED_SINCE, AFTER)]);
            assert_eq!(evaluate(&asked, Some(&file_after(age))), verdict, "{age:?}");
        }
    }

    #[test]
    fn preconditions_are_evaluated_in_order() {
        let weak = format!("W/{TAG}");
        let list = format!("\"x,y\", {TAG}");
        for (lines, verdict) in [
            (&[][..], Passed),
            (&[(IF_NONE_MATCH, TAG)], NotModified),
            (&[(IF_NONE_MATCH, &weak)], NotModified),
            (&[(IF_NONE_MATCH, &list)], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"other\"")], Passed),
            // The tag takes precedence over the date.
            (&[(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, DATE)], Passed),
            (&[(IF_MODIFIED_SINCE, DATE)], NotModified),
            (&[(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Passed),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Passed),
            (&[(IF_MATCH, TAG)], Passed),
            (&[(IF_MATCH, &list)], Passed),
            (&[(IF_MATCH, "*")], Passed),
            (&[(IF_MATCH, &weak)], Failed),
            (&[(IF_MATCH, "\"other\"")], Failed),
            (&[(IF_MATCH, TAG), (IF_UNMODIFIED_SINCE, BEFORE)], Passed),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Passed),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Passed),
            (&[(IF_MATCH, TAG), (IF_NONE_MATCH, TAG)], NotModified),
        ] {
            assert_eq!(evaluate(&headers(lines), Some(&file())), verdict, "{lines:?}");
        }
    }

    #[test]
    fn without_validators_nothing_matches() {
        let evaluate = |name: HeaderName, value| evaluate(&headers(&[(name, value)]), None);
        assert_eq!(evaluate(IF_NONE_MATCH, TAG), Passed);
        assert_eq!(evaluate(IF_NONE_MATCH, "*"), NotModified);
        assert_eq!(evaluate(IF_MODIFIED_SINCE, AFTER), Passed);
        assert_eq!(evaluate(IF_UNMODIFIED_SINCE, BEFORE), Passed);
        assert_eq!(evaluate(IF_MATCH, TAG), Failed);
        assert_eq!(evaluate(IF_MATCH, "*"), Passed);
    }

    #[test]
    fn if_range_has_to_match_the_file() {
        let matches = |value: &str, file| wants_range(&headers(&[(IF_RANGE, value)]), file);
        let file = file();
        assert!(matches(TAG, Some(&file)) && matches(DATE, Some(&file)) && wants_range(&HeaderMap::new(), None));
        for other in ["\"other\"", &format!("W/{TAG}"), BEFORE, AFTER, ""] {
            assert!(!matches(other, Some(&file)), "{other}");
        }
        assert!(!matches(TAG, None));
        // The file may change again within the second.
        let fresh = file_after(DATE_RESOLUTION - Duration::from_millis(1));
        assert!(matches(TAG, Some(&fresh)) && !matches(DATE, Some(&fresh)) && fresh.last_modified.is_none());
    }
}
