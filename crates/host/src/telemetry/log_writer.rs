//! Log writer: a bounded queue and a thread that writes it to a stream whose reader may stall. The
//! access log, the audit and the output of guests each have one.
//!
//! Pushing a line never waits for the stream. The thread writes the lines in order, many at once. A
//! full disk or a stalled reader loses lines, which are counted and reported in their place, but
//! holds up no request.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Time that lines gather before they are written, so that a busy server does not wake the thread
/// for each.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes that are written at once.
const BLOCK: usize = 64 << 10;

/// Handle of a log's queue and thread. The thread ends when this is dropped and all lines are
/// written.
pub struct LogWriter<T>(Arc<WriterShared<T>>);

/// Entry that the thread formats next.
#[derive(Debug)]
pub enum Entry<T> {
    /// A line.
    Line(T),
    /// Number of lines that were lost at this point.
    Lost(u64),
}

struct WriterShared<T> {
    queue: Mutex<PendingEntries<T>>,
    /// Largest sum of the sizes of all lines in the queue.
    capacity: usize,
    /// Wakes the thread.
    pushed: Condvar,
    /// Wakes those that wait for space in the queue.
    taken: Condvar,
    /// Wakes those that wait for a flush.
    written: Condvar,
}

struct PendingEntries<T> {
    lines: Vec<T>,
    size: usize,
    /// Lines lost since the start.
    lost: u64,
    /// Lines lost after the last line in the queue.
    lost_last: u64,
    is_writing: bool,
    /// A flush is waiting, so that nothing gathers.
    is_urgent: bool,
    is_closed: bool,
}

impl<T: Send + 'static> LogWriter<T> {
    /// Starts a thread `name` that writes to `out`. The queue takes lines up to a total size of
    /// `capacity`; `format` turns an entry into text.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(
        name: &str,
        capacity: usize,
        out: impl Write + Send + 'static,
        format: impl FnMut(Entry<T>, &mut String) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let queue = PendingEntries {
            lines: Vec::new(),
            size: 0,
            lost: 0,
            lost_last: 0,
            is_writing: false,
            is_urgent: false,
            is_closed: false,
        };
        let (pushed, taken, written) = Default::default();
        let shared = Arc::new(WriterShared { queue: Mutex::new(queue), capacity, pushed, taken, written });
        let writer = Arc::new(LogWriter(shared.clone()));
        thread::Builder::new().name(name.into()).spawn(move || shared.write(Batch::new(out, format)))?;
        Ok(writer)
    }
}

impl<T> LogWriter<T> {
    /// Pushes a line of this size. A line that does not fit is lost, and so are all after it until
    /// there is space again.
    pub fn push(&self, line: T, size: usize) {
        self.push_within(line, size, Duration::ZERO);
    }

    /// Pushes a line, waiting up to `max_wait` for space. This holds a producer to the pace of the
    /// stream, and loses lines only when nothing is written at all. After a loss nobody waits until
    /// there is space again.
    pub fn push_within(&self, line: T, size: usize, max_wait: Duration) {
        let is_full = |queue: &PendingEntries<T>| queue.size > 0 && queue.size + size > self.0.capacity;
        let mut queue = self.0.lock();
        if is_full(&queue) && queue.lost_last == 0 && !max_wait.is_zero() {
            let waits = |queue: &mut PendingEntries<T>| is_full(queue) && queue.lost_last == 0;
            self.0.taken.wait_while_for(&mut queue, waits, max_wait);
        }
        let before = queue.size;
        if queue.lost_last > 0 || is_full(&queue) {
            queue.lost += 1;
            queue.lost_last += 1;
            return;
        }
        queue.lines.push(line);
        queue.size += size;
        let is_enough = |size| size >= self.0.enough();
        let wakes = before == 0 || (is_enough(queue.size) && !is_enough(before));
        drop(queue);
        if wakes {
            self.0.pushed.notify_one();
        }
    }

