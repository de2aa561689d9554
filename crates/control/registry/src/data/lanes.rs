//! Requests of one subject in the order they came, of many subjects side by side: for services behind reserved topics.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use marram_broker::Interception;
use marram_identity::BoxFuture;
use marram_mqtt::ReasonCode;
use tokio::sync::{mpsc, oneshot};

/// Lanes: transactions that wait for the disk together.
const LANES: usize = 64;
/// Requests that wait in a lane; further ones are refused.
const LANE_LENGTH: usize = 256;

/// A queue and a worker per lane; a subject always takes the same one.
pub struct Lanes<R> {
    lanes: Vec<mpsc::Sender<(R, Option<oneshot::Sender<()>>)>>,
}

impl<R> std::fmt::Debug for Lanes<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lanes({})", self.lanes.len())
    }
}

impl<R: Send + 'static> Lanes<R> {
    /// Starts the workers, which end with this value; call it inside the runtime.
    pub fn start(work: impl Fn(R) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        let work = Arc::new(work);
        let lane = |_| {
            let (lane, mut requests) = mpsc::channel::<(R, Option<oneshot::Sender<()>>)>(LANE_LENGTH);
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                while let Some((request, done)) = requests.recv().await {
                    work(request).await;
                    if let Some(done) = done {
                        // The connection may be gone; then nobody waits.
                        let _: Result<(), ()> = done.send(());
                    }
                }
            });
            lane
        };
        Self { lanes: (0..LANES).map(lane).collect() }
    }

    /// Queues a request of `subject`. With `acknowledged` the PUBACK waits for the work: what it changed is durable by then.
    ///
    /// # Errors
    /// The request, when its lane is full.
    pub fn send(&self, subject: &impl Hash, request: R, acknowledged: bool) -> Result<Interception, R> {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let lane = &self.lanes[usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0)];
        if !acknowledged {
            return lane.try_send((request, None)).map(|()| Interception::Consumed).map_err(|full| full.into_inner().0);
        }
        let (done, finished) = oneshot::channel();
        lane.try_send((request, Some(done))).map_err(|full| full.into_inner().0)?;
        Ok(Interception::Pending(Box::pin(async move {
            match finished.await {
                Ok(()) => ReasonCode::SUCCESS,
                Err(_) => ReasonCode::UNSPECIFIED_ERROR,
            }
        })))
    }
}
