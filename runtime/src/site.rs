//! The place of an annotation in the program.

use std::any::type_name;
use std::fmt;

/// The place of an annotation: in the source, and by the function that has it. The attribute macro
/// creates it.
#[derive(Clone, Copy)]
pub struct Site {
    /// The function's name, as it was when the attribute was expanded.
    name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    /// The place of the attribute's own tokens. Unlike `line`, it is within the macro by example that
    /// contains them. It is empty if the compiler does not tell.
    pub(crate) place: &'static str,
    /// `true` if a macro has made the function's name, so that it does not stand in the source.
    pub(crate) has_made_name: bool,
    /// Returns the path of a type that belongs to the function. The compiler does not evaluate it in
    /// constants.
    type_path: fn() -> &'static str,
}

/// The beginning of the names of functions into which `#[axum::debug_handler]` copies the handler or its
/// body, for the compiler to check. They are never called.
const CHECKED_COPY: &str = "__axum_macros_check_";

impl Site {
    /// Creates the site of the function to which the type `T` belongs.
    #[must_use]
    pub const fn of<T>(
        name: &'static str,
        file: &'static str,
        line: u32,
        place: &'static str,
        has_made_name: bool,
    ) -> Self {
        Self { name, file, line, place, has_made_name, type_path: type_name::<T> }
    }

    /// Returns `true` for a copy of the function that is never called.
    pub(crate) fn is_only_checked(&self) -> bool {
        (self.type_path)().split("::").any(|segment| segment.starts_with(CHECKED_COPY))
    }

    /// Returns `true` if this is the function for which the attribute was expanded. Otherwise another
    /// attribute has copied the body afterwards, with the check in it.
    pub(crate) fn is_original(&self) -> bool {
        let function = self.function();
        let last = function.rsplit("::").next().unwrap_or_default();
        let name = last.trim_start_matches("r#");
        // A handler's type also has the name of the block's type.
        name.strip_suffix(self.name).is_some_and(|owner| owner.is_empty() || owner.ends_with('_'))
    }

    /// Returns the path of the function.
    pub(crate) fn function(&self) -> String {
        let path = (self.type_path)();
        let segments =
            path.split("::").filter(|segment| !["{{closure}}", "__TollgateHere"].contains(segment));
        let segments = segments.map(|segment| segment.trim_start_matches("__rate_limit_"));
        segments.collect::<Vec<_>>().join("::")
    }

    /// Returns what all copies of the annotation have in common.
    pub(crate) fn annotation(&self) -> (&'static str, u32, &'static str) {
        (self.file, self.line, self.place)
    }

    /// Returns the place in the source, as `file:line`.
    pub(crate) fn location(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.function(), self.location())
    }
}

impl PartialEq for Site {
    fn eq(&self, other: &Self) -> bool {
        self.annotation() == other.annotation() && self.function() == other.function()
    }
}

impl Eq for Site {}
