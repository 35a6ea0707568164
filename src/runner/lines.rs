//! Lines out of a stream of bytes, in bounded memory: what a person would read, without colours and progress.

/// How much of a line is kept for judging. No line that decides anything is longer, save for quoted errors.
pub const MAX_LINE: usize = 4096;

/// A line as a terminal would leave it, cut at [`MAX_LINE`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The text without colours and other escape sequences, and without blanks at its ends.
    pub text: String,
    /// More of it was thrown away.
    pub cut: bool,
}

/// Takes a stream apart. A carriage return ends a line like a newline does: progress is written that way.
#[derive(Debug, Default)]
pub struct Lines {
    head: Vec<u8>,
    cut: bool,
    escape: Escape,
}

/// Where in an escape sequence the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    /// In none.
    #[default]
    None,
    /// After ESC.
    Begun,
    /// In `ESC [ … letter`.
    Control,
}

impl Lines {
    /// Takes in bytes, wherever they are cut, and hands every line that ends in them to `each`. Blank lines are left
    /// out.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Line)) {
        for &byte in bytes {
            match (self.escape, byte) {
                (_, b'\n' | b'\r') => {
                    self.escape = Escape::None;
                    self.end(&mut each);
                }
                (_, 0x1b) => self.escape = Escape::Begun,
                (Escape::None, _) => self.keep(byte),
                (Escape::Begun, b'[') => self.escape = Escape::Control,
                (Escape::Begun, _) | (Escape::Control, 0x40..=0x7e) => self.escape = Escape::None,
                (Escape::Control, _) => {}
            }
        }
    }

    /// The stream has ended: hands out what stands after its last newline.
    pub fn finish(&mut self, mut each: impl FnMut(Line)) {
        self.end(&mut each);
    }

    fn keep(&mut self, byte: u8) {
        if self.head.len() < MAX_LINE {
            self.head.push(byte);
        } else {
            self.cut = true;
        }
    }

    fn end(&mut self, each: &mut impl FnMut(Line)) {
        let text = String::from_utf8_lossy(&self.head).trim().to_owned();
        if !text.is_empty() {
            each(Line { text, cut: self.cut });
        }
        self.head.clear();
        self.cut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |line| found.push(line.text));
        }
        lines.finish(|line| found.push(line.text));
        found
    }

    // R36
    #[test]
    fn colours_progress_and_blank_lines_go() {
        let text = "Pipeline: x\n\n\r  Preparing assets (1/2)\r  Preparing assets (2/2)\r\u{1b}[K  \u{1b}[32m+ Service.a\
                    \u{1b}[0m\n\u{1b}[32m✅ All operations completed successfully\u{1b}[0m\n\n";
        let wanted = [
            "Pipeline: x",
            "Preparing assets (1/2)",
            "Preparing assets (2/2)",
            "+ Service.a",
            "✅ All operations completed successfully",
        ];
        assert_eq!(lines(&[text.as_bytes()]), wanted);
        // However the stream is cut, the lines are the same.
        for at in 0..text.len() {
            assert_eq!(lines(&[&text.as_bytes()[..at], &text.as_bytes()[at..]]), wanted, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_newline_counts_and_an_escape_does_not_swallow_the_next_line() {
        assert_eq!(lines(&[b"a\nb"]), ["a", "b"]);
        assert_eq!(lines(&[b"\x1b[12\nError: x\n", b"\x1b\nb"]), ["Error: x", "b"]);
        assert_eq!(lines(&[b"\xff\xfe!\n"]), ["\u{fffd}\u{fffd}!"]);
    }

    // R36: one `\r` line may be megabytes.
    #[test]
    fn memory_is_bounded() {
        let mut lines = Lines::default();
        for _ in 0..64 {
            lines.feed(&vec![b'x'; 64 * 1024], |_| panic!("no line has ended"));
        }
        assert!(lines.head.capacity() <= 2 * MAX_LINE);
        lines.finish(|line| assert_eq!((line.text.len(), line.cut), (MAX_LINE, true)));
    }
}
