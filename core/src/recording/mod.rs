//! Gets units of one media session from the engine.
//! Gives finished files: timeline, rotation, names, and the writer threads that do the work.
