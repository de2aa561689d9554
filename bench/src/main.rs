//! Benchmarks: one JSON line per result on standard output, each can be pointed at a peer.
//!
//! Each module is one family and has `pub fn run(args: &[String]) -> anyhow::Result<()>`.

mod api;
mod flow;
mod ipc;
mod mqtt;
mod pipe;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((family, rest)) = arguments.split_first() else {
        anyhow::bail!("usage: marram-bench FAMILY [options]; families: {}", names());
    };
    match FAMILIES.iter().find(|(name, _)| name == family) {
        Some((_, run)) => run(rest),
        None => anyhow::bail!("no benchmark family {family}; there are: {}", names()),
    }
}

type Run = fn(&[String]) -> anyhow::Result<()>;

/// Every family, by name.
const FAMILIES: &[(&str, Run)] =
    &[("api", api::run), ("flow", flow::run), ("ipc", ipc::run), ("mqtt", mqtt::run), ("pipe", pipe::run)];

fn names() -> String {
    FAMILIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
