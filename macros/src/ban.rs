//! Parses the argument `ban(after = 5, for = "15m", grow = 2, most = "1d")`.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit, Token, parenthesized};

use crate::crate_path::CratePath;
use crate::errors::Errors;
use crate::period::{Length, Period, parse_expression};
use crate::suggest;

/// The shortest form, for error messages.
pub(crate) const GRAMMAR: &str = "ban(after = 5, for = \"15m\")";

/// The name of every part, with an example of its use for error messages.
const PARTS: [(&str, &str); 4] = [
    ("after", "after = 5"),
    ("for", "for = \"15m\""),
    ("grow", "grow = 2"),
    ("most", "most = \"1d\""),
];

/// The rule by which subjects that are refused again and again are shut out. Its literals have been
/// checked; the expansion checks its constants.
#[derive(Clone)]
pub(crate) struct Ban {
    after: Expr,
    first: Period,
    grow: Option<Expr>,
    most: Option<Period>,
}

#[derive(Default)]
struct Parts {
    after: Option<Expr>,
    first: Option<Period>,
    grow: Option<Expr>,
    most: Option<Period>,
    /// The names of the parts, valid or not. A misspelt name is recorded as the part that was
    /// probably meant.
    present: Vec<String>,
}

impl Ban {
    /// Parses the parentheses after `ban`, which `name` is. All mistakes are in one error.
    pub(crate) fn parse(name: &Ident, input: ParseStream<'_>) -> syn::Result<Self> {
        let content;
        parenthesized!(content in input);
        let mut errors = Errors::default();
        let mut parts = Parts::default();
        while !content.is_empty() {
            if let Err(error) = parts.parse_one(&content) {
                errors.push(error);
                while !content.is_empty() && !content.peek(Token![,]) {
                    content.parse::<TokenTree>()?;
                }
            }
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        for (part, missing) in [
            ("after", "the number of refusals is missing: write `after = 5`"),
            ("for", "the length of the ban is missing: write `for = \"15m\"`"),
        ] {
            if !parts.present.iter().any(|present| present == part) {
                errors.push(syn::Error::new(name.span(), missing));
            }
        }
        parts.check_most(&mut errors);
        let Parts { after, first, grow, most, .. } = parts;
        match (errors.into_error(), after, first) {
            (None, Some(after), Some(first)) => Ok(Self { after, first, grow, most }),
            (Some(error), ..) => Err(error),
            // A part that is present and has no value is an error.
            (None, ..) => Err(syn::Error::new(name.span(), format!("write `{GRAMMAR}`"))),
        }
    }

    /// Returns the expressions that the compiler evaluates.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let lengths = [self.first.expression(), self.most.as_ref().and_then(Period::expression)];
        [Some(&self.after), self.grow.as_ref()].into_iter().chain(lengths).flatten()
    }

