//! A program that answers questions: a JSON object a line to its standard input, one a line from its standard output.

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

/// Longest line that is read; what is longer is no answer.
const LINE_MAX: u64 = 1 << 20;

pub struct Peer {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<std::io::Result<String>>,
    timeout: Duration,
}

impl Peer {
    /// Starts the program. What it writes to its standard error goes to ours.
    pub fn start(program: &[String], timeout: Duration) -> anyhow::Result<Self> {
        let (name, arguments) = program.split_first().context("a program is needed")?;
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let questions = child.stdin.take();
        let stdout = child.stdout.take().context("its standard output")?;
        // One answer at a time is waited for: what comes unasked is not read on.
        let (sender, answers) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            loop {
                let mut line = String::new();
                let read = std::io::Read::take(&mut lines, LINE_MAX).read_line(&mut line);
                let is_last = !matches!(read, Ok(bytes) if bytes > 0);
                if sender.send(read.map(|_| line)).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self { child, questions, answers, timeout })
    }

    pub fn ask(&mut self, question: &Value) -> anyhow::Result<Value> {
        let ended = || anyhow!("the program ended instead of answering {question}");
        let stdin = self.questions.as_mut().ok_or_else(ended)?;
        let sent = writeln!(stdin, "{question}").and_then(|()| stdin.flush());
        sent.map_err(|_| ended())?;
        let line = match self.answers.recv_timeout(self.timeout) {
            Ok(line) => line.context("read an answer")?,
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {:?} to {question}", self.timeout),
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
        };
        if line.is_empty() {
            return Err(ended());
        }
        serde_json::from_str(&line).map_err(|error| anyhow!("no JSON object in answer to {question}: {error}: {line}"))
    }

    /// Closes its standard input, which is how it learns that nothing more is asked.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.questions = None;
        match self.answers.recv_timeout(self.timeout) {
            Ok(Ok(line)) if !line.is_empty() => bail!("the program said something that was not asked: {line}"),
            Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; one that has not gets no second chance.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
