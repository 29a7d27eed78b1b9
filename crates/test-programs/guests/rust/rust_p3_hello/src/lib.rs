//! Says hello over WASI 0.3: output is a stream that the host reads.

use wasip3::{
    cli::{environment, exit, stderr, stdin, stdout},
    exports::cli::run::Guest,
    wit_stream,
};

struct Hello;
wasip3::cli::command::export!(Hello);

impl Guest for Hello {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        match arguments[..] {
            [] => print("hello from a sealed component\n".to_owned()).await,
            ["--exit", code] => {
                exit::exit_with_code(code.parse().expect("--exit takes a number"));
                Ok(())
            }
            ["--fail"] => Err(()),
            ["--stdin"] => stdout::write_via_stream(stdin::read_via_stream().0).await.map_err(drop),
            ["--env"] => {
                let variables = environment::get_environment();
                print(variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect()).await
            }
            ["--stderr", text] => {
                let (mut writer, reader) = wit_stream::new();
                let done = stderr::write_via_stream(reader);
                writer.write_all(format!("{text}\n").into_bytes()).await;
                drop(writer);
                done.await.map_err(drop)
            }
            _ => print(arguments.iter().map(|argument| format!("{argument}\n")).collect()).await,
        }
    }
}

async fn print(text: String) -> Result<(), ()> {
    let (mut writer, reader) = wit_stream::new();
    let done = stdout::write_via_stream(reader);
    writer.write_all(text.into_bytes()).await;
    // The host is done when the stream ends.
    drop(writer);
    done.await.map_err(drop)
}
