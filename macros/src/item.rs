//! The annotated function, its body left unread.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Signature, Token, Visibility};

/// A function: all that precedes its body, and the body as it is written. A mistake in the
/// body is the compiler's to report, and an editor completes in it as if no attribute were
/// there.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        if !starts_function(input) {
            return Err(input.error("`#[rate_limit]` goes on a function: an axum handler"));
        }
        let sig = input.parse()?;
        if input.peek(Token![;]) {
            return Err(input
                .error("`#[rate_limit]` needs the function's body: put it on the implementation"));
        }
        match input.parse()? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                Ok(Self { attrs, vis, sig, body })
            }
            other => Err(syn::Error::new_spanned(other, "expected the function's body")),
        }
    }
}

impl Function {
    /// The name as the source has it, without a raw identifier's `r#`.
    pub(crate) fn name(&self) -> String {
        self.sig.ident.unraw().to_string()
    }

    /// Whether an attribute of this name stands below ours.
    pub(crate) fn has_attr(&self, name: &str) -> bool {
        self.attrs.iter().any(|attr| is_named(attr, name))
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, vis, sig, body } = self;
        tokens.extend(quote!(#(#attrs)* #vis #sig #body));
    }
}

/// Whether the attribute's path is, or ends in, `name`.
pub(crate) fn is_named(attr: &Attribute, name: &str) -> bool {
    attr.path().segments.last().is_some_and(|segment| segment.ident == name)
}

fn starts_function(input: ParseStream<'_>) -> bool {
    let qualifier = |ahead: ParseStream<'_>| {
        ahead.peek(Token![const])
            || ahead.peek(Token![async])
            || ahead.peek(Token![unsafe])
            || ahead.peek(Token![extern])
            || ahead.peek(syn::LitStr)
    };
    let ahead = input.fork();
    while qualifier(&ahead) {
        if ahead.parse::<TokenTree>().is_err() {
            return false;
        }
    }
    ahead.peek(Token![fn])
}