    /// Returns the numbers, as the arguments of the library's `Limit::ban`.
    pub(crate) fn tokens(&self, tollgate: &CratePath) -> TokenStream {
        let Self { after, first, grow, most } = self;
        let first = first.tokens(tollgate);
        let grow = grow.as_ref().map_or_else(|| quote!(1), |grow| quote!(#grow));
        let most = match most.as_ref().map(|most| most.tokens(tollgate)) {
            Some(most) => quote!(::core::option::Option::Some(#most)),
            None => quote!(::core::option::Option::None),
        };
        quote!(#after, #first, #grow, #most)
    }

    /// Returns calls of the library's functions that return the mistake in a number, each with its
    /// location. A rule of literals needs none.
    pub(crate) fn checks(&self, tollgate: &CratePath) -> Vec<(&'static str, TokenStream, Span)> {
        let mut checks = Vec::new();
        let first = self.first.tokens(tollgate);
        let mut count = |check, count: &Expr| {
            if !is_literal(count) {
                checks.push((check, quote!(#count), count.span()));
            }
        };
        count("ban_after_error", &self.after);
        self.grow.iter().for_each(|grow| count("ban_grow_error", grow));
        if self.first.expression().is_some() {
            checks.push(("ban_for_error", first.clone(), self.first.span()));
        }
        if let Some(most) = &self.most
            && (most.expression().is_some() || self.first.expression().is_some())
        {
            let (span, most) = (most.span(), most.tokens(tollgate));
            checks.push(("ban_most_error", quote_spanned!(span=> #first, #most), span));
        }
        checks
    }
}

impl Parts {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let name = input.call(Ident::parse_any).map_err(|error| {
            syn::Error::new(
                error.span(),
                format!("the parts of a ban have names: write `{GRAMMAR}`"),
            )
        })?;
        let text = name.to_string();
        let Some((part, grammar)) = PARTS.into_iter().find(|(part, _)| *part == text) else {
            return Err(self.unknown(&name));
        };
        if self.present.contains(&text) {
            let message = format!("`{name}` is given twice: remove one");
            return Err(syn::Error::new(name.span(), message));
        }
        self.present.push(text);
        if !input.peek(Token![=]) {
            let message = format!("`{name}` takes a value: write `{grammar}`");
            return Err(syn::Error::new(name.span(), message));
        }
        let equals: Token![=] = input.parse()?;
        if input.is_empty() || input.peek(Token![,]) {
            let message = format!("a value is missing: write `{grammar}`");
            return Err(syn::Error::new(equals.span, message));
        }
        match part {
            "after" => {
                let (zero, noun) = ("a ban must come after at least 1 refusal", "refusals");
                self.after = Some(parse_count(input, grammar, noun, zero)?);
            }
            "for" => self.first = Some(Period::parse(input, &Length::BAN)?),
            "grow" => {
                let (zero, noun) = ("the factor by which bans grow must be at least 1", "times");
                self.grow = Some(parse_count(input, grammar, noun, zero)?);
            }
            _ => self.most = Some(Period::parse(input, &Length::LONGEST_BAN)?),
        }
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(());
        }
        Err(input.error("expected a comma between the parts of the ban"))
    }

    fn unknown(&mut self, name: &Ident) -> syn::Error {
        let known = PARTS.map(|(part, _)| part);
        let grammar = PARTS.map(|(_, grammar)| format!("`{grammar}`")).join(", ");
        let text = name.to_string();
        // Records the part that was probably meant, so that it is not reported as missing, too.
        self.present.extend(suggest::nearest(&text, &known).map(str::to_owned));
        let hint = suggest::hint(&text, &known, &format!("there are {grammar}"));
        syn::Error::new(name.span(), format!("a ban has no `{name}`: {hint}"))
    }

    /// Reports a longest ban that is shorter than the first, if both are literals.
    fn check_most(&self, errors: &mut Errors) {
        if let (Some(Period::Micros(first, _)), Some(Period::Micros(most, span))) =
            (&self.first, &self.most)
            && most < first
        {
            let message = "the longest ban must be at least as long as the first";
            errors.push(syn::Error::new(*span, message));
        }
    }
}

/// Parses a whole number of `noun`. A literal is checked here, any other expression when the compiler
/// evaluates it. `zero` is the message about the number 0.
fn parse_count(input: ParseStream<'_>, grammar: &str, noun: &str, zero: &str) -> syn::Result<Expr> {
    let count = parse_expression(input)?;
    let mistake = match &count {
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => match literal.base10_parse::<u64>() {
            Ok(0) => zero.to_owned(),
            Ok(number) if number <= u64::from(u32::MAX) => return Ok(count),
            Ok(_) | Err(_) => format!("at most 4294967295 {noun} can be counted"),
        },
        Expr::Lit(_) | Expr::Unary(_) => {
            format!("this is a whole number of {noun}: write `{grammar}`")
        }
        _ => return Ok(count),
    };
    Err(syn::Error::new_spanned(count, mistake))
}

fn is_literal(count: &Expr) -> bool {
    matches!(count, Expr::Lit(ExprLit { lit: Lit::Int(_), .. }))
}
