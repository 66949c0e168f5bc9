//! Requires that the client of the admin socket runs as this user or as root.

use super::{Guard, Head};
use crate::admin::problem::Problem;
use gce_metadata_layers::Connection;

const ROOT: u32 = 0;

/// Checks the user of the client's process, which the kernel reports for a Unix socket.
#[derive(Debug)]
pub(in crate::admin) struct RequireUser {
    own: u32,
}

impl RequireUser {
    /// Requires the user of this process.
    pub(in crate::admin) fn own() -> Self {
        Self { own: rustix::process::geteuid().as_raw() }
    }
}

impl Guard for RequireUser {
    fn check(&self, request: &Head<'_>) -> Result<(), Problem> {
        let user = request.extensions.get::<Connection>().and_then(|connection| connection.user);
        match user {
            Some(user) if user == self.own || user == ROOT => Ok(()),
            _ => Err(Problem::forbidden("the process of the client runs as another user")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::status;
    use super::*;
    use http::Request;

    #[test]
    fn another_user_is_refused() {
        let guard = RequireUser { own: 1000 };
        let with = |user| {
            let mut connection = Connection::default();
            connection.user = user;
            status(&guard, Request::get("/").extension(connection).body("").unwrap())
        };
        assert_eq!((with(Some(1000)), with(Some(ROOT))), (200, 200));
        assert_eq!((with(Some(1001)), with(None)), (403, 403));
    }
}
