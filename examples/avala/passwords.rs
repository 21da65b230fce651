use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, try_generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Each hash takes 19 MiB of memory, which is what makes guessing expensive; so only this many are made at a
/// time, however many people sign up.
const THREADS: usize = 4;

/// Hashes passwords, on a few threads of its own. Each keeps its memory from one hash to the next, since
/// not every allocator reuses such blocks well: with glibc 2.36, threads that allocated anew for each hash came to
/// hold more than 200 MiB each.
pub(crate) struct Passwords {
    jobs: Sender<Job>,
}

struct Job {
    password: Zeroizing<String>,
    wanted: Wanted,
}

enum Wanted {
    Hash(oneshot::Sender<Result<String, password_hash::Error>>),
    Verdict { hash: String, reply: oneshot::Sender<Result<bool, password_hash::Error>> },
}

impl Passwords {
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("passwords".into()).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Argon2id with a random salt, in the PHC string format: algorithm, parameters, salt and hash.
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<String, HashError> {
        let (reply, hash) = oneshot::channel();
        self.order(password, Wanted::Hash(reply))?;
        Ok(hash.await.map_err(|_| HashError::Stopped)??)
    }

    /// Whether this is the password that the hash was made of.
    pub(crate) async fn verify(&self, password: Zeroizing<String>, hash: String) -> Result<bool, HashError> {
        let (reply, verdict) = oneshot::channel();
        self.order(password, Wanted::Verdict { hash, reply })?;
        Ok(verdict.await.map_err(|_| HashError::Stopped)??)
    }

    fn order(&self, password: Zeroizing<String>, wanted: Wanted) -> Result<(), HashError> {
        self.jobs.send(Job { password, wanted }).map_err(|_| HashError::Stopped)
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut memory = Vec::new();
    loop {
        // One thread waits for the next job, the others for their turn to wait.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { password, wanted }) = next else { return };
        // A client that has gone away in the meantime costs nothing more.
        match wanted {
            Wanted::Hash(reply) if !reply.is_closed() => {
                let _ = reply.send(hash(password.as_bytes(), &mut memory));
            }
            Wanted::Verdict { hash, reply } if !reply.is_closed() => {
                let _ = reply.send(verify(password.as_bytes(), &hash, &mut memory));
            }
            Wanted::Hash(_) | Wanted::Verdict { .. } => {}
        }
    }
}

fn hash(password: &[u8], memory: &mut Vec<Block>) -> Result<String, password_hash::Error> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::default(), Params::default());
    memory.resize(argon2.params().block_count(), Block::default());
    let salt = try_generate_salt().map_err(|_| password_hash::Error::RngFailure)?;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2.hash_password_into_with_memory(password, &salt, &mut output, memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(Salt::new(&salt)?),
        hash: Some(Output::new(&output)?),
    };
    Ok(hash.to_string())
}

fn verify(password: &[u8], hash: &str, memory: &mut Vec<Block>) -> Result<bool, password_hash::Error> {
    let hash = PasswordHash::new(hash)?;
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
        return Err(password_hash::Error::EncodingInvalid);
    };
    let params = Params::try_from(&hash)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::default(), params);
    memory.resize(argon2.params().block_count(), Block::default());
    let mut output = vec![0; expected.len()];
    argon2.hash_password_into_with_memory(password, &salt, &mut output, memory)?;
    // Compares in constant time.
    Ok(Output::new(&output)? == expected)
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("a password could not be hashed: {0}")]
    Argon2(#[from] password_hash::Error),
    #[error("a password could not be hashed: the threads have stopped")]
    Stopped,
}
