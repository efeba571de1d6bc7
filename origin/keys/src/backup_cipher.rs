//! Encryption of backups: a stream of chunks, each authenticated with its position.
//!
//! ```text
//! file   = header chunk*
//! header = "tollgate-backup" version (1) memory (4) iterations (4) salt (16)
//! chunk  = XChaCha20-Poly1305 of up to 64 KiB; all but the last chunk are full
//! nonce  = 15 zero bytes || number of the chunk (8) || 1 in the last chunk, otherwise 0
//! ```
//!
//! Numbers are big-endian. The key is Argon2id of the passphrase with the header's salt and cost,
//! so it is another one in each file, and nonces need not be random. The header is authenticated
//! with each chunk. So no chunk can be changed, moved, left out or added, and a truncated file is
//! noticed, also if it was cut between two chunks.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use tollgate_model::HashCost;
use tollgate_system::rng;
use zeroize::Zeroizing;

const MAGIC: &[u8; 15] = b"tollgate-backup";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const HEADER_BYTES: usize = MAGIC.len() + 1 + 4 + 4 + SALT_BYTES;
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
/// Memory in KiB, and iterations over it, of a new file's key: the second recommendation of RFC
/// 9106 §4. A backup lies where attackers have time.
const MEMORY: u32 = 64 * 1024;
const ITERATIONS: u32 = 3;
/// Bounds what a file can demand before its passphrase is checked.
const MAX_MEMORY: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 16;
/// Shorter passphrases are guessed.
const MIN_PASSPHRASE_BYTES: usize = 12;

/// Why a backup cannot be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum BackupCipherError {
    #[error("the passphrase must have at least {MIN_PASSPHRASE_BYTES} bytes; a random one: openssl rand -base64 32")]
    ShortPassphrase,
    #[error("the file is not a backup of Tollgate")]
    NotABackup,
    #[error("the file has version {0} of the format of backups, which this release does not know")]
    UnknownVersion(u8),
    #[error("the file demands more memory or time for its key than a backup has")]
    TooExpensive,
    #[error("the file cannot be decrypted: wrong passphrase, or its beginning is damaged")]
    WrongPassphrase,
    #[error("the file is damaged or truncated after {0} bytes of content")]
    Damaged(u64),
    #[error("the key of the backup cannot be computed: {0}")]
    Key(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A passphrase of backups.
pub struct BackupPassphrase(Zeroizing<String>);

impl BackupPassphrase {
    /// Takes the text of a file; white space around it is ignored.
    ///
    /// # Errors
    /// [`BackupCipherError::ShortPassphrase`]
    pub fn parse(text: &str) -> Result<BackupPassphrase, BackupCipherError> {
        let text = text.trim();
        match text.len() >= MIN_PASSPHRASE_BYTES {
            true => Ok(BackupPassphrase(Zeroizing::new(text.to_owned()))),
            false => Err(BackupCipherError::ShortPassphrase),
        }
    }
}

/// The key of one file.
struct ChunkCipher {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER_BYTES],
    /// Number of the next chunk.
    next: u64,
}

