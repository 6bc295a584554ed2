//! The inbox as a program uses it: a folder, a clock that the test sets, faults where it wants them.

mod damage;
mod faults;
mod kill;
mod life;
mod model;
mod order;
mod people;
mod space;
mod support;
