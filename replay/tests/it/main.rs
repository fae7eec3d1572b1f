//! What a journal says is enough: a session rebuilt from its records is the session that wrote them.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod recovered;
