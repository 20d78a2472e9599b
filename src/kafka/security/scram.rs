//! SCRAM (RFC 5802, RFC 7677) as Kafka speaks it: no channel binding, no SASLprep, the password as its bytes are.
//!
//! A small machine of our own on the cryptography that TLS uses here anyway; `ARCHITECTURE.md` has the reason.

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::num::NonZeroU32;

/// A server that asks for more would only hold us up: half a second of work; Kafka's default is 4,096.
const ITERATIONS_MAX: u32 = 500_000;
const ITERATIONS_MIN: u32 = 4_096;
const NONCE_BYTES: usize = 24;

/// Which hash the mechanism is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// One authentication, from its first message on.
pub struct Scram {
    hash: Hash,
    nonce: String,
    /// The first message without its header.
    first: String,
}

/// The proof was sent; what the server must answer with.
pub struct Proven {
    server_key: hmac::Key,
    signed: String,
}

impl Scram {
    /// # Errors
    /// The system has no random numbers.
    pub fn start(hash: Hash, username: &str) -> Result<Self, &'static str> {
        let mut random = [0_u8; NONCE_BYTES];
        rand::fill(&mut random).map_err(|_| "no random numbers")?;
        Ok(Self::with_nonce(hash, username, BASE64.encode(random)))
    }

    fn with_nonce(hash: Hash, username: &str, nonce: String) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        Self { hash, first: format!("n={name},r={nonce}"), nonce }
    }

    pub fn first_message(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// Answers the server's challenge with the proof.
    ///
    /// # Errors
    /// The challenge is not one, does not belong to our nonce, or asks for too much work or too little.
    pub fn prove(self, challenge: &str, password: &[u8]) -> Result<(String, Proven), &'static str> {
        let (mut nonce, mut salt, mut iterations) = (None, None, None);
        for part in challenge.split(',') {
            match part.split_once('=') {
                Some(("r", value)) => nonce = Some(value),
                Some(("s", value)) => salt = BASE64.decode(value).ok(),
                Some(("i", value)) => iterations = value.parse::<u32>().ok(),
                Some(("m", _)) => return Err("the challenge asks for an extension that nobody knows"),
                _ => {}
            }
        }
        let nonce = nonce.filter(|nonce| nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce));
        let nonce = nonce.ok_or("the challenge does not belong to our nonce")?;
        let salt = salt.filter(|salt| !salt.is_empty()).ok_or("the challenge has no salt")?;
        let iterations = iterations
            .filter(|iterations| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(iterations))
            .and_then(NonZeroU32::new)
            .ok_or("the challenge asks for fewer than 4096 iterations or for more than 500000")?;

        let mut salted = vec![0_u8; self.hash.digest().output_len()];
        pbkdf2::derive(self.hash.pbkdf2(), iterations, &salt, password, &mut salted);
        let salted = hmac::Key::new(self.hash.hmac(), &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let unproven = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{unproven}", self.first);
        let signature = hmac::sign(&hmac::Key::new(self.hash.hmac(), stored_key.as_ref()), signed.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = hmac::Key::new(self.hash.hmac(), hmac::sign(&salted, b"Server Key").as_ref());
        Ok((format!("{unproven},p={}", BASE64.encode(proof)), Proven { server_key, signed }))
    }
}

impl Proven {
    /// Whether the server knows the password, too.
    ///
    /// # Errors
    /// It says that it refuses, or does not prove that it knows.
    pub fn check(&self, answer: &str) -> Result<(), &'static str> {
        let signature = answer.split(',').find_map(|part| part.strip_prefix("v="));
        let signature = signature.and_then(|signature| BASE64.decode(signature).ok());
        let signature = signature.ok_or("the broker did not prove that it knows the password")?;
        hmac::verify(&self.server_key, self.signed.as_bytes(), &signature)
            .map_err(|_| "the broker's proof that it knows the password is wrong: this may be another broker")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3.
    fn of_the_rfc() -> (Scram, &'static str) {
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        (Scram::with_nonce(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO".to_owned()), challenge)
    }

    #[test]
    fn the_exchange_of_rfc_7677_is_reproduced() {
        let (scram, challenge) = of_the_rfc();
        assert_eq!(scram.first_message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (proof, proven) = scram.prove(challenge, b"pencil").unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(proof, format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(proven.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert!(proven.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").is_err());
        assert!(proven.check("e=other-error").is_err());
    }

    #[test]
    fn a_challenge_that_is_not_an_answer_to_ours_is_refused() {
        let nonce = "r=rOprNGfwEbeRWgbNEkqOx";
        for challenge in [
            "",
            "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            &format!("{nonce},s=,i=4096"),
            &format!("{nonce},s=!,i=4096"),
            &format!("{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"),
            &format!("{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000"),
            &format!("m=x,{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        ] {
            assert!(of_the_rfc().0.prove(challenge, b"pencil").is_err(), "{challenge}");
        }
    }

    #[test]
    fn a_name_with_the_marks_of_the_protocol_is_written_without_them() {
        let scram = Scram::with_nonce(Hash::Sha512, "a=b,c", "n".to_owned());
        assert_eq!(scram.first_message(), "n,,n=a=3Db=2Cc,r=n");
    }
}
