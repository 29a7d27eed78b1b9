//! `wasi:filesystem` 0.3 behind the gate.

use crate::capabilities::dir::files::{AdmittedPath, DirState, FileError};
use crate::capabilities::dir::wasi_0_2::{Fd, drop_descriptor, get_directories};
use crate::component::wasi::WASI_0_3;
use walnut_policy::Access;
use wasmtime::StoreContextMut;
use wasmtime::component::{self, Accessor, FutureReader, Linker, LinkerInstance, ResourceType, StreamReader};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, Host as _, HostDescriptorWithStore,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::FilesystemError;

type Implementation = WasiFilesystem;

/// Defines a function on one path: asks the gate, then calls wasmtime's function with the admitted
/// folder and path.
macro_rules! on_path {
    ($types:ident, $name:literal, $access:expr, ($fd:ident, $path:ident) in ($($p:pat_param),*) : ($($ty:ty),*) -> $result:ty, |$files:ident, $dir:ident| $call:expr) => {
        $types.func_wrap_concurrent(concat!("[method]descriptor.", $name), |accessor: &Accessor<T>, ($($p,)*): ($($ty,)*)| {
            Box::pin(async move {
                const IMPORT: &str = concat!("wasi:filesystem/types.", $name);
                let admitted = match admit(accessor, IMPORT, &$fd, &$path, $access)? {
                    Ok(admitted) => admitted,
                    Err(code) => return Ok((Err(code),)),
                };
                let $dir = LentDescriptor::lend(accessor, &admitted)?;
                let $path = admitted.path.clone();
                let $files = accessor.with_getter::<Implementation>(T::filesystem);
                let result = $call.await;
                $dir.give_back(accessor)?;
                let result: Result<$result, ErrorCode> = finish(accessor, IMPORT, &[&admitted], result)?;
                Ok((result,))
            })
        })?;
    };
}

pub(crate) fn add_to_linker<T: DirState>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(&format!("wasi:filesystem/preopens@{WASI_0_3}"))?.func_wrap("get-directories", get_directories)?;
    let mut types = linker.instance(&format!("wasi:filesystem/types@{WASI_0_3}"))?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), drop_descriptor)?;
    reading(&mut types)?;
    writing(&mut types)?;
    listing(&mut types)?;
    open_at(&mut types)?;
    two_paths(&mut types)
}

fn reading<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    on_path!(types, "stat-at", Access::Stat, (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> DescriptorStat, |files, dir| {
        Implementation::stat_at(&files, dir.fd(), flags, path)
    });
    on_path!(types, "metadata-hash-at", Access::Stat, (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> MetadataHashValue, |files, dir| {
        Implementation::metadata_hash_at(&files, dir.fd(), flags, path)
    });
    on_path!(types, "readlink-at", Access::Stat, (fd, path) in (fd, path): (Fd, String) -> String, |files, dir| {
        Implementation::readlink_at(&files, dir.fd(), path)
    });
    Ok(())
}

/// Defines the listing of open folders. Opening one took a permit; only this crate knows the
/// entries of folders that lead to mounts.
fn listing<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap("[method]descriptor.read-directory", |mut cx: StoreContextMut<'_, T>, (fd,): (Fd,)| {
        let Some(names) = cx.data().files().leads_to(fd.rep()) else {
            let access = component::Access::<_, Implementation>::new(cx, T::filesystem);
            return Ok((Implementation::read_directory(access, fd)?,));
        };
        let folder = |name| DirectoryEntry { type_: DescriptorType::Directory, name };
        let entries = StreamReader::new(&mut cx, names.into_iter().map(folder).collect::<Vec<_>>())?;
        let done = FutureReader::new(&mut cx, async { wasmtime::error::Ok(Ok::<(), ErrorCode>(())) })?;
        Ok(((entries, done),))
    })
}

