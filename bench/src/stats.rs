//! Medians, and how numbers are written.

/// The median and the middle half (first to third quartile) of several measurements.
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    /// # Panics
    /// When `values` is empty.
    pub fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let median = f64::midpoint(values[last / 2], values[last.div_ceil(2)]);
        Self { low: values[last / 4], median, high: values[last - last / 4] }
    }

    /// Writes `median unit (low–high)`, each multiplied by `scale`.
    pub fn show(&self, scale: f64, digits: usize, unit: &str) -> String {
        let number = |value: f64| group_digits(value * scale, digits);
        format!("{}{unit} ({}–{})", number(self.median), number(self.low), number(self.high))
    }
}

/// Writes a number with a comma between each three digits of its whole part.
pub fn group_digits(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let of = |values: &[f64]| Spread::of(values).show(1.0, 1, " s");
        assert_eq!(of(&[7.0]), "7.0 s (7.0–7.0)");
        assert_eq!(of(&[4.0, 1.0]), "2.5 s (1.0–4.0)");
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), "3.0 s (2.0–4.0)");
    }

    #[test]
    fn digits_are_grouped() {
        let all = [(0.0, "0"), (999.0, "999"), (1000.0, "1,000"), (-1_234_567.0, "-1,234,567")];
        for (value, text) in all {
            assert_eq!(group_digits(value, 0), text);
        }
        assert_eq!(group_digits(-123.45, 1), "-123.5");
        assert_eq!(group_digits(f64::NAN, 2), "NaN");
    }
}
