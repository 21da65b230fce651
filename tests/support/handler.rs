//! An inner service that counts its calls.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use tower::{Service, service_fn};

#[derive(Clone, Default)]
pub(crate) struct Handler {
    calls: Arc<AtomicUsize>,
}

impl Handler {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<Request<String>, Response = Response<String>, Error = Infallible, Future: Send> + Clone + use<>
    {
        let calls = Arc::clone(&self.calls);
        service_fn(move |_: Request<String>| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Ok(Response::new("handled".to_owned())) }
        })
    }
}
