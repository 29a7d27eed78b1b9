//! Says hello, or does the one thing that its arguments ask for.

use std::{env, io, process};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => println!("hello from a sealed component"),
        ["--exit", code] => process::exit(code.parse().expect("--exit takes a number")),
        ["--stdin"] => {
            io::copy(&mut io::stdin(), &mut io::stdout())?;
        }
        ["--env"] => env::vars().for_each(|(name, value)| println!("{name}={value}")),
        ["--stderr", text] => eprintln!("{text}"),
        _ => arguments.iter().for_each(|argument| println!("{argument}")),
    }
    Ok(())
}
