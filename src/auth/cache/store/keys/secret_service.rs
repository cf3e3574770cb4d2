//! The freedesktop.org Secret Service, which GNOME Keyring, KWallet and KeePassXC speak on the session's D-Bus.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use secret_service::{EncryptionType, Error, SecretService};
use tokio::time::{Instant, timeout_at};

use super::{Bytes, Said, sized};

/// How long a bus and the service on it have to answer; a person who is asked has longer.
const CONNECT: Duration = Duration::from_secs(8);

fn attributes(id: &str) -> HashMap<&str, &str> {
    HashMap::from([("application", "defender-xdr"), ("purpose", "token-cache"), ("id", id)])
}

fn told(error: &Error) -> String {
    match error {
        Error::Unavailable => "none runs in this session".to_owned(),
        Error::NoResult => "it has no default collection".to_owned(),
        Error::Locked => "it is locked".to_owned(),
        Error::Prompt => "it asked to be unlocked, and nobody did".to_owned(),
        Error::Zbus(_) | Error::ZbusFdo(_) => "it cannot be reached (no D-Bus session?)".to_owned(),
        other => other.to_string(),
    }
}

async fn within<T>(until: Instant, work: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout_at(until, work).await {
        Ok(done) => done.map_err(|error| told(&error)),
        Err(_) => Err("it did not answer in time".to_owned()),
    }
}

/// Connects, which no person has to allow: a bus that does not answer is not waited for.
async fn connect<'a>(until: Instant) -> Result<SecretService<'a>, String> {
    within(until.min(Instant::now() + CONNECT), SecretService::connect(EncryptionType::Dh)).await
}

pub async fn put(id: &str, bytes: &Bytes, until: Instant) -> Result<(), String> {
    let service = connect(until).await?;
    within(until, async {
        let collection = service.get_default_collection().await?;
        if collection.is_locked().await? {
            collection.unlock().await?;
        }
        let label = "Token cache key of defender-xdr";
        let item = collection
            .create_item(label, attributes(id), bytes.as_ref(), true, "application/octet-stream")
            .await?;
        item.get_secret().await.map(drop)
    })
    .await
}

pub async fn get(id: &str, until: Instant) -> Said {
    let service = match connect(until).await {
        Ok(service) => service,
        Err(why) => return Said::Unavailable(why),
    };
    let asked = within(until, async {
        let found = service.search_items(attributes(id)).await?;
        if let Some(item) = found.unlocked.first() {
            return item.get_secret().await.map(Some);
        }
        let Some(item) = found.locked.first() else { return Ok(None) };
        item.unlock().await?;
        item.get_secret().await.map(Some)
    });
    match asked.await {
        Ok(Some(bytes)) => sized(bytes),
        // Sessions have keyrings of their own, and one that was emptied looks like another: only a person knows.
        Ok(None) => Said::Elsewhere,
        Err(why) => Said::Unavailable(why),
    }
}
