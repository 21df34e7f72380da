//! Putting a response on the wire, whole or broken as a fault wants it.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

use chrono::Utc;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::control::Control;
use super::fault::Delivery;
use super::response::{Body, Response, http_date, reason};
use super::spaces::{write_gzipped, write_plain};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Afterwards {
    /// It may carry another request.
    Keep,
    /// It is closed in order.
    Close,
    /// It is reset.
    Reset,
    /// It stays open and says nothing until the client goes away.
    Linger,
}

/// Pieces of this size make up a chunked body.
const CHUNK: usize = 16_384;

/// Compresses the body if it may be compressed, as both vendors do when asked.
pub(crate) fn compressed(response: Response) -> io::Result<Response> {
    let Body::Bytes(bytes) = &response.body else { return Ok(response) };
    if !response.compressible
        || response.status != 200
        || bytes.is_empty()
        || response.has_header("Content-Encoding")
    {
        return Ok(response);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    let packed = encoder.finish()?;
    Ok(Response { body: Body::Bytes(packed), ..response }.header("Content-Encoding", "gzip"))
}

/// Sends a response.
///
/// # Errors
/// What the connection reports; the client having gone away is the usual one.
pub(crate) fn send(
    out: &TcpStream,
    response: &Response,
    plan: &Delivery,
    head_only: bool,
    control: &Control,
) -> io::Result<Afterwards> {
    match plan {
        Delivery::ResetBeforeHead => return Ok(Afterwards::Reset),
        Delivery::Silence => return Ok(Afterwards::Linger),
        Delivery::Held if !control.wait_for_release() => return Ok(Afterwards::Close),
        _ => {}
    }
    let framing = framing(response, plan);
    let mut out = out;
    let head = head(response, framing);
    if head_only || !has_body(response) {
        out.write_all(&head)?;
        return Ok(Afterwards::Keep);
    }
    match &response.body {
        Body::Bytes(body) => send_bytes(out, &head, body, framing, plan, control),
        made => {
            out.write_all(&head)?;
            send_spaces(out, made, framing, control)
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Framing {
    Length,
    Chunked,
}

fn framing(response: &Response, plan: &Delivery) -> Framing {
    let chunked = match plan {
        Delivery::Truncated(_) => false,
        Delivery::CutChunk(_) => true,
        _ => response.chunked,
    };
    if chunked && !response.has_header("Content-Length") { Framing::Chunked } else { Framing::Length }
}

fn has_body(response: &Response) -> bool {
    !matches!(response.status, 204 | 304)
}

fn head(response: &Response, framing: Framing) -> Vec<u8> {
    let now = Utc::now();
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    let mut line = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
    if !response.has_header("Date") {
        line("Date", &http_date(now));
    }
    line("Connection", "keep-alive");
    line("Server", "cloudflare");
    for (name, value) in &response.headers {
        line(name, &value.text(now));
    }
    match framing {
        Framing::Chunked if has_body(response) => line("Transfer-Encoding", "chunked"),
        Framing::Length if has_body(response) && !response.has_header("Content-Length") => {
            line("Content-Length", &length(&response.body).to_string());
        }
        _ => {}
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn length(body: &Body) -> u64 {
    match body {
        Body::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        Body::Spaces(length) | Body::GzippedSpaces(length) => *length,
    }
}

fn send_bytes(
    mut out: &TcpStream,
    head: &[u8],
    body: &[u8],
    framing: Framing,
    plan: &Delivery,
    control: &Control,
) -> io::Result<Afterwards> {
    let first = |count: usize| body.get(..count).unwrap_or(body);
    let (bytes, afterwards) = match plan {
        Delivery::Truncated(count) => (first(*count).to_vec(), Afterwards::Close),
        Delivery::CutChunk(count) => (cut_chunk(first(*count)), Afterwards::Close),
        Delivery::ResetAfter(count) => (unfinished(first(*count), framing), Afterwards::Reset),
        Delivery::SilenceAfter(count) => (unfinished(first(*count), framing), Afterwards::Linger),
        Delivery::Drip(size, interval) => {
            out.write_all(head)?;
            return drip(out, body, framing, (*size, *interval), control);
        }
        _ => (framed(body, framing), Afterwards::Keep),
    };
    // One write: two would put head and body into two packets for nothing.
    out.write_all(&[head, &bytes].concat())?;
    Ok(afterwards)
}

/// The whole body in its framing.
fn framed(body: &[u8], framing: Framing) -> Vec<u8> {
    match framing {
        Framing::Length => body.to_vec(),
        Framing::Chunked => [chunks(body), b"0\r\n\r\n".to_vec()].concat(),
    }
}

/// The beginning of a body that goes no further; its framing leaves room for more.
fn unfinished(bytes: &[u8], framing: Framing) -> Vec<u8> {
    match framing {
        Framing::Length => bytes.to_vec(),
        Framing::Chunked => chunks(bytes),
    }
}

fn chunks(body: &[u8]) -> Vec<u8> {
    body.chunks(CHUNK)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect()
}

/// A chunk that announces one byte more than ever comes.
fn cut_chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len() + 1).as_bytes(), bytes].concat()
}

fn drip(
    mut out: &TcpStream,
    body: &[u8],
    framing: Framing,
    (size, interval): (usize, Duration),
    control: &Control,
) -> io::Result<Afterwards> {
    for piece in body.chunks(size.max(1)) {
        if !control.pause(interval) {
            return Ok(Afterwards::Close);
        }
        out.write_all(&unfinished(piece, framing))?;
    }
    if framing == Framing::Chunked {
        out.write_all(b"0\r\n\r\n")?;
    }
    Ok(Afterwards::Keep)
}

fn send_spaces(
    mut out: &TcpStream,
    body: &Body,
    framing: Framing,
    control: &Control,
) -> io::Result<Afterwards> {
    let go_on = || !control.is_stopped();
    let write = |out: &mut dyn Write| match body {
        Body::GzippedSpaces(length) => write_gzipped(&mut &mut *out, *length, go_on),
        _ => write_plain(&mut &mut *out, length(body), go_on),
    };
    match framing {
        Framing::Length => write(&mut out)?,
        Framing::Chunked => {
            write(&mut ChunkWriter { out })?;
            out.write_all(b"0\r\n\r\n")?;
        }
    }
    Ok(if control.is_stopped() { Afterwards::Close } else { Afterwards::Keep })
}

/// Makes a chunk of every write.
struct ChunkWriter<'a> {
    out: &'a TcpStream,
}

impl Write for ChunkWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            self.out.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