    /// Waits until all lines so far are written, at the latest until `until`.
    pub fn flush(&self, until: Instant) {
        let mut queue = self.0.lock();
        queue.is_urgent = true;
        self.0.pushed.notify_one();
        let left = until.saturating_duration_since(Instant::now());
        let is_unfinished = |queue: &mut PendingEntries<T>| queue.is_writing || queue.has_entries();
        self.0.written.wait_while_for(&mut queue, is_unfinished, left);
        queue.is_urgent = false;
    }

    /// Returns the number of lost lines.
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }
}

impl<T> Drop for LogWriter<T> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.pushed.notify_one();
    }
}

impl<T> PendingEntries<T> {
    fn has_entries(&self) -> bool {
        !self.lines.is_empty() || self.lost_last > 0
    }
}

impl<T> WriterShared<T> {
    fn lock(&self) -> MutexGuard<'_, PendingEntries<T>> {
        self.queue.lock()
    }

    /// Returns the size of the queue at which the thread stops gathering, while there is still
    /// space.
    fn enough(&self) -> usize {
        self.capacity / 4
    }

    fn write(&self, mut batch: Batch<T>) {
        let mut lines = Vec::new();
        while let Some(lost) = self.take(&mut lines) {
            for line in lines.drain(..) {
                batch.add(line);
                if batch.text.len() > BLOCK {
                    self.write_batch(&mut batch);
                }
            }
            batch.add_lost(lost);
            self.write_batch(&mut batch);
            self.lock().is_writing = false;
            self.written.notify_all();
        }
    }

    fn write_batch(&self, batch: &mut Batch<T>) {
        let failed = batch.write();
        if failed > 0 {
            self.lock().lost += failed;
        }
        // A thread that waits for this one may hold a lock that others need; without a yield the
        // system would let this thread go on for milliseconds.
        thread::yield_now();
    }

    /// Waits for lines, and swaps them with `lines`, which is empty. Returns the number of lines
    /// lost after them, or `None` when there will be no more.
    fn take(&self, lines: &mut Vec<T>) -> Option<u64> {
        let idles = |queue: &mut PendingEntries<T>| !queue.has_entries() && !queue.is_closed;
        let mut queue = self.lock();
        self.pushed.wait_while(&mut queue, idles);
        let gathers =
            |queue: &mut PendingEntries<T>| queue.size < self.enough() && !queue.is_urgent && !queue.is_closed;
        self.pushed.wait_while_for(&mut queue, gathers, GATHER);
        if !queue.has_entries() {
            return None;
        }
        std::mem::swap(&mut queue.lines, lines);
        queue.size = 0;
        queue.is_writing = true;
        self.taken.notify_all();
        Some(std::mem::take(&mut queue.lost_last))
    }
}

/// Appends the text of an entry.
type Formatter<T> = Box<dyn FnMut(Entry<T>, &mut String) + Send>;

/// Text that is written at once, with its formatter and its stream.
struct Batch<T> {
    out: Box<dyn Write + Send>,
    format: Formatter<T>,
    text: String,
    /// End of each line in the text.
    ends: Vec<usize>,
    /// Whether the stream ends in the middle of a line.
    is_torn: bool,
    /// Lines that could not be written, as on a full disk. They are reported once the stream takes
    /// text again.
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

    fn add_lost(&mut self, count: u64) {
        if count > 0 {
            (self.format)(Entry::Lost(count), &mut self.text);
        }
    }

    /// Writes the text, and reports lines that could not be written earlier. Returns the number of
    /// lines that could not be written now.
    fn write(&mut self) -> u64 {
        let failed = self.write_text();
        self.unwritten += failed;
        if failed == 0 && self.unwritten > 0 {
            let unwritten = std::mem::take(&mut self.unwritten);
            self.add_lost(unwritten);
            self.write_text();
        }
        failed
    }

