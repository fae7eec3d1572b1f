//! What carries a link's bytes, and what is said on it first.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::refusal::Refusal;
use super::{Shared, TcpOptions};
use crate::ids::NodeId;

/// What both sides send first: this, the group (8 bytes, little-endian) and the node (4).
const PREFACE: [u8; 4] = *b"SFH\x01";
const PREFACE_BYTES: usize = 16;
/// How long a connection that was refused is there for the other side to hear why.
#[cfg(feature = "tls")]
const LINGER: std::time::Duration = std::time::Duration::from_millis(200);

/// TCP, or TLS on it.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<super::tls::Session>),
}

impl Wire {
    pub(super) fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.stream(),
        }
    }

    /// Writes both, in one call if they are small, so that what is before is no packet of its own. One thread writes.
    pub(super) fn write(&self, before: &[u8], long: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => {
                let mut stream = stream;
                if long.is_empty() {
                    return stream.write_all(before);
                }
                let written = stream.write_vectored(&[IoSlice::new(before), IoSlice::new(long)])?;
                if written < before.len() {
                    stream.write_all(&before[written..])?;
                }
                stream.write_all(&long[written.saturating_sub(before.len())..])
            }
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.write(before, long),
        }
    }

    /// What comes. One thread reads.
    pub(super) fn reader(&self) -> Reader<'_> {
        match self {
            Self::Plain(stream) => Reader::Plain(stream),
            #[cfg(feature = "tls")]
            Self::Tls(session) => Reader::Tls(session.reader()),
        }
    }
}

/// What comes over a wire.
pub(super) enum Reader<'a> {
    Plain(&'a TcpStream),
    #[cfg(feature = "tls")]
    Tls(super::tls::Reader<'a>),
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            #[cfg(feature = "tls")]
            Self::Tls(reader) => reader.read(into),
        }
    }
}

/// A connection whose other side has so long to say who it is: all in all, not with each byte.
#[derive(Debug)]
pub(super) struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<std::time::Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(into)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an error says of the other side.
pub(super) fn lost(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Refusal::Silent,
        _ => Refusal::HungUp(error.to_string()),
    }
}

/// Says who this is, and hears who the other one is; with TLS, only behind the handshake.
pub(super) fn greet(
    stream: TcpStream,
    shared: &Shared,
    dialed: Option<NodeId>,
) -> Result<(Wire, NodeId), Refusal> {
    let options = &shared.options;
    let refused = |error: io::Error| lost(&error);
    stream.set_nodelay(true).map_err(refused)?;
    let until = Instant::now() + options.handshake;
    let own = preface(options, shared.local);
    #[cfg(feature = "tls")]
    if let Some(tls) = &options.tls {
        let timed = Timed { stream: &stream, until };
        let met = tls.shake_hands(timed, options.group, dialed).and_then(|mut greeting| {
            let theirs = exchange(&mut greeting, &own);
            let theirs = theirs.map_err(|error| super::tls::refusal(&error))?;
            let peer = peer(&own, &theirs, dialed)?;
            let connection = greeting.end();
            tls.is_for(&connection, peer, options.group)?;
            Ok((connection, peer))
        });
        let (connection, peer) = met.inspect_err(|_| linger(&stream))?;
        unlimited(&stream).map_err(refused)?;
        let session = super::tls::Session::new(stream, connection);
        return Ok((Wire::Tls(Box::new(session)), peer));
    }
    let theirs = exchange(&mut Timed { stream: &stream, until }, &own).map_err(refused)?;
    let peer = peer(&own, &theirs, dialed)?;
    unlimited(&stream).map_err(refused)?;
    Ok((Wire::Plain(stream), peer))
}

fn preface(options: &TcpOptions, local: NodeId) -> [u8; PREFACE_BYTES] {
    let mut preface = [0; PREFACE_BYTES];
    preface[..4].copy_from_slice(&PREFACE);
    preface[4..12].copy_from_slice(&options.group.to_le_bytes());
    preface[12..].copy_from_slice(&local.0.to_le_bytes());
    preface
}

fn exchange(over: &mut (impl Read + Write), own: &[u8]) -> io::Result<[u8; PREFACE_BYTES]> {
    over.write_all(own)?;
    over.flush()?;
    let mut theirs = [0; PREFACE_BYTES];
    over.read_exact(&mut theirs)?;
    Ok(theirs)
}

/// Who says this, if it is a node of the same group and the one that was dialed.
fn peer(own: &[u8], theirs: &[u8], dialed: Option<NodeId>) -> Result<NodeId, Refusal> {
    let (magic, group, node) = (&theirs[..4], &theirs[4..12], &theirs[12..]);
    if magic != PREFACE {
        return Err(Refusal::NoNode);
    }
    if *group != own[4..12] {
        return Err(Refusal::OtherGroup(u64::from_le_bytes(group.try_into().unwrap_or_default())));
    }
    let node = NodeId(u32::from_le_bytes(node.try_into().unwrap_or_default()));
    if dialed.is_some_and(|dialed| dialed != node) {
        return Err(Refusal::OtherNode(node));
    }
    Ok(node)
}

/// Lets the other side hear why it was refused: a connection that is closed with something unread is reset, and what was
/// said last is lost.
#[cfg(feature = "tls")]
fn linger(stream: &TcpStream) {
    let until = Instant::now() + LINGER;
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut timed = Timed { stream, until };
    let mut some = [0; 1024];
    while let Ok(1..) = timed.read(&mut some) {}
}

fn unlimited(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)
}
