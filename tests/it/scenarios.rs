//! Scenarios over sockets: long polls, refused connections, the routes of the admin API.

mod library;
mod routes;
