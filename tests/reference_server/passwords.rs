use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use futures::future::join_all;
use zeroize::Zeroizing;

use super::hashing::Passwords;

/// Each thread makes several hashes in the same memory, and none affects the next.
#[tokio::test]
async fn hash_verifies_only_its_own_password() {
    let passwords = Passwords::start().expect("threads");
    let texts: Vec<_> = (0..12).map(|number| format!("password {}", number % 6)).collect();
    let hashes = join_all(texts.iter().map(|text| passwords.hash(Zeroizing::new(text.clone())))).await;
    let hashes: Vec<String> = hashes.into_iter().map(|hash| hash.expect("a hash")).collect();

    for (hash, text) in hashes.iter().zip(&texts) {
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(Argon2::default().verify_password(text.as_bytes(), &**hash), Ok(()));
    }
    assert!(Argon2::default().verify_password(b"password 1", &*hashes[0]).is_err());
    let verify = async |text: &str| passwords.verify(Zeroizing::new(text.into()), hashes[0].clone()).await;
    assert!(verify("password 0").await.expect("an answer"));
    assert!(!verify("password 1").await.expect("an answer"));
    assert!(passwords.verify(Zeroizing::new("password 0".into()), "no hash".into()).await.is_err());
    // The salt makes two hashes of one password differ.
    assert_ne!(hashes[0], hashes[6]);
}
