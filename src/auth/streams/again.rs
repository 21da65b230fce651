use std::sync::Arc;

use super::terms::Terms;
use crate::auth::HandlerRejection;
use crate::auth::identity::ApiKey;
use crate::auth::lookup::Answer;
use crate::observe::log_outage;
use crate::rejection::reason::Rejection;
use crate::request::RequestHead;

impl ApiKey {
    /// Checks the key once more, after a wait in which it may have ended: against the store, the clock and the requirements of
    /// the layer that has authenticated it. A key that no layer has authenticated passes.
    pub(crate) async fn check_again(&self, request: RequestHead<'_>) -> Result<(), HandlerRejection> {
        match Terms::of(self, Some(request)) {
            Some(terms) => terms.check_again().await.map_err(|rejection| self.reject(rejection, request)),
            None => Ok(()),
        }
    }
}

impl Terms {
    async fn check_again(&self) -> Result<(), Rejection> {
        let digest = self.accepted.digest();
        let found = match self.config.store.try_find(digest) {
            Answer::Found(record) => Ok(Some(record)),
            Answer::NotFound => Ok(None),
            Answer::Failed(error) => Err(error),
            Answer::Pending => Arc::clone(&self.config.store).find(*digest, self.config.lookup_timeout).await.found,
        };
        match found {
            Ok(record) => self.check(record.as_deref()),
            Err(error) => {
                log_outage(&*error.cause);
                Err(error.outage.into())
            }
        }
    }
}
