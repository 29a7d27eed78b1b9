//! `wasi:filesystem` 0.2 behind the gate. WASI 0.1 arrives here too, through its adapter.

use crate::capabilities::dir::files::{AdmittedPath, DirState, FileError};
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

/// Defines a function on one path: asks the gate, then calls wasmtime's function with the admitted
/// folder and path.
macro_rules! on_path {
    ($types:ident, $name:literal, $access:expr, ($fd:ident, $path:ident $(, $arg:ident)*) in ($($p:pat_param),*) : ($($ty:ty),*) -> $result:ty, |$view:ident, $dir:ident| $call:expr) => {
        $types.func_wrap_async(concat!("[method]descriptor.", $name), |mut cx: StoreContextMut<'_, T>, ($($p,)*): ($($ty,)*)| {
            Box::new(async move {
                const IMPORT: &str = concat!("wasi:filesystem/types.", $name);
                let state = cx.data_mut();
                let admitted = match admit(state, IMPORT, &$fd, &$path, $access) {
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
                let result: Result<$result, ErrorCode> = finish(state, IMPORT, &[&admitted], result)?;
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
        let fd = state.table_mut().push(Descriptor::Dir(dir))?;
        state.files_mut().opened(fd.rep(), &name);
        directories.push((fd, name));
    }
    Ok((directories,))
}

pub(super) fn drop_descriptor<T: DirState>(mut cx: StoreContextMut<'_, T>, handle: u32) -> wasmtime::Result<()> {
    let state = cx.data_mut();
    state.files_mut().closed(handle);
    state.table_mut().delete(Fd::new_own(handle))?;
    Ok(())
}

fn reading<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    on_path!(types, "stat-at", Access::Stat, (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> DescriptorStat, |view, dir| {
        HostDescriptor::stat_at(&mut view, dir, flags, path)
    });
    on_path!(types, "metadata-hash-at", Access::Stat, (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> MetadataHashValue, |view, dir| {
        HostDescriptor::metadata_hash_at(&mut view, dir, flags, path)
    });
    on_path!(types, "readlink-at", Access::Stat, (fd, path) in (fd, path): (Fd, String) -> String, |view, dir| {
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
    on_path!(types, "create-directory-at", Access::Write, (fd, path) in (fd, path): (Fd, String) -> (), |view, dir| {
        HostDescriptor::create_directory_at(&mut view, dir, path)
    });
    on_path!(types, "remove-directory-at", Access::Write, (fd, path) in (fd, path): (Fd, String) -> (), |view, dir| {
        HostDescriptor::remove_directory_at(&mut view, dir, path)
    });
    on_path!(types, "unlink-file-at", Access::Write, (fd, path) in (fd, path): (Fd, String) -> (), |view, dir| {
        HostDescriptor::unlink_file_at(&mut view, dir, path)
    });
    on_path!(types, "set-times-at", Access::Write, (fd, path) in (fd, flags, path, accessed, modified): (Fd, PathFlags, String, NewTimestamp, NewTimestamp) -> (), |view, dir| {
        HostDescriptor::set_times_at(&mut view, dir, flags, path, accessed, modified)
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
                Ok((finish(state, IMPORT, &[], result)?,))
            })
        },
    )?;
    // The content of a link is text; its target is decided when the link is followed.
    on_path!(types, "symlink-at", Access::Write, (fd, path) in (fd, says, path): (Fd, String, String) -> (), |view, dir| {
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
                let writes = flags.contains(DescriptorFlags::WRITE)
                    || open_flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
                let access = if writes { Access::Write } else { Access::Read };
                let admitted = match admit(state, IMPORT, &fd, &path, access) {
                    Ok(admitted) => admitted,
                    Err(code) => return Ok((Err(code),)),
                };
                let dir = state.table_mut().push(Descriptor::Dir(admitted.dir.clone()))?;
                let handle = dir.rep();
                let result = HostDescriptor::open_at(
                    &mut state.filesystem(),
                    dir,
                    path_flags,
                    admitted.path.clone(),
                    open_flags,
                    flags,
                )
                .await;
                state.table_mut().delete(Fd::new_own(handle))?;
                let result = finish(state, IMPORT, &[&admitted], result)?;
                if let Ok(opened) = &result
                    && state.files().opened_denied(state.gate(), IMPORT, state.table().get(opened)?)
                {
                    state.table_mut().delete(Fd::new_own(opened.rep()))?;
                    return Ok((Err(ErrorCode::Access),));
                }
                if let Ok(opened) = &result {
                    state.files_mut().opened(opened.rep(), &admitted.guest);
                }
                Ok((result,))
            })
        },
    )
}

fn rename_at<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.rename-at",
        |mut cx: StoreContextMut<'_, T>, (old_fd, old_path, new_fd, new_path): (Fd, String, Fd, String)| {
            Box::new(async move {
                const IMPORT: &str = "wasi:filesystem/types.rename-at";
                let state = cx.data_mut();
                let (old, new) = match admit_two(state, IMPORT, (&old_fd, &old_path), (&new_fd, &new_path)) {
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
                Ok((finish(state, IMPORT, &[&old, &new], result)?,))
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
                let (old, new) = match admit_two(state, IMPORT, (&old_fd, &old_path), (&new_fd, &new_path)) {
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
                    flags,
                    old.path.clone(),
                    new_dir,
                    new.path.clone(),
                )
                .await;
                for handle in handles {
                    state.table_mut().delete(Fd::new_own(handle))?;
                }
                Ok((finish(state, IMPORT, &[&old, &new], result)?,))
            })
        },
    )
}

fn admit<T: DirState>(
    state: &T,
    import: &'static str,
    fd: &Fd,
    path: &str,
    access: Access,
) -> Result<AdmittedPath, ErrorCode> {
    let base = state.table().get(fd).map_err(|_| ErrorCode::BadDescriptor)?;
    state.files().admit(state.gate(), import, fd.rep(), base, path, access).map_err(ErrorCode::from)
}

/// Admits both ends of a hard link or a move. Both change, so both must be writable.
fn admit_two<T: DirState>(
    state: &T,
    import: &'static str,
    old: (&Fd, &str),
    new: (&Fd, &str),
) -> Result<(AdmittedPath, AdmittedPath), ErrorCode> {
    Ok((admit(state, import, old.0, old.1, Access::Write)?, admit(state, import, new.0, new.1, Access::Write)?))
}

fn finish<T: DirState, R>(
    state: &mut T,
    import: &'static str,
    admitted: &[&AdmittedPath],
    result: Result<R, FsError>,
) -> wasmtime::Result<Result<R, ErrorCode>> {
    let error = match result {
        Ok(value) => return Ok(Ok(value)),
        Err(e) => e,
    };
    let code = state.filesystem().convert_error_code(error)?;
    // Links in /proc lead anywhere; cap-std refuses them like circular links.
    if matches!(code, ErrorCode::NotPermitted | ErrorCode::Loop) {
        admitted.iter().for_each(|a| state.files().refused(state.gate(), import, a));
    }
    Ok(Err(code))
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
        }
    }
}
