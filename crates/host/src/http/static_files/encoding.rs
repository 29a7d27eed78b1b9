//! Content codings of precompressed files, and their negotiation by `accept-encoding` (RFC 9110
//! section 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Coding of a precompressed file beside the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    /// All codings, the most compact first.
    const ALL: [Encoding; 3] = [Encoding::Brotli, Encoding::Zstd, Encoding::Gzip];

    /// Returns the name in HTTP.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
            Encoding::Gzip => "gzip",
        }
    }

    /// Returns the suffix of the file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Encoding::Brotli => ".br",
            Encoding::Zstd => ".zst",
            Encoding::Gzip => ".gz",
        }
    }

    /// Returns the codings that the client accepts and does not prefer `identity` to, the best
    /// first.
    pub fn accepted(headers: &HeaderMap) -> Vec<Self> {
        let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
        let preferences: Vec<_> = lines.flat_map(|line| line.split(',')).filter_map(parse_preference).collect();
        if preferences.is_empty() {
            return Vec::new();
        }
        let weight_of =
            |name: &str| preferences.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
        let min_weight = weight_of("identity").unwrap_or(0.0);
        let weight = |encoding: &Encoding| weight_of(encoding.name()).or_else(|| weight_of("*")).unwrap_or(0.0);
        let mut accepted: Vec<_> = Self::ALL.into_iter().map(|encoding| (weight(&encoding), encoding)).collect();
        accepted.retain(|(weight, _)| *weight > 0.0 && *weight >= min_weight);
        accepted.sort_by(|a, b| b.0.total_cmp(&a.0));
        accepted.into_iter().map(|(_, encoding)| encoding).collect()
    }
}

/// Parses a coding and its weight: `br`, `gzip;q=0.5` (RFC 9110 section 12.4.2).
fn parse_preference(text: &str) -> Option<(&str, f32)> {
    let Some((name, weight)) = text.split_once(';') else {
        return Some((text.trim(), 1.0)).filter(|(name, _)| !name.is_empty());
    };
    let weight = weight.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    let weight = weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
    Some((name.trim(), weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Encoding::{Brotli, Gzip, Zstd};

    #[test]
    fn codings_are_ordered_by_weight() {
        for (header, accepted) in [
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip][..]),
            ("gzip", &[Gzip]),
            ("GZIP;Q=1 , br ; q=0.5", &[Gzip, Brotli]),
            ("br;q=0.1, gzip;q=0.9, zstd;q=0", &[Gzip, Brotli]),
            ("*", &[Brotli, Zstd, Gzip]),
            ("*;q=0.5, zstd", &[Zstd, Brotli, Gzip]),
            ("br;q=0, *", &[Zstd, Gzip]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0, gzip", &[Gzip]),
            ("identity;q=0.5, gzip;q=0.5", &[Gzip]),
            ("gzip;q=0", &[]),
            ("gzip;q=2, br;q=x, zstd;level=3", &[]),
            ("gzip;q=NaN", &[]),
            ("deflate", &[]),
            ("", &[]),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, header.parse().unwrap())]);
            assert_eq!(Encoding::accepted(&headers), accepted, "{header}");
        }
        assert_eq!(Encoding::accepted(&HeaderMap::new()), []);
    }

    #[test]
    fn lines_are_one_list() {
        let lines = ["gzip", "br"].map(|line| (ACCEPT_ENCODING, line.parse().unwrap()));
        let mut headers = HeaderMap::new();
        lines.into_iter().for_each(|(name, line)| _ = headers.append(name, line));
        assert_eq!(Encoding::accepted(&headers), [Brotli, Gzip]);
    }
}
