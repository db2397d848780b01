//! Names, parsed once at the door: inside, a name is valid. Never a lookup or a default.
use std::{fmt, sync::Arc};

/// Why a text is no name. `Display` names the rule and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a {noun} name is empty: give 1 to {max} characters of A-Za-z0-9._-")]
    Empty { noun: &'static str, max: usize },
    #[error("{noun} name of {len} characters is longer than {max}")]
    TooLong { noun: &'static str, len: usize, max: usize },
    #[error("{noun} name `{name}` has `{found}`: use A-Za-z0-9._-")]
    Character { noun: &'static str, name: String, found: char },
    #[error(
        "{noun} name `{name}` begins with `{found}`: names that begin with `.` or `_` are kept for the system"
    )]
    Reserved { noun: &'static str, name: String, found: char },
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $noun:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Longest name, in characters (all of them one byte).
            pub const LEN_MAX: usize = $max;

            /// A name that a user or a guest may give.
            ///
            /// # Errors
            /// What is wrong with it, with the fix.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                match text.chars().next() {
                    Some(found @ ('.' | '_')) => {
                        Err(NameError::Reserved { noun: $noun, name: text.into(), found })
                    }
                    _ => Self::parse_internal(text),
                }
            }

            /// The same, with names of the system (`_…`) let in. For what comes from the store.
            ///
            /// # Errors
            /// What is wrong with it, with the fix.
            pub fn parse_internal(text: &str) -> Result<Self, NameError> {
                let is_fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
                if text.is_empty() {
                    return Err(NameError::Empty { noun: $noun, max: $max });
                }
                if let Some(found) = text.chars().find(|c| !is_fine(c)) {
                    return Err(NameError::Character { noun: $noun, name: text.into(), found });
                }
                if text.len() > $max {
                    return Err(NameError::TooLong { noun: $noun, len: text.len(), max: $max });
                }
                Ok(Self(text.into()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether it is one of the system's own.
            #[must_use]
            pub fn is_internal(&self) -> bool {
                self.0.starts_with(['_', '.'])
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// What a user calls a topic. Inside, a topic is its [`crate::TopicId`].
    TopicName, "topic", 249
);
name!(
    /// A named position of a consumer. Outlives the trigger that moved it.
    CursorName, "cursor", 200
);
name!(
    /// A mapping of a topic to a function.
    TriggerName, "trigger", 200
);
name!(
    /// A function; its versions count up under it.
    FunctionName, "function", 200
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_its_rule() {
        assert_eq!(TopicName::parse("orders.v1_x-y").expect("fine").as_str(), "orders.v1_x-y");
        assert!(matches!(TopicName::parse(""), Err(NameError::Empty { .. })));
        assert!(matches!(TopicName::parse("_catalog"), Err(NameError::Reserved { .. })));
        assert!(matches!(TopicName::parse(".."), Err(NameError::Reserved { .. })));
        assert!(matches!(TopicName::parse("a/b"), Err(NameError::Character { found: '/', .. })));
        assert!(matches!(TopicName::parse("ü"), Err(NameError::Character { found: 'ü', .. })));
        assert!(TopicName::parse(&"x".repeat(249)).is_ok());
        assert!(matches!(
            TopicName::parse(&"x".repeat(250)),
            Err(NameError::TooLong { len: 250, max: 249, .. })
        ));
        assert!(TopicName::parse_internal("_catalog").expect("let in").is_internal());
    }
}
