//! Carrying outbound messages: after the save, in the background, each POST by itself so that a slow listener holds up
//! only its own.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    outbound::{Parcel, acknowledged},
};
use crate::sandbox::wire::Caller;

/// Sends what is due until told to stop.
pub(super) async fn run(shared: Arc<Shared>, caller: Caller, stop: CancellationToken) {
    loop {
        let (parcel, due) = {
            let mut state = shared.lock();
            let parcel = state.next_parcel();
            (parcel, state.outbound.next_due())
        };
        if let Some(parcel) = parcel {
            tokio::spawn(send(shared.clone(), caller.clone(), parcel, stop.clone()));
            continue;
        }
        let now = shared.clock.now();
        let wait = async {
            match due {
                Some(due) => shared.clock.sleep(due.since(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.wake.notified() => {}
            () = wait => {}
        }
    }
}

async fn send(shared: Arc<Shared>, caller: Caller, parcel: Parcel, stop: CancellationToken) {
    let timeout = shared.lock().settings.outbound.timeout;
    let headers = [("content-type", "text/xml; charset=UTF-8".to_owned()), ("soapaction", "\"\"".to_owned())];
    let answer = tokio::select! {
        () = stop.cancelled() => return,
        answer = caller.post(&parcel.url, &headers, parcel.body.into_bytes(), timeout) => answer,
    };
    let outcome = answer.and_then(|answer| acknowledged(&answer));
    shared.lock().outbound.settle(&parcel.ids, outcome, &*shared.clock);
    shared.wake.notify_one();
}
