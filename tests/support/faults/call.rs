//! What an API request is about, read from its method and path.

use http::{Method, Uri};

/// One API request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// In the words of RBAC.
    pub verb: &'static str,
    /// Plural, with the subresource: `runs/status`. The whole path for what is no resource.
    pub resource: String,
    /// Name of the object; empty in a list, a watch or a create.
    pub name: String,
}

impl Call {
    /// Reads a request.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _, "namespaces", _, rest @ ..]
            | ["apis", _, _, "namespaces", _, rest @ ..]
            | ["api", _, rest @ ..]
            | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let (resource, name) = match rest {
            [] => (uri.path().to_owned(), String::new()),
            [resource] => ((*resource).to_owned(), String::new()),
            [resource, name] => ((*resource).to_owned(), (*name).to_owned()),
            [resource, name, subresource, ..] => (format!("{resource}/{subresource}"), (*name).to_owned()),
        };
        let watch = uri.query().is_some_and(|query| query.contains("watch=true"));
        let verb = match *method {
            Method::GET if watch => "watch",
            Method::GET if name.is_empty() => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PATCH => "patch",
            Method::PUT => "update",
            Method::DELETE => "delete",
            _ => "other",
        };
        Self { verb, resource, name }
    }

    /// Part of following the world: a list that a watch begins with, or the watch. The pods of a Job are listed to be
    /// read once.
    pub fn follows(&self) -> bool {
        matches!(self.verb, "list" | "watch") && self.resource != "pods" && !self.resource.starts_with('/')
    }

    /// Belongs to the deciding about a Run: a write, or a live read. Events are told beside it, and leases are renewed.
    pub fn decides(&self) -> bool {
        !self.follows() && !self.resource.starts_with('/') && !matches!(self.resource.as_str(), "events" | "leases")
    }

    /// Changes something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.verb, self.resource, self.name)
    }
}
