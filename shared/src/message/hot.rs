//! A call that borrows its arguments.

use crate::value::Value;
use serde::{Serialize, Serializer, ser::SerializeStructVariant};

/// Number of the variant.
const CALL: u32 = 4;

/// [`ToWorker::Call`](super::worker::ToWorker::Call), to be sent: the same bytes.
pub struct Call<'a> {
    /// The invocation's number.
    pub id: u64,
    /// Which export.
    pub export: u32,
    /// Arguments.
    pub args: &'a [Value],
}

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut call = s.serialize_struct_variant("ToWorker", CALL, "Call", 3)?;
        call.serialize_field("id", &self.id)?;
        call.serialize_field("export", &self.export)?;
        call.serialize_field("args", self.args)?;
        call.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec, message::worker::ToWorker, value::Values};

    #[test]
    fn it_is_the_same_bytes_as_the_message() {
        let values = vec![Value::S32(-1), Value::List(vec![Value::String("ä".into()), Value::Char('x')])];
        let message = ToWorker::Call { id: 7, export: 3, args: Values(values.clone()) };

        let bytes = codec::encode(&Call { id: 7, export: 3, args: &values }).unwrap();

        assert_eq!(bytes, codec::encode(&message).unwrap());
    }
}
