//! Gets settings of a C host.
//! Gives them to an engine.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Mutex;

use livereel_core::engine::Config;
use livereel_core::media::Result;

use crate::call::{Call, guard, guard_value};
use crate::error::ErrorHandle;
use crate::handle::{Magic, lock};

/// Settings. Plain data: it may be used in a forked child too.
pub struct ConfigHandle {
    magic: Magic<0x4C52_4346>,
    config: Mutex<Config>,
}

impl ConfigHandle {
    /// # Safety
    /// `config` is NULL or live, and stays so for `'a`.
    pub(crate) unsafe fn get<'a>(call: Call, config: *const Self) -> Result<&'a Self> {
        // SAFETY: passed on.
        let config = unsafe { call.object("config", config)? };
        config.magic.check("a livereel_config");
        Ok(config)
    }

    pub(crate) fn snapshot(&self) -> Config {
        lock(&self.config).clone()
    }
}

/// Puts out new settings, all with their defaults. The caller frees them with livereel_config_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_config_new(config: *mut *mut ConfigHandle, error: *mut *mut ErrorHandle) -> i32 {
    guard("make settings", error, |call| {
        // SAFETY: NULL or writable, by contract.
        let place = unsafe { call.output("config", config)? };
        let made = ConfigHandle {
            magic: Magic::new(),
            config: Mutex::new(Config::new()),
        };
        place.write(Box::into_raw(Box::new(made)));
        Ok(())
    })
}

/// Sets one key, as text: `livereel_config_set(config, "rtmp_listen", "127.0.0.1:0", &error)`.
/// The keys are those of the settings table of the documentation. LIVEREEL_E_INVALID_ARGUMENT for a
/// key that does not exist; whether the values fit is checked as a whole by livereel_engine_new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_config_set(
    config: *mut ConfigHandle,
    key: *const c_char,
    value: *const c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("set a setting", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (config, key, value) = unsafe {
            (
                ConfigHandle::get(call, config)?,
                call.text("key", key)?,
                call.text("value", value)?,
            )
        };
        lock(&config.config).set(key, value)
    })
}

/// Loads a `.toml` or `.properties` file. LIVEREEL_E_INVALID_CONFIG for a broken one, else what the
/// file system answers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_config_load(
    config: *mut ConfigHandle,
    path: *const c_char,
    error: *mut *mut ErrorHandle,
) -> i32 {
    guard("load settings", error, |call| {
        // SAFETY: each is NULL or live, by contract.
        let (config, path) = unsafe { (ConfigHandle::get(call, config)?, call.text("path", path)?) };
        lock(&config.config).load_file(Path::new(path))
    })
}

/// Frees settings. NULL is allowed. Engines made with them are not concerned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_config_free(config: *mut ConfigHandle) {
    guard_value((), || {
        if config.is_null() {
            return;
        }
        // SAFETY: not NULL, so by contract it lives and nobody else uses it any more.
        unsafe {
            (*config).magic.clear("a livereel_config");
            drop(Box::from_raw(config));
        }
    });
}
