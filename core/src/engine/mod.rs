//! Gets settings and commands of the host, and publications from ingest.
//! Gives sessions, recordings and events.
