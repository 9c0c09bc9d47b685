//! What stands in the parentheses: one grammar for each argument, mistakes kept apart.

use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, LitStr, Path, Token};

use crate::errors::Errors;
use crate::policy::{Algorithm, Key, Period};
use crate::suggest;

/// Every argument there is, as it is written.
const GRAMMAR: &[(&str, &str)] = &[
    ("per", "per = 60"),
    ("algorithm", "algorithm = sliding_window"),
    ("key", "key = ip"),
    ("name", "name = \"…\""),
    ("skip_on_error", "skip_on_error"),
    ("crate", "crate = ::path"),
];

/// The arguments of one attribute. What is missing or wrong is `None`; whether that is a
/// mistake is for the policy to say.
#[derive(Default)]
pub(crate) struct Arguments {
    /// Where an argument that is missing should be.
    pub(crate) span: Option<Span>,
    pub(crate) limit: Argument<Expr>,
    pub(crate) per: Argument<Period>,
    pub(crate) algorithm: Argument<Algorithm>,
    pub(crate) key: Argument<Key>,
    pub(crate) name: Argument<LitStr>,
    pub(crate) skip_on_error: Argument<()>,
    pub(crate) krate: Argument<Path>,
}

/// One argument: whether it was written, and its value if that could be read.
pub(crate) struct Argument<T> {
    pub(crate) written: bool,
    pub(crate) value: Option<T>,
}

impl<T> Default for Argument<T> {
    fn default() -> Self {
        Self { written: false, value: None }
    }
}

impl Arguments {
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut arguments = Self::default();
        let parsed = (|input: ParseStream<'_>| {
            arguments.span = Some(input.span());
            while !input.is_empty() {
                if let Err(error) = arguments.parse_one(input, errors) {
                    errors.push(error);
                    skip_to_comma(input)?;
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        })
        .parse2(tokens);
        errors.keep(parsed);
        arguments
    }

    fn parse_one(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        let named =
            input.peek(Ident::peek_any) && input.peek2(Token![=]) && !input.peek2(Token![==]);
        if named {
            let name = input.call(Ident::parse_any)?;
            let equals = input.parse::<Token![=]>()?;
            if input.is_empty() || input.peek(Token![,]) {
                let Some(grammar) = grammar_of(&name.to_string()) else {
                    return Err(self.unknown(&name));
                };
                self.mark_written(&name.to_string());
                let message = format!("a value is missing: write `{grammar}`");
                return Err(syn::Error::new(equals.span, message));
            }
            self.parse_named(&name, input, errors)
        } else if input.peek(Ident::peek_any) && (input.peek2(Token![,]) || at_last(input)) {
            self.parse_word(&input.call(Ident::parse_any)?, errors)
        } else {
            let value = input.parse::<Expr>()?;
            end(input)?;
            if self.limit.written {
                let message = "the limit is already given; every other argument has a name, \
                               such as `per = 60`";
                return Err(syn::Error::new_spanned(value, message));
            }
            self.limit = Argument { written: true, value: Some(value) };
            Ok(())
        }
    }

    fn parse_named(
        &mut self,
        name: &Ident,
        input: ParseStream<'_>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        match name.to_string().as_str() {
            "per" => self.per.set(name, input, Period::parse, errors),
            "algorithm" => self.algorithm.set(name, input, Algorithm::parse, errors),
            "key" => self.key.set(name, input, Key::parse, errors),
            "name" => self.name.set(name, input, parse_name, errors),
            "crate" => self.krate.set(name, input, parse_crate, errors),
            "skip_on_error" => {
                self.skip_on_error.written = true;
                Err(syn::Error::new(name.span(), "`skip_on_error` takes no value: write it alone"))
            }
            _ => Err(self.unknown(name)),
        }
    }

    fn parse_word(&mut self, word: &Ident, errors: &mut Errors) -> syn::Result<()> {
        let text = word.to_string();
        if text == "skip_on_error" {
            self.skip_on_error.mark(word, errors);
            self.skip_on_error.value = Some(());
            return Ok(());
        }
        self.mark_written(&text);
        if let Some(grammar) = grammar_of(&text) {
            let message = format!("`{word}` takes a value: write `{grammar}`");
            return Err(syn::Error::new(word.span(), message));
        }
        // A constant is a limit; words in lower case are arguments.
        if !self.limit.written && text.chars().next().is_some_and(char::is_uppercase) {
            self.limit = Argument { written: true, value: Some(syn::parse_quote!(#word)) };
            return Ok(());
        }
        Err(self.unknown(word))
    }

    fn unknown(&mut self, word: &Ident) -> syn::Error {
        let known: Vec<&str> = GRAMMAR.iter().map(|(name, _)| *name).collect();
        let message = if let Some(nearest) = suggest::nearest(&word.to_string(), &known) {
            self.mark_written(nearest);
            format!("unknown argument `{word}`: did you mean `{nearest}`?")
        } else {
            let grammar: Vec<String> =
                GRAMMAR.iter().map(|(_, grammar)| format!("`{grammar}`")).collect();
            format!("unknown argument `{word}`: there are the limit, {}", grammar.join(", "))
        };
        syn::Error::new(word.span(), message)
    }

    /// An argument that was written wrongly is not reported as missing, too.
    fn mark_written(&mut self, name: &str) {
        match name {
            "per" => self.per.written = true,
            "algorithm" => self.algorithm.written = true,
            "key" => self.key.written = true,
            "name" => self.name.written = true,
            "crate" => self.krate.written = true,
            _ => {}
        }
    }
}

impl<T> Argument<T> {
    fn set(
        &mut self,
        name: &Ident,
        input: ParseStream<'_>,
        parse: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        self.mark(name, errors);
        self.value = Some(parse(input)?);
        end(input)
    }

    fn mark(&mut self, name: &Ident, errors: &mut Errors) {
        if self.written {
            errors.at(name, format!("`{name}` is given twice: remove one"));
        }
        self.written = true;
    }
}

fn parse_name(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let name: LitStr = input.parse().map_err(|error| {
        syn::Error::new(error.span(), "a name is a string: write `name = \"…\"`")
    })?;
    let text = name.value();
    if text.is_empty() {
        return Err(syn::Error::new(name.span(), "a name cannot be empty"));
    }
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        let message = "a name is shown in HTTP headers: use printable ASCII only";
        return Err(syn::Error::new(name.span(), message));
    }
    Ok(name)
}

fn parse_crate(input: ParseStream<'_>) -> syn::Result<Path> {
    let path = input.call(Path::parse_mod_style)?;
    let first = path.segments.first().map(|segment| segment.ident.to_string());
    let absolute =
        path.leading_colon.is_some() || matches!(first.as_deref(), Some("crate" | "$crate"));
    if absolute {
        return Ok(path);
    }
    let message = "the path must be absolute, for it is used in other modules, too: write \
                   `crate = ::name`, `crate = crate::path` or `crate = $crate::path`";
    Err(syn::Error::new_spanned(path, message))
}

/// An argument has been read: there must be no more of it.
fn end(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(input.error("expected a comma between arguments"))
}

fn at_last(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.call(Ident::parse_any).is_ok() && ahead.is_empty()
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

fn grammar_of(name: &str) -> Option<&'static str> {
    GRAMMAR.iter().find(|(known, _)| *known == name).map(|(_, grammar)| *grammar)
}
