//! Lines on their way to a stream whose reader may stall: the access log, what guests write, what is said of them.
//!
//! Whoever says a line only hands it over. One thread writes them, in their order and many at once. A full disk or a reader
//! that stalls costs lines, which are counted, and never a request.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long lines gather before they are written at once. A busy server does not wake the writer for each.
const GATHER: Duration = Duration::from_millis(10);
/// How much is written at once.
const BLOCK: usize = 64 << 10;

/// Lines that wait to be written. The writer ends when this is dropped and all is written.
pub struct Lines<T>(Arc<Shared<T>>);

/// What is written next.
#[derive(Debug)]
pub enum Said<T> {
    /// A line.
    Line(T),
    /// So many lines were lost here.
    Lost(u64),
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// What all that waits may have as its size.
    room: usize,
    /// Tells the writer to look.
    come: Condvar,
    written: Condvar,
}

struct Queue<T> {
    waiting: Vec<T>,
    size: usize,
    /// Lines that were lost, and those of them that came after all that waits.
    lost: u64,
    lost_last: u64,
    is_writing: bool,
    /// Somebody waits until all is written, so nothing gathers.
    is_urgent: bool,
    is_over: bool,
}

impl<T: Send + 'static> Lines<T> {
    /// Writes to `out` on a thread of this `name`. Lines wait until their sizes are `room` in sum; `spell` makes text of them.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(
        name: &str,
        room: usize,
        out: impl Write + Send + 'static,
        spell: impl FnMut(Said<T>, &mut String) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let queue = Queue {
            waiting: Vec::new(),
            size: 0,
            lost: 0,
            lost_last: 0,
            is_writing: false,
            is_urgent: false,
            is_over: false,
        };
        let (come, written) = Default::default();
        let shared = Arc::new(Shared { queue: Mutex::new(queue), room, come, written });
        let lines = Arc::new(Lines(shared.clone()));
        thread::Builder::new().name(name.into()).spawn(move || shared.write(out, spell))?;
        Ok(lines)
    }
}

impl<T> Lines<T> {
    /// Hands a line of this size over. What finds no room is lost, and so is all after it until there is room again.
    pub fn say(&self, line: T, size: usize) {
        let mut queue = self.0.lock();
        let before = queue.size;
        if queue.lost_last > 0 || before + size > self.0.room {
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
        let is_under_way = |queue: &mut Queue<T>| queue.is_writing || queue.has_news();
        let waited = self.0.written.wait_timeout_while(queue, left, is_under_way);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_urgent = false;
    }

    /// Lines that were lost.
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }
}

impl<T> Drop for Lines<T> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.come.notify_one();
    }
}

impl<T> Queue<T> {
    fn has_news(&self) -> bool {
        !self.waiting.is_empty() || self.lost_last > 0
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With as much the writer begins at once, while there is room for more.
    fn enough(&self) -> usize {
        self.room / 4
    }

    fn write(&self, mut out: impl Write, mut spell: impl FnMut(Said<T>, &mut String)) {
        let (mut lines, mut text) = (Vec::new(), String::new());
        // A reader that went away is no error.
        let mut put = |text: &mut String| {
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            text.clear();
        };
        while let Some(lost) = self.take(&mut lines) {
            let lost = (lost > 0).then_some(Said::Lost(lost));
            for said in lines.drain(..).map(Said::Line).chain(lost) {
                spell(said, &mut text);
                if text.len() > BLOCK {
                    put(&mut text);
                }
            }
            put(&mut text);
            self.lock().is_writing = false;
            self.written.notify_all();
        }
    }

    /// Waits for lines, and changes `lines`, which is empty, for them. Returns how many were lost after them; `None` when
    /// there will be no more.
    fn take(&self, lines: &mut Vec<T>) -> Option<u64> {
        let idles = |queue: &mut Queue<T>| !queue.has_news() && !queue.is_over;
        let queue = self.come.wait_while(self.lock(), idles).unwrap_or_else(PoisonError::into_inner);
        let gathers = |queue: &mut Queue<T>| queue.size < self.enough() && !queue.is_urgent && !queue.is_over;
        let gathered = self.come.wait_timeout_while(queue, GATHER, gathers);
        let mut queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        if !queue.has_news() {
            return None;
        }
        std::mem::swap(&mut queue.waiting, lines);
        queue.size = 0;
        queue.is_writing = true;
        Some(std::mem::take(&mut queue.lost_last))
    }
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

    fn spell(said: Said<u32>, text: &mut String) {
        text.push_str(&match said {
            Said::Line(number) => format!("{number}\n"),
            Said::Lost(count) => format!("lost {count}\n"),
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
        let lines = Lines::start("lines", 10, out, spell).unwrap();
        lines.say(0, 1);
        asks.recv().unwrap();
        // The first is being written, and ten fit.
        (1..16).for_each(|number| lines.say(number, 1));
        assert_eq!(lines.lost(), 5);
        lines.flush(Instant::now());
        assert_eq!(*text.lock().unwrap(), "");
        drop(go);
        lines.flush(soon());
        lines.say(16, 1);
        lines.flush(soon());
        let expected: String = (0..11).map(|number| format!("{number}\n")).collect();
        assert_eq!(*text.lock().unwrap(), format!("{expected}lost 5\n16\n"));
        assert_eq!(lines.lost(), 5);
    }

    #[test]
    fn what_does_not_fit_keeps_what_comes_after_it_out() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        let text = Arc::<Mutex<String>>::default();
        let lines = Lines::start("lines", 10, Stalled { asked, go: wait, text: text.clone() }, spell).unwrap();
        lines.say(0, 1);
        asks.recv().unwrap();
        [(1, 8), (2, 3), (3, 1)].into_iter().for_each(|(number, size)| lines.say(number, size));
        drop(go);
        lines.flush(soon());
        assert_eq!(*text.lock().unwrap(), "0\n1\nlost 2\n");
    }

    #[test]
    fn many_lines_are_one_write_and_the_end_writes_what_is_left() {
        let ((asked, asks), (go, wait)) = (channel(), channel());
        drop(go);
        let text = Arc::<Mutex<String>>::default();
        let lines = Lines::start("lines", 1000, Stalled { asked, go: wait, text: text.clone() }, spell).unwrap();
        (0..100).for_each(|number| lines.say(number, 1));
        drop(lines);
        let writes = asks.iter().count();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(*text.lock().unwrap(), expected);
        assert!(writes < 100, "{writes}");
    }
}
