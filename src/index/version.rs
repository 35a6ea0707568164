//! Which view of an object is newer.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// A resourceVersion: of one kind they are numbers that grow, and one that is not a number is taken as it comes.
#[derive(Clone, Debug)]
pub enum Version {
    /// As every API server gives them.
    Number(u64),
    /// Nothing that can be compared.
    Text(Box<str>),
}

impl Version {
    /// The version of an object.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let text = metadata.resource_version.as_deref().unwrap_or_default();
        text.parse().map_or_else(|_| Self::Text(text.into()), Self::Number)
    }

    /// Certainly so.
    pub(super) const fn is_older_than(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Number(this), Self::Number(other)) if *this < *other)
    }

    /// It may tell more than the other. The same version again is neither news nor stale.
    pub(super) const fn is_news_to(&self, known: &Self) -> bool {
        !matches!((self, known), (Self::Number(this), Self::Number(known)) if *this <= *known)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}
