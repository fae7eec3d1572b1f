//! What TLS under the links costs: the same over TCP alone and over TCP with TLS, in turns.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_benches::{Args, Pair, median, timed};
use steadfast_ha_certificates::Authority;
use steadfast_ha_transport::{
    Event, Frame, Lane, LinkId, NodeId, Policy, SendError, TcpOptions, TcpTransport, Tls, Transport,
};

use crate::{GROUP, LONG_LEASE, Nodes, RECORD, Result};

const DOMAIN: &str = "bench";

/// The options of a node, with a certificate of its own.
fn secured(authority: &Authority, node: NodeId) -> Result<TcpOptions> {
    let own = authority.node(node.0, GROUP, DOMAIN);
    let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
    let mut options = TcpOptions::new(GROUP);
    options.tls = Some(Tls::from_pem(DOMAIN, authority.pem().as_bytes(), certificate, key)?);
    Ok(options)
}

/// Two transports with a link.
struct Linked {
    ends: [(TcpTransport, LinkId); 2],
}

fn next(transport: &mut TcpTransport) -> Result<Event> {
    let event = transport.poll(Some(Instant::now() + Duration::from_secs(10)));
    event.ok_or_else(|| "nothing comes".into())
}

impl Linked {
    fn new(options: impl Fn(NodeId) -> Result<TcpOptions>) -> Result<Self> {
        let bind =
            |node| -> Result<_> { Ok(TcpTransport::bind(node, "127.0.0.1:0", options(node)?)?) };
        let link = |transport: TcpTransport| -> Result<_> {
            let mut transport = transport;
            loop {
                if let Event::LinkUp { link, .. } = next(&mut transport)? {
                    return Ok((transport, link));
                }
            }
        };
        let (mut one, two) = (bind(NodeId(1))?, bind(NodeId(2))?);
        one.dial(NodeId(2), &two.address().to_string())?;
        Ok(Self { ends: [link(one)?, link(two)?] })
    }

    /// A frame there and back again, so many times; how long one takes.
    fn round_trips(&mut self, count: u32, frame: &Frame) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..count {
            for (from, to) in [(0, 1), (1, 0)] {
                let (transport, link) = &mut self.ends[from];
                transport.try_send(*link, Lane::Control, Arc::clone(frame))?;
                while !matches!(next(&mut self.ends[to].0)?, Event::Frame { .. }) {}
            }
        }
        Ok(start.elapsed() / count)
    }

    /// So many frames one way, as many under way as there may be.
    fn stream(&mut self, count: u32, frame: &Frame) -> Result<Duration> {
        let [(from, link), (to, _)] = &mut self.ends;
        let (result, time) = timed(|| {
            std::thread::scope(|scope| {
                let reading = scope.spawn(|| {
                    let mut came = 0;
                    while came < count {
                        let event = to.poll(Some(Instant::now() + Duration::from_secs(10)));
                        came += match event {
                            None => return false,
                            Some(event) => u32::from(matches!(event, Event::Frame { .. })),
                        };
                    }
                    true
                });
                let mut sent = 0;
                while sent < count {
                    match from.try_send(*link, Lane::Journal, Arc::clone(frame)) {
                        Ok(()) => sent += 1,
                        Err(SendError::Full(_)) => {
                            from.poll(Some(Instant::now() + Duration::from_millis(100)));
                        }
                        Err(_) => return false,
                    }
                }
                reading.join().unwrap_or(false)
            })
        });
        if result { Ok(time) } else { Err("a frame is missing".into()) }
    }
}

pub(crate) fn run(args: Args, dir: &Path) -> Result<()> {
    let authority = Authority::new("bench");
    let with = |node| secured(&authority, node);
    let without = |_| Ok(TcpOptions::new(GROUP));
    let (mut tls, mut plain) = (Linked::new(with)?, Linked::new(without)?);
    let rounds = args.samples.max(5) * 4;
    let each = if args.quick { 500 } else { 2000 };
    let small: Frame = vec![7; RECORD].into();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let times = (tls.round_trips(each, &small)?, plain.round_trips(each, &small)?);
        // The first ones find everything cold.
        if round > 0 {
            ours.push(times.0);
            theirs.push(times.1);
        }
    }
    Pair {
        work: "TLS: a frame of 100 bytes there and back",
        size: u64::from(each),
        against: "TCP alone",
        ours: median(&mut ours) * 1e6,
        theirs: median(&mut theirs) * 1e6,
        unit: "µs",
        higher_is_better: false,
        target: Some(1.0 / 1.3),
    }
    .print();

    let (count, bytes) = (if args.quick { 2000 } else { 20_000 }, 100 * RECORD);
    let large: Frame = vec![7; bytes].into();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds / 2 {
        ours.push(tls.stream(count, &large)?);
        theirs.push(plain.stream(count, &large)?);
    }
    #[expect(clippy::cast_precision_loss, reason = "some hundreds of megabytes")]
    let rate = |times: &mut Vec<Duration>| f64::from(count) * bytes as f64 / 1e6 / median(times);
    Pair {
        work: "TLS: frames of 10 KB one way, nothing else is done",
        size: u64::from(count),
        against: "TCP alone",
        ours: rate(&mut ours),
        theirs: rate(&mut theirs),
        unit: "MB/s",
        higher_is_better: true,
        target: None,
    }
    .print();

    groups(args, dir, &authority)
}

/// Batches into groups, as much as they take.
fn groups(args: Args, dir: &Path, authority: &Authority) -> Result<()> {
    for (records, each, batches) in [("one record", 1, 20_000_u64), ("100 records", 100, 4_000)] {
        let batches = if args.quick { batches / 10 } else { batches };
        let dir = |name: &str| dir.join(format!("{name} {records}"));
        let with = Nodes::start_with(&dir("tls"), 3, Policy::SemiSync(1), LONG_LEASE, |node| {
            secured(authority, node)
        })?;
        let without = Nodes::start_with(&dir("tcp"), 3, Policy::SemiSync(1), LONG_LEASE, |_| {
            Ok(TcpOptions::new(GROUP))
        })?;
        let payload: Arc<[u8]> = vec![7; RECORD * each].into();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..args.samples {
            ours.push(with.stream(batches, &payload)?);
            theirs.push(without.stream(batches, &payload)?);
        }
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = |times: &mut Vec<Duration>| (batches * each as u64) as f64 / median(times);
        Pair {
            work: &format!("TLS: batches of {records}, one of two followers"),
            size: batches,
            against: "TCP alone",
            ours: rate(&mut ours),
            theirs: rate(&mut theirs),
            unit: "records/s",
            higher_is_better: true,
            target: Some(0.8),
        }
        .print();
    }
    Ok(())
}
