//! TLS in front of a plain HTTP server, with a certificate that is good or is not.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

/// What a server shows for its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// For 127.0.0.1, by the authority.
    Good,
    /// The same, of the past.
    Expired,
    /// By the authority, for somebody else.
    OtherHost,
    /// By nobody but itself.
    SelfSigned,
}

/// A server that speaks TLS and passes each request on. Dropping it stops it.
pub struct TlsFront {
    address: SocketAddr,
    authority: String,
    closed: Arc<AtomicBool>,
}

impl TlsFront {
    /// Starts one in front of an HTTP server.
    ///
    /// # Errors
    /// When no port can be had or no certificate made.
    pub fn start(server: SocketAddr, certificate: Certificate) -> Result<Self> {
        let (config, authority) = identity(certificate)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let front = Self { address: listener.local_addr()?, authority, closed: Arc::default() };
        let closed = Arc::clone(&front.closed);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let config = Arc::clone(&config);
                // A client that does not like the certificate goes away; that is what it is for.
                thread::spawn(move || drop(answer(client, server, config)));
            }
        });
        Ok(front)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that clients are to trust, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn identity(certificate: Certificate) -> Result<(ServerConfig, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "The authority of a test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let host = if certificate == Certificate::OtherHost { "example.org" } else { "127.0.0.1" };
    let mut server = CertificateParams::new(vec![host.to_owned()])?;
    if certificate == Certificate::Expired {
        (server.not_before, server.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    }
    let key = KeyPair::generate()?;
    let signed = match certificate {
        Certificate::SelfSigned => server.self_signed(&key)?,
        _ => server.signed_by(&key, &authority)?,
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder().with_no_client_auth();
    Ok((config.with_single_cert(vec![signed.der().clone()], key)?, authority.pem()))
}

/// One request and its answer.
fn answer(client: TcpStream, server: SocketAddr, config: Arc<ServerConfig>) -> Result<()> {
    let mut client = rustls::StreamOwned::new(ServerConnection::new(config)?, client);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        request.push(byte[0]);
    }
    request.truncate(request.len() - 2);
    let mut server = TcpStream::connect(server)?;
    server.write_all(&request)?;
    server.write_all(b"Connection: close\r\n\r\n")?;
    io::copy(&mut server, &mut client)?;
    client.conn.send_close_notify();
    client.flush()?;
    Ok(())
}
