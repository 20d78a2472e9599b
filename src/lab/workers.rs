//! Workers as processes: started, killed where the schedule says, started again. Blocks its thread.

use super::worker::{Job, READY_TO_DIE};
use anyhow::{Context, bail, ensure};
use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// How a worker is started: this very program with the arguments that it was started with, and a job.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

/// A process that does not outlive this value. It ends by itself, too, when the pipe to it breaks.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the lives of one worker, one after the other. Gives how many were killed.
///
/// # Errors
/// A life ends otherwise than it should.
pub fn run_lives(command: &WorkerCommand, lives: &[Job]) -> anyhow::Result<u32> {
    let mut killed = 0;
    for job in lives {
        let name = || format!("worker {} of way {}, life {}", job.worker + 1, job.way.letter(), job.life);
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .arg("--worker")
            .arg(serde_json::to_string(job)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", command.program.display()))?;
        let output = child.stdout.take();
        let mut running = Running(child);
        if job.death.is_some() {
            let mut line = String::new();
            BufReader::new(output.context("the worker has an output")?).read_line(&mut line)?;
            if line.trim_end() != READY_TO_DIE {
                bail!("{} came to an end before it was to die: see its error above, or give more --orders", name());
            }
            running.0.kill().with_context(|| format!("kill {}", name()))?;
            running.0.wait()?;
            killed += 1;
        } else {
            // A lifeline that closes ends the worker: it stays open until the end.
            let lifeline = running.0.stdin.take();
            let status = running.0.wait()?;
            drop(lifeline);
            ensure!(status.success(), "{} ended with {status}", name());
        }
    }
    Ok(killed)
}
