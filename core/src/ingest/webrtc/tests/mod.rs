//! Gets publishers over real sockets, some of them hostile, and links that lose and reorder.
//! Gives what reached the gate.

mod client;
mod feedback;
mod gate;
mod hostile;
mod publish;
