//! Serves all misbehaviours on 127.0.0.1, and prints where, until it is interrupted.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use statuspulse_hostile::{At, all};
use statuspulse_kit::{Authority, Receiver, ReceiverOptions};

/// Receivers that misbehave. Point a sender of webhooks at each of the printed URLs.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first port; those with faults of TLS get the ones after it. By default all are free ones.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Serve https, and write the certificate of the authority to this file, which the sender must trust.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { mut port, ca } = Arguments::parse();
    drop(rustls::crypto::ring::default_provider().install_default());
    let authority = Authority::fresh()?;
    let options = match &ca {
        Some(file) => {
            std::fs::write(file, authority.ca_pem())?;
            ReceiverOptions::tls(authority.issue(statuspulse_kit::CertificateSpec::Good)?)
        }
        None => ReceiverOptions::plain(),
    };
    let first = Receiver::start(ReceiverOptions { port, ..options })?;
    let mut others = vec![];
    let mut out = std::io::stdout();
    for misbehaviour in all() {
        let url = match &misbehaviour.at {
            At::Path(path, behaviour) => {
                first.behaviour(path, behaviour.clone());
                first.url(path)
            }
            At::Port(_, certificate) => {
                port = if port == 0 { 0 } else { port + 1 };
                let own = certificate.issued_by(&authority)?;
                let receiver = Receiver::start(ReceiverOptions { port, ..ReceiverOptions::tls(own) })?;
                let url = receiver.url("/");
                others.push(receiver);
                url
            }
        };
        writeln!(out, "{url}\t{}; a good sender {}", misbehaviour.what, misbehaviour.good)?;
    }
    writeln!(out, "Ctrl-C ends it.")?;
    Ok(tokio::signal::ctrl_c().await?)
}