fn writing<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    on_path!(types, "create-directory-at", Access::Write, (fd, path) in (fd, path): (Fd, String) -> (), |files, dir| {
        Implementation::create_directory_at(&files, dir.fd(), path)
    });
    on_path!(types, "remove-directory-at", Access::Write, (fd, path) in (fd, path): (Fd, String) -> (), |files, dir| {
        Implementation::remove_directory_at(&files, dir.fd(), path)
    });
    on_path!(types, "unlink-file-at", Access::Write, (fd, path) in (fd, path): (Fd, String) -> (), |files, dir| {
        Implementation::unlink_file_at(&files, dir.fd(), path)
    });
    on_path!(types, "set-times-at", Access::Write, (fd, path) in (fd, flags, path, accessed, modified): (Fd, PathFlags, String, NewTimestamp, NewTimestamp) -> (), |files, dir| {
        Implementation::set_times_at(&files, dir.fd(), flags, path, accessed, modified)
    });
    types.func_wrap_concurrent(
        "[method]descriptor.set-times",
        |accessor: &Accessor<T>, (fd, accessed, modified): (Fd, NewTimestamp, NewTimestamp)| {
            Box::pin(async move {
                const IMPORT: &str = "wasi:filesystem/types.set-times";
                let decided = accessor.with(|mut access| {
                    let state = access.data_mut();
                    state.files().change(state.gate(), IMPORT, fd.rep())
                });
                let _permit = match decided {
                    Ok(permit) => permit,
                    Err(refusal) => return Ok((Err(ErrorCode::from(refusal)),)),
                };
                let files = accessor.with_getter::<Implementation>(T::filesystem);
                let result = Implementation::set_times(&files, fd, accessed, modified).await;
                Ok((finish(accessor, IMPORT, &[], result)?,))
            })
        },
    )?;
    // The content of a link is text; its target is decided when the link is followed.
    on_path!(types, "symlink-at", Access::Write, (fd, path) in (fd, says, path): (Fd, String, String) -> (), |files, dir| {
        Implementation::symlink_at(&files, dir.fd(), says, path)
    });
    Ok(())
}

fn open_at<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |accessor: &Accessor<T>,
         (fd, path_flags, path, open_flags, flags): (Fd, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::pin(async move {
                const IMPORT: &str = "wasi:filesystem/types.open-at";
                let writes = flags.contains(DescriptorFlags::WRITE)
                    || open_flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
                let access = if writes { Access::Write } else { Access::Read };
                let admitted = match admit(accessor, IMPORT, &fd, &path, access)? {
                    Ok(admitted) => admitted,
                    Err(code) => return Ok((Err(code),)),
                };
                let dir = LentDescriptor::lend(accessor, &admitted)?;
                let files = accessor.with_getter::<Implementation>(T::filesystem);
                let result =
                    Implementation::open_at(&files, dir.fd(), path_flags, admitted.path.clone(), open_flags, flags)
                        .await;
                dir.give_back(accessor)?;
                let result = finish(accessor, IMPORT, &[&admitted], result)?;
                let Ok(opened) = &result else { return Ok((result,)) };
                let denied = accessor.with(|mut access| {
                    let state = access.data_mut();
                    let descriptor = state.table().get(opened)?;
                    if state.files().opened_denied(state.gate(), IMPORT, descriptor) {
                        state.table_mut().delete(Fd::new_own(opened.rep()))?;
                        return wasmtime::error::Ok(true);
                    }
                    state.files_mut().opened(opened.rep(), &admitted.guest);
                    Ok(false)
                })?;
                Ok((if denied { Err(ErrorCode::Access) } else { result },))
            })
        },
    )
}

