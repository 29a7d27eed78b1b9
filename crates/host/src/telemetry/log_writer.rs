//! LogWriter on their way to a stream whose reader may stall: the access log, what guests write, what is said of them.
//!
//! Whoever says a line only hands it over. One thread writes them, in their order and many at once. A full disk or a reader
//! that stalls costs lines, which are counted and told of in their place, and never a request.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long lines gather before they are written at once. A busy server does not wake the writer for each.
const GATHER: Duration = Duration::from_millis(10);
/// How much is written at once.
const BLOCK: usize = 64 << 10;

/// LogWriter that wait to be written. The writer ends when this is dropped and all is written.
pub struct LogWriter<T>(Arc<WriterShared<T>>);

/// What is written next.
#[derive(Debug)]
pub enum Entry<T> {
    /// A line.
    Line(T),
    /// So many lines were lost here.
    Lost(u64),
}

struct WriterShared<T> {
    queue: Mutex<PendingEntries<T>>,
    /// What all that waits may have as its size.
    room: usize,
    /// Tells the writer to look.
    come: Condvar,
    /// Tells who waits for room that all of it is free.
    taken: Condvar,
    written: Condvar,
}

struct PendingEntries<T> {
    waiting: Vec<T>,
    size: usize,
    /// LogWriter that were lost, and those of them that came after all that waits.
    lost: u64,
    lost_last: u64,
    is_writing: bool,
    /// Somebody waits until all is written, so nothing gathers.
    is_urgent: bool,
    is_over: bool,
}

impl<T: Send + 'static> LogWriter<T> {
    /// Writes to `out` on a thread of this `name`. LogWriter wait until their sizes are `room` in sum; `format` makes text of them.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(
        name: &str,
        room: usize,
        out: impl Write + Send + 'static,
        format: impl FnMut(Entry<T>, &mut String) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let queue = PendingEntries {
            waiting: Vec::new(),
            size: 0,
            lost: 0,
            lost_last: 0,
            is_writing: false,
            is_urgent: false,
            is_over: false,
        };
        let (come, taken, written) = Default::default();
        let shared = Arc::new(WriterShared { queue: Mutex::new(queue), room, come, taken, written });
        let lines = Arc::new(LogWriter(shared.clone()));
        thread::Builder::new().name(name.into()).spawn(move || shared.write(Batch::new(out, format)))?;
        Ok(lines)
    }
}

impl<T> LogWriter<T> {
    /// Hands a line of this size over. What finds no room is lost, and so is all after it until there is room again.
    pub fn push(&self, line: T, size: usize) {
        self.push_within(line, size, Duration::ZERO);
    }

    /// The same, but waits up to `patience` for room: who says more than can be written is held to that pace, and loses lines
    /// only when nothing at all is written. Once one is lost nobody waits, until there is room again.
    pub fn push_within(&self, line: T, size: usize, patience: Duration) {
        let is_full = |queue: &PendingEntries<T>| queue.size > 0 && queue.size + size > self.0.room;
        let mut queue = self.0.lock();
        if is_full(&queue) && queue.lost_last == 0 && !patience.is_zero() {
            let waits = |queue: &mut PendingEntries<T>| is_full(queue) && queue.lost_last == 0;
            let waited = self.0.taken.wait_timeout_while(queue, patience, waits);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let before = queue.size;
        if queue.lost_last > 0 || is_full(&queue) {
            queue.lost += 1;
            queue.lost_last += 1;
            return;
        }
        queue.waiting.push(line);
        queue.size += size;
        let is_enough = |size| size >= self.0.enough();
        let wakes = before == 0 || (is_enough(queue.size) && !is_enough(before));
        drop(queue);
        if wakes {
            self.0.come.notify_one();
        }
    }

    /// Waits until what was said so far is written, but no longer than to `until`.
    pub fn flush(&self, until: Instant) {
        let mut queue = self.0.lock();
        queue.is_urgent = true;
        self.0.come.notify_one();
        let left = until.saturating_duration_since(Instant::now());
        let is_under_way = |queue: &mut PendingEntries<T>| queue.is_writing || queue.has_news();
        let waited = self.0.written.wait_timeout_while(queue, left, is_under_way);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_urgent = false;
    }

    /// LogWriter that were lost.
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }
}

impl<T> Drop for LogWriter<T> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.come.notify_one();
    }
}