    fn write_text(&mut self) -> u64 {
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

/// Writes as much as possible and returns the number of bytes written. A reader that went away is
/// not an error.
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

    /// A stream that reports each write, and waits for permission to go on.
    struct Stalled {
        asked: Sender<()>,
        go: Receiver<()>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(());
            let _ = self.go.recv();
            self.text.lock().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn format(entry: Entry<u32>, text: &mut String) {
        text.push_str(&match entry {
            Entry::Line(number) => format!("{number}\n"),
            Entry::Lost(count) => format!("lost {count}\n"),
        });
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_stalled_reader_loses_lines_and_nothing_else() {
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
        assert_eq!(*text.lock(), "");
        drop(go);
        lines.flush(in_a_minute());
        lines.push(16, 1);
        lines.flush(in_a_minute());
        let expected: String = (0..11).map(|number| format!("{number}\n")).collect();
        assert_eq!(*text.lock(), format!("{expected}lost 5\n16\n"));
        assert_eq!(lines.lost(), 5);
    }

    #[test]
    fn a_line_that_does_not_fit_keeps_later_lines_out() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        let text = Arc::<Mutex<String>>::default();
        let lines = LogWriter::start("lines", 10, Stalled { asked, go: wait, text: text.clone() }, format).unwrap();
        lines.push(0, 1);
        asks.recv().unwrap();
        [(1, 8), (2, 3), (3, 1)].into_iter().for_each(|(number, size)| lines.push(number, size));
        drop(go);
        lines.flush(in_a_minute());
        assert_eq!(*text.lock(), "0\n1\nlost 2\n");
    }

    #[test]
    fn push_within_waits_for_space_and_no_longer() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        let text = Arc::<Mutex<String>>::default();
        let lines = LogWriter::start("lines", 2, Stalled { asked, go: wait, text: text.clone() }, format).unwrap();
        lines.push(0, 1);
        asks.recv().unwrap();
        [1, 2].into_iter().for_each(|number| lines.push_within(number, 1, Duration::from_secs(60)));
        // Nothing is written, so a line is lost; the next one does not wait in vain again.
        lines.push_within(3, 1, Duration::from_millis(1));
        lines.push_within(4, 1, Duration::from_secs(3600));
        assert_eq!(lines.lost(), 2);
        go.send(()).unwrap();
        asks.recv().unwrap();
        [5, 6].into_iter().for_each(|number| lines.push(number, 1));
        let waiting = thread::spawn({
            let lines = lines.clone();
            move || lines.push_within(7, 1, Duration::from_secs(60))
        });
        drop(go);
        waiting.join().unwrap();
        lines.flush(in_a_minute());
        assert_eq!((text.lock().as_str(), lines.lost()), ("0\n1\n2\nlost 2\n5\n6\n7\n", 2));
    }

    /// A disk with this many free bytes.
    struct Disk(Arc<Mutex<(usize, String)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock();
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
    fn lines_lost_to_a_full_disk_are_counted_and_reported_once_it_has_space() {
        let disk = Arc::new(Mutex::new((6, String::new())));
        let lines = LogWriter::start("lines", 1000, Disk(disk.clone()), format).unwrap();
        let push = |number| {
            lines.push(number, 1);
            lines.flush(in_a_minute());
        };
        [100, 200, 300].into_iter().for_each(push);
        assert_eq!((lines.lost(), disk.lock().1.as_str()), (2, "100\n20"));
        disk.lock().0 = 1000;
        [400, 500].into_iter().for_each(push);
        assert_eq!((lines.lost(), disk.lock().1.as_str()), (2, "100\n20\n400\nlost 2\n500\n"));
    }

    #[test]
    fn many_lines_are_a_single_write_and_the_end_writes_the_rest() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        drop(go);
        let text = Arc::<Mutex<String>>::default();
        let lines = LogWriter::start("lines", 1000, Stalled { asked, go: wait, text: text.clone() }, format).unwrap();
        (0..100).for_each(|number| lines.push(number, 1));
        drop(lines);
        let writes = asks.iter().count();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(*text.lock(), expected);
        assert!(writes < 100, "{writes}");
    }
}
