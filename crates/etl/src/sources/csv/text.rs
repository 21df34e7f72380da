//! The text of a file: unpacked and as UTF-8, whatever it is on disk.
//!
//! What is kept as raw bytes, counted, hashed and cut into chunks is this text, so that a file that is compressed
//! grows and resumes like any other. Nothing is written to the disk: a position in a packed file is reached by
//! unpacking up to it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;

use super::file::Plan;
use super::paths::cannot_read;
use crate::failure::{FailureKind, SourceError};

/// How the text is read.
pub(super) type Input = Box<dyn Read + Send>;

/// A file may unpack to so many times its size; tables of prices reach 10 to 30.
const MOST_UNPACKED: u64 = 200;
/// Whatever its size, a file may unpack to this many bytes.
const ALWAYS_UNPACKED: u64 = 64 << 20;

/// The marks of UTF-32, of which one begins with that of UTF-16.
const UTF_32: [&[u8; 4]; 2] = [b"\xFF\xFE\0\0", b"\0\0\xFE\xFF"];

/// A file that was opened, and how its text is made of its bytes.
pub(super) struct Text {
    file: File,
    packed: bool,
    /// `None` for UTF-8.
    encoding: Option<&'static Encoding>,
    /// Bytes of the text.
    pub(super) size: u64,
}

impl Text {
    /// Finds out how the file is to be read: gzip and UTF-16 say so in their first bytes, any other encoding has to
    /// be declared. A packed or transcoded file is read through once for the size of its text.
    ///
    /// # Errors
    /// When it cannot be read, does not unpack, or unpacks to too much.
    pub(super) fn open(
        path: &Path,
        file: File,
        size: u64,
        declared: Option<&'static Encoding>,
        plan: &Plan,
    ) -> Result<Self, SourceError> {
        let failed = |error: io::Error| cannot_read(path, &error);
        let mut text = Self { file, packed: false, encoding: None, size };
        text.packed = text.beginning(2).map_err(failed)? == b"\x1F\x8B";
        let mark = text.beginning(4).unwrap_or_default();
        text.encoding = match mark.get(..2).unwrap_or_default() {
            _ if UTF_32.iter().any(|utf_32| mark == *utf_32) => {
                let message = format!("{}: it is encoded in UTF-32; save it as UTF-8", path.display());
                return Err(SourceError::new(FailureKind::Refused, message));
            }
            b"\xFF\xFE" => Some(UTF_16LE),
            b"\xFE\xFF" => Some(UTF_16BE),
            _ => declared.filter(|encoding| *encoding != UTF_8),
        };
        if text.packed || text.encoding.is_some() {
            text.size = text.measure(path, size, plan)?;
        }
        Ok(text)
    }

    /// The text from an offset on.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn reader(&self, offset: u64) -> io::Result<Input> {
        let mut file = self.file.try_clone()?;
        if !self.packed && self.encoding.is_none() {
            file.seek(SeekFrom::Start(offset))?;
            return Ok(Box::new(file));
        }
        file.seek(SeekFrom::Start(0))?;
        let unpacked: Input = if self.packed {
            Box::new(MultiGzDecoder::new(io::BufReader::new(file)))
        } else {
            Box::new(file)
        };
        let mut text: Input = match self.encoding {
            None => unpacked,
            Some(encoding) => Box::new(
                DecodeReaderBytesBuilder::new().encoding(Some(encoding)).strip_bom(true).build(unpacked),
            ),
        };
        io::copy(&mut text.by_ref().take(offset), &mut io::sink())?;
        Ok(text)
    }

    /// The first bytes of the text, fewer when there are no more.
    pub(super) fn beginning(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(0)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// How the file looks on disk now.
    pub(super) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.file.metadata()
    }

    fn measure(&self, path: &Path, size: u64, plan: &Plan) -> Result<u64, SourceError> {
        let refused = |message: String| SourceError::new(FailureKind::Refused, message);
        let most = size.saturating_mul(MOST_UNPACKED).max(ALWAYS_UNPACKED);
        let mut text = self.reader(0).map_err(|error| cannot_read(path, &error))?;
        let mut block = vec![0; 256 * 1024];
        let mut read: u64 = 0;
        loop {
            plan.go_on()?;
            match text.read(&mut block) {
                Ok(0) => return Ok(read),
                Ok(bytes) => read += bytes as u64,
                Err(error) if self.packed => return Err(refused(not_unpacked(path, &error))),
                Err(error) => return Err(cannot_read(path, &error)),
            }
            if read > most {
                return Err(refused(format!(
                    "{}: it unpacks to more than {MOST_UNPACKED} times its size, which no table of prices does; \
                     unpack it yourself if it is one (gunzip)",
                    path.display()
                )));
            }
        }
    }
}

fn not_unpacked(path: &Path, error: &io::Error) -> String {
    let what = if error.kind() == io::ErrorKind::UnexpectedEof {
        "ends in the middle of its compressed data; get it again, or run again when it is written".to_owned()
    } else {
        format!("is damaged: its compressed data cannot be unpacked ({error}); get it again")
    };
    format!("{}: it {what}", path.display())
}
