//! A server, its clients, and those who are none.

mod attacks;
mod common;
mod models;
mod others;
mod overload;
mod protocol;
mod triton;
