//! The program's memory allocator.
//!
//! glibc keeps the memory of closed connections: after 13,500 that had sent a part of a request, 240 MB stay resident. jemalloc
//! returns it to the system, on a thread of its own, within 20 seconds. It is optional, because it takes `make` to build.
//! Elsewhere than on x86-64 the system's allocator is used: jemalloc is compiled for one page size, and a program that was
//! built on another ARM machine would not start.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
