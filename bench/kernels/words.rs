//! The standard library's collections and text: counting words.

use std::collections::{BTreeMap, HashMap};

fn main() {
    let mut seed = 1_u32;
    let mut text = String::new();
    for _ in 0..200_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("w{} ", (seed >> 16) % 5000));
    }
    let mut sum = 0;
    for _ in 0..12 {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word).or_default() += 1;
        }
        let sorted: BTreeMap<_, _> = counts.iter().map(|(word, count)| ((*count, *word), word.len())).collect();
        sum += sorted.iter().map(|((count, _), len)| *count as usize * len).sum::<usize>();
    }
    println!("{sum}");
}
