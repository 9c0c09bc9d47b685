//! The argument `key`: the property by which requests or calls are counted separately, such as the
//! client's address.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Expr, LitStr, Path, Token, Type, parenthesized};

use crate::crate_path::CratePath;
use crate::keywords::parse_path;
use crate::suggest;

const KINDS: [&str; 8] =
    ["ip", "global", "header", "cookie", "path_param", "query", "extension", "args"];
const GRAMMAR: &str = "there are `ip`, `global`, `header(\"…\")`, `cookie(\"…\")`, \
                       `path_param(\"…\")`, `query(\"…\")`, `extension(Type)`, the path of a \
                       function, a tuple of these, and `args(…)`";

/// A key, with the tokens from which it was parsed.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    /// The key's tokens in the attribute. Keys are compared by these, and mistakes in the key are
    /// reported at them.
    pub(crate) tokens: TokenStream,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Ip,
    Global,
    /// The name of a header, in lower case.
    Header(String),
    Cookie(LitStr),
    PathParam(LitStr),
    Query(LitStr),
    Extension(Type),
    Function(Path),
    All(Vec<Kind>),
    /// Expressions with the arguments of a function.
    Args(Vec<Expr>),
}

impl Key {
    /// Returns the default key of a handler.
    pub(crate) fn ip() -> Self {
        Self { kind: Kind::Ip, tokens: quote!(ip) }
    }

    /// Returns the default key of a plain function.
    pub(crate) fn no_args() -> Self {
        Self { kind: Kind::Args(Vec::new()), tokens: quote!(args()) }
    }

    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let start = input.fork();
        let kind = Kind::parse(input)?;
        let end = input.cursor();
        let mut tokens = TokenStream::new();
        while start.cursor() != end {
            tokens.extend([start.parse::<proc_macro2::TokenTree>()?]);
        }
        Ok(Self { kind, tokens })
    }

    /// Returns `true` if the key is `args(…)` alone, which needs no request.
    pub(crate) fn is_args_alone(&self) -> bool {
        self.kind.is_args()
    }

    /// Returns the expressions in `args(…)`.
    pub(crate) fn args(&self) -> impl Iterator<Item = &Expr> {
        let parts = match &self.kind {
            Kind::All(parts) => parts.as_slice(),
            kind => std::slice::from_ref(kind),
        };
        parts.iter().flat_map(|part| match part {
            Kind::Args(expressions) => expressions.as_slice(),
            _ => &[],
        })
    }

    /// Returns `true` if the key contains `args(…)`.
    pub(crate) fn is_args(&self) -> bool {
        match &self.kind {
            Kind::All(parts) => parts.iter().any(Kind::is_args),
            kind => kind.is_args(),
        }
    }

    /// Returns `true` if a request can lack the key, for example a header.
    pub(crate) fn can_be_missing(&self) -> bool {
        let is_always_there = |kind: &Kind| matches!(kind, Kind::Ip | Kind::Global | Kind::Args(_));
        match &self.kind {
            Kind::All(parts) => !parts.iter().all(is_always_there),
            kind => !is_always_there(kind),
        }
    }

    /// Returns `true` if the two keys have the same source text, apart from spaces.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.text() == other.text()
    }

    /// Returns the key's source text without spaces. It distinguishes the policies of one function.
    pub(crate) fn text(&self) -> String {
        self.tokens.to_string().replace(' ', "")
    }
}

impl ToTokens for Key {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.tokens.clone());
    }
}

impl Parse for Kind {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(syn::token::Paren) {
            return Self::parse_tuple(input);
        }
        if input.peek(LitStr) {
            let text: LitStr = input.parse()?;
            let message = match text.value().as_str() {
                value if KINDS.contains(&value) => {
                    format!("a key is no text: write `key = {value}`")
                }
                _ => format!("unknown key: {GRAMMAR}"),
            };
            return Err(syn::Error::new(text.span(), message));
        }
        let path = parse_path(input, "key = self::my_key")
            .map_err(|error| syn::Error::new(error.span(), format!("unknown key: {GRAMMAR}")))?;
        let Some(word) = path.get_ident() else { return Ok(Self::Function(path)) };
        if input.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in input);
            return Self::parse_call(word, &content);
        }
        match word.to_string().as_str() {
            "ip" => Ok(Self::Ip),
            "global" => Ok(Self::Global),
            known if KINDS.contains(&known) => {
                let message =
                    format!("`{known}` takes an argument: write `key = {}`", example(known));
                Err(syn::Error::new(word.span(), message))
            }
            text => Err(unknown(word, text)),
        }
    }
}

