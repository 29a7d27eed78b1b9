//! `wasi:filesystem` 0.3 behind the gate.

use crate::capabilities::dir::files::{AdmittedPath, DirState, FileError, PathUse};
use crate::capabilities::dir::open::OpenHow;
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

/// Defines a function on a path: asks the gate, then calls wasmtime's function with the admitted
/// folder and name. `$usage` makes the use of the path from the name of the import.
macro_rules! on_path {
    ($types:ident, $name:literal, $usage:expr, ($fd:ident, $path:ident) in ($($p:pat_param),*) : ($($ty:ty),*) -> $result:ty, |$files:ident, $dir:ident| $call:expr) => {
        $types.func_wrap_concurrent(concat!("[method]descriptor.", $name), |accessor: &Accessor<T>, ($($p,)*): ($($ty,)*)| {
            Box::pin(async move {
                const IMPORT: &str = concat!("wasi:filesystem/types.", $name);
                let admitted = match admit(accessor, ($usage)(IMPORT), &$fd, &$path).await? {
                    Ok(admitted) => admitted,
                    Err(code) => return Ok((Err(code),)),
                };
                let $dir = LentDescriptor::lend(accessor, &admitted)?;
                let $path = admitted.path.clone();
                let $files = accessor.with_getter::<Implementation>(T::filesystem);
                let result = $call.await;
                $dir.give_back(accessor)?;
                let result: Result<$result, ErrorCode> = finish(accessor, result)?;
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
    on_path!(types, "stat-at", |import| PathUse::object(import, Access::Stat, follows(flags)), (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> DescriptorStat, |files, dir| {
        Implementation::stat_at(&files, dir.fd(), PathFlags::empty(), path)
    });
    on_path!(types, "metadata-hash-at", |import| PathUse::object(import, Access::Stat, follows(flags)), (fd, path) in (fd, flags, path): (Fd, PathFlags, String) -> MetadataHashValue, |files, dir| {
        Implementation::metadata_hash_at(&files, dir.fd(), PathFlags::empty(), path)
    });
    on_path!(types, "readlink-at", |import| PathUse::object(import, Access::Stat, false), (fd, path) in (fd, path): (Fd, String) -> String, |files, dir| {
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
    on_path!(types, "create-directory-at", PathUse::create, (fd, path) in (fd, path): (Fd, String) -> (), |files, dir| {
        Implementation::create_directory_at(&files, dir.fd(), path)
    });
    on_path!(types, "remove-directory-at", PathUse::entry, (fd, path) in (fd, path): (Fd, String) -> (), |files, dir| {
        Implementation::remove_directory_at(&files, dir.fd(), path)
    });
    on_path!(types, "unlink-file-at", PathUse::entry, (fd, path) in (fd, path): (Fd, String) -> (), |files, dir| {
        Implementation::unlink_file_at(&files, dir.fd(), path)
    });
    on_path!(types, "set-times-at", |import| PathUse::object(import, Access::Write, follows(flags)), (fd, path) in (fd, flags, path, accessed, modified): (Fd, PathFlags, String, NewTimestamp, NewTimestamp) -> (), |files, dir| {
        Implementation::set_times_at(&files, dir.fd(), PathFlags::empty(), path, accessed, modified)
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
                Ok((finish(accessor, result)?,))
            })
        },
    )?;
    // The content of a link is text; its target is decided when the link is followed.
    on_path!(types, "symlink-at", |import| PathUse::symlink(import, &says), (fd, path) in (fd, says, path): (Fd, String, String) -> (), |files, dir| {
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
                let admitted = match admit(accessor, usage, &fd, &path).await? {
                    Ok(admitted) => admitted,
                    Err(code) => return Ok((Err(code),)),
                };
                let gate = accessor.with(|mut access| access.data_mut().gate().clone());
                match admitted.open(&gate, IMPORT, how).await {
                    Ok((opened, descriptor)) => accessor.with(|mut access| {
                        let state = access.data_mut();
                        let opened = state.table_mut().push(opened)?;
                        state.files_mut().opened(opened.rep(), &admitted, descriptor);
                        Ok((Ok(opened),))
                    }),
                    Err(error) => Ok((Err(error.into()),)),
                }
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

fn two_paths<T: DirState>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_concurrent(
        "[method]descriptor.rename-at",
        |accessor: &Accessor<T>, (old_fd, old_path, new_fd, new_path): (Fd, String, Fd, String)| {
            Box::pin(async move {
                const IMPORT: &str = "wasi:filesystem/types.rename-at";
                let usages = [PathUse::entry(IMPORT), PathUse::entry(IMPORT)];
                let ends = [(&old_fd, old_path.as_str()), (&new_fd, new_path.as_str())];
                let (old, new) = match admit_two(accessor, usages, ends).await? {
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
                Ok((finish(accessor, result)?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.link-at",
        |accessor: &Accessor<T>, (old_fd, flags, old_path, new_fd, new_path): (Fd, PathFlags, String, Fd, String)| {
            Box::pin(async move {
                const IMPORT: &str = "wasi:filesystem/types.link-at";
                let usages = [PathUse::object(IMPORT, Access::Write, follows(flags)), PathUse::create(IMPORT)];
                let ends = [(&old_fd, old_path.as_str()), (&new_fd, new_path.as_str())];
                let (old, new) = match admit_two(accessor, usages, ends).await? {
                    Ok(both) => both,
                    Err(code) => return Ok((Err(code),)),
                };
                let (old_dir, new_dir) = (LentDescriptor::lend(accessor, &old)?, LentDescriptor::lend(accessor, &new)?);
                let files = accessor.with_getter::<Implementation>(T::filesystem);
                let result = Implementation::link_at(
                    &files,
                    old_dir.fd(),
                    PathFlags::empty(),
                    old.path.clone(),
                    new_dir.fd(),
                    new.path.clone(),
                )
                .await;
                old_dir.give_back(accessor)?;
                new_dir.give_back(accessor)?;
                Ok((finish(accessor, result)?,))
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

/// Begins, follows and decides a use of a path.
async fn admit<T: DirState>(accessor: &Accessor<T>, usage: PathUse, fd: &Fd, path: &str) -> Decided<AdmittedPath> {
    let pending = accessor.with(|mut store| {
        let state = store.data_mut();
        let base = state.table().get(fd)?;
        wasmtime::error::Ok(state.files().begin(usage, fd.rep(), base, path))
    })?;
    let pending = match pending {
        Ok(pending) => pending,
        Err(error) => return Ok(Err(error.into())),
    };
    let walked = pending.walk().await;
    Ok(accessor.with(|mut store| {
        let state = store.data_mut();
        state.files().decide(state.gate(), walked).map_err(ErrorCode::from)
    }))
}

/// Admits both ends of a hard link or a move. Both change, so both must be writable.
async fn admit_two<T: DirState>(
    accessor: &Accessor<T>,
    [old_use, new_use]: [PathUse; 2],
    [old, new]: [(&Fd, &str); 2],
) -> Decided<(AdmittedPath, AdmittedPath)> {
    let old = match admit(accessor, old_use, old.0, old.1).await? {
        Ok(old) => old,
        Err(code) => return Ok(Err(code)),
    };
    Ok(admit(accessor, new_use, new.0, new.1).await?.map(|new| (old, new)))
}

fn finish<T: DirState, R>(accessor: &Accessor<T>, result: Result<R, FilesystemError>) -> Decided<R> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => accessor.with(|mut access| Ok(Err(access.data_mut().filesystem().convert_error_code(error)?))),
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
            FileError::System(errno) => ErrorCode::from(&std::io::Error::from(errno)),
        }
    }
}
