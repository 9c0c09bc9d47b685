//! What the arguments mean: the policy of one annotated function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit, LitStr, Path};

use crate::args::Arguments;
use crate::errors::Errors;
use crate::{period, suggest};

const MICROS_PER_SECOND: u64 = 1_000_000;
const MAX_PERIOD_SECONDS: u64 = 366 * 24 * 60 * 60;

/// A policy that can be written down: complete, and right as far as its words tell. What its
/// constants amount to is asserted by the expansion.
pub(crate) struct Policy {
    pub(crate) quota: Quota,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: Key,
    pub(crate) name: Option<LitStr>,
    pub(crate) skip_on_error: bool,
}

pub(crate) struct Quota {
    pub(crate) limit: Expr,
    pub(crate) period: Period,
}

impl Policy {
    pub(crate) fn new(arguments: Arguments, errors: &mut Errors) -> Option<Self> {
        let span = arguments.span.unwrap_or_else(Span::call_site);
        for (written, message) in [
            (arguments.limit.written, "the limit is missing: write `#[rate_limit(100, per = 60)]`"),
            (
                arguments.per.written,
                "`per` is missing: write `per = 60` for a period of 60 seconds",
            ),
        ] {
            if !written {
                errors.push(syn::Error::new(span, message));
            }
        }
        if let Some(limit) = &arguments.limit.value {
            check_limit(limit, errors);
        }
        Some(Self {
            quota: Quota { limit: arguments.limit.value?, period: arguments.per.value? },
            algorithm: arguments.algorithm.value.unwrap_or_default(),
            key: arguments.key.value.unwrap_or_default(),
            name: arguments.name.value,
            skip_on_error: arguments.skip_on_error.written,
        })
    }
}

/// A literal is checked here, with better words than the compiler has; any other expression is
/// left to const evaluation.
fn check_limit(limit: &Expr, errors: &mut Errors) {
    match limit {
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => match literal.base10_parse::<u64>() {
            Ok(0) => errors.at(limit, "the limit must be at least 1"),
            Ok(number) if number <= u64::from(u32::MAX) => {}
            Ok(_) | Err(_) => errors.at(limit, "the limit must be at most 4294967295"),
        },
        Expr::Lit(_) => errors.at(
            limit,
            "the limit is a whole number of requests: write `#[rate_limit(100, per = 60)]`",
        ),
        _ => {}
    }
}

/// How long a quota's period is.
pub(crate) enum Period {
    /// Written so that its length is known: in microseconds, and where.
    Micros(u64, Span),
    /// An expression for the compiler to evaluate.
    Const(Expr),
}

