//! TLS handshakes and client certificates (RFC 8705).
//!
//! Unless a certificate is required, the handshake proves that a client has the key of its
//! certificate and checks nothing else: the certificate may be self-signed (RFC 8705 §2.2), and a
//! client may have none. After the handshake, of a new or a resumed session, the certificate is
//! checked against the configured authorities; the result is passed on with it. Never: a
//! certificate is passed on without that result.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Content type of the first record of a TLS connection (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Response to plain HTTP, e.g. after `http://` was typed instead of `https://`.
const PLAIN_HTTP_RESPONSE: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 92\r\n\
                     Connection: close\r\n\r\n\
                     {\"status\":400,\"title\":\"Bad Request\",\"detail\":\"this port accepts only HTTPS, not plain HTTP\"}";

/// Returns the Unix time in seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Which clients are asked for a certificate during the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// None.
    Off,
    /// Clients with a certificate of one of the authorities, whose names are sent in the handshake.
    Authorities,
    /// All.
    Any,
    /// All. The handshake fails without a certificate of one of the authorities.
    Required,
}

/// The certificate of a client, whose key it has.
#[derive(Debug, Clone)]
pub struct PeerCertificate {
    /// The certificate itself.
    pub der: CertificateDer<'static>,
    /// Whether it is valid now and issued by a configured authority.
    pub is_trusted: bool,
}

impl PeerCertificate {
    /// SHA-256 of the certificate, which bound tokens name (RFC 8705 §3.1).
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }
}

/// Accepts TLS connections with one version of the certificate files.
pub struct Tls {
    acceptor: TlsAcceptor,
    /// Verifies client certificates after the handshake.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    client_auth: ClientAuth,
    clock: Clock,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("client_auth", &self.client_auth).finish_non_exhaustive()
    }
}

impl Tls {
    /// # Errors
    /// When the authorities cannot be used.
    pub(super) fn new(
        own: CertifiedKey,
        authorities: Option<RootCertStore>,
        client_auth: ClientAuth,
        clock: Clock,
    ) -> Result<Tls, String> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let names = authorities.as_ref().filter(|_| client_auth == ClientAuth::Authorities);
        let names = names.map(RootCertStore::subjects).unwrap_or_default();
        let verifier = |roots: RootCertStore| {
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()
        };
        let authorities = authorities.map(verifier).transpose().map_err(|error| error.to_string())?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| error.to_string())?;
        let builder = match (client_auth, &authorities) {
            (ClientAuth::Off, _) => builder.with_no_client_auth(),
            (ClientAuth::Required, Some(authorities)) => builder.with_client_cert_verifier(Arc::clone(authorities)),
            (ClientAuth::Required, None) => return Err("needs authorities of clients".to_owned()),
            _ => builder.with_client_cert_verifier(Arc::new(AnyClientCertificate { names, algorithms })),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), authorities, client_auth, clock })
    }

    /// Performs the handshake. Returns the client certificate, if the client sent one.
    ///
    /// # Errors
    /// When the handshake fails, and when a required certificate is no longer valid.
    pub async fn accept(&self, mut stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<PeerCertificate>)> {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if first == [HANDSHAKE_RECORD] => {}
            _ => {
                reject_plain_http(&mut stream).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not a TLS connection"));
            }
        }
        let stream = self.acceptor.accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates().and_then(<[_]>::split_first);
        let certificate = chain.map(|(own, intermediates)| PeerCertificate {
            der: own.clone(),
            is_trusted: self.is_trusted(own, intermediates),
        });
        // A session that is resumed may be older than the end of its certificate.
        if self.client_auth == ClientAuth::Required && !certificate.as_ref().is_some_and(|own| own.is_trusted) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client certificate is no longer valid"));
        }
        Ok((stream, certificate))
    }

    /// Whether the client may be known by this certificate: by any whose key it has in the mode
    /// [`ClientAuth::Any`], else by one of a configured authority.
    #[must_use]
    pub fn is_accepted(&self, certificate: &PeerCertificate) -> bool {
        certificate.is_trusted || self.client_auth == ClientAuth::Any
    }

    /// Whether the certificate is valid now and issued by a configured authority.
    fn is_trusted(&self, own: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_secs((self.clock)()));
        let verify =
            |authorities: &Arc<dyn ClientCertVerifier>| authorities.verify_client_cert(own, intermediates, now);
        self.authorities.as_ref().map(verify).is_some_and(|verified| match verified {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "client certificate not issued by a configured authority");
                false
            }
        })
    }
}

/// The cryptography of TLS, independent of the default provider of the process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Responds with an error to a connection that begins like an HTTP request.
async fn reject_plain_http(stream: &mut TcpStream) -> io::Result<()> {
    let mut request = [0; 4096];
    // Unread data would make the system reset the connection, and the response would be lost.
    let read = stream.read(&mut request).await?;
    if request[..read].first().is_some_and(u8::is_ascii_uppercase) {
        stream.write_all(PLAIN_HTTP_RESPONSE.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// Accepts any certificate whose key the client has.
struct AnyClientCertificate {
    /// Names of the authorities, sent to the client to choose a certificate.
    names: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for AnyClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyClientCertificate").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    /// Accepts the certificate: `Tls::is_trusted` verifies it after the handshake.
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, HandshakeKind};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;

    type GeneratedCertificate = rcgen::CertifiedKey<rcgen::KeyPair>;

    #[expect(clippy::disallowed_methods, reason = "the clock of this test")]
    fn system_clock() -> Clock {
        let since_epoch = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Arc::new(move || since_epoch().map_or(0, |since| since.as_secs()))
    }

    fn generate() -> GeneratedCertificate {
        rcgen::generate_simple_self_signed(["origin.example".to_owned()]).expect("a certificate")
    }

    fn key(generated: &GeneratedCertificate) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(generated.signing_key.serialize_der()).into()
    }

    /// A client that resumes a session sends its certificate only in the first handshake.
    #[tokio::test]
    async fn resumed_session_keeps_the_client_certificate() {
        let (server, client) = (generate(), generate());
        let own = CertifiedKey::from_der(vec![server.cert.der().clone()], key(&server), &provider()).expect("a pair");
        let tls = Tls::new(own, None, ClientAuth::Any, system_clock()).expect("valid");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        for version in [&TLS12, &TLS13] {
            let mut roots = RootCertStore::empty();
            roots.add(server.cert.der().clone()).expect("trusted");
            let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]);
            let config = config.expect("a version").with_root_certificates(roots);
            let config = config.with_client_auth_cert(vec![client.cert.der().clone()], key(&client)).expect("a pair");
            let connector = TlsConnector::from(Arc::new(config));
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let accepting = async {
                    let (mut stream, certificate) = tls.accept(listener.accept().await?.0).await?;
                    stream.write_all(b"!").await?;
                    stream.shutdown().await?;
                    Ok::<_, io::Error>(certificate)
                };
                let connecting = async {
                    let name = ServerName::try_from("origin.example").expect("a name");
                    let mut stream = connector.connect(name, TcpStream::connect(address).await?).await?;
                    // Session tickets arrive before this byte.
                    stream.read_exact(&mut [0]).await?;
                    Ok::<_, io::Error>(stream.get_ref().1.handshake_kind())
                };
                let (certificate, handshake) = tokio::try_join!(accepting, connecting).expect("connected");
                assert_eq!(handshake, Some(kind), "{version:?}");
                assert!(certificate.is_some(), "{version:?} {kind:?}");
            }
        }
    }
}