impl<T> PendingEntries<T> {
    fn has_news(&self) -> bool {
        !self.waiting.is_empty() || self.lost_last > 0
    }
}

impl<T> WriterShared<T> {
    fn lock(&self) -> MutexGuard<'_, PendingEntries<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With as much the writer begins at once, while there is room for more.
    fn enough(&self) -> usize {
        self.room / 4
    }

    fn write(&self, mut page: Batch<T>) {
        let mut lines = Vec::new();
        while let Some(lost) = self.take(&mut lines) {
            for line in lines.drain(..) {
                page.add(line);
                if page.text.len() > BLOCK {
                    self.put(&mut page);
                }
            }
            page.lose(lost);
            self.put(&mut page);
            self.lock().is_writing = false;
            self.written.notify_all();
        }
    }

    fn put(&self, page: &mut Batch<T>) {
        let failed = page.put();
        if failed > 0 {
            self.lock().lost += failed;
        }
        // Who has a lock that somebody else waits for may wait for this thread, which the system would let go on for milliseconds.
        thread::yield_now();
    }

    /// Waits for lines, and changes `lines`, which is empty, for them. Returns how many were lost after them; `None` when
    /// there will be no more.
    fn take(&self, lines: &mut Vec<T>) -> Option<u64> {
        let idles = |queue: &mut PendingEntries<T>| !queue.has_news() && !queue.is_over;
        let queue = self.come.wait_while(self.lock(), idles).unwrap_or_else(PoisonError::into_inner);
        let gathers = |queue: &mut PendingEntries<T>| queue.size < self.enough() && !queue.is_urgent && !queue.is_over;
        let gathered = self.come.wait_timeout_while(queue, GATHER, gathers);
        let mut queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        if !queue.has_news() {
            return None;
        }
        std::mem::swap(&mut queue.waiting, lines);
        queue.size = 0;
        queue.is_writing = true;
        self.taken.notify_all();
        Some(std::mem::take(&mut queue.lost_last))
    }
}

/// Makes text of what is said.
type Formatter<T> = Box<dyn FnMut(Entry<T>, &mut String) + Send>;

/// Text that is written at once, and what it is made with.
struct Batch<T> {
    out: Box<dyn Write + Send>,
    format: Formatter<T>,
    text: String,
    /// Where each line of the text ends.
    ends: Vec<usize>,
    /// Whether what was written last is a line that is not whole.
    is_torn: bool,
    /// LogWriter that could not be written, as on a full disk. They are told of once something can.
    unwritten: u64,
}

impl<T> Batch<T> {
    fn new(out: impl Write + Send + 'static, format: impl FnMut(Entry<T>, &mut String) + Send + 'static) -> Self {
        let (out, format) = (Box::new(out), Box::new(format));
        Batch { out, format, text: String::new(), ends: Vec::new(), is_torn: false, unwritten: 0 }
    }

    fn add(&mut self, line: T) {
        (self.format)(Entry::Line(line), &mut self.text);
        self.ends.push(self.text.len());
    }

    fn lose(&mut self, count: u64) {
        if count > 0 {
            (self.format)(Entry::Lost(count), &mut self.text);
        }
    }

    /// Writes the text, and returns how many of its lines could not be written.
    fn put(&mut self) -> u64 {
        let failed = self.write();
        self.unwritten += failed;
        if failed == 0 && self.unwritten > 0 {
            let unwritten = std::mem::take(&mut self.unwritten);
            self.lose(unwritten);
            self.write();
        }
        failed
    }

    fn write(&mut self) -> u64 {
        if self.text.is_empty() {
            return 0;
        }
        let is_mended = self.is_torn && self.out.write_all(b"\n").is_ok();
        let written = if is_mended || !self.is_torn { write_most(&mut self.out, self.text.as_bytes()) } else { 0 };
        self.is_torn = match written {
            0 => self.is_torn && !is_mended,
            _ => !self.text[..written].ends_with('\n'),
        };
        let failed = self.ends.iter().filter(|end| **end > written).count();
        self.text.clear();
        self.ends.clear();
        failed as u64
    }
}