impl ChunkCipher {
    fn new(passphrase: &BackupPassphrase, header: [u8; HEADER_BYTES]) -> Result<ChunkCipher, BackupCipherError> {
        let failed = |error: &dyn std::fmt::Display| BackupCipherError::Key(error.to_string());
        let (cost, salt) = parse_header(&header)?;
        let params = Params::new(cost.memory(), cost.iterations(), 1, Some(32)).map_err(|error| failed(&error))?;
        let mut key = Zeroizing::new([0; 32]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2
            .hash_password_into(passphrase.0.as_bytes(), &salt, key.as_mut_slice())
            .map_err(|error| failed(&error))?;
        let cipher = XChaCha20Poly1305::new_from_slice(key.as_slice()).map_err(|error| failed(&error))?;
        Ok(ChunkCipher { cipher, header, next: 0 })
    }

    fn nonce(&self, is_last: bool) -> XNonce {
        let mut nonce = [0; 24];
        nonce[15..23].copy_from_slice(&self.next.to_be_bytes());
        nonce[23] = u8::from(is_last);
        XNonce::from(nonce)
    }

    fn seal(&mut self, chunk: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        let payload = Payload { msg: chunk, aad: &self.header };
        let sealed = self.cipher.encrypt(&self.nonce(is_last), payload);
        self.next += 1;
        sealed.map_err(|_| io::Error::other("encryption failed"))
    }

    /// None if the chunk is not the next one of this file.
    fn open(&mut self, chunk: &[u8], is_last: bool) -> Option<Vec<u8>> {
        let payload = Payload { msg: chunk, aad: &self.header };
        let plain = self.cipher.decrypt(&self.nonce(is_last), payload).ok();
        self.next += 1;
        plain
    }
}

fn new_header(cost: HashCost, salt: [u8; SALT_BYTES]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let (memory, iterations) = (cost.memory().to_be_bytes(), cost.iterations().to_be_bytes());
    let parts = [MAGIC.as_slice(), &[VERSION], &memory, &iterations, &salt].concat();
    header.copy_from_slice(&parts);
    header
}

/// The cost and the salt of the key.
fn parse_header(header: &[u8; HEADER_BYTES]) -> Result<(HashCost, [u8; SALT_BYTES]), BackupCipherError> {
    let rest = header.strip_prefix(MAGIC.as_slice()).ok_or(BackupCipherError::NotABackup)?;
    let (&version, rest) = rest.split_first().ok_or(BackupCipherError::NotABackup)?;
    if version != VERSION {
        return Err(BackupCipherError::UnknownVersion(version));
    }
    let (memory, rest) = rest.split_first_chunk::<4>().ok_or(BackupCipherError::NotABackup)?;
    let (iterations, rest) = rest.split_first_chunk::<4>().ok_or(BackupCipherError::NotABackup)?;
    let salt: [u8; SALT_BYTES] = rest.try_into().map_err(|_| BackupCipherError::NotABackup)?;
    let (memory, iterations) = (u32::from_be_bytes(*memory), u32::from_be_bytes(*iterations));
    if memory > MAX_MEMORY || iterations > MAX_ITERATIONS {
        return Err(BackupCipherError::TooExpensive);
    }
    let cost = HashCost::new(memory, iterations).map_err(|_| BackupCipherError::NotABackup)?;
    Ok((cost, salt))
}

/// Encrypts what is written to it. The file is complete after [`BackupWriter::finish`].
pub struct BackupWriter<W: Write> {
    sink: W,
    cipher: ChunkCipher,
    chunk: Vec<u8>,
}

impl<W: Write> BackupWriter<W> {
    /// Writes the header. Computing the key takes a tenth of a second.
    ///
    /// # Errors
    /// When the random source fails, the memory is exhausted or the header cannot be written.
    pub fn new(sink: W, passphrase: &BackupPassphrase) -> Result<BackupWriter<W>, BackupCipherError> {
        let cost = HashCost::new(MEMORY, ITERATIONS).map_err(|error| BackupCipherError::Key(error.to_string()))?;
        BackupWriter::with_cost(sink, passphrase, cost)
    }

    fn with_cost(
        mut sink: W,
        passphrase: &BackupPassphrase,
        cost: HashCost,
    ) -> Result<BackupWriter<W>, BackupCipherError> {
        let salt = rng::random().map_err(|error| BackupCipherError::Key(error.to_string()))?;
        let cipher = ChunkCipher::new(passphrase, new_header(cost, salt))?;
        sink.write_all(&cipher.header)?;
        Ok(BackupWriter { sink, cipher, chunk: Vec::with_capacity(CHUNK_BYTES) })
    }

    /// Writes the last chunk, and returns the sink.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        let sealed = self.cipher.seal(&self.chunk, true)?;
        self.sink.write_all(&sealed)?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}

impl<W: Write> Write for BackupWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            // More follows, so this chunk is not the last one.
            let sealed = self.cipher.seal(&self.chunk, false)?;
            self.sink.write_all(&sealed)?;
            self.chunk.clear();
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Decrypts a backup. No byte is returned before its chunk was authenticated, and the end of the
/// content is returned only at the end of an unabridged file.
pub struct BackupReader<R: Read> {
    source: R,
    cipher: ChunkCipher,
    /// Ciphertext read ahead: a full chunk, and one byte to know whether another one follows.
    ahead: Vec<u8>,
    plain: Zeroizing<Vec<u8>>,
    /// Bytes of `plain` that were returned.
    used: usize,
    /// Bytes of content before `plain`.
    total: u64,
    is_at_end: bool,
}

impl<R: Read> BackupReader<R> {
    /// Reads the header and the first chunk.
    ///
    /// # Errors
    /// When the file is no backup, or the passphrase is wrong.
    pub fn new(mut source: R, passphrase: &BackupPassphrase) -> Result<BackupReader<R>, BackupCipherError> {
        let mut header = [0; HEADER_BYTES];
        source.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupCipherError::NotABackup,
            _ => error.into(),
        })?;
        let mut reader = BackupReader {
            source,
            cipher: ChunkCipher::new(passphrase, header)?,
            ahead: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES + 1),
            plain: Zeroizing::default(),
            used: 0,
            total: 0,
            is_at_end: false,
        };
        reader.next_chunk()?;
        Ok(reader)
    }

    fn next_chunk(&mut self) -> Result<(), BackupCipherError> {
        let wanted = CHUNK_BYTES + TAG_BYTES + 1 - self.ahead.len();
        self.source.by_ref().take(wanted as u64).read_to_end(&mut self.ahead)?;
        let is_last = self.ahead.len() <= CHUNK_BYTES + TAG_BYTES;
        let next = self.ahead.split_off(self.ahead.len().min(CHUNK_BYTES + TAG_BYTES));
        self.total += self.plain.len() as u64;
        let is_first = self.cipher.next == 0;
        let plain = self.cipher.open(&self.ahead, is_last).ok_or(match is_first {
            true => BackupCipherError::WrongPassphrase,
            false => BackupCipherError::Damaged(self.total),
        })?;
        (self.plain, self.used, self.ahead, self.is_at_end) = (Zeroizing::new(plain), 0, next, is_last);
        Ok(())
    }
}

