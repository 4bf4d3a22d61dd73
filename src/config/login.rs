//! Who a config says to be at git servers.

use std::fmt;

use stages::spec::SecretSource;

/// A user name and password for a repository. It is no part of the specification, as it is no part of what is built.
#[derive(Clone, PartialEq, Eq)]
pub struct GitLogin {
    /// The address of the repository, as mappings have it.
    pub url: String,
    /// The user; may be empty.
    pub username: String,
    /// Where the password comes from.
    pub password: SecretSource,
}

impl fmt::Debug for GitLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GitLogin").field("username", &self.username).finish_non_exhaustive()
    }
}
