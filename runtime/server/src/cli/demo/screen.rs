//! The person in front of it: what is said goes to standard output, what moves to standard error, so
//! that the last line of standard output is the program's answer. Never what is said.
use std::io::{self, IsTerminal, Write};

/// Says things, and redraws a table in place where there is a terminal.
#[derive(Debug)]
pub(super) struct Screen {
    is_terminal: bool,
    /// Lines of the table that stands on the screen now.
    drawn: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), drawn: 0 }
    }

    /// Whether [`Self::redraw`] can.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The last state of the table, which stays: drawn over the one before, or said where that was only
    /// seen by another reader.
    pub(super) fn conclude(&mut self, lines: &[String]) {
        if self.is_terminal && io::stdout().is_terminal() {
            self.redraw(lines);
        } else {
            self.leave();
            self.say("");
            lines.iter().for_each(|line| self.say(line));
        }
        self.leave();
    }

    /// A line that stays. Whoever closed the pipe does not want to hear it.
    pub(super) fn say(&mut self, text: &str) {
        self.leave();
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).ok();
    }

    /// A line that stays, and is no part of the answer.
    pub(super) fn note(&mut self, text: &str) {
        let erase = self.erase();
        self.drawn = 0;
        let mut err = io::stderr().lock();
        writeln!(err, "{erase}{text}").and_then(|()| err.flush()).ok();
    }

    /// Draws over the table before.
    pub(super) fn redraw(&mut self, lines: &[String]) {
        let mut text = self.erase();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = lines.len();
        let mut err = io::stderr().lock();
        err.write_all(text.as_bytes()).and_then(|()| err.flush()).ok();
    }

    /// The table stays as it is.
    pub(super) fn leave(&mut self) {
        self.drawn = 0;
    }

    fn erase(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\x1b[{}A\x1b[J", self.drawn) }
    }
}