impl Kind {
    fn parse_tuple(input: ParseStream<'_>) -> syn::Result<Self> {
        let content;
        let paren = parenthesized!(content in input);
        let parts = Punctuated::<Self, Token![,]>::parse_terminated(&content)?;
        let parts: Vec<Self> = parts.into_iter().collect();
        let error = |message| Err(syn::Error::new(paren.span.join(), message));
        if parts.len() < 2 {
            return error("a tuple of keys has at least two: write `key = (ip, header(\"…\"))`");
        }
        if parts.iter().any(|part| matches!(part, Self::All(_))) {
            return error("a tuple of keys holds no tuples: write them as one");
        }
        if parts.iter().filter(|part| part.is_args()).count() > 1 {
            return error("a tuple of keys holds one `args(…)`: write them as one");
        }
        Ok(Self::All(parts))
    }

    fn parse_call(word: &Ident, content: ParseStream<'_>) -> syn::Result<Self> {
        let text = word.to_string();
        let whole = || {
            let message = format!("write `key = {}`", example(&text));
            syn::Error::new(word.span(), message)
        };
        let name = || -> syn::Result<LitStr> {
            let name: LitStr = content.parse().map_err(|_| whole())?;
            if !content.is_empty() {
                return Err(whole());
            }
            if name.value().is_empty() {
                let message = format!("a name cannot be empty: write `{}`", example(&text));
                return Err(syn::Error::new(name.span(), message));
            }
            Ok(name)
        };
        match text.as_str() {
            "header" => header_name(&name()?).map(Self::Header),
            "cookie" => {
                let name = name()?;
                check_token(&name, "cookie")?;
                Ok(Self::Cookie(name))
            }
            "path_param" => Ok(Self::PathParam(name()?)),
            "query" => Ok(Self::Query(name()?)),
            "extension" => {
                let ty = content.parse().map_err(|_| whole())?;
                if content.is_empty() { Ok(Self::Extension(ty)) } else { Err(whole()) }
            }
            "args" => {
                let parse = Punctuated::<Expr, Token![,]>::parse_terminated;
                Ok(Self::Args(parse(content)?.into_iter().collect()))
            }
            "ip" | "global" => {
                drop(content.parse::<TokenStream>());
                let message = format!("`{text}` takes no argument: write `key = {text}`");
                Err(syn::Error::new(word.span(), message))
            }
            _ => {
                drop(content.parse::<TokenStream>());
                Err(unknown(word, &text))
            }
        }
    }

    fn is_args(&self) -> bool {
        matches!(self, Self::Args(_))
    }

