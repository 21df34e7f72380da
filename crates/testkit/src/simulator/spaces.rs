//! Bodies too large to hold: `[` and then white space, made while it is sent.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress};

/// White space is made in blocks of this size.
const BLOCK: usize = 1 << 20;

/// Writes `[` and so many spaces less one. Stops when `go_on` says no.
pub(crate) fn write_plain(out: &mut impl Write, length: u64, go_on: impl Fn() -> bool) -> io::Result<()> {
    let block = vec![b' '; BLOCK];
    let mut left = length;
    if left > 0 {
        out.write_all(b"[")?;
        left -= 1;
    }
    while left > 0 && go_on() {
        let size = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        out.write_all(block.get(..size).unwrap_or_default())?;
        left -= u64::try_from(size).unwrap_or(left);
    }
    Ok(())
}

/// Writes a gzip stream that unpacks to `[` and spaces, at least `length` bytes, rounded up to whole blocks.
///
/// A block of spaces is compressed once and written again and again: a full flush ends it on a byte boundary and
/// forgets what went before, so its bytes mean the same wherever they stand. 10 GB thus cost no more than copying 10 MB.
pub(crate) fn write_gzipped(out: &mut impl Write, length: u64, go_on: impl Fn() -> bool) -> io::Result<()> {
    // RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown system.
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
    let space = vec![b' '; BLOCK];
    let (first, block) = (deflated(b"[", FlushCompress::Full)?, deflated(&space, FlushCompress::Full)?);
    let mut checksum = Crc::new();
    checksum.update(b"[");
    let mut block_checksum = Crc::new();
    block_checksum.update(&space);
    out.write_all(&first)?;
    let mut written = 1;
    while written < length && go_on() {
        out.write_all(&block)?;
        checksum.combine(&block_checksum);
        written += u64::try_from(BLOCK).unwrap_or(u64::MAX);
    }
    out.write_all(&deflated(b"", FlushCompress::Finish)?)?;
    out.write_all(&checksum.sum().to_le_bytes())?;
    // RFC 1952: the length modulo 2^32.
    out.write_all(&u32::try_from(written % (1 << 32)).unwrap_or(0).to_le_bytes())
}

fn deflated(input: &[u8], flush: FlushCompress) -> io::Result<Vec<u8>> {
    let mut output = Vec::with_capacity(input.len() / 100 + 1_024);
    Compress::new(Compression::best(), false)
        .compress_vec(input, &mut output, flush)
        .map_err(io::Error::other)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_bomb_is_a_valid_gzip_stream_of_the_promised_length() {
        let mut packed = Vec::new();
        write_gzipped(&mut packed, 5_000_000, || true).unwrap();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert!(
            unpacked.len() >= 5_000_000 && packed.len() < 20_000,
            "{} packed to {}",
            unpacked.len(),
            packed.len()
        );
        assert_eq!(unpacked.trim_end(), "[");
    }
}
