//! A block device that remembers every write and every flush, and that can be told to fail: what
//! dm-log-writes and dm-flakey are, for machines without a device mapper.
//!
//! A process of its own serves, over the kernel's FUSE protocol, a file system with one file; a loop
//! device makes a block device of that file. The loop device writes what the file system above it
//! writes, and syncs the file where that flushes: each is a request, and is noted before it is answered.
//!
//! The process is this test binary again, told by the environment to run [`server`] as its only test. It
//! is a process of its own because one that waits for a disk cannot always serve it.
#![expect(clippy::host_endian_bytes, reason = "the kernel speaks as its machine does")]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use crate::mounted::unmount;

const IMAGE: &str = "STEADFAST_TEST_RECORDER_IMAGE";

/// What the device does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// What it should.
    Works = 0,
    /// Writes and flushes fail.
    FailsWrites = 1,
    /// Everything fails.
    Fails = 2,
    /// Writes and flushes are said to have succeeded, and nothing happens.
    Lies = 3,
}

const ANSWERS: [Answer; 4] = [Answer::Works, Answer::FailsWrites, Answer::Fails, Answer::Lies];

/// What happened to the device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Everything before it is durable.
    Flush,
}

/// A device; its image is the file that it was made of.
#[derive(Debug)]
pub(crate) struct Recorder {
    dir: TempDir,
    log: PathBuf,
    process: Child,
    orders: Option<ChildStdin>,
    done: BufReader<ChildStdout>,
}

impl Recorder {
    /// A device of the file `image`; `None` where that needs rights that this process lacks.
    pub(crate) fn of(image: &Path) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let device = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let mounted = Command::new("mount")
            .args([
                "-i",
                "-t",
                "fuse",
                "-o",
                "fd=0,rootmode=40000,user_id=0,group_id=0",
                "recorder",
            ])
            .arg(dir.path())
            .stdin(device.try_clone().expect("a descriptor"))
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        let log = image.with_extension("log");
        // The requests come by its standard error: both other streams carry words.
        let mut process = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["recorder::server", "--exact", "--nocapture", "--test-threads=1"])
            .env(IMAGE, image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(device)
            .spawn()
            .expect("this binary can be run");
        let orders = process.stdin.take();
        let mut done = BufReader::new(process.stdout.take().expect("piped"));
        wait_for("serves", &mut done);
        Some(Self { dir, log, process, orders, done })
    }

    /// The file that stands for the device.
    pub(crate) fn device(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    /// From now on it answers so.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let orders = self.orders.as_mut().expect("open");
        writeln!(orders, "{}", answer as u8).expect("it listens");
        wait_for("obeys", &mut self.done);
    }

    /// How far its record goes: what is acknowledged now was caused by what lies before.
    pub(crate) fn now(&self) -> u64 {
        fs::metadata(&self.log).expect("it records").len()
    }

    /// Everything that happened, with the length of the record behind it.
    pub(crate) fn events(&self) -> Vec<(u64, Event)> {
        let mut record = BufReader::new(File::open(&self.log).expect("it records"));
        let (mut events, mut at) = (Vec::new(), 0);
        let mut head = [0; HEAD];
        while record.read_exact(&mut head).is_ok() {
            let (kind, offset, len) = (head[0], word(&head, 1), word(&head, 9));
            at += HEAD as u64 + len;
            let mut bytes = vec![0; usize::try_from(len).expect("short")];
            record.read_exact(&mut bytes).expect("events are noted whole");
            let event = if kind == b'w' { Event::Write { offset, bytes } } else { Event::Flush };
            events.push((at, event));
        }
        events
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // The loop device lets go of its file a moment after its file system was unmounted.
        let unmounted = unmount(self.dir.path());
        if !unmounted {
            // Nobody waits for what does not end.
            drop(self.process.kill());
        }
        drop(self.orders.take());
        let ended = self.process.wait();
        assert!(unmounted, "nothing uses it any more");
        assert!(ended.is_ok_and(|status| status.success()), "it ends with its file system");
    }
}

