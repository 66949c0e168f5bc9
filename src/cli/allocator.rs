//! The program's memory allocator.
//!
//! glibc keeps the memory of closed connections: after 13,500 of them 150 to 220 MB stay resident. jemalloc returns it to the
//! system within 20 seconds, on a background thread. Only x86-64 uses it, other systems use their own allocator: jemalloc is
//! compiled for one page size, and a program that was built on another ARM machine would not start.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
