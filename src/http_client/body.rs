//! Reading an answer's body with a limit on its size after decompression.

use bytes::{Bytes, BytesMut};

use super::trouble::{Trouble, why};

/// A body that could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// More than was allowed.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// Bytes that were allowed.
        limit: usize,
    },
    /// It broke off.
    #[error(transparent)]
    Broken(#[from] Trouble),
}

/// Reads a body of at most `limit` bytes. What is compressed counts as it is when unpacked.
pub async fn body_up_to(mut response: reqwest::Response, limit: usize) -> Result<Bytes, BodyError> {
    let told = response.content_length().unwrap_or(0);
    if told > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge { limit });
    }
    let mut body = BytesMut::with_capacity(usize::try_from(told).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(|error| why(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
