//! The IPC door of a core: authentication, authorization, all operations, local publish/subscribe.
