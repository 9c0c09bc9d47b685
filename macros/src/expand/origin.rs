//! The place in the source of an annotation, by which the library recognises copies of it. Another
//! attribute may repeat the function under another name, with all attributes, and each copy would
//! count.

use proc_macro2::{Span, TokenStream};
use quote::quote;

use super::{Names, limits};
use crate::item::{Function, is_named};

/// The origin of an annotation. All copies of it have the same place.
pub(crate) struct Origin {
    /// The place of the attribute as `line:column`. For an attribute in a macro, that is the place in
    /// the macro. It is empty if the compiler does not tell.
    place: String,
    /// `true` if the function's name does not stand in the source where the compiler locates it. So
    /// another macro has made it.
    has_made_name: bool,
}

impl Origin {
    pub(super) fn of(function: &Function, has_attribute: bool) -> Self {
        let mut limits =
            function.attrs.iter().filter(|attribute| is_named(attribute, "rate_limit"));
        let span = match limits.next() {
            Some(first) if has_attribute => first.pound_token.span,
            _ => Span::call_site(),
        };
        let name = &function.sig.ident;
        let text = name.span().source_text();
        Self { place: place(span), has_made_name: text.is_some_and(|text| *name != text) }
    }

    /// Returns an expression of the library's type `Site`. `provider` is a type whose path contains
    /// that of the function; if there is none, [`limits::here`] declares one.
    pub(super) fn tokens(&self, provider: Option<&TokenStream>, names: &Names<'_>) -> TokenStream {
        let Self { place, has_made_name } = self;
        let Names { function, tollgate, .. } = names;
        let here = limits::here_name();
        let here = provider.cloned().unwrap_or_else(|| quote!(#here));
        quote! {
            #tollgate::Site::of::<#here>(
                #function, ::core::file!(), ::core::line!(), #place, #has_made_name
            )
        }
    }
}

fn place(span: Span) -> String {
    // Outside of the compiler, as in unit tests, spans have no places.
    if !proc_macro::is_available() {
        return String::new();
    }
    let start = span.unwrap().start();
    format!("{}:{}", start.line(), start.column())
}
