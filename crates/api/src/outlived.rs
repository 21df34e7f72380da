//! Bodies of answers, with something that lives until they are sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;

/// A body. What stands beside it goes when the body does.
pub(crate) struct Outlived<T> {
    pub(crate) body: BoxBody,
    pub(crate) _with: T,
}

impl<T: Unpin> MessageBody for Outlived<T> {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
