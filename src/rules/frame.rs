//! Messages on a pipe: their length (u32, big-endian), then that many bytes of JSON.

use std::io::{self, Read, Write};

use serde::Serialize;

use super::limits::MAX_FRAME;

/// A message with its length in front, ready for one write; `Err` is the number of bytes that were too many.
pub fn frame(message: &impl Serialize) -> Result<Vec<u8>, usize> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).expect("writing maps with text keys to memory does not fail");
    let length = bytes.len() - 4;
    match u32::try_from(length) {
        Ok(prefix) if length <= MAX_FRAME => {
            bytes[..4].copy_from_slice(&prefix.to_be_bytes());
            Ok(bytes)
        }
        _ => Err(length),
    }
}

/// The length that a prefix tells, if it is allowed.
pub fn length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes; at most {MAX_FRAME} may travel"),
        ));
    }
    Ok(length)
}

/// Reads one message, blocking; `None` where the input ended between two.
pub fn read(from: &mut (impl Read + ?Sized)) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    match from.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut bytes = vec![0; length(prefix)?];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes one message, blocking, in one call. `Ok(Err(bytes))`: it has too many, and nothing was written.
pub fn write(to: &mut (impl Write + ?Sized), message: &impl Serialize) -> io::Result<Result<(), usize>> {
    let bytes = match frame(message) {
        Ok(bytes) => bytes,
        Err(length) => return Ok(Err(length)),
    };
    to.write_all(&bytes)?;
    to.flush()?;
    Ok(Ok(()))
}
