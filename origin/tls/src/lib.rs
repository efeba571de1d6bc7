//! TLS of a listener: certificate and key files that are read again when they change, and client
//! certificates (RFC 8705), for the origin and for `tollgate-edge`.

mod acceptor;
mod files;

pub use acceptor::{ClientAuth, Clock, PeerCertificate, Tls};
pub use files::{FileError, FileKind, TlsFiles, TlsPaths};
