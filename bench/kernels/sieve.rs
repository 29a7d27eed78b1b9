//! Bytes in memory with checked indices: prime numbers.

fn main() {
    const N: usize = 5_000_000;
    let mut primes = 0;
    for _ in 0..12 {
        let mut composite = vec![false; N];
        for i in 2..N {
            if !composite[i] {
                primes += 1;
                for multiple in (i.saturating_mul(i)..N).step_by(i) {
                    composite[multiple] = true;
                }
            }
        }
    }
    println!("{primes}");
}
