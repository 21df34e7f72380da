//! Compression of answers: which coding a client takes, and the bytes in it.

use std::io::{self, Write as _};

use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding};
use actix_web::{HttpMessage, HttpRequest};

/// Bodies shorter than this are sent as they are: they fit one packet either way.
pub(crate) const LEAST_BYTES: usize = 1024;

/// A coding that bodies can be sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Identity, Self::Gzip, Self::Brotli, Self::Zstd];

    /// What a client prefers. One that takes nothing that is offered gets the body as it is.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        if !request.headers().contains_key(header::ACCEPT_ENCODING) {
            return Self::Identity;
        }
        let offered = [Encoding::zstd(), Encoding::brotli(), Encoding::gzip(), Encoding::identity()];
        let accepted = request.get_header::<AcceptEncoding>();
        match accepted.and_then(|accepted| accepted.negotiate(offered.iter())) {
            Some(Encoding::Known(ContentEncoding::Zstd)) => Self::Zstd,
            Some(Encoding::Known(ContentEncoding::Brotli)) => Self::Brotli,
            Some(Encoding::Known(ContentEncoding::Gzip)) => Self::Gzip,
            _ => Self::Identity,
        }
    }

    /// Its name in `Content-Encoding`; `None` for bodies as they are.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// The tag of an answer in this coding: a strong one names the bytes that are sent.
    pub(crate) fn tag(self, tag: &str) -> String {
        self.name().map_or_else(|| tag.to_owned(), |name| format!("{tag}-{name}"))
    }

    /// The tag without the coding.
    pub(crate) fn bare(tag: &str) -> &str {
        let mut coded = Self::ALL.into_iter().filter_map(Self::name);
        coded.find_map(|name| tag.strip_suffix(name)?.strip_suffix('-')).unwrap_or(tag)
    }

    /// The bytes in this coding, by levels that cost about as much as making the answer did.
    pub(crate) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(bytes.to_vec()),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Brotli => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
                encoder.write_all(bytes)?;
                encoder.flush()?;
                Ok(encoder.into_inner())
            }
            Self::Zstd => zstd::bulk::compress(bytes, 3),
        }
    }
}

/// Compresses a stream piece by piece, by levels that are about as fast as rows are read.
pub(crate) enum Encoder {
    /// As it is.
    Identity(Vec<u8>),
    /// RFC 1952.
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// RFC 7932.
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// RFC 8878.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// Begins.
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity(Vec::new()),
            Coding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(3)))
            }
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 3, 20))),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
        })
    }

    /// Takes bytes in.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(out) => out.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Gives out what is ready, when it is at least so much or nothing is compressed.
    pub(crate) fn taken(&mut self, least: usize) -> Option<Vec<u8>> {
        let (out, least) = match self {
            Self::Identity(out) => (out, 1),
            Self::Gzip(encoder) => (encoder.get_mut(), least),
            Self::Brotli(encoder) => (encoder.get_mut(), least),
            Self::Zstd(encoder) => (encoder.get_mut(), least),
        };
        (out.len() >= least).then(|| std::mem::take(out))
    }

    /// Ends; gives out the rest.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
