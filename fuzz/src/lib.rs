//! Fuzz targets: one plain function per parser, replayed over the stored corpus by the test suite.
//!
//! Each target is a file with `pub fn run(data: &[u8])`, listed in [`TARGETS`]; its seeds are the files under
//! `corpus/NAME/`. `make test` replays every seed; `make fuzz` runs libFuzzer over the same functions (`libfuzzer/`).

mod access_control;
mod archive;
mod arn;
mod aws_chunked;
mod checkpoint;
mod console;
mod console_language;
mod core_cli;
mod core_settings;
mod deployment;
mod egress;
mod eventstream;
mod expr;
mod flow;
mod flow_package;
mod ipc_request;
mod job_request;
mod json_body;
mod log_pattern;
mod modbus;
mod mqtt;
mod passkey;
mod payload;
mod pki;
mod policy;
mod provisioning_cbor;
mod provisioning_template;
mod proxy;
mod recipe;
mod route;
mod s3_xml;
mod session_log;
mod shadow;
mod signed_document;
mod sigv4;
mod tdm;
mod tlog;
mod token;
mod topic_filter;
mod version;

/// A parser under test: its name (also its corpus folder) and the function to feed.
pub struct Target {
    /// Folder name under `corpus/`.
    pub name: &'static str,
    /// Must not panic, hang or grow without bound, whatever the bytes.
    pub run: fn(&[u8]),
}

/// Every target, sorted by name. A parser without a line here is not fuzzed.
pub const TARGETS: &[Target] = &[
    Target { name: "access_control", run: access_control::run },
    Target { name: "archive", run: archive::run },
    Target { name: "arn", run: arn::run },
    Target { name: "aws_chunked", run: aws_chunked::run },
    Target { name: "checkpoint", run: checkpoint::run },
    Target { name: "console", run: console::run },
    Target { name: "console_language", run: console_language::run },
    Target { name: "core_cli", run: core_cli::run },
    Target { name: "core_settings", run: core_settings::run },
    Target { name: "deployment", run: deployment::run },
    Target { name: "egress", run: egress::run },
    Target { name: "eventstream", run: eventstream::run },
    Target { name: "expr", run: expr::run },
    Target { name: "flow", run: flow::run },
    Target { name: "flow_package", run: flow_package::run },
    Target { name: "ipc_request", run: ipc_request::run },
    Target { name: "job_request", run: job_request::run },
    Target { name: "json_body", run: json_body::run },
    Target { name: "log_pattern", run: log_pattern::run },
    Target { name: "modbus", run: modbus::run },
    Target { name: "mqtt", run: mqtt::run },
    Target { name: "passkey", run: passkey::run },
    Target { name: "payload", run: payload::run },
    Target { name: "pki", run: pki::run },
    Target { name: "policy", run: policy::run },
    Target { name: "provisioning_cbor", run: provisioning_cbor::run },
    Target { name: "provisioning_template", run: provisioning_template::run },
    Target { name: "proxy", run: proxy::run },
    Target { name: "recipe", run: recipe::run },
    Target { name: "route", run: route::run },
    Target { name: "s3_xml", run: s3_xml::run },
    Target { name: "session_log", run: session_log::run },
    Target { name: "shadow", run: shadow::run },
    Target { name: "signed_document", run: signed_document::run },
    Target { name: "sigv4", run: sigv4::run },
    Target { name: "tdm", run: tdm::run },
    Target { name: "tlog", run: tlog::run },
    Target { name: "token", run: token::run },
    Target { name: "topic_filter", run: topic_filter::run },
    Target { name: "version", run: version::run },
];
