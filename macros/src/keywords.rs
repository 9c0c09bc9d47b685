//! Arguments whose values are bare words: algorithms, modes, conditions.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{ExprPath, Path};

use crate::crate_path::CratePath;
use crate::suggest;

/// The algorithm of a policy.
#[derive(Clone)]
pub(crate) struct Algorithm {
    pub(crate) word: Ident,
    variant: &'static str,
    /// `true` if the algorithm has a bucket. Only then may the policy have a `burst`, the bucket's
    /// size.
    pub(crate) has_bucket: bool,
}

const ALGORITHMS: [(&str, &str, bool); 6] = [
    ("sliding_window", "SlidingWindow", false),
    ("sliding_window_counter", "SlidingWindowCounter", false),
    ("fixed_window", "FixedWindow", false),
    ("token_bucket", "TokenBucket", true),
    ("leaky_bucket", "LeakyBucket", true),
    ("gcra", "Gcra", true),
];

impl Algorithm {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = word(input, "an algorithm is a bare word: write `algorithm = sliding_window`")?;
        match ALGORITHMS.into_iter().find(|(name, ..)| word == name) {
            Some((_, variant, has_bucket)) => Ok(Self { word, variant, has_bucket }),
            None => {
                let known = ALGORITHMS.map(|(name, ..)| name);
                Err(unknown("algorithm", &word, &known))
            }
        }
    }

    pub(crate) fn tokens(&self, tollgate: &CratePath) -> TokenStream {
        let variant = Ident::new(self.variant, Span::call_site());
        quote!(#tollgate::Algorithm::#variant)
    }
}

/// The value of `on_error`: the policy's behaviour while the backend cannot answer.
#[derive(Clone)]
pub(crate) enum OnError {
    Closed,
    Open,
    Local,
}

impl OnError {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = word(input, "a mode is a bare word: write `on_error = closed`")?;
        match word.to_string().as_str() {
            "closed" => Ok(Self::Closed),
            "open" => Ok(Self::Open),
            "local" => Ok(Self::Local),
            _ => Err(unknown("mode", &word, &["closed", "open", "local"])),
        }
    }

    pub(crate) fn tokens(&self, tollgate: &CratePath) -> TokenStream {
        let variant = match self {
            Self::Closed => format_ident!("Closed"),
            Self::Open => format_ident!("Open"),
            Self::Local => format_ident!("Local"),
        };
        quote!(#tollgate::OnError::#variant)
    }
}

/// The value of `headers`: the style of the header fields that describe the limit to clients.
#[derive(Clone)]
pub(crate) struct Headers(&'static str);

const HEADERS: [(&str, &str); 4] =
    [("ietf", "Ietf"), ("legacy", "Legacy"), ("both", "Both"), ("none", "None")];

impl Headers {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = word(input, "a style is a bare word: write `headers = ietf`")?;
        variant("style", &word, &HEADERS).map(Self)
    }

    pub(crate) fn tokens(&self, tollgate: &CratePath) -> TokenStream {
        let variant = Ident::new(self.0, Span::call_site());
        quote!(#tollgate::HeaderStyle::#variant)
    }
}

/// The value of `on_missing_key`: the handling of requests that lack the key.
#[derive(Clone)]
pub(crate) struct OnMissingKey(&'static str);

const ON_MISSING_KEY: [(&str, &str); 3] =
    [("reject", "Reject"), ("shared", "Shared"), ("exempt", "Exempt")];

impl OnMissingKey {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = word(input, "a mode is a bare word: write `on_missing_key = reject`")?;
        variant("mode", &word, &ON_MISSING_KEY).map(Self)
    }

    pub(crate) fn tokens(&self, tollgate: &CratePath) -> TokenStream {
        let variant = Ident::new(self.0, Span::call_site());
        quote!(#tollgate::OnMissingKey::#variant)
    }
}

/// The value of `refund_if`: the condition on the result under which the cost is refunded.
#[derive(Clone)]
pub(crate) enum RefundIf {
    Failure,
    Success,
    Function(Path),
}

impl RefundIf {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path = parse_path(input, "refund_if = failure")?;
        let Some(word) = path.get_ident() else { return Ok(Self::Function(path)) };
        match word.to_string().as_str() {
            "failure" => Ok(Self::Failure),
            "success" => Ok(Self::Success),
            text => {
                let grammar = format!(
                    "there are `failure` and `success`; write a function of your own as a path, \
                     such as `self::{text}`"
                );
                let hint = suggest::hint(text, &["failure", "success"], &grammar);
                Err(syn::Error::new(word.span(), format!("unknown condition `{text}`: {hint}")))
            }
        }
    }
}

/// The value of `settle`: the units at which a charge is settled after its request.
#[derive(Clone)]
pub(crate) enum Settle {
    /// The units that the handler adds to its `Usage`.
    Usage(Ident),
    /// The result of a function of the response, or of a plain function's result.
    Function(Path),
}

impl Settle {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path = parse_path(input, "settle = self::tokens")?;
        let Some(word) = path.get_ident() else { return Ok(Self::Function(path)) };
        if word == "usage" {
            return Ok(Self::Usage(word.clone()));
        }
        let text = word.to_string();
        let grammar = format!(
            "there is `usage`; write a function of your own as a path, such as `self::{text}`"
        );
        let hint = suggest::hint(&text, &["usage"], &grammar);
        Err(syn::Error::new(word.span(), format!("unknown settlement `{text}`: {hint}")))
    }
}

/// Parses the path of a function.
pub(crate) fn parse_path(input: ParseStream<'_>, grammar: &str) -> syn::Result<Path> {
    // The path is parsed as an expression, because a function may have generic arguments.
    let path = input.parse::<ExprPath>().map(|expression| expression.path);
    path.map_err(|error| {
        let message = format!("expected the path of a function: write `{grammar}`");
        syn::Error::new(error.span(), message)
    })
}

fn word(input: ParseStream<'_>, grammar: &str) -> syn::Result<Ident> {
    input.call(Ident::parse_any).map_err(|error| syn::Error::new(error.span(), grammar))
}

/// Returns the name of the enum variant that belongs to `word`. `known` contains all words with
/// their variants; an error calls an unknown word an unknown `what`.
fn variant(
    what: &str,
    word: &Ident,
    known: &[(&'static str, &'static str)],
) -> syn::Result<&'static str> {
    match known.iter().find(|(name, _)| word == name) {
        Some((_, variant)) => Ok(variant),
        None => {
            let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            Err(unknown(what, word, &known))
        }
    }
}

fn unknown(what: &str, word: &Ident, known: &[&str]) -> syn::Error {
    let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let hint = suggest::hint(&word.to_string(), known, &format!("there are {}", list.join(", ")));
    syn::Error::new(word.span(), format!("unknown {what} `{word}`: {hint}"))
}
