//! The multiplexer beside the crate `yamux`, by CPU time of both ends together.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hvym_tunnel_benches::work::CHUNK_BYTES;
use hvym_tunnel_benches::{Contender, Transport, Work, measure};

fn mux(criterion: &mut Criterion) {
    for transport in [Transport::Memory, Transport::Tcp] {
        for streams in [1, 100] {
            let works = [
                ("bulk", Work::Bulk { streams, chunks: 0 }, 4096),
                ("echo", Work::Echo { streams, messages: 0 }, 2000),
                ("open+echo+close", Work::Cycle { streams, cycles: 0 }, 1000),
            ];
            for (name, work, least) in works {
                let mut group = criterion.benchmark_group(format!("{name}/{transport:?}/{streams}"));
                group.throughput(match work {
                    Work::Bulk { .. } => Throughput::Bytes(CHUNK_BYTES as u64),
                    _ => Throughput::Elements(1),
                });
                for contender in [Contender::Ours, Contender::Theirs] {
                    group.bench_function(format!("{contender:?}"), |bencher| {
                        bencher.iter_custom(|n| {
                            // Fewer would measure the beginning and the end of a session.
                            let amount = usize::try_from(n).unwrap_or(usize::MAX).max(least);
                            let took = black_box(measure(work.with_amount(amount), contender, transport));
                            scale(took, n, amount)
                        });
                    });
                }
                group.finish();
            }
        }
    }
}

/// What `n` of the `amount` took.
fn scale(took: Duration, n: u64, amount: usize) -> Duration {
    took.mul_f64(n as f64 / amount as f64)
}

criterion_group!(benches, mux);
criterion_main!(benches);
