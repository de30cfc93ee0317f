//! One-to-one routes: by which neighbour a node is reached, what was passed on and from whom, and
//! what waits while a way is sought. Pure: [`node`](crate::node) sends and dials.

mod hops;
pub(crate) mod keyspace;
mod relayed;
mod seeks;
mod walks;

use alloc::sync::Arc;
use core::fmt;

use crate::id::PeerId;

pub(crate) use hops::Routes;
pub(crate) use relayed::Relayed;
pub(crate) use seeks::{Held, Seek, Seeks, Stage};
pub(crate) use walks::{Name, Walk, Walks};

/// The application's answer to "by which neighbour is this node reached?".
#[derive(Clone, Default)]
pub(crate) struct Router(Option<Arc<Answer>>);

type Answer = dyn Fn(&PeerId) -> Option<PeerId> + Send + Sync;

impl Router {
    pub(crate) fn new(answer: impl Fn(&PeerId) -> Option<PeerId> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(answer)))
    }

    pub(crate) fn next(&self, to: &PeerId) -> Option<PeerId> {
        self.0.as_ref().and_then(|answer| answer(to))
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Router({})", if self.0.is_some() { "the application's" } else { "none" })
    }
}

#[cfg(feature = "testing")]
impl core::hash::Hash for Router {
    /// Whether there is one: what it says is the application's own state.
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.is_some().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn routers() -> [Router; 2] {
        [Router::default(), Router::new(|to| Some(to.clone()))]
    }

    #[test]
    fn a_router_says_what_the_application_says() {
        let to = PeerId::Guest("g".into());
        assert_eq!(routers().map(|router| router.next(&to)), [None, Some(to.clone())]);
        let shown = routers().map(|router| format!("{router:?}"));
        assert_eq!(shown, ["Router(none)", "Router(the application's)"]);
    }

    #[cfg(feature = "testing")]
    #[test]
    fn it_matters_whether_there_is_a_router() {
        use core::hash::{Hash as _, Hasher};

        /// The bytes that were written, added up in order.
        #[derive(Default)]
        struct Sum(u64);

        impl Hasher for Sum {
            fn finish(&self) -> u64 {
                self.0
            }

            fn write(&mut self, bytes: &[u8]) {
                let add = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
                self.0 = bytes.iter().fold(self.0, add);
            }
        }

        let hashes = routers().map(|router| {
            let mut sum = Sum::default();
            router.hash(&mut sum);
            sum.finish()
        });
        let [none, some] = hashes;
        assert_ne!(none, some);
    }
}
