//! Reads the parts that all Kubernetes objects share, without decoding the rest.

use serde_json::Value;

/// Read access to the common parts of an object held as JSON.
///
/// Controllers look at a handful of fields of many objects; decoding each into
/// a full type costs more than everything else they do.
pub trait Object {
    /// Returns `metadata.name`, or the empty string.
    fn name(&self) -> &str;
    /// Returns `metadata.namespace`, or the empty string for cluster-scoped objects.
    fn namespace(&self) -> &str;
    /// Returns `metadata.uid`, or the empty string.
    fn uid(&self) -> &str;
    /// Returns `metadata.resourceVersion` as the store's number, 0 when absent.
    fn revision(&self) -> u64;
    /// Returns `metadata.generation`, 0 when absent.
    fn generation(&self) -> i64;
    /// Returns the label's value.
    fn label(&self, key: &str) -> Option<&str>;
    /// Returns the annotation's value.
    fn annotation(&self, key: &str) -> Option<&str>;
    /// Tells whether `metadata.deletionTimestamp` is set.
    fn is_terminating(&self) -> bool;
    /// Returns the uid of the owner that has `controller: true`.
    fn controller_uid(&self) -> Option<&str>;
    /// Returns the value at an RFC 6901 pointer as an integer.
    fn int(&self, pointer: &str) -> Option<i64>;
    /// Returns the value at an RFC 6901 pointer as text.
    fn text(&self, pointer: &str) -> Option<&str>;
}

impl Object for Value {
    fn name(&self) -> &str {
        self["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self["metadata"]["uid"].as_str().unwrap_or_default()
    }

    fn revision(&self) -> u64 {
        let text = self["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        text.parse().unwrap_or_default()
    }

    fn generation(&self) -> i64 {
        self["metadata"]["generation"].as_i64().unwrap_or_default()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self["metadata"]["labels"][key].as_str()
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self["metadata"]["annotations"][key].as_str()
    }

    fn is_terminating(&self) -> bool {
        self["metadata"]["deletionTimestamp"].is_string()
    }

    fn controller_uid(&self) -> Option<&str> {
        let owners = self["metadata"]["ownerReferences"].as_array()?;
        owners.iter().find(|owner| owner["controller"] == true)?["uid"].as_str()
    }

    fn int(&self, pointer: &str) -> Option<i64> {
        self.pointer(pointer)?.as_i64()
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.pointer(pointer)?.as_str()
    }
}