    /// Returns a const expression of the library's type `Key`. Each expression in `args(…)` is a part
    /// of the key; its values are found by their place among those of all the function's keys,
    /// where those of this key begin at `first`.
    pub(crate) fn key(&self, first: usize, tollgate: &CratePath) -> TokenStream {
        let mut places = first..;
        let parts = match self {
            Self::All(parts) => parts.as_slice(),
            kind => std::slice::from_ref(kind),
        };
        let parts = parts.iter().flat_map(|part| match part {
            Self::Args(expressions) => {
                let places = places.by_ref().take(expressions.len());
                let part =
                    |place| quote!(#tollgate::KeyPart::Function(#tollgate::argument::<#place>));
                places.map(part).collect()
            }
            part => vec![part.part(tollgate)],
        });
        let parts: Vec<TokenStream> = parts.collect();
        match &*parts {
            [] => quote!(#tollgate::Key::global()),
            [part] => quote!(#tollgate::Key::from_part(#part)),
            parts => quote!(#tollgate::Key::from_parts(&[#(#parts),*])),
        }
    }

    /// Returns a const expression of the library's type `KeyPart`.
    fn part(&self, tollgate: &CratePath) -> TokenStream {
        match self {
            Self::Ip => quote!(#tollgate::KeyPart::Ip),
            Self::Global => quote!(#tollgate::KeyPart::Global),
            Self::Header(name) => quote!(#tollgate::KeyPart::Header(#name)),
            Self::Cookie(name) => quote!(#tollgate::KeyPart::Cookie(#name)),
            Self::PathParam(name) => quote!(#tollgate::KeyPart::PathParam(#name)),
            Self::Query(name) => quote!(#tollgate::KeyPart::Query(#name)),
            Self::Extension(ty) => {
                let tollgate = tollgate.at(ty.span());
                quote_spanned!(ty.span()=> #tollgate::KeyPart::Function(#tollgate::extension::<#ty>))
            }
            Self::Function(path) => {
                let tollgate = tollgate.at(path.span());
                quote_spanned! {path.span()=>
                    #tollgate::KeyPart::Function(|parts| #tollgate::resolve(&#path, parts))
                }
            }
            // A tuple contains no other tuple, and `args(…)` is no single part.
            Self::All(_) | Self::Args(_) => TokenStream::new(),
        }
    }
}

fn example(kind: &str) -> &'static str {
    match kind {
        "header" => "header(\"x-api-key\")",
        "cookie" => "cookie(\"sid\")",
        "path_param" => "path_param(\"id\")",
        "query" => "query(\"q\")",
        "extension" => "extension(UserId)",
        _ => "args(user.id)",
    }
}

fn unknown(word: &Ident, text: &str) -> syn::Error {
    let grammar = format!("{GRAMMAR}; write a function of your own as a path: `self::{text}`");
    let hint = suggest::hint(text, &KINDS, &grammar);
    syn::Error::new(word.span(), format!("unknown key `{text}`: {hint}"))
}

/// Checks the name of a header field and returns it in lower case, because its case does not matter
/// (RFC 9110 §5.1).
fn header_name(name: &LitStr) -> syn::Result<String> {
    check_token(name, "header")?;
    Ok(name.value().to_ascii_lowercase())
}

/// Checks that the name of a header field or of a cookie is a token (RFC 9110 §5.6.2, RFC 6265
/// §4.1.1).
fn check_token(name: &LitStr, what: &str) -> syn::Result<()> {
    let text = name.value();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.bytes().all(is_token) {
        return Ok(());
    }
    let message = format!(
        "\"{text}\" cannot be the name of a {what}: write letters, digits and hyphens, such as \
         `{}`",
        example(what)
    );
    Err(syn::Error::new(name.span(), message))
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::parse::Parser as _;

    use super::*;

    fn key(text: &str) -> syn::Result<Key> {
        Key::parse.parse_str(text)
    }

    #[test]
    fn keys_are_compared_as_they_are_written() {
        let same = |a: &str, b: &str| key(a).unwrap().is_same(&key(b).unwrap());
        assert!(same("ip", "ip"));
        assert!(same("header(\"a\")", "header( \"a\" )"));
        assert!(!same("header(\"a\")", "header(\"b\")"));
        assert!(!same("args(a, b)", "args(b, a)"));
        assert!(key("ip").unwrap().is_same(&Key::ip()));
        assert!(key("args()").unwrap().is_same(&Key::no_args()));
        assert_eq!(key("(ip, crate::key)").unwrap().text(), "(ip,crate::key)");
    }

    #[test]
    fn a_key_ends_where_it_ends() {
        let two = |input: ParseStream<'_>| {
            let key = Key::parse(input)?;
            input.parse::<Token![,]>()?;
            input.parse::<Ident>().map(|rest| (key.text(), rest.to_string()))
        };
        let parsed = two.parse_str("extension(Vec<Id>), shadow").unwrap();
        assert_eq!(parsed, ("extension(Vec<Id>)".to_owned(), "shadow".to_owned()));
    }

    #[test]
    fn spans_do_not_matter() {
        let spanned = Ident::new("ip", Span::mixed_site());
        assert!(Key::parse.parse2(quote!(#spanned)).unwrap().is_same(&Key::ip()));
    }
}
