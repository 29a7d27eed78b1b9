//! Does one file operation per run over WASI 0.3. A refusal is shown as WASI's name of the error.

use shared::error_name;
use wasip3::{
    cli::{environment, stdout},
    exports::cli::run::Guest,
    filesystem::{
        preopens,
        types::{Descriptor, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags},
    },
    wit_stream,
};

struct Files;
wasip3::cli::command::export!(Files);

impl Guest for Files {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        act(&arguments).await.map_err(|error| eprintln!("error: {error}"))
    }
}

async fn act(arguments: &[&str]) -> Result<(), String> {
    let name = |error: ErrorCode| error_name(&error);
    match *arguments {
        ["read", path] => read(open(path, OpenFlags::empty(), DescriptorFlags::READ).await?).await,
        // Opens from a folder that was opened before.
        ["read-in", folder, path] => {
            let folder = open(folder, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
            let file =
                folder.open_at(PathFlags::SYMLINK_FOLLOW, path.to_owned(), OpenFlags::empty(), DescriptorFlags::READ);
            read(file.await.map_err(name)?).await
        }
        ["write", path, text] => {
            let file = open(path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE).await?;
            let (mut writer, reader) = wit_stream::new();
            let done = file.write_via_stream(reader, 0);
            writer.write_all(text.as_bytes().to_vec()).await;
            drop(writer);
            done.await.map_err(name)
        }
        ["append", path, text] => {
            let file = open(path, OpenFlags::CREATE, DescriptorFlags::WRITE).await?;
            let (mut writer, reader) = wit_stream::new();
            let done = file.append_via_stream(reader);
            writer.write_all(text.as_bytes().to_vec()).await;
            drop(writer);
            done.await.map_err(name)
        }
        ["list", path] => {
            let folder = open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
            let (entries, done) = folder.read_directory();
            let mut names: Vec<String> = entries.collect().await.into_iter().map(|entry| entry.name + "\n").collect();
            names.sort();
            print(names.concat().into_bytes()).await;
            done.await.map_err(name)
        }
        // The link itself, not its target.
        ["stat", path] => {
            let (folder, rest) = locate(path)?;
            let about = folder.stat_at(PathFlags::empty(), rest).await.map_err(name)?;
            let kind = match about.type_ {
                DescriptorType::Directory => "folder",
                DescriptorType::RegularFile => "file",
                DescriptorType::SymbolicLink => "link",
                _ => "other",
            };
            print(format!("{kind} {}\n", about.size).into_bytes()).await;
            Ok(())
        }
        ["mkdir", path] => {
            let (folder, rest) = locate(path)?;
            folder.create_directory_at(rest).await.map_err(name)
        }
        ["remove", path] => {
            let (folder, rest) = locate(path)?;
            folder.unlink_file_at(rest).await.map_err(name)
        }
        ["rmdir", path] => {
            let (folder, rest) = locate(path)?;
            folder.remove_directory_at(rest).await.map_err(name)
        }
        ["truncate", path] => {
            let file = open(path, OpenFlags::empty(), DescriptorFlags::WRITE).await?;
            file.set_size(0).await.map_err(name)
        }
        ["touch", path] => {
            let (folder, rest) = locate(path)?;
            folder.set_times_at(PathFlags::empty(), rest, NewTimestamp::Now, NewTimestamp::Now).await.map_err(name)
        }
        ["touch-open", path] => {
            let file = open(path, OpenFlags::empty(), DescriptorFlags::READ).await?;
            file.set_times(NewTimestamp::Now, NewTimestamp::Now).await.map_err(name)
        }
        ["rename", from, to] => {
            let ((from_folder, from), (to_folder, to)) = (locate(from)?, locate(to)?);
            from_folder.rename_at(from, &to_folder, to).await.map_err(name)
        }
        ["link", from, to] => {
            let ((from_folder, from), (to_folder, to)) = (locate(from)?, locate(to)?);
            from_folder.link_at(PathFlags::empty(), from, &to_folder, to).await.map_err(name)
        }
        ["symlink", target, link] => {
            let (folder, rest) = locate(link)?;
            folder.symlink_at(target.to_owned(), rest).await.map_err(name)
        }
        _ => Err("unknown operation".to_owned()),
    }
}

/// Returns the preopened folder of a path, and the rest of the path.
fn locate(path: &str) -> Result<(Descriptor, String), String> {
    for (folder, prefix) in preopens::get_directories() {
        if let Some(rest) = path.strip_prefix(prefix.trim_end_matches('/'))
            && (rest.is_empty() || rest.starts_with('/'))
        {
            let rest = rest.trim_start_matches('/');
            return Ok((folder, if rest.is_empty() { "." } else { rest }.to_owned()));
        }
    }
    Err("no-folder".to_owned())
}

async fn open(path: &str, how: OpenFlags, rights: DescriptorFlags) -> Result<Descriptor, String> {
    let (folder, rest) = locate(path)?;
    folder.open_at(PathFlags::SYMLINK_FOLLOW, rest, how, rights).await.map_err(|error| error_name(&error))
}

async fn read(file: Descriptor) -> Result<(), String> {
    let (bytes, done) = file.read_via_stream(0);
    print(bytes.collect().await).await;
    done.await.map_err(|error| error_name(&error))
}

async fn print(bytes: Vec<u8>) {
    let (mut writer, reader) = wit_stream::new();
    let done = stdout::write_via_stream(reader);
    writer.write_all(bytes).await;
    drop(writer);
    let _ = done.await;
}