fn wait_for(word: &str, lines: &mut BufReader<ChildStdout>) {
    let mut line = String::new();
    while line.trim_end() != word {
        line.clear();
        let len = lines.read_line(&mut line).expect("text");
        assert!(len > 0, "the device's process has ended");
    }
}

/// An event in the record: what, where and how long, before the bytes.
const HEAD: usize = 17;

/// The only file.
const NAME: &str = "disk";
const ROOT_NODE: u64 = 1;
const NODE: u64 = 2;

/// The most that is written by one request, and room for what comes with it.
const WRITE_MAX: u32 = 1 << 20;
const REQUEST_MAX: usize = (1 << 20) + (1 << 16);

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map(u64::from_ne_bytes).expect("8 bytes")
}

fn half(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map(u32::from_ne_bytes).expect("4 bytes")
}

/// Numbers of `linux/fuse.h` and `errno.h`.
mod fuse {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;

    pub(super) const BIG_WRITES: u32 = 1 << 5;
    pub(super) const MAX_PAGES: u32 = 1 << 22;
    /// Nothing of the file is cached above: a device has no page cache.
    pub(super) const DIRECT_IO: u32 = 1;

    pub(super) const ENOENT: i32 = 2;
    pub(super) const EIO: i32 = 5;
    pub(super) const ENODEV: i32 = 19;
    pub(super) const ENOSYS: i32 = 38;
}

/// A request, without the header's parts that nobody needs here.
struct Request<'a> {
    code: u32,
    id: u64,
    node: u64,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (code, id, node) = (half(bytes, 4), word(bytes, 8), word(bytes, 16));
        Self { code, id, node, body: &bytes[40..] }
    }
}

/// The process that serves the file.
struct Server {
    image: File,
    len: u64,
    log: BufWriter<File>,
    answer: Arc<AtomicU8>,
}

type Reply = Result<Vec<u8>, i32>;

