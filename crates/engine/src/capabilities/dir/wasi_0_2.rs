//! `wasi:filesystem` 0.2 behind the gate. WASI 0.1 arrives here too, through its adapter.

use crate::capabilities::dir::files::{AdmittedPath, DirState, FileError, PathUse};
use crate::capabilities::dir::open::OpenHow;
use crate::component::wasi::WASI_0_2;
use walnut_policy::Access;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, Host as _, HostDescriptor,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};

pub(super) type Fd = Resource<Descriptor>;

/// Defines a function on a path: asks the gate, then calls wasmtime's function with the admitted
/// folder and name. `$usage` makes the use of the path from the name of the import.
macro_rules! on_path {
    ($types:ident, $name:literal, $usage:expr, ($fd:ident, $path:ident $(, $arg:ident)*) in ($($p:pat_param),*) : ($($ty:ty),*) -> $result:ty, |$view:ident, $dir:ident| $call:expr) => {
        $types.func_wrap_async(concat!("[method]descriptor.", $name), |mut cx: StoreContextMut<'_, T>, ($($p,)*): ($($ty,)*)| {
            Box::new(async move {
                const IMPORT: &str = concat!("wasi:filesystem/types.", $name);
                let state = cx.data_mut();
                let admitted = match admit(state, ($usage)(IMPORT), &$fd, &$path).await {
                    Ok(admitted) => admitted,
                    Err(code) => return Ok((Err(code),)),
                };
                let $dir = state.table_mut().push(Descriptor::Dir(admitted.dir.clone()))?;
                let handle = $dir.rep();
                let $path = admitted.path.clone();
                let result = {
                    let mut $view = state.filesystem();
                    $call.await
                };
                state.table_mut().delete(Fd::new_own(handle))?;
                let result: Result<$result, ErrorCode> = finish(state, result)?;
                Ok((result,))
            })
        })?;
    };
}

pub(crate) fn add_to_linker<T: DirState>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:filesystem/preopens@{WASI_0_2}"))?.func_wrap("get-directories", get_directories)?;
    let mut types = linker.instance(&format!("wasi:filesystem/types@{WASI_0_2}"))?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), drop_descriptor)?;
    reading(&mut types)?;
    writing(&mut types)?;
    listing(&mut types)?;
    open_at(&mut types)?;
    rename_at(&mut types)?;
    link_at(&mut types)
}

pub(super) fn get_directories<T: DirState>(
    mut cx: StoreContextMut<'_, T>,
    (): (),
) -> wasmtime::Result<(Vec<(Fd, String)>,)> {
    let state = cx.data_mut();
    let mut directories = Vec::new();
    for (dir, name) in state.files().start() {
        directories.push((state.table_mut().push(Descriptor::Dir(dir))?, name));
    }
    let handles: Vec<_> = directories.iter().map(|(fd, _)| fd.rep()).collect();
    state.files_mut().started(&handles);
    Ok((directories,))
}

pub(super) fn drop_descriptor<T: DirState>(mut cx: StoreContextMut<'_, T>, handle: u32) -> wasmtime::Result<()> {
    let state = cx.data_mut();
    state.files_mut().closed(handle);
    state.table_mut().delete(Fd::new_own(handle))?;
    Ok(())
}

fn reading<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    on_path!(types, "stat-at", |import| PathUse::object(import, Access::Stat, follows(flags)), (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> DescriptorStat, |view, dir| {
        HostDescriptor::stat_at(&mut view, dir, PathFlags::empty(), path)
    });
    on_path!(types, "metadata-hash-at", |import| PathUse::object(import, Access::Stat, follows(flags)), (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> MetadataHashValue, |view, dir| {
        HostDescriptor::metadata_hash_at(&mut view, dir, PathFlags::empty(), path)
    });
    on_path!(types, "readlink-at", |import| PathUse::object(import, Access::Stat, false), (fd, path) in (fd, path): (Fd, String) -> String, |view, dir| {
        HostDescriptor::readlink_at(&mut view, dir, path)
    });
    Ok(())
}

/// Remaining entries of a listing.
struct Entries(Box<dyn Iterator<Item = Result<DirectoryEntry, FsError>> + Send>);

/// Defines the listing of open folders. Opening one took a permit; only this crate knows the
/// entries of folders that lead to mounts.
fn listing<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.resource("directory-entry-stream", ResourceType::host::<Entries>(), |mut cx, handle| {
        cx.data_mut().table_mut().delete(Resource::<Entries>::new_own(handle))?;
        Ok(())
    })?;
    types.func_wrap_async("[method]descriptor.read-directory", |mut cx: StoreContextMut<'_, T>, (fd,): (Fd,)| {
        Box::new(async move {
            let state = cx.data_mut();
            let entries = match entries(state, fd).await {
                Ok(entries) => entries,
                Err(e) => return Ok((Err(state.filesystem().convert_error_code(e)?),)),
            };
            Ok((Ok(state.table_mut().push(entries)?),))
        })
    })?;
    types.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut cx: StoreContextMut<'_, T>, (stream,): (Resource<Entries>,)| {
            let state = cx.data_mut();
            match state.table_mut().get_mut(&stream)?.0.next().transpose() {
                Ok(entry) => Ok((Ok(entry),)),
                Err(e) => Ok((Err(state.filesystem().convert_error_code(e)?),)),
            }
        },
    )
}