impl<R: Read> Read for BackupReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.used == self.plain.len() && !self.is_at_end {
            self.next_chunk().map_err(|error| match error {
                BackupCipherError::Io(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other),
            })?;
        }
        let rest = self.plain.get(self.used..).unwrap_or_default();
        let taken = rest.len().min(bytes.len());
        bytes.iter_mut().zip(rest).for_each(|(byte, plain)| *byte = *plain);
        self.used += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> BackupPassphrase {
        BackupPassphrase::parse(text).expect("long enough")
    }

    fn encrypt(content: &[u8]) -> Vec<u8> {
        let cost = HashCost::new(8, 1).expect("a cost");
        let mut writer = BackupWriter::with_cost(Vec::new(), &passphrase("correct horse"), cost).expect("started");
        writer.write_all(content).expect("written");
        writer.finish().expect("finished")
    }

    fn decrypt(file: &[u8], passphrase: &BackupPassphrase) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        let mut reader = BackupReader::new(file, passphrase).map_err(|error| error.to_string())?;
        reader.read_to_end(&mut content).map_err(|error| error.to_string())?;
        Ok(content)
    }

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn content_of_any_length_is_decrypted() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7] {
            let content = content(length);
            assert!(decrypt(&encrypt(&content), &passphrase("correct horse")) == Ok(content), "{length}");
        }
    }

    #[test]
    fn wrong_passphrase_and_other_files_are_refused() {
        let file = encrypt(b"content");
        let refused = decrypt(&file, &passphrase("correct house")).expect_err("refused");
        assert!(refused.contains("wrong passphrase"), "{refused}");
        for other in [b"".as_slice(), b"tollgate-backup", &[0; 200]] {
            let refused = decrypt(other, &passphrase("correct horse")).expect_err("refused");
            assert!(refused.contains("not a backup"), "{refused}");
        }
        assert!(BackupPassphrase::parse("  short \n").is_err());
    }

    #[test]
    fn changed_byte_anywhere_is_noticed() {
        let file = encrypt(&content(2 * CHUNK_BYTES + 100));
        let step = file.len() / 97;
        for at in (0..HEADER_BYTES).chain((HEADER_BYTES..file.len()).step_by(step)) {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(decrypt(&changed, &passphrase("correct horse")).is_err(), "byte {at}");
        }
    }

    #[test]
    fn truncated_and_rearranged_files_are_noticed() {
        let (file, sealed) = (encrypt(&content(3 * CHUNK_BYTES)), CHUNK_BYTES + TAG_BYTES);
        for length in [HEADER_BYTES, HEADER_BYTES + 1, HEADER_BYTES + sealed, HEADER_BYTES + 2 * sealed, file.len() - 1]
        {
            assert!(decrypt(&file[..length], &passphrase("correct horse")).is_err(), "{length} bytes");
        }
        assert!(decrypt(&[file.as_slice(), &[0]].concat(), &passphrase("correct horse")).is_err(), "a byte more");
        let chunk = |number: usize| &file[HEADER_BYTES + number * sealed..HEADER_BYTES + (number + 1) * sealed];
        let swapped = [&file[..HEADER_BYTES], chunk(1), chunk(0), chunk(2)].concat();
        assert!(decrypt(&swapped, &passphrase("correct horse")).is_err());
    }

    #[test]
    fn file_cannot_demand_much_work() {
        let mut file = encrypt(b"content");
        file[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
        let refused = decrypt(&file, &passphrase("correct horse")).expect_err("refused");
        assert!(refused.contains("more memory or time"), "{refused}");
    }
}