impl Period {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let value = input.parse::<Expr>()?;
        let micros = match &value {
            Expr::Lit(ExprLit { lit: Lit::Int(seconds), .. }) => {
                let seconds = seconds.base10_parse::<u64>().ok();
                let seconds = seconds.filter(|seconds| *seconds <= MAX_PERIOD_SECONDS);
                seconds.map(|seconds| seconds * MICROS_PER_SECOND).ok_or_else(too_long)
            }
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => period::parse(&text.value()),
            Expr::Lit(_) => Err("a period is whole seconds, or text with units: write `per = 60` \
                                 or `per = \"250ms\"`"
                .to_owned()),
            Expr::Path(path) if let Some(word) = path.path.get_ident() => match unit(word) {
                Some(result) => result,
                None => return Ok(Self::Const(value)),
            },
            _ => return Ok(Self::Const(value)),
        };
        let micros = micros.and_then(|micros| match micros {
            0 => Err("the period must be longer than zero".to_owned()),
            1..1_000 => Err("the period must be at least 1 ms".to_owned()),
            _ if micros > MAX_PERIOD_SECONDS * MICROS_PER_SECOND => Err(too_long()),
            _ => Ok(micros),
        });
        let span = value.span();
        micros
            .map(|micros| Self::Micros(micros, span))
            .map_err(|message| syn::Error::new(span, message))
    }

    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Micros(_, span) => *span,
            Self::Const(expression) => expression.span(),
        }
    }

    /// A const expression of type `Duration`.
    pub(crate) fn tokens(&self, private: &Private) -> TokenStream {
        match self {
            Self::Micros(micros, _) => quote!(::core::time::Duration::from_micros(#micros)),
            Self::Const(expression) => {
                // Bare numbers would leave open which integer type they are.
                let typed = if is_arithmetic(expression) {
                    quote!({ let seconds: ::core::primitive::u64 = #expression; seconds })
                } else {
                    expression.to_token_stream()
                };
                let private = private.at(expression.span());
                quote_spanned!(expression.span()=> #private::Period(#typed).get())
            }
        }
    }
}

fn too_long() -> String {
    "the period must be at most 366 days".to_owned()
}

/// What a bare word after `per =` means; `None` if it is a constant.
fn unit(word: &Ident) -> Option<Result<u64, String>> {
    const UNITS: [&str; 4] = ["second", "minute", "hour", "day"];
    let text = word.to_string();
    let seconds = match text.as_str() {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ if text.chars().next().is_some_and(char::is_uppercase) => return None,
        _ => {
            let hint = match suggest::nearest(&text, &UNITS) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!(
                    "write `second`, `minute`, `hour` or `day`, and a constant of your own as a \
                     path, such as `self::{text}`"
                ),
            };
            return Some(Err(format!("unknown period `{text}`: {hint}")));
        }
    };
    Some(Ok(seconds * MICROS_PER_SECOND))
}

/// Whether an expression is made of unsuffixed numbers only.
fn is_arithmetic(expression: &Expr) -> bool {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.suffix().is_empty(),
        Expr::Binary(binary) => is_arithmetic(&binary.left) && is_arithmetic(&binary.right),
        Expr::Paren(inner) => is_arithmetic(&inner.expr),
        Expr::Group(inner) => is_arithmetic(&inner.expr),
        _ => false,
    }
}

#[derive(Default)]
pub(crate) enum Algorithm {
    #[default]
    SlidingWindow,
}

impl Algorithm {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = input.call(Ident::parse_any).map_err(|error| {
            let message = "an algorithm is a bare word: write `algorithm = sliding_window`";
            syn::Error::new(error.span(), message)
        })?;
        if word == "sliding_window" {
            return Ok(Self::SlidingWindow);
        }
        let message = format!("unknown algorithm `{word}`: there is `sliding_window`");
        Err(syn::Error::new(word.span(), message))
    }

    pub(crate) fn tokens(&self, private: &Private) -> TokenStream {
        match self {
            Self::SlidingWindow => quote!(#private::Algorithm::SlidingWindow),
        }
    }
}

/// Whose requests are counted.
#[derive(Default)]
pub(crate) enum Key {
    #[default]
    Ip,
    Global,
    /// In lower case.
    Header(String),
}

const KEYS: &str = "there are `ip`, `global` and `header(\"…\")`";

impl Key {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let value = input.parse::<Expr>()?;
        match &value {
            Expr::Path(path) if let Some(word) = path.path.get_ident() => Self::from_word(word),
            Expr::Call(call)
                if let Expr::Path(path) = &*call.func
                    && path.path.is_ident("header") =>
            {
                let mut arguments = call.args.iter();
                match (arguments.next(), arguments.next()) {
                    (Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })), None) => {
                        header_name(name).map(Self::Header)
                    }
                    _ => Err(syn::Error::new_spanned(
                        &value,
                        "a header key names one header: write `key = header(\"x-api-key\")`",
                    )),
                }
            }
            _ => Err(syn::Error::new_spanned(&value, format!("unknown key: {KEYS}"))),
        }
    }

    fn from_word(word: &Ident) -> syn::Result<Self> {
        let text = word.to_string();
        match text.as_str() {
            "ip" => Ok(Self::Ip),
            "global" => Ok(Self::Global),
            "header" => Err(syn::Error::new(
                word.span(),
                "which header? Write `key = header(\"x-api-key\")`",
            )),
            _ => {
                let hint = match suggest::nearest(&text, &["ip", "global", "header"]) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => KEYS.to_owned(),
                };
                Err(syn::Error::new(word.span(), format!("unknown key `{word}`: {hint}")))
            }
        }
    }

    pub(crate) fn tokens(&self, private: &Private) -> TokenStream {
        match self {
            Self::Ip => quote!(#private::Key::Ip),
            Self::Global => quote!(#private::Key::Global),
            Self::Header(name) => quote!(#private::Key::Header(#name)),
        }
    }
}

/// A field name is a token (RFC 9110 §5.1, §5.6.2), whose case does not matter.
fn header_name(name: &LitStr) -> syn::Result<String> {
    let text = name.value();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        let message = format!("\"{text}\" is not the name of an HTTP header");
        return Err(syn::Error::new(name.span(), message));
    }
    Ok(text.to_ascii_lowercase())
}

/// The path under which generated code finds everything.
pub(crate) struct Private(Option<Path>);

impl Private {
    /// Below the path that `crate = …` gives, if it is given.
    pub(crate) fn new(krate: Option<Path>) -> Self {
        Self(krate)
    }

    /// The path as if it were written at `span`, so that errors are reported there.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.0 else { return quote_spanned!(span=> ::tollgate::__private) };
        // It still resolves where the user wrote it, for it may begin with `$crate`.
        let path = path.to_token_stream().into_iter().map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        });
        quote_spanned!(span=> #(#path)*::__private)
    }
}

impl ToTokens for Private {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.at(Span::call_site()));
    }
}
