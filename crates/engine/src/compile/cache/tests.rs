//! Entries of the cache: written, found, damaged, removed.

use super::*;

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(&dir.path().join("code"), MAX).unwrap();
    (dir, cache)
}

fn read(cache: &Cache, digest: &Digest) -> Option<Vec<u8>> {
    let mut bytes = fs::read(cache.get(digest, 7)?).ok()?;
    bytes.truncate(bytes.len() - Trailer::SIZE);
    Some(bytes)
}

#[test]
fn an_entry_is_found() {
    let (_dir, cache) = cache();
    let digest = Digest::of(b"a");
    assert!(read(&cache, &digest).is_none());
    cache.put(&digest, 7, b"code").unwrap();
    assert_eq!(read(&cache, &digest).unwrap(), b"code");
    assert!(cache.get(&digest, 8).is_none(), "another engine must not find it");
}

#[test]
fn a_damaged_entry_is_removed_and_never_returned() {
    let (_dir, cache) = cache();
    let digest = Digest::of(b"a");
    cache.put(&digest, 7, b"code that is long enough").unwrap();
    let path = cache.path(&digest, 7);
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(cache.get(&digest, 7).is_none(), "cut at {cut}");
        assert!(!path.exists());
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(cache.get(&digest, 7).is_none(), "flipped at {at}");
    }
}

#[test]
fn writers_at_once_leave_one_good_entry() {
    let (_dir, cache) = cache();
    let digest = Digest::of(b"a");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| cache.put(&digest, 7, &[9; 100_000]).unwrap()));
            scope.spawn(|| {
                (0..20).for_each(|_| assert!(read(&cache, &digest).is_none_or(|code| code == [9; 100_000])));
            });
        }
    });
    assert_eq!(cache.usage().unwrap().components, 1);
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Cache::at(dir.path(), MAX), Err(CacheError::Unsafe { .. })));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    Cache::at(dir.path(), MAX).unwrap();
}

#[test]
fn clear_tells_what_it_removed() {
    let (_dir, cache) = cache();
    cache.put(&Digest::of(b"a"), 7, &[0; 84]).unwrap();
    assert_eq!(cache.clear().unwrap(), CacheUsage { components: 1, bytes: 100 });
    assert_eq!(cache.usage().unwrap(), CacheUsage { components: 0, bytes: 0 });
}

/// Sets the last use of an entry to this many days ago.
fn age(cache: &Cache, digest: &Digest, days: u32) {
    let file = fs::File::options().write(true).open(cache.path(digest, 7)).unwrap();
    file.set_modified(SystemTime::now() - USED * days).unwrap();
}

#[test]
fn the_least_recently_used_entry_makes_room() {
    let (_dir, mut cache) = cache();
    let digests = [b"a", b"b", b"c"].map(|bytes| Digest::of(bytes));
    digests.iter().for_each(|digest| cache.put(digest, 7, &[0; 84]).unwrap());
    digests.iter().zip([3, 5, 4]).for_each(|(digest, days)| age(&cache, digest, days));
    // Used again.
    assert!(read(&cache, &digests[1]).is_some());
    cache.max_bytes = 350;
    let new = Digest::of(b"new");
    cache.put(&new, 7, &[1; 84]).unwrap();
    let is_there = digests.map(|digest| read(&cache, &digest).is_some());
    assert_eq!((is_there, read(&cache, &new).is_some()), ([true, true, false], true));
    // An entry larger than the cache changes nothing.
    assert!(cache.put(&digests[2], 7, &[0; 335]).is_err());
    assert_eq!(cache.usage().unwrap(), CacheUsage { components: 3, bytes: 300 });
    cache.put(&digests[2], 7, &[0; 334]).unwrap();
    assert_eq!(cache.usage().unwrap(), CacheUsage { components: 1, bytes: 350 });
}

#[test]
fn a_use_is_noted_once_a_day() {
    let (_dir, cache) = cache();
    let digest = Digest::of(b"a");
    cache.put(&digest, 7, b"code").unwrap();
    let noted = || fs::metadata(cache.path(&digest, 7)).unwrap().modified().unwrap();
    let written = noted();
    assert!(cache.get(&digest, 7).is_some());
    assert_eq!(noted(), written);
    age(&cache, &digest, 2);
    assert!(cache.get(&digest, 7).is_some());
    assert!(noted() >= written);
}

/// A mapped or open entry belongs to its reader.
#[test]
fn making_room_takes_nothing_from_readers() {
    let (_dir, mut cache) = cache();
    cache.max_bytes = 1000;
    thread::scope(|scope| {
        for writer in 0..4_u8 {
            let cache = &cache;
            scope.spawn(move || {
                for i in 0..50_u8 {
                    let digest = Digest::of(&[writer, i]);
                    cache.put(&digest, 7, &[writer; 384]).unwrap();
                    assert!(read(cache, &digest).is_none_or(|code| code == [writer; 384]));
                }
            });
        }
    });
    assert!(cache.usage().unwrap().bytes <= 4 * 400 + 600, "each may have come between another's look and its write");
    cache.put(&Digest::of(b"last"), 7, &[0; 384]).unwrap();
    assert!(cache.usage().unwrap().bytes <= 1000);
}
