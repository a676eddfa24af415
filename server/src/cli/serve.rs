//! `palabre serve`: from settings to a running hub, until a signal ends it.

use crate::{
    chat::{self, Chat, Chats},
    cli::{notify, signals::Signals},
    config::{self, Flags, Loaded, LogFormat, environment},
    descriptors,
    drain::{DrainPlan, Drained},
    http,
    hub::Hub,
    layers, listen,
    observe::{self, logs::Look},
    people::GuestGate,
};
use anyhow::Context;
use axum::Router;
use palabre_protocol::Limits;
use std::{env, io, io::Write, net::TcpListener, pin::pin, process::ExitCode, sync::Arc};

/// Where WebSockets are.
const SOCKET_PATH: &str = "/ws";

/// Serves until SIGTERM or SIGINT; a second one ends it at once.
pub(crate) async fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let here = env::current_dir().context("the working directory")?;
    let Loaded { settings, warnings, .. } = config::load(&flags, environment(), &here)?;
    let look = match settings.log.format {
        LogFormat::Text => Look::Text,
        LogFormat::Json => Look::Json,
    };
    observe::logs::init(env::var("PALABRE_LOG").ok().as_deref(), look)?;
    for warning in warnings {
        tracing::warn!(event = "config.warning", "{warning}");
    }
    let limits = Limits::default();
    // The port comes first: a node that cannot listen must not touch Redis.
    let listen = settings.server.listen;
    let listener = listen::bind_with(listen, settings.server.backlog)
        .with_context(|| format!("cannot listen on {listen}"))?;
    descriptors::raise(listen::crowd::connections_max);
    let plan = &settings.drain;
    let plan = DrainPlan { delay: plan.delay, window: plan.window, rate: plan.rate, timeout: plan.timeout };
    let (layer, state) = layers::layer(&settings)?;
    let chats = Chats::new(Arc::clone(&layer), state, &settings.limits);
    let texts = Arc::new(limits);
    let mut builder = Hub::builder(layer);
    if !settings.presence.enabled {
        builder = builder.without_presence();
    }
    let hub = builder
        .server(settings.server.clone())
        .drain_plan(plan)
        .rates(settings.limits)
        .degraded_policy(settings.layer.degraded_policy)
        .gate(GuestGate::new(settings.auth.secret.as_ref(), limits))
        .mount(chat::PREFIX, move |_| Chat::new(Arc::clone(&texts)).sharing(&chats))
        .start()?;
    let (node, id) = (hub.node(), settings.node.id.as_ref().map(tracing::field::display));
    tracing::info!(event = "hub.started", node, id, version = env!("CARGO_PKG_VERSION"), "the hub is up");
    let app = http::router(&hub, &settings);
    // Whoever reads where the hub is may end it the next moment, and has it drained.
    let signals = Signals::listen()?;
    announce(&listener)?;
    until_signalled(&hub, listener, app, signals).await
}

async fn until_signalled(
    hub: &Hub,
    listener: TcpListener,
    app: Router,
    mut signals: Signals,
) -> anyhow::Result<ExitCode> {
    notify::listening();
    let mut serving = pin!(hub.serve(listener, SOCKET_PATH, app));
    tokio::select! {
        // It ends by itself only when it cannot go on.
        served = &mut serving => {
            served?;
            return Ok(ExitCode::SUCCESS);
        }
        _ = signals.next() => {}
    }
    let connections = hub.connections();
    tracing::info!(event = "hub.draining", connections, "telling the clients to come back elsewhere");
    notify::going();
    // New clients may be taken in for a while yet, so both go on.
    let drained = async { tokio::join!(hub.drain(), serving).0 };
    tokio::select! {
        drained = drained => match drained {
            Drained::Whole => {
                tracing::info!(event = "hub.drained", "every client has left");
                Ok(ExitCode::SUCCESS)
            }
            Drained::CutOff(connections) => {
                tracing::warn!(event = "drain.timed_out", connections, "time is up; whoever is left is cut off");
                Ok(ExitCode::FAILURE)
            }
        },
        code = signals.next() => {
            let connections = hub.connections();
            tracing::warn!(event = "drain.cut_short", connections, "told again to end; whoever is left is cut off");
            Ok(code)
        }
    }
}

/// Says where the hub is: the one line that is printed, for people and for scripts.
fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{}", listener.local_addr()?)?;
    out.flush()?;
    Ok(())
}
