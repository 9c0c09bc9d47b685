//! The annotated item: a function or an `impl` block. Bodies of functions are not parsed.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::discouraged::Speculative as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Generics, Ident, ItemImpl, ReturnType, Signature, Token, Type, Visibility,
    parse_quote_spanned,
};

use crate::crate_path::CratePath;
use crate::groups;

pub(crate) enum Item {
    Function(Function),
    Block(Block),
}

/// A function with its body unparsed. So the compiler itself reports mistakes in the body, and an
/// editor completes code in it as if the attribute were not there.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

/// An `impl` block.
pub(crate) struct Block {
    /// The tokens before the braces.
    pub(crate) head: TokenStream,
    self_ty: Type,
    pub(crate) generics: Generics,
    pub(crate) members: Vec<Member>,
}

pub(crate) enum Member {
    Function(Box<Function>),
    Other(TokenStream),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        ahead.call(Attribute::parse_outer)?;
        if ahead.peek(Token![impl]) || ahead.peek(Token![unsafe]) && ahead.peek2(Token![impl]) {
            return input.parse().map(Self::Block);
        }
        ahead.parse::<Visibility>()?;
        if starts_function(&ahead) {
            return input.parse().map(Self::Function);
        }
        Err(ahead.error(
            "`#[rate_limit]` goes on a function, or on an `impl` block whose functions have it",
        ))
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig: Signature = input.parse()?;
        if input.peek(Token![;]) {
            let message = "`#[rate_limit]` needs the function's body: put it on the implementation";
            input.parse::<Token![;]>()?;
            return Err(syn::Error::new_spanned(sig, message));
        }
        match groups::tree(input.parse()?) {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                Ok(Self { attrs, vis, sig, body })
            }
            other => Err(syn::Error::new_spanned(other, "expected the function's body")),
        }
    }
}

impl Parse for Block {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut head = Vec::new();
        let body = loop {
            match groups::tree(input.parse()?) {
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => break body,
                token => head.push(token),
            }
        };
        let head: TokenStream = head.into_iter().collect();
        let empty: ItemImpl = syn::parse2(quote!(#head {}))?;
        let members = |input: ParseStream<'_>| {
            let mut members = Vec::new();
            while !input.is_empty() {
                members.push(Member::parse(input)?);
            }
            Ok(members)
        };
        let members = members.parse2(body.stream())?;
        Ok(Self { head, self_ty: *empty.self_ty, generics: empty.generics, members })
    }
}

impl Block {
    /// Returns the name of the block's type, without its path and generic arguments; `None` if the
    /// type is not a path.
    pub(crate) fn owner(&self) -> Option<String> {
        match groups::ty(&self.self_ty) {
            Type::Path(path) => {
                path.path.segments.last().map(|last| last.ident.unraw().to_string())
            }
            _ => None,
        }
    }
}

impl Member {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        ahead.call(Attribute::parse_outer)?;
        ahead.parse::<Visibility>()?;
        ahead.parse::<Option<Token![default]>>()?;
        if starts_function(&ahead) && !input.fork().peek(Token![default]) {
            let ahead = input.fork();
            let function = ahead.parse()?;
            input.advance_to(&ahead);
            return Ok(Self::Function(Box::new(function)));
        }
        // The member ends at a semicolon or after braces.
        let mut tokens = TokenStream::new();
        loop {
            let token: TokenTree = input.parse()?;
            let ends = ends_member(&token);
            tokens.extend([token]);
            if ends || input.is_empty() {
                return Ok(Self::Other(tokens));
            }
        }
    }
}

impl Function {
    /// Returns the function's name, without the `r#` of a raw identifier.
    pub(crate) fn name(&self) -> String {
        self.sig.ident.unraw().to_string()
    }

    pub(crate) fn is_async(&self) -> bool {
        self.sig.asyncness.is_some()
    }

    /// Returns `true` if the function has an attribute of this name. The attribute that is being
    /// expanded does not count: the compiler has removed it.
    pub(crate) fn has_attr(&self, name: &str) -> bool {
        self.attrs.iter().any(|attribute| is_named(attribute, name))
    }

    /// Removes and returns the remaining `rate_limit` attributes, in source order.
    pub(crate) fn take_limits(&mut self) -> Vec<Attribute> {
        self.attrs.extract_if(.., |attribute| is_named(attribute, "rate_limit")).collect()
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, vis, sig, body } = self;
        tokens.extend(quote!(#(#attrs)* #vis #sig #body));
    }
}

/// Returns `true` if the last segment of the attribute's path is `name`.
pub(crate) fn is_named(attribute: &Attribute, name: &str) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == name)
}

/// Returns `true` if the identifier `name` occurs anywhere in the tokens.
pub(crate) fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Returns a statement that never runs, but fixes the type of the body that follows it. So the
/// compiler reports a value of another type at that value.
pub(crate) fn return_edge(output: &ReturnType, tollgate: &CratePath) -> TokenStream {
    let (ty, span) = match output {
        ReturnType::Type(_, ty) => (erase_impl_trait(ty), ty.span()),
        ReturnType::Default => (quote!(()), Span::call_site()),
    };
    // The compiler shows this expression as the reason for the expected type, so it is located at
    // the return type.
    let value = quote_spanned!(span=> return #tollgate::any::<#ty>());
    quote!(if false { #value; })
}

/// Returns the type with `_` in place of each `impl Trait`, because `impl Trait` is not allowed
/// inside a body. The compiler infers `_` from the body.
pub(crate) fn erase_impl_trait(ty: &Type) -> TokenStream {
    struct Erase;

    impl VisitMut for Erase {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if let Type::ImplTrait(impl_trait) = ty {
                *ty = parse_quote_spanned!(impl_trait.span()=> _);
            } else {
                visit_mut::visit_type_mut(self, ty);
            }
        }
    }

    let mut ty = ty.clone();
    Erase.visit_type_mut(&mut ty);
    ty.into_token_stream()
}

/// Returns `true` if a member of a block may end with this token. A whole member may come from a
/// macro, and is then in an invisible group.
fn ends_member(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            group.stream().into_iter().last().is_some_and(|last| ends_member(&last))
        }
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    }
}

fn starts_function(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    while ahead.peek(Token![const])
        || ahead.peek(Token![async])
        || ahead.peek(Token![unsafe])
        || ahead.peek(Token![extern])
        || ahead.peek(syn::LitStr)
    {
        // Parsed as a word or a string, which looks through an invisible group.
        if ahead.call(Ident::parse_any).is_err() && ahead.parse::<syn::LitStr>().is_err() {
            return false;
        }
    }
    ahead.peek(Token![fn])
}

/// Returns `true` if the tokens of a type contain a lifetime.
pub(crate) fn has_lifetime(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == '\'',
        TokenTree::Group(group) => has_lifetime(group.stream()),
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    })
}
