//! Asks for a password: without echo on a terminal, else by the first line of a file or of standard input. Never as an
//! argument, which anybody on the machine could read.
//!
//! The trap: a terminal that was left without echo stays so for the shell after us. So the old state is put back when
//! [`Quiet`] is dropped, and an interrupt, which would end the process first, is caught meanwhile.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write as _},
    path::Path,
};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::secret::Secret;

/// Longest line that is read; the node takes less.
const LONGEST: u64 = 4096;
/// What a shell expects of a command that was interrupted.
const INTERRUPTED: i32 = 130;

/// A new password.
pub(super) async fn new_password(file: Option<&Path>) -> anyhow::Result<Secret> {
    if let Some(file) = file {
        let open = File::open(file).with_context(|| file.display().to_string())?;
        return line(open).with_context(|| file.display().to_string());
    }
    if !io::stdin().is_terminal() {
        return line(io::stdin()).context("the password is the first line of standard input");
    }
    let first = typed("New password: ").await?;
    let second = typed("The same again: ").await?;
    anyhow::ensure!(first == second, "the two are not the same; nothing was changed");
    Ok(first)
}

/// The first line, without its end.
fn line(from: impl Read) -> anyhow::Result<Secret> {
    let mut text = zeroize::Zeroizing::new(String::new());
    BufReader::new(from.take(LONGEST)).read_line(&mut text)?;
    let line = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!line.is_empty(), "there is no password");
    Ok(Secret::new(line))
}

async fn typed(question: &str) -> anyhow::Result<Secret> {
    // Quiet first: what is typed before that would be shown, and is thrown away.
    let quiet = Quiet::begin()?;
    write!(io::stderr(), "{question}")?;
    io::stderr().flush()?;
    let read = tokio::task::spawn_blocking(|| line(io::stdin()));
    let typed = tokio::select! {
        typed = read => typed?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            drop(quiet);
            // The read cannot be called back: it would wait for a line that nobody means to type.
            std::process::exit(INTERRUPTED);
        }
    };
    drop(quiet);
    // The line's own end was not shown either.
    writeln!(io::stderr())?;
    typed
}

/// The terminal shows nothing of what is typed.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to put back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for text in ["correct horse", "correct horse\n", "correct horse\r\nmore\n"] {
            assert_eq!(line(text.as_bytes()).expect("a line").expose(), "correct horse");
        }
        assert_eq!(line(" spaces stay \n".as_bytes()).expect("a line").expose(), " spaces stay ");
        for text in ["", "\n", "\nlater"] {
            assert!(line(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