async fn entries<T: DirState>(state: &mut T, fd: Fd) -> Result<Entries, FsError> {
    let folder = |name| Ok(DirectoryEntry { type_: DescriptorType::Directory, name });
    if let Some(names) = state.files().leads_to(fd.rep()) {
        return Ok(Entries(Box::new(names.into_iter().map(folder))));
    }
    let stream = HostDescriptor::read_directory(&mut state.filesystem(), fd).await?;
    Ok(Entries(state.table_mut().delete(stream)?.into_iter()))
}

fn writing<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    on_path!(types, "create-directory-at", PathUse::create, (fd, path) in (fd, path): (Fd, String) -> (), |view, dir| {
        HostDescriptor::create_directory_at(&mut view, dir, path)
    });
    on_path!(types, "remove-directory-at", PathUse::entry, (fd, path) in (fd, path): (Fd, String) -> (), |view, dir| {
        HostDescriptor::remove_directory_at(&mut view, dir, path)
    });
    on_path!(types, "unlink-file-at", PathUse::entry, (fd, path) in (fd, path): (Fd, String) -> (), |view, dir| {
        HostDescriptor::unlink_file_at(&mut view, dir, path)
    });
    on_path!(types, "set-times-at", |import| PathUse::object(import, Access::Write, follows(flags)), (fd, path) in (fd, flags, path, accessed, modified): (Fd, PathFlags, String, NewTimestamp, NewTimestamp) -> (), |view, dir| {
        HostDescriptor::set_times_at(&mut view, dir, PathFlags::empty(), path, accessed, modified)
    });
    types.func_wrap_async(
        "[method]descriptor.set-times",
        |mut cx: StoreContextMut<'_, T>, (fd, accessed, modified): (Fd, NewTimestamp, NewTimestamp)| {
            Box::new(async move {
                const IMPORT: &str = "wasi:filesystem/types.set-times";
                let state = cx.data_mut();
                let _permit = match state.files().change(state.gate(), IMPORT, fd.rep()) {
                    Ok(permit) => permit,
                    Err(refusal) => return Ok((Err(ErrorCode::from(refusal)),)),
                };
                let result = HostDescriptor::set_times(&mut state.filesystem(), fd, accessed, modified).await;
                Ok((finish(state, result)?,))
            })
        },
    )?;
    // The content of a link is text; its target is decided when the link is followed.
    on_path!(types, "symlink-at", |import| PathUse::symlink(import, &says), (fd, path) in (fd, says, path): (Fd, String, String) -> (), |view, dir| {
        HostDescriptor::symlink_at(&mut view, dir, says, path)
    });
    Ok(())
}

fn open_at<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut cx: StoreContextMut<'_, T>,
         (fd, path_flags, path, open_flags, flags): (Fd, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::new(async move {
                const IMPORT: &str = "wasi:filesystem/types.open-at";
                let state = cx.data_mut();
                let how = open_how(open_flags, flags);
                let is_unsupported = flags.intersects(
                    DescriptorFlags::FILE_INTEGRITY_SYNC
                        | DescriptorFlags::DATA_INTEGRITY_SYNC
                        | DescriptorFlags::REQUESTED_WRITE_SYNC,
                );
                if is_unsupported {
                    return Ok((Err(ErrorCode::Unsupported),));
                }
                let access = if how.changes() { Access::Write } else { Access::Read };
                let usage = PathUse::object(IMPORT, access, follows(path_flags) && !how.is_exclusive);
                let admitted = match admit(state, usage, &fd, &path).await {
                    Ok(admitted) => admitted,
                    Err(code) => return Ok((Err(code),)),
                };
                let gate = state.gate().clone();
                let (opened, descriptor) = match admitted.open(&gate, IMPORT, how).await {
                    Ok((opened, descriptor)) => (state.table_mut().push(opened)?, descriptor),
                    Err(error) => return Ok((Err(code(state, error)?),)),
                };
                state.files_mut().opened(opened.rep(), &admitted, descriptor);
                Ok((Ok(opened),))
            })
        },
    )
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

fn open_how(open: OpenFlags, flags: DescriptorFlags) -> OpenHow {
    OpenHow {
        reads: flags.contains(DescriptorFlags::READ),
        writes: flags.contains(DescriptorFlags::WRITE),
        creates: open.contains(OpenFlags::CREATE),
        is_exclusive: open.contains(OpenFlags::EXCLUSIVE),
        truncates: open.contains(OpenFlags::TRUNCATE),
        wants_folder: open.contains(OpenFlags::DIRECTORY),
    }
}

