//! `palabre serve`: from settings to a running hub, until a signal ends it.

use crate::{
    chat::{self, Chat},
    config::{self, Flags, Loaded, environment},
    descriptors, http,
    hub::Hub,
    layers, listen, observe,
    people::GuestGate,
};
use anyhow::Context;
use palabre_protocol::Limits;
use std::{env, io, io::Write};
use tokio::signal::unix::{SignalKind, signal};

/// Where WebSockets are.
const SOCKET_PATH: &str = "/ws";

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let here = env::current_dir().context("the working directory")?;
    let Loaded { settings, warnings, .. } = config::load(&flags, environment(), &here)?;
    observe::logs::init(env::var("PALABRE_LOG").ok().as_deref())?;
    for warning in warnings {
        tracing::warn!(event = "config.warning", "{warning}");
    }
    let limits = Limits::default();
    // The port comes first: a node that cannot listen must not touch Redis.
    let listen = settings.server.listen;
    let listener = listen::bind_with(listen, settings.server.backlog)
        .with_context(|| format!("cannot listen on {listen}"))?;
    descriptors::raise();
    let hub = Hub::builder(layers::layer(&settings)?)
        .server(settings.server.clone())
        .gate(GuestGate::new(settings.auth.secret.as_ref(), limits))
        .mount(chat::PREFIX, move |_| Chat::new(limits))
        .start()?;
    let (node, id) = (hub.node(), settings.node.id.as_ref().map(tracing::field::display));
    tracing::info!(event = "hub.started", node, id, version = env!("CARGO_PKG_VERSION"), "the hub is up");
    announce(&listener)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        served = hub.serve(listener, SOCKET_PATH, http::router(&hub, &settings)) => served?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(event = "hub.draining", "telling the clients to come back elsewhere");
    hub.drain().await;
    Ok(())
}

/// Says where the hub is: the one line that is printed, for people and for scripts.
fn announce(listener: &std::net::TcpListener) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{}", listener.local_addr()?)?;
    out.flush()?;
    Ok(())
}
