//! TLS: the handshake of a connection, and the certificate that its client showed (RFC 8705).
//!
//! The handshake proves that a client has its certificate's key, and asks nothing else of the
//! certificate: one of the client's own making is as good (RFC 8705 §2.2), and so is none. Whether
//! an authority vouches for it is found out after the handshake, of a resumed session as of a new
//! one, and told along with it. A certificate is never told of without that.

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
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tollgate_config::TlsClientAuth;
use tollgate_http::Certificate;
use tollgate_system::Clock;

/// The first byte of a connection that begins a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// What those hear who speak plain HTTP: people who left the `s` out, mostly.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 88\r\n\
                     Connection: close\r\n\r\n\
                     {\"status\":400,\"title\":\"Bad Request\",\"detail\":\"HTTPS is answered here, and nothing else\"}";

/// How connections are met, until the files change.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    /// Asked whether an authority vouches for a certificate.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
}

impl Tls {
    /// With this certificate, asking these clients for theirs.
    ///
    /// # Errors
    /// When the authorities cannot be used.
    pub(super) fn new(
        own: CertifiedKey,
        authorities: Option<RootCertStore>,
        asks: TlsClientAuth,
    ) -> Result<Tls, String> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let names = authorities.as_ref().filter(|_| asks == TlsClientAuth::Authorities);
        let names = names.map(RootCertStore::subjects).unwrap_or_default();
        let verifier = |roots: RootCertStore| {
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()
        };
        let authorities = authorities.map(verifier).transpose().map_err(|error| error.to_string())?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| error.to_string())?;
        let builder = match asks {
            TlsClientAuth::Off => builder.with_no_client_auth(),
            _ => builder.with_client_cert_verifier(Arc::new(AnyClient { names, algorithms })),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), authorities })
    }

    /// Shakes hands; the certificate that the client showed, if it did.
    pub(super) async fn accept(
        &self,
        mut stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<Certificate>)> {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if first == [HANDSHAKE] => {}
            _ => {
                refuse_plain(&mut stream).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no TLS"));
            }
        }
        let stream = self.acceptor.accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates().and_then(<[_]>::split_first);
        let certificate = chain.map(|(own, between)| Certificate::of_connection(own, self.vouch(own, between)));
        Ok((stream, certificate))
    }

    /// Whether an authority vouches for this certificate now, through those between.
    fn vouch(&self, own: &CertificateDer<'_>, between: &[CertificateDer<'_>]) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(Clock::system().now()));
        let verify = |authorities: &Arc<dyn ClientCertVerifier>| authorities.verify_client_cert(own, between, now);
        self.authorities.as_ref().map(verify).is_some_and(|verified| match verified {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "no authority vouches for a client's certificate");
                false
            }
        })
    }
}

/// The cryptography of TLS, whatever the process that embeds this chose for itself.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Answers who begins with anything but a handshake, when that looks like HTTP.
async fn refuse_plain(stream: &mut TcpStream) -> io::Result<()> {
    let mut request = [0; 4096];
    // What is not read would make the system reset the connection, and the answer be lost.
    let read = stream.read(&mut request).await?;
    if request[..read].first().is_some_and(u8::is_ascii_uppercase) {
        stream.write_all(PLAIN.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// Takes any certificate whose key the client has.
struct AnyClient {
    /// The authorities that the client is told of, to choose by.
    names: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for AnyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyClient").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    /// Who vouches for it is asked after the handshake.
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

    type Made = rcgen::CertifiedKey<rcgen::KeyPair>;

    fn made() -> Made {
        rcgen::generate_simple_self_signed(["origin.example".to_owned()]).expect("a certificate")
    }

    fn key(made: &Made) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into()
    }

    /// A client that goes on with its earlier sessions shows its certificate in the first handshake
    /// alone.
    #[tokio::test]
    async fn a_certificate_stays_with_its_session() {
        let (server, client) = (made(), made());
        let own = CertifiedKey::from_der(vec![server.cert.der().clone()], key(&server), &provider()).expect("a pair");
        let tls = Tls::new(own, None, TlsClientAuth::Any).expect("good");
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
                    // Tickets come before this.
                    stream.read_exact(&mut [0]).await?;
                    Ok::<_, io::Error>(stream.get_ref().1.handshake_kind())
                };
                let (certificate, met) = tokio::try_join!(accepting, connecting).expect("they meet");
                assert_eq!(met, Some(kind), "{version:?}");
                assert!(certificate.is_some(), "{version:?} {kind:?}");
            }
        }
    }
}
