//! The swarm against the limit, as processes: everything arrives, and both programs end by themselves.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use palabre_benches::plan::{Plan, Shape};
use palabre_benches::program::Program;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(20);

/// What the limit says that it has sent, and what the swarm has received.
fn run(plan: &Plan, frame_bytes: u32, how: &[&str]) -> Result<(Value, Value)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limit"));
    command.args(["--frame-bytes", &frame_bytes.to_string()]).args(plan.flags());
    let mut limit = Program::start(command.args(how))?;
    let address = limit.line("listening on ", DEADLINE)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm"));
    let mut swarm = Program::start(command.args(["load", "--limit", &address]).args(plan.flags()))?;
    swarm.line("ready", DEADLINE)?;
    limit.line("ready", DEADLINE)?;
    swarm.begin()?;
    limit.begin()?;
    let received = figures(&swarm)?;
    let sent = figures(&limit)?;
    swarm.finish(DEADLINE)?;
    limit.finish(DEADLINE)?;
    Ok((sent, received))
}

fn figures(program: &Program) -> Result<Value> {
    Ok(serde_json::from_str(&format!("{{{}", program.line("{", DEADLINE)?))?)
}

fn assert_all_arrived(plan: &Plan, frame_bytes: u32, how: &[&str]) {
    let (sent, received) = run(plan, frame_bytes, how).expect("both programs run to their end");
    assert_eq!(sent["deliveries"], plan.deliveries());
    assert_eq!(received["deliveries"], plan.deliveries());
    assert_eq!(received["frame_bytes"], frame_bytes);
    for fault in ["lost", "out_of_order", "duplicated", "foreign", "closed"] {
        assert_eq!(received[fault], 0, "{fault}: {received}");
    }
}

#[test]
fn a_fan_out_reaches_every_member_once_and_in_order() {
    assert_all_arrived(
        &Plan { shape: Shape::Fanout, members: 20, groups: 1, rate: 100, seconds: 1 },
        400,
        &[],
    );
}

#[test]
fn many_groups_each_get_their_own_messages() {
    assert_all_arrived(
        &Plan { shape: Shape::Groups, members: 3, groups: 7, rate: 500, seconds: 1 },
        127,
        &[],
    );
}

#[test]
fn what_is_due_together_may_be_one_write_and_still_comes_in_order() {
    // More than the clock's ticks between two waits: some are always due together.
    let many = Plan { shape: Shape::Groups, members: 3, groups: 7, rate: 50_000, seconds: 1 };
    assert_all_arrived(&many, 127, &["--coalesce"]);
}

#[test]
fn the_limit_answers_what_an_arrival_says_first() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limit"));
    let plan = Plan { shape: Shape::Groups, members: 30, groups: 1, rate: 1, seconds: 1 };
    command.args(["--frame-bytes", "200", "--answers", "612,207"]).args(plan.flags());
    let limit = Program::start(&mut command).unwrap();
    let address = limit.line("listening on ", DEADLINE).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm"));
    command.args(["idle", "--limit", &address, "--sockets", "30", "--at-once", "20"]);
    let mut swarm = Program::start(&mut command).unwrap();
    swarm.line("ready", DEADLINE).unwrap();
    swarm.begin().unwrap();
    let arrived = figures(&swarm).unwrap();
    assert_eq!((&arrived["sockets"], &arrived["closed"]), (&Value::from(30), &Value::from(0)));
    assert_eq!((&arrived["welcome_bytes"], &arrived["joined_bytes"]), (&Value::from(612), &Value::from(207)));
    swarm.finish(DEADLINE).unwrap();
}

#[test]
fn a_frame_length_that_no_frame_can_have_is_refused() {
    let plan = Plan { shape: Shape::Fanout, members: 1, groups: 1, rate: 1, seconds: 1 };
    for frame_bytes in ["20", "129"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limit"));
        // A backtrace would fill the lines that are kept of its last words.
        command.env("RUST_BACKTRACE", "0").args(["--frame-bytes", frame_bytes]).args(plan.flags());
        let limit = Program::start(&mut command).unwrap();
        let refused = limit.finish(DEADLINE).unwrap_err().to_string();
        assert!(refused.contains(frame_bytes), "{refused}");
    }
}
