//! Instances as their callers see them, as bytes: encoded once for all who ask at the same time.

use std::sync::{Arc, Weak};

use durabletask_proto::GetInstanceResponse;
use durabletask_proto::prost::Message;

use super::{Hub, Result};
use crate::store::{InstanceRow, Key};
use crate::wire::EncodedMessage;

/// From how many bytes on it is worth looking for somebody who is being told the same.
const SHARED_FROM: usize = 64 * 1024;

/// What is being sent of instances that have ended, which stay as they are.
#[derive(Default)]
pub(super) struct Descriptions {
    ended: Vec<(Key, Weak<EncodedMessage>)>,
}

impl Descriptions {
    fn find(&self, key: Key) -> Option<Arc<EncodedMessage>> {
        self.ended.iter().find(|(known, _)| *known == key)?.1.upgrade()
    }

    fn add(&mut self, key: Key, message: &Arc<EncodedMessage>) {
        self.ended.retain(|(known, message)| *known != key && message.strong_count() > 0);
        self.ended.push((key, Arc::downgrade(message)));
    }
}

fn encoded(response: &GetInstanceResponse) -> EncodedMessage {
    EncodedMessage { chunks: vec![response.encode_to_vec().into()] }
}

impl Hub {
    /// The answer to who asks for an instance; it may not exist.
    pub(crate) fn state_encoded(&mut self, id: &str, payloads: bool) -> Result<Arc<EncodedMessage>> {
        match self.find(id)? {
            Some(row) => self.describe_encoded(row, payloads),
            None => Ok(Arc::new(encoded(&GetInstanceResponse::default()))),
        }
    }

    pub(super) fn describe_encoded(&mut self, row: InstanceRow, payloads: bool) -> Result<Arc<EncodedMessage>> {
        let key = row.key;
        let stays = payloads && row.instance.is_finished();
        if stays && let Some(message) = self.descriptions.find(key) {
            return Ok(message);
        }
        let state = Some(self.describe(row, payloads)?);
        let response = GetInstanceResponse { exists: true, orchestration_state: state };
        let message = Arc::new(encoded(&response));
        if stays && message.len() >= SHARED_FROM {
            self.descriptions.add(key, &message);
        }
        Ok(message)
    }
}
