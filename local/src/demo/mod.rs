//! `statuspulse demo`: runs a server and a receiver, and shows the product with real requests over TLS on loopback.
//!
//! Each step checks what the product promises. The first check that fails ends the demo with an error.

#![expect(clippy::print_stdout, reason = "the demo prints its steps to standard output")]

mod client;
mod story;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use statuspulse_core::access::Role;
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::Cidr;
use statuspulse_kit::{Authority, CertificateSpec, Receiver, ReceiverOptions};

use crate::arguments::{DemoOptions, ServeOptions};
use crate::keys;
use crate::receive;
use crate::runtimes::Management;
use crate::serve::Server;
use client::Api;
use story::Stage;

/// The port with `--stay`, unless it is in use.
const USUAL_PORT: u16 = 8080;

pub(crate) async fn run(options: DemoOptions, management: Management) -> Result<()> {
    let folder = tempfile::tempdir().context("creating a temporary folder")?;
    let authority = Authority::fresh()?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.ca_pem())?;
    let certificate = authority.issue(CertificateSpec::Good)?;
    let receiver = Receiver::start(ReceiverOptions::tls(certificate))?;
    let data = folder.path().join("data");
    let server = Server::start(serve_options(&data, &ca, &receiver, options.stay), management).await?;
    let operator = keys::create(&data, None, Role::Operator, None).await?;
    let base = format!("http://{}", server.address);
    let api = Api::new(&base, operator.reveal())?;
    let stage = Stage { receiver, api };
    let key = story::run(&stage).await?;
    if options.stay {
        stay(&base, &key, &server.dashboard_link(&key).await?).await?;
    }
    drop(folder);
    server.stop().await
}

fn serve_options(data: &Path, ca: &Path, receiver: &Receiver, stay: bool) -> ServeOptions {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, USUAL_PORT));
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listen = if stay && std::net::TcpListener::bind(usual).is_ok() { usual } else { free };
    ServeOptions {
        listen,
        data: data.to_owned(),
        ladder: Ladder::new(story::LADDER),
        retry_early: true,
        pagerduty_url: receiver.url(story::PAGERDUTY),
        dev_allow_cidr: "127.0.0.0/8".parse::<Cidr>().into_iter().collect(),
        dev_extra_ca: Some(ca.to_owned()),
        slack_url: Some(receiver.url(story::SLACK)),
        public_url: None,
        trusted_proxy: vec![],
        metrics_listen: None,
        egress_ips: vec![],
    }
}

/// Keeps the server running, with a receiver that prints requests, until SIGTERM or SIGINT.
async fn stay(base: &str, key: &str, dashboard: &str) -> Result<()> {
    let receiver = Receiver::start(ReceiverOptions::plain())?;
    println!("{}", story::to_try(base, key, dashboard, &receiver.url("/hooks")));
    receive::print_until_stopped(receiver.arrivals(), &[]).await
}
