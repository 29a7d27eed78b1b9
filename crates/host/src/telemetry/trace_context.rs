//! Request ids: the id of the trace that the client names (W3C Trace Context), or a new random one.

use http::{HeaderMap, HeaderName};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::num::{NonZeroU64, NonZeroU128};
use walnut_engine::RequestId;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns the id of a request with these headers.
pub(crate) fn request_id(headers: &HeaderMap) -> RequestId {
    traced(headers).unwrap_or_else(random_request_id)
}

/// Returns the trace id of the `traceparent` header, if there is exactly one and it is valid.
fn traced(headers: &HeaderMap) -> Option<RequestId> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => trace_id(value.as_bytes()),
        _ => None,
    }
}

/// Parses `version "-" trace-id "-" parent-id "-" flags`, in lower-case hexadecimal. Future
/// versions may append more.
fn trace_id(header: &[u8]) -> Option<RequestId> {
    let (known, more) = header.split_at_checked(55)?;
    let [version, trace, parent, flags] = [&known[..2], &known[3..35], &known[36..52], &known[53..]];
    let has_dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let has_valid_end = match version {
        b"00" => more.is_empty(),
        b"ff" => false,
        _ => more.is_empty() || more[0] == b'-',
    };
    hex(version).and(hex(flags))?;
    let parent = NonZeroU64::new(u64::try_from(hex(parent)?).ok()?)?;
    let trace = NonZeroU128::new(hex(trace)?)?;
    (has_dashes && has_valid_end).then(|| RequestId::new(trace, Some(parent)))
}

fn hex(digits: &[u8]) -> Option<u128> {
    let digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let text = digits.iter().all(digit).then_some(digits)?;
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

/// Returns a random id that cannot be guessed: a counter hashed with two keys, which each thread
/// gets from the system once.
pub(crate) fn random_request_id() -> RequestId {
    thread_local! {
        static KEYS: [RandomState; 2] = [RandomState::new(), RandomState::new()];
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    let count = COUNT.replace(COUNT.get().wrapping_add(1));
    let [high, low] = KEYS.with(|keys| [keys[0].hash_one(count), keys[1].hash_one(count)]);
    let number = u128::from(high) << 64 | u128::from(low);
    RequestId::new(NonZeroU128::new(number).unwrap_or(NonZeroU128::MIN), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::collections::HashSet;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(lines: &[&str]) -> Option<String> {
        let lines = lines.iter().map(|line| (TRACEPARENT, HeaderValue::from_str(line).unwrap()));
        traced(&lines.collect()).map(|id| id.to_string())
    }

    #[test]
    fn a_trace_gives_its_id() {
        let id = Some("0af7651916cd43dd8448eb211c80319c".to_owned());
        assert_eq!(of(&[GOOD]), id);
        assert_eq!(of(&[&GOOD.replacen("00", "cc", 1)]), id);
        assert_eq!(of(&[&format!("{}-what-comes", GOOD.replacen("00", "01", 1))]), id);
        let short = of(&["00-0000000000000000000000000000000f-b7ad6b7169203331-00"]);
        assert_eq!(short, Some("0000000000000000000000000000000f".to_owned()));
    }

    #[test]
    fn an_invalid_header_gives_no_trace() {
        let bad = [
            "".to_owned(),
            "0".repeat(55),
            GOOD[..54].to_owned(),
            format!("{GOOD}-more"),
            format!("{}more", GOOD.replacen("00", "01", 1)),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0x", 1),
            GOOD.replace("0af", "0AF"),
            GOOD.replace("0af", "+af"),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace("-01", "_01"),
            GOOD.replace("-01", "-0g"),
        ];
        for header in &bad {
            assert_eq!(of(&[header]), None, "{header:?}");
        }
        assert_eq!(of(&[GOOD, GOOD]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn ids_do_not_come_twice() {
        let ids = || (0..1000).map(|_| random_request_id()).collect::<Vec<_>>();
        let others = std::thread::spawn(ids).join().unwrap();
        let all: HashSet<_> = ids().into_iter().chain(others).map(|id| id.to_string()).collect();
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(|id| id.len() == 32));
    }
}
