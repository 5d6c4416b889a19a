//! The functions of wasi:filesystem that take a path, watched.

use super::{Got, Want};
use crate::guest::Guest;
use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{
    WasiView as _,
    filesystem::{Descriptor, WasiFilesystemCtxView},
    p2::{
        FsResult,
        bindings::filesystem::{
            preopens::Host as _,
            types::{
                DescriptorFlags, DescriptorStat, DirectoryEntryStream, ErrorCode, HostDescriptor as _,
                MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
            },
        },
    },
};

type Dir = Resource<Descriptor>;
type Answer<T> = Result<(std::result::Result<T, ErrorCode>,)>;

/// Watches the functions of this linker, in the interfaces of this version.
pub fn link(linker: &mut Linker<Guest>, version: &str) -> Result<()> {
    linker.allow_shadowing(true);
    link_preopens(linker, version)?;
    link_reading(linker, version)?;
    link_writing(linker, version)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn link_preopens(linker: &mut Linker<Guest>, version: &str) -> Result<()> {
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{version}"))?;
    preopens.func_wrap("get-directories", |mut store: StoreContextMut<'_, Guest>, (): ()| {
        let dirs = filesystem(&mut store).get_directories()?;
        if let Some(watch) = &mut store.data_mut().watch {
            watch.preopened(dirs.iter().map(|(dir, _)| dir.rep()));
        }
        Ok((dirs,))
    })
}

/// Puts these methods in place of wasmtime-wasi's, which they call.
macro_rules! watched {
    ($types:ident: $($text:literal $method:ident ($($arg:ident: $type:ty),*) -> $result:ty,
        $($want:ident of $dir:ident $path:ident),*;)*) => {
        $($types.func_wrap_async(
            concat!("[method]descriptor.", $text),
            |mut store: StoreContextMut<'_, Guest>, ($($arg,)*): ($($type,)*)| {
                Box::new(async move {
                    let requests = [$(($dir.rep(), $path.clone(), Want::$want)),*];
                    let result = filesystem(&mut store).$method($($arg),*).await;
                    let answer: Answer<$result> = told(&mut store, &requests, result);
                    answer
                })
            },
        )?;)*
    };
}

fn link_reading(linker: &mut Linker<Guest>, version: &str) -> Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{version}"))?;
    watched! { types:
        "stat-at" stat_at(dir: Dir, flags: PathFlags, path: String) -> DescriptorStat, Look of dir path;
        "metadata-hash-at" metadata_hash_at(dir: Dir, flags: PathFlags, path: String) -> MetadataHashValue,
            Look of dir path;
        "readlink-at" readlink_at(dir: Dir, path: String) -> String, Look of dir path;
    }
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, Guest>, (dir,): (Dir,)| {
            Box::new(async move {
                let requests = [(dir.rep(), String::new(), Want::Read)];
                let result = filesystem(&mut store).read_directory(dir).await;
                let answer: Answer<Resource<DirectoryEntryStream>> = told(&mut store, &requests, result);
                answer
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, Guest>,
         (dir, lookup, path, open, flags): (Dir, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::new(async move {
                let changing = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::EXCLUSIVE;
                let changes = open.intersects(changing)
                    || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY);
                let requests = [(dir.rep(), path.clone(), if changes { Want::Write } else { Want::Read })];
                let result = filesystem(&mut store).open_at(dir, lookup, path, open, flags).await;
                let answer: Answer<Dir> = told(&mut store, &requests, result);
                if let (Ok((Ok(opened),)), [(dir, path, _)], Some(watch)) =
                    (&answer, &requests, &mut store.data_mut().watch)
                {
                    watch.opened(*dir, path, opened.rep());
                }
                answer
            })
        },
    )
}

fn link_writing(linker: &mut Linker<Guest>, version: &str) -> Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{version}"))?;
    watched! { types:
        "create-directory-at" create_directory_at(dir: Dir, path: String) -> (), Write of dir path;
        "remove-directory-at" remove_directory_at(dir: Dir, path: String) -> (), Write of dir path;
        "unlink-file-at" unlink_file_at(dir: Dir, path: String) -> (), Write of dir path;
        "symlink-at" symlink_at(dir: Dir, to: String, path: String) -> (), Write of dir path;
        "set-times-at" set_times_at(dir: Dir, flags: PathFlags, path: String, a: NewTimestamp, m: NewTimestamp) -> (),
            Write of dir path;
        "link-at" link_at(dir: Dir, flags: PathFlags, path: String, new_dir: Dir, new_path: String) -> (),
            Read of dir path, Write of new_dir new_path;
        "rename-at" rename_at(dir: Dir, path: String, new_dir: Dir, new_path: String) -> (),
            Write of dir path, Write of new_dir new_path;
    }
    Ok(())
}

fn filesystem<'a>(store: &'a mut StoreContextMut<'_, Guest>) -> WasiFilesystemCtxView<'a> {
    let wasi = store.data_mut().ctx();
    WasiFilesystemCtxView { ctx: wasi.ctx.filesystem(), table: wasi.table }
}

/// Notes what came of these requests, and makes the guest's answer of it.
fn told<T>(store: &mut StoreContextMut<'_, Guest>, requests: &[(u32, String, Want)], result: FsResult<T>) -> Answer<T> {
    let answer = match result {
        Ok(value) => Ok(value),
        // What is no error of the file system's ends the guest, as it does without a watch.
        Err(error) => Err(error.downcast()?),
    };
    let got = match &answer {
        Ok(_) => Got::Given,
        Err(ErrorCode::NoEntry | ErrorCode::NotDirectory) => Got::Missing,
        Err(ErrorCode::Access | ErrorCode::NotPermitted | ErrorCode::ReadOnly) => Got::Refused,
        Err(_) => Got::Failed,
    };
    if let Some(watch) = &mut store.data_mut().watch {
        for (dir, path, want) in requests {
            watch.asked(*dir, path, *want, got);
        }
    }
    Ok((answer,))
}
