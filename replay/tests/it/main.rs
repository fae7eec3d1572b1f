//! What a journal says is enough: a session rebuilt from its records is the session that wrote them.

mod recovered;
