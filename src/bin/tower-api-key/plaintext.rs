//! Keys from standard input. They are hashed, and never kept or shown.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::interrupt::HeldInterrupt;

/// A key as a client presents it.
pub(crate) type Plaintext = Zeroizing<Vec<u8>>;

const MAX_INPUT: u64 = 1024 * 1024;

/// Reads keys, one on each line, with the numbers of their lines. On a terminal, asks for one, which is not echoed.
pub(crate) fn read() -> Result<Vec<(usize, Plaintext)>, Failure> {
    let input = if io::stdin().is_terminal() {
        let _held = HeldInterrupt::new().map_err(|error| unreadable(&error))?;
        match rpassword::prompt_password("Key (is not shown): ") {
            Ok(key) => Zeroizing::new(key.into_bytes()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(Failure::interrupted()),
            Err(error) => return Err(unreadable(&error)),
        }
    } else {
        // Allocated once, since growing would leave a copy in freed memory.
        let mut input = Zeroizing::new(Vec::with_capacity(MAX_INPUT as usize + 1));
        let read = io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input);
        read.map_err(|error| unreadable(&error))?;
        if input.len() as u64 > MAX_INPUT {
            return Err(Failure::usage("standard input has more than 1 MiB"));
        }
        input
    };
    let keys = lines(&input);
    if keys.is_empty() { Err(Failure::usage("there is no key on standard input")) } else { Ok(keys) }
}

/// Returns the keys in a text. Blanks around a key are not part of it, as in an HTTP header.
fn lines(input: &[u8]) -> Vec<(usize, Plaintext)> {
    let keys = input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let keys = keys.filter(|(_, key)| !key.is_empty());
    keys.map(|(place, key)| (place + 1, Zeroizing::new(key.to_vec()))).collect()
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read standard input: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_lines_that_are_not_blank() {
        let found = lines(b"one\r\n\n  two three \nfour\xff");
        let found: Vec<_> = found.iter().map(|(line, key)| (*line, &***key)).collect();
        assert_eq!(found, [(1, &b"one"[..]), (3, b"two three"), (4, b"four\xff")]);
        assert!(lines(b" \n\t\n").is_empty());
    }
}