impl Server {
    /// What to reply; `None` if nothing.
    fn reply(&mut self, request: &Request<'_>) -> Option<Reply> {
        let body = request.body;
        Some(match request.code {
            fuse::FORGET | fuse::BATCH_FORGET | fuse::INTERRUPT => return None,
            fuse::INIT => Ok(init(half(body, 8))),
            fuse::LOOKUP if body == b"disk\0" => {
                let entry = [NODE, 0, 60, 60, 0];
                Ok([bytes_of(&entry), self.attributes(NODE)].concat())
            }
            fuse::LOOKUP => Err(fuse::ENOENT),
            fuse::GETATTR => Ok([bytes_of(&[60, 0]), self.attributes(request.node)].concat()),
            fuse::OPEN => Ok([0, 0, fuse::DIRECT_IO, 0].map(u32::to_ne_bytes).concat()),
            fuse::READ => self.read(word(body, 8), half(body, 16)),
            fuse::WRITE => self.write(word(body, 8), half(body, 16), &body[40..]),
            fuse::FSYNC => self.flush(),
            fuse::STATFS => Ok(vec![0; 80]),
            fuse::RELEASE | fuse::FLUSH | fuse::DESTROY => Ok(Vec::new()),
            _ => Err(fuse::ENOSYS),
        })
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (len, mode) = if node == ROOT_NODE { (0, 0o40_700) } else { (self.len, 0o100_600) };
        let words = bytes_of(&[node, len, len / 512, 0, 0, 0]);
        let halves = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].map(u32::to_ne_bytes).concat();
        [words, halves].concat()
    }

    fn answer(&self) -> Answer {
        ANSWERS[usize::from(self.answer.load(Ordering::SeqCst))]
    }

    fn read(&self, offset: u64, len: u32) -> Reply {
        if self.answer() == Answer::Fails {
            return Err(fuse::EIO);
        }
        let len = u64::from(len).min(self.len.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(len).expect("short")];
        self.image.read_exact_at(&mut bytes, offset).map_err(|_| fuse::EIO)?;
        Ok(bytes)
    }

    fn write(&mut self, offset: u64, len: u32, bytes: &[u8]) -> Reply {
        let bytes = &bytes[..usize::try_from(len).expect("short")];
        match self.answer() {
            Answer::FailsWrites | Answer::Fails => return Err(fuse::EIO),
            Answer::Lies => {}
            Answer::Works => {
                self.image.write_all_at(bytes, offset).expect("room");
                self.note(b'w', offset, bytes);
            }
        }
        Ok([len, 0].map(u32::to_ne_bytes).concat())
    }

    fn flush(&mut self) -> Reply {
        match self.answer() {
            Answer::FailsWrites | Answer::Fails => return Err(fuse::EIO),
            Answer::Lies => {}
            Answer::Works => self.note(b'f', 0, &[]),
        }
        Ok(Vec::new())
    }

    fn note(&mut self, kind: u8, offset: u64, bytes: &[u8]) {
        let head = [&[kind][..], &bytes_of(&[offset, bytes.len() as u64])].concat();
        let noted = self.log.write_all(&head).and_then(|()| self.log.write_all(bytes));
        noted.and_then(|()| self.log.flush()).expect("room");
    }

    /// Until the file system is unmounted.
    fn serve(&mut self, requests: &File) {
        let mut buffer = vec![0; REQUEST_MAX];
        loop {
            let len = match (&*requests).read(&mut buffer) {
                Ok(len) => len,
                Err(error) if error.raw_os_error() == Some(fuse::ENODEV) => return,
                // Whoever asked has been killed meanwhile.
                Err(_) => continue,
            };
            let request = Request::of(&buffer[..len]);
            let Some(reply) = self.reply(&request) else { continue };
            let (error, bytes) = match reply {
                Ok(bytes) => (0, bytes),
                Err(error) => (-error, Vec::new()),
            };
            let len = u32::try_from(16 + bytes.len()).expect("short");
            let head = [len.to_ne_bytes(), error.to_ne_bytes()].concat();
            let reply = [head, bytes_of(&[request.id]), bytes].concat();
            // Nobody waits for it any more, or it is taken whole.
            drop((&*requests).write_all(&reply));
        }
    }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The protocol's version 7.31, large writes, and no cache of what is to be written.
fn init(offered: u32) -> Vec<u8> {
    let flags = offered & (fuse::BIG_WRITES | fuse::MAX_PAGES);
    let mut reply = [7, 31, 0, flags].map(u32::to_ne_bytes).concat();
    reply.extend([16, 12].map(u16::to_ne_bytes).concat());
    reply.extend([WRITE_MAX, 1].map(u32::to_ne_bytes).concat());
    reply.extend([256, 0].map(u16::to_ne_bytes).concat());
    reply.resize(64, 0);
    reply
}

/// Tells the parent.
fn tell(line: &str) {
    let mut out = io::stdout().lock();
    let _told = writeln!(out, "\n{line}").and_then(|()| out.flush());
}

/// The device's process. Without a parent it is an empty test.
#[test]
fn server() {
    let Some(image) = std::env::var_os(IMAGE) else { return };
    let image = PathBuf::from(image);
    let log = File::create(image.with_extension("log")).expect("room");
    let image = File::options().read(true).write(true).open(image).expect("there");
    let len = image.metadata().expect("there").len();
    let answer = Arc::new(AtomicU8::new(Answer::Works as u8));
    let orders = Arc::clone(&answer);
    std::thread::spawn(move || {
        for order in io::stdin().lines().map_while(Result::ok) {
            orders.store(order.parse().expect("a number"), Ordering::SeqCst);
            tell("obeys");
        }
    });
    let requests = io::stderr().as_fd().try_clone_to_owned().expect("it was given");
    tell("serves");
    let mut server = Server { image, len, log: BufWriter::new(log), answer };
    server.serve(&File::from(requests));
}
