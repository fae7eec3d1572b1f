//! wm