/// How much of it could be written. A reader that went away is no error.
fn write_most(out: &mut impl Write, text: &[u8]) -> usize {
    let mut written = 0;
    while written < text.len() {
        match out.write(&text[written..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(more) => written += more,
        }
    }
    let _ = out.flush();
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A writer that tells when it is asked to write, and does not go on until it is told to.
    struct Stalled {
        asked: Sender<()>,
        go: Receiver<()>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(());
            let _ = self.go.recv();
            self.text.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn format(said: Entry<u32>, text: &mut String) {
        text.push_str(&match said {
            Entry::Line(number) => format!("{number}\n"),
            Entry::Lost(count) => format!("lost {count}\n"),
        });
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_nothing_else() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        let text = Arc::<Mutex<String>>::default();
        let out = Stalled { asked, go: wait, text: text.clone() };
        let lines = LogWriter::start("lines", 10, out, format).unwrap();
        lines.push(0, 1);
        asks.recv().unwrap();
        // The first is being written, and ten fit.
        (1..16).for_each(|number| lines.push(number, 1));
        assert_eq!(lines.lost(), 5);
        lines.flush(Instant::now());
        assert_eq!(*text.lock().unwrap(), "");
        drop(go);
        lines.flush(soon());
        lines.push(16, 1);
        lines.flush(soon());
        let expected: String = (0..11).map(|number| format!("{number}\n")).collect();
        assert_eq!(*text.lock().unwrap(), format!("{expected}lost 5\n16\n"));
        assert_eq!(lines.lost(), 5);
    }

    #[test]
    fn what_does_not_fit_keeps_what_comes_after_it_out() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        let text = Arc::<Mutex<String>>::default();
        let lines = LogWriter::start("lines", 10, Stalled { asked, go: wait, text: text.clone() }, format).unwrap();
        lines.push(0, 1);
        asks.recv().unwrap();
        [(1, 8), (2, 3), (3, 1)].into_iter().for_each(|(number, size)| lines.push(number, size));
        drop(go);
        lines.flush(soon());
        assert_eq!(*text.lock().unwrap(), "0\n1\nlost 2\n");
    }

    #[test]
    fn who_is_patient_waits_until_there_is_room_and_no_longer() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        let text = Arc::<Mutex<String>>::default();
        let lines = LogWriter::start("lines", 2, Stalled { asked, go: wait, text: text.clone() }, format).unwrap();
        lines.push(0, 1);
        asks.recv().unwrap();
        [1, 2].into_iter().for_each(|number| lines.push_within(number, 1, Duration::from_secs(60)));
        // Nothing is written, so one is lost; the next does not wait for what the one before it waited for in vain.
        lines.push_within(3, 1, Duration::from_millis(1));
        lines.push_within(4, 1, Duration::from_secs(3600));
        assert_eq!(lines.lost(), 2);
        go.send(()).unwrap();
        asks.recv().unwrap();
        [5, 6].into_iter().for_each(|number| lines.push(number, 1));
        let patient = thread::spawn({
            let lines = lines.clone();
            move || lines.push_within(7, 1, Duration::from_secs(60))
        });
        drop(go);
        patient.join().unwrap();
        lines.flush(soon());
        assert_eq!((text.lock().unwrap().as_str(), lines.lost()), ("0\n1\n2\nlost 2\n5\n6\n7\n", 2));
    }

    /// A disk with room for so much.
    struct Disk(Arc<Mutex<(usize, String)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let fits = bytes.len().min(disk.0);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0 -= fits;
            disk.1.push_str(std::str::from_utf8(&bytes[..fits]).unwrap());
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_told_of_once_it_takes_more() {
        let disk = Arc::new(Mutex::new((6, String::new())));
        let lines = LogWriter::start("lines", 1000, Disk(disk.clone()), format).unwrap();
        let say = |number| {
            lines.push(number, 1);
            lines.flush(soon());
        };
        [100, 200, 300].into_iter().for_each(say);
        assert_eq!((lines.lost(), disk.lock().unwrap().1.as_str()), (2, "100\n20"));
        disk.lock().unwrap().0 = 1000;
        [400, 500].into_iter().for_each(say);
        assert_eq!((lines.lost(), disk.lock().unwrap().1.as_str()), (2, "100\n20\n400\nlost 2\n500\n"));
    }

    #[test]
    fn many_lines_are_one_write_and_the_end_writes_what_is_left() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        drop(go);
        let text = Arc::<Mutex<String>>::default();
        let lines = LogWriter::start("lines", 1000, Stalled { asked, go: wait, text: text.clone() }, format).unwrap();
        (0..100).for_each(|number| lines.push(number, 1));
        drop(lines);
        let writes = asks.iter().count();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(*text.lock().unwrap(), expected);
        assert!(writes < 100, "{writes}");
    }
}