fn rename_at<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.rename-at",
        |mut cx: StoreContextMut<'_, T>, (old_fd, old_path, new_fd, new_path): (Fd, String, Fd, String)| {
            Box::new(async move {
                const IMPORT: &str = "wasi:filesystem/types.rename-at";
                let state = cx.data_mut();
                let usages = [PathUse::entry(IMPORT), PathUse::entry(IMPORT)];
                let (old, new) = match admit_two(state, usages, (&old_fd, &old_path), (&new_fd, &new_path)).await {
                    Ok(both) => both,
                    Err(code) => return Ok((Err(code),)),
                };
                let (old_dir, new_dir) = (
                    state.table_mut().push(Descriptor::Dir(old.dir.clone()))?,
                    state.table_mut().push(Descriptor::Dir(new.dir.clone()))?,
                );
                let handles = [old_dir.rep(), new_dir.rep()];
                let result = HostDescriptor::rename_at(
                    &mut state.filesystem(),
                    old_dir,
                    old.path.clone(),
                    new_dir,
                    new.path.clone(),
                )
                .await;
                for handle in handles {
                    state.table_mut().delete(Fd::new_own(handle))?;
                }
                Ok((finish(state, result)?,))
            })
        },
    )
}

fn link_at<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.link-at",
        |mut cx: StoreContextMut<'_, T>,
         (old_fd, flags, old_path, new_fd, new_path): (Fd, PathFlags, String, Fd, String)| {
            Box::new(async move {
                const IMPORT: &str = "wasi:filesystem/types.link-at";
                let state = cx.data_mut();
                let usages = [PathUse::object(IMPORT, Access::Write, follows(flags)), PathUse::create(IMPORT)];
                let (old, new) = match admit_two(state, usages, (&old_fd, &old_path), (&new_fd, &new_path)).await {
                    Ok(both) => both,
                    Err(code) => return Ok((Err(code),)),
                };
                let (old_dir, new_dir) = (
                    state.table_mut().push(Descriptor::Dir(old.dir.clone()))?,
                    state.table_mut().push(Descriptor::Dir(new.dir.clone()))?,
                );
                let handles = [old_dir.rep(), new_dir.rep()];
                let result = HostDescriptor::link_at(
                    &mut state.filesystem(),
                    old_dir,
                    PathFlags::empty(),
                    old.path.clone(),
                    new_dir,
                    new.path.clone(),
                )
                .await;
                for handle in handles {
                    state.table_mut().delete(Fd::new_own(handle))?;
                }
                Ok((finish(state, result)?,))
            })
        },
    )
}

/// Begins, follows and decides a use of a path.
async fn admit<T: DirState>(state: &mut T, usage: PathUse, fd: &Fd, path: &str) -> Result<AdmittedPath, ErrorCode> {
    let Ok(base) = state.table().get(fd) else { return Err(ErrorCode::BadDescriptor) };
    let decided = match state.files().begin(usage, fd.rep(), base, path) {
        Ok(pending) => {
            let walked = pending.walk().await;
            state.files().decide(state.gate(), walked)
        }
        Err(error) => Err(error),
    };
    match decided {
        Ok(admitted) => Ok(admitted),
        Err(error) => Err(code(state, error).unwrap_or(ErrorCode::Io)),
    }
}

/// Admits both ends of a hard link or a move. Both change, so both must be writable.
async fn admit_two<T: DirState>(
    state: &mut T,
    [old_use, new_use]: [PathUse; 2],
    old: (&Fd, &str),
    new: (&Fd, &str),
) -> Result<(AdmittedPath, AdmittedPath), ErrorCode> {
    Ok((admit(state, old_use, old.0, old.1).await?, admit(state, new_use, new.0, new.1).await?))
}

fn finish<T: DirState, R>(state: &mut T, result: Result<R, FsError>) -> wasmtime::Result<Result<R, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(state.filesystem().convert_error_code(error)?)),
    }
}

fn code<T: DirState>(state: &mut T, error: FileError) -> wasmtime::Result<ErrorCode> {
    match error {
        FileError::System(errno) => state.filesystem().convert_error_code(std::io::Error::from(errno).into()),
        other => Ok(other.into()),
    }
}

impl From<FileError> for ErrorCode {
    fn from(refusal: FileError) -> Self {
        match refusal {
            FileError::Access => ErrorCode::Access,
            FileError::NoEntry => ErrorCode::NoEntry,
            FileError::NotPermitted => ErrorCode::NotPermitted,
            FileError::ReadOnly => ErrorCode::ReadOnly,
            FileError::BadDescriptor => ErrorCode::BadDescriptor,
            FileError::NotDirectory => ErrorCode::NotDirectory,
            FileError::Busy => ErrorCode::Busy,
            FileError::System(_) => ErrorCode::Io,
        }
    }
}
