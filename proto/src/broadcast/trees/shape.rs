//! What the trees look like, for tests. Changes nothing.

use alloc::vec::Vec;

use super::Trees;
use crate::id::ConnId;
use crate::seen::StreamId;

impl Trees {
    /// The links to which a stream is pushed, or the shared tree's.
    pub(crate) fn eager(&self, stream: &StreamId) -> Vec<ConnId> {
        let eager = self.trees.get(stream).map_or(&self.shared.eager, |tree| &tree.eager);
        let links = (0..).zip(&self.links);
        let links = links.filter_map(|(index, link)| Some((index, link.as_ref()?)));
        links.filter(|(index, _)| eager.has(*index)).map(|(_, link)| link.conn).collect()
    }

    /// The link by which a stream comes.
    pub(crate) fn parent(&self, stream: &StreamId) -> Option<ConnId> {
        let parent = self.trees.get(stream)?.parent?;
        Some(self.link(parent)?.conn)
    }
}
