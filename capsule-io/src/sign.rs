//! A signed statement about a sealed session, which anybody with the public key can check: `statement.dsse.json`.
//!
//! It is an in-toto Statement in a DSSE envelope, signed with Ed25519. Its subject is `metadata.json`, whose seal commits
//! every stream and the tree, so one small signature covers the whole session. Keys are PKCS#8 and SPKI in PEM, as
//! `openssl genpkey -algorithm ed25519` makes them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use capsule_core::{SessionId, Timestamp};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::chain::{Hash, split_seal};
use crate::error::StoreError;
use crate::key::place;
use crate::layout::{METADATA, STATEMENT};
use crate::reader::SessionReader;

/// What the envelope carries.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What the statement says.
pub const PREDICATE_TYPE: &str = "https://github.com/capsule-rs/capsule/session/v1";

/// Why a text is not an Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 {0} key in PEM (`openssl genpkey -algorithm ed25519` makes one)")]
pub struct PemError(&'static str);

/// Signs statements.
#[derive(Debug)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Checks statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// When the operating system gives no random bits.
    pub fn generate() -> Result<Self, StoreError> {
        let mut seed = Zeroizing::new([0; 32]);
        crate::dir::fill_random(seed.as_mut_slice())?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// When it is none, or of another algorithm.
    pub fn from_pem(pem: &str) -> Result<Self, PemError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_der| PemError("private"))
    }

    /// Writes the key to a new file that only the user can read, as PKCS#8 in PEM.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn save_new(&self, path: &Path) -> Result<(), StoreError> {
        // Without the public half: openssl reads only this form.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let unusable = |_| StoreError::io("write", path, std::io::ErrorKind::InvalidData.into());
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(unusable)?;
        let (dir, name) = place(path)?;
        let mut file = dir.create_new(&name)?;
        file.write_all(pem.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|source| StoreError::io("write", path, source))
    }

    /// The key that others check with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl PublicKey {
    /// Reads SPKI in PEM.
    ///
    /// # Errors
    /// When it is none, or of another algorithm.
    pub fn from_pem(pem: &str) -> Result<Self, PemError> {
        ed25519_dalek::VerifyingKey::from_public_key_pem(pem).map(Self).map_err(|_der| PemError("public"))
    }

    /// SPKI in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// What the key is known by in envelopes: SHA-256 of its 32 bytes.
    #[must_use]
    pub fn id(&self) -> String {
        hex(Sha256::digest(self.0.as_bytes()).as_slice())
    }
}

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// An in-toto statement about a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// What a statement says of its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicate {
    /// Which session.
    pub session: SessionId,
    /// Its seal, 64 hex digits.
    pub seal: String,
    /// The version of Capsule that recorded it.
    pub capsule: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How many records each stream has.
    pub records: BTreeMap<String, u64>,
}

/// What DSSE signs.
fn pre_authentication(kind: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs a sealed session. The statement is stored beside it, and replaces an earlier one.
///
/// Check the session before, or sign it right after sealing: a signature says who, not whether.
///
/// # Errors
/// When the session is not sealed, or the disk refuses.
pub fn sign(session: &SessionReader, key: &SigningKey) -> Result<(), StoreError> {
    let bytes = session.dir().read(METADATA)?;
    let metadata = session.metadata()?;
    let Some((_, seal)) = split_seal(bytes.trim_ascii_end()) else {
        return Err(StoreError::NotSealed { session: session.id().clone() });
    };
    let digest = BTreeMap::from([
        ("blake3".to_owned(), Hash(*blake3::hash(&bytes).as_bytes()).to_hex()),
        ("sha256".to_owned(), hex(Sha256::digest(&bytes).as_slice())),
    ]);
    let statement = Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject { name: METADATA.to_owned(), digest }],
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: Predicate {
            session: metadata.id,
            seal: seal.to_hex(),
            capsule: metadata.capsule,
            started: metadata.started,
            ended: metadata.ended,
            records: metadata.streams.into_iter().map(|(name, end)| (name.to_string(), end.records)).collect(),
        },
    };
    let path = session.path().join(STATEMENT);
    let json = |source| StoreError::Json { path: path.clone(), source };
    let payload = serde_json::to_vec(&statement).map_err(json)?;
    let signature = key.0.sign(&pre_authentication(PAYLOAD_TYPE, &payload));
    let envelope = Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: BASE64.encode(&payload),
        signatures: vec![EnvelopeSignature { keyid: key.public().id(), sig: BASE64.encode(signature.to_bytes()) }],
    };
    let mut bytes = serde_json::to_vec(&envelope).map_err(json)?;
    bytes.push(b'\n');
    session.dir().replace(STATEMENT, &bytes, true)
}

/// What is wrong with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is no DSSE envelope with an in-toto statement about a session.
    #[error("it is not a statement about a session")]
    Form,
    /// No signature in it is by this key.
    #[error("it is not signed by this key")]
    Signature,
    /// It is about another session, or about other contents of this one.
    #[error("it is about other contents")]
    Subject,
}

/// Checks an envelope against the metadata's bytes as they are, and returns what it says.
///
/// # Errors
/// When it is no statement, not signed by `key`, or about something else.
pub fn check_statement(envelope: &[u8], metadata: &[u8], key: &PublicKey) -> Result<Predicate, StatementError> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|_json| StatementError::Form)?;
    let payload = BASE64.decode(&envelope.payload).map_err(|_base64| StatementError::Form)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(StatementError::Form);
    }
    let signed = pre_authentication(PAYLOAD_TYPE, &payload);
    // The key's name in the envelope is a hint and not signed: the signature alone decides.
    let by_key = envelope.signatures.iter().any(|signature| {
        let bytes = BASE64.decode(&signature.sig).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        bytes.is_some_and(|bytes| key.0.verify_strict(&signed, &Signature::from_bytes(&bytes)).is_ok())
    });
    if !by_key {
        return Err(StatementError::Signature);
    }
    let statement: Statement = serde_json::from_slice(&payload).map_err(|_json| StatementError::Form)?;
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(StatementError::Form);
    }
    let digest = hex(Sha256::digest(metadata).as_slice());
    let about = |subject: &Subject| subject.name == METADATA && subject.digest.get("sha256") == Some(&digest);
    if !statement.subject.iter().any(about) {
        return Err(StatementError::Subject);
    }
    Ok(statement.predicate)
}

#[cfg(test)]
mod tests;
