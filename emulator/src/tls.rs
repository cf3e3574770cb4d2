//! A certificate authority made at each start, and the server certificate it signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{Error, keys};

/// TLS for the loopback names, and the certificate to trust.
pub struct Tls {
    pub acceptor: TlsAcceptor,
    pub ca_pem: String,
    /// SHA-1 of the server certificate, as Windows writes it.
    pub thumbprint: String,
}

/// Makes both.
pub fn make() -> Result<Tls, Error> {
    let fail = |e: &dyn std::fmt::Display| Error::Start(format!("TLS: {e}"));
    let ca_key = KeyPair::generate().map_err(|e| fail(&e))?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    name(&mut ca, "Defender emulator test CA");
    let ca_certificate = ca.self_signed(&ca_key).map_err(|e| fail(&e))?;
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate().map_err(|e| fail(&e))?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut leaf = CertificateParams::new(names).map_err(|e| fail(&e))?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.use_authority_key_identifier_extension = true;
    name(&mut leaf, "Defender emulator");
    let certificate = leaf.signed_by(&key, &issuer).map_err(|e| fail(&e))?;

    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| fail(&e))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .map_err(|e| fail(&e))?;
    Ok(Tls {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        ca_pem: ca_certificate.pem(),
        thumbprint: keys::hex(&keys::sha1(certificate.der())).to_uppercase(),
    })
}

fn name(params: &mut CertificateParams, text: &str) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, text);
}

/// A file that goes when this does.
#[derive(Debug)]
pub struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// A new file in the system's temporary folder, its name ending so.
    pub fn new(ending: &str, content: &str) -> Result<Self, Error> {
        let name = format!("defender-emulator-{}.{ending}", keys::b64(keys::random::<12>()));
        Self::within(std::env::temp_dir(), &name, content)
    }

    /// A new file of that name in a folder, which is made when it is not there.
    pub fn within(folder: PathBuf, name: &str, content: &str) -> Result<Self, Error> {
        use std::io::Write as _;
        let path = folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|e| Error::Start(format!("{}: {e}", folder.display())))?;
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|e| Error::Start(format!("{}: {e}", path.display())))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
