//! Gets an engine whose settings name HTTP listeners.
//! Gives `Engine::start`: the engine's own life with HTTP beside it, one call for every face.

use super::listener::HttpListeners;
use super::options::RestOptions;
use crate::engine::Engine;
use crate::media::Result;

// Written here and not in engine/: starting is what puts the engine and HTTP together, and the engine
// may not name a layer above it.
impl Engine {
    /// Opens the folders, finishes what a crash left, and opens the listeners. Returns when all
    /// listen (each is a `listening` event too).
    ///
    /// # Errors
    /// `InvalidState` for an engine that was started before; `InvalidConfig` for a listener beyond
    /// loopback that nothing guards; what the folders and sockets answer. After an error nothing
    /// listens, and `start` may be tried again; not so after `Cancelled`, for an engine that was
    /// stopped meanwhile.
    pub fn start(&self) -> Result<()> {
        self.start_with_http(&RestOptions::from_settings(self.settings()))
    }

    /// As [`Engine::start`], with `options` instead of what the settings say of HTTP.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_with_http(&self, options: &RestOptions) -> Result<()> {
        if let Some(webhook) = &options.webhook {
            // Before anything happens that it has to tell.
            self.start_webhook(webhook)?;
        }
        self.start_with(&HttpListeners::new(options.clone()))
    }
}