fn two_paths<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_concurrent(
        "[method]descriptor.rename-at",
        |accessor: &Accessor<T>, (old_fd, old_path, new_fd, new_path): (Fd, String, Fd, String)| {
            Box::pin(async move {
                const IMPORT: &str = "wasi:filesystem/types.rename-at";
                let (old, new) = match admit_two(accessor, IMPORT, (&old_fd, &old_path), (&new_fd, &new_path))? {
                    Ok(both) => both,
                    Err(code) => return Ok((Err(code),)),
                };
                let (old_dir, new_dir) = (LentDescriptor::lend(accessor, &old)?, LentDescriptor::lend(accessor, &new)?);
                let files = accessor.with_getter::<Implementation>(T::filesystem);
                let result =
                    Implementation::rename_at(&files, old_dir.fd(), old.path.clone(), new_dir.fd(), new.path.clone())
                        .await;
                old_dir.give_back(accessor)?;
                new_dir.give_back(accessor)?;
                Ok((finish(accessor, IMPORT, &[&old, &new], result)?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.link-at",
        |accessor: &Accessor<T>, (old_fd, flags, old_path, new_fd, new_path): (Fd, PathFlags, String, Fd, String)| {
            Box::pin(async move {
                const IMPORT: &str = "wasi:filesystem/types.link-at";
                let (old, new) = match admit_two(accessor, IMPORT, (&old_fd, &old_path), (&new_fd, &new_path))? {
                    Ok(both) => both,
                    Err(code) => return Ok((Err(code),)),
                };
                let (old_dir, new_dir) = (LentDescriptor::lend(accessor, &old)?, LentDescriptor::lend(accessor, &new)?);
                let files = accessor.with_getter::<Implementation>(T::filesystem);
                let result = Implementation::link_at(
                    &files,
                    old_dir.fd(),
                    flags,
                    old.path.clone(),
                    new_dir.fd(),
                    new.path.clone(),
                )
                .await;
                old_dir.give_back(accessor)?;
                new_dir.give_back(accessor)?;
                Ok((finish(accessor, IMPORT, &[&old, &new], result)?,))
            })
        },
    )
}

/// Handle of an admitted folder, for the time of one call.
struct LentDescriptor(u32);

impl LentDescriptor {
    fn lend<T: DirState>(accessor: &Accessor<T>, admitted: &AdmittedPath) -> wasmtime::Result<Self> {
        let fd =
            accessor.with(|mut access| access.data_mut().table_mut().push(Descriptor::Dir(admitted.dir.clone())))?;
        Ok(LentDescriptor(fd.rep()))
    }

    fn fd(&self) -> Fd {
        Fd::new_borrow(self.0)
    }

    fn give_back<T: DirState>(self, accessor: &Accessor<T>) -> wasmtime::Result<()> {
        accessor.with(|mut access| access.data_mut().table_mut().delete(Fd::new_own(self.0)))?;
        Ok(())
    }
}

type Decided<R> = wasmtime::Result<Result<R, ErrorCode>>;

fn admit<T: DirState>(
    accessor: &Accessor<T>,
    import: &'static str,
    fd: &Fd,
    path: &str,
    access: Access,
) -> Decided<AdmittedPath> {
    accessor.with(|mut store| {
        let state = store.data_mut();
        let base = state.table().get(fd)?;
        Ok(state.files().admit(state.gate(), import, fd.rep(), base, path, access).map_err(ErrorCode::from))
    })
}

/// Admits both ends of a hard link or a move. Both change, so both must be writable.
fn admit_two<T: DirState>(
    accessor: &Accessor<T>,
    import: &'static str,
    old: (&Fd, &str),
    new: (&Fd, &str),
) -> Decided<(AdmittedPath, AdmittedPath)> {
    Ok(
        match (
            admit(accessor, import, old.0, old.1, Access::Write)?,
            admit(accessor, import, new.0, new.1, Access::Write)?,
        ) {
            (Ok(old), Ok(new)) => Ok((old, new)),
            (Err(code), _) | (_, Err(code)) => Err(code),
        },
    )
}

fn finish<T: DirState, R>(
    accessor: &Accessor<T>,
    import: &'static str,
    admitted: &[&AdmittedPath],
    result: Result<R, FilesystemError>,
) -> Decided<R> {
    let error = match result {
        Ok(value) => return Ok(Ok(value)),
        Err(e) => e,
    };
    accessor.with(|mut access| {
        let state = access.data_mut();
        let code = state.filesystem().convert_error_code(error)?;
        if matches!(code, ErrorCode::NotPermitted | ErrorCode::Loop) {
            admitted.iter().for_each(|a| state.files().refused(state.gate(), import, a));
        }
        Ok(Err(code))
    })
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
